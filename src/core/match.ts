/** Which policies a ref of a repository is deployed by, and why. */
import { findGlobs, type Glob, type GlobList, matchesGlob } from './glob.ts';
import type { Policy, PolicySet } from './policy.ts';
import { parseRef, type RefEvent } from './ref-event.ts';

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

/**
 * What {@link explainMatch} says of every policy, without asking every policy.
 * @returns the policies that match, in the order of the set: by name
 */
export function matchPolicies({ policies }: PolicySet, event: Matchable): Policy[] {
  const ref = parseRef(event.ref);
  if (ref === null) return [];
  const index = indexOf(policies);
  const repositories = matchingLists(index.repositories, event.repository);
  if (repositories.length === 0) return [];
  const refs = ref.kind === 'tag' ? index.tags : index.branches;
  const names = new Set(matchingLists(refs, ref.name));
  const places: number[] = [];
  for (const shared of repositories)
    for (const place of shared.places) {
      const name = refs.byPlace[place];
      if (name !== undefined && names.has(name)) places.push(place);
    }
  return Array.from(Uint32Array.from(places).sort()).flatMap((place) => policies[place] ?? []);
}

/** @returns the policies that an event concerns: for a deletion those that remove what the ref has brought */
export function policiesFor(policies: PolicySet, event: Matchable & Pick<RefEvent, 'kind'>): Policy[] {
  const matching = matchPolicies(policies, event);
  return event.kind === 'deleted' ? matching.filter(({ onRefDelete }) => onRefDelete === 'remove') : matching;
}

/** Equal lists are one, however many policies write them. */
interface SharedList {
  list: GlobList;
  /** Of its policies in the set. */
  places: number[];
}

/** What a text is looked up in: lists by what they include, all that include the same at once, and by what they exclude. */
interface ListIndex {
  byPlace: SharedList[];
  included: PatternIndex<SharedList[]>;
  excluded: PatternIndex<SharedList>;
}

/** Patterns by where they start and end: most are told from a text without looking at them. */
interface PatternIndex<Owner> {
  /** Each pattern once, by prefix and suffix. */
  byAffixes: Map<string, Map<string, { glob: Glob; owners: Owner[] }>>;
  /** The lengths of prefix and suffix that there are. */
  shapes: Map<string, { start: number; end: number }>;
}

/** No pattern has a `*` in either. */
const affixes = (prefix: string, suffix: string): string => `${prefix}*${suffix}`;

/** @returns whose patterns match, each once */
function ownersOf<Owner>({ byAffixes, shapes }: PatternIndex<Owner>, text: string): Set<Owner> {
  const found = new Set<Owner>();
  for (const { start, end } of shapes.values()) {
    if (start + end > text.length) continue;
    const key = affixes(text.slice(0, start), text.slice(text.length - end));
    for (const { glob, owners } of byAffixes.get(key)?.values() ?? [])
      if (matchesGlob(glob, text)) for (const owner of owners) found.add(owner);
  }
  return found;
}

function matchingLists({ included, excluded }: ListIndex, text: string): SharedList[] {
  const alike = [...ownersOf(included, text)];
  if (alike.length === 0) return [];
  const without = ownersOf(excluded, text);
  return alike.flatMap((lists) => (without.size === 0 ? lists : lists.filter((one) => !without.has(one))));
}

function indexLists(lists: readonly GlobList[]): ListIndex {
  const known = new Map<string, SharedList>();
  const byPlace = lists.map((list, place) => {
    const shared = getOrAdd(known, JSON.stringify(list.patterns), () => ({ list, places: [] }));
    shared.places.push(place);
    return shared;
  });
  const alike = Map.groupBy(known.values(), ({ list }) => JSON.stringify(list.include.map(patternOf)));
  return {
    byPlace,
    included: indexPatterns(alike.values(), ([first]) => first?.list.include ?? []),
    excluded: indexPatterns(known.values(), ({ list }) => list.exclude),
  };
}

const patternOf = ({ pattern }: Glob): string => pattern;

function indexPatterns<Owner>(
  owners: Iterable<Owner>,
  globsOf: (owner: Owner) => readonly Glob[],
): PatternIndex<Owner> {
  const index: PatternIndex<Owner> = { byAffixes: new Map(), shapes: new Map() };
  for (const owner of owners)
    for (const glob of globsOf(owner)) {
      const [start, end] = [glob.prefix.length, glob.suffix.length];
      index.shapes.set(`${start} ${end}`, { start, end });
      const patterns = getOrAdd(index.byAffixes, affixes(glob.prefix, glob.suffix), () => new Map());
      getOrAdd(patterns, glob.pattern, () => ({ glob, owners: [] })).owners.push(owner);
    }
  return index;
}

function getOrAdd<Key, Value>(map: Map<Key, Value>, key: Key, make: () => Value): Value {
  const value = map.get(key) ?? make();
  map.set(key, value);
  return value;
}

type PolicyIndex = Record<'repositories' | 'tags' | 'branches', ListIndex>;

/** Policies in force are never changed, so what is made of them is good for as long as they are there. */
const indexes = new WeakMap<readonly Policy[], PolicyIndex>();

function indexOf(policies: readonly Policy[]): PolicyIndex {
  const known = indexes.get(policies);
  if (known !== undefined) return known;
  const index = {
    repositories: indexLists(policies.map(({ match }) => match.repositories)),
    tags: indexLists(policies.map(({ match }) => match.tags)),
    branches: indexLists(policies.map(({ match }) => match.branches)),
  };
  indexes.set(policies, index);
  return index;
}

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
