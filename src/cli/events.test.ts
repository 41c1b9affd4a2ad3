import { afterEach, beforeEach, expect, it } from 'vitest';
import { loadGood, policyText } from '../core/policy.fixture.ts';
import { addRollout, delivered, fakeApp, sampleSha } from '../server/app.fake.ts';
import { type Listening, listen } from '../server/listen.ts';
import { createSqlStore } from '../store/sql.ts';
import type { Store } from '../store/store.ts';
import { run } from './program.fixture.ts';

let store: Store;
let server: Listening;
let url: string;

beforeEach(async () => {
  store = createSqlStore({ file: ':memory:' });
  await store.lifecycle.start();
  const { app, policies } = fakeApp(store, { apiTokens: ['a-token'] });
  policies.set = loadGood(policyText());
  server = await listen(app, { host: '127.0.0.1', port: 0 });
  url = `http://127.0.0.1:${server.port}`;
});
afterEach(async () => {
  await server.close(0);
  await store.lifecycle.stop();
});

/** An event of a tag. @param isMatched whether policies have been compared with it: none matched. @returns its id */
async function arrived(tag: string, isMatched = true): Promise<string> {
  const repository = 'plain:ml/iris';
  const move = { repository, projectId: null, ref: `refs/tags/${tag}`, before: null, after: sampleSha(1) };
  const recorded = await store.events.record(move, 'webhook', null);
  if (recorded.outcome !== 'new') throw new Error(`it made no event: ${recorded.outcome}`);
  const { event } = recorded;
  if (isMatched) await store.events.matched([{ event, policyRevision: 'first', drafts: [] }]);
  return event.id;
}
const events = (...words: string[]) => run('events', ...words, '--server', url);
const replay = (...words: string[]) => events('replay', ...words, '--token', 'a-token');

it('a list says of each event what came of it', async () => {
  await addRollout(store, { repository: 'plain:ml/rose', changes: delivered('rose') });
  const id = await arrived('v1.0.0');
  await arrived('v1.1.0', false);
  const { out, err, code } = await events('list');
  const [head, ...rows] = out.trimEnd().split('\n');
  expect(head).toMatch(/^ID +REPOSITORY +REF +KIND +COMMIT +RECEIVED \(UTC\) +ROLLOUTS$/);
  expect(rows).toEqual([
    expect.stringMatching(/ refs\/tags\/v1\.1\.0 +created +aaaaaaa .* not matched yet$/),
    expect.stringMatching(new RegExp(`^${id} +plain:ml/iris +refs/tags/v1\\.0\\.0 .* none$`)),
    expect.stringMatching(/plain:ml\/rose .* production-policy delivered$/),
  ]);
  expect([err, code]).toEqual(['', 0]);
});

it('a list filters, and is passed on to programs as it is', async () => {
  await addRollout(store, { repository: 'plain:ml/rose' });
  const id = await arrived('v1.0.0');
  const { out } = await events('list', '--repository', 'plain:ml/iris', '--output', 'json');
  expect(JSON.parse(out)).toMatchObject({
    items: [{ id, source: 'webhook', rollouts: [] }],
    nextCursor: null,
  });
  expect((await events('list', '--phase', 'failed')).err).toBe('No events.\n');
});

it('a replay prints what it has begun, by event or by ref', async () => {
  const id = await arrived('v1.0.0');
  expect(await replay(id)).toEqual({
    out: expect.stringMatching(/^[0-9a-f-]{36} {2}pending {2}Queued for production\n$/),
    err: '',
    code: 0,
  });
  const other = await arrived('v1.1.0');
  const { out } = await replay('plain:ml/iris', 'refs/tags/v1.1.0', '--output', 'json');
  expect(JSON.parse(out)).toMatchObject({ items: [{ eventId: other, policy: 'production' }] });
});

it('what cannot be replayed ends with 1, a missing token or ref with 2', async () => {
  const id = await arrived('x1');
  expect(await replay(id)).toMatchObject({
    code: 1,
    out: '',
    err: expect.stringContaining('No policy in force matches refs/tags/x1'),
  });
  expect(await events('replay', id)).toMatchObject({
    code: 2,
    err: expect.stringContaining('This needs an API token'),
  });
  expect(await replay('plain:ml/iris')).toMatchObject({
    code: 2,
    err: expect.stringContaining('Add the full name of the ref'),
  });
});
