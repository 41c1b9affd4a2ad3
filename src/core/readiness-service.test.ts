import { describe, expect, it } from 'vitest';
import type { ClusterObject, Seen } from './cluster-views.ts';
import {
  deployment,
  event,
  GITOPS,
  HASH,
  judgeAfter,
  judgeNow,
  KNATIVE,
  MINUTE,
  NOW,
  OLD,
  seenOf,
  service,
  WANTED,
} from './readiness.fixture.ts';
import { judge, type Verdict } from './readiness.ts';
import type { Wanted } from './readiness-cause.ts';

const failed = (cause: string, message: string) => ({
  state: 'failed',
  cause,
  message,
  again: expect.anything(),
});
const progressing = (message: string) => ({ state: 'progressing', message, again: expect.anything() });

/** Judges what is seen after the service was once as wanted. */
function judgeLater(wanted: Wanted, seen: Seen): Verdict {
  const { since } = judge(wanted, seenOf(service(), deployment({ available: 0 })), {}, NOW);
  return judge(wanted, seen, since, NOW + 1000).verdict;
}

describe('before the delivered service is there', () => {
  it('waits for the GitOps agent, and says what it has not done yet', () => {
    expect(judgeNow(GITOPS)).toEqual(progressing('waiting for the GitOps agent to apply 1a2b3c4'));
    expect(judgeNow({ ...GITOPS, commit: null })).toEqual(
      progressing('waiting for the GitOps agent to apply the manifest'),
    );
    expect(judgeNow(GITOPS, service({ hash: OLD }))).toEqual(
      progressing(
        `waiting for the GitOps agent to apply 1a2b3c4: iris still has spec-hash ${OLD} instead of ${HASH}`,
      ),
    );
    expect(judgeNow(GITOPS, service({ min: 2 }))).toEqual(
      progressing(
        'waiting for the GitOps agent to apply 1a2b3c4: iris still has 2 to 3 replicas instead of 1 to 3',
      ),
    );
    expect(judgeAfter(GITOPS, 29 * MINUTE, service({ hash: OLD }))).toMatchObject({
      state: 'progressing',
      again: MINUTE,
    });
  });

  it('leaves the namespace to the agent', () => {
    const seen: Seen = { ...seenOf(), namespace: 'absent' };
    expect(judge(GITOPS, seen, {}, NOW).verdict).toEqual(
      progressing('waiting for the GitOps agent to apply 1a2b3c4: namespace demo does not exist'),
    );
  });

  it('an apply is given as long as a watch may lag', () => {
    expect(judgeAfter(WANTED, MINUTE / 2 - 1)).toEqual(
      progressing('waiting for iris to appear in the cluster'),
    );
    expect(judgeAfter(WANTED, MINUTE / 2)).toEqual(
      failed('deleted', 'somebody deleted iris from namespace demo; deploy it again if it should serve'),
    );
    expect(judgeAfter(WANTED, MINUTE / 2 - 1, service({ hash: OLD }))).toEqual(
      progressing('waiting for iris to show what was applied'),
    );
    expect(judgeAfter(WANTED, MINUTE / 2, service({ hash: OLD }))).toMatchObject({ cause: 'changed' });
  });

  it('an apply into a namespace that is not there fails', () => {
    expect(judge(WANTED, { ...seenOf(), namespace: 'absent' }, {}, NOW).verdict).toEqual(
      failed(
        'namespace',
        'namespace demo of cluster prod does not exist; create it and deploy again, for modelhook makes no namespaces',
      ),
    );
  });
});

