/** Ends a rollout because somebody asks for it, and the pull request with it that it waits for. */
import { messageOf } from '../core/errors.ts';
import type { Rollout } from '../core/rollout.ts';
import type { PullRequests } from '../forge/forge.ts';
import type { Store } from '../store/store.ts';
import type { Log } from '../telemetry/log.ts';

export interface CloseRequestDeps {
  /** @returns where the pull requests to a GitOps repository of modelhook.yaml are; null: it has none */
  pullRequestsTo: (gitops: string) => { repository: string; pullRequests: PullRequests } | null;
  log: Log;
}

export interface CancelDeps extends CloseRequestDeps {
  store: Pick<Store, 'requests'>;
}

/** How it went. `open` names a pull request that could not be closed, and says why. */
export type Cancelled = { rollout: Rollout; open: { label: string; reason: string } | null };

/**
 * Takes the id of a rollout and who asks.
 * @returns null where there is no such rollout
 * @throws StalledError where it is not one that can be cancelled
 */
export type Cancel = (id: string, by: string) => Promise<Cancelled | null>;

const COMMENT = 'Somebody cancelled the rollout that this request is for, so modelhook closes it.';

/** What the log says of a request that could not be closed. */
export const STAYS_OPEN = 'the pull request of a cancelled rollout stays open';

/** @returns closes the request of a rollout that was cancelled, unless a newer one has taken it over */
export function createCloseRequest({ pullRequestsTo, log }: CloseRequestDeps) {
  return async ({ id, plan, pullRequest }: Rollout): Promise<void> => {
    const place = plan?.gitops && pullRequestsTo(plan.gitops);
    if (!pullRequest || !place) return;
    const { repository, pullRequests } = place;
    const { state, text } = await pullRequests.get(repository, pullRequest.number);
    // A newer rollout of the target goes on with the request of an older one.
    if (state !== 'open' || !text.includes(id)) return;
    // A token that may not comment keeps nobody from cancelling.
    await pullRequests
      .comment(repository, pullRequest.number, COMMENT)
      .catch((error) =>
        log.warn({ rollout: id, reason: messageOf(error) }, 'the pull request has no comment'),
      );
    await pullRequests.edit(repository, pullRequest.number, { state: 'closed' });
    log.info({ rollout: id, pullRequest: pullRequest.url }, 'pull request closed: its rollout was cancelled');
  };
}

export function createCancel({ store, pullRequestsTo, log }: CancelDeps): Cancel {
  const close = createCloseRequest({ pullRequestsTo, log });
  return async (id, by) => {
    // In this order: a rollout that still waits for the request would end as though people had closed it.
    const rollout = await store.requests.cancel(id, by);
    if (!rollout) return null;
    log.info({ rollout: id, by }, 'rollout cancelled');
    try {
      await close(rollout);
      return { rollout, open: null };
    } catch (error) {
      const { label = '', url } = rollout.pullRequest ?? {};
      const reason = messageOf(error);
      log.warn({ rollout: id, pullRequest: url, reason }, STAYS_OPEN);
      return { rollout, open: { label, reason } };
    }
  };
}
