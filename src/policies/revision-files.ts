/** The policy files of one commit of the config repository. Nobody may have looked at that commit yet. */
import type { Fault } from '../core/errors.ts';
import type { PolicyFile } from '../core/policy-documents.ts';
import { GitBoundError, git } from '../git/git.ts';
import { ObjectReader } from '../git/objects.ts';

/** Specification section 5 bounds a file; these bound their number, and what all of them have together. */
const MAX_FILES = 20_000;
const MAX_FILE_BYTES = 1024 * 1024;
/** 10,000 policies have 6 MiB. */
const MAX_BYTES = 16 * 1024 * 1024;
/** Of the names of all files: a tree can have more of them than any machine can hold, from a handful of objects. */
const MAX_LISTED = 16 * 1024 * 1024;
const LIST_TIME = 30_000;
/** Files that are told by name, where many have the same fault. */
const TOLD = 20;

export type RevisionFiles =
  | { files: PolicyFile[] }
  /** `exceeded`: they were not even counted. */
  | { faults: Fault[]; exceeded?: boolean };

interface Entry {
  mode: string;
  oid: string;
  path: string;
}

/**
 * Reads what is below the directory of policies.
 * @param repository the folder of a Git repository (GIT_DIR) that has the commit
 * @throws Error where it lacks what it should have
 */
export async function readRevision(
  repository: string,
  revision: string,
  directory: string,
): Promise<RevisionFiles> {
  const tree = await treeOf(repository, revision, directory);
  if (tree === null)
    return {
      faults: [
        faultIn(directory, 'has more files than can be listed; make them fewer, and their paths shorter'),
      ],
      exceeded: true,
    };
  // Git keeps no empty folder: this one was never there, or has another name. An empty set would end what is pending.
  if (tree.length === 0)
    return {
      faults: [
        faultIn(
          directory,
          'is not in the config repository; add it, or set policies.directory in modelhook.yaml',
        ),
      ],
    };
  const entries = tree.toString().split('\0').flatMap(entryOf);
  const strange = strangeIn(entries, directory);
  if (strange.length > 0) return { faults: strange };
  // All is there that counts, so nothing is asked of where it comes from, which may be out of reach.
  using objects = new ObjectReader(repository);
  const found = entries.filter(isPolicyFile);
  // One that is too large may have been left out by the fetch: then it is not there.
  const sized = await Promise.all(
    found.map(async ({ oid, path }) => ({ path, size: (await objects.info(oid))?.size ?? null })),
  );
  const faults = oversized(sized, directory);
  if (faults.length > 0) return { faults };
  const files = found.map(async ({ oid, path }) => {
    const bytes = await objects.contents(oid);
    if (!bytes) throw new Error(`${repository} lacks ${path} at ${revision}`);
    return { path, text: bytes.toString() };
  });
  return { files: await Promise.all(files) };
}

/** @returns what git lists below the directory; null where that exceeds all bounds */
async function treeOf(repository: string, revision: string, directory: string): Promise<Buffer | null> {
  const pathspec = directory === '' ? [] : [`:(literal)${directory}`];
  const bounds = { maxOutput: MAX_LISTED, timeout: LIST_TIME };
  try {
    return await git(['ls-tree', '-r', '-z', '--full-tree', revision, '--', ...pathspec], {
      dir: repository,
      ...bounds,
    });
  } catch (error) {
    if (error instanceof GitBoundError) return null;
    throw error;
  }
}

function entryOf(line: string): Entry[] {
  const match = /^(\d{6}) [a-z]+ ([0-9a-f]+)\t(.*)$/s.exec(line);
  if (!match) return [];
  const [, mode = '', oid = '', path = ''] = match;
  return [{ mode, oid, path }];
}

const isFile = ({ mode }: Entry): boolean => mode.startsWith('100');
const isPolicyFile = (entry: Entry): boolean => isFile(entry) && entry.path.endsWith('.yaml');

/** What a link or a submodule leads to is not in this repository, so nobody has reviewed it. */
function strangeIn(entries: readonly Entry[], directory: string): Fault[] {
  const isLink = ({ mode, path }: Entry) =>
    mode === '120000' && (path === directory || path.endsWith('.yaml'));
  const strange = [
    ...entries
      .filter(isLink)
      .map(({ path }) => faultIn(path, 'is a symbolic link, which is not followed; put the file there')),
    ...entries
      .filter(({ mode }) => mode === '160000')
      .map(({ path }) => faultIn(path, 'is a submodule, which is not read; put its files there')),
  ];
  if (strange.length > 0) return strange.slice(0, TOLD);
  const { length } = entries.filter(isPolicyFile);
  return length > MAX_FILES ? [faultIn(directory, `has ${length} policy files, more than ${MAX_FILES}`)] : [];
}

function oversized(files: readonly { path: string; size: number | null }[], directory: string): Fault[] {
  const tooLarge = files.filter(({ size }) => size === null || size > MAX_FILE_BYTES);
  if (tooLarge.length > 0)
    return tooLarge
      .slice(0, TOLD)
      .map(({ path, size }) =>
        faultIn(path, `${size === null ? 'is' : `has ${size} bytes,`} over the limit of 1 MiB`),
      );
  const bytes = files.reduce((sum, { size }) => sum + (size ?? 0), 0);
  return bytes > MAX_BYTES
    ? [faultIn(directory, `has ${bytes} bytes of policies, over the limit of 16 MiB in all`)]
    : [];
}

export const faultIn = (file: string, message: string): Fault => ({
  file: file === '' ? '.' : file,
  line: 1,
  column: 1,
  message,
});
