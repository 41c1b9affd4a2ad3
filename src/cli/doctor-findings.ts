/** What the checks of `modelhook doctor` give, and what they are made with. A check gives a section, and never throws. */
import { messageOf, StalledError } from '../core/errors.ts';
import type { Finding } from '../forge/forge.ts';

/** What was found about one thing, such as a forge. */
export interface Section {
  title: string;
  /** The forge's name; null where it is about something else. */
  forge: string | null;
  /** The cluster's name; null where it is about something else. */
  cluster: string | null;
  findings: Finding[];
}

/** Milliseconds that one check may take. */
export const LIMIT = 120_000;

/** @throws where the work takes longer than so many milliseconds */
export async function within<Result>(limit: number, work: Promise<Result>): Promise<Result> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`it took longer than ${limit / 1000} s`)), limit);
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

export const good = (about: string, message: string): Finding => ({
  about,
  state: 'good',
  message,
  fix: null,
});

export const fault = (about: string, message: string, fix: string): Finding => ({
  about,
  state: 'fault',
  message,
  fix,
});

export const warning = (about: string, message: string, fix: string): Finding => ({
  about,
  state: 'warning',
  message,
  fix,
});

export const failure = (about: string, what: string, error: unknown, fix: string): Finding => ({
  about,
  state: 'fault',
  message: `${what}: ${error instanceof StalledError ? error.reason : messageOf(error)}`,
  fix: error instanceof StalledError ? error.fix : fix,
});

/** @returns a number with its noun */
export const count = (number: number, one: string, many = `${one}s`): string =>
  `${number} ${number === 1 ? one : many}`;
