/** What every store does of repositories that are renamed, transferred, and made anew under an old name. */
// biome-ignore-all lint/style/noRestrictedImports: a suite for tests may use what tests use
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  A,
  B,
  C,
  DELIVERED,
  IRIS,
  NOON,
  one,
  planned,
  REVISION,
  rollOut,
  type StoreHarness,
  TAG,
  TARGET,
  type Tale,
} from './contract.ts';
import type { ListedRef, Recorded, Store } from './store.ts';

const FLOWERS = 'plain:plants/flowers';
const ROSE = 'plain:ml/rose';
const DRAFTS = [{ policy: 'production', environment: 'production' }];

/** A webhook tells where a ref went, with a number of its own. */
const tell = (store: Store, tale: Tale & { projectId?: string | null }): Promise<Recorded> => {
  const { repository = IRIS, projectId = null, ref = TAG, before = null, after, delivery = null } = tale;
  return store.events.record({ repository, projectId, ref, before, after }, 'webhook', delivery);
};

/** The forge says what a repository is called today; without a name, as asked. */
const identify = (store: Store, asked: string, projectId: string | null, repository = asked) =>
  store.repositories.identify(asked, { repository, projectId });

const matchAll = async (store: Store): Promise<void> => {
  const events = await store.events.unmatched(100);
  await store.events.matched(events.map((event) => ({ event, policyRevision: REVISION, drafts: DRAFTS })));
};

/** All events, oldest first: `plain:ml/iris v1.0.0 created aaaa…`. */
const history = async (store: Store): Promise<string[]> => {
  const { items } = await store.events.list({ limit: 200 });
  return items
    .map(({ repository, ref, kind, sha }) => `${repository} ${ref.split('/').at(-1)} ${kind} ${sha}`)
    .reverse();
};

/** All rollouts, oldest first: `plain:ml/iris v1.0.0 pending`. */
const rollouts = async (store: Store): Promise<string[]> => {
  const { items } = await store.rollouts.list({ limit: 200 });
  return items.map(({ repository, revision, phase }) => `${repository} ${revision} ${phase}`).reverse();
};

/** Lists the refs of a repository. @returns how many events that made */
const list = async (store: Store, repository: string, refs: Readonly<Record<string, string>>) => {
  const listed = Object.entries(refs).map(([ref, sha]): ListedRef => ({ ref, sha, object: sha }));
  return store.repositories.applyListing(await store.repositories.snapshot(repository), listed, 0);
};

/** A rollout that has been delivered. @returns its id */
async function delivered(store: Store, repository: string, tag = 'v1.0.0', name = 'iris'): Promise<string> {
  const { id } = await one(rollOut(store, { repository, tag }));
  await store.rollouts.advance(id, planned({ ...TARGET, name }));
  await store.rollouts.advance(id, DELIVERED);
  return id;
}

/** Where a tag moves to, time and again, and never back. */
const MOVES = Array.from({ length: 10 }, (_, digit) => String(digit).repeat(40));
/** Moves and repeats come more often than the forge is asked. */
const KIND = fc.constantFrom('move', 'move', 'repeat', 'repeat', 'identify');

interface Step {
  kind: string;
  name: string;
  which: number;
}

/** Moves the tag on, tells of an earlier move once more, or asks the forge. @returns how often the tag moved */
async function follow(store: Store, steps: readonly Step[]): Promise<number> {
  let moves = 0;
  for (const { kind, name, which } of steps) {
    if (kind === 'identify') await identify(store, name, '7', FLOWERS);
    const move = kind === 'move' ? moves : which % Math.max(moves, 1);
    const after = move < moves || kind === 'move' ? MOVES[move] : undefined;
    if (kind === 'identify' || after === undefined) continue;
    await tell(store, { repository: name, before: MOVES[move - 1] ?? null, after });
    if (kind === 'move') moves += 1;
  }
  return moves;
}

/**
 * Runs the suite that every store passes.
 * @param create makes an empty store, started
 */
