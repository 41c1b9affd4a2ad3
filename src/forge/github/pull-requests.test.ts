import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { addPull, mergePull } from '../../../test/forges/github-pulls.ts';
import type { Grant } from '../../../test/forges/github-reply.ts';
import { type Site, startSite, TOKEN } from '../../../test/forges/github-site.ts';
import { StalledError, WaitingError } from '../../core/errors.ts';
import type { PullRequests } from '../forge.ts';

const ID = 'github:ml/iris';
const HEAD = 'modelhook/prod/vision/iris';
const draft = (changes: object = {}) => ({
  head: HEAD,
  base: 'main',
  title: 'deploy',
  text: 'Plan.',
  ...changes,
});

describe('pull requests on GitHub', () => {
  let site: Site;
  let pullRequests: PullRequests;
  beforeEach(async () => {
    site = await startSite();
    for (const branch of ['main', HEAD]) site.server.commit(site.model, branch, { 'iris.yaml': branch });
    pullRequests = site.forge.pullRequests as PullRequests;
  });
  afterEach(() => site[Symbol.asyncDispose]());

  const grant = (changes: Partial<Grant>) =>
    site.server.tokens.set(TOKEN, { reads: true, writes: true, ...changes });
  const failure = (work: Promise<unknown>): Promise<Error> =>
    work.then(
      () => new Error('it worked'),
      (error: Error) => error,
    );
  const stalled = async (work: Promise<unknown>, message: RegExp) => {
    const error = await failure(work);
    expect(error).toBeInstanceOf(StalledError);
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain(TOKEN);
  };
  const transient = async (work: Promise<unknown>, message: RegExp) => {
    const error = await failure(work);
    expect(error.constructor).toBe(Error);
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain(TOKEN);
  };
  /** All that write, on one that is there. */
  const writes = (number: number) => [
    () => pullRequests.open(ID, draft({ head: 'main', base: HEAD })),
    () => pullRequests.edit(ID, number, { state: 'closed' }),
    () => pullRequests.comment(ID, number, 'Superseded.'),
  ];

  it('are listed from all pages, without those of forks, deleted ones too', async () => {
    site.server.pageSize = 2;
    for (let n = 0; n < 5; n += 1)
      addPull(site.model, { head: `${HEAD}-${n}`, base: 'main', title: 't', body: null });
    addPull(site.model, { head: HEAD, base: 'main', title: 'eve’s', body: null }, 4242);
    addPull(site.model, { head: HEAD, base: 'main', title: 'gone', body: null }, null);
    const heads = (await pullRequests.listOpen(ID, HEAD)).map(({ head }) => head);
    expect(heads.toSorted()).toEqual([0, 1, 2, 3, 4].map((n) => `${HEAD}-${n}`));
  });

  it('of a fork are none of ours by number either', async () => {
    const { number } = addPull(site.model, { head: HEAD, base: 'main', title: 'eve’s', body: null }, 4242);
    await transient(pullRequests.get(ID, number), /comes from another repository/);
  });

  it('have no merge commit before they are merged, though GitHub says one of a trial merge', async () => {
    const { number } = await pullRequests.open(ID, draft());
    const pull = site.model.pulls[0];
    if (!pull) throw new Error('it was not opened');
    expect(pull.merge_commit_sha).not.toBeNull();
    expect((await pullRequests.get(ID, number)).mergeCommit).toBeNull();
    pull.state = 'closed';
    expect(await pullRequests.get(ID, number)).toMatchObject({ state: 'closed', mergeCommit: null });
    const merged = mergePull(pull);
    expect(await pullRequests.get(ID, number)).toMatchObject({ state: 'merged', mergeCommit: merged });
  });

  it('without a text have an empty one', async () => {
    const { number } = addPull(site.model, { head: HEAD, base: 'main', title: 't', body: null });
    expect(await pullRequests.get(ID, number)).toMatchObject({ text: '' });
  });

  it('are written by number where the repository was renamed, for a redirected write writes nothing', async () => {
    site.server.rename(site.model, 'ml/flowers');
    const { number } = await pullRequests.open(ID, draft());
    await pullRequests.edit(ID, number, { title: 'deploy iris v2' });
    await pullRequests.comment(ID, number, 'Superseded.');
    expect(site.model.pulls).toMatchObject([
      { title: 'deploy iris v2', comments: [{ body: 'Superseded.' }] },
    ]);
    const written = site.server.asked.filter(({ method }) => method !== 'GET');
    expect(written.map(({ path }) => path.split('/pulls')[0]?.split('/issues')[0])).toEqual(
      Array(3).fill(`/api/v3/repositories/${site.model.id}`),
    );
  });

  it('are not followed where a write is redirected', async () => {
    site.server.fault = (method) =>
      method === 'POST'
        ? { status: 307, headers: { location: `${site.server.apiUrl}/repositories/1/pulls` } }
        : null;
    await transient(pullRequests.open(ID, draft()), /answered 307/);
    expect(site.server.asked.filter(({ method }) => method === 'POST')).toHaveLength(1);
  });

  it('have titles and texts that are cut to what GitHub takes, of whole characters', async () => {
    const { number } = await pullRequests.open(
      ID,
      draft({ title: `${'🚀'.repeat(300)}`, text: `\ud800${'ü'.repeat(70_000)}` }),
    );
    await pullRequests.edit(ID, number, { title: `two\nlines ${'x'.repeat(300)}`, text: 'y'.repeat(70_000) });
    await pullRequests.comment(ID, number, 'z'.repeat(70_000));
    const [pull] = site.model.pulls;
    expect([...(pull?.title ?? '')]).toHaveLength(256);
    expect(pull?.title).toMatch(/^two lines x+…$/);
    expect(pull?.body).toHaveLength(65_536);
    expect(pull?.comments[0]?.body).toHaveLength(65_536);
  });

  it('of a branch that has one already say which', async () => {
    await pullRequests.open(ID, draft());
    await transient(pullRequests.open(ID, draft()), /has an open pull request of .* already, #1$/);
  });

  it('that GitHub does not open for another reason are tried again: its replicas lag behind a push', async () => {
    await pullRequests.open(ID, draft());
    await transient(
      pullRequests.open(ID, draft({ head: 'not-there-yet' })),
      /head or base is invalid; check/,
    );
    site.model.refs.set('refs/heads/same', site.model.refs.get('refs/heads/main') ?? { type: '', sha: '' });
    await transient(pullRequests.open(ID, draft({ head: 'same' })), /No commits between main and same/);
  });

  it.each<[string, Partial<Grant>]>([
    ['a fine-grained token', { lacks: ['pulls'] }],
    ['a classic token, which GitHub refuses with 404', { writes: false, classic: true }],
  ])('that may not be written need a person, who reads which permission lacks: %s', async (_, changes) => {
    const { number } = await pullRequests.open(ID, draft());
    grant(changes);
    for (const work of writes(number))
      await stalled(
        work(),
        /may not .* pull requests of ml\/iris.*"Pull requests: write".*"repo".*role Write/,
      );
  });

  it('that may not be read, though the repository may, need a person too', async () => {
    grant({ lacks: ['pulls'] });
    await stalled(pullRequests.listOpen(ID, ''), /may not read pull requests/);
    await stalled(pullRequests.get(ID, 1), /may not read pull requests/);
  });

  it('of an archived repository do not change, but are read', async () => {
    const { number } = await pullRequests.open(ID, draft());
    site.model.archived = true;
    for (const work of writes(number)) await stalled(work(), /is archived.*; unarchive it/);
    expect(await pullRequests.get(ID, number)).toMatchObject({ state: 'open' });
  });

  it('wait where the token is refused, or the repository is not found', async () => {
    site.server.tokens.clear();
    for (const work of writes(1)) await transient(work(), /check the token/);
    grant({ reads: false });
    for (const work of writes(1)) await transient(work(), /was not found/);
    await transient(pullRequests.listOpen(ID, ''), /was not found/);
  });

  it('wait where GitHub limits in words alone how much is written', async () => {
    const { number } = await pullRequests.open(ID, draft());
    site.server.fault = (method) =>
      method === 'GET'
        ? null
        : { status: 403, body: { message: 'You have exceeded a secondary rate limit. Please wait.' } };
    for (const work of writes(number)) expect(await failure(work())).toBeInstanceOf(WaitingError);
    expect(await pullRequests.get(ID, number)).toMatchObject({ state: 'open' });
  });
});
