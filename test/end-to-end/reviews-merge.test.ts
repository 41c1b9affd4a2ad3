import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { fleetLog, POLICY, until } from '../controller-site.ts';
import { makeReviewSite, type ReviewSite, type RolloutJson, reviewed } from './reviews-site.ts';
import { type Entry, notesOf } from './reviews-tree.ts';

const FILE = 'policies/a.yaml';
/** A policy for the models of one letter, with more lines of its spec. */
const policyOf = (letter: string, ...lines: string[]): string =>
  `${POLICY.replace('name: production', `name: of-${letter}`).replace('plain:ml/*', `plain:ml/${letter}-*`)}${lines
    .map((line) => `  ${line}\n`)
    .join('')}`;
const memory = (gib: number): string => `resources: { limits: { memory: ${gib}Gi } }`;

const namesOf = (rollouts: readonly RolloutJson[]): string[] =>
  rollouts.map(({ target }) => target?.name ?? '').sort();

describe('a merge on a plain Git server', () => {
  let site: ReviewSite;
  beforeAll(async () => {
    site = await makeReviewSite({
      policies: { [FILE]: policyOf('a'), 'policies/b.yaml': policyOf('b') },
      models: ['ml/a-1', 'ml/a-2', 'ml/b-1', 'ml/c-1'],
    });
    await site.start();
    await site.deploy(['ml/a-1', 'ml/a-2', 'ml/b-1'], 'v1');
  });
  afterAll(() => site.remove());
  let before: readonly RolloutJson[];
  beforeEach(async () => {
    before = await site.rollouts();
  });

  const own = (sha: string) => notesOf(site.config, sha);
  const fresh = async () => {
    const known = new Set(before.map(({ id }) => id));
    return (await site.rollouts()).filter(({ id }) => !known.has(id));
  };
  /** Pushes to the main branch. @returns the commit, and its status when all is done */
  async function merge(files: Readonly<Record<string, Entry>>) {
    const sha = site.commit(files, 'merging');
    site.config.remove('refs/heads/merging');
    await site.merge(sha);
    await until(async () => /in force/.test(own(sha)[0]?.description ?? ''));
    return { sha, status: (await reviewed(() => own(sha))).at(-1)?.description };
  }

  test('is preceded by the status of the branch that was pushed, and that deploys nothing', async () => {
    const sha = site.commit({ [FILE]: policyOf('a', memory(20)) }, 'more-memory');
    await site.site.deliver('platform/policies', 'refs/heads/more-memory', sha, 'more-memory');
    const [status] = await reviewed(() => own(sha));
    expect(status).toEqual({ state: 'success', description: '2 policies, 2 targets change' });
    const bad = site.commit({ [FILE]: policyOf('a', 'x: 1') }, 'bad');
    await site.site.deliver('platform/policies', 'refs/heads/bad', bad, 'bad');
    const [failed] = await reviewed(() => own(bad));
    expect(failed).toMatchObject({
      state: 'failure',
      description: expect.stringMatching(/^policies\/a\.yaml:11:3: /),
    });
    expect(await fresh()).toEqual([]);
    site.config.remove('refs/heads/bad');
    site.config.remove('refs/heads/more-memory');
  });

  test('deploys anew what it changes and nothing else, for the commit as cause, and counts it', async () => {
    const { sha, status } = await merge({ [FILE]: policyOf('a', memory(20)) });
    expect(status).toBe('2 policies in force, 2 targets deployed anew');
    const rollouts = await fresh();
    expect(namesOf(rollouts)).toEqual(['a-1', 'a-2']);
    for (const { cause, phase, ref } of rollouts)
      expect({ cause, phase, ref }).toEqual({
        cause: { kind: 'policy', of: sha },
        phase: 'delivered',
        ref: 'refs/tags/v1',
      });
    expect(site.config.git(['--git-dir', site.site.fleet, 'show', 'main:default/models/a-1.yaml'])).toContain(
      'memory: 20Gi',
    );
  });

  test('that takes it back is the same backwards', async () => {
    const { status } = await merge({ [FILE]: policyOf('a') });
    expect(status).toBe('2 policies in force, 2 targets deployed anew');
    expect(namesOf(await fresh())).toEqual(['a-1', 'a-2']);
    const manifest = site.config.git(['--git-dir', site.site.fleet, 'show', 'main:default/models/a-1.yaml']);
    expect(manifest).toContain('memory: 16Gi');
    expect(manifest).not.toContain('20Gi');
  });

  test('of what renders the same deploys nothing', async () => {
    const { status } = await merge({ [FILE]: `# A word.\n${policyOf('a', 'description: Models of A')}` });
    expect(status).toBe('2 policies in force, nothing is deployed anew');
    expect(await fresh()).toEqual([]);
  });

  test('of a policy that waits for the next push deploys nothing until then', async () => {
    const { status } = await merge({ [FILE]: policyOf('a', memory(24), 'onPolicyChange: nextEvent') });
    expect(status).toBe('2 policies in force, nothing is deployed anew');
    await site.deliver('ml/a-1', 'v2');
    expect((await fresh()).map(({ cause }) => cause.kind)).toEqual(['event']);
    expect(site.config.git(['--git-dir', site.site.fleet, 'show', 'main:default/models/a-1.yaml'])).toContain(
      'memory: 24Gi',
    );
    await merge({ [FILE]: policyOf('a', memory(24)) });
  });

  test('of a new policy deploys no ref that was there, until that is replayed', async () => {
    await site.site.deliver('ml/c-1', 'refs/tags/v1', await site.site.tag('ml/c-1', 'v1'), 'c-1');
    await until(
      async () =>
        site.rows("SELECT 1 FROM events WHERE repository = 'plain:ml/c-1' AND policy_revision IS NOT NULL")
          .length > 0,
    );
    const { status } = await merge({ 'policies/c.yaml': policyOf('c') });
    expect(status).toBe('3 policies in force, nothing is deployed anew');
    expect(await fresh()).toEqual([]);
    const answer = await site.ask('/api/v1/events/replay', {
      repository: 'plain:ml/c-1',
      ref: 'refs/tags/v1',
    });
    expect(answer.ok).toBe(true);
    await until(async () => (await fresh()).some(({ phase }) => phase === 'delivered'));
    expect(namesOf(await fresh())).toEqual(['c-1']);
  });

  test('of a suspended policy makes rollouts that wait and say so, and go when it is lifted', async () => {
    const sha = site.commit({ 'policies/b.yaml': policyOf('b', memory(32), 'suspend: true') }, 'suspended');
    await site.merge(sha);
    await until(async () => (await fresh()).some(({ message }) => message.includes('suspended')));
    const held = await fresh();
    expect(held).toMatchObject([
      { phase: 'pending', target: { name: 'b-1' }, message: 'Waiting: policy "of-b" is suspended' },
    ]);
    await until(async () => own(sha).at(-1)?.state === 'pending');
    await merge({ 'policies/b.yaml': policyOf('b', memory(32)) });
    await until(async () => (await site.rollouts()).every(({ phase }) => phase !== 'pending'));
    const manifest = site.config.git(['--git-dir', site.site.fleet, 'show', 'main:default/models/b-1.yaml']);
    expect(manifest).toContain('memory: 32Gi');
    const commits = fleetLog(site.site.fleet).filter(({ repository }) => repository === 'plain:ml/b-1');
    expect(commits).toHaveLength(2);
  });
});

