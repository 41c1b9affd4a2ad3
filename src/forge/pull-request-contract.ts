/** What the pull requests of every forge do that has them. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { StalledError } from '../core/errors.ts';
import type { PullRequests } from './forge.ts';

/** A repository with a `main` branch of one commit at least, and people who work there. */
export interface PullRequestHarness {
  pullRequests: PullRequests;
  repository: string;
  /** One that the forge does not have. */
  absent: string;
  /** Makes a branch with a commit that main does not have. */
  branch(name: string): Promise<void>;
  /** A person merges it. @returns the commit it became; null where this forge does not tell */
  merge(number: number): Promise<string | null>;
  /** A person closes it. */
  close(number: number): Promise<void>;
  /** Somebody proposes a branch of this name from a fork. @returns its number; null where there can be no fork here */
  openFromFork(head: string): Promise<number | null>;
  /** The comments on it, oldest first. */
  commentsOf(number: number): Promise<readonly string[]>;
  end(): Promise<void>;
}

const TEXT =
  'Deploys `iris`.\n\n```text\nüber 模型 🚀 @nobody #1 !1\n```\n\n[page](https://modelhook.example.com/)';

/** Runs the suite that every forge with pull requests passes. */
export function describePullRequests(name: string, make: () => Promise<PullRequestHarness>): void {
  describe(name, () => {
    let harness: PullRequestHarness;
    let pullRequests: PullRequests;
    let repository: string;
    let made = 0;
    beforeAll(async () => {
      harness = await make();
      ({ pullRequests, repository } = harness);
    });
    afterAll(() => harness.end());

    /** A new one, from a branch of its own. */
    const open = async () => {
      made += 1;
      const head = `modelhook/prod/vision/iris-${made}`;
      await harness.branch(head);
      return pullRequests.open(repository, {
        head,
        base: 'main',
        title: `deploy ${made} v1.0.0`,
        text: TEXT,
      });
    };
    const openNumbers = async (prefix = 'modelhook/') =>
      (await pullRequests.listOpen(repository, prefix)).map(({ number }) => number);

    it('opens one, which is what it was asked for', async () => {
      const pullRequest = await open();
      expect(pullRequest).toMatchObject({
        state: 'open',
        head: `modelhook/prod/vision/iris-${made}`,
        base: 'main',
        title: `deploy ${made} v1.0.0`,
        text: TEXT,
        mergeCommit: null,
        label: expect.stringMatching(new RegExp(`^[#!]${pullRequest.number}$`)),
        url: expect.stringMatching(new RegExp(`^https?://.*/${pullRequest.number}$`)),
      });
      expect(await pullRequests.get(repository, pullRequest.number)).toEqual(pullRequest);
      expect(await pullRequests.listOpen(repository, pullRequest.head)).toEqual([pullRequest]);
    });

    it('lists those whose branch begins so, and no others', async () => {
      const { number } = await open();
      await harness.branch(`elsewhere-${made}`);
      const draft = { head: `elsewhere-${made}`, base: 'main', title: 'something else', text: '' };
      const other = await pullRequests.open(repository, draft);
      expect(await openNumbers()).toContain(number);
      expect(await openNumbers()).not.toContain(other.number);
      expect(await openNumbers('elsewhere-')).toEqual([other.number]);
      expect(await openNumbers('no-such/')).toEqual([]);
    });

    it('does not take a fork’s branch of the same name for its own', async () => {
      const own = await open();
      const number = await harness.openFromFork(own.head);
      if (number === null) return;
      expect(number).not.toBe(own.number);
      expect(await openNumbers(own.head)).toEqual([own.number]);
    });

    it('opens none where there is one of that branch, and that is not for good', async () => {
      const { head, base } = await open();
      const again = pullRequests.open(repository, { head, base, title: 'again', text: '' });
      await expect(again).rejects.toThrow();
      await expect(again).rejects.not.toBeInstanceOf(StalledError);
      expect(await openNumbers(head)).toHaveLength(1);
    });

    it('changes title and text in place, one or both', async () => {
      const { number } = await open();
      await pullRequests.edit(repository, number, { title: 'deploy iris v1.1.0', text: 'Newer.' });
      expect(await pullRequests.get(repository, number)).toMatchObject({
        title: 'deploy iris v1.1.0',
        text: 'Newer.',
        state: 'open',
      });
      await pullRequests.edit(repository, number, { title: 'deploy iris v1.2.0' });
      expect(await pullRequests.get(repository, number)).toMatchObject({
        title: 'deploy iris v1.2.0',
        text: 'Newer.',
      });
    });

    it('closes one', async () => {
      const { number } = await open();
      await pullRequests.edit(repository, number, { state: 'closed' });
      expect(await pullRequests.get(repository, number)).toMatchObject({
        state: 'closed',
        mergeCommit: null,
      });
      expect(await openNumbers()).not.toContain(number);
    });

    it('tells that people merged or closed one', async () => {
      const merged = await open();
      const mergeCommit = await harness.merge(merged.number);
      expect(await pullRequests.get(repository, merged.number)).toMatchObject({
        state: 'merged',
        ...(mergeCommit !== null && { mergeCommit }),
      });
      const closed = await open();
      await harness.close(closed.number);
      expect(await pullRequests.get(repository, closed.number)).toMatchObject({
        state: 'closed',
        mergeCommit: null,
      });
      const numbers = await openNumbers();
      expect(numbers).not.toContain(merged.number);
      expect(numbers).not.toContain(closed.number);
    });

    it('comments', async () => {
      const { number } = await open();
      await pullRequests.comment(repository, number, 'First.');
      await pullRequests.comment(repository, number, TEXT);
      expect(await harness.commentsOf(number)).toEqual(['First.', TEXT]);
    });

    it('throws, and not for good, where there is no such repository or number', async () => {
      const draft = { head: 'modelhook/x', base: 'main', title: 'x', text: '' };
      for (const work of [
        () => pullRequests.listOpen(harness.absent, ''),
        () => pullRequests.get(harness.absent, 1),
        () => pullRequests.get(repository, 999_999),
        () => pullRequests.open(harness.absent, draft),
        () => pullRequests.edit(repository, 999_999, { title: 'x' }),
        () => pullRequests.comment(repository, 999_999, 'x'),
      ]) {
        const error = await work().catch((thrown: unknown) => thrown);
        expect(error).toBeInstanceOf(Error);
        expect(error).not.toBeInstanceOf(StalledError);
        expect(error).not.toBeInstanceOf(TypeError);
      }
    });
  });
}
