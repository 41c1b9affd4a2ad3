import { expect, test } from 'vitest';
import { faultsOf, surviveKills } from '../end-to-end/survive-kills.ts';

const ROUNDS = 15;
const KILLS = 34;

test('500 kills at random moments lose no tag and do nothing twice, on 200 repositories', async () => {
  const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
  // Each round on repositories of its own, so that there is work to be killed in until the last.
  for (let round = 0; round < ROUNDS; round += 1) {
    const survived = await surviveKills({ kills: KILLS, repositories: 200, seed: seed + round });
    expect(faultsOf(survived), `seed ${seed + round}`).toEqual([]);
  }
});
