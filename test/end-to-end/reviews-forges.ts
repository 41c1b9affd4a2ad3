/** What people do with requests on the config repository, on the stand-ins of forges that have such requests. */
import { createHmac, randomUUID } from 'node:crypto';
import { ObjectStore } from '../forges/gitea-objects.ts';
import { GiteaServer, TOKENS } from '../forges/gitea-server.ts';
import { addPull } from '../forges/github-pulls.ts';
import type { Pull } from '../forges/github-reply.ts';
import { GitHubServer } from '../forges/github-server.ts';
import { GitLabServer } from '../forges/gitlab-server.ts';
import type { WrittenStatus } from './forge-workplaces.ts';

/** The config repository, on every forge. */
export const CONFIG = 'platform/policies';
const TOKEN = 'a-token-of-modelhook';
const FORK = 4242;

export interface Proposal {
  /** The commit at its head, which Git has. */
  head: string;
  /** Its branch, without `refs/heads/`. */
  branch: string;
  base: string;
  isFork: boolean;
}

export interface Delivery {
  headers: Record<string, string>;
  body: object;
}

/** A stand-in that has the config repository; its Git is elsewhere. */
export interface ConfigForge {
  kind: 'github' | 'gitlab' | 'gitea';
  /** The origin of its API. */
  url: string;
  token: string;
  /** Lets it know the commit that a branch leads to. */
  know(branch: string, sha: string): void;
  /** @returns its number */
  open(proposal: Proposal): number;
  push(number: number, head: string): void;
  close(number: number): void;
  isOpen(number: number): boolean;
  /** What Git fetches of a request. */
  headRef(number: number): string;
  /** The oldest first. */
  statuses(sha: string): WrittenStatus[];
  comments(number: number): readonly string[];
  comment(number: number, text: string): void;
  /** What it sends when something became of a request. */
  ofRequest(number: number): Delivery;
  ofPush(ref: string, after: string): Delivery;
  sign(body: string, secret: string): Record<string, string>;
  stop(): Promise<void>;
}

const hmac = (secret: string, body: string): string =>
  createHmac('sha256', secret).update(body).digest('hex');
const ZERO = '0'.repeat(40);

export async function standInGitHub(): Promise<ConfigForge> {
  const server = await new GitHubServer().start();
  server.tokens.set(TOKEN, { reads: true, writes: true });
  const repository = server.create(CONFIG);
  const take = (sha: string) =>
    repository.commits.set(sha, { tree: new Map(), date: new Date().toISOString() });
  const know = (branch: string, sha: string) => {
    take(sha);
    repository.refs.set(`refs/heads/${branch}`, { type: 'commit', sha });
  };
  const pullOf = (number: number): Pull => {
    const pull = repository.pulls[number - 1];
    if (!pull) throw new Error(`no pull request ${number}`);
    return pull;
  };
  const push = (number: number, head: string) => {
    take(head);
    pullOf(number).head.sha = head;
  };
  const named = { id: repository.id, full_name: CONFIG };
  const headers = (event: string) => ({ 'x-github-event': event, 'x-github-delivery': randomUUID() });
  return {
    kind: 'github',
    url: server.url,
    token: TOKEN,
    know,
    open({ head, branch, base, isFork }) {
      if (!isFork) know(branch, head);
      const from = isFork ? FORK : repository.id;
      const pull = addPull(repository, { head: branch, base, title: 'A change', body: null }, from);
      push(pull.number, head);
      return pull.number;
    },
    push,
    close: (number) => void Object.assign(pullOf(number), { state: 'closed' }),
    isOpen: (number) => pullOf(number).state === 'open',
    headRef: (number) => `refs/pull/${number}/head`,
    statuses: (sha) => repository.statuses.filter((each) => each.sha === sha),
    comments: (number) => pullOf(number).comments.map(({ body }) => body),
    comment: (number, body) =>
      void pullOf(number).comments.push({ id: number * 10_000, body, user: { id: 7, login: 'eve' } }),
    ofRequest: (number) => ({
      headers: headers('pull_request'),
      body: { action: 'synchronize', number, repository: named },
    }),
    ofPush: (ref, after) => ({
      headers: headers('push'),
      body: { ref, before: ZERO, after, head_commit: { id: after }, repository: named },
    }),
    sign: (body, secret) => ({ 'x-hub-signature-256': `sha256=${hmac(secret, body)}` }),
    stop: () => server.stop(),
  };
}

