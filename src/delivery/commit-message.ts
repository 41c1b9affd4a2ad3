/** What a GitOps commit says: an auditor reads it without modelhook at hand. */
import type { Delivery } from './target.ts';

/** Finds the commit of a rollout whose push outlived the controller that made it. */
export const ROLLOUT_TRAILER = 'Modelhook-Rollout';

/** @returns what happens, in one line */
export const subjectOf = ({ target, revision, environment }: Delivery): string =>
  `deploy ${target.name} ${revision} to ${environment}`;

/** @returns subject, reason and trailers */
export function commitMessage(delivery: Delivery): string {
  const { why, rolloutId, repository, sha, policy, policyRevision } = delivery;
  return [
    subjectOf(delivery),
    '',
    why,
    '',
    `${ROLLOUT_TRAILER}: ${rolloutId}`,
    `Modelhook-Repository: ${repository}`,
    `Modelhook-Commit: ${sha}`,
    `Modelhook-Policy: ${policy}@${policyRevision}`,
    '',
  ].join('\n');
}
