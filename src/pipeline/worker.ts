/** Runs stages: claims what is due in their order, as much as there is room for, and sleeps until the next is due. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { messageOf } from '../core/errors.ts';
import { type Store, StoreUnavailableError } from '../store/store.ts';
import type { Log } from '../telemetry/log.ts';
import type { Stage, Work } from './stage.ts';

/** How long a stage that yields is held back by busy ones: late is better than never. */
const YIELDS_FOR = 10_000;
/** How long to wait after a claim that failed. */
const AFTER_FAILURE = 1000;
/** How long to sleep while there is work in hand. */
const WHILE_BUSY = 250;
/** The longest sleep: a clock that is set back must not stop the work for longer. */
const LONGEST_SLEEP = 60_000;

export interface Worker {
  start(): void;
  /** Looks for work now. */
  wake(): void;
  /** @returns whether all work in hand ended within the time */
  stop(milliseconds: number): Promise<boolean>;
}

interface Running {
  stage: Stage;
  inHand: Set<Promise<void>>;
  /** Leased and not begun: a claim is a commit, and one for each unit would be half of all commits. */
  leased: Work[];
  /** Since when more is due than it can take; null: it has room. */
  fullSince: number | null;
}

export function createWorker(
  stages: readonly Stage[],
  { store, now, log }: { store: Store; now: () => number; log: Log },
): Worker {
  const running: Running[] = stages.map((stage) => ({
    stage,
    inHand: new Set(),
    leased: [],
    fullSince: null,
  }));
  let timer: NodeJS.Timeout | undefined;
  let stopped = true;
  /** The look for work that is under way; null: none is. */
  let looking: Promise<void> | null = null;
  let again = false;
  let unsubscribe: (() => void) | undefined;

  /** Begins what is leased, as far as there is room. */
  function fill(each: Running): void {
    while (!stopped && each.inHand.size < each.stage.concurrency) {
      const work = each.leased.shift();
      if (!work) return;
      const promise = work()
        // A stage settles its own failures; what comes here is the store's, or ours, and would come again at once.
        .then(
          () => true,
          (error: unknown) => {
            if (stopped) log.info({ stage: each.stage.name }, 'work is left to the next start');
            else log.error({ stage: each.stage.name, err: error }, 'work ended without an outcome');
            return false;
          },
        )
        .then((well) => {
          each.inHand.delete(promise);
          fill(each);
          if (well) wake();
          else setTimeout(wake, AFTER_FAILURE).unref();
        });
      each.inHand.add(promise);
    }
  }

  /** How many units to lease: what can begin now, and as many again to go on with. */
  function room({ stage, inHand, leased }: Running, before: readonly Running[]): number {
    const held = before.some(({ fullSince }) => fullSince !== null && now() - fullSince < YIELDS_FOR);
    const free = stage.concurrency - inHand.size;
    return leased.length > 0 || free <= 0 || (stage.yields && held) ? 0 : free + stage.concurrency;
  }

  async function look(): Promise<void> {
    const failures: unknown[] = [];
    for (const [index, each] of running.entries()) {
      const before = running.slice(0, index);
      const limit = room(each, before);
      if (stopped || limit === 0) continue;
      const pressed = before.some(({ fullSince }) => fullSince !== null);
      try {
        each.leased.push(...(await each.stage.claim(limit, pressed)));
        each.fullSince = each.leased.length >= limit ? (each.fullSince ?? now()) : null;
        fill(each);
      } catch (error) {
        // A queue that cannot be read keeps no other from its work.
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  async function run(): Promise<void> {
    again = false;
    clearTimeout(timer);
    let sleep = AFTER_FAILURE;
    try {
      const began = now();
      await look();
      sleep = await untilDue(began);
    } catch (error) {
      again = false;
      const known = error instanceof StoreUnavailableError;
      log.error(
        known ? { reason: messageOf(error) } : { err: error },
        'the queue cannot be read; trying again',
      );
    }
    looking = null;
    if (stopped) return;
    if (again) wake();
    else timer = setTimeout(wake, sleep);
  }

  /**
   * How long nothing will be due. What is in hand wakes the worker when it ends, and is asked about no more often.
   * @param began when the look began: what fell due during it was not seen by it
   */
  async function untilDue(began: number): Promise<number> {
    if (running.some(({ inHand }) => inHand.size > 0)) return WHILE_BUSY;
    const due = await store.facts.nextDue(began);
    return due === null ? LONGEST_SLEEP : Math.min(Math.max(due - now(), 1), LONGEST_SLEEP);
  }

  /** Looks once for all that happens in one turn of the event loop. */
  function wake(): void {
    again = true;
    if (looking || stopped) return;
    looking = nextTurn().then(run);
  }

  return {
    start() {
      stopped = false;
      unsubscribe = store.lifecycle.onChange(wake);
      wake();
    },
    wake,
    async stop(milliseconds) {
      stopped = true;
      unsubscribe?.();
      clearTimeout(timer);
      // A claim under way would find the store closed.
      const inHand = Promise.all([looking, ...running.flatMap((each) => [...each.inHand])]).then(() => true);
      const { promise: late, resolve } = Promise.withResolvers<boolean>();
      const limit = setTimeout(() => resolve(false), milliseconds);
      return Promise.race([inHand, late]).finally(() => clearTimeout(limit));
    },
  };
}
