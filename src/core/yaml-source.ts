/**
 * YAML from outside, read so that nothing in it can hurt: bounded in size, depth and aliases, plain data only, and
 * every value with its place in the file.
 */
import {
  type Alias,
  type Document,
  isAlias,
  isCollection,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseAllDocuments,
  type Scalar,
  type YAMLError,
  type YAMLMap,
} from 'yaml';
import type { Fault } from './errors.ts';
import type { Json } from './json.ts';

/** The largest file that is read: 1 MiB. */
export const MAX_YAML_BYTES = 1024 * 1024;
const MAX_DEPTH = 64;
const MAX_ALIASES = 100;
/** A file, or a document of one, with as many faults is not what it is taken for. */
export const MAX_FAULTS = 100;
/** What is said once in place of all further ones. */
export const MORE_FAULTS = `only the first ${MAX_FAULTS} are listed; correct these and look again`;

export type Path = readonly (string | number)[];
export interface Position {
  line: number;
  column: number;
}

/** One document of a file, as plain data, and where each part of it stands. */
export interface YamlDocument {
  value: Json;
  /** Where the value at a path stands; the nearest part above it where it does not exist. */
  at(path: Path): Position;
  /** Where the key stands that the path ends with. */
  atKey(path: Path): Position;
  /** Where the text `needle` stands for the n-th time (from 0) inside the string at a path. */
  atText(path: Path, needle: string, n: number): Position;
}

/**
 * Reads every document of a file.
 * @param file its name, for the faults
 * @returns the documents, and everything that is wrong with the text; never throws
 */
