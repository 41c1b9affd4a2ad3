/** `GET /rollouts/:id`: what one rollout does, where, why, and how far it is. */
import { html } from 'hono/html';
import { watchedUntil } from '../../core/observation.ts';
import { parseRef, shortSha } from '../../core/ref-event.ts';
import { isFinal, type Rollout, type Transition } from '../../core/rollout.ts';
import type { PoliciesStatus } from '../../policies/policies.ts';
import { type Html, layout } from './layout.ts';
import { highlightYaml } from './manifest.ts';
import { repositoryName, versionOf } from './names.ts';
import { passedIcon, phaseBadge, phaseIcon, phaseWord, toneOf } from './phase.ts';
import { clockElement, formatAge, formatDuration, timeElement } from './time.ts';

export interface RolloutView {
  rollout: Rollout & { transitions: Transition[] };
  policies: PoliciesStatus;
  /** Milliseconds since the epoch. */
  now: number;
  /** Whether the page follows the rollout until it is final. */
  live: boolean;
}

const REFRESH_SECONDS = 3;
const ROOT = '../';

/** @returns the rollout's page as a whole document */
export function rolloutPage({ rollout, policies, now, live }: RolloutView): Html {
  const { repository, plan, manifest } = rollout;
  const version = versionOf(rollout);
  const content = html`${head(rollout, version, now, live)}
<p class="notice ${toneOf(rollout)} message">${rollout.message}</p>
${plan && plan.warnings.length > 0 ? warnings(plan.warnings) : ''}
<div class="columns">${timeline(rollout)}${facts(rollout)}</div>
${plan ? decisions([plan.why, ...plan.decisions]) : ''}
${manifest === null ? '' : manifestCard(manifest)}`;
  return layout({
    title: `${phaseWord(rollout.phase)}: ${repository.split('/').at(-1)} ${version}`,
    root: ROOT,
    policies,
    refresh: live && !isFinal(rollout) ? REFRESH_SECONDS : null,
    content,
  });
}

function head(rollout: Rollout, version: string, now: number, live: boolean): Html {
  const { repository, environment, createdAt, finishedAt } = rollout;
  const span = formatDuration((finishedAt ?? now) - createdAt);
  return html`<div>
<nav class="crumbs" aria-label="Breadcrumb"><a href="${ROOT}">← Rollouts</a></nav>
<div class="head"><h1>${repositoryName(repository)}</h1><bdi class="version">${version}</bdi>${phaseBadge(rollout)}</div>
<p class="facts-line"><span>to <bdi>${environment}</bdi></span><span>started ${timeElement(createdAt, formatAge(now - createdAt))}</span>${
    isFinal(rollout)
      ? html`<span class="numbers">took ${span}</span>`
      : html`<span class="numbers">${span} so far</span>${following(live)}`
  }</p>
</div>`;
}

/** Whoever reads at leisure, or by ear, can stop the page from loading itself again. */
const following = (live: boolean): Html =>
  live
    ? html`<span>refreshes every ${REFRESH_SECONDS} s (<a href="?live=off">stop</a>)</span>`
    : html`<span>does not refresh (<a href="?">follow</a>)</span>`;

const warnings = (lines: string[]): Html => html`<section class="notice waiting" aria-label="Warnings">
<h2>Warnings</h2><ul>${lines.map((line) => html`<li>${line}</li>`)}</ul></section>`;

/** What others have followed has a dot; the newest line has the mark of how the rollout is doing. */
function timeline(rollout: RolloutView['rollout']): Html {
  const { transitions, createdAt } = rollout;
  const sameDay = transitions.every(({ at }) => dayOf(at) === dayOf(createdAt));
  const step = ({ phase, message, at }: Transition, index: number): Html => {
    const before = transitions[index - 1];
    const icon = index === transitions.length - 1 ? phaseIcon(phase, toneOf(rollout)) : passedIcon();
    const since = before && html` <span class="numbers">+${formatDuration(at - before.at)}</span>`;
    return html`<li>${icon}<span class="phase">${phaseWord(phase)}</span>
<span class="when">${sameDay ? clockElement(at) : timeElement(at)}${since}</span>
<p class="message">${message}</p></li>`;
  };
  return html`<section class="card"><h2>Timeline</h2><ol class="timeline">${transitions.map(step)}</ol></section>`;
}

