import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compileGlobs, findGlobs } from './glob.ts';
import { nameOutside } from './glob-containment.ts';

const matches = (patterns: string[], text: string): boolean => {
  const { included, excluded } = findGlobs(compileGlobs(patterns), text);
  return included !== null && excluded === null;
};

describe('nameOutside', () => {
  const outside = (inner: string[], outer: string[], left = 300_000): string | null =>
    nameOutside(compileGlobs(inner), compileGlobs(outer), { left });

  it.each([
    [['a:ml/vision/*'], ['a:ml/**']],
    [
      ['a:ml/vision/*', 'a:ml/x'],
      ['a:ml/*', 'a:ml/*/*'],
    ],
    [['a:**/iris'], ['a:**']],
    [
      ['a:ml/*', '!a:ml/s*'],
      ['a:ml/*', '!a:ml/secret'],
    ],
    [[], ['x']],
  ])('finds none of %j outside %j', (inner, outer) => {
    expect(outside(inner, outer)).toBeNull();
  });

  it.each([
    [['a:ml/**'], ['a:ml/*'], 'a:ml/x/x'],
    [['**'], ['a:**'], 'x'],
    [['a:ml/vision*'], ['a:ml/vision/**'], 'a:ml/vision'],
    [['a:ml/*'], ['a:ml/*', '!a:ml/secret'], 'a:ml/secret'],
    [['a:ml/secret'], ['a:ml/**', '!a:ml/secret'], 'a:ml/secret'],
    [['a'], ['!a'], 'a'],
  ])('finds one of %j outside %j: %s', (inner, outer, name) => {
    expect(outside(inner, outer)).toBe(name);
  });

  it('decides what needs no search once the budget is used up, and nothing else', () => {
    expect(outside(['a:ml/x', 'a:ml/x*'], ['a:ml/**'], -1)).toBeNull();
    expect(outside(['*a'], ['*a'], -1)).toBe('');
  });

  it('is right about lists of any patterns: what it lets pass, the other list matches too', () => {
    const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '/', '*'), minLength: 1, maxLength: 5 });
    const list = fc.array(
      fc.tuple(fc.constantFrom('', '', '', '!'), pattern).map((pair) => pair.join('')),
      { maxLength: 3 },
    );
    const name = fc.string({ unit: fc.constantFrom('a', 'b', 'c', '/'), minLength: 1, maxLength: 6 });
    const names = fc.array(
      name.filter((one) => !/^\/|\/\/|\/$/.test(one)),
      { maxLength: 30 },
    );
    fc.assert(
      fc.property(list, list, names, (inner, outer, candidates) => {
        const found = outside(inner, outer);
        if (found !== null) expect([matches(inner, found), matches(outer, found)]).toEqual([true, false]);
        else expect(candidates.filter((one) => matches(inner, one) && !matches(outer, one))).toEqual([]);
      }),
      { numRuns: 2000 },
    );
  });
});
