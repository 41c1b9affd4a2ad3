import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { faultsOf, load, policyText } from './policy.fixture.ts';
import { MORE_FAULTS, readYaml } from './yaml-source.ts';

const faults = (text: string): string[] =>
  readYaml('a.yaml', text).faults.map(({ line, column, message }) => `${line}:${column}: ${message}`);

describe('readYaml', () => {
  it('reads every document with the places of its parts', () => {
    const { documents } = readYaml('a.yaml', 'a: 1\n---\nb:\n  - c: x\n');
    const [first, second] = documents;
    expect(first?.value).toEqual({ a: 1 });
    expect(second?.at(['b', 0, 'c'])).toEqual({ line: 4, column: 8 });
    expect(second?.atKey(['b', 0, 'c'])).toEqual({ line: 4, column: 5 });
  });

  it('places what is missing at the part above it', () => {
    const [document] = readYaml('a.yaml', 'a:\n  b: 1\n').documents;
    expect(document?.at(['a', 'x', 'y'])).toEqual({ line: 1, column: 1 });
  });

  it('finds the n-th of a text inside a string, in quotes and in blocks', () => {
    const [document] = readYaml('a.yaml', 'a: "x ! y !"\nb: |\n  one\n  two !\n').documents;
    expect(document?.atText(['a'], '!', 1)).toEqual({ line: 1, column: 11 });
    expect(document?.atText(['b'], '!', 0)).toEqual({ line: 4, column: 7 });
  });

  it('points at the string where an escape hides the text', () => {
    const [document] = readYaml('a.yaml', 'a: "\\x21 !"\n').documents;
    expect(document?.atText(['a'], '!', 0)).toEqual({ line: 1, column: 4 });
  });

  it('finds places behind an alias', () => {
    const [document] = readYaml('a.yaml', 'a: &x {b: 1}\nc: *x\n').documents;
    expect(document?.value).toEqual({ a: { b: 1 }, c: { b: 1 } });
    expect(document?.at(['c', 'b'])).toEqual({ line: 1, column: 11 });
  });

  it.each([
    ['syntax', 'a: [1\nb: 2', /^2:\d+: not valid YAML/],
    ['a key twice', 'a: 1\nb: 2\na: 3', /^3:1: the key "a" stands here twice/],
    ['__proto__', 'a:\n  __proto__: {x: 1}', /^2:3: the key "__proto__" is not allowed/],
    ['NUL', 'a: 1\nb: x\0', /^2:5: .*NUL/],
    ['an escaped control character', 'a: "\\u0007"', /^1:4: .*control character/],
    ['half a character', 'a: "\\ud800"', /half a character/],
    ['a number that cannot be kept', 'a: 12345678901234567890', /put it in quotes/],
    ['infinity', 'a: .inf', /put it in quotes/],
    ['a list as key', '? [a]\n: 1', /^1:3: a key is text/],
    ['an unknown tag', 'a: !secret x', /^1:4: .*remove the tag/],
    ['an alias of nothing', 'a: *b', /^1:4: the alias \*b/],
    ['an alias of itself', 'a: &a {b: *a}', /the alias \*a/],
    ['a file over 1 MiB', 'é'.repeat(600_000), /larger than 1 MiB/],
    ['65 levels', `${'['.repeat(66)}${']'.repeat(66)}`, /nested more than 64 levels/],
  ])('refuses %s', (_name, text, expected) => {
    expect(faults(text)).toEqual([expect.stringMatching(expected)]);
  });

  it.each([
    ['10,000 levels of lists', `${'['.repeat(10_000)}${']'.repeat(10_000)}`],
    ['10,000 levels of maps', '{a: '.repeat(10_000)],
    ['10,000 levels of dashes', '- '.repeat(10_000)],
    [
      'an alias bomb',
      [
        'a: &a [x, x]',
        ...Array.from(
          'bcdefghijkl',
          (name, at) => `${name}: &${name} [${`*${'abcdefghijk'[at]}, `.repeat(9)}]`,
        ),
      ].join('\n'),
    ],
    [
      '10,000 uses of one anchor',
      `a: &a 1\n${Array.from({ length: 10_000 }, (_, at) => `k${at}: *a`).join('\n')}`,
    ],
    ['100,000 broken lines', 'a: b: c\n'.repeat(100_000)],
  ])('refuses %s with few words', (_name, text) => {
    const found = faults(text);
    expect(found.length).toBeGreaterThan(0);
    expect(found.length).toBeLessThanOrEqual(101);
  });

  it('says once that there are more faults than it lists', () => {
    const found = faults('a: b: c\n'.repeat(1000));
    expect(found).toHaveLength(101);
    expect(found.filter((one) => one === `1:1: ${MORE_FAULTS}`)).toEqual([found.at(-1)]);
  });

  it('refuses what aliases expand to more than the largest file', () => {
    const text = `a: &a ${'x'.repeat(100_000)}\nb: &b [*a, *a, *a]\nc: [*b, *b, *b, *b]\n`;
    expect(faults(text)).toEqual([expect.stringMatching(/^3:\d+: more than 100 aliases/)]);
    expect(faults(text.replace('[*b, *b, *b, *b]', '*b'))).toEqual([]);
  });

  it('refuses an alias inside the second node of its anchor', () => {
    expect(faults('a: &x 1\nb: &x {c: *x}\n')).toEqual([expect.stringContaining('the alias *x')]);
  });

  it('finds all of a text with one look at the string, and all keys with one look at the map', () => {
    const keys = Array.from({ length: 1000 }, (_, at) => `k${at}: 1\n`).join('');
    const [document] = readYaml('a.yaml', `${keys}a: "${'! '.repeat(1000)}"\n`).documents;
    const looks = vi.spyOn(String.prototype, 'indexOf');
    const texts = Array.from({ length: 1000 }, (_, n) => document?.atText(['a'], '!', n).column);
    const count = looks.mock.calls.length;
    looks.mockRestore();
    expect(texts).toEqual(Array.from({ length: 1000 }, (_, n) => 5 + 2 * n));
    expect(count).toBeLessThan(3000);
    const finds = vi.spyOn(Array.prototype, 'find');
    const lines = Array.from({ length: 1000 }, (_, at) => document?.atKey([`k${at}`]).line);
    expect(finds.mock.calls.length).toBe(0);
    finds.mockRestore();
    expect(lines).toEqual(Array.from({ length: 1000 }, (_, at) => at + 1));
  });

  it('takes any text without an exception', () => {
    const piece = fc.constantFrom(
      'a: ',
      '\n',
      '- ',
      '&a ',
      '*a',
      '[',
      ']',
      '{',
      '}',
      '"',
      "'",
      '|',
      '>',
      '!x ',
      '---',
      '? ',
      '  ',
      '%',
    );
    const text = fc.oneof(
      fc.array(piece, { maxLength: 30 }).map((pieces) => pieces.join('')),
      fc.string({ unit: 'binary' }),
    );
    fc.assert(
      fc.property(text, (source) => {
        for (const document of readYaml('a.yaml', source).documents) {
          expect(() => JSON.stringify(document.value)).not.toThrow();
          expect(document.at(['a', 0, 'b']).line).toBeGreaterThan(0);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('a document with very many faults', () => {
  it.each([
    ['Go templates', { annotations: { a: '{{'.repeat(2000) } }],
    ['unknown variables', { annotations: { a: `\${x}`.repeat(2000) } }],
    ['unknown fields', Object.fromEntries(Array.from({ length: 2000 }, (_, at) => [`k${at}`, 1]))],
    [
      'unknown fields of the pod',
      { pod: Object.fromEntries(Array.from({ length: 2000 }, (_, at) => [`k${at}`, 1])) },
    ],
    [
      'values of another type',
      { labels: Object.fromEntries(Array.from({ length: 2000 }, (_, at) => [`k${at}`, 1])) },
    ],
  ])('lists the first hundred, and says that there are more: %s', (_name, spec) => {
    const found = faultsOf(policyText(spec));
    expect(found).toHaveLength(101);
    expect(found.filter((one) => one.endsWith(MORE_FAULTS))).toHaveLength(1);
  });

  it('lists as many warnings', () => {
    const { warnings } = load(policyText({ container: { args: Array(2000).fill('$' + '{tag}') } }));
    expect(warnings).toHaveLength(101);
  });
});
