/**
 * Delivered rollouts → ready or failed, by what the watches of their clusters see. Nothing is asked of a cluster here, and
 * nothing is asked for again and again: a change of a target wakes the rollouts that wait for it, and no others.
 *
 * Rollouts of this stage stay leased to this process, and what is kept of them in memory can be had from their rows: the
 * next start finds their leases void and goes on. A row is written only when there is something new to say or to note.
 */
import type { Cluster } from '../cluster/cluster.ts';
import { dueOf, type Observed, type Outlook, observe, type Sight } from '../core/observation.ts';
import { formatTarget, isFinal, type Rollout, type Target } from '../core/rollout.ts';
import type { RolloutChange } from '../store/store.ts';
import { type SettleDeps, settleFailure } from './retry.ts';
import type { Stage } from './stage.ts';

/** Bounds what one claim reads. */
const BATCH = 1000;
/** The longest sleep: a clock that is set back must not stop the work for longer. */
const LONGEST_SLEEP = 60_000;

export interface ObserveDeps extends SettleDeps {
  /** By name: those that can be watched. */
  clusters: ReadonlyMap<string, Pick<Cluster, 'watch'>>;
  /** Whether somebody is there who puts back what others change, where the policy says so. */
  heals: boolean;
  /** Called when there is something to judge. */
  wake: () => void;
}

export interface Observe extends Stage {
  /** Begins to listen to the clusters. */
  start(): void;
  stop(): void;
}

/** A rollout that waits. */
interface Watched {
  rollout: Rollout & Observed;
  /** When it is to be judged though nothing changes, in milliseconds since the epoch; 0: now. */
  dueAt: number;
  isBusy: boolean;
}

