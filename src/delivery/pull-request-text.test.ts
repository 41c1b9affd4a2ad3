import fc from 'fast-check';
import { expect, test } from 'vitest';
import { deliveryOf, removalOf } from './contract.ts';
import { supersededText, textOf, titleOf } from './pull-request-text.ts';

/** What of a Markdown text is outside of its blocks of code. */
function outside(markdown: string): string {
  const kept: string[] = [];
  let fence: string | null = null;
  for (const line of markdown.split('\n')) {
    const [, marks = ''] = /^(`{3,})/.exec(line) ?? [];
    if (fence === null && marks !== '') fence = marks;
    else if (fence !== null && line.startsWith(fence) && /^`+\s*$/.test(line)) fence = null;
    else if (fence === null) kept.push(line);
  }
  expect(fence).toBeNull();
  return kept.join('\n');
}

test('what comes from refs, policies and model cards is only ever in blocks of code', () => {
  const hostile = fc.stringMatching(/^[@#!/`\n a-z<>[\]()]{0,40}$/).map((text) => `${text}@everyone`);
  fc.assert(
    fc.property(hostile, hostile, fc.array(hostile, { maxLength: 3 }), (revision, policy, lines) => {
      const delivery = deliveryOf('r1', { revision, policy, decisions: lines, warnings: lines, why: policy });
      const removal = removalOf('r2', { revision, policy, decisions: lines, warnings: lines, why: policy });
      for (const errand of [delivery, removal])
        for (const text of [textOf(errand), supersededText(errand)]) expect(outside(text)).not.toContain('@');
    }),
  );
});

test('what tells whose text it is comes before all that a forge may cut off', () => {
  const delivery = deliveryOf('r1', { decisions: Array.from({ length: 2000 }, (_, n) => `decision ${n}`) });
  expect(textOf(delivery).indexOf(delivery.page)).toBeLessThan(400);
});

test('a title is the subject of the commit, and addresses nobody', () => {
  expect(titleOf(deliveryOf('r1'))).toBe('deploy iris v1.0.0 to production');
  expect(titleOf(removalOf('r1'))).toBe('remove iris v1.0.0 from production');
  expect(titleOf(deliveryOf('r1', { revision: 'v1@somebody' }))).not.toContain('@somebody');
});

test('no line of a text is a command of the forge', () => {
  const delivery = deliveryOf('r1', { decisions: ['/close', 'a\n/merge'], why: '/approve' });
  expect(textOf(delivery)).not.toMatch(/^\//m);
});
