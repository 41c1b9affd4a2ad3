/** A bare copy of a repository in the cache. It may be deleted at any time: what it holds can be fetched again. */
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { StalledError } from '../core/errors.ts';
import { GitError, git, type Remote } from './git.ts';
import { ObjectReader } from './objects.ts';

/**
 * Finds where a repository is, or throws while it cannot be found.
 * @param url where it was found before: then only what lets us in is asked for again, as tokens may live for an hour
 */
export type LocateRemote = (url: string | null) => Promise<Remote>;

/** Milliseconds: whoever proposes a change decides how much there is to fetch, and no filter bounds all of it together. */
const HEAD_TIME = 60_000;

/** Pushes after which a mirror is tidied. */
const PUSHES_A_TIDYING = 200;

export class Mirror {
  readonly dir: string;
  readonly #locate: LocateRemote;
  #url: string | null = null;
  #pushes = 0;
  /** Whether it is there, in the format of the repository. */
  #isMade = false;
  /** Two that find it missing at once make it once. */
  #making: Promise<void> | null = null;

  constructor(cache: string, name: string, locate: LocateRemote) {
    this.dir = join(cache, `${name}.git`);
    this.#locate = locate;
  }

  /** @returns where the repository is; looked for anew until it is found */
  async remote(): Promise<Remote> {
    const remote = await this.#locate(this.#url);
    this.#url = remote.url;
    return remote;
  }

  /**
   * Brings one branch up to date.
   * @returns its head; null where the repository has no such branch
   * @throws GitError where the repository cannot be reached
   */
  async fetchBranch(branch: string): Promise<string | null> {
    const remote = await this.#ready();
    const tracked = `refs/remotes/origin/${branch}`;
    try {
      const refspec = `+refs/heads/${branch}:${tracked}`;
      await git(['fetch', '--quiet', '--no-tags', '--no-write-fetch-head', '--', remote.url, refspec], {
        dir: this.dir,
        remote,
      });
    } catch (error) {
      // Fetching a branch that is not there fails like an unreachable repository; only a listing tells them apart.
      const listed = await git(['ls-remote', '--', remote.url, `refs/heads/${branch}`], { remote });
      if (listed.length > 0) throw error;
      await git(['update-ref', '-d', tracked], { dir: this.dir });
      return null;
    }
    return this.resolve(tracked);
  }

  /**
   * Brings refs up to date with the newest commit of each and no blobs: enough to read a model card, without weights.
   * A pattern that matches nothing is no error.
   * @throws StalledError where the server would send the weights all the same
   */
  async fetchShallow(refspecs: readonly string[]): Promise<void> {
    const remote = await this.#ready();
    try {
      await git(
        [
          'fetch',
          '--quiet',
          '--no-tags',
          '--no-write-fetch-head',
          '--prune',
          '--depth=1',
          '--filter=blob:none',
          '--',
          remote.url,
          ...refspecs,
        ],
        { dir: this.dir, remote, onStderr: (text) => refuseUnfiltered(remote.url, text) },
      );
    } catch (error) {
      // With --depth, having nothing to fetch is exit code 1, and the one failure that git does not explain.
      if (!(error instanceof GitError && error.code === 1 && error.stderr === '')) throw error;
    }
  }

  /**
   * Brings the newest commit of one ref up to date, without its largest files where the server can leave them out.
   * @param sha the commit that the ref is to lead to
   * @throws Error where it leads elsewhere by now; GitBoundError where that takes more than a minute
   */
  async fetchHead(ref: string, sha: string): Promise<void> {
    const remote = await this.#ready();
    if ((await this.resolve(`${sha}^{commit}`)) !== null) return;
    // A path cannot be where Git would get later what it leaves out now.
    const filter = remote.url.startsWith('/') ? [] : ['--filter=blob:limit=1m'];
    const refspec = `+${ref}:refs/modelhook/reviewed`;
    await git(
      [
        'fetch',
        '--quiet',
        '--no-tags',
        '--no-write-fetch-head',
        '--depth=1',
        ...filter,
        '--',
        remote.url,
        refspec,
      ],
      { dir: this.dir, remote, timeout: HEAD_TIME },
    );
    // What was left out is not there, and is not to be got: git would ask for it, or fail, when it is looked at.
    if (filter.length > 0)
      await git(['config', '--remove-section', `remote.${remote.url}`], { dir: this.dir });
    if ((await this.resolve(`${sha}^{commit}`)) === null)
      throw new Error(`${ref} does not lead to ${sha} any more`);
  }

  /**
   * Makes sure that a commit is there, without its blobs.
   * @throws GitError where the repository does not have it
   */
  async fetchCommit(sha: string): Promise<void> {
    await this.#ready();
    if ((await this.resolve(`${sha}^{commit}`)) === null) await this.fetchShallow([sha]);
  }

