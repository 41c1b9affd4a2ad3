import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { StalledError, WaitingError } from '../core/errors.ts';
import type { PullRequestReference } from '../core/rollout.ts';
import { FakePullRequests } from '../forge/pull-requests.fake.ts';
import { importCommits } from '../git/fast-import.ts';
import { git } from '../git/git.ts';
import { Mirror } from '../git/mirror.ts';
import { deliveryOf, failureOf, manifestOf, outcomesOf, removalOf } from './contract.ts';
import { createPullRequestTarget } from './pull-request.ts';
import type { DeliveryOutcome, DeliveryTarget, Errand } from './target.ts';

const AUTHOR = { name: 'Fleet Bot', email: 'fleet@example.com' };
const SOMEBODY = { name: 'Somebody', email: 'somebody@example.com' };
const REPOSITORY = 'gitlab:platform/fleet';
const BRANCH = 'modelhook/default/models/iris';
const PATH = 'default/models/iris.yaml';
const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

let root: string;
let made = 0;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'modelhook-requests-'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

interface Fleet {
  dir: string;
  target: DeliveryTarget;
  /** A controller that was just started: with the mirror, and nothing remembered. */
  restart(): DeliveryTarget;
  forge: FakePullRequests;
  clock: { now: number };
  /** Somebody commits to a branch. */
  commit(branch: string, files: Record<string, string>, message?: string): Promise<string>;
  head(branch: string): Promise<string | null>;
  read(path: string, branch?: string): Promise<string | null>;
  remove(branch: string): Promise<void>;
  /** Somebody merges a request. @returns the commit */
  merge(number: number): Promise<string>;
  subjects(range: string): Promise<string[]>;
}

async function makeFleet(): Promise<Fleet> {
  made += 1;
  const folder = join(root, String(made));
  const dir = join(folder, 'fleet.git');
  mkdirSync(dir, { recursive: true });
  await git(['init', '--quiet', '--bare', '--template=', '--initial-branch=main', '--', dir]);
  const forge = new FakePullRequests((repository) => repository === REPOSITORY);
  const clock = { now: 1_700_000_000_000 };
  const mirror = new Mirror(folder, 'mirror', async () => ({ url: dir, env: {}, config: [] }));
  const create = () =>
    createPullRequestTarget({
      name: 'fleet',
      repository: REPOSITORY,
      branch: 'main',
      author: AUTHOR,
      mirror,
      pullRequests: forge,
      now: () => clock.now,
      log: SILENT,
    });
  const run = async (...args: string[]) => (await git(args, { dir })).toString().trim();
  const fleet: Fleet = {
    dir,
    target: create(),
    restart: create,
    forge,
    clock,
    async commit(branch, files, message = 'by hand') {
      const changes = Object.entries(files).map(([path, text]) => ({ path, text }));
      const ref = `refs/heads/${branch}`;
      const draft = { message, files: changes };
      const [sha = ''] = await importCommits(dir, ref, await fleet.head(branch), SOMEBODY, 1, [draft]);
      return sha;
    },
    head: async (branch) =>
      (await run('for-each-ref', '--format=%(objectname)', `refs/heads/${branch}`)) || null,
    read: (path, branch = 'main') =>
      git(['cat-file', 'blob', `refs/heads/${branch}:${path}`], { dir }).then(String, () => null),
    remove: async (branch) => {
      await run('update-ref', '-d', `refs/heads/${branch}`);
    },
    async merge(number) {
      const { head } = await forge.get(REPOSITORY, number);
      const refs = ['refs/heads/main', `refs/heads/${head}`];
      const tree = await run('merge-tree', '--write-tree', ...refs);
      const parents = refs.flatMap((ref) => ['-p', ref]);
      const identity = ['-c', 'user.name=Somebody', '-c', 'user.email=somebody@example.com'];
      const sha = await run(...identity, 'commit-tree', tree, ...parents, '-m', `Merge #${number}`);
      await run('update-ref', 'refs/heads/main', sha);
      return forge.merge(REPOSITORY, number, sha);
    },
    subjects: async (range) => (await run('log', '--format=%s', range)).split('\n').filter(Boolean),
  };
  await fleet.commit('main', { 'README.md': '# Fleet\n' });
  return fleet;
}

const deliver = async (target: DeliveryTarget, errand: Errand): Promise<DeliveryOutcome | undefined> =>
  (await outcomesOf(target, [errand])).get(errand.rolloutId);

