import { describe, expect, it } from 'vitest';
import type { ClusterObject } from './cluster-views.ts';
import {
  deployment,
  event,
  judgeAfter,
  judgeNow,
  KNATIVE,
  knativeInferenceService,
  knativeService,
  MINUTE,
  OLD,
  pod,
  replicaSet,
  revision,
  service,
  unready,
  WANTED,
} from './readiness.fixture.ts';

const failed = (cause: string, message: string) => ({
  state: 'failed',
  cause,
  message,
  again: expect.anything(),
});
const progressing = (message: string) => ({ state: 'progressing', message, again: expect.anything() });

const CRASHED = {
  ready: false,
  restartCount: 3,
  state: { waiting: { reason: 'CrashLoopBackOff' } },
  lastState: { terminated: { exitCode: 1 } },
};

describe('in Standard mode', () => {
  const judged = (...objects: ClusterObject[]) => judgeNow(WANTED, service(), ...objects);

  it('is ready when the Deployment runs the delivered pods and no others', () => {
    expect(judged(deployment())).toMatchObject({ state: 'ready' });
    expect(judged(deployment({ desired: 3 }))).toMatchObject({ state: 'ready' });
  });

  it('waits for KServe to make and to update the Deployment, and for its controller to see that', () => {
    expect(judged()).toEqual(progressing('waiting for KServe to make Deployment iris-predictor'));
    const update = progressing('waiting for KServe to update Deployment iris-predictor');
    expect(judged(deployment({ hash: OLD }))).toEqual(update);
    const acted = 'waiting for kube-controller-manager to act on Deployment iris-predictor';
    expect(judged(deployment({ observed: 1 }))).toEqual(progressing(acted));
  });

  it('waits for old pods, for new ones and for as many as were asked for', () => {
    expect(judged(deployment({ total: 2, updated: 1 }), pod())).toEqual(
      progressing('waiting for 1 old pod to end'),
    );
    expect(judged(deployment({ total: 1, updated: 0, available: 1 }))).toEqual(
      progressing('0 of 1 new pod ready'),
    );
    const three = { ...WANTED, minReplicas: 3 };
    expect(judgeNow(three, service({ min: 3 }), deployment(), pod())).toEqual(
      progressing('1 of 3 new pods ready'),
    );
  });

  it('is not ready without a pod, as while Recreate replaces them, unless none are wanted', () => {
    expect(judged(deployment({ total: 0 }))).toMatchObject({ state: 'progressing' });
    const none = { ...WANTED, minReplicas: 0 };
    expect(judgeNow(none, service({ min: 0 }), deployment({ total: 0 }))).toMatchObject({
      state: 'progressing',
    });
    expect(judgeNow(none, service({ min: 0 }), deployment({ desired: 0 }))).toMatchObject({ state: 'ready' });
  });

  it('waits for the other nodes of a multi-node predictor too', () => {
    const worker = { name: 'iris-predictor-worker' };
    expect(judged(deployment(), deployment({ ...worker, available: 0 }))).toMatchObject({
      state: 'progressing',
    });
    expect(judged(deployment(), deployment({ ...worker, hash: OLD }))).toMatchObject({
      state: 'progressing',
    });
    expect(judged(deployment(), deployment({ ...worker, hash: null }))).toMatchObject({ state: 'ready' });
  });

  it('takes no child for that of the service that belongs to one which was deleted', () => {
    const recreated = service({ about: { uid: 'new' } });
    const family = (owner: string): ClusterObject[] => [
      deployment({ owner }),
      replicaSet({ owner: 'Deployment/iris-predictor' }),
      unready(CRASHED, { owner: 'ReplicaSet/iris-predictor-1' }),
    ];
    const awaited = progressing('waiting for KServe to make Deployment iris-predictor');
    expect(judgeNow(WANTED, recreated, ...family('old'))).toEqual(awaited);
    // Kubernetes deletes what a service leaves from above.
    expect(judgeNow(WANTED, recreated, ...family('old').slice(1))).toEqual(awaited);
    expect(judgeNow(WANTED, recreated, ...family('old').slice(2))).toEqual(awaited);
    expect(judgeNow(WANTED, recreated, ...family('new'))).toMatchObject({ state: 'ready' });
    expect(judgeNow(WANTED, recreated, deployment())).toMatchObject({ state: 'ready' });
  });

  it('waits for a Deployment of which others tell a later state, as after a way to another spec and back', () => {
    const told = (observedGeneration: number) => service({ status: { observedGeneration } });
    const update = progressing('waiting for KServe to update Deployment iris-predictor');
    expect(judgeNow(WANTED, told(4), deployment({ generation: 2 }))).toEqual(update);
    expect(judgeNow(WANTED, told(4), deployment({ generation: 4 }))).toMatchObject({ state: 'ready' });
    const owner = 'Deployment/iris-predictor';
    const set = replicaSet({ owner, deploymentRevision: '10' });
    expect(judged(deployment({ deploymentRevision: '9' }), set)).toEqual(update);
    expect(judged(deployment({ deploymentRevision: '10' }), set)).toMatchObject({ state: 'ready' });
  });

  it('does not wait so for the child of another component', () => {
    const both = service({
      spec: { transformer: { containers: [] } },
      status: { observedGeneration: 7 },
    });
    const transformer = { name: 'iris-transformer', component: 'transformer', hash: null, generation: 7 };
    expect(judgeNow(WANTED, both, deployment(), deployment(transformer))).toMatchObject({ state: 'ready' });
  });

  it.each(['transformer', 'explainer'])('judges the %s like the predictor', (component) => {
    const both = service({ spec: { [component]: { containers: [] } } });
    const child = { name: `iris-${component}`, component, hash: null };
    expect(judgeNow(WANTED, both, deployment())).toEqual(
      progressing(`${component}: waiting for KServe to make Deployment iris-${component}`),
    );
    expect(judgeNow(WANTED, both, deployment(), deployment({ ...child, available: 0 }))).toEqual(
      progressing(`${component}: 0 of 1 new pod ready`),
    );
    expect(judgeNow(WANTED, both, deployment(), deployment(child))).toMatchObject({ state: 'ready' });
  });
});