export function readYaml(file: string, text: string): { documents: YamlDocument[]; faults: Fault[] } {
  const lines = new LineCounter();
  const place = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const fault = (position: Position, message: string): Fault => ({ file, ...position, message });
  const first: Position = { line: 1, column: 1 };

  if (isOverLimit(text))
    return {
      documents: [],
      faults: [fault(first, 'the file is larger than 1 MiB; split it into several files')],
    };
  const nul = text.indexOf('\0');
  if (nul >= 0) {
    const before = text.slice(0, nul).split('\n');
    const position = { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
    return { documents: [], faults: [fault(position, 'the file holds a NUL byte; it is not a text file')] };
  }
  try {
    // Unique keys are checked below: the library compares each key with every other.
    const parsed = parseAllDocuments(text, {
      lineCounter: lines,
      prettyErrors: false,
      uniqueKeys: false,
      version: '1.2',
      schema: 'core',
      resolveKnownTags: false,
      logLevel: 'silent',
    });
    const documents: YamlDocument[] = [];
    const faults: Fault[] = [];
    for (const document of Array.isArray(parsed) ? parsed : []) {
      const { findings, targets } = inspect(document);
      if (findings.length === 0) documents.push(open(document, text, place, targets));
      // A text that is nested too deeply says so once for every level.
      const told = findings.filter(
        (one, at) => one.message !== TOO_DEEP || findings[at - 1]?.message !== TOO_DEEP,
      );
      faults.push(
        ...told.slice(0, MAX_FAULTS + 1).map(({ offset, message }) => fault(place(offset), message)),
      );
      if (faults.length > MAX_FAULTS) break;
    }
    if (faults.length <= MAX_FAULTS) return { documents, faults };
    return { documents, faults: [...faults.slice(0, MAX_FAULTS), fault(first, MORE_FAULTS)] };
  } catch (error) {
    if (error instanceof RangeError) return { documents: [], faults: [fault(first, TOO_DEEP)] };
    // The library refuses what expands to more than it should with a ReferenceError that says so.
    if (error instanceof ReferenceError) return { documents: [], faults: [fault(first, TOO_MANY_ALIASES)] };
    throw error;
  }
}

const TOO_DEEP = `nested more than ${MAX_DEPTH} levels deep`;
const TOO_MANY_ALIASES = `more than ${MAX_ALIASES} aliases (*name) or what they expand to; write the values out`;

/** Longer in UTF-8 than the limit. The cheap test comes first: most texts are far below. */
function isOverLimit(text: string): boolean {
  if (text.length * 3 <= MAX_YAML_BYTES) return false;
  return text.length > MAX_YAML_BYTES || new TextEncoder().encode(text).length > MAX_YAML_BYTES;
}

function syntaxMessage(error: YAMLError): string {
  if (error.code === 'RESOURCE_EXHAUSTION') return TOO_DEEP;
  return `not valid YAML: ${error.message.charAt(0).toLowerCase()}${error.message.slice(1)}`;
}

interface Finding {
  offset: number;
  message: string;
}

/** @returns what is wrong with a document, and what its aliases stand for */
function inspect(document: Document): { findings: Finding[]; targets: ReadonlyMap<unknown, Node> } {
  if (document.errors.length === 0) return new Inspection(document);
  const findings = document.errors.map((error) => ({ offset: error.pos[0], message: syntaxMessage(error) }));
  return { findings, targets: new Map() };
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
const CONTROL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/;

/** Finds what YAML allows and nobody's configuration needs: on the nodes, before anything is expanded. */
class Inspection {
  readonly findings: Finding[];
  /** What each alias stands for. */
  readonly targets = new Map<Alias, Node>();
  /** Anchors whose node is complete, with its size. An alias to any other would hold itself. */
  private readonly finished = new Map<string, { node: Node; size: number }>();
  private aliases = 0;
  /** How many characters all aliases so far stand for. */
  private expanded = 0;

  constructor(document: Document) {
    this.findings = document.warnings.map((warning) => ({
      offset: warning.pos[0],
      message: `${warning.message}; remove the tag`,
    }));
    this.node(document.contents, 0, document.range?.[0] ?? 0);
  }

  private node(node: unknown, depth: number, fallback: number): void {
    const offset = offsetOf(node) ?? fallback;
    const anchored = isScalar(node) || isCollection(node) ? node : null;
    const before = this.expanded;
    // Until it is complete, the name stands for nothing, even if it did before.
    if (anchored?.anchor !== undefined) this.finished.delete(anchored.anchor);
    if (depth > MAX_DEPTH) this.findings.push({ offset, message: TOO_DEEP });
    else if (isAlias(node)) this.alias(node, offset);
    else if (isScalar(node)) this.scalar(node.value, offset);
    else if (isMap(node)) this.map(node, depth, offset);
    else if (isSeq(node)) for (const item of node.items) this.node(item, depth + 1, offset);
    if (anchored?.anchor === undefined) return;
    const size = (anchored.range?.[1] ?? offset) - offset + this.expanded - before;
    this.finished.set(anchored.anchor, { node: anchored, size });
  }

  private alias(alias: Alias, offset: number): void {
    const target = this.finished.get(alias.source);
    const wasGood = this.aliases <= MAX_ALIASES && this.expanded <= MAX_YAML_BYTES;
    this.aliases++;
    this.expanded += target?.size ?? 0;
    if (wasGood && (this.aliases > MAX_ALIASES || this.expanded > MAX_YAML_BYTES))
      this.findings.push({ offset, message: TOO_MANY_ALIASES });
    if (target !== undefined) this.targets.set(alias, target.node);
    else
      this.findings.push({
        offset,
        message: `the alias *${alias.source} names nothing that is complete before it`,
      });
  }

  private scalar(value: unknown, offset: number): void {
    if (typeof value === 'string' && (CONTROL.test(value) || !value.isWellFormed()))
      this.findings.push({ offset, message: 'the text holds a control character or half a character' });
    if (typeof value === 'number' && (!Number.isFinite(value) || Math.abs(value) > Number.MAX_SAFE_INTEGER))
      this.findings.push({
        offset,
        message: 'the number cannot be kept exactly; put it in quotes to keep it as text',
      });
  }

  private map(map: YAMLMap, depth: number, fallback: number): void {
    const seen = new Set<string>();
    for (const { key, value } of map.items) {
      const offset = offsetOf(key) ?? fallback;
      if (isScalar(key)) {
        const name = String(key.value);
        if (seen.has(name)) this.findings.push({ offset, message: `the key "${name}" stands here twice` });
        if (name === '__proto__')
          this.findings.push({ offset, message: 'the key "__proto__" is not allowed' });
        seen.add(name);
        this.scalar(key.value, offset);
      } else this.findings.push({ offset, message: 'a key is text, not a list, a map or an alias' });
      this.node(value, depth + 1, offset);
    }
  }
}

const offsetOf = (node: unknown): number | undefined =>
  isScalar(node) || isCollection(node) || isAlias(node) ? node.range?.[0] : undefined;

/** A document that was inspected, with the places of its parts. */
function open(
  document: Document,
  text: string,
  place: (offset: number) => Position,
  targets: ReadonlyMap<unknown, Node>,
): YamlDocument {
  // Each is made once, however many faults stand in the same map or text.
  const keys = new WeakMap<YAMLMap, Map<string, Pair>>();
  const texts = new WeakMap<Scalar, Map<string, number[]>>();
  const real = (node: Node | null): Node | null => targets.get(node) ?? node;
  const step = (node: Node | null, key: string | number): { key: unknown; value: Node | null } | null => {
    if (isMap(node)) {
      const pair = getOrAdd(keys, node, () => indexKeys(node)).get(String(key));
      return pair === undefined ? null : { key: pair.key, value: asNode(pair.value) };
    }
    const item = isSeq(node) ? node.items[Number(key)] : undefined;
    return item === undefined ? null : { key: item, value: asNode(item) };
  };
  const find = (path: Path): { node: Node | null; key: number; value: number; exact: boolean } => {
    let node: Node | null = asNode(document.contents);
    let key = offsetOf(node) ?? document.range?.[0] ?? 0;
    let value = key;
    for (const name of path) {
      const next = step(real(node), name);
      if (next === null) return { node, key, value, exact: false };
      key = offsetOf(next.key) ?? value;
      // `key:` with nothing behind it: its own place says more than the end of the line.
      value = isScalar(next.value) && next.value.source === '' ? key : (offsetOf(next.value) ?? key);
      node = next.value;
    }
    return { node, key, value, exact: true };
  };
  return {
    value: document.toJS({ maxAliasCount: MAX_ALIASES }) as Json,
    at(path) {
      const { key, value, exact } = find(path);
      // A map starts where its first key does; what misses in it is said at the name of the map itself.
      return place(exact ? value : key);
    },
    atKey: (path) => place(find(path).key),
    atText(path, needle, n) {
      const found = find(path);
      const node = real(found.node);
      if (!isScalar(node) || typeof node.value !== 'string' || !node.range) return place(found.value);
      const [start, end] = node.range;
      const { value } = node;
      const offsets = getOrAdd(
        getOrAdd(texts, node, () => new Map()),
        needle,
        () => offsetsInSource(text.slice(start, end), value, needle),
      );
      return place(start + (offsets[n] ?? 0));
    },
  };
}

const asNode = (value: unknown): Node | null =>
  isScalar(value) || isCollection(value) || isAlias(value) ? value : null;

const indexKeys = (map: YAMLMap): Map<string, Pair> =>
  new Map(map.items.flatMap((pair) => (isScalar(pair.key) ? [[String(pair.key.value), pair]] : [])));

/** The n-th in the value is the n-th in the source, unless an escape or a comment hides or adds one: then it is none. */
function offsetsInSource(source: string, value: string, needle: string): number[] {
  const offsets = offsetsOf(source, needle);
  return offsets.length === offsetsOf(value, needle).length ? offsets : [];
}

function offsetsOf(text: string, needle: string): number[] {
  const offsets: number[] = [];
  for (let at = text.indexOf(needle); at >= 0; at = text.indexOf(needle, at + needle.length))
    offsets.push(at);
  return offsets;
}

function getOrAdd<Key, Value>(
  map: { get(key: Key): Value | undefined; set(key: Key, value: Value): unknown },
  key: Key,
  make: () => Value,
): Value {
  const value = map.get(key) ?? make();
  map.set(key, value);
  return value;
}
