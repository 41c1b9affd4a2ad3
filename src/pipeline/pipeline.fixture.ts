/** What tests of the stages stand on: a real store in memory, a clock, and fakes of what is outside. */
// biome-ignore-all lint/style/noRestrictedImports: tests put together what the pipeline knows by interface only
import { onTestFinished } from 'vitest';
import type { FakeCluster } from '../cluster/cluster.fake.ts';
import { loadGood, policyText } from '../core/policy.fixture.ts';
import type { PolicySet } from '../core/policy.ts';
import type { RefEvent, RefMove } from '../core/ref-event.ts';
import type { CommentPlace } from '../core/review-comment.ts';
import { conclude, type Reviewed } from '../core/review-report.ts';
import type { Examination } from '../core/review-text.ts';
import type { Rollout } from '../core/rollout.ts';
import { createFakeTarget, type FakeTarget } from '../delivery/target.fake.ts';
import { FakeForge } from '../forge/forge.fake.ts';
import type { Forge } from '../forge/forge.ts';
import type { PoliciesStatus, PolicyReviewer, PolicySource, Surroundings } from '../policies/policies.ts';
import { createSqlStore } from '../store/sql.ts';
import { type Store, StoreUnavailableError } from '../store/store.ts';
import type { Log } from '../telemetry/log.ts';
import type { ControllerDeps } from './controller.ts';
import { createMatch } from './match.ts';
import { createPersist, type SettleDeps } from './retry.ts';
import type { Stage } from './stage.ts';

export const NOON = Date.parse('2026-03-04T12:00:00Z');
export const SECOND = 1000;
export const MINUTE = 60_000;
export const CONFIG = { repository: 'plain:platform/policies', ref: 'refs/heads/main' };
/** A model card with all that a plan may need. */
export const CARD = '---\nlibrary_name: sklearn\npipeline_tag: tabular-classification\n---\n# Iris\n';

/** Policies as a config commit would bring them into force. */
export const policySet = (revision: string, ...texts: string[]): PolicySet => ({
  ...loadGood(...texts),
  revision,
});

/** Policies that a test puts in force by hand. */
export class FakePolicies implements PolicySource {
  set: PolicySet | null = policySet('c0ffee', policyText());
  /** What the next refreshes find; thrown where it is an error. */
  head: PolicySet | Error | null = null;
  refreshes = 0;

  current(): PolicySet | null {
    return this.set;
  }
  status(): PoliciesStatus {
    const inForce = this.set?.revision ?? null;
    return { ...CONFIG, branch: 'main', inForce, head: inForce, faults: [], unreachable: null };
  }
  async refresh(): Promise<void> {
    this.refreshes += 1;
    if (this.head instanceof Error) throw this.head;
    this.set = this.head ?? this.set;
  }
}

/** A reviewer that finds what a test says, by commit; a commit that it knows nothing of cannot be had. */
export class FakeReviewer implements PolicyReviewer {
  readonly found = new Map<string, Examination>();
  readonly asked: { sha: string; ref: string | null; base: string | null }[] = [];
  kept: string | null = null;

  async examine(
    head: { sha: string; ref: string | null },
    base: string | null,
    _around?: Surroundings,
    place: CommentPlace | null = null,
  ): Promise<Reviewed> {
    this.asked.push({ ...head, base });
    const found = this.found.get(head.sha);
    if (!found) throw new Error(`there is no commit ${head.sha}`);
    return conclude(found, place);
  }
  async keep(revision: string): Promise<void> {
    this.kept = revision;
  }
}

export interface LogLine {
  level: 'debug' | 'info' | 'warn' | 'error';
  fields: Record<string, unknown>;
  message: string;
}

