/** What every store knows of what stands in clusters. */
// biome-ignore-all lint/style/noRestrictedImports: a suite for tests may use what tests use
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Rollout, Target } from '../core/rollout.ts';
import {
  B,
  DELIVERED,
  FAILED,
  one,
  planned,
  rollOut,
  type StoreHarness,
  TARGET,
  WATCHED,
} from './contract.ts';
import type { RolloutChange, Store } from './store.ts';

/** @param create makes an empty store, started */
export function describeStanding(name: string, create: () => Promise<StoreHarness>): void {
  describe(name, () => {
    let harness: StoreHarness;
    let store: Store;
    beforeEach(async () => {
      harness = await create();
      store = harness.store;
    });
    afterEach(() => harness.end());

    const toCluster = (target: Target = TARGET): RolloutChange => planned(target, { gitops: null });
    const removal: RolloutChange = { ...planned(TARGET, { gitops: null, removes: [B] }) };
    delete removal.manifest;

    /** A rollout of a tag that goes as far as the changes say. */
    async function went(tag: string, ...changes: RolloutChange[]): Promise<Rollout> {
      const { id } = await one(rollOut(store, { tag }));
      for (const change of changes) await store.rollouts.advance(id, change);
      const rollout = await store.rollouts.get(id);
      if (!rollout) throw new Error(`there is no rollout ${id}`);
      return rollout;
    }
    const standing = async (): Promise<string | null> =>
      (await store.standing.get(TARGET))?.rollout.revision ?? null;
    const listed = async (cluster = 'prod', namespace: string | null = null): Promise<string[]> =>
      (await store.standing.list(cluster, namespace)).map(({ id }) => id);

    it('nothing stands before something was applied', async () => {
      expect(await standing()).toBeNull();
      await went('v1', toCluster());
      await went('v2', toCluster(), FAILED);
      expect(await standing()).toBeNull();
      expect(await listed()).toEqual([]);
    });

    it('what was applied stands with its manifest, however it fares', async () => {
      for (const change of [WATCHED, FAILED, { phase: 'ready', stage: null, message: 'Ready' } as const]) {
        const rollout = await went(`v-${change.phase}`, toCluster(), WATCHED, change);
        expect(await store.standing.get(TARGET)).toMatchObject({
          rollout: { id: rollout.id, phase: change.phase, manifest: 'kind: InferenceService\n' },
          isFollowed: false,
        });
        expect(await store.standing.list('prod', null)).toEqual([
          { id: rollout.id, policy: 'production', target: TARGET },
        ]);
      }
      const { id } = await went('v4', toCluster(), WATCHED);
      await store.requests.cancel(id, 'anna');
      expect(await standing()).toBe('v4');
    });

    it('a newer one stands once it was applied, and follows until then', async () => {
      await went('v1', toCluster(), DELIVERED);
      const { id } = await went('v2', toCluster());
      expect(await store.standing.get(TARGET)).toMatchObject({
        rollout: { revision: 'v1' },
        isFollowed: true,
      });
      await store.rollouts.advance(id, DELIVERED);
      expect(await store.standing.get(TARGET)).toMatchObject({
        rollout: { revision: 'v2' },
        isFollowed: false,
      });
      await went('v3', toCluster(), FAILED);
      expect(await standing()).toBe('v2');
    });

    it('nothing stands once it was removed, or the target went to a GitOps repository', async () => {
      await went('v1', toCluster(), DELIVERED);
      await went('v2', removal, DELIVERED);
      expect(await standing()).toBeNull();
      expect(await listed()).toEqual([]);
      await went('v3', toCluster(), DELIVERED);
      expect(await standing()).toBe('v3');
      await went('v4', planned(), DELIVERED);
      expect(await standing()).toBeNull();
      expect(await listed()).toEqual([]);
    });

    it('each target of a cluster has its own, and other clusters have theirs', async () => {
      const rose = { ...TARGET, name: 'rose' };
      const elsewhere = { ...TARGET, cluster: 'test' };
      const [first, second, third] = [
        await went('v1', toCluster(), DELIVERED),
        await went('v2', toCluster(rose), DELIVERED),
        await went('v3', toCluster(elsewhere), DELIVERED),
      ];
      expect(await listed()).toEqual([first.id, second.id]);
      expect(await listed('test')).toEqual([third.id]);
      expect(await listed('none')).toEqual([]);
      const fourth = await went('v4', toCluster({ ...TARGET, namespace: 'other' }), DELIVERED);
      expect(await listed('prod', 'other')).toEqual([fourth.id]);
      expect(await listed('prod', TARGET.namespace)).toEqual([first.id, second.id]);
      expect((await store.standing.get(rose))?.rollout.id).toBe(second.id);
    });

    it('a note is a line of the timeline, and nothing else', async () => {
      const before = await went('v1', toCluster(), WATCHED);
      for (const report of await store.reports.claim(10))
        await store.reports.sent(report, { context: 'c', state: 'running', description: 'd', url: 'u' });
      harness.clock.now += 1000;
      for (const message of ['Put back', 'Put back']) await store.standing.note(before.id, message);
      await store.standing.note('none', 'Put back');
      const { transitions, ...now } = (await store.rollouts.get(before.id)) ?? { transitions: [] };
      const line = { phase: 'delivered', message: 'Put back', at: harness.clock.now };
      expect(transitions.slice(-2)).toEqual([line, line]);
      expect(before).toMatchObject(now);
      expect(await store.reports.claim(10)).toEqual([]);
    });

    it('a target stands for who took it over, though that was asked for before the removal that freed it', async () => {
      await went('v1', toCluster(), DELIVERED);
      const other = 'plain:ml/flowers';
      const [refused] = await rollOut(store, { repository: other, tag: 'v1' });
      await expect(store.rollouts.advance(refused?.id ?? '', toCluster())).rejects.toThrow('belongs to');
      await store.rollouts.advance(refused?.id ?? '', FAILED);
      const removed = await went('v2', removal, DELIVERED);
      const retried = await store.requests.retry(refused?.id ?? '');
      await store.rollouts.advance(retried?.id ?? '', toCluster());
      await store.rollouts.advance(retried?.id ?? '', DELIVERED);
      expect(removed.receipt).not.toBeNull();
      expect((await store.standing.get(TARGET))?.rollout).toMatchObject({
        id: retried?.id,
        repository: other,
      });
      expect(await listed()).toEqual([retried?.id]);
    });
  });
}
