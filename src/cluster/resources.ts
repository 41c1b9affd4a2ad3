/** Which kinds of a cluster are watched, and what modelhook may do there: the rules in deploy/ say the same. */
import type { ClusterKind } from '../core/cluster-views.ts';
import type { Deed } from './api-failure.ts';
import type { ClusterRight } from './cluster.ts';

export interface Resource {
  group: string;
  version: string;
  plural: string;
  /** What belongs to an InferenceService carries its name as a label. */
  ofServices: boolean;
  /** It exists only where Knative Serving is installed. */
  optional: boolean;
}

const KSERVE = 'serving.kserve.io';
const KNATIVE = 'serving.knative.dev';
const SERVICE_LABEL = 'serving.kserve.io/inferenceservice';

const resource = (group: string, version: string, plural: string, ofServices = false): Resource => ({
  group,
  version,
  plural,
  ofServices,
  optional: group === KNATIVE,
});

export const INFERENCE_SERVICES = resource(KSERVE, 'v1beta1', 'inferenceservices');

/** What tells whether a model serves. Events come last: they count only for objects that are known. */
export const OBJECTS: readonly (readonly [ClusterKind, Resource])[] = [
  ['InferenceService', INFERENCE_SERVICES],
  ['Deployment', resource('apps', 'v1', 'deployments', true)],
  ['ReplicaSet', resource('apps', 'v1', 'replicasets', true)],
  ['Pod', resource('', 'v1', 'pods', true)],
  ['KnativeService', resource(KNATIVE, 'v1', 'services', true)],
  ['Revision', resource(KNATIVE, 'v1', 'revisions', true)],
  ['Event', resource('', 'v1', 'events')],
];

export const NAMESPACES = resource('', 'v1', 'namespaces');
export const RUNTIMES = resource(KSERVE, 'v1alpha1', 'servingruntimes');
export const CLUSTER_RUNTIMES = resource(KSERVE, 'v1alpha1', 'clusterservingruntimes');
export const CRDS = resource('apiextensions.k8s.io', 'v1', 'customresourcedefinitions');
export const CONFIG_MAPS = resource('', 'v1', 'configmaps');
export const DEPLOYMENTS = resource('apps', 'v1', 'deployments');

export const INFERENCE_SERVICE_CRD = `inferenceservices.${KSERVE}`;
/** The words for what a cluster does whose CRD is being deleted: no InferenceService can be made, and all are deleted. */
export const CRD_LEAVES = {
  what: `is deleting the CRD ${INFERENCE_SERVICE_CRD}, and every InferenceService with it`,
  fix: 'install KServe there again',
};
export const CRD_IS_GONE = {
  what: `has no CRD ${INFERENCE_SERVICE_CRD} any more`,
  fix: 'install KServe there again',
};
export const KSERVE_CONTROLLER = 'kserve-controller-manager';
export const KSERVE_CONFIG = 'inferenceservice-config';

/** Which objects of a resource: all, those of a namespace, or one by name. */
export interface Scope {
  namespace: string | null;
  name: string | null;
}

/** @returns the path of a list, or with `object` of one object in it */
export function pathOf(
  { group, version, plural }: Resource,
  namespace: string | null,
  object?: string,
): string {
  const api = group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
  const place = namespace === null ? '' : `/namespaces/${encodeURIComponent(namespace)}`;
  return `${api}${place}/${plural}${object === undefined ? '' : `/${encodeURIComponent(object)}`}`;
}

/** @returns where the API server says what a group has, which everybody who is known may ask */
export const discoveryPath = ({ group, version }: Resource): string => `/apis/${group}/${version}`;

export const selectorOf = ({ ofServices }: Resource, { name }: Scope): Record<string, string> => ({
  ...(ofServices && { labelSelector: SERVICE_LABEL }),
  ...(name !== null && { fieldSelector: `metadata.name=${name}` }),
});

const nameOf = ({ group, plural }: Resource): string => (group === '' ? plural : `${plural}.${group}`);

const RBAC_FILES = 'deploy/rbac.yaml, or deploy/rbac-namespaced.yaml for single namespaces';

/** @returns the words for trouble with a watch */
export function watchDeed(what: Resource, { namespace, name }: Scope): Deed {
  const place = namespace === null ? '' : ` in namespace ${namespace}`;
  return {
    verb: `list and watch ${nameOf(what)}${name === null ? '' : ` ${name}`}${place}`,
    grant: `apply the rules of ${RBAC_FILES}`,
    missing: { what: `has no ${nameOf(what)}`, fix: 'install KServe there' },
  };
}

/** @returns the words for trouble with one InferenceService */
export const serviceDeed = (
  verb: string,
  { namespace, name }: { namespace: string; name: string },
): Deed => ({
  verb: `${verb} inferenceservices.${KSERVE} ${name} in namespace ${namespace}`,
  grant: `apply the rules of ${RBAC_FILES}`,
  missing: { what: `has no CRD ${INFERENCE_SERVICE_CRD}`, fix: 'install KServe there' },
});

/** @returns all that modelhook does in a cluster */
export function rightsNeeded(namespaces: readonly string[], kserveNamespace: string): ClusterRight[] {
  const right = (
    { group, plural }: Resource,
    verbs: string[],
    namespace: string | null,
    name: string | null = null,
  ) => verbs.map((verb) => ({ group, resource: plural, verb, namespace, name }));
  const watch = ['list', 'watch'];
  const places = namespaces.length === 0 ? [null] : namespaces;
  return [
    ...places.flatMap((place) => [
      ...OBJECTS.flatMap(([, one]) => right(one, watch, place)),
      ...right(INFERENCE_SERVICES, ['get', 'create', 'patch', 'delete'], place),
      ...right(RUNTIMES, watch, place),
    ]),
    ...(namespaces.length === 0 ? right(NAMESPACES, watch, null) : []),
    ...right(CLUSTER_RUNTIMES, watch, null),
    ...right(CRDS, watch, null, INFERENCE_SERVICE_CRD),
    ...right(CONFIG_MAPS, watch, kserveNamespace, KSERVE_CONFIG),
    ...right(DEPLOYMENTS, watch, kserveNamespace, KSERVE_CONTROLLER),
  ];
}
