import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { FakeCluster } from '../cluster/cluster.fake.ts';
import type { ClusterObject } from '../core/cluster-views.ts';
import { policyText } from '../core/policy.fixture.ts';
import { deployment, pod, service, unready } from '../core/readiness.fixture.ts';
import type { Rollout } from '../core/rollout.ts';
import { createFakeTarget } from '../delivery/target.fake.ts';
import { createController } from './controller.ts';
import { createDeliver } from './deliver.ts';
import { createObserve, type Observe } from './observe.ts';
import {
  createSite,
  failingAtFirst,
  MINUTE,
  NOON,
  policySet,
  runStage,
  SECOND,
  type Site,
} from './pipeline.fixture.ts';
import { createReport } from './report.ts';
import { createResolve } from './resolve.ts';

const IRIS = 'plain:ml/iris';
const CONTEXT = 'modelhook/production';

interface WatchedSite extends Site {
  cluster: FakeCluster;
  /** How often a rollout was written. */
  writes(): number;
}

const inDemo = (spec: object = {}): string => policyText({ target: { namespace: 'demo' }, ...spec });

/** A site whose only cluster can be watched. */
async function siteWithCluster(spec: object = {}, file?: string): Promise<WatchedSite> {
  const site = await createSite(file);
  const cluster = new FakeCluster();
  site.clusters.set('default', cluster);
  site.policies.set = policySet('c0ffee', inDemo(spec));
  const advance = vi.spyOn(site.store.rollouts, 'advance');
  return Object.assign(site, { cluster, writes: () => advance.mock.calls.length });
}

