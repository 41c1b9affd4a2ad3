import { expect, test } from 'vitest';
import { surviveMutations } from '../end-to-end/survive-mutations.ts';

const COUNT = 100_000;

test('100,000 mutated deliveries end no controller, are answered as they should be, and store nothing unsigned', async () => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31);
  const { answers, events, rate } = await surviveMutations({ count: COUNT, seed });
  const counts = [...answers].toSorted().map(([status, count]) => `${status}: ${count}`);
  process.stdout.write(
    `seed ${seed}: ${Math.round(rate)} deliveries a second; ${counts.join(', ')}; ${events} events\n`,
  );
  expect(events, `seed ${seed}`).toBeGreaterThan(COUNT / 40);
});
