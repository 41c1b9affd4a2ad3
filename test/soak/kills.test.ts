import { expect, test } from 'vitest';
import { faultsOf, surviveKills } from '../end-to-end/survive-kills.ts';

test('500 kills at random moments lose no tag and do nothing twice, on 200 repositories', async () => {
  const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
  const survived = await surviveKills({ kills: 500, repositories: 200, seed });
  expect(faultsOf(survived), `seed ${seed}`).toEqual([]);
});
