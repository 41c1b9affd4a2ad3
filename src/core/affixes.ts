/** Which of many things may be the same text, told from how their texts start and end. */
import type { SearchBudget } from './glob.ts';

/** How a text starts and ends that is not known in between; see {@link literal} for one that is known whole. */
export interface Affixes {
  prefix: string;
  suffix: string;
}

/** What no text from a file has: {@link literal} ends with it, so that it starts nothing that is longer. */
export const END = '\0';

export const literal = (text: string): Affixes => ({ prefix: text + END, suffix: END + text });

const mayBeSame = (one: Affixes, other: Affixes): boolean =>
  (one.prefix.startsWith(other.prefix) || other.prefix.startsWith(one.prefix)) &&
  (one.suffix.endsWith(other.suffix) || other.suffix.endsWith(one.suffix));

interface Entry {
  text: string;
  item: number;
}

/** Sorted, what starts with a text stands right behind it. @returns each entry after those whose text starts its own */
function* nested(sorted: readonly Entry[]): Generator<[outer: readonly Entry[], inner: Entry]> {
  const outer: Entry[] = [];
  for (const entry of sorted) {
    for (let last = outer.at(-1); last && !entry.text.startsWith(last.text); last = outer.at(-1)) outer.pop();
    yield [outer, entry];
    outer.push(entry);
  }
}

/** All texts of one kind, sorted by their starts or by their ends, and how many pairs are nested. */
function sorted(affixes: readonly (readonly Affixes[])[], textOf: (one: Affixes) => string) {
  const entries = affixes.flatMap((all, item) => all.map((one): Entry => ({ text: textOf(one), item })));
  entries.sort((left, right) => (left.text < right.text ? -1 : left.text > right.text ? 1 : 0));
  let pairs = 0;
  for (const [outer] of nested(entries)) pairs += outer.length;
  return { entries, pairs };
}

const reversed = (text: string): string => text.split('').reverse().join('');

/**
 * Finds what may be the same in each of several properties. The pairs come from the property, and from the end of
 * it, that tells most of the items apart; the others are compared for these pairs alone.
 * @param properties for each property, of each item what its texts may be
 * @param budget where it is used up, the pairs are not all
 * @returns the indexes of two different items, each pair once
 */
export function* pairsThatMayMeet(
  properties: readonly (readonly (readonly Affixes[])[])[],
  budget: SearchBudget,
): Generator<[number, number]> {
  const [best] = properties
    .flatMap((all) => [sorted(all, ({ prefix }) => prefix), sorted(all, ({ suffix }) => reversed(suffix))])
    .sort((left, right) => left.pairs - right.pairs);
  const mayMeet = (one: number, other: number): boolean => {
    for (const all of properties) if (!someMayBeSame(all[one], all[other], budget)) return false;
    return true;
  };
  const seen = new Set<string>();
  for (const [outer, { item: one }] of nested(best?.entries ?? []))
    for (const { item: other } of outer) {
      budget.left--;
      if (budget.left < 0) return;
      if (one === other || !mayMeet(one, other)) continue;
      const key = one < other ? `${one} ${other}` : `${other} ${one}`;
      if (seen.has(key)) continue;
      seen.add(key);
      yield [one, other];
    }
}

function someMayBeSame(
  left: readonly Affixes[] = [],
  right: readonly Affixes[] = [],
  budget: SearchBudget,
): boolean {
  for (const one of left)
    for (const other of right) {
      if (mayBeSame(one, other)) return true;
      budget.left--;
    }
  return false;
}
