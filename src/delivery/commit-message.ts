/** What a GitOps commit says: an auditor reads it without modelhook at hand. */
import type { Errand } from './target.ts';

/** Finds the commit of a rollout whose push outlived the controller that made it. */
export const ROLLOUT_TRAILER = 'Modelhook-Rollout';

/** @returns what happens, in one line */
export const subjectOf = ({ target, revision, environment, manifest }: Errand): string =>
  manifest === null
    ? `remove ${target.name} ${revision} from ${environment}`
    : `deploy ${target.name} ${revision} to ${environment}`;

/** @returns subject, reason and trailers */
export function commitMessage(errand: Errand): string {
  const { why, rolloutId, repository, sha, policy, policyRevision } = errand;
  return [
    subjectOf(errand),
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