describe('pods that are not made', () => {
  const judged = (milliseconds: number, ...objects: ClusterObject[]) =>
    judgeAfter(WANTED, milliseconds, service(), deployment({ total: 0 }), ...objects);
  const QUOTA =
    'pods "iris-predictor-1-a" is forbidden: exceeded quota: gpus, requested: requests.nvidia.com/gpu=1, used: 4, limited: 4';

  it('for lack of quota fail at once', () => {
    expect(judged(0, replicaSet({ total: 0, failure: QUOTA }))).toEqual(
      failed(
        'quota',
        `namespace demo has no quota left for the pods of iris-predictor-1: ${QUOTA}; raise the ResourceQuota, free some of it, or ask for less in resources`,
      ),
    );
  });

  it.each([
    'admission webhook "policy.example.com" denied the request: no hostPath',
    'pods "a" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false',
  ])('for admission fail at once: %s', (message) => {
    expect(judged(0, replicaSet({ total: 0, failure: message }))).toEqual(
      failed(
        'admission',
        `the cluster does not admit the pods of iris-predictor-1: ${message}; change the policy to what that rule allows, or ask who set it`,
      ),
    );
  });

  it('for anything else fail when that lasts', () => {
    const down = replicaSet({ total: 0, failure: 'failed calling webhook "w": connection refused' });
    expect(judged(MINUTE / 2 - 1, down)).toMatchObject({ state: 'progressing', again: 1 });
    expect(judged(MINUTE / 2, down)).toEqual(
      failed(
        'podCreation',
        'the pods of iris-predictor-1 cannot be made: failed calling webhook "w": connection refused; look at what the message names',
      ),
    );
    const account =
      'pods "a" is forbidden: error looking up service account demo/sa: serviceaccount "sa" not found';
    expect(judged(0, replicaSet({ total: 0, failure: account }))).toMatchObject({ state: 'progressing' });
    expect(judged(MINUTE / 2, replicaSet({ total: 0, failure: account }))).toEqual(
      failed(
        'podCreation',
        `the pods of iris-predictor-1 cannot be made: ${account}; create the service account in demo`,
      ),
    );
  });

  it('by the word of an event alone fail when that lasts, for it may be an old one', () => {
    const set = replicaSet({ total: 0 });
    const told = event(set, 'FailedCreate', `Error creating: ${QUOTA}`);
    expect(judged(0, set, told)).toMatchObject({ state: 'progressing' });
    expect(judged(MINUTE / 2, set, told)).toMatchObject({ cause: 'quota' });
    expect(judged(MINUTE / 2, replicaSet(), told)).toMatchObject({ state: 'progressing' });
  });

  it('of an old ReplicaSet are not ours', () => {
    expect(judged(MINUTE, replicaSet({ hash: OLD, total: 0, failure: QUOTA }))).toMatchObject({
      state: 'progressing',
    });
  });
});

