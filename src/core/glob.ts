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
function close(steps: readonly Step[], states: Set<number>): States {
  // A Set hands out what is added while it is walked.
  for (const state of states) {
    const step = steps[state];
    if (typeof step === 'string') states.add(state + 1);
    // Past `any` and its `/`: the optional segments are not there.
    if (step === 'optional') states.add(state + 3);
  }
  return [...states].sort((left, right) => left - right);
}

function read(steps: readonly Step[], states: States, char: string): States {
  const next = new Set<number>();
  for (const state of states) {
    const step = steps[state];
    if (step === 'any' || (step === 'segment' && char !== '/')) next.add(state);
    else if (typeof step === 'object' && step.char === char) next.add(state + 1);
  }
  return close(steps, next);
}

/** @returns whether a single pattern matches the whole text */
export function matchesGlob(glob: Glob, text: string): boolean {
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
  let states = close(steps, new Set([prefix.length]));
  for (let at = prefix.length; at < text.length && states.length > 0; at++)
    states = read(steps, states, text.charAt(at));
  return states.at(-1) === steps.length;
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

/** Beyond this many steps the search ends and says yes: only lists of many intertwined patterns get there. */
const SEARCH_LIMIT = 300_000;

/** How much more may be searched: a step is one state of one pattern, read on by one character. */
export interface SearchBudget {
  left: number;
}

/** All patterns of a list as one automaton, those that include before those that exclude. */
interface Automaton {
  steps: readonly Step[];
  start: States;
  /** Where the patterns that include end, where those that exclude do, and the first of these starts. */
  included: ReadonlySet<number>;
  excluded: ReadonlySet<number>;
  firstExcluded: number;
}

/** Stands between patterns: no text has it as a character, so no state gets past it. */
const END: Step = { char: '' };

const automata = new WeakMap<GlobList, Automaton>();

function automatonOf(list: GlobList): Automaton {
  const known = automata.get(list);
  if (known !== undefined) return known;
  const steps: Step[] = [];
  const starts = new Set<number>();
  const append = (glob: Glob): number => {
    starts.add(steps.length);
    for (const step of glob.steps) steps.push(step);
    return steps.push(END) - 1;
  };
  const included = new Set(list.include.map(append));
  const firstExcluded = steps.length;
  const excluded = new Set(list.exclude.map(append));
  const automaton = { steps, start: close(steps, starts), included, excluded, firstExcluded };
  automata.set(list, automaton);
  return automaton;
}

const acceptsAt = ({ included, excluded }: Automaton, states: States): boolean =>
  states.some((state) => included.has(state)) && !states.some((state) => excluded.has(state));

/** Whether a pattern that includes can still match: they stand first. */
const isAlive = ({ firstExcluded }: Automaton, [first]: States): boolean =>
  first !== undefined && first < firstExcluded;
const isSeparator = (char: string): boolean => char === '/' || char === ':';

/**
 * Whether a name exists that both lists match. Names have no empty segments.
 * @param budget what the search costs is taken from it
 * @returns the shortest such name; null where there is none; the empty text where it took too long to decide, which
 *   is to be taken for yes
 */
export function commonName(
  left: GlobList,
  right: GlobList,
  budget: SearchBudget = { left: SEARCH_LIMIT },
): string | null {
  const enough = budget.left - SEARCH_LIMIT;
  const [one, other] = [automatonOf(left), automatonOf(right)];
  const alphabet = alphabetOf([...one.steps, ...other.steps]);
  const seen = new Set<string>();
  // Breadth first: the queue is walked while it grows, and its names only get longer.
  const queue = [{ name: '', boundary: true, left: one.start, right: other.start }];
  for (const at of queue) {
    if (!at.boundary && acceptsAt(one, at.left) && acceptsAt(other, at.right)) return at.name;
    if (budget.left < enough) return '';
    for (const char of nextChars(alphabet, [...charsAt(one, at.left), ...charsAt(other, at.right)])) {
      const boundary = isSeparator(char);
      if (boundary && at.boundary) continue;
      budget.left -= at.left.length + at.right.length;
      const next = { left: read(one.steps, at.left, char), right: read(other.steps, at.right, char) };
      const key = `${boundary};${next.left};${next.right}`;
      if (!isAlive(one, next.left) || !isAlive(other, next.right) || seen.has(key)) continue;
      seen.add(key);
      queue.push({ name: at.name + char, boundary, ...next });
    }
  }
  return null;
}

/** Of the alphabet, the first, which stands for all others, what leads elsewhere than it, and separators. */
function nextChars(alphabet: readonly string[], own: readonly string[]): string[] {
  const different = new Set(own);
  return alphabet.filter((char, at) => at === 0 || isSeparator(char) || different.has(char));
}

/** The characters that lead elsewhere than others do. */
const charsAt = ({ steps }: Automaton, states: States): string[] =>
  states.flatMap((state) => charOf(steps[state]));

const charOf = (step: Step | undefined): string[] =>
  typeof step === 'object' && step !== END ? [step.char] : [];

/** All characters that patterns tell apart: one that stands for all others, their own in order, and the separator. */
function alphabetOf(steps: readonly Step[]): string[] {
  const own = new Set(steps.flatMap(charOf));
  const other = Array.from('xyzabcdefghijklmnopqrstuvw0123456789').find((char) => !own.has(char)) ?? '\u00b7';
  return [other, ...[...own].sort()].concat(own.has('/') ? [] : ['/']);
}
