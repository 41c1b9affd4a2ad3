import { describe, expect, it } from 'vitest';
import { type ClusterProblem, ClusterUnavailableError, type ObjectPlace } from '../cluster/cluster.ts';
import { StalledError, WaitingError } from '../core/errors.ts';
import { parseManifest } from '../core/inference-service.ts';
import { isJsonObject, type JsonObject } from '../core/json.ts';
import { createFakeCluster, type FakeCluster, manifestIn } from './apply.fixture.ts';
import { createApplyTarget } from './apply.ts';
import { deliveryOf, describeTarget, failureOf, outcomesOf, removalOf } from './contract.ts';
import type { Delivery, DeliveryOutcome, Errand } from './target.ts';

const SILENT = { debug() {}, info() {}, warn() {}, error() {} };
const IRIS = { namespace: 'models', name: 'iris' };

const targetOn = (applier: FakeCluster) => createApplyTarget({ name: 'prod', applier, log: SILENT });

describe('delivery to a cluster', () => {
  describeTarget(async () => {
    const cluster = createFakeCluster();
    return {
      target: targetOn(cluster),
      read: async ({ target }) => manifestIn(cluster.live(target)),
      put: async (_place, manifest) => cluster.applyAs('somebody', parseManifest(manifest)),
    };
  });
});

async function deliver(cluster: FakeCluster, errand: Errand): Promise<DeliveryOutcome | undefined> {
  return (await outcomesOf(targetOn(cluster), [errand])).get(errand.rolloutId);
}

/** Changes a manifest as somebody else. */
function changeAs(cluster: FakeCluster, manager: string, predictor: JsonObject): void {
  const metadata = { ...IRIS };
  cluster.applyAs(manager, { apiVersion: 'v1', kind: 'x', metadata, spec: { predictor } });
}

/** @param replicas what of the manifest may differ */
const scaled = (rolloutId: string, replicas: number, given: Partial<Delivery> = {}): Delivery => {
  const delivery = deliveryOf(rolloutId, given);
  return { ...delivery, manifest: `${delivery.manifest}    minReplicas: ${replicas}\n` };
};

const problem = (kind: ClusterProblem['kind'], what: string): ClusterUnavailableError =>
  new ClusterUnavailableError('cluster prod', { kind, what, detail: null, fix: 'mend it', retryAfter: null });

