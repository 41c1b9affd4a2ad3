/** What happens to each deployed target when the policies change. */
import type { Deployed } from './deployed.ts';
import type { StalledError } from './errors.ts';
import { buildInferenceService } from './inference-service.ts';
import { canonicalJson, type Json } from './json.ts';
import type { Plan } from './plan.ts';
import { type PolicyPlace, policyPlace } from './policy-differences.ts';
import { revisionOf } from './ref-event.ts';
import { formatTarget, type PlanSummary, type Target } from './rollout.ts';
import { type Claim, claimOn, inMode, isSameTarget, type Revision, render } from './target-claim.ts';
import { type Effect, effectOn, type Redeploys, redeploysFor } from './target-effects.ts';
import { type Delivery, isThere, type Manifest, NOTHING, type Present, presentOf } from './target-present.ts';

/** What one revision of the policies makes of a deployed ref. */
export interface TargetSide {
  policy: PolicyPlace;
  environment: string;
  /** Not always the one that is deployed. */
  target: Target;
  /** null: it cannot be planned */
  delivery: Delivery | null;
  /** YAML; null: it cannot be rendered */
  manifest: string | null;
  error: { reason: string; fix: string } | null;
}

export interface TargetChange {
  rolloutId: string;
  repository: string;
  ref: string;
  revision: string;
  sha: string;
  /** What is deployed. */
  target: Target;
  effect: Effect;
  redeploys: Redeploys;
  /** What the policies in force make of it, and what the others do; null: no policy applies. */
  before: TargetSide | null;
  after: TargetSide | null;
  /** Where it is delivered to now; null: nowhere, or that is not known. */
  delivered: Delivery | null;
  /** Whether what is there is not what the policies in force render: the rest goes with this change. */
  isBehind: boolean;
  /** Whether the rollout of this version still waits, so that another one, or none, is there. */
  waits: boolean;
  /** A unified diff of what is there and what would be; null: there is nothing to compare, or they are alike. */
  diff: string | null;
}

/** @returns a unified diff of two texts; null stands for a file that is not there */
export type Diff = (before: NamedText | null, after: NamedText) => string;

export interface NamedText {
  name: string;
  text: string;
}

/**
 * @param untouched the names of policies that mean the same in both revisions
 * @returns the targets that change, by name, and how many do not
 */
export function targetChanges(
  revisions: { before: Revision; after: Revision },
  untouched: (policy: string) => boolean,
  deployed: readonly Deployed[],
  diff: Diff,
): { targets: TargetChange[]; unchanged: number } {
  const { before, after } = revisions;
  const isSameCatalogue = canonicalJson(catalogueOf(before)) === canonicalJson(catalogueOf(after));
  const targets = deployed.flatMap((one) => {
    const former = claimOn(one, before);
    const isSettled =
      former !== null &&
      former.policy.name === one.policy &&
      untouched(one.policy) &&
      (isSameCatalogue || former.input.runtimes);
    if (isSettled) return [];
    return changeOf(one, former, claimOn(one, after), diff) ?? [];
  });
  targets.sort((left, right) => compare(keyOf(left), keyOf(right)));
  return { targets, unchanged: deployed.length - targets.length };
}

const keyOf = ({ target, rolloutId }: TargetChange): string => `${formatTarget(target)} ${rolloutId}`;
const compare = (left: string, right: string): number => (left < right ? -1 : left > right ? 1 : 0);
/** Where a runtime stands in the files makes no difference. */
const catalogueOf = ({ set }: Revision): Json =>
  set.runtimes.map(({ source: _, ...runtime }) => ({ ...(runtime as object) }));

function changeOf(deployed: Deployed, was: Claim | null, is: Claim | null, diff: Diff): TargetChange | null {
  const { rolloutId, repository, ref, sha, target, waits = false } = deployed;
  const claims = claimsOn(deployed, was, is);
  if (!claims.held && !claims.holds) return null;
  const isSame = isAlike(claims);
  const goesOn = willGoOn(deployed, is);
  const isReleased = isSame && goesOn && was?.policy.suspend === true;
  if (isSame && !isReleased) return null;
  const before = claims.before && sideOf(claims.before);
  const after = claims.after && sideOf(claims.after);
  // It could not be rendered before, and cannot be now: nothing changes.
  if (before && after && !before.manifest && !after.manifest) return null;
  const inForce = before ?? NOTHING;
  const there = presentOf(deployed, inForce);
  if (claims.held && claims.holds && isThere(there, after ?? NOTHING)) return null;
  const isFirst = deployed.manifest === null;
  const effect = effectOf(there, after, claims, isReleased || isFirst);
  const redeploys = redeploysFor(effect, is?.policy, goesOn);
  if (isFirst && !isTold(effect, redeploys)) return null;
  return {
    ...{ rolloutId, repository, ref, revision: revisionOf(ref, sha), sha, target, effect, redeploys },
    before: before?.side ?? null,
    after: after?.side ?? null,
    delivered: there.delivery,
    isBehind: isOther(there.manifest, inForce.manifest),
    waits,
    diff: diffOf(effect, target, there.manifest, after?.side, diff),
  };
}

