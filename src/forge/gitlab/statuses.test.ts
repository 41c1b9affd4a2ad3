import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { StatusJob } from '../../../test/forges/gitlab-project.ts';
import { GitLabServer } from '../../../test/forges/gitlab-server.ts';
import type { CommitStatus, StatusState } from '../../core/commit-status.ts';
import { StalledError } from '../../core/errors.ts';
import { API_LAG, type StatusWriter } from '../forge.ts';
import { createGitLabApi } from './api.ts';
import { createGitLabStatuses } from './statuses.ts';

const TOKEN = 'glpat-a-token';
const PATH = 'ml/iris';
const ID = 'gitlab:ml/iris';
const TAG = 'refs/tags/v1.0.0';

let server: GitLabServer;
let statuses: StatusWriter;
let sha: string;
let now: number;
const writer = (token = TOKEN): StatusWriter =>
  createGitLabStatuses(
    'gitlab',
    createGitLabApi({ name: 'gitlab', apiUrl: `${server.url}/api/v4`, token, ca: null, now: Date.now }),
    () => now,
  );
beforeEach(async () => {
  now = Date.parse('2026-03-01T12:00:00Z');
  server = await new GitLabServer().start();
  server.tokens.set(TOKEN, { user: 'modelhook', scope: 'api', role: 'Developer' });
  server.create(PATH);
  server.commit(PATH, 'main', { 'README.md': 'x' });
  sha = server.commit(PATH, 'main', { 'README.md': 'y' });
  statuses = writer();
});
afterEach(() => server.stop());

const status = (state: StatusState, changes: Partial<CommitStatus> = {}): CommitStatus => ({
  context: 'modelhook/production',
  state,
  description: `It is ${state}`,
  url: 'https://modelhook.example.com/rollouts/1',
  ...changes,
});
const write = (state: StatusState, changes?: Partial<CommitStatus>, ref = TAG) =>
  statuses.write(ID, sha, ref, status(state, changes));
const holds = (state: StatusState, changes?: Partial<CommitStatus>) =>
  statuses.holds(ID, sha, status(state, changes));
const jobs = (): StatusJob[] => server.of(PATH).jobs;
const shown = () => jobs().map(({ status: state, description }) => `${state}: ${description}`);
const posts = () => server.asked.filter(({ method }) => method === 'POST');
const onPost = (reply: { status: number; body?: unknown; headers?: Record<string, string> }) => {
  server.fault = (method) => (method === 'POST' ? reply : null);
};
const failure = async (work: Promise<unknown>): Promise<Error> => {
  const error = await work.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(Error);
  expect((error as Error).message).not.toContain(TOKEN);
  return error as Error;
};
const isTransient = (error: Error) => error.constructor === Error;

describe('a rollout', () => {
  it('is one job from pending over running to its end', async () => {
    await write('pending');
    await write('running');
    await write('success');
    expect(jobs()).toMatchObject([
      { status: 'success', ref: 'v1.0.0', name: 'modelhook/production', description: 'It is success' },
    ]);
  });

  it.each<[StatusState, string]>([
    ['superseded', 'canceled'],
    ['cancelled', 'canceled'],
    ['failed', 'failed'],
  ])('that is %s ends as %s', async (state, ended) => {
    await write('pending');
    await write(state);
    expect(jobs()).toMatchObject([{ status: ended }]);
  });

  it('may end without a beginning, and skip running', async () => {
    await write('failed');
    await write('pending', { context: 'modelhook/staging' });
    await write('success', { context: 'modelhook/staging' });
    expect(shown()).toEqual(['failed: It is failed', 'success: It is success']);
  });

  it.each<StatusState>(['pending', 'running'])('that is %s may say so twice', async (state) => {
    await write(state);
    await write(state);
    expect(jobs()).toHaveLength(1);
    expect(await holds(state)).toBe(true);
  });

  it('keeps the text of a state that lasts, and brings the new one with the end', async () => {
    await write('running');
    await write('running', { description: 'Waiting since 12:00' });
    expect(shown()).toEqual(['running: It is running']);
    await write('success', { description: 'Ready' });
    expect(shown()).toEqual(['success: Ready']);
  });

  it('never goes back while it is running', async () => {
    await write('running');
    await write('pending');
    expect(shown()).toEqual(['running: It is running']);
  });

  it('that failed and became ready after all is a new job', async () => {
    await write('failed');
    await write('success');
    expect(shown()).toEqual(['failed: It is failed', 'success: It is success']);
    expect(await holds('success')).toBe(true);
    expect(await holds('failed')).toBe(false);
  });
});

