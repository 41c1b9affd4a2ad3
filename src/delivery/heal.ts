/** What somebody has made of an InferenceService, in words. */
import { type ApplyConflictError, FIELD_MANAGER } from '../cluster/cluster.ts';
import { INTENT } from '../core/cluster-objects.ts';
import { SPEC_HASH } from '../core/inference-service.ts';
import { canonicalJson, isJsonObject, type Json, type JsonObject, valueAt } from '../core/json.ts';
import { listNames } from '../core/nearest.ts';

/** What a sentence can take. */
const NAMED = 3;

/** @returns each manager with the fields that it set, `kubectl-edit set spec.predictor.minReplicas`, one or more */
export function ownersIn({ fields }: ApplyConflictError, set: 'set' | 'had set'): string[] {
  const owners = Map.groupBy(fields, ({ manager }) => manager);
  return [...owners].map(
    ([manager, theirs]) =>
      `${manager} ${set} ${listNames(theirs.map(({ field }) => field.replace(/^\./, '')))}`,
  );
}

/**
 * Compares what is there with what an apply would make of it, where the manifest says something: what defaults and
 * webhooks add is nobody's change.
 * @returns a clause; null where nothing differs
 */
export function differenceIn(manifest: JsonObject, live: JsonObject, wouldBe: JsonObject): string | null {
  const paths = INTENT.flatMap((path) => differing(valueAt(manifest, path) ?? {}, live, wouldBe, path));
  if (paths.length === 0) return null;
  const isGone = paths.every((path) => valueAt(live, path) === undefined);
  const names = paths.map((path) => path.join('.'));
  const shown = names.slice(0, NAMED).join(', ');
  const more = names.length > NAMED ? ` and ${names.length - NAMED} more` : '';
  return `somebody had ${isGone ? 'removed' : 'changed'} ${shown}${more}`;
}

/** @returns where two objects differ, as deep as both have something there */
function differing(asked: Json, live: JsonObject, wouldBe: JsonObject, path: readonly string[]): string[][] {
  const [is, next] = [valueAt(live, path), valueAt(wouldBe, path)];
  if (isJsonObject(asked) && isJsonObject(is) && isJsonObject(next))
    return Object.entries(asked).flatMap(([key, below]) => differing(below, live, wouldBe, [...path, key]));
  return canonicalJson(is ?? null) === canonicalJson(next ?? null) ? [] : [[...path]];
}

const SPEC_HASH_PATH = ['spec', 'predictor', 'annotations', SPEC_HASH];

/**
 * @returns whether modelhook itself has applied another version there since: `modelhook deploy`, or another controller.
 *   Whoever else changes the hash takes that field from our field manager.
 */
export function isOtherVersion(manifest: JsonObject, live: JsonObject): boolean {
  const hash = valueAt(live, SPEC_HASH_PATH);
  return hash !== undefined && hash !== valueAt(manifest, SPEC_HASH_PATH) && isOurs(live, SPEC_HASH_PATH);
}

function isOurs(live: JsonObject, path: readonly string[]): boolean {
  const managers = valueAt(live, ['metadata', 'managedFields']);
  return (Array.isArray(managers) ? managers : []).some(
    (each) =>
      valueAt(each, ['manager']) === FIELD_MANAGER &&
      valueAt(each, ['operation']) === 'Apply' &&
      covers(valueAt(each, ['fieldsV1']), path),
  );
}

/** Source: FieldsV1 of apimachinery, a tree of `f:<name>`; what is owned as a whole is empty. */
function covers(fields: Json | undefined, [key, ...below]: readonly string[]): boolean {
  const field = valueAt(fields ?? null, [`f:${key}`]);
  if (!isJsonObject(field)) return false;
  return Object.keys(field).length === 0 || covers(field, below);
}