describe('in Knative mode', () => {
  const running = deployment({ name: 'd', revision: 'iris-predictor-00002' });
  const judged = (...objects: ClusterObject[]) => judgeNow(KNATIVE, ...objects);

  it('is ready when the newest revision is ready, the latest and has all traffic', () => {
    expect(judged(knativeInferenceService(), knativeService(), revision(), running)).toMatchObject({
      state: 'ready',
    });
  });

  it('waits for KServe to make and to update the Knative Service', () => {
    expect(judged(knativeInferenceService())).toEqual(
      progressing('waiting for KServe to make Knative Service iris-predictor'),
    );
    const update = progressing('waiting for KServe to update Knative Service iris-predictor');
    expect(judged(knativeInferenceService(), knativeService({ hash: OLD }))).toEqual(update);
    expect(judged(knativeInferenceService(), knativeService({ observed: 1 }))).toEqual(
      progressing('waiting for Knative to act on Knative Service iris-predictor'),
    );
  });

  it('takes nothing for that of the service that belongs to one which was deleted', () => {
    const recreated = knativeInferenceService({ about: { uid: 'new' } });
    const family = (owner: string, of: string): ClusterObject[] => [
      recreated,
      knativeService({ owner }),
      revision({ owner: of }),
      running,
    ];
    const own = 'KnativeService/iris-predictor';
    expect(judged(...family('old', own))).toEqual(
      progressing('waiting for KServe to make Knative Service iris-predictor'),
    );
    expect(judged(...family('new', 'old'))).toEqual(
      progressing('waiting for Knative to make a revision of iris-predictor'),
    );
    expect(judged(...family('new', own))).toMatchObject({ state: 'ready' });
  });

  it('waits for a Knative Service of which the service tells a later state', () => {
    const later = knativeInferenceService({
      status: {
        observedGeneration: 3,
        components: {
          predictor: {
            latestCreatedRevision: 'iris-predictor-00002',
            latestReadyRevision: 'iris-predictor-00002',
          },
        },
      },
    });
    expect(judged(later, knativeService(), revision(), running)).toEqual(
      progressing('waiting for KServe to update Knative Service iris-predictor'),
    );
  });

  it('waits for the revision, and says what its pod is at', () => {
    const behind = knativeService({ ready: 'iris-predictor-00001' });
    expect(judged(knativeInferenceService(), behind)).toEqual(
      progressing('waiting for Knative to make a revision of iris-predictor'),
    );
    const deploying = revision({ told: { Ready: ['Unknown', 'Deploying'] } });
    expect(judged(knativeInferenceService(), behind, deploying)).toEqual(
      progressing('waiting for revision iris-predictor-00002 to be ready: Deploying'),
    );
    const loading = unready({ ready: false, state: { running: {} } });
    expect(judged(knativeInferenceService(), behind, deploying, loading)).toEqual(
      progressing(
        'waiting for revision iris-predictor-00002 to be ready; iris-predictor-1-a: loading the model',
      ),
    );
  });

  it.each([
    [
      'the Knative Service',
      [knativeService({ told: { Ready: ['Unknown'], RoutesReady: ['True'] } }), revision()],
    ],
    ['its route', [knativeService({ told: { Ready: ['True'], RoutesReady: ['Unknown'] } }), revision()]],
    ['a revision of ours', [knativeService(), revision({ hash: OLD })]],
    ['that revision', [knativeService(), revision({ told: { Ready: ['Unknown'] } })]],
    ['the newest one', [knativeService({ created: 'iris-predictor-00003' }), revision()]],
  ])('waits for %s', (_, objects) => {
    expect(judged(knativeInferenceService(), running, ...objects)).toMatchObject({ state: 'progressing' });
  });

  it.each([
    ['iris-predictor-00002', 'iris-predictor-00001'],
    ['iris-predictor-00003', 'iris-predictor-00002'],
  ])('waits while the InferenceService names %s and %s', (latestCreatedRevision, latestReadyRevision) => {
    const components = { predictor: { latestCreatedRevision, latestReadyRevision } };
    const other = knativeInferenceService({ status: { components } });
    expect(judged(other, knativeService(), revision(), running)).toMatchObject({ state: 'progressing' });
  });

  it('wants as many pods as were asked for, and none where that is zero', () => {
    const objects = (min: number) => [knativeInferenceService({ min }), knativeService(), revision()];
    expect(judgeNow({ ...KNATIVE, minReplicas: 0 }, ...objects(0))).toMatchObject({ state: 'ready' });
    const one = deployment({ name: 'd', revision: 'iris-predictor-00002', desired: 3, available: 1 });
    expect(judgeNow({ ...KNATIVE, minReplicas: 2 }, ...objects(2), one)).toMatchObject({
      state: 'progressing',
    });
    expect(judgeNow({ ...KNATIVE, minReplicas: 1 }, ...objects(1), one)).toMatchObject({ state: 'ready' });
  });

  describe('with a canary', () => {
    const traffic = (revisionName: string, percent: number) => [
      { latestRevision: true, revisionName, percent },
      { latestRevision: false, revisionName: 'iris-predictor-00001', percent: 100 - percent, tag: 'prev' },
    ];
    const canary = (canaryTrafficPercent: number) =>
      knativeInferenceService({ predictor: { canaryTrafficPercent } });
    const judgedCanary = (percent: number, ...objects: ClusterObject[]) =>
      judged(canary(percent), revision(), running, ...objects);

    it('is ready with the traffic the manifest asks for', () => {
      expect(
        judgedCanary(10, knativeService({ traffic: traffic('iris-predictor-00002', 10) })),
      ).toMatchObject({
        state: 'ready',
      });
      expect(judgedCanary(20, knativeService({ traffic: traffic('iris-predictor-00002', 10) }))).toEqual(
        progressing('revision iris-predictor-00002 is ready and has 10 of 20 % of the traffic'),
      );
    });

    it('is not ready while its share goes to the revision before', () => {
      expect(
        judgedCanary(10, knativeService({ traffic: traffic('iris-predictor-00001', 10) })),
      ).toMatchObject({
        state: 'progressing',
      });
    });

    it('has everything where nothing was before', () => {
      expect(judgedCanary(10, knativeService())).toMatchObject({ state: 'ready' });
    });
  });

  describe('a revision that fails', () => {
    const around = [
      knativeInferenceService(),
      knativeService({ ready: '', told: { Ready: ['False'], RoutesReady: ['False'] } }),
    ];
    const broken = (reason: string, message: string) =>
      revision({ told: { Ready: ['False', reason, message] } });

    it('because its image cannot be read fails after the grace of an image', () => {
      const missing = broken('ContainerMissing', 'Unable to fetch image "sklearn:1": manifest unknown');
      expect(judgeAfter(KNATIVE, MINUTE - 1, ...around, missing)).toMatchObject({ state: 'progressing' });
      expect(judgeAfter(KNATIVE, MINUTE, ...around, missing)).toEqual(
        failed(
          'imagePull',
          'Knative cannot read the image of revision iris-predictor-00002: Unable to fetch image "sklearn:1": manifest unknown; correct the image, or give the service account a secret for its registry',
        ),
      );
    });

    it('for another reason says it in its words', () => {
      expect(
        judgeAfter(KNATIVE, MINUTE, ...around, broken('ExitCode1', 'Container failed with: bad')),
      ).toEqual(
        failed(
          'revision',
          'revision iris-predictor-00002 failed: Container failed with: bad; look at what the message names',
        ),
      );
    });

    it.each(['ProgressDeadlineExceeded', 'Unschedulable'])('with %s alone is no verdict', (reason) => {
      expect(judgeAfter(KNATIVE, MINUTE, ...around, broken(reason, 'm'))).toMatchObject({
        state: 'progressing',
      });
    });

    it('while it has pods is left to them', () => {
      const loading = unready({ ready: false, state: { running: {} } });
      expect(judgeAfter(KNATIVE, MINUTE, ...around, loading, broken('ExitCode1', 'm'))).toMatchObject({
        state: 'progressing',
      });
    });
  });

  it('a revision that Knative refuses to make fails when that lasts', () => {
    const refused = knativeService({
      created: '',
      ready: '',
      told: {
        Ready: ['False'],
        ConfigurationsReady: ['False', 'RevisionFailed', 'denied the request: hostIPC'],
      },
    });
    const judgedRefused = (milliseconds: number) =>
      judgeAfter(KNATIVE, milliseconds, knativeInferenceService(), refused);
    expect(judgedRefused(MINUTE / 2 - 1)).toMatchObject({ state: 'progressing' });
    expect(judgedRefused(MINUTE / 2)).toEqual(
      failed(
        'revision',
        'Knative cannot make a revision of iris-predictor: denied the request: hostIPC; change the policy to what Knative accepts',
      ),
    );
  });
});
