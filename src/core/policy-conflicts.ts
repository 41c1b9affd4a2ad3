/**
 * Policies that would fight: two that deploy one target, or report one commit status, for one ref of one repository.
 *
 * Whether two policies can match the same ref is decided exactly. Whether their targets can be the same is tried
 * with the shortest ref both match: what is reported is certain. Targets that meet only for certain repositories
 * (a fixed name here, `${repository.name}` there) are left to the moment when they do.
 */
import { type Fault, StalledError } from './errors.ts';
import { commonName, type SearchBudget } from './glob.ts';
import type { Policy } from './policy.ts';
import { resolveTarget, valuesOf } from './policy-target.ts';
import { groupsOf, pairsOf, type Unit, unitsOf } from './policy-units.ts';
import { formatTarget } from './rollout.ts';

/** Enough to see what is wrong; policies that all fight one another make one for each pair. */
const MAX_CONFLICTS = 1000;
/** Comparisons, of which ten million take about a second. Policies that seldom match the same need a few hundred each. */
const MAX_WORK = 30_000_000;
/** What two units that may meet cost beside the search. */
const PAIR_WORK = 30;

export interface Conflicts {
  /** One for each pair, at the policy that comes later by name. */
  faults: Fault[];
  /** What was not looked at: the controller then refuses the second of two when they meet. */
  warnings: Fault[];
}

/** @param work how much is compared at most */
export function findConflicts(policies: readonly Policy[], work: number = MAX_WORK): Conflicts {
  const budget = { left: work };
  const faults: Fault[] = [];
  const [first] = policies;
  const at = (message: string): Fault[] => (first === undefined ? [] : [{ ...first.source, message }]);
  for (const conflict of conflictsIn(policies, budget)) {
    faults.push(conflict);
    if (faults.length === MAX_CONFLICTS)
      return { faults, warnings: at(`only the first ${MAX_CONFLICTS} conflicts are told; mend them first`) };
  }
  return { faults, warnings: budget.left < 0 ? at(TOO_MUCH) : [] };
}

const TOO_MUCH =
  'too many policies match the same refs, this one perhaps among them, to look for conflicts between all; ' +
  'narrow spec.match, or let fewer of them share a namespace or an environment';

function* conflictsIn(policies: readonly Policy[], budget: SearchBudget): Generator<Fault> {
  const overlap = rememberOverlaps(budget);
  const targetAt = rememberTargets();
  for (const [sameStatus, group] of groupsOf(policies))
    for (const [one, other] of pairsOf(unitsOf(group), sameStatus, budget)) {
      budget.left -= PAIR_WORK + one.policies.length + other.policies.length;
      if (budget.left < 0) return;
      const event = commonEvent(one, other, overlap);
      if (event === null) continue;
      for (const [first, second] of fighting(one, other, event, sameStatus, targetAt))
        yield conflict(first, second, event, targetAt);
    }
}

function conflict(first: Policy, second: Policy, event: Event, targetAt: TargetAt): Fault {
  const example = event.repository === '' ? '' : `, for example for ${event.ref} of ${event.repository}`;
  const both = `policies "${second.name}" and "${first.name}" (${place(first)})`;
  const target = targetAt(first, event);
  const message =
    target !== null && target === targetAt(second, event)
      ? `${both} both deploy ${target}${example}; give one another spec.target, or narrow what it matches`
      : `${both} both report as environment "${first.environment}"${example}; give one its own spec.environment`;
  return { ...second.source, message };
}

const place = ({ source }: Policy): string => `${source.file}:${source.line}:${source.column}`;

/** The policies of two units that fight over an event both match: each pair once, in the order of names. */
function* fighting(
  one: Unit,
  other: Unit,
  event: Event,
  sameStatus: boolean,
  targetAt: TargetAt,
): Generator<[Policy, Policy]> {
  const subjectOf = (policy: Policy): string | null => (sameStatus ? '' : targetAt(policy, event));
  const bySubject = Map.groupBy(other.policies, subjectOf);
  for (const policy of one.policies) {
    const subject = subjectOf(policy);
    for (const rival of subject === null ? [] : (bySubject.get(subject) ?? [])) {
      if (one === other && policy.name >= rival.name) continue;
      // Those of one environment are told where they share it.
      if (!sameStatus && policy.environment === rival.environment) continue;
      yield policy.name < rival.name ? [policy, rival] : [rival, policy];
    }
  }
}

type Overlap = (one: Unit, other: Unit, field: keyof Policy['match']) => string | null;

/** Many policies share their patterns: each two lists are searched once. */
function rememberOverlaps(budget: SearchBudget): Overlap {
  const known = new Map<string, Map<string, string | null>>();
  return (one, other, field) => {
    const [first, second] = one.keys[field] < other.keys[field] ? [one, other] : [other, one];
    const names = known.get(first.keys[field]) ?? new Map<string, string | null>();
    let name = names.get(second.keys[field]);
    if (name === undefined) {
      name = commonName(one.match[field], other.match[field], budget);
      known.set(first.keys[field], names.set(second.keys[field], name));
    }
    return name;
  };
}

interface Event {
  repository: string;
  ref: string;
}

/** @returns an event both match, with an empty repository where it is only likely that there is one; or null */
function commonEvent(one: Unit, other: Unit, overlap: Overlap): Event | null {
  const repository = overlap(one, other, 'repositories');
  if (repository === null) return null;
  const tag = overlap(one, other, 'tags');
  const branch = tag === null ? overlap(one, other, 'branches') : null;
  if (tag === null && branch === null) return null;
  if (repository === '' || (tag ?? branch) === '') return { repository: '', ref: '' };
  return { repository, ref: tag === null ? `refs/heads/${branch}` : `refs/tags/${tag}` };
}

/** The target a policy names for an event; null where it has none. */
type TargetAt = (policy: Policy, event: Event) => string | null;

/** Many pairs of policies meet at the same event. */
function rememberTargets(): TargetAt {
  const known = new Map<Policy, { event: Event; target: string | null }>();
  return (policy, event) => {
    const last = known.get(policy);
    if (last?.event.ref === event.ref && last.event.repository === event.repository) return last.target;
    const target = resolveAt(policy, event);
    known.set(policy, { event, target });
    return target;
  };
}

function resolveAt(policy: Policy, event: Event): string | null {
  const card = { library: 'library', pipelineTag: 'task', license: null, tags: [], baseModel: [] };
  const at = { ...event, sha: '0'.repeat(40) };
  try {
    return formatTarget(resolveTarget(policy, valuesOf(policy, at, card)));
  } catch (error) {
    // A template without a value for this event: nothing is deployed.
    if (error instanceof StalledError) return null;
    throw error;
  }
}
