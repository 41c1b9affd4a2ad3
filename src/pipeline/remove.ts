/**
 * A deleted ref → the removal of what it has brought (`onRefDelete: remove`). Target, path and destination are those of its
 * newest rollout. Nothing is removed before the forge itself shows, once it can lag no more, that the ref is gone.
 */
import { WaitingError } from '../core/errors.ts';
import { explainMatch } from '../core/match.ts';
import type { PolicySet } from '../core/policy.ts';
import { shortSha } from '../core/ref-event.ts';
import { formatTarget, type Rollout } from '../core/rollout.ts';
import type { Forge } from '../forge/forge.ts';
import type { PolicySource } from '../policies/policies.ts';
import type { Brought, RolloutChange } from '../store/store.ts';
import { forgeOf } from './resolve.ts';
import { type SettleDeps, settleFailure } from './retry.ts';
import { createShares } from './shares.ts';
import type { Stage } from './stage.ts';
import { suspension } from './suspension.ts';

/** How soon to look again whether an older rollout of the ref has its plan. */
const PLANNED_AGAIN = 1000;

export interface RemoveDeps extends SettleDeps {
  forges: ReadonlyMap<string, Forge>;
  policies: PolicySource;
  concurrency: number;
}

export function createRemove(deps: RemoveDeps): Stage {
  const { store, policies, forges, persist, log } = deps;
  const shares = createShares(forges, deps.concurrency);

  async function remove(rollout: Rollout): Promise<RolloutChange> {
    const current = policies.current();
    if (!current) throw new WaitingError('Waiting for the policies to be loaded', 1000);
    const { ref, policy } = rollout;
    const kept = reasonToKeep(current, rollout);
    if (kept !== null) return cancelled(kept);
    if (await isThere(rollout)) return cancelled(`${ref} is there again`);
    const brought = await store.rollouts.broughtBy(rollout);
    if (brought === 'unplanned')
      throw new WaitingError(`Waiting for what was pushed to ${ref} before it was deleted`, PLANNED_AGAIN);
    if (brought === null) return cancelled(`policy "${policy}" has deployed nothing of ${ref}`);
    const other = reasonToLeave(rollout, brought);
    if (other !== null) return cancelled(other);
    const { target, plan, commits } = brought;
    const why = `Policy ${policy} removes what it has deployed of a ref that is deleted.`;
    return {
      stage: 'deliver',
      message: `Queued to be removed from ${rollout.environment}`,
      attempts: 0,
      waitingSince: null,
      policyRevision: current.revision,
      target,
      plan: { ...plan, why, decisions: [], warnings: [], removes: commits },
    };
  }

  /**
   * Throws where nothing is to be concluded: the repository cannot be read, or shows no refs at all (specification
   * section 7).
   */
  async function isThere({ repository, projectId, ref, createdAt }: Rollout): Promise<boolean> {
    const { repositories } = forgeOf(forges, repository);
    const left = createdAt + repositories.lag - deps.now();
    if (left > 0) throw new WaitingError(`Waiting until it is certain that ${ref} was deleted`, left);
    const reading = await repositories.readRef(repository, ref, [], 0);
    if (reading) {
      const move = { repository, projectId, ref, before: null, after: reading.sha };
      await persist(() => store.events.record(move, 'reading', null));
      return true;
    }
    const listed = await repositories.listRefs(repository);
    if (listed.length === 0)
      throw new Error(`${repository} suddenly has no refs; nothing is concluded from that`);
    return listed.some((each) => each.ref === ref);
  }

  return {
    name: 'remove',
    concurrency: deps.concurrency,
    yields: false,
    async claim(limit) {
      if (!policies.current()) return [];
      const rollouts = await store.rollouts.claim('remove', shares.atMost(limit), { forges: shares.spent() });
      return rollouts.map((rollout) =>
        shares.counted(rollout.repository, async () => {
          try {
            const change = await remove(rollout);
            await persist(() => store.rollouts.advance(rollout.id, change));
            const { id, repository, ref } = rollout;
            log.info({ rollout: id, repository, ref, reason: change.message }, 'deletion followed');
          } catch (error) {
            await settleFailure(deps, rollout, error);
          }
        }),
      );
    },
  };
}

/** @returns why the policies in force remove nothing for it; null where they do */
function reasonToKeep({ policies, revision }: PolicySet, rollout: Rollout): string | null {
  const policy = policies.find(({ name }) => name === rollout.policy);
  if (!policy) return `policy "${rollout.policy}" is no longer among the policies at ${shortSha(revision)}`;
  const match = explainMatch(policy, rollout);
  if (!match.matches) return `policy "${policy.name}" no longer matches: ${match.reason}`;
  if (policy.onRefDelete === 'keep') return `policy "${policy.name}" has onRefDelete: keep now`;
  if (policy.suspend) throw suspension(policy.name);
  return null;
}

/** @returns why what is at the target is not what the ref has brought; null where it is */
function reasonToLeave({ ref }: Rollout, { target, standing }: Brought): string | null {
  if (standing === null) return null;
  const place = formatTarget(target);
  if (standing.ref !== ref) return `${place} is deployed from ${standing.ref} now, so it stays`;
  return standing.isRemoval ? `${place} is removed already` : null;
}

/** The commit goes on saying what is true of the deployment. */
const cancelled = (reason: string): RolloutChange => ({
  phase: 'cancelled',
  stage: null,
  message: `Cancelled: ${reason}`,
  quiet: true,
});