/** What two revisions make of a target, and whether each of them still deploys it. */
interface Claims {
  held: boolean;
  holds: boolean;
  before: Claim | null;
  after: Claim | null;
}

function claimsOn({ target, mode, manifest }: Deployed, was: Claim | null, is: Claim | null): Claims {
  const held = was !== null && isSameTarget(was.target, target);
  const holds = is !== null && isSameTarget(is.target, target);
  // Nothing is there that could have one.
  const existing = manifest === null ? null : (mode ?? (held ? was : is)?.plan?.deploymentMode);
  const inPresentMode = (claim: Claim | null, isHere: boolean): Claim | null =>
    claim && isHere && existing ? inMode(claim, existing) : claim;
  return { held, holds, before: inPresentMode(was, held), after: inPresentMode(is, holds) };
}

/** @returns whether the rollout that waits goes on by itself, planned by these policies */
const willGoOn = ({ waits = false, policy }: Deployed, is: Claim | null): boolean =>
  waits && is?.policy.name === policy && !is.policy.suspend;

/** Where nothing is there, only what the merge lets go makes a difference. */
const isTold = (effect: Effect, redeploys: Redeploys): boolean =>
  effect !== 'orphaned' && redeploys !== 'suspended' && redeploys !== 'nextEvent';

const isOther = (one: Manifest | null, other: Manifest | null): boolean =>
  one !== null && other !== null && one.text !== other.text;

/** Compared without their texts, which take long to make: most plans are alike. */
function isAlike({ held, holds, before, after }: Claims): boolean {
  if (!held || !holds || !before?.plan || !after?.plan) return false;
  return essenceOf(before.plan) === essenceOf(after.plan);
}

const essenceOf = (plan: Plan): string => JSON.stringify([buildInferenceService(plan), deliveryOf(plan)]);

const deliveryOf = ({ gitops, path, via }: PlanSummary): Delivery => ({ gitops, path, via });

/** What a revision would put there. */
interface Rendered extends Present {
  side: TargetSide;
  isKnative: boolean;
}

function sideOf(claim: Claim): Rendered {
  const { policy, target, plan } = claim;
  const { manifest, object, error } = render(claim);
  const delivery = plan && deliveryOf(plan);
  const { environment } = policy;
  return {
    side: {
      ...{ policy: policyPlace(policy), environment, target, delivery, manifest },
      error: error && wordsOf(error),
    },
    manifest: manifest === null ? null : { text: manifest, object },
    delivery,
    isKnative: plan?.deploymentMode === 'Knative',
  };
}

const wordsOf = ({ reason, fix }: StalledError): { reason: string; fix: string } => ({ reason, fix });

/** @param isReleased whether all that happens is that a rollout goes on which has waited */
function effectOf(
  { manifest }: Present,
  after: Rendered | null,
  { held, holds }: Claims,
  isReleased: boolean,
): Effect {
  if (!held) return 'owned';
  if (after === null) return 'orphaned';
  if (after.manifest === null) return 'fails';
  if (!holds) return 'moves';
  return isReleased ? 'released' : effectOn(manifest, after.manifest, after.isKnative);
}

/** Those whose manifests are worth comparing. */
const COMPARED: readonly Effect[] = ['restarts', 'inPlace', 'moves', 'released'];

function diffOf(
  effect: Effect,
  target: Target,
  manifest: Manifest | null,
  after: TargetSide | undefined,
  diff: Diff,
): string | null {
  if (!after?.manifest || !COMPARED.includes(effect)) return null;
  const from = manifest && { name: `${formatTarget(target)} (now)`, text: manifest.text };
  return diff(from, { name: `${formatTarget(after.target)} (merged)`, text: after.manifest });
}
