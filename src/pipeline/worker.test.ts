import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Store, StoreUnavailableError } from '../store/store.ts';
import { fakeLog } from './pipeline.fixture.ts';
import type { Stage, Work } from './stage.ts';
import { createWorker } from './worker.ts';

// Only what sleeps is in the tests' hands; turns of the event loop come by themselves.
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** Lets happen what can happen without time going by. */
async function settle(): Promise<void> {
  for (let turns = 0; turns < 10; turns += 1) await turn();
}

/** Lets time go by, and all happen that it brings. */
async function pass(milliseconds: number): Promise<void> {
  for (let left = milliseconds; left > 0; left -= 50) {
    vi.advanceTimersByTime(Math.min(left, 50));
    await settle();
  }
}

/** A stage with a queue of units that end when the test says so. */
class FakeStage implements Stage {
  readonly name: string;
  readonly concurrency: number;
  readonly yields: boolean;
  due: number;
  limits: number[] = [];
  begun = 0;
  inHand: { end: () => void; fail: (error: Error) => void }[] = [];
  /** Thrown by the next claims. */
  failure: Error | null = null;
  /** Kept waiting for by claims while set. */
  gate: Promise<void> | null = null;

  constructor(name: string, { concurrency = 1, yields = false, due = 0 }) {
    this.name = name;
    this.concurrency = concurrency;
    this.yields = yields;
    this.due = due;
  }

  async claim(limit: number): Promise<Work[]> {
    this.limits.push(limit);
    await this.gate;
    if (this.failure) throw this.failure;
    const taken = Math.min(limit, this.due);
    this.due -= taken;
    return Array.from({ length: taken }, () => () => this.#begin());
  }

  #begin(): Promise<void> {
    this.begun += 1;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const unit = { end: resolve, fail: reject };
    this.inHand.push(unit);
    return promise.finally(() => this.inHand.splice(this.inHand.indexOf(unit), 1));
  }
}

function workerOf(...stages: Stage[]) {
  const queue = { nextDue: null as number | null, askedAfter: 0, changed: () => {} };
  const store = {
    facts: {
      nextDue: async (after: number) => {
        queue.askedAfter = after;
        return queue.nextDue;
      },
    },
    lifecycle: {
      onChange: (listener: () => void) => {
        queue.changed = listener;
        return () => {
          queue.changed = () => {};
        };
      },
    },
  } as unknown as Store;
  const log = fakeLog();
  return { worker: createWorker(stages, { store, now: Date.now, log }), queue, log };
}

