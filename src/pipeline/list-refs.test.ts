import { describe, expect, it, vi } from 'vitest';
import { WaitingError } from '../core/errors.ts';
import type { RepositoryRef } from '../forge/forge.ts';
import { createListRefs, inOrder } from './list-refs.ts';
import { createSite, MINUTE, runStage, type Site } from './pipeline.fixture.ts';

const list = (site: Site): Promise<number> => runStage(createListRefs(site));

/** A site with a repository that has sent an event of `main`, and so is known. */
async function siteWithKnown() {
  const site = await createSite();
  const iris = site.forge.create('ml/iris');
  const head = site.forge.commit(iris, { 'README.md': 'Iris\n' });
  return { site, iris, head };
}

/** The same, its refs listed once. */
async function siteWithBaseline() {
  const known = await siteWithKnown();
  const { site, iris, head } = known;
  await site.tell({ repository: iris, ref: 'refs/heads/main', after: head });
  await list(site);
  site.clock.now += 10 * MINUTE;
  return known;
}

const told = async (site: Site): Promise<string[]> =>
  (await site.events()).map(({ kind, ref, source }) => `${source}: ${kind} ${ref}`);

describe('the first listing of a repository', () => {
  it('is its baseline: it deploys nothing', async () => {
    const { site, iris, head } = await siteWithKnown();
    site.forge.point(iris, 'refs/tags/v1.0.0', head);
    site.forge.point(iris, 'refs/tags/v2.0.0', head);
    await site.store.repositories.scheduleListings([iris]);
    expect(await list(site)).toBe(1);
    expect(await site.events()).toEqual([]);
    site.clock.now += 10 * MINUTE;
    expect(await list(site)).toBe(1);
    expect(await site.events()).toEqual([]);
  });

  it('silences no webhook: the same position told later is an event', async () => {
    const { site, iris, head } = await siteWithKnown();
    site.forge.point(iris, 'refs/tags/v1.0.0', head);
    await site.store.repositories.scheduleListings([iris]);
    await list(site);
    await site.tell({ repository: iris, ref: 'refs/tags/v1.0.0', after: head });
    expect(await told(site)).toEqual(['webhook: created refs/tags/v1.0.0']);
  });
});

describe('a later listing', () => {
  it('finds the tag that no webhook told of, and makes it one event', async () => {
    const { site, iris, head } = await siteWithBaseline();
    site.forge.point(iris, 'refs/tags/v1.0.0', head);
    for (let listing = 0; listing < 3; listing += 1) {
      await list(site);
      site.clock.now += 10 * MINUTE;
    }
    expect(await told(site)).toEqual([
      'webhook: created refs/heads/main',
      'listing: created refs/tags/v1.0.0',
    ]);
    await site.match();
    expect(await site.rollouts()).toMatchObject([{ revision: 'v1.0.0', sha: head }]);
  });

  it('finds what moved and what is gone', async () => {
    const { site, iris, head } = await siteWithBaseline();
    site.forge.point(iris, 'refs/tags/v1.0.0', head);
    await list(site);
    site.forge.remove(iris, 'refs/tags/v1.0.0');
    site.forge.commit(iris, { 'README.md': 'Iris, better\n' });
    site.clock.now += 10 * MINUTE;
    await list(site);
    expect((await told(site)).slice(2)).toEqual([
      'listing: moved refs/heads/main',
      'listing: deleted refs/tags/v1.0.0',
    ]);
  });

  it('is made soon after any push, and else after the interval', async () => {
    const { site, iris, head } = await siteWithBaseline();
    await list(site);
    expect(await list(site)).toBe(0);
    await site.tell({ repository: iris, ref: 'refs/tags/v1.0.0', after: head });
    expect(await list(site)).toBe(1);
    expect(await list(site)).toBe(0);
    site.clock.now += 10 * MINUTE - 1;
    expect(await list(site)).toBe(0);
    site.clock.now += 1;
    expect(await list(site)).toBe(1);
  });

  it('takes the refs it found in the order in which they were made', async () => {
    const { site, head } = await siteWithBaseline();
    const at = (ref: string, createdAt: number | null): RepositoryRef => ({
      ref: `refs/tags/${ref}`,
      sha: head,
      object: head,
      createdAt,
    });
    const main = { ref: 'refs/heads/main', sha: head, object: head, createdAt: 9 };
    vi.spyOn(site.forge.repositories, 'listRefs').mockResolvedValue([
      at('v1.10.0', 2),
      at('v1.9.0', 2),
      at('v1.9.0-rc.1', 2),
      at('a-late-one', 3),
      main,
      at('z-early-one', 1),
    ]);
    await list(site);
    expect((await site.events()).slice(1).map(({ ref }) => ref.slice('refs/tags/'.length))).toEqual([
      'z-early-one',
      'v1.9.0-rc.1',
      'v1.9.0',
      'v1.10.0',
      'a-late-one',
    ]);
  });
});

