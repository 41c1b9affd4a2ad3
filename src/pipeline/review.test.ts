import { describe, expect, it } from 'vitest';
import { StalledError } from '../core/errors.ts';
import { policyText } from '../core/policy.fixture.ts';
import { changesOf, deployedOf } from '../core/policy-changes.fixture.ts';
import type { Examination } from '../core/review-text.ts';
import { createDeliver } from './deliver.ts';
import { CONFIG, createSite, MINUTE, policySet, runStage, SECOND, type Site } from './pipeline.fixture.ts';
import { createResolve } from './resolve.ts';
import { createReview } from './review.ts';

const IN_FORCE = 'c0ffee';
const GOOD: Examination = { kind: 'good', policies: 12, warnings: [], changes: null };
const FAULTY: Examination = {
  kind: 'faults',
  faults: [{ file: 'policies/a.yaml', line: 3, column: 5, message: 'unknown field' }],
};

async function reviewSite() {
  const site = await createSite();
  site.forge.create('platform/policies');
  const stage = createReview(site);
  /** Looks, and then reviews all that is due. */
  const run = async (): Promise<void> => {
    while ((await runStage(stage)) > 0);
  };
  const head = (sha: string, found: Examination = GOOD): string => {
    const commit = site.forge.commit(CONFIG.repository, { 'policies/a.yaml': sha });
    site.reviewer.found.set(commit, found);
    return commit;
  };
  const status = (sha: string) => site.forge.statusesOf(CONFIG.repository, sha).get('modelhook/policies');
  const comments = (number: number) =>
    site.forge.reviews.commentsOf(CONFIG.repository, number).map(({ text }) => text);
  return { site, stage, run, head, status, comments };
}

