import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadGood, policyText } from '../core/policy.fixture.ts';
import { createSqlStore } from '../store/sql.ts';
import type { Store } from '../store/store.ts';
import { addRollout, fakeApp, sampleSha } from './app.fake.ts';

const REF = { repository: 'plain:ml/iris', ref: 'refs/tags/v1.0.0' };
let store: Store;

beforeEach(async () => {
  store = createSqlStore({ file: ':memory:' });
  await store.lifecycle.start();
});
afterEach(() => store.lifecycle.stop());

/** An event that nothing matched when it came. @returns its id */
async function arrived(): Promise<string> {
  const move = { ...REF, projectId: null, before: null, after: sampleSha(1) };
  const recorded = await store.events.record(move, 'webhook', null);
  if (recorded.outcome !== 'new') throw new Error(`it made no event: ${recorded.outcome}`);
  await store.events.matched([{ event: recorded.event, policyRevision: 'first', drafts: [] }]);
  return recorded.event.id;
}

async function post(path: string, { token = 'a-token', body = '' }: { token?: string; body?: string } = {}) {
  const { app, policies } = fakeApp(store, { apiTokens: ['a-token'] });
  policies.set = loadGood(policyText());
  const response = await app.request(`/api/v1/events/${path}`, {
    method: 'POST',
    ...(body !== '' && { body }),
    headers: { authorization: `Bearer ${token}` },
  });
  return { status: response.status, headers: response.headers, body: await response.json() };
}

describe.each([
  ['an event', (id: string) => post(`${id}/replay`)],
  ['a ref', () => post('replay', { body: JSON.stringify(REF) })],
])('a replay of %s', (_, replay) => {
  it('answers with the rollouts it has begun', async () => {
    const id = await arrived();
    const { status, headers, body } = await replay(id);
    expect([status, headers.get('location')]).toEqual([202, `/api/v1/events/${id}`]);
    expect(body).toMatchObject({
      items: [{ eventId: id, policy: 'production', phase: 'pending', transitions: [{}] }],
      nextCursor: null,
    });
  });

  it('that cannot be done is a conflict that says what can', async () => {
    const id = await arrived();
    await replay(id);
    expect(await replay(id)).toMatchObject({
      status: 409,
      body: {
        detail: expect.stringMatching(/^Each policy that matches .* has a rollout of it; retry .*\.$/),
      },
    });
  });
});

it.each(['replay', 'some-event/replay'])('%s asks for the token before anything else', async (path) => {
  const answer = await post(path, { token: 'wrong', body: 'x'.repeat(5000) });
  expect(answer.status).toBe(401);
  expect(answer.headers.get('content-type')).toContain('application/problem+json');
  expect(await post(path, { body: 'x'.repeat(5000) })).toMatchObject({ status: 413 });
});

it('what is not known is not found, with a hint where refs come from', async () => {
  expect(await post('none/replay')).toMatchObject({
    status: 404,
    body: { detail: expect.stringContaining('There is no event with this id.') },
  });
  expect(await post('replay', { body: JSON.stringify(REF) })).toMatchObject({
    status: 404,
    body: { detail: expect.stringContaining('Nothing is known of refs/tags/v1.0.0 in plain:ml/iris.') },
  });
});

it.each([
  '',
  '{',
  '[]',
  '{"repository":"iris","ref":"refs/tags/v1"}',
  '{"repository":"plain:ml/iris","ref":"v1"}',
  '{"repository":"plain:ml/iris"}',
  '{"repository":"plain:ml/iris","ref":"refs/tags/v1","sha":"x"}',
])('the body %j names no ref', async (body) => {
  expect(await post('replay', { body })).toMatchObject({
    status: 400,
    body: { detail: expect.stringContaining('The body is JSON such as {"repository":') },
  });
});

it('only replays are posted', async () => {
  const { id } = await addRollout(store);
  const { app } = fakeApp(store);
  const response = await app.request(`/api/v1/events/${id}/replay`);
  expect([response.status, response.headers.get('allow')]).toEqual([405, 'POST']);
});
