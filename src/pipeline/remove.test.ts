import { describe, expect, it } from 'vitest';
import { FakeCluster } from '../cluster/cluster.fake.ts';
import { policyText } from '../core/policy.fixture.ts';
import type { Rollout } from '../core/rollout.ts';
import { createFakeCluster } from '../delivery/apply.fixture.ts';
import { createApplyTarget } from '../delivery/apply.ts';
import { API_LAG, type Forge } from '../forge/forge.ts';
import { createDeliver } from './deliver.ts';
import { createListRefs } from './list-refs.ts';
import { createObserve } from './observe.ts';
import { CARD, createSite, MINUTE, policySet, runStage, type Site } from './pipeline.fixture.ts';
import { createReceive } from './receive.ts';
import { createRemove } from './remove.ts';
import { createReport } from './report.ts';
import { createResolve } from './resolve.ts';

const BRANCH = 'preview/idea';
const REF = `refs/heads/${BRANCH}`;
const PATH = 'default/previews/iris.yaml';
const CONTEXT = 'modelhook/preview';

const previews = (spec: object = {}): string =>
  policyText(
    {
      match: { repositories: ['plain:ml/**'], tags: ['v*'], branches: ['preview/*'] },
      environment: 'preview',
      target: { namespace: 'previews' },
      onRefDelete: 'remove',
      ...spec,
    },
    'previews',
  );

/** A site whose policy removes what a deleted branch has brought. */
async function createPreviews(spec: object = {}) {
  const site = await createSite();
  site.policies.set = policySet('c0ffee', previews(spec));
  const iris = site.forge.create('ml/iris');
  site.forge.commit(iris, { 'README.md': CARD });
  return { site, iris };
}

/** Pushes a commit to a branch, which a webhook tells of. @returns the commit */
async function push(site: Site, repository: string, branch = BRANCH): Promise<string> {
  const sha = site.forge.commit(repository, { 'README.md': CARD }, branch);
  await site.tell({ repository, ref: `refs/heads/${branch}`, after: sha });
  return sha;
}

/** The branch is deleted, and a webhook tells of it. */
async function cut(site: Site, repository: string, ref = REF): Promise<void> {
  site.forge.remove(repository, ref);
  await site.tell({ repository, ref, after: null });
}

/** Lets the stages do what is due, in their order. */
async function work(site: Site): Promise<void> {
  await site.match();
  for (const create of [createResolve, createRemove, createDeliver, createReport])
    await runStage(create(site));
}

async function deployed(spec: object = {}) {
  const { site, iris } = await createPreviews(spec);
  const sha = await push(site, iris);
  await work(site);
  expect([...site.fleet.files.keys()]).toEqual([PATH]);
  return { site, iris, sha };
}

const newest = async (site: Site): Promise<Rollout | undefined> => (await site.rollouts()).at(-1);
const statusOf = (site: Site, repository: string, sha: string) =>
  site.forge.statusesOf(repository, sha).get(CONTEXT);