describe('a request on the config repository', () => {
  it('gets the status of its head, and one comment, with a link to the whole report', async () => {
    const { site, run, head, status, comments } = await reviewSite();
    const sha = head('a');
    site.forge.reviews.open(CONFIG.repository, { head: sha, base: 'main' });
    await run();
    expect(status(sha)).toMatchObject({
      state: 'success',
      description: expect.stringContaining('12 policies'),
    });
    const [url, id] = /^https:\/\/modelhook\.example\.com\/reviews\/(.+)$/.exec(status(sha)?.url ?? '') ?? [];
    expect(await site.store.reviews.get(id ?? '')).toMatchObject({
      head: sha,
      outcome: { state: 'success' },
    });
    expect(comments(1)).toHaveLength(1);
    expect(comments(1)[0]).toContain(url);
  });

  it('is compared with what is in force', async () => {
    const { site, run, head } = await reviewSite();
    const sha = head('a');
    site.forge.reviews.open(CONFIG.repository, { head: sha, base: 'main' });
    await run();
    expect(site.reviewer.asked).toEqual([{ sha, ref: 'refs/pull/1/head', base: IN_FORCE }]);
  });

  it('that has faults is told the first of them, and where', async () => {
    const { site, run, head, status } = await reviewSite();
    const sha = head('a', FAULTY);
    site.forge.reviews.open(CONFIG.repository, { head: sha, base: 'main' });
    await run();
    expect(status(sha)).toMatchObject({ state: 'failed', description: 'policies/a.yaml:3:5: unknown field' });
  });

  it('from a fork is reviewed like any other', async () => {
    const { site, run, head, status } = await reviewSite();
    const sha = head('a');
    site.forge.reviews.open(CONFIG.repository, { head: sha, base: 'main', isFork: true });
    await run();
    expect(status(sha)).toMatchObject({ state: 'success' });
  });

  it('into another branch is none of ours', async () => {
    const { site, run, head, status, comments } = await reviewSite();
    const sha = head('a');
    site.forge.reviews.open(CONFIG.repository, { head: sha, base: 'draft' });
    await run();
    expect(status(sha)).toBeUndefined();
    expect(comments(1)).toEqual([]);
  });

  it('that took too long is not examined again for other policies, and is once it moves', async () => {
    const { site, stage, run, head, status } = await reviewSite();
    const sha = head('a', { ...FAULTY, exceeded: true });
    site.forge.reviews.open(CONFIG.repository, { head: sha, base: 'main' });
    await run();
    await site.store.reviews.lookAgain();
    await run();
    expect(site.reviewer.asked).toHaveLength(1);
    const { id } = /reviews\/(?<id>.+)$/.exec(status(sha)?.url ?? '')?.groups ?? {};
    expect(await site.store.reviews.get(id ?? '')).toMatchObject({
      outcome: { state: 'failed', exceeded: true },
      text: expect.stringContaining('unknown field'),
    });
    const moved = head('b');
    site.forge.reviews.push(CONFIG.repository, 1, moved);
    stage.look();
    await run();
    expect(status(moved)).toMatchObject({ state: 'success' });
  });

  it('is looked at again when it is told of, though the listing may lag', async () => {
    const { site, stage, run, head, status, comments } = await reviewSite();
    await run();
    const sha = head('a');
    site.forge.reviews.open(CONFIG.repository, { head: sha, base: 'main' });
    await run();
    expect(status(sha)).toBeUndefined();
    stage.look();
    await run();
    expect(status(sha)).toMatchObject({ state: 'success' });
    const moved = head('b', FAULTY);
    site.forge.reviews.push(CONFIG.repository, 1, moved);
    stage.look();
    await run();
    expect(status(moved)).toMatchObject({ state: 'failed' });
    expect(comments(1)).toHaveLength(1);
  });

  it('is found without being told of, within the interval', async () => {
    const { site, run, head, status } = await reviewSite();
    await run();
    const sha = head('a');
    site.forge.reviews.open(CONFIG.repository, { head: sha, base: 'main' });
    site.clock.now += 10 * MINUTE;
    await run();
    expect(status(sha)).toMatchObject({ state: 'success' });
  });

  it('whose head cannot be had yet is tried again', async () => {
    const { site, run, head, status } = await reviewSite();
    const sha = head('a');
    site.reviewer.found.delete(sha);
    site.forge.reviews.open(CONFIG.repository, { head: sha, base: 'main' });
    await run();
    expect(status(sha)).toBeUndefined();
    site.reviewer.found.set(sha, GOOD);
    site.clock.now += MINUTE;
    await run();
    expect(status(sha)).toMatchObject({ state: 'success' });
  });

  it('keeps its status where comments are refused, and gets its comment once they are not', async () => {
    const { site, run, head, status, comments } = await reviewSite();
    const sha = head('a');
    site.forge.reviews.open(CONFIG.repository, { head: sha, base: 'main' });
    const { reviews } = site.forge;
    const keep = reviews.keepComment.bind(reviews);
    reviews.keepComment = async () => {
      throw new StalledError('the token may not comment', 'give it the scope');
    };
    await run();
    expect(status(sha)).toMatchObject({ state: 'success' });
    reviews.keepComment = keep;
    site.clock.now += 10 * MINUTE;
    await run();
    expect(comments(1)).toHaveLength(1);
  });

  it('is examined anew when other policies come into force', async () => {
    const { site, run, head } = await reviewSite();
    const sha = head('a');
    site.forge.reviews.open(CONFIG.repository, { head: sha, base: 'main' });
    await run();
    site.policies.set = policySet('beef', policyText());
    await site.store.reviews.lookAgain();
    await run();
    expect(site.reviewer.asked.at(-1)).toEqual({ sha, ref: 'refs/pull/1/head', base: 'beef' });
  });

  it('is not compared with nothing while a start has not read what is in force', async () => {
    const { site, run, head, status } = await reviewSite();
    const { set } = site.policies;
    const told = site.policies.status();
    site.policies.set = null;
    site.policies.status = () => ({ ...told, head: null });
    const sha = head('a');
    site.forge.reviews.open(CONFIG.repository, { head: sha, base: 'main' });
    await run();
    expect(status(sha)).toBeUndefined();
    site.policies.set = set;
    site.policies.status = () => told;
    site.clock.now += 5 * SECOND;
    await run();
    expect(site.reviewer.asked).toEqual([{ sha, ref: 'refs/pull/1/head', base: IN_FORCE }]);
  });

  it('writes no status twice: after a restart it is there already', async () => {
    const { site, run, head } = await reviewSite();
    const sha = head('a');
    site.forge.reviews.open(CONFIG.repository, { head: sha, base: 'main' });
    let writes = 0;
    const { statuses } = site.forge;
    const write = statuses.write.bind(statuses);
    statuses.write = (...status) => {
      writes += 1;
      return write(...status);
    };
    await run();
    await site.store.reviews.lookAgain();
    await run();
    expect(writes).toBe(1);
  });

  it('that was merged as it is says nothing more, though it is listed still: its commit tells how far the merge is', async () => {
    const { site, run, head, status, comments } = await reviewSite();
    const sha = head('a');
    site.forge.reviews.open(CONFIG.repository, { head: sha, base: 'main' });
    site.policies.set = policySet(sha, policyText());
    await site.store.policyChanges.carryOut({ from: null, revision: sha, rollouts: [], room: 1 });
    await run();
    expect(site.reviewer.asked).toEqual([]);
    expect(comments(1)).toEqual([]);
    expect(status(sha)?.description).toContain('in force');
  });

  it('is left in peace while the forge is down, and reviewed when it is back', async () => {
    const { site, run, head, status } = await reviewSite();
    const sha = head('a');
    site.forge.reviews.open(CONFIG.repository, { head: sha, base: 'main' });
    site.forge.reviews.failure = new Error('down');
    await run();
    expect(status(sha)).toBeUndefined();
    site.forge.reviews.failure = null;
    site.clock.now += 10 * SECOND;
    await run();
    expect(status(sha)).toMatchObject({ state: 'success' });
  });
});

