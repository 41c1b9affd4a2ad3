/** Asks a cluster which rights we lack, and whether KServe's webhooks are configured. */
import { type Json, valueAt } from '../core/json.ts';
import type { ClusterApi } from './api.ts';
import type { ClusterReviewer, ClusterRight } from './cluster.ts';
import { rightsNeeded } from './resources.ts';

const ADMISSION = '/apis/admissionregistration.k8s.io/v1';
const WEBHOOKS = ['validatingwebhookconfigurations', 'mutatingwebhookconfigurations'];
/** KServe calls both so (config/webhook/manifests.yaml). */
const KSERVE_WEBHOOK = 'inferenceservice.serving.kserve.io';
const REVIEWS = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';

export const createReviewer = (
  api: ClusterApi,
  namespaces: readonly string[],
  kserveNamespace: string,
): ClusterReviewer => ({
  missingRights: async () => {
    const needed = rightsNeeded(namespaces, kserveNamespace);
    const allowed = await Promise.all(needed.map((right) => isAllowed(api, right)));
    return needed.filter((_, index) => !allowed[index]);
  },
  kserveWebhooks: async () => {
    const answers = await Promise.all(
      WEBHOOKS.map((plural) => api.ask({ path: `${ADMISSION}/${plural}/${KSERVE_WEBHOOK}` })),
    );
    const statuses = answers.map(({ status }) => status);
    if (statuses.includes(404)) return 'absent';
    return statuses.every((status) => status === 200) ? 'configured' : 'unreadable';
  },
});

async function isAllowed(
  api: ClusterApi,
  { group, resource, verb, namespace, name }: ClusterRight,
): Promise<boolean> {
  const resourceAttributes = { group, resource, verb, namespace: namespace ?? '', name: name ?? '' };
  const body = {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SelfSubjectAccessReview',
    spec: { resourceAttributes },
  };
  const answer = await api.ask({ method: 'POST', path: REVIEWS, body });
  if (answer.status !== 201)
    throw api.refusal(answer, {
      verb: 'ask what it may do',
      grant: 'bind the ClusterRole system:basic-user, which Kubernetes gives to everybody',
      missing: {
        what: 'has no selfsubjectaccessreviews.authorization.k8s.io',
        fix: 'use a Kubernetes with RBAC',
      },
    });
  const review: Json = JSON.parse(answer.body);
  return valueAt(review, ['status', 'allowed']) === true;
}
