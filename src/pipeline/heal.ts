/**
 * What stands in a cluster and was changed there by somebody → as it was delivered, where the policy in force says
 * `selfHeal: true`. The watches tell what changed. Only a change of what people and programs ask of a service is looked at,
 * and what is seen is judged by the API server itself, in a dry run.
 *
 * What is kept in memory saves looks: after a restart everything that stands is compared once.
 */
import { type Cluster, ClusterUnavailableError } from '../cluster/cluster.ts';
import { messageOf, StalledError, WaitingError } from '../core/errors.ts';
import { readManaged } from '../core/inference-service.ts';
import type { PolicySet } from '../core/policy.ts';
import { clusterDestination, formatTarget, type Rollout, type Target } from '../core/rollout.ts';
import type { DeliveryOutcome, DeliveryTarget, Healing } from '../delivery/target.ts';
import type { PolicySource } from '../policies/policies.ts';
import { errandOf, isPlanned } from './deliver.ts';
import { fightOn, pauseAfter, wordsOf } from './heal-pace.ts';
import { createPlaces, type Place } from './heal-places.ts';
import { type HealingPolicies, healingOf, isHealed } from './heal-policies.ts';
import { delayAfter, type SettleDeps } from './retry.ts';
import type { Stage } from './stage.ts';

/** Bounds how long deliveries to the same cluster wait. */
const BATCH = 100;
/** How soon a target is looked at again that is about to get a newer version. */
const LOOK_AGAIN = 5000;
/** The least time between two comparisons of all that stands in a cluster. */
const COMPARE_EVERY = 1000;
/** Of so many lines a timeline is read; what comes after them is in the log alone. */
const MOST_LINES = 20;
/** How long what is no refusal may fail unreported: most of it mends itself. */
const PATIENCE = 5 * 60_000;
/** The longest sleep: a clock that is set back must not stop the work for longer. */
const LONGEST_SLEEP = 60_000;

export interface HealDeps extends SettleDeps {
  policies: PolicySource;
  /** By destination (core/rollout.ts). */
  targets: ReadonlyMap<string, DeliveryTarget>;
  /** By name: those that can be watched. */
  clusters: ReadonlyMap<string, Pick<Cluster, 'watch'>>;
  /** The base of links. */
  publicUrl: () => string;
  /** Called when there is something to look at. */
  wake: () => void;
}

export interface Heal extends Stage {
  /** Told of a target to which a rollout was delivered: it begins anew, whatever went on about the one before. */
  renew(target: Target): void;
  /** Begins to listen to the clusters. */
  start(): void;
  stop(): void;
}

/** What is to be compared at a place. */
interface Task {
  place: Place;
  rollout: Rollout;
  digest: string;
  errand: Healing;
}

