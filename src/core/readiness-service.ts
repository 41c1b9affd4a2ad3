/** What the InferenceService itself tells: whether it is the delivered one, and whether KServe accepts it. */
import type { EventView, InferenceServiceView, Seen } from './cluster-views.ts';
import type { DeploymentMode } from './kserve.ts';
import { AWAY, type Failure, type Patience, type Wanted } from './readiness-cause.ts';
import { said } from './readiness-pods.ts';

/** Either the live object, which is as wanted, or what keeps it from being that: a failure, or what is awaited. */
export type Live =
  | { live: InferenceServiceView }
  | { live: null; failure: Failure }
  | { live: null; waiting: string };

/**
 * Looks for the delivered InferenceService. It is ours with our spec-hash and replica bounds; the overlays of a GitOps
 * agent may change the rest.
 */
export function findLive(wanted: Wanted, seen: Seen, patience: Patience): Live {
  const live = seen.inferenceService;
  if (live === null || live.deleting) return gone(wanted, seen, patience);
  const difference = differenceOf(wanted, live);
  if (difference !== null) return notOurs(wanted, difference, patience);
  patience.markOurs();
  return live.stopped ? { live: null, failure: stopped(live) } : { live };
}

/** A watch may lag behind what was applied by this much, however short the graces of the policy are. */
const LAG = 10_000;
const lagOf = ({ readiness }: Wanted): number => Math.max(LAG, readiness.grace.invalidSpec);

function gone(wanted: Wanted, seen: Seen, patience: Patience): Live {
  const { name, namespace } = wanted.target;
  const isLost = seen.namespace === 'absent' || seen.namespace === 'terminating';
  const wasOurs = patience.wasOurs();
  if (isLost && (wasOurs || wanted.via === 'apply'))
    return away(patience, namespaceLost(wanted, seen.namespace === 'absent'));
  if (wanted.via === 'gitops' && !wasOurs)
    return {
      live: null,
      waiting: agentAwaited(wanted, isLost ? `namespace ${namespace} does not exist` : null),
    };
  const isDeleting = seen.inferenceService !== null;
  if (!wasOurs && !isDeleting && !patience.exceeded('missing', lagOf(wanted)))
    return { live: null, waiting: `waiting for ${name} to appear in the cluster` };
  const reason = isDeleting
    ? `somebody is deleting ${name} from namespace ${namespace}`
    : `somebody deleted ${name} from namespace ${namespace}`;
  if (isPutBack(wanted, patience)) return { live: null, waiting: `putting it back: ${reason}` };
  const fix = wanted.heals ? NOT_PUT_BACK : 'deploy it again if it should serve';
  return away(patience, { cause: 'deleted', reason, fix });
}

function away(patience: Patience, failure: Failure): Live {
  patience.exceeded(AWAY, null);
  return { live: null, failure };
}

/** Putting it back takes a moment. What takes longer is refused, or undone again and again. */
const isPutBack = (wanted: Wanted, patience: Patience): boolean =>
  wanted.heals && !patience.exceeded('putBack', lagOf(wanted));

const NOT_PUT_BACK = 'see in the timeline of the rollout why it is not put back';

const namespaceLost = ({ target, heals }: Wanted, isAbsent: boolean): Failure => ({
  cause: 'namespace',
  reason: `namespace ${target.namespace} of cluster ${target.cluster} ${isAbsent ? 'does not exist' : 'is being deleted'}`,
  fix: heals
    ? 'create it, for modelhook makes no namespaces; the service is put back then'
    : 'create it and deploy again, for modelhook makes no namespaces',
});

/** @returns how the live object differs from what was delivered; null where it is that */
function differenceOf(wanted: Wanted, live: InferenceServiceView): string | null {
  const specHash = live.components.find(({ component }) => component === 'predictor')?.specHash ?? null;
  if (specHash !== wanted.specHash)
    return `it has spec-hash ${specHash ?? 'none'} instead of ${wanted.specHash}`;
  // KServe's defaults (pkg/apis/serving/v1beta1/component.go).
  const bounds = [live.minReplicas ?? 1, live.maxReplicas ?? 0];
  if (bounds[0] === wanted.minReplicas && bounds[1] === wanted.maxReplicas) return null;
  return `it has ${bounds.join(' to ')} replicas instead of ${wanted.minReplicas} to ${wanted.maxReplicas}`;
}

function notOurs(wanted: Wanted, difference: string, patience: Patience): Live {
  const { name } = wanted.target;
  if (!patience.wasOurs()) {
    if (wanted.via === 'gitops')
      return { live: null, waiting: agentAwaited(wanted, difference.replace(/^it/, `${name} still`)) };
    // The watch may lag behind the apply, but not for long.
    if (!patience.exceeded('notOurs', lagOf(wanted)))
      return { live: null, waiting: `waiting for ${name} to show what was applied` };
  }
  const reason = `somebody else changed ${name} after it was delivered: ${difference}`;
  if (isPutBack(wanted, patience)) return { live: null, waiting: `putting it back: ${reason}` };
  return away(patience, { cause: 'changed', reason, fix: whatNext(wanted) });
}

function whatNext({ via, heals }: Wanted): string {
  if (heals) return NOT_PUT_BACK;
  return via === 'gitops' ? 'let the GitOps agent sync it, or deploy again' : 'deploy again';
}

const agentAwaited = ({ commit }: Wanted, why: string | null): string =>
  `waiting for the GitOps agent to apply ${commit ?? 'the manifest'}${said(why)}`;

