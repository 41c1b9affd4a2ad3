/** Policies from a directory on disk, for the commands that work without a controller. */
import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { isBelow } from '../core/bound.ts';
import { type Fault, messageOf } from '../core/errors.ts';
import type { PolicyFile } from '../core/policy-documents.ts';
import { type LoadedPolicies, type LoadOptions, loadPolicies } from '../core/policy-files.ts';
import { MAX_YAML_BYTES } from '../core/yaml-source.ts';
import { UsageError } from './usage-error.ts';

/**
 * Loads every `.yaml` file below a directory, as the controller does, or one file of any name. Symbolic links below the
 * directory are not followed: what is read is what a commit of it would hold.
 * @throws UsageError where it cannot be read
 */
export async function loadPolicyDirectory(path: string, options: LoadOptions): Promise<LoadedPolicies> {
  const { files, notes } = await readFiles(path);
  const { known } = options;
  const placeOf = known && placesIn(path, known.policies.directory);
  const loaded = loadPolicies(files, path, { ...options, placeOf });
  const empty = loaded.policies?.policies.length === 0 ? [nothingIn(path)] : [];
  return { ...loaded, notes: [...notes, ...loaded.notes], warnings: [...empty, ...loaded.warnings] };
}

/**
 * Where files are in the config repository, whose folders have the bounds: below `policies.directory` of a work tree of Git,
 * at their place in that; else the path that was given stands for that directory.
 */
function placesIn(path: string, directory: string): (file: string) => string {
  const folder = statSync(path).isDirectory() ? path : dirname(path);
  const top = workTreeOf(resolve(folder));
  return (file) => {
    const inTree = top === null ? '' : relative(top, resolve(file));
    return inTree !== '' && isBelow(directory, inTree) ? inTree : join(directory, relative(folder, file));
  };
}

/** @returns the folder, or the nearest above it, that Git has checked out; null where there is none */
function workTreeOf(folder: string): string | null {
  if (existsSync(join(folder, '.git'))) return folder;
  const above = dirname(folder);
  return above === folder ? null : workTreeOf(above);
}

async function readFiles(path: string): Promise<{ files: PolicyFile[]; notes: Fault[] }> {
  try {
    if (!(await stat(path)).isDirectory())
      return { files: [readStart(path)], notes: isPolicyFile(path) ? [] : [misnamed(path)] };
    const entries = await readdir(path, { recursive: true, withFileTypes: true });
    const paths = entries
      .filter((entry) => entry.isFile() && /\.ya?ml$/.test(entry.name) && !isOfGit(entry.parentPath))
      .map((entry) => join(entry.parentPath, entry.name))
      .sort();
    const files: PolicyFile[] = [];
    for (const file of paths.filter(isPolicyFile)) files.push(readStart(file));
    return { files, notes: paths.filter((file) => !isPolicyFile(file)).map(misnamed) };
  } catch (error) {
    throw new UsageError(`the policies ${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

/** A branch may be called x.yaml, and is no file of a commit. */
const isOfGit = (folder: string): boolean => folder.split(sep).includes('.git');

const isPolicyFile = (path: string): boolean => path.endsWith('.yaml');

/** A check that looks at the wrong folder would be green for ever. */
const nothingIn = (path: string): Fault => ({
  file: path,
  line: 1,
  column: 1,
  message: 'no policy is in it; is it the right folder?',
});

/** A file that looks like a policy and is none to the controller is worth a word. */
const misnamed = (file: string): Fault => ({
  file,
  line: 1,
  column: 1,
  message: 'the controller does not read this file: policies are in files whose names end in .yaml',
});

/** One byte more than is allowed is enough to be told that it is too much. */
const start = Buffer.alloc(MAX_YAML_BYTES + 1);

/** Thousands of small files are read twice as fast one by one into one buffer as with a promise and a buffer each. */
function readStart(path: string): PolicyFile {
  const file = openSync(path, 'r');
  let length = 0;
  try {
    for (let read = -1; read !== 0 && length < start.length; length += read)
      read = readSync(file, start, length, start.length - length, null);
  } finally {
    closeSync(file);
  }
  // The end of a file that is too large may be half a character, which is not what is wrong with it.
  return { path, text: start.toString(length > MAX_YAML_BYTES ? 'latin1' : 'utf8', 0, length) };
}