describe('an apply', () => {
  it('is tried without effect first, and then done', async () => {
    const cluster = createFakeCluster();
    expect(await deliver(cluster, deliveryOf('r1'))).toEqual({
      kind: 'delivered',
      message: 'Applied to prod',
      receipt: { commit: null, path: null },
      manifest: deliveryOf('r1').manifest,
    });
    expect(cluster.calls).toEqual(['get iris', 'dry run iris', 'apply iris']);
  });

  it('of what is there already writes nothing, so that one that outlived its controller is found', async () => {
    const cluster = createFakeCluster();
    await deliver(cluster, deliveryOf('r1'));
    cluster.touch(IRIS, {
      metadata: { generation: 3, finalizers: ['x'] },
      status: { deploymentMode: 'Standard' },
    });
    cluster.calls = [];
    expect(await deliver(cluster, deliveryOf('r1'))).toMatchObject({
      kind: 'delivered',
      message: 'Unchanged in prod: models/iris is already so',
    });
    expect(cluster.calls).toEqual(['get iris', 'dry run iris']);
  });

  it('whose answer was lost is found when it is tried again', async () => {
    const cluster = createFakeCluster();
    const { apply } = cluster;
    const lost = problem('unreachable', 'gives no answer in time');
    cluster.apply = async (object, options) => {
      const result = await apply(object, options);
      if (!options.dryRun) throw lost;
      return result;
    };
    expect(failureOf(await deliver(cluster, deliveryOf('r1')))).toBe(lost);
    expect(await deliver(cluster, deliveryOf('r1'))).toMatchObject({
      kind: 'delivered',
      message: 'Unchanged in prod: models/iris is already so',
    });
  });

  it('leaves what webhooks and others add as it is, and counts it as no difference', async () => {
    const cluster = createFakeCluster();
    cluster.admit = (object) => ({ ...object, spec: { ...Object(object['spec']), defaulted: true } });
    await deliver(cluster, deliveryOf('r1'));
    changeAs(cluster, 'somebody', { serviceAccountName: 'reader' });
    expect(await deliver(cluster, deliveryOf('r2'))).toMatchObject({
      message: expect.stringMatching(/^Unchanged/),
    });
    expect(await deliver(cluster, deliveryOf('r3', { revision: 'v1.1.0' }))).toMatchObject({
      message: 'Applied to prod',
    });
    expect(cluster.live(IRIS)).toMatchObject({
      spec: { defaulted: true, predictor: { serviceAccountName: 'reader' } },
    });
  });

  it('takes away what the manifest no longer has', async () => {
    const cluster = createFakeCluster();
    await deliver(cluster, scaled('r1', 2));
    await deliver(cluster, deliveryOf('r2'));
    expect(manifestIn(cluster.live(IRIS))).toBe(deliveryOf('r2').manifest);
  });

  it('that a webhook refuses fails in its words, and changes nothing', async () => {
    const cluster = createFakeCluster();
    const refusal = new StalledError('cluster prod refuses it: no GPUs on Fridays', 'wait');
    cluster.admit = () => {
      throw refusal;
    };
    expect(failureOf(await deliver(cluster, deliveryOf('r1')))).toBe(refusal);
    expect(cluster.calls).toEqual(['get iris', 'dry run iris']);
    expect(cluster.live(IRIS)).toBeNull();
  });

  it('makes no namespace', async () => {
    const cluster = createFakeCluster();
    cluster.namespaces.clear();
    expect(String(failureOf(await deliver(cluster, deliveryOf('r1'))))).toContain(
      'cluster prod has no namespace models; make it',
    );
    expect(cluster.live(IRIS)).toBeNull();
  });

  it('names each manager that changed something, and what, and takes nothing from them', async () => {
    const cluster = createFakeCluster();
    await deliver(cluster, scaled('r1', 1));
    changeAs(cluster, 'kubectl-edit', { minReplicas: 5 });
    changeAs(cluster, 'argocd-controller', { annotations: { 'modelhook.dev/revision': 'v0' } });
    const failure = failureOf(await deliver(cluster, scaled('r2', 1)));
    expect(failure).toBeInstanceOf(StalledError);
    expect(String(failure)).toContain(
      'InferenceService models/iris in prod was changed by others: kubectl-edit set spec.predictor.minReplicas, and ' +
        'argocd-controller set spec.predictor.annotations.modelhook.dev/revision; let only one of them set these, or ' +
        'set delivery.adopt: true in policy "production" to take them over',
    );
    expect(cluster.live(IRIS)).toMatchObject({ spec: { predictor: { minReplicas: 5 } } });

    expect(await deliver(cluster, scaled('r3', 1, { adopt: true }))).toMatchObject({
      message: 'Applied to prod',
    });
    expect(cluster.live(IRIS)).toMatchObject({ spec: { predictor: { minReplicas: 1 } } });
    expect(await deliver(cluster, scaled('r4', 2))).toMatchObject({ message: 'Applied to prod' });
  });

  it('takes nothing from who changes a field between the trial and the write', async () => {
    const cluster = createFakeCluster();
    await deliver(cluster, scaled('r1', 1));
    cluster.before = async (call) => {
      if (call === 'apply iris') changeAs(cluster, 'kubectl-edit', { minReplicas: 5 });
    };
    const failure = failureOf(await deliver(cluster, scaled('r2', 1, { revision: 'v1.1.0' })));
    expect(String(failure)).toContain('kubectl-edit set spec.predictor.minReplicas');
    expect(cluster.live(IRIS)).toMatchObject({ spec: { predictor: { minReplicas: 5 } } });
  });

  it('of another annotation is a change', async () => {
    const cluster = createFakeCluster();
    const first = deliveryOf('r1');
    await deliver(cluster, first);
    const manifest = first.manifest.replace('  annotations:\n', '  annotations:\n    a: b\n');
    expect(await deliver(cluster, { ...first, manifest })).toMatchObject({ message: 'Applied to prod' });
    expect(cluster.live(IRIS)).toMatchObject({ metadata: { annotations: { a: 'b' } } });
  });

  it('says that the policy does not update rather than who changed what', async () => {
    const cluster = createFakeCluster();
    await deliver(cluster, scaled('r1', 1));
    changeAs(cluster, 'kubectl-edit', { minReplicas: 5 });
    expect(String(failureOf(await deliver(cluster, scaled('r2', 1, { updateExisting: false }))))).toContain(
      'InferenceService models/iris in prod exists, and policy "production" has updateExisting: false; ' +
        'set updateExisting: true in policy "production", or delete that InferenceService first',
    );
    expect(cluster.live(IRIS)).toMatchObject({ spec: { predictor: { minReplicas: 5 } } });
  });

  it('judges what somebody made between the look and the write, also where it adopts', async () => {
    for (const adopt of [false, true]) {
      const cluster = createFakeCluster();
      const foreign = deliveryOf('r0', { repository: 'plain:other/iris', revision: 'v0' }).manifest;
      cluster.before = async (call) => {
        if (call === 'apply iris') cluster.applyAs('somebody', parseManifest(foreign));
      };
      const failure = failureOf(await deliver(cluster, deliveryOf('r1', { adopt })));
      expect(String(failure)).toContain('belongs to plain:other/iris');
      expect(manifestIn(cluster.live(IRIS))).toBe(foreign);
    }
  });

  it('judges what has taken the name between the look and the write, also where it may take over', async () => {
    for (const given of [{}, { adopt: true }, { selfHeal: true }]) {
      const cluster = createFakeCluster();
      await deliver(cluster, deliveryOf('r1'));
      const foreign = deliveryOf('r0', { repository: 'plain:other/iris', revision: 'v0' }).manifest;
      cluster.before = async (call) => {
        if (call !== 'apply iris') return;
        cluster.before = async () => {};
        await cluster.remove(IRIS, uidOf(cluster, IRIS));
        cluster.applyAs('somebody', parseManifest(foreign));
      };
      const failure = failureOf(await deliver(cluster, deliveryOf('r2', { revision: 'v1.1.0', ...given })));
      expect(String(failure)).toContain('belongs to plain:other/iris');
      expect(manifestIn(cluster.live(IRIS))).toBe(foreign);
    }
  });

  it('makes anew what somebody deletes between the look and the write', async () => {
    const cluster = createFakeCluster();
    await deliver(cluster, deliveryOf('r1'));
    cluster.before = async (call) => {
      if (call !== 'apply iris') return;
      cluster.before = async () => {};
      await cluster.remove(IRIS, uidOf(cluster, IRIS));
    };
    const next = deliveryOf('r2', { revision: 'v1.1.0' });
    expect(await deliver(cluster, next)).toMatchObject({ message: 'Applied to prod' });
    expect(manifestIn(cluster.live(IRIS))).toBe(next.manifest);
  });

  it('waits for a service that is being deleted', async () => {
    const cluster = createFakeCluster();
    await deliver(cluster, deliveryOf('r1'));
    cluster.touch(IRIS, { metadata: { deletionTimestamp: '2026-01-02T03:04:05Z' } });
    const failure = failureOf(await deliver(cluster, deliveryOf('r2', { revision: 'v1.1.0' })));
    expect(failure).toBeInstanceOf(WaitingError);
    expect(String(failure)).toContain('Waiting: InferenceService models/iris in prod is being deleted');
  });

  it('takes the mode from the status of the service', async () => {
    const cluster = createFakeCluster();
    await deliver(cluster, deliveryOf('r1'));
    cluster.touch(IRIS, { status: { deploymentMode: 'Knative' } });
    expect(String(failureOf(await deliver(cluster, deliveryOf('r2'))))).toContain(
      'default/models/iris exists in Knative mode',
    );
  });

  it('asks whether it is wanted after the trial, right before the write', async () => {
    const cluster = createFakeCluster();
    let asked: string[] = [];
    const outcomes = await outcomesOf(targetOn(cluster), [deliveryOf('r1')], async () => {
      asked = [...cluster.calls];
      return new Set();
    });
    expect(asked).toEqual(['get iris', 'dry run iris']);
    expect(outcomes.get('r1')).toEqual({ kind: 'dropped' });
    expect(cluster.live(IRIS)).toBeNull();
  });
});