const stopped = ({ name, namespace }: InferenceServiceView): Failure => ({
  cause: 'stopped',
  reason: `${name} is stopped by its annotation serving.kserve.io/stop`,
  fix: `start it: kubectl annotate inferenceservice -n ${namespace} ${name} serving.kserve.io/stop-`,
});

/** @returns why KServe does not act on the spec, while its children do not carry it yet */
export function specFailures(
  wanted: Wanted,
  mode: DeploymentMode,
  live: InferenceServiceView,
  seen: Seen,
  isReached: boolean,
  patience: Patience,
): Failure[] {
  const { invalidSpec } = wanted.readiness.grace;
  // A runtime may come late, and right after an update the status is of the spec before.
  if (live.transitionStatus === 'InvalidSpec')
    return patience.exceeded('invalidSpec', invalidSpec) ? [invalid(live)] : [];
  if (isReached) return [];
  const isIdle = patience.exceeded('notReached', invalidSpec);
  return [
    ...storageFailures(wanted, live, seen),
    ...knativeMissing(wanted, mode, live, seen),
    ...(isIdle ? idleFailures(wanted, live, seen) : []),
  ];
}

function invalid(live: InferenceServiceView): Failure {
  const runtime = live.runtime === null ? 'the runtime' : `runtime ${live.runtime}`;
  const told = said(live.lastFailure?.message);
  switch (live.lastFailure?.reason) {
    case 'RuntimeNotRecognized':
      return {
        cause: 'unknownRuntime',
        reason: `${runtime} exists neither in namespace ${live.namespace} nor cluster-wide`,
        fix: 'create it, or name another in runtime.name of the policy',
      };
    case 'RuntimeDisabled':
      return {
        cause: 'runtimeDisabled',
        reason: `${runtime} is disabled`,
        fix: 'enable it, or name another in runtime.name of the policy',
      };
    case 'NoSupportingRuntime':
      return {
        cause: 'unsupported',
        reason: `${runtime} does not fit the model${told}`,
        fix: 'change runtime, modelFormat or protocolVersion in the policy so that they agree',
      };
    default:
      return {
        cause: 'invalidSpec',
        reason: `KServe refuses the spec of ${live.name}${told}`,
        fix: 'correct in the policy or the runtime what the message names',
      };
  }
}

/**
 * A storage URI that KServe does not know appears in an Event and nowhere else (pitfall 4 of the status). The event
 * names the URI, but one of before may tell of what was mended since.
 */
function storageFailures(wanted: Wanted, live: InferenceServiceView, seen: Seen): Failure[] {
  const rejected = live.storageUris.find((uri) =>
    reconcileErrors(wanted, live, seen).some(({ message }) => message.includes(`[${uri}] is not supported`)),
  );
  if (rejected === undefined) return [];
  return [
    {
      cause: 'storageUri',
      reason: `KServe does not support the storage URI ${rejected}`,
      fix: 'use gs://, s3://, pvc://, oci://, hf://, https:// or another that KServe knows in storage.uri',
    },
  ];
}

function knativeMissing(
  wanted: Wanted,
  mode: DeploymentMode,
  live: InferenceServiceView,
  seen: Seen,
): Failure[] {
  const rejected = eventsSince(wanted, live, seen).some(({ reason }) => reason === 'ServerlessModeRejected');
  if (mode !== 'Knative' || !rejected) return [];
  return [
    {
      cause: 'knativeMissing',
      reason: 'the cluster has no Knative Serving, which deployment mode Knative needs',
      fix: 'set deploymentMode: Standard in the policy and delete the service, or install Knative',
    },
  ];
}

function idleFailures(wanted: Wanted, live: InferenceServiceView, seen: Seen): Failure[] {
  if (live.autoUpdateDisabled && live.ready?.status === 'True')
    return [
      {
        cause: 'autoUpdateDisabled',
        reason: `KServe ignores changes of ${live.name}: its annotation serving.kserve.io/disable-auto-update says so`,
        fix: 'remove the annotation',
      },
    ];
  return reconcileFailures(wanted, live, seen);
}

/** Clocks of the cluster and ours may differ by this much. */
const CLOCK_SKEW = 60_000;

/** Events are kept for an hour, and a retry must not fail by those of the time before. */
const eventsSince = ({ deliveredAt }: Wanted, { uid }: InferenceServiceView, seen: Seen): EventView[] =>
  seen.events.filter(
    ({ regarding, lastAt }) =>
      regarding.uid === uid && (lastAt === null || lastAt >= deliveredAt - CLOCK_SKEW),
  );

/** @returns what KServe's controller reported last about this service, since it was delivered */
export function reconcileFailures(wanted: Wanted, live: InferenceServiceView, seen: Seen): Failure[] {
  const error = reconcileErrors(wanted, live, seen).reduce<EventView | null>(
    (last, event) => ((last?.lastAt ?? 0) > (event.lastAt ?? 0) ? last : event),
    null,
  );
  if (error === null) return [];
  return [
    {
      cause: 'reconcile',
      reason: `KServe cannot set up ${live.name}: ${error.message}`,
      fix: 'look at what the message names, and at the log of kserve-controller-manager',
    },
  ];
}

/** Two of KServe's writes that met are no error: it repeats the second at once, and reports it all the same. */
const reconcileErrors = (wanted: Wanted, live: InferenceServiceView, seen: Seen): EventView[] =>
  eventsSince(wanted, live, seen).filter(
    ({ reason, message }) => reason === 'InternalError' && !message.includes('the object has been modified'),
  );