describe('the worker', () => {
  it('begins nothing before its start', async () => {
    const stage = new FakeStage('deliver', { due: 1 });
    workerOf(stage);
    await pass(1000);
    expect(stage.limits).toEqual([]);
  });

  it('claims in the order of the stages', async () => {
    const order: string[] = [];
    const stages = ['match', 'resolve', 'deliver', 'report'].map((name) => ({
      name,
      concurrency: 1,
      yields: false,
      claim: async () => {
        order.push(name);
        return [];
      },
    }));
    workerOf(...stages).worker.start();
    await settle();
    expect(order).toEqual(['match', 'resolve', 'deliver', 'report']);
  });

  it('looks again when the store says that something changed', async () => {
    const stage = new FakeStage('deliver', {});
    const { worker, queue } = workerOf(stage);
    worker.start();
    await settle();
    stage.due = 1;
    queue.changed();
    await settle();
    expect(stage.begun).toBe(1);
  });

  it('looks again when the next row is due, and sleeps until then', async () => {
    const stage = new FakeStage('deliver', {});
    const { worker, queue } = workerOf(stage);
    queue.nextDue = Date.now() + 5000;
    worker.start();
    await settle();
    stage.due = 1;
    await pass(4950);
    expect(stage.begun).toBe(0);
    await pass(50);
    expect(stage.begun).toBe(1);
  });

  it('misses nothing that falls due while it looks', async () => {
    const before = Date.now();
    const slow: Stage = {
      name: 'match',
      concurrency: 1,
      yields: false,
      claim: async () => {
        vi.setSystemTime(Date.now() + 10);
        return [];
      },
    };
    const { worker, queue } = workerOf(slow);
    worker.start();
    await settle();
    expect(Date.now()).toBeGreaterThanOrEqual(before + 10);
    expect(queue.askedAfter).toBe(before);
  });

  it('looks every minute though nothing is due: the clock may have been set back', async () => {
    const stage = new FakeStage('deliver', {});
    const { worker, queue } = workerOf(stage);
    queue.nextDue = Date.now() + 24 * 3_600_000;
    worker.start();
    await settle();
    stage.due = 1;
    await pass(60_000);
    expect(stage.begun).toBe(1);
  });

  it('has no more in hand than a stage allows, and goes on as units end', async () => {
    const stage = new FakeStage('resolve', { concurrency: 3, due: 10 });
    workerOf(stage).worker.start();
    await settle();
    expect(stage.inHand).toHaveLength(3);
    for (let begun = 4; begun <= 10; begun += 1) {
      stage.inHand[0]?.end();
      await settle();
      expect(stage.begun).toBe(begun);
      expect(stage.inHand).toHaveLength(3);
    }
  });

  it('leases at most what it can begin and as many again', async () => {
    const stage = new FakeStage('resolve', { concurrency: 3, due: 100 });
    workerOf(stage).worker.start();
    await settle();
    expect(stage.limits).toEqual([6]);
    expect(stage.due).toBe(94);
  });

  it('lets a stage without a bound take all there is', async () => {
    const stage = new FakeStage('deliver', { concurrency: Number.POSITIVE_INFINITY, due: 500 });
    workerOf(stage).worker.start();
    await settle();
    expect(stage.inHand).toHaveLength(500);
  });
});

describe('a stage that yields', () => {
  const busyAndYielding = () => ({
    resolve: new FakeStage('resolve', { concurrency: 2, due: 100 }),
    report: new FakeStage('report', { yields: true, due: 1 }),
  });

  it('waits while an earlier one has more than it can take, but no longer than ten seconds', async () => {
    const { resolve, report } = busyAndYielding();
    workerOf(resolve, report).worker.start();
    await pass(9950);
    expect(report.begun).toBe(0);
    await pass(1000);
    expect(report.begun).toBe(1);
    expect(resolve.begun).toBe(2);
  });

  it('goes on as soon as the earlier one has taken all', async () => {
    const { resolve, report } = busyAndYielding();
    workerOf(resolve, report).worker.start();
    await settle();
    while (resolve.inHand.length > 0) {
      expect(resolve.due > 0 ? report.begun : 0).toBe(0);
      resolve.inHand[0]?.end();
      await settle();
    }
    expect(report.begun).toBe(1);
  });

  it('does not wait for an earlier one that has room', async () => {
    const resolve = new FakeStage('resolve', { concurrency: 2, due: 3 });
    const report = new FakeStage('report', { yields: true, due: 1 });
    workerOf(resolve, report).worker.start();
    await settle();
    expect(report.begun).toBe(1);
  });

  it('does not wait for one without a bound, however much that has to do', async () => {
    const observe = new FakeStage('observe', { concurrency: Number.POSITIVE_INFINITY, due: 500 });
    const report = new FakeStage('report', { yields: true, due: 1 });
    workerOf(observe, report).worker.start();
    await settle();
    expect([observe.begun, report.begun]).toEqual([500, 1]);
  });

  it('is not waited for: one that does not yield goes on beside a full one', async () => {
    const { resolve } = busyAndYielding();
    const deliver = new FakeStage('deliver', { due: 1 });
    workerOf(resolve, deliver).worker.start();
    await settle();
    expect(deliver.begun).toBe(1);
  });

  it('holds back none before it', async () => {
    const report = new FakeStage('report', { yields: true, due: 100 });
    const deliver = new FakeStage('deliver', { due: 1 });
    workerOf(deliver, report).worker.start();
    await settle();
    expect(deliver.begun).toBe(1);
  });
});