export function describeRenames(name: string, create: () => Promise<StoreHarness>): void {
  describe(name, () => {
    let harness: StoreHarness;
    let store: Store;
    beforeEach(async () => {
      harness = await create();
      store = harness.store;
      harness.clock.now = NOON;
    });
    afterEach(() => harness.end());

    describe("a repository's number", () => {
      it('is what the forge says, never what a payload says', async () => {
        await tell(store, { projectId: '42', after: A });
        expect(await store.repositories.projectIdOf(IRIS)).toBeNull();
        expect(await identify(store, IRIS, '7')).toBe(IRIS);
        await tell(store, { projectId: '42', after: B });
        expect(await store.repositories.projectIdOf(IRIS)).toBe('7');
      });

      it('is not known of a repository that nobody has asked for', async () => {
        expect(await store.repositories.projectIdOf(IRIS)).toBeNull();
      });

      it('does not exist on a plain Git server, where a name is a repository', async () => {
        await tell(store, { after: A });
        expect(await identify(store, IRIS, null)).toBe(IRIS);
        expect(await store.repositories.projectIdOf(IRIS)).toBeNull();
        expect(await history(store)).toEqual([`${IRIS} v1.0.0 created ${A}`]);
      });

      it('is another on another forge', async () => {
        await tell(store, { repository: 'other:ml/iris', after: A });
        await identify(store, 'other:ml/iris', '7');
        await tell(store, { after: A });
        await identify(store, IRIS, '7');
        await identify(store, ROSE, '7', FLOWERS);
        expect(await store.repositories.projectIdOf('other:ml/iris')).toBe('7');
        expect(await store.repositories.formerNames(['other:ml/iris'])).toEqual(new Map());
        expect(await tell(store, { repository: ROSE, projectId: '7', after: A })).toMatchObject({
          event: { repository: FLOWERS },
        });
      });

      it('is given to what a listing finds', async () => {
        await tell(store, { after: A });
        await identify(store, IRIS, '7');
        await list(store, IRIS, { [TAG]: A });
        await list(store, IRIS, { [TAG]: B });
        expect((await store.events.list({ limit: 1 })).items).toMatchObject([{ sha: B, projectId: '7' }]);
      });
    });

    describe('a renamed repository', () => {
      it('has its events, rollouts, reports and refs under the new name, and is listed under it alone', async () => {
        const id = await delivered(store, IRIS);
        await identify(store, IRIS, '7');
        await list(store, IRIS, { [TAG]: A, 'refs/heads/main': A });
        expect(await identify(store, IRIS, '7', FLOWERS)).toBe(FLOWERS);

        expect(await history(store)).toEqual([`${FLOWERS} v1.0.0 created ${A}`]);
        expect(await rollouts(store)).toEqual([`${FLOWERS} v1.0.0 delivered`]);
        expect(await store.reports.claim(10)).toMatchObject([{ rollout: { id, repository: FLOWERS } }]);
        expect((await store.repositories.snapshot(IRIS)).counters.size).toBe(0);
        expect((await store.repositories.snapshot(FLOWERS)).present).toBe(2);
        expect(await store.repositories.projectIdOf(IRIS)).toBeNull();
        await store.repositories.scheduleListings('all');
        expect(await store.repositories.claimListings(10, NOON + 1)).toEqual([FLOWERS]);
        // It had its baseline: what is new is an event.
        expect(await list(store, FLOWERS, { [TAG]: A, 'refs/heads/main': B, 'refs/tags/v2': B })).toBe(2);
      });

      it('is found by its number, whichever name is asked for', async () => {
        await tell(store, { after: A });
        await identify(store, IRIS, '7');
        await tell(store, { repository: FLOWERS, ref: 'refs/tags/v2', after: B });
        expect(await identify(store, FLOWERS, '7')).toBe(FLOWERS);
        expect(await history(store)).toEqual([
          `${FLOWERS} v1.0.0 created ${A}`,
          `${FLOWERS} v2 created ${B}`,
        ]);
      });

      it('that was listed before has its baseline, also where it was pushed to under the new name first', async () => {
        await tell(store, { after: A });
        await identify(store, IRIS, '7');
        await list(store, IRIS, { [TAG]: A });
        await tell(store, { repository: FLOWERS, ref: 'refs/heads/main', after: A });
        await identify(store, FLOWERS, '7');
        expect(await list(store, FLOWERS, { [TAG]: A, 'refs/heads/main': A, 'refs/tags/v2': A })).toBe(1);
      });

      it('that differs in upper and lower case alone is the same', async () => {
        await tell(store, { repository: 'plain:ML/Iris', after: A });
        expect(await identify(store, 'plain:ML/Iris', '7', IRIS)).toBe(IRIS);
        expect(await history(store)).toEqual([`${IRIS} v1.0.0 created ${A}`]);
      });

      it('is known by all names it had, also where it has an earlier one again', async () => {
        await tell(store, { after: A });
        await identify(store, IRIS, '7');
        expect(await store.repositories.formerNames([IRIS, ROSE])).toEqual(new Map());
        expect(await store.repositories.formerNames([])).toEqual(new Map());
        await identify(store, IRIS, '7', ROSE);
        await identify(store, ROSE, '7', FLOWERS);
        expect(await store.repositories.formerNames([FLOWERS])).toEqual(new Map([[FLOWERS, [IRIS, ROSE]]]));
        await identify(store, FLOWERS, '7', IRIS);
        expect(await store.repositories.formerNames([IRIS])).toEqual(new Map([[IRIS, [ROSE, FLOWERS]]]));
        expect(await history(store)).toEqual([`${IRIS} v1.0.0 created ${A}`]);
        expect(await tell(store, { projectId: '7', after: A })).toMatchObject({ outcome: 'repeat' });
      });

      it('keeps its target, and its newer rollout supersedes the one from before', async () => {
        await identify(store, IRIS, '7');
        const older = await one(rollOut(store, { tag: 'v1' }));
        await store.rollouts.advance(older.id, planned());
        await identify(store, IRIS, '7', FLOWERS);
        const newer = await one(rollOut(store, { repository: FLOWERS, tag: 'v2', sha: B }));
        expect(await store.rollouts.advance(newer.id, planned())).toMatchObject({ stage: 'deliver' });
        expect(await store.rollouts.get(older.id)).toMatchObject({ phase: 'superseded' });
      });

      it('keeps what somebody works on in their hands', async () => {
        await identify(store, IRIS, '7');
        const { id } = await one(rollOut(store));
        await store.rollouts.claim('resolve', 1);
        await identify(store, IRIS, '7', FLOWERS);
        expect(await store.rollouts.claim('resolve', 1)).toEqual([]);
        expect(await store.rollouts.advance(id, planned())).toMatchObject({ repository: FLOWERS });
      });

      it('ends a listing in hand under the old name without a word', async () => {
        await tell(store, { after: A });
        await identify(store, IRIS, '7');
        const snapshot = await store.repositories.snapshot(IRIS);
        await identify(store, IRIS, '7', FLOWERS);
        expect(await store.repositories.applyListing(snapshot, [], 0)).toBe(0);
        expect(await history(store)).toEqual([`${FLOWERS} v1.0.0 created ${A}`]);
      });

      it('is not undone by a listing in hand under the new name', async () => {
        await tell(store, { after: A });
        await identify(store, IRIS, '7');
        await tell(store, { repository: FLOWERS, ref: 'refs/heads/main', after: A });
        const snapshot = await store.repositories.snapshot(FLOWERS);
        await identify(store, FLOWERS, '7');
        const before = [{ ref: 'refs/heads/main', sha: A, object: A }];
        expect(await store.repositories.applyListing(snapshot, before, 0)).toBe(0);
      });

      it('stays as it is where two are told so at once, or one again', async () => {
        await tell(store, { after: A });
        await tell(store, { repository: FLOWERS, after: A });
        const names = await Promise.all([
          identify(store, IRIS, '7', FLOWERS),
          identify(store, FLOWERS, '7'),
          identify(store, IRIS, '7', FLOWERS),
        ]);
        expect(names).toEqual([FLOWERS, FLOWERS, FLOWERS]);
        expect(await history(store)).toEqual([`${FLOWERS} v1.0.0 created ${A}`]);
      });

      it('named by a policy under its old name is led back without an event', async () => {
        await tell(store, { after: A });
        await identify(store, IRIS, '7', FLOWERS);
        await list(store, FLOWERS, { [TAG]: A });
        await store.repositories.scheduleListings([IRIS]);
        expect(await identify(store, IRIS, '7', FLOWERS)).toBe(FLOWERS);
        expect(await list(store, FLOWERS, { [TAG]: A })).toBe(0);
        expect(await store.repositories.formerNames([FLOWERS])).toEqual(new Map([[FLOWERS, [IRIS]]]));
      });

      it('whose refs were only ever listed keeps them', async () => {
        await store.repositories.scheduleListings([IRIS]);
        await list(store, IRIS, { [TAG]: A });
        await identify(store, IRIS, '7', FLOWERS);
        expect(await list(store, FLOWERS, { [TAG]: B })).toBe(1);
        expect(await history(store)).toEqual([`${FLOWERS} v1.0.0 moved ${B}`]);
      });
    });

    describe('a push that was told under the old and the new name', () => {
      beforeEach(() => identify(store, IRIS, '7'));

      it('is one event and one rollout, that of the new name, while neither has begun', async () => {
        await tell(store, { after: A });
        await tell(store, { repository: FLOWERS, after: A });
        await matchAll(store);
        await identify(store, FLOWERS, '7');
        expect(await history(store)).toEqual([`${FLOWERS} v1.0.0 created ${A}`]);
        expect(await rollouts(store)).toEqual([`${FLOWERS} v1.0.0 pending`]);
        expect((await store.repositories.snapshot(IRIS)).counters.size).toBe(0);
        expect(await list(store, FLOWERS, { [TAG]: A })).toBe(0);
      });

      it('is the one that was deployed already, and its status is made sure of', async () => {
        const id = await delivered(store, IRIS);
        for (const report of await store.reports.claim(10))
          await store.reports.sent(report, { context: '', state: 'success', description: '', url: '' });
        const other = await one(rollOut(store, { repository: FLOWERS }));
        await store.rollouts.advance(other.id, { message: 'Waiting since 12:00 UTC: no answer' });
        await identify(store, FLOWERS, '7');
        expect(await store.rollouts.get(other.id)).toBeNull();
        expect(await rollouts(store)).toEqual([`${FLOWERS} v1.0.0 delivered`]);
        expect(await store.reports.claim(10)).toMatchObject([{ uncertain: true, rollout: { id } }]);
      });

      it('is repeated by a redelivery under the old name', async () => {
        await tell(store, { projectId: '7', after: A, delivery: 'd1' });
        await identify(store, IRIS, '7', FLOWERS);
        const again = { projectId: '7', after: A };
        expect(await tell(store, { ...again, delivery: 'd1' })).toMatchObject({ outcome: 'repeat' });
        expect(await tell(store, { ...again, delivery: 'other-hook' })).toMatchObject({ outcome: 'repeat' });
        expect(await tell(store, { ...again, projectId: null })).toMatchObject({ outcome: 'new' });
        await identify(store, IRIS, '7', FLOWERS);
        expect(await history(store)).toEqual([`${FLOWERS} v1.0.0 created ${A}`]);
      });

      it('is told by a late hook of the old name under the new one', async () => {
        await identify(store, IRIS, '7', FLOWERS);
        expect(await tell(store, { projectId: '7', after: A })).toMatchObject({
          outcome: 'new',
          event: { repository: FLOWERS },
        });
      });

      it('leaves two events where both were deployed before anybody knew', async () => {
        const [first, second] = [
          await delivered(store, IRIS),
          await delivered(store, FLOWERS, 'v1.0.0', 'flowers'),
        ];
        await identify(store, FLOWERS, '7');
        expect(await rollouts(store)).toEqual([`${FLOWERS} v1.0.0 delivered`, `${FLOWERS} v1.0.0 delivered`]);
        expect(await store.rollouts.get(first)).toMatchObject({ target: TARGET });
        // Of their status on the one commit, the newer rollout speaks.
        expect(await store.reports.claim(10)).toMatchObject([{ rollout: { id: second } }]);
      });

      it('makes no rollout of the event that repeats, nor under the old name, where they were being matched', async () => {
        await tell(store, { after: A });
        await tell(store, { repository: FLOWERS, after: A });
        await tell(store, { ref: 'refs/tags/v2', after: A });
        const events = await store.events.unmatched(10);
        await identify(store, FLOWERS, '7');
        const matches = events.map((event) => ({ event, policyRevision: REVISION, drafts: DRAFTS }));
        await store.events.matched(matches);
        expect(await rollouts(store)).toEqual([`${FLOWERS} v1.0.0 pending`, `${FLOWERS} v2 pending`]);
        expect(await store.events.unmatched(10)).toEqual([]);
      });

      it('moves on from there, whichever name was told first', async () => {
        await tell(store, { repository: FLOWERS, after: A });
        await tell(store, { repository: FLOWERS, before: A, after: B });
        await tell(store, { after: A });
        await identify(store, FLOWERS, '7');
        expect(await history(store)).toEqual([
          `${FLOWERS} v1.0.0 created ${A}`,
          `${FLOWERS} v1.0.0 moved ${B}`,
        ]);
        expect(await list(store, FLOWERS, { [TAG]: B })).toBe(0);
      });

      it('was deleted and made again in between: that is three events', async () => {
        await tell(store, { after: A });
        await tell(store, { repository: FLOWERS, after: A });
        await tell(store, { before: A, after: null });
        await tell(store, { repository: FLOWERS, before: A, after: null });
        await tell(store, { repository: FLOWERS, after: A });
        await identify(store, FLOWERS, '7');
        expect(await history(store)).toEqual([
          `${FLOWERS} v1.0.0 created ${A}`,
          `${FLOWERS} v1.0.0 deleted null`,
          `${FLOWERS} v1.0.0 created ${A}`,
        ]);
      });

      it('is one event for any moves, told any number of times under either name, late repeats included', async () => {
        const steps = fc.array(
          fc.record({ kind: KIND, name: fc.constantFrom(IRIS, FLOWERS), which: fc.nat(9) }),
          {
            maxLength: 14,
          },
        );
        await fc.assert(
          fc.asyncProperty(steps, async (taken) => {
            const fresh = await create();
            const moves = await follow(fresh.store, taken);
            for (const asked of [IRIS, FLOWERS]) await identify(fresh.store, asked, '7', FLOWERS);
            const told = (await history(fresh.store)).map((line) => line.split(' ').at(-1));
            expect(told).toEqual(MOVES.slice(0, moves));
            const refs = moves === 0 ? {} : { [TAG]: MOVES[moves - 1] ?? '' };
            expect(await list(fresh.store, FLOWERS, refs)).toBe(0);
            await fresh.end();
          }),
          { numRuns: 100 },
        );
      });
    });

    describe('a name that another repository has now', () => {
      const owner = async (repository: string, name: string) => {
        const tag = `v9-${name}-${repository}`;
        const { id } = await one(rollOut(store, { repository, tag }));
        return store.rollouts.advance(id, planned({ ...TARGET, name })).then(
          () => 'its own',
          (error: Error) => error.message.split(';')[0],
        );
      };
      /** Two repositories that are deployed; the first becomes flowers, and the second takes its name. */
      beforeEach(async () => {
        await delivered(store, IRIS, 'v1.0.0', 'iris');
        await delivered(store, ROSE, 'v1.0.0', 'rose');
        await identify(store, IRIS, '7');
        await identify(store, ROSE, '9');
        await list(store, IRIS, { [TAG]: A, 'refs/heads/main': A });
        await list(store, ROSE, { [TAG]: A, 'refs/heads/main': C });
      });
      const orders: Record<string, [asked: string, number: string, today: string][]> = {
        'its former owner': [
          [FLOWERS, '7', FLOWERS],
          [ROSE, '9', IRIS],
        ],
        'the new owner, by its old name': [
          [ROSE, '9', IRIS],
          [FLOWERS, '7', FLOWERS],
        ],
        'the new owner, by the name itself': [
          [IRIS, '9', IRIS],
          [FLOWERS, '7', FLOWERS],
        ],
      };
      for (const [first, order] of Object.entries(orders))
        it(`leaves each with what is its own, where the forge first tells of ${first}`, async () => {
          for (const [asked, number, today] of order)
            expect(await identify(store, asked, number, today)).toBe(today);
          expect(await rollouts(store)).toEqual([`${FLOWERS} v1.0.0 delivered`, `${IRIS} v1.0.0 delivered`]);
          expect(await history(store)).toEqual([
            `${FLOWERS} v1.0.0 created ${A}`,
            `${IRIS} v1.0.0 created ${A}`,
          ]);
          expect(await store.repositories.formerNames([IRIS, FLOWERS])).toEqual(
            new Map([
              [FLOWERS, [IRIS]],
              [IRIS, [ROSE]],
            ]),
          );
          expect(await list(store, IRIS, { [TAG]: A, 'refs/heads/main': C })).toBe(0);
          expect(await list(store, FLOWERS, { [TAG]: A, 'refs/heads/main': A })).toBe(0);
          expect(await owner(FLOWERS, 'iris')).toBe('its own');
          expect(await owner(IRIS, 'rose')).toBe('its own');
          expect(await owner(FLOWERS, 'rose')).toContain(`belongs to ${IRIS}`);
          expect(await owner(IRIS, 'iris')).toContain(`belongs to ${FLOWERS}`);
        });

      it('begins with a baseline of its own, but for the refs that were told with its number', async () => {
        await tell(store, { projectId: '11', ref: 'refs/tags/new', after: B });
        await identify(store, IRIS, '11');
        const { counters } = await store.repositories.snapshot(IRIS);
        expect([...counters.keys()]).toEqual(['refs/tags/new']);
        const refs = { 'refs/tags/new': B, 'refs/tags/v0.9': B, 'refs/heads/main': B };
        expect(await list(store, IRIS, refs)).toBe(0);
        expect(await list(store, IRIS, { ...refs, 'refs/tags/v0.9': C })).toBe(1);
      });

      it('keeps what was deployed under it until the number it had turns up', async () => {
        await identify(store, IRIS, '11');
        expect(await owner(IRIS, 'iris')).toBe('its own');
        await tell(store, { repository: FLOWERS, after: A });
        await identify(store, FLOWERS, '7');
        expect(await rollouts(store)).toContain(`${FLOWERS} v1.0.0 delivered`);
        expect((await history(store)).filter((line) => line.includes('v1.0.0'))).toEqual([
          `${FLOWERS} v1.0.0 created ${A}`,
          `${ROSE} v1.0.0 created ${A}`,
        ]);
      });

      it('keeps what was told with another number than the one that is moving away', async () => {
        await tell(store, { projectId: '11', ref: 'refs/tags/new', after: B });
        await matchAll(store);
        await identify(store, FLOWERS, '7');
        expect((await rollouts(store)).at(-1)).toBe(`${IRIS} new pending`);
        expect(await store.repositories.claimListings(10, NOON + 1)).toContain(IRIS);
        expect(await identify(store, IRIS, '11')).toBe(IRIS);
        expect(await list(store, IRIS, { 'refs/tags/new': B, 'refs/tags/old': A })).toBe(0);
      });

      it('takes nothing of its former owner along where it leads elsewhere', async () => {
        await identify(store, IRIS, '9', ROSE);
        expect(await rollouts(store)).toEqual([`${IRIS} v1.0.0 delivered`, `${ROSE} v1.0.0 delivered`]);
        await identify(store, IRIS, '9', ROSE);
        expect(await rollouts(store)).toEqual([`${IRIS} v1.0.0 delivered`, `${ROSE} v1.0.0 delivered`]);
        await identify(store, FLOWERS, '7');
        expect(await rollouts(store)).toEqual([`${FLOWERS} v1.0.0 delivered`, `${ROSE} v1.0.0 delivered`]);
      });
    });

    describe('a repository that something changed in', () => {
      it('is listed as soon as may be, known or not', async () => {
        await store.repositories.lookAgain(IRIS);
        expect(await store.repositories.claimListings(10, NOON + 600_000)).toEqual([IRIS]);
        await store.repositories.postponeListing(IRIS, NOON + 600_000);
        expect(await store.repositories.claimListings(10, NOON + 600_000)).toEqual([]);
        await store.repositories.lookAgain(IRIS);
        expect(await store.repositories.claimListings(10, NOON + 600_000)).toEqual([IRIS]);
      });
    });
  });
}
