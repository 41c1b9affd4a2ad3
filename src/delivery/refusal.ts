/** Why a Git server did not take a push. */
import { stripVTControlCharacters } from 'node:util';
import { StalledError } from '../core/errors.ts';
import type { GitError } from '../git/git.ts';

/** The server's word on a ref that was pushed. */
export interface Rejection {
  reason: string;
  /** Whether it is the server's will; else it may take the same push another time. */
  isFinal: boolean;
}

/** Refusals that are not the server's will: a full disk, a lock that another push holds, a branch that moved and moved back. */
const TRANSIENT =
  /stale info|fetch first|non-fast-forward|unpacker error|failed to update ref|failed to lock|cannot lock|incorrect old value|internal error/i;

/**
 * @returns what `git push --porcelain` tells of a ref: `!<tab><from>:<to><tab>[remote rejected] (why)`; null where the
 *   push failed in another way, and may have landed
 */
export function rejection(error: GitError): Rejection | null {
  const reason = /^!\t\S+\t(.*)$/m.exec(error.stdout)?.[1];
  return reason === undefined ? null : { reason, isFinal: !TRANSIENT.test(reason) };
}

/** @returns what the person who pushed reads when the server's hook or rule says no: its own words */
export function refusedBy(name: string, error: GitError): StalledError {
  const words = stripVTControlCharacters(error.stderr)
    .split('\n')
    .filter((line) => line.startsWith('remote:'))
    .map((line) => line.slice('remote:'.length).trim())
    .filter(Boolean)
    .join(' ');
  const why = words || rejection(error)?.reason || error.message;
  return new StalledError(
    `${name} refused the push: ${why}`,
    'change what it objects to, or let its rule accept modelhook; then delete the tag and push it once more',
    { cause: error },
  );
}
