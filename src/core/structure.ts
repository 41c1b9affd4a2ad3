/** Whether an InferenceService, or a part of one, has the fields and types that KServe's CRD gives it. */
import type { Json, JsonObject } from './json.ts';
import { suggestion } from './nearest.ts';
import { shown } from './schema-faults.ts';
import { MAX_FAULTS, MORE_FAULTS, type Path } from './yaml-source.ts';

/**
 * What a CRD lets an InferenceService hold, without the words, defaults, patterns and bounds of its schema
 * (`reduceCrd` of crd.ts makes it). Nodes refer to each other by their index in `nodes`, so that what occurs often,
 * such as a container, is there once. `root` is the index of the InferenceService itself.
 */
export interface Structure {
  nodes: readonly StructureNode[];
  root: number;
}

/**
 * What may stand at one place. `object` knows the names of its fields, `map` takes any name, and below `any` nothing
 * is checked. `int-or-string` holds ports, percentages and Kubernetes quantities.
 */
export type StructureNode =
  | { type: 'object'; fields: Readonly<Record<string, number>>; required?: readonly string[] }
  | { type: 'map'; values: number }
  | { type: 'array'; items: number }
  | { type: 'string'; enum?: readonly string[] }
  | { type: 'boolean' | 'integer' | 'number' | 'int-or-string' | 'any' };

/** One thing the API server would refuse or silently drop. */
export interface StructureFault {
  /** Where it is, relative to the value that was checked. */
  path: Path;
  message: string;
  /** The key that the path ends with is wrong, not its value. */
  atKey: boolean;
}

/**
 * Checks a value against what may stand at its place. Of an unknown field only the name is a fault, not what it holds.
 * A null field is no fault: the API server drops it before it validates. It keeps a null in a list, and refuses it.
 * Source: PruneNonNullableNullsWithoutDefaults of Kubernetes' apiextensions-apiserver.
 * @param at where the value belongs in an InferenceService: `[]` the whole, `['spec', 'predictor']` fields of the
 *   pod. A value that belongs below the whole is a part that others complete, so nothing is required at its top.
 * @returns the first 100 faults, in the order of the value, and that there are more; throws where the structure has no
 *   such place
 */
export function checkStructure(structure: Structure, value: Json, at: readonly string[]): StructureFault[] {
  const node = nodeAt(structure, at);
  if (node === null) throw new Error(`an InferenceService of this CRD has no ${at.join('.')}`);
  const check: Check = { structure, at, faults: [] };
  const isPart = at.length > 0;
  if (!isPart || value !== null) checkNode(check, isPart ? withoutRequired(node) : node, value, []);
  if (!isFull(check)) return check.faults;
  return [...check.faults.slice(0, MAX_FAULTS), { path: [], message: MORE_FAULTS, atKey: false }];
}

/** @returns what may stand at a place; null where the structure has no such place */
export function nodeAt(structure: Structure, at: readonly string[]): StructureNode | null {
  let node = structure.nodes[structure.root];
  for (const name of at) {
    if (node?.type === 'any') return node;
    node = node?.type === 'object' ? fieldOf(structure, node.fields, name) : undefined;
  }
  return node ?? null;
}

interface Check {
  structure: Structure;
  at: readonly string[];
  faults: StructureFault[];
}
/** One more than is told says that there are more. */
const isFull = ({ faults }: Check): boolean => faults.length > MAX_FAULTS;
type ObjectNode = Extract<StructureNode, { type: 'object' }>;

/** Names come from outside, and `constructor` is none of the fields. */
const fieldOf = (structure: Structure, fields: ObjectNode['fields'], name: string) =>
  Object.hasOwn(fields, name) ? structure.nodes[fields[name] ?? -1] : undefined;

const withoutRequired = (node: StructureNode): StructureNode =>
  node.type === 'object' ? { type: 'object', fields: node.fields } : node;

