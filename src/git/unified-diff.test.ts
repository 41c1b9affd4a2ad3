import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it, test } from 'vitest';
import { git } from './git.ts';
import { unifiedDiff } from './unified-diff.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'modelhook-diff-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const diff = (before: string | null, after: string) =>
  unifiedDiff(before === null ? null : { name: 'a/file', text: before }, { name: 'b/file', text: after });

it('shows what differs, with three lines around it', () => {
  expect(diff('1\n2\n3\n4\n5\n6\n', '1\n2\n3\n4\nfive\n6\n')).toBe(
    '--- a/file\n+++ b/file\n@@ -2,5 +2,5 @@\n 2\n 3\n 4\n-5\n+five\n 6\n',
  );
});

it('is empty for equal texts', () => {
  expect(diff('a\n', 'a\n')).toBe('');
});

it('shows all of a text that was not there', () => {
  expect(diff(null, 'a\nb\n')).toBe('--- /dev/null\n+++ b/file\n@@ -0,0 +1,2 @@\n+a\n+b\n');
});

it('of texts with next to nothing in common is all of the one and all of the other', () => {
  const lines = (letter: string) => Array.from({ length: 5000 }, (_, at) => `${letter}${at}\n`).join('');
  const text = diff(lines('a'), lines('b'));
  expect(text).toContain('@@ -1,5000 +1,5000 @@\n-a0\n-a1\n');
  expect(text.split('\n').filter((line) => line.startsWith('+b'))).toHaveLength(5000);
});

test('makes the one text of the other when git applies it', async () => {
  const texts = fc
    .array(fc.constantFrom('a', 'b', 'c: d', '', '  - x', '-', '+', '@@ -1 +1 @@', '--- a'), {
      minLength: 1,
      maxLength: 30,
    })
    .map((lines) => lines.map((line) => `${line}\n`).join(''));
  await git(['init', '--quiet', folder]);
  await fc.assert(
    fc.asyncProperty(texts, texts, async (before, after) => {
      const patch = diff(before, after);
      if (patch === '') return;
      writeFileSync(join(folder, 'file'), before);
      writeFileSync(join(folder, 'patch'), patch);
      await git(['-C', folder, 'apply', '--unidiff-zero', 'patch']);
      expect(readFileSync(join(folder, 'file'), 'utf8')).toBe(after);
    }),
    { numRuns: 30 },
  );
});