describe('a newer rollout of the same commit', () => {
  const newer = { url: 'https://modelhook.example.com/rollouts/2' };

  it.each<StatusState>(['pending', 'running'])(
    'ends the %s job of the older one, which fell silent, and has one of its own',
    async (state) => {
      await write('running');
      await write(state, newer);
      expect(jobs()).toMatchObject([
        {
          status: 'canceled',
          target_url: status('running').url,
          description: 'Superseded by a newer rollout',
        },
        { status: state, target_url: newer.url },
      ]);
      expect(await holds(state, newer)).toBe(true);
    },
  );

  it('takes over a pending job that can go on', async () => {
    await write('pending');
    await write('running', newer);
    expect(jobs()).toMatchObject([{ status: 'running', target_url: newer.url }]);
  });

  it('of another tag has a job of its own', async () => {
    await write('pending');
    await write('pending', newer, 'refs/tags/v1.0.1');
    expect(jobs().map(({ ref }) => ref)).toEqual(['v1.0.0', 'v1.0.1']);
    expect(await holds('pending')).toBe(true);
    expect(await holds('pending', newer)).toBe(true);
  });

  it('leaves the job of another tag alone', async () => {
    await write('running');
    await write('running', newer, 'refs/tags/v1.0.1');
    await write('pending', { url: 'https://modelhook.example.com/rollouts/3' });
    expect(jobs().map(({ ref, status: state, target_url }) => [ref, state, target_url?.at(-1)])).toEqual([
      ['v1.0.0', 'canceled', '1'],
      ['v1.0.1', 'running', '2'],
      ['v1.0.0', 'pending', '3'],
    ]);
  });
});

describe('a refusal to go back', () => {
  const refused = {
    status: 400,
    body: {
      message: 'Cannot transition status via :run from :running (Reason(s): Status cannot transition)',
    },
  };

  it('is taken for success where the status is there already', async () => {
    await write('running');
    onPost(refused);
    await write('running');
  });

  it('is tried again where no such status is there', async () => {
    onPost(refused);
    expect(await failure(write('running'))).toSatisfy(isTransient);
  });

  it('is tried again where it comes twice', async () => {
    await write('running');
    const url = 'https://modelhook.example.com/rollouts/2';
    let count = 0;
    server.fault = (method) => {
      if (method !== 'POST') return null;
      count += 1;
      return count === 2 ? null : refused;
    };
    expect(await failure(write('running', { url }))).toSatisfy(isTransient);
    expect(count).toBe(3);
  });
});

describe('a token of another user', () => {
  it('makes a job of its own, which is what is held', async () => {
    await write('running');
    server.tokens.set('glpat-new', { user: 'modelhook-2', scope: 'api', role: 'Developer' });
    statuses = writer('glpat-new');
    await write('running', { description: 'With the new token' });
    await write('success');
    expect(shown()).toEqual(['running: It is running', 'success: It is success']);
    expect(await holds('success')).toBe(true);
    expect(await holds('running')).toBe(false);
  });

  it('does not hide the job that is still ours', async () => {
    await write('running');
    server.tokens.set('glpat-new', { user: 'modelhook-2', scope: 'api', role: 'Developer' });
    await writer('glpat-new').write(ID, sha, TAG, status('failed'));
    await write('running', { description: 'With the old token' });
    expect(shown()).toEqual(['running: It is running', 'failed: It is failed']);
  });
});

