import { describe, expect, it } from 'vitest';
import {
  deployment,
  HASH,
  judgeAfter,
  judgeNow,
  KNATIVE,
  knativeInferenceService,
  knativeService,
  MINUTE,
  NOW,
  OLD,
  revision,
  seenOf,
  service,
  unready,
  WANTED,
} from './readiness.fixture.ts';
import { judge, serves } from './readiness.ts';
import type { Wanted } from './readiness-cause.ts';

describe('a verdict', () => {
  it('names the endpoints, the external one where it leads out of the cluster', () => {
    expect(judgeNow(WANTED, service(), deployment())).toEqual({
      state: 'ready',
      endpoints: {
        internal: 'http://iris-predictor.demo.svc.cluster.local',
        external: 'https://iris.example.com',
      },
      message: 'Ready at https://iris.example.com',
    });
  });

  it.each([
    'http://iris.demo.svc.cluster.local',
    'http://iris.demo.svc.k8s.corp',
    'grpc://iris',
    'https://',
    '',
  ])('has no external endpoint with the URL "%s"', (url) => {
    expect(judgeNow(WANTED, service({ status: { url } }), deployment())).toMatchObject({
      endpoints: { external: null },
      message: 'Ready at http://iris-predictor.demo.svc.cluster.local',
    });
  });

  it('is not ready before KServe says so, or while it cannot load the model', () => {
    const unknown = service({ told: { Ready: ['Unknown', 'Waiting'] } });
    expect(judgeNow(WANTED, unknown, deployment())).toMatchObject({
      state: 'progressing',
      message: 'the pods are ready; KServe does not report the service ready yet: Waiting',
    });
    const blocked = service({
      status: {
        modelStatus: { transitionStatus: 'BlockedByFailedLoad', lastFailureInfo: { message: 'bad model' } },
      },
    });
    expect(judgeNow(WANTED, blocked, deployment())).toMatchObject({
      state: 'progressing',
      message: 'the pods are ready; KServe still reports that the model cannot be loaded: bad model',
    });
  });

  it('is the timeout with the last state, and final, when nothing worse is known', () => {
    const objects = [service(), deployment({ available: 0 })];
    expect(judgeAfter(WANTED, 30 * MINUTE - 1, ...objects)).toMatchObject({ state: 'progressing', again: 1 });
    expect(judgeAfter(WANTED, 30 * MINUTE, ...objects)).toEqual({
      state: 'failed',
      cause: 'timeout',
      message:
        'not ready within 30m: 0 of 1 new pod ready; mend what it waits for and retry, or raise readiness.timeout in the policy',
      again: null,
    });
    const patient = { ...WANTED, readiness: { ...WANTED.readiness, timeout: 90 * MINUTE + 5000 } };
    expect(judgeAfter(patient, 91 * MINUTE, ...objects).message).toContain('not ready within 1h 30m 5s: ');
  });

  it('keeps a known cause at the timeout', () => {
    const pull = unready({ ready: false, state: { waiting: { reason: 'ErrImagePull' } } });
    const objects = [service(), deployment({ available: 0 }), pull];
    expect(judgeAfter(WANTED, 10 * MINUTE, ...objects)).toMatchObject({
      cause: 'imagePull',
      again: 20 * MINUTE,
    });
    expect(judgeAfter(WANTED, 30 * MINUTE, ...objects)).toMatchObject({ cause: 'imagePull', again: null });
  });

  it('that failed becomes ready when the model serves after all, even after the timeout', () => {
    const pull = unready({ ready: false, state: { waiting: { reason: 'ErrImagePull' } } });
    const failing = seenOf(service(), deployment({ available: 0 }), pull);
    const { since } = judge(WANTED, failing, {}, NOW);
    const failed = judge(WANTED, failing, since, NOW + MINUTE);
    expect(failed.verdict.state).toBe('failed');
    const serving = seenOf(service(), deployment());
    expect(judge(WANTED, serving, failed.since, NOW + 40 * MINUTE).verdict.state).toBe('ready');
  });

  it('is looked at again when the first of several causes has lasted', () => {
    const pull = unready({ ready: false, state: { waiting: { reason: 'ErrImagePull' } } });
    const refused = service({ told: {}, status: { modelStatus: { transitionStatus: 'InvalidSpec' } } });
    const objects = [refused, deployment({ available: 0 }), pull];
    expect(judgeNow(WANTED, ...objects)).toMatchObject({ again: MINUTE / 2 });
    expect(judgeAfter(WANTED, MINUTE / 2, ...objects)).toMatchObject({
      cause: 'invalidSpec',
      again: MINUTE / 2,
    });
  });
});

describe('the marks of time', () => {
  const pull = unready({ ready: false, state: { waiting: { reason: 'ErrImagePull' } } });
  const pulling = seenOf(service(), deployment({ available: 0 }), pull);

  it('are the same object while there is nothing to store', () => {
    const first = judge(WANTED, pulling, {}, NOW);
    expect(Object.values(first.since)).toEqual([NOW, NOW]);
    expect(judge(WANTED, pulling, first.since, NOW + 1000).since).toBe(first.since);
    const empty = {};
    expect(judge({ ...WANTED, via: 'gitops' }, seenOf(), empty, NOW).since).toBe(empty);
  });

  it('end with what they mark, except that the service was as wanted', () => {
    const { since } = judge(WANTED, pulling, {}, NOW);
    const later = judge(WANTED, seenOf(service(), deployment()), since, NOW + 1000);
    expect(later.since).toEqual({ ours: NOW });
    const lost = judge(WANTED, seenOf(), later.since, NOW + 2000);
    expect(lost.since).toEqual({ ours: NOW, away: NOW + 2000 });
  });

  it('do not grow older than they are when the clock is set back', () => {
    const { since } = judge(WANTED, pulling, {}, NOW + 10 * MINUTE);
    const back = judge(WANTED, pulling, since, NOW);
    expect(back.verdict).toMatchObject({ state: 'progressing', again: MINUTE });
  });
});

