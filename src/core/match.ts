/** Which policies a ref of a repository is deployed by, and why. */
import { findGlobs } from './glob.ts';
import type { Policy, PolicySet } from './policy.ts';
import { parseRef } from './ref-event.ts';

/** What policies match on. */
export interface Matchable {
  repository: string;
  /** The full name: `refs/tags/v1.0.0` */
  ref: string;
}

export type MatchResult =
  /** The patterns that included the repository and the ref. */
  | { matches: true; repositoryPattern: string; refPattern: string; reason: string }
  | { matches: false; reason: string };

/** @returns the policies that match, by name */
export const matchPolicies = (set: PolicySet, event: Matchable): Policy[] =>
  set.policies.filter((policy) => explainMatch(policy, event).matches);

/** @returns whether and why a policy matches: the first pattern that decided it. The reason is a clause, not a sentence. */
export function explainMatch(policy: Policy, event: Matchable): MatchResult {
  const ref = parseRef(event.ref);
  if (ref === null) return no(`${event.ref} is neither a tag nor a branch`);
  const repository = findGlobs(policy.match.repositories, event.repository);
  if (repository.included === null) {
    const patterns = policy.match.repositories.include.map((glob) => glob.pattern).join(', ');
    return no(`repository ${event.repository} matches none of ${patterns}`);
  }
  if (repository.excluded !== null)
    return no(`repository ${event.repository} is excluded by ${repository.excluded}`);
  const list = ref.kind === 'tag' ? policy.match.tags : policy.match.branches;
  const name = findGlobs(list, ref.name);
  if (name.included === null) {
    const patterns = list.include.map((glob) => glob.pattern).join(', ');
    if (patterns === '') return no(`it deploys no ${ref.kind === 'tag' ? 'tags' : 'branches'}`);
    return no(`${ref.kind} ${ref.name} matches none of ${patterns}`);
  }
  if (name.excluded !== null) return no(`${ref.kind} ${ref.name} is excluded by ${name.excluded}`);
  return {
    matches: true,
    repositoryPattern: repository.included,
    refPattern: name.included,
    reason: `repository ${event.repository} matches ${repository.included}, ${ref.kind} ${ref.name} matches ${name.included}`,
  };
}

const no = (reason: string): MatchResult => ({ matches: false, reason });
