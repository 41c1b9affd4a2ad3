/** Deploys a ref by policies that came after it, because somebody asks for it: nothing else does. */
import { StalledError } from '../core/errors.ts';
import { findGlobs } from '../core/glob.ts';
import { explainMatch, type Matchable, matchPolicies } from '../core/match.ts';
import type { Policy } from '../core/policy.ts';
import type { Rollout } from '../core/rollout.ts';
import type { PolicySource } from '../policies/policies.ts';
import type { Store } from '../store/store.ts';
import type { Log } from '../telemetry/log.ts';

/** How many policies that do not match a refusal explains. */
const NEAREST = 3;

export interface ReplayDeps {
  store: Pick<Store, 'events' | 'requests'>;
  policies: Pick<PolicySource, 'current'>;
  log: Log;
}

/** What is replayed: an event, or the newest position of a ref, which may have made none. */
export type Replayed = { eventId: string } | { repository: string; ref: string };

/**
 * Begins the rollouts of the policies in force that match now and have none of this event yet.
 * @returns them; null where there is no such event, or the ref is not known
 * @throws StalledError where there is nothing to begin, with what can be done instead
 */
export type Replay = (asked: Replayed) => Promise<Rollout[] | null>;

export function createReplay({ store, policies, log }: ReplayDeps): Replay {
  return async (asked) => {
    const place = 'eventId' in asked ? await store.events.get(asked.eventId) : asked;
    if (!place) return null;
    const current = policies.current();
    if (!current)
      throw new StalledError(
        'no policies are in force yet',
        'mend what /readyz says of them, then try again',
      );
    const { repository, ref } = place;
    const drafts = matchPolicies(current, { repository, ref }).map(({ name, environment }) => ({
      policy: name,
      environment,
    }));
    if (drafts.length === 0)
      throw new StalledError(
        `no policy in force matches ${ref} of ${repository}${nearest(current.policies, { repository, ref })}`,
        'merge a policy that does, then replay it',
      );
    const eventId = 'eventId' in asked ? asked.eventId : null;
    const policyRevision = current.revision;
    const rollouts = await store.requests.replay({ repository, ref, eventId, policyRevision, drafts });
    for (const { id, policy, eventId: event } of rollouts ?? [])
      log.info({ rollout: id, repository, ref, event, policy }, 'ref replayed');
    return rollouts;
  };
}

/** Why the policies that are for a repository do not match a ref of it, in brackets; empty where none is for it. */
function nearest(policies: readonly Policy[], { repository, ref }: Matchable): string {
  const near = policies.filter(({ match }) => {
    const { included, excluded } = findGlobs(match.repositories, repository);
    return included !== null && excluded === null;
  });
  if (near.length === 0) return '';
  const reasons = near
    .slice(0, NEAREST)
    .map((policy) => `"${policy.name}": ${explainMatch(policy, { repository, ref }).reason}`);
  const more = near.length > NEAREST ? [`${near.length - NEAREST} more`] : [];
  return ` (${[...reasons, ...more].join('; ')})`;
}
