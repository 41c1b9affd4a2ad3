/** What every store does when people ask for something: retry, cancel, rollback, replay, and a command's own rollouts. */
// biome-ignore-all lint/style/noRestrictedImports: a suite for tests may use what tests use
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CommitStatus } from '../core/commit-status.ts';
import type { PlanSummary, Rollout } from '../core/rollout.ts';
import {
  A,
  B,
  C,
  type Cause,
  DELIVERED,
  FAILED,
  IRIS,
  NOON,
  one,
  planned,
  REVISION,
  rollOut,
  type StoreHarness,
  TAG,
  TARGET,
  tell,
  WATCHED,
} from './contract.ts';
import type { RolloutChange, Store } from './store.ts';

/** @param create makes an empty store, started */
export function describeRequests(name: string, create: () => Promise<StoreHarness>): void {
  describe(name, () => {
    let harness: StoreHarness;
    let store: Store;
    beforeEach(async () => {
      harness = await create();
      store = harness.store;
      harness.clock.now = NOON;
    });
    afterEach(() => harness.end());

    const manifestOf = (version: string) => `kind: InferenceService # ${version}\n`;

    /** A rollout of a tag that goes as far as the changes say, with a manifest of its own. */
    async function went(cause: Cause & { tag: string }, ...changes: RolloutChange[]): Promise<Rollout> {
      const { id } = await one(rollOut(store, cause));
      for (const change of [{ ...planned(), manifest: manifestOf(cause.tag) }, ...changes])
        await store.rollouts.advance(id, change);
      return found(id);
    }
    const found = async (id: string): Promise<Rollout> => {
      const rollout = await store.rollouts.get(id);
      if (!rollout) throw new Error(`there is no rollout ${id}`);
      return rollout;
    };
    const READY: RolloutChange = { phase: 'ready', stage: null, message: 'Ready in 10s' };

    it('nothing comes of a request for a rollout that is not there', async () => {
      expect(await store.requests.retry('none')).toBeNull();
      expect(await store.requests.cancel('none', 'anna')).toBeNull();
      expect(await store.requests.rollback('none')).toBeNull();
    });

    describe('a retry', () => {
      it('is a new rollout of the same commit that begins anew, and says what it retries', async () => {
        const failed = await went({ tag: 'v1' }, FAILED);
        const retried = await store.requests.retry(failed.id);
        expect(retried).toMatchObject({
          cause: { kind: 'retry', of: failed.id },
          eventId: failed.eventId,
          repository: IRIS,
          ref: failed.ref,
          revision: 'v1',
          sha: A,
          policy: failed.policy,
          environment: failed.environment,
          phase: 'pending',
          stage: 'resolve',
          message: 'Queued for production',
          target: null,
          plan: null,
          manifest: null,
          receipt: null,
        });
        expect(await store.rollouts.claim('resolve', 10)).toEqual([retried]);
        expect((await store.rollouts.get(retried?.id ?? ''))?.transitions).toHaveLength(1);
        expect(await found(failed.id)).toEqual(failed);
      });

      it('wakes whoever works', async () => {
        const failed = await went({ tag: 'v1' }, FAILED);
        let told = 0;
        store.lifecycle.onChange(() => {
          told += 1;
        });
        await store.requests.retry(failed.id);
        expect(told).toBe(1);
      });

      it('speaks for its commit from its plan on', async () => {
        const failed = await went({ tag: 'v1' }, FAILED);
        const retried = await store.requests.retry(failed.id);
        await store.rollouts.advance(retried?.id ?? '', planned());
        const reports = await store.reports.claim(10);
        expect(reports.map(({ rollout }) => rollout.id)).toEqual([retried?.id]);
      });

      it('is refused while the rollout is under way, in the words of what it does', async () => {
        const pending = await went({ tag: 'v1' });
        await expect(store.requests.retry(pending.id)).rejects.toThrow(
          'this rollout is under way: Queued for production; wait until it ends, or cancel it first',
        );
      });

      it('is taken for what has failed and is only watched on', async () => {
        const watched = await went({ tag: 'v1' }, planned(), { ...FAILED, stage: 'observe' });
        expect(await store.requests.retry(watched.id)).toMatchObject({ phase: 'pending', stage: 'resolve' });
      });

      it('is refused while another one does the same, and not after that', async () => {
        const failed = await went({ tag: 'v1' }, FAILED);
        const first = await store.requests.retry(failed.id);
        await expect(store.requests.retry(failed.id)).rejects.toThrow(
          `rollout ${first?.id} does that already; wait until that one ends`,
        );
        await store.rollouts.advance(first?.id ?? '', FAILED);
        expect(await store.requests.retry(failed.id)).toMatchObject({ cause: { of: failed.id } });
      });

      it('is refused where another version was delivered since, and names that', async () => {
        const failed = await went({ tag: 'v1' }, FAILED);
        const newer = await went({ tag: 'v2', sha: B }, DELIVERED);
        await expect(store.requests.retry(failed.id)).rejects.toThrow(
          `a newer rollout (${newer.id}) has brought v2 to prod/vision/iris; retry that one, or roll it back`,
        );
      });

      it('is allowed where what came since failed before its delivery, or is the same commit', async () => {
        const failed = await went({ tag: 'v1' }, FAILED);
        await went({ tag: 'v2', sha: B }, FAILED);
        await went({ tag: 'v1-again' }, DELIVERED);
        expect(await store.requests.retry(failed.id)).toMatchObject({ sha: A });
      });

      it('that only learns its target when it is resolved is refused then, a retry of it too', async () => {
        const { id } = await one(rollOut(store, { tag: 'v1' }));
        await store.rollouts.advance(id, FAILED);
        await went({ tag: 'v2', sha: B }, DELIVERED);
        const first = await store.requests.retry(id);
        await expect(store.rollouts.advance(first?.id ?? '', planned())).rejects.toThrow(
          /^a newer rollout \(.+\) has brought v2/,
        );
        await store.rollouts.advance(first?.id ?? '', FAILED);
        const second = await store.requests.retry(first?.id ?? '');
        await expect(store.rollouts.advance(second?.id ?? '', planned())).rejects.toThrow('has brought v2');
      });

      it('gives way to what was pushed after the rollout it began with, though its own plan comes first', async () => {
        const { id } = await one(rollOut(store, { tag: 'v1' }));
        await store.rollouts.advance(id, FAILED);
        const newer = await one(rollOut(store, { tag: 'v2', sha: B }));
        const first = await store.requests.retry(id);
        await store.rollouts.advance(first?.id ?? '', FAILED);
        const second = await store.requests.retry(first?.id ?? '');
        await store.rollouts.advance(second?.id ?? '', planned());
        expect(await found(newer.id)).toMatchObject({ phase: 'pending', stage: 'resolve' });
        expect(await store.rollouts.advance(newer.id, planned())).toMatchObject({ stage: 'deliver' });
        expect(await found(second?.id ?? '')).toMatchObject({
          phase: 'superseded',
          message: 'Superseded by v2',
        });
      });

      it('gives way also once it has delivered', async () => {
        const failed = await went({ tag: 'v1' }, FAILED);
        const newer = await one(rollOut(store, { tag: 'v2', sha: B }));
        const retried = await store.requests.retry(failed.id);
        for (const change of [planned(), DELIVERED]) await store.rollouts.advance(retried?.id ?? '', change);
        expect(await store.rollouts.advance(newer.id, planned())).toMatchObject({ stage: 'deliver' });
      });

      it('goes on where what was pushed since then fails before its delivery', async () => {
        const failed = await went({ tag: 'v1' }, FAILED);
        const newer = await one(rollOut(store, { tag: 'v2', sha: B }));
        const retried = await store.requests.retry(failed.id);
        await store.rollouts.advance(newer.id, planned());
        await store.rollouts.advance(newer.id, FAILED);
        expect(await store.rollouts.advance(retried?.id ?? '', planned())).toMatchObject({
          stage: 'deliver',
        });
      });

      it('of a version that a newer ref has brought too takes the place of that', async () => {
        const failed = await went({ tag: 'v1' }, FAILED);
        const again = await went({ tag: 'v1-again' }, WATCHED);
        const newer = await one(rollOut(store, { tag: 'v2', sha: B }));
        const retried = await store.requests.retry(failed.id);
        expect(await store.rollouts.advance(retried?.id ?? '', planned())).toMatchObject({
          stage: 'deliver',
        });
        await store.rollouts.takeOver([retried?.id ?? '']);
        expect(await found(again.id)).toMatchObject({ phase: 'superseded' });
        await store.rollouts.advance(newer.id, planned());
        expect(await found(retried?.id ?? '')).toMatchObject({ message: 'Superseded by v2' });
      });

      it('of a removal removes, and deploys nothing', async () => {
        await went({ tag: 'v1' }, DELIVERED);
        const deleted = await tell(store, { ref: 'refs/tags/v1', before: A, after: null });
        if (deleted.outcome !== 'new') throw new Error('the deletion made no event');
        const drafts = [{ policy: 'production', environment: 'production' }];
        await store.events.matched([{ event: deleted.event, policyRevision: REVISION, drafts }]);
        const [removal] = await store.rollouts.claim('remove', 1);
        await store.rollouts.advance(removal?.id ?? '', FAILED);
        expect(await store.requests.retry(removal?.id ?? '')).toMatchObject({ stage: 'remove' });
      });

      it('of what another policy deploys for the same push is refused until the policies are others', async () => {
        const drafts = ['one', 'two'].map((policy) => ({ policy, environment: policy }));
        const [first, second] = await rollOut(store, { drafts });
        const inForce = { ...planned(), policyRevision: REVISION };
        await store.rollouts.advance(first?.id ?? '', inForce);
        await store.rollouts.advance(first?.id ?? '', DELIVERED);
        await store.rollouts.advance(second?.id ?? '', FAILED);
        const retried = await store.requests.retry(second?.id ?? '');
        const refused = store.rollouts.advance(retried?.id ?? '', inForce);
        await expect(refused).rejects.toThrow('policies "one" and "two" both deploy');
        const mended = { ...planned(), policyRevision: 'another' };
        expect(await store.rollouts.advance(retried?.id ?? '', mended)).toMatchObject({ stage: 'deliver' });
      });
    });

    describe('a cancellation', () => {
      it('ends a rollout that waits, names who asked, and is reported', async () => {
        const pending = await went({ tag: 'v1' });
        for (const report of await store.reports.claim(10)) await store.reports.sent(report, STATUS);
        expect(await store.requests.cancel(pending.id, 'anna')).toMatchObject({
          id: pending.id,
          phase: 'pending',
        });
        expect(await found(pending.id)).toMatchObject({
          phase: 'cancelled',
          stage: null,
          message: 'Cancelled by anna',
          finishedAt: NOON,
        });
        expect(await store.rollouts.stillWanted([pending.id])).toEqual(new Set());
        expect(await store.reports.claim(10)).toMatchObject([{ rollout: { phase: 'cancelled' } }]);
      });

      it('ends one that a stage has in hand: what that stores is not taken any more', async () => {
        const pending = await went({ tag: 'v1' });
        await store.rollouts.claim('deliver', 1);
        await store.requests.cancel(pending.id, 'anna');
        expect(await store.rollouts.advance(pending.id, DELIVERED)).toBeNull();
        expect(await found(pending.id)).toMatchObject({ phase: 'cancelled' });
      });

      it('of what is delivered and waits to be ready says that it stays', async () => {
        const watched = await went({ tag: 'v1' }, WATCHED);
        await store.requests.cancel(watched.id, 'anna');
        expect(await found(watched.id)).toMatchObject({
          phase: 'cancelled',
          message: 'Cancelled by anna; what was delivered stays',
        });
      });

      it.each([
        [
          'failed',
          FAILED,
          'this rollout is failed already: It is broken; mend it; nothing is to be cancelled',
        ],
        [
          'watched on though it is ready',
          { ...WATCHED, phase: 'ready', message: 'Ready' },
          /is ready already: Ready; roll it back/,
        ],
        ['delivered for good', DELIVERED, /has ended already: Committed ccccccc to fleet; roll it back/],
      ] as const)('is refused of one that is %s', async (_, change, words) => {
        const { id } = await went({ tag: 'v1' }, change);
        const before = await found(id);
        await expect(store.requests.cancel(id, 'anna')).rejects.toThrow(words);
        expect(await found(id)).toEqual(before);
      });
    });

    describe('a rollback', () => {
      it('delivers the manifest of the last one before that was ready, without being resolved', async () => {
        const good = await went({ tag: 'v1' }, WATCHED, READY);
        await went({ tag: 'v2', sha: B }, WATCHED, FAILED);
        const bad = await went({ tag: 'v3', sha: C }, WATCHED, FAILED);
        const made = await store.requests.rollback(bad.id);
        expect(made).toMatchObject({
          cause: { kind: 'rollback', of: bad.id },
          revision: 'v1',
          sha: A,
          target: TARGET,
          plan: good.plan,
          manifest: manifestOf('v1'),
          phase: 'pending',
          stage: 'deliver',
          receipt: null,
          observation: null,
        });
        expect(await store.rollouts.claim('deliver', 10)).toEqual([made]);
        expect(await store.rollouts.claim('resolve', 10)).toEqual([]);
      });

      it('takes one that is delivered where nothing observes, and no other manifest of the same', async () => {
        await went({ tag: 'v1' }, DELIVERED);
        const v2 = await went({ tag: 'v2', sha: B }, DELIVERED);
        const retried = await store.requests.retry(v2.id);
        for (const change of [{ ...planned(), manifest: manifestOf('v2') }, DELIVERED])
          await store.rollouts.advance(retried?.id ?? '', change);
        expect(await store.requests.rollback(retried?.id ?? '')).toMatchObject({ revision: 'v1' });
      });

      it('goes before what waits for its suspended policy, and ends it not: it was pushed later', async () => {
        await went({ tag: 'v1' }, DELIVERED);
        const bad = await went({ tag: 'v2', sha: B }, DELIVERED);
        const held = await went({ tag: 'v3', sha: C }, { stage: 'resolve', message: 'Waiting' });
        expect(await store.requests.rollback(bad.id)).toMatchObject({ revision: 'v1' });
        expect(await found(held.id)).toMatchObject({ phase: 'pending', message: 'Waiting' });
      });

      it('of a rollback goes forth again', async () => {
        await went({ tag: 'v1' }, DELIVERED);
        const v2 = await went({ tag: 'v2', sha: B }, DELIVERED);
        const back = await store.requests.rollback(v2.id);
        await store.rollouts.advance(back?.id ?? '', DELIVERED);
        expect(await store.requests.rollback(back?.id ?? '')).toMatchObject({ revision: 'v2', sha: B });
      });

      it('ends with its delivery what waits to be ready at the target', async () => {
        await went({ tag: 'v1' }, DELIVERED);
        const stuck = await went({ tag: 'v2', sha: B }, WATCHED);
        const back = await store.requests.rollback(stuck.id);
        await store.rollouts.advance(back?.id ?? '', DELIVERED);
        expect(await found(stuck.id)).toMatchObject({ phase: 'superseded', message: 'Superseded by v1' });
      });

      it('gives way to what was pushed after the rollout it takes back, and had no plan yet', async () => {
        await went({ tag: 'v1' }, DELIVERED);
        const v2 = await went({ tag: 'v2', sha: B }, DELIVERED);
        const v3 = await one(rollOut(store, { tag: 'v3', sha: C }));
        const made = await store.requests.rollback(v2.id);
        expect(await found(v3.id)).toMatchObject({ phase: 'pending', stage: 'resolve' });
        expect(await store.rollouts.advance(v3.id, planned())).toMatchObject({ stage: 'deliver' });
        expect(await found(made?.id ?? '')).toMatchObject({
          phase: 'superseded',
          message: 'Superseded by v3',
        });
      });

      it('gives way also once it has delivered, and stays where what was pushed fails', async () => {
        await went({ tag: 'v1' }, DELIVERED);
        const v2 = await went({ tag: 'v2', sha: B }, DELIVERED);
        const v3 = await one(rollOut(store, { tag: 'v3', sha: C }));
        const v4 = await one(rollOut(store, { tag: 'v4', sha: C }));
        const made = await store.requests.rollback(v2.id);
        await store.rollouts.advance(v3.id, FAILED);
        expect(await found(made?.id ?? '')).toMatchObject({ phase: 'pending', stage: 'deliver' });
        await store.rollouts.advance(made?.id ?? '', DELIVERED);
        expect(await store.rollouts.advance(v4.id, planned())).toMatchObject({ stage: 'deliver' });
      });

      it('goes where, and how, its target is delivered now', async () => {
        const good = await went({ tag: 'v1' }, DELIVERED);
        const terms = { timeout: 1, stability: 2, grace: GRACE };
        const applied = { gitops: null, path: 'new.yaml', adopt: true, readiness: terms };
        const decided = { why: 'it is new', decisions: ['new'], warnings: ['new'] };
        const plan: Partial<PlanSummary> = { ...applied, ...decided, modes: ['Knative'] };
        const change = { ...planned(TARGET, plan), manifest: manifestOf('v2') };
        const { id } = await one(rollOut(store, { tag: 'v2', sha: B }));
        for (const each of [change, DELIVERED]) await store.rollouts.advance(id, each);
        const made = await store.requests.rollback(id);
        // The modes, and why it was decided so, are the manifest's.
        expect(made).toMatchObject({ manifest: manifestOf('v1'), plan: { ...good.plan, ...applied } });
        const at = (destination: string) =>
          store.rollouts.claim('deliver', 1, { destinations: [destination] });
        expect(await at('apply/prod')).toEqual([]);
        expect(await at('gitops/fleet')).toEqual([made]);
      });

      it('of a removal brings back what was there', async () => {
        await went({ tag: 'v1' }, DELIVERED);
        const removal = await one(rollOut(store, { tag: 'v2' }));
        const { manifest: _, ...removes } = planned(TARGET, { removes: [A] });
        for (const change of [removes, DELIVERED]) await store.rollouts.advance(removal.id, change);
        const made = await store.requests.rollback(removal.id);
        expect(made).toMatchObject({ revision: 'v1', manifest: manifestOf('v1') });
        expect(made?.plan).not.toHaveProperty('removes');
      });

      it('is reported on the commit it brings back', async () => {
        await went({ tag: 'v1' }, DELIVERED);
        const v2 = await went({ tag: 'v2', sha: B }, DELIVERED);
        for (const report of await store.reports.claim(10)) await store.reports.sent(report, STATUS);
        const made = await store.requests.rollback(v2.id);
        const reports = await store.reports.claim(10);
        expect(reports.map(({ rollout }) => [rollout.id, rollout.sha])).toEqual([[made?.id, A]]);
      });

      it('is refused of what delivered nothing', async () => {
        await went({ tag: 'v1' }, DELIVERED);
        const pending = await went({ tag: 'v2', sha: B });
        await expect(store.requests.rollback(pending.id)).rejects.toThrow(
          'has delivered nothing that could be taken back; cancel it instead',
        );
        await store.rollouts.advance(pending.id, FAILED);
        await expect(store.requests.rollback(pending.id)).rejects.toThrow('roll back the one that did');
      });

      it('is refused where nothing else has served there before', async () => {
        await went({ tag: 'v0', sha: C }, WATCHED, FAILED);
        const first = await went({ tag: 'v1' }, DELIVERED);
        await expect(store.requests.rollback(first.id)).rejects.toThrow(
          'nothing else has served at prod/vision/iris before v1; push the version that should be there',
        );
      });

      it('is refused of what is not the newest there, a second one too', async () => {
        await went({ tag: 'v1' }, DELIVERED);
        const v2 = await went({ tag: 'v2', sha: B }, DELIVERED);
        const made = await store.requests.rollback(v2.id);
        await expect(store.requests.rollback(v2.id)).rejects.toThrow(
          `a newer rollout (${made?.id}) brings v1 to prod/vision/iris; roll that one back`,
        );
      });
    });

    describe('a replay', () => {
      const draftsOf = (...policies: string[]) => policies.map((policy) => ({ policy, environment: policy }));
      const replay = (eventId: string | null, ...policies: string[]) =>
        store.requests.replay({
          repository: IRIS,
          ref: TAG,
          eventId,
          policyRevision: 'later',
          drafts: draftsOf(...policies),
        });
      /** An event that these policies matched when it came. @returns its id */
      async function came(sha = A, before: string | null = null, ...policies: string[]): Promise<string> {
        const recorded = await tell(store, { before, after: sha });
        if (recorded.outcome !== 'new') throw new Error(`it made no event: ${recorded.outcome}`);
        const { event } = recorded;
        await store.events.matched([{ event, policyRevision: REVISION, drafts: draftsOf(...policies) }]);
        return event.id;
      }
      const baseline = async (): Promise<void> => {
        await store.repositories.scheduleListings([IRIS]);
        const listed = [{ ref: TAG, sha: A, object: A }];
        await store.repositories.applyListing(await store.repositories.snapshot(IRIS), listed, 0);
      };

      it('begins what the event would have begun, had the policy been there', async () => {
        const id = await came();
        const [rollout] = (await replay(id, 'late')) ?? [];
        expect(rollout).toMatchObject({
          cause: { kind: 'event', of: id },
          eventId: id,
          repository: IRIS,
          ref: TAG,
          revision: 'v1.0.0',
          sha: A,
          policy: 'late',
          policyRevision: 'later',
          environment: 'late',
          phase: 'pending',
          stage: 'resolve',
          message: 'Queued for late',
        });
        expect(await store.rollouts.claim('resolve', 10)).toEqual([rollout]);
      });

      it('leaves out the policies that have a rollout of it, and is refused where all have', async () => {
        const id = await came(A, null, 'early');
        expect(await replay(id, 'early', 'late')).toMatchObject([{ policy: 'late' }]);
        const made = (await store.events.get(id))?.rollouts ?? [];
        await expect(replay(id, 'early', 'late')).rejects.toThrow(
          `each policy that matches ${TAG} of ${IRIS} has a rollout of it; retry ${made[0]?.id} (early), ${made[1]?.id} (late) instead`,
        );
        expect((await store.events.get(id))?.rollouts).toEqual(made);
      });

      it('wakes whoever works, and not where nothing comes of it', async () => {
        const id = await came();
        let told = 0;
        store.lifecycle.onChange(() => {
          told += 1;
        });
        await replay(id, 'late');
        await replay(id, 'late').catch(() => {});
        expect(told).toBe(1);
      });

      it('is refused of an event that is not matched yet: it will be', async () => {
        await tell(store, { after: A });
        await expect(replay(null, 'late')).rejects.toThrow(
          'has not been matched with the policies yet; wait',
        );
      });

      it('is refused of what is not the newest of its ref, and names that', async () => {
        const first = await came(A);
        const second = await came(B, A);
        await expect(replay(first, 'late')).rejects.toThrow(
          `${TAG} of ${IRIS} has changed since this event; replay event ${second}, its newest`,
        );
        expect(await replay(null, 'late')).toMatchObject([{ eventId: second, sha: B }]);
      });

      it('is refused of a deletion, and of what was deleted since', async () => {
        const id = await came(A);
        const gone = await tell(store, { before: A, after: null });
        for (const event of [id, gone.outcome === 'new' ? gone.event.id : '', null])
          await expect(replay(event, 'late')).rejects.toThrow(
            `${TAG} of ${IRIS} is deleted, which is not replayed; push it again`,
          );
      });

      it('of a ref of the baseline makes its event, once', async () => {
        await baseline();
        const [rollout] = (await replay(null, 'late')) ?? [];
        expect(await store.events.get(rollout?.eventId ?? '')).toMatchObject({
          repository: IRIS,
          ref: TAG,
          kind: 'created',
          before: null,
          sha: A,
          source: 'replay',
          receivedAt: NOON,
          policyRevision: 'later',
          rollouts: [{ policy: 'late' }],
        });
        expect(await store.events.unmatched(10)).toEqual([]);
        expect(await replay(null, 'late', 'another')).toMatchObject([{ eventId: rollout?.eventId }]);
        expect(await tell(store, { after: A })).toMatchObject({
          outcome: 'repeat',
          event: { id: rollout?.eventId },
        });
        expect((await store.events.list({ limit: 10 })).items).toHaveLength(1);
      });

      it('of a ref of the baseline takes back nothing that was pushed since, for no policy', async () => {
        await baseline();
        const newer = await went({ tag: 'v1.1.0', sha: B }, DELIVERED);
        for (const policy of ['late', 'later']) {
          harness.clock.now += 1000;
          const [late] = (await replay(null, policy)) ?? [];
          const plan = { ...planned(), policyRevision: policy };
          expect(await store.rollouts.advance(late?.id ?? '', plan)).toBeNull();
          expect(await found(late?.id ?? '')).toMatchObject({ message: 'Superseded by v1.1.0' });
        }
        expect(await found(newer.id)).toMatchObject({ phase: 'delivered' });
      });

      it('of a ref that nobody knows is nothing', async () => {
        expect(await replay(null, 'late')).toBeNull();
      });

      it('takes back nothing that came after its event, in whatever order things are replayed', async () => {
        const old = await came();
        const newer = await went({ tag: 'v1.1.0', sha: B }, DELIVERED);
        const [late] = (await replay(old, 'late')) ?? [];
        expect(await store.rollouts.advance(late?.id ?? '', planned())).toBeNull();
        expect(await found(late?.id ?? '')).toMatchObject({
          phase: 'superseded',
          message: 'Superseded by v1.1.0',
        });
        expect(await found(newer.id)).toMatchObject({ phase: 'delivered' });
        await expect(store.requests.retry(late?.id ?? '')).rejects.toThrow(
          `a newer rollout (${newer.id}) has brought v1.1.0 to prod/vision/iris; retry that one`,
        );
      });

      it('brings what is newer than the last rollout of its target', async () => {
        await went({ tag: 'v0.9.0', sha: B }, DELIVERED);
        const [late] = (await replay(await came(), 'late')) ?? [];
        expect(await store.rollouts.advance(late?.id ?? '', planned())).toMatchObject({ stage: 'deliver' });
      });

      it('for a policy in the place of one that is gone may go to its target', async () => {
        const id = await came(A, null, 'early');
        const [early] = await store.rollouts.claim('resolve', 1);
        for (const change of [{ ...planned(), policyRevision: REVISION }, DELIVERED])
          await store.rollouts.advance(early?.id ?? '', change);
        harness.clock.now += 1;
        const [late] = (await replay(id, 'late')) ?? [];
        const change = { ...planned(), policyRevision: 'later' };
        expect(await store.rollouts.advance(late?.id ?? '', change)).toMatchObject({ stage: 'deliver' });
      });

      it('by two policies of one target is refused the second', async () => {
        const [one, two] = (await replay(await came(), 'one', 'two')) ?? [];
        await store.rollouts.advance(one?.id ?? '', planned());
        await expect(store.rollouts.advance(two?.id ?? '', planned())).rejects.toThrow(
          'policies "one" and "two" both deploy',
        );
      });
    });

    it('what waits though nothing failed is looked at once the policies change, but for the suspended ones', async () => {
      const drafts = ['free', 'held', 'failing'].map((policy) => ({ policy, environment: policy }));
      const rollouts = await rollOut(store, { drafts });
      for (const { id, policy } of rollouts)
        await store.rollouts.advance(id, {
          dueAt: NOON + 60_000,
          waitingSince: policy === 'failing' ? NOON : null,
        });
      expect(await store.rollouts.claim('resolve', 10)).toEqual([]);
      await store.rollouts.lookAgain(['held']);
      expect(await store.rollouts.claim('resolve', 10)).toMatchObject([{ policy: 'free' }]);
    });

    it("a command's rollouts share their cause, and two of one target are refused", async () => {
      const drafts = ['one', 'two'].map((policy) => ({ policy, environment: policy }));
      const asked = { command: 'c', repository: IRIS, projectId: null, ref: 'refs/tags/v1', sha: A };
      const rollouts = await store.requests.command({ ...asked, policyRevision: REVISION, drafts });
      expect(rollouts).toMatchObject([
        {
          cause: { kind: 'command', of: 'c' },
          policy: 'one',
          eventId: null,
          revision: 'v1',
          stage: 'resolve',
        },
        { cause: { kind: 'command', of: 'c' }, policy: 'two', message: 'Queued for two' },
      ]);
      await store.rollouts.advance(rollouts[0]?.id ?? '', planned());
      const second = store.rollouts.advance(rollouts[1]?.id ?? '', planned());
      await expect(second).rejects.toThrow('policies "one" and "two" both deploy');
    });
  });
}

const GRACE = { imagePull: 1, unschedulable: 1, invalidSpec: 1, restarts: 1 };
const STATUS: CommitStatus = { context: 'modelhook/production', state: 'success', description: '', url: '' };
