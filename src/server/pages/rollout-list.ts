/** `GET /`: all rollouts, newest first. */
import { html } from 'hono/html';
import { formatFault } from '../../core/errors.ts';
import { shortSha } from '../../core/ref-event.ts';
import { isFinal, PHASES, type Rollout } from '../../core/rollout.ts';
import type { PoliciesStatus } from '../../policies/policies.ts';
import type { ListQuery, Page } from '../../store/store.ts';
import { encodeCursor } from '../list-query.ts';
import { type Html, layout } from './layout.ts';
import { repositoryName, versionOf } from './names.ts';
import { phaseBadge, phaseWord } from './phase.ts';
import { formatAge, formatDuration, timeElement } from './time.ts';

export interface RolloutListView {
  query: ListQuery;
  page: Page<Rollout>;
  policies: PoliciesStatus;
  /** Milliseconds since the epoch. */
  now: number;
}

/** @returns the list of rollouts as a whole document */
export function rolloutListPage({ query, page, policies, now }: RolloutListView): Html {
  const filtered = [query.repository, query.phase, query.environment].some((value) => value !== undefined);
  const paged = query.before !== undefined;
  const content = html`<div><h1>Rollouts</h1>
<p class="muted">Every tag and branch that a policy deploys, newest first.</p></div>
${policiesNotice(policies)}
${page.items.length > 0 || filtered || paged ? filters(query, filtered) : ''}
${page.items.length > 0 ? table(page.items, now) : filtered || paged ? noMatch() : firstSteps()}
${paged || page.nextCursor !== null ? pager(query, page.nextCursor, paged) : ''}`;
  return layout({ title: 'Rollouts', root: './', policies, refresh: null, content });
}

/** The list's address with other filters; a filter that changes starts at the newest again. */
function address(
  query: Partial<Pick<ListQuery, 'repository' | 'phase' | 'environment'>>,
  cursor?: string,
): string {
  const given = Object.entries({ ...query, cursor }).filter(([, value]) => value !== undefined);
  return given.length === 0 ? './' : `./?${new URLSearchParams(given as [string, string][])}`;
}

function policiesNotice({
  repository,
  branch,
  inForce,
  head,
  faults,
  unreachable,
}: PoliciesStatus): Html | '' {
  const stays =
    inForce === null
      ? 'No policies are in force yet, so events wait.'
      : html`The policies of <code>${shortSha(inForce)}</code> stay in force.`;
  if (faults.length > 0) {
    return html`<section class="notice failure" aria-label="Policies">
<p><strong>The newest policies are not used.</strong> ${head === null ? 'The head' : html`Commit <code>${shortSha(head)}</code>`} of ${repository}, branch ${branch}, has faults. ${stays}</p>
<ul>${faults.slice(0, 10).map((fault) => html`<li><code>${formatFault(fault)}</code></li>`)}</ul>
${faults.length > 10 ? html`<p>And ${faults.length - 10} more: see <a href="./api/v1/policies">all of them</a>.</p>` : ''}
</section>`;
  }
  if (unreachable !== null)
    return html`<section class="notice waiting" aria-label="Policies">
<p><strong>The config repository cannot be read.</strong> ${repository}: ${unreachable}. ${stays}</p></section>`;
  if (inForce === null)
    return html`<section class="notice waiting" aria-label="Policies"><p>${stays} They are read from ${repository}, branch ${branch}.</p></section>`;
  return '';
}

function filters({ repository, phase, environment }: ListQuery, filtered: boolean): Html {
  const tab = (value: Rollout['phase'] | undefined, word: string) =>
    html`<li><a href="${address({ repository, environment, phase: value })}"${value === phase ? html` aria-current="page"` : ''}>${word}</a></li>`;
  return html`<div class="filters">
<nav aria-label="Phase"><ul class="tabs">${tab(undefined, 'All')}${PHASES.map((each) => tab(each, phaseWord(each)))}</ul></nav>
<form method="get" action="./" role="search" aria-label="Rollouts">
${phase === undefined ? '' : html`<input type="hidden" name="phase" value="${phase}">`}
<input name="repository" value="${repository ?? ''}" placeholder="Repository id" aria-label="Repository id" pattern="[^:]+:.+" title="A repository id, such as gitlab:ml/vision/iris" autocapitalize="none" spellcheck="false">
<input name="environment" value="${environment ?? ''}" placeholder="Environment" aria-label="Environment" autocapitalize="none" spellcheck="false">
<button>Filter</button>
${filtered ? html`<a href="./">Clear</a>` : ''}
</form>
</div>`;
}

/** Roles are spelled out because the narrow layout is a grid, and browsers forget a table's meaning with its display. */
const table = (
  rollouts: Rollout[],
  now: number,
): Html => html`<div class="card"><table class="table" role="table">
<caption class="unseen">Rollouts, newest first</caption>
<thead role="rowgroup"><tr role="row">
<th scope="col" role="columnheader">Phase</th><th scope="col" role="columnheader">Model</th>
<th scope="col" role="columnheader">Environment</th><th scope="col" role="columnheader">Started</th>
</tr></thead>
<tbody role="rowgroup">
${rollouts.map((rollout) => row(rollout, now))}
</tbody></table></div>`;

function row(rollout: Rollout, now: number): Html {
  const { id, repository, message, environment, target, createdAt, finishedAt } = rollout;
  const span = formatDuration((finishedAt ?? now) - createdAt);
  return html`<tr role="row">
<td class="state" role="cell">${phaseBadge(rollout)}</td>
<th scope="row" role="rowheader"><div class="model"><a href="./rollouts/${encodeURIComponent(id)}">${repositoryName(repository)}</a> <bdi class="version">${versionOf(rollout)}</bdi></div>
<p class="message">${message}</p></th>
<td class="where" role="cell">${environment}${target === null ? '' : html`<span class="sub">${target.cluster} / ${target.namespace} / ${target.name}</span>`}</td>
<td class="when" role="cell">${timeElement(createdAt, formatAge(now - createdAt))}<span class="sub numbers">${isFinal(rollout) ? `took ${span}` : `${span} so far`}</span></td>
</tr>`;
}

const pager = (query: ListQuery, nextCursor: string | null, paged: boolean): Html => {
  const { repository, phase, environment } = query;
  const next = encodeCursor(nextCursor);
  return html`<nav class="pages" aria-label="Pages">
${paged ? html`<a href="${address({ repository, phase, environment })}">← Newest</a>` : ''}
${next === null ? '' : html`<a rel="next" href="${address({ repository, phase, environment }, next)}">Older →</a>`}
</nav>`;
};

const noMatch = (): Html => html`<section class="card empty">
<h2>Nothing matches these filters</h2>
<p class="muted">The repository id and the environment have to be whole and exact.</p>
<p><a href="./">Show all rollouts</a></p>
</section>`;

const firstSteps = (): Html => html`<section class="card empty">
<h2>Ready for the first rollout</h2>
<p class="muted">A rollout starts when a tag or branch that a policy matches is pushed to a model repository. It shows up here within a second.</p>
<ol class="steps">
<li><span><strong>Say what is deployed where.</strong> Merge a policy into the config repository; check it first:</span><pre tabindex="0"><code>modelhook validate policies/</code></pre></li>
<li><span><strong>Let the forge tell modelhook of pushes.</strong> Add the webhook to the model repository:</span><pre tabindex="0"><code>modelhook webhook create</code></pre></li>
<li><span><strong>Push a tag</strong> that the policy matches:</span><pre tabindex="0"><code>git tag -a v1.0.0 -m v1.0.0
git push origin v1.0.0</code></pre></li>
</ol>
</section>`;
