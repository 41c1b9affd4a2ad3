/** The phases of rollouts on a terminal. */
import { styleText } from 'node:util';
import type { Phase } from '../core/rollout.ts';

const COLOURS = {
  pending: 'yellow',
  delivered: 'green',
  ready: 'green',
  failed: 'red',
  superseded: 'gray',
  cancelled: 'gray',
} as const satisfies Record<Phase, string>;

/** @returns a text in the colour of a phase, where the stream shows colours */
export const phaseText = (phase: Phase, text: string, stream: NodeJS.WriteStream): string =>
  styleText(COLOURS[phase], text, { stream });
