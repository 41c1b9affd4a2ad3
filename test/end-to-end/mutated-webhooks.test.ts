import { expect, test } from 'vitest';
import { surviveMutations } from './survive-mutations.ts';

test('2,000 mutated deliveries end no controller, are answered as they should be, and store nothing unsigned', async () => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31);
  const { answers, events } = await surviveMutations({ count: 2000, seed });
  // Or what is checked of each would say nothing.
  expect([...answers.keys()].toSorted(), `seed ${seed}`).toEqual([200, 202, 400, 401, 404, 415]);
  expect(events, `seed ${seed}`).toBeGreaterThan(50);
});
