import { expect, it } from 'vitest';
import { sinceText } from './since-text.ts';

const AT = Date.parse('2026-03-01T10:02:59Z');

it.each([
  [0, '10:02 UTC'],
  [23 * 3_600_000, '10:02 UTC'],
  [24 * 3_600_000, '2026-03-01 10:02 UTC'],
])('a moment is told by the clock, and after a day with its date: %i ms later', (later, text) => {
  expect(sinceText(AT, AT + later)).toBe(text);
});
