/** Events → rollouts: which policies match the ref that moved. Pure once the policies are there. */
import { policiesFor } from '../core/match.ts';
import type { RefEvent } from '../core/ref-event.ts';
import type { PolicySource } from '../policies/policies.ts';
import type { Store } from '../store/store.ts';
import type { Log } from '../telemetry/log.ts';
import type { Persist } from './retry.ts';
import type { Stage } from './stage.ts';

/** Events matched in one transaction. */
const BATCH = 200;

export interface MatchDeps {
  store: Store;
  policies: PolicySource;
  /** The config repository's branch: a push to it is a change of the policies. */
  configRef: { repository: string; ref: string };
  /** Looks at the config repository now. Never rejects. */
  refreshPolicies: () => Promise<void>;
  persist: Persist;
  log: Log;
}

export function createMatch(deps: MatchDeps): Stage {
  const { store, policies, configRef, refreshPolicies, persist, log } = deps;
  /** The newest event of the config repository that was followed while there were no policies. */
  let followed = 0;

  const isConfig = ({ repository, ref }: RefEvent): boolean =>
    repository === configRef.repository && ref === configRef.ref;

  async function match(events: readonly RefEvent[]): Promise<void> {
    // What was pushed after a policy is matched against it.
    const config = events.findIndex(isConfig);
    if (config === 0) await refreshPolicies();
    const until = events.findIndex((event, index) => index > 0 && isConfig(event));
    const current = policies.current();
    if (!current) return;
    const matches = events.slice(0, until < 0 ? undefined : until).map((event) => {
      const drafts = policiesFor(current, event).map(({ name, environment }) => ({
        policy: name,
        environment,
      }));
      const fields = { event: event.id, repository: event.repository, ref: event.ref };
      if (drafts.length > 0)
        log.info({ ...fields, policies: drafts.map(({ policy }) => policy) }, 'event matched');
      else log.info(fields, 'no policy matches the event');
      return { event, policyRevision: current.revision, drafts };
    });
    await persist(() => store.events.matched(matches));
  }

  /** Whether the config repository was pushed to while nothing in it could be used: that may have mended it. */
  async function isConfigNews(): Promise<boolean> {
    const { repository } = configRef;
    const [newest] = (await store.events.list({ repository, limit: 1 })).items;
    if (!newest || newest.seq <= followed) return false;
    followed = newest.seq;
    return true;
  }

  return {
    name: 'match',
    concurrency: 1,
    yields: false,
    async claim() {
      // Without policies events wait, and /readyz says why.
      if (!policies.current()) return (await isConfigNews()) ? [refreshPolicies] : [];
      const events = await store.events.unmatched(BATCH);
      return events.length === 0 ? [] : [() => match(events)];
    },
  };
}
