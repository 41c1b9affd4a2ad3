/** Whether a delivery may write where it wants to: modelhook overwrites only what is its own. */
import { StalledError } from '../core/errors.ts';
import { readManaged } from '../core/inference-service.ts';
import { formatTarget, modeConflict } from '../core/rollout.ts';
import type { Delivery } from './target.ts';
import type { Entry } from './tree.ts';

export type Judgement =
  | { kind: 'write' }
  /** Nothing is to be done, and that is a success. */
  | { kind: 'keep'; message: string }
  | { kind: 'refuse'; error: StalledError };

/**
 * @param entry what is at the delivery's path now
 * @param where the GitOps repository's name, for messages
 */
export function judge(delivery: Delivery, entry: Entry, where: string): Judgement {
  const { path, policy, repository, target, manifest, adopt, updateExisting, deploymentMode } = delivery;
  if (entry.kind === 'nothing') return { kind: 'write' };
  if (entry.kind === 'inTheWay')
    return refuse(
      `${path} cannot be written in ${where}: ${entry.what}`,
      `set another delivery.path in policy "${policy}"`,
    );
  if (entry.text === manifest)
    return { kind: 'keep', message: `Unchanged in ${where}: ${path} is already so` };

  const present = readManaged(entry.text);
  if (!present.managed) {
    if (adopt) return { kind: 'write' };
    return refuse(
      `${path} in ${where} is not managed by modelhook`,
      `move that file away, or set delivery.adopt: true in policy "${policy}"`,
    );
  }
  if (present.repository !== null && present.repository !== repository)
    return refuse(
      `${target.namespace}/${target.name} in ${where} belongs to ${present.repository}, which deployed it first; ${repository} cannot take it`,
      `give policy "${policy}" another target.name or target.namespace for ${repository}`,
    );
  if (
    present.target &&
    (present.target.name !== target.name || present.target.namespace !== target.namespace)
  )
    return refuse(
      `${path} in ${where} already holds ${present.target.namespace}/${present.target.name}, not ${target.namespace}/${target.name}`,
      `set a delivery.path in policy "${policy}" that names every target differently`,
    );
  if (!updateExisting)
    return refuse(
      `${formatTarget(target)} exists in ${where} as ${path}, and policy "${policy}" has updateExisting: false`,
      `set updateExisting: true in policy "${policy}", or remove that file first`,
    );
  if (present.deploymentMode !== null && present.deploymentMode !== deploymentMode)
    return { kind: 'refuse', error: modeConflict(policy, target, present.deploymentMode, deploymentMode) };
  return { kind: 'write' };
}

const refuse = (reason: string, fix: string): Judgement => ({
  kind: 'refuse',
  error: new StalledError(reason, fix),
});
