/** What a judgement of readiness is made of: what is wanted, what went wrong, and for how long. */
import type { DeploymentMode } from './kserve.ts';
import type { Policy } from './policy.ts';
import type { Target } from './rollout.ts';

/** Why a model does not serve. */
export type CauseKind =
  | 'admission'
  | 'autoUpdateDisabled'
  | 'changed'
  | 'containerConfig'
  | 'crashLoop'
  | 'deleted'
  | 'download'
  | 'imagePull'
  | 'invalidSpec'
  | 'knativeMissing'
  | 'namespace'
  | 'notServing'
  | 'outOfMemory'
  | 'podCreation'
  | 'podFailed'
  | 'quota'
  | 'reconcile'
  | 'revision'
  | 'runtimeDisabled'
  | 'stopped'
  | 'storageUri'
  | 'timeout'
  | 'unknownRuntime'
  | 'unschedulable'
  | 'unsupported';

/** A cause, and what a person can do about it, each without a full stop. */
export interface Failure {
  cause: CauseKind;
  reason: string;
  fix: string;
}

/** What was delivered, and how long to wait for it. Times are milliseconds. */
export interface Wanted {
  target: Target;
  /** As rendered into the manifest (`modelhook.dev/spec-hash`). */
  specHash: string;
  minReplicas: number;
  maxReplicas: number;
  /** Of the manifest; what KServe says of the live service comes first. */
  mode: DeploymentMode;
  via: 'gitops' | 'apply';
  /** What somebody else changes or deletes is put back by modelhook. */
  heals: boolean;
  /** The GitOps commit, short; null where there is none. */
  commit: string | null;
  /** By our own clock, since the epoch. */
  deliveredAt: number;
  readiness: Pick<Policy['readiness'], 'timeout' | 'grace'>;
}

/**
 * When the caller's clock first saw each cause that is given time, and under {@link OURS} when the service was first
 * as wanted. Plain data, to be kept with the rollout: then a restart neither shortens nor repeats a grace period.
 * Nothing is measured by the times in objects: they are whole seconds of another clock.
 */
export type Since = Readonly<Record<string, number>>;

/** The one mark that stays once it is set. */
export const OURS = 'ours';

/** Marks a service that was lost or changed, which its rollout was told of. It ends when the service is as wanted again. */
export const AWAY = 'away';

/** Measures how long causes last, and notes which of them there are now. */
export interface Patience {
  /** @returns whether the cause has lasted for its grace; null is for ever */
  exceeded(cause: string, grace: number | null): boolean;
  /** Notes that the service is as wanted. */
  markOurs(): void;
  wasOurs(): boolean;
  /** @returns the marks of now, the same object where they are those of before */
  since(): Since;
  /** @returns the next time at which a cause will have lasted long enough; null where none will */
  nextAt(): number | null;
}

/** @param before what {@link Patience.since} returned the last time */
export function patienceOf(before: Since, at: number): Patience {
  const now: Record<string, number> = {};
  const ends: number[] = [];
  const keep = (key: string): number => {
    // A clock that was set back must not make a grace longer than it is.
    const first = Math.min(before[key] ?? at, at);
    now[key] = first;
    return first;
  };
  if (before[OURS] !== undefined) keep(OURS);
  return {
    exceeded(cause, grace) {
      const first = keep(cause);
      if (grace === null) return false;
      if (at - first >= grace) return true;
      ends.push(first + grace);
      return false;
    },
    markOurs: () => void keep(OURS),
    wasOurs: () => before[OURS] !== undefined,
    since() {
      const keys = Object.keys(now);
      const same =
        keys.length === Object.keys(before).length && keys.every((key) => now[key] === before[key]);
      return same ? before : now;
    },
    nextAt: () => (ends.length === 0 ? null : Math.min(...ends)),
  };
}

/** Every cause counts at once: for a service that was ready before. */
export const NO_PATIENCE: Patience = {
  exceeded: (_, grace) => grace !== null,
  markOurs: () => undefined,
  wasOurs: () => true,
  since: () => ({}),
  nextAt: () => null,
};

/** @returns `1h 30m`, `45s`: as policies write it */
export function formatSpan(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000);
  const parts = [
    [Math.floor(seconds / 3600), 'h'],
    [Math.floor(seconds / 60) % 60, 'm'],
    [seconds % 60, 's'],
  ].flatMap(([count, unit]) => (count === 0 ? [] : [`${count}${unit}`]));
  return parts.length === 0 ? '0s' : parts.join(' ');
}