describe('a deleted branch', () => {
  it('takes what it has brought with it, and its last commit says so', async () => {
    const { site, iris, sha } = await deployed();
    await cut(site, iris);
    await work(site);
    expect(site.fleet.files.size).toBe(0);
    const removal = await newest(site);
    expect(removal).toMatchObject({
      cause: { kind: 'event' },
      ref: REF,
      sha,
      environment: 'preview',
      target: { cluster: 'default', namespace: 'previews', name: 'iris' },
      phase: 'delivered',
      stage: null,
      message: expect.stringMatching(/^Removed from fleet with [0-9a-f]{7}$/),
      receipt: { path: PATH },
      manifest: null,
      observation: null,
    });
    expect(statusOf(site, iris, sha)).toMatchObject({ state: 'success', description: removal?.message });
    expect((await site.events()).at(-1)).toMatchObject({ kind: 'deleted', id: removal?.eventId });
  });

  it('that a listing finds gone does the same', async () => {
    const { site, iris } = await deployed();
    site.forge.remove(iris, REF);
    await runStage(createListRefs(site));
    await work(site);
    expect(site.fleet.files.size).toBe(0);
    expect((await site.events()).at(-1)).toMatchObject({ kind: 'deleted', source: 'listing' });
  });

  it('takes the target from what was deployed, though policy and model card say another by now', async () => {
    const { site, iris } = await deployed();
    site.policies.set = policySet('beef', previews({ target: { namespace: 'elsewhere', name: 'other' } }));
    await cut(site, iris);
    await work(site);
    expect(site.fleet.files.size).toBe(0);
    expect(await newest(site)).toMatchObject({ target: { namespace: 'previews', name: 'iris' } });
  });

  it('removes whatever version of its own is there', async () => {
    const { site, iris, sha } = await deployed();
    const first = site.fleet.files.get(PATH) ?? '';
    const second = await push(site, iris);
    await work(site);
    site.fleet.files.set(PATH, first);
    await cut(site, iris);
    await work(site);
    expect(site.fleet.files.size).toBe(0);
    expect((await newest(site))?.plan?.removes?.toSorted()).toEqual([sha, second].toSorted());
  });

  it('leaves what somebody has put there since, and says so', async () => {
    const { site, iris, sha } = await deployed();
    const foreign = (site.fleet.files.get(PATH) ?? '').replaceAll(sha, 'e'.repeat(40));
    site.fleet.files.set(PATH, foreign);
    await cut(site, iris);
    await work(site);
    expect(site.fleet.files.get(PATH)).toBe(foreign);
    expect(await newest(site)).toMatchObject({
      phase: 'cancelled',
      message: expect.stringContaining('of another ref, so it stays'),
    });
  });

  it('leaves what another ref has deployed there since', async () => {
    const { site, iris, sha } = await deployed();
    const other = await push(site, iris, 'preview/other');
    await work(site);
    await cut(site, iris);
    await work(site);
    expect(site.fleet.files.get(PATH)).toContain(other);
    expect(await newest(site)).toMatchObject({
      phase: 'cancelled',
      message: 'Cancelled: default/previews/iris is deployed from refs/heads/preview/other now, so it stays',
    });
    expect(statusOf(site, iris, sha)).toMatchObject({ state: 'success' });
  });

  it('ends what of it is still on the way', async () => {
    const { site, iris } = await deployed();
    const second = await push(site, iris);
    await site.match();
    await runStage(createResolve(site));
    await cut(site, iris);
    await work(site);
    const ended = (await site.rollouts()).find(({ sha, plan }) => sha === second && !plan?.removes);
    expect(ended).toMatchObject({ phase: 'superseded', message: `Superseded: ${REF} was deleted` });
    expect(site.fleet.files.size).toBe(0);
  });

  it('waits for a rollout that has read the ref before, and then removes what that brings', async () => {
    const { site, iris } = await createPreviews();
    await push(site, iris);
    await site.match();
    const [reading] = await createResolve(site).claim(1, false);
    await cut(site, iris);
    site.forge.point(iris, REF, (await newest(site))?.sha ?? '');
    await site.match();
    const beforehand = reading?.();
    site.forge.remove(iris, REF);
    await runStage(createRemove(site));
    expect(await newest(site)).toMatchObject({ stage: 'remove', phase: 'pending' });
    await beforehand;
    site.clock.now += MINUTE;
    await work(site);
    await work(site);
    expect(site.fleet.files.size).toBe(0);
    expect((await site.rollouts()).filter(({ stage }) => stage !== null)).toEqual([]);
  });

  it('of which nothing was deployed makes no rollout', async () => {
    const { site, iris } = await createPreviews();
    await site.tell({ repository: iris, ref: REF, after: 'a'.repeat(40) });
    site.policies.set = policySet('beef', policyText());
    await site.match();
    site.policies.set = policySet('c0ffee', previews());
    await cut(site, iris);
    await site.match();
    expect(await site.rollouts()).toEqual([]);
  });

  it('is removed once, however often it is made and deleted again', async () => {
    const { site, iris, sha } = await deployed();
    await cut(site, iris);
    await work(site);
    site.policies.set = policySet('beef', previews({ match: OTHERS }));
    site.forge.point(iris, REF, sha);
    await site.tell({ repository: iris, ref: REF, after: sha });
    await site.match();
    site.policies.set = policySet('c0ffee', previews());
    await cut(site, iris);
    await work(site);
    expect((await site.rollouts()).map(({ phase }) => phase)).toEqual(['delivered', 'delivered']);
  });

  it('that is made again is deployed again', async () => {
    const { site, iris, sha } = await deployed();
    await cut(site, iris);
    await work(site);
    site.forge.point(iris, REF, sha);
    await site.tell({ repository: iris, ref: REF, after: sha });
    await work(site);
    expect(site.fleet.files.get(PATH)).toContain(sha);
    expect(statusOf(site, iris, sha)).toMatchObject({ state: 'success' });
  });
});

