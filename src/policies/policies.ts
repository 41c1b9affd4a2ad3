/** The policies in force. */
import type { Fault } from '../core/errors.ts';
import type { PolicySet } from '../core/policy.ts';

/** What `/readyz`, the API and the log say about the config repository. */
export interface PoliciesStatus {
  repository: string;
  branch: string;
  /** The config commit whose policies are in force; null: none yet, events wait. */
  inForce: string | null;
  /** The newest commit that was looked at, good or bad; null: none could be read yet. */
  head: string | null;
  /** Why the head is not in force. Empty where it is. */
  faults: Fault[];
  /** Why the config repository cannot be read right now; null: it can. */
  unreachable: string | null;
}

export interface PolicySource {
  /** @returns the last good policies; null while there are none */
  current(): PolicySet | null;
  status(): PoliciesStatus;
  /** Reads the config repository's head and puts it in force where it is good. Throws where it cannot be read. */
  refresh(): Promise<void>;
}
