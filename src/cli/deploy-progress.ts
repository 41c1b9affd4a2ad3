/** Tells on standard error how rollouts fare, a line for each step, until they have ended. */
import { styleText } from 'node:util';
import type { Deployment } from '../compose.ts';
import { isFinal, type Phase, type Rollout } from '../core/rollout.ts';
import { phaseText } from './phase-text.ts';
import { oneLine } from './printable.ts';

/** Milliseconds without news after which it is said what is still waited for. */
const QUIET = 60_000;

/**
 * Returns once all have failed, serve, or have nothing left to wait for; or somebody presses Ctrl-C.
 * @returns whether somebody did
 */
export async function follow(store: Deployment['store'], rollouts: readonly Rollout[]): Promise<boolean> {
  const { promise: over, resolve: end } = Promise.withResolvers<boolean>();
  const told = new Map<string, number>();
  let telling = Promise.resolve();

  async function tell(): Promise<Rollout[]> {
    const found = await Promise.all(rollouts.map(({ id }) => store.rollouts.get(id)));
    const there = found.filter((rollout) => rollout !== null);
    for (const rollout of there) {
      const { id, createdAt, transitions } = rollout;
      for (const { at, phase, message } of transitions.slice(told.get(id) ?? 0)) {
        write(rollout, at - createdAt, phase, message);
        quiet.refresh();
      }
      told.set(id, transitions.length);
    }
    return there;
  }
  async function remind(): Promise<void> {
    const waiting = (await tell()).filter((rollout) => !hasEnded(rollout));
    for (const rollout of waiting)
      write(rollout, Date.now() - rollout.createdAt, rollout.phase, `still: ${rollout.message}`);
  }
  const after = (work: () => Promise<void>) => {
    telling = telling.then(work);
    telling.catch(() => {});
  };
  const look = () =>
    after(async () => {
      if ((await tell()).every(hasEnded)) end(false);
    });

  const interrupt = () => end(true);
  const quiet = setInterval(() => after(remind), QUIET);
  const unsubscribe = store.lifecycle.onChange(look);
  for (const signal of SIGNALS) process.once(signal, interrupt);
  try {
    look();
    const interrupted = await over;
    await telling;
    await tell();
    return interrupted;
  } finally {
    clearInterval(quiet);
    unsubscribe();
    for (const signal of SIGNALS) process.off(signal, interrupt);
  }
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** What failed may be watched on by a controller, in case it mends itself; whoever waits here is told at once. */
const hasEnded = (rollout: Rollout): boolean => isFinal(rollout) || rollout.phase === 'failed';

/** @param after in milliseconds */
function write({ policy }: Rollout, after: number, phase: Phase, message: string): void {
  const stream = process.stderr;
  const time = styleText('dim', `+${(after / 1000).toFixed(1)} s`.padStart(9), { stream });
  const word = phaseText(phase, phase.padEnd(10), stream);
  stream.write(`${time}  ${oneLine(policy)}  ${word}  ${oneLine(message)}\n`);
}
