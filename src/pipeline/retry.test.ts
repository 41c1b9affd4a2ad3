import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ClusterUnavailableError } from '../cluster/cluster.ts';
import { StalledError, WaitingError } from '../core/errors.ts';
import type { Rollout } from '../core/rollout.ts';
import { StoreUnavailableError } from '../store/store.ts';
import { createSite, failingAtFirst, fakeLog, MINUTE, NOON, SECOND, type Site } from './pipeline.fixture.ts';
import { backoff, createPersist, delayAfter, failureOf, settleFailure } from './retry.ts';

describe('the backoff', () => {
  const attempts = fc.nat({ max: 10_000 });
  const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

  it('lies between half a second and five minutes, whatever happened before', () => {
    fc.assert(
      fc.property(attempts, random, (failed, dice) => {
        const wait = backoff(failed, () => dice);
        expect(wait).toBeGreaterThanOrEqual(500);
        expect(wait).toBeLessThanOrEqual(5 * MINUTE);
        expect(Number.isInteger(wait)).toBe(true);
      }),
    );
  });

  it('doubles until it is at its longest', () => {
    const waits = Array.from({ length: 12 }, (_, failed) => backoff(failed, () => 1) / SECOND);
    expect(waits).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
  });

  it('spreads over half of itself, so that what failed together is not tried again together', () => {
    expect([0, 0.5].map((dice) => backoff(3, () => dice))).toEqual([4000, 6000]);
  });
});

it('a cluster that says how long to wait is given that time, up to five minutes', () => {
  const busy = (retryAfter: number | null) =>
    new ClusterUnavailableError('cluster prod', {
      ...{ kind: 'busy', what: 'answers 429', detail: null, fix: 'wait', retryAfter },
    });
  expect(failureOf(rollout({ attempts: 8 }), busy(1000), NOON).change.dueAt).toBe(NOON + SECOND);
  expect(delayAfter(busy(3_600_000), 0)).toBe(5 * MINUTE);
  expect(delayAfter(busy(null), 8)).toBeGreaterThan(MINUTE);
});

const rollout = (state: Partial<Rollout> = {}): Rollout =>
  ({ id: 'r1', attempts: 0, waitingSince: null, updatedAt: NOON, ...state }) as Rollout;

describe('what a person must mend', () => {
  it('fails the rollout at once, with the reason and what to do', () => {
    const error = new StalledError('there is no README.md', 'add one');
    expect(failureOf(rollout(), error, NOON)).toEqual({
      change: { phase: 'failed', stage: null, message: 'there is no README.md; add one' },
      bug: null,
    });
  });
});

describe('what is only too early', () => {
  const error = new WaitingError('Waiting: policy "production" is suspended', 42_000);

  it('is tried again after exactly the time it asks for, and says what it waits for', () => {
    expect(failureOf(rollout(), error, NOON).change).toMatchObject({
      message: 'Waiting: policy "production" is suspended',
      dueAt: NOON + 42_000,
    });
  });

  it('counts no attempt, and ends a row of failures', () => {
    const { change } = failureOf(rollout({ attempts: 3, waitingSince: NOON - MINUTE }), error, NOON);
    expect(change).toMatchObject({ attempts: 0, waitingSince: null });
    expect(change).not.toHaveProperty('phase');
  });
});

describe('what may mend itself', () => {
  const down = new Error('the forge is down');

  it('is tried again, a little later each time, and never given up', () => {
    fc.assert(
      fc.property(fc.nat({ max: 100_000 }), fc.nat({ max: 100 * 24 * 60 * MINUTE }), (attempts, ago) => {
        const { change } = failureOf(rollout({ attempts, waitingSince: NOON - ago }), down, NOON);
        expect(change).not.toHaveProperty('phase');
        expect(change).not.toHaveProperty('stage');
        expect(change.attempts).toBe(attempts + 1);
        expect(change.waitingSince).toBe(NOON - ago);
        expect(change.dueAt).toBeGreaterThan(NOON);
        expect(change.dueAt).toBeLessThanOrEqual(NOON + 5 * MINUTE);
      }),
    );
  });

  it('remembers when it began to fail', () => {
    expect(failureOf(rollout(), down, NOON).change.waitingSince).toBe(NOON);
  });

  it('is told on the page alone for five minutes', () => {
    for (const since of [null, NOON - 5 * MINUTE + 1]) {
      const { change } = failureOf(rollout({ waitingSince: since }), down, NOON);
      expect(change).toMatchObject({ quiet: true, message: 'Trying again: the forge is down' });
    }
  });

  it('says after five minutes what it waits for and since when', () => {
    const state = rollout({ waitingSince: NOON - 5 * MINUTE, updatedAt: NOON - 2 * MINUTE, attempts: 8 });
    expect(failureOf(state, down, NOON).change).toMatchObject({
      quiet: false,
      message: 'Waiting since 2026-03-04 11:55 UTC: the forge is down',
    });
  });

  it('says so once, however the words of the reason differ at the next tries', () => {
    const since = NOON - 20 * MINUTE;
    const told = rollout({ waitingSince: since, updatedAt: NOON - 5 * MINUTE, attempts: 12 });
    const again = failureOf(told, new Error('no connection after 134 ms'), NOON).change;
    expect(again).toMatchObject({
      quiet: true,
      message: 'Waiting since 2026-03-04 11:40 UTC: no connection after 134 ms',
    });
  });
});

