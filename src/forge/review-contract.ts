/** What the reviews of every forge do that has pull requests. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CommitStatus } from '../core/commit-status.ts';
import { StalledError } from '../core/errors.ts';
import type { Reviews, StatusWriter } from './forge.ts';

/** A repository with the branches `main` and `release`, and people who propose changes to it. */
export interface ReviewHarness {
  reviews: Reviews;
  /** Those of a modelhook that was started anew. */
  restarted(): Reviews;
  statuses: StatusWriter;
  repository: string;
  /** One that the forge does not have. */
  absent: string;
  /** Somebody opens one, from a new branch of the repository or of a fork. */
  open(
    from: 'branch' | 'fork',
    into: 'main' | 'release',
    title?: string,
  ): Promise<{ number: number; head: string }>;
  /** Somebody puts another commit in the place of its head. @returns that commit */
  forcePush(number: number): Promise<string>;
  /** Somebody makes it go to another branch. */
  retarget(number: number, base: string): Promise<void>;
  close(number: number): Promise<void>;
  /** Somebody else comments. */
  comment(number: number, text: string): Promise<void>;
  /** Oldest first. */
  commentsOf(number: number): Promise<readonly string[]>;
  /** Somebody removes the comment that says this. */
  removeComment(number: number, text: string): Promise<void>;
  end(): Promise<void>;
}

const MARKER = '<!-- modelhook policies -->';
const PLAN = `${MARKER}\n\n### 2 targets change\n\n\`\`\`diff\n-über 模型 🚀\n+@nobody #1 !1\n\`\`\`\n\n/close\n\n<details>\n<summary>More</summary>\n\nText\n</details>`;

const SUCCESS: CommitStatus = {
  context: 'modelhook/policies',
  state: 'success',
  description: '12 policies, 3 targets change',
  url: 'https://modelhook.example.com/policies',
};

