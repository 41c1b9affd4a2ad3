import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { userInfo } from 'node:os';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { parse } from 'yaml';
import { addRollout, delivered, fakeApp, sampleSha } from '../server/app.fake.ts';
import { type Listening, listen } from '../server/listen.ts';
import { createSqlStore } from '../store/sql.ts';
import type { Store } from '../store/store.ts';
import { rolloutsCommand } from './rollouts.ts';

let store: Store;
let server: Listening;
let url: string;

beforeEach(async () => {
  store = createSqlStore({ file: ':memory:' });
  await store.lifecycle.start();
  server = await listen(fakeApp(store, { apiTokens: ['a-token'] }).app, { host: '127.0.0.1', port: 0 });
  url = `http://127.0.0.1:${server.port}`;
});
afterEach(async () => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  process.exitCode = undefined;
  await server.close(0);
  await store.lifecycle.stop();
});

/** Runs the command as the program would, and gathers what it wrote. */
async function run(...words: string[]) {
  const written = { out: '', err: '' };
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    written.out += text;
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    written.err += text;
    return true;
  });
  process.exitCode = undefined;
  const command = rolloutsCommand();
  for (const each of [command, ...command.commands]) each.exitOverride();
  let usage: string | null = null;
  await command.parseAsync(words, { from: 'user' }).catch((error) => {
    usage = error.code;
  });
  vi.restoreAllMocks();
  return { ...written, code: Number(process.exitCode ?? 0), usage };
}

describe('rollouts list', () => {
  it('writes a tidy table', async () => {
    const { id } = await addRollout(store, { changes: delivered('iris') });
    const { out, err, code } = await run('list', '--server', url);
    const [head, row] = out.split('\n');
    expect(head).toMatch(/^ID +PHASE +REPOSITORY +REVISION +ENVIRONMENT +TARGET +CREATED/);
    expect(row).toMatch(
      new RegExp(`^${id} +delivered +plain:ml/iris +v1\\.0\\.0 +production +prod/vision/iris +\\d{4}`),
    );
    expect([err, code]).toEqual(['', 0]);
  });

  it('filters, and goes on with the cursor', async () => {
    for (const name of ['a', 'b', 'c']) await addRollout(store, { repository: `plain:${name}` });
    const first = await run('list', '--server', url, '--limit', '2', '--phase', 'pending');
    const cursor = /--cursor (\S+)/.exec(first.err)?.[1] ?? '';
    const second = await run('list', '--server', url, '--limit', '2', '--cursor', cursor);
    expect(first.out).toMatch(/plain:c.*plain:b/s);
    expect(second.out).toContain('plain:a');
    expect(
      (await run('list', '--server', url, '--repository', 'plain:b')).out.trim().split('\n'),
    ).toHaveLength(2);
    expect(await run('list', '--server', url, '--environment', 'none')).toMatchObject({ out: '', code: 0 });
  });

  it('writes what the server says as JSON or YAML', async () => {
    const { id } = await addRollout(store);
    const json = await run('list', '--server', url, '--output', 'json');
    const yaml = await run('list', '--server', url, '--output', 'yaml');
    expect(JSON.parse(json.out)).toMatchObject({ items: [{ id }], nextCursor: null });
    expect(parse(yaml.out)).toEqual(JSON.parse(json.out));
  });

  it('reads the server and its token from the environment', async () => {
    const seen: (string | undefined)[] = [];
    const other = createServer(({ headers }, response) => {
      seen.push(headers.authorization);
      response.end('{"items":[],"nextCursor":null}');
    });
    await once(other.listen(0, '127.0.0.1'), 'listening');
    vi.stubEnv('MODELHOOK_SERVER', `http://127.0.0.1:${(other.address() as AddressInfo).port}/`);
    vi.stubEnv('MODELHOOK_API_TOKEN', 'a-token');
    expect(await run('list')).toMatchObject({ code: 0 });
    expect(seen).toEqual(['Bearer a-token']);
    other.close();
    other.closeAllConnections();
  });
});

