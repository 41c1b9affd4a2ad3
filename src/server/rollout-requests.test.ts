import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PullRequest, PullRequests } from '../forge/forge.ts';
import { createCancel } from '../pipeline/cancel.ts';
import { createSqlStore } from '../store/sql.ts';
import type { Store } from '../store/store.ts';
import { addRollout, delivered, fakeApp, fakeLog, sampleSha } from './app.fake.ts';

const TOKENS = ['first-token', 'second-token'];
const FAILED = { phase: 'failed', stage: null, message: 'It is broken; mend it' } as const;
let store: Store;

beforeEach(async () => {
  store = createSqlStore({ file: ':memory:' });
  await store.lifecycle.start();
});
afterEach(() => store.lifecycle.stop());

interface Asked {
  tokens?: string[];
  token?: string | null;
  body?: string;
  pullRequests?: PullRequests;
}

async function post(
  path: string,
  { tokens = TOKENS, token = 'second-token', body, pullRequests }: Asked = {},
) {
  const log = fakeLog();
  const pullRequestsTo = () => (pullRequests ? { repository: 'plain:fleet', pullRequests } : null);
  const { app } = fakeApp(store, {
    apiTokens: tokens,
    cancel: createCancel({ store, pullRequestsTo, log }),
  });
  const response = await app.request(`/api/v1/rollouts/${path}`, {
    method: 'POST',
    ...(body !== undefined && { body }),
    headers: token === null ? {} : { authorization: `Bearer ${token}` },
  });
  return {
    status: response.status,
    headers: response.headers,
    body: (await response.json()) as { id: string; detail: string },
    log,
  };
}
const stateOf = async (id: string) => (await store.rollouts.get(id))?.message;

describe.each(['retry', 'cancel', 'rollback'])('%s', (request) => {
  it('is forbidden to everybody where no token is configured', async () => {
    const { id } = await addRollout(store);
    const answer = await post(`${id}/${request}`, { tokens: [] });
    expect(answer).toMatchObject({
      status: 403,
      body: { detail: expect.stringMatching(/Set server\.apiTokens in modelhook\.yaml\.$/) },
    });
    expect(answer.headers.get('content-type')).toContain('application/problem+json');
  });

  it.each([null, '', 'first', 'first-token2', 'wrong'])(
    'takes no request with the token %j',
    async (token) => {
      const { id } = await addRollout(store);
      const answer = await post(`${id}/${request}`, { token });
      expect(answer.status).toBe(401);
      expect(answer.headers.get('www-authenticate')).toBe('Bearer');
      expect(answer.headers.get('content-type')).toContain('application/problem+json');
      expect(await stateOf(id)).toBe('Queued for production');
    },
  );

  it('asks for the token before it says whether there is such a rollout', async () => {
    expect(await post(`none/${request}`, { token: 'wrong' })).toMatchObject({ status: 401 });
    expect(await post(`none/${request}`)).toMatchObject({
      status: 404,
      body: { detail: expect.stringContaining('There is no rollout with this id.') },
    });
  });

  it('refuses a body that nobody needs', async () => {
    const { id } = await addRollout(store);
    expect(await post(`${id}/${request}`, { body: 'x'.repeat(5000) })).toMatchObject({ status: 413 });
  });
});

it.each(TOKENS)('any of the tokens will do: %s', async (token) => {
  const { id } = await addRollout(store);
  expect(await post(`${id}/cancel`, { token })).toMatchObject({ status: 200 });
});

it('a retry answers with the new rollout and where it is', async () => {
  const { id } = await addRollout(store, { changes: [FAILED] });
  const { status, headers, body } = await post(`${id}/retry`);
  expect([status, headers.get('location')]).toEqual([201, `/api/v1/rollouts/${body.id}`]);
  expect(body).toMatchObject({ cause: { kind: 'retry', of: id }, phase: 'pending', transitions: [{}] });
});

it('what cannot be done is a conflict that says what can', async () => {
  const { id } = await addRollout(store);
  expect(await post(`${id}/retry`)).toMatchObject({
    status: 409,
    body: {
      detail: 'This rollout is under way: Queued for production; wait until it ends, or cancel it first.',
    },
  });
});

