import { describe, expect, it } from 'vitest';
import { ApplyConflictError } from '../cluster/cluster.ts';
import { intentOf } from '../core/cluster-objects.ts';
import { WaitingError } from '../core/errors.ts';
import { parseManifest, SPEC_HASH } from '../core/inference-service.ts';
import { type JsonObject, valueAt } from '../core/json.ts';
import { createFakeCluster, type FakeCluster, manifestIn } from './apply.fixture.ts';
import { createApplyTarget } from './apply.ts';
import { deliveryOf, failureOf, manifestOf, outcomesOf } from './contract.ts';
import { differenceIn, isOtherVersion, ownersIn } from './heal.ts';
import type { Delivery, DeliveryOutcome, Errand } from './target.ts';

const MANIFEST = {
  metadata: { name: 'iris', labels: { team: 'vision' } },
  spec: { predictor: { minReplicas: 1, model: { args: ['a'], limits: { cpu: '1', memory: '1Gi' } } } },
};

describe('the difference', () => {
  it('is none where only what the manifest does not say is another', () => {
    const live = { ...MANIFEST, status: { url: 'x' }, spec: { ...MANIFEST.spec, defaulted: true } };
    expect(differenceIn(MANIFEST, live, MANIFEST)).toBeNull();
    expect(differenceIn(MANIFEST, MANIFEST, live)).toBeNull();
  });

  it('names what was removed, at the greatest depth that is there', () => {
    const { predictor } = MANIFEST.spec;
    const live = { ...MANIFEST, spec: { predictor: { ...predictor, model: { args: ['a'] } } } };
    expect(differenceIn(MANIFEST, live, MANIFEST)).toBe('somebody had removed spec.predictor.model.limits');
  });

  it('names three fields at most', () => {
    const live = {
      metadata: {},
      spec: { predictor: { minReplicas: 2, model: { args: ['b'], limits: { cpu: '2', memory: '1Gi' } } } },
    };
    expect(differenceIn(MANIFEST, live, MANIFEST)).toBe(
      'somebody had changed metadata.labels, spec.predictor.minReplicas, spec.predictor.model.args and 1 more',
    );
  });
});

it('a conflict names each manager once, with its fields', () => {
  const fields = [
    { manager: 'kubectl-edit', field: '.spec.a' },
    { manager: 'helm', field: '.spec.b' },
    { manager: 'kubectl-edit', field: '.spec.c' },
  ];
  expect(ownersIn(new ApplyConflictError('x', fields), 'had set')).toEqual([
    'kubectl-edit had set spec.a, spec.c',
    'helm had set spec.b',
  ]);
});

it.each([
  [
    'which has that field',
    { 'f:spec': { 'f:predictor': { 'f:annotations': { [`f:${SPEC_HASH}`]: {} } } } },
    true,
  ],
  ['which has the whole spec, as with the minimal CRDs', { 'f:spec': {} }, true],
  ['which has other fields only', { 'f:spec': { 'f:predictor': { 'f:model': {} } } }, false],
])('another spec-hash is a version of our own field manager, %s: %o is %s', (_, fieldsV1, expected) => {
  const withHash = (hash: string): JsonObject => ({
    spec: { predictor: { annotations: { [SPEC_HASH]: hash } } },
  });
  const by = (manager: string, operation: string): JsonObject => ({
    ...withHash('b'),
    metadata: { managedFields: [{ manager, operation, fieldsV1 }] },
  });
  expect(isOtherVersion(withHash('a'), by('modelhook', 'Apply'))).toBe(expected);
  expect(isOtherVersion(withHash('b'), by('modelhook', 'Apply'))).toBe(false);
  expect(isOtherVersion(withHash('a'), by('kubectl-edit', 'Apply'))).toBe(false);
  expect(isOtherVersion(withHash('a'), by('modelhook', 'Update'))).toBe(false);
});

