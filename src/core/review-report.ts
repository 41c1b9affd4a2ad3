/** What is kept of an examination: as much as people read and a merge needs, however large the policies are. */
import type { CommentPlace } from './review-comment.ts';
import { reviewPlainText } from './review-plain-text.ts';
import { type Examination, reviewComment, reviewStatus, UNCOMPARED } from './review-text.ts';
import type { TargetChange } from './target-changes.ts';

/** Characters of the text of a report. */
export const MOST_TEXT = 512 * 1024;

/** What an examination says to people. */
export interface ReviewReport {
  /** The status `modelhook/policies`. */
  state: 'success' | 'failed';
  /** One line. */
  description: string;
  /** Markdown within the forge's limit; null: none was asked for. */
  comment: string | null;
  /** Plain text, of at most {@link MOST_TEXT} characters; it counts what it leaves out. */
  text: string;
}

/** A rollout that a merge makes by itself, also where it then waits for a suspended policy. */
export interface Redeployment {
  /** What is deployed. */
  rolloutId: string;
  policy: string;
  environment: string;
}

/**
 * What was found of a head.
 * - `compared`: its policies are good, and these targets are deployed anew where it is merged; none: nothing changes by it
 * - `uncompared`: they are good, and what they change is not known
 * - `faults`: they are not good, or could not be examined within bounds (`exceeded`): nothing is known of what they change
 */
export type Reviewed = { report: ReviewReport } & (
  | { kind: 'compared'; redeployments: readonly Redeployment[] }
  | { kind: 'uncompared'; why: string }
  | { kind: 'faults'; exceeded: boolean }
);

/** @param place where a comment on it stands; null: there is none */
export function conclude(found: Examination, place: CommentPlace | null): Reviewed {
  const report: ReviewReport = {
    ...reviewStatus(found),
    comment: place && reviewComment(found, place),
    text: reviewPlainText(found, { most: MOST_TEXT }),
  };
  if (found.kind === 'faults') return { kind: 'faults', report, exceeded: found.exceeded ?? false };
  const { changes, uncompared = UNCOMPARED } = found;
  if (changes === null) return { kind: 'uncompared', report, why: uncompared };
  return { kind: 'compared', report, redeployments: changes.targets.flatMap(redeployment) };
}

function redeployment({ rolloutId, redeploys, after }: TargetChange): Redeployment[] {
  if (after === null || (redeploys !== 'now' && redeploys !== 'suspended')) return [];
  const { policy, environment } = after;
  return [{ rolloutId, policy: policy.name, environment }];
}
