/** Targets that a change of the policies would have two repositories claim: each belongs to the first that deployed it. */
import { allRefs, type Counted, count, type Deployed, type KnownRef, refKey } from './deployed.ts';
import { StalledError } from './errors.ts';
import { matchPolicies } from './match.ts';
import type { ModelCard } from './model-card.ts';
import { fillPath, withTarget } from './plan.ts';
import type { Policy, PolicySet } from './policy.ts';
import { type PolicyPlace, pickPolicies, policyPlace } from './policy-differences.ts';
import { resolveTarget, valuesOf } from './policy-target.ts';
import { formatTarget, type Target } from './rollout.ts';
import { variablesOf } from './template.ts';

/** Of how many the names are kept: more are only counted. */
const MOST_TARGETS = 1000;

/** A file of a GitOps repository, by its key in `gitops` of modelhook.yaml. */
export interface GitopsFile {
  gitops: string;
  path: string;
}

/** A target that a policy newly claims for one repository, and that is another's, or whose file is. */
export interface TakenTarget {
  target: Target;
  /** The file that is another's, where the target itself is not; null: the target is. */
  file: GitopsFile | null;
  /** Which policy claims it for which repository, and the first ref it does that for. */
  policy: PolicyPlace;
  repository: string;
  ref: string;
  /** Whose it is. `deployed`: it is there; else both only claim it, and the first that deploys it has it. */
  owner: { repository: string; ref: string; policy: string; deployed: boolean };
}

/**
 * @param names of the policies whose match, target or delivery differs: only they can claim what they did not
 * @returns what is newly claimed for a repository and belongs to another: targets, then files, each by name. What is
 *   named by the model card is known only of what is deployed.
 */
export function takenTargets(
  before: PolicySet,
  after: PolicySet,
  names: ReadonlySet<string>,
  deployed: readonly Deployed[],
  known: readonly KnownRef[],
): Counted<TakenTarget> {
  const taken: Counted<TakenTarget> = { total: 0, items: [] };
  if (!after.policies.some(({ name }) => names.has(name))) return taken;
  const refs = allRefs(deployed, known);
  const cards = new Map(deployed.map((one) => [refKey(one), cardOf(one)]));
  const former = claimsOf(pickPolicies(before, names), refs, cards);
  const now = claimsOf(after, refs, cards);
  // Whoever claims the target of another claims its file with it: that is told once.
  const told = new Set<string>();
  for (const kind of ['target', 'file'] as const)
    for (const { claim, owner, isDeployed } of stolenOf(kind, former, now, names, deployed)) {
      const key = `${claimantOf(claim)} ${formatTarget(claim.target)}`;
      if (told.has(key)) continue;
      told.add(key);
      count(taken, takenFrom(kind, claim, owner, isDeployed), MOST_TARGETS);
    }
  return taken;
}

type Owner = Pick<Deployed, 'repository' | 'ref' | 'policy'>;

/** What can be another's. */
type Kind = 'target' | 'file';

interface Stolen {
  claim: ClaimedTarget;
  owner: Owner;
  isDeployed: boolean;
}

function* stolenOf(
  kind: Kind,
  formerly: readonly ClaimedTarget[],
  now: readonly ClaimedTarget[],
  names: ReadonlySet<string>,
  deployed: readonly Deployed[],
): Generator<Stolen> {
  const former = byPlace(kind, formerly);
  const owners = new Map(deployed.map((one) => [placeOf(kind, { ...one, file: fileOf(one.delivery) }), one]));
  const claims = [...byPlace(kind, now)].sort(([left], [right]) => (left < right ? -1 : 1));
  for (const [place, claimed] of claims) {
    const deployer = owners.get(place);
    const isNew = (one: ClaimedTarget): boolean =>
      names.has(one.policy.name) && !former.get(place)?.has(claimantOf(one));
    const all = [...claimed.values()];
    // Whoever claimed it before goes first.
    const inOrder = [...all.filter((one) => !isNew(one)), ...all.filter(isNew)];
    for (const claim of all.filter(isNew)) {
      const owner = deployer ?? rivalOf(claim, inOrder);
      if (owner !== null && owner.repository !== claim.ref.repository)
        yield { claim, owner, isDeployed: deployer !== undefined };
    }
  }
}

