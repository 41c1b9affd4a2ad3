/** What every store does when a ref is deleted that has brought something. */
// biome-ignore-all lint/style/noRestrictedImports: a suite for tests may use what tests use
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Rollout } from '../core/rollout.ts';
import {
  A,
  B,
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
  TARGET,
  tell,
} from './contract.ts';
import type { RolloutChange, Store } from './store.ts';

/** @param create makes an empty store, started */
export function describeRemovals(name: string, create: () => Promise<StoreHarness>): void {
  describe(name, () => {
    let harness: StoreHarness;
    let store: Store;
    beforeEach(async () => {
      harness = await create();
      store = harness.store;
      harness.clock.now = NOON;
    });
    afterEach(() => harness.end());

    const drafts = [{ policy: 'production', environment: 'today' }];

    async function went(cause: Cause, ...changes: RolloutChange[]): Promise<Rollout> {
      const rollout = await one(rollOut(store, cause));
      for (const change of changes) await store.rollouts.advance(rollout.id, change);
      return rollout;
    }

    /** A tag is deleted. @returns the removals that its event causes */
    async function cut(tag: string): Promise<Rollout[]> {
      const recorded = await tell(store, { ref: `refs/tags/${tag}`, after: null });
      if (recorded.outcome !== 'new') throw new Error(`the deletion made no event: ${recorded.outcome}`);
      await store.events.matched([{ event: recorded.event, policyRevision: REVISION, drafts }]);
      const { items } = await store.rollouts.list({ limit: 200 });
      return items.filter(({ eventId }) => eventId === recorded.event.id);
    }

    const removes: RolloutChange = {
      stage: 'deliver',
      message: 'Queued to be removed from production',
      target: TARGET,
      plan: { ...(planned().plan as NonNullable<Rollout['plan']>), removes: [A] },
    };
    const REMOVED: RolloutChange = { ...DELIVERED, message: 'Removed from fleet with ccccccc' };
    const phaseOf = async ({ id }: Rollout) => (await store.rollouts.get(id))?.phase;

    it('its removal is for the commit that was deployed last, in the environment that was told', async () => {
      await went({ tag: 'v1' }, planned(), DELIVERED);
      await tell(store, { ref: 'refs/tags/v1', after: null });
      await went({ tag: 'v1', sha: B }, FAILED);
      expect(await cut('v1')).toMatchObject([
        {
          stage: 'remove',
          phase: 'pending',
          revision: 'v1',
          sha: A,
          environment: 'production',
          target: null,
        },
      ]);
      expect((await store.reports.claim(10)).map(({ rollout }) => rollout.stage)).not.toContain('remove');
    });

    it('no removal is made where no policy of the name has brought anything', async () => {
      await went({ tag: 'v1', drafts: [{ policy: 'other', environment: 'other' }] }, planned(), DELIVERED);
      expect(await cut('v1')).toEqual([]);
    });

    it('no removal is made of what was removed already', async () => {
      await went({ tag: 'v1' }, planned(), DELIVERED);
      const removal = await one(cut('v1'));
      await store.rollouts.advance(removal.id, removes);
      await store.rollouts.advance(removal.id, REMOVED);
      await tell(store, { ref: 'refs/tags/v1', after: A });
      expect(await cut('v1')).toEqual([]);
    });

    it('tells what the ref has brought: place, plan, and all commits', async () => {
      await went({ tag: 'v1' }, planned(), DELIVERED);
      await went({ tag: 'v2', sha: B }, planned({ ...TARGET, name: 'other' }), DELIVERED);
      const removal = await one(cut('v1'));
      expect(await store.rollouts.broughtBy(removal)).toEqual({
        target: TARGET,
        plan: planned().plan,
        commits: [A],
        standing: { ref: 'refs/tags/v1', isRemoval: false },
      });
    });

    it('tells nothing while an older rollout has no plan', async () => {
      await went({ tag: 'v1' });
      expect(await store.rollouts.broughtBy(await one(cut('v1')))).toBe('unplanned');
    });

    it.each([
      ['was delivered', [planned(), DELIVERED], 'refs/tags/v2'],
      ['is on its way', [planned()], 'refs/tags/v2'],
      ['failed before its delivery', [planned(), FAILED], 'refs/tags/v1'],
    ])('another ref whose rollout %s counts for what stands there', async (_, changes, ref) => {
      await went({ tag: 'v1' }, planned(), DELIVERED);
      await went({ tag: 'v2', sha: B }, ...changes);
      const brought = await store.rollouts.broughtBy(await one(cut('v1')));
      expect(brought).toMatchObject({ standing: { ref } });
    });

    it('ends what is on the way for the ref, and nothing of another ref', async () => {
      const same = await went({ tag: 'v1' }, planned());
      const other = await went({ tag: 'v2', sha: B });
      const removal = await one(cut('v1'));
      await store.rollouts.advance(removal.id, removes);
      expect(await store.rollouts.get(same.id)).toMatchObject({
        phase: 'superseded',
        message: 'Superseded: refs/tags/v1 was deleted',
      });
      await store.rollouts.advance(other.id, planned());
      expect(await store.rollouts.get(other.id)).toMatchObject({ phase: 'pending', stage: 'deliver' });
    });

    it('leaves what another ref brings that had its plan just before', async () => {
      await went({ tag: 'v1' }, planned(), DELIVERED);
      const other = await went({ tag: 'v2', sha: B }, planned());
      const removal = await one(cut('v1'));
      await store.rollouts.advance(removal.id, removes);
      expect(await store.rollouts.get(other.id)).toMatchObject({ phase: 'pending', stage: 'deliver' });
    });

    it('ends a retry of what the ref had brought before it was deleted, though that was asked for later', async () => {
      const first = await went({ tag: 'v1' }, planned(), FAILED);
      const removal = await one(cut('v1'));
      const retried = await store.requests.retry(first.id);
      expect(await store.rollouts.broughtBy(removal)).toBe('unplanned');
      for (const change of [planned(), DELIVERED]) await store.rollouts.advance(retried?.id ?? '', change);
      expect(await store.rollouts.broughtBy(removal)).toMatchObject({
        target: TARGET,
        standing: { ref: 'refs/tags/v1', isRemoval: false },
      });
      expect(await store.rollouts.advance(removal.id, removes)).toMatchObject({ stage: 'deliver' });
    });

    it('leaves what a rollback has brought back of another ref', async () => {
      await went({ tag: 'v1' }, planned(), DELIVERED);
      const v2 = await went({ tag: 'v2', sha: B }, { ...planned(), manifest: 'kind: other\n' }, DELIVERED);
      const removal = await one(cut('v2'));
      await store.requests.rollback(v2.id);
      expect(await store.rollouts.broughtBy(removal)).toMatchObject({ standing: { ref: 'refs/tags/v1' } });
    });

    it('frees the target for another repository, whose it is then', async () => {
      const other = 'plain:other/iris';
      await went({ tag: 'v1' }, planned(), DELIVERED);
      const early = await one(rollOut(store, { tag: 'v1', repository: other }));
      const taken = /belongs to plain:ml\/iris.*plain:other\/iris cannot take it/;
      const removal = await one(cut('v1'));
      await expect(store.rollouts.advance(early.id, planned())).rejects.toThrow(taken);
      await store.rollouts.advance(removal.id, removes);
      await expect(store.rollouts.advance(early.id, planned())).rejects.toThrow(taken);
      await store.rollouts.advance(removal.id, REMOVED);
      expect(await store.rollouts.advance(early.id, planned())).toMatchObject({ stage: 'deliver' });
      await store.rollouts.advance(early.id, DELIVERED);
      const back = await one(rollOut(store, { tag: 'v2', sha: B }));
      await expect(store.rollouts.advance(back.id, planned())).rejects.toThrow(`belongs to ${other}`);
    });

    it('frees nothing while something else of its repository is on the way to the target', async () => {
      await went({ tag: 'v1' }, planned(), DELIVERED);
      await went({ tag: 'v2', sha: B }, planned());
      const removal = await one(cut('v1'));
      for (const change of [removes, REMOVED]) await store.rollouts.advance(removal.id, change);
      const other = await one(rollOut(store, { tag: 'v1', repository: 'plain:other/iris' }));
      await expect(store.rollouts.advance(other.id, planned())).rejects.toThrow('belongs to plain:ml/iris');
    });

    it('that failed frees nothing', async () => {
      await went({ tag: 'v1' }, planned(), DELIVERED);
      const removal = await one(cut('v1'));
      for (const change of [removes, FAILED]) await store.rollouts.advance(removal.id, change);
      const other = await one(rollOut(store, { tag: 'v1', repository: 'plain:other/iris' }));
      await expect(store.rollouts.advance(other.id, planned())).rejects.toThrow('belongs to plain:ml/iris');
    });

    it('is ended by what is pushed to the target after it', async () => {
      await went({ tag: 'v1' }, planned(), DELIVERED);
      const removal = await one(cut('v1'));
      await store.rollouts.advance(removal.id, removes);
      await went({ tag: 'v2', sha: B }, planned());
      expect(await phaseOf(removal)).toBe('superseded');
    });

    it('is tried again as a removal, with a plan or without', async () => {
      await went({ tag: 'v1' }, planned(), DELIVERED);
      const removal = await one(cut('v1'));
      await store.rollouts.advance(removal.id, FAILED);
      expect(await store.requests.retry(removal.id)).toMatchObject({ stage: 'remove', sha: A });
    });

    it('of a repository that had the name before is not this one', async () => {
      const at = (projectId: string, after: string | null) =>
        store.events.record(
          { repository: IRIS, projectId, ref: 'refs/tags/v1', before: null, after },
          'webhook',
          null,
        );
      for (const [projectId, after] of [
        ['1', A],
        ['2', null],
      ] as const) {
        const recorded = await at(projectId, after);
        if (recorded.outcome === 'ignored') throw new Error('it made no event');
        await store.events.matched([{ event: recorded.event, policyRevision: REVISION, drafts }]);
      }
      expect((await store.rollouts.list({ limit: 10 })).items).toMatchObject([{ stage: 'resolve' }]);
    });
  });
}
