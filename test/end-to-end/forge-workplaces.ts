/** What people do on each kind of forge, over its stand-in: commit, tag, have it tell of that, and read its statuses. */
import { createHmac, randomUUID } from 'node:crypto';
import type { GiteaServer } from '../forges/gitea-server.ts';
import type { GitHubServer } from '../forges/github-server.ts';
import type { GitLabServer } from '../forges/gitlab-server.ts';
import { GitRepository } from '../git-repository.ts';

const CARD = {
  'README.md': '---\nlibrary_name: sklearn\npipeline_tag: tabular-classification\n---\n# A model\n',
};
const ZERO = '0'.repeat(40);

/** What a forge has as the status of a commit, in its own words. */
export interface WrittenStatus {
  state: string;
  description: string;
}

/** What people do on a forge, and what they see there. */
export interface Workplace {
  /** Commits and tags. @returns the commit */
  tag(path: string, tag: string): string;
  /** The delivery of a push, with the headers that name it. */
  delivery(path: string, ref: string, after: string): { headers: Record<string, string>; body: object };
  sign(body: string): Record<string, string>;
  /** The oldest first. */
  statuses(path: string, sha: string): WrittenStatus[];
}

const hmac = (secret: string, body: string): string =>
  createHmac('sha256', secret).update(body).digest('hex');

/** Of a stand-in, by path. */
const found = <Value>(all: ReadonlyMap<string, Value>, path: string): Value => {
  const value = all.get(path);
  if (value === undefined) throw new Error(`no repository ${path}`);
  return value;
};

export function workOnGitHub(server: GitHubServer, paths: readonly string[], secret: string): Workplace {
  const repositories = new Map(paths.map((path) => [path, server.create(path)]));
  return {
    tag(path, tag) {
      const repository = found(repositories, path);
      const sha = server.commit(repository, 'main', { ...CARD, tag });
      repository.refs.set(`refs/tags/${tag}`, { type: 'commit', sha });
      return sha;
    },
    delivery: (path, ref, after) => ({
      headers: { 'x-github-event': 'push', 'x-github-delivery': randomUUID() },
      body: {
        ref,
        before: ZERO,
        after,
        head_commit: { id: after },
        repository: { id: found(repositories, path).id, full_name: path },
      },
    }),
    sign: (body) => ({ 'x-hub-signature-256': `sha256=${hmac(secret, body)}` }),
    statuses: (path, sha) => found(repositories, path).statuses.filter((each) => each.sha === sha),
  };
}

export function workOnGitLab(server: GitLabServer, paths: readonly string[], secret: string): Workplace {
  for (const path of paths) server.create(path);
  return {
    tag(path, tag) {
      const sha = server.commit(path, 'main', { ...CARD, tag });
      server.point(path, `refs/tags/${tag}`, sha);
      return sha;
    },
    delivery: (path, ref, after) => ({
      headers: { 'x-gitlab-event': 'Tag Push Hook', 'idempotency-key': randomUUID() },
      body: {
        object_kind: 'tag_push',
        ref,
        before: ZERO,
        after,
        checkout_sha: after,
        project_id: server.of(path).id,
        project: { path_with_namespace: path },
      },
    }),
    sign: () => ({ 'x-gitlab-token': secret }),
    statuses: (path, sha) =>
      server
        .of(path)
        .jobs.filter((job) => job.sha === sha)
        .map(({ status, description }) => ({ state: status, description: description ?? '' })),
  };
}

export function workOnGitea(server: GiteaServer, paths: readonly string[], secret: string): Workplace {
  const repositories = new Map(paths.map((path) => [path, server.create(path)]));
  return {
    tag(path, tag) {
      const repository = found(repositories, path);
      const sha = repository.commit('main', { ...CARD, tag });
      repository.refs.set(`refs/tags/${tag}`, sha);
      return sha;
    },
    delivery: (path, ref, after) => ({
      headers: { 'x-gitea-event': 'push', 'x-gitea-delivery': randomUUID() },
      body: {
        // What Gitea once sent in every body.
        secret,
        ref,
        before: ZERO,
        after,
        head_commit: { id: after },
        repository: { id: found(repositories, path).id, full_name: path },
      },
    }),
    sign: (body) => ({ 'x-gitea-signature': hmac(secret, body) }),
    statuses: (path, sha) =>
      (found(repositories, path).statuses.get(sha) ?? []).map(({ status, description }) => ({
        state: status,
        description,
      })),
  };
}

/** @param folderOf where a repository is made */
export function workOnPlainGit(
  folderOf: (path: string) => string,
  paths: readonly string[],
  secret: string,
): Workplace {
  const repositories = new Map(paths.map((path) => [path, GitRepository.create(folderOf(path))]));
  return {
    tag(path, tag) {
      const repository = found(repositories, path);
      const sha = repository.commit({ ...CARD, tag });
      repository.point(`refs/tags/${tag}`, sha);
      return sha;
    },
    delivery: (path, ref, after) => ({
      headers: { 'x-modelhook-delivery': randomUUID() },
      body: { repository: `${path}.git`, before: ZERO, after, ref },
    }),
    sign: (body) => ({ 'x-modelhook-signature-256': `sha256=${hmac(secret, body)}` }),
    statuses: (path, sha) => notesOf(found(repositories, path), sha),
  };
}

/** Every version of a commit's note has its statuses as they were then. */
function notesOf(repository: GitRepository, sha: string): WrittenStatus[] {
  if (repository.read('refs/notes/modelhook') === null) return [];
  const versions = repository.git(['rev-list', '--reverse', 'refs/notes/modelhook']).split('\n');
  const written = versions.map((version) => {
    // As short as there are few of them.
    try {
      return repository.git(['show', `${version}:${sha}`]);
    } catch {
      return '';
    }
  });
  return written
    .filter((text, index) => text !== '' && text !== written[index - 1])
    .map((text) => {
      const [, state = '', description = ''] = text.split('\t');
      return { state, description };
    });
}