/** A log that remembers. */
export function fakeLog(): Log & { lines: LogLine[] } {
  const lines: LogLine[] = [];
  const at = (level: LogLine['level']) => (fields: object, message: string) => {
    lines.push({ level, fields: { ...fields }, message });
  };
  return { lines, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

export interface Site extends SettleDeps {
  store: Store;
  log: ReturnType<typeof fakeLog>;
  clock: { now: number };
  forge: FakeForge;
  forges: Map<string, Forge>;
  fleet: FakeTarget;
  targets: Map<string, FakeTarget>;
  /** None. */
  clusters: Map<string, FakeCluster>;
  policies: FakePolicies;
  kserveOf: () => undefined;
  configRef: typeof CONFIG;
  publicUrl: () => string;
  pullRequestsIn: (repository: string) => string[];
  lookAtReviews: (repository: string) => void;
  wake: () => void;
  reviewer: FakeReviewer;
  /** None. */
  pullRequestsTo: ControllerDeps['pullRequestsTo'];
  concurrency: number;
  interval: number;
  /** A webhook tells where a ref went. @returns the event it made */
  tell(move: Partial<RefMove> & Pick<RefMove, 'repository' | 'after'>): Promise<RefEvent>;
  /** Commits files with a model card, tags the commit, and tells of it. @returns the commit */
  tag(repository: string, tag: string, files?: Record<string, string>): Promise<string>;
  /** The same, and the event is matched. @returns its only rollout */
  rollOut(repository: string, tag?: string, files?: Record<string, string>): Promise<Rollout>;
  /** The process ends and another one begins on the same database: every lease is void. For a site on a file. */
  restart(): Promise<void>;
  /** Matches what waits for it. */
  match(): Promise<void>;
  /** Oldest first. */
  rollouts(): Promise<Rollout[]>;
  rollout(id: string): Promise<NonNullable<Awaited<ReturnType<Store['rollouts']['get']>>>>;
  /** Oldest first. */
  events(): Promise<RefEvent[]>;
}

/**
 * A site with the forge `plain`, the GitOps repository `fleet`, and a policy for tags `v*` of `plain:ml/**`.
 * @param file of the database; in memory where there is none
 */
export async function createSite(file = ':memory:'): Promise<Site> {
  const clock = { now: NOON };
  const now = () => clock.now;
  const open = async () => {
    const store = createSqlStore({ file, now });
    await store.lifecycle.start();
    return store;
  };
  const store = await open();
  onTestFinished(() => site.store.lifecycle.stop());
  const log = fakeLog();
  const forge = new FakeForge('plain');
  const fleet = createFakeTarget('fleet');
  const policies = new FakePolicies();
  const persist = createPersist(async () => {}, log);
  const rollouts = async () => (await site.store.rollouts.list({ limit: 200 })).items.reverse();

  const site: Site = {
    store,
    log,
    clock,
    now,
    persist,
    forge,
    forges: new Map([['plain', forge]]),
    fleet,
    targets: new Map([['gitops/fleet', fleet]]),
    clusters: new Map(),
    policies,
    kserveOf: () => undefined,
    configRef: CONFIG,
    publicUrl: () => 'https://modelhook.example.com',
    pullRequestsIn: (repository) => (repository === 'plain:fleet' ? ['pull requests/fleet'] : []),
    lookAtReviews: () => {},
    wake: () => {},
    reviewer: new FakeReviewer(),
    pullRequestsTo: () => null,
    concurrency: 4,
    interval: 10 * MINUTE,
    async tell(move) {
      const ref = move.ref ?? 'refs/tags/v1.0.0';
      const told = { projectId: null, before: null, ...move, ref };
      const recorded = await site.store.events.record(told, 'webhook', null);
      if (recorded.outcome === 'ignored') throw new Error(`${ref} of ${move.repository} made no event`);
      return recorded.event;
    },
    async tag(repository, tag, files = { 'README.md': CARD }) {
      const sha = forge.commit(repository, files);
      forge.point(repository, `refs/tags/${tag}`, sha);
      await site.tell({ repository, ref: `refs/tags/${tag}`, after: sha });
      return sha;
    },
    async rollOut(repository, tag = 'v1.0.0', files) {
      const before = (await rollouts()).length;
      await site.tag(repository, tag, files);
      await site.match();
      return one((await rollouts()).slice(before));
    },
    async restart() {
      await site.store.lifecycle.stop();
      site.store = await open();
    },
    async match() {
      await runStage(createMatch({ ...site, refreshPolicies: () => policies.refresh().catch(() => {}) }));
    },
    rollouts,
    async rollout(id) {
      const found = await site.store.rollouts.get(id);
      if (!found) throw new Error(`there is no rollout ${id}`);
      return found;
    },
    events: async () => (await site.store.events.list({ limit: 200 })).items.reverse(),
  };
  return site;
}

export function one<Item>(items: readonly Item[]): Item {
  const [item, ...others] = items;
  if (item === undefined || others.length > 0) throw new Error(`${items.length} items, not one`);
  return item;
}

/** Claims once what is due and does it. @returns how many units that were */
export async function runStage(stage: Stage): Promise<number> {
  const works = await stage.claim(100, false);
  await Promise.all(works.map((work) => work()));
  return works.length;
}

/** A store that cannot be written for the first tries. */
export function failingAtFirst<Result>(times: number, write: () => Promise<Result>): () => Promise<Result> {
  let left = times;
  return async () => {
    left -= 1;
    if (left >= 0) throw new StoreUnavailableError('the disk is full');
    return write();
  };
}
