/** The children of an InferenceService, a Deployment or a Knative Service for each component: do they run what was delivered. */
import type {
  ComponentView,
  DeploymentView,
  InferenceServiceView,
  KnativeServiceView,
  PodView,
  ReplicaSetView,
  RevisionView,
  Seen,
} from './cluster-views.ts';
import type { DeploymentMode } from './kserve.ts';
import type { Failure, Patience, Wanted } from './readiness-cause.ts';
import { podsOf, said, stepOf } from './readiness-pods.ts';

/** How far a component's child is. */
export interface Progress {
  /** The child's template is the delivered one, and its controller has seen that. */
  reached: boolean;
  /** Only what was delivered serves. */
  complete: boolean;
  /** What is awaited, while it is not complete. */
  waiting: string;
}

/** @returns how far a component is. KServe names each child after the service and the component. */
export function progressOf(
  wanted: Wanted,
  mode: DeploymentMode,
  live: InferenceServiceView,
  component: ComponentView,
  seen: Seen,
): Progress {
  const name = `${live.name}-${component.component}`;
  const minimum = component.component === 'predictor' ? wanted.minReplicas : 0;
  if (mode === 'Standard') return standardProgress(name, minimum, live, component, seen);
  return knativeProgress(name, minimum, live, component, seen);
}

/**
 * Standard mode: the Deployment's template carries the hash, its own generation is observed, and updated = available =
 * total. The InferenceService alone says Ready during the whole update (KServe #5703), and its observedGeneration is
 * the Deployment's (#6081).
 */
function standardProgress(
  name: string,
  minimum: number,
  live: InferenceServiceView,
  component: ComponentView,
  seen: Seen,
): Progress {
  const deployment = seen.deployments.find((found) => found.name === name);
  if (deployment === undefined) return unreached(`KServe to make Deployment ${name}`);
  const isCurrent =
    deployment.specHash === component.specHash &&
    !isOutrun(deployment, live) &&
    !hasNewerSet(deployment, seen);
  if (!isCurrent) return unreached(`KServe to update Deployment ${name}`);
  if (!isObserved(deployment)) return unreached(`kube-controller-manager to act on Deployment ${name}`);
  const worker = seen.deployments.find((found) => found.name === `${name}-worker`);
  const least = Math.max(minimum, Math.min(1, deployment.desired));
  const complete =
    isRolledOut(deployment, least) && (worker === undefined || isWorkerReady(worker, component));
  return { reached: true, complete, waiting: podsAwaited(deployment, least, component, seen) };
}

const unreached = (what: string): Progress => ({
  reached: false,
  complete: false,
  waiting: `waiting for ${what}`,
});

const isObserved = (child: DeploymentView | KnativeServiceView): boolean =>
  child.observedGeneration >= child.generation;

/**
 * Whether the InferenceService tells of a later state of its child than was seen: the watches do not keep pace with each
 * other, and a service that goes to another spec and back carries the hash of the first again. Its observedGeneration
 * is the child's (#6081), of which one it is with several components is not said.
 */
const isOutrun = (child: DeploymentView | KnativeServiceView, live: InferenceServiceView): boolean =>
  live.components.length === 1 && live.observedGeneration > child.generation;

/** The same told by ReplicaSets: the newest has the number of its Deployment, once that is observed. */
const hasNewerSet = ({ uid, deploymentRevision }: DeploymentView, seen: Seen): boolean =>
  seen.replicaSets.some((set) => set.owner === uid && set.deploymentRevision > deploymentRevision);

const isRolledOut = ({ updated, available, total }: DeploymentView, least: number): boolean =>
  updated === total && available === total && total >= least;

/** The other nodes of a multi-node predictor. */
const isWorkerReady = (worker: DeploymentView, component: ComponentView): boolean =>
  (worker.specHash === null || worker.specHash === component.specHash) &&
  isObserved(worker) &&
  isRolledOut(worker, Math.min(1, worker.desired));

