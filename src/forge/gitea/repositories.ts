/**
 * Reads refs and single files of a repository on Gitea. Everything is asked for by its object name: where a branch is
 * called like a commit, `/raw` and `/contents` read the branch, and where a name means nothing to them, the default
 * branch; `/git/tags` resolves the name an annotated tag was made with, whatever its ref is called now; and one tag
 * that points to a file makes `/tags` fail for all (measured with Gitea 1.26).
 */
import { StalledError } from '../../core/errors.ts';
import { parseRepositoryId, shortSha } from '../../core/ref-event.ts';
import { API_LAG, type RepositoryFile, type RepositoryReader, type RepositoryRef } from '../forge.ts';
import { encodePath, type GiteaClient, GiteaError } from './client.ts';
import type { GiteaObjects } from './objects.ts';
import { type Reference, referencesSchema } from './schema.ts';
import { readFile } from './trees.ts';

const PREFIXES = ['refs/heads/', 'refs/tags/'];
/** Bytes of a list of refs: some 400,000 of them. */
const MAX_REFS = 128 * 1024 * 1024;
/** Requests at once while the refs of a repository are listed. */
const CONCURRENCY = 4;

export function createGiteaRepositories(client: GiteaClient, objects: GiteaObjects): RepositoryReader {
  /**
   * All refs whose full names begin with this one, in one answer: a list without pages (measured with Gitea 1.26).
   * @throws GiteaError where the repository is not readable, which is answered like no refs
   */
  async function beginning(repository: string, name: string): Promise<Reference[]> {
    const below = `git/refs/${encodePath(name.replace('refs/', ''))}`;
    const found = await client.get(repository, below, referencesSchema, [404], MAX_REFS);
    if (found === null) await client.repository(repository);
    return found ?? [];
  }

  /** A ref is only believed to be gone where the repository is there, and has others. */
  async function absent(repository: string): Promise<null> {
    for (const prefix of PREFIXES) if ((await beginning(repository, prefix)).length > 0) return null;
    throw new Error(`${repository} has no branches and tags at all; nothing is concluded from that`);
  }

  async function readFiles(
    repository: string,
    sha: string,
    paths: readonly string[],
    maxBytes: number,
  ): Promise<RepositoryFile[]> {
    try {
      return await Promise.all(paths.map((path) => readFile(client, repository, sha, path, maxBytes)));
    } catch (error) {
      if (!(error instanceof GiteaError) || error.status !== 404) throw error;
      if (await objects.holds(repository, sha)) throw error;
      throw noCommit(sha);
    }
  }

  async function listed({ ref, object }: Reference, repository: string): Promise<RepositoryRef[]> {
    // A tag of a file or folder is no version of a model.
    if (object.type === 'blob' || object.type === 'tree') return [];
    const commit = await objects.commit(repository, object.sha);
    if (commit === null) {
      // A ref that is left out counts as deleted, and a hidden repository answers like one without the object.
      if (object.type !== 'tag')
        throw new Error(
          `${repository} lists ${ref} at ${shortSha(object.sha)}, and gives no such commit; nothing is concluded from that`,
        );
      await client.repository(repository);
      return [];
    }
    const taggedAt = object.type === 'tag' ? await objects.taggedAt(repository, object.sha) : null;
    return [{ ref, sha: commit.sha, object: object.sha, createdAt: taggedAt ?? commit.createdAt }];
  }

  return {
    lag: API_LAG,

    async identify(repository) {
      const { id, path } = await client.repository(repository);
      // The client takes no id without a forge.
      const forge = parseRepositoryId(repository)?.forge ?? '';
      return { repository: `${forge}:${path}`, projectId: String(id) };
    },

    async readRef(repository, ref, paths, maxBytes) {
      const object = (await beginning(repository, ref)).find((each) => each.ref === ref)?.object;
      if (!object) return absent(repository);
      if (object.type === 'blob' || object.type === 'tree')
        throw new StalledError(`${ref} points to a ${object.type}`, 'make it point to a commit');
      const commit = object.type === 'tag' ? await objects.commit(repository, object.sha) : object;
      if (commit === null) {
        await client.repository(repository);
        throw noCommit(object.sha, ref);
      }
      const files = await readFiles(repository, commit.sha, paths, maxBytes);
      return { sha: commit.sha, object: object.sha, files };
    },

    readFiles,

    async listRefs(repository) {
      const found: Reference[] = [];
      for (const prefix of PREFIXES) found.push(...(await beginning(repository, prefix)));
      const refs: RepositoryRef[][] = [];
      for (let at = 0; at < found.length; at += CONCURRENCY) {
        const some = found.slice(at, at + CONCURRENCY);
        refs.push(...(await Promise.all(some.map((each) => listed(each, repository)))));
      }
      return refs.flat();
    },
  };
}

/** @param ref what points to it, where something does */
const noCommit = (object: string, ref?: string): StalledError =>
  new StalledError(
    `${ref ? `${ref} points to ${shortSha(object)}, and no such commit` : `no commit ${shortSha(object)}`} is in the repository`,
    'push the commit, or move the ref to one that is there',
  );
