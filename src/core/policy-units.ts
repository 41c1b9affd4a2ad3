/** Policies put together so that few pairs of them have to be compared: what may match the same, and deploy the same. */
import { type Affixes, END, literal, pairsThatMayMeet } from './affixes.ts';
import type { Glob, GlobList, SearchBudget } from './glob.ts';
import type { Policy } from './policy.ts';
import { variablesOf } from './template.ts';

/** Policies that report one status; and those of one cluster, where targets can be the same. */
export function groupsOf(policies: readonly Policy[]): [sameStatus: boolean, Policy[]][] {
  const environments = Map.groupBy(policies, ({ environment }) => environment);
  const clusters = Map.groupBy(policies, ({ target }) => target.cluster);
  return [
    ...Array.from(environments.values(), (group): [boolean, Policy[]] => [true, group]),
    ...Array.from(clusters.values(), (group): [boolean, Policy[]] => [false, group]),
  ];
}

/** Policies that match the same, and whose targets are told apart by an event alone. */
export interface Unit {
  match: Policy['match'];
  /** The patterns of each list as one text. */
  keys: Record<keyof Policy['match'], string>;
  target: Affixes;
  policies: Policy[];
}

export function unitsOf(policies: readonly Policy[]): Unit[] {
  const units = new Map<string, Unit>();
  for (const policy of policies) {
    const { match } = policy;
    const target = affixesOfTarget(policy);
    const keys = {
      repositories: keyOf(match.repositories),
      tags: keyOf(match.tags),
      branches: keyOf(match.branches),
    };
    const key = JSON.stringify([keys, target]);
    const unit = units.get(key);
    if (unit === undefined) units.set(key, { match, keys, target, policies: [policy] });
    else unit.policies.push(policy);
  }
  return [...units.values()];
}

const keyOf = ({ patterns }: GlobList): string => JSON.stringify(patterns);

/** What is known of a target before an event, in its cluster: of a template nothing. */
function affixesOfTarget({ target: { namespace, name } }: Policy): Affixes {
  const [hasNamespace, hasName] = [namespace, name].map((text) => variablesOf(text).size === 0);
  if (hasNamespace && hasName) return literal(namespace + END + name);
  return { prefix: hasNamespace ? namespace + END : '', suffix: hasName ? END + name : '' };
}

/**
 * Finds each two units that may match the same, and each of several policies with itself.
 * @param sameStatus their targets need not be the same
 * @param budget where it is used up, the pairs are not all
 */
export function* pairsOf(
  units: readonly Unit[],
  sameStatus: boolean,
  budget: SearchBudget,
): Generator<[Unit, Unit]> {
  for (const unit of units) if (unit.policies.length > 1) yield [unit, unit];
  if (units.length < 2) return;
  const properties = [
    units.map(repositoriesAndRefs),
    units.map(({ match }) => match.repositories.include.map((glob) => affixesOfGlob(glob))),
    units.map(refsOf),
    ...(sameStatus ? [] : [units.map(({ target }) => [target])]),
  ];
  for (const [left, right] of pairsThatMayMeet(properties, budget)) {
    const [one, other] = [units[left], units[right]];
    if (one && other) yield [one, other];
  }
}

const refsOf = ({ match: { tags, branches } }: Unit): Affixes[] => [
  ...tags.include.map((glob) => affixesOfGlob(glob, 't')),
  ...branches.include.map((glob) => affixesOfGlob(glob, 'b')),
];

/** What a repository that is named whole is followed by: tells apart the policies of one among those of many. */
function repositoriesAndRefs(unit: Unit): Affixes[] {
  const refs = refsOf(unit);
  return unit.match.repositories.include.flatMap((glob) => {
    const repository = affixesOfGlob(glob);
    if (glob.pattern.includes('*') || refs.length > 4) return [repository];
    return refs.map(({ prefix, suffix }) => ({
      prefix: repository.prefix + prefix,
      suffix: suffix + repository.suffix,
    }));
  });
}

function affixesOfGlob({ pattern, prefix, suffix }: Glob, kind = ''): Affixes {
  const known = pattern.includes('*') ? { prefix, suffix } : literal(pattern);
  return { prefix: kind + known.prefix, suffix: known.suffix + kind };
}
