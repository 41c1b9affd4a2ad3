/** Reads refs and single files through GitHub's REST API. */
import { z } from 'zod';
import { StalledError } from '../../core/errors.ts';
import { API_LAG, type RepositoryFile, type RepositoryReader } from '../forge.ts';
import { encodePath, type GitHubApi, noCommit, pathOf, shaped } from './api.ts';
import { readFile } from './files.ts';
import { createObjectReader, type Pointer, pointerSchema } from './objects.ts';

const refSchema = z.object({ ref: z.string(), object: pointerSchema });
type Ref = z.infer<typeof refSchema>;

/** @param forge its name in modelhook.yaml */
export function createGitHubRepositories(forge: string, api: GitHubApi): RepositoryReader {
  const objects = createObjectReader(api);

  /** Refs whose names begin so. */
  const matching = (path: string, prefix: string): Promise<Ref[]> =>
    api.askAll(path, `GET /repos/${path}/git/matching-refs/${encodePath(prefix)}?per_page=100`, refSchema);

  /**
   * GitHub says 404 of a ref that is gone and of a repository that cannot be read alike, so that absence is believed
   * of the list of what begins with the name alone, which is empty and there.
   */
  async function pointerOf(path: string, ref: string): Promise<Pointer | null> {
    const name = ref.replace(/^refs\//, '');
    const answer = await api.ask(path, `GET /repos/${path}/git/ref/${encodePath(name)}`);
    if (answer.status === 200) {
      const found = shaped(z.union([refSchema, z.array(refSchema)]), answer.data);
      // Old servers answer the beginning of a name with a list.
      if (!Array.isArray(found) && found.ref === ref) return found.object;
    } else if (answer.status !== 404) throw api.unreadable(path, answer);
    const refs = await matching(path, name);
    return refs.find((each) => each.ref === ref)?.object ?? null;
  }

  /** @param ref what points to the commit, where something does */
  async function filesAt(
    path: string,
    sha: string,
    paths: readonly string[],
    maxBytes: number,
    ref?: string,
  ): Promise<RepositoryFile[]> {
    const files = await Promise.all(paths.map((file) => readFile(api, path, sha, file, maxBytes)));
    // The files of a commit that is not there are missing too.
    const unproven = files.every(({ kind }) => kind === 'missing');
    if (unproven && !(await api.hasCommit(path, sha))) throw noCommit(sha, ref);
    return files;
  }

  async function refsBelow(path: string, prefix: string): Promise<Ref[]> {
    return (await matching(path, prefix)).filter(({ ref }) => ref.startsWith(`refs/${prefix}`));
  }

  return {
    lag: API_LAG,

    // GitHub leads an old name to the repository, until another takes it.
    async identify(repository) {
      const { id, full_name: path } = await api.repository(pathOf(repository));
      return { repository: `${forge}:${path}`, projectId: String(id) };
    },

    async readRef(repository, ref, paths, maxBytes) {
      const path = pathOf(repository);
      const pointer = await pointerOf(path, ref);
      if (!pointer) return null;
      const { type, sha } = await objects.peel(path, ref, pointer);
      if (type !== 'commit')
        throw new StalledError(`${ref} points to a ${type}`, 'make it point to a commit');
      return { sha, object: pointer.sha, files: await filesAt(path, sha, paths, maxBytes, ref) };
    },

    async readFiles(repository, sha, paths, maxBytes) {
      return filesAt(pathOf(repository), sha, paths, maxBytes);
    },

    async listRefs(repository) {
      const path = pathOf(repository);
      const refs = (await Promise.all(['heads/', 'tags/'].map((prefix) => refsBelow(path, prefix)))).flat();
      const described = await objects.describe(path, refs);
      return refs.flatMap(({ ref, object }) => {
        const { sha = null, createdAt = null } = described.get(object.sha) ?? {};
        // A tag of a tree or blob is no version of a model.
        return sha === null ? [] : [{ ref, sha, object: object.sha, createdAt }];
      });
    },
  };
}
