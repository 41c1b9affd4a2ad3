/**
 * Delivery to a cluster by server-side apply. Each one is tried first without effect: what the API server and the
 * webhooks say against it becomes the failure in their own words, and what would change nothing is not written.
 */
import { ApplyConflictError, type ClusterApplier, ClusterUnavailableError } from '../cluster/cluster.ts';
import { intentOf } from '../core/cluster-objects.ts';
import { StalledError, WaitingError } from '../core/errors.ts';
import { parseManifest, readManagedObject } from '../core/inference-service.ts';
import { canonicalJson, type JsonObject, valueAt } from '../core/json.ts';
import { formatTarget, type Target } from '../core/rollout.ts';
import type { Log } from '../telemetry/log.ts';
import { differenceIn, ownersIn } from './heal.ts';
import { lastWord, withManifest } from './outcome.ts';
import { type Judgement, judgeOccupant, judgeRemovable, type Occupant, refuseUpdate } from './ownership.ts';
import type { Delivery, DeliveryOutcome, DeliveryTarget, Errand, Removal, Restoration } from './target.ts';

export interface ApplyTargetOptions {
  /** The cluster's key in modelhook.yaml. */
  name: string;
  applier: ClusterApplier;
  log: Log;
}

/** Targets that are written to at once. */
const AT_ONCE = 8;
/** How often an errand begins anew because somebody else made or replaced the object under its hands. */
const TRIES = 3;
/** How soon a service is looked at again that is on its way out. */
const LOOK_AGAIN = 5000;

type IsWanted = () => Promise<boolean>;

/** A service that is there. */
interface Present {
  live: JsonObject;
  occupant: Occupant;
}

const calledOf = (cluster: string, { namespace, name }: Target): string =>
  `InferenceService ${namespace}/${name} in ${cluster}`;

/** @returns what is in the place of a target: a live object of a cluster */
export const liveOccupant = (cluster: string, target: Target, live: JsonObject): Occupant => ({
  present: readManagedObject(live),
  called: calledOf(cluster, target),
  clear: 'delete that InferenceService',
});

export function createApplyTarget({ name, applier, log }: ApplyTargetOptions): DeliveryTarget {
  /** @returns null where somebody made the object meanwhile, which is to be judged then */
  async function deliver(
    delivery: Delivery,
    present: Present | null,
    isWanted: IsWanted,
  ): Promise<DeliveryOutcome | null> {
    if (present === null) return create(delivery, isWanted);
    const judgement = judgePresent(delivery, present);
    return lastWord(judgement, null) ?? update(withManifest(delivery, judgement), present, isWanted);
  }

  /** Nothing is there, so nothing is forced: a conflict tells of one that somebody made in between. */
  async function create(delivery: Delivery, isWanted: IsWanted): Promise<DeliveryOutcome | null> {
    const object = parseManifest(delivery.manifest);
    try {
      await applier.apply(object, { dryRun: true, force: false });
      if (!(await isWanted())) return { kind: 'dropped' };
      await applier.apply(object, { dryRun: false, force: false });
    } catch (error) {
      if (error instanceof ApplyConflictError) return null;
      throw error;
    }
    return applied(delivery);
  }

  async function update(
    delivery: Delivery,
    { live, occupant }: Present,
    isWanted: IsWanted,
  ): Promise<DeliveryOutcome | null> {
    const { adopt, selfHeal, updateExisting, manifest, target } = delivery;
    const force = adopt || selfHeal;
    const object = parseManifest(manifest);
    try {
      // Where nothing will be written, conflicts do not count, and all there is to know is whether it is the same.
      const wouldBe = await applier.apply(object, { dryRun: true, force: force || !updateExisting });
      if (isSame(live, wouldBe))
        return delivered(manifest, `Unchanged in ${name}: ${target.namespace}/${target.name} is already so`);
      const refusal = refuseUpdate(delivery, occupant);
      if (refusal) return lastWord(refusal, null);
      if (!(await isWanted())) return { kind: 'dropped' };
      await applier.apply(object, { dryRun: false, force });
    } catch (error) {
      throw error instanceof ApplyConflictError ? conflictOf(delivery, occupant, error) : error;
    }
    return applied(delivery);
  }

  function applied({ rolloutId, target, manifest }: Delivery): DeliveryOutcome {
    log.info({ rollout: rolloutId, target: formatTarget(target) }, 'applied');
    return delivered(manifest, `Applied to ${name}`);
  }

  /** @returns null where somebody made the object meanwhile, which is to be judged then */
  async function restore(
    restoration: Restoration,
    present: Present | null,
    isWanted: IsWanted,
  ): Promise<DeliveryOutcome | null> {
    if (present === null) {
      const outcome = await create(restoration, isWanted);
      return outcome?.kind === 'delivered' ? { kind: 'restored', what: 'somebody had deleted it' } : outcome;
    }
    const judgement = judgePresent(restoration, present);
    if (judgement.kind === 'refuse') return { kind: 'cancelled', message: judgement.error.message };
    const object = parseManifest(restoration.manifest);
    const what = await changeOf(object, present.live);
    if (what === null) return { kind: 'intact', intent: intentOf(present.live) };
    if (!(await isWanted())) return { kind: 'dropped' };
    await applier.apply(object, { dryRun: false, force: true });
    return { kind: 'restored', what };
  }

  /** @returns what somebody made of what was delivered, a clause; null: nothing */
  async function changeOf(object: JsonObject, live: JsonObject): Promise<string | null> {
    try {
      const wouldBe = await applier.apply(object, { dryRun: true, force: false });
      return differenceIn(object, live, wouldBe);
    } catch (error) {
      if (error instanceof ApplyConflictError) return ownersIn(error, 'had set').join(', and ');
      throw error;
    }
  }

  /** @returns null where another object has taken the name, which is to be judged then */
  async function remove(
    removal: Removal,
    present: Present | null,
    isWanted: IsWanted,
  ): Promise<DeliveryOutcome | null> {
    const { target, rolloutId } = removal;
    const where = `${target.namespace}/${target.name}`;
    if (present === null) return removed(`Nothing to remove in ${name}: ${where} is not there`);
    const { live, occupant } = present;
    const outcome = lastWord(judgeRemovable(removal, occupant), null);
    if (outcome) return outcome;
    if (!isLeaving(live)) {
      if (!(await isWanted())) return { kind: 'dropped' };
      const end = await applier.remove(target, String(valueAt(live, ['metadata', 'uid'])));
      if (end === 'other') return null;
      log.info({ rollout: rolloutId, target: formatTarget(target) }, 'removed');
    }
    return removed(`Removed from ${name}`);
  }

  function doErrand(errand: Errand, present: Present | null, isWanted: IsWanted) {
    if (errand.manifest === null) return remove(errand, present, isWanted);
    return isRestoration(errand) ? restore(errand, present, isWanted) : deliver(errand, present, isWanted);
  }

  async function settle(
    errand: Errand,
    get: ClusterApplier['get'],
    isWanted: IsWanted,
  ): Promise<DeliveryOutcome> {
    for (let tries = 0; tries < TRIES; tries += 1) {
      const live = await get(errand.target);
      const present = live && { live, occupant: liveOccupant(name, errand.target, live) };
      const outcome = await doErrand(errand, present, isWanted);
      if (outcome) return outcome;
    }
    throw new Error(`${calledOf(name, errand.target)} comes and goes whenever it is about to be written`);
  }

  return {
    async deliver(batch, stillWanted, settled) {
      const read = readUntilCutOff(applier);
      const services = Map.groupBy(batch, ({ target }) => `${target.namespace}/${target.name}`).values();
      const work = async (): Promise<void> => {
        for (const errands of services)
          for (const errand of errands) {
            const { rolloutId } = errand;
            const isWanted = async () => (await stillWanted([rolloutId])).has(rolloutId);
            settled(rolloutId, await settle(errand, read, isWanted).catch(failureOf));
          }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, work));
    },
  };
}

