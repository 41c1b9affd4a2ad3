/** A cluster in memory that applies as an API server does: with field managers, conflicts, dry runs and admission. */
import { randomUUID } from 'node:crypto';
import {
  ApplyConflictError,
  type ClusterApplier,
  ClusterUnavailableError,
  type ObjectPlace,
  ObjectReplacedError,
} from '../cluster/cluster.ts';
import { canonicalJson, isJsonObject, type Json, type JsonObject, mergeJson, valueAt } from '../core/json.ts';
import { toYaml } from '../core/yaml-text.ts';

interface Stored {
  object: JsonObject;
  /** Which fields each manager has set. */
  owned: Map<string, Set<string>>;
}

export interface FakeCluster extends ClusterApplier {
  /** What was asked for, in order: `get`, `dry run`, `apply` or `remove`, and the name. */
  calls: string[];
  namespaces: Set<string>;
  /** What webhooks make of an object; they refuse it by throwing. */
  admit: (object: JsonObject) => JsonObject;
  /** Called before anything is done: what it throws is the answer. */
  before: (call: string) => Promise<void>;
  /** Applies as somebody else, who takes what he wants. */
  applyAs(manager: string, object: JsonObject): void;
  /** Sets fields that nobody applies, such as the status. */
  touch(place: ObjectPlace, fields: JsonObject): void;
  live(place: ObjectPlace): JsonObject | null;
}

export function createFakeCluster(): FakeCluster {
  const objects = new Map<string, Stored>();
  const keyOf = ({ namespace, name }: ObjectPlace): string => `${namespace}/${name}`;

  /** @returns what an apply would leave there */
  function merge(manager: string, wanted: JsonObject, force: boolean): Stored {
    const key = keyOf(placeOf(wanted));
    const before: Stored = objects.get(key) ?? { object: identified(wanted), owned: new Map() };
    const owned = new Map([...before.owned].map(([who, fields]) => [who, new Set(fields)]));
    const fields = leavesOf(wanted);
    const mine = owned.get(manager) ?? new Set();
    const conflicts = [...owned].flatMap(([who, theirs]) =>
      who === manager
        ? []
        : [...fields].flatMap(([field, value]) => {
            if (!theirs.has(field) || isEqual(valueAt(before.object, pathOf(field)), value)) return [];
            if (force) theirs.delete(field);
            return [{ manager: who, field: `.${pathOf(field).join('.')}` }];
          }),
    );
    if (conflicts.length > 0 && !force)
      throw new ApplyConflictError(`${key} has fields of others`, conflicts);
    owned.set(manager, new Set(fields.keys()));
    const given = [...mine].filter((field) => ![...owned.values()].some((all) => all.has(field)));
    const without = given.reduce((object, field) => withoutField(object, pathOf(field)), before.object);
    return { object: cluster.admit(mergeOver(without, wanted)), owned };
  }

  const cluster: FakeCluster = {
    calls: [],
    namespaces: new Set(['models']),
    admit: (object) => object,
    before: async () => {},
    applyAs(manager, object) {
      objects.set(keyOf(placeOf(object)), merge(manager, object, true));
    },
    touch(place, fields) {
      const stored = objects.get(keyOf(place));
      if (stored) stored.object = mergeJson(stored.object, fields);
    },
    live: (place) => objects.get(keyOf(place))?.object ?? null,
    async get(place) {
      await note(`get ${place.name}`);
      const stored = objects.get(keyOf(place));
      return stored ? asSent(stored) : null;
    },
    async apply(object, { dryRun, force }) {
      const place = placeOf(object);
      await note(`${dryRun ? 'dry run' : 'apply'} ${place.name}`);
      if (!cluster.namespaces.has(place.namespace))
        throw new ClusterUnavailableError('cluster prod', {
          kind: 'namespace',
          what: `has no namespace ${place.namespace}`,
          detail: null,
          fix: 'make it',
          retryAfter: null,
        });
      const uid = valueAt(object, ['metadata', 'uid']);
      if (uid !== undefined && uid !== valueAt(cluster.live(place) ?? {}, ['metadata', 'uid']))
        throw new ObjectReplacedError(`${keyOf(place)} is another one`);
      const stored = merge('modelhook', object, force);
      if (!dryRun) objects.set(keyOf(place), stored);
      return asSent(stored);
    },
    async remove(place, uid) {
      await note(`remove ${place.name}`);
      const live = cluster.live(place);
      if (live === null) return 'absent';
      if (valueAt(live, ['metadata', 'uid']) !== uid) return 'other';
      objects.delete(keyOf(place));
      return 'removed';
    },
  };
  const note = (call: string): Promise<void> => {
    cluster.calls.push(call);
    return cluster.before(call);
  };
  return cluster;
}

/** @returns the object as its manifest was, without what the API server keeps */
export function manifestIn(live: JsonObject | null): string | null {
  if (live === null) return null;
  const { apiVersion = '', kind = '', spec = {} } = live;
  const {
    namespace = '',
    name = '',
    labels = {},
    annotations = {},
  } = isJsonObject(live['metadata']) ? live['metadata'] : {};
  return toYaml({ apiVersion, kind, metadata: { name, namespace, labels, annotations }, spec });
}

const placeOf = (object: JsonObject): ObjectPlace => ({
  namespace: String(valueAt(object, ['metadata', 'namespace'])),
  name: String(valueAt(object, ['metadata', 'name'])),
});

const identified = (object: JsonObject): JsonObject => {
  const { namespace, name } = placeOf(object);
  const { apiVersion = '', kind = '' } = object;
  return { apiVersion, kind, metadata: { namespace, name, uid: randomUUID() } };
};

const isEqual = (one: Json | undefined, other: Json): boolean =>
  one !== undefined && canonicalJson(one) === canonicalJson(other);

const pathOf = (field: string): string[] => JSON.parse(field);

/** Lists are one field each. Whatever names the object is nobody's. */
function leavesOf(object: JsonObject): Map<string, Json> {
  const leaves = new Map<string, Json>();
  const walk = (value: Json, path: readonly string[]): void => {
    if (isJsonObject(value)) for (const [key, below] of Object.entries(value)) walk(below, [...path, key]);
    else leaves.set(JSON.stringify(path), value);
  };
  const { labels = {}, annotations = {} } = isJsonObject(object['metadata']) ? object['metadata'] : {};
  walk({ metadata: { labels, annotations }, spec: object['spec'] ?? {} }, []);
  return leaves;
}

/** With what an API server tells of managers: one tree for each. */
const asSent = ({ object, owned }: Stored): JsonObject => {
  const managedFields = [...owned].map(([manager, fields]) => ({
    ...{ manager, operation: 'Apply' },
    fieldsV1: [...fields].map(treeOf).reduce(mergeJson, {}),
  }));
  return mergeJson(object, { metadata: { managedFields } });
};

const treeOf = (field: string): JsonObject =>
  pathOf(field).reduceRight<JsonObject>((below, key) => ({ [`f:${key}`]: below }), {});

function withoutField(object: JsonObject, [key = '', ...below]: readonly string[]): JsonObject {
  const { [key]: value, ...others } = object;
  if (!isJsonObject(value) || below.length === 0) return others;
  return { ...others, [key]: withoutField(value, below) };
}

/** Unlike {@link mergeJson}, a list takes the place of a list. */
function mergeOver(base: JsonObject, over: JsonObject): JsonObject {
  const merged = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const below = merged[key];
    merged[key] = isJsonObject(below) && isJsonObject(value) ? mergeOver(below, value) : value;
  }
  return merged;
}
