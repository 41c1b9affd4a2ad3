/** Keeps places of a stage free for the other forges: one that hangs must not hold them all. */
import { parseRepositoryId } from '../core/ref-event.ts';
import type { Work } from './stage.ts';

export interface Shares {
  /** @returns how many units a claim may bring, so that none of one forge alone is more than its share */
  atMost(limit: number): number;
  /** @returns the names of forges that have their share in hand */
  spent(): string[];
  /** Counts work for the forge of a repository id until it has ended. */
  counted(repository: string, work: Work): Work;
}

/**
 * @param forges those that are configured; one alone may have all places
 * @param concurrency the places of the stage
 */
export function createShares(forges: ReadonlyMap<string, unknown>, concurrency: number): Shares {
  const share = forges.size > 1 ? Math.max(1, Math.floor((concurrency * 3) / 4)) : Number.POSITIVE_INFINITY;
  const inHand = new Map<string, number>();
  const add = (forge: string, change: number) => inHand.set(forge, (inHand.get(forge) ?? 0) + change);

  return {
    atMost(limit) {
      // All that a claim brings may be of the forge that has the most in hand and room for more.
      const most = Math.max(0, ...[...inHand.values()].filter((count) => count < share));
      return Math.min(limit, share - most);
    },
    spent: () => [...inHand].filter(([, count]) => count >= share).map(([forge]) => forge),
    counted(repository, work) {
      const forge = parseRepositoryId(repository)?.forge ?? '';
      add(forge, 1);
      return () => work().finally(() => add(forge, -1));
    },
  };
}
