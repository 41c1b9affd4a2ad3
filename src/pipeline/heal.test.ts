import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { FakeCluster } from '../cluster/cluster.fake.ts';
import { ClusterUnavailableError } from '../cluster/cluster.ts';
import { projectObject } from '../core/cluster-objects.ts';
import { StalledError } from '../core/errors.ts';
import { parseManifest } from '../core/inference-service.ts';
import { type JsonObject, valueAt } from '../core/json.ts';
import { policyText } from '../core/policy.fixture.ts';
import type { Rollout } from '../core/rollout.ts';
import { createFakeCluster, type FakeCluster as FakeApplier } from '../delivery/apply.fixture.ts';
import { createApplyTarget } from '../delivery/apply.ts';
import type { DeliveryTarget } from '../delivery/target.ts';
import { createController } from './controller.ts';
import { createDeliver } from './deliver.ts';
import { createHeal, type Heal } from './heal.ts';
import { createSite, MINUTE, policySet, runStage, SECOND, type Site } from './pipeline.fixture.ts';
import { createResolve } from './resolve.ts';

const PLACE = { namespace: 'demo', name: 'iris' };
const REPLICAS = ['spec', 'predictor', 'minReplicas'];
const HASH = ['spec', 'predictor', 'annotations', 'modelhook.dev/spec-hash'];

interface ClusterSite extends Omit<Site, 'targets'> {
  targets: Map<string, DeliveryTarget>;
  watch: FakeCluster;
  applier: FakeApplier;
  busy: Set<string>;
}

const policy = (spec: object = {}, delivery: object = {}): string =>
  policyText({
    target: { namespace: 'demo' },
    delivery: { apply: true, selfHeal: true, ...delivery },
    ...spec,
  });

/** A site that applies to its only cluster, and watches it. */
async function siteWithCluster(text = policy(), file?: string): Promise<ClusterSite> {
  const site = await createSite(file);
  const watch = new FakeCluster();
  const applier = createFakeCluster();
  applier.namespaces.add('demo');
  site.clusters.set('default', watch);
  site.policies.set = policySet('c0ffee', text);
  const apply = createApplyTarget({ name: 'default', applier, log: site.log });
  const targets = new Map([['apply/default', apply]]);
  return Object.assign(site, { targets, watch, applier, busy: new Set<string>() });
}

