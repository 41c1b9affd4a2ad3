/** Plain data, as YAML and JSON documents hold it. */
export type Json = null | boolean | number | string | Json[] | JsonObject;
export interface JsonObject {
  [key: string]: Json;
}

export const isJsonObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** @returns null where the text is no JSON */
export function parseJson(text: string): Json {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** @returns a copy with all keys, at every depth, in code unit order: the one form equal data has */
export function sortKeys(value: Json): Json {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((key) => [key, sortKeys(value[key] ?? null)]),
  );
}

/** @returns JSON that is equal for equal data, whatever the order of its keys was */
export const canonicalJson = (value: Json): string => JSON.stringify(sortKeys(value));

/**
 * Lays one object over another.
 * @returns maps merged at every depth, lists joined (base first), everything else from `over`
 */
export function mergeJson(base: JsonObject, over: JsonObject): JsonObject {
  const merged: JsonObject = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const below = merged[key];
    if (isJsonObject(below) && isJsonObject(value)) merged[key] = mergeJson(below, value);
    else if (Array.isArray(below) && Array.isArray(value)) merged[key] = [...below, ...value];
    else merged[key] = value;
  }
  return merged;
}

/** @returns what stands at a path of keys; undefined where there is nothing. Inherited names are nothing too. */
export function valueAt(value: Json | undefined, path: readonly string[]): Json | undefined {
  return path.reduce<Json | undefined>(
    (at, key) => (isJsonObject(at) && Object.hasOwn(at, key) ? at[key] : undefined),
    value,
  );
}

/** @returns a copy without the fields that are null, at every depth: to Kubernetes they are not there */
export function withoutNulls(object: JsonObject): JsonObject {
  return Object.fromEntries(
    Object.entries(object).flatMap(([key, value]) => (value === null ? [] : [[key, dropNulls(value)]])),
  );
}

/** A null in a list is an item of it, and stays. */
function dropNulls(value: Json): Json {
  if (Array.isArray(value)) return value.map(dropNulls);
  return isJsonObject(value) ? withoutNulls(value) : value;
}
