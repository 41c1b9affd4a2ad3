/** What every store does, whatever database is under it. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { StalledError } from '../core/errors.ts';
import type { RefEvent } from '../core/ref-event.ts';
import type { PlanSummary, Rollout, Target } from '../core/rollout.ts';
import type { ListedRef, Recorded, RolloutChange, RolloutDraft, Store } from './store.ts';

/** A store that has been started, and its time. */
export interface StoreHarness {
  store: Store;
  /** Milliseconds since the epoch, as the store sees it. */
  clock: { now: number };
  /** Stops the store and removes what it wrote. */
  end(): Promise<void>;
}

export const NOON = Date.parse('2026-03-04T12:00:00Z');
export const IRIS = 'plain:ml/iris';
export const TAG = 'refs/tags/v1.0.0';
/** Three commits of a model, and the tag object of an annotated tag. */
export const [A, B, C, TAG_OBJECT] = ['a', 'b', 'c', 'd'].map((digit) => digit.repeat(40)) as [
  string,
  string,
  string,
  string,
];
export const REVISION = '9'.repeat(40);

export interface Tale {
  repository?: string;
  ref?: string;
  before?: string | null;
  after: string | null;
  delivery?: string | null;
}

/** A webhook tells where a ref went. */
export const tell = (store: Store, { before = null, ref = TAG, ...tale }: Tale): Promise<Recorded> =>
  store.events.record(
    { repository: tale.repository ?? IRIS, projectId: null, ref, before, after: tale.after },
    'webhook',
    tale.delivery ?? null,
  );

export interface Cause {
  repository?: string;
  tag?: string;
  sha?: string;
  drafts?: RolloutDraft[];
}

/** A new tag and the rollouts that policies make of it. */
export async function rollOut(store: Store, cause: Cause = {}): Promise<Rollout[]> {
  const { repository = IRIS, tag = 'v1.0.0', sha = A } = cause;
  const recorded = await tell(store, { repository, ref: `refs/tags/${tag}`, after: sha });
  if (recorded.outcome !== 'new') throw new Error(`the tag made no event: ${recorded.outcome}`);
  const drafts = cause.drafts ?? [{ policy: 'production', environment: 'production' }];
  await store.events.matched([{ event: recorded.event, policyRevision: REVISION, drafts }]);
  const { items } = await store.rollouts.list({ limit: 200 });
  return items.filter(({ eventId }) => eventId === recorded.event.id).reverse();
}

export const one = async (rollouts: Promise<Rollout[]>): Promise<Rollout> => {
  const [rollout, ...others] = await rollouts;
  if (rollout === undefined || others.length > 0) throw new Error('not exactly one rollout');
  return rollout;
};

export const TARGET: Target = { cluster: 'prod', namespace: 'vision', name: 'iris' };

/** What the resolve stage stores of a rollout that may be delivered. */
export const planned = (target: Target = TARGET, plan: Partial<PlanSummary> = {}): RolloutChange => ({
  stage: 'deliver',
  message: 'Queued for production',
  target,
  plan: {
    gitops: 'fleet',
    via: 'push',
    path: `${target.cluster}/${target.namespace}/${target.name}.yaml`,
    adopt: false,
    updateExisting: true,
    modes: ['Standard'],
    why: 'it matches',
    readiness: null,
    decisions: [],
    warnings: [],
    ...plan,
  },
  manifest: 'kind: InferenceService\n',
});

const RECEIPT = { commit: C, path: 'prod/vision/iris.yaml' };

export const DELIVERED: RolloutChange = {
  phase: 'delivered',
  stage: null,
  message: 'Committed ccccccc to fleet',
  receipt: RECEIPT,
};

/** What is observed after its delivery. */
export const WATCHED: RolloutChange = {
  ...DELIVERED,
  stage: 'observe',
  observation: {
    specHash: 'aaaaaaaaaaaaaaaa',
    minReplicas: 1,
    maxReplicas: 1,
    mode: 'Standard',
    deliveredAt: NOON,
    readyAt: null,
    since: {},
  },
};

export const FAILED: RolloutChange = { phase: 'failed', stage: null, message: 'It is broken; mend it' };

/**
 * Runs the suite that every store passes.
 * @param create makes an empty store, started
 */