it('a rollback answers with the new rollout', async () => {
  await addRollout(store, { changes: delivered('iris') });
  const [plan, ...rest] = delivered('iris');
  const changes = [{ ...plan, manifest: 'kind: InferenceService\n' }, ...rest];
  const { id } = await addRollout(store, { ref: 'refs/tags/v2', sha: sampleSha(2), changes });
  expect(await post(`${id}/rollback`)).toMatchObject({
    status: 201,
    body: { cause: { kind: 'rollback', of: id }, revision: 'v1.0.0', sha: sampleSha(1) },
  });
});

describe('a cancellation', () => {
  it('names who asked', async () => {
    const { id } = await addRollout(store);
    const answer = await post(`${id}/cancel`, { body: '{"by":" Anna Ørsted "}' });
    expect(answer).toMatchObject({
      status: 200,
      body: { id, phase: 'cancelled', message: 'Cancelled by Anna Ørsted' },
    });
  });

  it('by nobody in particular says how', async () => {
    const { id } = await addRollout(store);
    expect(await post(`${id}/cancel`, { body: '{}' })).toMatchObject({
      body: { message: 'Cancelled by an API request' },
    });
  });

  it.each(['{', '[]', '{"by":""}', '{"by":1}', '{"by":"a\\nb"}', `{"by":"${'x'.repeat(101)}"}`])(
    'with the body %s is refused',
    async (body) => {
      const { id } = await addRollout(store);
      expect(await post(`${id}/cancel`, { body })).toMatchObject({ status: 400 });
      expect(await stateOf(id)).toBe('Queued for production');
    },
  );

  /** The one request there is, with what was done to it. */
  function onePullRequest(found: Partial<PullRequest>, failure?: Error) {
    const done: string[] = [];
    const request = { number: 12, state: 'open', text: '', ...found } as PullRequest;
    const beyond = () => Promise.reject(new Error('not asked for'));
    const pullRequests: PullRequests = {
      listOpen: beyond,
      open: beyond,
      get: async () => request,
      comment: async (_, number) => void done.push(`comment ${number}`),
      async edit(_, number, { state }) {
        if (failure) throw failure;
        done.push(`${state} ${number}`);
      },
    };
    return { done, pullRequests };
  }
  const waiting = async () => {
    const pullRequest = { number: 12, label: '#12', url: 'https://example.com/12' };
    const [plan = {}] = delivered('iris');
    return (await addRollout(store, { changes: [plan, { message: 'Waiting for #12', pullRequest }] })).id;
  };

  it('closes the pull request that the rollout waits for, with a comment', async () => {
    const id = await waiting();
    const { done, pullRequests } = onePullRequest({ text: `of ${id}` });
    expect(await post(`${id}/cancel`, { pullRequests })).toMatchObject({ status: 200 });
    expect(done).toEqual(['comment 12', 'closed 12']);
  });

  it.each([
    ['was merged meanwhile', { state: 'merged' as const }],
    ['is about another rollout by now', { text: 'of another' }],
  ])('leaves alone a pull request that %s', async (_, found) => {
    const id = await waiting();
    const { done, pullRequests } = onePullRequest({ text: `of ${id}`, ...found });
    expect(await post(`${id}/cancel`, { pullRequests })).toMatchObject({ status: 200 });
    expect(done).toEqual([]);
  });

  it('says so where the pull request stays open, and the rollout has ended all the same', async () => {
    const id = await waiting();
    const { pullRequests } = onePullRequest({ text: `of ${id}` }, new Error('the forge answered 500'));
    expect(await post(`${id}/cancel`, { pullRequests })).toMatchObject({
      status: 502,
      body: {
        detail:
          'The rollout is cancelled, but #12 could not be closed: the forge answered 500. Close it by hand, or somebody may still merge it.',
      },
    });
    expect(await store.rollouts.get(id)).toMatchObject({ phase: 'cancelled' });
  });
});
