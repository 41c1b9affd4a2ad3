/** First stage: a webhook delivery is verified, read and stored, and only then answered. */
import { policiesFor } from '../core/match.ts';
import type { RefEvent, RefMove } from '../core/ref-event.ts';
import type { Forge, WebhookRequest } from '../forge/forge.ts';
import type { PolicySource } from '../policies/policies.ts';
import type { Store } from '../store/store.ts';
import type { Log } from '../telemetry/log.ts';

export type Received =
  | { status: 'stored'; eventId: string }
  /** It tells nothing new; the event is the one it made the first time. */
  | { status: 'repeat'; eventId: string }
  | { status: 'ignored'; reason: string };

/**
 * Takes one delivery to one forge's route.
 * @throws WebhookError where it is refused, StoreUnavailableError where it cannot be stored
 */
export type Receive = (forge: Forge, request: WebhookRequest) => Promise<Received>;

export interface ReceiveDeps {
  store: Store;
  policies: Pick<PolicySource, 'current'>;
  /**
   * The destinations (core/rollout.ts) whose pull requests are in a repository.
   * @param move only where it may be the end of one: a move of the branch they go to, or a deletion of theirs
   */
  pullRequestsIn: (repository: string, move?: RefMove) => readonly string[];
  /** Told of every repository that something happened in: what is open in the config repository may be other. */
  lookAtReviews: (repository: string) => void;
  log: Log;
}

export function createReceive({ store, policies, pullRequestsIn, lookAtReviews, log }: ReceiveDeps): Receive {
  /** Nobody need know of a deletion that no policy asks about. While none can be asked, one may. */
  function concerns(event: RefEvent): boolean {
    const current = policies.current();
    return event.kind !== 'deleted' || current === null || policiesFor(current, event).length > 0;
  }

  async function take(move: RefMove, delivery: string | null): Promise<Received> {
    const recorded = await store.events.record(move, 'webhook', delivery);
    const { repository, ref } = move;
    if (recorded.outcome === 'ignored' || !concerns(recorded.event)) {
      log.info({ repository, ref }, 'deletion noted');
      return { status: 'ignored', reason: `${ref} was deleted, and nothing is removed for it` };
    }
    const { id, sha } = recorded.event;
    log.info({ event: id, repository, ref, sha, outcome: recorded.outcome }, 'event received');
    return { status: recorded.outcome === 'new' ? 'stored' : 'repeat', eventId: id };
  }

  return async (forge, request) => {
    const delivery = await forge.webhooks.receive(request);
    if (delivery.kind === 'ignored') {
      log.info({ forge: forge.name, reason: delivery.reason }, 'webhook ignored');
      return { status: 'ignored', reason: delivery.reason };
    }
    if (delivery.kind === 'changed') {
      const { what, repository, reason } = delivery;
      log.info({ repository, reason }, 'something else of a repository changed');
      if (what === 'name') await store.repositories.lookAgain(repository);
      else await store.rollouts.lookAtPullRequests(pullRequestsIn(repository));
      lookAtReviews(repository);
      return { status: 'ignored', reason: `${reason}; no ref moved, and who waits for it looks now` };
    }
    const answers: Received[] = [];
    for (const move of delivery.moves) {
      // A delivery's id deduplicates within its forge, and a delivery may carry several refs.
      answers.push(
        await take(move, delivery.id === null ? null : `${forge.name} ${delivery.id} ${move.ref}`),
      );
    }
    await store.rollouts.lookAtPullRequests(
      delivery.moves.flatMap((move) => pullRequestsIn(move.repository, move)),
    );
    for (const repository of new Set(delivery.moves.map((move) => move.repository)))
      lookAtReviews(repository);
    // One answer for all: the first event, if there is one.
    const telling = answers.find(({ status }) => status !== 'ignored') ?? answers[0];
    return telling ?? { status: 'ignored', reason: 'the delivery names no branch or tag' };
  };
}