/** Runs the suite that every forge with pull requests passes. */
export function describeReviews(name: string, make: () => Promise<ReviewHarness>): void {
  describe(name, () => {
    let harness: ReviewHarness;
    let reviews: Reviews;
    let repository: string;
    beforeAll(async () => {
      harness = await make();
      ({ reviews, repository } = harness);
    });
    afterAll(() => harness.end());

    const into = async (base: string) =>
      new Map((await reviews.listOpen(repository, base)).map((each) => [each.number, each]));
    const numbersInto = async (base: string) => [...(await into(base)).keys()];
    const keep = (number: number, text: string, by = reviews) => by.keepComment(repository, number, text);

    it.each(['branch', 'fork'] as const)(
      'lists an open one of a %s, with its head and how that is fetched',
      async (from) => {
        const { number, head } = await harness.open(from, 'main', 'More replicas');
        const found = (await into('main')).get(number);
        expect(found).toEqual({
          number,
          label: expect.stringMatching(new RegExp(`^[#!]${number}$`)),
          url: expect.stringMatching(new RegExp(`^https?://.*/${number}$`)),
          title: 'More replicas',
          head,
          headRef: expect.stringMatching(new RegExp(`^refs/(?:pull|merge-requests)/${number}/head$`)),
          statusRef: from === 'fork' ? found?.headRef : expect.stringMatching(/^refs\/heads\/./),
        });
      },
    );

    it('lists drafts, too', async () => {
      for (const title of ['WIP: not yet', 'Draft: not yet']) {
        const { number } = await harness.open('fork', 'main', title);
        expect(await numbersInto('main')).toContain(number);
      }
    });

    it('lists none that goes to another branch, until it is made to go to this one', async () => {
      const { number } = await harness.open('branch', 'release');
      expect(await numbersInto('main')).not.toContain(number);
      expect(await numbersInto('release')).toEqual([number]);
      await harness.retarget(number, 'main');
      expect(await numbersInto('main')).toContain(number);
      expect(await numbersInto('release')).toEqual([]);
      expect(await numbersInto('no/such-branch')).toEqual([]);
    });

    it.each(['branch', 'fork'] as const)('tells the new head of a %s after a push by force', async (from) => {
      const { number, head } = await harness.open(from, 'main');
      const next = await harness.forcePush(number);
      expect(next).not.toBe(head);
      await expect.poll(async () => (await into('main')).get(number)?.head, { timeout: 10_000 }).toBe(next);
    });

    it('lists none that was closed', async () => {
      const { number } = await harness.open('fork', 'main');
      await harness.close(number);
      expect(await numbersInto('main')).not.toContain(number);
    });

    it.each(['branch', 'fork'] as const)('has a status on the head of a %s', async (from) => {
      const { number, head } = await harness.open(from, 'main');
      const { statusRef } = (await into('main')).get(number) ?? { statusRef: '' };
      await harness.statuses.write(repository, head, statusRef, SUCCESS);
      expect(await harness.statuses.holds(repository, head, SUCCESS)).toBe(true);
    });

    it('knows the page of the files at a head', () => {
      const sha = 'a'.repeat(40);
      expect(reviews.filesUrl(repository, sha)).toMatch(new RegExp(`^https?://[^?#\\s]+/${sha}$`));
    });

    it('keeps one comment, which is edited in place, also after a restart', async () => {
      const { number } = await harness.open('branch', 'main');
      await harness.comment(number, 'First.');
      await keep(number, PLAN);
      await harness.comment(number, 'What is this?');
      expect(await harness.commentsOf(number)).toEqual(['First.', PLAN, 'What is this?']);
      await keep(number, `${MARKER}\n\nNewer.`);
      expect(await harness.commentsOf(number)).toEqual(['First.', `${MARKER}\n\nNewer.`, 'What is this?']);
      await keep(number, `${MARKER}\n\nNewest.`, harness.restarted());
      expect(await harness.commentsOf(number)).toEqual(['First.', `${MARKER}\n\nNewest.`, 'What is this?']);
    });

    it('touches nobody else’s comment, though it begins with the marker', async () => {
      const { number } = await harness.open('fork', 'main');
      await harness.comment(number, `${MARKER}\n\nMine.`);
      await keep(number, PLAN);
      await keep(number, `${MARKER}\n\nNewer.`, harness.restarted());
      expect(await harness.commentsOf(number)).toEqual([`${MARKER}\n\nMine.`, `${MARKER}\n\nNewer.`]);
    });

    it('has another comment for another marker', async () => {
      const { number } = await harness.open('branch', 'main');
      await keep(number, PLAN);
      await keep(number, '<!-- another -->\n\nOther.');
      expect(await harness.commentsOf(number)).toEqual([PLAN, '<!-- another -->\n\nOther.']);
    });

    it('finds its comment behind many others', async () => {
      const { number } = await harness.open('branch', 'main');
      for (let n = 0; n < 25; n += 1) await harness.comment(number, `${n}`);
      await keep(number, PLAN);
      await keep(number, `${MARKER}\n\nNewer.`, harness.restarted());
      const comments = await harness.commentsOf(number);
      expect(comments).toHaveLength(26);
      expect(comments.at(-1)).toBe(`${MARKER}\n\nNewer.`);
    });

    it('makes its comment again where people removed it', async () => {
      const { number } = await harness.open('branch', 'main');
      await keep(number, PLAN);
      await harness.removeComment(number, PLAN);
      await keep(number, PLAN);
      expect(await harness.commentsOf(number)).toEqual([PLAN]);
    });

    it('adds one comment where two are asked for at once, and the later one counts', async () => {
      const { number } = await harness.open('branch', 'main');
      await Promise.all([keep(number, PLAN), keep(number, `${MARKER}\n\nLater.`)]);
      expect(await harness.commentsOf(number)).toEqual([`${MARKER}\n\nLater.`]);
    });

    it('cuts a comment at the limit it tells', async () => {
      const { number } = await harness.open('branch', 'main');
      await keep(number, `${MARKER}${'模'.repeat(reviews.commentLimit)}`);
      const [comment] = await harness.commentsOf(number);
      expect(Array.from(comment ?? '')).toHaveLength(reviews.commentLimit);
      expect(comment?.startsWith(MARKER)).toBe(true);
    });

    it('throws, and not for good, where there is no such repository or number', async () => {
      for (const work of [
        () => reviews.listOpen(harness.absent, 'main'),
        () => reviews.keepComment(harness.absent, 1, PLAN),
        () => keep(999_999, PLAN),
      ]) {
        const error = await work().catch((thrown: unknown) => thrown);
        expect(error).toBeInstanceOf(Error);
        expect(error).not.toBeInstanceOf(StalledError);
        expect(error).not.toBeInstanceOf(TypeError);
      }
    });
  });
}
