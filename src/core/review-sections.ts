/** A change of the policies in words: sections of sentences, in the order in which a reviewer needs them. */
import type { Counted } from './deployed.ts';
import type { Fault } from './errors.ts';
import type { PolicyChanges } from './policy-changes.ts';
import { parseRef } from './ref-event.ts';
import { formatTarget, type Target } from './rollout.ts';
import { join, type Sentence, say } from './sentence.ts';
import type { TakenTarget } from './taken-targets.ts';
import type { TargetChange, TargetSide } from './target-changes.ts';
import type { Effect, Redeploys } from './target-effects.ts';
import { type Delivery, isSamePlace } from './target-present.ts';

export interface Section {
  title: string;
  /** What goes for all of it; empty where the title says it. */
  note: string;
  sentences: Sentence[];
  /** How many there are that have no sentence here. */
  more: number;
}

/** Titles, each with what goes for all of its section. */
const TITLES = {
  taken: ['Targets of other repositories', 'A target belongs to the repository that first deployed it.'],
  fails: ['Targets that could not be deployed any more', 'What is deployed stays as it is.'],
  policies: ['Policies', ''],
  changes: ['Targets that change', ''],
  orphaned: ['Targets that no policy would own any more', 'What is deployed stays as it is.'],
  owned: ['Targets that a policy owns again', 'What is deployed stays as it is, until the next push.'],
  matches: ['Known repositories that policies match otherwise', ''],
  newRefs: [
    'Refs that a policy matches for the first time',
    'The merge does not deploy them; `modelhook events replay` does.',
  ],
  warnings: ['Warnings', ''],
  faults: ['Faults', ''],
} as const satisfies Record<string, readonly [title: string, note: string]>;

/** @returns the section of a review that finds faults */
export const faultSection = (faults: readonly Fault[]): Section =>
  section('faults', faults.map(faultSentence));

/** @returns the sections that say something */
export function sectionsOf(changes: PolicyChanges | null, warnings: readonly Fault[]): Section[] {
  const warned = section('warnings', warnings.map(faultSentence));
  return [...(changes === null ? [] : planSections(changes)), warned].filter(
    ({ sentences }) => sentences.length > 0,
  );
}

function planSections(changes: PolicyChanges): Section[] {
  const of = (effect: Effect) => changes.targets.filter((target) => target.effect === effect);
  const { newRefs, taken } = changes;
  return [
    counted('taken', taken, takenSentence),
    section('fails', of('fails').map(failureSentence)),
    section('policies', policySentences(changes)),
    section('changes', changingOf(changes).map(changeSentence)),
    section('orphaned', of('orphaned').map(nameSentence)),
    section('owned', of('owned').map(ownedSentence)),
    section('matches', changes.matches.map(matchSentence)),
    counted(
      'newRefs',
      newRefs,
      ({ policy, repository, ref }) => say`${policy}: ${nameOf(ref)} of ${repository}`,
    ),
  ];
}

/** @returns everything about a change for which it should not be merged, at the policy that has it */
export function faultsIn({ targets, taken }: PolicyChanges): Fault[] {
  const stolen = taken.items.filter(({ owner }) => owner.deployed);
  return [
    ...stolen.map(({ target, file, policy, repository, owner }) => ({
      ...placeIn(policy),
      message: file
        ? `${file.path} in ${file.gitops} belongs to ${owner.repository}, which deployed it with policy "${owner.policy}"; ${repository} cannot take it, so give policy "${policy.name}" another delivery.path for ${formatTarget(target)}`
        : `target ${formatTarget(target)} belongs to ${owner.repository}, which deployed it with policy "${owner.policy}"; ${repository} cannot take it, so give policy "${policy.name}" another target for it`,
    })),
    ...targets.flatMap(({ effect, target, repository, after }) =>
      effect === 'fails' && after?.error
        ? [
            {
              ...placeIn(after.policy),
              message: `target ${formatTarget(target)} of ${repository} could not be deployed any more: ${after.error.reason}; ${after.error.fix}`,
            },
          ]
        : [],
    ),
  ];
}

const placeIn = ({ file, line, column }: Fault | TargetSide['policy']) => ({ file, line, column });

/** Those that cost most first. */
const CHANGING: readonly Effect[] = ['restarts', 'moves', 'released', 'inPlace', 'delivery'];

/** @returns the targets that go on changed, those that cost most first */
export const changingOf = ({ targets }: PolicyChanges): TargetChange[] =>
  CHANGING.flatMap((effect) => targets.filter((target) => target.effect === effect));

const faultSentence = (fault: Fault): Sentence => say`${placeIn(fault)}: ${fault.message}`;

const section = (kind: keyof typeof TITLES, sentences: Sentence[], more = 0): Section => {
  const [title, note] = TITLES[kind];
  return { title, note, sentences, more };
};

const counted = <Item>(
  kind: keyof typeof TITLES,
  { total, items }: Counted<Item>,
  tell: (item: Item) => Sentence,
): Section => section(kind, items.map(tell), total - items.length);

const takenSentence = ({ target, file, policy, repository, ref, owner }: TakenTarget): Sentence => {
  const what = file ? say`${file.path} in ${file.gitops}` : say`${formatTarget(target)}`;
  const claim = say`${what}: policy ${policy.name} (${placeIn(policy)}) claims it for ${nameOf(ref)} of ${repository}`;
  const whose = owner.deployed
    ? say`it belongs to ${owner.repository}, deployed by policy ${owner.policy}`
    : say`policy ${owner.policy} claims it for ${nameOf(owner.ref)} of ${owner.repository}, and the first that deploys it has it`;
  return join([claim, whose], '; ');
};

