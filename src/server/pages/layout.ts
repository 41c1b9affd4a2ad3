/** What all pages share: the frame around them. */
import { createHash } from 'node:crypto';
import { html, raw } from 'hono/html';
import type { PoliciesStatus } from '../../policies/policies.ts';
import { STYLE } from './style.ts';

/** A piece of a page. Whatever is put into the template as a string is escaped. */
export type Html = ReturnType<typeof html>;

/** The style sheet as the Content-Security-Policy names it, so that no other can apply. */
export const STYLE_SOURCE = `'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`;

const MARK = `<svg viewBox="0 0 24 24" xmlns="http://www.w3.org/2000/svg"><rect width="24" height="24" rx="6" fill="#1756c4"/><path d="M12 4v9.5a3.5 3.5 0 0 1-7 0V12m4-5 3-3 3 3" fill="none" stroke="#fff" stroke-width="2" stroke-linecap="round" stroke-linejoin="round"/><circle cx="17.5" cy="15.5" r="2" fill="#9fc3ff"/></svg>`;
const ICON = `data:image/svg+xml,${encodeURIComponent(MARK)}`;

export interface PageFrame {
  title: string;
  /** From the page's address to `/`: `./` or `../`. Links are relative, so that a proxy may serve us below any path. */
  root: string;
  /** null on pages that stand for themselves, such as errors. */
  policies: PoliciesStatus | null;
  /** After how many seconds the page loads itself again; null: it stays. */
  refresh: number | null;
  content: Html;
}

/** @returns a whole HTML document */
export function layout({ title, root, policies, refresh, content }: PageFrame): Html {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
${refresh === null ? '' : html`<meta http-equiv="refresh" content="${refresh}">`}
<title>${title} · modelhook</title>
<link rel="icon" href="${ICON}">
<style>${raw(STYLE)}</style>
</head>
<body>
<a class="skip" href="#main">Skip to content</a>
<header class="top"><div class="frame">
<a class="brand" href="${root}">${raw(MARK.replace('<svg', '<svg aria-hidden="true"'))}modelhook</a>
${policies === null ? '' : revisionInForce(policies)}
</div></header>
<main id="main" class="frame">
${content}
</main>
<footer><nav class="frame" aria-label="API"><ul>
<li><a href="${root}api/v1/rollouts">Rollouts as JSON</a></li>
<li><a href="${root}api/v1/events">Events as JSON</a></li>
<li><a href="${root}api/v1/policies">Policies as JSON</a></li>
<li><a href="${root}readyz">Readiness</a></li>
</ul></nav></footer>
</body>
</html>`;
}

const revisionInForce = ({ inForce, repository }: PoliciesStatus): Html =>
  inForce === null
    ? html`<span class="revision waiting">No policies in force</span>`
    : html`<span class="revision muted">Policies <code title="${inForce}, ${repository}">${inForce.slice(0, 7)}</code></span>`;