export function createObserve(deps: ObserveDeps): Observe {
  const { store, clusters, heals, persist, now, log, wake } = deps;
  /** By target: only the newest rollout of each is observed, since storing its plan has ended the others. */
  const watched = new Map<string, Watched>();
  let unsubscribe: (() => void)[] = [];
  let timer: NodeJS.Timeout | undefined;
  let isListening = false;

  /** The watch of a cluster saw a change of one target, of a namespace, or of all there is. */
  function noteChange(cluster: string, namespace: string | null, name: string | null): void {
    const changed =
      namespace !== null && name !== null
        ? [watched.get(formatTarget({ cluster, namespace, name }))]
        : [...watched.values()].filter(
            ({ rollout: { target } }) =>
              target.cluster === cluster && (namespace === null || target.namespace === namespace),
          );
    const waiting = changed.filter((each) => each !== undefined);
    for (const each of waiting) each.dueAt = 0;
    if (waiting.length > 0) wake();
  }

  /** @returns whether it can be observed */
  function admit(rollout: Rollout): boolean {
    const observed = observedOf(rollout, heals);
    if (!observed || !clusters.has(observed.target.cluster)) return false;
    watched.set(formatTarget(observed.target), { rollout: observed, dueAt: 0, isBusy: false });
    return true;
  }

  /** A newer rollout of the target may have taken the place already. */
  function forget(each: Watched): void {
    const target = formatTarget(each.rollout.target);
    if (watched.get(target) === each) watched.delete(target);
  }

  /** Nobody can tell any more what becomes of it. */
  async function abandon({ id, phase, target }: Rollout): Promise<void> {
    const why = `modelhook.yaml gives no access to cluster ${target?.cluster}`;
    const message = `Delivered; whether ${target?.name} becomes ready is not watched, for ${why}`;
    await persist(() =>
      store.rollouts.advance(id, { stage: null, ...(phase === 'delivered' && { message }) }),
    );
    log.warn({ rollout: id, reason: why }, 'rollout is not observed any more');
  }

  async function look(each: Watched): Promise<void> {
    const { rollout } = each;
    try {
      await clusters.get(rollout.target.cluster)?.watch.check();
      const at = now();
      const { change, until } = dueOf(rollout, observe(rollout, sightOf(rollout.target), at), at);
      each.dueAt = Math.min(each.dueAt, until);
      if (change) await tell(each, change);
    } catch (error) {
      // The row is due again, and then taken up from there.
      forget(each);
      await settleFailure(deps, rollout, error);
    } finally {
      each.isBusy = false;
    }
  }

  function sightOf({ cluster, namespace, name }: Target): Sight {
    const watch = clusters.get(cluster)?.watch;
    const { listed, trouble } = watch?.state(namespace) ?? { listed: false, trouble: null };
    if (trouble) return { kind: 'cutOff', ...trouble };
    return watch && listed ? { kind: 'clear', seen: watch.seen(namespace, name) } : { kind: 'beginning' };
  }

  async function tell(each: Watched, outlook: Outlook): Promise<void> {
    const { id, phase, message, saidAt } = each.rollout;
    const stored = await persist(() => store.rollouts.advance(id, changeOf(outlook)));
    const observed = stored && observedOf(stored, heals);
    if (!observed || isFinal(observed)) forget(each);
    if (!observed) return;
    const isSaid = observed.phase !== phase || observed.message !== message;
    each.rollout = isSaid ? observed : { ...observed, saidAt };
    if (observed.phase !== phase)
      log.info({ rollout: id, phase: observed.phase, reason: observed.message }, 'rollout observed');
  }

  /** Begins what is due, each once at a time. */
  function take(): Watched[] {
    const at = now();
    const due = [...watched.values()].filter(({ dueAt, isBusy }) => !isBusy && dueAt <= at);
    for (const each of due) {
      each.isBusy = true;
      each.dueAt = Number.POSITIVE_INFINITY;
    }
    return due;
  }

  /** Time alone may change a verdict, by a grace period or the timeout. */
  function sleep(): void {
    clearTimeout(timer);
    if (!isListening || watched.size === 0) return;
    let next = Number.POSITIVE_INFINITY;
    for (const { dueAt, isBusy } of watched.values()) if (!isBusy) next = Math.min(next, dueAt);
    timer = setTimeout(wake, Math.min(Math.max(next - now(), 1), LONGEST_SLEEP));
  }

  return {
    name: 'observe',
    concurrency: Number.POSITIVE_INFINITY,
    yields: false,
    async claim() {
      const rollouts = await store.rollouts.claim('observe', BATCH);
      const lost = rollouts.filter((rollout) => !admit(rollout));
      const due = take();
      sleep();
      return [...lost.map((rollout) => () => abandon(rollout)), ...due.map((each) => () => look(each))];
    },
    start() {
      isListening = true;
      unsubscribe = [...clusters].map(([cluster, { watch }]) =>
        watch.onChange((namespace, name) => noteChange(cluster, namespace, name)),
      );
    },
    stop() {
      isListening = false;
      clearTimeout(timer);
      for (const each of unsubscribe.splice(0)) each();
    },
  };
}

/**
 * What is kept in memory of a rollout: without the manifest and how it was decided, which are long.
 * @returns null where it cannot be observed
 */
function observedOf(rollout: Rollout, heals: boolean): (Rollout & Observed) | null {
  const { target, plan, observation, updatedAt } = rollout;
  const readiness = plan?.readiness;
  if (!target || !readiness || !observation) return null;
  const selfHeal = heals && (plan.selfHeal ?? false);
  const slim = { ...plan, readiness, selfHeal, why: '', decisions: [], warnings: [] };
  return { ...rollout, manifest: null, target, plan: slim, observation, saidAt: updatedAt };
}

const changeOf = ({ phase, message, endpoints, observation, ends }: Outlook): RolloutChange => ({
  phase,
  message,
  ...(endpoints && { endpoints }),
  observation,
  attempts: 0,
  waitingSince: null,
  ...(ends ? { stage: null } : { keepLease: true }),
});
