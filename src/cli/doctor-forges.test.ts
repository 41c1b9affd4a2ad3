import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FakeForge } from '../forge/forge.fake.ts';
import { LIMIT } from './doctor-findings.ts';
import { examineForge } from './doctor-forges.ts';

describe('the time limit of a forge', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('makes one that never answers a finding', async () => {
    const { administration } = new FakeForge('gitlab');
    vi.spyOn(administration, 'examine').mockReturnValue(Promise.withResolvers<never>().promise);
    const found = examineForge('https://gitlab.example.com', async () => administration, [], null);
    await vi.advanceTimersByTimeAsync(LIMIT);
    expect(await found).toEqual([
      {
        about: 'https://gitlab.example.com',
        state: 'fault',
        message: 'cannot be asked: it took longer than 120 s',
        fix: expect.stringContaining('check'),
      },
    ]);
  });

  it('ends with the answer: nothing keeps the process', async () => {
    const forge = new FakeForge('gitlab');
    const uses = [{ repository: forge.create('ml/iris'), use: 'model' as const }];
    expect(await examineForge('gitlab', async () => forge.administration, uses, null)).toMatchObject([
      { about: 'gitlab:ml/iris', state: 'good' },
    ]);
    expect(vi.getTimerCount()).toBe(0);
  });
});
