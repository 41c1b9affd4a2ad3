import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { commonName, compileGlobs, findGlobs } from './glob.ts';

const matches = (patterns: string[], text: string): boolean => {
  const { included, excluded } = findGlobs(compileGlobs(patterns), text);
  return included !== null && excluded === null;
};

describe('findGlobs', () => {
  it.each([
    ['gitlab:ml/iris', 'gitlab:ml/iris', true],
    ['gitlab:ml/iris', 'gitlab:ml/Iris', false],
    ['gitlab:ml/*', 'gitlab:ml/iris', true],
    ['gitlab:ml/*', 'gitlab:ml/a/iris', false],
    ['gitlab:ml/**', 'gitlab:ml/a/b/iris', true],
    ['gitlab:ml/**', 'gitlab:ml', false],
    ['gitlab:**/iris', 'gitlab:a/b/iris', true],
    ['a/**/b', 'a/b', true],
    ['a/**/b', 'a/x/y/b', true],
    ['a/**/b', 'a/xb', false],
    ['**/iris', 'iris', true],
    ['v*', 'v', true],
    ['v*-rc*', 'v1.0-rc1', true],
    ['v1.0', 'v1x0', false],
    ['v*-rc*', 'v1-r-c1', false],
    ['gitlab:*/iris', 'gitlab:ml/iris', true],
    ['gitlab:*/iris', 'gitlab:a/b/iris', false],
    ['aba*aba', 'aba', false],
    ['aba*aba', 'ababa', false],
    ['aba**aba', 'abaaba', true],
    ['a/**/', 'a/', true],
    ['**', '', true],
    ['*a*a*a*', 'banana', true],
    ['*a*b*', 'ab', true],
  ])('%s and %s: %s', (pattern, text, expected) => {
    expect(matches([pattern], text)).toBe(expected);
  });

  it('names the pattern that included and the one that excluded', () => {
    const list = compileGlobs(['w*', 'v*', '!v*-rc*']);
    expect(findGlobs(list, 'v1-rc1')).toEqual({ included: 'v*', excluded: '!v*-rc*' });
    expect(findGlobs(list, 'v1')).toEqual({ included: 'v*', excluded: null });
  });

  it('agrees with a regular expression', () => {
    const piece = fc.constantFrom('a', 'b', '/', '*', '**', '.');
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 8 }),
        fc.string({ unit: fc.constantFrom('a', 'b', '/', '.') }),
        (pieces, text) => {
          const pattern = pieces.join('').replace(/\*{3,}/g, '**');
          const source = pattern.replace(/(^|(?<=\/))\*\*\/|\*\*|\*|\./g, (wildcard) =>
            wildcard === '.' ? '\\.' : wildcard === '*' ? '[^/]*' : wildcard === '**' ? '.*' : '(?:.*/)?',
          );
          expect(matches([pattern], text)).toBe(new RegExp(`^${source}$`).test(text));
        },
      ),
      { numRuns: 1000 },
    );
  });

  it('takes no longer for a pattern of many wildcards', () => {
    expect(matches(['**a'.repeat(80)], 'a'.repeat(79))).toBe(false);
  });
});

describe('commonName', () => {
  const common = (left: string[], right: string[]): string | null =>
    commonName(compileGlobs(left), compileGlobs(right));

  it('finds a name that both match', () => {
    expect(common(['gitlab:ml/*'], ['gitlab:**/iris'])).toBe('gitlab:ml/iris');
    expect(common(['v*'], ['*-rc1'])).toBe('v-rc1');
  });

  it('finds none where there is none', () => {
    expect(common(['v*'], ['w*'])).toBeNull();
    expect(common(['gitlab:a/*'], ['gitlab:a/b/*'])).toBeNull();
    expect(common([], ['**'])).toBeNull();
  });

  it('heeds exclusions of either side', () => {
    expect(common(['v*', '!v*-rc*'], ['*-rc*'])).toBeNull();
    expect(common(['**/a', '!x/**'], ['x/*'])).toBeNull();
    expect(common(['v*', '!v1*'], ['v1*', 'v2'])).toBe('v2');
  });

  it('is the same name from either side', () => {
    expect(common(['b*', 'a*'], ['a*', 'b*'])).toBe('a');
    expect(common(['a*', 'b*'], ['b*', 'a*'])).toBe('a');
  });

  it('takes a search for yes that would take too long', () => {
    const [left, right] = ['c', 'd'].map((end) =>
      compileGlobs(Array.from({ length: 1000 }, (_, at) => `*a*b*${end}${at}`)),
    );
    const budget = { left: 1_000_000 };
    expect(left && right && commonName(left, right, budget)).toBe('');
    expect(budget.left).toBeGreaterThan(500_000);
  });

  it('searches a hundred patterns on each side to the end', () => {
    const [left, right] = ['v', 'w'].map((end) =>
      compileGlobs(Array.from({ length: 100 }, (_, at) => `model-${at}/${end}*`)),
    );
    expect(left && right && commonName(left, right)).toBeNull();
  });

  it('is right about lists of any patterns', () => {
    const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '/', '*'), minLength: 1, maxLength: 5 });
    const list = fc.array(
      fc.tuple(fc.constantFrom('', '', '!'), pattern).map((pair) => pair.join('')),
      { maxLength: 4 },
    );
    const names = fc.string({ unit: fc.constantFrom('a', 'b', 'c', '/'), minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(list, list, fc.array(names, { maxLength: 30 }), (left, right, candidates) => {
        const found = common(left, right);
        if (found !== null) expect([matches(left, found), matches(right, found)]).toEqual([true, true]);
        else {
          const real = candidates.filter((name) => !/^\/|\/\/|\/$/.test(name));
          expect(real.filter((name) => matches(left, name) && matches(right, name))).toEqual([]);
        }
      }),
    );
  });
});