const failureSentence = (change: TargetChange): Sentence => {
  const { reason = '', fix = '' } = change.after?.error ?? {};
  return say`${nameSentence(change)}: ${reason}; ${fix}`;
};

export const nameSentence = ({ target, repository, ref }: TargetChange): Sentence =>
  say`${formatTarget(target)}, ${nameOf(ref)} of ${repository}`;

const ownedSentence = (change: TargetChange): Sentence =>
  say`${nameSentence(change)}: policy ${change.after?.policy.name ?? ''}`;

function changeSentence(change: TargetChange): Sentence {
  const { target, before, after, delivered, redeploys } = change;
  const names = [before?.policy.name ?? '', after?.policy.name ?? ''];
  const policy =
    names[0] === names[1] ? say`policy ${names[1] ?? ''}` : say`policy ${names[0] ?? ''} → ${names[1] ?? ''}`;
  const first = say`${nameSentence(change)}, ${policy}: ${effectSentence(change)}`;
  const rest = [
    ...alsoSentences(change),
    ...(before?.error ? [say`what it was could not be rendered: ${before.error.reason}`] : []),
    ...(isElsewhere(delivered, after)
      ? [say`${placeSentence(delivered, target)} → ${placeSentence(after.delivery, after.target)}`]
      : []),
    ...(redeploys === 'now' || redeploys === 'goesOn' ? [] : [REDEPLOYS[redeploys]]),
  ];
  return join([first, ...rest], '; ');
}

/** What comes with a change and is not of it. */
function alsoSentences({ effect, isBehind, waits }: TargetChange): Sentence[] {
  if (!isBehind || effect === 'released') return [];
  return waits
    ? [say`with what has waited for its suspended policy`]
    : [say`with changes of earlier merges that were not deployed`];
}

function effectSentence({ effect, revision, after }: TargetChange): Sentence {
  switch (effect) {
    case 'restarts':
      return say`restarts, its pods are replaced`;
    case 'inPlace':
      return say`changes in place, no pod is replaced`;
    case 'delivery':
      return say`the same manifest is delivered otherwise, no pod is replaced`;
    case 'released':
      return say`goes on with the merge: ${revision} has waited for its suspended policy`;
    default:
      return say`moves: ${after ? formatTarget(after.target) : ''} is deployed, and this one stays and no policy owns it any more`;
  }
}

const REDEPLOYS: Record<Exclude<Redeploys, 'now' | 'goesOn'>, Sentence> = {
  suspended: say`its policy is suspended, so it waits`,
  nextEvent: say`its policy waits for the next push`,
  keepsExisting: say`its policy updates nothing that exists, so it stays as it is`,
  never: say`the merge deploys nothing`,
};

const isElsewhere = (
  delivered: Delivery | null,
  after: TargetSide | null,
): after is TargetSide & { delivery: Delivery } =>
  Boolean(delivered && after?.delivery && !isSamePlace(delivered, after.delivery));

function placeSentence(delivery: Delivery | null, { cluster }: Target): Sentence {
  if (!delivery) return say`nowhere`;
  const { gitops, path, via } = delivery;
  if (gitops === null) return say`applied to cluster ${cluster}`;
  return via === 'push' ? say`${path} in ${gitops}` : say`${path} in ${gitops} by pull request`;
}

const policySentences = ({ policies: { added, changed, removed } }: PolicyChanges): Sentence[] => [
  ...added.map((policy) =>
    join([say`added: ${policy.name} (${placeIn(policy)})`, ...deliverySentences(policy.delivery)], ', '),
  ),
  ...changed.map(
    ({ fields, ...policy }) =>
      say`changed: ${policy.name} (${placeIn(policy)}): ${join(
        fields.map((field) => say`${field}`),
        ', ',
      )}`,
  ),
  ...removed.map(({ name }) => say`removed: ${name}`),
];

/** Where an added policy delivers, as far as that is not the default, and whether it takes over what is there. */
function deliverySentences({
  gitops,
  path,
  adopt,
}: PolicyChanges['policies']['added'][number]['delivery']): Sentence[] {
  return [
    ...(gitops !== null && path !== null ? [say`to ${path} in ${gitops}`] : []),
    ...(gitops !== null && path === null ? [say`in ${gitops}`] : []),
    ...(gitops === null ? [say`applied to its cluster`] : []),
    ...(adopt ? [say`takes over what is there, whoever made it`] : []),
  ];
}

function matchSentence({ policy, now, noLonger }: PolicyChanges['matches'][number]): Sentence {
  const list = (how: Sentence, { total, items }: Counted<string>): Sentence[] => {
    if (total === 0) return [];
    const named = join(
      items.slice(0, MOST_NAMES).map((name) => say`${name}`),
      ', ',
    );
    return [total > MOST_NAMES ? say`${how} ${named} and ${total - MOST_NAMES} more` : say`${how} ${named}`];
  };
  return say`${policy} ${join([...list(say`now matches`, now), ...list(say`no longer matches`, noLonger)], '; ')}`;
}

/** Of repositories in one sentence. */
const MOST_NAMES = 20;

/** A tag or branch by its short name. */
const nameOf = (ref: string): Sentence => {
  const parsed = parseRef(ref);
  if (parsed === null) return say`${ref}`;
  return parsed.kind === 'tag' ? say`tag ${parsed.name}` : say`branch ${parsed.name}`;
};
