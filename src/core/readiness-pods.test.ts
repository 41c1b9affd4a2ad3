import { describe, expect, it } from 'vitest';
import type { ClusterObject } from './cluster-views.ts';
import {
  deployment,
  event,
  judgeAfter,
  judgeNow,
  MINUTE,
  OLD,
  pod,
  replicaSet,
  service,
  unready,
  unschedulable,
  WANTED,
} from './readiness.fixture.ts';

const AROUND = [service(), deployment({ available: 0 }), replicaSet()];
const later = (milliseconds: number, ...objects: ClusterObject[]) =>
  judgeAfter(WANTED, milliseconds, ...AROUND, ...objects);
const now = (...objects: ClusterObject[]) => later(0, ...objects);
const failed = (cause: string, message: string) => ({
  state: 'failed',
  cause,
  message,
  again: expect.anything(),
});

const crashed = (restartCount: number, ended: Record<string, string | number>) => ({
  ready: false,
  restartCount,
  state: { waiting: { reason: 'CrashLoopBackOff', message: 'back-off 40s' } },
  lastState: { terminated: ended },
});

describe('an image that cannot be pulled', () => {
  const puller = (reason: string) =>
    unready({ ready: false, state: { waiting: { reason, message: 'manifest unknown' } } });

  it('fails after its grace, and says when to look again until then', () => {
    expect(later(MINUTE - 1, puller('ImagePullBackOff'))).toEqual({
      state: 'progressing',
      message: '0 of 1 new pod ready; iris-predictor-1-a: cannot pull the image sklearn:1: manifest unknown',
      again: 1,
    });
    expect(later(MINUTE, puller('ImagePullBackOff'))).toEqual(
      failed(
        'imagePull',
        'iris-predictor-1-a cannot pull the image sklearn:1: manifest unknown; correct the image, or give the service account a secret for its registry',
      ),
    );
  });

  it.each(['ErrImagePull', 'InvalidImageName', 'ErrImageNeverPull', 'ImageInspectError'])(
    'is told by %s too',
    (reason) => {
      expect(later(MINUTE, puller(reason))).toMatchObject({ cause: 'imagePull' });
    },
  );
});

it('a container that cannot be created fails after the grace of an image, in the words of the kubelet', () => {
  const missing = unready({
    ready: false,
    state: { waiting: { reason: 'CreateContainerConfigError', message: 'secret "hf" not found' } },
  });
  expect(later(MINUTE - 1, missing)).toMatchObject({
    message: '0 of 1 new pod ready; iris-predictor-1-a: cannot start kserve-container: secret "hf" not found',
  });
  expect(later(MINUTE, missing)).toEqual(
    failed(
      'containerConfig',
      'iris-predictor-1-a cannot start kserve-container: secret "hf" not found; create what is missing, or correct the container in the policy or the runtime',
    ),
  );
});

describe('a download', () => {
  const failing = (restartCount: number) =>
    unready(
      { ready: false, state: { waiting: { reason: 'PodInitializing' } } },
      {
        download: crashed(restartCount, {
          exitCode: 1,
          reason: 'Error',
          message: 'Traceback\n  in main\n\nRuntimeError: failed\n404 Client Error\nrevision not found\n',
        }),
      },
    );

  it('fails when it failed twice, with the exit code and the last lines', () => {
    expect(now(failing(1))).toEqual(
      failed(
        'download',
        'the model cannot be downloaded: storage-initializer exited with code 1: RuntimeError: failed 404 Client Error revision not found; correct the storage URI, or the credentials of the service account',
      ),
    );
  });

  it('that failed once is tried again', () => {
    expect(now(failing(0))).toMatchObject({
      state: 'progressing',
      message:
        '0 of 1 new pod ready; iris-predictor-1-a: storage-initializer exited with code 1 and is started again: RuntimeError: failed 404 Client Error revision not found',
    });
  });

  it('that runs out of memory names the limit and where it is set', () => {
    const killed = unready(
      { ready: false, state: { waiting: {} } },
      { download: crashed(1, { exitCode: 137, reason: 'OOMKilled' }) },
    );
    expect(now(killed)).toEqual(
      failed(
        'outOfMemory',
        'storage-initializer of iris-predictor-1-a ran out of memory at its limit of 1Gi, restarted once; raise the memory limit of storageInitializer in the ConfigMap inferenceservice-config of KServe',
      ),
    );
  });
});

