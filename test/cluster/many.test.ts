/** All stages before an API server: hundreds of services that roll at once, and what a real one is seldom without. */
import { expect, it, onTestFinished, vi } from 'vitest';
import { HASTY, until } from '../../src/cluster/cluster.fixture.ts';
import { createKubernetesCluster } from '../../src/cluster/kubernetes.ts';
import { policyText } from '../../src/core/policy.fixture.ts';
import type { Rollout } from '../../src/core/rollout.ts';
import { createApplyTarget } from '../../src/delivery/apply.ts';
import { createController } from '../../src/pipeline/controller.ts';
import { CARD, createSite, policySet, type Site } from '../../src/pipeline/pipeline.fixture.ts';
import { type FakeApiServer, PATHS, startFakeApiServer } from './fake-api-server.ts';
import { type FakeKServe, type Fate, mixedFate, playKServe } from './fake-kserve.ts';

const SERVICES = 500;
const CONTEXT = 'modelhook/production';

/** The phase and the words of each fate. */
const ENDS: Record<Fate, [phase: Rollout['phase'], words: RegExp]> = {
  ready: ['ready', /^Ready in .* at http:\/\/model-\d+\.example\.com$/],
  image: ['failed', /^model-\d+-predictor-2-a cannot pull the image model:1: not found; /],
  crash: ['failed', /exited with code 1, restarted 3 times: no such model; /],
  download: ['failed', /^the model cannot be downloaded: .*no such object; /],
  memory: ['failed', /ran out of memory at its limit of 4Gi, restarted 3 times; /],
  node: ['failed', /^no node takes model-\d+-predictor-2-a: 0\/4 nodes are available; /],
  quota: ['failed', /exceeded quota: gpus, /],
  runtime: ['failed', /runtime kserve-sklearnserver exists neither in/],
  uri: ['failed', /^KServe does not support the storage URI /],
};

const nameOf = (index: number): string => `model-${index}`;

it('every one of five hundred services that roll at once gets its own verdict, by one watch a kind', async () => {
  const server = await startFakeApiServer();
  onTestFinished(() => server.close());
  const kserve = playKServe(server, (name, generation) => (generation === 1 ? 'ready' : mixedFate(name)));
  server.put(PATHS.namespaces, { metadata: { name: 'demo' }, status: { phase: 'Active' } });
  const site = await siteOn(server);
  const models = Array.from({ length: SERVICES }, (_, index) => site.forge.create(`ml/${nameOf(index)}`));

  await deploy(site, models, 'v1.0.0');
  await served(kserve, SERVICES);
  for (const index of models.keys()) kserve.settle(nameOf(index));
  await vi.waitFor(async () => expect(await phasesOf(site, 'v1.0.0')).toEqual(['ready']), PATIENCE);

  const shas = await deploy(site, models, 'v2.0.0');
  await served(kserve, 2 * SERVICES);
  for (const index of models.keys()) kserve.settle(nameOf(index));
  await vi.waitFor(async () => expect(await phasesOf(site, 'v2.0.0')).toEqual(['failed', 'ready']), PATIENCE);

  for (const rollout of await rolloutsOf(site, 'v2.0.0')) {
    const [phase, words] = ENDS[mixedFate(rollout.target?.name ?? '')];
    expect(rollout).toMatchObject({ phase, message: expect.stringMatching(words) });
  }
  await vi.waitFor(() => {
    for (const [index, sha] of shas.entries()) {
      const [phase, words] = ENDS[mixedFate(nameOf(index))];
      const status = site.forge.statusesOf(models[index] ?? '', sha).get(CONTEXT);
      const state = phase === 'ready' ? 'success' : 'failed';
      expect(status).toMatchObject({ state, description: expect.stringMatching(words) });
    }
  }, PATIENCE);
  const watches = server.requests.filter((told) => told.includes('watch=true'));
  const lists = new Set(watches.map((told) => told.split('?')[0]));
  expect(watches).toHaveLength(lists.size);
  // Of Deployments there is one more: KServe's own, by name.
  expect(lists.size).toBe(Object.keys(PATHS).length + 1);
});

it('a cluster without KServe is told of on the rollout, which goes on by itself once KServe is there', async () => {
  const server = await startFakeApiServer();
  onTestFinished(() => server.close());
  const kserve = playKServe(server, () => 'ready');
  server.put(PATHS.namespaces, { metadata: { name: 'demo' }, status: { phase: 'Active' } });
  for (const path of KSERVE) server.known.delete(path);
  const site = await siteOn(server);
  const model = site.forge.create(`ml/${nameOf(0)}`);
  await deploy(site, [model], 'v1.0.0');
  const rollout = async () => (await rolloutsOf(site, 'v1.0.0'))[0];
  await vi.waitFor(
    async () => expect((await rollout())?.message).toMatch(/^.*cluster default has no /),
    PATIENCE,
  );
  expect(await rollout()).toMatchObject({ phase: 'pending' });
  for (const path of KSERVE) server.known.add(path);
  await served(kserve, 1);
  kserve.settle(nameOf(0));
  await vi.waitFor(async () => expect(await phasesOf(site, 'v1.0.0')).toEqual(['ready']), PATIENCE);
});

/** Its kinds. */
const KSERVE = [PATHS.services, PATHS.runtimes, PATHS.clusterRuntimes];

/** Polls that look at all rollouts are rare, so that they are not what takes the time. */
const PATIENCE = { timeout: 50_000, interval: 250 };

/** A site that applies to a cluster behind the API server, and runs. */
async function siteOn(server: FakeApiServer): Promise<Site> {
  const site = await createSite();
  Object.defineProperty(site.clock, 'now', { get: Date.now });
  const { log, now } = site;
  const access = { file: server.kubeconfig };
  const pace = { ...HASTY, page: 250 };
  const cluster = createKubernetesCluster({ name: 'default', access, namespaces: [], log, now, pace });
  const target = createApplyTarget({ name: 'default', applier: cluster.applier, log });
  const grace = { imagePull: '0s', unschedulable: '0s', invalidSpec: '1s', restarts: 3 };
  site.policies.set = policySet(
    'c0ffee',
    policyText({
      target: { namespace: 'demo' },
      delivery: { apply: true },
      runtime: { name: 'kserve-sklearnserver' },
      readiness: { grace },
    }),
  );
  const controller = createController({
    ...site,
    clusters: new Map([['default', cluster]]),
    targets: new Map([['apply/default', target]]),
    concurrency: 16,
  });
  cluster.watch.start();
  await until(cluster.watch, () => cluster.catalogue.knowledge('demo').complete);
  await controller.start();
  onTestFinished(async () => {
    await controller.stop(5000);
    await cluster.watch.stop();
  });
  return site;
}

async function deploy(site: Site, models: readonly string[], tag: string): Promise<string[]> {
  const shas: string[] = [];
  for (const model of models) shas.push(await site.tag(model, tag, { 'README.md': CARD, tag }));
  return shas;
}

const served = (kserve: FakeKServe, count: number): Promise<void> =>
  vi.waitFor(() => expect(kserve.applied()).toBe(count), PATIENCE);

const rolloutsOf = async (site: Site, revision: string): Promise<Rollout[]> =>
  (await site.store.rollouts.list({ limit: 2 * SERVICES })).items.filter(
    (each) => each.revision === revision,
  );

/** @returns which there are, sorted */
const phasesOf = async (site: Site, revision: string): Promise<string[]> =>
  [...new Set((await rolloutsOf(site, revision)).map(({ phase }) => phase))].sort();
