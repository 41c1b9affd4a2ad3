/** What a GitOps commit says: an auditor reads it without modelhook at hand. */
import type { Delivery } from './target.ts';

/** Finds the commit of a rollout whose push outlived the controller that made it. */
export const ROLLOUT_TRAILER = 'Modelhook-Rollout';

/** @returns subject, reason and trailers */
export function commitMessage(delivery: Delivery): string {
  const { target, revision, environment, why, rolloutId, repository, sha, policy, policyRevision } = delivery;
  return [
    `deploy ${target.name} ${revision} to ${environment}`,
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
