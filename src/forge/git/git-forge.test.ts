import { randomUUID } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GitRepository } from '../../../test/git-repository.ts';
import type { CommitStatus } from '../../core/commit-status.ts';
import { StalledError } from '../../core/errors.ts';
import { describeForge, type ForgeHarness, type PointNowhere, webhookRequest } from '../contract.ts';
import { type Forge, type WebhookDelivery, WebhookError } from '../forge.ts';
import { createGitForge } from './git-forge.ts';
import { createGitWebhooks, DELIVERY_HEADER, SIGNATURE_HEADER, sign } from './webhooks.ts';

const SECRETS = ['the first secret', 'ein zweites Geheimnis: äöü'];
const ZERO = '0'.repeat(40);
const [A, B] = ['a'.repeat(40), 'b'.repeat(40)] as const;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'modelhook-forge-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const forgeAt = (url: string, cache: string): Forge =>
  createGitForge({
    name: 'plain',
    access: { url, user: 'modelhook', token: null, ssh: null, ca: null },
    webhookSecrets: SECRETS,
    cache,
    now: Date.now,
  });

interface Payload {
  repository: string;
  before: string;
  after: string;
  ref: string;
}
const payload = (changes: Partial<Payload> = {}): Payload => ({
  repository: 'ml/iris.git',
  before: ZERO,
  after: A,
  ref: 'refs/tags/v1.0.0',
  ...changes,
});

const signed = (
  body: string | Uint8Array,
  secret: string | null = SECRETS[0] as string,
  id: string = randomUUID(),
) =>
  webhookRequest(
    { [DELIVERY_HEADER]: id, ...(secret !== null && { [SIGNATURE_HEADER]: sign(secret, body) }) },
    body,
  );

/** A server whose folder is read in place, or through its address. */
const makeHarness = (urlOf: (base: string) => string) => async (): Promise<ForgeHarness> => {
  const root = mkdtempSync(join(folder, 'server-'));
  const base = join(root, 'git');
  const model = GitRepository.create(join(base, 'ml/iris.git'));
  const url = urlOf(base);
  return {
    forge: forgeAt(url, join(root, 'cache')),
    other: forgeAt(url, join(root, 'other-cache')),
    repository: 'plain:ml/iris',
    absent: 'plain:ml/none',
    secrets: SECRETS,
    commit: async (branch, files) => model.commit(files, 'Train', branch),
    point: async (ref, sha) => model.point(ref, sha),
    annotate: async (ref, sha) => model.annotate(ref, sha),
    remove: async (ref) => model.remove(ref),
    delivery: ({ ref, before, after }, secret) =>
      signed(JSON.stringify(payload({ ref, before: before ?? ZERO, after: after ?? ZERO })), secret),
    pullRequestDelivery: null,
    rename: null,
    testDelivery: (secret) => signed(JSON.stringify(payload({ before: A, after: A })), secret),
    signed: (body, secret) => signed(body, secret),
    end: async () => rmSync(root, { recursive: true, force: true }),
  };
};

const inPlace = (base: string) => base;
const byAddress = (base: string) => pathToFileURL(base).href;

const breakRef: PointNowhere = async (harness, ref) => {
  await harness.point(ref, (await harness.forge.repositories.listRefs(harness.repository))[0]?.sha ?? '');
  const [server] = readdirSync(folder).filter((name) => name.startsWith('server-'));
  const model = GitRepository.open(join(folder, server ?? '', 'git/ml/iris.git'));
  model.pointNowhere(ref);
};

describeForge('plain Git in a folder of this machine', makeHarness(inPlace), breakRef);
// A server does not advertise a ref whose object it lost: from outside it is not there.
describeForge('plain Git on another server', makeHarness(byAddress), null);

