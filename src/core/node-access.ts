/** What `pod` and `container` may hold that gives away the node, and other things to be found at any depth in them. */
import { isJsonObject, type Json } from './json.ts';
import type { Path } from './yaml-source.ts';

/** What a bound can allow of it, by the field that asks for it. */
export const NODE_ACCESS = [
  'hostPath',
  'hostNetwork',
  'hostPID',
  'hostIPC',
  'privileged',
  'capabilities',
] as const;
export type NodeAccess = (typeof NODE_ACCESS)[number];

/** One field of a map, with the path that leads to it. */
export interface Field {
  path: Path;
  name: string;
  /** The name of the map it stands in; empty for one at the top, and for those in a list. */
  parent: string;
  value: Json;
}

/** @returns every field at every depth, but those that are null: to Kubernetes they are not there */
export function* fieldsOf(value: Json, path: Path = []): Generator<Field> {
  if (Array.isArray(value)) {
    for (const [at, item] of value.entries()) yield* fieldsOf(item, [...path, at]);
    return;
  }
  if (!isJsonObject(value)) return;
  const parent = typeof path.at(-1) === 'string' ? String(path.at(-1)) : '';
  for (const [name, below] of Object.entries(value)) {
    if (below === null) continue;
    const at = [...path, name];
    yield { path: at, name, parent, value: below };
    yield* fieldsOf(below, at);
  }
}

/**
 * Of the Baseline Pod Security Standard that part which keeps a pod from its node
 * (https://kubernetes.io/docs/concepts/security/pod-security-standards/); capabilities are stricter, for none may be added.
 * Fields count wherever they stand: in containers of any kind, in the pod, and in those of KServe's workers.
 * @returns what the field gives a pod of its node; null: nothing
 */
export function nodeAccessOf({ name, parent, value }: Field): NodeAccess | null {
  switch (name) {
    case 'hostNetwork':
    case 'hostPID':
    case 'hostIPC':
    case 'privileged':
      return value === true ? name : null;
    case 'hostPath':
      return isJsonObject(value) ? name : null;
    case 'hostPort':
      return typeof value === 'number' && value !== 0 ? 'hostNetwork' : null;
    // A container of Windows that is a process of the node.
    case 'hostProcess':
      return value === true ? 'privileged' : null;
    case 'procMount':
      return value === 'Unmasked' ? 'privileged' : null;
    case 'add':
      return parent === 'capabilities' && Array.isArray(value) && value.length > 0 ? 'capabilities' : null;
    default:
      return null;
  }
}