const OTHERS = { repositories: ['plain:others/**'], tags: ['v*'] };

describe('a deleted tag', () => {
  it('takes what it has brought with it', async () => {
    const { site, iris } = await createPreviews();
    await site.tag(iris, 'v1.0.0');
    await work(site);
    await cut(site, iris, 'refs/tags/v1.0.0');
    await work(site);
    expect(site.fleet.files.size).toBe(0);
    expect(await newest(site)).toMatchObject({ revision: 'v1.0.0', phase: 'delivered' });
  });
});

describe('a deletion is doubted', () => {
  /** A forge whose replicas lag. */
  const lagging = ({ forge }: Site): Map<string, Forge> => {
    const { name, webhooks, repositories, statuses, pullRequests, reviews, administration } = forge;
    const slow = { ...repositories, lag: API_LAG };
    return new Map([
      ['plain', { name, webhooks, statuses, pullRequests, reviews, administration, repositories: slow }],
    ]);
  };

  it('for as long as the forge may lag, and the commit says nothing of it', async () => {
    const { site, iris, sha } = await deployed();
    const said = statusOf(site, iris, sha);
    site.forges = lagging(site);
    await cut(site, iris);
    await work(site);
    expect(await newest(site)).toMatchObject({
      stage: 'remove',
      message: `Waiting until it is certain that ${REF} was deleted`,
    });
    site.clock.now += API_LAG - 1;
    await work(site);
    expect(site.fleet.files.size).toBe(1);
    expect(statusOf(site, iris, sha)).toEqual(said);
    site.clock.now += 1;
    await work(site);
    expect(site.fleet.files.size).toBe(0);
  });

  it('and nothing is removed where the ref is there again; what it points to now is deployed', async () => {
    const { site, iris, sha } = await deployed();
    const said = statusOf(site, iris, sha);
    await cut(site, iris);
    const again = site.forge.commit(iris, { 'README.md': CARD }, BRANCH);
    await work(site);
    expect(await newest(site)).toMatchObject({
      phase: 'cancelled',
      message: `Cancelled: ${REF} is there again`,
    });
    expect(site.fleet.files.size).toBe(1);
    expect(statusOf(site, iris, sha)).toEqual(said);
    await work(site);
    expect(site.fleet.files.get(PATH)).toContain(again);
  });

  it('while the repository cannot be read, for however long', async () => {
    const { site, iris, sha } = await deployed();
    const said = statusOf(site, iris, sha);
    await cut(site, iris);
    await site.match();
    site.forge.down = new Error('not found');
    for (let minutes = 0; minutes < 60; minutes += 5) {
      await runStage(createRemove(site));
      await runStage(createDeliver(site));
      site.clock.now += 5 * MINUTE;
    }
    expect(site.fleet.files.size).toBe(1);
    expect(await newest(site)).toMatchObject({ stage: 'remove', phase: 'pending' });
    site.forge.down = null;
    await runStage(createReport(site));
    expect(statusOf(site, iris, sha)).toEqual(said);
  });

  it('where the repository suddenly has no refs at all', async () => {
    const { site, iris } = await deployed();
    site.forge.remove(iris, 'refs/heads/main');
    await cut(site, iris);
    await work(site);
    expect(site.fleet.files.size).toBe(1);
    expect(await newest(site)).toMatchObject({
      stage: 'remove',
      message: expect.stringContaining('suddenly has no refs; nothing is concluded from that'),
    });
  });
});