describe('after the delivered service was there', () => {
  it('says when somebody else changed it', () => {
    expect(judgeLater(WANTED, seenOf(service({ hash: OLD }), deployment()))).toEqual(
      failed(
        'changed',
        `somebody else changed iris after it was delivered: it has spec-hash ${OLD} instead of ${HASH}; deploy again`,
      ),
    );
    expect(judgeLater(GITOPS, seenOf(service({ max: 9 }), deployment()))).toEqual(
      failed(
        'changed',
        'somebody else changed iris after it was delivered: it has 1 to 9 replicas instead of 1 to 3; let the GitOps agent sync it, or deploy again',
      ),
    );
  });

  it('says when somebody deletes it', () => {
    expect(judgeLater(GITOPS, seenOf())).toMatchObject({ cause: 'deleted' });
    const deleting = service({ about: { deletionTimestamp: '2026-11-21T12:00:00Z' } });
    expect(judgeLater(GITOPS, seenOf(deleting, deployment()))).toEqual(
      failed('deleted', 'somebody is deleting iris from namespace demo; deploy it again if it should serve'),
    );
  });

  it('says when its namespace goes', () => {
    expect(judgeLater(GITOPS, { ...seenOf(), namespace: 'terminating' })).toEqual(
      failed(
        'namespace',
        'namespace demo of cluster prod is being deleted; create it and deploy again, for modelhook makes no namespaces',
      ),
    );
  });

  it('becomes ready again when it is put back', () => {
    expect(judgeLater(WANTED, seenOf(service(), deployment()))).toMatchObject({ state: 'ready' });
  });
});

describe('where modelhook puts back what others change', () => {
  const healed: Wanted = { ...WANTED, heals: true };
  const deleting = service({ about: { deletionTimestamp: '2026-11-21T12:00:00Z' } });

  it.each([
    ['a change', [service({ max: 9 }), deployment()], 'changed', 'it has 1 to 9 replicas instead of 1 to 3'],
    ['a deletion', [], 'deleted', 'somebody deleted iris from namespace demo'],
    ['a deletion under way', [deleting], 'deleted', 'somebody is deleting iris from namespace demo'],
  ])('%s is progress, until that takes too long', (_, objects, cause, words) => {
    const first = judge(healed, seenOf(service(), deployment({ available: 0 })), {}, NOW);
    const then = judge(healed, seenOf(...objects), first.since, NOW + 1000);
    expect(then.verdict).toMatchObject({
      state: 'progressing',
      message: expect.stringMatching(/^putting it back: somebody /),
      again: MINUTE / 2,
    });
    expect(then.verdict).toMatchObject({ message: expect.stringContaining(words) });
    const late = judge(healed, seenOf(...objects), then.since, NOW + 1000 + MINUTE / 2);
    expect(late.verdict).toMatchObject({
      ...{ state: 'failed', cause },
      message: expect.stringContaining('see in the timeline of the rollout why it is not put back'),
    });
    expect(judge(healed, seenOf(service(), deployment()), late.since, NOW + MINUTE).verdict).toMatchObject({
      state: 'ready',
    });
  });

  it('a namespace that goes is still a failure, and needs only to be made again', () => {
    expect(judgeLater(healed, { ...seenOf(), namespace: 'absent' })).toEqual(
      failed(
        'namespace',
        'namespace demo of cluster prod does not exist; create it, for modelhook makes no namespaces; the service is put back then',
      ),
    );
  });
});

it('a stopped service says that somebody stopped it, and how to start it', () => {
  const stopped = service({ annotations: { 'serving.kserve.io/stop': 'true' } });
  expect(judgeNow(WANTED, stopped, deployment({ desired: 0 }))).toEqual(
    failed(
      'stopped',
      'iris is stopped by its annotation serving.kserve.io/stop; start it: kubectl annotate inferenceservice -n demo iris serving.kserve.io/stop-',
    ),
  );
});

it('replica bounds that are left out have the defaults of KServe', () => {
  const without = service({ predictor: { minReplicas: null, maxReplicas: null } });
  expect(judgeNow({ ...WANTED, minReplicas: 1, maxReplicas: 0 }, without, deployment())).toMatchObject({
    state: 'ready',
  });
});