describe('a webhook of plain Git', () => {
  const { receive } = createGitWebhooks('plain', SECRETS);
  const take = (changes: Partial<Payload>) => receive(signed(JSON.stringify(payload(changes))));
  const refusal = (work: () => WebhookDelivery): WebhookError => {
    try {
      work();
    } catch (error) {
      if (error instanceof WebhookError) return error;
      throw error;
    }
    throw new Error('the delivery was taken');
  };

  it('is what specification section 7 writes down, byte for byte', () => {
    const body =
      '{"repository":"ml/iris.git","before":"0000000000000000000000000000000000000000","after":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","ref":"refs/tags/v1.0.0"}';
    const headers = {
      // printf '%s' "$body" | openssl dgst -sha256 -hmac 'the first secret'
      'x-modelhook-signature-256': 'sha256=8d376cdc03d3ec8cd8b7e796df75b9e01ecd3546557c300a1ab1ee54e0cfb306',
      'x-modelhook-delivery': 'a-delivery',
    };
    expect(receive(webhookRequest(headers, body))).toEqual({
      kind: 'refs',
      id: 'a-delivery',
      moves: [
        { repository: 'plain:ml/iris', projectId: null, ref: 'refs/tags/v1.0.0', before: null, after: A },
      ],
    });
  });

  it('names the header that is missing, and never the signature that was expected', () => {
    const body = JSON.stringify(payload());
    const missing = refusal(() => receive(signed(body, null)));
    expect(missing).toMatchObject({ status: 401 });
    expect(missing.message).toContain('X-Modelhook-Signature-256 is missing');
    const wrong = refusal(() => receive(signed(body, 'wrong')));
    expect(wrong.message).toContain('X-Modelhook-Signature-256');
    for (const secret of SECRETS) expect(wrong.message).not.toContain(sign(secret, body).slice(7));
  });

  it.each(['sha256=', 'sha256', 'sha1=abc', `sha256=${'0'.repeat(64)}`, `sha256=${'ä'.repeat(32)}`, '='])(
    'with the signature %j is refused',
    (signature) => {
      const headers = { [SIGNATURE_HEADER]: signature, [DELIVERY_HEADER]: 'id' };
      expect(refusal(() => receive(webhookRequest(headers, JSON.stringify(payload()))))).toMatchObject({
        status: 401,
      });
    },
  );

  it('is refused by a forge that has no secret, which says where to set one', () => {
    const open = createGitWebhooks('plain', []);
    const refused = refusal(() => open.receive(signed(JSON.stringify(payload()), '')));
    expect(refused).toMatchObject({ status: 401, message: expect.stringContaining('webhookSecrets') });
  });

  it.each([
    ['ml/iris.git', 'plain:ml/iris'],
    ['ml/iris', 'plain:ml/iris'],
    ['iris', 'plain:iris'],
    ['a/b/c/d.git', 'plain:a/b/c/d'],
    ['ml/iris.git.git', 'plain:ml/iris'],
    ['ml/模型', 'plain:ml/模型'],
  ])('for the repository %j is for %j', (repository, id) => {
    expect(take({ repository })).toMatchObject({ moves: [{ repository: id }] });
  });

  it.each([
    '',
    '.git',
    '../iris',
    'ml/../iris',
    'ml//iris',
    '/ml/iris',
    'ml/iris/',
    '-iris',
    'ml/-iris',
    '--upload-pack=x',
    'ml/\u0000',
    'ml/\niris',
    'ml/./iris',
    'ml/\u007f',
    'x'.repeat(2000),
  ])('for the repository %j is refused', (repository) => {
    expect(refusal(() => take({ repository }))).toMatchObject({
      status: 400,
      message: expect.stringContaining('repository'),
    });
  });

  it.each([
    'refs/tags/..',
    'refs/tags/v1..v2',
    'refs/tags//v1',
    'refs/tags/',
    '-refs/tags/v1',
    'refs/tags/-v1',
    'refs/tags/v1\n',
    'refs/tags/v 1',
    'refs/tags/v1^{tree}',
    'refs/tags/v1:README.md',
    'refs/tags/v1~1',
    'refs/heads/a.lock',
    'refs/tags/*',
    'refs/tags/@{u}',
    'refs/heads/.hidden',
    'refs/tags/a\\b',
    '',
  ])('for the ref %j is refused', (ref) => {
    expect(refusal(() => take({ ref }))).toMatchObject({ status: 400 });
  });

  it.each([
    'refs/tags/v1.0.0',
    'refs/heads/main',
    'refs/tags/"quoted"',
    'refs/tags/früh',
    'refs/tags/模型',
    'refs/heads/feature/$(x)',
  ])('for the ref %j is taken', (ref) => {
    expect(take({ ref })).toMatchObject({ kind: 'refs', moves: [{ ref }] });
  });

  it.each(['refs/notes/modelhook', 'refs/pull/1/head', 'refs/stash', 'HEAD', 'main', 'refs/tagsv1'])(
    'for the ref %j is ignored, with the reason',
    (ref) => {
      expect(take({ ref })).toEqual({ kind: 'ignored', reason: `${ref} is neither a branch nor a tag` });
    },
  );

  it('may carry the names of a SHA-256 repository', () => {
    const after = 'ab'.repeat(32);
    expect(take({ before: '0'.repeat(64), after })).toMatchObject({ moves: [{ before: null, after }] });
  });

  it.each(['', 'main', A.slice(1), `${A}a`, A.toUpperCase(), `${'a'.repeat(39)}g`, 'HEAD'])(
    'for the commit %j is refused, and the key is named',
    (after) => {
      expect(refusal(() => take({ after }))).toMatchObject({
        status: 400,
        message: expect.stringContaining('after'),
      });
      expect(refusal(() => take({ before: after }))).toMatchObject({
        status: 400,
        message: expect.stringContaining('before'),
      });
    },
  );

  it.each(['a', '42', 'x'.repeat(128), 'with a space', '{"json":1}'])('may have the delivery id %j', (id) => {
    expect(receive(signed(JSON.stringify(payload()), SECRETS[0], id))).toMatchObject({ id });
  });

  it.each(['', 'x'.repeat(129), 'a\nb', 'a\u0000', 'ä', ' ', ' a', 'a ', '\t'])(
    'with the delivery id %j is refused',
    (id) => {
      const refused = refusal(() => receive(signed(JSON.stringify(payload()), SECRETS[0], id)));
      expect(refused).toMatchObject({
        status: 400,
        message: expect.stringContaining('X-Modelhook-Delivery'),
      });
    },
  );

  it('without a delivery id is refused, but only once its signature is right', () => {
    const body = JSON.stringify(payload());
    const request = (secret: string) => webhookRequest({ [SIGNATURE_HEADER]: sign(secret, body) }, body);
    expect(refusal(() => receive(request(SECRETS[0] as string)))).toMatchObject({ status: 400 });
    expect(refusal(() => receive(request('wrong')))).toMatchObject({ status: 401 });
  });

  it('may have more keys than are read', () => {
    expect(receive(signed(JSON.stringify({ ...payload(), pusher: { name: 'ada' } })))).toMatchObject({
      kind: 'refs',
    });
  });

  it('is taken or refused as a WebhookError, whatever its body is', () => {
    const value = fc.oneof(
      fc.constantFrom(
        A,
        B,
        ZERO,
        'refs/tags/v1',
        'refs/heads/main',
        'ml/iris.git',
        '../x',
        '-x',
        '\u0000',
        '__proto__',
      ),
      fc.string({ unit: 'binary' }),
      fc.jsonValue(),
    );
    const mutated = fc
      .record(
        { repository: value, before: value, after: value, ref: value, extra: value },
        { requiredKeys: [] },
      )
      .map((changes) => JSON.stringify({ ...payload(), ...changes }));
    const body = fc.oneof(mutated, fc.json(), fc.uint8Array({ maxLength: 200 }), fc.string());
    fc.assert(
      fc.property(
        body,
        fc.constantFrom(SECRETS[0], 'wrong', null),
        fc.string({ maxLength: 130 }),
        (bytes, secret, id) => {
          try {
            const delivery = receive(signed(bytes, secret, id));
            expect(['refs', 'ignored']).toContain(delivery.kind);
            expect(secret).toBe(SECRETS[0]);
            if (delivery.kind !== 'refs') return;
            for (const { repository, ref, after } of delivery.moves) {
              expect(repository).toMatch(/^plain:[^-/]/);
              expect(`${repository} ${ref}`).not.toMatch(/\.\.|\/\/|\/-|\p{Cc}/u);
              expect(ref).toMatch(/^refs\/(heads|tags)\/./);
              expect(after === null || /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(after)).toBe(true);
            }
          } catch (error) {
            if (!(error instanceof WebhookError)) throw error;
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('a status on plain Git', () => {
  const status = (changes: Partial<CommitStatus> = {}): CommitStatus => ({
    context: 'modelhook/production',
    state: 'pending',
    description: 'Queued for production',
    url: 'https://modelhook.example.com/rollouts/1',
    ...changes,
  });
  const REF = 'refs/heads/main';
  let base: string;
  let model: GitRepository;
  let sha: string;
  beforeAll(() => {
    base = mkdtempSync(join(folder, 'notes-'));
    model = GitRepository.create(join(base, 'ml/iris.git'));
    sha = model.commit({ 'README.md': '# Iris' });
  });
  const local = () => forgeAt(base, join(base, 'cache')).statuses;
  const noteOf = (commit: string) => model.git(['notes', '--ref=modelhook', 'show', commit]);

  it('is one line of tab-separated words in a note that git log shows', async () => {
    await local().write('plain:ml/iris', sha, REF, status());
    await local().write(
      'plain:ml/iris',
      sha,
      REF,
      status({ context: 'modelhook/a-lab', state: 'failed', description: 'No\tmodel\n card' }),
    );
    const lines = [
      'modelhook/production\tpending\tQueued for production\thttps://modelhook.example.com/rollouts/1',
      'modelhook/a-lab\tfailure\tNo model card\thttps://modelhook.example.com/rollouts/1',
    ];
    expect(noteOf(sha)).toBe(lines.join('\n'));
    const log = model.git(['log', '--notes=modelhook', '-1', 'main']);
    for (const line of lines) expect(log).toContain(`    ${line}`);
  });

  it.each([
    ['pending', 'pending'],
    ['running', 'pending'],
    ['success', 'success'],
    ['failed', 'failure'],
    ['superseded', 'error'],
    ['cancelled', 'error'],
  ] as const)('%s is written %s', async (state, word) => {
    await local().write('plain:ml/iris', sha, REF, status({ state }));
    expect(noteOf(sha)).toContain(`modelhook/production\t${word}\t`);
  });

  it('that is there already makes no commit', async () => {
    await local().write('plain:ml/iris', sha, REF, status({ state: 'success' }));
    const before = model.read('refs/notes/modelhook');
    await local().write('plain:ml/iris', sha, REF, status({ state: 'success' }));
    expect(model.read('refs/notes/modelhook')).toBe(before);
  });

  it('leaves the lines that somebody else wrote into the note', async () => {
    const commit = model.commit({ 'a.txt': 'a' });
    model.git(['notes', '--ref=modelhook', 'add', '-m', 'ci/tests\tsuccess\tgreen\thttps://ci', commit]);
    await local().write('plain:ml/iris', commit, REF, status());
    expect(noteOf(commit).split('\n')).toHaveLength(2);
    expect(noteOf(commit)).toContain('ci/tests\tsuccess\tgreen\thttps://ci');
  });

  it.each(['sha1', 'sha256'] as const)(
    'updates notes that Git has spread over folders (%s)',
    async (format) => {
      const crowded = GitRepository.create(join(base, `ml/crowded-${format}.git`), format);
      const stream: string[] = [];
      // Git makes folders of the first two digits from 256 notes on.
      for (let n = 1; n <= 400; n += 1)
        stream.push(
          'commit refs/heads/main',
          `mark :${n}`,
          'committer Ada <ada@example.com> 1700000000 +0000',
          'data 0',
        );
      stream.push(
        'commit refs/notes/modelhook',
        'committer Ada <ada@example.com> 1700000000 +0000',
        'data 0',
      );
      const old = `ci/tests\tsuccess\tgreen\turl\n${status().context}\tpending\told\turl\n`;
      for (let n = 1; n <= 400; n += 1) stream.push(`N inline :${n}`, `data ${old.length}`, old);
      crowded.git(['fast-import', '--quiet'], `${stream.join('\n')}\n`);
      const commits = crowded.git(['rev-list', '--max-count=3', 'main']).split('\n');
      const files = () => crowded.git(['ls-tree', '-r', '--name-only', 'refs/notes/modelhook']).split('\n');
      expect(files().filter((path) => path.includes('/')).length).toBeGreaterThan(0);
      const before = files().length;
      for (const commit of commits)
        await local().write(`plain:ml/crowded-${format}`, commit, REF, status({ state: 'success' }));
      expect(files()).toHaveLength(before);
      for (const commit of commits)
        expect(crowded.git(['notes', '--ref=modelhook', 'show', commit])).toBe(
          'ci/tests\tsuccess\tgreen\turl\nmodelhook/production\tsuccess\tQueued for production\thttps://modelhook.example.com/rollouts/1',
        );
    },
  );

  it.each([
    ['in the folder', (url: string) => url],
    ['through its address', (url: string) => pathToFileURL(url).href],
  ])('is lost by none of several controllers that write at once %s', async (_, urlOf) => {
    const commit = model.commit({ 'b.txt': `${Math.random()}` });
    const controllers = [1, 2, 3].map((n) => forgeAt(urlOf(base), join(base, `cache-${n}`)).statuses);
    const contexts = Array.from({ length: 12 }, (_each, n) => `modelhook/environment-${n}`);
    await Promise.all(
      contexts.map((context, n) =>
        controllers[n % 3]?.write('plain:ml/iris', commit, REF, status({ context })),
      ),
    );
    const written = noteOf(commit)
      .split('\n')
      .map((line) => line.split('\t')[0]);
    expect(written.toSorted()).toEqual(contexts.toSorted());
  });

  it('is refused by the hook of a server in the words of that hook', async () => {
    const guarded = GitRepository.create(join(base, 'ml/guarded.git'));
    const commit = guarded.commit({ 'README.md': '# Guarded' });
    guarded.hook('pre-receive', 'echo "no notes here, please" >&2; exit 1');
    const { statuses } = forgeAt(pathToFileURL(base).href, join(base, 'cache'));
    await expect(statuses.write('plain:ml/guarded', commit, REF, status())).rejects.toThrow(
      /no notes here, please/,
    );
  });
});

describe('reading plain Git', () => {
  it('finds a repository with or without .git, and a clone with a work tree', async () => {
    const base = mkdtempSync(join(folder, 'layouts-'));
    const bare = GitRepository.create(join(base, 'ml/bare.git'));
    const sha = bare.commit({ 'README.md': '# One' });
    bare.git(['clone', '--quiet', '--bare', bare.dir, join(base, 'ml/plain')]);
    bare.git(['clone', '--quiet', bare.dir, join(base, 'ml/clone')]);
    const { repositories } = forgeAt(base, join(base, 'cache'));
    for (const path of ['bare', 'plain', 'clone'])
      expect(await repositories.readRef(`plain:ml/${path}`, 'refs/heads/main', [], 1)).toMatchObject({ sha });
  });

  it('writes nothing but notes into a repository of this machine', async () => {
    const base = mkdtempSync(join(folder, 'untouched-'));
    const model = GitRepository.create(join(base, 'iris.git'));
    model.commit({ 'README.md': '# Iris' });
    const before = model.git(['for-each-ref']);
    const { repositories } = forgeAt(base, join(base, 'cache'));
    await repositories.listRefs('plain:iris');
    await repositories.readRef('plain:iris', 'refs/heads/main', ['README.md'], 100);
    expect(model.git(['for-each-ref'])).toBe(before);
    expect(readdirSync(base)).toEqual(['iris.git']);
  });

  it('takes a ref for gone whose name is only the folder of others', async () => {
    const base = mkdtempSync(join(folder, 'folders-'));
    const model = GitRepository.create(join(base, 'iris.git'));
    model.point('refs/tags/release/v1', model.commit({ 'README.md': '# Iris' }));
    for (const url of [base, pathToFileURL(base).href]) {
      const { repositories } = forgeAt(url, join(base, 'cache'));
      expect(await repositories.readRef('plain:iris', 'refs/tags/release', [], 1)).toBeNull();
    }
  });

  it('has no version in a tag of a file or a tree', async () => {
    const base = mkdtempSync(join(folder, 'odd-tags-'));
    const model = GitRepository.create(join(base, 'iris.git'));
    const sha = model.commit({ 'README.md': '# Iris' });
    model.point('refs/tags/file', model.git(['rev-parse', `${sha}:README.md`]));
    const { repositories } = forgeAt(base, join(base, 'cache'));
    expect((await repositories.listRefs('plain:iris')).map(({ ref }) => ref)).toEqual(['refs/heads/main']);
    const reading = repositories.readRef('plain:iris', 'refs/tags/file', [], 1);
    await expect(reading).rejects.toBeInstanceOf(StalledError);
  });

  it('keeps two servers that have a repository of one path apart in one cache', async () => {
    const bases = ['one', 'two'].map((name) => mkdtempSync(join(folder, `${name}-`)));
    const shas = bases.map((base, n) =>
      GitRepository.create(join(base, 'iris.git')).commit({ 'README.md': `${n}` }),
    );
    const read = (base: string) =>
      forgeAt(pathToFileURL(base).href, join(folder, 'shared-cache')).repositories.readRef(
        'plain:iris',
        'refs/heads/main',
        [],
        1,
      );
    for (const n of [0, 1, 0]) expect(await read(bases[n] ?? '')).toMatchObject({ sha: shas[n] });
  });
});
