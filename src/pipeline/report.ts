/** Rollouts → the status on the model commit: what is true now, for as long as it takes (specification section 8). */
import { type CommitStatus, commitStatusOf } from '../core/commit-status.ts';
import { messageOf, StalledError, WaitingError } from '../core/errors.ts';
import type { Forge } from '../forge/forge.ts';
import type { Report } from '../store/store.ts';
import { forgeOf } from './resolve.ts';
import { backoff, type SettleDeps } from './retry.ts';
import { createShares } from './shares.ts';
import type { Stage } from './stage.ts';

const CONCURRENCY = 4;

export interface ReportDeps extends SettleDeps {
  forges: ReadonlyMap<string, Forge>;
  /** The base of links. */
  publicUrl: () => string;
}

export function createReport({ store, forges, publicUrl, persist, now, log }: ReportDeps): Stage {
  const shares = createShares(forges, CONCURRENCY);

  async function report(due: Report): Promise<void> {
    const { rollout, sent, uncertain } = due;
    const { repository, sha, ref } = rollout;
    const status = commitStatusOf(rollout, publicUrl());
    try {
      if (uncertain || !sent || !isSame(sent, status)) {
        const { statuses } = forgeOf(forges, repository);
        // After an unknown outcome the status is read back, and an equal one not repeated.
        if (!(uncertain && (await statuses.holds(repository, sha, status))))
          await statuses.write(repository, sha, ref, status);
        log.info(
          { rollout: rollout.id, repository, sha, context: status.context, state: status.state },
          'status written',
        );
      }
    } catch (error) {
      const final = error instanceof StalledError;
      const fields = {
        rollout: rollout.id,
        repository,
        sha,
        attempts: due.attempts + 1,
        reason: messageOf(error),
      };
      log.warn(
        fields,
        final ? 'the status is refused for good' : 'the status could not be written; trying again',
      );
      const after = error instanceof WaitingError ? error.after : backoff(due.attempts);
      return persist(() =>
        final ? store.reports.refused(due, messageOf(error)) : store.reports.postponed(due, now() + after),
      );
    }
    await persist(() => store.reports.sent(due, status));
  }

  return {
    name: 'report',
    concurrency: CONCURRENCY,
    yields: true,
    async claim(limit) {
      const due = await store.reports.claim(shares.atMost(limit), shares.spent());
      return due.map((each) => shares.counted(each.rollout.repository, () => report(each)));
    },
  };
}

const isSame = (a: CommitStatus, b: CommitStatus): boolean =>
  a.context === b.context && a.state === b.state && a.description === b.description && a.url === b.url;
