/** What is known of the objects of a cluster, as projections, by the InferenceService they belong to. */
import { isDeepStrictEqual } from 'node:util';
import { collectSeen, projectObject } from '../core/cluster-objects.ts';
import type { ClusterKind, ClusterObject, Seen } from '../core/cluster-views.ts';
import type { JsonObject } from '../core/json.ts';
import { createEventShelf } from './event-shelf.ts';
import { keyOf } from './list-watch.ts';

export interface ObjectShelf {
  put(kind: ClusterKind, raw: JsonObject): void;
  drop(kind: ClusterKind, raw: JsonObject): void;
  /** @param namespace the one that was listed; null: all */
  keepOnly(kind: ClusterKind, namespace: string | null, keys: ReadonlySet<string>): void;
  seen(service: string, namespace: string, phase: Seen['namespace']): Seen;
}

/** @param changed called with the service whose objects or events have changed */
export function createObjectShelf(changed: (namespace: string, service: string) => void): ObjectShelf {
  /** By kind, then by namespace and name. */
  const known = new Map<ClusterKind, Map<string, ClusterObject>>();
  /** By namespace and service. */
  const families = new Map<string, Set<ClusterObject>>();
  /** By uid: whose object it is. */
  const owners = new Map<string, ClusterObject>();
  const events = createEventShelf((uid) => owners.has(uid));

  const ofKind = (kind: ClusterKind): Map<string, ClusterObject> => {
    const objects = known.get(kind) ?? new Map<string, ClusterObject>();
    known.set(kind, objects);
    return objects;
  };

  function tell(object: ClusterObject | undefined): void {
    if (object?.service) changed(object.namespace, object.service);
  }

  function remove(kind: ClusterKind, key: string): void {
    const object = ofKind(kind).get(key);
    if (object === undefined) return;
    ofKind(kind).delete(key);
    leave(object);
    events.forget(object.uid);
    tell(object);
  }

  function leave(object: ClusterObject): void {
    const family = families.get(familyOf(object));
    family?.delete(object);
    if (family?.size === 0) families.delete(familyOf(object));
    if (owners.get(object.uid) === object) owners.delete(object.uid);
  }

  function put(object: ClusterObject): void {
    const objects = ofKind(object.kind);
    const key = `${object.namespace}/${object.name}`;
    const before = objects.get(key);
    // Many changes of an object are none of what counts.
    if (before !== undefined && isDeepStrictEqual(before, object)) return;
    if (before !== undefined) leave(before);
    if (before !== undefined && before.uid !== object.uid) events.forget(before.uid);
    objects.set(key, object);
    owners.set(object.uid, object);
    const family = families.get(familyOf(object)) ?? new Set();
    families.set(familyOf(object), family.add(object));
    if (before?.service !== object.service) tell(before);
    tell(object);
  }

  return {
    put: (kind, raw) => {
      const object = projectObject(kind, raw);
      if (object === null) return;
      if (object.kind !== 'Event') put(object);
      else if (events.put(object)) tell(owners.get(object.regarding.uid));
    },
    drop: (kind, raw) => {
      if (kind === 'Event') tell(owners.get(events.drop(keyOf(raw)) ?? ''));
      else remove(kind, keyOf(raw));
    },
    keepOnly: (kind, namespace, keys) => {
      const gone = (key: string) => !keys.has(key) && (namespace === null || key.startsWith(`${namespace}/`));
      if (kind === 'Event') for (const key of events.keys().filter(gone)) events.drop(key);
      else for (const key of [...ofKind(kind).keys()].filter(gone)) remove(kind, key);
    },
    seen: (service, namespace, phase) => {
      const family = [...(families.get(`${namespace}/${service}`) ?? [])];
      return collectSeen(service, [...family, ...events.about(family.map(({ uid }) => uid))], phase);
    },
  };
}

const familyOf = ({ namespace, service }: ClusterObject): string => `${namespace}/${service ?? ''}`;
