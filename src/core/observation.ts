/**
 * What becomes of a rollout while its target is watched: from what is seen of that to the rollout's next phase and words
 * (specification section 9). Nothing is remembered here but what the rollout itself carries.
 */
import type { Seen } from './cluster-views.ts';
import { readManaged } from './inference-service.ts';
import { valueAt } from './json.ts';
import { judge, serves } from './readiness.ts';
import { AWAY, formatSpan, type Wanted } from './readiness-cause.ts';
import { shortSha } from './ref-event.ts';
import type { Observation, PlanSummary, ReadinessTerms, Rollout, Target } from './rollout.ts';
import { readYaml } from './yaml-source.ts';

/** How long a cluster may be cut off before rollouts say so: most interruptions pass before anybody can read of them. */
const CUT_OFF_FOR = 10_000;
/** The least time between two words about progress. */
const PROGRESS_EVERY = 5000;
/** The longer a rollout takes, the more rarely its progress is told: a thirtieth of its time. */
const PROGRESS_SHARE = 30;

/** A rollout that is observed. */
export type Observed = Pick<Rollout, 'phase' | 'message' | 'receipt' | 'createdAt' | 'endpoints'> & {
  target: Target;
  plan: Pick<PlanSummary, 'gitops' | 'selfHeal'> & { readiness: ReadinessTerms };
  observation: Observation;
  /** When its message or phase was last stored. */
  saidAt: number;
};

/** What can be seen of a target. */
export type Sight =
  | { kind: 'clear'; seen: Seen }
  /** What is known may be old. `since` is in milliseconds since the epoch, the message in words for a rollout. */
  | { kind: 'cutOff'; since: number; message: string }
  /** The watches have only begun. */
  | { kind: 'beginning' };

/** What is true of a rollout now. */
export interface Outlook {
  phase: 'delivered' | 'ready' | 'failed';
  message: string;
  endpoints: Rollout['endpoints'] | null;
  /** The same object where nothing of it has to be stored. */
  observation: Observation;
  /** Nothing more is to be watched for. */
  ends: boolean;
  /** When time alone may change this, in milliseconds since the epoch; infinite: it will not. */
  until: number;
}

/**
 * What observing goes by.
 * @param manifest as it was delivered
 * @returns null where the manifest is not one that can be told apart in the cluster
 */
export function beginObservation(manifest: string, at: number): Observation | null {
  const { specHash, deploymentMode } = readManaged(manifest);
  if (specHash === null || deploymentMode === null) return null;
  const value = readYaml('', manifest).documents[0]?.value;
  const bound = (field: string): number | null => {
    const found = valueAt(value, ['spec', 'predictor', field]);
    return typeof found === 'number' ? found : null;
  };
  return {
    specHash,
    // KServe's defaults (pkg/apis/serving/v1beta1/component.go).
    minReplicas: bound('minReplicas') ?? 1,
    maxReplicas: bound('maxReplicas') ?? 0,
    mode: deploymentMode,
    deliveredAt: at,
    readyAt: null,
    since: {},
  };
}

/** @param at now, in milliseconds since the epoch */
export function observe(observed: Observed, sight: Sight, at: number): Outlook {
  const { readyAt } = observed.observation;
  if (sight.kind !== 'clear') return unseen(observed, sight, at);
  return readyAt === null ? awaitReady(observed, sight.seen, at) : watchReady(observed, sight.seen, at);
}

/**
 * Whether something is to be stored now. Phases are told at once. Progress is told every few seconds at most, and so is
 * that a service which came and went serves again.
 * @returns what is to be stored, the message perhaps that of before; null: nothing is. And when to look again
 */
export function dueOf(
  observed: Observed,
  outlook: Outlook,
  at: number,
): { change: Outlook | null; until: number } {
  const { phase, message, observation, saidAt } = observed;
  const again = observation.readyAt !== null && outlook.phase === 'ready' && phase === 'failed';
  const isUrgent = outlook.ends || (outlook.phase !== phase && !again);
  if (isUrgent) return { change: outlook, until: outlook.until };
  const marks = outlook.observation === observation ? null : outlook.observation;
  const hasWords = outlook.phase !== phase || outlook.message !== message;
  const pause = Math.max(PROGRESS_EVERY, (at - observation.deliveredAt) / PROGRESS_SHARE);
  // A clock that was set back must not silence it for long.
  const wordsAt = Math.min(saidAt, at) + pause;
  if (hasWords && at >= wordsAt) return { change: outlook, until: outlook.until };
  const silent = { ...unchanged(observed), observation: marks ?? observation };
  return {
    change: marks === null ? null : silent,
    until: hasWords ? Math.min(outlook.until, wordsAt) : outlook.until,
  };
}