/** Keeps, in a table of its own, how many rollouts of merges are under way after each change of any. */
const WATCH = `
CREATE TABLE watched (n INTEGER);
${['INSERT', 'UPDATE']
  .map(
    (change) => `CREATE TRIGGER watch_${change} AFTER ${change} ON rollouts BEGIN
  INSERT INTO watched SELECT count(*) FROM rollouts
    WHERE cause_kind = 'policy' AND stage IS NOT NULL AND stage <> 'wave' AND phase IN ('pending', 'delivered');
END;`,
  )
  .join('\n')}`;

describe('a merge that changes many targets', () => {
  const MODELS = Array.from({ length: 6 }, (_, index) => `ml/a-${index}`);
  const CONCURRENCY = 2;
  let site: ReviewSite;
  beforeAll(async () => {
    site = await makeReviewSite({
      policies: { [FILE]: policyOf('a') },
      models: MODELS,
      concurrency: CONCURRENCY,
    });
    await site.start();
    await site.deploy(MODELS, 'v1');
  });
  afterAll(() => site.remove());

  /** Each target with its rollouts for a commit. */
  const rolloutsFor = async (sha: string) =>
    (await site.rollouts()).filter(({ cause }) => cause.kind === 'policy' && cause.of === sha);
  const merge = async (gib: number): Promise<string> => {
    const sha = site.commit({ [FILE]: policyOf('a', memory(gib)) }, 'merging');
    site.config.remove('refs/heads/merging');
    await site.merge(sha);
    return sha;
  };
  const done = async (sha: string) => {
    await until(async () =>
      /6 targets deployed anew/.test(notesOf(site.config, sha).at(-1)?.description ?? ''),
    );
    await until(async () => notesOf(site.config, sha).at(-1)?.state === 'success');
  };

  test('has never more of them under way than worker.concurrency', async () => {
    site.execute(WATCH);
    const sha = await merge(20);
    await done(sha);
    expect(await rolloutsFor(sha)).toHaveLength(MODELS.length);
    const watched = site.rows('SELECT n FROM watched').map(({ n }) => Number(n));
    expect(Math.max(...watched)).toBe(CONCURRENCY);
  });

  test('has no more of them under way where the next is merged before they are done', async () => {
    const first = await merge(18);
    await until(async () => (await rolloutsFor(first)).length > 0);
    const sha = await merge(19);
    await until(async () => notesOf(site.config, sha).at(-1)?.state === 'success');
    await until(async () => (await rolloutsFor(first)).every(({ phase }) => phase !== 'pending'));
    const watched = site.rows('SELECT n FROM watched').map(({ n }) => Number(n));
    expect(Math.max(...watched)).toBe(CONCURRENCY);
    for (const path of MODELS) {
      const file = `main:default/models/${path.replace('ml/', '')}.yaml`;
      expect(site.config.git(['--git-dir', site.site.fleet, 'show', file])).toContain('memory: 19Gi');
    }
  });

  test.each([0, 30, 60, 100, 150, 220, 300, 400])(
    'has one rollout for each though the controller is killed %i ms after it',
    async (moment) => {
      const sha = await merge(21 + moment);
      await pause(moment);
      await site.kill();
      await site.start();
      await done(sha);
      const rollouts = await rolloutsFor(sha);
      expect(namesOf(rollouts)).toEqual(MODELS.map((path) => path.replace('ml/', '')));
      const ids = new Set(rollouts.map(({ id }) => id));
      const commits = fleetLog(site.site.fleet).filter(({ rollout }) => ids.has(rollout));
      expect(commits.map(({ repository }) => repository).sort()).toEqual(
        MODELS.map((path) => `plain:${path}`),
      );
    },
  );
});