describe('what is sent', () => {
  const sent = () => JSON.parse(posts().at(-1)?.body ?? '{}');

  it('names the tag or branch, without which a commit that only a tag has is not found', async () => {
    server.of(PATH).refs.delete('refs/heads/main');
    await write('pending');
    expect(sent().ref).toBe('v1.0.0');
    await write('pending', {}, 'refs/heads/feature/one');
    expect(sent().ref).toBe('feature/one');
  });

  it('names the head of a merge request, without which a commit that only a fork has is refused', async () => {
    server.of(PATH).refs.clear();
    await write('pending', {}, 'refs/merge-requests/12/head');
    expect(sent().ref).toBe('refs/merge-requests/12/head');
    expect(await holds('pending')).toBe(true);
  });

  it.each([254, 255, 256, 1000])('has a description of %i characters cut to 255', async (length) => {
    const description = '🚀'.repeat(length);
    await write('pending', { description });
    expect(Array.from(sent().description).length).toBe(Math.min(length, 255));
    expect(await holds('pending', { description })).toBe(true);
  });

  it.each(['', 'a\tb\n\u0000c', 'half \ud83d', ' x '])('may have the description %j', async (description) => {
    await write('pending', { description });
    expect(sent().description).not.toMatch(/\p{Cc}/u);
    expect(await holds('pending', { description })).toBe(true);
  });

  it('has no link and no ref over 255 characters, rather than half of one', async () => {
    const url = `https://modelhook.example.com/${'x'.repeat(255)}`;
    await write('pending', { url }, `refs/heads/${'y'.repeat(256)}`);
    expect(sent()).not.toHaveProperty('target_url');
    expect(sent()).not.toHaveProperty('ref');
    expect(await holds('pending', { url })).toBe(true);
    await write('pending', { url }, `refs/heads/${'y'.repeat(256)}`);
    expect(jobs()).toHaveLength(1);
  });

  it('goes to the number, asked for with each write, of a project that was renamed', async () => {
    server.rename(PATH, 'ml/new-iris');
    await write('pending');
    await write('running');
    expect(posts().map(({ path }) => path)).toEqual([
      `/api/v4/projects/4000/statuses/${sha}`,
      `/api/v4/projects/4000/statuses/${sha}`,
    ]);
    expect(server.asked.filter(({ path }) => path.endsWith('/ml%2Firis'))).toHaveLength(2);
    expect(await holds('running')).toBe(true);
  });

  it('goes to the project that took the path', async () => {
    await write('pending');
    server.rename(PATH, 'ml/old-iris');
    server.create(PATH);
    sha = server.commit(PATH, 'main', { 'README.md': 'z' });
    await write('pending');
    expect(posts().at(-1)?.path).toBe(`/api/v4/projects/4001/statuses/${sha}`);
    expect(jobs()).toHaveLength(1);
  });

  it('goes to the project that took the path, although the one before has the commit, too', async () => {
    await write('pending');
    const { commits } = server.of(PATH);
    server.rename(PATH, 'ml/old-iris');
    server.create(PATH);
    Object.assign(server.of(PATH), { commits });
    await write('success');
    expect(jobs()).toMatchObject([{ status: 'success' }]);
    expect(server.of('ml/old-iris').jobs).toMatchObject([{ status: 'pending' }]);
  });
});