describe('a branch of a plain Git server', () => {
  async function plainSite() {
    const parts = await reviewSite();
    const { site } = parts;
    const forge = site.forge;
    site.forges.set('plain', {
      name: forge.name,
      webhooks: forge.webhooks,
      repositories: forge.repositories,
      statuses: forge.statuses,
      pullRequests: null,
      reviews: null,
      administration: forge.administration,
    });
    return parts;
  }

  it('is reviewed like a request, by the status alone', async () => {
    const { site, run, head, status } = await plainSite();
    const sha = head('a');
    site.forge.point(CONFIG.repository, 'refs/heads/change', sha);
    site.forge.point(CONFIG.repository, 'refs/tags/v1', head('b'));
    await run();
    expect(status(sha)).toMatchObject({ state: 'success' });
    expect(site.reviewer.asked.map(({ ref }) => ref)).toEqual(['refs/heads/change']);
  });

  it('that leads where the policies in force are says nothing: their own status is on that commit', async () => {
    const { site, run, head, status } = await plainSite();
    const sha = head('a');
    site.policies.set = policySet(sha, policyText());
    site.forge.point(CONFIG.repository, 'refs/heads/change', sha);
    await site.store.policyChanges.carryOut({ from: null, revision: sha, rollouts: [], room: 1 });
    await run();
    expect(site.reviewer.asked).toEqual([]);
    expect(status(sha)?.description).toContain('in force');
  });
});

describe('the head of the branch', () => {
  const own = async (site: Site, sha: string) => {
    site.policies.set = policySet(sha, policyText());
    site.forge.point(CONFIG.repository, CONFIG.ref, sha);
  };

  it('waits until it is carried out, and then says how far its rollouts are', async () => {
    const { site, run, head, status } = await reviewSite();
    const sha = head('a');
    await own(site, sha);
    await run();
    expect(status(sha)).toBeUndefined();
    expect(site.log.lines.filter(({ level }) => level === 'warn')).toEqual([]);
    await site.store.policyChanges.carryOut({ from: null, revision: sha, rollouts: [], room: 1 });
    site.clock.now += 5 * SECOND;
    await run();
    expect(status(sha)).toMatchObject({
      state: 'success',
      description: '1 policy in force, nothing is deployed anew',
    });
  });

  it('goes on telling of its rollouts when another is merged meanwhile', async () => {
    const { site, run, head, status } = await reviewSite();
    const [first, second] = [head('a'), head('b')];
    const { id } = await site.rollOut(site.forge.create('ml/iris'));
    await runStage(createResolve(site));
    await runStage(createDeliver(site));
    await own(site, first);
    const again = { rolloutId: id, policy: 'production', environment: 'production' };
    const { policyChanges } = site.store;
    await policyChanges.carryOut({ from: null, revision: first, rollouts: [again], room: 1 });
    await run();
    expect(status(first)).toMatchObject({
      state: 'running',
      description: '1 policy in force, 0 of 1 target deployed anew',
    });
    await own(site, second);
    await policyChanges.carryOut({ from: first, revision: second, rollouts: [], room: 1 });
    await run();
    const made = (await site.rollouts()).find(({ cause }) => cause.kind === 'policy');
    await site.store.rollouts.advance(made?.id ?? '', { phase: 'ready', stage: null, message: 'Ready' });
    await run();
    expect(status(first)).toMatchObject({
      state: 'success',
      description: 'was in force, 1 target deployed anew',
    });
    expect(status(second)?.description).toBe('1 policy in force, nothing is deployed anew');
  });

  it('that has faults says so, and which revision stays in force is another matter', async () => {
    const { site, run, head, status } = await reviewSite();
    const sha = head('a');
    const { faults } = FAULTY.kind === 'faults' ? FAULTY : { faults: [] };
    const told = site.policies.status();
    site.policies.status = () => ({ ...told, head: sha, faults: [...faults] });
    await run();
    expect(status(sha)).toMatchObject({ state: 'failed', description: 'policies/a.yaml:3:5: unknown field' });
  });
});

describe('a plan', () => {
  it('counts the targets that change in the status', async () => {
    const { site, run, head, status } = await reviewSite();
    const changes = changesOf([policyText()], [policyText({ replicas: { min: 2, max: 2 } })], [deployedOf()]);
    const sha = head('a', { kind: 'good', policies: 1, warnings: [], changes });
    site.forge.reviews.open(CONFIG.repository, { head: sha, base: 'main' });
    await run();
    expect(status(sha)?.description).toContain('1 policy, 1 target changes');
  });
});