const SILENT = { debug() {}, info() {}, warn() {}, error() {} };
const IRIS = { namespace: 'models', name: 'iris' };
const LABELS = { 'app.kubernetes.io/managed-by': 'anna' };

async function send(cluster: FakeCluster, errand: Errand): Promise<DeliveryOutcome | undefined> {
  const target = createApplyTarget({ name: 'prod', applier: cluster, log: SILENT });
  return (await outcomesOf(target, [errand])).get(errand.rolloutId);
}

const delivery = (given: Partial<Delivery> = {}): Delivery => {
  const plain = deliveryOf('r1', given);
  return { ...plain, manifest: `${plain.manifest}    minReplicas: 1\n` };
};

const putBack = (cluster: FakeCluster): Promise<DeliveryOutcome | undefined> =>
  send(cluster, Object.assign(delivery(), { heals: true as const }));

function changeAs(cluster: FakeCluster, manager: string, predictor: JsonObject, metadata = {}): void {
  cluster.applyAs(manager, { kind: 'x', metadata: { ...IRIS, ...metadata }, spec: { predictor } });
}

async function delivered(): Promise<FakeCluster> {
  const cluster = createFakeCluster();
  await send(cluster, delivery());
  cluster.calls = [];
  return cluster;
}

describe('a healing', () => {
  it('of what nobody changed writes nothing, and says what is there', async () => {
    const cluster = await delivered();
    changeAs(cluster, 'somebody', { serviceAccountName: 'reader' });
    cluster.touch(IRIS, { status: { url: 'x' } });
    expect(await putBack(cluster)).toEqual({ kind: 'intact', intent: intentOf(cluster.live(IRIS) ?? {}) });
    expect(cluster.calls).toEqual(['get iris', 'dry run iris']);
  });

  it('takes back what others have set, whatever webhooks add', async () => {
    const cluster = await delivered();
    cluster.admit = (object) => ({ ...object, spec: { ...Object(object['spec']), defaulted: true } });
    changeAs(cluster, 'kubectl-edit', { minReplicas: 5 });
    expect(await putBack(cluster)).toEqual({
      kind: 'healed',
      what: 'kubectl-edit had set spec.predictor.minReplicas',
    });
    expect(cluster.live(IRIS)).toMatchObject({ spec: { predictor: { minReplicas: 1 } } });
    expect(await putBack(cluster)).toMatchObject({ kind: 'intact' });
  });

  it('makes anew what was deleted, and judges what somebody made meanwhile', async () => {
    const cluster = createFakeCluster();
    expect(await putBack(cluster)).toEqual({ kind: 'healed', what: 'somebody had deleted it' });
    const late = createFakeCluster();
    late.before = async (call) => {
      if (call === 'apply iris') changeAs(late, 'somebody', { minReplicas: 9 });
    };
    expect(await putBack(late)).toMatchObject({
      kind: 'cancelled',
      message: expect.stringContaining('models/iris in prod is not managed by modelhook'),
    });
    expect(late.live(IRIS)).toMatchObject({ spec: { predictor: { minReplicas: 9 } } });
  });

  it('leaves what people have made something else', async () => {
    const unmanaged = await delivered();
    changeAs(unmanaged, 'anna', {}, { labels: LABELS });
    expect(await putBack(unmanaged)).toMatchObject({ kind: 'cancelled' });
    const other = await delivered();
    changeAs(other, 'anna', {}, { annotations: { 'modelhook.dev/repository': 'plain:other/iris' } });
    expect(await putBack(other)).toMatchObject({
      kind: 'cancelled',
      message: expect.stringContaining('belongs to plain:other/iris'),
    });
    const inMode = await delivered();
    inMode.touch(IRIS, { status: { deploymentMode: 'Knative' } });
    expect(await putBack(inMode)).toMatchObject({
      kind: 'cancelled',
      message: expect.stringContaining('exists in Knative mode'),
    });
    for (const cluster of [unmanaged, other, inMode]) expect(cluster.calls).toEqual(['get iris']);
  });

  it('leaves another version that modelhook itself has put there, and only that', async () => {
    const hashed = (hash: string, revision?: string): string => {
      const { manifest } = deliveryOf('r1', revision === undefined ? {} : { revision });
      return manifest.replace('      modelhook.dev/sha', `      modelhook.dev/spec-hash: ${hash}\n$&`);
    };
    const cluster = createFakeCluster();
    const mine = { ...delivery(), manifest: hashed('a') };
    await send(cluster, mine);
    const heals = Object.assign(mine, { heals: true as const });
    const other = hashed('b', 'v2');
    cluster.applyAs('modelhook', parseManifest(other));
    expect(await send(cluster, heals)).toEqual({
      kind: 'cancelled',
      message: expect.stringMatching(
        /^modelhook deploy, or another modelhook, has put v2 \([0-9a-f]{7}\) there/,
      ),
    });
    expect(manifestIn(cluster.live(IRIS))).toBe(other);
    cluster.applyAs('modelhook', parseManifest(mine.manifest));
    changeAs(cluster, 'kubectl-edit', { annotations: { 'modelhook.dev/spec-hash': 'b' } });
    expect(await send(cluster, heals)).toEqual({
      kind: 'healed',
      what: 'kubectl-edit had set spec.predictor.annotations.modelhook.dev/spec-hash',
    });
  });

  it('changes nothing that has taken the name since it was looked at', async () => {
    const cluster = await delivered();
    changeAs(cluster, 'kubectl-edit', { minReplicas: 5 });
    const uid = String(valueAt(cluster.live(IRIS) ?? {}, ['metadata', 'uid']));
    cluster.before = async (call) => {
      if (call !== 'apply iris') return;
      cluster.before = async () => {};
      await cluster.remove(IRIS, uid);
      changeAs(cluster, 'anna', { minReplicas: 7 });
    };
    expect(await putBack(cluster)).toMatchObject({ kind: 'cancelled' });
    expect(cluster.live(IRIS)).toMatchObject({ spec: { predictor: { minReplicas: 7 } } });
  });

  it('waits for a service that is being deleted', async () => {
    const cluster = await delivered();
    cluster.touch(IRIS, { metadata: { deletionTimestamp: '2026-01-02T03:04:05Z' } });
    expect(failureOf(await putBack(cluster))).toBeInstanceOf(WaitingError);
  });
});

