import { expect, it } from 'vitest';
import { formatAge, formatDuration, timeElement } from './time.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

it.each([
  [-5, '0 ms'],
  [240, '240 ms'],
  [999.6, '999 ms'],
  [3240, '3.2 s'],
  [9999, '9.9 s'],
  [59_999, '59 s'],
  [2 * MINUTE + 10_000, '2m 10s'],
  [HOUR + 4 * MINUTE, '1h 4m'],
  [50 * HOUR, '2d 2h'],
])('%d ms is written %s', (milliseconds, text) => {
  expect(formatDuration(milliseconds)).toBe(text);
});

it.each([
  [-1000, 'just now'],
  [9000, 'just now'],
  [30_000, '30 seconds ago'],
  [5 * MINUTE, '5 minutes ago'],
  [HOUR, '1 hour ago'],
  [30 * HOUR, 'yesterday'],
])('an age of %d ms is written %s', (milliseconds, text) => {
  expect(formatAge(milliseconds)).toBe(text);
});

it('a time is UTC, says so, and is exact for programs', () => {
  expect(String(timeElement(Date.UTC(2026, 2, 4, 5, 6, 7, 89)))).toBe(
    '<time datetime="2026-03-04T05:06:07.089Z" title="2026-03-04 05:06:07 UTC">2026-03-04 05:06:07 UTC</time>',
  );
});
