import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type GiteaRepository, GiteaServer, TOKENS } from '../../../test/forges/gitea-server.ts';
import { StalledError } from '../../core/errors.ts';
import type { Reviews } from '../forge.ts';
import { createGiteaForge } from './gitea-forge.ts';

const ID = 'gitea:platform/policies';
const MARKER = '<!-- modelhook policies -->';
const TEXT = `${MARKER}\n\nThe plan.`;

let gitea: GiteaServer;
let policies: GiteaRepository;
let fork: GiteaRepository;
let reviews: Reviews;

function as(token: string): Reviews {
  const made = createGiteaForge({
    name: 'gitea',
    url: gitea.url,
    apiUrl: `${gitea.url}/api/v1`,
    token,
    webhookSecrets: [],
    ca: null,
    now: Date.now,
  }).reviews;
  if (!made) throw new Error('Gitea has pull requests');
  return made;
}

beforeEach(async () => {
  gitea = await GiteaServer.start();
  policies = gitea.create('platform/policies');
  fork = gitea.create('mallory/policies');
  policies.commit('main', { 'README.md': '# Policies' });
  fork.commit('change', { 'policy.yaml': 'x' });
  policies.pullRequests.openFrom(fork, 'change');
  reviews = as(TOKENS.reviewer);
});
afterEach(() => gitea.end());

const keep = (by = reviews, text = TEXT) => by.keepComment(ID, 1, text);
const comments = () => policies.pullRequests.commentsOf(1);
async function failure(work: Promise<unknown>): Promise<Error> {
  const error = await work.then(
    () => new Error('it went well'),
    (thrown: unknown) => thrown as Error,
  );
  for (const bug of [TypeError, SyntaxError, RangeError]) expect(error).not.toBeInstanceOf(bug);
  for (const token of Object.values(TOKENS)) expect(`${error.message}${error.stack}`).not.toContain(token);
  return error;
}

describe('reviews on Gitea', () => {
  it('list those of all pages, each once', async () => {
    for (let n = 0; n < 7; n += 1) {
      fork.commit(`change-${n}`, { 'policy.yaml': `${n}` });
      policies.pullRequests.openFrom(fork, `change-${n}`);
    }
    const found = await reviews.listOpen(ID, 'main');
    expect(found.map(({ number }) => number)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });

  it('list one that was pushed for review, which has no branch', async () => {
    policies.commit('', { 'policy.yaml': 'agit' });
    const number = policies.pullRequests.openFrom(policies, '');
    expect((await reviews.listOpen(ID, 'main')).at(-1)).toMatchObject({
      number,
      statusRef: `refs/pull/${number}/head`,
    });
  });

  it('list none where pull requests are switched off, and wait where the repository is hidden', async () => {
    policies.hasPullRequests = false;
    expect(await reviews.listOpen(ID, 'main')).toEqual([]);
    const error = await failure(as(TOKENS.stranger).listOpen(ID, 'main'));
    expect(error).not.toBeInstanceOf(StalledError);
    expect(error.message).toContain('404');
  });

  it('are kept though a stranger writes very much, which Gitea takes', async () => {
    policies.pullRequests.addComment(1, 'x'.repeat(20_000_000), 'mallory');
    await keep();
    expect(comments()).toHaveLength(2);
  });

  it('know the page of the files at a commit', () => {
    expect(reviews.filesUrl('gitea:repos/repos', 'abc')).toBe(`${gitea.url}/repos/repos/src/commit/abc`);
  });

  it('take no comment of a gone account for ours', async () => {
    policies.pullRequests.addComment(1, `${MARKER} gone`, null);
    await keep();
    expect(comments()).toEqual([`${MARKER} gone`, TEXT]);
  });

  it('ask once who we are, and write nothing that is there', async () => {
    policies.pullRequests.addComment(1, TEXT, 'modelhook');
    for (const _ of [1, 2]) await keep();
    const asked = gitea.asked.map(({ method, path }) => `${method} ${path}`);
    expect(asked.filter((each) => each.endsWith('/user'))).toHaveLength(1);
    expect(asked.filter((each) => each.endsWith('/issues/1/comments'))).toHaveLength(1);
    expect(asked.every((each) => each.startsWith('GET '))).toBe(true);
  });

  it('go to the path a repository has today', async () => {
    await keep();
    gitea.rename(policies, 'ops/policies');
    await keep(reviews, `${TEXT} More.`);
    expect(comments()).toEqual([`${TEXT} More.`]);
  });

  it.each([
    [TOKENS.silent, 'write:issue'],
    [TOKENS.writer, 'read:user'],
  ])('with %s need a person, who reads that it lacks %s', async (token, scope) => {
    policies.pullRequests.addComment(1, 'x', 'mallory');
    const error = await failure(keep(as(token)));
    expect(error).toBeInstanceOf(StalledError);
    expect(error.message).toContain(`give it the scope ${scope}`);
  });

  it('of an archived repository, or one without pull requests, need a person', async () => {
    policies.archived = true;
    const archived = await failure(keep());
    expect(archived).toBeInstanceOf(StalledError);
    expect(archived.message).toMatch(/is archived.*; unarchive it, or .* under policies/);
    Object.assign(policies, { archived: false, hasPullRequests: false });
    const off = await failure(keep());
    expect(off).toBeInstanceOf(StalledError);
    expect(off.message).toMatch(/switched off; switch them on/);
  });

  it.each(['<html>', '{}', '[]', 'null', ''])('wait where %j answers a comment', async (body) => {
    gitea.writeFault = { status: 201, body };
    expect(await failure(keep())).not.toBeInstanceOf(StalledError);
  });
});
