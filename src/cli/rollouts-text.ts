/** Rollouts of a running controller, as `modelhook rollouts` shows them to people. */
import { bold, colour, tableOf, timeOf } from './controller-api.ts';
import { oneLine, printable } from './printable.ts';
import type { DetailsJson, RolloutJson } from './rollouts-api.ts';

/** @returns a rollout on a line */
export const summary = ({ id, phase, message }: RolloutJson): string =>
  `${id}  ${colour(phase)}  ${oneLine(message)}\n`;

const targetOf = ({ target }: RolloutJson): string =>
  target === null ? '-' : `${target.cluster}/${target.namespace}/${target.name}`;

const versionOf = ({ revision, sha }: RolloutJson): string => (revision === sha ? sha.slice(0, 7) : revision);

/** @returns a line each, below the names of the columns */
export const table = (rollouts: RolloutJson[]): string =>
  tableOf(
    ['ID', 'PHASE', 'REPOSITORY', 'REVISION', 'ENVIRONMENT', 'TARGET', 'CREATED (UTC)'],
    rollouts.map((rollout) => [
      rollout.id,
      rollout.phase,
      rollout.repository,
      versionOf(rollout),
      rollout.environment,
      targetOf(rollout),
      timeOf(rollout.createdAt),
    ]),
    (cell, column, row) => (column === 1 ? colour(rollouts[row]?.phase ?? 'pending', cell) : cell),
  );

/** @returns all there is to say of one */
export function details(rollout: DetailsJson): string {
  const { receipt } = rollout;
  const facts = [
    ['Id', rollout.id],
    ['Repository', rollout.repository],
    ['Ref', rollout.ref],
    ['Commit', rollout.sha],
    ['Policy', `${rollout.policy} at ${rollout.policyRevision.slice(0, 7)}`],
    ['Environment', rollout.environment],
    ['Target', targetOf(rollout)],
    ['Cause', `${rollout.cause.kind} ${rollout.cause.of}`],
    [
      'Delivered',
      receipt === null ? '-' : `${receipt.commit ?? 'no change'}${receipt.path ? `, ${receipt.path}` : ''}`,
    ],
    ['Created', rollout.createdAt],
    ['Finished', rollout.finishedAt ?? '-'],
  ];
  const times = rollout.transitions.map(
    ({ at, phase, message }) => `  ${at}  ${colour(phase, phase.padEnd(10))}  ${oneLine(message)}`,
  );
  const section = (title: string, lines: string[]): string[] =>
    lines.length === 0 ? [] : ['', bold(title), ...lines];
  return `${[
    `${colour(rollout.phase)}  ${oneLine(rollout.message)}`,
    '',
    ...facts.map(([name = '', value = '']) => `${name.padEnd(12)} ${oneLine(value)}`),
    ...section('Timeline', times),
    ...section(
      'Warnings',
      rollout.warnings.map((text) => `  ${oneLine(text)}`),
    ),
    ...section(
      'Decisions',
      rollout.decisions.map((text) => `  ${oneLine(text)}`),
    ),
    ...section('Manifest', rollout.manifest === null ? [] : [printable(rollout.manifest.trimEnd())]),
  ].join('\n')}\n`;
}
