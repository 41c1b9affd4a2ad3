import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { Json } from './json.ts';
import { toYaml } from './yaml-text.ts';

const wellFormed = fc.string({ unit: 'binary', maxLength: 40 }).filter((text) => text.isWellFormed());
const tricky = fc.constantFrom(
  ...[
    'yes',
    'No',
    'on',
    'y',
    'null',
    '~',
    '',
    '=',
    '<<',
    '1e3',
    '0x1',
    '0o7',
    '017',
    '1_000',
    '1:30',
    '.5',
    '+1',
  ],
  ...[
    '2024-01-01',
    '.inf',
    '-.INF',
    '.nan',
    '4Gi',
    '12345678',
    '1e10',
    '- a',
    '# a',
    'a: b',
    '{{.Name}}',
    '*a',
    '&a',
  ],
  ...[
    'a\nb',
    'a\n\nb\n',
    'a\n  b\n\n c',
    'a\n\n',
    '\na',
    'a\n \nb',
    'a\nb ',
    'a: |\n  b\n---\nc',
    ' a',
    'a ',
    '\ta',
    'a\u0085b',
    'a\u2028b',
    '\ufeffa',
    'a\r\nb',
    '---',
    '...',
    '|',
    '%a',
    '@a',
  ],
);
const texts = fc.oneof(wellFormed, tricky);
const keys = texts.filter((key) => key !== '__proto__');
const { value } = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    texts,
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(keys, tie('value'), { maxKeys: 4, noNullPrototype: true }),
  ),
}));

describe('toYaml', () => {
  it('gives back the same data from any parser of YAML 1.2 or 1.1', () => {
    fc.assert(
      fc.property(value, (data) => {
        const yaml = toYaml(data);
        expect(parse(yaml, { version: '1.2', maxAliasCount: 0 })).toEqual(data);
        expect(parse(yaml, { version: '1.1', merge: true, maxAliasCount: 0 })).toEqual(data);
      }),
      { numRuns: 1000 },
    );
  });

  it('quotes what YAML 1.1 would not read as text', () => {
    expect(toYaml({ a: 'yes', b: '1e3', c: '0x1', d: '12345678', e: '+_1', on: 'x' })).toBe(
      'a: "yes"\nb: "1e3"\nc: "0x1"\nd: "12345678"\ne: "+_1"\n"on": x\n',
    );
  });

  it('leaves ordinary text and quantities plain, and never breaks a line', () => {
    expect(toYaml({ memory: '4Gi', uri: `s3://${'long '.repeat(60)}end` })).toBe(
      `memory: 4Gi\nuri: s3://${'long '.repeat(60)}end\n`,
    );
  });

  it('writes ordinary lines as a block', () => {
    expect(toYaml({ args: ['set -e\nexec server\n'] })).toBe('args:\n  - |\n    set -e\n    exec server\n');
  });

  it('writes a script as a block, with its indentation and its empty lines', () => {
    const script = 'set -e\nif true; then\n  exec server \\\n    --port 8080\n\nfi';
    expect(toYaml({ args: [script, `${script}\n`] })).toBe(
      [
        'args:\n  - |-',
        'set -e\n    if true; then\n      exec server \\\n        --port 8080\n\n    fi\n  - |',
        'set -e\n    if true; then\n      exec server \\\n        --port 8080\n\n    fi\n',
      ].join('\n    '),
    );
  });

  it('always quotes commits and hashes', () => {
    expect(toYaml(['1e23456', 'abcdef0', 'deadbeef'.repeat(5)])).toBe(
      `- "1e23456"\n- "abcdef0"\n- "${'deadbeef'.repeat(5)}"\n`,
    );
  });

  it('escapes what some parsers take for a line break', () => {
    expect(toYaml(['a\u2028b\u0085c\ufeff'])).toBe('- "a\\u2028b\\u0085c\\ufeff"\n');
  });

  it('escapes what turns the direction of the text around it', () => {
    expect(toYaml(['a\u202eb', 'c\u2066d\u2069'])).toBe('- "a\\u202eb"\n- "c\\u2066d\\u2069"\n');
  });

  it('writes the same object twice without an alias', () => {
    const same = { a: 1 };
    expect(toYaml([same, same])).toBe('- a: 1\n- a: 1\n');
  });
});