/** The same on a file, so that it can be started again. */
function siteOnFile(spec: object = {}): Promise<WatchedSite> {
  const folder = mkdtempSync(join(tmpdir(), 'modelhook-observe-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return siteWithCluster(spec, join(folder, 'modelhook.db'));
}

/** A stage that listens, and how often it asked to be run. */
function observing(site: Site, heals = true): Observe & { woken: () => number } {
  const wake = vi.fn();
  const observe = createObserve({ ...site, heals, wake });
  observe.start();
  onTestFinished(() => observe.stop());
  return Object.assign(observe, { woken: () => wake.mock.calls.length });
}

/** A rollout that has been delivered just now. */
async function delivered(site: Site, path = 'ml/iris', tag = 'v1.0.0'): Promise<Rollout> {
  const repository = `plain:${path}`;
  const known = (await site.store.rollouts.list({ limit: 1, repository })).items.length > 0;
  const { id } = await site.rollOut(known ? repository : site.forge.create(path), tag);
  await runStage(createResolve(site));
  await runStage(createDeliver(site));
  return site.rollout(id);
}

const hashOf = ({ observation }: Rollout): string => observation?.specHash ?? '';

/** What the cluster shows once a rollout is applied: its pods are not there yet. */
const applied = (rollout: Rollout): ClusterObject[] => [
  service({ hash: hashOf(rollout), min: 1, max: 1, told: { Ready: ['False'] } }),
  deployment({ hash: hashOf(rollout), available: 0 }),
];

const serving = (rollout: Rollout): ClusterObject[] => [
  service({ hash: hashOf(rollout), min: 1, max: 1 }),
  deployment({ hash: hashOf(rollout) }),
  pod({ hash: hashOf(rollout) }),
];

const pullFails = (rollout: Rollout): ClusterObject[] => [
  ...applied(rollout),
  unready(
    {
      ready: false,
      state: { waiting: { reason: 'ImagePullBackOff', message: 'Back-off pulling image "sklearn:1"' } },
    },
    { hash: hashOf(rollout) },
  ),
];

const crashing = (rollout: Rollout): ClusterObject[] => [
  ...applied(rollout),
  unready(
    {
      ready: false,
      restartCount: 3,
      state: { waiting: { reason: 'CrashLoopBackOff' } },
      lastState: { terminated: { reason: 'Error', exitCode: 1, message: 'no such model' } },
    },
    { hash: hashOf(rollout) },
  ),
];

async function wait(site: Site, observe: Observe, milliseconds: number): Promise<void> {
  site.clock.now += milliseconds;
  await runStage(observe);
}

/** Shows objects of iris, and lets the stage look at them. */
async function show(site: WatchedSite, observe: Observe, objects: ClusterObject[]): Promise<void> {
  site.cluster.show('demo', 'iris', ...objects);
  await runStage(observe);
}

const linesOf = async (site: Site, { id }: Rollout): Promise<string[]> =>
  (await site.rollout(id)).transitions.map(({ phase, message }) => `${phase}: ${message}`);

describe('a delivered rollout', () => {
  it('is watched where its cluster can be, and the commit says for what it waits', async () => {
    const site = await siteWithCluster();
    const rollout = await delivered(site);
    expect(rollout).toMatchObject({
      phase: 'delivered',
      stage: 'observe',
      finishedAt: null,
      message: expect.stringMatching(/^Committed [0-9a-f]{7} to fleet, waiting for iris to be ready$/),
      observation: { minReplicas: 1, maxReplicas: 1, mode: 'Standard', deliveredAt: NOON, readyAt: null },
    });
    await runStage(createReport(site));
    expect(site.forge.statusesOf(IRIS, rollout.sha).get(CONTEXT)).toMatchObject({
      state: 'running',
      description: rollout.message,
    });
  });

  it.each([
    ['its policy says so', { readiness: { observe: 'never' } }, true],
    ['its cluster cannot be read', {}, false],
  ])('is final where %s', async (_, spec, isConfigured) => {
    const site = await siteWithCluster(spec);
    if (!isConfigured) site.clusters.clear();
    const rollout = await delivered(site);
    expect(rollout).toMatchObject({ phase: 'delivered', stage: null, observation: null });
    expect(rollout.message).toMatch(/^Committed [0-9a-f]{7} to fleet$/);
  });

  it('that was applied is judged without a GitOps agent', async () => {
    const site = await siteWithCluster({ delivery: { apply: true } });
    site.targets.set('apply/default', createFakeTarget('default'));
    const rollout = await delivered(site);
    expect(rollout).toMatchObject({ stage: 'observe', plan: { gitops: null } });
    const observe = observing(site);
    await runStage(observe);
    await wait(site, observe, 6 * SECOND);
    expect(await site.rollout(rollout.id)).toMatchObject({
      message: 'waiting for iris to appear in the cluster',
    });
  });
});

describe('where nobody puts back what others change, as in modelhook deploy', () => {
  it.each([
    [true, 'delivered', 'putting it back: somebody deleted iris'],
    [false, 'failed', 'somebody deleted iris from namespace demo; deploy it again if it should serve'],
  ])('a policy with selfHeal promises nothing: %s', async (heals, phase, message) => {
    const site = await siteWithCluster({ delivery: { apply: true, selfHeal: true } });
    site.targets.set('apply/default', createFakeTarget('default'));
    const rollout = await delivered(site);
    const observe = observing(site, heals);
    await show(site, observe, [service({ hash: hashOf(rollout), min: 1, max: 1 })]);
    await show(site, observe, []);
    await wait(site, observe, 6 * SECOND);
    expect(await site.rollout(rollout.id)).toMatchObject({
      phase,
      message: expect.stringContaining(message),
    });
  });
});

describe('a rollout that serves', () => {
  it('is ready, with its endpoints and how long it took, and is final', async () => {
    const site = await siteWithCluster();
    const rollout = await delivered(site);
    const observe = observing(site);
    await runStage(observe);
    site.clock.now += 130 * SECOND;
    await show(site, observe, serving(rollout));
    expect(await site.rollout(rollout.id)).toMatchObject({
      phase: 'ready',
      stage: null,
      message: 'Ready in 2m 10s at https://iris.example.com',
      finishedAt: NOON + 130 * SECOND,
      endpoints: {
        internal: 'http://iris-predictor.demo.svc.cluster.local',
        external: 'https://iris.example.com',
      },
    });
    await runStage(createReport(site));
    expect(site.forge.statusesOf(IRIS, rollout.sha).get(CONTEXT)).toMatchObject({
      state: 'success',
      description: 'Ready in 2m 10s at https://iris.example.com',
    });
  });

  it('is not looked at again', async () => {
    const site = await siteWithCluster();
    const rollout = await delivered(site);
    const observe = observing(site);
    await show(site, observe, serving(rollout));
    const { looks } = site.cluster;
    site.cluster.show('demo', 'iris');
    expect([observe.woken(), await runStage(observe), site.cluster.looks]).toEqual([0, 0, looks]);
  });

  it('names the internal endpoint where there is no other', async () => {
    const site = await siteWithCluster();
    const rollout = await delivered(site);
    const local = service({ hash: hashOf(rollout), min: 1, max: 1, status: { url: null } });
    const observe = observing(site);
    await show(site, observe, [local, deployment({ hash: hashOf(rollout) })]);
    expect(await site.rollout(rollout.id)).toMatchObject({
      message: 'Ready in 0s at http://iris-predictor.demo.svc.cluster.local',
      endpoints: { external: null },
    });
  });
});

describe('progress', () => {
  it('is told every few seconds at most, in the newest words', async () => {
    const site = await siteWithCluster();
    const rollout = await delivered(site);
    const observe = observing(site);
    await runStage(observe);
    await wait(site, observe, 4 * SECOND);
    expect(await linesOf(site, rollout)).toHaveLength(2);
    await show(site, observe, applied(rollout));
    await wait(site, observe, SECOND);
    await show(site, observe, [
      ...applied(rollout),
      unready({ ready: false, state: { running: {} } }, { hash: hashOf(rollout) }),
    ]);
    await wait(site, observe, 4 * SECOND);
    expect(await linesOf(site, rollout)).toHaveLength(3);
    await wait(site, observe, SECOND);
    expect((await linesOf(site, rollout)).slice(2)).toEqual([
      'delivered: 0 of 1 new pod ready',
      expect.stringMatching(/^delivered: 0 of 1 new pod ready; iris-predictor-1-a: /),
    ]);
  });

  it('says for which commit the GitOps agent is awaited', async () => {
    const site = await siteWithCluster();
    const rollout = await delivered(site);
    const observe = observing(site);
    await runStage(observe);
    await wait(site, observe, 5 * SECOND);
    expect(await site.rollout(rollout.id)).toMatchObject({
      phase: 'delivered',
      message: `waiting for the GitOps agent to apply ${rollout.receipt?.commit?.slice(0, 7)}`,
    });
  });

  it('keeps back no phase', async () => {
    const site = await siteWithCluster();
    const rollout = await delivered(site);
    const observe = observing(site);
    await show(site, observe, crashing(rollout));
    await show(site, observe, serving(rollout));
    expect((await site.rollout(rollout.id)).transitions.map(({ phase, at }) => [phase, at])).toEqual([
      ['pending', NOON],
      ['delivered', NOON],
      ['failed', NOON],
      ['ready', NOON],
    ]);
  });
});

describe('a rollout that cannot start', () => {
  it('fails with the cause, is watched on, and may become ready', async () => {
    const site = await siteWithCluster();
    const rollout = await delivered(site);
    const observe = observing(site);
    await show(site, observe, pullFails(rollout));
    expect(await site.rollout(rollout.id)).toMatchObject({ phase: 'delivered' });
    await wait(site, observe, MINUTE);
    expect(await site.rollout(rollout.id)).toMatchObject({
      phase: 'failed',
      stage: 'observe',
      finishedAt: null,
      message: expect.stringContaining('sklearn:1'),
    });
    await runStage(createReport(site));
    expect(site.forge.statusesOf(IRIS, rollout.sha).get(CONTEXT)).toMatchObject({ state: 'failed' });
    await wait(site, observe, MINUTE);
    await show(site, observe, serving(rollout));
    expect(await site.rollout(rollout.id)).toMatchObject({
      phase: 'ready',
      stage: null,
      message: 'Ready in 2m at https://iris.example.com',
    });
  });

  it('stays failed, and says no more, while it only makes progress again', async () => {
    const site = await siteWithCluster();
    const rollout = await delivered(site);
    const observe = observing(site);
    await show(site, observe, crashing(rollout));
    const lines = await linesOf(site, rollout);
    expect(lines.at(-1)).toMatch(/^failed: .*no such model/);
    site.clock.now += MINUTE;
    await show(site, observe, applied(rollout));
    await wait(site, observe, 5 * MINUTE);
    expect(await linesOf(site, rollout)).toEqual(lines);
  });

  it('has failed for good when its time is over, with the last state', async () => {
    const site = await siteWithCluster({ readiness: { timeout: '10m' } });
    const rollout = await delivered(site);
    const observe = observing(site);
    await show(site, observe, applied(rollout));
    await wait(site, observe, 10 * MINUTE - 1);
    expect(await site.rollout(rollout.id)).toMatchObject({ phase: 'delivered' });
    await wait(site, observe, 1);
    expect(await site.rollout(rollout.id)).toMatchObject({
      phase: 'failed',
      stage: null,
      message:
        'not ready within 10m: 0 of 1 new pod ready; mend what it waits for and retry, or raise readiness.timeout in the policy',
    });
  });
});

describe('a ready service within its stability', () => {
  const STABLE = { readiness: { timeout: '10m', stability: '5m' } };

  async function ready(site: WatchedSite) {
    const rollout = await delivered(site);
    const observe = observing(site);
    await show(site, observe, serving(rollout));
    expect(await site.rollout(rollout.id)).toMatchObject({ phase: 'ready', stage: 'observe' });
    return { rollout, observe };
  }

  const down = (rollout: Rollout): ClusterObject[] => [
    service({ hash: hashOf(rollout), min: 1, max: 1, told: { Ready: ['False'] } }),
    deployment({ hash: hashOf(rollout), available: 0, isAvailable: 'False' }),
  ];

  it('is final once that is over, without another word', async () => {
    const site = await siteWithCluster(STABLE);
    const { rollout, observe } = await ready(site);
    const lines = await linesOf(site, rollout);
    await wait(site, observe, 5 * MINUTE - 1);
    expect(await site.rollout(rollout.id)).toMatchObject({ stage: 'observe' });
    await wait(site, observe, 1);
    expect(await site.rollout(rollout.id)).toMatchObject({ phase: 'ready', stage: null });
    expect(await linesOf(site, rollout)).toEqual(lines);
  });

  it('turns to failed where it stops serving, and to ready where it serves again', async () => {
    const site = await siteWithCluster(STABLE);
    const { rollout, observe } = await ready(site);
    site.clock.now += MINUTE;
    await show(site, observe, down(rollout));
    expect(await site.rollout(rollout.id)).toMatchObject({
      phase: 'failed',
      stage: 'observe',
      message: expect.stringMatching(/^iris was ready and no longer serves/),
    });
    // One that comes and goes is told of every few seconds at most.
    await show(site, observe, serving(rollout));
    expect(await site.rollout(rollout.id)).toMatchObject({ phase: 'failed' });
    await wait(site, observe, 5 * SECOND);
    expect(await site.rollout(rollout.id)).toMatchObject({
      phase: 'ready',
      stage: 'observe',
      message: 'Ready again at https://iris.example.com',
    });
    await wait(site, observe, 4 * MINUTE - 5 * SECOND);
    expect(await site.rollout(rollout.id)).toMatchObject({ phase: 'ready', stage: null });
  });

  it('has failed for good where it does not serve again until the timeout', async () => {
    const site = await siteWithCluster(STABLE);
    const { rollout, observe } = await ready(site);
    await show(site, observe, down(rollout));
    await wait(site, observe, 10 * MINUTE - 1);
    expect(await site.rollout(rollout.id)).toMatchObject({ phase: 'failed', stage: 'observe' });
    await wait(site, observe, 1);
    expect(await site.rollout(rollout.id)).toMatchObject({ phase: 'failed', stage: null });
  });

  it('is watched after a restart too, with the time that was left', async () => {
    const site = await siteOnFile(STABLE);
    const { rollout } = await ready(site);
    await site.restart();
    const again = observing(site);
    await wait(site, again, 4 * MINUTE);
    await show(site, again, down(rollout));
    expect(await site.rollout(rollout.id)).toMatchObject({ phase: 'failed' });
  });
});

describe('a newer rollout of the target', () => {
  it.each([
    ['delivered', applied, 'superseded', 'Superseded by v1.1.0'],
    ['failed', crashing, 'failed', expect.stringContaining('no such model')],
    ['ready', serving, 'ready', expect.stringContaining('Ready in 0s')],
  ] as const)('ends the watching of one that is %s', async (_, shows, phase, message) => {
    const site = await siteWithCluster({ readiness: { stability: '5m' } });
    const older = await delivered(site);
    const observe = observing(site);
    await show(site, observe, shows(older));
    const newer = await delivered(site, 'ml/iris', 'v1.1.0');
    expect(await site.rollout(older.id)).toMatchObject({ phase, message, stage: null, finishedAt: NOON });
    const lines = await linesOf(site, older);
    await show(site, observe, serving(newer));
    expect(await site.rollout(newer.id)).toMatchObject({ phase: 'ready' });
    expect(await linesOf(site, older)).toEqual(lines);
  });

  it('that is refused before it is delivered leaves the older one as it is, to become ready', async () => {
    const site = await siteWithCluster();
    const older = await delivered(site);
    const observe = observing(site);
    const { id } = await site.rollOut(IRIS, 'v1.1.0');
    await runStage(createResolve(site));
    await site.store.rollouts.advance(id, { phase: 'failed', stage: null, message: 'refused' });
    await show(site, observe, serving(older));
    expect(await site.rollout(older.id)).toMatchObject({ phase: 'ready' });
  });

  it('also where the older one has something to say at that moment', async () => {
    const site = await siteWithCluster();
    const older = await delivered(site);
    const observe = observing(site);
    await runStage(observe);
    const newer = await site.rollOut(IRIS, 'v1.1.0');
    await runStage(createResolve(site));
    await site.store.rollouts.takeOver([newer.id]);
    await show(site, observe, serving(older));
    expect(await site.rollout(older.id)).toMatchObject({
      phase: 'superseded',
      endpoints: { internal: null },
    });
    expect(await runStage(observe)).toBe(0);
  });
});

describe('a cluster that is cut off', () => {
  const message = 'cluster default cannot be reached since 12:00 UTC: connection refused; check that it runs';
  const trouble = { since: NOON, message };

  it('is told of after some seconds, and what it shows is not judged', async () => {
    const site = await siteWithCluster();
    const rollout = await delivered(site);
    const observe = observing(site);
    await runStage(observe);
    site.cluster.become({ trouble });
    await show(site, observe, serving(rollout));
    await wait(site, observe, 10 * SECOND - 1);
    expect(await site.rollout(rollout.id)).toMatchObject({ phase: 'delivered', message: rollout.message });
    await wait(site, observe, 1);
    expect(await site.rollout(rollout.id)).toMatchObject({ phase: 'delivered', message });
    site.cluster.become({});
    await runStage(observe);
    expect(await site.rollout(rollout.id)).toMatchObject({ phase: 'ready' });
  });

  it('without a word is found out before a cause has lasted long enough', async () => {
    const site = await siteWithCluster();
    const rollout = await delivered(site);
    const observe = observing(site);
    await show(site, observe, pullFails(rollout));
    site.cluster.checked = async () => site.cluster.become({ trouble });
    await wait(site, observe, MINUTE);
    expect(await site.rollout(rollout.id)).toMatchObject({ phase: 'delivered', message });
    site.cluster.checked = async () => {};
    site.cluster.become({});
    await show(site, observe, serving(rollout));
    expect(await site.rollout(rollout.id)).toMatchObject({ phase: 'ready' });
  });

  it('for a moment is not worth a word', async () => {
    const site = await siteWithCluster();
    await delivered(site);
    const observe = observing(site);
    await runStage(observe);
    await wait(site, observe, 6 * SECOND);
    const writes = site.writes();
    site.cluster.become({ trouble: { ...trouble, since: site.clock.now } });
    await wait(site, observe, 9 * SECOND);
    site.cluster.become({});
    await runStage(observe);
    expect(site.writes()).toBe(writes);
  });

  it('until the time is over fails the rollout, which is judged once more when it is back', async () => {
    const site = await siteWithCluster({ readiness: { timeout: '10m' } });
    const rollout = await delivered(site);
    const observe = observing(site);
    await runStage(observe);
    site.cluster.become({ trouble });
    await runStage(observe);
    await wait(site, observe, 10 * MINUTE);
    expect(await site.rollout(rollout.id)).toMatchObject({
      phase: 'failed',
      stage: 'observe',
      message: `not ready within 10m: ${message}`,
    });
    site.clock.now += 10 * MINUTE;
    site.cluster.become({});
    await show(site, observe, serving(rollout));
    expect(await site.rollout(rollout.id)).toMatchObject({ phase: 'ready', stage: null });
  });

  it('ends a rollout for good where the model does not serve when it is back too late', async () => {
    const site = await siteWithCluster({ readiness: { timeout: '10m' } });
    const rollout = await delivered(site);
    const observe = observing(site);
    site.cluster.become({ trouble });
    await runStage(observe);
    await wait(site, observe, 11 * MINUTE);
    site.cluster.become({});
    await runStage(observe);
    expect(await site.rollout(rollout.id)).toMatchObject({
      phase: 'failed',
      stage: null,
      message: expect.stringMatching(/^not ready within 10m: waiting for the GitOps agent/),
    });
  });

  it('holds up no rollout of another', async () => {
    const site = await siteWithCluster();
    const edge = new FakeCluster();
    site.clusters.set('edge', edge);
    const toEdge = policyText(
      {
        match: { repositories: ['plain:edge/**'], tags: ['v*'] },
        target: { cluster: 'edge', namespace: 'demo' },
      },
      'edge',
    );
    site.policies.set = policySet('c0ffee', inDemo(), toEdge);
    const here = await delivered(site);
    const there = await delivered(site, 'edge/iris');
    const observe = observing(site);
    site.cluster.become({ trouble });
    await runStage(observe);
    edge.show('demo', 'iris', ...serving(there));
    await runStage(observe);
    expect(await site.rollout(here.id)).toMatchObject({ phase: 'delivered' });
    expect(await site.rollout(there.id)).toMatchObject({ phase: 'ready' });
  });

  it('that has only begun to be watched tells nothing, however late it is', async () => {
    const site = await siteWithCluster({ readiness: { timeout: '10m' } });
    const rollout = await delivered(site);
    site.cluster.become({ listed: false });
    const observe = observing(site);
    await wait(site, observe, 11 * MINUTE);
    expect(await site.rollout(rollout.id)).toMatchObject({ phase: 'delivered' });
    site.cluster.become({});
    await show(site, observe, serving(rollout));
    expect(await site.rollout(rollout.id)).toMatchObject({ phase: 'ready' });
  });

  it('that modelhook.yaml no longer names ends the watching', async () => {
    const site = await siteOnFile();
    const rollout = await delivered(site);
    site.clusters.clear();
    await site.restart();
    await runStage(observing(site));
    expect(await site.rollout(rollout.id)).toMatchObject({
      phase: 'delivered',
      stage: null,
      message:
        'Delivered; whether iris becomes ready is not watched, for modelhook.yaml gives no access to cluster default',
    });
  });
});

describe('a restart', () => {
  it('neither shortens nor repeats a grace period', async () => {
    const site = await siteOnFile();
    const rollout = await delivered(site);
    await show(site, observing(site), pullFails(rollout));
    site.clock.now += 50 * SECOND;
    await site.restart();
    const again = observing(site);
    await runStage(again);
    await wait(site, again, 10 * SECOND - 1);
    expect(await site.rollout(rollout.id)).toMatchObject({ phase: 'delivered' });
    await wait(site, again, 1);
    expect(await site.rollout(rollout.id)).toMatchObject({ phase: 'failed' });
  });

  it('skips no status: what became ready meanwhile is told', async () => {
    const site = await siteOnFile();
    const rollout = await delivered(site);
    await runStage(observing(site));
    site.cluster.show('demo', 'iris', ...serving(rollout));
    await site.restart();
    await runStage(observing(site));
    await runStage(createReport(site));
    expect(site.forge.statusesOf(IRIS, rollout.sha).get(CONTEXT)).toMatchObject({ state: 'success' });
  });

  it('at any moment leads to the same phases in the same order', async () => {
    const story = [applied, pullFails, applied, crashing, applied, serving];
    const phasesWith = async (restartAfter: number): Promise<string[]> => {
      const site = await siteOnFile();
      const rollout = await delivered(site);
      let observe = observing(site);
      for (const [step, shows] of story.entries()) {
        if (step === restartAfter) {
          observe.stop();
          await site.restart();
          observe = observing(site);
        }
        await show(site, observe, shows(rollout));
        await wait(site, observe, MINUTE);
      }
      return (await site.rollout(rollout.id)).transitions.map(({ phase }) => phase);
    };
    const whole = [...new Set(await phasesWith(-1))];
    expect(whole).toEqual(['pending', 'delivered', 'failed', 'ready']);
    for (const step of story.keys()) expect([...new Set(await phasesWith(step))]).toEqual(whole);
  });
});

describe('what goes wrong here', () => {
  it('waits for a store that cannot be written, and loses nothing', async () => {
    const site = await siteWithCluster();
    const rollout = await delivered(site);
    const { advance } = site.store.rollouts;
    let attempts = 0;
    const failing: typeof advance = (...args) => {
      attempts += 1;
      return failingAtFirst(attempts > 2 ? 0 : 1, () => advance(...args))();
    };
    const rollouts = { ...site.store.rollouts, advance: failing };
    const observe = observing({ ...site, store: { ...site.store, rollouts } });
    await show(site, observe, serving(rollout));
    expect(await site.rollout(rollout.id)).toMatchObject({ phase: 'ready' });
    expect(attempts).toBe(3);
  });

  it('is a mistake of our own: the rollout is taken up again, and goes on', async () => {
    const site = await siteWithCluster();
    const rollout = await delivered(site);
    const observe = observing(site);
    const seen = vi.spyOn(site.cluster, 'seen').mockImplementation(() => {
      throw new TypeError('oops');
    });
    await runStage(observe);
    expect(await site.rollout(rollout.id)).toMatchObject({ stage: 'observe', attempts: 1 });
    seen.mockRestore();
    site.cluster.show('demo', 'iris', ...serving(rollout));
    await wait(site, observe, MINUTE);
    expect(await site.rollout(rollout.id)).toMatchObject({ phase: 'ready', attempts: 0 });
  });
});

describe('five hundred rollouts that wait', () => {
  it('cost no write while nothing changes, and a change of one target is looked at there alone', async () => {
    const site = await siteWithCluster();
    const models = Array.from({ length: 500 }, (_, n) => `model-${n}`);
    for (const name of models) await site.tag(site.forge.create(`ml/${name}`), 'v1.0.0');
    for (let n = 0; n < 3; n += 1) await site.match();
    const resolve = createResolve(site);
    for (let n = 0; n < 5; n += 1) await runStage(resolve);
    await runStage(createDeliver(site));
    const observe = observing(site);
    await runStage(observe);
    // Each says once for what it waits.
    await wait(site, observe, 5 * SECOND);
    const [rollouts, writes, { looks }] = [
      await site.store.rollouts.list({ limit: 500 }),
      site.writes(),
      site.cluster,
    ];
    expect(rollouts.items.filter(({ stage }) => stage === 'observe')).toHaveLength(500);
    expect(looks).toBe(1000);

    site.cluster.tell(null, null);
    expect(await runStage(observe)).toBe(500);
    site.cluster.tell('demo', 'model-7');
    expect(await runStage(observe)).toBe(1);
    site.cluster.tell('demo', 'a-stranger');
    expect(await runStage(observe)).toBe(0);
    await wait(site, observe, 20 * MINUTE);
    expect(site.writes()).toBe(writes);
    expect(observe.woken()).toBe(2);
  });
});

describe('with the whole controller', () => {
  it('a change in the cluster is all it takes from the delivery to the status on the commit', async () => {
    const site = await siteWithCluster();
    const written: string[] = [];
    const { statuses } = site.forge;
    const write = statuses.write.bind(statuses);
    vi.spyOn(statuses, 'write').mockImplementation(async (...args) => {
      written.push(`${args[3].state}: ${args[3].description}`);
      return write(...args);
    });
    const controller = createController(site);
    await controller.start();
    try {
      const sha = await site.tag(site.forge.create('ml/iris'), 'v1.0.0');
      const stateOf = () => site.forge.statusesOf(IRIS, sha).get(CONTEXT)?.state;
      await vi.waitFor(() => expect(stateOf()).toBe('running'));
      const [rollout] = await site.rollouts();
      if (!rollout) throw new Error('there is no rollout');
      site.cluster.show('demo', 'iris', ...crashing(rollout));
      await vi.waitFor(() => expect(stateOf()).toBe('failed'));
      site.cluster.show('demo', 'iris', ...serving(rollout));
      await vi.waitFor(() => expect(stateOf()).toBe('success'));
    } finally {
      expect(await controller.stop(5000)).toBe(true);
    }
    expect(site.cluster.listeners.size).toBe(0);
    expect(written.filter((line) => !line.startsWith('pending'))).toEqual([
      expect.stringMatching(/^running: Committed [0-9a-f]{7} to fleet, waiting for iris to be ready$/),
      expect.stringMatching(/^failed: .*no such model/),
      'success: Ready in 0s at https://iris.example.com',
    ]);
  });
});
