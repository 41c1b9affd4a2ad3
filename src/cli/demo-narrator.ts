/** Tells on the terminal what the store shows, as it happens: every step of every rollout once, with its time. */
import { styleText } from 'node:util';
import type { Service } from '../compose.ts';
import { messageOf } from '../core/errors.ts';
import type { Rollout } from '../core/rollout.ts';
import type { DemoSite } from './demo-site.ts';

export interface Narrator {
  /** Resolves once the policies are in force, and the model's refs known where hooks cannot report. */
  ready(): Promise<void>;
  /** Starts the clock. */
  begin(): void;
  /** @returns the rollout of a tag once it is final and its status is written */
  finished(revision: string): Promise<Rollout>;
}

interface NarratorDeps {
  service: Service;
  site: DemoSite;
  say: (text: string) => void;
}

/** Milliseconds without news after which the next push begins a story of its own. */
const QUIET = 1000;
const FINAL_STATES = /\t(?:success|failure|error)\t/;

export function createNarrator({ service: { store, policies }, site, say }: NarratorDeps): Narrator {
  let begun = performance.now();
  let lastTold = begun;
  const told = new Set<string>();
  const waiting: { done: () => Promise<boolean>; resolve: () => void }[] = [];
  let telling = Promise.resolve();

  /** Says something once. */
  function tell(key: string, title: string, body = ''): void {
    if (told.has(key)) return;
    told.add(key);
    lastTold = performance.now();
    const time = `+${((performance.now() - begun) / 1000).toFixed(3)} s`.padStart(10);
    say(`${styleText('dim', time)}  ${styleText('bold', title)}`);
    if (body !== '') say(`${indent(body)}\n`);
  }

  async function tellAll(): Promise<void> {
    const events = await store.events.list({ repository: site.model, limit: 20 });
    for (const { id, kind, ref, sha, source, receivedAt } of events.items.toReversed()) {
      // A push by hand, after all was told of the one before: its times count from its own arrival.
      if (!told.has(`event ${id}`) && performance.now() - lastTold > QUIET)
        begun = performance.now() - (Date.now() - receivedAt);
      const from = source === 'webhook' ? 'by webhook' : `by ${source}`;
      tell(`event ${id}`, `event received: ${ref} ${kind} ${from}`, sha === null ? '' : `commit ${sha}`);
    }
    const { items } = await store.rollouts.list({ repository: site.model, limit: 20 });
    for (const rollout of items.toReversed()) tellRollout(rollout);
  }

  function tellRollout(rollout: Rollout): void {
    const { id, plan, manifest, receipt, phase, message, policy, revision } = rollout;
    if (plan)
      tell(
        `policy ${id}`,
        `policy matched: ${policy}`,
        [plan.why, ...plan.decisions, ...plan.warnings].join('\n'),
      );
    if (manifest) tell(`manifest ${id}`, `manifest rendered for ${revision}`, manifest);
    if (receipt?.commit)
      tell(
        `commit ${id}`,
        `commit made: ${message}`,
        site.git(site.fleetRepository, 'show', '--stat', '--patch', receipt.commit),
      );
    if (phase !== 'pending' && !receipt?.commit) tell(`ended ${id}`, `${phase}: ${message}`);
    const note = site.git(site.modelRepository, 'log', '-1', '--notes=modelhook', '--decorate', rollout.sha);
    if (phase !== 'pending' && FINAL_STATES.test(note))
      tell(`status ${id}`, 'status written: git log --notes=modelhook', note);
  }

  function look(): void {
    telling = telling.then(async () => {
      try {
        await tellAll();
        for (const each of waiting) if (await each.done()) each.resolve();
      } catch (error) {
        say(`(cannot tell: ${messageOf(error)})`);
      }
    });
  }

  function until(done: () => Promise<boolean>): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    waiting.push({ done, resolve });
    look();
    return promise;
  }

  async function finalRollout(revision: string): Promise<Rollout | undefined> {
    const { items } = await store.rollouts.list({ repository: site.model, limit: 20 });
    return items.find((rollout) => rollout.revision === revision && told.has(`status ${rollout.id}`));
  }

  store.lifecycle.onChange(look);
  return {
    ready: () =>
      until(async () => {
        const known = await store.repositories.snapshot(site.model);
        return policies.current() !== null && (site.hooksReport || known.counters.size > 0);
      }),
    begin() {
      begun = performance.now();
      lastTold = begun;
    },
    async finished(revision) {
      await until(async () => (await finalRollout(revision)) !== undefined);
      const rollout = await finalRollout(revision);
      if (!rollout) throw new TypeError(`the rollout of ${revision} is gone`);
      return rollout;
    },
  };
}

const indent = (text: string): string =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => `            ${line}`)
    .join('\n');
