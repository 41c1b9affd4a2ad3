/** How a phase looks: a word, a shape and a colour, so that none of them has to be told from the colour alone. */
import { html, raw } from 'hono/html';
import { isFinal, type Phase, type Rollout } from '../../core/rollout.ts';
import type { Html } from './layout.ts';

/** What a phase means to the reader; the names of classes in the style sheet. */
export type Tone = 'success' | 'running' | 'waiting' | 'failure' | 'ended';

const SHAPES: Record<Tone | 'superseded' | 'passed', string> = {
  success: '<circle cx="8" cy="8" r="6.5"/><path d="m5.2 8.2 2 2 3.8-4.2"/>',
  running: '<path d="M8 1.5A6.5 6.5 0 1 1 1.5 8"/>',
  waiting: '<circle cx="8" cy="8" r="6.5"/><path d="M8 4.5V8l2.3 1.5"/>',
  failure: '<path d="M5.3 1.5h5.4l3.8 3.8v5.4l-3.8 3.8H5.3l-3.8-3.8V5.3zM6 6l4 4m0-4-4 4"/>',
  ended: '<circle cx="8" cy="8" r="6.5"/><path d="m3.6 3.6 8.8 8.8"/>',
  superseded: '<path d="m3 4 4 4-4 4m6-8 4 4-4 4"/>',
  passed: '<circle class="dot" cx="8" cy="8" r="4"/>',
};

const WORDS: Record<Phase, string> = {
  pending: 'Pending',
  delivered: 'Delivered',
  ready: 'Ready',
  failed: 'Failed',
  superseded: 'Superseded',
  cancelled: 'Cancelled',
};

/** What the store knows of a rollout's progress. */
export type Progress = Pick<Rollout, 'phase' | 'stage' | 'waitingSince'>;

/** @returns `Pending` for `pending`, and so on */
export const phaseWord = (phase: Phase): string => WORDS[phase];

/** @returns how a rollout is doing: a delivery that nothing follows is a success, one that is watched still runs */
export function toneOf(rollout: Progress): Tone {
  switch (rollout.phase) {
    case 'ready':
      return 'success';
    case 'failed':
      return 'failure';
    case 'superseded':
    case 'cancelled':
      return 'ended';
    default:
      if (isFinal(rollout)) return 'success';
      return rollout.waitingSince === null ? 'running' : 'waiting';
  }
}

/** @returns the shape for a phase, hidden from screen readers: a word stands beside it */
export function phaseIcon(phase: Phase, tone: Tone): Html {
  const shape = raw(SHAPES[phase === 'superseded' ? 'superseded' : tone]);
  const turns = tone === 'running' ? ' turns' : '';
  return html`<svg class="icon ${tone}${turns}" viewBox="0 0 16 16" aria-hidden="true">${shape}</svg>`;
}

/** @returns the mark of a step that others have followed */
export const passedIcon = (): Html =>
  html`<svg class="icon ended" viewBox="0 0 16 16" aria-hidden="true">${raw(SHAPES.passed)}</svg>`;

/** @returns the phase of a rollout as a badge */
export function phaseBadge(rollout: Progress): Html {
  const tone = toneOf(rollout);
  const aside = { running: ', in progress', waiting: ', waiting to try again' }[tone as string];
  return html`<span class="badge ${tone}">${phaseIcon(rollout.phase, tone)}${phaseWord(rollout.phase)}${
    aside === undefined ? '' : html`<span class="unseen">${aside}</span>`
  }</span>`;
}
