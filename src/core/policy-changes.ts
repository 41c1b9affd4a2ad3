/**
 * What merging a revision of the policies would change. Both revisions are planned and rendered by this version, from the
 * same stored inputs (specification section 8): an upgrade of modelhook or KServe alone changes nothing here.
 */
import type { Counted, Deployed, KnownRef } from './deployed.ts';
import type { PolicySet } from './policy.ts';
import {
  namesOfOther,
  type PolicyDifferences,
  policiesByName,
  policyDifferences,
} from './policy-differences.ts';
import { type MatchChange, matchChanges, type NewRef } from './policy-matches.ts';
import type { Structure } from './structure.ts';
import { type TakenTarget, takenTargets } from './taken-targets.ts';
import { type Diff, type TargetChange, targetChanges } from './target-changes.ts';

/** Plain data: it crosses threads, is stored, and is printed as JSON. */
export interface PolicyChanges {
  /** The revisions that are compared. */
  before: string;
  after: string;
  policies: PolicyDifferences;
  /** Which known repositories policies match otherwise. */
  matches: MatchChange[];
  /** Deployed targets that change, by name; and how many do not. */
  targets: TargetChange[];
  unchanged: number;
  /** Refs that a policy matches for the first time. The merge does not deploy them. */
  newRefs: Counted<NewRef>;
  /** Targets that are claimed for one repository and belong to another. */
  taken: Counted<TakenTarget>;
}

/** What is not in the policies, and not stored with what is deployed. */
export interface PlanningMeans {
  diff: Diff;
  /** By cluster; KServe's own of 0.20 for those that are left out. */
  structures?: ReadonlyMap<string, Structure>;
}

/** Fields that decide which target and file a policy claims for a ref. The mode limits how long names are. */
const CLAIMING = ['match', 'target', 'environment', 'deploymentMode', 'delivery'];

/**
 * Plans a change of the policies, without any effect.
 * @param before in force
 * @param after what would be in force
 * @param deployed the newest delivered rollout of each target, in any order
 * @param known all refs that are known, deployed or not, in any order
 */
export function planChanges(
  before: PolicySet,
  after: PolicySet,
  deployed: readonly Deployed[],
  known: readonly KnownRef[],
  { diff, structures = new Map() }: PlanningMeans,
): PolicyChanges {
  const policies = policyDifferences(before, after);
  const { added, changed, removed } = policies;
  const touched = new Set([...added, ...changed, ...removed].map(({ name }) => name));
  const claimable = (set: PolicySet) => ({ set, byName: policiesByName(set), structures });
  return {
    before: before.revision,
    after: after.revision,
    policies,
    ...matchChanges(before, after, namesOfOther(['match'], policies), deployed, known),
    ...targetChanges(
      { before: claimable(before), after: claimable(after) },
      (name) => !touched.has(name),
      deployed,
      diff,
    ),
    taken: takenTargets(before, after, namesOfOther(CLAIMING, policies), deployed, known),
  };
}
