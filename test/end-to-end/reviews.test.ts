import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { POLICY, until } from '../controller-site.ts';
import type { WrittenStatus } from './forge-workplaces.ts';
import { type ConfigForge, standInGitea, standInGitHub, standInGitLab } from './reviews-forges.ts';
import { makeReviewSite, propose, type ReviewSite, reviewed } from './reviews-site.ts';
import type { Tree } from './reviews-tree.ts';

const FILE = 'policies/production.yaml';
/** The policy of every site, with more memory or replicas and so another manifest. */
const policyWith = (line: string): string => `${POLICY}  ${line}\n`;
const MORE = policyWith('replicas: { min: 2 }');
const EVEN_MORE = policyWith('replicas: { min: 3 }');
const BAD: Tree = { [FILE]: policyWith('replicsa: { min: 2 }') };

const FORGES = [
  ['GitHub', standInGitHub],
  ['GitLab', standInGitLab],
  ['Gitea', standInGitea],
] as const;

describe.each(FORGES)('a request on the config repository on %s', (_, standIn) => {
  let forge: ConfigForge;
  let site: ReviewSite;
  beforeAll(async () => {
    forge = await standIn();
    site = await makeReviewSite({ policies: { [FILE]: POLICY }, models: ['ml/iris'], forge });
    await site.start();
    await site.deploy(['ml/iris'], 'v1');
  });
  afterAll(() => site.remove());

  const statuses = (sha: string) => reviewed(() => forge.statuses(sha));
  const success = forgeWord('success');
  /** A status of a forge says success alike; a failure is GitLab's `failed`. */
  function forgeWord(state: 'success' | 'failure'): (description: unknown) => WrittenStatus {
    return (description) =>
      expect.objectContaining({
        state: state === 'failure' && forge.kind === 'gitlab' ? 'failed' : state,
        description,
      });
  }
  const failure = forgeWord('failure');

  test('has a status on its head and one comment with the plan', async () => {
    const request = await propose(site, forge, { [FILE]: MORE });
    expect(await statuses(request.head)).toEqual([success('1 policy, 1 target changes')]);
    await until(async () => request.comments().length > 0);
    expect(request.comments()).toHaveLength(1);
    expect(request.comments()[0]).toMatch(/1 target changes.*Of 1 deployed target/);
    expect(request.comments()[0]).toContain('+    minReplicas: 2');
  });

  test('has the same comment edited when it is pushed to by force', async () => {
    const request = await propose(site, forge, { [FILE]: MORE });
    await statuses(request.head);
    await until(async () => request.comments().length > 0);
    forge.comment(request.number, 'What is this?');
    const next = await request.push({ [FILE]: EVEN_MORE });
    expect(await statuses(next)).toEqual([success('1 policy, 1 target changes')]);
    await until(async () => request.comments()[0]?.includes('minReplicas: 3') ?? false);
    expect(request.comments()).toHaveLength(2);
  });

  test('with a fault fails with file and line, and says so in the comment, until it is mended', async () => {
    const request = await propose(site, forge, BAD);
    const [status] = await statuses(request.head);
    expect(status).toEqual(
      failure(
        expect.stringMatching(/^policies\/production\.yaml:11:3: .*"replicsa".*did you mean "replicas"/),
      ),
    );
    await until(async () => request.comments().length > 0);
    expect(request.comments()[0]).toMatch(/1 fault.*\[`policies\/production\.yaml:11:3`\]\(http.*#L11\)/s);
    const mended = await request.push({ [FILE]: MORE });
    expect(await statuses(mended)).toEqual([success('1 policy, 1 target changes')]);
    await until(async () => !request.comments()[0]?.includes('replicsa'));
    expect(request.comments()).toHaveLength(1);
  });

  test('into another branch is ignored', async () => {
    site.config.point('refs/heads/release', site.config.read('refs/heads/main') ?? '');
    const other = await propose(site, forge, BAD, { base: 'release' });
    const later = await propose(site, forge, { [FILE]: MORE });
    await statuses(later.head);
    expect(forge.statuses(other.head)).toEqual([]);
    expect(other.comments()).toEqual([]);
  });

  test('from a fork is reviewed like any other', async () => {
    const request = await propose(site, forge, BAD, { isFork: true });
    expect(await statuses(request.head)).toHaveLength(1);
    const mended = await request.push({ [FILE]: MORE });
    expect(await statuses(mended)).toEqual([success('1 policy, 1 target changes')]);
    await until(async () => request.comments()[0]?.includes('minReplicas: 2') ?? false);
    expect(request.comments()).toHaveLength(1);
  });

  test('that was opened before the controller was started is found, and its comment is found again', async () => {
    const known = await propose(site, forge, { [FILE]: MORE });
    await statuses(known.head);
    await until(async () => known.comments().length > 0);
    await site.kill();
    const missed = await propose(site, forge, { [FILE]: MORE }, { isTold: false });
    site.config.point(forge.headRef(known.number), site.commit({ [FILE]: EVEN_MORE }, 'moved'));
    const moved = site.config.read('refs/heads/moved') ?? '';
    forge.push(known.number, moved);
    await site.start();
    expect(await statuses(missed.head)).toEqual([success('1 policy, 1 target changes')]);
    expect(await statuses(moved)).toHaveLength(1);
    await until(async () => missed.comments().length > 0);
    await until(async () => known.comments()[0]?.includes('minReplicas: 3') ?? false);
    expect(known.comments()).toHaveLength(1);
  });

  test('that was closed is forgotten, with its page', async () => {
    const request = await propose(site, forge, BAD);
    await statuses(request.head);
    const page = async () =>
      site.rows('SELECT id FROM reviews WHERE number = ?', String(request.number)).at(0)?.['id'];
    const id = await page();
    expect((await site.ask(`/reviews/${id}`)).status).toBe(200);
    await request.close();
    await until(async () => (await page()) === undefined);
    expect((await site.ask(`/reviews/${id}`)).status).toBe(404);
    expect(forge.isOpen(request.number)).toBe(false);
  });

  test('deploys nothing before it is merged, and the merge once', async () => {
    const rollouts = await site.rollouts();
    expect(rollouts.map(({ cause }) => cause.kind)).toEqual(['event']);
    const request = await propose(site, forge, { [FILE]: MORE });
    await statuses(request.head);
    await site.merge(request.head);
    await until(async () => forge.statuses(request.head).at(-1)?.description.includes('in force') ?? false);
    await until(async () => forge.statuses(request.head).at(-1)?.state === 'success');
    expect(forge.statuses(request.head).at(-1)).toEqual(success('1 policy in force, 1 target deployed anew'));
    expect((await site.rollouts()).map(({ cause }) => cause)).toMatchObject([
      { kind: 'event' },
      { kind: 'policy', of: request.head },
    ]);
  });
});
