/**
 * Patterns for repositories, tags and branches: `*` stands for any text within a segment, `**` for any text across
 * segments, and whole segments written `**` may be none at all. A leading `!` excludes. Case counts.
 *
 * A pattern is a small automaton, run on all its states at once: no input makes it slow, and whether two lists of
 * patterns have a name in common is decided exactly rather than guessed.
 */

/** One step: a character, `*`, `**`, or the entrance of whole segments that may be none. */
type Step = { char: string } | 'segment' | 'any' | 'optional';
/** Positions between the steps that the text read so far can have led to. Sorted, so that equal sets look equal. */
type States = readonly number[];

export interface Glob {
  readonly pattern: string;
  /** The text before the first wildcard: whatever matches starts with it. */
  readonly prefix: string;
  /** The text behind each wildcard: whatever matches has all of it behind the prefix, in this order. */
  readonly literals: readonly string[];
  /** The last of them: whatever matches ends with it. Empty where there is no wildcard. */
  readonly suffix: string;
  readonly steps: readonly Step[];
}

/** A list as policies write it: something of `include`, and nothing of `exclude`. */
export interface GlobList {
  readonly patterns: readonly string[];
  readonly include: readonly Glob[];
  readonly exclude: readonly Glob[];
}

function compile(pattern: string): Glob {
  const steps: Step[] = [];
  for (let at = 0; at < pattern.length; at++) {
    if (pattern[at] !== '*') {
      steps.push({ char: pattern.charAt(at) });
    } else if (pattern[at + 1] !== '*') {
      steps.push('segment');
    } else {
      const wholeSegment = (at === 0 || pattern[at - 1] === '/') && pattern[at + 2] === '/';
      steps.push(...(wholeSegment ? (['optional', 'any', { char: '/' }] as const) : (['any'] as const)));
      at += wholeSegment ? 2 : 1;
    }
  }
  // The `/` behind a wildcard can belong to whole segments that are none at all.
  const [prefix = '', ...literals] = pattern.split(/\*+\/?/);
  return { pattern, prefix, literals, suffix: literals.at(-1) ?? '', steps };
}

/** @param patterns as written, exclusions with their `!` */
export const compileGlobs = (patterns: readonly string[]): GlobList => ({
  patterns,
  include: patterns.filter((pattern) => !pattern.startsWith('!')).map(compile),
  exclude: patterns.filter((pattern) => pattern.startsWith('!')).map((pattern) => compile(pattern.slice(1))),
});

/** Adds what is reached without reading anything. */
function close(glob: Glob, states: Set<number>): States {
  // A Set hands out what is added while it is walked.
  for (const state of states) {
    const step = glob.steps[state];
    if (typeof step === 'string') states.add(state + 1);
    // Past `any` and its `/`: the optional segments are not there.
    if (step === 'optional') states.add(state + 3);
  }
  return [...states].sort((left, right) => left - right);
}

const start = (glob: Glob): States => close(glob, new Set([0]));
const accepts = (glob: Glob, states: States): boolean => states.at(-1) === glob.steps.length;

function read(glob: Glob, states: States, char: string): States {
  const next = new Set<number>();
  for (const state of states) {
    const step = glob.steps[state];
    if (step === 'any' || (step === 'segment' && char !== '/')) next.add(state);
    else if (typeof step === 'object' && step.char === char) next.add(state + 1);
  }
  return close(glob, next);
}

function matchesGlob(glob: Glob, text: string): boolean {
  const { prefix, suffix, steps } = glob;
  if (!text.startsWith(prefix) || !text.endsWith(suffix)) return false;
  if (prefix.length === steps.length) return text === prefix;
  const end = text.length - suffix.length;
  // One wildcard, as almost all have: what it stands for is what lies between.
  if (prefix.length + 1 + suffix.length === steps.length)
    return (
      prefix.length <= end &&
      (steps[prefix.length] === 'any' || !text.slice(prefix.length, end).includes('/'))
    );
  if (!hasLiterals(glob, text)) return false;
  let states = close(glob, new Set([prefix.length]));
  for (let at = prefix.length; at < text.length && states.length > 0; at++)
    states = read(glob, states, text.charAt(at));
  return accepts(glob, states);
}

