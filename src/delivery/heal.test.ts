import { describe, expect, it } from 'vitest';
import { ApplyConflictError } from '../cluster/cluster.ts';
import { intentOf } from '../core/cluster-objects.ts';
import { WaitingError } from '../core/errors.ts';
import type { JsonObject } from '../core/json.ts';
import { createFakeCluster, type FakeCluster } from './apply.fixture.ts';
import { createApplyTarget } from './apply.ts';
import { deliveryOf, failureOf, manifestOf, outcomesOf } from './contract.ts';
import { differenceIn, ownersIn } from './heal.ts';
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
  send(cluster, Object.assign(delivery(), { restores: true as const }));

function changeAs(cluster: FakeCluster, manager: string, predictor: JsonObject, metadata = {}): void {
  cluster.applyAs(manager, { kind: 'x', metadata: { ...IRIS, ...metadata }, spec: { predictor } });
}

async function delivered(): Promise<FakeCluster> {
  const cluster = createFakeCluster();
  await send(cluster, delivery());
  cluster.calls = [];
  return cluster;
}

describe('a restoration', () => {
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
      kind: 'restored',
      what: 'kubectl-edit had set spec.predictor.minReplicas',
    });
    expect(cluster.live(IRIS)).toMatchObject({ spec: { predictor: { minReplicas: 1 } } });
    expect(await putBack(cluster)).toMatchObject({ kind: 'intact' });
  });

  it('makes anew what was deleted, and judges what somebody made meanwhile', async () => {
    const cluster = createFakeCluster();
    expect(await putBack(cluster)).toEqual({ kind: 'restored', what: 'somebody had deleted it' });
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
