/** Events, few enough of them: the newest about each object that is known, and some that came before their object. */
import { isDeepStrictEqual } from 'node:util';
import type { EventView } from '../core/cluster-views.ts';

export interface EventShelf {
  /** @returns whether it is kept, and tells something new */
  put(event: EventView): boolean;
  /** @returns the uid of the object it was about; null where it was not kept */
  drop(key: string): string | null;
  /** Drops what is about an object. */
  forget(uid: string): void;
  /** @returns events about these objects, those that happened last at the end */
  about(uids: readonly string[]): EventView[];
  keys(): string[];
}

/** About one object. A reason repeated for another container of a pod is another event. */
const MOST_OF_ONE = 24;
/** Objects that events are about and that are not known: another watch may bring them in a moment. */
const MOST_STRANGERS = 500;

/** @param isKnown whether there is an object with a uid */
export function createEventShelf(isKnown: (uid: string) => boolean): EventShelf {
  /** By what they are about, then by namespace and name; those that came last at the end. */
  const shelf = new Map<string, Map<string, EventView>>();
  /** By namespace and name: what they are about. */
  const subjects = new Map<string, string>();
  /** Whom nobody knew when their first event came. */
  const strangers = new Set<string>();

  function forget(uid: string): void {
    for (const key of shelf.get(uid)?.keys() ?? []) subjects.delete(key);
    shelf.delete(uid);
    strangers.delete(uid);
  }

  function admit(uid: string): void {
    if (isKnown(uid)) {
      strangers.delete(uid);
      return;
    }
    strangers.add(uid);
    if (strangers.size <= MOST_STRANGERS) return;
    for (const stranger of strangers) {
      if (strangers.size <= MOST_STRANGERS) break;
      if (isKnown(stranger)) strangers.delete(stranger);
      else forget(stranger);
    }
  }

  return {
    put: (event) => {
      const uid = event.regarding.uid;
      if (uid === '') return false;
      const key = `${event.namespace}/${event.name}`;
      const events = shelf.get(uid) ?? new Map<string, EventView>();
      if (isDeepStrictEqual(events.get(key), event)) return false;
      shelf.set(uid, events);
      events.delete(key);
      events.set(key, event);
      subjects.set(key, uid);
      if (events.size > MOST_OF_ONE) {
        const dropped = leastTelling(events);
        events.delete(dropped);
        subjects.delete(dropped);
      }
      admit(uid);
      return shelf.has(uid);
    },
    drop: (key) => {
      const uid = subjects.get(key);
      if (uid === undefined) return null;
      subjects.delete(key);
      const events = shelf.get(uid);
      events?.delete(key);
      if (events?.size === 0) forget(uid);
      return uid;
    },
    forget,
    about: (uids) =>
      uids
        .flatMap((uid) => [...(shelf.get(uid)?.values() ?? [])])
        .sort((left, right) => (left.lastAt ?? 0) - (right.lastAt ?? 0)),
    keys: () => [...subjects.keys()],
  };
}

/** @returns the oldest whose reason has a newer one; where each is the only one of its reason, the oldest */
function leastTelling(events: ReadonlyMap<string, EventView>): string {
  const counts = new Map<string, number>();
  for (const { reason } of events.values()) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  const repeated = [...events].find(([, { reason }]) => (counts.get(reason) ?? 0) > 1);
  return (repeated ?? [...events][0])?.[0] ?? '';
}
