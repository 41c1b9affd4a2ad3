/** What `modelhook plan` says for people to read: a stream of YAML whose comments explain its manifests. */
import { styleText } from 'node:util';
import type { Plan } from '../core/plan.ts';
import type { Policy } from '../core/policy.ts';
import { formatTarget } from '../core/rollout.ts';
import type { Answer, ManifestOptions, Matching, Other } from './manifests.ts';
import type { Difference } from './plan-diff.ts';
import { oneLine, printable } from './printable.ts';

/** So many policies of a kind that do not match are listed; more would drown what matches. */
const MAX_LISTED = 20;

/**
 * @param all whether every policy that does not match gets its line
 * @returns YAML: a document for each manifest, everything else in comments
 */
export function formatPlan(
  { matching, others }: Answer,
  event: Pick<ManifestOptions, 'repository' | 'ref' | 'sha'>,
  all: boolean,
): string {
  const sum = (matching.length + others.length).toLocaleString('en');
  const width = Math.max(...matching.map(({ policy }) => policy.name.length));
  const head = comments([
    oneLine(`${event.ref} of ${event.repository} at ${event.sha}`),
    `policies that match: ${matching.length.toLocaleString('en')} of ${sum}`,
    ...matching.map((one) => `  ${one.policy.name.padEnd(width)}  ${outcomeOf(one)}`),
  ]);
  const tail = comments([
    `policies that do not match: ${others.length.toLocaleString('en')} of ${sum}`,
    ...describeOthers(others, event.repository, all).map((line) => `  ${line}`),
  ]);
  let separator = '';
  const parts = matching.map((one) => {
    const explanation = comments(explain(one));
    if (one.error !== null) return explanation;
    const document = `${separator}${explanation}${one.manifest}`;
    separator = '---\n';
    return document;
  });
  return [head, ...parts, ...(others.length === 0 ? [] : [tail])].join('\n');
}

/** @returns what would change, policy by policy */
export const formatDifferences = (differences: readonly Difference[]): string =>
  differences
    .map(({ policy, with: place, diff, error }) => {
      const title = `policy ${policy}: ${oneLine(place)}`;
      if (error !== null) return `# ${title}: cannot be compared\n`;
      return diff === '' ? `# ${title}: no change\n` : `# ${title}\n${printable(diff ?? '')}`;
    })
    .join('\n');

const comments = (lines: string[]): string => lines.map((line) => `# ${line}\n`).join('');

function outcomeOf({ policy, plan, error }: Matching): string {
  if (error !== null) return styleText('red', `FAILS: ${oneLine(error.reason)}`, { stream: process.stdout });
  const waits = policy.suspend ? '; suspended, so it waits' : '';
  return styleText('green', oneLine(whereOf(plan)), { stream: process.stdout }) + waits;
}

const whereOf = ({ target, gitops, path }: Plan): string =>
  `${formatTarget(target)}, ${gitops === null ? 'applied' : `committed to ${gitops} as ${path}`}`;

function explain({ policy, reason, plan, error }: Matching): string[] {
  const lines = [
    reason,
    ...(plan?.decisions ?? []),
    ...(plan?.warnings ?? []).map((warning) => `warning: ${warning}`),
    ...(policy.suspend ? ['note: suspended, so its rollouts wait'] : []),
    ...(error === null ? [] : [`fails: ${error.message}`]),
  ];
  return [`policy ${titleOf(policy)}`, ...lines.map((line) => `  ${oneLine(line)}`)];
}

const titleOf = ({ name, source: { file, line, column } }: Policy): string =>
  `${name} (${oneLine(file)}:${line}:${column})`;

/**
 * Says why policies do not match, those that include the repository first.
 * @param all whether every one gets its line; else many of a kind are counted
 */
export function describeOthers(others: readonly Other[], repository: string, all: boolean): string[] {
  const lines = others.map(({ policy, reason, nearby }) => ({
    nearby,
    line: `${titleOf(policy)}: ${oneLine(reason)}`,
  }));
  const near = lines.filter(({ nearby }) => nearby).map(({ line }) => line);
  const far = lines.filter(({ nearby }) => !nearby).map(({ line }) => line);
  if (all) return [...near, ...far];
  const more = (count: number, what: string): string =>
    `${count.toLocaleString('en')} ${what} (plan --all lists them, --policy NAME asks about one)`;
  return [
    ...near.slice(0, MAX_LISTED),
    ...(near.length > MAX_LISTED ? [more(near.length - MAX_LISTED, 'more include the repository')] : []),
    ...(far.length > MAX_LISTED
      ? [more(far.length, oneLine(`have no pattern for repository ${repository}`))]
      : far),
  ];
}
