/** What `modelhook doctor` looks at in a cluster. Nothing is changed there. */
import {
  type Cluster,
  type ClusterKnowledge,
  type ClusterRight,
  ClusterUnavailableError,
} from '../cluster/cluster.ts';
import { StalledError } from '../core/errors.ts';
import type { Policy } from '../core/policy.ts';
import type { Finding } from '../forge/forge.ts';
import { failure, fault, good, LIMIT, type Section, within } from './doctor-findings.ts';
import { kserveFindings, lacksKServe, webhookFindings } from './doctor-kserve.ts';
import { rightsFindings } from './doctor-rights.ts';
import { isLiteral, modeFindings, namespaceFindings, runtimeFindings } from './doctor-targets.ts';

/** A cluster of modelhook.yaml. */
export interface ExaminedCluster {
  name: string;
  /** What it is reached by, for the title. */
  access: string;
  /** Those it is limited to; empty: none are left out */
  namespaces: readonly string[];
  /** KServe's version as modelhook.yaml says. */
  kserve?: string | undefined;
  /** `kubectl` with what it is reached by; not for the pod, which has none. */
  kubectl?: string | undefined;
  /** Constructs it. */
  open: () => Promise<Cluster>;
}

/**
 * Looks at one cluster. One that is not reached, or not in time, is a finding itself.
 * @param policies of all clusters; null: they could not be read
 * @param limit in milliseconds
 */
export async function checkCluster(
  examined: ExaminedCluster,
  policies: readonly Policy[] | null,
  limit = LIMIT,
): Promise<Section> {
  const { name, access } = examined;
  const own = policies?.filter(({ target }) => target.cluster === name) ?? null;
  const findings: Finding[] = [];
  let cluster: Cluster | undefined;
  try {
    cluster = await examined.open();
    await within(limit, examine(cluster, examined, own, findings));
  } catch (error) {
    const fix = `check what it is reached by (${access}), and that it is up: kubectl version`;
    findings.push(
      error instanceof StalledError
        ? fault('access', error.reason, error.fix)
        : failure('access', 'cannot be asked', error, fix),
    );
  } finally {
    await cluster?.watch.stop();
  }
  return { title: `Cluster ${name}: ${access}`, forge: null, cluster: name, findings };
}

/** Adds what it finds as it goes, for what comes later may take too long. */
async function examine(
  cluster: Cluster,
  examined: ExaminedCluster,
  policies: readonly Policy[] | null,
  findings: Finding[],
): Promise<void> {
  const { name, namespaces, kserve: configured } = examined;
  const missing = await missingRights(cluster, examined);
  findings.push(good('access', 'is reached, and takes the credentials'));
  const places = placesOf(namespaces, policies ?? []);
  const knowledge = await learn(cluster, places);
  const known = knowledge(places[0]);
  const lacks = missing.filter(({ group }) => group !== 'serving.knative.dev' || known.knative === true);
  const sight = { cluster: name, configured, known, missing, namespaces };
  // In the order in which it is mended: roles need their namespaces, and services need KServe.
  findings.push(
    ...namespaceFindings(cluster, policies ?? []),
    ...kserveFindings(sight),
    ...rightsFindings(lacks, namespaces, policies),
  );
  if (lacksKServe(sight)) return;
  findings.push(
    ...(await webhookFindings(cluster, sight)),
    ...modeFindings(known, policies ?? []),
    ...runtimeFindings(sight, knowledge, places, policies ?? []),
  );
}

/** @throws what a person can read where the cluster cannot be asked */
async function missingRights({ reviewer }: Cluster, { kubectl }: ExaminedCluster): Promise<ClusterRight[]> {
  try {
    return await reviewer.missingRights();
  } catch (error) {
    throw error instanceof ClusterUnavailableError ? asStalled(error, kubectl) : error;
  }
}

/** @param kubectl tells whether it is mended */
function asStalled({ cluster, problem }: ClusterUnavailableError, kubectl: string | undefined): StalledError {
  const { kind, what, detail, fix } = problem;
  const isTried = kubectl !== undefined && kind !== 'configuration';
  return new StalledError(
    `${cluster} ${what}${detail === null ? '' : `: ${detail}`}`,
    isTried ? `${fix}; then try: ${kubectl} auth whoami` : fix,
  );
}

/** The namespaces worth a look. Any other name shows what the whole cluster has. */
function placesOf(namespaces: readonly string[], policies: readonly Policy[]): [string, ...string[]] {
  const named = policies.map(({ target }) => target.namespace).filter(isLiteral);
  const [first, ...others] = new Set([...namespaces, ...named]);
  return [first ?? 'default', ...others];
}

/** @returns what is known of each namespace once every watch has had its first answer */
async function learn(
  { watch, catalogue }: Cluster,
  places: readonly string[],
): Promise<(namespace: string) => ClusterKnowledge> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const isComplete = (place: string): boolean => {
    const { listed, trouble } = watch.state(place);
    return catalogue.knowledge(place).complete && (listed || trouble !== null);
  };
  const look = (): void => {
    if (places.every(isComplete)) resolve();
  };
  const end = watch.onChange(look);
  watch.start();
  look();
  await promise.finally(end);
  return (namespace) => catalogue.knowledge(namespace);
}