describe('a crash', () => {
  const crash = (restarts: number, over = {}) =>
    unready(crashed(restarts, { exitCode: 3, reason: 'Error', message: 'ValueError: bad model' }), over);

  it('fails with the third restart, with the exit code and the last message', () => {
    expect(now(crash(2))).toMatchObject({
      state: 'progressing',
      message:
        '0 of 1 new pod ready; iris-predictor-1-a: kserve-container exited with code 3 and is started again: ValueError: bad model',
    });
    expect(now(crash(3))).toEqual(
      failed(
        'crashLoop',
        'kserve-container of iris-predictor-1-a exited with code 3, restarted 3 times: ValueError: bad model; read its log: kubectl logs -n demo iris-predictor-1-a -c kserve-container --previous',
      ),
    );
  });

  it('of an old pod, or of one that is being deleted, is not ours', () => {
    expect(now(crash(9, { hash: OLD }))).toMatchObject({ state: 'progressing' });
    expect(now(crash(9, { about: { deletionTimestamp: '2026-11-21T12:00:00Z' } }))).toMatchObject({
      state: 'progressing',
    });
  });

  it('by lack of memory names the limit that was hit', () => {
    expect(now(unready(crashed(3, { exitCode: 137, reason: 'OOMKilled' })))).toEqual(
      failed(
        'outOfMemory',
        'kserve-container of iris-predictor-1-a ran out of memory at its limit of 4Gi, restarted 3 times; raise resources.limits.memory in the policy',
      ),
    );
    expect(now(unready(crashed(1, { exitCode: 137, reason: 'OOMKilled' })))).toMatchObject({
      message:
        '0 of 1 new pod ready; iris-predictor-1-a: kserve-container ran out of memory at its limit of 4Gi and is started again',
    });
  });

  it('counts while the container is ended and not yet waiting', () => {
    const ended = { ready: false, restartCount: 3, state: { terminated: { exitCode: 1 } } };
    expect(now(unready(ended))).toMatchObject({ cause: 'crashLoop' });
    const running = { ready: false, restartCount: 3, state: { running: {} } };
    expect(now(unready(running))).toMatchObject({ state: 'progressing' });
  });
});

describe('a pod without a node', () => {
  const waiting = unschedulable('0/4 nodes are available: 4 Insufficient nvidia.com/gpu.');

  it("fails after its grace with the scheduler's words", () => {
    expect(later(10 * MINUTE - 1, waiting)).toMatchObject({
      state: 'progressing',
      message:
        '0 of 1 new pod ready; iris-predictor-1-a: no node takes it: 0/4 nodes are available: 4 Insufficient nvidia.com/gpu.',
      again: 1,
    });
    expect(later(10 * MINUTE, waiting)).toEqual(
      failed(
        'unschedulable',
        'no node takes iris-predictor-1-a: 0/4 nodes are available: 4 Insufficient nvidia.com/gpu.; add nodes that fit, or ask for less in resources and gpu',
      ),
    );
  });

  it('is given longer while the cluster adds a node for it', () => {
    const scaling = event(waiting, 'TriggeredScaleUp', 'pod triggered scale-up', 60);
    expect(later(20 * MINUTE, waiting, scaling)).toEqual({
      state: 'progressing',
      message: '0 of 1 new pod ready; iris-predictor-1-a: waiting for the node that is being added for it',
      again: 10 * MINUTE,
    });
    const before = event(waiting, 'NotTriggerScaleUp', 'pod did not trigger scale-up', 30);
    expect(later(20 * MINUTE, waiting, before, scaling)).toMatchObject({ state: 'progressing' });
  });

  it('fails when the cluster adds none after all', () => {
    const scaling = event(waiting, 'TriggeredScaleUp', 'pod triggered scale-up', 60);
    const ended = event(waiting, 'NotTriggerScaleUp', "pod didn't trigger scale-up", 120);
    expect(later(20 * MINUTE, waiting, scaling, ended)).toMatchObject({ cause: 'unschedulable' });
  });

  describe('in a cluster where Karpenter adds nodes', () => {
    const nominated = (seconds: number) =>
      event(waiting, 'Nominated', 'Pod should schedule on: nodeclaim/gpu-x7k2q', seconds);
    const declined = (seconds: number) =>
      event(waiting, 'FailedScheduling', 'Failed to schedule pod, no instance type has enough', seconds);

    it('is given longer once it is nominated for one, whatever the scheduler goes on to say', () => {
      const scheduler = event(waiting, 'FailedScheduling', '0/4 nodes are available: 4 Insufficient.', 120);
      for (const objects of [
        [nominated(60), scheduler],
        [declined(30), nominated(60)],
      ])
        expect(later(20 * MINUTE, waiting, ...objects)).toMatchObject({
          state: 'progressing',
          message: expect.stringMatching(/waiting for the node that is being added for it$/),
        });
    });

    it('fails when Karpenter finds no node for it', () => {
      for (const objects of [[declined(60)], [nominated(60), declined(120)]])
        expect(later(20 * MINUTE, waiting, ...objects)).toMatchObject({ cause: 'unschedulable' });
    });
  });
});

