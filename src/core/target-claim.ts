/** Which policy of a revision applies to what is deployed, and what it makes of it from the stored inputs. */
import type { Deployed, StoredInputs } from './deployed.ts';
import { StalledError } from './errors.ts';
import { renderInferenceService } from './inference-service.ts';
import type { JsonObject } from './json.ts';
import { ASSUMED_KSERVE, type KServe } from './kserve.ts';
import { explainMatch, matchPolicies } from './match.ts';
import { type ModelCardInput, makePlan, type Plan, type PlanInput, targetOf } from './plan.ts';
import type { Policy, PolicySet } from './policy.ts';
import { formatTarget, modeConflict, type Target } from './rollout.ts';
import type { Structure } from './structure.ts';

/** A revision, with what is looked up in it over and over. */
export interface Revision {
  set: PolicySet;
  byName: ReadonlyMap<string, Policy>;
  /** What an InferenceService may hold, by cluster; KServe's own of 0.20 where nothing else is known. */
  structures: ReadonlyMap<string, Structure>;
}

/** What a policy makes of a ref that is deployed: a plan, or why there is none. */
export interface Claim {
  policy: Policy;
  input: PlanInput;
  /** Without a plan perhaps only supposed: the one that is deployed. */
  target: Target;
  plan: Plan | null;
  error: StalledError | null;
}

/** @returns whether two targets are one */
export const isSameTarget = (one: Target, other: Target): boolean =>
  formatTarget(one) === formatTarget(other);

/**
 * Finds the policy that applies: the one of the same name where it still matches the ref; else another that matches it
 * and names the same target, for a policy may have got another name.
 * @returns null where none applies
 */
export function claimOn(deployed: Deployed, revision: Revision): Claim | null {
  const same = revision.byName.get(deployed.policy);
  if (same && explainMatch(same, deployed).matches) return claimBy(same, deployed, revision);
  for (const policy of matchPolicies(revision.set, deployed)) {
    const input = inputOf(policy, deployed, revision);
    const target = targetOrNull(input);
    if (target && isSameTarget(target, deployed.target)) return claimBy(policy, deployed, revision);
  }
  return null;
}

function claimBy(policy: Policy, deployed: Deployed, revision: Revision): Claim {
  const input = inputOf(policy, deployed, revision);
  try {
    const plan = makePlan(input);
    return { policy, input, target: plan.target, plan, error: null };
  } catch (error) {
    if (!(error instanceof StalledError)) throw error;
    return { policy, input, target: targetOrNull(input) ?? deployed.target, plan: null, error };
  }
}

function targetOrNull(input: PlanInput): Target | null {
  try {
    return targetOf(input);
  } catch (error) {
    if (error instanceof StalledError) return null;
    throw error;
  }
}

function inputOf(policy: Policy, deployed: Deployed, { set, structures }: Revision): PlanInput {
  const { repository, ref, sha, target, inputs } = deployed;
  const { cluster } = policy.target;
  const structure = structures.get(cluster) ?? ASSUMED_KSERVE.structure;
  const input = {
    policy,
    policies: set,
    repository,
    projectId: inputs.projectId,
    ref,
    sha,
    modelCard: cardOf(inputs.modelCard),
  };
  // Of a cluster that a policy moves to nothing is stored.
  if (cluster !== target.cluster) return { ...input, kserve: { version: null, structure } };
  const kserve: KServe = { version: inputs.kserve.version, structure };
  return { ...input, kserve, runtimes: inputs.runtimes, knative: inputs.knative };
}

const cardOf = (card: StoredInputs['modelCard']): ModelCardInput =>
  'unavailable' in card
    ? { kind: 'unavailable', reason: new StalledError(card.unavailable.reason, card.unavailable.fix) }
    : { kind: 'card', card };

/**
 * Takes a claim over to the mode its service exists in, as its delivery will: KServe cannot change that.
 * @returns the claim, in that mode; without a plan where its policy cannot do with it
 */
export function inMode(claim: Claim, existing: Plan['deploymentMode']): Claim {
  const { policy, target, plan } = claim;
  if (plan === null || plan.deploymentMode === existing) return claim;
  if (plan.modes.includes(existing)) return { ...claim, plan: { ...plan, deploymentMode: existing } };
  const { selfHeal } = policy.delivery;
  const error = modeConflict(policy.name, target, existing, plan.deploymentMode, selfHeal);
  return { ...claim, plan: null, error };
}

/** @returns the manifest as it would be delivered; or why there is none */
export function render({
  plan,
  input,
  error,
}: Claim):
  | { manifest: string; object: JsonObject; error: null }
  | { manifest: null; object: null; error: StalledError | null } {
  if (plan === null) return { manifest: null, object: null, error };
  try {
    return { ...renderInferenceService(plan, input.kserve), error: null };
  } catch (fault) {
    if (fault instanceof StalledError) return { manifest: null, object: null, error: fault };
    throw fault;
  }
}
