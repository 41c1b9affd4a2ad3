/** On a real API server, under the rights that deploy/ gives. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import {
  ask,
  kubeconfigFor,
  makeNamespace,
  put,
  REAL_KUBECONFIG,
  remove,
  SKIPPED,
  tokenOf,
} from '../../test/cluster/real-cluster.ts';
import { type ClusterApplier, ObjectReplacedError } from '../cluster/cluster.ts';
import { createKubernetesCluster } from '../cluster/kubernetes.ts';
import { StalledError, WaitingError } from '../core/errors.ts';
import { parseManifest } from '../core/inference-service.ts';
import { type JsonObject, valueAt } from '../core/json.ts';
import { manifestIn } from './apply.fixture.ts';
import { createApplyTarget } from './apply.ts';
import { deliveryOf, describeTarget, failureOf, manifestOf, outcomesOf, removalOf } from './contract.ts';
import type { Delivery, DeliveryOutcome, DeliveryTarget, Errand } from './target.ts';

const SILENT = { debug() {}, info() {}, warn() {}, error() {} };
const NAMESPACE = 'models';
const RBAC = 'rbac.authorization.k8s.io/v1';
/** Of its own: other tests make and remove what is in deploy/ under its names. */
const ACCOUNT = 'modelhook-apply';

const inNamespace = (name: string): JsonObject => ({
  apiVersion: 'serving.kserve.io/v1beta1',
  kind: 'InferenceService',
  metadata: { namespace: NAMESPACE, name },
});

const named = (rolloutId: string, name: string, given: Partial<Delivery> = {}): Delivery =>
  deliveryOf(rolloutId, { target: { cluster: 'prod', namespace: NAMESPACE, name }, ...given });

/** Fails until the thing holds: an API server learns of new policies and roles a moment later. */
async function eventually<Result>(
  look: () => Promise<Result>,
  holds: (result: Result) => boolean,
): Promise<Result> {
  for (;;) {
    const result = await look();
    if (holds(result)) return result;
  }
}