/** Whether what the pattern writes out is there, in its order: cheap, and without it there is no match. */
function hasLiterals({ prefix, literals }: Glob, text: string): boolean {
  let end = prefix.length;
  for (const literal of literals) {
    const at = text.indexOf(literal, end);
    if (at < 0) return false;
    end = at + literal.length;
  }
  return true;
}

/** @returns the first pattern that includes the text and the first that excludes it, as they are written */
export function findGlobs(
  list: GlobList,
  text: string,
): { included: string | null; excluded: string | null } {
  const included = list.include.find((glob) => matchesGlob(glob, text))?.pattern ?? null;
  if (included === null) return { included, excluded: null };
  const excluded = list.exclude.find((glob) => matchesGlob(glob, text));
  return { included, excluded: excluded === undefined ? null : `!${excluded.pattern}` };
}

/** @returns whether something of the list includes the text, and nothing excludes it */
export const matchesGlobs = ({ include, exclude }: GlobList, text: string): boolean =>
  include.some((glob) => matchesGlob(glob, text)) && !exclude.some((glob) => matchesGlob(glob, text));

/** Beyond this many states the search ends and says yes: only lists of many intertwined exclusions get there. */
const SEARCH_LIMIT = 20_000;

/** Where the reading of one list stands: the states of each of its patterns. */
interface Reading {
  include: readonly States[];
  exclude: readonly States[];
}

const startList = (list: GlobList): Reading => ({
  include: list.include.map(start),
  exclude: list.exclude.map(start),
});

const readList = (list: GlobList, { include, exclude }: Reading, char: string): Reading => ({
  include: list.include.map((glob, at) => read(glob, include[at] ?? [], char)),
  exclude: list.exclude.map((glob, at) => read(glob, exclude[at] ?? [], char)),
});

const acceptsList = (list: GlobList, { include, exclude }: Reading): boolean =>
  list.include.some((glob, at) => accepts(glob, include[at] ?? [])) &&
  !list.exclude.some((glob, at) => accepts(glob, exclude[at] ?? []));

const isAlive = ({ include }: Reading): boolean => include.some((states) => states.length > 0);
const isSeparator = (char: string): boolean => char === '/' || char === ':';

/**
 * Whether a name exists that both lists match. Names have no empty segments.
 * @returns the shortest such name; null where there is none; the empty text where it took too long to decide, which
 *   is to be taken for yes
 */
export function commonName(left: GlobList, right: GlobList): string | null {
  const alphabet = alphabetOf([left, right].flatMap((list) => [...list.include, ...list.exclude]));
  const seen = new Set<string>();
  // Breadth first: the queue is walked while it grows, and its names only get longer.
  const queue = [{ name: '', boundary: true, left: startList(left), right: startList(right) }];
  for (const at of queue) {
    if (!at.boundary && acceptsList(left, at.left) && acceptsList(right, at.right)) return at.name;
    if (seen.size > SEARCH_LIMIT) return '';
    for (const char of alphabet) {
      const boundary = isSeparator(char);
      if (boundary && at.boundary) continue;
      const next = { left: readList(left, at.left, char), right: readList(right, at.right, char) };
      const key = JSON.stringify([boundary, next]);
      if (!isAlive(next.left) || !isAlive(next.right) || seen.has(key)) continue;
      seen.add(key);
      queue.push({ name: at.name + char, boundary, ...next });
    }
  }
  return null;
}

/** All characters that patterns tell apart: their own, the separator, and one that stands for all others. */
function alphabetOf(globs: readonly Glob[]): string[] {
  const own = new Set(
    globs.flatMap((glob) => glob.steps.flatMap((step) => (typeof step === 'object' ? [step.char] : []))),
  );
  const other = Array.from('xyzabcdefghijklmnopqrstuvw0123456789').find((char) => !own.has(char)) ?? '\u00b7';
  return [other, ...own].concat(own.has('/') ? [] : ['/']);
}