const takenFrom = (
  kind: Kind,
  { target, file, policy, ref }: ClaimedTarget,
  owner: Owner,
  isDeployed: boolean,
): TakenTarget => ({
  target,
  file: kind === 'file' ? file : null,
  policy: policyPlace(policy),
  repository: ref.repository,
  ref: ref.ref,
  owner: { repository: owner.repository, ref: owner.ref, policy: owner.policy, deployed: isDeployed },
});

/** @returns the first that claims it for another repository */
function rivalOf({ ref }: ClaimedTarget, claims: readonly ClaimedTarget[]): Owner | null {
  const rival = claims.find((claim) => claim.ref.repository !== ref.repository);
  return rival ? { ...rival.ref, policy: rival.policy.name } : null;
}

interface ClaimedTarget {
  target: Target;
  /** null: it is applied to the cluster, or not known */
  file: GitopsFile | null;
  policy: Policy;
  ref: KnownRef;
}

/** For which repository a policy claims something. */
const claimantOf = ({ policy, ref }: Pick<ClaimedTarget, 'policy' | 'ref'>): string =>
  `${policy.name} ${ref.repository}`;

/** @returns what is claimed, as text; null: nothing of the kind */
function placeOf(kind: Kind, { target, file }: Pick<ClaimedTarget, 'target' | 'file'>): string | null {
  if (kind === 'target') return formatTarget(target);
  return file && `${file.gitops} ${file.path}`;
}

const fileOf = (delivery: Deployed['delivery']): GitopsFile | null =>
  delivery?.gitops ? { gitops: delivery.gitops, path: delivery.path } : null;

/** @returns by what is claimed, and then by policy and repository: the first claim, in the order of refs */
function byPlace(kind: Kind, claims: readonly ClaimedTarget[]): Map<string, Map<string, ClaimedTarget>> {
  const places = new Map<string, Map<string, ClaimedTarget>>();
  for (const claim of claims) {
    const place = placeOf(kind, claim);
    if (place === null) continue;
    const claimed = places.get(place) ?? new Map<string, ClaimedTarget>();
    const claimant = claimantOf(claim);
    if (!claimed.has(claimant)) places.set(place, claimed.set(claimant, claim));
  }
  return places;
}

/** @returns claims in the order of refs; one for all refs of a repository where it is the same */
function claimsOf(
  policies: PolicySet,
  refs: readonly KnownRef[],
  cards: ReadonlyMap<string, ModelCard | null>,
): ClaimedTarget[] {
  const claims: ClaimedTarget[] = [];
  const settled = new Set<string>();
  for (const ref of refs)
    for (const policy of matchPolicies(policies, ref)) {
      const claimant = claimantOf({ policy, ref });
      if (settled.has(claimant)) continue;
      const claim = claimAt(policy, ref, cards.get(refKey(ref)) ?? null);
      if (claim === null) continue;
      if (!namesRef(policy)) settled.add(claimant);
      claims.push(claim);
    }
  return claims;
}

/** Of all that templates know, this alone is not of the ref: `repository.name` and what starts like it. */
const OF_REPOSITORY = /^(?:repository|target)\.|^environment$/;

const namesRef = ({ target, delivery }: Policy): boolean =>
  [target.namespace, target.name, ...(delivery.gitops === null ? [] : [delivery.path])].some((template) =>
    [...variablesOf(template)].some((name) => !OF_REPOSITORY.test(name)),
  );

const cardOf = ({ inputs: { modelCard } }: Deployed): ModelCard | null =>
  'unavailable' in modelCard ? null : modelCard;

/** @returns null where the policy names no target: a template has no value for this ref */
function claimAt(policy: Policy, ref: KnownRef, card: ModelCard | null): ClaimedTarget | null {
  const values = valuesOf(policy, ref, card);
  const target = orNull(() => resolveTarget(policy, values));
  if (target === null) return null;
  const { gitops } = policy.delivery;
  const path = gitops && orNull(() => fillPath(policy, withTarget(values, target)));
  return { target, file: gitops && path ? { gitops, path } : null, policy, ref };
}

function orNull<Value>(make: () => Value): Value | null {
  try {
    return make();
  } catch (error) {
    if (error instanceof StalledError) return null;
    throw error;
  }
}
