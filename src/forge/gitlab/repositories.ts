/** Reads refs and single files of GitLab projects, by path: what the path leads to today is what is deployed. */
import { StalledError } from '../../core/errors.ts';
import { parseRef, parseRepositoryId, shortSha, unsafeName } from '../../core/ref-event.ts';
import {
  API_LAG,
  type RefReading,
  type RepositoryFile,
  type RepositoryReader,
  type RepositoryRef,
} from '../forge.ts';
import { type GitLabApi, projectPath, segmentOf } from './api.ts';
import { branchSchema, namedSchema, tagSchema } from './schema.ts';

/** By token, so that a ref deleted meanwhile pushes none over the edge of a page; older versions give pages by number. */
const BY_TOKEN = { pagination: 'keyset' };
/** Branches come by name, and take other words for their order. */
const TAGS_BY_NAME = { ...BY_TOKEN, order_by: 'name', sort: 'asc' };
/** What a HEAD of a moved project's old path may be answered with, which is then asked for by number. */
const MOVED = [301, 302, 307, 308, 405];

export function createGitLabRepositories(api: GitLabApi): RepositoryReader {
  async function pointerOf(repository: string, ref: string): Promise<RefReading | null> {
    const { kind, name } = parseRef(ref) ?? {};
    if (name === undefined) throw new Error(`${ref} is neither a branch nor a tag`);
    const path = `${projectPath(repository)}/repository`;
    if (kind === 'branch') {
      const branch = await api.find(repository, `${path}/branches/${segmentOf(name)}`, branchSchema);
      return branch && { sha: branch.commit.id, object: branch.commit.id };
    }
    const tag = await api.find(repository, `${path}/tags/${segmentOf(name)}`, tagSchema);
    if (tag?.commit === null)
      throw new StalledError(
        `${ref} points to ${shortSha(tag.target)}, and no such commit is in the repository`,
        'push the commit, or move the ref to one that is there',
      );
    return tag && { sha: tag.commit.id, object: tag.target };
  }

  /**
   * A repository that is switched off or kept to its members answers 404 for every ref, while its project is still shown.
   * Only a list that may be read, without the ref in it, says that the ref is gone.
   */
  async function requireAbsence(repository: string, ref: string): Promise<void> {
    const { kind, name = '' } = parseRef(ref) ?? {};
    const path = `${projectPath(repository)}/repository/${kind === 'tag' ? 'tags' : 'branches'}`;
    const search = { search: `^${name}$` };
    const found = await api.list(repository, path, search, namedSchema);
    if (found.some((each) => each.name === name))
      throw new Error(
        `GitLab lists ${ref} of ${repository}, and does not find it by its name; check that no proxy rewrites addresses`,
      );
    const { empty_repo } = await api.project(repository);
    if (empty_repo) throw new Error(`${repository} has no branch any more; nothing is concluded from that`);
  }

  async function readFile(
    repository: string,
    sha: string,
    path: string,
    maxBytes: number,
  ): Promise<RepositoryFile> {
    const address = `repository/files/${segmentOf(path)}`;
    const project = projectPath(repository);
    let head = await api.ask('HEAD', `${project}/${address}?ref=${sha}`);
    if (MOVED.includes(head.status)) {
      const { id } = await api.project(repository);
      head = await api.ask('HEAD', `projects/${id}/${address}?ref=${sha}`);
    }
    if (head.status === 404) {
      await requireCommit(repository, sha);
      return { kind: 'missing', path };
    }
    if (head.status !== 200) throw await api.unreadable(repository, head);
    const size = Number(head.headers.get('x-gitlab-size') ?? Number.NaN);
    if (!Number.isSafeInteger(size))
      throw new Error(
        `GitLab does not say how large ${path} of ${repository} is; check what stands in front of it`,
      );
    if (size > maxBytes) return { kind: 'tooLarge', path, size };
    const raw = await api.ask('GET', `${project}/${address}/raw?ref=${sha}`);
    if (raw.status !== 200) throw await api.unreadable(repository, raw);
    const bytes = new Uint8Array(await raw.arrayBuffer());
    if (bytes.length !== size)
      throw new Error(`${path} of ${repository} has ${size} bytes, and ${bytes.length} came`);
    return { kind: 'file', path, bytes };
  }

  /** A HEAD that finds nothing does not say what. A commit that is not there may still be on its way to a replica. */
  async function requireCommit(repository: string, sha: string): Promise<void> {
    const commit = `${projectPath(repository)}/repository/commits/${sha}?stats=false`;
    const response = await api.ask('GET', commit);
    if (response.status === 200) return;
    if (response.status !== 404) throw await api.unreadable(repository, response);
    await api.project(repository);
    throw new Error(`no commit ${shortSha(sha)} is in ${repository}; push the commit`);
  }

  const readFiles: RepositoryReader['readFiles'] = (repository, sha, paths, maxBytes) =>
    Promise.all(paths.map((path) => readFile(repository, sha, path, maxBytes)));

  return {
    lag: API_LAG,

    async identify(repository) {
      const { id, path_with_namespace } = await api.project(repository);
      const { forge } = parseRepositoryId(repository) ?? {};
      const fault = unsafeName('the path', path_with_namespace);
      if (fault) throw new Error(`GitLab gives ${repository} another name that no project has: ${fault}`);
      return { repository: `${forge}:${path_with_namespace}`, projectId: String(id) };
    },

    async readRef(repository, ref, paths, maxBytes) {
      const pointer = await pointerOf(repository, ref);
      if (pointer) return { ...pointer, files: await readFiles(repository, pointer.sha, paths, maxBytes) };
      await requireAbsence(repository, ref);
      return null;
    },

    readFiles,

    async listRefs(repository) {
      const path = `${projectPath(repository)}/repository`;
      const [branches, tags] = await Promise.all([
        api.list(repository, `${path}/branches`, BY_TOKEN, branchSchema),
        api.list(repository, `${path}/tags`, TAGS_BY_NAME, tagSchema),
      ]);
      const heads = branches.map(({ name, commit }) => ({
        ref: `refs/heads/${name}`,
        sha: commit.id,
        object: commit.id,
        createdAt: timeOf(commit.committed_date),
      }));
      // A tag of a tree or blob is no version of a model.
      const versions = tags.flatMap(({ name, target, commit, created_at }): RepositoryRef[] =>
        commit === null
          ? []
          : [
              {
                ref: `refs/tags/${name}`,
                sha: commit.id,
                object: target,
                createdAt: timeOf(created_at ?? commit.committed_date),
              },
            ],
      );
      return [...heads, ...versions];
    },
  };
}

function timeOf(date: string | null | undefined): number | null {
  const time = Date.parse(date ?? '');
  return Number.isNaN(time) ? null : time;
}
