/** What becomes of a deployed target, told from what is really there and what a revision of the policies renders. */
import { canonicalJson, isJsonObject, type JsonObject, valueAt } from './json.ts';
import type { Policy } from './policy.ts';
import type { Manifest } from './target-present.ts';

/**
 * What becomes of a target.
 * - `restarts`: its pods are replaced, for more than its scaling differs; or, in Knative mode, anything
 * - `inPlace`: only what replaces no pods, such as the bounds of its replicas
 * - `delivery`: the same manifest, committed or applied elsewhere or otherwise
 * - `moves`: another target is deployed; this one stays, and no policy owns it any more
 * - `released`: a rollout goes on that has waited for its suspended policy
 * - `orphaned`: it stays, and no policy owns it any more
 * - `owned`: a policy owns it again, which none did
 * - `fails`: its policy can no longer be planned or rendered
 */
export type Effect =
  | 'restarts'
  | 'inPlace'
  | 'delivery'
  | 'moves'
  | 'released'
  | 'orphaned'
  | 'owned'
  | 'fails';

/**
 * Whether the merge makes a rollout by itself: `now`; `suspended`, one that waits until its policy is no longer
 * suspended; `goesOn`, none, for one that has waited goes on by the new policies; `nextEvent`, none until the ref moves;
 * `keepsExisting`, none, for the policy makes new services only (`updateExisting: false`); `never`, for there is nothing
 * to deploy.
 */
export type Redeploys = 'now' | 'suspended' | 'goesOn' | 'nextEvent' | 'keepsExisting' | 'never';

/**
 * @param there what is deployed; null: that is not known
 * @param now what is to be deployed in its place
 * @returns what becomes of a target that stays where it is
 */
export function effectOn(
  there: Manifest | null,
  now: Manifest,
  isKnative: boolean,
): 'restarts' | 'inPlace' | 'delivery' {
  if (there?.text === now.text) return 'delivery';
  // What is there is not known well enough to say that it goes on.
  if (!there?.object || !now.object) return 'restarts';
  // Knative makes a new revision of whatever changes: KServe writes the bounds of the replicas into its template.
  return !isKnative && withoutScaling(there.object) === withoutScaling(now.object) ? 'inPlace' : 'restarts';
}

/** What KServe changes without new pods (specification section 6). */
const SCALING = /^(?:minReplicas|maxReplicas|scale)/;

/** More than the hash of the specification, which says nothing of what people have changed in a pull request. */
function withoutScaling(object: JsonObject): string {
  const predictor = valueAt(object, ['spec', 'predictor']);
  const spec = object['spec'];
  if (!isJsonObject(predictor) || !isJsonObject(spec)) return canonicalJson(object);
  const kept = Object.entries(predictor).filter(([field]) => !SCALING.test(field));
  return canonicalJson({ ...object, spec: { ...spec, predictor: Object.fromEntries(kept) } });
}

/**
 * @param policy that applies after the merge; undefined: none does
 * @param goesOn whether a rollout of it waits that is planned anew and delivered by itself
 */
export function redeploysFor(effect: Effect, policy: Policy | undefined, goesOn: boolean): Redeploys {
  if (!policy || effect === 'orphaned' || effect === 'owned' || effect === 'fails') return 'never';
  const isLater = policy.onPolicyChange === 'nextEvent';
  if (goesOn && (effect === 'released' || isLater)) return 'goesOn';
  if (isLater) return 'nextEvent';
  const isThere = effect === 'restarts' || effect === 'inPlace';
  if (isThere && !policy.updateExisting) return 'keepsExisting';
  return policy.suspend ? 'suspended' : 'now';
}