/** Delivers, and gives what the rollout waits for. */
async function propose(fleet: Fleet, errand: Errand): Promise<PullRequestReference> {
  const outcome = await deliver(fleet.target, errand);
  if (outcome?.kind !== 'proposed') throw new Error(`not proposed: ${JSON.stringify(outcome)}`);
  return outcome.pullRequest;
}

const V1 = deliveryOf('rollout-1', { decisions: ['runtime mlserver: named by the policy'] });
const V2 = deliveryOf('rollout-2', { revision: 'v1.1.0', sha: 'e'.repeat(40) });

describe('a delivery by pull request', () => {
  test('is one commit on a branch of its target, and a request with the plan that the rollout waits for', async () => {
    const fleet = await makeFleet();
    const outcome = await deliver(fleet.target, V1);
    expect(outcome).toEqual({
      kind: 'proposed',
      pullRequest: { number: 1, label: '#1', url: 'https://forge.example.com/pulls/1' },
      message: 'Waiting for #1 to be merged into main of fleet',
    });
    expect(await fleet.subjects(`main..${BRANCH}`)).toEqual(['deploy iris v1.0.0 to production']);
    expect(await fleet.read(PATH, BRANCH)).toBe(V1.manifest);
    expect(await fleet.read(PATH)).toBeNull();
    const request = await fleet.forge.get(REPOSITORY, 1);
    expect(request).toMatchObject({ head: BRANCH, base: 'main', title: 'deploy iris v1.0.0 to production' });
    for (const words of [V1.repository, V1.sha, 'default/models/iris', PATH, 'runtime mlserver', V1.page])
      expect(request.text).toContain(words);
  });

  test('waits without a further word while nothing happens', async () => {
    const fleet = await makeFleet();
    const pullRequest = await propose(fleet, V1);
    const tip = await fleet.head(BRANCH);
    const before = await fleet.forge.get(REPOSITORY, 1);
    await fleet.commit('main', { 'other.yaml': 'a' });
    for (const target of [fleet.target, fleet.restart()])
      expect(await deliver(target, { ...V1, pullRequest })).toMatchObject({ kind: 'proposed', pullRequest });
    expect(await fleet.head(BRANCH)).toBe(tip);
    expect(await fleet.forge.get(REPOSITORY, 1)).toEqual(before);
    expect(fleet.forge.commentsOf(REPOSITORY, 1)).toEqual([]);
  });

  test('leaves what people wrote into the request', async () => {
    const fleet = await makeFleet();
    const pullRequest = await propose(fleet, V1);
    const { text } = await fleet.forge.get(REPOSITORY, 1);
    expect(text).not.toBe('');
    const theirs = { title: 'Iris, at last', text: 'Looks good.' };
    await fleet.forge.edit(REPOSITORY, 1, theirs);
    await deliver(fleet.target, { ...V1, pullRequest });
    expect(await fleet.forge.get(REPOSITORY, 1)).toMatchObject(theirs);
  });

  test('is delivered once people have merged it, with the commit that did', async () => {
    const fleet = await makeFleet();
    const pullRequest = await propose(fleet, V1);
    const commit = await fleet.merge(1);
    expect(await deliver(fleet.restart(), { ...V1, pullRequest })).toEqual({
      kind: 'delivered',
      receipt: { commit, path: PATH },
      message: `Committed ${commit.slice(0, 7)} to fleet with #1`,
      manifest: V1.manifest,
    });
  });

  test('is delivered as people changed it before they merged it, and says so', async () => {
    const fleet = await makeFleet();
    const pullRequest = await propose(fleet, V1);
    const theirs = V1.manifest.replace('predictor:', 'predictor:\n    minReplicas: 2');
    await fleet.commit(BRANCH, { [PATH]: theirs });
    expect(await deliver(fleet.target, { ...V1, pullRequest })).toMatchObject({ kind: 'proposed' });
    expect(await fleet.read(PATH, BRANCH)).toBe(theirs);
    await fleet.merge(1);
    expect(await deliver(fleet.target, { ...V1, pullRequest })).toMatchObject({
      kind: 'delivered',
      message: expect.stringMatching(/with #1, changed by its reviewers$/),
      manifest: theirs,
    });
  });

  test('is delivered where the forge does not tell which commit merged it', async () => {
    const fleet = await makeFleet();
    const pullRequest = await propose(fleet, V1);
    await fleet.merge(1);
    const { get } = fleet.forge;
    fleet.forge.get = async (...args) => ({ ...(await get.apply(fleet.forge, args)), mergeCommit: null });
    expect(await deliver(fleet.target, { ...V1, pullRequest })).toMatchObject({
      kind: 'delivered',
      receipt: { commit: null, path: PATH },
      message: 'Merged #1 into fleet',
    });
  });

  test.each([
    ['closed', (fleet: Fleet) => fleet.forge.close(REPOSITORY, 1), /#1 was closed without being merged/],
    [
      'merged without its file',
      async (fleet: Fleet) => fleet.forge.merge(REPOSITORY, 1, (await fleet.head('main')) ?? ''),
      /#1 was merged without default\/models\/iris.yaml/,
    ],
    [
      'sent to another branch',
      (fleet: Fleet) => fleet.forge.retarget(REPOSITORY, 1, 'staging'),
      /#1 goes to staging now, not to main/,
    ],
  ])('is cancelled where people have it %s', async (_, act, message) => {
    const fleet = await makeFleet();
    const pullRequest = await propose(fleet, V1);
    await act(fleet);
    const outcome = await deliver(fleet.target, { ...V1, pullRequest });
    expect(outcome).toMatchObject({ kind: 'cancelled', message: expect.stringMatching(message) });
  });

  test('is cancelled, and its request closed, where somebody deletes the branch, unless that is too new to show', async () => {
    const fleet = await makeFleet();
    const pullRequest = await propose(fleet, V1);
    await fleet.remove(BRANCH);
    const early = await deliver(fleet.target, { ...V1, pullRequest });
    expect(failureOf(early)).toBeInstanceOf(WaitingError);
    expect(await fleet.forge.get(REPOSITORY, 1)).toMatchObject({ state: 'open' });
    fleet.clock.now += 30_000;
    expect(await deliver(fleet.target, { ...V1, pullRequest })).toEqual({
      kind: 'cancelled',
      message: 'Cancelled: the branch of #1 was deleted',
    });
    expect(await fleet.forge.get(REPOSITORY, 1)).toMatchObject({ state: 'closed' });
  });

  test('of a newer rollout takes the place of the older one in the same request, and tells those who looked at it', async () => {
    const fleet = await makeFleet();
    await propose(fleet, V1);
    expect(await propose(fleet, V2)).toMatchObject({ number: 1 });
    expect(await fleet.subjects(`main..${BRANCH}`)).toEqual(['deploy iris v1.1.0 to production']);
    const request = await fleet.forge.get(REPOSITORY, 1);
    expect(request.title).toBe('deploy iris v1.1.0 to production');
    expect(request.text).toContain(V2.page);
    expect(request.text).not.toContain(V1.page);
    expect(fleet.forge.commentsOf(REPOSITORY, 1)).toEqual([expect.stringContaining('v1.1.0')]);
    await propose(fleet, V2);
    expect(fleet.forge.commentsOf(REPOSITORY, 1)).toHaveLength(1);
  });

  test('opens a new request after the one before was closed or merged', async () => {
    const fleet = await makeFleet();
    await propose(fleet, V1);
    fleet.forge.close(REPOSITORY, 1);
    expect(await propose(fleet, V2)).toMatchObject({ number: 2 });
    await fleet.merge(2);
    const V3 = deliveryOf('rollout-3', { revision: 'v1.2.0' });
    expect(await propose(fleet, V3)).toMatchObject({ number: 3 });
    expect(await fleet.subjects(`main..${BRANCH}`)).toEqual(['deploy iris v1.2.0 to production']);
  });

  test('keeps the commits that people added to the branch', async () => {
    const fleet = await makeFleet();
    await propose(fleet, V1);
    await fleet.commit(BRANCH, { 'notes.md': 'ours\n' }, 'Add notes');
    await propose(fleet, V2);
    expect(await fleet.subjects(`main..${BRANCH}`)).toEqual([
      'deploy iris v1.1.0 to production',
      'Add notes',
      'deploy iris v1.0.0 to production',
    ]);
    expect(await fleet.read(PATH, BRANCH)).toBe(V2.manifest);
  });

  test('is made anew where its file changed on the base, so that it can be merged', async () => {
    const fleet = await makeFleet();
    const pullRequest = await propose(fleet, V1);
    await fleet.commit('main', { [PATH]: manifestOf(V1.repository, V1.target, 'v0.9.0') });
    expect(await deliver(fleet.target, { ...V1, pullRequest })).toMatchObject({
      kind: 'proposed',
      pullRequest,
    });
    await fleet.merge(1);
    expect(await fleet.read(PATH)).toBe(V1.manifest);
  });

  test('is delivered where the base holds it already, and an open request is closed with a word', async () => {
    const fleet = await makeFleet();
    await propose(fleet, V2);
    await fleet.commit('main', { [PATH]: V1.manifest });
    expect(await deliver(fleet.target, V1)).toMatchObject({
      kind: 'delivered',
      receipt: { commit: null, path: PATH },
      message: expect.stringContaining('Unchanged in fleet'),
    });
    expect(await fleet.forge.get(REPOSITORY, 1)).toMatchObject({ state: 'closed' });
    expect(fleet.forge.commentsOf(REPOSITORY, 1)).toEqual([expect.stringContaining('nothing left to merge')]);
  });

  test('finds its merge also where the list still shows the request open', async () => {
    const fleet = await makeFleet();
    const pullRequest = await propose(fleet, V1);
    const stale = await fleet.forge.listOpen(REPOSITORY, '');
    const commit = await fleet.merge(1);
    fleet.forge.listOpen = async () => stale;
    expect(await deliver(fleet.target, { ...V1, pullRequest })).toMatchObject({
      kind: 'delivered',
      receipt: { commit },
    });
  });

  test('opens no second request where the list does not show the first yet', async () => {
    const fleet = await makeFleet();
    const pullRequest = await propose(fleet, V1);
    fleet.forge.listOpen = async () => [];
    expect(await deliver(fleet.target, { ...V1, pullRequest })).toMatchObject({
      kind: 'proposed',
      pullRequest,
    });
  });

  test('goes on where it was cut off: after the push, after the opening, after the update', async () => {
    const fleet = await makeFleet();
    const cut = new Error('the process ended here');
    const { open, edit } = fleet.forge;
    fleet.forge.open = async () => Promise.reject(cut);
    expect(failureOf(await deliver(fleet.target, V1))).toBe(cut);
    const tip = await fleet.head(BRANCH);
    fleet.forge.open = open;
    expect(await deliver(fleet.restart(), V1)).toMatchObject({ pullRequest: { number: 1 } });
    expect(await deliver(fleet.restart(), V1)).toMatchObject({ pullRequest: { number: 1 } });
    expect(await fleet.head(BRANCH)).toBe(tip);
    fleet.forge.edit = async () => Promise.reject(cut);
    expect(failureOf(await deliver(fleet.target, V2))).toBe(cut);
    fleet.forge.edit = edit;
    expect(await deliver(fleet.restart(), V2)).toMatchObject({ pullRequest: { number: 1 } });
    expect(await fleet.forge.get(REPOSITORY, 1)).toMatchObject({ title: 'deploy iris v1.1.0 to production' });
    expect(await fleet.forge.listOpen(REPOSITORY, '')).toHaveLength(1);
  });

  test('keeps a commit that a person pushes while the branch is made anew', async () => {
    const fleet = await makeFleet();
    await propose(fleet, V1);
    const isWanted = async (ids: readonly string[]) => {
      await fleet.commit(BRANCH, { 'notes.md': 'ours\n' }, 'Add notes');
      return new Set(ids);
    };
    const refused = failureOf((await outcomesOf(fleet.target, [V2], isWanted)).get(V2.rolloutId));
    expect(refused).toBeInstanceOf(Error);
    expect(refused).not.toBeInstanceOf(StalledError);
    expect(await propose(fleet, V2)).toMatchObject({ number: 1 });
    expect(await fleet.subjects(`main..${BRANCH}`)).toContain('Add notes');
  });

  test('keeps our own commit where a person amended it, and puts the newer version on top', async () => {
    const fleet = await makeFleet();
    await propose(fleet, V1);
    const main = await fleet.head('main');
    const message = `deploy iris\n\nModelhook-Rollout: ${V1.rolloutId}\n`;
    await fleet.remove(BRANCH);
    await git(['update-ref', `refs/heads/${BRANCH}`, main ?? ''], { dir: fleet.dir });
    await fleet.commit(BRANCH, { [PATH]: V1.manifest, 'notes.md': 'ours\n' }, message);
    await propose(fleet, V2);
    expect(await fleet.read('notes.md', BRANCH)).toBe('ours\n');
    expect(await fleet.read(PATH, BRANCH)).toBe(V2.manifest);
  });

  test('brings nothing back that was taken off the base', async () => {
    const fleet = await makeFleet();
    const clean = await fleet.head('main');
    await fleet.commit('main', { 'secret.txt': 'leak' }, 'leak');
    await propose(fleet, V1);
    await git(['update-ref', 'refs/heads/main', clean ?? ''], { dir: fleet.dir });
    await propose(fleet, V2);
    expect(await fleet.read('secret.txt', BRANCH)).toBeNull();
    expect(await fleet.subjects(`main..${BRANCH}`)).toEqual(['deploy iris v1.1.0 to production']);
  });

  test('is asked for in a new request where the one before is merged while its branch is pushed', async () => {
    const fleet = await makeFleet();
    await propose(fleet, V1);
    const isWanted = async (ids: readonly string[]) => {
      if ((await fleet.forge.get(REPOSITORY, 1)).state === 'open') await fleet.merge(1);
      return new Set(ids);
    };
    const outcome = (await outcomesOf(fleet.target, [V2], isWanted)).get(V2.rolloutId);
    expect(outcome).toMatchObject({ kind: 'proposed', pullRequest: { number: 2 } });
    expect(fleet.forge.commentsOf(REPOSITORY, 1)).toEqual([]);
    expect(await fleet.read(PATH)).toBe(V1.manifest);
    const pullRequest = { number: 2, label: '#2', url: '' };
    await deliver(fleet.target, { ...V2, pullRequest });
    const commit = await fleet.merge(2);
    expect(await deliver(fleet.target, { ...V2, pullRequest })).toMatchObject({ receipt: { commit } });
    expect(await fleet.read(PATH)).toBe(V2.manifest);
  });

  test('is not delivered by the merge of an older version, whatever number it waits for', async () => {
    const fleet = await makeFleet();
    const pullRequest = await propose(fleet, V1);
    await fleet.merge(1);
    expect(await deliver(fleet.target, { ...V2, pullRequest })).toMatchObject({
      kind: 'proposed',
      pullRequest: { number: 2 },
    });
  });

  test('is delivered where reviewers changed it, merged it, and the forge deleted the branch', async () => {
    const fleet = await makeFleet();
    const pullRequest = await propose(fleet, V1);
    const stale = await fleet.forge.listOpen(REPOSITORY, '');
    await fleet.commit(BRANCH, {
      [PATH]: V1.manifest.replace('predictor:', 'predictor:\n    minReplicas: 2'),
    });
    const commit = await fleet.merge(1);
    await fleet.remove(BRANCH);
    fleet.forge.listOpen = async () => stale;
    fleet.clock.now += 60_000;
    expect(await deliver(fleet.restart(), { ...V1, pullRequest })).toMatchObject({
      kind: 'delivered',
      receipt: { commit },
    });
  });

  test('is delivered where the commit that merged it is no longer on the base', async () => {
    const fleet = await makeFleet();
    const pullRequest = await propose(fleet, V1);
    await fleet.merge(1);
    const { get } = fleet.forge;
    const mergeCommit = 'dead'.repeat(10);
    fleet.forge.get = async (...args) => ({ ...(await get.apply(fleet.forge, args)), mergeCommit });
    expect(await deliver(fleet.target, { ...V1, pullRequest })).toMatchObject({ kind: 'delivered' });
  });

  test('whose request was deleted on the forge fails alone, and the others of the batch go on', async () => {
    const fleet = await makeFleet();
    const gone = { ...V1, pullRequest: { number: 99, label: '#99', url: '' } };
    const others = ['rose', 'tulip'].map((name) =>
      deliveryOf(`rollout-${name}`, { target: { cluster: 'default', namespace: 'models', name } }),
    );
    const outcomes = await outcomesOf(fleet.target, [gone, ...others]);
    expect([...outcomes.values()].map(({ kind }) => kind)).toEqual(['failed', 'proposed', 'proposed']);
  });

  test('leaves a fork’s request alone, whatever its branch is called', async () => {
    const fleet = await makeFleet();
    fleet.forge.openFromFork(REPOSITORY, { head: BRANCH, base: 'main', title: 'mine', text: '' });
    expect(await propose(fleet, V1)).toMatchObject({ number: 2 });
    expect(await fleet.forge.get(REPOSITORY, 1)).toMatchObject({ title: 'mine', state: 'open' });
  });

  test('that is no longer wanted changes nothing', async () => {
    const fleet = await makeFleet();
    const outcomes = await outcomesOf(fleet.target, [V1], async () => new Set());
    expect(outcomes.get(V1.rolloutId)).toEqual({ kind: 'dropped' });
    expect(await fleet.head(BRANCH)).toBeNull();
    expect(await fleet.forge.listOpen(REPOSITORY, '')).toEqual([]);
  });

  test('is refused where it would take what it does not manage, or another repository’s target', async () => {
    const fleet = await makeFleet();
    await fleet.commit('main', { [PATH]: 'kind: InferenceService\n' });
    expect(String(failureOf(await deliver(fleet.target, V1)))).toContain('is not managed by modelhook');
    await fleet.commit('main', { [PATH]: manifestOf('gitlab:other/iris', V1.target) });
    expect(String(failureOf(await deliver(fleet.target, V1)))).toContain('belongs to gitlab:other/iris');
    const renamed = { ...V1, formerNames: ['gitlab:other/iris'] };
    expect(await deliver(fleet.target, renamed)).toMatchObject({ kind: 'proposed' });
  });

  test('whose push a hook refuses fails in the hook’s words, and the others of the batch go on', async () => {
    const fleet = await makeFleet();
    const hook = join(fleet.dir, 'hooks/update');
    mkdirSync(join(fleet.dir, 'hooks'));
    writeFileSync(hook, '#!/bin/sh\ncase "$1" in */iris) echo "no irises here" >&2; exit 1;; esac\n');
    chmodSync(hook, 0o755);
    const rose = { cluster: 'default', namespace: 'models', name: 'rose' };
    const outcomes = await outcomesOf(fleet.target, [V1, deliveryOf('rollout-9', { target: rose })]);
    const refused = failureOf(outcomes.get(V1.rolloutId));
    expect(refused).toBeInstanceOf(StalledError);
    expect(String(refused)).toContain('no irises here');
    expect(outcomes.get('rollout-9')).toMatchObject({ kind: 'proposed' });
  });

  test('goes on without a comment where the token may not write one', async () => {
    const fleet = await makeFleet();
    await propose(fleet, V1);
    fleet.forge.comment = async () => Promise.reject(new StalledError('no scope', 'give it one'));
    expect(await propose(fleet, V2)).toMatchObject({ number: 1 });
    expect(await fleet.forge.get(REPOSITORY, 1)).toMatchObject({ title: 'deploy iris v1.1.0 to production' });
  });

  test('tells reviewers of the newer version also where it was cut off after the push', async () => {
    const fleet = await makeFleet();
    await propose(fleet, V1);
    const { comment } = fleet.forge;
    fleet.forge.comment = async () => Promise.reject(new Error('502 Bad Gateway'));
    expect(failureOf(await deliver(fleet.target, V2))).toMatchObject({ message: '502 Bad Gateway' });
    fleet.forge.comment = comment;
    await deliver(fleet.restart(), V2);
    expect(fleet.forge.commentsOf(REPOSITORY, 1)).toEqual([expect.stringContaining('v1.1.0')]);
  });

  test('that waits goes on waiting while a setting of the forge is wrong, and a new one fails', async () => {
    const fleet = await makeFleet();
    const pullRequest = await propose(fleet, V1);
    fleet.forge.failure = new StalledError('pull requests are switched off', 'switch them on');
    const waiting = failureOf(await deliver(fleet.target, { ...V1, pullRequest }));
    expect(waiting).toBeInstanceOf(Error);
    expect(waiting).not.toBeInstanceOf(StalledError);
    expect(failureOf(await deliver(fleet.target, V2))).toBe(fleet.forge.failure);
    fleet.forge.failure = null;
    expect(await deliver(fleet.target, { ...V1, pullRequest })).toMatchObject({ kind: 'proposed' });
  });

  test('fails with all of its batch, and not for good, while the forge does', async () => {
    const fleet = await makeFleet();
    fleet.forge.failure = new Error('502 Bad Gateway');
    const outcomes = await outcomesOf(fleet.target, [V1, V2]);
    expect([...outcomes.values()].map(failureOf)).toEqual([fleet.forge.failure, fleet.forge.failure]);
    expect(await fleet.head(BRANCH)).toBeNull();
  });

  test('into a branch that is not there waits for it, and says so', async () => {
    const fleet = await makeFleet();
    await fleet.remove('main');
    const refused = failureOf(await deliver(fleet.target, V1));
    expect(refused).not.toBeInstanceOf(StalledError);
    expect(String(refused)).toContain('fleet has no branch "main"');
  });
});

describe('a removal by pull request', () => {
  /** A fleet with what is to be removed. */
  async function deployed(): Promise<Fleet> {
    const fleet = await makeFleet();
    await fleet.commit('main', { [PATH]: V1.manifest });
    return fleet;
  }
  const GONE = removalOf('rollout-3');

  test('is a request that says so, and removes once people have merged it', async () => {
    const fleet = await deployed();
    const pullRequest = await propose(fleet, GONE);
    expect(await fleet.read(PATH)).toBe(V1.manifest);
    expect(await fleet.read(PATH, BRANCH)).toBeNull();
    const request = await fleet.forge.get(REPOSITORY, 1);
    expect(request.title).toBe('remove iris v1.0.0 from production');
    expect(request.text).toContain('Merging this removes a model');
    const waiting = { ...GONE, pullRequest };
    expect(await deliver(fleet.restart(), waiting)).toMatchObject({ kind: 'proposed', pullRequest });
    const commit = await fleet.merge(1);
    expect(await deliver(fleet.restart(), waiting)).toEqual({
      kind: 'removed',
      receipt: { commit, path: PATH },
      message: 'Removed from fleet with #1',
    });
  });

  test('goes on with its request whatever people wrote into that', async () => {
    const fleet = await deployed();
    const pullRequest = await propose(fleet, GONE);
    await fleet.forge.edit(REPOSITORY, 1, { text: `Farewell, ${GONE.rolloutId}` });
    expect(await deliver(fleet.target, { ...GONE, pullRequest })).toMatchObject({
      kind: 'proposed',
      pullRequest,
    });
  });

  test('is cancelled where people close the request, or merge it without the removal', async () => {
    const fleet = await deployed();
    const pullRequest = await propose(fleet, GONE);
    await fleet.forge.close(REPOSITORY, 1);
    expect(await deliver(fleet.target, { ...GONE, pullRequest })).toMatchObject({ kind: 'cancelled' });

    const second = await deployed();
    const reference = await propose(second, GONE);
    await second.forge.merge(REPOSITORY, 1, (await second.head('main')) ?? '');
    expect(await deliver(second.target, { ...GONE, pullRequest: reference })).toMatchObject({
      kind: 'cancelled',
      message: `Cancelled: #1 was merged without removing ${PATH}`,
    });
  });

  test('closes the request that would have deployed what is to be removed', async () => {
    const fleet = await makeFleet();
    await propose(fleet, V1);
    expect(await deliver(fleet.target, GONE)).toMatchObject({
      kind: 'removed',
      message: `Nothing to remove in fleet: ${PATH} is not there`,
    });
    expect(await fleet.forge.get(REPOSITORY, 1)).toMatchObject({ state: 'closed' });
  });

  test('takes the request over that would have deployed a newer version of the same ref', async () => {
    const fleet = await deployed();
    await propose(fleet, V2);
    const removal = removalOf('rollout-3', { commits: [V1.sha, V2.sha] });
    expect(await propose(fleet, removal)).toMatchObject({ number: 1 });
    expect(await fleet.read(PATH, BRANCH)).toBeNull();
    expect((await fleet.forge.get(REPOSITORY, 1)).title).toBe('remove iris v1.0.0 from production');
    expect(fleet.forge.commentsOf(REPOSITORY, 1).join()).toContain('This request removes the model now');
  });

  test('leaves a request alone that deploys what another ref has brought', async () => {
    for (const fleet of [await makeFleet(), await deployed()]) {
      await propose(fleet, V2);
      const before = [await fleet.head(BRANCH), await fleet.forge.get(REPOSITORY, 1)];
      const outcome = await deliver(fleet.target, GONE);
      expect(outcome?.kind).toMatch(/^(removed|cancelled)$/);
      expect([await fleet.head(BRANCH), await fleet.forge.get(REPOSITORY, 1)]).toEqual(before);
    }
  });
});
