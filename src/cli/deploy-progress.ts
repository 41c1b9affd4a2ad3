/** Tells on standard error how rollouts fare, a line for each step, until they have ended. */
import { styleText } from 'node:util';
import type { Deployment } from '../compose.ts';
import { isFinal, type Rollout } from '../core/rollout.ts';
import { oneLine } from './printable.ts';

export interface Followed {
  /** As they are in the end. */
  ended: Rollout[];
  /** Somebody pressed Ctrl-C before the end. */
  interrupted: boolean;
}

/** @returns once all have failed, serve, or have nothing left to wait for; or somebody presses Ctrl-C */
export async function follow(store: Deployment['store'], rollouts: readonly Rollout[]): Promise<Followed> {
  const { promise: over, resolve: end } = Promise.withResolvers<boolean>();
  const told = new Map<string, number>();
  let telling = Promise.resolve();

  async function tell(): Promise<Rollout[]> {
    const found = await Promise.all(rollouts.map(({ id }) => store.rollouts.get(id)));
    const there = found.filter((rollout) => rollout !== null);
    for (const { id, policy, createdAt, transitions } of there) {
      for (const { at, phase, message } of transitions.slice(told.get(id) ?? 0)) {
        const time = `+${((at - createdAt) / 1000).toFixed(1)} s`.padStart(9);
        const words = `${oneLine(policy)}  ${phase.padEnd(10)}  ${oneLine(message)}`;
        process.stderr.write(`${styleText('dim', time, { stream: process.stderr })}  ${words}\n`);
      }
      told.set(id, transitions.length);
    }
    return there;
  }
  const look = () => {
    telling = telling.then(async () => {
      if ((await tell()).every(hasEnded)) end(false);
    });
    telling.catch(() => {});
  };

  const interrupt = () => end(true);
  const unsubscribe = store.lifecycle.onChange(look);
  for (const signal of SIGNALS) process.once(signal, interrupt);
  try {
    look();
    const interrupted = await over;
    await telling;
    return { ended: await tell(), interrupted };
  } finally {
    unsubscribe();
    for (const signal of SIGNALS) process.off(signal, interrupt);
  }
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** What failed may be watched on by a controller, in case it mends itself; whoever waits here is told at once. */
const hasEnded = (rollout: Rollout): boolean => isFinal(rollout) || rollout.phase === 'failed';
