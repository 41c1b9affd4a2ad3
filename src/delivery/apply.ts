/**
 * Delivery to a cluster by server-side apply. Each one is tried first without effect: what the API server and the
 * webhooks say against it becomes the failure in their own words, and what would change nothing is not written.
 */
import {
  ApplyConflictError,
  type ClusterApplier,
  type ClusterProblem,
  ClusterUnavailableError,
  ObjectReplacedError,
} from '../cluster/cluster.ts';
import { intentOf } from '../core/cluster-objects.ts';
import { StalledError, WaitingError } from '../core/errors.ts';
import { parseManifest, readManagedObject } from '../core/inference-service.ts';
import { type JsonObject, mergeJson, valueAt } from '../core/json.ts';
import { shortSha } from '../core/ref-event.ts';
import { formatTarget, type Target } from '../core/rollout.ts';
import type { Log } from '../telemetry/log.ts';
import { differenceIn, isOtherVersion, ownersIn } from './heal.ts';
import { lastWord, withManifest } from './outcome.ts';
import { type Judgement, judgeOccupant, judgeRemovable, type Occupant, refuseUpdate } from './ownership.ts';
import type { Delivery, DeliveryOutcome, DeliveryTarget, Errand, Healing, Removal } from './target.ts';

export interface ApplyTargetOptions {
  /** The cluster's key in modelhook.yaml. */
  name: string;
  applier: ClusterApplier;
  log: Log;
  /**
   * Whoever asked waits for the end, so what a person must allow or make first fails at once. Left out: it is waited for,
   * in words.
   */
  impatient?: boolean;
}

/** Targets that are written to at once. */
const AT_ONCE = 8;
/** How often an errand begins anew because somebody else made or replaced the object under its hands. */
const TRIES = 3;
/** How soon a service is looked at again that is on its way out. */
const LOOK_AGAIN = 5000;
/** How soon it is tried again what RBAC forbids, or has no namespace. */
const ALLOWED_AGAIN = 30_000;

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

export function createApplyTarget({
  name,
  applier,
  log,
  impatient = false,
}: ApplyTargetOptions): DeliveryTarget {
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
    const object = ofUid(parseManifest(manifest), live);
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
      if (error instanceof ObjectReplacedError) return null;
      throw error instanceof ApplyConflictError ? conflictOf(delivery, occupant, error) : error;
    }
    return applied(delivery);
  }

  function applied({ rolloutId, target, manifest }: Delivery): DeliveryOutcome {
    log.info({ rollout: rolloutId, target: formatTarget(target) }, 'applied');
    return delivered(manifest, `Applied to ${name}`);
  }

  /** @returns null where somebody made or replaced the object meanwhile, which is to be judged then */
  async function heal(
    healing: Healing,
    present: Present | null,
    isWanted: IsWanted,
  ): Promise<DeliveryOutcome | null> {
    if (present === null) {
      const outcome = await create(healing, isWanted);
      return outcome?.kind === 'delivered' ? { kind: 'healed', what: 'somebody had deleted it' } : outcome;
    }
    const object = parseManifest(healing.manifest);
    const message = reasonToLeave(healing, object, present);
    if (message !== null) return { kind: 'cancelled', message };
    const { live } = present;
    try {
      const what = await changeOf(ofUid(object, live), live);
      if (what === null) return { kind: 'intact', intent: intentOf(live) };
      if (!(await isWanted())) return { kind: 'dropped' };
      await applier.apply(ofUid(object, live), { dryRun: false, force: true });
      return { kind: 'healed', what };
    } catch (error) {
      if (error instanceof ObjectReplacedError) return null;
      throw error;
    }
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
    return isHealing(errand) ? heal(errand, present, isWanted) : deliver(errand, present, isWanted);
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
            const waits = !impatient && !isHealing(errand);
            settled(
              rolloutId,
              await settle(errand, read, isWanted).catch((error) => failureOf(error, waits)),
            );
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

/**
 * What RBAC forbids and a namespace that is not there, only a person can mend; all else of a cluster that cannot be asked may
 * pass by itself.
 * @param waits for the person, too
 */
function failureOf(error: unknown, waits: boolean): DeliveryOutcome {
  if (!(error instanceof ClusterUnavailableError) || !FOR_A_PERSON.includes(error.problem.kind))
    return { kind: 'failed', error };
  if (waits)
    return {
      kind: 'failed',
      error: new WaitingError(`Waiting: ${error.message}`, ALLOWED_AGAIN, { cause: error }),
    };
  const { what, detail, fix } = error.problem;
  const reason = `${error.cluster} ${what}${detail === null ? '' : `: ${detail}`}`;
  return { kind: 'failed', error: new StalledError(reason, fix, { cause: error }) };
}

const FOR_A_PERSON: readonly ClusterProblem['kind'][] = ['forbidden', 'namespace'];

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

/** @returns why what is there is nothing to put back; null where it is to be compared with what was delivered */
function reasonToLeave(healing: Healing, object: JsonObject, present: Present): string | null {
  const judgement = judgePresent(healing, present);
  const { live, occupant } = present;
  // Whoever takes the label off wants it left alone, also where the next rollout would take it over.
  if (!occupant.present.managed) return unmanagedOf(occupant);
  if (judgement.kind === 'refuse') return judgement.error.message;
  return isOtherVersion(object, live) ? otherVersionOf(occupant) : null;
}

const isHealing = (errand: Errand): errand is Healing => 'heals' in errand;

/** Applied so, it changes what was judged and nothing that has taken its name. */
const ofUid = (object: JsonObject, live: JsonObject): JsonObject =>
  mergeJson(object, { metadata: { uid: valueAt(live, ['metadata', 'uid']) ?? '' } });

const unmanagedOf = ({ called }: Occupant): string =>
  `${called} is not managed by modelhook; label it app.kubernetes.io/managed-by=modelhook to have it put back`;

const otherVersionOf = ({ present: { revision, sha } }: Occupant): string =>
  `modelhook deploy, or another modelhook, has put ${revision ?? 'another version'} (${shortSha(sha ?? '')}) there, which stays until the next rollout`;

const isLeaving = (live: JsonObject): boolean =>
  valueAt(live, ['metadata', 'deletionTimestamp']) !== undefined;

export const isSame = (live: JsonObject, other: JsonObject): boolean => intentOf(live) === intentOf(other);

const receipt = { commit: null, path: null };
const delivered = (manifest: string, message: string): DeliveryOutcome => ({
  kind: 'delivered',
  receipt,
  message,
  manifest,
});
const removed = (message: string): DeliveryOutcome => ({ kind: 'removed', receipt, message });
