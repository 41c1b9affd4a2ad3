import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GitLabServer } from '../../../test/forges/gitlab-server.ts';
import { StalledError } from '../../core/errors.ts';
import type { PullRequests } from '../forge.ts';
import { createGitLabApi } from './api.ts';
import { createGitLabPullRequests } from './pull-requests.ts';

const TOKEN = 'glpat-a-token';
const PATH = 'platform/fleet';
const ID = `gitlab:${PATH}`;
const DRAFT = { head: 'modelhook/a', base: 'main', title: 'deploy iris v1.0.0', text: 'The plan.' };
const GRANT = { user: 'modelhook', scope: 'api', role: 'Developer' } as const;

let server: GitLabServer;
let pullRequests: PullRequests;
beforeEach(async () => {
  server = await new GitLabServer().start();
  server.tokens.set(TOKEN, GRANT);
  server.create(PATH);
  const apiUrl = `${server.url}/api/v4`;
  pullRequests = createGitLabPullRequests(
    'gitlab',
    createGitLabApi({ name: 'gitlab', apiUrl, token: TOKEN, ca: null, now: Date.now }),
  );
});
afterEach(() => server.stop());

const mergeRequests = () => server.of(PATH).mergeRequests;
const open = (changes: Partial<typeof DRAFT> = {}) => pullRequests.open(ID, { ...DRAFT, ...changes });
const writes = () => server.asked.filter(({ method }) => method !== 'GET');
const sent = () => JSON.parse(writes().at(-1)?.body ?? '{}');
const failure = async (work: Promise<unknown>): Promise<Error> => {
  const error = await work.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(Error);
  expect((error as Error).message).not.toContain(TOKEN);
  return error as Error;
};
const isTransient = (error: Error) => error.constructor === Error;

describe('a merge request', () => {
  it('is written by the number of its project, also after a rename', async () => {
    server.rename(PATH, 'platform/new-fleet');
    const { number } = await open();
    await pullRequests.edit(ID, number, { title: 'x' });
    await pullRequests.comment(ID, number, 'x');
    expect(writes().map(({ method, path }) => `${method} ${path}`)).toEqual([
      'POST /api/v4/projects/4000/merge_requests',
      'PUT /api/v4/projects/4000/merge_requests/1',
      'POST /api/v4/projects/4000/merge_requests/1/notes',
    ]);
    expect(await pullRequests.get(ID, number)).toMatchObject({ title: 'x' });
    expect(await pullRequests.listOpen(ID, 'modelhook/')).toHaveLength(1);
  });

  it('goes to its own project, although that may be a fork', async () => {
    await open();
    expect(sent()).toMatchObject({ target_project_id: 4000 });
  });

  it.each(['merge', 'squash', 'fast-forward'] as const)(
    'that was merged by %s names the commit',
    async (how) => {
      const { number } = await open();
      expect(await pullRequests.get(ID, number)).toMatchObject({ mergeCommit: null });
      const commit = mergeRequests().merge(number, how);
      expect(await pullRequests.get(ID, number)).toMatchObject({ state: 'merged', mergeCommit: commit });
    },
  );

  it('that is just being merged is open until it is', async () => {
    const { number } = await open();
    mergeRequests().setState(number, 'locked');
    expect(await pullRequests.get(ID, number)).toMatchObject({ state: 'open', mergeCommit: null });
  });

  it('of a fork, one that is gone too, is never one of ours', async () => {
    for (const fork of [99, null]) {
      const number = mergeRequests().openFromFork(DRAFT.head, 'main', fork);
      expect(await pullRequests.listOpen(ID, '')).toEqual([]);
      expect(await failure(pullRequests.get(ID, number))).toSatisfy(isTransient);
    }
    expect((await open()).number).toBe(3);
  });

  it('that somebody wrote without a text has an empty one', async () => {
    const { number } = await open();
    Object.assign(mergeRequests().all[0] ?? {}, { description: null });
    expect(await pullRequests.get(ID, number)).toMatchObject({ text: '' });
  });

  it('is one of many, which are all listed', async () => {
    for (let n = 0; n < 45; n += 1) await open({ head: `modelhook/${n}` });
    const listed = await pullRequests.listOpen(ID, 'modelhook/');
    expect(listed.map(({ number }) => number)).toEqual(Array.from({ length: 45 }, (_, n) => n + 1));
    expect(server.asked.filter(({ path }) => path.includes('state=opened'))).toHaveLength(3);
  });

  it.each([254, 255, 256, 1000])('has a title of %i characters cut to 255', async (length) => {
    const { title } = await open({ title: '🚀'.repeat(length) });
    expect(Array.from(title)).toHaveLength(Math.min(length, 255));
    await pullRequests.edit(ID, 1, { title: 'x'.repeat(length) });
    expect(sent().title).toHaveLength(Math.min(length, 255));
  });

  it('has a title of one line', async () => {
    expect(await open({ title: ' deploy\niris\u0000 \ud800' })).toMatchObject({
      title: 'deploy iris \ufffd',
    });
  });

  it('has a text and comments cut to a million characters', async () => {
    const text = 'x'.repeat(1_000_001);
    expect((await open({ text })).text).toHaveLength(1_000_000);
    await pullRequests.comment(ID, 1, text);
    expect(sent().body).toHaveLength(1_000_000);
  });
});