describe('a cluster that fails', () => {
  it('leaves its errors transient', async () => {
    for (const call of ['get iris', 'dry run iris', 'apply iris'])
      for (const kind of ['unreachable', 'busy', 'credentials', 'missing', 'stranger'] as const) {
        const cluster = createFakeCluster();
        const error = problem(kind, 'cannot be asked');
        cluster.before = async (asked) => {
          if (asked === call) throw error;
        };
        expect(failureOf(await deliver(cluster, deliveryOf('r1')))).toBe(error);
      }
  });

  it.each([
    ['forbidden', 'forbids user "ci" to patch InferenceServices'],
    ['namespace', 'has no namespace models'],
  ] as const)(
    'waits for who can mend what is %s, and fails at once for who waits for the end',
    async (kind, what) => {
      const cluster = createFakeCluster();
      cluster.before = async () => {
        throw problem(kind, what);
      };
      for (const errand of [deliveryOf('r1'), removalOf('r1')]) {
        const waiting = failureOf(await deliver(cluster, errand));
        expect(waiting).toBeInstanceOf(WaitingError);
        expect(waiting).toMatchObject({ message: `Waiting: cluster prod ${what}; mend it`, after: 30_000 });
        const target = createApplyTarget({ name: 'prod', applier: cluster, log: SILENT, impatient: true });
        const failure = failureOf((await outcomesOf(target, [errand])).get('r1'));
        expect(failure).toBeInstanceOf(StalledError);
        expect(failure).toMatchObject({ message: `cluster prod ${what}; mend it` });
      }
    },
  );

  it('is asked no more for a batch once it cannot be read', async () => {
    const cluster = createFakeCluster();
    cluster.before = async () => {
      throw problem('unreachable', 'cannot be reached');
    };
    const batch = Array.from({ length: 100 }, (_, index) => named(`r${index}`, `iris-${index}`));
    const outcomes = await outcomesOf(targetOn(cluster), batch);
    expect([...outcomes.values()].map(failureOf)).toEqual(
      batch.map(() => expect.any(ClusterUnavailableError)),
    );
    expect(cluster.calls.length).toBeLessThan(10);
    cluster.before = async () => {};
    expect(await deliver(cluster, deliveryOf('r1'))).toMatchObject({ kind: 'delivered' });
  });

  it('fails none but those it refuses: the others of the batch go on', async () => {
    const cluster = createFakeCluster();
    cluster.before = async (call) => {
      if (call === 'dry run iris-3') throw problem('busy', 'answers 500');
      if (call === 'get iris-4') throw problem('forbidden', 'forbids it');
    };
    const batch = Array.from({ length: 20 }, (_, index) => named(`r${index}`, `iris-${index}`));
    const outcomes = await outcomesOf(targetOn(cluster), batch);
    const failed = [...outcomes].filter(([, { kind }]) => kind === 'failed').map(([id]) => id);
    expect(failed.toSorted()).toEqual(['r3', 'r4']);
    expect(outcomes.size).toBe(20);
  });

  it('holds up none but those it is slow with: what came of the others is told at once', async () => {
    const cluster = createFakeCluster();
    const told: string[] = [];
    const gate = Promise.withResolvers<void>();
    const others = Promise.withResolvers<void>();
    cluster.before = async (call) => {
      if (call === 'apply iris-0') await gate.promise;
    };
    const batch = Array.from({ length: 20 }, (_, index) => named(`r${index}`, `iris-${index}`));
    const delivering = targetOn(cluster).deliver(
      batch,
      async (ids) => new Set(ids),
      (rolloutId) => {
        if (told.push(rolloutId) === batch.length - 1) others.resolve();
      },
    );
    await others.promise;
    expect(told).not.toContain('r0');
    gate.resolve();
    await delivering;
    expect(told.at(-1)).toBe('r0');
  });

  it('is written to for several targets at once, but not for all', async () => {
    const cluster = createFakeCluster();
    let open = 0;
    let most = 0;
    cluster.before = async () => {
      most = Math.max(most, ++open);
      await new Promise(setImmediate);
      open -= 1;
    };
    const batch = Array.from({ length: 50 }, (_, index) => named(`r${index}`, `iris-${index}`));
    await outcomesOf(targetOn(cluster), batch);
    expect(most).toBe(8);
  });
});