describe('our own bugs', () => {
  const bug = (() => {
    try {
      return (undefined as unknown as { field: string }).field as unknown as Error;
    } catch (error) {
      return error as Error;
    }
  })();

  it('are tried four times more, quietly', () => {
    for (const attempts of [0, 1, 2, 3]) {
      const { change, bug: id } = failureOf(rollout({ attempts }), bug, NOON);
      expect(change).toMatchObject({ attempts: attempts + 1, quiet: true });
      expect(change).not.toHaveProperty('phase');
      expect(id).not.toBeNull();
    }
  });

  it('fail the rollout at the fifth attempt, under an id and without a word of the code', () => {
    const { change, bug: id } = failureOf(rollout({ attempts: 4 }), bug, NOON);
    expect(change).toEqual({
      phase: 'failed',
      stage: null,
      message: `modelhook made a mistake (error ${id}); its log says more under that id, please report it`,
    });
    expect(id).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('are all errors that only a mistake of ours throws', () => {
    for (const error of [bug, new ReferenceError('x'), new RangeError('x'), new SyntaxError('x')])
      expect(failureOf(rollout(), error, NOON).bug).not.toBeNull();
    for (const error of [new Error('x'), new StoreUnavailableError('x'), 'thrown text', undefined])
      expect(failureOf(rollout(), error, NOON).bug).toBeNull();
  });
});

describe('a failure that is settled', () => {
  /** Lets the rollout fail over and over, each try when it is due. */
  async function keepFailing(site: Site, id: string, until: number, error: () => unknown): Promise<void> {
    while (site.clock.now < until) {
      for (const claimed of await site.store.rollouts.claim('resolve', 1))
        await settleFailure(site, claimed, error());
      await writeReports(site, id);
      site.clock.now = Math.min((await site.store.facts.nextDue(site.clock.now)) ?? until, until);
    }
  }
  const written: string[] = [];
  async function writeReports({ store }: Site, id: string): Promise<void> {
    for (const report of await store.reports.claim(10)) {
      expect(report.rollout.id).toBe(id);
      const { message } = report.rollout;
      written.push(message);
      await store.reports.sent(report, { context: 'c', state: 'pending', description: message, url: '' });
    }
  }

  it('of a forge that stays down for an hour is one report', async () => {
    const site = await createSite();
    const { id } = await site.rollOut(site.forge.create('ml/iris'));
    written.length = 0;
    let tries = 0;
    await keepFailing(site, id, NOON + 60 * MINUTE, () => {
      tries += 1;
      return new Error(`no answer after ${tries} ms`);
    });
    expect(tries).toBeGreaterThan(15);
    expect(written).toEqual([expect.stringMatching(/^Waiting since 2026-03-04 12:00 UTC: no answer after/)]);
    expect(await site.rollout(id)).toMatchObject({ phase: 'pending', stage: 'resolve', attempts: tries });
  });

  it('is logged with the stack under the id the person reads, and the stack stays in the log', async () => {
    const site = await createSite();
    const { id } = await site.rollOut(site.forge.create('ml/iris'));
    const bug = new TypeError('x is not a function');
    await keepFailing(site, id, NOON + MINUTE, () => bug);
    const { phase, message, transitions } = await site.rollout(id);
    expect(phase).toBe('failed');
    const logged = site.log.lines.filter((line) => line.message === 'internal error');
    expect(logged).toHaveLength(5);
    expect(message).toContain(String(logged.at(-1)?.fields['errorId']));
    expect(logged.at(-1)).toMatchObject({ level: 'error', fields: { err: bug, rollout: id } });
    const told = JSON.stringify(transitions);
    expect(told).not.toContain('x is not a function');
    expect(told).not.toContain('.ts');
  });

  it('keeps what was learnt before it', async () => {
    const site = await createSite();
    const { id } = await site.rollOut(site.forge.create('ml/iris'));
    const commit = 'b'.repeat(40);
    await settleFailure(site, await site.rollout(id), new StalledError('bad', 'mend it'), { sha: commit });
    expect(await site.rollout(id)).toMatchObject({ phase: 'failed', message: 'bad; mend it', sha: commit });
  });
});

describe('a result', () => {
  it('is kept until the store takes it, and the log says once why it waits', async () => {
    const log = fakeLog();
    const waits: number[] = [];
    const persist = createPersist(async (milliseconds) => {
      waits.push(milliseconds);
    }, log);
    expect(await persist(failingAtFirst(20, async () => 'stored'))).toBe('stored');
    expect(waits).toHaveLength(20);
    expect(Math.max(...waits)).toBeLessThanOrEqual(5000);
    expect(log.lines).toMatchObject([{ level: 'error', fields: { reason: 'the disk is full' } }]);
  });

  it('is given up at a stop', async () => {
    const stopping = new AbortController();
    const persist = createPersist(
      () =>
        new Promise((_, reject) =>
          stopping.signal.addEventListener('abort', () => reject(stopping.signal.reason)),
        ),
      fakeLog(),
    );
    const kept = persist(failingAtFirst(1, async () => 'stored'));
    const outcome = expect(kept).rejects.toMatchObject({ name: 'AbortError' });
    await Promise.resolve();
    stopping.abort();
    await outcome;
  });

  it('that the store refuses for another reason is not tried again', async () => {
    let tries = 0;
    const persist = createPersist(async () => {}, fakeLog());
    const refused = persist(async () => {
      tries += 1;
      throw new StalledError('two policies claim one target', 'give one another');
    });
    await expect(refused).rejects.toThrow(StalledError);
    expect(tries).toBe(1);
  });
});
