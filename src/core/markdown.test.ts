import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { liveText } from './markdown.fixture.ts';
import { codeBlock, codeSpan, fileLink, visible } from './markdown.ts';

const hostile = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        '`',
        '``',
        '```',
        '~~~',
        '\n',
        '\r',
        '/close',
        '@all',
        '#1',
        '!1',
        '<img src=x>',
        '<!--',
        '-->',
      ),
      fc.constantFrom(
        '[a](b)',
        '![a](b)',
        ' ',
        '\t',
        '\\',
        '|',
        '$',
        '\u202e',
        '\u200b',
        '\u2028',
        '\ud800',
        '§',
      ),
      fc.string({ unit: 'binary', maxLength: 5 }),
    ),
    { maxLength: 12 },
  )
  .map((parts) => `§${parts.join('')}`);

describe('text of others', () => {
  test('is never live in a span of code', () => {
    fc.assert(
      fc.property(hostile, hostile, (one, other) => {
        const text = `- a ${codeSpan(one)} and ${codeSpan(other)}.`;
        expect(text).not.toContain('\n');
        expect(liveText(text)).toBe('- a  and .');
      }),
    );
  });

  test('is never live in a block of code, and no line of it starts with a command', () => {
    fc.assert(
      fc.property(hostile, hostile, (one, other) => {
        const text = codeBlock('diff', `${one}\n${other}`);
        expect(liveText(`before\n\n${text}\n\nafter`)).toBe('before\n\n\nafter');
        expect(text).not.toMatch(/^\//m);
      }),
    );
  });

  it.each([
    ['a', '`a`'],
    ['a`b', '``a`b``'],
    ['`', '`` ` ``'],
    [' a', '`  a `'],
    ['', '`  `'],
    ['a\nb', '`a\\u{a}b`'],
    ['abc\u202edef', '`abc\\u{202e}def`'],
    ['<!-- modelhook:policies -->', '`<! -- modelhook:policies -->`'],
  ])('%j is %j', (text, code) => {
    expect(codeSpan(text)).toBe(code);
  });

  it('is cut where it is longer than anybody reads', () => {
    expect(codeSpan('x'.repeat(100_000)).length).toBeLessThan(1100);
  });

  it('has no unseen character left', () => {
    expect(visible('a\u0007\u200d\u2066\ufeff\ue000é漢😀')).toBe(
      'a\\u{7}\\u{200d}\\u{2066}\\u{feff}\ue000é漢😀',
    );
  });
});

describe('a place in a file', () => {
  const place = { file: 'policies/a b#(1)%`?.yaml', line: 12, column: 5 };

  it('is a link to its line, in which no name is anything but a name', () => {
    expect(fileLink('https://forge/o/r/blob/abc', place)).toBe(
      '[``policies/a b#(1)%`?.yaml:12:5``](https://forge/o/r/blob/abc/policies/a%20b%23%281%29%25%60%3F.yaml#L12)',
    );
  });

  it('is only named where the forge shows no files', () => {
    expect(fileLink(null, { ...place, file: 'a.yaml' })).toBe('`a.yaml:12:5`');
  });

  test('never ends its link, whatever the file is called', () => {
    fc.assert(
      fc.property(hostile, (file) => {
        const link = fileLink('https://forge', { file, line: 1, column: 1 });
        expect(liveText(link)).toMatch(/^\[\]\(https:\/\/forge\/[\w.%/-]*#L1\)$/);
      }),
    );
  });
});
