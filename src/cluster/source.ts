/** One watch of a cluster, and how it stands. */
import type { Log } from '../telemetry/log.ts';
import type { ClusterApi } from './api.ts';
import { type ClusterUnavailableError, problemText, type WatchState } from './cluster.ts';
import type { Pace, Sink } from './list-watch.ts';
import type { Resource, Scope } from './resources.ts';
import { sinceText } from './since-text.ts';

export interface WatchOptions {
  api: ClusterApi;
  name: string;
  namespaces: readonly string[];
  kserveNamespace: string;
  log: Log;
  now: () => number;
  pace: Pace;
}

export interface Source {
  resource: Resource;
  scope: Scope;
  /** What it takes in. */
  sink: Omit<Sink, 'report'>;
  listed: boolean;
  /** The API server does not know the kind, which is no trouble. */
  absent: boolean;
  trouble: { since: number; error: ClusterUnavailableError } | null;
  /** Settled once it has reported for the first time. */
  reported: PromiseWithResolvers<void>;
}

export const makeSource = (resource: Resource, scope: Scope, sink: Source['sink']): Source => ({
  resource,
  scope,
  sink,
  listed: false,
  absent: false,
  trouble: null,
  reported: Promise.withResolvers(),
});

/** What is said first, when several things are wrong: the others may follow from it. */
const RANK = ['configuration', 'unreachable', 'credentials', 'stranger', 'busy', 'missing', 'forbidden'];

/** @returns the worst of what is wrong with watches, since it began with any of them */
export function troubleOf(
  name: string,
  sources: readonly Pick<Source, 'trouble'>[],
  at: number,
): WatchState['trouble'] {
  const troubles = sources.flatMap(({ trouble }) => trouble ?? []);
  const [worst] = troubles.sort(
    (left, right) =>
      RANK.indexOf(left.error.problem.kind) - RANK.indexOf(right.error.problem.kind) ||
      left.since - right.since,
  );
  if (worst === undefined) return null;
  const { problem } = worst.error;
  const alike = troubles
    .filter(({ error }) => error.problem.kind === problem.kind)
    .map(({ error }) => error.problem);
  // What is forbidden is granted all at once.
  const all =
    problem.kind === 'forbidden' ? [...new Set(alike.map(({ what }) => what))].join(', and ') : problem.what;
  return {
    since: worst.since,
    message: problemText(
      `cluster ${name}`,
      { ...problem, what: all },
      ` since ${sinceText(worst.since, at)}`,
    ),
  };
}
