/** Whether a delivery may write where it wants to: modelhook overwrites only what is its own. */
import { StalledError } from '../core/errors.ts';
import { type ManagedManifest, readManaged, withMode } from '../core/inference-service.ts';
import { formatTarget, modeConflict } from '../core/rollout.ts';
import type { Delivery } from './target.ts';
import type { Entry } from './tree.ts';

export type Judgement =
  /** The text to write: the delivery's manifest, in the mode the service exists in. */
  | { kind: 'write'; manifest: string }
  /** Nothing is to be done, and that is a success. */
  | { kind: 'keep'; manifest: string; message: string }
  | { kind: 'refuse'; error: StalledError };

/**
 * @param entry what is at the delivery's path now
 * @param where the GitOps repository's name, for messages
 */
export function judge(delivery: Delivery, entry: Entry, where: string): Judgement {
  const { path, policy, target, modes } = delivery;
  if (entry.kind === 'nothing') return { kind: 'write', manifest: delivery.manifest };
  if (entry.kind === 'inTheWay')
    return refuse(
      `${path} cannot be written in ${where}: ${entry.what}`,
      `set another delivery.path in policy "${policy}"`,
    );
  if (entry.text === delivery.manifest) return unchanged(delivery, where, delivery.manifest);
  const present = readManaged(entry.text);
  const refusal = refusalOf(delivery, present, where);
  if (refusal !== null) return { kind: 'refuse', error: refusal };
  const [wanted] = modes;
  const mode = present.deploymentMode ?? wanted;
  if (!modes.includes(mode)) return { kind: 'refuse', error: modeConflict(policy, target, mode, wanted) };
  const manifest = mode === wanted ? delivery.manifest : withMode(delivery.manifest, mode);
  if (entry.text === manifest) return unchanged(delivery, where, manifest);
  if (!delivery.updateExisting)
    return refuse(
      `${formatTarget(target)} exists in ${where} as ${path}, and policy "${policy}" has updateExisting: false`,
      `set updateExisting: true in policy "${policy}", or remove that file first`,
    );
  return { kind: 'write', manifest };
}

const unchanged = ({ path }: Delivery, where: string, manifest: string): Judgement => ({
  kind: 'keep',
  manifest,
  message: `Unchanged in ${where}: ${path} is already so`,
});

/** @returns why what is there is not ours to replace; null where it is */
function refusalOf(delivery: Delivery, present: ManagedManifest, where: string): StalledError | null {
  const { path, policy, repository, formerNames, target, adopt } = delivery;
  const { namespace, name } = target;
  if (!present.managed && !adopt)
    return new StalledError(
      `${path} in ${where} is not managed by modelhook`,
      `move that file away, or set delivery.adopt: true in policy "${policy}"`,
    );
  if (present.documents > 1)
    return new StalledError(
      `${path} in ${where} holds ${present.documents} documents, and would be left with one`,
      `give ${namespace}/${name} a file of its own, or set another delivery.path in policy "${policy}"`,
    );
  if (present.repository !== null && ![repository, ...formerNames].includes(present.repository))
    return new StalledError(
      `${namespace}/${name} in ${where} belongs to ${present.repository}, which deployed it first; ${repository} cannot take it`,
      `give policy "${policy}" another target.name or target.namespace for ${repository}`,
    );
  if (present.target && (present.target.name !== name || present.target.namespace !== namespace))
    return new StalledError(
      `${path} in ${where} already holds ${present.target.namespace}/${present.target.name}, not ${namespace}/${name}`,
      `set a delivery.path in policy "${policy}" that names every target differently`,
    );
  return null;
}

const refuse = (reason: string, fix: string): Judgement => ({
  kind: 'refuse',
  error: new StalledError(reason, fix),
});
