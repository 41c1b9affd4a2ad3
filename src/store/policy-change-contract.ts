/** What every store does for policies that come into force: what is deployed, and the rollouts that a merge makes. */
// biome-ignore-all lint/style/noRestrictedImports: a suite for tests may use what tests use
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { StoredInputs } from '../core/deployed.ts';
import type { Rollout } from '../core/rollout.ts';
import {
  DELIVERED,
  FAILED,
  NOON,
  one,
  planned,
  REVISION,
  rollOut,
  type StoreHarness,
  tell,
  WATCHED,
} from './contract.ts';
import type { PolicyRollout, Review, ReviewDraft, RolloutChange, Store } from './store.ts';

const FROM = '1'.repeat(40);
const TO = '2'.repeat(40);
const MINUTE = 60_000;

/** A head of the branch whose policies come into force. */
const ownHead = (head: string): ReviewDraft => ({
  subject: `refs/heads/main ${head}`,
  number: null,
  label: 'main',
  url: null,
  head,
  headRef: 'refs/heads/main',
  statusRef: 'refs/heads/main',
});

const inputs = (version: string, catalogue = 'cluster prod'): StoredInputs => ({
  modelCard: { library: 'sklearn', pipelineTag: null, license: null, tags: [], baseModel: [] },
  kserve: { version },
  runtimes: { source: catalogue, runtimes: [] },
  knative: false,
  projectId: null,
});
const targetNamed = (name: string) => ({ cluster: 'prod', namespace: 'vision', name });
const nameOf = ({ repository }: Rollout): string => repository.split('/').at(-1) ?? '';