  /**
   * Brings refs up to date with all they contain, also where earlier fetches left blobs out; what is gone there goes
   * here. A pattern that matches nothing is no error.
   */
  async fetch(refspecs: readonly string[]): Promise<void> {
    const remote = await this.#ready();
    await git(
      [
        'fetch',
        '--quiet',
        '--no-tags',
        '--no-write-fetch-head',
        '--no-filter',
        '--prune',
        '--',
        remote.url,
        ...refspecs,
      ],
      { dir: this.dir, remote },
    );
  }

  /** @returns the names of all refs the repository shows, as one answer has them */
  async listRemote(): Promise<string[]> {
    const remote = await this.#ready();
    const listed = await git(['ls-remote', '--refs', '--', remote.url], { remote });
    return listed
      .toString()
      .split('\n')
      .filter(Boolean)
      .map((line) => line.split('\t')[1] ?? '');
  }

  /** @returns the object a ref of the mirror points to; null where it is not there */
  async resolve(ref: string): Promise<string | null> {
    if (!this.#exists()) return null;
    try {
      return (await git(['rev-parse', '--verify', '--quiet', ref], { dir: this.dir })).toString().trim();
    } catch (error) {
      if (error instanceof GitError && error.code === 1) return null;
      throw error;
    }
  }

  /**
   * To be called after each push from here: neither fast-import nor push ever tidies.
   * @param failed told why a tidying failed, which costs nothing but space
   */
  tidy(failed: (error: unknown) => void): void {
    this.#pushes += 1;
    if (this.#pushes % PUSHES_A_TIDYING !== 0) return;
    // Not waited for: objects that are made meanwhile are too young to be removed.
    git(['-c', 'gc.auto=6700', 'gc', '--auto', '--quiet'], { dir: this.dir, timeout: 3_600_000 }).catch(
      failed,
    );
  }

  /**
   * Removes all of it where it has more than so many bytes, those of broken fetches among them; the next fetch makes it anew.
   * Nobody may be using it.
   */
  async removeOver(bytes: number): Promise<void> {
    if (!this.#exists()) return;
    const counts = (await git(['count-objects', '-v'], { dir: this.dir })).toString();
    const kibibytes = [...counts.matchAll(/^size[a-z-]*: (\d+)$/gm)].reduce(
      (sum, [, n]) => sum + Number(n),
      0,
    );
    if (kibibytes * 1024 > bytes) rmSync(this.dir, { recursive: true, force: true });
  }

  /** @returns a reader of the mirror's objects, for the caller to close */
  async objects(): Promise<ObjectReader> {
    return new ObjectReader(this.dir, await this.#ready());
  }

  async #ready(): Promise<Remote> {
    const remote = await this.remote();
    this.#making ??= this.#make(remote).finally(() => {
      this.#making = null;
    });
    await this.#making;
    return remote;
  }

  async #make(remote: Remote): Promise<void> {
    if (this.#isMade && this.#exists()) return;
    this.#isMade = this.#exists() && (await this.#hasRefs());
    if (this.#isMade) return;
    const format = await objectFormat(remote);
    // One that was made while there was nothing to tell the format by may be of the wrong one.
    if (format !== null) rmSync(this.dir, { recursive: true, force: true });
    mkdirSync(this.dir, { recursive: true });
    const flag = `--object-format=${format ?? 'sha1'}`;
    await git(['init', '--quiet', '--bare', '--template=', flag, '--', this.dir]);
    this.#isMade = format !== null;
  }

  #exists(): boolean {
    return existsSync(join(this.dir, 'HEAD'));
  }

  async #hasRefs(): Promise<boolean> {
    return (await git(['for-each-ref', '--count=1'], { dir: this.dir })).length > 0;
  }
}

/**
 * Repositories of SHA-256 can only be copied into such, and show themselves by the length of their names.
 * @returns null where there is nothing to tell it by
 */
async function objectFormat(remote: Remote): Promise<'sha1' | 'sha256' | null> {
  const listed = await git(['ls-remote', '--', remote.url], { remote });
  if (listed.length === 0) return null;
  return /^[0-9a-f]{64}\t/.test(listed.toString()) ? 'sha256' : 'sha1';
}

/** A server that ignores the filter says so before it sends everything (git's own warning; the exit code stays 0). */
function refuseUnfiltered(url: string, stderr: string): void {
  if (!stderr.includes('filtering not recognized by server')) return;
  throw new StalledError(
    `${url} ignores partial-clone filters and would send every weight file`,
    'set uploadpack.allowFilter=true in that repository or on its server',
  );
}
