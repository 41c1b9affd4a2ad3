/**
 * Judges by evidence whether a delivered model serves. KServe's own word is not enough: it says Ready for the old model
 * during an update, and nothing of pods that cannot start.
 *
 * Everything is decided from the objects seen so far, in whatever order the watches of different kinds brought them, and
 * from how long causes last by the caller's clock.
 */
import type { ComponentView, InferenceServiceView, Seen } from './cluster-views.ts';
import type { DeploymentMode } from './kserve.ts';
import {
  type CauseKind,
  type Failure,
  formatSpan,
  NO_PATIENCE,
  type Patience,
  patienceOf,
  type Since,
  type Wanted,
} from './readiness-cause.ts';
import { creationFailures, type Progress, progressOf } from './readiness-children.ts';
import { podFailures, podsOf, said } from './readiness-pods.ts';
import { findLive, reconcileFailures, specFailures } from './readiness-service.ts';

/** Where a model is reached. */
export interface Endpoints {
  internal: string;
  /** null where it is reached from within the cluster only. */
  external: string | null;
}

/**
 * `again`: milliseconds until time alone may change the verdict, by a grace period or the timeout. What has failed may
 * become ready until then; null: the timeout is over, and there is nothing left to wait for.
 */
export type Verdict =
  | { state: 'ready'; endpoints: Endpoints; message: string }
  | { state: 'failed'; cause: CauseKind; message: string; again: number | null }
  | { state: 'progressing'; message: string; again: number };

/**
 * Judges a rollout.
 * @param wanted what was delivered
 * @param seen all objects of its target. Only to be called once every watch has listed what there is: what is not seen
 *   counts as not there
 * @param since what the last judgement of this rollout returned, `{}` before the first
 * @param at now, by the clock that `deliveredAt` and `since` are of
 * @returns a verdict, never final before the timeout: what failed may become ready; and `since` for the next time, the
 *   same object where nothing has to be stored
 */
export function judge(
  wanted: Wanted,
  seen: Seen,
  since: Since,
  at: number,
): { verdict: Verdict; since: Since } {
  const patience = patienceOf(since, at);
  const finding = assess(wanted, seen, patience);
  const verdict = verdictOf(wanted, finding, patience, at);
  return { verdict, since: patience.since() };
}

/**
 * Whether a service that was ready still serves: it is as wanted, enough pods of each component are available, and KServe
 * says nothing else against it. Neither a single pod that is replaced among many nor pods that are added change that.
 */
export function serves(wanted: Wanted, seen: Seen): Serving {
  const found = findLive(wanted, seen, NO_PATIENCE);
  if (found.live !== null) return servesAs(wanted, found.live, seen);
  const failure = 'failure' in found ? found.failure : stoppedServing(wanted, found.waiting);
  // Until it is put back, what somebody made of it serves, or does not.
  if (wanted.heals && failure.cause === 'changed' && seen.inferenceService !== null)
    return servesAs(wanted, seen.inferenceService, seen);
  return { serves: false, cause: failure.cause, message: sentence(failure) };
}

type Serving = { serves: true } | { serves: false; cause: CauseKind; message: string };

function servesAs(wanted: Wanted, live: InferenceServiceView, seen: Seen): Serving {
  const mode = live.mode ?? wanted.mode;
  if (isReachable(mode, live) && live.components.every((part) => isUp(wanted, mode, live, part, seen)))
    return { serves: true };
  const finding = assessLive(wanted, live, seen, NO_PATIENCE);
  const failure =
    finding.kind === 'failed'
      ? finding.failure
      : stoppedServing(wanted, finding.kind === 'waiting' ? finding.waiting : null);
  return { serves: false, cause: failure.cause, message: sentence(failure) };
}

const stoppedServing = ({ target }: Wanted, why: string | null): Failure => ({
  cause: 'notServing',
  reason: `${target.name} was ready and no longer serves${said(why)}`,
  fix: `look at its pods: kubectl get pods -n ${target.namespace} -l serving.kserve.io/inferenceservice=${target.name}`,
});

/**
 * In Standard mode KServe copies the condition Available of the Deployment, and what comes after that waits for it. It is
 * False where an autoscaler has just asked for more pods, so the pods themselves are counted.
 */
const isReachable = (mode: DeploymentMode, { ready, components }: InferenceServiceView): boolean =>
  ready?.status === 'True' || (mode === 'Standard' && components.some(isUnready));

const isUnready = ({ ready }: ComponentView): boolean => ready !== null && ready.status !== 'True';

/** Knative scales to zero, and says Ready while it scales, so its own word counts. */
function isUp(
  { minReplicas }: Wanted,
  mode: DeploymentMode,
  live: InferenceServiceView,
  part: ComponentView,
  seen: Seen,
): boolean {
  const name = `${live.name}-${part.component}`;
  if (mode === 'Knative')
    return seen.knativeServices.some(
      (service) =>
        service.name === name && service.specHash === part.specHash && service.ready?.status === 'True',
    );
  const least = part.component === 'predictor' ? Math.max(1, minReplicas) : 1;
  return seen.deployments.some(
    (deployment) =>
      deployment.name === name &&
      deployment.specHash === part.specHash &&
      (deployment.isAvailable?.status === 'True' || deployment.available >= least),
  );
}

