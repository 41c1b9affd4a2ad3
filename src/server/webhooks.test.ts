import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createSqlStore } from '../store/sql.ts';
import { type Store, StoreUnavailableError } from '../store/store.ts';
import { fakeApp, sampleSha } from './app.fake.ts';

const MIB = 1024 * 1024;
let store: Store;

beforeEach(async () => {
  store = createSqlStore({ file: ':memory:' });
  await store.lifecycle.start();
});
afterEach(() => store.lifecycle.stop());

const move = {
  repository: 'plain:ml/iris',
  projectId: null,
  ref: 'refs/tags/v1',
  before: null,
  after: sampleSha(1),
};
const headers = { 'content-type': 'application/json', 'x-signature': 'good' };
const post = (body: string, changes: Record<string, string> = {}) => ({
  method: 'POST',
  body,
  headers: { ...headers, ...changes },
});
/** A body without a length, made chunk by chunk as it is read. */
function stream(totalMib: number) {
  const sent = { mib: 0 };
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (sent.mib === totalMib) return controller.close();
      sent.mib += 1;
      controller.enqueue(new Uint8Array(MIB).fill(32));
    },
  });
  return { sent, init: { method: 'POST', body, headers, duplex: 'half' } as RequestInit };
}

describe('a webhook', () => {
  it('is stored, and answered with the event and where to read it', async () => {
    const { app } = fakeApp(store);
    const response = await app.request('/webhooks/plain', post(JSON.stringify(move)));
    expect(response.status).toBe(202);
    const { eventId, url } = (await response.json()) as { eventId: string; url: string };
    expect(url).toBe(`https://modelhook.example.com/api/v1/events/${eventId}`);
    const event = await app.request(new URL(url).pathname);
    expect(await event.json()).toMatchObject({ id: eventId, repository: 'plain:ml/iris', sha: sampleSha(1) });
  });

  it('that tells nothing new is answered with the event it repeats', async () => {
    const { app } = fakeApp(store);
    const tell = () => app.request('/webhooks/plain', post(JSON.stringify(move)));
    const first = await tell();
    const second = await tell();
    expect(second.status).toBe(202);
    expect(await second.json()).toEqual(await first.json());
  });

  it('that nobody asked about is answered with the reason', async () => {
    const response = await fakeApp(store).app.request('/webhooks/plain', post('"ping"'));
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ ignored: 'a ping' });
  });

  it.each(['application/json; charset=utf-8', 'Application/JSON', 'application/cloudevents+json'])(
    'may call its content %s',
    async (type) => {
      const response = await fakeApp(store).app.request(
        '/webhooks/plain',
        post('"ping"', { 'content-type': type }),
      );
      expect(response.status).toBe(200);
    },
  );
});

describe('a webhook is refused with a problem that says what to do', () => {
  it.each([
    [
      'an unknown forge, whatever else is wrong',
      '/webhooks/nope',
      post('x', { 'content-type': 'text/plain' }),
      404,
      /modelhook\.yaml/,
    ],
    [
      'a form',
      '/webhooks/plain',
      post('payload={}', { 'content-type': 'application/x-www-form-urlencoded' }),
      415,
      /application\/json/,
    ],
    [
      'a type that only looks like JSON',
      '/webhooks/plain',
      post('{}', { 'content-type': 'application/json-seq' }),
      415,
      /Content-Type/,
    ],
    [
      'a length over 25 MiB',
      '/webhooks/plain',
      post('{}', { 'content-length': String(25 * MIB + 1) }),
      413,
      /25 MiB/,
    ],
    ['a wrong signature', '/webhooks/plain', post('{', { 'x-signature': 'bad' }), 401, /X-Signature/],
    ['an unreadable body', '/webhooks/plain', post('{'), 400, /body cannot be read/],
    ['no body', '/webhooks/plain', post(''), 400, /body cannot be read/],
  ])('%s', async (_, path, init, status, detail) => {
    const { app, log } = fakeApp(store);
    const response = await app.request(path, init);
    expect(response.status).toBe(status);
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    expect(await response.json()).toMatchObject({
      type: 'about:blank',
      status,
      detail: expect.stringMatching(detail),
    });
    expect((await store.events.list({ limit: 1 })).items).toEqual([]);
    expect(log.lines.filter(({ level }) => level === 'error')).toEqual([]);
  });

  it('a body without a length is read up to 25 MiB and not much further', async () => {
    const { sent, init } = stream(100);
    const response = await fakeApp(store).app.request('/webhooks/plain', init);
    expect(response.status).toBe(413);
    expect(sent.mib).toBeLessThan(30);
  });

  it('a body of exactly 25 MiB is not too long', async () => {
    const response = await fakeApp(store).app.request('/webhooks/plain', stream(25).init);
    expect(response.status).toBe(400);
  });

  it('any other method', async () => {
    const response = await fakeApp(store).app.request('/webhooks/plain');
    expect(response.status).toBe(405);
    expect(response.headers.get('allow')).toBe('POST');
    expect(response.headers.get('content-type')).toBe('application/problem+json');
  });

  it('a store that cannot write: try again later, without its internals', async () => {
    const receive = () => Promise.reject(new StoreUnavailableError('the disk of /srv/secret is full'));
    const response = await fakeApp(store, { receive }).app.request('/webhooks/plain', post('{}'));
    expect(response.status).toBe(503);
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await response.text()).not.toContain('/srv/secret');
  });

  it('whatever bytes come, none becomes a 500', async () => {
    const { app } = fakeApp(store);
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 200 }),
        fc.constantFrom('good', 'bad', ''),
        async (body, signature) => {
          const init = { method: 'POST', body, headers: { ...headers, 'x-signature': signature } };
          const { status } = await app.request('/webhooks/plain', init);
          expect([200, 202, 400, 401]).toContain(status);
        },
      ),
    );
  });
});
