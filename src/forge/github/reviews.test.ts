import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { addComment, addPull } from '../../../test/forges/github-pulls.ts';
import { ADA, BOT, type Grant, type Pull } from '../../../test/forges/github-reply.ts';
import { APP, type Site, startSite, TOKEN } from '../../../test/forges/github-site.ts';
import { StalledError, WaitingError } from '../../core/errors.ts';
import type { Forge, Reviews } from '../forge.ts';

const ID = 'github:ml/iris';
const MARKER = '<!-- modelhook policies -->';
const TEXT = `${MARKER}\n\nThe plan.`;

describe('reviews on GitHub', () => {
  let site: Site;
  let pull: Pull;
  const reviewsOf = ({ reviews }: Forge = site.forge): Reviews => {
    if (!reviews) throw new Error('GitHub has pull requests');
    return reviews;
  };
  beforeEach(async () => {
    site = await startSite();
    site.server.commit(site.model, 'main', { 'README.md': '# Policies' });
    pull = addPull(site.model, { head: 'change', base: 'main', title: 'A change', body: null }, 4242);
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
  const keep = (forge = site.forge, text = TEXT) => reviewsOf(forge).keepComment(ID, pull.number, text);
  const asked = (pattern: RegExp) => site.server.asked.filter(({ path }) => pattern.test(path));

  it('list one whose fork is gone, whose head is still there', async () => {
    pull.head.repo = null;
    const headRef = `refs/pull/${pull.number}/head`;
    expect(await reviewsOf().listOpen(ID, 'main')).toMatchObject([{ headRef, statusRef: headRef }]);
  });

  it('know the page of the files at a commit', () => {
    expect(reviewsOf().filesUrl(ID, 'abc')).toBe(`${site.server.url}/ml/iris/blob/abc`);
  });

  it.each(['release/1.0', 'a&b=c', 'ü#{x}:y%'])('list those that go to the branch %j', async (base) => {
    const { number } = addPull(site.model, { head: 'other', base, title: 't', body: null }, 4242);
    expect((await reviewsOf().listOpen(ID, base)).map((each) => each.number)).toEqual([number]);
  });

  it('take few on a page, for texts of strangers may be long', async () => {
    const text = '\u0001'.repeat(65_536);
    for (let n = 0; n < 45; n += 1) {
      addPull(site.model, { head: `${n}`, base: 'main', title: 't', body: text }, 4242);
      addComment(pull, text, { id: 4711, login: 'eve' });
    }
    expect(await reviewsOf().listOpen(ID, 'main')).toHaveLength(46);
    await keep();
    expect(pull.comments).toHaveLength(46);
  });

  it('ask for no further page of comments than it takes, and once who we are', async () => {
    addComment(pull, TEXT, ADA);
    for (let n = 0; n < 45; n += 1) addComment(pull, `${n}`, { id: 4711, login: 'eve' });
    await keep();
    await keep();
    expect(asked(/issues\/1\/comments/)).toHaveLength(1);
    expect(asked(/\/user$/)).toHaveLength(1);
    expect(site.server.asked.every(({ method }) => method === 'GET')).toBe(true);
  });

  it('take no comment for ours whose account is gone, or that an App of another name wrote', async () => {
    addComment(pull, `${MARKER} gone`, null);
    addComment(pull, `${MARKER} other`, { id: 901, login: 'modelhook-of-ml' });
    addComment(pull, `${MARKER} ours`, BOT);
    await keep(site.forgeAs({ app: APP }));
    expect(pull.comments.map(({ body }) => body)).toEqual([`${MARKER} gone`, `${MARKER} other`, TEXT]);
  });

  it('ask again who we are where that failed', async () => {
    addComment(pull, 'x', ADA);
    site.server.fault = (_, path) => (path.endsWith('/user') ? { status: 502, body: '' } : null);
    const { forge } = site;
    expect((await failure(keep(forge))).constructor).toBe(Error);
    site.server.fault = null;
    await keep(forge);
    expect(pull.comments.at(-1)?.body).toBe(TEXT);
  });

  it('need a token of somebody, not of an installation alone', async () => {
    addComment(pull, 'x', ADA);
    grant({ installation: 31 });
    await stalled(keep(), /installation's.*; use a fine-grained token, or give modelhook the App itself/);
  });

  it.each<[string, Partial<Grant>]>([
    ['a fine-grained token', { lacks: ['pulls'] }],
    ['a classic token', { writes: false, classic: true }],
  ])('that may not comment need a person, who reads which permission lacks: %s', async (_, changes) => {
    grant(changes);
    await stalled(keep(), /may not .* pull requests of ml\/iris.*"Pull requests: write".*"repo".*role Write/);
  });

  it('of an archived repository need a person', async () => {
    site.model.archived = true;
    await stalled(keep(), /is archived.*; unarchive it, or .*under policies/);
  });

  it('are written by number where the repository was renamed, for a redirected write writes nothing', async () => {
    site.server.rename(site.model, 'ml/policies');
    const { forge } = site;
    await keep(forge);
    await keep(forge, `${TEXT} More.`);
    expect(pull.comments).toMatchObject([{ body: `${TEXT} More.` }]);
  });

  it('wait where GitHub limits how much is written', async () => {
    site.server.fault = (method) =>
      method === 'GET' ? null : { status: 429, body: '', headers: { 'retry-after': '60' } };
    expect(await failure(keep())).toBeInstanceOf(WaitingError);
  });
});
