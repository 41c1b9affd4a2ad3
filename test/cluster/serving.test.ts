/**
 * The whole controller, a process of its own, from the tag to the status on the commit: on a real control plane, under the
 * rights that deploy/ gives. A stand-in plays KServe's controller; nodes without kubelets say how pods fare.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { checkCluster } from '../../src/cli/doctor-clusters.ts';
import type { Cluster } from '../../src/cluster/cluster.ts';
import { conditionIn, countIn, itemsIn, textIn } from '../../src/core/cluster-fields.ts';
import { SPEC_HASH } from '../../src/core/inference-service.ts';
import { type JsonObject, valueAt } from '../../src/core/json.ts';
import { type ControllerSite, ended, makeControllerSite, until } from '../controller-site.ts';
import { GitRepository } from '../git-repository.ts';
import { type KServeController, startKServeController } from './kserve-controller.ts';
import { ask, put, REAL_KUBECONFIG, SKIPPED } from './real-cluster.ts';
import {
  clusterOf,
  grantOf,
  openNamespaces,
  putGrant,
  type Rollouts,
  removeGrant,
  removeNamespace,
  rolloutsOf,
  serviceIn,
  servingPolicy,
} from './serving-site.ts';

const NAMESPACE = 'serving';
const DOOMED = 'serving-doomed';

const POLICIES = [
  servingPolicy('good', { namespace: NAMESPACE }),
  servingPolicy('slow', { namespace: NAMESPACE, fate: 'slow' }),
  servingPolicy('broken', { namespace: NAMESPACE, fate: 'image' }),
  servingPolicy('doomed', { namespace: DOOMED, fate: 'never' }),
  servingPolicy('fleet', { namespace: NAMESPACE, repositories: 'gitops/*', delivery: 'gitops: fleet' }),
].join('---\n');

describe.skipIf(!REAL_KUBECONFIG)(`from the tag until it serves, on a real cluster${SKIPPED}`, () => {
  let site: ControllerSite;
  let kserve: KServeController;
  let cluster: Cluster;
  let controller: Awaited<ReturnType<ControllerSite['start']>>;
  let push: Rollouts['push'];
  let untilPhase: Rollouts['untilPhase'];
  let untilSaid: Rollouts['untilSaid'];
  let untilStatus: Rollouts['untilStatus'];
  const grant = grantOf('modelhook-serving');

  beforeAll(async () => {
    await openNamespaces('kserve', NAMESPACE, DOOMED);
    const file = await putGrant(grant);
    cluster = clusterOf(file);
    kserve = startKServeController(NAMESPACE);
    site = await makeControllerSite({
      policy: POLICIES,
      config: { clusters: { real: { kubeconfig: { file } } } },
    });
    ({ push, untilPhase, untilSaid, untilStatus } = rolloutsOf(site));
    controller = await site.start();
  });
  afterAll(async () => {
    await site.remove();
    await kserve.stop();
    await removeGrant(grant);
    for (const name of [NAMESPACE, DOOMED]) await removeNamespace(name);
  });
  afterEach(() => kserve.faults.clear());

  const service = (name: string): Promise<JsonObject> => serviceIn(NAMESPACE, name);
  const hashOf = (object: JsonObject): string | null =>
    textIn(object, 'spec', 'predictor', 'annotations', SPEC_HASH);
  const podsOf = async (name: string): Promise<JsonObject[]> => {
    const { items } = await ask(
      'GET',
      `/api/v1/namespaces/${NAMESPACE}/pods?labelSelector=serving.kserve.io/inferenceservice=${name}`,
    );
    return Array.isArray(items) ? (items as JsonObject[]) : [];
  };
  const readyPods = async (name: string, hash: string | null): Promise<JsonObject[]> =>
    (await podsOf(name)).filter(
      (pod) =>
        textIn(pod, 'metadata', 'annotations', SPEC_HASH) === hash &&
        conditionIn(pod, 'Ready')?.status === 'True',
    );

  it('doctor finds that the rights of deploy/ are enough, and that they do not show the webhooks', async () => {
    const examined = { name: 'real', access: 'a kubeconfig', namespaces: [], open: async () => cluster };
    const { findings } = await checkCluster(examined, []);
    const stateOf = (about: string) => findings.find((finding) => finding.about === about)?.state;
    expect(findings.filter(({ state }) => state === 'fault')).toEqual([]);
    expect(stateOf('rights')).toBe('good');
    expect(stateOf('runtimes')).toBe('good');
    expect(stateOf("KServe's webhooks")).toBe('warning');
  });

  it('applies, waits until the model serves, and the status on the commit says where', async () => {
    await site.makeModels(['ml/iris']);
    await push('ml/iris', 'good-1');
    const ready = await untilPhase('ml/iris', 'good-1', 'ready');
    expect(ready.endpoints).toEqual({
      internal: `http://iris-predictor.${NAMESPACE}.svc.cluster.local`,
      external: `http://iris-${NAMESPACE}.example.com`,
    });
    expect(ready.message).toMatch(new RegExp(`^Ready in \\d+s at http://iris-${NAMESPACE}\\.example\\.com$`));
    expect(ready.transitions.map(({ phase }) => phase)).toEqual(
      expect.arrayContaining(['pending', 'delivered', 'ready']),
    );
    expect(ready.transitions.find(({ phase }) => phase === 'delivered')?.message).toBe(
      'Applied to real, waiting for iris to be ready',
    );
    expect(await readyPods('iris', hashOf(await service('iris')))).toHaveLength(1);
    await untilStatus('ml/iris', ready, `modelhook/good\tsuccess\t${ready.message}`);
  });

  it('does not call an update ready before its own pod serves, whatever KServe says', async () => {
    await site.makeModels(['ml/update']);
    await push('ml/update', 'good-1');
    await untilPhase('ml/update', 'good-1', 'ready');
    await push('ml/update', 'slow-1');
    const waiting = await untilSaid('ml/update', 'slow-1', /^0 of 1 new pod ready/);
    expect(waiting.phase).toBe('delivered');
    const meanwhile = await service('update');
    expect(conditionIn(meanwhile, 'Ready')?.status).toBe('True');
    expect(textIn(meanwhile, 'status', 'modelStatus', 'transitionStatus')).toBe('UpToDate');
    const ready = await untilPhase('ml/update', 'slow-1', 'ready');
    const [pod, ...others] = await readyPods('update', hashOf(await service('update')));
    expect(others).toEqual([]);
    const since = itemsIn(pod, 'status', 'conditions').find((each) => textIn(each, 'type') === 'Ready');
    const readyAt = ready.transitions.find(({ phase }) => phase === 'ready')?.at ?? '';
    expect(Date.parse(readyAt)).toBeGreaterThanOrEqual(Date.parse(textIn(since, 'lastTransitionTime') ?? ''));
  });

  it('says that an image cannot be pulled while KServe calls the service ready', async () => {
    await site.makeModels(['ml/image']);
    await push('ml/image', 'good-1');
    await untilPhase('ml/image', 'good-1', 'ready');
    await push('ml/image', 'broken-1');
    const failed = await untilPhase('ml/image', 'broken-1', 'failed');
    expect(failed.message).toMatch(
      /^image-predictor-\S+ cannot pull the image kserve\/sklearnserver:v0\.20\.0: Back-off pulling image: not found; correct the image/,
    );
    expect(conditionIn(await service('image'), 'Ready')?.status).toBe('True');
    await untilStatus('ml/image', failed, 'modelhook/broken\tfailure\timage-predictor-');
  });

  it('waits in words for the GitOps agent, and then for the model', async () => {
    await site.makeModels(['gitops/rose']);
    await push('gitops/rose', 'fleet-1');
    const waiting = await untilSaid('gitops/rose', 'fleet-1', /^waiting for the GitOps agent/);
    const { commit, path } = waiting.receipt ?? {};
    expect(waiting.message).toBe(`waiting for the GitOps agent to apply ${commit?.slice(0, 7)}`);
    expect(waiting.transitions.find(({ phase }) => phase === 'delivered')?.message).toBe(
      `Committed ${commit?.slice(0, 7)} to fleet, waiting for rose to be ready`,
    );
    const fleet = GitRepository.open(site.fleet);
    await put(parse(fleet.git(['show', `${commit}:${path}`])), 'gitops-agent');
    const ready = await untilPhase('gitops/rose', 'fleet-1', 'ready');
    await untilStatus('gitops/rose', ready, `modelhook/fleet\tsuccess\t${ready.message}`);
  });

  it('waits for a transformer that an overlay of the GitOps agent adds', async () => {
    await site.makeModels(['gitops/lily']);
    await push('gitops/lily', 'fleet-1');
    const { receipt } = await untilSaid('gitops/lily', 'fleet-1', /^waiting for the GitOps agent/);
    const manifest = parse(
      GitRepository.open(site.fleet).git(['show', `${receipt?.commit}:${receipt?.path}`]),
    );
    const transformer = {
      minReplicas: 1,
      annotations: { 'test.modelhook.dev/fate': 'slow' },
      containers: [{ name: 'kserve-container', image: 'transformer' }],
    };
    await put({ ...manifest, spec: { ...manifest.spec, transformer } }, 'gitops-agent');
    await untilSaid('gitops/lily', 'fleet-1', /^transformer: 0 of 1 new pod ready/);
    const ready = await untilPhase('gitops/lily', 'fleet-1', 'ready');
    await untilStatus('gitops/lily', ready, `modelhook/fleet\tsuccess\t${ready.message}`);
  });

  it('goes on where it was after it was killed, and delivers nothing twice', async () => {
    await site.makeModels(['ml/killed']);
    await push('ml/killed', 'slow-1');
    await untilPhase('ml/killed', 'slow-1', 'delivered');
    await ended(controller, 'SIGKILL');
    controller = await site.start();
    const ready = await untilPhase('ml/killed', 'slow-1', 'ready');
    const deliveries = ready.transitions.filter(({ message }) => message.startsWith('Applied'));
    expect(deliveries).toHaveLength(1);
    expect(valueAt(await service('killed'), ['metadata', 'generation'])).toBe(1);
    await untilStatus('ml/killed', ready, `modelhook/slow\tsuccess\t${ready.message}`);
  });

  it('learns at its start that a model began to serve while it was away', async () => {
    await site.makeModels(['ml/away']);
    kserve.faults.set('away', { kind: 'idle' });
    await push('ml/away', 'good-1');
    await untilPhase('ml/away', 'good-1', 'delivered');
    await ended(controller, 'SIGKILL');
    kserve.faults.clear();
    kserve.retry('away');
    await until(async () => conditionIn(await service('away'), 'Ready')?.status === 'True');
    controller = await site.start();
    await untilPhase('ml/away', 'good-1', 'ready');
  });

  it('a newer rollout ends the older one, and is the one that becomes ready', async () => {
    await site.makeModels(['ml/newer']);
    await push('ml/newer', 'slow-1');
    await untilPhase('ml/newer', 'slow-1', 'delivered');
    await push('ml/newer', 'good-2');
    const old = await untilPhase('ml/newer', 'slow-1', 'superseded');
    expect(old.message).toBe('Superseded by good-2');
    const ready = await untilPhase('ml/newer', 'good-2', 'ready');
    await untilStatus('ml/newer', old, 'modelhook/slow\terror\tSuperseded by good-2');
    await untilStatus('ml/newer', ready, `modelhook/good\tsuccess\t${ready.message}`);
    expect(countIn(await service('newer'), 'metadata', 'generation')).toBe(2);
  });

  it('says that the namespace is gone, and goes on by itself once it is there again', async () => {
    await site.makeModels(['ml/doomed']);
    await push('ml/doomed', 'doomed-1');
    await untilPhase('ml/doomed', 'doomed-1', 'delivered');
    await removeNamespace(DOOMED);
    const failed = await untilPhase('ml/doomed', 'doomed-1', 'failed');
    expect(failed.message).toMatch(/namespace serving-doomed|from namespace serving-doomed/);
    await push('ml/doomed', 'doomed-2');
    const waiting = await untilSaid('ml/doomed', 'doomed-2', /^Waiting: /);
    expect(waiting).toMatchObject({
      phase: 'pending',
      message: expect.stringMatching(
        /^Waiting: cluster real (is deleting|has no) namespace serving-doomed; /,
      ),
    });
    await untilStatus('ml/doomed', waiting, 'modelhook/doomed\tpending\tWaiting: cluster real ');
    await openNamespaces(DOOMED);
    await untilPhase('ml/doomed', 'doomed-2', 'delivered');
  });

  it.each([
    [
      'that the runtime is not there',
      { kind: 'invalidSpec', reason: 'RuntimeNotRecognized', message: 'Waiting for runtime' } as const,
      'runtime kserve-sklearnserver exists neither in namespace serving nor cluster-wide',
    ],
    [
      'of a storage URI that KServe tells in an event alone',
      {
        kind: 'event',
        message: 'storageUri [s3://models/ml/faulty-1/x] is not supported',
      } as const,
      'KServe cannot set up faulty-1: storageUri [s3://models/ml/faulty-1/x] is not supported',
    ],
  ])('says %s, and ready once that is mended', async (_, fault, words) => {
    const name = fault.kind === 'event' ? 'faulty-1' : 'faulty-0';
    await site.makeModels([`ml/${name}`]);
    kserve.faults.set(name, fault);
    await push(`ml/${name}`, 'good-1');
    const failed = await untilPhase(`ml/${name}`, 'good-1', 'failed');
    expect(failed.message).toContain(words);
    kserve.faults.clear();
    kserve.retry(name);
    await untilPhase(`ml/${name}`, 'good-1', 'ready');
  });
});
