/** Whether an errand may do what it wants to: modelhook overwrites and removes only what is its own. */
import { StalledError } from '../core/errors.ts';
import { type ManagedManifest, readManaged, withMode } from '../core/inference-service.ts';
import { modeConflict } from '../core/rollout.ts';
import type { Delivery, Errand, Removal } from './target.ts';
import type { Entry } from './tree.ts';

export type Judgement =
  /** The text to write: the delivery's manifest, in the mode the service exists in. */
  | { kind: 'write'; manifest: string }
  | { kind: 'remove' }
  /** Nothing is to be done, and that is a success. `manifest` is what is there; null: nothing. */
  | { kind: 'keep'; manifest: string | null; message: string }
  /** It stays as it is, for it is not what was to be removed. */
  | { kind: 'leave'; message: string }
  | { kind: 'refuse'; error: StalledError };

/** What a delivery is judged by. */
export type Claim = Pick<
  Delivery,
  | 'policy'
  | 'repository'
  | 'formerNames'
  | 'target'
  | 'path'
  | 'manifest'
  | 'adopt'
  | 'updateExisting'
  | 'modes'
> &
  Partial<Pick<Delivery, 'selfHeal'>>;

/** What is in the place of an errand. */
export interface Occupant {
  present: ManagedManifest;
  /** As messages call it: `default/models/iris.yaml in fleet`. */
  called: string;
  /** How a person gets it out of the way, in the imperative. */
  clear: string;
}

/**
 * @param entry what is at the errand's path now
 * @param where the GitOps repository's name, for messages
 */
export const judge = (errand: Errand, entry: Entry, where: string): Judgement =>
  errand.manifest === null ? judgeRemoval(errand, entry, where) : judgeDelivery(errand, entry, where);

/** @returns what a delivery to a file may do: write, keep or nothing, with the reason */
export function judgeDelivery(delivery: Claim, entry: Entry, where: string): Judgement {
  const { path, policy } = delivery;
  if (entry.kind === 'nothing') return { kind: 'write', manifest: delivery.manifest };
  if (entry.kind === 'inTheWay')
    return refuse(
      `${path} cannot be written in ${where}: ${entry.what}`,
      `set another delivery.path in policy "${policy}"`,
    );
  const unchanged = (manifest: string): Judgement => ({
    kind: 'keep',
    manifest,
    message: `Unchanged in ${where}: ${path} is already so`,
  });
  if (entry.text === delivery.manifest) return unchanged(delivery.manifest);
  const occupant = fileOccupant(path, entry.text, where);
  const judgement = judgeOccupant(delivery, occupant);
  if (judgement.kind !== 'write') return judgement;
  if (entry.text === judgement.manifest) return unchanged(judgement.manifest);
  return refuseUpdate(delivery, occupant) ?? judgement;
}

function judgeRemoval(removal: Removal, entry: Entry, where: string): Judgement {
  const { path } = removal;
  if (entry.kind === 'nothing')
    return { kind: 'keep', manifest: null, message: `Nothing to remove in ${where}: ${path} is not there` };
  if (entry.kind === 'inTheWay') return leave(`${path} in ${where} is not ours: ${entry.what}`);
  return judgeRemovable(removal, fileOccupant(path, entry.text, where));
}

const fileOccupant = (path: string, text: string, where: string): Occupant => ({
  present: readManaged(text),
  called: `${path} in ${where}`,
  clear: 'move that file away',
});

/** @returns whether a delivery may replace what is there, were it not the same already */
export function judgeOccupant(delivery: Claim, occupant: Occupant): Judgement {
  const refusal = refusalOf(delivery, occupant);
  if (refusal !== null) return { kind: 'refuse', error: refusal };
  const { policy, target, modes, manifest, selfHeal = false } = delivery;
  const [wanted] = modes;
  const mode = occupant.present.deploymentMode ?? wanted;
  if (!modes.includes(mode))
    return { kind: 'refuse', error: modeConflict(policy, target, mode, wanted, selfHeal) };
  return { kind: 'write', manifest: mode === wanted ? manifest : withMode(manifest, mode) };
}

/** @returns the refusal where the policy makes new services only; null where it updates */
export function refuseUpdate(
  { policy, updateExisting }: Claim,
  { called, clear }: Occupant,
): Judgement | null {
  if (updateExisting) return null;
  return refuse(
    `${called} exists, and policy "${policy}" has updateExisting: false`,
    `set updateExisting: true in policy "${policy}", or ${clear} first`,
  );
}

/** @returns why what is there is not ours to replace; null where it is */
function refusalOf(delivery: Claim, { present, called, clear }: Occupant): StalledError | null {
  const { policy, repository, target, adopt } = delivery;
  const { namespace, name } = target;
  if (!present.managed && !adopt)
    return new StalledError(
      `${called} is not managed by modelhook`,
      `${clear}, or set delivery.adopt: true in policy "${policy}"`,
    );
  if (present.documents > 1)
    return new StalledError(
      `${called} holds ${present.documents} documents, and would be left with one`,
      `give ${namespace}/${name} a file of its own, or set another delivery.path in policy "${policy}"`,
    );
  if (!belongsTo(delivery, present))
    return new StalledError(
      `${called} belongs to ${present.repository}, which deployed it first; ${repository} cannot take it`,
      `give policy "${policy}" another target.name or target.namespace for ${repository}`,
    );
  if (isAnother(delivery, present))
    return new StalledError(
      `${called} already holds ${nameOf(present)}, not ${namespace}/${name}`,
      `set a delivery.path in policy "${policy}" that names every target differently`,
    );
  return null;
}

/** @returns whether a removal may take away what is there. What people made of it since then is theirs, and stays. */
export function judgeRemovable(removal: Removal, { present, called }: Occupant): Judgement {
  if (!present.managed) return leave(`${called} is not managed by modelhook, so it stays`);
  if (!belongsTo(removal, present)) return leave(`${called} belongs to ${present.repository}, so it stays`);
  if (isAnother(removal, present)) return leave(`${called} holds ${nameOf(present)}, so it stays`);
  const { commits, revision } = removal;
  // Another ref may have brought the same commit: a tag's revision is its name, a branch's its commit.
  const isOfRef = [revision, ...commits].includes(present.revision ?? '');
  if (!commits.includes(present.sha ?? '') || !isOfRef)
    return leave(`${called} holds ${present.revision ?? 'another version'} of another ref, so it stays`);
  return { kind: 'remove' };
}

const belongsTo = ({ repository, formerNames }: Claim | Removal, present: ManagedManifest): boolean =>
  present.repository === null || [repository, ...formerNames].includes(present.repository);

const isAnother = ({ target }: Claim | Removal, { target: present }: ManagedManifest): boolean =>
  present !== null && (present.name !== target.name || present.namespace !== target.namespace);

const nameOf = ({ target }: ManagedManifest): string => `${target?.namespace}/${target?.name}`;

const leave = (why: string): Judgement => ({ kind: 'leave', message: `Cancelled: ${why}` });

const refuse = (reason: string, fix: string): Judgement => ({
  kind: 'refuse',
  error: new StalledError(reason, fix),
});