describe('a removal from a cluster', () => {
  it('says so, and asks whether it is wanted right before', async () => {
    const cluster = createFakeCluster();
    await deliver(cluster, deliveryOf('r1'));
    expect(await deliver(cluster, removalOf('r2'))).toEqual({
      kind: 'removed',
      receipt: { commit: null, path: null },
      message: 'Removed from prod',
    });
    expect(cluster.live(IRIS)).toBeNull();
    expect(await deliver(cluster, removalOf('r3'))).toMatchObject({
      message: 'Nothing to remove in prod: models/iris is not there',
    });
  });

  it('counts a service that is being deleted as removed', async () => {
    const cluster = createFakeCluster();
    await deliver(cluster, deliveryOf('r1'));
    cluster.touch(IRIS, { metadata: { deletionTimestamp: '2026-01-02T03:04:05Z' } });
    cluster.calls = [];
    expect(await deliver(cluster, removalOf('r2'))).toMatchObject({ message: 'Removed from prod' });
    expect(cluster.calls).toEqual(['get iris']);
  });

  it('judges anew what has taken the name meanwhile', async () => {
    const cluster = createFakeCluster();
    await deliver(cluster, deliveryOf('r1'));
    // Replaced once by another repository's of the same name.
    let replaced = false;
    cluster.before = async (call) => {
      if (call !== 'remove iris' || replaced) return;
      replaced = true;
      const { before } = cluster;
      cluster.before = async () => {};
      await cluster.remove(IRIS, uidOf(cluster, IRIS));
      cluster.applyAs(
        'somebody',
        parseManifest(deliveryOf('r0', { repository: 'plain:other/iris' }).manifest),
      );
      cluster.before = before;
    };
    expect(await deliver(cluster, removalOf('r2'))).toEqual({
      kind: 'cancelled',
      message: 'Cancelled: InferenceService models/iris in prod belongs to plain:other/iris, so it stays',
    });
    expect(cluster.live(IRIS)).not.toBeNull();
  });
});

const uidOf = (cluster: FakeCluster, place: ObjectPlace): string => {
  const metadata = cluster.live(place)?.['metadata'];
  return isJsonObject(metadata) ? String(metadata['uid']) : '';
};

const named = (rolloutId: string, name: string): Delivery =>
  deliveryOf(rolloutId, { target: { cluster: 'prod', namespace: 'models', name } });
