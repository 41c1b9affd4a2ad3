import { afterEach, beforeEach, expect, it } from 'vitest';
import { createSqlStore } from '../store/sql.ts';
import { type Store, StoreUnavailableError } from '../store/store.ts';
import { fakeApp, POLICY_REVISION, sampleSha } from './app.fake.ts';

let store: Store;

beforeEach(async () => {
  store = createSqlStore({ file: ':memory:' });
  await store.lifecycle.start();
});
afterEach(() => store.lifecycle.stop());

const inForce = { revision: POLICY_REVISION, policies: [], gpuProfiles: [], runtimes: [] };

it('is alive as long as it answers', async () => {
  const response = await fakeApp(store).app.request('/healthz');
  expect([response.status, await response.json()]).toEqual([200, { status: 'alive' }]);
});

it('is ready once policies were loaded and the store can be written', async () => {
  const { app, policies } = fakeApp(store);
  policies.set = inForce;
  const response = await app.request('/readyz');
  expect(response.status).toBe(200);
  expect(await response.json()).toEqual({ ready: true, notReady: [], policies: policies.state });
});

it('is ready with a bad head, and shows both what is in force and what is wrong', async () => {
  const { app, policies } = fakeApp(store);
  policies.set = inForce;
  const faults = [{ file: 'a.yaml', line: 1, column: 2, message: 'unknown key' }];
  policies.state = { ...policies.state, head: sampleSha(2), faults };
  const response = await app.request('/readyz');
  expect(response.status).toBe(200);
  expect(await response.json()).toMatchObject({
    policies: { inForce: POLICY_REVISION, head: sampleSha(2), faults },
  });
});

it.each([
  ['its head has not been read yet', {}],
  ['its head has faults', { faults: [{ file: 'a.yaml', line: 1, column: 2, message: 'unknown key' }] }],
  ['cannot connect to git.example.com', { unreachable: 'cannot connect to git.example.com' }],
])('is not ready without policies: %s', async (reason, state) => {
  const { app, policies } = fakeApp(store);
  policies.state = { ...policies.state, inForce: null, head: null, ...state };
  const response = await app.request('/readyz');
  expect(response.status).toBe(503);
  expect(await response.json()).toMatchObject({ ready: false, notReady: [expect.stringContaining(reason)] });
});

it('is not ready while the store cannot be written, and says why', async () => {
  const check = () => Promise.reject(new StoreUnavailableError('the disk is full'));
  const { app, policies } = fakeApp({ ...store, lifecycle: { ...store.lifecycle, check } });
  policies.set = inForce;
  const response = await app.request('/readyz');
  expect(response.status).toBe(503);
  expect(await response.json()).toMatchObject({ notReady: [expect.stringContaining('the disk is full')] });
});
