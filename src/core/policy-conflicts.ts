/**
 * Policies that would fight: two that deploy one target, or report one commit status, for one ref of one repository.
 *
 * Whether two policies can match the same ref is decided exactly. Whether their targets can be the same is tried
 * with the shortest ref both match: what is reported is certain. Targets that meet only for certain repositories
 * (a fixed name here, `${repository.name}` there) are left to the moment when they do.
 */
import { type Fault, StalledError } from './errors.ts';
import { commonName, type GlobList } from './glob.ts';
import type { Policy } from './policy.ts';
import { resolveTarget, valuesOf } from './policy-target.ts';
import { formatTarget } from './rollout.ts';
import { variablesOf } from './template.ts';

/** Enough to see what is wrong; policies that all fight one another make one for each pair. */
const MAX_CONFLICTS = 1000;

/** @returns a fault for each pair, at the policy that comes later by name */
export function findConflicts(policies: readonly Policy[]): Fault[] {
  const overlap = rememberOverlaps();
  const faults: Fault[] = [];
  for (const [first, second] of pairsThatMayMeet(policies)) {
    if (faults.length === MAX_CONFLICTS) break;
    const sameStatus = first.environment === second.environment;
    if (!sameStatus && !mayShareTarget(first, second)) continue;
    const event = commonEvent(first, second, overlap);
    if (event === null) continue;
    const example = event.repository === '' ? '' : `, for example for ${event.ref} of ${event.repository}`;
    const both = `policies "${second.name}" and "${first.name}" (${place(first)})`;
    const target = commonTarget(first, second, event);
    if (target !== null)
      faults.push({
        ...second.source,
        message: `${both} both deploy ${target}${example}; give one another spec.target, or narrow what it matches`,
      });
    else if (sameStatus)
      faults.push({
        ...second.source,
        message: `${both} both report as environment "${first.environment}"${example}; give one its own spec.environment`,
      });
  }
  return faults;
}

const place = ({ source }: Policy): string => `${source.file}:${source.line}:${source.column}`;

/** Policies that share an environment, a fixed namespace, or a namespace that is only known at an event. */
function groupsOf(policies: readonly Policy[]): Policy[][] {
  const groups = new Map<string, Policy[]>();
  const open = new Set(policies.filter(({ target }) => variablesOf(target.namespace).size > 0));
  const add = (key: string, policy: Policy, others: Iterable<Policy> = []): void => {
    const group = groups.get(key) ?? [...others];
    groups.set(key, group);
    group.push(policy);
  };
  for (const policy of policies) {
    add(JSON.stringify([policy.environment]), policy);
    const { cluster, namespace } = policy.target;
    if (!open.has(policy)) add(JSON.stringify([cluster, namespace]), policy, open);
  }
  return [...groups.values(), [...open]];
}

/** Each pair once, whose repositories may overlap, in the order of names. */
function* pairsThatMayMeet(policies: readonly Policy[]): Generator<[Policy, Policy]> {
  const seen = new Map<Policy, Set<Policy>>();
  for (const [one, other] of pairsByPrefix(groupsOf(policies))) {
    const [first, second] = one.name < other.name ? [one, other] : [other, one];
    const partners = seen.get(first) ?? new Set();
    if (partners.has(second)) continue;
    seen.set(first, partners.add(second));
    yield [first, second];
  }
}

/** Only where one's text before the first wildcard starts the other's: sorted, those stand behind one another. */
function* pairsByPrefix(groups: readonly Policy[][]): Generator<[Policy, Policy]> {
  for (const group of groups) {
    const entries = group
      .flatMap((policy) => policy.match.repositories.include.map(({ prefix }) => ({ prefix, policy })))
      .sort((left, right) => (left.prefix < right.prefix ? -1 : left.prefix > right.prefix ? 1 : 0));
    for (const [at, { prefix, policy }] of entries.entries())
      for (let next = at + 1; entries[next]?.prefix.startsWith(prefix); next++) {
        const other = entries[next]?.policy;
        if (other !== undefined && other !== policy) yield [policy, other];
      }
  }
}

/** Different fixed names never meet. */
function mayShareTarget(left: Policy, right: Policy): boolean {
  const differ = (one: string, other: string): boolean =>
    one !== other && variablesOf(one).size === 0 && variablesOf(other).size === 0;
  return (
    left.target.cluster === right.target.cluster &&
    !differ(left.target.namespace, right.target.namespace) &&
    !differ(left.target.name, right.target.name)
  );
}

type Overlap = (left: GlobList, right: GlobList) => string | null;

/** Many policies share their patterns. */
function rememberOverlaps(): Overlap {
  const known = new Map<string, string | null>();
  return (left, right) => {
    const key = JSON.stringify([left.patterns, right.patterns]);
    let name = known.get(key);
    if (name === undefined) {
      name = commonName(left, right);
      known.set(key, name);
    }
    return name;
  };
}

/** @returns an event both match, with an empty repository where it is only likely that there is one; or null */
function commonEvent(
  first: Policy,
  second: Policy,
  overlap: Overlap,
): { repository: string; ref: string } | null {
  const repository = overlap(first.match.repositories, second.match.repositories);
  if (repository === null) return null;
  const tag = overlap(first.match.tags, second.match.tags);
  const branch = tag === null ? overlap(first.match.branches, second.match.branches) : null;
  if (tag === null && branch === null) return null;
  if (repository === '' || (tag ?? branch) === '') return { repository: '', ref: '' };
  return { repository, ref: tag === null ? `refs/heads/${branch}` : `refs/tags/${tag}` };
}

/** @returns the target both name for an event; null where they differ or one has none */
function commonTarget(
  first: Policy,
  second: Policy,
  event: { repository: string; ref: string },
): string | null {
  const card = { library: 'library', pipelineTag: 'task', license: null, tags: [], baseModel: [] };
  const at = { ...event, sha: '0'.repeat(40) };
  try {
    const [left, right] = [first, second].map((policy) =>
      formatTarget(resolveTarget(policy, valuesOf(policy, at, card))),
    );
    return left !== undefined && left === right ? left : null;
  } catch (error) {
    // A template without a value for this event: neither deploys it.
    if (error instanceof StalledError) return null;
    throw error;
  }
}
