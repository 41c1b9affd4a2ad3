/** Revisions in a clone of the config repository, by the names that people give them. */
import { posix } from 'node:path';
import { messageOf } from '../core/errors.ts';
import { GitError, git } from '../git/git.ts';
import { UsageError } from './usage-error.ts';

/**
 * @param clone a folder anywhere in a work tree, or a bare repository
 * @returns its folder for Git (GIT_DIR)
 * @throws UsageError where it is none
 */
export async function gitDirOf(clone: string): Promise<string> {
  try {
    return (await git(['-C', clone, 'rev-parse', '--absolute-git-dir'])).toString().replace(/\n$/, '');
  } catch (error) {
    throw new UsageError(`${clone} cannot be used as a clone: ${messageOf(error)}; name one with --clone`, {
      cause: error,
    });
  }
}

/**
 * @param option that gave the name
 * @param name anything `git rev-parse` takes
 * @returns the id of the commit
 * @throws UsageError where the clone has no such commit
 */
export async function commitOf(gitDir: string, option: string, name: string): Promise<string> {
  // In two steps: `:/text` takes everything behind it for the text.
  const object = await resolve(gitDir, name);
  const commit = object && (await resolve(gitDir, `${object}^{commit}`));
  if (commit) return commit;
  throw new UsageError(`${option} ${name}: the clone has no such commit${await hintFor(gitDir, name)}`);
}

async function resolve(gitDir: string, name: string): Promise<string | null> {
  try {
    const found = await git(['rev-parse', '--verify', '--quiet', '--end-of-options', name], { dir: gitDir });
    return found.toString().trim();
  } catch (error) {
    if (error instanceof GitError) return null;
    throw error;
  }
}

/** Clones of CI jobs have few branches of their own, and few commits. */
async function hintFor(gitDir: string, name: string): Promise<string> {
  if (await resolve(gitDir, `refs/remotes/origin/${name}`)) return `; did you mean origin/${name}?`;
  const isShallow = (await git(['rev-parse', '--is-shallow-repository'], { dir: gitDir })).toString();
  return isShallow.trim() === 'true' ? '; it is a shallow clone, which git fetch --unshallow completes' : '';
}

/**
 * @param path of the directory of policies, as people write it
 * @returns the same as Git has it, from the root of the clone; empty: the root itself
 * @throws UsageError where it leads elsewhere
 */
export function directoryInClone(path: string): string {
  const directory = posix.normalize(path).replace(/\/$/, '');
  if (posix.isAbsolute(path) || /^\.\.(?:\/|$)/.test(directory))
    throw new UsageError(
      `--policies ${path} leads out of the clone; with --from and --to it is a directory in it, such as policies`,
    );
  return directory === '.' ? '' : directory;
}