const dayOf = (at: number): string => new Date(at).toISOString().slice(0, 10);

function facts(rollout: Rollout): Html {
  const { target, pullRequest, plan, endpoints, policyRevision, sha, ref } = rollout;
  const parsed = parseRef(ref);
  const until = watchedUntil(rollout);
  return html`<section class="card"><h2>What, where and why</h2><dl class="facts">
${fact('Repository', rollout.repository)}
${fact(parsed?.kind === 'branch' ? 'Branch' : 'Tag', html`<code>${parsed?.name ?? ref}</code>`)}
${fact('Model commit', html`<code>${sha}</code>`)}
${fact('Cause', cause(rollout))}
${fact('Policy', html`${rollout.policy}<span class="sub">at <code title="${policyRevision}">${shortSha(policyRevision)}</code></span>`)}
${fact('Environment', rollout.environment)}
${target && fact('Target', html`${target.name}<span class="sub">namespace ${target.namespace}, cluster ${target.cluster}</span>`)}
${plan?.gitops === null ? fact('Delivery', `applied to cluster ${target?.cluster}`) : commitFacts(rollout)}
${pullRequest && fact('Pull request', link(pullRequest.url, pullRequest.label))}
${endpoints.external && fact('Endpoint', link(endpoints.external))}
${endpoints.internal && fact('In the cluster', html`<code>${endpoints.internal}</code>`)}
${until !== null && fact('Watched until', html`${timeElement(until)}${rollout.phase === 'failed' ? html`<span class="sub">it may still become ready</span>` : ''}`)}
${fact('Rollout id', html`<code>${rollout.id}</code><span class="sub"><a href="${ROOT}api/v1/rollouts/${encodeURIComponent(rollout.id)}">as JSON</a></span>`)}
</dl></section>`;
}

function commitFacts({ receipt, pullRequest, plan }: Rollout): Html {
  const path = receipt?.path ?? plan?.path;
  return html`${receipt?.commit && fact('GitOps commit', html`<code>${receipt.commit}</code>${plan && html`<span class="sub">in ${plan.gitops}</span>`}`)}
${receipt && receipt.commit === null && fact('GitOps commit', pullRequest ? 'the forge does not tell it' : 'none: the file already had this content')}
${path && fact('File', html`<code>${path}</code>`)}`;
}

const fact = (term: string, description: Html | string): Html =>
  html`<dt>${term}</dt><dd>${description}</dd>`;

/** Addresses come from forges and clusters: only what is plainly a web address becomes a link. */
const link = (address: string, text = address): Html | string =>
  /^https?:\/\//i.test(address) ? html`<a href="${address}" rel="noopener noreferrer">${text}</a>` : text;

function cause({ cause: { kind, of }, eventId, ref }: Rollout): Html | string {
  const other = html`<a href="${ROOT}rollouts/${encodeURIComponent(of)}">rollout ${of.slice(0, 8)}</a>`;
  switch (kind) {
    case 'event':
      return html`${parseRef(ref)?.kind === 'branch' ? 'Branch' : 'Tag'} pushed<span class="sub"><a href="${ROOT}api/v1/events/${encodeURIComponent(eventId ?? of)}">event as JSON</a></span>`;
    case 'policy':
      return html`Policy changed<span class="sub">in <code title="${of}">${shortSha(of)}</code></span>`;
    case 'retry':
      return html`Retry of ${other}`;
    case 'rollback':
      return html`Rollback from ${other}`;
    case 'command':
      return html`Asked for with <code>modelhook deploy</code>`;
  }
}

const decisions = (lines: string[]): Html => html`<section class="card"><h2>How it was decided</h2>
<ol class="lines">${lines.map((line) => html`<li>${line}</li>`)}</ol></section>`;

const manifestCard = (manifest: string): Html => html`<section class="card"><h2 id="manifest">Manifest</h2>
<pre tabindex="0" role="region" aria-labelledby="manifest"><code>${highlightYaml(manifest.trimEnd())}</code></pre></section>`;