describe('a status that cannot be written', () => {
  const grant = { user: 'modelhook', scope: 'api', role: 'Developer' } as const;

  it.each([
    ['a token that may only read', { ...grant, scope: 'read_api' as const }],
    ['a token of a lesser role', { ...grant, role: 'Reporter' as const }],
  ])('with %s names scope and role, for good', async (_what, weaker) => {
    server.tokens.set(TOKEN, weaker);
    const error = await failure(write('pending'));
    expect(error).toBeInstanceOf(StalledError);
    expect(error.message).toMatch(/scope api and the role Developer/);
  });

  it('with a token that is not accepted is tried again later, and says to check the token', async () => {
    server.tokens.clear();
    const error = await failure(write('pending'));
    expect(error).toSatisfy(isTransient);
    expect(error.message).toContain('check the token');
    server.tokens.set(TOKEN, grant);
    onPost({ status: 401, body: { message: '401 Unauthorized' } });
    const second = await failure(write('pending'));
    expect(second).toSatisfy(isTransient);
    expect(second.message).toContain('check the token');
    server.fault = null;
    await write('pending');
    expect(jobs()).toHaveLength(1);
  });

  it('since the project may not be seen names the scope, for good', async () => {
    server.fault = (method) =>
      method === 'GET' ? { status: 403, body: { error: 'insufficient_scope' } } : null;
    const error = await failure(write('pending'));
    expect(error).toBeInstanceOf(StalledError);
    expect(error.message).toMatch(/insufficient_scope.*scope api/);
  });

  it.each([400, 403, 404, 409, 500])('with %i does not quote words that repeat the token', async (status) => {
    onPost({ status, body: { message: `${'x'.repeat(290)} Not with ${TOKEN}` } });
    const error = await failure(write('pending'));
    // Nor the beginning of the token, which a cut would leave.
    expect(error.message).not.toMatch(/xxx|glpat/);
    onPost({ status, body: { message: { token: [TOKEN] } } });
    expect((await failure(write('pending'))).message).not.toContain('glpat');
    onPost({ status, body: { message: 'Not with this token' } });
    expect((await failure(write('pending'))).message).toContain(': Not with this token');
  });

  it('does not quote a token that JSON spells in another way', async () => {
    const odd = 'glpat-"\\x';
    server.tokens.set(odd, grant);
    statuses = writer(odd);
    onPost({ status: 400, body: { message: { token: [odd] } } });
    expect((await failure(write('pending'))).message).not.toContain('glpat');
  });

  it('since the project is archived says so for good', async () => {
    server.of(PATH).archived = true;
    const error = await failure(write('pending'));
    expect(error).toBeInstanceOf(StalledError);
    expect(error.message).toContain('is archived');
  });

  it('for its words says which, for good', async () => {
    onPost({ status: 400, body: { message: { target_url: ['is blocked'] } } });
    const error = await failure(write('pending'));
    expect(error).toBeInstanceOf(StalledError);
    expect(error.message).toContain('{"target_url":["is blocked"]}');
    onPost({ status: 422, body: { message: 'The number of jobs has exceeded the limit' } });
    expect(await failure(write('pending'))).toBeInstanceOf(StalledError);
  });

  it('while another is written on the commit is tried again later', async () => {
    server.leased.add(sha);
    const error = await failure(write('pending'));
    expect(error).toSatisfy(isTransient);
    expect(error.message).toContain('Another update to this commit status');
    server.leased.clear();
    await write('pending');
  });

  it.each([
    ['a 502', { status: 502, body: '<html>' }],
    ['a 503', { status: 503 }],
    ['a 405', { status: 405, body: { message: 'Non GET methods are not allowed for moved projects' } }],
    ['a 404', { status: 404, body: { message: '404 Commit Not Found' } }],
    ['a redirect', { status: 302, headers: { location: '/api/v4/projects/1' } }],
    ['a login page', { status: 200, body: '<html>' }],
    ['a login page that says it was created', { status: 201, body: '<html>' }],
    ['JSON of something else', { status: 201, body: [] }],
  ])('for %s is tried again later, by one request only', async (_what, reply) => {
    onPost(reply);
    expect(await failure(write('pending'))).toSatisfy(isTransient);
    expect(posts()).toHaveLength(1);
    expect(jobs()).toHaveLength(0);
  });

  it('since its commit is missing waits for it as long as GitLab may lag, then says to push it', async () => {
    const gone = 'dead'.repeat(10);
    const writing = () => failure(statuses.write(ID, gone, TAG, status('pending')));
    const first = await writing();
    expect(first).toSatisfy(isTransient);
    expect(first.message).toBe(
      `no commit deaddea is in gitlab:ml/iris; push the commit, or a new version of the model`,
    );
    now += API_LAG;
    expect(await writing()).toSatisfy(isTransient);
    now += 1;
    const last = await writing();
    expect(last).toBeInstanceOf(StalledError);
    expect(last.message).toBe(first.message);
    // Each commit is waited for.
    expect(await failure(statuses.write(ID, 'beef'.repeat(10), TAG, status('pending')))).toSatisfy(
      isTransient,
    );
  });

  it('since the project cannot be read either says nothing of its commit', async () => {
    server.fault = (method, path) =>
      method === 'POST' || path.includes('/commits/') || server.asked.length > 2
        ? { status: 404, body: { message: '404 Project Not Found' } }
        : null;
    for (let n = 0; n < 2; n += 1) {
      const error = await failure(write('pending'));
      expect(error).toSatisfy(isTransient);
      expect(error.message).not.toContain('push the commit');
      now += 2 * API_LAG;
    }
  });

  it('although its commit is there is tried again later, in GitLab’s words', async () => {
    onPost({ status: 404, body: { message: '404 References for commit Not Found' } });
    for (let n = 0; n < 2; n += 1) {
      const error = await failure(write('pending'));
      expect(error).toSatisfy(isTransient);
      expect(error.message).toContain('References for commit');
      now += 2 * API_LAG;
    }
  });

  it('and is not held says so without a word of the commit', async () => {
    expect(await failure(statuses.holds(ID, 'dead'.repeat(10), status('pending')))).toSatisfy(isTransient);
  });
});

describe('a status that is held', () => {
  it('is found among more than a page, and by its exact name', async () => {
    server.pageSize = 2;
    for (const name of ['modelhook/production-eu', 'modelhook/staging', 'modelhook/production'])
      await write('success', { context: name, description: name });
    for (let n = 0; n < 5; n += 1) await write(n % 2 === 0 ? 'failed' : 'success');
    expect(await holds('failed')).toBe(true);
    expect(await holds('success')).toBe(false);
    expect(await holds('success', { context: 'modelhook/produ' })).toBe(false);
  });
});
