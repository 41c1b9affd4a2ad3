/** What a pull request says: a reviewer decides on it without modelhook at hand. */
import { shortSha } from '../core/ref-event.ts';
import { formatTarget } from '../core/rollout.ts';
import { subjectOf } from './commit-message.ts';
import type { Delivery } from './target.ts';

/** @returns the title; what came from outside addresses nobody in it */
export const titleOf = (delivery: Delivery): string => subjectOf(delivery).replaceAll('@', '@\u2060');

/**
 * @returns Markdown. Everything from refs, policies and model cards is in a block of code, where no forge takes it for
 *   a mention, a link or a command.
 */
export function textOf(delivery: Delivery): string {
  const { repository, sha, revision, policy, policyRevision, target, path, decisions, warnings, page, why } =
    delivery;
  const facts = [
    ['repository', repository],
    ['revision', `${revision} (${sha})`],
    ['target', formatTarget(target)],
    ['file', path],
    ['policy', `${policy} at ${shortSha(policyRevision)}`],
  ].map(([term = '', fact]) => `${term.padEnd(12)}${fact}`);
  const parts = [
    'Merging this deploys a model; closing it cancels the rollout. A newer version of the model takes its place here.',
    // Before all that a forge may cut off: whether the text is of this rollout is told by it.
    `[The rollout in modelhook](${page})`,
    code([...facts, '', why]),
    decisions.length > 0 && `How it was decided:\n\n${code(decisions)}`,
    warnings.length > 0 && `Warnings:\n\n${code(warnings)}`,
  ];
  return parts.filter((part) => part !== false).join('\n\n');
}

/** @returns a comment for those who looked at what the request was before */
export const supersededText = ({ revision, sha }: Delivery): string =>
  `A newer version of the model is in this request now. Look at it again before you merge it.\n\n${code([`${revision} (${sha})`])}`;

/** @returns a comment on why modelhook closes a request itself */
export const needlessText = (name: string, path: string): string =>
  `There is nothing left to merge here: the branch holds what was to be deployed.\n\n${code([`${path} in ${name}`])}`;

/** A fence longer than any that stands in the text. */
function code(lines: readonly string[]): string {
  const text = lines.join('\n');
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = '`'.repeat(longest + 1);
  return `${fence}text\n${text}\n${fence}`;
}
