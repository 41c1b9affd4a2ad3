/** `GET /reviews/:id`: what was found of a head of the config repository, whole. */
import { html, raw } from 'hono/html';
import { shortSha } from '../../core/ref-event.ts';
import type { PoliciesStatus } from '../../policies/policies.ts';
import type { Review, ReviewOutcome, ReviewRecord } from '../../store/store.ts';
import { type Html, layout } from './layout.ts';
import { formatAge, timeElement } from './time.ts';

export interface ReviewView {
  review: Review & Pick<ReviewRecord, 'text'>;
  policies: PoliciesStatus;
  /** Milliseconds since the epoch. */
  now: number;
}

const REFRESH_SECONDS = 3;
const ROOT = '../';
const TONES = { success: 'success', failed: 'failure', running: 'running' } as const;

/** @returns the page as a whole document */
export function reviewPage({ review, policies, now }: ReviewView): Html {
  const { label, head, outcome, text } = review;
  const isCurrent = outcome?.head === head;
  return layout({
    title: `Policies of ${label}`,
    root: ROOT,
    policies,
    refresh: isCurrent && outcome.state !== 'running' ? null : REFRESH_SECONDS,
    content: html`<div>
<nav class="crumbs" aria-label="Breadcrumb"><a href="${ROOT}">← Rollouts</a></nav>
<div class="head"><h1>Policies of ${requestOf(review)}</h1><bdi class="version">${shortSha(head)}</bdi></div>
</div>
${outcome === null || !isCurrent ? html`<p class="notice waiting">Being examined</p>` : ''}
${outcome === null ? '' : found(outcome, isCurrent, now)}
${text === null ? '' : html`<section class="card"><h2>In full</h2><pre class="report"><code>${raw(report(text))}</code></pre></section>`}`,
  });
}

/** Addresses come from forges: only what is plainly a web address becomes a link. */
const requestOf = ({ label, url }: Review): Html | string =>
  url !== null && /^https?:\/\//i.test(url)
    ? html`<a href="${url}" rel="noopener noreferrer">${label}</a>`
    : label;

function found({ state, description, base, head, at }: ReviewOutcome, isCurrent: boolean, now: number): Html {
  const compared = base !== null && base !== head;
  return html`<p class="notice ${TONES[state]} message">${description}</p>
<p class="facts-line">${isCurrent ? '' : html`<span>of <code>${shortSha(head)}</code></span>`}${
    compared ? html`<span>compared with <code>${shortSha(base)}</code></span>` : ''
  }<span>examined ${timeElement(at, formatAge(now - at))}</span></p>`;
}

/** Nothing but diffs has lines that begin so: the rest begins with a word, or is indented. */
const DIFF_LINES: Readonly<Record<string, string>> = { '+': 'success', '-': 'failure', '@': 'muted' };

const RUN = /^([+@-]).*(?:\n\1.*)*$/gm;
/** What has more was made to have them, and goes without. */
const MOST_RUNS = 10_000;

/** A template for each line would take longer than all the rest: there may be a quarter of a million. */
function report(text: string): string {
  let runs = 0;
  const toned = (run: string, first: string): string => {
    runs += 1;
    return runs > MOST_RUNS ? run : `<span class="${DIFF_LINES[first]}">${run}</span>`;
  };
  return text.replace(/[<>&]/g, escaped).replace(RUN, toned);
}

const ESCAPES: Readonly<Record<string, string>> = { '<': '&lt;', '>': '&gt;', '&': '&amp;' };
const escaped = (char: string): string => ESCAPES[char] ?? char;
