import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  giteaDelivery,
  giteaPullRequestDelivery,
  giteaRequest,
} from '../../../test/forges/gitea-delivery.ts';
import { type GiteaRepository, GiteaServer, TOKENS } from '../../../test/forges/gitea-server.ts';
import { giteaAccess, RealGitea } from '../../../test/forges/real-gitea.ts';
import { describeForge, type ForgeHarness, type PointNowhere } from '../contract.ts';
import type { Forge, PullRequests, Reviews } from '../forge.ts';
import { describePullRequests, type PullRequestHarness } from '../pull-request-contract.ts';
import { describeReviews, type ReviewHarness } from '../review-contract.ts';
import { createGiteaForge } from './gitea-forge.ts';

const SECRETS = ['the first secret', 'ein zweites Geheimnis: äöü'];

/** Makes annotated tags of a file, which point to no commit: Gitea fails for all refs where an object is lost. */
const fileTags = new WeakMap<ForgeHarness, (ref: string) => Promise<void>>();
const tagFile: PointNowhere = async (harness, ref) => {
  await fileTags.get(harness)?.(ref);
};

const forgeAt = (url: string, token: string): Forge =>
  createGiteaForge({
    name: 'gitea',
    url,
    apiUrl: `${url}/api/v1`,
    token,
    webhookSecrets: SECRETS,
    ca: null,
    now: Date.now,
  });

const deliveriesOf = (
  path: string,
): Pick<ForgeHarness, 'secrets' | 'delivery' | 'testDelivery' | 'pullRequestDelivery' | 'signed'> => {
  const A = 'a'.repeat(40);
  return {
    secrets: SECRETS,
    delivery: (push, secret) => giteaDelivery(push, path, secret),
    testDelivery: (secret) => giteaDelivery({ ref: 'refs/heads/main', before: A, after: A }, path, secret),
    pullRequestDelivery: (secret) => giteaPullRequestDelivery(path, 7, 'closed', secret),
    signed: (body, secret) => giteaRequest('push', body, secret),
  };
};

async function standIn(): Promise<ForgeHarness> {
  const path = 'ml/iris';
  const server = await GiteaServer.start();
  const model = server.create(path);
  const harness: ForgeHarness = {
    ...deliveriesOf(path),
    forge: forgeAt(server.url, TOKENS.writer),
    other: forgeAt(server.url, TOKENS.writer),
    repository: `gitea:${path}`,
    absent: 'gitea:ml/none',
    commit: async (branch, files) => model.commit(branch, files),
    point: async (ref, sha) => {
      model.refs.set(ref, sha);
    },
    annotate: async (ref, sha) => model.annotate(ref, sha),
    remove: async (ref) => {
      model.refs.delete(ref);
    },
    rename: async () => {
      server.rename(model, 'vision/flowers');
      return 'gitea:vision/flowers';
    },
    end: () => server.end(),
  };
  fileTags.set(harness, async (ref) => {
    model.annotate(ref, model.objects.blob('a file'));
  });
  return harness;
}

describeForge('Gitea', standIn, tagFile);

const access = giteaAccess();

async function real(): Promise<ForgeHarness> {
  if (!access) throw new Error('MODELHOOK_TEST_GITEA is not set');
  const gitea = new RealGitea(access);
  const model = await gitea.create();
  const bot = `bot-${model.owner}`;
  const token = await gitea.tokenOf(bot, ['write:repository']);
  await gitea.api('PUT', `/repos/${model.path}/collaborators/${bot}`, { permission: 'write' });
  const harness: ForgeHarness = {
    ...deliveriesOf(model.path),
    forge: forgeAt(access.url, token),
    other: forgeAt(access.url, token),
    repository: `gitea:${model.path}`,
    absent: `gitea:${model.owner}/none`,
    commit: (branch, files) => model.commit(branch, files),
    point: (ref, sha) => model.point(ref, sha),
    annotate: (ref, sha) => model.annotate(ref, sha),
    remove: (ref) => model.remove(ref),
    async rename() {
      await model.rename('flowers');
      return `gitea:${model.path}`;
    },
    async end() {
      await model.end();
      await gitea.end();
    },
  };
  fileTags.set(harness, async (ref) => {
    const blob = model.local.git(['hash-object', '-w', '--stdin'], 'a file');
    const tagger = `Ada <ada@example.com> ${Math.floor(Date.now() / 1000)} +0000`;
    const tag = `object ${blob}\ntype blob\ntag broken\ntagger ${tagger}\n\nOf a file\n`;
    await model.point(ref, model.local.git(['mktag'], tag));
  });
  return harness;
}