type Finding =
  | { kind: 'ready'; endpoints: Endpoints }
  | { kind: 'failed'; failure: Failure }
  | { kind: 'waiting'; waiting: string };

function assess(wanted: Wanted, seen: Seen, patience: Patience): Finding {
  const found = findLive(wanted, seen, patience);
  if (found.live !== null) return assessLive(wanted, found.live, seen, patience);
  return 'failure' in found
    ? { kind: 'failed', failure: found.failure }
    : { kind: 'waiting', waiting: found.waiting };
}

function assessLive(wanted: Wanted, live: InferenceServiceView, seen: Seen, patience: Patience): Finding {
  const mode = live.mode ?? wanted.mode;
  const parts = live.components.map((component) => ({
    component,
    progress: progressOf(wanted, mode, live, component, seen),
  }));
  const isComplete = parts.every(({ progress }) => progress.complete);
  if (isComplete && isReady(live)) return { kind: 'ready', endpoints: endpointsOf(live) };
  const isReached = parts.every(({ progress }) => progress.reached);
  // All of them are asked, for each notes since when it lasts; the first counts.
  const [failure] = [
    ...specFailures(wanted, mode, live, seen, isReached, patience),
    ...parts.flatMap(({ component }) => creationFailures(wanted, component, seen, patience)),
    ...parts.flatMap(({ component }) => podFailures(wanted, seen, podsOf(component, seen), patience)),
    ...(isComplete ? unreadyFailures(wanted, live, seen, patience) : []),
  ];
  if (failure !== undefined) return { kind: 'failed', failure };
  if (live.transitionStatus === 'InvalidSpec')
    return {
      kind: 'waiting',
      waiting: `KServe does not accept the spec yet${said(live.lastFailure?.message)}`,
    };
  const part = parts.find(({ progress }) => !progress.complete);
  return { kind: 'waiting', waiting: part === undefined ? serviceAwaited(live) : partAwaited(part) };
}

/** KServe tests Ready before it looks at the model, so a spec it refused may say Ready for the one before. */
const isReady = ({ ready, transitionStatus }: InferenceServiceView): boolean =>
  ready?.status === 'True' &&
  transitionStatus !== 'InvalidSpec' &&
  transitionStatus !== 'BlockedByFailedLoad';

/** Its pods run, and KServe fails at what comes after them, such as the ingress. */
const unreadyFailures = (
  wanted: Wanted,
  live: InferenceServiceView,
  seen: Seen,
  patience: Patience,
): Failure[] =>
  patience.exceeded('notReady', wanted.readiness.grace.invalidSpec)
    ? reconcileFailures(wanted, live, seen)
    : [];

const partAwaited = ({ component, progress }: { component: ComponentView; progress: Progress }): string =>
  component.component === 'predictor' ? progress.waiting : `${component.component}: ${progress.waiting}`;

function serviceAwaited({
  transitionStatus,
  ready,
  components,
  ingressReady,
  lastFailure,
}: InferenceServiceView): string {
  if (transitionStatus === 'BlockedByFailedLoad')
    return `the pods are ready; KServe still reports that the model cannot be loaded${said(lastFailure?.message)}`;
  const missing = [
    ...components.map((part) => ({ what: `the ${part.component}`, condition: part.ready })),
    { what: 'the ingress', condition: ingressReady },
  ].find(({ condition }) => condition !== null && condition.status !== 'True');
  const told = missing?.condition ?? ready;
  return `the pods are ready; KServe does not report ${missing?.what ?? 'the service'} ready yet${said(told?.message ?? told?.reason)}`;
}

/** The external one is `status.url`, where that leads out of the cluster. */
function endpointsOf({ name, namespace, url }: InferenceServiceView): Endpoints {
  return {
    internal: `http://${name}-predictor.${namespace}.svc.cluster.local`,
    external: url !== null && isExternal(url) ? url : null,
  };
}

function isExternal(url: string): boolean {
  if (!/^https?:/.test(url) || !URL.canParse(url)) return false;
  return !/\.svc(\.|$)/.test(new URL(url).hostname);
}

function verdictOf(wanted: Wanted, finding: Finding, patience: Patience, at: number): Verdict {
  if (finding.kind === 'ready') {
    const { endpoints } = finding;
    return { state: 'ready', endpoints, message: `Ready at ${endpoints.external ?? endpoints.internal}` };
  }
  const left = wanted.deliveredAt + wanted.readiness.timeout - at;
  const again = Math.min(left, (patience.nextAt() ?? Number.POSITIVE_INFINITY) - at);
  if (finding.kind === 'waiting' && left > 0)
    return { state: 'progressing', message: finding.waiting, again };
  const failure = finding.kind === 'failed' ? finding.failure : timedOut(wanted, finding.waiting);
  return {
    state: 'failed',
    cause: failure.cause,
    message: sentence(failure),
    again: left > 0 ? again : null,
  };
}

const timedOut = ({ readiness }: Wanted, waiting: string): Failure => ({
  cause: 'timeout',
  reason: `not ready within ${formatSpan(readiness.timeout)}: ${waiting}`,
  fix: 'mend what it waits for and retry, or raise readiness.timeout in the policy',
});

const sentence = ({ reason, fix }: Failure): string => `${reason}; ${fix}`;