describe.skipIf(!REAL_KUBECONFIG)(`delivery to a real cluster${SKIPPED}`, () => {
  let target: DeliveryTarget;
  let applier: ClusterApplier;

  const applierAs = async (account: string): Promise<ClusterApplier> => {
    const access = { file: kubeconfigFor(await tokenOf(account)) };
    const options = { name: 'prod', access, namespaces: [], log: SILENT, now: Date.now };
    return createKubernetesCluster(options).applier;
  };
  const targetWith = (by: ClusterApplier): DeliveryTarget =>
    createApplyTarget({ name: 'prod', applier: by, log: SILENT });

  beforeAll(async () => {
    for (const name of ['modelhook', NAMESPACE]) await makeNamespace(name);
    const file = resolve(import.meta.dirname, '../../deploy/rbac.yaml');
    const documents = parseAllDocuments(readFileSync(file, 'utf8')).map((document) => document.toJS());
    const { rules } = documents.find(({ kind }) => kind === 'ClusterRole');
    for (const name of [ACCOUNT, 'nobody'])
      await put({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace: 'modelhook' } });
    await put({ apiVersion: RBAC, kind: 'ClusterRole', metadata: { name: ACCOUNT }, rules });
    await put({
      apiVersion: RBAC,
      kind: 'ClusterRoleBinding',
      metadata: { name: ACCOUNT },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: ACCOUNT },
      subjects: [{ kind: 'ServiceAccount', name: ACCOUNT, namespace: 'modelhook' }],
    });
    applier = await applierAs(ACCOUNT);
    target = targetWith(applier);
    await eventually(
      () => deliver(removalOf('r0')),
      (outcome) => outcome?.kind !== 'failed',
    );
  });
  afterAll(async () => {
    for (const kind of ['ClusterRole', 'ClusterRoleBinding'])
      await remove({ apiVersion: RBAC, kind, metadata: { name: ACCOUNT } });
  });

  const deliver = async (errand: Errand, on = target): Promise<DeliveryOutcome | undefined> =>
    (await outcomesOf(on, [errand])).get(errand.rolloutId);

  const live = (name: string): Promise<JsonObject> =>
    ask('GET', `/apis/serving.kserve.io/v1beta1/namespaces/${NAMESPACE}/inferenceservices/${name}`);

  describeTarget(async () => {
    for (const name of ['iris', 'rose']) await remove(inNamespace(name));
    return {
      target,
      read: async ({ target: { name } }) => {
        const object = await live(name);
        return object['kind'] === 'InferenceService' ? manifestIn(object) : null;
      },
      put: async (_place, manifest) => {
        await put(parseManifest(manifest), 'somebody');
      },
    };
  });

  it('fails in the words of the API server where the schema does not have a field', async () => {
    const delivery = named('r1', 'typo');
    const failure = failureOf(
      await deliver({ ...delivery, manifest: `${delivery.manifest}    nodeSelectr: {}\n` }),
    );
    expect(failure).toBeInstanceOf(StalledError);
    expect(String(failure)).toContain('.spec.predictor.nodeSelectr: field not declared in schema');
    expect(await live('typo')).toMatchObject({ code: 404 });
  });

  it('fails in the words of a policy for admission, before anything is written', async () => {
    const admission = '/apis/admissionregistration.k8s.io/v1';
    const name = 'no-gpu-on-fridays';
    const paths = ['validatingadmissionpolicies', 'validatingadmissionpolicybindings'].map(
      (plural) => `${admission}/${plural}/${name}`,
    );
    const as = '?fieldManager=a-person&force=true';
    await ask('PATCH', `${paths[0]}${as}`, {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingAdmissionPolicy',
      metadata: { name },
      spec: {
        matchConstraints: {
          resourceRules: [
            {
              apiGroups: ['serving.kserve.io'],
              apiVersions: ['*'],
              operations: ['CREATE', 'UPDATE'],
              resources: ['inferenceservices'],
            },
          ],
        },
        validations: [{ expression: 'object.metadata.name != "friday"', message: 'no GPUs on Fridays' }],
      },
    });
    await ask('PATCH', `${paths[1]}${as}`, {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingAdmissionPolicyBinding',
      metadata: { name },
      spec: { policyName: name, validationActions: ['Deny'] },
    });
    try {
      const outcome = await eventually(
        async () => {
          await remove(inNamespace('friday'));
          return deliver(named('r1', 'friday'));
        },
        (made) => made?.kind === 'failed',
      );
      expect(failureOf(outcome)).toBeInstanceOf(StalledError);
      expect(String(failureOf(outcome))).toContain('no GPUs on Fridays');
      expect(await live('friday')).toMatchObject({ code: 404 });
    } finally {
      for (const path of paths) await ask('DELETE', path);
    }
  });

  it('names who changed which field, and takes it over only where the policy adopts', async () => {
    await remove(inNamespace('edited'));
    const delivery = named('r1', 'edited');
    const bounded = { ...delivery, manifest: `${delivery.manifest}    minReplicas: 1\n` };
    expect(await deliver(bounded)).toMatchObject({ message: 'Applied to prod' });
    await put({ ...inNamespace('edited'), spec: { predictor: { minReplicas: 5 } } }, 'kubectl-edit');
    expect(String(failureOf(await deliver(bounded)))).toContain(
      'InferenceService models/edited in prod was changed by others: kubectl-edit set spec.predictor.minReplicas; let',
    );
    expect(await live('edited')).toMatchObject({ spec: { predictor: { minReplicas: 5 } } });
    expect(await deliver({ ...bounded, adopt: true })).toMatchObject({ message: 'Applied to prod' });
    expect(await live('edited')).toMatchObject({ spec: { predictor: { minReplicas: 1 } } });
    expect(await deliver(bounded)).toMatchObject({ message: expect.stringMatching(/^Unchanged in prod/) });
    expect(await deliver(delivery)).toMatchObject({ message: 'Applied to prod' });
    expect(JSON.stringify((await live('edited'))['spec'])).not.toContain('minReplicas');
  });

  it('writes nothing where nothing changes', async () => {
    await deliver(named('r1', 'same'));
    const before = await live('same');
    await deliver(named('r2', 'same'));
    expect(await live('same')).toEqual(before);
  });

  it('makes no namespace, and says how a person does', async () => {
    const place = { cluster: 'prod', namespace: 'nowhere', name: 'iris' };
    const manifest = manifestOf('plain:ml/iris', place);
    const failure = failureOf(await deliver(deliveryOf('r1', { target: place, manifest })));
    expect(failure).toBeInstanceOf(WaitingError);
    expect(String(failure)).toMatch(/has no namespace nowhere.*kubectl create namespace nowhere/);
    expect(await deliver(removalOf('r2', { target: place }))).toMatchObject({ kind: 'removed' });
  });

  it('says which right it lacks', async () => {
    const failure = failureOf(await deliver(named('r1', 'iris'), targetWith(await applierAs('nobody'))));
    expect(failure).toBeInstanceOf(WaitingError);
    expect(String(failure)).toMatch(
      /^WaitingError: Waiting: cluster prod forbids user "system:serviceaccount:modelhook:nobody" to get .*models; \S/,
    );
  });

  it('changes an object only while it is the one that was judged', async () => {
    await remove(inNamespace('replaced'));
    const object = parseManifest(named('r1', 'replaced').manifest);
    const ofUid = (uid: string) => ({ ...object, metadata: { ...Object(object['metadata']), uid } });
    const replaced = (uid: string, dryRun: boolean) =>
      expect(applier.apply(ofUid(uid), { dryRun, force: true })).rejects.toBeInstanceOf(ObjectReplacedError);
    const other = '00000000-0000-0000-0000-000000000000';
    await replaced(other, false);
    const made = await applier.apply(object, { dryRun: false, force: false });
    for (const dryRun of [true, false]) await replaced(other, dryRun);
    const uid = String(valueAt(made, ['metadata', 'uid']));
    expect(await applier.apply(ofUid(uid), { dryRun: false, force: true })).toMatchObject({
      metadata: { uid },
    });
  });

  it('waits for a service that a finalizer holds, and counts it as removed', async () => {
    await deliver(named('r1', 'held'));
    const held = {
      ...inNamespace('held'),
      metadata: { namespace: NAMESPACE, name: 'held', finalizers: ['example.com/x'] },
    };
    await put(held);
    const removal = removalOf('r2', { target: named('r1', 'held').target });
    expect(await deliver(removal)).toMatchObject({ kind: 'removed', message: 'Removed from prod' });
    expect(String(failureOf(await deliver(named('r3', 'held'))))).toContain('is being deleted');
    expect(await deliver(removal)).toMatchObject({ kind: 'removed' });
    await put(inNamespace('held'));
    expect(await live('held')).toMatchObject({ code: 404 });
    expect(await deliver(named('r4', 'held'))).toMatchObject({ message: 'Applied to prod' });
  });

  it('delivers many at once, each exactly', async () => {
    const batch = Array.from({ length: 50 }, (_, index) => named(`r${index}`, `many-${index}`));
    const outcomes = await outcomesOf(target, batch);
    expect(new Set([...outcomes.values()].map(({ kind }) => kind))).toEqual(new Set(['delivered']));
    const removals = batch.map(({ rolloutId, target: place }) => removalOf(rolloutId, { target: place }));
    const ends = await outcomesOf(target, removals);
    expect(new Set([...ends.values()].map(({ kind }) => kind))).toEqual(new Set(['removed']));
  });
});
