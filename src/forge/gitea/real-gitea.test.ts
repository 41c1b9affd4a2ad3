import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { giteaAccess, RealGitea, type RealRepository } from '../../../test/forges/real-gitea.ts';
import {
  type ReceivedRequest,
  startWebhookServer,
  type WebhookServer,
} from '../../../test/webhook-server.ts';
import type { CommitStatus } from '../../core/commit-status.ts';
import { StalledError } from '../../core/errors.ts';
import { webhookRequest } from '../contract.ts';
import { type Forge, WebhookError, type WebhookRequest } from '../forge.ts';
import { createGiteaForge } from './gitea-forge.ts';

const access = giteaAccess();
const SECRET = 'a shared secret: äöü';
const LIMIT = 1024 * 1024;

/** What the forge itself does, which a stand-in can only repeat. */
describe.skipIf(!access)(`a real Gitea${access ? '' : ' (skipped: MODELHOOK_TEST_GITEA names none)'}`, () => {
  let gitea: RealGitea;
  let model: RealRepository;
  let forge: Forge;
  let repository: string;
  let first: string;
  let readerToken: string;

  const forgeWith = (token: string): Forge =>
    createGiteaForge({
      name: 'gitea',
      url: access?.url ?? '',
      apiUrl: gitea.apiUrl,
      token,
      webhookSecrets: ['another secret', SECRET],
      ca: null,
      now: Date.now,
    });

  beforeAll(async () => {
    if (!access) return;
    gitea = new RealGitea(access);
    model = await gitea.create();
    const [writer, reader] = [`writer-${model.owner}`, `reader-${model.owner}`];
    const writerToken = await gitea.tokenOf(writer, ['write:repository']);
    readerToken = await gitea.tokenOf(reader, ['write:repository']);
    await gitea.api('PUT', `/repos/${model.path}/collaborators/${writer}`, { permission: 'write' });
    await gitea.api('PUT', `/repos/${model.path}/collaborators/${reader}`, { permission: 'read' });
    forge = forgeWith(writerToken);
    repository = `gitea:${model.path}`;
    first = await model.commit('main', {
      'README.md': '# Iris\n',
      'model/weights.bin': Buffer.alloc(9 * LIMIT),
    });
  });
  afterAll(async () => {
    await model.end();
    await gitea.end();
  });

  const status = (state: CommitStatus['state']): CommitStatus => ({
    context: 'modelhook/production',
    state,
    description: 'Queued for production',
    url: 'https://modelhook.example.com/rollouts/1',
  });
  const write = (sha: string, by = forge) =>
    by.statuses.write(repository, sha, 'refs/heads/main', status('success'));

  describe('sends webhooks, which', () => {
    let server: WebhookServer;
    let hook: number;
    beforeAll(async () => {
      server = await startWebhookServer();
      const config = { url: `${server.url}/webhooks/gitea`, content_type: 'json', secret: SECRET };
      const made = await gitea.api('POST', `/repos/${model.path}/hooks`, {
        type: 'gitea',
        active: true,
        events: ['push', 'create', 'delete'],
        config,
      });
      hook = (made as { id: number }).id;
    });
    afterAll(async () => {
      await gitea.api('DELETE', `/repos/${model.path}/hooks/${hook}`);
      await server.close();
    });

    const deliveryOf = ({ headers, body }: ReceivedRequest): WebhookRequest =>
      webhookRequest(headers as Record<string, string>, body);

    /** What modelhook makes of the deliveries for refs: they may come late, and others with them. */
    async function told(refs: readonly string[], cause: () => Promise<unknown>, count = refs.length) {
      const before = server.received.length;
      await cause();
      for (;;) {
        const requests = server.received.slice(before);
        const all = await Promise.all(requests.map((each) => forge.webhooks.receive(deliveryOf(each))));
        const deliveries = all.filter((each) => each.kind === 'refs');
        const about = deliveries.filter(({ moves }) => refs.includes(moves[0]?.ref ?? ''));
        const moves = about.flatMap((each) => each.moves).toSorted((a, b) => (a.ref < b.ref ? -1 : 1));
        if (moves.length >= count) return { moves, ids: about.map(({ id }) => id) };
        await server.until(before + requests.length + 1);
      }
    }

    it('tell of a lightweight tag that was made, moved and deleted', async () => {
      const ref = 'refs/tags/v1';
      const { moves } = await told([ref], () => model.point(ref, first));
      const projectId = expect.stringMatching(/^\d+$/);
      expect(moves).toEqual([{ repository, ref, before: null, after: first, projectId }]);
      const later = model.local.commit({ 'README.md': '# Later\n' }, 'Train', 'later');
      const moved = await told([ref], () => model.point(ref, later));
      expect(moved.moves).toMatchObject([{ ref, after: later }]);
      const deleted = await told([ref], () => model.remove(ref));
      expect(deleted.moves).toMatchObject([{ ref, before: later, after: null }]);
    });

    it('carry the commit of an annotated tag', async () => {
      const { moves } = await told(['refs/tags/v2'], () => model.annotate('refs/tags/v2', first));
      expect(moves).toMatchObject([{ after: first }]);
    });

    it('tell of five tags in one push, each with an id of its own', async () => {
      const refs = [3, 4, 5, 6, 7].map((n) => `refs/tags/v${n}`);
      for (const ref of refs) model.local.point(ref, first);
      const { moves, ids } = await told(refs, () => model.push(...refs));
      expect(moves).toMatchObject(refs.map((ref) => ({ ref, after: first })));
      expect(new Set(ids).size).toBe(5);
    });

    it('tell of a branch that was made, pushed to and deleted', async () => {
      const ref = 'refs/heads/feature/x';
      const made = await told([ref], () => model.point(ref, first));
      expect(made.moves).toMatchObject([{ ref, before: null, after: first }]);
      let second = '';
      const pushed = await told([ref], async () => {
        second = await model.commit('feature/x', { 'README.md': '# Better\n' });
      });
      expect(pushed.moves).toMatchObject([{ ref, before: first, after: second }]);
      const gone = await told([ref], () => model.remove(ref));
      expect(gone.moves).toMatchObject([{ ref, before: null, after: null }]);
    });

    /** The deliveries that come to a path. */
    async function arriving(path: string, cause: () => Promise<unknown>): Promise<ReceivedRequest> {
      await cause();
      for (;;) {
        const found = server.received.find((each) => each.path === path);
        if (found) return found;
        await server.until(server.received.length + 1);
      }
    }
    const testHook = async (path: string, secret: string): Promise<ReceivedRequest> => {
      const config = { url: `${server.url}${path}`, content_type: 'json', secret };
      const hooks = `/repos/${model.path}/hooks`;
      const made = await gitea.api('POST', hooks, { type: 'gitea', active: true, events: ['push'], config });
      const { id } = made as { id: number };
      const received = await arriving(path, () => gitea.api('POST', `${hooks}/${id}/tests`));
      await gitea.api('DELETE', `${hooks}/${id}`);
      return received;
    };

    it('are ignored where they are only a test', async () => {
      const delivery = await forge.webhooks.receive(deliveryOf(await testHook('/test', SECRET)));
      expect(delivery).toMatchObject({ kind: 'ignored', reason: expect.stringContaining('test') });
    });

    it('are refused without a secret', async () => {
      const received = await testHook('/open', '');
      expect(received.headers['x-gitea-signature']).toBe('');
      expect(() => forge.webhooks.receive(deliveryOf(received))).toThrow(WebhookError);
    });
  });

  it('has tags of files, of tags, and under other names, which spoil nothing', async () => {
    const blob = model.local.git(['hash-object', '-w', '--stdin'], 'a file');
    await model.point('refs/tags/file', blob);
    await model.point('refs/tags/folder', model.local.git(['rev-parse', `${first}^{tree}`]));
    const object = await model.annotate('refs/tags/inner', first);
    const tagger = `Ada <ada@example.com> ${Math.floor(Date.now() / 1000)} +0000`;
    const nested = model.local.git(
      ['mktag'],
      `object ${object}\ntype tag\ntag outer\ntagger ${tagger}\n\nOf a tag\n`,
    );
    await model.point('refs/tags/outer', nested);
    await model.point('refs/tags/production', object);
    const later = await model.commit('main', { 'notes.txt': randomUUID() });
    await model.annotate('refs/tags/inner', later);
    const refs = new Map(
      (await forge.repositories.listRefs(repository)).map(({ ref, ...reading }) => [ref, reading]),
    );
    for (const ref of ['refs/tags/file', 'refs/tags/folder']) expect(refs.has(ref)).toBe(false);
    expect(refs.get('refs/tags/outer')).toMatchObject({ sha: first, object: nested });
    expect(refs.get('refs/tags/production')).toMatchObject({ sha: first, object });
    expect(refs.get('refs/tags/inner')).toMatchObject({ sha: later });
    for (const { createdAt } of refs.values()) expect(createdAt).toBeGreaterThan(Date.parse('2026-01-01'));
    await expect(forge.repositories.readRef(repository, 'refs/tags/file', [], LIMIT)).rejects.toBeInstanceOf(
      StalledError,
    );
  });

  it('reads a file at its commit where a branch is called like the commit, and no weights', async () => {
    const later = await model.commit('main', { 'README.md': '# Newer\n' });
    await model.point(`refs/heads/${first}`, later);
    const files = await forge.repositories.readFiles(
      repository,
      first,
      ['README.md', 'model/weights.bin'],
      LIMIT,
    );
    expect(files).toMatchObject([
      { kind: 'file', bytes: Buffer.from('# Iris\n') },
      { kind: 'tooLarge', size: 9 * LIMIT },
    ]);
    await model.remove(`refs/heads/${first}`);
  });

  it('keeps the names of refs and files on the way', async () => {
    const path = 'odd dir/50% #1?&+ü.md';
    const sha = await model.commit('main', { [path]: 'odd' });
    for (const ref of ['refs/tags/odd#50%&+ü', 'refs/heads/a%2Fb']) {
      await model.point(ref, sha);
      const reading = await forge.repositories.readRef(repository, ref, [path], LIMIT);
      expect(reading).toMatchObject({ sha, files: [{ kind: 'file', bytes: Buffer.from('odd') }] });
    }
  });

  it('finds a file among more than one page of them', async () => {
    const many = Object.fromEntries(Array.from({ length: 1100 }, (_, n) => [`A/${n}.txt`, `${n}`]));
    const sha = await model.commit('main', many);
    const files = await forge.repositories.readFiles(
      repository,
      sha,
      ['A/999.txt', 'A/1099.txt', 'A/none'],
      LIMIT,
    );
    expect(files.map(({ kind }) => kind)).toEqual(['file', 'file', 'missing']);
  });

  it('refuses statuses for good on a missing commit, and to who may not write', async () => {
    await expect(write('dead'.repeat(10))).rejects.toThrow(/no commit deaddea is in/);
    await expect(write('dead'.repeat(10))).rejects.toBeInstanceOf(StalledError);
    await expect(write(first, forgeWith(readerToken))).rejects.toThrow(/write:repository/);
  });

  it('says of a wrong token that it is to be checked, and tries again', async () => {
    const writing = write(first, forgeWith('no-token'));
    await expect(writing).rejects.toThrow(/check the token of forge "gitea"/);
    await expect(writing).rejects.not.toBeInstanceOf(StalledError);
  });

  it('says that reading is not possible, and not for good, with a wrong token', async () => {
    const reading = forgeWith('no-token').repositories.readRef(repository, 'refs/heads/main', [], LIMIT);
    await expect(reading).rejects.toThrow(/check the token of forge "gitea"/);
    await expect(reading).rejects.not.toBeInstanceOf(StalledError);
  });

  it('stores a status where the default branch is not there, though it answers 500', async () => {
    const other = await gitea.create();
    const sha = await other.commit('other', { 'README.md': '# Iris\n' });
    await gitea.api('PUT', `/repos/${other.path}/collaborators/writer-${model.owner}`, {
      permission: 'write',
    });
    await forge.statuses.write(`gitea:${other.path}`, sha, 'refs/heads/other', status('success'));
    expect(await forge.statuses.holds(`gitea:${other.path}`, sha, status('success'))).toBe(true);
    await other.end();
  });

  it('without any ref says nothing of the ref that is asked for', async () => {
    const empty = await gitea.create();
    await gitea.api('PUT', `/repos/${empty.path}/collaborators/writer-${model.owner}`, {
      permission: 'write',
    });
    const reading = forge.repositories.readRef(`gitea:${empty.path}`, 'refs/heads/main', [], LIMIT);
    await expect(reading).rejects.toThrow(/no branches and tags at all/);
    expect(await forge.repositories.listRefs(`gitea:${empty.path}`)).toEqual([]);
    await empty.end();
  });

  it('is read and written to under its old path after it was renamed', async () => {
    await write(first);
    await model.rename(`iris-${randomUUID().slice(0, 8)}`);
    const reading = await forge.repositories.readRef(repository, 'refs/heads/main', ['README.md'], LIMIT);
    expect(reading).toMatchObject({ files: [{ kind: 'file' }] });
    await forge.statuses.write(repository, first, 'refs/heads/main', status('failed'));
    expect(await forge.statuses.holds(`gitea:${model.path}`, first, status('failed'))).toBe(true);
  });
});
