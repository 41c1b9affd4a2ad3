/** The policies in force, and revisions that may come into force. */

import type { Deployed, KnownRef } from '../core/deployed.ts';
import type { Fault } from '../core/errors.ts';
import type { PolicySet } from '../core/policy.ts';
import type { CommentPlace } from '../core/review-comment.ts';
import type { Reviewed } from '../core/review-report.ts';

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

/** What policies are judged by beside themselves. */
export interface Surroundings {
  deployed: readonly Deployed[];
  refs: readonly KnownRef[];
}

/** Looks at revisions of the config repository that are not in force, or not any more. */
export interface PolicyReviewer {
  /**
   * Examines a head, within bounds. `faults` is never "nothing changes": at a merge it is to be tried again. Where it is
   * `uncompared`, the status of what came into force says so (`uncompared` of `carriedOutStatus`).
   * @param head its commit, and the ref it is found by; null: it is in force
   * @param base the revision to compare with; null: none
   * @param place where a comment on it stands; null: none is to be written
   * @throws Error, transient, where one of them cannot be had
   */
  examine(
    head: { sha: string; ref: string | null },
    base: string | null,
    around: Surroundings,
    place: CommentPlace | null,
  ): Promise<Reviewed>;
  /** Keeps a commit for as long as it is needed: the one whose rollouts were made last. The one before it is let go. */
  keep(revision: string): Promise<void>;
}
