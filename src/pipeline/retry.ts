/** What happens to a rollout whose stage threw: the error's class decides (docs/decisions/0006-errors-decide-the-retry.md). */
import { randomUUID } from 'node:crypto';
import { ClusterUnavailableError } from '../cluster/cluster.ts';
import { messageOf, StalledError, WaitingError } from '../core/errors.ts';
import type { Rollout } from '../core/rollout.ts';
import { type RolloutChange, type Store, StoreUnavailableError } from '../store/store.ts';
import type { Log } from '../telemetry/log.ts';

/** How long a fault may pass unreported: most mend themselves, and nobody needs to read about those on a commit. */
const PATIENCE = 5 * 60_000;
/** Tries after which an error of our own making fails the rollout. */
const BUG_ATTEMPTS = 5;
const BACKOFF = { first: 1000, longest: 5 * 60_000 };

/**
 * Exponential backoff with jitter, so that what failed together is not tried again together.
 * @param attempts failed tries so far
 * @returns milliseconds
 */
export function backoff(attempts: number, random: () => number = Math.random): number {
  const full = Math.min(BACKOFF.first * 2 ** Math.min(attempts, 20), BACKOFF.longest);
  return Math.round(full * (0.5 + random() / 2));
}

/**
 * @param attempts failed tries so far
 * @returns how long to wait before the next one, in milliseconds: what the cluster asks for, if it does
 */
export function delayAfter(error: unknown, attempts: number): number {
  const asked = error instanceof ClusterUnavailableError ? error.problem.retryAfter : null;
  return asked === null ? backoff(attempts) : Math.min(asked, BACKOFF.longest);
}

/** Classes that only a mistake in modelhook throws. */
const isBug = (error: unknown): boolean =>
  error instanceof TypeError ||
  error instanceof ReferenceError ||
  error instanceof RangeError ||
  error instanceof SyntaxError;

export interface Failure {
  change: RolloutChange;
  /** Set where the log needs the whole error under this id. */
  bug: string | null;
}

/**
 * What a thrown error makes of a rollout.
 * @param now milliseconds since the epoch
 */
export function failureOf(rollout: Rollout, error: unknown, now: number): Failure {
  const { attempts, waitingSince, updatedAt, stage } = rollout;
  // Before it is certain that anything is removed, what the commit says of the deployment is still true.
  const doubts = stage === 'remove';
  if (error instanceof StalledError) return final('failed', error.message);
  if (error instanceof WaitingError) {
    const change = { dueAt: now + error.after, attempts: 0, waitingSince: null };
    // Who waits for people waits for them all the same, and a limit of the forge's is not their concern.
    const told = rollout.pullRequest ? change : { ...change, message: error.message };
    return { change: doubts ? { ...told, quiet: true } : told, bug: null };
  }
  const since = waitingSince ?? now;
  const again = { attempts: attempts + 1, waitingSince: since, dueAt: now + delayAfter(error, attempts) };
  if (isBug(error)) {
    const id = randomUUID();
    const message = `modelhook made a mistake (error ${id}); its log says more under that id, please report it`;
    return attempts + 1 >= BUG_ATTEMPTS
      ? { ...final('failed', message), bug: id }
      : { change: { ...again, message, quiet: true }, bug: id };
  }
  const reason = messageOf(error);
  if (now - since < PATIENCE)
    return { change: { ...again, message: `Trying again: ${reason}`, quiet: true }, bug: null };
  // Said once: the reason's words may differ at every try, by a duration or a port, and a commit is no log.
  const quiet = doubts || updatedAt - since >= PATIENCE;
  return { change: { ...again, message: `Waiting since ${clockTime(since)}: ${reason}`, quiet }, bug: null };
}

const final = (phase: 'failed', message: string): Failure => ({
  change: { phase, stage: null, message },
  bug: null,
});

const clockTime = (at: number): string => `${new Date(at).toISOString().slice(0, 16).replace('T', ' ')} UTC`;

/** Keeps a result until the store takes it: what was done must not be done again because a disk was full. */
export type Persist = <Result>(write: () => Promise<Result>) => Promise<Result>;

/**
 * @param wait resolves after the given milliseconds, or rejects at a stop
 */
export function createPersist(wait: (milliseconds: number) => Promise<void>, log: Log): Persist {
  return async (write) => {
    for (let attempts = 0; ; attempts += 1) {
      try {
        return await write();
      } catch (error) {
        if (!(error instanceof StoreUnavailableError)) throw error;
        if (attempts === 0) log.error({ reason: error.message }, 'the store cannot be written; trying again');
        await wait(Math.min(backoff(attempts), 5000));
      }
    }
  };
}

export interface SettleDeps {
  store: Store;
  persist: Persist;
  now: () => number;
  log: Log;
}

/**
 * Stores what an error makes of a rollout, and logs it.
 * @param known what else is to be stored
 */
export async function settleFailure(
  deps: SettleDeps,
  rollout: Rollout,
  error: unknown,
  known: RolloutChange = {},
): Promise<void> {
  const { store, persist, now, log } = deps;
  const { change, bug } = failureOf(rollout, error, now());
  const fields = {
    rollout: rollout.id,
    repository: rollout.repository,
    ref: rollout.ref,
    stage: rollout.stage,
  };
  if (bug) log.error({ ...fields, errorId: bug, err: error }, 'internal error');
  else if (change.phase === 'failed') log.warn({ ...fields, reason: change.message }, 'rollout failed');
  else log.warn({ ...fields, attempts: change.attempts, reason: messageOf(error) }, 'rollout waits');
  await persist(() => store.rollouts.advance(rollout.id, { ...known, ...change }));
}
