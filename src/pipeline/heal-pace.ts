/** How often one target is put back: whoever changes it back each time must not be fought as fast as machines can. */
const AT_ONCE = 3;
/** Without a change for this long, in milliseconds, a fight is over. */
const QUIET = 10 * 60_000;
const PAUSE = { first: 5000, longest: 5 * 60_000 };

/** How often a target was put back without ten quiet minutes between, and when last, in milliseconds since the epoch. */
export interface Fight {
  times: number;
  lastAt: number;
  /** How often by what somebody had made of it: another one may join, whose changes are news. */
  timesOf: ReadonlyMap<string, number>;
}

export const PEACE: Fight = { times: 0, lastAt: 0, timesOf: new Map() };

/**
 * @param what somebody had made of it, a clause
 * @param at when it was put back once more
 */
export function fightOn(before: Fight, what: string, at: number): Fight {
  const { times, timesOf } = at - before.lastAt < QUIET ? before : PEACE;
  return { times: times + 1, lastAt: at, timesOf: new Map(timesOf).set(what, (timesOf.get(what) ?? 0) + 1) };
}

/** @returns how long to wait before it is put back again, in milliseconds */
export const pauseAfter = ({ times }: Fight): number =>
  times < AT_ONCE ? 0 : Math.min(PAUSE.first * 2 ** (times - AT_ONCE), PAUSE.longest);

/** @returns what to say in the timeline; null: it was said, and only the log has more of it */
export function wordsOf({ timesOf }: Fight, cluster: string, what: string): string | null {
  const times = timesOf.get(what) ?? 0;
  if (times <= AT_ONCE) return `Put back in ${cluster}: ${what}`;
  if (times > AT_ONCE + 1) return null;
  return `Put back in ${cluster} again and again: ${what}; from now on after longer and longer pauses, up to 5 minutes, until one of the two stops`;
}
