/** What every store does for policies that are reviewed: the heads that are to be examined. */
// biome-ignore-all lint/style/noRestrictedImports: a suite for tests may use what tests use
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NOON, type StoreHarness } from './contract.ts';
import type { Review, ReviewDraft, ReviewOutcome, ReviewRecord, Store } from './store.ts';

const FROM = '1'.repeat(40);

const request = (number: number, head: string): ReviewDraft => ({
  subject: `request ${number}`,
  number,
  label: `#${number}`,
  url: `https://forge.test/pulls/${number}`,
  head,
  headRef: `refs/pull/${number}/head`,
  statusRef: 'refs/heads/change',
});
const branch = (head: string): ReviewDraft => ({
  subject: 'refs/heads/main',
  number: null,
  label: 'main',
  url: null,
  head,
  headRef: 'refs/heads/main',
  statusRef: 'refs/heads/main',
});
const OUTCOME: ReviewOutcome = {
  head: 'a',
  base: FROM,
  state: 'success',
  description: '1 policy',
  exceeded: false,
  at: NOON,
};
const RECORD: ReviewRecord = { text: 'In full', took: 100 };

/** @param create makes an empty store, started */
export function describeReviews(name: string, create: () => Promise<StoreHarness>): void {
  describe(name, () => {
    let harness: StoreHarness;
    let store: Store;
    beforeEach(async () => {
      harness = await create();
      store = harness.store;
      harness.clock.now = NOON;
    });
    afterEach(() => harness.end());

    const heads = async () =>
      (await store.reviews.claim(100)).map(({ subject, head }) => `${subject} ${head}`);
    async function claimed(): Promise<Review> {
      const [review] = await store.reviews.claim(1);
      if (!review) throw new Error('no review is due');
      return review;
    }

    describe('heads of the config repository', () => {
      it('are due once when they are new, and again when they move', async () => {
        await store.reviews.seen([request(1, 'a'), branch('m')]);
        const reviews = await store.reviews.claim(100);
        expect(reviews.map(({ head }) => head).sort()).toEqual(['a', 'm']);
        for (const review of reviews) await store.reviews.done(review, OUTCOME, RECORD);
        expect(await heads()).toEqual([]);
        await store.reviews.seen([request(1, 'b'), branch('m')]);
        expect(await heads()).toEqual(['request 1 b']);
      });

      it('are leased to one at a time, and due again later where they could not be examined', async () => {
        await store.reviews.seen([request(1, 'a')]);
        const review = await claimed();
        expect(await heads()).toEqual([]);
        await store.reviews.postponed(review, NOON + 5000);
        expect(await heads()).toEqual([]);
        expect(await store.facts.nextDue(NOON)).toBe(NOON + 5000);
        harness.clock.now = NOON + 5000;
        expect(await store.reviews.claim(1)).toMatchObject([{ head: 'a', attempts: 1 }]);
      });

      it('stay due where they moved while they were examined', async () => {
        await store.reviews.seen([request(1, 'a')]);
        const review = await claimed();
        await store.reviews.seen([request(1, 'b')]);
        await store.reviews.done(review, OUTCOME, RECORD);
        expect(await heads()).toEqual(['request 1 b']);
      });

      it('are all due again when what they are compared with has changed', async () => {
        await store.reviews.seen([request(1, 'a'), request(2, 'b')]);
        for (const review of await store.reviews.claim(100))
          await store.reviews.done(review, OUTCOME, RECORD);
        await store.reviews.lookAgain();
        expect(await heads()).toHaveLength(2);
      });

      it('are taken in the order that keeps others waiting least', async () => {
        const own = { ...branch('m'), subject: 'refs/heads/main m' };
        await store.reviews.seen([request(1, 'slow'), request(2, 'quick'), request(3, 'failing')]);
        const times: Record<string, number> = { slow: 60_000, quick: 100 };
        for (const review of await store.reviews.claim(3)) {
          const took = times[review.head];
          if (took === undefined) await store.reviews.postponed(review, NOON);
          else await store.reviews.done(review, OUTCOME, { text: null, took });
        }
        await store.reviews.seen([
          ...[request(1, 'slower'), request(2, 'quicker'), request(3, 'failing'), request(4, 'new')],
          own,
        ]);
        const order = [];
        for (let left = 5; left > 0; left -= 1) order.push((await claimed()).head);
        expect(order).toEqual(['m', 'new', 'quicker', 'slower', 'failing']);
      });

      it('keep the report they have where nothing was examined', async () => {
        await store.reviews.seen([request(1, 'a')]);
        const review = await claimed();
        await store.reviews.done(review, OUTCOME, RECORD);
        await store.reviews.lookAgain();
        const again = await claimed();
        expect(again).not.toHaveProperty('text');
        await store.reviews.done(again, OUTCOME, null);
        expect(await store.reviews.get(review.id)).toMatchObject({ text: 'In full' });
      });

      it('are forgotten once they are not there any more', async () => {
        await store.reviews.seen([request(1, 'a')]);
        const review = await claimed();
        await store.reviews.done(review, OUTCOME, RECORD);
        expect(await store.reviews.get(review.id)).toMatchObject({
          outcome: OUTCOME,
          url: review.url,
          text: 'In full',
        });
        await store.reviews.seen([]);
        expect(await store.reviews.get(review.id)).toBeNull();
        await store.reviews.done(review, OUTCOME, RECORD);
        expect(await store.reviews.get(review.id)).toBeNull();
      });
    });

    it('a head that still tells of something under way is not forgotten before that has ended', async () => {
      await store.reviews.seen([branch('m')]);
      await store.reviews.done(await claimed(), { ...OUTCOME, state: 'running' }, RECORD);
      await store.reviews.seen([]);
      await store.reviews.lookAgain();
      const review = await claimed();
      await store.reviews.done(review, OUTCOME, RECORD);
      await store.reviews.seen([]);
      expect(await store.reviews.get(review.id)).toBeNull();
    });
  });
}
