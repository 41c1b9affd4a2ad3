/** What `modelhook deploy` says in the end. */
import { formatTarget, isFinal, type Rollout } from '../core/rollout.ts';
import { toYaml } from '../core/yaml-text.ts';
import { oneLine } from './printable.ts';

export type Output = 'text' | 'json' | 'yaml';

/** @returns whether there is nothing left to wish for: it serves, or is delivered where nothing observes */
export const isGood = (rollout: Rollout): boolean =>
  rollout.phase === 'ready' || (rollout.phase === 'delivered' && isFinal(rollout));

/** Writes how rollouts stand to standard output. */
export function report(rollouts: readonly Rollout[], output: Output): void {
  if (output === 'text') {
    for (const { policy, phase, message } of rollouts)
      process.stdout.write(`${oneLine(policy)}  ${phase}  ${oneLine(message)}\n`);
    return;
  }
  const data = rollouts.map(
    ({ policy, environment, target, sha, phase, message, endpoints, receipt, manifest }) => ({
      policy,
      environment,
      sha,
      target: target && formatTarget(target),
      phase,
      message,
      endpoints: { ...endpoints },
      receipt: receipt && { ...receipt },
      manifest,
    }),
  );
  process.stdout.write(output === 'json' ? `${JSON.stringify(data, null, 2)}\n` : toYaml(data));
}

/**
 * What whoever pressed Ctrl-C must know.
 * @param isFinished what was in hand has ended
 * @returns what stays of each rollout, and what never came to be
 */
export function interruption(rollouts: readonly Rollout[], isFinished: boolean): string {
  const stays = rollouts.filter((rollout) => !isGood(rollout)).map((rollout) => stayOf(rollout, isFinished));
  return ['interrupted', ...stays].join('\n  ');
}

function stayOf(
  { policy, phase, target, plan, pullRequest, attempts }: Rollout,
  isFinished: boolean,
): string {
  const what = target === null ? policy : `${policy}: ${formatTarget(target)}`;
  if (phase === 'delivered')
    return `${what} is delivered and stays, and whether it serves is no longer watched`;
  if (phase !== 'pending') return `${what} has ended as ${phase}`;
  if (pullRequest !== null) return `${what} waits in ${pullRequest.url}, which stays open`;
  // Nothing leaves before there is a plan; a try that failed may have left all the same.
  if (plan === null || (isFinished && attempts === 0)) return `${what} was not delivered`;
  return `${what} may be delivered or not; run it again, which changes nothing where it is`;
}