it('pods that fail one after the other fail the rollout after as many as restarts are allowed', () => {
  const evicted = (name: string) =>
    pod({
      name,
      phase: 'Failed',
      told: {},
      status: { reason: 'Evicted', message: 'The node was low on resource: ephemeral-storage.' },
    });
  expect(now(evicted('a'), evicted('b'))).toMatchObject({
    state: 'progressing',
    message: '0 of 1 new pod ready; a: failed with Evicted: The node was low on resource: ephemeral-storage.',
  });
  expect(now(evicted('a'), evicted('b'), evicted('c'))).toEqual(
    failed(
      'podFailed',
      '3 pods failed one after the other, at last with Evicted: The node was low on resource: ephemeral-storage.; ask for what the pods really use in resources, or look at the nodes',
    ),
  );
});

describe('what a pod is at', () => {
  const step = (...objects: ClusterObject[]) => {
    const verdict = now(...objects);
    return verdict.message.replace('0 of 1 new pod ready; iris-predictor-1-a: ', '');
  };
  const creating = unready(
    { ready: false, state: { waiting: { reason: 'PodInitializing' } } },
    { download: { ready: false, state: { waiting: { reason: 'PodInitializing' } } } },
  );

  it('is told from its state and its events', () => {
    expect(step(pod({ told: {}, status: { containerStatuses: [], initContainerStatuses: [] } }))).toBe(
      'waiting for a node',
    );
    expect(step(creating)).toBe('starting');
    const pulling = event(creating, 'Pulling', 'Pulling image "storage:1"');
    expect(step(creating, pulling)).toBe('pulling image');
    const other = event(creating, 'Pulled', 'Container image "queue:1" already present on machine', 6);
    expect(step(creating, pulling, other)).toBe('pulling image');
    expect(step(creating, pulling, event(creating, 'Pulled', 'Pulled image "storage:1"'))).toBe('starting');
    expect(step(creating, event(creating, 'FailedMount', 'claim "models" not found'))).toBe(
      'cannot mount a volume: claim "models" not found',
    );
    expect(
      step(unready({ ready: false, state: {} }, { download: { ready: false, state: { running: {} } } })),
    ).toBe('downloading the model');
    expect(step(unready({ ready: false, state: { running: {} } }))).toBe('loading the model');
  });

  it('is told of the first that is not ready, after how many are', () => {
    const verdict = judgeNow(
      { ...WANTED, minReplicas: 3 },
      service({ min: 3 }),
      deployment({ desired: 3, available: 2 }),
      pod({ name: 'a' }),
      pod({ name: 'b' }),
      unready({ ready: false, state: { running: {} } }, { name: 'c' }),
    );
    expect(verdict.message).toBe('2 of 3 new pods ready; c: loading the model');
  });
});

it('pods of a component without a hash count where the newest ReplicaSet made them', () => {
  const transformer = { component: 'transformer', hash: null };
  const objects = (owner: string) => [
    service({ spec: { transformer: { containers: [] } } }),
    deployment(),
    deployment({ name: 'iris-transformer', ...transformer, available: 0 }),
    replicaSet({ name: 'old', ...transformer, deploymentRevision: '9' }),
    replicaSet({ name: 'new', ...transformer, deploymentRevision: '10' }),
    unready(crashed(3, { exitCode: 1 }), { name: 't', owner: `ReplicaSet/${owner}`, ...transformer }),
  ];
  expect(judgeNow(WANTED, ...objects('old'))).toMatchObject({
    state: 'progressing',
    message: 'transformer: 0 of 1 new pod ready',
  });
  expect(judgeNow(WANTED, ...objects('new'))).toMatchObject({ cause: 'crashLoop' });
});