function siteOnFile(): Promise<ClusterSite> {
  const folder = mkdtempSync(join(tmpdir(), 'modelhook-heal-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return siteWithCluster(policy(), join(folder, 'modelhook.db'));
}

function healing(site: ClusterSite): Heal & { woken: () => number } {
  const wake = vi.fn();
  const heal = createHeal({ ...site, wake }, site.busy);
  heal.start();
  onTestFinished(() => heal.stop());
  return Object.assign(heal, { woken: () => wake.mock.calls.length });
}

/** A rollout that was applied just now, as far as the deliver stage takes it. */
async function applied(site: ClusterSite, path = 'ml/iris', tag = 'v1.0.0', heal?: Heal): Promise<Rollout> {
  const repository = `plain:${path}`;
  const known = (await site.store.rollouts.list({ limit: 1, repository })).items.length > 0;
  const { id } = await site.rollOut(known ? repository : site.forge.create(path), tag);
  await runStage(createResolve(site));
  await runStage(createDeliver(site, site.busy, heal?.renew));
  show(site);
  return site.rollout(id);
}

/** The watch sees what is there. */
function show({ watch, applier }: ClusterSite, more: JsonObject = {}): void {
  const live = applier.live(PLACE);
  const object = live && projectObject('InferenceService', { ...live, ...more });
  watch.show(PLACE.namespace, PLACE.name, ...(object ? [object] : []));
}

/** Shows it, and lets the stage work until nothing is due. */
async function look(site: ClusterSite, heal: Heal): Promise<void> {
  let works = 1;
  for (let rounds = 0; works > 0; rounds += 1) {
    if (rounds > 5) throw new Error('it finds no rest');
    show(site);
    works = await runStage(heal);
  }
}

async function wait(site: ClusterSite, heal: Heal, milliseconds: number): Promise<void> {
  site.clock.now += milliseconds;
  await look(site, heal);
}

function edit(site: ClusterSite, predictor: JsonObject, manager = 'kubectl-edit'): void {
  site.applier.applyAs(manager, { kind: 'x', metadata: { ...PLACE }, spec: { predictor } });
}

async function deleteIt({ applier }: ClusterSite): Promise<void> {
  await applier.remove(PLACE, String(valueAt(applier.live(PLACE) ?? {}, ['metadata', 'uid'])));
}

const replicas = ({ applier }: ClusterSite) => valueAt(applier.live(PLACE) ?? {}, REPLICAS);

/** What was said since the delivery. */
async function said(site: ClusterSite, { id }: Rollout): Promise<string[]> {
  const { transitions } = await site.rollout(id);
  return transitions.map(({ message }) => message).filter((message) => /put back/i.test(message));
}

const EDITED = 'Put back in default: kubectl-edit had set spec.predictor.minReplicas';

/** A site with a stage that has found everything right. */
async function atRest(text?: string) {
  const site = await siteWithCluster(text);
  const rollout = await applied(site);
  const heal = healing(site);
  await look(site, heal);
  site.applier.calls = [];
  return { site, rollout, heal };
}

describe('what somebody changed', () => {
  it('is put back, and the rollout says who had changed what, while its message and phase stay', async () => {
    const { site, rollout, heal } = await atRest();
    edit(site, { minReplicas: 5 });
    await look(site, heal);
    expect(replicas(site)).toBe(1);
    const now = await site.rollout(rollout.id);
    expect(now.transitions.at(-1)).toEqual({ phase: rollout.phase, message: EDITED, at: site.clock.now });
    expect(now).toMatchObject({ phase: rollout.phase, message: rollout.message, stage: 'observe' });
    expect(await said(site, rollout)).toEqual([EDITED]);
  });

  it('is named by its fields where nobody else has them', async () => {
    const { site, rollout, heal } = await atRest();
    site.applier.touch(PLACE, { spec: { predictor: { minReplicas: 5 } } });
    await look(site, heal);
    expect(replicas(site)).toBe(1);
    expect(await said(site, rollout)).toEqual([
      'Put back in default: somebody had changed spec.predictor.minReplicas',
    ]);
  });

  it('is made anew where it was deleted', async () => {
    const { site, rollout, heal } = await atRest();
    await deleteIt(site);
    await look(site, heal);
    expect(replicas(site)).toBe(1);
    expect(await said(site, rollout)).toEqual(['Put back in default: somebody had deleted it']);
  });

  it('stays where the manifest says nothing of it, and costs one look', async () => {
    const { site, rollout, heal } = await atRest();
    edit(site, { serviceAccountName: 'reader' });
    await look(site, heal);
    await look(site, heal);
    expect(site.applier.calls).toEqual(['get iris', 'dry run iris']);
    expect(site.applier.live(PLACE)).toMatchObject({ spec: { predictor: { serviceAccountName: 'reader' } } });
    expect(await said(site, rollout)).toEqual([]);
  });

  it('is put back for a rollout that failed, or was cancelled after its delivery', async () => {
    const { site, rollout, heal } = await atRest();
    await site.store.requests.cancel(rollout.id, 'anna');
    edit(site, { minReplicas: 5 });
    await look(site, heal);
    expect(replicas(site)).toBe(1);
    expect(await said(site, rollout)).toEqual([EDITED]);
  });

  it('while nobody was there is put back after the start', async () => {
    const site = await siteOnFile();
    const rollout = await applied(site);
    const before = healing(site);
    await look(site, before);
    before.stop();
    await site.restart();
    edit(site, { minReplicas: 5 });
    const heal = healing(site);
    await look(site, heal);
    expect(replicas(site)).toBe(1);
    expect(await said(site, rollout)).toEqual([EDITED]);
  });
});

describe('nothing is asked of the cluster', () => {
  it('for changes of the status, of pods, and of services that stand where they should', async () => {
    const { site, heal } = await atRest();
    const woken = heal.woken();
    show(site, { status: { url: 'https://iris.example.com' } });
    site.watch.tell('demo', 'iris');
    expect(heal.woken()).toBe(woken);
    expect(await runStage(heal)).toBe(0);
    expect(site.applier.calls).toEqual([]);
  });

  it('where no policy puts anything back: not even the watch is looked at', async () => {
    const site = await siteWithCluster(policy({}, { selfHeal: false }));
    await applied(site);
    const heal = healing(site);
    const { looks } = site.watch;
    edit(site, { minReplicas: 5 });
    await look(site, heal);
    expect(replicas(site)).toBe(5);
    expect(site.watch.looks).toBe(looks);
    expect(heal.woken()).toBe(0);
  });

  it('while the watch cannot be trusted, and then all that was missed is put back', async () => {
    const { site, heal } = await atRest();
    site.watch.become({ trouble: { since: 0, message: 'cut off' } });
    edit(site, { minReplicas: 5 });
    await wait(site, heal, MINUTE);
    expect(replicas(site)).toBe(5);
    expect(site.applier.calls).toEqual([]);
    site.watch.become({});
    await wait(site, heal, SECOND);
    expect(replicas(site)).toBe(1);
  });

  it('about the services of other namespaces than the one that changed', async () => {
    const { site, heal } = await atRest();
    const list = vi.spyOn(site.store.standing, 'list');
    for (const namespace of ['other', 'demo']) site.watch.tell(namespace, null);
    await wait(site, heal, SECOND);
    expect(list.mock.calls).toEqual([
      ['default', 'other'],
      ['default', 'demo'],
    ]);
    site.watch.tell('other', null);
    site.watch.tell(null, null);
    await wait(site, heal, SECOND);
    expect(list.mock.lastCall).toEqual(['default', null]);
  });

  it('about a service that is being deleted, or whose namespace is', async () => {
    const { site, heal } = await atRest();
    const live = site.applier.live(PLACE) ?? {};
    await deleteIt(site);
    const metadata = { ...Object(live['metadata']), deletionTimestamp: '2026-03-04T12:00:00Z' };
    const leaving = projectObject('InferenceService', { ...live, metadata });
    site.watch.show('demo', 'iris', ...(leaving ? [leaving] : []));
    expect(await runStage(heal)).toBe(0);
    const { seen } = site.watch;
    site.watch.seen = (...place) => ({ ...seen.apply(site.watch, place), namespace: 'terminating' });
    site.watch.show('demo', 'iris');
    expect(await runStage(heal)).toBe(0);
    expect(site.applier.calls).toEqual(['remove iris']);
  });
});

describe('it is left as it is', () => {
  it.each([
    ['the policy says so no more', policy({}, { selfHeal: false })],
    ['the policy is suspended', policy({ suspend: true })],
    ['the policy delivers elsewhere', policy({ target: { namespace: 'other' } })],
    ['the policy no longer matches', policy({ match: { repositories: ['plain:ml/**'], tags: ['x*'] } })],
    ['the policy goes by GitOps now', policyText({ target: { namespace: 'demo' } })],
  ])('where %s', async (_, text) => {
    const { site, rollout, heal } = await atRest();
    site.policies.set = policySet('decade', text);
    edit(site, { minReplicas: 5 });
    await look(site, heal);
    expect(replicas(site)).toBe(5);
    expect(await said(site, rollout)).toEqual([]);
  });

  it('until the policy says otherwise', async () => {
    const site = await siteWithCluster(policy({}, { selfHeal: false }));
    await applied(site);
    const heal = healing(site);
    edit(site, { minReplicas: 5 });
    await look(site, heal);
    site.policies.set = policySet('decade', policy());
    await look(site, heal);
    expect(replicas(site)).toBe(1);
  });

  it('where the policy changes between the look and the write', async () => {
    const { site, heal } = await atRest();
    edit(site, { minReplicas: 5 });
    site.applier.before = async (call) => {
      if (call === 'dry run iris') site.policies.set = policySet('decade', policy({ suspend: true }));
    };
    await look(site, heal);
    expect(replicas(site)).toBe(5);
  });

  it('where people have taken our label off, and the rollout says so once', async () => {
    const { site, rollout, heal } = await atRest();
    const metadata = { ...PLACE, labels: { 'app.kubernetes.io/managed-by': 'anna' } };
    site.applier.applyAs('anna', { kind: 'x', metadata, spec: { predictor: { minReplicas: 5 } } });
    await look(site, heal);
    edit(site, { minReplicas: 6 });
    await look(site, heal);
    expect(replicas(site)).toBe(6);
    expect(await said(site, rollout)).toEqual([
      expect.stringMatching(
        /^Not put back in default: InferenceService demo\/iris in default is not managed by/,
      ),
    ]);
  });

  it('where people have taken our label off though the policy adopts, with what to do', async () => {
    const { site, rollout, heal } = await atRest(policy({}, { adopt: true }));
    const metadata = { ...PLACE, labels: { 'app.kubernetes.io/managed-by': 'anna' } };
    site.applier.applyAs('anna', { kind: 'x', metadata, spec: { predictor: { minReplicas: 5 } } });
    await look(site, heal);
    expect(replicas(site)).toBe(5);
    expect(await said(site, rollout)).toEqual([
      'Not put back in default: InferenceService demo/iris in default is not managed by modelhook; ' +
        'label it app.kubernetes.io/managed-by=modelhook to have it put back',
    ]);
    site.applier.applyAs('anna', {
      ...{ kind: 'x', spec: {} },
      metadata: { ...PLACE, labels: { 'app.kubernetes.io/managed-by': 'modelhook' } },
    });
    site.applier.touch(PLACE, { spec: { predictor: { minReplicas: 6 } } });
    await look(site, heal);
    expect(replicas(site)).toBe(1);
  });

  it('where modelhook itself has put another version there, which the rollout says once', async () => {
    const { site, rollout, heal } = await atRest();
    const { manifest } = await site.rollout(rollout.id);
    const hash = String(valueAt(site.applier.live(PLACE) ?? {}, HASH));
    const deployed = (manifest ?? '')
      .replace('minReplicas: 1', 'minReplicas: 0')
      .replaceAll(rollout.sha, 'b'.repeat(40))
      .replace(hash, 'b'.repeat(16));
    await site.applier.apply(parseManifest(deployed), { dryRun: false, force: false });
    await look(site, heal);
    expect(replicas(site)).toBe(0);
    site.applier.touch(PLACE, { metadata: { annotations: { seen: 'once' } } });
    await look(site, heal);
    expect(replicas(site)).toBe(0);
    expect(await said(site, rollout)).toEqual([
      'Not put back in default: modelhook deploy, or another modelhook, has put v1.0.0 (bbbbbbb) there, ' +
        'which stays until the next rollout',
    ]);
  });

  it('where it was removed, and nothing stands there any more', async () => {
    const { site, rollout, heal } = await atRest();
    const removal = { phase: 'delivered', stage: null, receipt: { commit: null, path: null } } as const;
    const [event] = await site.events();
    await site.tell({ repository: rollout.repository, before: event?.sha ?? null, after: null });
    site.policies.set = policySet('decade', policy({ onRefDelete: 'remove' }));
    await site.match();
    const { plan, target } = rollout;
    if (!plan || !target) throw new Error('it has no plan');
    const newest = (await site.rollouts()).at(-1);
    await site.store.rollouts.advance(newest?.id ?? '', {
      ...{ stage: 'deliver', target, plan: { ...plan, removes: [rollout.sha] } },
    });
    await site.store.rollouts.advance(newest?.id ?? '', removal);
    await deleteIt(site);
    await look(site, heal);
    expect(site.applier.live(PLACE)).toBeNull();
  });
});

describe('beside deliveries', () => {
  it('waits for the batch that is on its way to the cluster, and keeps the next from beginning', async () => {
    const { site, heal } = await atRest();
    site.busy.add('apply/default');
    edit(site, { minReplicas: 5 });
    await look(site, heal);
    expect(replicas(site)).toBe(5);
    site.busy.clear();
    const [work] = await heal.claim(100, false);
    expect([...site.busy]).toEqual(['apply/default']);
    await work?.();
    expect([...site.busy]).toEqual([]);
    expect(replicas(site)).toBe(1);
  });

  it('leaves a target alone that is about to get a newer version, which takes back what others had set', async () => {
    const { site, heal } = await atRest();
    await site.rollOut('plain:ml/iris', 'v2.0.0');
    await runStage(createResolve(site));
    edit(site, { minReplicas: 5 });
    await look(site, heal);
    expect(site.applier.calls).toEqual([]);
    await runStage(createDeliver(site, site.busy));
    expect(replicas(site)).toBe(1);
    expect((await site.rollouts()).at(-1)).toMatchObject({ phase: 'delivered', revision: 'v2.0.0' });
    await wait(site, heal, 5 * SECOND);
    expect(site.applier.calls.filter((call) => call === 'apply iris')).toHaveLength(1);
  });

  it('a newer version takes nothing that is not managed by modelhook', async () => {
    const { site } = await atRest();
    const metadata = { ...PLACE, labels: { 'app.kubernetes.io/managed-by': 'anna' } };
    site.applier.applyAs('anna', { kind: 'x', metadata, spec: {} });
    const rollout = await applied(site, 'ml/iris', 'v2.0.0');
    expect(rollout).toMatchObject({ phase: 'failed', message: expect.stringContaining('is not managed') });
  });
});

describe('a fight', () => {
  it('is put back at once three times, and then after growing pauses, which is said once', async () => {
    const { site, rollout, heal } = await atRest();
    for (let times = 0; times < 3; times += 1) {
      edit(site, { minReplicas: 5 });
      await look(site, heal);
      expect(replicas(site)).toBe(1);
    }
    const pauses: number[] = [];
    for (let times = 0; times < 9; times += 1) {
      const before = site.clock.now;
      edit(site, { minReplicas: 5 });
      await look(site, heal);
      for (let waits = 0; replicas(site) === 5 && waits < 100; waits += 1) await wait(site, heal, 5 * SECOND);
      pauses.push((site.clock.now - before) / SECOND);
    }
    expect(pauses).toEqual([5, 10, 20, 40, 80, 160, 300, 300, 300]);
    const fought = expect.stringMatching(
      /^Put back in default again and again: kubectl-edit .* up to 5 minutes/,
    );
    expect(await said(site, rollout)).toEqual([EDITED, EDITED, EDITED, fought]);
    expect(site.log.lines.filter(({ message }) => message === 'put back')).toHaveLength(12);
  });

  it('takes nothing from the words about somebody else who changes something else meanwhile', async () => {
    const { site, rollout, heal } = await atRest();
    const change = async (what: JsonObject, manager: string) => {
      edit(site, what, manager);
      for (let waits = 0; waits < 4; waits += 1) await wait(site, heal, 5 * SECOND);
    };
    for (let times = 0; times < 5; times += 1) await change({ minReplicas: 5 }, 'scaler');
    await wait(site, heal, MINUTE);
    await change({ maxReplicas: 7 }, 'anna');
    await wait(site, heal, MINUTE);
    expect((await said(site, rollout)).slice(3)).toEqual([
      expect.stringMatching(/^Put back in default again and again: scaler had set/),
      'Put back in default: anna had set spec.predictor.maxReplicas',
    ]);
  });

  it('begins anew with a new version: it is put back at once, and its own timeline says so', async () => {
    const { site, heal } = await atRest();
    for (let times = 0; times < 9; times += 1) {
      edit(site, { minReplicas: 5 });
      for (let waits = 0; replicas(site) === 5 && waits < 100; waits += 1) await wait(site, heal, 5 * SECOND);
    }
    edit(site, { minReplicas: 5 });
    await look(site, heal);
    const newer = await applied(site, 'ml/iris', 'v2.0.0', heal);
    expect(replicas(site)).toBe(1);
    edit(site, { minReplicas: 5 });
    await look(site, heal);
    expect(replicas(site)).toBe(1);
    expect(await said(site, newer)).toEqual([EDITED]);
  });

  it('that never ends fills no timeline: the log has what comes after twenty lines', async () => {
    const { site, rollout, heal } = await atRest();
    for (let nights = 0; nights < 30; nights += 1) {
      edit(site, { minReplicas: 5 });
      await look(site, heal);
      expect(replicas(site)).toBe(1);
      site.clock.now += 24 * 60 * MINUTE;
    }
    const lines = await said(site, rollout);
    expect(lines).toHaveLength(20);
    expect(lines.at(-1)).toBe(`${EDITED}; what follows of this is in the log alone`);
    expect(site.log.lines.filter(({ message }) => message === 'put back')).toHaveLength(30);
  });

  it('is over after ten quiet minutes', async () => {
    const { site, rollout, heal } = await atRest();
    for (let times = 0; times < 6; times += 1) {
      edit(site, { minReplicas: 5 });
      await look(site, heal);
      expect(replicas(site)).toBe(1);
      site.clock.now += 10 * MINUTE;
    }
    expect(await said(site, rollout)).toEqual(Array(6).fill(EDITED));
  });
});

describe('what cannot be put back', () => {
  it('for a webhook refuses it is said once, and tried again more and more rarely', async () => {
    const { site, rollout, heal } = await atRest();
    const refusal = new StalledError('cluster default refuses it: no GPUs on Fridays', 'wait');
    const { admit } = site.applier;
    edit(site, { minReplicas: 5 });
    site.applier.before = async (call) => {
      if (call === 'apply iris') throw refusal;
    };
    await look(site, heal);
    for (let minutes = 0; minutes < 30; minutes += 1) await wait(site, heal, MINUTE);
    expect(await said(site, rollout)).toEqual([`Not put back in default: ${refusal.message}`]);
    const tries = site.applier.calls.filter((call) => call === 'apply iris').length;
    expect(tries).toBeGreaterThan(6);
    expect(tries).toBeLessThan(20);
    site.applier.admit = admit;
    site.applier.before = async () => {};
    await wait(site, heal, 5 * MINUTE);
    expect(replicas(site)).toBe(1);
    expect((await said(site, rollout)).at(-1)).toBe(EDITED);
  });

  it('is said once also where the words differ each time, and once more after it was put back', async () => {
    const { site, rollout, heal } = await atRest();
    for (let series = 0; series < 2; series += 1) {
      let tries = 0;
      edit(site, { minReplicas: 5 });
      site.applier.before = async (call) => {
        tries += 1;
        if (call === 'apply iris') throw new StalledError(`no answer after ${tries} ms`, 'wait');
      };
      await look(site, heal);
      for (let minutes = 0; minutes < 30; minutes += 1) await wait(site, heal, MINUTE);
      site.applier.before = async () => {};
      await wait(site, heal, 5 * MINUTE);
    }
    const refused = expect.stringMatching(/^Not put back in default: no answer after \d+ ms; wait$/);
    expect(await said(site, rollout)).toEqual([refused, EDITED, refused, EDITED]);
  });

  it('for the cluster is not reached is said once that has lasted', async () => {
    const { site, rollout, heal } = await atRest();
    edit(site, { minReplicas: 5 });
    const problem = {
      kind: 'unreachable',
      what: 'is not reached',
      detail: null,
      fix: 'mend it',
      retryAfter: null,
    };
    site.applier.before = async () => {
      throw new ClusterUnavailableError('cluster default', { ...problem, kind: 'unreachable' });
    };
    await look(site, heal);
    expect(await said(site, rollout)).toEqual([]);
    for (let minutes = 0; minutes < 12; minutes += 1) await wait(site, heal, MINUTE);
    expect(await said(site, rollout)).toEqual([
      'Not put back in default: cluster default is not reached; mend it',
    ]);
  });

  it('for the store cannot be read is looked at again', async () => {
    const { site, heal } = await atRest();
    const get = vi.spyOn(site.store.standing, 'get').mockRejectedValueOnce(new Error('the disk is gone'));
    edit(site, { minReplicas: 5 });
    await look(site, heal);
    expect(replicas(site)).toBe(5);
    get.mockRestore();
    await wait(site, heal, 5 * SECOND);
    expect(replicas(site)).toBe(1);
    expect([...site.busy]).toEqual([]);
  });
});

it('with the whole controller a change is put back while the rollout is awaited, which says so', async () => {
  const site = await siteWithCluster();
  const controller = createController(site);
  await controller.start();
  try {
    await site.tag(site.forge.create('ml/iris'), 'v1.0.0');
    await vi.waitFor(() => expect(replicas(site)).toBe(1));
    show(site);
    const [rollout] = await site.rollouts();
    if (!rollout) throw new Error('there is no rollout');
    await vi.waitFor(async () => expect(await site.rollout(rollout.id)).toMatchObject({ stage: 'observe' }));
    edit(site, { minReplicas: 5 });
    show(site);
    await vi.waitFor(async () => expect(await said(site, rollout)).toEqual([EDITED]));
    expect(replicas(site)).toBe(1);
  } finally {
    expect(await controller.stop(5000)).toBe(true);
  }
  expect(site.watch.listeners.size).toBe(0);
});
