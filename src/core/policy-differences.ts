/** Which policies two revisions of the config repository have in common, and what of a policy differs. */
import { canonicalJson, isJsonObject, type Json, type JsonObject } from './json.ts';
import type { Policy, PolicySet } from './policy.ts';

/** A policy, and where it is defined. Lines and columns count from 1. */
export interface PolicyPlace {
  name: string;
  file: string;
  line: number;
  column: number;
}

export interface AddedPolicy extends PolicyPlace {
  /**
   * Where its manifests go: `gitops` null: they are applied; `path` null: to the default one. `adopt`: what something else
   * made is taken over.
   */
  delivery: { gitops: string | null; path: string | null; adopt: boolean };
}

export interface ChangedPolicy extends PolicyPlace {
  /** What of its meaning differs, by field below `spec`: `replicas.max`. `gpu`: its values, also those of its profile. */
  fields: string[];
}

/** Policies by name; a policy that has another name is another policy. */
export interface PolicyDifferences {
  added: AddedPolicy[];
  changed: ChangedPolicy[];
  removed: PolicyPlace[];
}

/** @returns what policies differ in more than where they are written */
export function policyDifferences(before: PolicySet, after: PolicySet): PolicyDifferences {
  const formerly = policiesByName(before);
  const now = policiesByName(after);
  const differences: PolicyDifferences = { added: [], changed: [], removed: [] };
  for (const policy of now.values()) {
    const former = formerly.get(policy.name);
    const fields = former === undefined ? [] : differingFields(former, policy);
    if (former === undefined) differences.added.push(addedPolicy(policy));
    else if (fields.length > 0) differences.changed.push({ ...policyPlace(policy), fields });
  }
  for (const policy of formerly.values())
    if (!now.has(policy.name)) differences.removed.push(policyPlace(policy));
  return differences;
}

/** @returns the names of policies that are new, gone, or have a difference in one of some fields */
export const namesOfOther = (
  fields: readonly string[],
  { added, changed, removed }: PolicyDifferences,
): Set<string> =>
  new Set(
    [
      ...added,
      ...removed,
      ...changed.filter((one) => one.fields.some((field) => fields.includes(field.split('.')[0] ?? ''))),
    ].map(({ name }) => name),
  );

/** @returns the set with those of some names only */
export const pickPolicies = (set: PolicySet, names: ReadonlySet<string>): PolicySet => ({
  ...set,
  policies: set.policies.filter(({ name }) => names.has(name)),
});

export const policiesByName = ({ policies }: PolicySet): Map<string, Policy> =>
  new Map(policies.map((policy) => [policy.name, policy]));

export const policyPlace = ({ name, source: { file, line, column } }: Policy): PolicyPlace => ({
  name,
  file,
  line,
  column,
});

const addedPolicy = (policy: Policy): AddedPolicy => {
  const { gitops, path, adopt } = policy.delivery;
  const isCustom = gitops !== null && !policy.defaulted.has('delivery.path');
  return { ...policyPlace(policy), delivery: { gitops, path: isCustom ? path : null, adopt } };
};

function differingFields(before: Policy, after: Policy): string[] {
  const former = meaningOf(before);
  return Object.entries(meaningOf(after)).flatMap(([field, value]) =>
    differencesAt(field, former[field] ?? null, value),
  );
}

/** Neither where a policy stands nor whether a default was written out is part of it; the order of patterns is not. */
function meaningOf(policy: Policy): JsonObject {
  const { name: _, source: __, defaulted: ___, ...meaning } = policy;
  const { match, resources, bound } = policy;
  const patterns = Object.fromEntries(
    Object.entries(match).map(([field, list]) => [field, list.patterns.toSorted()]),
  );
  // The GPU's stand among them, and are told of as the GPU.
  const own = Object.entries(resources.limits).filter(([key, value]) => policy.gpu?.resources[key] !== value);
  // All of it is plain data.
  return {
    ...(meaning as object),
    match: patterns,
    // Both revisions have those of one modelhook.yaml, where a directory has one.
    bound: bound?.directory ?? null,
    resources: { ...resources, limits: Object.fromEntries(own) },
  };
}

/** One level below a field is told apart, but of a GPU the whole: a policy names its profile in one word. */
function differencesAt(field: string, before: Json, after: Json): string[] {
  if (isSame(before, after)) return [];
  if (field === 'gpu' || !isJsonObject(before) || !isJsonObject(after)) return [field];
  return [...new Set([...Object.keys(before), ...Object.keys(after)])]
    .filter((key) => !isSame(before[key] ?? null, after[key] ?? null))
    .map((key) => `${field}.${key}`);
}

const isSame = (one: Json, other: Json): boolean =>
  one === other || (typeof one === 'object' && canonicalJson(one) === canonicalJson(other));