function checkNode(check: Check, node: StructureNode | undefined, value: Json, path: Path): void {
  if (node === undefined || node.type === 'any' || isFull(check)) return;
  if (!accepts(node, value)) report(check, path, typeFault(node, value));
  else if (Array.isArray(value)) {
    const items = node.type === 'array' ? check.structure.nodes[node.items] : undefined;
    for (const [index, item] of value.entries()) checkNode(check, items, item, [...path, index]);
  } else if (typeof value === 'object' && value !== null) {
    if (node.type === 'object') checkFields(check, node, value, path);
    else if (node.type === 'map') checkValues(check, check.structure.nodes[node.values], value, path);
  }
}

function checkFields(check: Check, node: ObjectNode, value: JsonObject, path: Path): void {
  const unknown: string[] = [];
  for (const [key, item] of Object.entries(value)) {
    if (isFull(check)) return;
    const field = fieldOf(check.structure, node.fields, key);
    if (field === undefined) {
      const message = `unknown field "${key}"${hintFor(check, node, key, path)}`;
      check.faults.push({ path: [...path, key], message, atKey: true });
      unknown.push(key);
    } else if (item !== null) checkNode(check, field, item, [...path, key]);
  }
  for (const name of node.required ?? []) {
    const isGiven = Object.hasOwn(value, name) && value[name] !== null;
    // A required field that is misspelt is one mistake, so it is told once.
    const isMisspelt = () => unknown.some((key) => suggestion(key, [name]) !== '');
    if (!isGiven && !isMisspelt()) report(check, path, `the field "${name}" is required`);
  }
}

function checkValues(check: Check, node: StructureNode | undefined, value: JsonObject, path: Path): void {
  for (const [key, item] of Object.entries(value))
    if (item !== null) checkNode(check, node, item, [...path, key]);
}

const report = (check: Check, path: Path, message: string): void => {
  check.faults.push({ path, message, atKey: false });
};

/**
 * Two places whose fields are mistaken for one another. A name that is right at the other place says more than one
 * that is near: `readinessProbe` in the pod is the container's, and not `readinessGates`.
 */
const NEIGHBOURS: Readonly<Record<string, { at: readonly string[]; title: string }>> = {
  'spec.predictor': { at: ['spec', 'predictor', 'model'], title: 'container' },
  'spec.predictor.model': { at: ['spec', 'predictor'], title: 'pod' },
};

const hintFor = (check: Check, node: ObjectNode, key: string, path: Path): string =>
  otherPlace(check, key, path) || suggestion(key, Object.keys(node.fields));

/** @returns where a field belongs that is known next to the place it stands at */
function otherPlace(check: Check, key: string, path: Path): string {
  const place = NEIGHBOURS[[...check.at, ...path].join('.')];
  const node = place === undefined ? null : nodeAt(check.structure, place.at);
  return node?.type === 'object' && Object.hasOwn(node.fields, key)
    ? `; it is a field of the ${place?.title}`
    : '';
}

function accepts(node: StructureNode, value: Json): boolean {
  switch (node.type) {
    case 'string':
      return typeof value === 'string' && (node.enum?.includes(value) ?? true);
    case 'integer':
      return Number.isInteger(value);
    case 'int-or-string':
      return typeof value === 'string' || Number.isInteger(value);
    case 'array':
      return Array.isArray(value);
    case 'object':
    case 'map':
      return typeof value === 'object' && value !== null && !Array.isArray(value);
    default:
      return node.type === 'any' || typeof value === node.type;
  }
}

const TYPES: Record<StructureNode['type'], string> = {
  object: 'a map',
  map: 'a map',
  array: 'a list',
  string: 'text',
  boolean: 'true or false',
  integer: 'a whole number',
  number: 'a number',
  'int-or-string': 'text or a whole number',
  any: 'anything',
};

function typeFault(node: StructureNode, value: Json): string {
  if (node.type === 'string' && node.enum !== undefined) {
    const expected = `${node.enum.length > 1 ? 'one of ' : ''}${node.enum.join(', ')}`;
    return `expected ${expected}, got ${shown(value)}${typeof value === 'string' ? suggestion(value, node.enum) : ''}`;
  }
  const quotable = node.type === 'string' || node.type === 'int-or-string';
  const quotes = quotable && /^(?:number|boolean)$/.test(typeof value) ? '; put it in quotes' : '';
  return `expected ${TYPES[node.type]}, got ${shown(value)}${quotes}`;
}