describe('a spec that KServe refuses', () => {
  const invalid = (reason: string, message: string) =>
    service({
      told: { Ready: ['Unknown'] },
      status: { modelStatus: { transitionStatus: 'InvalidSpec', lastFailureInfo: { reason, message } } },
    });

  it.each([
    [
      'RuntimeNotRecognized',
      'unknownRuntime',
      'runtime sklearnserver exists neither in namespace demo nor cluster-wide; create it, or name another in runtime.name of the policy',
    ],
    [
      'RuntimeDisabled',
      'runtimeDisabled',
      'runtime sklearnserver is disabled; enable it, or name another in runtime.name of the policy',
    ],
    [
      'NoSupportingRuntime',
      'unsupported',
      'runtime sklearnserver does not fit the model: as KServe says; change runtime, modelFormat or protocolVersion in the policy so that they agree',
    ],
    [
      'InvalidPredictorSpec',
      'invalidSpec',
      'KServe refuses the spec of iris: as KServe says; correct in the policy or the runtime what the message names',
    ],
  ])('with %s fails after its grace', (reason, cause, message) => {
    const seen = invalid(reason, 'as KServe says');
    const error = event(seen, 'InternalError', 'as KServe says');
    expect(judgeAfter(WANTED, MINUTE / 2 - 1, seen, error)).toEqual({
      state: 'progressing',
      message: 'KServe does not accept the spec yet: as KServe says',
      again: 1,
    });
    expect(judgeAfter(WANTED, MINUTE / 2, seen, error)).toEqual(failed(cause, message));
  });

  it('is not ready, whatever was ready before', () => {
    const stale = service({ status: { modelStatus: { transitionStatus: 'InvalidSpec' } } });
    expect(judgeNow(WANTED, stale, deployment())).toMatchObject({ state: 'progressing' });
  });

  it('starts its grace anew where it was accepted in between', () => {
    const refused = seenOf(invalid('RuntimeDisabled', 'm'));
    const accepted = seenOf(service(), deployment({ available: 0 }));
    let { since } = judge(WANTED, refused, {}, NOW);
    ({ since } = judge(WANTED, accepted, since, NOW + MINUTE / 4));
    ({ since } = judge(WANTED, refused, since, NOW + MINUTE / 2));
    expect(judge(WANTED, refused, since, NOW + MINUTE - 1).verdict).toMatchObject({ state: 'progressing' });
    expect(judge(WANTED, refused, since, NOW + MINUTE).verdict).toMatchObject({ state: 'failed' });
  });
});

it('a failure that KServe never cleared means nothing without its transition status', () => {
  const lastFailureInfo = { reason: 'RuntimeDisabled', message: 'm' };
  const old = service({ status: { modelStatus: { transitionStatus: 'UpToDate', lastFailureInfo } } });
  expect(judgeAfter(WANTED, MINUTE, old, deployment())).toMatchObject({ state: 'ready' });
});