/** @param create makes an empty store, started */
export function describePolicyChanges(name: string, create: () => Promise<StoreHarness>): void {
  describe(name, () => {
    let harness: StoreHarness;
    let store: Store;
    beforeEach(async () => {
      harness = await create();
      store = harness.store;
      harness.clock.now = NOON;
    });
    afterEach(() => harness.end());

    /** A rollout of a repository that was delivered to a target of the same name. */
    async function deploy(name: string, tag = 'v1.0.0', change: RolloutChange = {}): Promise<Rollout> {
      const rollout = await one(rollOut(store, { repository: `plain:ml/${name}`, tag }));
      await store.rollouts.advance(rollout.id, {
        ...planned(targetNamed(name)),
        inputs: inputs('0.20'),
        ...change,
      });
      await store.rollouts.advance(rollout.id, DELIVERED);
      return rollout;
    }
    const again = ({ id }: Rollout): PolicyRollout => ({
      rolloutId: id,
      policy: 'production',
      environment: 'production',
    });
    const deployAll = async (...names: string[]): Promise<PolicyRollout[]> => {
      const rollouts = [];
      for (const name of names) rollouts.push(again(await deploy(name)));
      return rollouts;
    };
    const merge = (revision: string, rollouts: PolicyRollout[], room = 16, from: string | null = null) =>
      store.policyChanges.carryOut({ from, revision, rollouts, room });
    const deployedNow = async () => (await store.policyChanges.deployed()).map(({ target }) => target.name);
    const made = async () =>
      (await store.rollouts.list({ limit: 200 })).items
        .filter(({ cause }) => cause.kind === 'policy')
        .reverse();
    const stages = async () => (await made()).map(({ stage }) => stage);
    /** The models whose rollouts are at a stage. */
    const at = async (stage: Rollout['stage']) =>
      (await made()).filter((each) => each.stage === stage).map(nameOf);
    async function madeFor(name: string): Promise<Rollout> {
      const found = (await made()).filter((rollout) => nameOf(rollout) === name).at(-1);
      if (!found) throw new Error(`no rollout of ${name}`);
      return found;
    }
    const advance = async (name: string, change: RolloutChange) =>
      store.rollouts.advance((await madeFor(name)).id, change);
    const plan = (name: string, change: RolloutChange = {}) =>
      advance(name, { ...planned(targetNamed(name)), inputs: inputs('0.20'), ...change });
    /** What the resolve stage stores of a rollout whose policy is suspended. */
    const hold = (name: string) =>
      plan(name, { stage: 'resolve', message: 'Waiting: suspended', dueAt: harness.clock.now + MINUTE });

    /** Its ref is deleted, and what it deployed is removed. */
    async function removeIris(ref: string, sha: string): Promise<void> {
      const told = await tell(store, { repository: 'plain:ml/iris', ref, before: sha, after: null });
      if (told.outcome !== 'new') throw new Error(`the deletion made no event: ${told.outcome}`);
      const drafts = [{ policy: 'production', environment: 'production' }];
      await store.events.matched([{ event: told.event, policyRevision: REVISION, drafts }]);
      const { id } = await one(store.rollouts.claim('remove', 9));
      const { manifest: _, plan, ...removal } = planned(targetNamed('iris'));
      if (!plan) throw new Error('nothing is planned');
      await store.rollouts.advance(id, { ...removal, plan: { ...plan, removes: [sha] } });
      await store.rollouts.advance(id, DELIVERED);
    }

    describe('what is deployed', () => {
      it('is the newest rollout of each target that has put its manifest there, with what it was planned from', async () => {
        await deploy('iris');
        const { id } = await deploy('iris', 'v2.0.0');
        await deploy('rose', 'v1.0.0', { inputs: inputs('0.20', 'cluster rose') });
        const found = await store.policyChanges.deployed();
        expect(found.map(({ target }) => target.name)).toEqual(['iris', 'rose']);
        expect(found[0]).toMatchObject({ rolloutId: id, ref: 'refs/tags/v2.0.0', inputs: inputs('0.20') });
        expect(found[1]?.inputs.runtimes?.source).toBe('cluster rose');
      });

      it('counts what is about to be delivered, and not what failed before that', async () => {
        const { id } = await one(rollOut(store, { repository: 'plain:ml/iris' }));
        await store.rollouts.advance(id, { ...planned(targetNamed('iris')), inputs: inputs('1') });
        expect(await deployedNow()).toEqual(['iris']);
        await store.rollouts.advance(id, { phase: 'failed', stage: null, message: 'refused' });
        expect(await deployedNow()).toEqual([]);
      });

      it('has the manifest that is there, and of one that waits that of the rollout before it', async () => {
        await deploy('iris', 'v1.0.0', { manifest: 'the first' });
        const present = async () =>
          (await store.policyChanges.deployed()).map(({ manifest, waits, ref }) => [ref, manifest, waits]);
        expect(await present()).toEqual([['refs/tags/v1.0.0', 'the first', false]]);
        for (const [name, change] of [
          ['v2.0.0', { stage: 'resolve' }],
          ['v3.0.0', { stage: 'deliver' }],
        ] as const) {
          const { id } = await one(rollOut(store, { repository: 'plain:ml/iris', tag: name }));
          const made = { ...planned(targetNamed('iris')), inputs: inputs('0.20'), manifest: name, ...change };
          await store.rollouts.advance(id, made);
          const isHeld = change.stage === 'resolve';
          expect(await present()).toEqual([[`refs/tags/${name}`, isHeld ? 'the first' : name, isHeld]]);
        }
      });

      it('is nothing where the first rollout of a target waits, or one after its removal', async () => {
        const wait = async (tag: string) => {
          const { id } = await one(rollOut(store, { repository: 'plain:ml/iris', tag }));
          const made = { ...planned(targetNamed('iris')), inputs: inputs('0.20'), stage: 'resolve' } as const;
          await store.rollouts.advance(id, made);
          return store.policyChanges.deployed();
        };
        const nothing = [{ target: { name: 'iris' }, manifest: null, mode: null, waits: true }];
        expect(await wait('v1')).toMatchObject(nothing);
        const { ref, sha } = await deploy('iris', 'v2');
        await removeIris(ref, sha);
        expect(await wait('v3')).toMatchObject(nothing);
      });

      it('is what a rollback has brought back, and a change of the policies deploys that', async () => {
        const first = await deploy('iris');
        const second = await deploy('iris', 'v2.0.0', { manifest: 'another', inputs: inputs('0.21') });
        const { id = '' } = (await store.requests.rollback(second.id)) ?? {};
        expect(await store.policyChanges.deployed()).toMatchObject([
          { rolloutId: id, ref: first.ref, inputs: inputs('0.20') },
        ]);
        await store.rollouts.advance(id, DELIVERED);
        await merge(TO, [{ rolloutId: id, policy: 'production', environment: 'production' }]);
        expect(await made()).toMatchObject([{ ref: first.ref, sha: first.sha }]);
        expect(await plan('iris')).toMatchObject({ stage: 'deliver' });
      });

      it('knows every ref that is there', async () => {
        await tell(store, { ref: 'refs/tags/v1', after: 'a'.repeat(40) });
        await tell(store, { ref: 'refs/tags/v2', after: 'b'.repeat(40) });
        await tell(store, { ref: 'refs/tags/v2', before: 'b'.repeat(40), after: null });
        expect((await store.policyChanges.knownRefs()).map(({ ref }) => ref)).toEqual(['refs/tags/v1']);
      });
    });

    describe('a revision of the policies', () => {
      it('is carried out once, however often that is tried', async () => {
        const iris = await deploy('iris');
        expect(await store.policyChanges.carriedOut()).toBeNull();
        expect(await merge(FROM, [])).toBe(0);
        expect(await merge(TO, [again(iris)], 16, FROM)).toBe(1);
        expect(await merge(TO, [again(iris)], 16, FROM)).toBe(0);
        expect(await merge(TO, [again(iris)], 16, TO)).toBe(0);
        expect(await store.policyChanges.carriedOut()).toBe(TO);
        expect(await made()).toMatchObject([
          {
            cause: { kind: 'policy', of: TO },
            repository: 'plain:ml/iris',
            sha: iris.sha,
            ref: iris.ref,
            stage: 'resolve',
          },
        ]);
      });

      it('leaves a target alone that has a rollout by it already, and counts those it makes', async () => {
        const [iris, rose] = [await deploy('iris'), await deploy('rose')];
        await deploy('iris', 'v2.0.0', { policyRevision: TO });
        expect(await merge(TO, [again(iris), again(rose)])).toBe(1);
        expect((await made()).map(nameOf)).toEqual(['rose']);
      });

      it('is carried out as a whole or not at all where a rollback came to a target since it was looked at', async () => {
        const rose = await deploy('rose');
        await deploy('iris');
        const iris = await deploy('iris', 'v2.0.0', { manifest: 'another' });
        await store.requests.rollback(iris.id);
        await expect(merge(TO, [again(rose), again(iris)])).rejects.toThrow(
          /came to prod\/vision\/iris meanwhile$/,
        );
        expect(await made()).toEqual([]);
        expect(await store.policyChanges.carriedOut()).toBeNull();
      });

      it('that has begun to be carried out takes no plan that was begun before it by others', async () => {
        const { id } = await one(rollOut(store, { repository: 'plain:ml/iris' }));
        const plannedAfter = await store.policyChanges.begun();
        await store.policyChanges.begin(TO);
        const late = { ...planned(targetNamed('iris')), policyRevision: REVISION, plannedAfter };
        expect(await store.rollouts.advance(id, late)).toMatchObject({ stage: 'resolve', plan: null });
        expect((await store.rollouts.claim('resolve', 9)).map((each) => each.id)).toEqual([id]);
        const ended = { phase: 'cancelled', stage: null, message: 'No longer', plannedAfter } as const;
        expect(await store.rollouts.advance(id, ended)).toMatchObject({ phase: 'pending' });
        expect(await store.rollouts.advance(id, { ...late, policyRevision: TO })).toMatchObject({
          stage: 'deliver',
        });
      });

      it('takes a plan by policies that came into force after it', async () => {
        const { id } = await one(rollOut(store, { repository: 'plain:ml/iris' }));
        await store.policyChanges.begin(FROM);
        const plannedAfter = await store.policyChanges.begun();
        const newer = { ...planned(targetNamed('iris')), policyRevision: TO, plannedAfter };
        expect(await store.rollouts.advance(id, newer)).toMatchObject({ stage: 'deliver' });
      });

      it('supersedes what the policies before deploy of the same version, in these words', async () => {
        const iris = await deploy('iris');
        await merge(FROM, [again(iris)]);
        await plan('iris');
        const first = await madeFor('iris');
        await merge(TO, [{ ...again(iris), rolloutId: first.id }], 16, FROM);
        await plan('iris');
        expect(await store.rollouts.get(first.id)).toMatchObject({
          phase: 'superseded',
          message: 'Superseded by a rollout of the policies at 2222222',
        });
      });

      it('is counted: how many rollouts it made, how many are under way, and what failed first', async () => {
        await merge(TO, await deployAll('a', 'b'), 2);
        await advance('a', { phase: 'failed', stage: null, message: 'no GPU' });
        expect(await store.policyChanges.progress(TO)).toEqual({
          total: 2,
          underWay: 1,
          failed: 1,
          dropped: 0,
          firstFailure: 'plain:ml/a: no GPU',
          uncompared: false,
        });
      });

      it('says where it could not be told what it changes, until another is carried out', async () => {
        const change = { from: null, revision: FROM, rollouts: [], room: 2, uncompared: true };
        await store.policyChanges.carryOut(change);
        expect(await store.policyChanges.progress(FROM)).toMatchObject({ total: 0, uncompared: true });
        await merge(TO, [], 2, FROM);
        expect(await store.policyChanges.progress(TO)).toMatchObject({ uncompared: false });
      });
    });

    describe('rollouts of changes of the policies', () => {
      it('let the next go when one ends, fails, is ready, or is cancelled', async () => {
        await merge(TO, await deployAll('a', 'b', 'c', 'd', 'e', 'f'), 2);
        expect(await stages()).toEqual(['resolve', 'resolve', 'wave', 'wave', 'wave', 'wave']);
        await advance('a', FAILED);
        expect(await at('resolve')).toEqual(['b', 'c']);
        await plan('b');
        expect(await at('wave')).toEqual(['d', 'e', 'f']);
        await advance('b', DELIVERED);
        expect(await at('wave')).toEqual(['e', 'f']);
        await store.requests.cancel((await madeFor('c')).id, 'anna');
        expect(await at('wave')).toEqual(['f']);
        await plan('d');
        await advance('d', WATCHED);
        expect(await at('wave')).toEqual(['f']);
        await advance('d', { phase: 'ready', message: 'Serves' });
        expect(await at('wave')).toEqual([]);
      });

      it('have as many under way as there is room for, of several changes together and the oldest first', async () => {
        const [a, b] = [await deployAll('a1', 'a2', 'a3'), await deployAll('b1', 'b2')];
        await merge(FROM, a, 2);
        await merge(TO, b, 2, FROM);
        expect(await at('resolve')).toEqual(['a1', 'a2']);
        await advance('a1', FAILED);
        await advance('a2', FAILED);
        expect(await at('resolve')).toEqual(['a3', 'b1']);
      });

      it('have another room after a start that gives them one', async () => {
        await merge(TO, await deployAll('a', 'b', 'c', 'd'), 1);
        await merge(TO, [], 3, TO);
        expect(await at('resolve')).toEqual(['a', 'b', 'c']);
        await merge(TO, [], 1, TO);
        await advance('a', FAILED);
        expect(await at('wave')).toEqual(['d']);
      });

      it('that wait for their suspended policy make room for one, once each is planned', async () => {
        await merge(TO, await deployAll('s1', 's2', 's3', 'a', 'b', 'c'), 1);
        for (const name of ['s1', 's2', 's3']) {
          expect(await at('resolve')).toContain(name);
          await hold(name);
        }
        expect(await at('wave')).toEqual(['b', 'c']);
        // It is looked at every now and then, and waits on.
        harness.clock.now += MINUTE;
        await advance('s1', { message: 'Waiting: suspended', dueAt: harness.clock.now + MINUTE });
        expect(await at('wave')).toEqual(['b', 'c']);
      });

      it('go in turn when their policy is no longer suspended', async () => {
        await merge(TO, await deployAll('a', 'b', 'c'), 1);
        for (const name of ['a', 'b', 'c']) await hold(name);
        await store.rollouts.lookAgain(['production']);
        expect(await at('wave')).toEqual([]);
        await store.rollouts.lookAgain([]);
        expect(await at('wave')).toEqual(['b', 'c']);
        expect((await store.rollouts.claim('resolve', 9)).map(nameOf)).toEqual(['a']);
        expect((await madeFor('c')).message).toMatch(/^Queued for production: others .* go first$/);
        await plan('a');
        await advance('a', DELIVERED);
        expect(await at('wave')).toEqual(['c']);
      });

      it('that wait for people to merge them hold nobody up, and count again once they are merged', async () => {
        await merge(TO, await deployAll('a', 'b', 'c', 'd'), 1);
        const pullRequest = { number: 1, label: '#1', url: 'https://forge.test/pulls/1' };
        await plan('a');
        await advance('a', { pullRequest, message: 'Waiting for #1', dueAt: NOON + MINUTE });
        expect(await at('wave')).toEqual(['c', 'd']);
        await advance('a', WATCHED);
        await advance('b', FAILED);
        expect(await at('wave')).toEqual(['c', 'd']);
        await advance('a', { phase: 'ready', message: 'Serves' });
        expect(await at('wave')).toEqual(['d']);
      });

      it.each<[string, () => RolloutChange]>([
        ['a forge that fails', () => ({ waitingSince: NOON, attempts: 1 })],
        ['a cluster that cannot be read', () => ({ message: 'Waiting: no route to prod' })],
      ])('that wait for %s hold the others up, but not for long', async (_, change) => {
        await merge(TO, await deployAll('a', 'b', 'c'), 1);
        const wait = async () => advance('a', { ...change(), dueAt: harness.clock.now + 5000 });
        await wait();
        harness.clock.now += 4 * MINUTE;
        await wait();
        expect(await at('wave')).toEqual(['b', 'c']);
        harness.clock.now += MINUTE;
        await wait();
        expect(await at('wave')).toEqual(['c']);
        await wait();
        expect(await at('wave')).toEqual(['c']);
      });
    });

    describe('the status on their commit', () => {
      async function claimed(): Promise<Review> {
        const [review] = await store.reviews.claim(1);
        if (!review) throw new Error('no review is due');
        return review;
      }
      const tell = async () =>
        store.reviews.done(
          await claimed(),
          { head: TO, base: FROM, state: 'success', description: '', exceeded: false, at: harness.clock.now },
          null,
        );
      const isDue = async () => (await store.reviews.claim(9)).length > 0;

      it('is due at once when the last of them ends, and every half minute before that', async () => {
        await store.reviews.seen([ownHead(TO)]);
        await merge(TO, await deployAll('a', 'b', 'c', 'd'), 4);
        await tell();
        await advance('a', FAILED);
        expect(await isDue()).toBe(false);
        harness.clock.now += 29_000;
        await advance('b', FAILED);
        expect(await isDue()).toBe(false);
        harness.clock.now += 1000;
        // While it is being written the next one gets on.
        const review = await claimed();
        await advance('c', { ...planned(targetNamed('c')) });
        await store.reviews.done(
          review,
          { head: TO, base: FROM, state: 'running', description: '', exceeded: false, at: NOON },
          null,
        );
        expect(await isDue()).toBe(false);
        await advance('c', DELIVERED);
        expect(await isDue()).toBe(false);
        await advance('d', FAILED);
        expect(await isDue()).toBe(true);
      });

      it('is told of a commit that is no head any more, though nobody has told it before', async () => {
        await store.reviews.seen([ownHead(FROM)]);
        await merge(FROM, await deployAll('a'));
        await store.reviews.seen([ownHead(TO)]);
        const reviews = await store.reviews.claim(9);
        expect(reviews.map(({ head }) => head).sort()).toEqual([FROM, TO]);
        await advance('a', FAILED);
        await store.reviews.seen([ownHead(TO)]);
        const left = await Promise.all(reviews.map(({ id }) => store.reviews.get(id)));
        expect(left.flatMap((review) => review?.head ?? [])).toEqual([TO]);
      });

      it('and any other review of a head that moved meanwhile are not put off with what it was', async () => {
        await store.reviews.seen([{ ...ownHead('a'), subject: 'request 1', number: 1 }]);
        const review = await claimed();
        await store.reviews.seen([{ ...ownHead('b'), subject: 'request 1', number: 1 }]);
        await store.reviews.postponed(review, NOON + 10 * MINUTE);
        expect(await claimed()).toMatchObject({ head: 'b', attempts: 0 });
      });
    });
  });
}