describe('a repository that looks wrong', () => {
  it('suddenly without refs is a failing forge: nothing is concluded', async () => {
    const { site, iris } = await siteWithBaseline();
    site.forge.remove(iris, 'refs/heads/main');
    await list(site);
    expect(await told(site)).toEqual(['webhook: created refs/heads/main']);
    expect(site.log.lines.at(-1)).toMatchObject({
      level: 'warn',
      fields: { reason: 'plain:ml/iris suddenly has no refs; nothing is concluded from that' },
    });
  });

  it('that cannot be read is put off, and listed once it can', async () => {
    const { site, iris, head } = await siteWithBaseline();
    site.forge.point(iris, 'refs/tags/v1.0.0', head);
    site.forge.down = new Error('no answer');
    expect(await list(site)).toBe(1);
    expect(await list(site)).toBe(0);
    expect(await site.events()).toHaveLength(1);
    site.forge.down = null;
    site.clock.now += 10 * MINUTE;
    await list(site);
    expect((await told(site)).at(-1)).toBe('listing: created refs/tags/v1.0.0');
  });

  it('waits for as long as the forge asks for', async () => {
    const { site } = await siteWithBaseline();
    site.forge.down = new WaitingError('the forge limits how often it is asked', 7 * MINUTE);
    await list(site);
    site.forge.down = null;
    site.clock.now += 7 * MINUTE - 1;
    expect(await list(site)).toBe(0);
    site.clock.now += 1;
    expect(await list(site)).toBe(1);
  });

  it('of a forge that is not configured holds up no other', async () => {
    const { site, iris, head } = await siteWithBaseline();
    site.forge.point(iris, 'refs/tags/v1.0.0', head);
    await site.store.repositories.scheduleListings(['elsewhere:ml/rose']);
    expect(await list(site)).toBe(2);
    expect((await told(site)).at(-1)).toBe('listing: created refs/tags/v1.0.0');
  });

  it('new and empty has an empty baseline: its first tag is an event', async () => {
    const site = await createSite();
    const rose = site.forge.create('ml/rose');
    await site.store.repositories.scheduleListings([rose]);
    await list(site);
    site.forge.point(rose, 'refs/tags/v1.0.0', site.forge.commit(rose, {}));
    site.clock.now += 10 * MINUTE;
    await list(site);
    expect(await told(site)).toContain('listing: created refs/tags/v1.0.0');
  });
});

describe('a repository that was renamed', () => {
  it('is listed by the name it has today, and what it was called before makes no event', async () => {
    const { site, iris, head } = await siteWithBaseline();
    const rose = site.forge.rename(iris, 'plants/rose');
    site.forge.point(rose, 'refs/tags/v1.0.0', head);
    expect(await list(site)).toBe(1);
    expect((await site.events()).map(({ repository, ref }) => `${repository} ${ref}`)).toEqual([
      `${rose} refs/heads/main`,
      `${rose} refs/tags/v1.0.0`,
    ]);
    expect((await site.events()).at(-1)).toMatchObject({ projectId: site.forge.projectIdOf(rose) });
    expect(site.log.lines).toContainEqual({
      level: 'info',
      fields: { repository: rose, formerly: iris },
      message: 'the repository has another name now',
    });
    site.clock.now += 10 * MINUTE;
    expect(await list(site)).toBe(1);
    expect(await site.events()).toHaveLength(2);
  });

  it('and is named by a policy as before is led back each time, without an event', async () => {
    const { site, iris } = await siteWithBaseline();
    site.forge.rename(iris, 'plants/rose');
    await list(site);
    await site.store.repositories.scheduleListings([iris]);
    expect(await list(site)).toBe(1);
    expect(await list(site)).toBe(0);
    expect(await site.events()).toHaveLength(1);
  });

  it('and told of under both names is listed at once without repeating anything', async () => {
    const { site, iris, head } = await siteWithBaseline();
    const rose = site.forge.rename(iris, 'plants/rose');
    site.forge.point(rose, 'refs/tags/v1.0.0', head);
    for (const repository of [iris, rose])
      await site.tell({ repository, ref: 'refs/tags/v1.0.0', after: head });
    expect(await list(site)).toBe(2);
    expect((await told(site)).slice(1)).toEqual(['webhook: created refs/tags/v1.0.0']);
  });

  it('is put off by the name it has today where its refs cannot be listed', async () => {
    const { site, iris } = await siteWithBaseline();
    const rose = site.forge.rename(iris, 'plants/rose');
    vi.spyOn(site.forge.repositories, 'listRefs').mockRejectedValueOnce(new Error('no answer'));
    await list(site);
    expect(site.log.lines.at(-1)).toMatchObject({ fields: { repository: rose, reason: 'no answer' } });
    site.clock.now += MINUTE;
    expect(await list(site)).toBe(1);
    expect(site.log.lines.filter(({ level }) => level === 'warn')).toHaveLength(1);
  });
});

describe('a webhook that arrives during a listing', () => {
  it('is not undone by it', async () => {
    const { site, iris, head } = await siteWithBaseline();
    const stale = await site.forge.repositories.listRefs(iris);
    const newer = site.forge.commit(iris, { 'README.md': 'Iris, better\n' });
    vi.spyOn(site.forge.repositories, 'listRefs').mockImplementationOnce(async () => {
      await site.tell({ repository: iris, ref: 'refs/heads/main', before: head, after: newer });
      await site.tell({ repository: iris, ref: 'refs/tags/v1.0.0', after: newer });
      return stale;
    });
    await list(site);
    expect(await told(site)).toEqual([
      'webhook: created refs/heads/main',
      'webhook: moved refs/heads/main',
      'webhook: created refs/tags/v1.0.0',
    ]);
    // And what it may have missed is looked for right after.
    site.forge.point(iris, 'refs/tags/v1.0.0', newer);
    site.forge.point(iris, 'refs/tags/v1.0.1', newer);
    expect(await list(site)).toBe(1);
    expect((await told(site)).at(-1)).toBe('listing: created refs/tags/v1.0.1');
  });
});

describe('the order of refs', () => {
  const ref = (name: string, createdAt: number | null): RepositoryRef => ({
    ref: name,
    sha: '',
    object: '',
    createdAt,
  });

  it('is by creation, then by version as people count', () => {
    const refs = [ref('v1.10', 5), ref('v1.9', 5), ref('v0.1', 6), ref('v3', null), ref('v2', null)];
    expect(refs.toSorted(inOrder).map(({ ref: name }) => name)).toEqual([
      'v2',
      'v3',
      'v1.9',
      'v1.10',
      'v0.1',
    ]);
  });
});
