/** Whether patterns match only what other patterns match too. */
import { commonName, compileGlobs, findGlobs, type Glob, type GlobList, type SearchBudget } from './glob.ts';

const ANYTHING = compileGlobs(['**']).include;

/**
 * Looks for a name that only one of two lists matches. Names have no empty segments.
 * @param budget what a search costs is taken from it, and nothing is searched where it is used up
 * @returns a name that `inner` matches and `outer` does not; null where there is none; the empty text where that was not
 *   decided, which is to be taken for one
 */
export function nameOutside(inner: GlobList, outer: GlobList, budget: SearchBudget): string | null {
  if (inner.include.every((glob) => isPlainlyWithin(glob, outer))) return null;
  if (budget.left < 0) return '';
  const others = { patterns: [], include: ANYTHING, exclude: outer.include };
  const excluded = { patterns: [], include: outer.exclude, exclude: [] };
  return commonName(inner, others, budget) ?? commonName(inner, excluded, budget);
}

/** What most are, and costs no search: a name without wildcards, or whatever starts as the other says. */
function isPlainlyWithin({ pattern, prefix, steps }: Glob, outer: GlobList): boolean {
  if (prefix.length === steps.length) {
    const { included, excluded } = findGlobs(outer, pattern);
    return included !== null && excluded === null;
  }
  if (outer.exclude.length > 0) return false;
  return outer.include.some(
    (other) =>
      other.steps.length === other.prefix.length + 1 &&
      other.steps.at(-1) === 'any' &&
      prefix.startsWith(other.prefix),
  );
}
