/** Clusters, reached through the API server that a kubeconfig names, or the one whose pod this process runs in. */
import { StalledError } from '../core/errors.ts';
import { isJsonObject, parseJson } from '../core/json.ts';
import type { Log } from '../telemetry/log.ts';
import { createApi } from './api.ts';
import { createApplier } from './applier.ts';
import { type Cluster, type ClusterProblem, type ClusterReader, ClusterUnavailableError } from './cluster.ts';
import { createClusterWatch } from './cluster-watch.ts';
import type { ClusterAccess, KubeconfigAccess } from './connection.ts';
import { PATIENT, type Pace } from './list-watch.ts';
import { createReviewer } from './reviewer.ts';

export type { ClusterAccess, KubeconfigAccess };

export interface ClusterOptions {
  /** As modelhook.yaml calls it. */
  name: string;
  access: ClusterAccess;
  /** Only these are watched, so that RBAC may be limited to them; empty: all */
  namespaces: readonly string[];
  /** Where KServe's controller and its configuration are; `kserve` where it is left out. */
  kserveNamespace?: string;
  log: Log;
  /** Milliseconds since the epoch. */
  now: () => number;
  pace?: Pace;
}

/** Constructs one cluster. Nothing is loaded and nothing is asked before it is started, or first used. */
export function createKubernetesCluster(options: ClusterOptions): Cluster {
  const { name, access, namespaces, kserveNamespace = 'kserve', log, now, pace = PATIENT } = options;
  const api = createApi({ access, name, timeout: pace.answer });
  const { watch, catalogue } = createClusterWatch({ api, name, namespaces, kserveNamespace, log, now, pace });
  return {
    watch,
    catalogue,
    applier: createApplier(api, name),
    reviewer: createReviewer(api, namespaces, kserveNamespace),
  };
}

const CRDS = 'customresourcedefinitions.apiextensions.k8s.io';
const CRD = 'inferenceservices.serving.kserve.io';

/**
 * Reads with a kubeconfig, which is read anew each time, as credentials in it change. A program that it names for
 * credentials is run, and is left to itself where it does not end in time.
 */
export const createKubernetesReader = (access: KubeconfigAccess): ClusterReader => ({
  inferenceServiceCrd: async () => {
    const api = createApi({ access, timeout: access.timeout });
    try {
      const answer = await api.ask({
        path: `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${CRD}`,
      });
      if (answer.status !== 200)
        throw api.refusal(answer, {
          verb: `read the CRD ${CRD}`,
          grant: `grant it a ClusterRole with the rule: get ${CRDS}`,
          missing: {
            what: `has no CRD ${CRD}`,
            fix: 'install KServe there, or name the context of a cluster that has it',
          },
        });
      const crd = parseJson(answer.body);
      if (isJsonObject(crd) && crd['kind'] === 'CustomResourceDefinition') return crd;
      throw api.stranger('something that is no CustomResourceDefinition');
    } catch (error) {
      throw error instanceof ClusterUnavailableError ? asStalled(error) : error;
    } finally {
      await api.close();
    }
  },
});

/** What a person must change before a command can go on. A controller goes on by itself once it is changed. */
const FOR_A_PERSON: readonly ClusterProblem['kind'][] = [
  'configuration',
  'credentials',
  'forbidden',
  'missing',
  'stranger',
];

function asStalled(error: ClusterUnavailableError): Error {
  const { problem, cluster } = error;
  if (!FOR_A_PERSON.includes(problem.kind)) return error;
  const { what, detail, fix } = problem;
  if (problem.kind === 'configuration') return new StalledError(detail ?? what, fix);
  return new StalledError(`${cluster} ${what}${detail === null ? '' : `: ${detail}`}`, fix);
}