describe('a delivery by a policy that puts back what others change', () => {
  it('takes the fields that others have set, where modelhook manages the service', async () => {
    const cluster = await delivered();
    changeAs(cluster, 'kubectl-edit', { minReplicas: 5 });
    expect(await send(cluster, delivery({ selfHeal: true }))).toMatchObject({ message: 'Applied to prod' });
    expect(cluster.live(IRIS)).toMatchObject({ spec: { predictor: { minReplicas: 1 } } });
  });

  it('says of another mode what to do first, or the service would come back in its own', async () => {
    const cluster = await delivered();
    cluster.touch(IRIS, { status: { deploymentMode: 'Knative' } });
    const advice = (errand: Delivery) =>
      send(cluster, errand).then((outcome) => String(failureOf(outcome)).split(' in the policy, or ')[1]);
    expect(await advice(delivery({ selfHeal: true }))).toBe(
      'turn selfHeal off in it and delete the service first',
    );
    expect(await advice(delivery())).toBe('delete the service first');
  });

  it('takes nothing else over', async () => {
    const cluster = createFakeCluster();
    changeAs(cluster, 'anna', { minReplicas: 5 }, { labels: LABELS });
    const { target, repository } = delivery();
    const manifest = manifestOf(repository, target);
    expect(String(failureOf(await send(cluster, delivery({ selfHeal: true, manifest }))))).toContain(
      'is not managed by modelhook',
    );
    expect(cluster.live(IRIS)).toMatchObject({ spec: { predictor: { minReplicas: 5 } } });
  });
});