/** @returns until when a rollout is watched, in milliseconds since the epoch; null where it is not */
export function watchedUntil({ stage, phase, plan, observation }: Rollout): number | null {
  if (stage !== 'observe' || !observation || !plan?.readiness) return null;
  const { readyAt, deliveredAt } = observation;
  const { stability, timeout } = plan.readiness;
  if (readyAt === null) return deliveredAt + timeout;
  return phase === 'ready' ? readyAt + stability : Math.max(readyAt + stability, deliveredAt + timeout);
}

const stableAt = ({ observation, plan }: Observed): number =>
  (observation.readyAt ?? 0) + plan.readiness.stability;

const timeoutOf = ({ observation, plan }: Observed): number =>
  observation.deliveredAt + plan.readiness.timeout;

const unchanged = ({ phase, message, observation }: Observed): Outlook => ({
  phase: phase === 'ready' || phase === 'failed' ? phase : 'delivered',
  message,
  endpoints: null,
  observation,
  ends: false,
  until: Number.POSITIVE_INFINITY,
});

/**
 * Nothing is judged by what may be old. At the timeout the rollout has failed all the same, but it is watched on until
 * the cluster can be seen again: then it is judged for the last time. So is one that was ready, once it was so for long
 * enough, or nobody would be told of a service that stopped while nobody looked.
 */
function unseen(observed: Observed, sight: Exclude<Sight, { kind: 'clear' }>, at: number): Outlook {
  const same = unchanged(observed);
  if (observed.phase === 'ready' || observed.phase === 'failed' || sight.kind === 'beginning') return same;
  const tellAt = Math.min(sight.since, at) + CUT_OFF_FOR;
  const timeout = timeoutOf(observed);
  if (at >= timeout) {
    const message = `not ready within ${formatSpan(observed.plan.readiness.timeout)}: ${sight.message}`;
    return { ...same, phase: 'failed', message };
  }
  if (at < tellAt) return { ...same, until: Math.min(tellAt, timeout) };
  return { ...same, message: sight.message, until: timeout };
}

const wantedOf = ({ target, plan, receipt, observation }: Observed): Wanted => ({
  target,
  ...observation,
  via: plan.gitops === null ? 'apply' : 'gitops',
  heals: plan.selfHeal ?? false,
  commit: receipt?.commit ? shortSha(receipt.commit) : null,
  readiness: plan.readiness,
});

function awaitReady(observed: Observed, seen: Seen, at: number): Outlook {
  const { observation, createdAt, phase } = observed;
  const { verdict, since } = judge(wantedOf(observed), seen, observation.since, at);
  const noted = since === observation.since ? observation : { ...observation, since };
  const same = { ...unchanged(observed), observation: noted };
  switch (verdict.state) {
    case 'ready': {
      const { endpoints } = verdict;
      const readyAt = { ...noted, readyAt: at };
      return {
        phase: 'ready',
        message: `Ready in ${formatSpan(Math.max(at - createdAt, 0))}${where(endpoints)}`,
        endpoints,
        observation: readyAt,
        ends: observed.plan.readiness.stability === 0,
        until: stableAt({ ...observed, observation: readyAt }),
      };
    }
    case 'failed': {
      const { message, again } = verdict;
      const ends = again === null;
      return { ...same, phase: 'failed', message, ends, until: ends ? same.until : at + again };
    }
    case 'progressing': {
      const until = at + verdict.again;
      const { message } = verdict;
      // What it failed by is over, and the advice with it, where the service is there again as it was delivered.
      const isBack = AWAY in observation.since && !(AWAY in since);
      if (isBack) return { ...same, phase: 'delivered', message, until };
      // Else whoever read that it failed, and why, is told next when it serves or when the time is over.
      return phase === 'failed' ? { ...same, until } : { ...same, message, until };
    }
  }
}

const where = ({ internal, external }: Rollout['endpoints']): string => ` at ${external ?? internal}`;

/** After it was ready: does it still serve, or again. */
function watchReady(observed: Observed, seen: Seen, at: number): Outlook {
  const same = unchanged(observed);
  const state = serves(wantedOf(observed), seen);
  const end = Math.max(stableAt(observed), timeoutOf(observed));
  if (!state.serves) {
    const message = observed.phase === 'ready' ? state.message : observed.message;
    return { ...same, phase: 'failed', message, ends: at >= end, until: end };
  }
  const stable = stableAt(observed);
  if (observed.phase === 'ready') return { ...same, ends: at >= stable, until: stable };
  return {
    ...same,
    phase: 'ready',
    message: `Ready again${where(observed.endpoints)}`,
    ends: at >= stable,
    until: stable,
  };
}