export async function standInGitLab(): Promise<ConfigForge> {
  const server = await new GitLabServer().start();
  server.tokens.set('of-eve', { user: 'eve', scope: 'api', role: 'Guest' });
  server.tokens.set(TOKEN, { user: 'modelhook', scope: 'api', role: 'Developer' });
  const id = server.create(CONFIG);
  const { commits, jobs, mergeRequests } = server.of(CONFIG);
  const take = (sha: string) => commits.set(sha, { files: new Map(), date: new Date().toISOString() });
  const know = (branch: string, sha: string) => {
    take(sha);
    server.point(CONFIG, `refs/heads/${branch}`, sha);
  };
  const project = { path_with_namespace: CONFIG };
  const headers = (event: string) => ({ 'x-gitlab-event': event, 'idempotency-key': randomUUID() });
  return {
    kind: 'gitlab',
    url: server.url,
    token: TOKEN,
    know,
    open({ head, branch, base, isFork }) {
      if (isFork) take(head);
      else know(branch, head);
      return mergeRequests.openAt(head, branch, base, 'A change', isFork ? FORK : id);
    },
    push(number, head) {
      take(head);
      mergeRequests.change(number, { sha: head });
    },
    close: (number) => mergeRequests.setState(number, 'closed'),
    isOpen: (number) => mergeRequests.all[number - 1]?.state === 'opened',
    headRef: (number) => `refs/merge-requests/${number}/head`,
    statuses: (sha) =>
      jobs
        .filter((job) => job.sha === sha)
        .map(({ status, description }) => ({ state: status, description: description ?? '' })),
    comments: (number) => (mergeRequests.notes.get(number) ?? []).map(({ body }) => body),
    comment: (number, body) => void mergeRequests.addNote(number, body, server.idOf('eve')),
    ofRequest: (number) => ({
      headers: headers('Merge Request Hook'),
      body: {
        object_kind: 'merge_request',
        project,
        object_attributes: { iid: number, action: 'update', oldrev: ZERO },
        changes: {},
      },
    }),
    ofPush: (ref, after) => ({
      headers: headers('Push Hook'),
      body: {
        object_kind: 'push',
        ref,
        before: ZERO,
        after,
        checkout_sha: after,
        project_id: id,
        project,
      },
    }),
    sign: (_, secret) => ({ 'x-gitlab-token': secret }),
    stop: () => server.stop(),
  };
}

/** Commits by the names that Git gave them. */
class KnownCommits extends ObjectStore {
  override get(): ReturnType<ObjectStore['get']> {
    return { type: 'commit', files: new Map(), created: Date.now() };
  }
}
const KNOWN = new KnownCommits();

export async function standInGitea(): Promise<ConfigForge> {
  const server = await GiteaServer.start();
  const repository = server.create(CONFIG);
  const fork = server.create('eve/policies');
  const { pullRequests } = repository;
  const branches = new Map<number, { of: typeof fork; branch: string }>();
  const point = (of: typeof fork, branch: string, sha: string) => {
    of.objects.take(sha, KNOWN);
    of.refs.set(`refs/heads/${branch}`, sha);
  };
  const named = { id: repository.id, full_name: CONFIG };
  const headers = (event: string) => ({ 'x-gitea-event': event, 'x-gitea-delivery': randomUUID() });
  return {
    kind: 'gitea',
    url: server.url,
    token: TOKENS.reviewer,
    know: (branch, sha) => point(repository, branch, sha),
    open({ head, branch, base, isFork }) {
      const of = isFork ? fork : repository;
      point(of, branch, head);
      const number = pullRequests.openFrom(of, branch, base, 'A change');
      branches.set(number, { of, branch });
      return number;
    },
    push(number, head) {
      const { of, branch } = branches.get(number) ?? { of: repository, branch: '' };
      point(of, branch, head);
    },
    close: (number) => pullRequests.close(number),
    isOpen: (number) => (pullRequests.get(number) as { state: string }).state === 'open',
    headRef: (number) => `refs/pull/${number}/head`,
    statuses: (sha) =>
      (repository.statuses.get(sha) ?? []).map(({ status, description }) => ({ state: status, description })),
    comments: (number) => pullRequests.commentsOf(number),
    comment: (number, text) => void pullRequests.addComment(number, text, 'vera'),
    ofRequest: (number) => ({
      headers: headers('pull_request'),
      body: { action: 'synchronized', number, repository: named },
    }),
    ofPush: (ref, after) => ({
      headers: headers('push'),
      body: { ref, before: ZERO, after, head_commit: { id: after }, repository: named },
    }),
    sign: (body, secret) => ({ 'x-gitea-signature': hmac(secret, body) }),
    stop: () => server.end(),
  };
}
