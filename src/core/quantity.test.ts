import { expect, it } from 'vitest';
import { parseQuantity } from './quantity.ts';

it.each([
  ['1', 1],
  ['500m', 0.5],
  ['4Gi', 4 * 2 ** 30],
  ['1e3', 1000],
  ['1.5k', 1500],
  ['.5', 0.5],
  ['2E', 2e18],
])('reads %s', (text, expected) => {
  expect(parseQuantity(text)).toBeCloseTo(expected);
});

it.each(['', '4GB', '1 Gi', 'x', '0x1', '1e', '--1'])('knows that %j is no quantity', (text) => {
  expect(parseQuantity(text)).toBeNull();
});
