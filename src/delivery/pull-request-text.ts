/** What a pull request says: a reviewer decides on it without modelhook at hand. */
import { codeBlock } from '../core/markdown.ts';
import { shortSha } from '../core/ref-event.ts';
import { formatTarget } from '../core/rollout.ts';
import { subjectOf } from './commit-message.ts';
import type { Errand } from './target.ts';

/** @returns the title; what came from outside addresses nobody in it */
export const titleOf = (errand: Errand): string => subjectOf(errand).replaceAll('@', '@\u2060');

/**
 * @returns Markdown. Everything from refs, policies and model cards is in a block of code, where no forge takes it for
 *   a mention, a link or a command.
 */
export function textOf(errand: Errand): string {
  const { repository, sha, revision, policy, policyRevision, target, path, decisions, warnings, page, why } =
    errand;
  const facts = [
    ['repository', repository],
    ['revision', `${revision} (${sha})`],
    ['target', formatTarget(target)],
    ['file', path],
    ['policy', `${policy} at ${shortSha(policyRevision)}`],
  ].map(([term = '', fact]) => `${term.padEnd(12)}${fact}`);
  const parts = [
    errand.manifest === null
      ? 'Merging this removes a model, for the ref that deployed it is gone; closing it leaves the model where it is.'
      : 'Merging this deploys a model; closing it cancels the rollout. A newer version of the model takes its place here.',
    // Before all that a forge may cut off: whether the text is of this rollout is told by it.
    `[The rollout in modelhook](${page})`,
    code([...facts, '', why]),
    decisions.length > 0 && `How it was decided:\n\n${code(decisions)}`,
    warnings.length > 0 && `Warnings:\n\n${code(warnings)}`,
  ];
  return parts.filter((part) => part !== false).join('\n\n');
}

/** @returns a comment for those who looked at what the request was before */
export const supersededText = ({ revision, sha, manifest }: Errand): string =>
  `${manifest === null ? 'This request removes the model now, for the ref that deployed it is gone.' : 'A newer version of the model is in this request now.'} Look at it again before you merge it.\n\n${code([`${revision} (${sha})`])}`;

/** @returns a comment on why modelhook closes a request itself */
export const needlessText = (name: string, path: string): string =>
  `There is nothing left to merge here: the branch is already as it was to be.\n\n${code([`${path} in ${name}`])}`;

const code = (lines: readonly string[]): string => codeBlock('text', lines.join('\n'));
