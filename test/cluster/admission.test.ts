/** What a cluster does not admit, in its own words on the commit: its rules for InferenceServices, and its quotas. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { textIn } from '../../src/core/cluster-fields.ts';
import type { JsonObject } from '../../src/core/json.ts';
import { type ControllerSite, makeControllerSite, until } from '../controller-site.ts';
import { type KServeController, startKServeController } from './kserve-controller.ts';
import { ask, pathOf, put, REAL_KUBECONFIG, remove, SKIPPED } from './real-cluster.ts';
import {
  grantOf,
  openNamespaces,
  putGrant,
  type Rollouts,
  removeGrant,
  removeNamespace,
  rolloutsOf,
  servingPolicy,
} from './serving-site.ts';

const NAMESPACE = 'admission';
const NAME = 'modelhook-test-admission';
const SERVICES = 'count/inferenceservices.serving.kserve.io';
/** As KServe's webhook says it, which is not on a cluster without KServe. */
const REFUSAL = 'the InferenceService "refused" is invalid: MinReplicas cannot be less than 0';

const quota = (hard: JsonObject): JsonObject => ({
  apiVersion: 'v1',
  kind: 'ResourceQuota',
  metadata: { name: 'models', namespace: NAMESPACE },
  spec: { hard },
});

const RULE: JsonObject = {
  apiVersion: 'admissionregistration.k8s.io/v1',
  kind: 'ValidatingAdmissionPolicy',
  metadata: { name: NAME },
  spec: {
    failurePolicy: 'Fail',
    matchConstraints: {
      namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': NAMESPACE } },
      resourceRules: [
        {
          apiGroups: ['serving.kserve.io'],
          apiVersions: ['*'],
          operations: ['CREATE', 'UPDATE'],
          resources: ['inferenceservices'],
        },
      ],
    },
    validations: [{ expression: 'object.metadata.name != "refused"', message: REFUSAL }],
  },
};

const BINDING: JsonObject = {
  apiVersion: 'admissionregistration.k8s.io/v1',
  kind: 'ValidatingAdmissionPolicyBinding',
  metadata: { name: NAME },
  spec: { policyName: NAME, validationActions: ['Deny'] },
};

const REFUSED: JsonObject = {
  apiVersion: 'serving.kserve.io/v1beta1',
  kind: 'InferenceService',
  metadata: { name: 'refused', namespace: NAMESPACE },
  spec: { predictor: { model: { modelFormat: { name: 'sklearn' } } } },
};

describe.skipIf(!REAL_KUBECONFIG)(`what a real cluster does not admit${SKIPPED}`, () => {
  const grant = grantOf(NAME);
  let site: ControllerSite;
  let kserve: KServeController;
  let rollouts: Rollouts;

  beforeAll(async () => {
    await openNamespaces('kserve', NAMESPACE);
    const file = await putGrant(grant);
    for (const object of [RULE, BINDING]) await put(object);
    // An API server learns of a rule, and a quota is counted, a moment later.
    const tried = `${pathOf(REFUSED)}?fieldManager=a-person&force=true&dryRun=All`;
    await until(() => ask('PATCH', tried, REFUSED).then(() => false, isDenied));
    await allow({ pods: '0', [SERVICES]: '1' });
    kserve = startKServeController(NAMESPACE);
    site = await makeControllerSite({
      policy: servingPolicy('good', { namespace: NAMESPACE }),
      config: { clusters: { real: { kubeconfig: { file } } } },
    });
    rollouts = rolloutsOf(site);
    await site.makeModels(['ml/crowded', 'ml/second', 'ml/refused']);
    await site.start();
  });
  afterAll(async () => {
    await site.remove();
    await kserve.stop();
    for (const object of [BINDING, RULE]) await remove(object);
    await removeGrant(grant);
    await removeNamespace(NAMESPACE);
  });

  /** @returns once the quota counts what it is to count */
  async function allow(hard: JsonObject): Promise<void> {
    await put(quota(hard));
    await until(async () => {
      const status = (await ask('GET', pathOf(quota(hard))))['status'];
      return Object.entries(hard).every(
        ([what, most]) => textIn(status as JsonObject, 'hard', what) === most,
      );
    });
  }

  it('pods without quota fail the rollout with what the quota says, and it is ready once there is room', async () => {
    await rollouts.push('ml/crowded', 'good-1');
    const failed = await rollouts.untilPhase('ml/crowded', 'good-1', 'failed');
    expect(failed.message).toMatch(
      /exceeded quota: models, requested: pods=1, used: pods=0, limited: pods=0; raise the ResourceQuota/,
    );
    await rollouts.untilStatus(
      'ml/crowded',
      failed,
      `modelhook/good\tfailure\t${failed.message.slice(0, 60)}`,
    );
    await allow({ pods: '10', [SERVICES]: '1' });
    const ready = await rollouts.untilPhase('ml/crowded', 'good-1', 'ready');
    await rollouts.untilStatus('ml/crowded', ready, `modelhook/good\tsuccess\t${ready.message}`);
  });

  it('a quota of InferenceServices fails the rollout with what the quota says', async () => {
    await rollouts.push('ml/second', 'good-1');
    const failed = await rollouts.untilPhase('ml/second', 'good-1', 'failed');
    expect(failed.message).toContain(
      `exceeded quota: models, requested: ${SERVICES}=1, used: ${SERVICES}=1, limited: ${SERVICES}=1; `,
    );
    await rollouts.untilStatus('ml/second', failed, 'modelhook/good\tfailure\tcluster real refuses');
  });

  it('a rule for InferenceServices fails the rollout in its own words, and nothing is applied', async () => {
    await rollouts.push('ml/refused', 'good-1');
    const failed = await rollouts.untilPhase('ml/refused', 'good-1', 'failed');
    expect(failed.message).toContain(`refuses the InferenceService ${NAMESPACE}/refused: `);
    expect(failed.message).toContain(REFUSAL);
    await rollouts.untilStatus('ml/refused', failed, 'modelhook/good\tfailure\tcluster real refuses');
    expect(await ask('GET', pathOf(REFUSED))).toMatchObject({ kind: 'Status', code: 404 });
  });
});

const isDenied = (error: unknown): boolean => String(error).includes(REFUSAL.split('"')[0] ?? '');