const pullRequestsOf = ({ pullRequests }: Forge): PullRequests => {
  if (!pullRequests) throw new Error('Gitea has pull requests');
  return pullRequests;
};

async function standInPullRequests(): Promise<PullRequestHarness> {
  const server = await GiteaServer.start();
  const fleet = server.create('platform/fleet');
  const fork = server.create('mallory/fleet');
  for (const each of [fleet, fork]) each.commit('main', { 'README.md': '# Fleet' });
  return {
    pullRequests: pullRequestsOf(forgeAt(server.url, TOKENS.writer)),
    repository: 'gitea:platform/fleet',
    absent: 'gitea:platform/none',
    branch: async (name) => fleet.branch(name),
    merge: async (number) => fleet.pullRequests.merge(number),
    close: async (number) => fleet.pullRequests.close(number),
    openFromFork: async (head) => {
      fork.branch(head);
      return fleet.pullRequests.openFrom(fork, head);
    },
    commentsOf: async (number) => fleet.pullRequests.commentsOf(number),
    end: () => server.end(),
  };
}

async function realPullRequests(): Promise<PullRequestHarness> {
  if (!access) throw new Error('MODELHOOK_TEST_GITEA is not set');
  const gitea = new RealGitea(access);
  const fleet = await gitea.create();
  await fleet.commit('main', { 'README.md': '# Fleet' });
  await fleet.untilNotEmpty();
  const [bot, mallory] = [`bot-${fleet.owner}`, `mallory-${fleet.owner}`];
  const scopes = ['write:repository', 'write:issue'];
  const token = await gitea.tokenOf(bot, scopes);
  const stranger = `token ${await gitea.tokenOf(mallory, scopes)}`;
  await gitea.api('PUT', `/repos/${fleet.path}/collaborators/${bot}`, { permission: 'write' });
  await gitea.api('PUT', `/repos/${fleet.path}/collaborators/${mallory}`, { permission: 'read' });
  return {
    pullRequests: pullRequestsOf(forgeAt(access.url, token)),
    repository: `gitea:${fleet.path}`,
    absent: `gitea:${fleet.owner}/none`,
    branch: (name) => fleet.branch(name),
    merge: (number) => fleet.merge(number),
    close: async (number) => {
      await gitea.api('PATCH', `/repos/${fleet.path}/pulls/${number}`, { state: 'closed' });
    },
    openFromFork: async (head) => {
      const fork = { name: `fork-${fleet.owner}` };
      await gitea.api('POST', `/repos/${fleet.path}/forks`, fork, stranger);
      // The fork has the branch, too.
      const draft = { head: `${mallory}:${head}`, base: 'main', title: 'From a fork' };
      const opened = await gitea.api('POST', `/repos/${fleet.path}/pulls`, draft, stranger);
      return (opened as { number: number }).number;
    },
    commentsOf: async (number) => {
      const comments = await gitea.api('GET', `/repos/${fleet.path}/issues/${number}/comments`);
      return (comments as { body: string }[]).map(({ body }) => body);
    },
    async end() {
      await gitea.end();
      await fleet.end();
    },
  };
}

const reviewsOf = ({ reviews }: Forge): Reviews => {
  if (!reviews) throw new Error('Gitea has pull requests');
  return reviews;
};

async function standInReviews(): Promise<ReviewHarness> {
  const server = await GiteaServer.start();
  const policies = server.create('platform/policies');
  const fork = server.create('mallory/policies');
  for (const branch of ['main', 'release'])
    for (const each of [policies, fork]) each.commit(branch, { 'README.md': branch });
  const forge = forgeAt(server.url, TOKENS.reviewer);
  const branches = new Map<number, { home: GiteaRepository; branch: string }>();
  const { pullRequests } = policies;
  return {
    reviews: reviewsOf(forge),
    restarted: () => reviewsOf(forgeAt(server.url, TOKENS.reviewer)),
    statuses: forge.statuses,
    repository: 'gitea:platform/policies',
    absent: 'gitea:platform/none',
    open: async (from, base, title = 'A change') => {
      const [home, branch] = [from === 'fork' ? fork : policies, `change-${branches.size}`];
      const head = home.commit(branch, { 'policy.yaml': branch });
      const number = pullRequests.openFrom(home, branch, base, title);
      branches.set(number, { home, branch });
      return { number, head };
    },
    forcePush: async (number) => {
      const { home, branch } = branches.get(number) ?? { home: fork, branch: '' };
      home.refs.delete(`refs/heads/${branch}`);
      return home.commit(branch, { 'policy.yaml': 'forced' });
    },
    retarget: async (number, base) => pullRequests.retarget(number, base),
    close: async (number) => pullRequests.close(number),
    comment: async (number, text) => {
      pullRequests.addComment(number, text, 'mallory');
    },
    commentsOf: async (number) => pullRequests.commentsOf(number),
    removeComment: async (number, text) => pullRequests.removeComment(number, text),
    end: () => server.end(),
  };
}

