/** Which of the policies in force heal, that is put back what someone changed, and where. */
import { StalledError } from '../core/errors.ts';
import { explainMatch } from '../core/match.ts';
import type { Policy, PolicySet } from '../core/policy.ts';
import { resolveTarget, valuesOf } from '../core/policy-target.ts';
import { formatTarget, type Rollout, type Target } from '../core/rollout.ts';

/** By cluster, then by name. A cluster where none does is not in it. */
export type HealingPolicies = ReadonlyMap<string, ReadonlyMap<string, Policy>>;

/** Policies in force are never changed, and there may be thousands: each set is walked once. */
const known = new WeakMap<PolicySet, HealingPolicies>();

export function healingOf(policies: PolicySet | null): HealingPolicies {
  if (policies === null) return new Map();
  const healing = known.get(policies) ?? sorted(policies);
  known.set(policies, healing);
  return healing;
}

function sorted({ policies }: PolicySet): HealingPolicies {
  const healing = policies.filter(
    ({ delivery, suspend }) => delivery.selfHeal && delivery.gitops === null && !suspend,
  );
  const byCluster = Map.groupBy(healing, ({ target }) => target.cluster);
  return new Map(
    [...byCluster].map(([cluster, those]) => [cluster, new Map(those.map((each) => [each.name, each]))]),
  );
}

/** @returns whether the policy of a rollout heals what that has brought: it still deploys this ref to this target */
export function isHealed(
  healing: HealingPolicies,
  { policy: name, repository, ref, sha }: Pick<Rollout, 'policy' | 'repository' | 'ref' | 'sha'>,
  target: Target,
): boolean {
  const policy = healing.get(target.cluster)?.get(name);
  if (!policy) return false;
  return (
    explainMatch(policy, { repository, ref }).matches && mayName(policy, { repository, ref, sha }, target)
  );
}

/** The model card is not read for this: a target that is named after it may be any of its cluster. */
function mayName(policy: Policy, at: Pick<Rollout, 'repository' | 'ref' | 'sha'>, target: Target): boolean {
  try {
    return formatTarget(resolveTarget(policy, valuesOf(policy, at, null))) === formatTarget(target);
  } catch (error) {
    if (error instanceof StalledError) return true;
    throw error;
  }
}
