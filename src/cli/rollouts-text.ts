/** Rollouts of a running controller, as `modelhook rollouts` shows them to people. */
import { styleText } from 'node:util';
import type { Phase } from '../core/rollout.ts';
import { phaseText } from './phase-text.ts';
import { oneLine, printable } from './printable.ts';
import type { DetailsJson, RolloutJson } from './rollouts-api.ts';

const colour = (phase: Phase, text: string = phase): string => phaseText(phase, text, process.stdout);

/** @returns a rollout on a line */
export const summary = ({ id, phase, message }: RolloutJson): string =>
  `${id}  ${colour(phase)}  ${oneLine(message)}\n`;

const bold = (text: string): string => styleText('bold', text, { stream: process.stdout });

const targetOf = ({ target }: RolloutJson): string =>
  target === null ? '-' : `${target.cluster}/${target.namespace}/${target.name}`;

const versionOf = ({ revision, sha }: RolloutJson): string => (revision === sha ? sha.slice(0, 7) : revision);

/** @returns a line each, below the names of the columns */
export function table(rollouts: RolloutJson[]): string {
  const rows = rollouts.map((rollout) =>
    [
      rollout.id,
      rollout.phase,
      rollout.repository,
      versionOf(rollout),
      rollout.environment,
      targetOf(rollout),
      rollout.createdAt.slice(0, 19).replace('T', ' '),
    ].map(oneLine),
  );
  const heads = ['ID', 'PHASE', 'REPOSITORY', 'REVISION', 'ENVIRONMENT', 'TARGET', 'CREATED (UTC)'];
  const widths = heads.map((head, column) =>
    Math.max(head.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: string[]): string[] => cells.map((cell, column) => cell.padEnd(widths[column] ?? 0));
  const lines = rows.map((row, index) => {
    const [id = '', phase = '', ...rest] = line(row);
    return [id, colour(rollouts[index]?.phase ?? 'pending', phase), ...rest].join('  ').trimEnd();
  });
  return `${[bold(line(heads).join('  ').trimEnd()), ...lines].join('\n')}\n`;
}

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