/** @returns a reading that asks no more once the cluster cannot be read: what comes next would only fail alike, and late */
function readUntilCutOff(applier: ClusterApplier): ClusterApplier['get'] {
  let cutOff: ClusterUnavailableError | null = null;
  return async (place) => {
    if (cutOff) throw cutOff;
    try {
      return await applier.get(place);
    } catch (error) {
      // What RBAC forbids in one namespace, it may allow in another.
      if (error instanceof ClusterUnavailableError && error.problem.kind !== 'forbidden') cutOff = error;
      throw error;
    }
  };
}

/** What RBAC forbids, only a person can allow; all else of a cluster that cannot be asked may pass. */
function failureOf(error: unknown): DeliveryOutcome {
  if (!(error instanceof ClusterUnavailableError) || error.problem.kind !== 'forbidden')
    return { kind: 'failed', error };
  const { what, detail, fix } = error.problem;
  const reason = `${error.cluster} ${what}${detail === null ? '' : `: ${detail}`}`;
  return { kind: 'failed', error: new StalledError(reason, fix, { cause: error }) };
}

/** @returns the refusal of a delivery that would have taken fields from others: it names each with its fields */
export function conflictOf(
  { policy }: Pick<Delivery, 'policy'>,
  { called }: Occupant,
  conflict: ApplyConflictError,
): StalledError {
  return new StalledError(
    `${called} was changed by others: ${ownersIn(conflict, 'set').join(', and ')}`,
    `let only one of them set these, or set delivery.adopt: true in policy "${policy}" to take them over`,
    { cause: conflict },
  );
}

/** @throws WaitingError while it is being deleted */
function judgePresent(delivery: Delivery, { live, occupant }: Present): Judgement {
  if (isLeaving(live)) throw new WaitingError(`Waiting: ${occupant.called} is being deleted`, LOOK_AGAIN);
  return judgeOccupant(delivery, occupant);
}

const isRestoration = (errand: Delivery): errand is Restoration => 'restores' in errand;

const isLeaving = (live: JsonObject): boolean =>
  valueAt(live, ['metadata', 'deletionTimestamp']) !== undefined;

/** Everything but what the API server keeps about an object, and its status, which no apply changes. */
const PARTS = [['metadata', 'labels'], ['metadata', 'annotations'], ['spec']];

export const isSame = (live: JsonObject, other: JsonObject): boolean =>
  PARTS.every(
    (path) => canonicalJson(valueAt(live, path) ?? null) === canonicalJson(valueAt(other, path) ?? null),
  );

const receipt = { commit: null, path: null };
const delivered = (manifest: string, message: string): DeliveryOutcome => ({
  kind: 'delivered',
  receipt,
  message,
  manifest,
});
const removed = (message: string): DeliveryOutcome => ({ kind: 'removed', receipt, message });