describe('a service that was ready', () => {
  it('serves while KServe and Kubernetes say so', () => {
    expect(serves(WANTED, seenOf(service(), deployment()))).toEqual({ serves: true });
    expect(serves(WANTED, seenOf(service(), deployment({ desired: 4, available: 3 })))).toEqual({
      serves: true,
    });
    const zero = { ...KNATIVE, minReplicas: 0 };
    expect(serves(zero, seenOf(knativeInferenceService({ min: 0 }), knativeService()))).toEqual({
      serves: true,
    });
  });

  describe('while it is scaled up', () => {
    // As KServe copies the condition Available of the Deployment, and makes the rest wait for it.
    const told = (component: string): Record<string, [string]> => ({
      ...{ Ready: ['False'], IngressReady: ['False'], PredictorReady: ['True'] },
      [`${component}Ready`]: ['False'],
    });
    const growing = { desired: 4, total: 4, isAvailable: 'False' };

    it('serves with as many pods as were asked for', () => {
      const scaled = service({ told: told('Predictor') });
      expect(serves(WANTED, seenOf(scaled, deployment({ ...growing, available: 1 })))).toEqual({
        serves: true,
      });
      expect(serves(WANTED, seenOf(service(), deployment({ ...growing, available: 1 })))).toEqual({
        serves: true,
      });
    });

    it('does not with fewer, or with none', () => {
      const two = { ...WANTED, minReplicas: 2 };
      const scaled = service({ min: 2, told: told('Predictor') });
      const having = (available: number) => seenOf(scaled, deployment({ ...growing, available }));
      expect(serves(two, having(2))).toEqual({ serves: true });
      expect(serves(two, having(1))).toMatchObject({ serves: false, cause: 'notServing' });
      const zero = { ...WANTED, minReplicas: 0 };
      const none = seenOf(
        service({ min: 0, told: told('Predictor') }),
        deployment({ ...growing, available: 0 }),
      );
      expect(serves(zero, none)).toMatchObject({ serves: false });
    });

    it('serves while it is the transformer', () => {
      const annotations = { 'modelhook.dev/spec-hash': HASH };
      const scaled = service({ told: told('Transformer'), spec: { transformer: { annotations } } });
      const transformer = { name: 'iris-transformer', component: 'transformer' };
      const having = (available: number) =>
        seenOf(scaled, deployment(), deployment({ ...transformer, ...growing, available }));
      expect(serves(WANTED, having(1))).toEqual({ serves: true });
      expect(serves(WANTED, having(0))).toMatchObject({ serves: false });
    });
  });

  it('does not serve when its pods do not, and says why', () => {
    const down = { desired: 1, available: 0, isAvailable: 'False' };
    expect(serves(WANTED, seenOf(service(), deployment(down)))).toEqual({
      serves: false,
      cause: 'notServing',
      message:
        'iris was ready and no longer serves: 0 of 1 new pod ready; look at its pods: kubectl get pods -n demo -l serving.kserve.io/inferenceservice=iris',
    });
    const pull = unready({ ready: false, state: { waiting: { reason: 'ErrImagePull' } } });
    expect(serves(WANTED, seenOf(service(), deployment(down), pull))).toMatchObject({ cause: 'imagePull' });
    const unknown = service({ told: { Ready: ['False', 'Gone'] } });
    expect(serves(WANTED, seenOf(unknown, deployment()))).toMatchObject({
      cause: 'notServing',
      message: expect.stringContaining('KServe does not report the service ready yet: Gone'),
    });
  });

  it('does not serve when it is gone, stopped or changed', () => {
    expect(serves(WANTED, seenOf())).toMatchObject({ serves: false, cause: 'deleted' });
    expect(serves(WANTED, seenOf(service({ hash: OLD }), deployment()))).toMatchObject({ cause: 'changed' });
    const recreated = service({ about: { uid: 'new' } });
    const left = deployment({ owner: 'InferenceService/iris' });
    expect(serves(WANTED, seenOf(recreated, left))).toMatchObject({ cause: 'notServing' });
    const stopped = service({ annotations: { 'serving.kserve.io/stop': 'true' } });
    expect(serves(WANTED, seenOf(stopped, deployment()))).toMatchObject({ cause: 'stopped' });
  });

  it('serves while what somebody changed is put back, if it does, and not when it was deleted', () => {
    const healed: Wanted = { ...WANTED, heals: true };
    const changed = service({ max: 9 });
    expect(serves(WANTED, seenOf(changed, deployment()))).toMatchObject({ cause: 'changed' });
    expect(serves(healed, seenOf(changed, deployment()))).toEqual({ serves: true });
    expect(serves(healed, seenOf(changed, deployment({ available: 0, isAvailable: 'False' })))).toMatchObject(
      {
        serves: false,
      },
    );
    expect(serves(healed, seenOf())).toMatchObject({ serves: false, cause: 'deleted' });
  });

  it('does not serve when Knative says it is not ready', () => {
    const down = knativeService({ told: { Ready: ['False'], RoutesReady: ['False', 'x', 'no ingress'] } });
    expect(serves(KNATIVE, seenOf(knativeInferenceService(), down, revision()))).toMatchObject({
      serves: false,
      cause: 'notServing',
    });
  });
});