describe('a claim that fails', () => {
  it('because the store is not available is tried again after a second, and the log says why', async () => {
    const stage = new FakeStage('resolve', { due: 1 });
    stage.failure = new StoreUnavailableError('the disk is full');
    const { worker, log } = workerOf(stage);
    worker.start();
    await settle();
    stage.failure = null;
    await pass(950);
    expect(stage.begun).toBe(0);
    await pass(50);
    expect(stage.begun).toBe(1);
    expect(log.lines).toMatchObject([
      {
        level: 'error',
        fields: { reason: 'the disk is full' },
        message: 'the queue cannot be read; trying again',
      },
    ]);
  });

  it('by a bug of ours is logged whole, and tried again', async () => {
    const stage = new FakeStage('resolve', { due: 1 });
    const bug = new TypeError('x is not a function');
    stage.failure = bug;
    const { worker, log } = workerOf(stage);
    worker.start();
    await settle();
    expect(log.lines).toMatchObject([{ level: 'error', fields: { err: bug } }]);
    stage.failure = null;
    await pass(1000);
    expect(stage.begun).toBe(1);
  });
});

describe('work that throws', () => {
  it('is logged, frees its place, and stops nothing', async () => {
    const stage = new FakeStage('resolve', { due: 2 });
    const { worker, log } = workerOf(stage);
    worker.start();
    await settle();
    const error = new Error('the store went away');
    stage.inHand[0]?.fail(error);
    await settle();
    expect(stage.begun).toBe(2);
    expect(log.lines).toMatchObject([
      { level: 'error', fields: { stage: 'resolve', err: error }, message: 'work ended without an outcome' },
    ]);
  });

  it('and would throw again at once is begun again after a second', async () => {
    let begun = 0;
    const poison: Stage = {
      name: 'match',
      concurrency: 1,
      yields: false,
      claim: async () => [
        async () => {
          begun += 1;
          throw new TypeError('x is not a function');
        },
      ],
    };
    workerOf(poison).worker.start();
    await settle();
    const first = begun;
    expect(first).toBe(1);
    await settle();
    expect(begun).toBe(1);
    await pass(1000);
    expect(begun).toBeGreaterThan(1);
    expect(begun).toBeLessThan(10);
  });
});

describe('a stop', () => {
  it('waits for the work in hand and begins no more, leased or due', async () => {
    const stage = new FakeStage('resolve', { concurrency: 2, due: 10 });
    const { worker, queue } = workerOf(stage);
    worker.start();
    await settle();
    const claims = stage.limits.length;
    const ended = vi.fn();
    const stopped = worker.stop(5000).then(ended);
    stage.inHand[0]?.end();
    await settle();
    expect(ended).not.toHaveBeenCalled();
    stage.inHand[0]?.end();
    await stopped;
    expect(ended).toHaveBeenCalledWith(true);
    queue.changed();
    worker.wake();
    await pass(120_000);
    expect(stage.begun).toBe(2);
    expect(stage.limits).toHaveLength(claims);
  });

  it('waits for a claim under way, which begins nothing any more', async () => {
    const stage = new FakeStage('resolve', { due: 1 });
    const gate = Promise.withResolvers<void>();
    stage.gate = gate.promise;
    const { worker } = workerOf(stage);
    worker.start();
    await settle();
    const ended = vi.fn();
    const stopped = worker.stop(5000).then(ended);
    await settle();
    expect(ended).not.toHaveBeenCalled();
    gate.resolve();
    await stopped;
    expect(ended).toHaveBeenCalledWith(true);
    expect(stage.begun).toBe(0);
  });

  it('says when work did not end in its time', async () => {
    const stage = new FakeStage('resolve', { due: 1 });
    const { worker } = workerOf(stage);
    worker.start();
    await settle();
    const stopped = worker.stop(5000);
    await pass(5000);
    expect(await stopped).toBe(false);
  });

  it('of an idle worker is immediate', async () => {
    const { worker } = workerOf(new FakeStage('resolve', {}));
    worker.start();
    await settle();
    expect(await worker.stop(5000)).toBe(true);
  });
});
