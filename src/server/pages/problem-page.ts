/** An error answer for people. */
import { html } from 'hono/html';
import type { ProblemRenderer } from '../problem.ts';
import { layout } from './layout.ts';

/** Answers with the problem as a page that leads back to the list. */
export const problemPage: ProblemRenderer = (c, { status, title, detail }) => {
  const root = '../'.repeat(c.req.path.split('/').length - 2) || './';
  const content = html`<section class="card empty">
<p class="muted">Error ${status}</p>
<h1>${title}</h1>
<p>${detail}</p>
<p><a href="${root}">All rollouts</a></p>
</section>`;
  return c.html(layout({ title, root, policies: null, refresh: null, content }), status);
};
