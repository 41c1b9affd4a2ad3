import { once } from 'node:events';
import { Agent, get, request } from 'node:http';
import { connect } from 'node:net';
import { Hono } from 'hono';
import { afterEach, expect, it } from 'vitest';
import { StalledError } from '../core/errors.ts';
import { createSqlStore } from '../store/sql.ts';
import { fakeApp } from './app.fake.ts';
import { type Listening, listen } from './listen.ts';

const LOCAL = { host: '127.0.0.1', port: 0 };
const open: Listening[] = [];
const start = async (app: Pick<Hono, 'fetch'>): Promise<Listening> => {
  const listening = await listen(app, LOCAL);
  open.push(listening);
  return listening;
};
afterEach(async () => {
  for (const listening of open.splice(0)) await listening.close(0);
});

/** An app whose one answer waits until it is let go. */
function slowApp() {
  const arrived = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  const app = new Hono().get('/', async (c) => {
    arrived.resolve();
    await release.promise;
    return c.text('done');
  });
  return { app, arrived: arrived.promise, release: () => release.resolve() };
}

it('names the port it was given, and says what to do when it is taken', async () => {
  const { port } = await start(new Hono());
  const second = listen(new Hono(), { host: '127.0.0.1', port });
  await expect(second).rejects.toThrow(StalledError);
  await expect(second).rejects.toThrow(/127\.0\.0\.1:\d+.*EADDRINUSE.*server\.port/);
});

it('finishes a request in flight, and then ends its keep-alive connection', async () => {
  const { app, arrived, release } = slowApp();
  const listening = await start(app);
  const agent = new Agent({ keepAlive: true });
  const response = once(get({ port: listening.port, agent }), 'response');
  await arrived;
  const closed = listening.close(60_000);
  release();
  const [message] = await response;
  const chunks: unknown[] = await message.toArray();
  expect(chunks.join('')).toBe('done');
  await closed;
  agent.destroy();
});

it('ends idle keep-alive connections when it closes', async () => {
  const listening = await start(new Hono().get('/', (c) => c.text('hello')));
  const agent = new Agent({ keepAlive: true });
  const [message] = await once(get({ port: listening.port, agent }), 'response');
  await message.toArray();
  await listening.close(60_000);
  agent.destroy();
});

it('cuts what does not finish in time', async () => {
  const { app, arrived, release } = slowApp();
  const listening = await start(app);
  const failed = once(get({ port: listening.port }), 'response').catch((error) => error.code);
  await arrived;
  await listening.close(0);
  expect(await failed).toBe('ECONNRESET');
  release();
});

it('shrugs off a client that goes away half way through its body', async () => {
  const store = createSqlStore({ file: ':memory:' });
  await store.lifecycle.start();
  const { app, log } = fakeApp(store);
  const answered = Promise.withResolvers<Response>();
  const { port } = await start({
    fetch: async (...input) => {
      const response = await app.fetch(...input);
      answered.resolve(response);
      return response;
    },
  });
  const client = request({
    port,
    path: '/webhooks/plain',
    method: 'POST',
    headers: { 'content-type': 'application/json', 'content-length': 1000 },
  });
  client.on('error', () => {});
  client.write('{"half":', () => client.destroy());
  expect((await answered.promise).status).toBe(400);
  expect(log.lines.filter(({ level }) => level === 'error')).toEqual([]);
  expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200);
  await store.lifecycle.stop();
});

it('answers 26 MiB with 413 while they are still being sent', async () => {
  const store = createSqlStore({ file: ':memory:' });
  await store.lifecycle.start();
  const { port } = await start(fakeApp(store).app);
  const response = await fetch(`http://127.0.0.1:${port}/webhooks/plain`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: new Uint8Array(26 * 1024 * 1024),
  });
  expect(response.status).toBe(413);
  expect(response.headers.get('content-type')).toBe('application/problem+json');
  await store.lifecycle.stop();
});

it('answers a request without a usable host with 400', async () => {
  const { port } = await start(new Hono());
  const socket = connect(port, '127.0.0.1');
  socket.end('GET / HTTP/1.1\r\nHost: a b\r\n\r\n');
  const chunks: unknown[] = await socket.toArray();
  expect(chunks.join('')).toMatch(/^HTTP\/1\.1 400 .*content-type: application\/problem\+json/is);
});