describe('what only events tell', () => {
  const unsupported = (uri: string) =>
    `StorageURI not supported: storageUri, must be one of: [gs://, s3://]. StorageUri [${uri}] is not supported`;

  it('a storage URI that KServe does not know fails at once', () => {
    const ftp = service({ model: { storageUri: 'ftp://demo/iris' }, told: {} });
    expect(judgeNow(WANTED, ftp, event(ftp, 'InternalError', unsupported('ftp://demo/iris')))).toEqual(
      failed(
        'storageUri',
        'KServe does not support the storage URI ftp://demo/iris; use gs://, s3://, pvc://, oci://, hf://, https:// or another that KServe knows in storage.uri',
      ),
    );
  });

  it('one of several storage URIs fails the same way, also with credentials in it', () => {
    const uri = 'ftp://ml:s3cret@models/iris';
    const several = service({ predictor: { storageUris: [{ uri: 'hf://demo/a' }, { uri }] }, told: {} });
    const verdict = judgeNow(WANTED, several, event(several, 'InternalError', unsupported(uri)));
    expect(verdict).toMatchObject({ cause: 'storageUri' });
    expect(verdict.message).toContain('the storage URI ftp://***@models/iris;');
  });

  it('a storage URI that KServe has come to know since the rollout before does not fail it', () => {
    const known = service({ model: { storageUri: 'ftp://demo/iris' }, told: {} });
    const before = event(known, 'InternalError', unsupported('ftp://demo/iris'), -61);
    expect(judgeNow(WANTED, known, before)).toMatchObject({ state: 'progressing' });
  });

  it('a storage URI that was corrected since is not ours', () => {
    const corrected = service({ told: {} });
    const old = event(corrected, 'InternalError', unsupported('ftp://demo/iris'), -300);
    expect(judgeAfter(WANTED, MINUTE, corrected, old)).toMatchObject({ state: 'progressing' });
  });

  it('an error of KServe fails when it has not acted for some time', () => {
    const idle = service({ told: {} });
    const error = event(idle, 'InternalError', 'fails to reconcile component: no such secret');
    expect(judgeAfter(WANTED, MINUTE / 2 - 1, idle, error)).toMatchObject({ state: 'progressing', again: 1 });
    expect(judgeAfter(WANTED, MINUTE / 2, idle, error)).toEqual(
      failed(
        'reconcile',
        'KServe cannot set up iris: fails to reconcile component: no such secret; look at what the message names, and at the log of kserve-controller-manager',
      ),
    );
    const newer = event(idle, 'InternalError', 'the newer one', 9);
    expect(judgeAfter(WANTED, MINUTE, idle, newer, error).message).toContain('the newer one');
  });

  it('an error of KServe fails too where the pods run and the service does not', () => {
    const unreachable = service({
      told: { Ready: ['False'], PredictorReady: ['True'], IngressReady: ['False', 'Failed', 'no gateway'] },
    });
    const error = event(unreachable, 'InternalError', 'fails to reconcile ingress: no gateway');
    expect(judgeNow(WANTED, unreachable, deployment(), error)).toEqual(
      progressing('the pods are ready; KServe does not report the ingress ready yet: no gateway'),
    );
    expect(judgeAfter(WANTED, MINUTE / 2, unreachable, deployment(), error)).toMatchObject({
      cause: 'reconcile',
    });
  });

  it.each<[string, (about: ClusterObject) => ClusterObject]>([
    [
      'two writes that met',
      (about) => event(about, 'InternalError', 'fails: the object has been modified; again'),
    ],
    ['a time before the delivery', (about) => event(about, 'InternalError', 'old', -61)],
    ['another reason', (about) => event(about, 'UpdateFailed', 'm')],
  ])('an event of %s is no failure', (_, about) => {
    const idle = service({ told: {} });
    expect(judgeAfter(WANTED, MINUTE, idle, about(idle))).toEqual(
      progressing('waiting for KServe to make Deployment iris-predictor'),
    );
  });

  it('Knative mode without Knative fails at once, unless that was before the delivery', () => {
    const rejected = service({ mode: 'Knative', told: {} });
    const told = (seconds: number) =>
      event(rejected, 'ServerlessModeRejected', 'It is not possible to use Knative deployment mode', seconds);
    expect(judgeNow(KNATIVE, rejected, told(-61))).toMatchObject({ state: 'progressing' });
    expect(judgeNow(KNATIVE, rejected, told(5))).toEqual(
      failed(
        'knativeMissing',
        'the cluster has no Knative Serving, which deployment mode Knative needs; set deploymentMode: Standard in the policy and delete the service, or install Knative',
      ),
    );
  });
});

it('a service that KServe is told not to update says so', () => {
  const frozen = service({ annotations: { 'serving.kserve.io/disable-auto-update': 'true' } });
  expect(judgeAfter(WANTED, MINUTE / 2, frozen, deployment({ hash: OLD }))).toEqual(
    failed(
      'autoUpdateDisabled',
      'KServe ignores changes of iris: its annotation serving.kserve.io/disable-auto-update says so; remove the annotation',
    ),
  );
});
