/** What is remembered of each place in a cluster where a service is, or was, so that it is looked at only when it has to be. */
import type { Cluster } from '../cluster/cluster.ts';
import { formatTarget, type Target } from '../core/rollout.ts';
import { type Fight, PEACE } from './heal-pace.ts';

export interface Place {
  target: Target;
  /** When it is to be looked at, in milliseconds since the epoch; infinite: once it changes. */
  dueAt: number;
  /** Whatever changes, not before this. */
  notBefore: number;
  /** What was there when it needed nothing, and which rollout stood there then, if any. null: that is not known. */
  right: { digest: string; rollout: string | null } | null;
  fight: Fight;
  /** Tries that failed since the last one that did not, and when the first of them did. */
  failures: number;
  failsSince: number;
  /** What the timeline has of tries that came to nothing since the last one that did not. */
  told: 'failed' | 'cancelled' | null;
}

/** What is seen where there is no service. */
const NOTHING = 'nothing';

export interface Places {
  /** @returns what is asked of a service, as the watch has it; null: that cannot be told now, or nothing can be done */
  digestAt(target: Target): string | null;
  /** @returns the place of a target, made where it is new */
  at(target: Target): Place;
  /** A new version was put there: what was noted of the one before is over, and so are pauses. */
  renew(target: Target): void;
  /** @returns whether a target is known to need nothing while it is like this */
  isRest(target: Target, digest: string): boolean;
  /** Forgets places of which nothing is left, such as those of previews. */
  forget(cluster: string): void;
  /** @returns what is due in clusters that are not busy, by cluster; each is due again once it changes */
  take(isBusy: (cluster: string) => boolean, most: number): Map<string, Place[]>;
  /** @returns when the next is due in clusters that are not busy, in milliseconds since the epoch; may be infinite */
  nextAt(isBusy: (cluster: string) => boolean): number;
}

export function createPlaces(
  clusters: ReadonlyMap<string, Pick<Cluster, 'watch'>>,
  now: () => number,
): Places {
  const places = new Map<string, Place>();
  const dueOf = ({ dueAt, notBefore }: Place): number => Math.max(dueAt, notBefore);

  return {
    digestAt({ cluster, namespace, name }) {
      const watch = clusters.get(cluster)?.watch;
      const state = watch?.state(namespace);
      if (!watch || !state?.listed || state.trouble) return null;
      const seen = watch.seen(namespace, name);
      // Once the namespace is there again, or the service is gone at last, the watch tells.
      if (seen.inferenceService?.deleting || seen.namespace === 'absent' || seen.namespace === 'terminating')
        return null;
      return seen.inferenceService?.intent ?? NOTHING;
    },
    at(target) {
      const key = formatTarget(target);
      const place = places.get(key) ?? newPlace(target);
      places.set(key, place);
      return place;
    },
    renew(target) {
      const place = places.get(formatTarget(target));
      if (!place) return;
      const { right, dueAt } = place;
      const isPending = dueAt < Number.POSITIVE_INFINITY;
      Object.assign(place, newPlace(target), { right, ...(isPending && { dueAt: 0 }) });
    },
    isRest: (target, digest) => places.get(formatTarget(target))?.right?.digest === digest,
    forget(cluster) {
      for (const [key, { target, right }] of places)
        if (target.cluster === cluster && right?.digest === NOTHING) places.delete(key);
    },
    take(isBusy, most) {
      const at = now();
      const due = [...places.values()].filter((each) => dueOf(each) <= at && !isBusy(each.target.cluster));
      const byCluster = Map.groupBy(due, ({ target }) => target.cluster);
      for (const [cluster, those] of byCluster) {
        const taken = those.slice(0, most);
        for (const place of taken) place.dueAt = Number.POSITIVE_INFINITY;
        byCluster.set(cluster, taken);
      }
      return byCluster;
    },
    nextAt(isBusy) {
      let next = Number.POSITIVE_INFINITY;
      for (const each of places.values())
        if (!isBusy(each.target.cluster)) next = Math.min(next, dueOf(each));
      return next;
    },
  };
}

const newPlace = (target: Target): Place => ({
  target,
  dueAt: Number.POSITIVE_INFINITY,
  notBefore: 0,
  right: null,
  fight: PEACE,
  failures: 0,
  failsSince: 0,
  told: null,
});