describe('the policy in force decides', () => {
  it.each([
    ['keeps', previews({ onRefDelete: 'keep' }), 'has onRefDelete: keep now'],
    ['matches no more', previews({ match: OTHERS }), 'no longer matches'],
    ['is gone', policyText(), 'is no longer among the policies at beef'],
  ])('when it %s, nothing is removed', async (_, text, reason) => {
    const { site, iris } = await deployed();
    await cut(site, iris);
    await site.match();
    site.policies.set = policySet('beef', text);
    await work(site);
    expect(site.fleet.files.size).toBe(1);
    expect(await newest(site)).toMatchObject({
      phase: 'cancelled',
      message: expect.stringContaining(reason),
    });
  });

  it('when it is suspended, the removal waits', async () => {
    const { site, iris } = await deployed();
    site.policies.set = policySet('beef', previews({ suspend: true }));
    await cut(site, iris);
    await work(site);
    expect(await newest(site)).toMatchObject({ stage: 'remove', phase: 'pending' });
    site.policies.set = policySet('c0ffee', previews());
    site.clock.now += MINUTE;
    await work(site);
    expect(site.fleet.files.size).toBe(0);
  });

  it('one that keeps makes no rollout of a deletion', async () => {
    const { site, iris } = await deployed({ onRefDelete: 'keep' });
    await cut(site, iris);
    await work(site);
    expect(site.fleet.files.size).toBe(1);
    expect(await site.rollouts()).toHaveLength(1);
  });
});

it('what was applied to a cluster is removed there, and nobody waits for it any more', async () => {
  const { site, iris } = await createPreviews({ delivery: { apply: true } });
  const watch = new FakeCluster();
  site.clusters.set('default', watch);
  const applier = createFakeCluster();
  applier.namespaces.add('previews');
  const apply = createApplyTarget({ name: 'default', applier, log: site.log });
  const deliver = createDeliver({ ...site, targets: new Map([['apply/default', apply]]) });
  const observe = createObserve({ ...site, heals: true, wake: () => {} });
  const sha = await push(site, iris);
  const stages = [createResolve(site), createRemove(site), deliver, observe, createReport(site)];
  const workThere = async () => {
    await site.match();
    for (const stage of stages) await runStage(stage);
  };
  await workThere();
  const place = { namespace: 'previews', name: 'iris' };
  expect(applier.live(place)).not.toBeNull();
  const awaited = await newest(site);
  expect(awaited).toMatchObject({ phase: 'delivered', stage: 'observe' });
  await cut(site, iris);
  await workThere();
  expect(applier.live(place)).toBeNull();
  site.clock.now += 60 * MINUTE;
  await workThere();
  expect(await site.rollout(awaited?.id ?? '')).toMatchObject({
    phase: 'superseded',
    message: `Superseded: ${REF} was deleted`,
  });
  expect(await newest(site)).toMatchObject({
    phase: 'delivered',
    stage: null,
    message: 'Removed from default',
  });
  expect(statusOf(site, iris, sha)).toMatchObject({ state: 'success', description: 'Removed from default' });
});

it('a removal that failed is tried again as a removal', async () => {
  const { site, iris } = await deployed();
  await cut(site, iris);
  site.targets.delete('gitops/fleet');
  await work(site);
  const failed = await newest(site);
  expect(failed).toMatchObject({ phase: 'failed' });
  site.targets.set('gitops/fleet', site.fleet);
  await site.store.requests.retry(failed?.id ?? '');
  await work(site);
  expect(await newest(site)).toMatchObject({ cause: { kind: 'retry' }, phase: 'delivered', manifest: null });
  expect(site.fleet.files.size).toBe(0);
});

it('a webhook that tells of such a deletion is answered with its event', async () => {
  const { site, iris, sha } = await deployed();
  const receive = createReceive(site);
  const gone = site.forge.delivery({ repository: iris, ref: REF, before: sha, after: null });
  const answer = await receive(site.forge, gone);
  const event = (await site.events()).at(-1);
  expect(answer).toEqual({ status: 'stored', eventId: event?.id });
  expect(await receive(site.forge, gone)).toEqual({ status: 'repeat', eventId: event?.id });
});
