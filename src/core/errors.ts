/**
 * The two classes that decide whether work is tried again (docs/decisions/0006-errors-decide-the-retry.md).
 * Every other error is transient: it is retried with exponential backoff for as long as it takes.
 */

/** A person must act, so nothing is retried: the rollout fails and says this. */
export class StalledError extends Error {
  override readonly name = 'StalledError';
  /** What is wrong and where, without the remedy. */
  readonly reason: string;
  /** What the reader can do about it, in the imperative. */
  readonly fix: string;

  constructor(reason: string, fix: string, options?: ErrorOptions) {
    super(`${reason}; ${fix}`, options);
    this.reason = reason;
    this.fix = fix;
  }
}

/** Nothing is wrong, it is only too early: try again after the given time, and count no attempt. */
export class WaitingError extends Error {
  override readonly name = 'WaitingError';
  /** How long to wait, in milliseconds. */
  readonly after: number;

  constructor(reason: string, after: number, options?: ErrorOptions) {
    super(reason, options);
    this.after = after;
  }
}

/** One thing that is wrong in a file: shown as `file:line:column: message`. Lines and columns count from 1. */
export interface Fault {
  file: string;
  line: number;
  column: number;
  message: string;
}

/** @returns the fault as compilers and editors spell it: `file:line:column: message` */
export const formatFault = (fault: Fault): string =>
  `${fault.file}:${fault.line}:${fault.column}: ${fault.message}`;

/** What any thrown value says to a person, without its stack. */
export const messageOf = (thrown: unknown): string =>
  thrown instanceof Error ? thrown.message || thrown.name : String(thrown);
