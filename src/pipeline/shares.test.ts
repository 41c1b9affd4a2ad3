import { describe, expect, it } from 'vitest';
import { createShares } from './shares.ts';

const forges = (...names: string[]) => new Map(names.map((name) => [name, {}]));
const never = () => new Promise<void>(() => {});

describe('the places of a stage', () => {
  it('all go to the only forge', () => {
    const shares = createShares(forges('plain'), 4);
    for (let n = 0; n < 100; n += 1) void shares.counted('plain:ml/iris', never)();
    expect([shares.atMost(8), shares.spent()]).toEqual([8, []]);
  });

  it('are left in part to the others when one hangs', () => {
    const shares = createShares(forges('plain', 'slow'), 4);
    expect(shares.atMost(8)).toBe(3);
    for (let n = 0; n < 3; n += 1) void shares.counted('slow:ml/iris', never)();
    expect(shares.spent()).toEqual(['slow']);
  });

  it('are never claimed beyond the share, whatever of it is in hand', () => {
    const shares = createShares(forges('plain', 'slow'), 4);
    for (let n = 0; n < 2; n += 1) void shares.counted('slow:ml/iris', never)();
    expect([shares.atMost(8), shares.spent()]).toEqual([1, []]);
    void shares.counted('slow:ml/iris', never)();
    expect([shares.atMost(8), shares.spent()]).toEqual([3, ['slow']]);
  });

  it('are free again once work has ended, well or not', async () => {
    const shares = createShares(forges('plain', 'slow'), 2);
    const fails = shares.counted('slow:ml/iris', () => Promise.reject(new Error('unreachable')));
    expect(shares.spent()).toEqual(['slow']);
    await expect(fails()).rejects.toThrow('unreachable');
    expect(shares.spent()).toEqual([]);
  });

  it('are never fewer than one for each', () => {
    expect(createShares(forges('plain', 'slow'), 1).atMost(2)).toBe(1);
  });
});
