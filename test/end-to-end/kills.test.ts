import { expect, test } from 'vitest';
import { faultsOf, surviveKills } from './survive-kills.ts';

test('30 kills at random moments lose no tag and do nothing twice, on 200 repositories', async () => {
  const seed = Date.now() % 2 ** 31;
  const survived = await surviveKills({ kills: 30, repositories: 200, seed });
  expect(faultsOf(survived), `seed ${seed}`).toEqual([]);
  expect(survived.fleet).toHaveLength(200);
}, 300_000);
