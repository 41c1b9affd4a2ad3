/** What a zod schema finds wrong, said in the words of the file and at the right place in it. */
import { z } from 'zod';
import type { Fault } from './errors.ts';
import { suggestion } from './nearest.ts';
import { MAX_FAULTS, MORE_FAULTS, type Path, type Position, type YamlDocument } from './yaml-source.ts';

/**
 * A map in which every other field is a fault.
 * The message of an unknown field carries the names that are known, for {@link check} to suggest the nearest.
 */
export const fields = <Shape extends z.ZodRawShape>(shape: Shape): z.ZodObject<Shape, z.core.$strict> =>
  z.strictObject(shape, {
    error: (issue) => (issue.code === 'unrecognized_keys' ? Object.keys(shape).join(' ') : undefined),
  });

/**
 * Takes a message about one place of a document: the value at a path, a text inside it, or the key the path ends with,
 * which then stands in the map that is named.
 */
export type Report = (
  path: Path,
  message: string,
  within?: { needle: string; ordinal: number } | 'key' | undefined,
) => void;

/** @returns a function that adds faults with the places they stand at, and after 100 of them that there are more */
export function reporter(file: string, document: YamlDocument, faults: Fault[]): Report {
  const add = collector(file, document, faults);
  return (path, message, within) =>
    add(() => {
      if (within === 'key')
        return { ...document.atKey(path), message: `${formatPath(path.slice(0, -1))}: ${message}` };
      const position = within ? document.atText(path, within.needle, within.ordinal) : document.at(path);
      return { ...position, message: `${formatPath(path)}: ${message}` };
    });
}

/** @returns a function that adds a fault, and makes nothing of those that are too many */
function collector(
  file: string,
  document: YamlDocument,
  faults: Fault[],
): (make: () => Position & { message: string }) => void {
  let count = 0;
  return (make) => {
    count++;
    if (count <= MAX_FAULTS) faults.push({ file, ...make() });
    else if (count === MAX_FAULTS + 1) faults.push({ file, ...document.at([]), message: MORE_FAULTS });
  };
}

/**
 * Checks a document against a schema and adds what is wrong to `faults`: the first 100, and that there are more.
 * @returns the checked value; null where something is wrong
 */
export function check<Output>(
  schema: z.ZodType<Output>,
  file: string,
  document: YamlDocument,
  faults: Fault[],
): Output | null {
  const result = schema.safeParse(document.value);
  if (result.success) return result.data;
  const add = collector(file, document, faults);
  for (const issue of result.error.issues) {
    const path = issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part));
    const keys = issue.code === 'unrecognized_keys' ? issue.keys : [];
    for (const key of keys)
      add(() => ({
        ...document.atKey([...path, key]),
        message: `unknown field "${key}"${where(path)}${suggestion(key, issue.message.split(' '))}`,
      }));
    if (issue.code !== 'unrecognized_keys')
      add(() => ({
        ...document.at(path),
        message: `${formatPath(path)}: ${describe(issue, valueAt(document.value, path))}`,
      }));
  }
  return null;
}

const where = (path: Path): string => (path.length === 0 ? '' : ` in ${formatPath(path)}`);

/** `spec.match.tags[0]`; a key that is no plain word stands in quotes. */
export const formatPath = (path: Path): string =>
  path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`;
    if (!/^[\w-]+$/.test(part)) return `${text}["${part}"]`;
    return text === '' ? part : `${text}.${part}`;
  }, '');

const valueAt = (value: unknown, path: Path): unknown =>
  path.reduce<unknown>(
    (at, part) => (typeof at === 'object' && at !== null ? Reflect.get(at, part) : undefined),
    value,
  );

function describe(issue: z.core.$ZodIssue, value: unknown): string {
  if (issue.code === 'invalid_type' && value === undefined) return 'this field is required';
  // Without options of their own, messages of zod start with these words.
  if (!/^(?:Invalid|Too|Unrecognized)/.test(issue.message)) return issue.message;
  const got = shown(value);
  if (issue.code === 'invalid_value') {
    const options = issue.values.map(String);
    const hint = typeof value === 'string' ? suggestion(value, options) : '';
    return `expected ${options.join(' or ')}, got ${got}${hint}`;
  }
  if (issue.code === 'invalid_type') {
    const quotes =
      issue.expected === 'string' && /^(?:number|boolean)$/.test(typeof value) ? '; put it in quotes' : '';
    return `expected ${TYPES[issue.expected] ?? issue.expected}, got ${got}${quotes}`;
  }
  if (issue.code === 'too_small') return `must be at least ${issue.minimum}, got ${got}`;
  if (issue.code === 'too_big') return `must be at most ${issue.maximum}, got ${got}`;
  return `${issue.message}, got ${got}`;
}

const TYPES: Record<string, string> = {
  string: 'text',
  int: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a map',
  record: 'a map',
};

/** @returns a value as messages show one: short text and numbers as they are, of everything else what it is */
export function shown(value: unknown): string {
  if (value === undefined || value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a map';
  if (typeof value === 'string') return value.length > 60 ? 'a long text' : `"${value}"`;
  return `the ${typeof value === 'number' ? 'number' : 'value'} ${String(value)}`;
}