async function realReviews(): Promise<ReviewHarness> {
  if (!access) throw new Error('MODELHOOK_TEST_GITEA is not set');
  const gitea = new RealGitea(access);
  const policies = await gitea.create();
  await policies.commit('main', { 'README.md': '# Policies' });
  await policies.untilNotEmpty();
  await policies.point('refs/heads/release', policies.local.read('refs/heads/main') ?? '');
  const [bot, mallory] = [`bot-${policies.owner}`, `mallory-${policies.owner}`];
  const scopes = ['write:repository', 'write:issue', 'read:user'];
  const token = await gitea.tokenOf(bot, scopes);
  const stranger = `token ${await gitea.tokenOf(mallory, scopes)}`;
  await gitea.api('PUT', `/repos/${policies.path}/collaborators/${bot}`, { permission: 'write' });
  await gitea.api('PUT', `/repos/${policies.path}/collaborators/${mallory}`, { permission: 'read' });
  const fork = `${mallory}/fork-${policies.owner}`;
  await gitea.api('POST', `/repos/${policies.path}/forks`, { name: fork.split('/')[1] }, stranger);
  const forge = forgeAt(access.url, token);
  const branches = new Map<number, { path: string; branch: string }>();
  const base = `/repos/${policies.path}`;
  const change = async (path: string, branch: string, of = 'main') => {
    policies.local.point(`refs/heads/${branch}`, policies.local.read(`refs/heads/${of}`) ?? '');
    const sha = policies.local.commit({ 'policy.yaml': randomUUID() }, 'Change', branch);
    await policies.pushTo(path, `+refs/heads/${branch}`);
    return sha;
  };
  const edit = (number: number, changes: object) => gitea.api('PATCH', `${base}/pulls/${number}`, changes);
  const commentsOf = async (number: number) =>
    (await gitea.api('GET', `${base}/issues/${number}/comments`)) as { id: number; body: string }[];
  return {
    reviews: reviewsOf(forge),
    restarted: () => reviewsOf(forgeAt(access.url, token)),
    statuses: forge.statuses,
    repository: `gitea:${policies.path}`,
    absent: `gitea:${policies.owner}/none`,
    open: async (from, into, title = 'A change') => {
      const path = from === 'fork' ? fork : policies.path;
      const branch = `change-${branches.size}`;
      const head = await change(path, branch);
      const draft = { head: from === 'fork' ? `${mallory}:${branch}` : branch, base: into, title };
      const opened = await gitea.api('POST', `${base}/pulls`, draft, stranger);
      const { number } = opened as { number: number };
      branches.set(number, { path, branch });
      // What is told to be fetched is what is there.
      expect(await policies.remoteRef(`refs/pull/${number}/head`)).toBe(head);
      return { number, head };
    },
    forcePush: async (number) => {
      const { path, branch } = branches.get(number) ?? { path: '', branch: '' };
      return change(path, branch);
    },
    retarget: async (number, into) => {
      await edit(number, { base: into });
    },
    close: async (number) => {
      await edit(number, { state: 'closed' });
    },
    comment: async (number, body) => {
      await gitea.api('POST', `${base}/issues/${number}/comments`, { body }, stranger);
    },
    commentsOf: async (number) => (await commentsOf(number)).map(({ body }) => body),
    removeComment: async (number, text) => {
      const found = (await commentsOf(number)).find(({ body }) => body === text);
      await gitea.api('DELETE', `${base}/issues/comments/${found?.id}`);
    },
    async end() {
      await gitea.end();
      await policies.end();
    },
  };
}

describePullRequests('pull requests on Gitea', standInPullRequests);
describeReviews('reviews on Gitea', standInReviews);

if (access) {
  describeForge('a real Gitea', real, tagFile);
  describePullRequests('pull requests on a real Gitea', realPullRequests);
  describeReviews('reviews on a real Gitea', realReviews);
} else
  describe('a real Gitea (skipped: MODELHOOK_TEST_GITEA names none)', () => {
    it.skip('does what every forge does');
  });
