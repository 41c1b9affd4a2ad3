/**
 * A revision of the policies that came into force → a rollout for each target whose manifest it changes. Both revisions
 * are rendered from what the target was planned from, so that nothing but the policies makes a difference.
 */
import { messageOf } from '../core/errors.ts';
import { shortSha } from '../core/ref-event.ts';
import type { PolicyReviewer, PolicySource } from '../policies/policies.ts';
import type { Store } from '../store/store.ts';
import type { Log } from '../telemetry/log.ts';
import { backoff, type Persist } from './retry.ts';
import type { Stage } from './stage.ts';

export interface CarryOutDeps {
  store: Store;
  policies: PolicySource;
  reviewer: PolicyReviewer;
  /** How many rollouts of changes of the policies are under way at once. */
  concurrency: number;
  persist: Persist;
  /** Looks for work now. */
  wake: () => void;
  now: () => number;
  log: Log;
}

/** What a revision changes. */
type Change = Pick<Parameters<Store['policyChanges']['carryOut']>[0], 'rollouts' | 'uncompared'>;

export function createCarryOut(deps: CarryOutDeps): Stage {
  const { store, policies, reviewer, concurrency, persist, wake, now, log } = deps;
  /** The revision that is known to be carried out. */
  let done: string | null = null;
  let failures = 0;
  /** After a failure: not before then, in milliseconds since the epoch. */
  let notBefore = 0;

  async function carryOut(): Promise<void> {
    const current = policies.current();
    if (!current) return;
    const { revision } = current;
    try {
      const from = await store.policyChanges.carriedOut();
      const change = from === revision ? { rollouts: [] } : await changeOf(from, revision);
      // Also at a start that finds nothing to do: the concurrency may be another.
      const made = await persist(() =>
        store.policyChanges.carryOut({ from, revision, room: concurrency, ...change }),
      );
      if (from !== revision) {
        log.info({ from, revision, rollouts: made }, 'a change of the policies is carried out');
        // What requests are compared with is another.
        await persist(() => store.reviews.lookAgain());
      }
      // Not before that is stored: until then the one before is needed, and this one is kept, for it is in force.
      await reviewer.keep(revision);
      done = revision;
      failures = 0;
    } catch (error) {
      failures += 1;
      const after = backoff(failures);
      notBefore = now() + after;
      // No row tells when that is.
      setTimeout(wake, after).unref();
      log.warn(
        { revision, reason: messageOf(error) },
        'a change of the policies cannot be carried out yet; trying again',
      );
    }
  }

  /** @throws Error where it cannot be told now: an examination that was given up is no sign that nothing changes */
  async function changeOf(from: string | null, revision: string): Promise<Change> {
    // First of all: what was planned by then is among what is deployed, and what is planned later is planned by these.
    await persist(() => store.policyChanges.begin(revision));
    if (from === null) return { rollouts: [] };
    const [deployed, refs] = await Promise.all([
      store.policyChanges.deployed(),
      store.policyChanges.knownRefs(),
    ]);
    const found = await reviewer.examine({ sha: revision, ref: null }, from, { deployed, refs }, null);
    if (found.kind === 'faults') throw new Error(found.report.description);
    if (found.kind === 'compared') return { rollouts: found.redeployments };
    log.warn(
      { from, revision, reason: found.why },
      `what the policies at ${shortSha(from)} rendered cannot be told any more, so nothing is deployed anew`,
    );
    return { rollouts: [], uncompared: true };
  }

  return {
    name: 'carry out',
    concurrency: 1,
    yields: false,
    async claim() {
      const current = policies.current();
      if (!current || current.revision === done || now() < notBefore) return [];
      return [carryOut];
    },
  };
}
