/** Events → rollouts: which policies match the ref that moved. Pure once the policies are there. */
import { matchPolicies } from '../core/match.ts';
import type { RefEvent } from '../core/ref-event.ts';
import type { PolicySource } from '../policies/policies.ts';
import type { Store } from '../store/store.ts';
import type { Log } from '../telemetry/log.ts';
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
  log: Log;
}

export function createMatch({ store, policies, configRef, refreshPolicies, log }: MatchDeps): Stage {
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
      const matching = event.kind === 'deleted' ? [] : matchPolicies(current, event);
      const drafts = matching.map(({ name, environment }) => ({ policy: name, environment }));
      const fields = { event: event.id, repository: event.repository, ref: event.ref };
      if (drafts.length > 0)
        log.info({ ...fields, policies: drafts.map(({ policy }) => policy) }, 'event matched');
      else log.info(fields, 'no policy matches the event');
      return { event, policyRevision: current.revision, drafts };
    });
    await store.events.matched(matches);
  }

  return {
    name: 'match',
    concurrency: 1,
    yields: false,
    async claim() {
      // Without policies events wait, and /readyz says why.
      if (!policies.current()) return [];
      const events = await store.events.unmatched(BATCH);
      return events.length === 0 ? [] : [() => match(events)];
    },
  };
}