/** @param busy destinations that are written to: one at a time does, this stage or that of deliveries */
export function createHeal(deps: HealDeps, busy: Set<string>): Heal {
  const { store, policies, targets, clusters, persist, now, log, wake } = deps;
  const places = createPlaces(clusters, now);
  /** Clusters in which what stands is to be compared, when, and in which namespaces; null: in all. */
  const unread = new Map<string, { at: number; namespaces: ReadonlySet<string> | null }>();
  const readAt = new Map<string, number>();
  let known: PolicySet | null = null;
  let unsubscribe: (() => void)[] = [];
  let timer: NodeJS.Timeout | undefined;
  let isListening = false;

  const healing = (): HealingPolicies => healingOf(policies.current());

  /** The watch of a cluster saw a change of one target, of a namespace, or of all there is. */
  function noteChange(cluster: string, namespace: string | null, name: string | null): void {
    if (!healing().has(cluster)) return;
    if (namespace === null || name === null) {
      compareLater(cluster, namespace);
      wake();
      return;
    }
    const target = { cluster, namespace, name };
    const digest = places.digestAt(target);
    if (digest === null || places.isRest(target, digest)) return;
    places.at(target).dueAt = 0;
    wake();
  }

  /** @param namespace null: all of the cluster */
  function compareLater(cluster: string, namespace: string | null): void {
    const { namespaces } = unread.get(cluster) ?? { namespaces: new Set<string>() };
    unread.set(cluster, {
      at: Math.max(now(), (readAt.get(cluster) ?? 0) + COMPARE_EVERY),
      namespaces: namespace === null || namespaces === null ? null : new Set([...namespaces, namespace]),
    });
  }

  /** Finds what stands in a cluster and is not known to be right. */
  async function compare(cluster: string): Promise<void> {
    const namespaces = [...(unread.get(cluster)?.namespaces ?? [null])];
    unread.delete(cluster);
    places.forget(cluster);
    readAt.set(cluster, now());
    try {
      for (const namespace of namespaces) await compareIn(cluster, namespace);
    } catch (error) {
      for (const namespace of namespaces) compareLater(cluster, namespace);
      throw error;
    }
  }

  async function compareIn(cluster: string, namespace: string | null): Promise<void> {
    const ofCluster = healing().get(cluster);
    if (!ofCluster) return;
    for (const { id, policy, target } of await store.standing.list(cluster, namespace)) {
      const digest = ofCluster.has(policy) ? places.digestAt(target) : null;
      if (digest === null) continue;
      const place = places.at(target);
      if (!isRight(place, digest, id)) place.dueAt = 0;
    }
  }

  async function heal(cluster: string, due: readonly Place[]): Promise<void> {
    try {
      const tasks = new Map((await tasksFor(due)).map((task) => [task.rollout.id, task]));
      const errands = [...tasks.values()].map(({ errand }) => errand);
      const isStillWanted = (id: string): boolean => {
        const task = tasks.get(id);
        return task !== undefined && isWanted(task);
      };
      const outcomes = new Map<string, DeliveryOutcome>();
      await targets.get(clusterDestination(cluster))?.deliver(
        errands,
        async (ids) => new Set(ids.filter(isStillWanted)),
        (id, outcome) => void outcomes.set(id, outcome),
      );
      for (const [id, task] of tasks) await settle(task, outcomes.get(id));
    } catch (error) {
      // Targets give each errand its outcome; what is thrown all the same is the store's, or ours.
      for (const place of due) lookAgain(place, LOOK_AGAIN);
      log.error({ cluster, err: error }, 'what was changed in a cluster cannot be put back; trying again');
    }
  }

  /** Turning it off in the policy ends it at once. */
  const isWanted = ({ rollout, place }: Pick<Task, 'rollout' | 'place'>): boolean =>
    isHealed(healing(), rollout, place.target);

  async function tasksFor(due: readonly Place[]): Promise<Task[]> {
    const tasks: Task[] = [];
    for (const place of due) {
      const task = await taskAt(place);
      if (task) tasks.push(task);
    }
    return tasks;
  }

  async function taskAt(place: Place): Promise<Task | null> {
    const digest = places.digestAt(place.target);
    if (digest === null) return null;
    const standing = await store.standing.get(place.target);
    if (standing === null || !isWanted({ place, rollout: standing.rollout })) {
      // Until something changes, there is nothing to look at.
      place.right = { digest, rollout: null };
      return null;
    }
    const { rollout, isFollowed } = standing;
    if (isFollowed) lookAgain(place, LOOK_AGAIN);
    if (isFollowed || isRight(place, digest, rollout.id)) return null;
    const errand = await errandFor(rollout);
    return errand && { place, rollout, digest, errand };
  }

  /** @param after milliseconds, whatever changes before that */
  function lookAgain(place: Place, after: number): void {
    place.notBefore = now() + after;
    place.dueAt = place.notBefore;
  }

  async function errandFor(rollout: Rollout): Promise<Healing | null> {
    if (!isPlanned(rollout)) return null;
    const { repository, plan } = rollout;
    const former = await store.repositories.formerNames([repository]);
    const errand = errandOf(rollout, deps.publicUrl(), former.get(repository) ?? []);
    if (errand.manifest === null) return null;
    const mode = readManaged(errand.manifest).deploymentMode ?? plan.modes[0];
    return { ...errand, modes: [mode], heals: true };
  }

  async function settle(task: Task, outcome: DeliveryOutcome | undefined): Promise<void> {
    const { place, rollout, digest } = task;
    switch (outcome?.kind) {
      case 'intact':
        place.right = { digest: outcome.intent, rollout: rollout.id };
        Object.assign(place, { failures: 0, told: null });
        return;
      case 'healed':
        return tell(task, outcome.what);
      case 'cancelled':
        place.right = { digest, rollout: rollout.id };
        log.info({ ...fieldsOf(task), reason: outcome.message }, 'not put back');
        return noteRefusal(task, 'cancelled', outcome.message);
      case 'dropped':
        return;
      case 'failed':
        return postpone(task, outcome.error);
      default:
        return postpone(task, new TypeError(`the target gave rollout ${rollout.id} no outcome`));
    }
  }

  /** The watch tells of what was put back, and then it is looked at once more. */
  async function tell(task: Task, what: string): Promise<void> {
    const { place } = task;
    const fight = fightOn(place.fight, what, now());
    Object.assign(place, { fight, failures: 0, told: null, notBefore: now() + pauseAfter(fight) });
    log.info({ ...fieldsOf(task), what, times: fight.times }, 'put back');
    const words = wordsOf(fight, place.target.cluster, what);
    if (words !== null) await note(task, words);
  }

  async function postpone(task: Task, error: unknown): Promise<void> {
    const { place } = task;
    const at = now();
    if (error instanceof WaitingError) return lookAgain(place, error.after);
    if (place.failures === 0) place.failsSince = at;
    lookAgain(place, delayAfter(error, place.failures));
    place.failures += 1;
    const fields = { ...fieldsOf(task), attempts: place.failures };
    const isKnown = error instanceof StalledError || error instanceof ClusterUnavailableError;
    log.warn({ ...fields, ...(isKnown ? { reason: error.message } : { err: error }) }, 'not put back');
    if (error instanceof StalledError || at - place.failsSince >= PATIENCE)
      await noteRefusal(task, 'failed', messageOf(error));
  }

  /** Said once: what comes of the next tries is the same, though its words may differ by a duration or a port. */
  async function noteRefusal(task: Task, kind: 'failed' | 'cancelled', why: string): Promise<void> {
    const { place } = task;
    if (place.told === kind) return;
    await note(task, `Not put back in ${place.target.cluster}: ${why}`);
    place.told = kind;
  }

  async function note({ rollout: { id } }: Task, words: string): Promise<void> {
    const told = (await store.rollouts.get(id))?.transitions.map(({ message }) => message) ?? [];
    const lines = told.filter((message) => OF_HEALING.test(message)).length;
    // After a restart a refusal is found again, and said already.
    if (lines >= MOST_LINES || (told.at(-1) === words && words.startsWith('Not '))) return;
    const isLast = lines === MOST_LINES - 1;
    const message = isLast ? `${words}; what follows of this is in the log alone` : words;
    await persist(() => store.standing.note(id, message));
  }

  const isBusy = (cluster: string): boolean => busy.has(clusterDestination(cluster));

  /** The end of what makes a cluster busy wakes all stages. */
  function sleep(): void {
    clearTimeout(timer);
    const next = Math.min(places.nextAt(isBusy), ...[...unread.values()].map(({ at }) => at));
    if (!isListening || next === Number.POSITIVE_INFINITY) return;
    timer = setTimeout(wake, Math.min(Math.max(next - now(), 1), LONGEST_SLEEP));
  }

  return {
    name: 'heal',
    concurrency: Number.POSITIVE_INFINITY,
    yields: false,
    async claim() {
      const current = policies.current();
      if (current !== known) for (const cluster of healingOf(current).keys()) compareLater(cluster, null);
      known = current;
      const due = [...unread].flatMap(([cluster, { at }]) => (at <= now() ? [cluster] : []));
      for (const cluster of due) await compare(cluster);
      const taken = [...places.take(isBusy, BATCH)];
      for (const [cluster] of taken) busy.add(clusterDestination(cluster));
      sleep();
      return taken.map(
        ([cluster, those]) =>
          () =>
            heal(cluster, those).finally(() => busy.delete(clusterDestination(cluster))),
      );
    },
    renew: places.renew,
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

const isRight = ({ right }: Place, digest: string, rollout: string): boolean =>
  right !== null && right.digest === digest && right.rollout === rollout;

const fieldsOf = ({ rollout: { id }, place: { target } }: Task) => ({
  rollout: id,
  target: formatTarget(target),
});

/** What this stage says in timelines. */
const OF_HEALING = /^(?:Put|Not put) back in /;
