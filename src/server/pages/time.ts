/** Times and durations for people. Times are UTC and say so: a page without JavaScript does not know the reader's zone. */
import { html } from 'hono/html';
import type { Html } from './layout.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** @returns `240 ms`, `3.2 s`, `2m 10s`, `1h 4m` or `3d 2h`: two units at most */
export function formatDuration(milliseconds: number): string {
  const span = Math.max(0, milliseconds);
  if (span < SECOND) return `${Math.floor(span)} ms`;
  if (span < 10 * SECOND) return `${(Math.floor(span / 100) / 10).toFixed(1)} s`;
  if (span < MINUTE) return `${Math.floor(span / SECOND)} s`;
  if (span < HOUR) return `${Math.floor(span / MINUTE)}m ${Math.floor((span % MINUTE) / SECOND)}s`;
  if (span < DAY) return `${Math.floor(span / HOUR)}h ${Math.floor((span % HOUR) / MINUTE)}m`;
  return `${Math.floor(span / DAY)}d ${Math.floor((span % DAY) / HOUR)}h`;
}

const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });

/** @returns `just now`, `5 minutes ago`, `yesterday` */
export function formatAge(milliseconds: number): string {
  if (milliseconds < 10 * SECOND) return 'just now';
  if (milliseconds < MINUTE) return relative.format(-Math.floor(milliseconds / SECOND), 'second');
  if (milliseconds < HOUR) return relative.format(-Math.floor(milliseconds / MINUTE), 'minute');
  if (milliseconds < DAY) return relative.format(-Math.floor(milliseconds / HOUR), 'hour');
  return relative.format(-Math.floor(milliseconds / DAY), 'day');
}

/** @returns `2026-11-21 10:32:05` */
const formatTime = (at: number): string => new Date(at).toISOString().slice(0, 19).replace('T', ' ');

/** A moment as text, with the exact time for programs and on hovering. */
export const timeElement = (at: number, text = `${formatTime(at)} UTC`): Html =>
  html`<time datetime="${new Date(at).toISOString()}" title="${formatTime(at)} UTC">${text}</time>`;

/** A moment within a day that the page names elsewhere: the time of day. */
export const clockElement = (at: number): Html => timeElement(at, formatTime(at).slice(11));