describe('a text', () => {
  it.each([
    '/close',
    '/merge',
    'The plan:\n/close',
    'The plan:\n\n```text\n/close\n```',
    '\r/close',
    'x\n\r/close',
    'x\r\n/close',
    'x\n\u0000/close',
    '  \n /close',
    '\t/close',
    'x\n\\/close\n/merge',
    `${'x'.repeat(999_990)}\n/close\n/merge`,
  ])('commands nothing: %j', async (text) => {
    const { number } = await open({ text });
    await pullRequests.edit(ID, number, { text });
    await pullRequests.comment(ID, number, text);
    expect(await pullRequests.get(ID, number)).toMatchObject({ state: 'open' });
    expect(mergeRequests().notes.get(number)).toHaveLength(1);
  });

  it('is read back as it was written, so that it is not written again and again', () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom('/', '\\', '\n', ' ', '/close', 'a', '`', '```\n', '- ', '\t', 'é'), {
          maxLength: 12,
        }),
        async (parts) => {
          const text = parts.join('');
          mergeRequests().all.length = 0;
          const { number, state, text: kept } = await open({ text });
          expect(kept).toBe(text);
          expect(state).toBe('open');
          expect(await pullRequests.get(ID, number)).toMatchObject({ text, state: 'open' });
          for (const line of String(sent().description).split('\n')) expect(line).not.toMatch(/^\//);
        },
      ),
      { numRuns: 60 },
    ));

  it('keeps a slash that starts no line', async () => {
    const text = 'a/b\n  command: /bin/sh\n+/bin/sh';
    await open({ text });
    expect(sent().description).toBe(text);
  });
});

describe('a merge request that cannot be written', () => {
  const all = (): [string, () => Promise<unknown>][] => [
    ['opening', () => open()],
    ['editing', () => pullRequests.edit(ID, 1, { title: 'x' })],
    ['commenting', () => pullRequests.comment(ID, 1, 'x')],
  ];

  it.each([
    ['a token that may only read', { ...GRANT, scope: 'read_api' as const }],
    ['a token of a lesser role', { ...GRANT, role: 'Reporter' as const }],
  ])('with %s names scope and role, for good', async (_what, weaker) => {
    await open();
    server.tokens.set(TOKEN, weaker);
    for (const [, work] of all()) {
      const error = await failure(work());
      expect(error).toBeInstanceOf(StalledError);
      expect(error.message).toMatch(/may not write merge requests of .*scope api and the role Developer/);
    }
  });

  it('since the project is archived, or has them switched off, says so for good', async () => {
    await open();
    server.of(PATH).archived = true;
    for (const [, work] of all()) {
      const error = await failure(work());
      expect(error).toBeInstanceOf(StalledError);
      expect(error.message).toContain('is archived');
    }
    Object.assign(server.of(PATH), { archived: false, hasMergeRequests: false });
    const error = await failure(open());
    expect(error).toBeInstanceOf(StalledError);
    expect(error.message).toContain('merge requests are switched off');
  });

  it('with a token that is not accepted says to check it, and is tried again', async () => {
    server.tokens.clear();
    for (const [, work] of all()) {
      const error = await failure(work());
      expect(error).toSatisfy(isTransient);
      expect(error.message).toContain('check the token');
    }
  });

  it('since there is one of that branch names it, and is tried again', async () => {
    await open();
    const error = await failure(open({ title: 'again' }));
    expect(error).toSatisfy(isTransient);
    expect(error.message).toMatch(/an open merge request of modelhook\/a already.*!1/);
    await pullRequests.edit(ID, 1, { state: 'closed' });
    expect((await open()).number).toBe(2);
  });

  it('for what it says is refused in GitLab’s words, and not for good: a branch may not be known everywhere yet', async () => {
    const error = await failure(open({ head: 'main' }));
    expect(error).not.toBeInstanceOf(StalledError);
    expect(error.message).toContain("You can't use same project/branch");
  });

  it.each([
    ['a redirect', { status: 302, headers: { location: '/api/v4/projects/1' } }],
    ['a login page that says it was created', { status: 201, body: '<html>' }],
    ['an answer that commands were all there was', { status: 202, body: { commands_changes: {} } }],
    ['a 502', { status: 502, body: '<html>' }],
  ])('for %s is tried again later, by one request only', async (_what, reply) => {
    await open();
    server.fault = (method) => (method === 'GET' ? null : reply);
    for (const [, work] of all()) {
      const before = writes().length;
      expect(await failure(work())).toSatisfy(isTransient);
      expect(writes()).toHaveLength(before + 1);
    }
  });

  it('is not shown with an address that is none', async () => {
    await open();
    Object.assign(mergeRequests().all[0] ?? {}, { web_url: 'javascript:1' });
    expect((await failure(pullRequests.get(ID, 1))).message).toContain('web_url');
  });
});