function podsAwaited(
  deployment: DeploymentView,
  least: number,
  component: ComponentView,
  seen: Seen,
): string {
  const pods = podsOf(component, seen);
  const ready = pods.filter((pod) => pod.ready).length;
  const desired = Math.max(deployment.desired, least);
  const old = deployment.total - deployment.updated;
  if (ready >= desired && old > 0) return `waiting for ${counted(old, 'old pod')} to end`;
  return `${Math.min(ready, desired)} of ${counted(desired, 'new pod')} ready${firstStep(pods, seen)}`;
}

const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;

function firstStep(pods: PodView[], seen: Seen): string {
  const waiting = pods.filter((found) => !found.ready);
  // What failed was replaced, and its successor tells more.
  const pod = waiting.find((found) => found.phase !== 'Failed') ?? waiting[0];
  return pod === undefined ? '' : `; ${pod.name}: ${stepOf(pod, seen)}`;
}

/**
 * Knative mode: the newest revision carries the hash, is ready, is the latest ready one by the Knative Service's and
 * the InferenceService's word, and has the traffic the manifest asks for. Scaled to zero it has no pods and serves.
 */
function knativeProgress(
  name: string,
  minimum: number,
  live: InferenceServiceView,
  component: ComponentView,
  seen: Seen,
): Progress {
  const service = seen.knativeServices.find((found) => found.name === name);
  if (service === undefined) return unreached(`KServe to make Knative Service ${name}`);
  const isCurrent = service.specHash === component.specHash && !isOutrun(service, live);
  if (!isCurrent) return unreached(`KServe to update Knative Service ${name}`);
  if (!isObserved(service)) return unreached(`Knative to act on Knative Service ${name}`);
  const latest = service.latestReadyRevision;
  const revision = seen.revisions.find((found) => found.name === latest);
  const isReady =
    latest !== null &&
    latest === service.latestCreatedRevision &&
    revision?.specHash === component.specHash &&
    revision.ready?.status === 'True' &&
    isRunning(latest, minimum, seen);
  if (!isReady) return { reached: true, complete: false, waiting: revisionAwaited(service, component, seen) };
  const complete =
    service.ready?.status === 'True' &&
    service.routesReady?.status === 'True' &&
    hasTraffic(service, latest, component) &&
    component.latestCreatedRevision === latest &&
    component.latestReadyRevision === latest;
  return { reached: true, complete, waiting: trafficAwaited(service, latest, component) };
}

/** At least as many pods as asked for; Knative's autoscaler may have more, and those need not be available. */
const isRunning = (revision: string, minimum: number, seen: Seen): boolean =>
  minimum === 0 ||
  seen.deployments.some(
    (deployment) =>
      deployment.revision === revision && isObserved(deployment) && deployment.available >= minimum,
  );

function hasTraffic(service: KnativeServiceView, revision: string, component: ComponentView): boolean {
  const percent = percentOf(service, revision);
  // Where nothing was rolled out before, a canary gets everything.
  const only = component.canaryTrafficPercent !== null && service.traffic.length === 1 && percent === 100;
  return percent === (component.canaryTrafficPercent ?? 100) || only;
}

/** During an update the entry of the latest revision still names the one before. */
const percentOf = (service: KnativeServiceView, revision: string): number =>
  service.traffic
    .filter((entry) => entry.latest && entry.revision === revision)
    .reduce((sum, entry) => sum + entry.percent, 0);

function revisionAwaited(service: KnativeServiceView, component: ComponentView, seen: Seen): string {
  const created = seen.revisions.find((found) => found.specHash === component.specHash);
  if (created === undefined) return `waiting for Knative to make a revision of ${service.name}`;
  const why = created.ready?.status === 'True' ? null : (created.ready?.message ?? created.ready?.reason);
  const step = firstStep(podsOf(component, seen), seen);
  return `waiting for revision ${created.name} to be ready${step === '' ? said(why) : step}`;
}

const trafficAwaited = (service: KnativeServiceView, revision: string, component: ComponentView): string =>
  `revision ${revision} is ready and has ${percentOf(service, revision)} of ${component.canaryTrafficPercent ?? 100} % of the traffic${said(service.routesReady?.status === 'True' ? null : service.routesReady?.message)}`;