export function describeStore(name: string, create: () => Promise<StoreHarness>): void {
  describe(name, () => {
    let harness: StoreHarness;
    let store: Store;
    beforeEach(async () => {
      harness = await create();
      store = harness.store;
      harness.clock.now = NOON;
    });
    afterEach(() => harness.end());

    /** What happened to a ref, oldest first: `created aaaa…`. */
    const history = async (ref = TAG): Promise<string[]> => {
      const { items } = await store.events.list({ limit: 200 });
      return items
        .filter((event) => event.ref === ref)
        .map(({ kind, sha }) => (sha === null ? kind : `${kind} ${sha}`))
        .reverse();
    };
    const phaseOf = async ({ id }: Rollout) => (await store.rollouts.get(id))?.phase;

    describe('an event', () => {
      it('is made by a webhook that tells something new', async () => {
        const recorded = await store.events.record(
          { repository: IRIS, projectId: '42', ref: TAG, before: null, after: A },
          'webhook',
          'delivery-1',
        );
        const event: Partial<RefEvent> = {
          repository: IRIS,
          projectId: '42',
          ref: TAG,
          kind: 'created',
          before: null,
          sha: A,
          source: 'webhook',
          receivedAt: NOON,
          policyRevision: null,
        };
        expect(recorded).toMatchObject({ outcome: 'new', event });
        const id = recorded.outcome === 'new' ? recorded.event.id : '';
        expect(await store.events.get(id)).toEqual({
          ...(recorded as { event: RefEvent }).event,
          rollouts: [],
        });
      });

      it('carries the names of SHA-256 repositories whole', async () => {
        const sha = 'ab'.repeat(32);
        expect(await tell(store, { after: sha })).toMatchObject({ outcome: 'new', event: { sha } });
        expect(await history()).toEqual([`created ${sha}`]);
      });

      it('is not found under an id that nothing has', async () => {
        expect(await store.events.get('no-such-event')).toBeNull();
      });
    });

    describe('a payload is a hint: one advance of a ref is one event', () => {
      const repeats = (recorded: Recorded, first: Recorded) => {
        expect(recorded.outcome).toBe('repeat');
        expect(recorded).toHaveProperty('event.id', first.outcome === 'ignored' ? '' : first.event.id);
      };

      it('a redelivery under the same id is the event it made', async () => {
        const first = await tell(store, { after: A, delivery: 'd1' });
        repeats(await tell(store, { after: A, delivery: 'd1' }), first);
        expect(await history()).toEqual([`created ${A}`]);
      });

      it('a redelivery under the same id stays that event after the ref moved on', async () => {
        const first = await tell(store, { after: A, delivery: 'd1' });
        await tell(store, { before: A, after: B, delivery: 'd2' });
        repeats(await tell(store, { after: A, delivery: 'd1' }), first);
        expect(await history()).toEqual([`created ${A}`, `moved ${B}`]);
      });

      it('a redelivery of a move under the same id stays that event after the ref moved back', async () => {
        await tell(store, { after: A, delivery: 'd1' });
        const moved = await tell(store, { before: A, after: B, delivery: 'd2' });
        await tell(store, { before: B, after: A, delivery: 'd3' });
        repeats(await tell(store, { before: A, after: B, delivery: 'd2' }), moved);
        expect(await history()).toEqual([`created ${A}`, `moved ${B}`, `moved ${A}`]);
      });

      it('a second hook that tells the same under its own id repeats it', async () => {
        const first = await tell(store, { after: A, delivery: 'd1' });
        repeats(await tell(store, { after: A, delivery: 'other-hook-1' }), first);
        repeats(await tell(store, { after: A }), first);
      });

      it('the same position of another ref or another repository is another event', async () => {
        await tell(store, { after: A });
        expect(await tell(store, { after: A, ref: 'refs/tags/v1.0.1' })).toMatchObject({ outcome: 'new' });
        expect(await tell(store, { after: A, repository: 'plain:ml/rose' })).toMatchObject({
          outcome: 'new',
        });
      });

      it('a move is one more event', async () => {
        await tell(store, { after: A });
        expect(await tell(store, { before: A, after: B })).toMatchObject({
          event: { kind: 'moved', before: A },
        });
        expect(await history()).toEqual([`created ${A}`, `moved ${B}`]);
      });

      it('a move that the forge reports without where it came from is a move all the same', async () => {
        await tell(store, { after: A });
        expect(await tell(store, { before: null, after: B })).toMatchObject({ event: { kind: 'moved' } });
      });

      it('a move back to an earlier commit is one more event', async () => {
        await tell(store, { after: A });
        await tell(store, { before: A, after: B });
        await tell(store, { before: B, after: A });
        expect(await history()).toEqual([`created ${A}`, `moved ${B}`, `moved ${A}`]);
      });

      it('a deletion of a known ref is an event, told twice still one', async () => {
        await tell(store, { after: A });
        const gone = await tell(store, { before: A, after: null, delivery: 'd2' });
        expect(gone).toMatchObject({ outcome: 'new', event: { kind: 'deleted', sha: null, before: A } });
        repeats(await tell(store, { before: A, after: null, delivery: 'other-hook-2' }), gone);
        expect(await history()).toEqual([`created ${A}`, 'deleted']);
      });

      it('a deletion of a ref that nobody knew is ignored', async () => {
        expect(await tell(store, { before: A, after: null, delivery: 'd1' })).toEqual({ outcome: 'ignored' });
        expect(await tell(store, { before: A, after: null, delivery: 'd1' })).toEqual({ outcome: 'ignored' });
        expect(await history()).toEqual([]);
      });

      it('a ref that is made again on the same commit is one more event', async () => {
        await tell(store, { after: A });
        await tell(store, { before: A, after: null });
        expect(await tell(store, { after: A })).toMatchObject({ outcome: 'new', event: { kind: 'created' } });
        expect(await history()).toEqual([`created ${A}`, 'deleted', `created ${A}`]);
      });

      it('an old tale that comes late, after a newer one, makes none', async () => {
        const first = await tell(store, { after: A, delivery: 'd1' });
        await tell(store, { before: A, after: B, delivery: 'd2' });
        repeats(await tell(store, { after: A, delivery: 'other-hook-1' }), first);
        expect(await history()).toEqual([`created ${A}`, `moved ${B}`]);
      });

      it('reading the ref makes the event that no webhook told', async () => {
        await tell(store, { after: A });
        const move = { repository: IRIS, projectId: null, ref: TAG, before: A, after: B };
        expect(await store.events.record(move, 'reading', null)).toMatchObject({
          event: { source: 'reading' },
        });
        repeats(
          await tell(store, { before: A, after: B }),
          (await store.events.record(move, 'reading', null)) as Recorded,
        );
        expect(await history()).toEqual([`created ${A}`, `moved ${B}`]);
      });

      it('tales that come at the same moment make one event', async () => {
        const told = await Promise.all(
          Array.from({ length: 8 }, (_, hook) => tell(store, { after: A, delivery: `hook-${hook}` })),
        );
        expect(told.filter(({ outcome }) => outcome === 'new')).toHaveLength(1);
        expect(told.filter(({ outcome }) => outcome === 'repeat')).toHaveLength(7);
      });
    });

    describe('a move that a webhook told and the forge does not show', () => {
      const move = (before: string | null, after: string | null) => ({
        repository: IRIS,
        projectId: null,
        ref: 'refs/tags/v1.0.0',
        before,
        after,
      });
      const record = (
        before: string | null,
        after: string | null,
        source: 'webhook' | 'reading' | 'listing',
      ) => store.events.record(move(before, after), source, null);

      it('is taken back without an event, so that nothing is deployed anew', async () => {
        const real = await record(null, A, 'webhook');
        await record(A, B, 'webhook');
        const seen = await record(B, A, 'reading');
        expect(seen).toEqual({ ...real, outcome: 'repeat' });
        expect(await record(B, A, 'reading')).toMatchObject({ outcome: 'repeat' });
        expect(await record(A, C, 'webhook')).toMatchObject({ outcome: 'new', event: { kind: 'moved' } });
      });

      it('of a ref of the baseline is taken back too', async () => {
        await store.repositories.scheduleListings([IRIS]);
        const listed = [{ ref: 'refs/tags/v1.0.0', sha: A, object: A }];
        await store.repositories.applyListing(await store.repositories.snapshot(IRIS), listed, 0);
        await record(null, B, 'webhook');
        expect(await record(B, A, 'listing')).toEqual({ outcome: 'ignored' });
      });

      it('was a move and one back where something came of it', async () => {
        await rollOut(store, { sha: A });
        const { id } = await one(rollOut(store, { sha: B }));
        await store.rollouts.advance(id, planned());
        expect(await record(B, A, 'reading')).toMatchObject({ outcome: 'new', event: { sha: A } });
      });
    });

    describe('a listing', () => {
      type Refs = Readonly<Record<string, string | ListedRef>>;
      const listed = (refs: Refs): ListedRef[] =>
        Object.entries(refs).map(([ref, sha]) => (typeof sha === 'string' ? { ref, sha, object: sha } : sha));
      const list = async (refs: Refs): Promise<number> =>
        store.repositories.applyListing(await store.repositories.snapshot(IRIS), listed(refs), 0);
      beforeEach(() => store.repositories.scheduleListings([IRIS]));

      it('doubts what a lagging forge lists of refs that were told about just now, and asks again', async () => {
        await list({ [TAG]: A, 'refs/heads/main': A, 'refs/heads/old': A });
        await tell(store, { ref: 'refs/heads/main', before: A, after: B });
        await tell(store, { ref: 'refs/tags/v2', after: B });
        await store.repositories.claimListings(10, NOON + 600_000);
        const old = listed({ [TAG]: C, 'refs/heads/main': A });
        const snapshot = await store.repositories.snapshot(IRIS);
        expect(await store.repositories.applyListing(snapshot, old, 30_000)).toBe(2);
        expect(await history()).toEqual([`moved ${C}`]);
        expect(await history('refs/heads/old')).toEqual(['deleted']);
        expect(await history('refs/heads/main')).toEqual([`moved ${B}`]);
        expect(await history('refs/tags/v2')).toEqual([`created ${B}`]);
        expect(await store.repositories.claimListings(10, NOON + 600_000)).toEqual([]);
        harness.clock.now = NOON + 30_000;
        expect(await store.repositories.claimListings(10, NOON + 600_000)).toEqual([IRIS]);
        const later = await store.repositories.snapshot(IRIS);
        // That the branch moved was never so: it is where it was, and that is no event.
        expect(await store.repositories.applyListing(later, old, 30_000)).toBe(1);
        expect(await history('refs/heads/main')).toEqual([`moved ${B}`]);
        expect(await history('refs/tags/v2')).toEqual([`created ${B}`, 'deleted']);
      });

      it('makes no event the first time a repository is seen', async () => {
        expect(await list({ [TAG]: A, 'refs/heads/main': A })).toBe(0);
        expect(await history()).toEqual([]);
      });

      it('makes an event for each ref that is new, moved or gone since', async () => {
        await list({ [TAG]: A, 'refs/heads/main': A, 'refs/heads/old': A });
        expect(await list({ 'refs/tags/v1.0.1': B, [TAG]: A, 'refs/heads/main': B })).toBe(3);
        expect(await history('refs/tags/v1.0.1')).toEqual([`created ${B}`]);
        expect(await history('refs/heads/main')).toEqual([`moved ${B}`]);
        expect(await history('refs/heads/old')).toEqual(['deleted']);
        expect(await history(TAG)).toEqual([]);
        const { items } = await store.events.list({ limit: 10 });
        expect(items.map(({ source }) => source)).toEqual(['listing', 'listing', 'listing']);
      });

      it('makes events in the order it is given', async () => {
        await list({ 'refs/heads/main': A });
        const order = ['refs/tags/v9', 'refs/tags/v10', 'refs/tags/v2'];
        await list({ 'refs/heads/main': A, ...Object.fromEntries(order.map((ref) => [ref, B])) });
        expect((await store.events.unmatched(10)).map(({ ref }) => ref)).toEqual(order);
      });

      it('makes nothing of a second look at the same refs, and nothing twice of one that is gone', async () => {
        await list({ [TAG]: A, 'refs/heads/main': A });
        await list({ 'refs/heads/main': A });
        expect(await list({ 'refs/heads/main': A })).toBe(0);
        expect(await history()).toEqual(['deleted']);
      });

      it('repeats nothing that a webhook told, nor a webhook what a listing found', async () => {
        await list({ 'refs/heads/main': A });
        await tell(store, { after: A });
        expect(await list({ 'refs/heads/main': B, [TAG]: A })).toBe(1);
        expect(await tell(store, { ref: 'refs/heads/main', before: A, after: B })).toMatchObject({
          outcome: 'repeat',
          event: { source: 'listing' },
        });
      });

      it('finds a ref that was deleted and made again', async () => {
        await list({ [TAG]: A, 'refs/heads/main': A });
        await list({ 'refs/heads/main': A });
        await list({ [TAG]: A, 'refs/heads/main': A });
        expect(await history()).toEqual(['deleted', `created ${A}`]);
      });

      it('silences no webhook by its baseline: a tag told after the listing that saw it first is deployed', async () => {
        await list({ [TAG]: A });
        expect(await tell(store, { after: A })).toMatchObject({
          outcome: 'new',
          event: { kind: 'created', sha: A },
        });
        expect(await tell(store, { after: A })).toMatchObject({ outcome: 'repeat' });
        expect(await list({ [TAG]: A })).toBe(0);
      });

      it('makes an event of a baseline ref that moves or is deleted', async () => {
        await list({ [TAG]: A, 'refs/heads/main': A });
        expect(await tell(store, { before: A, after: B })).toMatchObject({ event: { kind: 'moved' } });
        const gone = await tell(store, { ref: 'refs/heads/main', before: A, after: null });
        expect(gone).toMatchObject({ event: { kind: 'deleted' } });
      });

      it('takes what a webhook told before the first listing for known, and the rest for the baseline', async () => {
        await tell(store, { after: A });
        expect(await list({ [TAG]: A, 'refs/heads/main': A })).toBe(0);
        expect(await history()).toEqual([`created ${A}`]);
      });

      it('undoes nothing that webhooks told while it was made', async () => {
        await list({ [TAG]: A, 'refs/heads/main': A, 'refs/heads/old': A });
        const snapshot = await store.repositories.snapshot(IRIS);
        const before = listed({ [TAG]: A, 'refs/heads/main': A, 'refs/heads/old': A });
        await tell(store, { before: A, after: B });
        await tell(store, { ref: 'refs/heads/old', before: A, after: null });
        await tell(store, { ref: 'refs/tags/v2', after: C });
        expect(await store.repositories.applyListing(snapshot, before, 0)).toBe(0);
        expect(await history()).toEqual([`moved ${B}`]);
        expect(await history('refs/heads/old')).toEqual(['deleted']);
        expect(await history('refs/tags/v2')).toEqual([`created ${C}`]);
      });

      it('does not bring back a ref that nobody knew and that was deleted while it was made', async () => {
        await list({ 'refs/heads/main': A });
        const snapshot = await store.repositories.snapshot(IRIS);
        await tell(store, { before: A, after: null });
        const before = listed({ [TAG]: A, 'refs/heads/main': A });
        expect(await store.repositories.applyListing(snapshot, before, 0)).toBe(0);
        expect(await history()).toEqual([]);
        expect(await tell(store, { after: A })).toMatchObject({ outcome: 'new', event: { kind: 'created' } });
      });

      it('takes the tag object that a hook told for the commit it points to', async () => {
        await list({ 'refs/heads/main': A });
        await tell(store, { after: TAG_OBJECT });
        const annotated = { ref: TAG, sha: A, object: TAG_OBJECT };
        expect(await list({ 'refs/heads/main': A, [TAG]: annotated })).toBe(0);
        expect(await list({ 'refs/heads/main': A, [TAG]: { ...annotated, sha: B, object: B } })).toBe(1);
      });

      it('tells one repository from another', async () => {
        await list({ [TAG]: A });
        await store.repositories.scheduleListings(['plain:ml/rose']);
        const snapshot = await store.repositories.snapshot('plain:ml/rose');
        expect(snapshot.counters.size).toBe(0);
        expect(await store.repositories.applyListing(snapshot, listed({ [TAG]: B }), 0)).toBe(0);
        expect(await list({ [TAG]: A })).toBe(0);
      });
    });

    describe('listings', () => {
      const claim = (limit = 10) => store.repositories.claimListings(limit, NOON + 600_000);

      it('leave out the forges that are asked to wait, and no other whose name begins alike', async () => {
        await store.repositories.scheduleListings([IRIS, 'plain2:ml/rose']);
        expect(await store.repositories.claimListings(10, NOON + 1, ['plain'])).toEqual(['plain2:ml/rose']);
        expect(await claim()).toEqual([IRIS]);
      });

      it('are due for a repository that a policy names, and once claimed not again until the next time', async () => {
        await store.repositories.scheduleListings([IRIS]);
        expect(await claim()).toEqual([IRIS]);
        expect(await claim()).toEqual([]);
        await store.repositories.applyListing(await store.repositories.snapshot(IRIS), [], 0);
        expect(await claim()).toEqual([]);
        harness.clock.now = NOON + 600_000;
        expect(await claim()).toEqual([IRIS]);
      });

      it('are due for a repository that sends any event, deletions that are ignored too', async () => {
        await tell(store, { after: null, before: A });
        expect(await claim()).toEqual([IRIS]);
      });

      it('are due sooner when something is pushed meanwhile', async () => {
        await tell(store, { after: A });
        await claim();
        await store.repositories.applyListing(await store.repositories.snapshot(IRIS), [], 0);
        await tell(store, { ref: 'refs/heads/main', after: A });
        expect(await claim()).toEqual([IRIS]);
      });

      it('are not brought forward for a known repository by naming it in a policy once more', async () => {
        await store.repositories.scheduleListings([IRIS]);
        await claim();
        await store.repositories.postponeListing(IRIS, NOON + 1000);
        await store.repositories.scheduleListings([IRIS, 'plain:ml/rose']);
        expect(await claim()).toEqual(['plain:ml/rose']);
      });

      it('are due for all known repositories at a start', async () => {
        await store.repositories.scheduleListings([IRIS, 'plain:ml/rose']);
        for (const repository of await claim())
          await store.repositories.postponeListing(repository, NOON + 9);
        expect(await claim()).toEqual([]);
        await store.repositories.scheduleListings('all');
        expect((await claim()).toSorted()).toEqual([IRIS, 'plain:ml/rose']);
      });

      it('that could not be made are put off no longer than a push allows', async () => {
        await store.repositories.scheduleListings([IRIS]);
        await claim();
        await tell(store, { ref: 'refs/heads/main', after: A });
        await store.repositories.postponeListing(IRIS, NOON + 5000);
        expect(await claim()).toEqual([IRIS]);
      });

      it('know how many refs are there, and not only how many ever were', async () => {
        await tell(store, { ref: 'refs/tags/v1', after: A });
        await tell(store, { ref: 'refs/tags/v2', after: A });
        await tell(store, { ref: 'refs/tags/v1', before: A, after: null });
        const { present, counters } = await store.repositories.snapshot(IRIS);
        expect([present, counters.size]).toEqual([1, 2]);
      });

      it('are put off where they could not be made', async () => {
        await store.repositories.scheduleListings([IRIS]);
        await claim();
        await store.repositories.postponeListing(IRIS, NOON + 5000);
        expect(await claim()).toEqual([]);
        harness.clock.now = NOON + 5000;
        expect(await claim()).toEqual([IRIS]);
      });

      it('go to the longest due first, as many as are asked for', async () => {
        for (const [index, path] of ['rose', 'iris', 'lily'].entries()) {
          harness.clock.now = NOON + index;
          await store.repositories.scheduleListings([`plain:ml/${path}`]);
        }
        expect((await claim(2)).toSorted()).toEqual(['plain:ml/iris', 'plain:ml/rose']);
        expect(await claim(2)).toEqual(['plain:ml/lily']);
      });
    });

    describe('matching', () => {
      it('finds events oldest first until they are matched, whether or not a policy matched', async () => {
        for (const tag of ['v1', 'v2', 'v3']) await tell(store, { ref: `refs/tags/${tag}`, after: A });
        const events = await store.events.unmatched(2);
        expect(events.map(({ ref }) => ref)).toEqual(['refs/tags/v1', 'refs/tags/v2']);
        await store.events.matched(events.map((event) => ({ event, policyRevision: REVISION, drafts: [] })));
        expect((await store.events.unmatched(10)).map(({ ref }) => ref)).toEqual(['refs/tags/v3']);
        const [first] = events;
        expect(await store.events.get(first?.id ?? '')).toMatchObject({
          policyRevision: REVISION,
          rollouts: [],
        });
      });

      it('makes one pending rollout for each policy, with its first line in the timeline', async () => {
        const [production, staging] = await rollOut(store, {
          drafts: [
            { policy: 'models', environment: 'production' },
            { policy: 'models-staging', environment: 'staging' },
          ],
        });
        const { eventId } = production ?? {};
        expect(production).toMatchObject({
          cause: { kind: 'event', of: eventId },
          repository: IRIS,
          ref: TAG,
          revision: 'v1.0.0',
          sha: A,
          policy: 'models',
          policyRevision: REVISION,
          environment: 'production',
          target: null,
          phase: 'pending',
          stage: 'resolve',
          createdAt: NOON,
          finishedAt: null,
          plan: null,
          manifest: null,
          receipt: null,
          attempts: 0,
          waitingSince: null,
        });
        expect(staging).toMatchObject({ policy: 'models-staging', environment: 'staging' });
        expect((await store.rollouts.get(production?.id ?? ''))?.transitions).toEqual([
          { phase: 'pending', message: 'Queued for production', at: NOON },
        ]);
        expect((await store.events.get(eventId ?? ''))?.rollouts).toEqual([
          { id: production?.id, policy: 'models', phase: 'pending' },
          { id: staging?.id, policy: 'models-staging', phase: 'pending' },
        ]);
      });

      it('names the commit as the revision of a branch', async () => {
        const recorded = await tell(store, { ref: 'refs/heads/main', after: B });
        if (recorded.outcome !== 'new') throw new Error('no event');
        const drafts = [{ policy: 'previews', environment: 'previews' }];
        await store.events.matched([{ event: recorded.event, policyRevision: REVISION, drafts }]);
        expect((await store.rollouts.list({ limit: 1 })).items[0]).toMatchObject({ revision: B, sha: B });
      });

      it('makes no rollout of a deletion', async () => {
        await tell(store, { after: A });
        const gone = await tell(store, { before: A, after: null });
        if (gone.outcome !== 'new') throw new Error('no event');
        const drafts = [{ policy: 'models', environment: 'production' }];
        await store.events.matched([{ event: gone.event, policyRevision: REVISION, drafts }]);
        expect((await store.rollouts.list({ limit: 10 })).items).toEqual([]);
      });

      it('stores all of a batch or nothing: an event is not matched without its rollouts', async () => {
        const told = await Promise.all(
          ['v1', 'v2'].map((tag) => tell(store, { ref: `refs/tags/${tag}`, after: A })),
        );
        const events = told.flatMap((recorded) => (recorded.outcome === 'new' ? [recorded.event] : []));
        const broken = { policy: null as unknown as string, environment: 'production' };
        const matches = events.map((event, index) => ({
          event,
          policyRevision: REVISION,
          drafts: [index === 0 ? { policy: 'models', environment: 'production' } : broken],
        }));
        await expect(store.events.matched(matches)).rejects.toThrow();
        expect(await store.events.unmatched(10)).toHaveLength(2);
        expect((await store.rollouts.list({ limit: 10 })).items).toEqual([]);
      });
    });

    describe('a claim', () => {
      const claimed = async (limit = 10, except?: { destinations: string[] }) =>
        (await store.rollouts.claim('deliver', limit, except)).map(({ revision }) => revision);

      it('leaves out the forges that are asked to wait', async () => {
        await rollOut(store);
        await rollOut(store, { repository: 'other:ml/iris' });
        const [rollout, ...more] = await store.rollouts.claim('resolve', 10, { forges: ['plain'] });
        expect(more).toEqual([]);
        expect(rollout).toMatchObject({ repository: 'other:ml/iris' });
      });

      it('leases what is due at the stage, once', async () => {
        await rollOut(store);
        expect(await store.rollouts.claim('deliver', 10)).toEqual([]);
        const [rollout] = await store.rollouts.claim('resolve', 10);
        expect(rollout).toMatchObject({ repository: IRIS, revision: 'v1.0.0', stage: 'resolve' });
        expect(await store.rollouts.claim('resolve', 10)).toEqual([]);
      });

      it('takes them in the order of their events, as many as asked for', async () => {
        for (const tag of ['v3', 'v1', 'v2']) await rollOut(store, { tag });
        const revisions = async () =>
          (await store.rollouts.claim('resolve', 2)).map(({ revision }) => revision);
        expect(await revisions()).toEqual(['v3', 'v1']);
        expect(await revisions()).toEqual(['v2']);
      });

      it('leaves alone what is due later, and takes it then', async () => {
        const { id } = await one(rollOut(store));
        await store.rollouts.claim('resolve', 1);
        await store.rollouts.advance(id, {
          attempts: 1,
          dueAt: NOON + 1000,
          message: 'Trying again',
          quiet: true,
        });
        expect(await store.rollouts.claim('resolve', 1)).toEqual([]);
        harness.clock.now = NOON + 1000;
        expect(await store.rollouts.claim('resolve', 1)).toMatchObject([{ id, attempts: 1 }]);
      });

      it('passes over the GitOps repositories that are busy', async () => {
        for (const [tag, gitops] of [
          ['v1', 'fleet'],
          ['v2', 'edge'],
          ['v3', 'lab'],
        ] as const) {
          const { id } = await one(rollOut(store, { tag }));
          await store.rollouts.advance(id, planned({ ...TARGET, name: tag }, { gitops }));
        }
        expect(await claimed(10, { destinations: ['gitops/fleet', 'gitops/lab'] })).toEqual(['v2']);
        expect(await claimed(10, { destinations: [] })).toEqual(['v1', 'v3']);
      });

      it('takes at once what failed or waits at a destination that is back, and nothing that waits elsewhere', async () => {
        const later = { dueAt: NOON + 300_000 };
        const failing = { ...later, message: 'Trying again', attempts: 3 };
        const elsewhere = { ...TARGET, namespace: 'elsewhere' };
        for (const [tag, change, target, gitops] of [
          ['v1', failing, TARGET, null],
          ['v2', failing, TARGET, 'fleet'],
          ['v3', { ...later, message: 'Waiting' }, elsewhere, null],
          ['v4', { ...later, pullRequest: { number: 7, label: '!7', url: 'u' } }, TARGET, null],
        ] as const) {
          const { id } = await one(rollOut(store, { tag }));
          await store.rollouts.advance(id, planned({ ...target, name: tag }, { gitops }));
          await store.rollouts.advance(id, change);
        }
        expect(await claimed()).toEqual([]);
        await store.rollouts.tryAgain('apply/prod', TARGET.namespace);
        expect(await claimed()).toEqual(['v1']);
        await store.rollouts.tryAgain('apply/prod', null);
        expect(await claimed()).toEqual(['v3']);
      });

      it('takes what waits for its pull request as soon as somebody tells of it, also during a look at it', async () => {
        const pullRequest = {
          number: 7,
          label: '!7',
          url: 'https://gitlab.example.com/fleet/-/merge_requests/7',
        };
        const { id } = await one(rollOut(store));
        await store.rollouts.advance(id, planned(TARGET, { via: 'pullRequest' }));
        const wait = async () => {
          expect(await claimed()).toEqual(['v1.0.0']);
          return store.rollouts.advance(id, {
            message: 'Waiting for !7',
            pullRequest,
            dueAt: NOON + 600_000,
          });
        };
        expect(await wait()).toMatchObject({ phase: 'pending', pullRequest, receipt: null });
        await store.rollouts.lookAtPullRequests([]);
        await store.rollouts.lookAtPullRequests(['gitops/fleet', 'pull requests/edge']);
        expect(await claimed()).toEqual([]);
        await store.rollouts.lookAtPullRequests(['pull requests/fleet']);
        expect(await claimed()).toEqual([]);
        harness.clock.now = NOON + 10_000;
        expect(await claimed()).toEqual(['v1.0.0']);
        await store.rollouts.lookAtPullRequests(['pull requests/fleet']);
        await store.rollouts.advance(id, { message: 'Waiting for !7', dueAt: NOON + 600_000 });
        expect(await claimed()).toEqual([]);
        harness.clock.now = NOON + 20_000;
        expect(await claimed()).toEqual(['v1.0.0']);
        await store.rollouts.advance(id, { message: 'Waiting for !7', dueAt: NOON + 600_000 });
        harness.clock.now = NOON + 60_000;
        expect(await claimed()).toEqual([]);
        await store.rollouts.lookAtPullRequests('all');
        expect(await claimed()).toEqual(['v1.0.0']);
        expect(await store.rollouts.get(id)).toMatchObject({ pullRequest });
      });

      it('never gives one rollout to two that claim at once', async () => {
        for (const tag of ['v1', 'v2', 'v3', 'v4']) await rollOut(store, { tag });
        const claims = await Promise.all([1, 2, 3, 4, 5].map(() => store.rollouts.claim('resolve', 2)));
        expect(
          claims
            .flat()
            .map(({ revision }) => revision)
            .toSorted(),
        ).toEqual(['v1', 'v2', 'v3', 'v4']);
      });
    });

    describe('an advance', () => {
      it('stores what the stage decided and ends the lease', async () => {
        const { id } = await one(rollOut(store));
        await store.rollouts.claim('resolve', 1);
        harness.clock.now = NOON + 5;
        const change = { ...planned(), sha: B, policyRevision: C, waitingSince: null, attempts: 0 };
        const rollout = await store.rollouts.advance(id, change);
        const { plan, manifest } = change;
        expect(rollout).toMatchObject({ phase: 'pending', stage: 'deliver', target: TARGET, plan, manifest });
        expect(rollout).toMatchObject({ sha: B, policyRevision: C, updatedAt: NOON + 5, finishedAt: null });
        expect(await store.rollouts.claim('deliver', 1)).toMatchObject([{ id }]);
        expect(await store.rollouts.get(id)).toMatchObject({ target: TARGET, plan, manifest });
      });

      it('stores what observing notes, and keeps the lease where the stage goes on', async () => {
        const { id } = await one(rollOut(store));
        await store.rollouts.advance(id, planned());
        expect(await store.rollouts.advance(id, WATCHED)).toMatchObject({ stage: 'observe' });
        expect(await store.rollouts.claim('observe', 1)).toMatchObject([{ id }]);
        const observation = { ...WATCHED.observation, readyAt: NOON + 5, since: { ours: NOON } };
        const endpoints = { internal: 'http://iris', external: null };
        const change = { phase: 'ready', message: 'Ready', observation, endpoints } as RolloutChange;
        const rollout = await store.rollouts.advance(id, { ...change, keepLease: true });
        expect(rollout).toMatchObject({ phase: 'ready', stage: 'observe', observation, endpoints });
        expect(rollout).toMatchObject({ finishedAt: null });
        expect(await store.rollouts.get(id)).toMatchObject({ observation, endpoints });
        expect(await store.rollouts.claim('observe', 1)).toEqual([]);
        await store.rollouts.advance(id, {});
        expect(await store.rollouts.claim('observe', 1)).toMatchObject([{ id, observation, endpoints }]);
        await store.rollouts.advance(id, { stage: null, keepLease: true });
        expect(await store.rollouts.get(id)).toMatchObject({ stage: null, message: 'Ready' });
      });

      it('leaves as it is what the change does not name', async () => {
        const { id } = await one(rollOut(store));
        await store.rollouts.advance(id, planned());
        const since = NOON - 60_000;
        await store.rollouts.advance(id, { attempts: 3, waitingSince: since });
        const change = { message: 'Trying again: no route', quiet: true };
        const rollout = await store.rollouts.advance(id, change);
        expect(rollout).toMatchObject({ attempts: 3, waitingSince: since, stage: 'deliver', target: TARGET });
      });

      it('writes a line into the timeline for each new phase or message, quiet ones too, and none for the same', async () => {
        const { id } = await one(rollOut(store));
        await store.rollouts.advance(id, planned());
        await store.rollouts.advance(id, { message: 'Trying again: no route', quiet: true });
        await store.rollouts.advance(id, { message: 'Trying again: no route', quiet: true, attempts: 2 });
        harness.clock.now = NOON + 7;
        await store.rollouts.advance(id, DELIVERED);
        const rollout = await store.rollouts.get(id);
        expect(rollout?.transitions).toEqual([
          { phase: 'pending', message: 'Queued for production', at: NOON },
          { phase: 'pending', message: 'Trying again: no route', at: NOON },
          { phase: 'delivered', message: 'Committed ccccccc to fleet', at: NOON + 7 },
        ]);
        expect(rollout).toMatchObject({
          phase: 'delivered',
          stage: null,
          finishedAt: NOON + 7,
          receipt: RECEIPT,
        });
      });

      it('changes nothing of a rollout that has ended but what it delivered, and says what came too late to be cancelled', async () => {
        const { id } = await one(rollOut(store));
        await store.rollouts.advance(id, planned());
        await store.rollouts.advance(id, { phase: 'cancelled', stage: null, message: 'Cancelled' });
        expect(await store.rollouts.advance(id, { ...DELIVERED, manifest: 'kind: Applied\n' })).toBeNull();
        const rollout = await store.rollouts.get(id);
        expect(rollout).toMatchObject({
          phase: 'cancelled',
          stage: null,
          message: 'Cancelled, too late: Committed ccccccc to fleet',
          receipt: RECEIPT,
          manifest: 'kind: Applied\n',
        });
        expect(await store.rollouts.advance(id, FAILED)).toBeNull();
        expect(await store.rollouts.get(id)).toEqual(rollout);
      });

      it('says which rollouts are still wanted', async () => {
        const [first, second, third] = [
          await one(rollOut(store, { tag: 'v1' })),
          await one(rollOut(store, { tag: 'v2' })),
          await one(rollOut(store, { tag: 'v3' })),
        ];
        await store.rollouts.advance(second.id, FAILED);
        const wanted = await store.rollouts.stillWanted([first.id, second.id, 'no-such-rollout']);
        expect(wanted).toEqual(new Set([first.id]));
        expect(await store.rollouts.stillWanted([])).toEqual(new Set());
        expect(await phaseOf(third)).toBe('pending');
      });
    });

    describe('a newer rollout of a target', () => {
      const inOrder = async (...causes: Cause[]): Promise<[Rollout, Rollout]> => {
        const [older, newer] = [await one(rollOut(store, causes[0])), await one(rollOut(store, causes[1]))];
        return [older, newer];
      };

      it('ends older ones that wait to be delivered, the moment its plan is stored', async () => {
        const [older, newer] = await inOrder({ tag: 'v1' }, { tag: 'v2', sha: B });
        await store.rollouts.advance(older.id, planned());
        await store.rollouts.claim('deliver', 1);
        expect(await store.rollouts.advance(newer.id, planned())).toMatchObject({
          id: newer.id,
          phase: 'pending',
        });
        expect(await store.rollouts.get(older.id)).toMatchObject({
          phase: 'superseded',
          stage: null,
          message: 'Superseded by v2',
          finishedAt: NOON,
        });
        expect(await store.rollouts.stillWanted([older.id, newer.id])).toEqual(new Set([newer.id]));
        expect(await store.rollouts.advance(older.id, DELIVERED)).toBeNull();
        expect(await store.rollouts.get(older.id)).toMatchObject({ phase: 'superseded', receipt: RECEIPT });
      });

      it('ends an older one whose plan comes after its own', async () => {
        const [older, newer] = await inOrder({ tag: 'v1' }, { tag: 'v2', sha: B });
        await store.rollouts.advance(newer.id, planned());
        expect(await store.rollouts.advance(older.id, planned())).toBeNull();
        expect(await store.rollouts.get(older.id)).toMatchObject({
          phase: 'superseded',
          message: 'Superseded by v2',
        });
        expect(await phaseOf(newer)).toBe('pending');
      });

      it('ends an older one also where it is delivered or ready already', async () => {
        const [older, newer] = await inOrder({ tag: 'v1' }, { tag: 'v2', sha: B });
        await store.rollouts.advance(newer.id, planned());
        await store.rollouts.advance(newer.id, DELIVERED);
        expect(await store.rollouts.advance(older.id, planned())).toBeNull();
        expect(await phaseOf(older)).toBe('superseded');
      });

      it.each([
        ['delivered', 'superseded', 'Superseded by v2'],
        ['ready', 'ready', 'As it was'],
        ['failed', 'failed', 'As it was'],
      ] as const)(
        'ends with its delivery the watching of an older one that is %s, which is then %s',
        async (phase, then, words) => {
          const [older, newer] = await inOrder({ tag: 'v1' }, { tag: 'v2', sha: B });
          await store.rollouts.advance(older.id, planned());
          await store.rollouts.advance(older.id, WATCHED);
          await store.rollouts.claim('observe', 1);
          await store.rollouts.advance(older.id, { phase, message: 'As it was', keepLease: true });
          const lines = (await store.rollouts.get(older.id))?.transitions.length ?? 0;
          await store.rollouts.advance(newer.id, planned());
          expect(await store.rollouts.get(older.id)).toMatchObject({ phase, stage: 'observe' });
          await store.rollouts.advance(newer.id, WATCHED);
          const ended = await store.rollouts.get(older.id);
          expect(ended).toMatchObject({ phase: then, stage: null, message: words, finishedAt: NOON });
          expect(ended?.transitions).toHaveLength(then === 'superseded' ? lines + 1 : lines);
          expect(await store.rollouts.advance(older.id, { message: 'Late' })).toBeNull();
        },
      );

      it('ends what is watched before it is written over, and only for what is wanted still', async () => {
        const [older, newer] = await inOrder({ tag: 'v1' }, { tag: 'v2', sha: B });
        await store.rollouts.advance(older.id, planned());
        await store.rollouts.advance(older.id, WATCHED);
        await store.rollouts.advance(newer.id, planned());
        expect(await store.rollouts.takeOver([newer.id])).toEqual(new Set([newer.id]));
        expect(await store.rollouts.get(older.id)).toMatchObject({
          message: 'Superseded by v2',
          stage: null,
        });
        await store.requests.cancel(newer.id, 'anna');
        expect(await store.rollouts.takeOver([newer.id])).toEqual(new Set());
      });

      it('that is refused before its delivery takes nothing from what is watched', async () => {
        const [older, newer] = await inOrder({ tag: 'v1' }, { tag: 'v2', sha: B });
        await store.rollouts.advance(older.id, planned());
        await store.rollouts.advance(older.id, WATCHED);
        await store.rollouts.advance(newer.id, planned());
        await store.rollouts.advance(newer.id, FAILED);
        expect(await store.rollouts.get(older.id)).toMatchObject({ phase: 'delivered', stage: 'observe' });
      });

      it('leaves alone what is final', async () => {
        const [older, newer] = await inOrder({ tag: 'v1' }, { tag: 'v2', sha: B });
        await store.rollouts.advance(older.id, planned());
        await store.rollouts.advance(older.id, DELIVERED);
        await store.rollouts.advance(newer.id, planned());
        expect(await phaseOf(older)).toBe('delivered');
      });

      it('supersedes nothing where it fails before it has a plan', async () => {
        const [older, newer] = await inOrder({ tag: 'v1' }, { tag: 'v2', sha: B });
        await store.rollouts.advance(newer.id, FAILED);
        expect(await store.rollouts.advance(older.id, planned())).toMatchObject({ stage: 'deliver' });
      });

      it('supersedes nothing later where it failed before its delivery', async () => {
        const [older, newer] = await inOrder({ tag: 'v1' }, { tag: 'v2', sha: B });
        await store.rollouts.advance(newer.id, planned());
        await store.rollouts.advance(newer.id, FAILED);
        expect(await store.rollouts.advance(older.id, planned())).toMatchObject({ stage: 'deliver' });
      });

      it('keeps an older one from being put over what it delivered, also where it failed after that', async () => {
        const [older, newer] = await inOrder({ tag: 'v1' }, { tag: 'v2', sha: B });
        await store.rollouts.advance(newer.id, planned());
        await store.rollouts.advance(newer.id, { ...DELIVERED, stage: 'observe' });
        await store.rollouts.advance(newer.id, FAILED);
        expect(await store.rollouts.advance(older.id, planned())).toBeNull();
        expect(await phaseOf(older)).toBe('superseded');
      });

      it('leaves alone another target', async () => {
        const [older, newer] = await inOrder({ tag: 'v1' }, { tag: 'v2', sha: B });
        await store.rollouts.advance(older.id, planned());
        await store.rollouts.advance(newer.id, planned({ ...TARGET, namespace: 'lab' }));
        expect(await phaseOf(older)).toBe('pending');
      });

      it('of another repository is refused, with both names: the target belongs to the first', async () => {
        const [older, newer] = await inOrder({ tag: 'v1' }, { tag: 'v2', repository: 'plain:other/iris' });
        await store.rollouts.advance(older.id, planned());
        const refused = store.rollouts.advance(newer.id, planned());
        await expect(refused).rejects.toBeInstanceOf(StalledError);
        await expect(refused).rejects.toThrow(/belongs to plain:ml\/iris.*plain:other\/iris cannot take it/);
        expect(await phaseOf(older)).toBe('pending');
      });

      it('of another repository may take a target that nothing was ever delivered to', async () => {
        const [older, newer] = await inOrder({ tag: 'v1' }, { tag: 'v2', repository: 'plain:other/iris' });
        await store.rollouts.advance(older.id, planned());
        await store.rollouts.advance(older.id, { phase: 'failed', stage: null, message: 'refused' });
        expect(await store.rollouts.advance(newer.id, planned())).toMatchObject({ stage: 'deliver' });
      });
    });

    describe('two policies that deploy one ref to one target', () => {
      const drafts = [
        { policy: 'models', environment: 'production' },
        { policy: 'models-too', environment: 'staging' },
      ];

      it.each([
        ['in the order of the policies', [0, 1]],
        ['in the other order', [1, 0]],
      ])('are refused with both names, the second to have its plan, %s', async (_, order) => {
        const rollouts = await rollOut(store, { drafts });
        const [first, second] = order.map((index) => rollouts[index] as Rollout) as [Rollout, Rollout];
        await store.rollouts.advance(first.id, planned());
        const refused = store.rollouts.advance(second.id, planned());
        await expect(refused).rejects.toBeInstanceOf(StalledError);
        await expect(refused).rejects.toThrow(
          /"models(-too)?" and "models(-too)?" .*refs\/tags\/v1\.0\.0.*prod\/vision\/iris/,
        );
        await expect(refused).rejects.toThrow(`"${first.policy}"`);
        await expect(refused).rejects.toThrow(`"${second.policy}"`);
        // Nothing of it is stored: the stage says so, and then it has failed.
        expect(await store.rollouts.get(second.id)).toMatchObject({
          phase: 'pending',
          target: null,
          plan: null,
        });
        expect(await phaseOf(first)).toBe('pending');
      });

      it('may each deploy the next ref there: that is the older one superseded', async () => {
        const [first] = await rollOut(store, { tag: 'v1', drafts: drafts.slice(0, 1) });
        const [second] = await rollOut(store, { tag: 'v2', drafts: drafts.slice(1) });
        await store.rollouts.advance(first?.id ?? '', planned());
        expect(await store.rollouts.advance(second?.id ?? '', planned())).toMatchObject({ stage: 'deliver' });
        expect(await phaseOf(first as Rollout)).toBe('superseded');
      });
    });

    describe('reports', () => {
      const STATUS = {
        context: 'modelhook/production',
        state: 'pending',
        description: 'Queued',
        url: 'u',
      } as const;
      const claim = () => store.reports.claim(10);
      const told = async () => (await claim()).map(({ rollout }) => `${rollout.revision} ${rollout.message}`);
      const onlyReport = async () => {
        const [report, ...others] = await claim();
        if (report === undefined || others.length > 0) throw new Error('not exactly one report');
        return report;
      };

      it('leave out the forges that are asked to wait', async () => {
        const { id } = await one(rollOut(store));
        await store.rollouts.advance(id, planned());
        expect(await store.reports.claim(10, ['plain'])).toEqual([]);
        expect(await claim()).toHaveLength(1);
      });

      it('begin with the plan, when the commit is known', async () => {
        const { id } = await one(rollOut(store));
        expect(await claim()).toEqual([]);
        await store.rollouts.advance(id, { ...planned(), sha: B });
        expect(await claim()).toMatchObject([
          { rollout: { id, sha: B, target: TARGET }, sent: null, uncertain: false, attempts: 0 },
        ]);
      });

      it('are one for a repository, commit and context, whatever happened since', async () => {
        const { id } = await one(rollOut(store));
        await store.rollouts.advance(id, planned());
        await store.rollouts.advance(id, { message: 'Waiting' });
        await store.rollouts.advance(id, DELIVERED);
        expect(await told()).toEqual(['v1.0.0 Committed ccccccc to fleet']);
      });

      it('are separate for another environment, another commit and another repository', async () => {
        const drafts = ['production', 'staging'].map((environment) => ({ policy: environment, environment }));
        const rollouts = [
          ...(await rollOut(store, { drafts })),
          ...(await rollOut(store, { tag: 'v2', sha: B })),
          ...(await rollOut(store, { repository: 'plain:ml/rose' })),
        ];
        for (const [index, { id }] of rollouts.entries())
          await store.rollouts.advance(id, planned({ ...TARGET, name: `m-${index}` }));
        expect(await claim()).toHaveLength(4);
      });

      it('are not made for a quiet message', async () => {
        const { id } = await one(rollOut(store));
        await store.rollouts.advance(id, planned());
        await store.reports.sent(await onlyReport(), STATUS);
        await store.rollouts.advance(id, { message: 'Trying again', quiet: true });
        expect(await claim()).toEqual([]);
      });

      it('are claimed once, and done once sent', async () => {
        const { id } = await one(rollOut(store));
        await store.rollouts.advance(id, planned());
        const report = await onlyReport();
        expect(await claim()).toEqual([]);
        await store.reports.sent(report, STATUS);
        expect(await claim()).toEqual([]);
        await store.rollouts.advance(id, DELIVERED);
        expect(await claim()).toMatchObject([{ sent: STATUS, uncertain: false, attempts: 0 }]);
      });

      it('are due again where the rollout went on while they were written', async () => {
        const { id } = await one(rollOut(store));
        await store.rollouts.advance(id, planned());
        const report = await onlyReport();
        await store.rollouts.advance(id, DELIVERED);
        expect(await claim()).toEqual([]);
        await store.reports.sent(report, STATUS);
        expect(await claim()).toMatchObject([{ sent: STATUS, rollout: { phase: 'delivered' } }]);
      });

      it('are put off after a failed try, and then read back first', async () => {
        const { id } = await one(rollOut(store));
        await store.rollouts.advance(id, planned());
        await store.reports.postponed(await onlyReport(), NOON + 1000);
        expect(await claim()).toEqual([]);
        harness.clock.now = NOON + 1000;
        const again = await onlyReport();
        expect(again).toMatchObject({ attempts: 1, uncertain: true });
        await store.reports.postponed(again, NOON + 3000);
        harness.clock.now = NOON + 3000;
        expect(await claim()).toMatchObject([{ attempts: 2 }]);
      });

      it('are given up where the forge refuses for good, until there is something new to say', async () => {
        const { id } = await one(rollOut(store));
        await store.rollouts.advance(id, planned());
        await store.reports.refused(await onlyReport(), 'no scope; give it one');
        harness.clock.now = NOON + 1e9;
        expect(await claim()).toEqual([]);
        await store.rollouts.advance(id, DELIVERED);
        await store.reports.refused(await onlyReport(), 'no scope; give it one');
        const { transitions } = (await store.rollouts.get(id)) ?? { transitions: [] };
        const said = 'The status on the commit could not be written: no scope; give it one';
        expect(transitions.filter(({ message }) => message === said)).toMatchObject([{ phase: 'pending' }]);
      });

      it('are not given up where there was something new to say while the forge refused', async () => {
        const { id } = await one(rollOut(store));
        await store.rollouts.advance(id, planned());
        const report = await onlyReport();
        await store.rollouts.advance(id, DELIVERED);
        await store.reports.refused(report, 'no scope; give it one');
        expect(await told()).toEqual(['v1.0.0 Committed ccccccc to fleet']);
      });

      it('belong to the newest rollout: older ones of the commit and context fall silent', async () => {
        const older = await one(rollOut(store, { tag: 'v1' }));
        const newer = await one(rollOut(store, { tag: 'v1-again' }));
        await store.rollouts.advance(older.id, planned());
        await store.rollouts.advance(newer.id, planned({ ...TARGET, name: 'again' }));
        await store.rollouts.advance(older.id, FAILED);
        expect(await told()).toEqual(['v1-again Queued for production']);
      });

      it('tell of the end of a rollout that was superseded, on its own commit', async () => {
        const older = await one(rollOut(store, { tag: 'v1' }));
        const newer = await one(rollOut(store, { tag: 'v2', sha: B }));
        await store.rollouts.advance(older.id, planned());
        await store.rollouts.advance(newer.id, planned());
        expect((await told()).toSorted()).toEqual(['v1 Superseded by v2', 'v2 Queued for production']);
      });
    });

    describe('facts', () => {
      it('are kept under their key, and replaced', async () => {
        expect(await store.facts.get('policies/in-force')).toBeNull();
        await store.facts.set('policies/in-force', A);
        await store.facts.set('gitops/fleet/base', C);
        await store.facts.set('policies/in-force', B);
        expect(await store.facts.get('policies/in-force')).toBe(B);
      });

      it('tell when the next thing of any queue is due that is not due yet', async () => {
        expect(await store.facts.nextDue(harness.clock.now)).toBeNull();
        const { id } = await one(rollOut(store));
        await store.repositories.claimListings(1, NOON + 600_000);
        await store.repositories.postponeListing(IRIS, NOON + 600_000);
        expect(await store.facts.nextDue(harness.clock.now)).toBe(NOON + 600_000);
        await store.rollouts.advance(id, { ...planned(), dueAt: NOON + 30_000 });
        expect(await store.facts.nextDue(harness.clock.now)).toBe(NOON + 30_000);
        const [report] = await store.reports.claim(1);
        if (report) await store.reports.postponed(report, NOON + 2000);
        expect(await store.facts.nextDue(harness.clock.now)).toBe(NOON + 2000);
        harness.clock.now = NOON + 2000;
        expect(await store.facts.nextDue(harness.clock.now)).toBe(NOON + 30_000);
        await store.rollouts.advance(id, FAILED);
        expect(await store.facts.nextDue(harness.clock.now)).toBe(NOON + 600_000);
      });
    });

    describe('a change', () => {
      it('is told to whoever listens, after it can be read, until they stop listening', async () => {
        const seen: Promise<number>[] = [];
        const stop = store.lifecycle.onChange(() => {
          seen.push(store.events.unmatched(10).then(({ length }) => length));
        });
        await tell(store, { after: A });
        await tell(store, { after: A });
        expect(await Promise.all(seen)).toEqual([1]);
        stop();
        await tell(store, { before: A, after: B });
        expect(seen).toHaveLength(1);
      });

      it('is told for every step that makes work due', async () => {
        let changes = 0;
        store.lifecycle.onChange(() => {
          changes += 1;
        });
        const tells = async (work: () => Promise<unknown>) => {
          const before = changes;
          await work();
          expect(changes).toBeGreaterThan(before);
        };
        let rollout: Rollout | undefined;
        await tells(async () => {
          rollout = await one(rollOut(store));
        });
        const { id } = rollout as Rollout;
        await tells(() => store.rollouts.advance(id, planned()));
        const [report] = await store.reports.claim(1);
        if (!report) throw new Error('no report');
        await store.rollouts.advance(id, DELIVERED);
        const status = { context: 'c', state: 'pending', description: 'd', url: 'u' } as const;
        await tells(() => store.reports.sent(report, status));
        await tells(() => store.repositories.scheduleListings(['plain:ml/rose']));
      });

      it('that can be written is found by a check', async () => {
        await expect(store.lifecycle.check()).resolves.toBeUndefined();
      });
    });

    describe('lists', () => {
      beforeEach(async () => {
        const environments = ['production', 'staging'];
        const drafts = environments.map((environment) => ({ policy: `models-${environment}`, environment }));
        for (const [index, name] of ['iris', 'rose', 'iris', 'lily'].entries()) {
          const cause = { repository: `plain:ml/${name}`, tag: `v${index}`, drafts };
          const [production] = await rollOut(store, cause);
          if (index === 2 && production) await store.rollouts.advance(production.id, FAILED);
        }
        await tell(store, { repository: 'plain:ml/rose', ref: 'refs/heads/main', after: B });
      });

      const rollouts = async (query: object) =>
        (await store.rollouts.list({ limit: 50, ...query })).items.map(
          ({ revision, environment }) => `${revision} ${environment}`,
        );
      const events = async (query: object) =>
        (await store.events.list({ limit: 50, ...query })).items.map(({ ref }) =>
          ref.replace(/^refs\/tags\//, ''),
        );

      it('are newest first', async () => {
        expect(await rollouts({})).toEqual(
          [3, 2, 1, 0].flatMap((index) => [`v${index} staging`, `v${index} production`]),
        );
        expect(await events({})).toEqual(['refs/heads/main', 'v3', 'v2', 'v1', 'v0']);
      });

      it('can be narrowed to a repository, a phase, an environment, and all of these', async () => {
        expect(await rollouts({ repository: IRIS })).toHaveLength(4);
        expect(await rollouts({ phase: 'failed' })).toEqual(['v2 production']);
        expect(await rollouts({ environment: 'staging', repository: IRIS })).toEqual([
          'v2 staging',
          'v0 staging',
        ]);
        expect(await rollouts({ environment: 'staging', phase: 'failed' })).toEqual([]);
        expect(await events({ repository: 'plain:ml/rose' })).toEqual(['refs/heads/main', 'v1']);
        expect(await events({ phase: 'failed' })).toEqual(['v2']);
        expect(await events({ environment: 'production', repository: IRIS })).toEqual(['v2', 'v0']);
        // One rollout that is both, not one that failed and another of that environment.
        expect(await events({ environment: 'staging', phase: 'failed' })).toEqual([]);
      });

      it.each(['rollouts', 'events'] as const)(
        'of %s come in pages that neither repeat nor miss any',
        async (kind) => {
          const seen: string[] = [];
          let before: number | undefined;
          for (let pages = 0; pages < 20; pages += 1) {
            const page = await store[kind].list({ limit: 3, before });
            seen.push(...page.items.map(({ id }) => id));
            if (page.nextCursor === null) break;
            expect(page.items).toHaveLength(3);
            expect(page.nextCursor).toMatch(/^[A-Za-z0-9_-]+$/);
            before = Number(page.nextCursor);
          }
          const all = await store[kind].list({ limit: 200 });
          expect(all.nextCursor).toBeNull();
          expect(seen).toEqual(all.items.map(({ id }) => id));
        },
      );

      it('end without a cursor where the last page is just full', async () => {
        expect((await store.rollouts.list({ limit: 8 })).nextCursor).toBeNull();
        expect((await store.rollouts.list({ limit: 7 })).nextCursor).not.toBeNull();
      });
    });
  });
}
