import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GitLabServer } from '../../../test/forges/gitlab-server.ts';
import { StalledError } from '../../core/errors.ts';
import type { Reviews } from '../forge.ts';
import { createGitLabApi } from './api.ts';
import { createGitLabReviews } from './reviews.ts';

const TOKEN = 'glpat-a-token';
const PATH = 'platform/policies';
const ID = `gitlab:${PATH}`;
const MARKER = '<!-- modelhook policies -->';
const TEXT = `${MARKER}\n\nThe plan.`;
const GRANT = { user: 'modelhook', scope: 'api', role: 'Developer' } as const;

let server: GitLabServer;
let reviews: Reviews;
let ours: number;
beforeEach(async () => {
  server = await new GitLabServer().start();
  server.tokens.set('glpat-of-eve', { user: 'eve', scope: 'api', role: 'Guest' });
  server.tokens.set(TOKEN, GRANT);
  ours = server.idOf('modelhook');
  server.create(PATH);
  const apiUrl = `${server.url}/api/v4`;
  const api = createGitLabApi({ name: 'gitlab', apiUrl, token: TOKEN, ca: null, now: Date.now });
  reviews = createGitLabReviews('gitlab', 'https://gitlab.example.com/git', api);
});
afterEach(() => server.stop());

const mergeRequests = () => server.of(PATH).mergeRequests;
const open = (base = 'main', from = 99) =>
  mergeRequests().openAt('a'.repeat(40), 'change', base, 'A change', from);
const notes = (iid: number) => mergeRequests().notes.get(iid) ?? [];
const failure = async (work: Promise<unknown>): Promise<Error> => {
  const error = await work.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(Error);
  expect((error as Error).message).not.toContain(TOKEN);
  return error as Error;
};

describe('reviews on GitLab', () => {
  it('list none that has no commit, or none any more', async () => {
    const iid = open();
    Object.assign(mergeRequests().all[0] ?? {}, { sha: null });
    expect(await reviews.listOpen(ID, 'main')).toEqual([]);
    mergeRequests().change(iid, { sha: 'b'.repeat(40) });
    expect(await reviews.listOpen(ID, 'main')).toMatchObject([{ head: 'b'.repeat(40) }]);
  });

  it('list one whose fork is gone, whose head is still there', async () => {
    mergeRequests().openFromFork('change', 'main', null);
    const headRef = 'refs/merge-requests/1/head';
    expect(await reviews.listOpen(ID, 'main')).toMatchObject([{ headRef, statusRef: headRef }]);
  });

  it.each(['release/1.0', 'a&b=c', 'ü#+ x'])('list those that go to the branch %j', async (base) => {
    open();
    const iid = open(base);
    expect((await reviews.listOpen(ID, base)).map(({ number }) => number)).toEqual([iid]);
  });

  it('list none where merge requests are switched off, and wait where the project cannot be read', async () => {
    open();
    server.of(PATH).hasMergeRequests = false;
    expect(await reviews.listOpen(ID, 'main')).toEqual([]);
    server.tokens.delete(TOKEN);
    const error = await failure(reviews.listOpen(ID, 'main'));
    expect(error.constructor).toBe(Error);
    expect(error.message).toContain('check the token');
  });

  it('are read though strangers write as much as GitLab takes', async () => {
    const text = 'x'.repeat(1_000_000);
    for (let n = 0; n < 12; n += 1) {
      open();
      Object.assign(mergeRequests().all.at(-1) ?? {}, { description: text });
      mergeRequests().addNote(1, text, server.idOf('eve'));
    }
    expect(await reviews.listOpen(ID, 'main')).toHaveLength(12);
    await reviews.keepComment(ID, 1, TEXT);
    expect(notes(1)).toHaveLength(13);
  });

  it('know the page of the files at a commit, of a project in groups, below a path', () => {
    expect(reviews.filesUrl('gitlab:a/b/c d', 'abc')).toBe(
      'https://gitlab.example.com/git/a/b/c%20d/-/blob/abc',
    );
  });

  it('take nothing that GitLab itself noted for ours, nor what a gone user wrote', async () => {
    const iid = open();
    mergeRequests().addNote(iid, `${MARKER} system`, ours, true);
    Object.assign(mergeRequests().addNote(iid, `${MARKER} gone`, 0), { author: null });
    await reviews.keepComment(ID, iid, TEXT);
    expect(notes(iid).map(({ body }) => body)).toEqual([`${MARKER} system`, `${MARKER} gone`, TEXT]);
  });

  it('ask for no further page of notes than it takes, and once who we are', async () => {
    const iid = open();
    mergeRequests().addNote(iid, TEXT, ours);
    for (let n = 0; n < 45; n += 1) mergeRequests().addNote(iid, `${n}`, server.idOf('eve'));
    for (const _ of [1, 2]) await reviews.keepComment(ID, iid, TEXT);
    const asked = server.asked.map(({ method, path }) => `${method} ${path.replace(/\?.*/, '')}`);
    expect(asked.filter((each) => each.endsWith('/notes'))).toHaveLength(1);
    expect(asked.filter((each) => each.endsWith('/user'))).toHaveLength(1);
    expect(asked.every((each) => each.startsWith('GET '))).toBe(true);
  });

  it('command nothing, and write a text with a slash but once', async () => {
    const iid = open();
    const text = `${MARKER}\n/close\n\n/merge\n\n\`\`\`diff\n-/close\n\`\`\``;
    for (const _ of [1, 2]) await reviews.keepComment(ID, iid, text);
    expect(mergeRequests().all[0]).toMatchObject({ state: 'opened' });
    expect(server.asked.filter(({ method }) => method !== 'GET')).toHaveLength(1);
  });

  it('are written by the number of a project that was renamed', async () => {
    const iid = open();
    server.rename(PATH, 'platform/model-policies');
    await reviews.keepComment(ID, iid, TEXT);
    await reviews.keepComment(ID, iid, `${TEXT} More.`);
    expect(notes(iid).map(({ body }) => body)).toEqual([`${TEXT} More.`]);
  });

  it.each([
    ['a token that may only read', { ...GRANT, scope: 'read_api' as const }],
    ['a token of a lesser role', { ...GRANT, role: 'Reporter' as const }],
  ])('with %s name scope and role, for good', async (_what, weaker) => {
    const iid = open();
    server.tokens.set(TOKEN, weaker);
    const error = await failure(reviews.keepComment(ID, iid, TEXT));
    expect(error).toBeInstanceOf(StalledError);
    expect(error.message).toMatch(/may not comment on merge requests of .*scope api and the role Developer/);
  });

  it('of an archived project need a person', async () => {
    const iid = open();
    server.of(PATH).archived = true;
    const error = await failure(reviews.keepComment(ID, iid, TEXT));
    expect(error).toBeInstanceOf(StalledError);
    expect(error.message).toMatch(/is archived.*; unarchive it, or name another repository under policies/);
  });

  it.each([
    ['a login page that says it was created', { status: 201, body: '<html>' }],
    ['an answer that commands were all there was', { status: 202, body: { commands_changes: {} } }],
    ['a 502', { status: 502, body: '<html>' }],
  ])('are written again later for %s', async (_what, reply) => {
    const iid = open();
    server.fault = (method) => (method === 'GET' ? null : reply);
    expect((await failure(reviews.keepComment(ID, iid, TEXT))).constructor).toBe(Error);
    server.fault = null;
    await reviews.keepComment(ID, iid, TEXT);
    expect(notes(iid)).toHaveLength(1);
  });
});