/** @returns why the pods of a component are not even made */
export function creationFailures(
  wanted: Wanted,
  component: ComponentView,
  seen: Seen,
  patience: Patience,
): Failure[] {
  const sets = seen.replicaSets.filter(
    (set) =>
      set.component === component.component && set.specHash === component.specHash && set.total < set.desired,
  );
  return [
    ...sets.flatMap((set) => replicaSetFailures(wanted, set, seen, patience)),
    ...knativeFailures(wanted, component, seen, patience),
  ];
}

/** Quota and admission are final words of the API server; the rest may mend itself, such as a webhook that is down. */
function replicaSetFailures(wanted: Wanted, set: ReplicaSetView, seen: Seen, patience: Patience): Failure[] {
  const told = set.failure?.status === 'True' ? set.failure.message : null;
  const event = seen.events.findLast(
    ({ regarding, reason }) => regarding.uid === set.uid && reason === 'FailedCreate',
  );
  const message = told ?? event?.message ?? null;
  if (message === null) return [];
  const failure = creationFailure(wanted, set, message);
  // The event may be of an earlier time; the condition is of now.
  const final = told !== null && failure.cause !== 'podCreation';
  const lasts = patience.exceeded(`create/${set.name}`, wanted.readiness.grace.invalidSpec);
  return final || lasts ? [failure] : [];
}

/** The words are those of Kubernetes: a ReplicaSet has no other field that tells them apart. */
function creationFailure(wanted: Wanted, set: ReplicaSetView, message: string): Failure {
  const { namespace } = wanted.target;
  if (message.includes('exceeded quota'))
    return {
      cause: 'quota',
      reason: `namespace ${namespace} has no quota left for the pods of ${set.name}: ${message}`,
      fix: 'raise the ResourceQuota, free some of it, or ask for less in resources',
    };
  const isAccount = message.includes('error looking up service account');
  if (!isAccount && /is forbidden|denied the request/.test(message))
    return {
      cause: 'admission',
      reason: `the cluster does not admit the pods of ${set.name}: ${message}`,
      fix: 'change the policy to what that rule allows, or ask who set it',
    };
  return {
    cause: 'podCreation',
    reason: `the pods of ${set.name} cannot be made: ${message}`,
    fix: isAccount ? `create the service account in ${namespace}` : 'look at what the message names',
  };
}

/** Known better from pods, or no verdict: models take longer than Knative's progress deadline. */
const NOT_THE_REVISIONS: readonly (string | null)[] = ['Unschedulable', 'ProgressDeadlineExceeded'];

/** Knative reads the image's digest before it makes pods, so an image may fail here. */
function knativeFailures(
  wanted: Wanted,
  component: ComponentView,
  seen: Seen,
  patience: Patience,
): Failure[] {
  const { grace } = wanted.readiness;
  if (podsOf(component, seen).length > 0) return [];
  const revision = seen.revisions.find((found) => isFailedRevision(found, component));
  if (revision !== undefined)
    return patience.exceeded(`revision/${revision.name}`, grace.imagePull) ? [revisionFailure(revision)] : [];
  const name = `${wanted.target.name}-${component.component}`;
  const service = seen.knativeServices.find((found) => found.name === name);
  const configurations = service?.configurationsReady;
  const hasRevision = seen.revisions.some((found) => found.specHash === component.specHash);
  if (service?.specHash !== component.specHash || configurations?.status !== 'False' || hasRevision)
    return [];
  return patience.exceeded(`configuration/${name}`, grace.invalidSpec)
    ? [
        {
          cause: 'revision',
          reason: `Knative cannot make a revision of ${name}${said(configurations.message)}`,
          fix: 'change the policy to what Knative accepts',
        },
      ]
    : [];
}

const isFailedRevision = ({ specHash, ready }: RevisionView, component: ComponentView): boolean =>
  specHash === component.specHash && ready?.status === 'False' && !NOT_THE_REVISIONS.includes(ready.reason);

function revisionFailure({ name, ready }: RevisionView): Failure {
  if (ready?.reason === 'ContainerMissing')
    return {
      cause: 'imagePull',
      reason: `Knative cannot read the image of revision ${name}${said(ready.message)}`,
      fix: 'correct the image, or give the service account a secret for its registry',
    };
  return {
    cause: 'revision',
    reason: `revision ${name} failed${said(ready?.message ?? ready?.reason)}`,
    fix: 'look at what the message names',
  };
}