describe('rollouts show', () => {
  it('writes the facts, the timeline and the manifest', async () => {
    const { id } = await addRollout(store, { changes: delivered('iris') });
    const { out, code } = await run('show', id, '--server', url);
    for (const part of [
      'Committed 1a2b3c4 to fleet',
      'prod/vision/iris',
      'Queued for production',
      '  name: iris',
    ])
      expect(out).toContain(part);
    expect(code).toBe(0);
  });

  it('leaves the terminal alone, whatever a repository wrote', async () => {
    const message = '\u001b]0;owned\u0007\u001b[2Jgone\u202e\r';
    const { id } = await addRollout(store, { changes: [{ message }] });
    const { out } = await run('show', id, '--server', url);
    expect(out).toContain('gone');
    for (const control of ['\u001b', '\u0007', '\r', '\u202e']) expect(out).not.toContain(control);
  });
});

describe('rollouts retry, cancel and rollback', () => {
  const FAILED = { phase: 'failed', stage: null, message: 'It is broken; mend it' } as const;
  const withToken = (...words: string[]) => run(...words, '--server', url, '--token', 'a-token');

  it('a retry prints the new rollout', async () => {
    const { id } = await addRollout(store, { changes: [FAILED] });
    const { out, err, code } = await withToken('retry', id);
    const [newest] = (await store.rollouts.list({ limit: 1 })).items;
    expect(newest?.cause).toEqual({ kind: 'retry', of: id });
    expect([out, err, code]).toEqual([`${newest?.id}  pending  Queued for production\n`, '', 0]);
  });

  it('a cancellation names who asks, by default the user of this machine', async () => {
    const [first, second] = [await addRollout(store), await addRollout(store, { repository: 'plain:b' })];
    expect((await withToken('cancel', first.id, '--by', 'anna')).out).toBe(
      `${first.id}  cancelled  Cancelled by anna\n`,
    );
    expect((await withToken('cancel', second.id)).out).toContain(`Cancelled by ${userInfo().username}`);
  });

  it('a rollback prints the new rollout, as JSON too', async () => {
    await addRollout(store, { changes: delivered('iris') });
    const [plan, ...rest] = delivered('iris');
    const changes = [{ ...plan, manifest: 'kind: InferenceService\n' }, ...rest];
    const { id } = await addRollout(store, { ref: 'refs/tags/v2', sha: sampleSha(2), changes });
    const { out, code } = await withToken('rollback', id, '--output', 'json');
    expect(JSON.parse(out)).toMatchObject({ cause: { kind: 'rollback', of: id }, revision: 'v1.0.0' });
    expect(code).toBe(0);
  });

  it('what cannot be done ends with 1, and a missing token with 2', async () => {
    const { id } = await addRollout(store);
    expect(await withToken('retry', id)).toMatchObject({
      code: 1,
      out: '',
      err: expect.stringContaining('This rollout is under way'),
    });
    expect(await run('cancel', id, '--server', url)).toMatchObject({
      code: 2,
      err: expect.stringContaining('needs an API token'),
    });
  });
});

describe('what goes wrong is one sentence and an exit code', () => {
  it('an id that does not exist', async () => {
    expect(await run('show', 'none', '--server', url)).toMatchObject({
      code: 1,
      out: '',
      err: expect.stringContaining('There is no rollout with this id'),
    });
  });

  it('a value that the server refuses', async () => {
    const answer = await run('list', '--server', url, '--repository', 'iris');
    expect(answer).toMatchObject({
      code: 2,
      err: expect.stringContaining('"repository" takes a repository id'),
    });
  });

  it('a server that is not there', async () => {
    const answer = await run('list', '--server', 'http://127.0.0.1:1');
    expect(answer).toMatchObject({
      code: 1,
      err: expect.stringMatching(/No controller is reached.*--server/),
    });
  });

  it('a server that is no URL', async () => {
    expect(await run('list', '--server', 'prod:8080')).toMatchObject({
      code: 2,
      err: expect.stringContaining('is not a URL such as'),
    });
  });

  it('something else that answers', async () => {
    const other = createServer((_, response) => response.end('<html>'));
    await once(other.listen(0, '127.0.0.1'), 'listening');
    const answer = await run('list', '--server', `http://127.0.0.1:${(other.address() as AddressInfo).port}`);
    expect(answer).toMatchObject({ code: 2, err: expect.stringContaining('does not talk like a modelhook') });
    other.close();
    other.closeAllConnections();
  });

  it.each([
    ['--limit', '0'],
    ['--phase', 'done'],
    ['--output', 'xml'],
  ])('an option %s %s', async (option, value) => {
    expect((await run('list', option, value)).usage).toBe('commander.invalidArgument');
  });
});
