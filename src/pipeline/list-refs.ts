/** Missed events: the refs of known repositories are listed and compared with what the store has seen. */
import { messageOf, StalledError, WaitingError } from '../core/errors.ts';
import { compareVersions } from '../core/ref-event.ts';
import type { Forge, RepositoryRef } from '../forge/forge.ts';
import { forgeOf } from './resolve.ts';
import type { SettleDeps } from './retry.ts';
import { createShares } from './shares.ts';
import type { Stage } from './stage.ts';

const CONCURRENCY = 2;
/** How soon a listing that failed is tried again. */
const AFTER_FAILURE = 60_000;

export interface ListRefsDeps extends SettleDeps {
  forges: ReadonlyMap<string, Forge>;
  /** Milliseconds between two listings of a repository that nobody pushes to. */
  interval: number;
}

export function createListRefs({ store, forges, interval, persist, now, log }: ListRefsDeps): Stage {
  const shares = createShares(forges, CONCURRENCY);

  async function list(asked: string): Promise<void> {
    let repository = asked;
    try {
      const { repositories } = forgeOf(forges, asked);
      const identity = await repositories.identify(asked);
      repository = await persist(() => store.repositories.identify(asked, identity));
      if (repository !== asked)
        log.info({ repository, formerly: asked }, 'the repository has another name now');
      const snapshot = await store.repositories.snapshot(repository);
      const listed = await repositories.listRefs(repository);
      if (listed.length === 0 && snapshot.present > 0)
        throw new Error(`${repository} suddenly has no refs; nothing is concluded from that`);
      const made = await persist(() =>
        store.repositories.applyListing(snapshot, listed.toSorted(inOrder), repositories.lag),
      );
      if (made > 0) log.info({ repository, events: made }, 'refs moved that no webhook told of');
    } catch (error) {
      log.warn({ repository, reason: messageOf(error) }, 'the refs could not be listed; trying again');
      await persist(() => store.repositories.postponeListing(repository, now() + againAfter(error)));
    }
  }

  const againAfter = (error: unknown): number => {
    if (error instanceof WaitingError) return error.after;
    return error instanceof StalledError ? interval : Math.min(interval, AFTER_FAILURE);
  };

  return {
    name: 'list refs',
    concurrency: CONCURRENCY,
    yields: true,
    async claim(limit) {
      const repositories = await store.repositories.claimListings(
        shares.atMost(limit),
        now() + interval,
        shares.spent(),
      );
      return repositories.map((repository) => shares.counted(repository, () => list(repository)));
    },
  };
}

/** The order in which refs of one listing are deployed: by creation, then by version, never by name alone. */
export function inOrder(a: RepositoryRef, b: RepositoryRef): number {
  return (a.createdAt ?? 0) - (b.createdAt ?? 0) || compareVersions(a.ref, b.ref);
}
