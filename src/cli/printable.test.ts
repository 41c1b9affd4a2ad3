import { property, string, assert as verify } from 'fast-check';
import { expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { oneLine, printable } from './printable.ts';

it.each([
  ['an escape sequence', 'a\u001b[2Jb', 'ab'],
  ['a control character', 'a\u009bb\u0000', 'a\ufffdb\ufffd'],
  ['a carriage return', 'a\rb', 'a\ufffdb'],
  ['a bidirectional control', 'a\u202eb', 'a\ufffdb'],
  ['nothing of ordinary text', 'Größe:\t\u{1f600}\n', 'Größe:\t\u{1f600}\n'],
])('%s is taken out', (_, text, shown) => {
  expect(printable(text)).toBe(shown);
});

it('one line of any text stays within a comment of YAML', () => {
  verify(
    property(string({ unit: 'binary' }), (text) => {
      const documents = parseAllDocuments(`# ${oneLine(text)}\nkind: A\n`);
      expect(documents.map((document) => document.toJS())).toEqual([{ kind: 'A' }]);
    }),
  );
});
