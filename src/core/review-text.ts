/** What a review of policies says: as a commit status, and as a comment. */
import { type Fault, formatFault } from './errors.ts';
import { cut, visible } from './markdown.ts';
import type { PolicyChanges } from './policy-changes.ts';
import { type CommentPlace, writeComment } from './review-comment.ts';
import { changingOf, faultSection, faultsIn, type Section, sectionsOf } from './review-sections.ts';
import type { TargetChange } from './target-changes.ts';
import type { Redeploys } from './target-effects.ts';

/** What was found of a head of the config repository. */
export type Examination =
  | {
      kind: 'faults';
      faults: readonly Fault[];
      /** Whether it was given up, so that what it changes is not known, and neither is every fault. */
      exceeded?: boolean;
    }
  | {
      kind: 'good';
      /** How many there are. */
      policies: number;
      warnings: readonly Fault[];
      /** null: nothing was compared. */
      changes: PolicyChanges | null;
      /** Why nothing was compared, in a few words of ours; left out where nothing is in force. */
      uncompared?: string;
    };

/** Why nothing is compared before the first policies come into force. */
export const UNCOMPARED = 'none is in force yet';

/** @returns the status `modelhook/policies`: one line, untruncated */
export function reviewStatus(found: Examination): { state: 'success' | 'failed'; description: string } {
  const [first, ...others] = faultsOf(found);
  if (first === undefined) return { state: 'success', description: headlineOf(found) };
  const more = others.length === 0 ? '' : ` (and ${others.length.toLocaleString('en')} more)`;
  return { state: 'failed', description: `${visible(cut(formatFault(first)))}${more}` };
}

/**
 * @param policies how many are in force; null: another revision is by now
 * @param rollouts those that the change of the policies has made
 * @returns the status of a head that came into force: how far its rollouts are
 */
export function carriedOutStatus(
  policies: number | null,
  rollouts: {
    total: number;
    underWay: number;
    failed: number;
    /** Superseded or cancelled. */
    dropped: number;
    firstFailure: string | null;
    /** Whether what the change means for what is deployed could not be told. */
    uncompared?: boolean;
  },
): { state: 'success' | 'failed' | 'running'; description: string } {
  const { total, underWay, failed, dropped, firstFailure, uncompared = false } = rollouts;
  const inForce = policies === null ? 'was in force' : `${counted(policies, 'policy', 'policies')} in force`;
  if (total === 0)
    return {
      state: 'success',
      description: `${inForce}, ${uncompared ? UNKNOWN : 'nothing is deployed anew'}`,
    };
  const done = total - underWay - failed - dropped;
  const targets = counted(total, 'target', 'targets');
  const parts = [
    `${done === total ? targets : `${done.toLocaleString('en')} of ${targets}`} deployed anew`,
    ...(dropped === 0 ? [] : [`${dropped.toLocaleString('en')} superseded or cancelled`]),
    ...(failed === 0 ? [] : [`${failed.toLocaleString('en')} failed: ${visible(cut(firstFailure ?? ''))}`]),
  ];
  const state = underWay > 0 ? 'running' : failed > 0 ? 'failed' : 'success';
  return { state, description: [inForce, ...parts].join(', ') };
}

const UNKNOWN = 'what changes for what is deployed is not known, so nothing is deployed anew';

/** @returns why it should not be merged: the faults of the files, or what the plan would do to deployed targets */
function faultsOf(found: Examination): readonly Fault[] {
  if (found.kind === 'faults') return found.faults;
  return found.changes === null ? [] : faultsIn(found.changes);
}

/** @returns the comment on a request: Markdown, in which no text of others is live, within the forge's limit */
export const reviewComment = (found: Examination, place: CommentPlace): string =>
  writeComment(
    {
      headline: [`**modelhook: ${warningOf(found)}${headlineOf(found)}.**`, ...countsOf(found)].join(' '),
      sections: reviewSections(found),
      diffs: reviewDiffs(found),
    },
    place,
  );

/** What is wrong goes first: the rest may read as though all were well. */
function warningOf(found: Examination): string {
  if (found.kind === 'faults') return '';
  const { length } = faultsOf(found);
  return length === 0 ? '' : `not to be merged, ${counted(length, 'fault', 'faults')}; `;
}

/** @returns the sections of a review, in the order in which a reviewer needs them */
export function reviewSections(found: Examination): Section[] {
  if (found.kind === 'faults') return [faultSection(found.faults)];
  return sectionsOf(found.changes, found.warnings);
}

/** @returns the targets whose manifests differ, in the order of their sections; the diff is empty where it is not shown */
export function reviewDiffs(found: Examination): (TargetChange & { diff: string })[] {
  if (found.kind === 'faults' || found.changes === null) return [];
  return changingOf(found.changes).flatMap((change) =>
    change.diff === null ? [] : [{ ...change, diff: change.diff }],
  );
}

/** @returns one line: how many policies there are, and how many deployed targets change */
export function headlineOf(found: Examination, isCompared = true): string {
  if (found.kind === 'faults') return counted(found.faults.length, 'fault', 'faults');
  const policies = counted(found.policies, 'policy', 'policies');
  if (found.changes === null) return `${policies}, ${found.uncompared ?? UNCOMPARED}`;
  const { targets } = found.changes;
  const all = changingOf(found.changes);
  const changing = all.filter(({ effect }) => effect !== 'released').length;
  const released = all.length - changing;
  const parts = [
    ...(changing > 0 ? [counted(changing, 'target changes', 'targets change')] : []),
    ...(released > 0 ? [counted(released, 'target goes on', 'targets go on')] : []),
    ...(['orphaned', 'fails'] as const).flatMap((effect) => {
      const number = targets.filter((target) => target.effect === effect).length;
      return number === 0 ? [] : [`${number.toLocaleString('en')} ${NO_MORE[effect]}`];
    }),
  ];
  const nothing = isCompared ? ['nothing deployed changes'] : [];
  return [policies, ...(parts.length > 0 ? parts : nothing)].join(', ');
}

/** A rollout is made by the merge, or goes on with it. */
const GOING: ReadonlySet<Redeploys> = new Set(['now', 'goesOn']);

const NO_MORE = { orphaned: 'left without a policy', fails: 'could not be deployed any more' };

/** @returns a sentence on what restarts and what does not; none where nothing deployed is there to change */
export function countsOf(found: Examination): string[] {
  if (found.kind === 'faults' || found.changes === null) return [];
  const { targets, unchanged } = found.changes;
  const total = targets.length + unchanged;
  if (total === 0) return [];
  const [restarts = 0, moves = 0, released = 0] = (['restarts', 'moves', 'released'] as const).map(
    (which) => targets.filter(({ effect, redeploys }) => effect === which && GOING.has(redeploys)).length,
  );
  const waits = targets.filter(
    ({ redeploys }) => redeploys === 'suspended' || redeploys === 'nextEvent',
  ).length;
  const stay = total - restarts - moves - released - waits;
  const parts = [
    counted(restarts, 'restarts with the merge', 'restart with the merge'),
    ...(moves > 0 ? [counted(moves, 'moves', 'move')] : []),
    ...(released > 0 ? [counted(released, 'gets what has waited', 'get what has waited')] : []),
    ...(waits > 0 ? [counted(waits, 'waits', 'wait')] : []),
    `${counted(stay, 'goes on', 'go on')} with the pods there are`,
  ];
  return [`Of ${counted(total, 'deployed target', 'deployed targets')} ${parts.join(', ')}.`];
}

const counted = (number: number, one: string, several: string): string =>
  `${number.toLocaleString('en')} ${number === 1 ? one : several}`;
