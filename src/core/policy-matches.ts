/** What two revisions of the policies match otherwise, of the repositories and refs that are known. */
import { allRefs, type Counted, count, type Deployed, type KnownRef, refKey } from './deployed.ts';
import { compileGlobs } from './glob.ts';
import { matchPolicies } from './match.ts';
import type { Policy, PolicySet } from './policy.ts';
import { pickPolicies } from './policy-differences.ts';

/** Of how many repositories and refs the names are kept: more are only counted. */
const MOST_REPOSITORIES = 100;
const MOST_REFS = 1000;

/** What of the known repositories a policy has won and lost. */
export interface MatchChange {
  policy: string;
  now: Counted<string>;
  noLonger: Counted<string>;
}

/** A ref that a policy matches for the first time. */
export interface NewRef extends KnownRef {
  policy: string;
}

export interface MatchChanges {
  /** By policy; only those with a difference. */
  matches: MatchChange[];
  /** By repository and ref. */
  newRefs: Counted<NewRef>;
}

/** How far a policy matches a repository: by the patterns for repositories only, or one of its known refs too. */
type Extent = 1 | 2;
/** By the policy's name and the repository. */
type Extents = Map<string, Map<string, Extent>>;

const EVERYTHING = compileGlobs(['**']);

/**
 * @param names of the policies that match otherwise: the only ones that are looked at
 * @returns which repositories each of them matches now and no longer: by its patterns, or, where these are as before, by
 *   the refs that are known. And the refs that the policy of that name neither matched nor has deployed.
 */
export function matchChanges(
  before: PolicySet,
  after: PolicySet,
  names: ReadonlySet<string>,
  deployed: readonly Deployed[],
  known: readonly KnownRef[],
): MatchChanges {
  if (names.size === 0) return { matches: [], newRefs: { total: 0, items: [] } };
  const refs = allRefs(deployed, known);
  const repositories = new Set(refs.map(({ repository }) => repository));
  const former = pickPolicies(before, names);
  const now = pickPolicies(after, names);
  const formerExtents = extentsOf(former, repositories);
  const extents = extentsOf(now, repositories);
  const done = new Set(deployed.map((one) => `${one.policy} ${refKey(one)}`));
  const newRefs: Counted<NewRef> = { total: 0, items: [] };
  for (const ref of refs) {
    const formerly = new Set(matchPolicies(former, ref).map(({ name }) => name));
    for (const name of formerly) formerExtents.get(name)?.set(ref.repository, 2);
    for (const { name } of matchPolicies(now, ref)) {
      extents.get(name)?.set(ref.repository, 2);
      if (!formerly.has(name) && !done.has(`${name} ${refKey(ref)}`))
        count(newRefs, { policy: name, ...ref }, MOST_REFS);
    }
  }
  const matches = [...names].sort().flatMap((policy) => {
    const [lost, won] = [formerExtents.get(policy) ?? new Map(), extents.get(policy) ?? new Map()];
    const change = { policy, now: beyond(won, lost), noLonger: beyond(lost, won) };
    return change.now.total + change.noLonger.total === 0 ? [] : [change];
  });
  return { matches, newRefs };
}

/** The index of {@link matchPolicies} does it, for a ref that every policy would match. */
function extentsOf({ policies, ...set }: PolicySet, repositories: ReadonlySet<string>): Extents {
  const anyRef = policies.map(
    (policy): Policy => ({ ...policy, match: { ...policy.match, tags: EVERYTHING } }),
  );
  const extents: Extents = new Map(policies.map(({ name }) => [name, new Map()]));
  for (const repository of repositories)
    for (const { name } of matchPolicies({ ...set, policies: anyRef }, { repository, ref: 'refs/tags/any' }))
      extents.get(name)?.set(repository, 1);
  return extents;
}

/** @returns the repositories that one extent has more of than the other */
function beyond(more: ReadonlyMap<string, Extent>, less: ReadonlyMap<string, Extent>): Counted<string> {
  const found: Counted<string> = { total: 0, items: [] };
  for (const repository of [...more.keys()].sort())
    if ((more.get(repository) ?? 0) > (less.get(repository) ?? 0))
      count(found, repository, MOST_REPOSITORIES);
  return found;
}
