import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type GiteaRepository, GiteaServer, TOKENS } from '../../../test/forges/gitea-server.ts';
import { StalledError, WaitingError } from '../../core/errors.ts';
import type { Forge } from '../forge.ts';
import { createGiteaForge } from './gitea-forge.ts';

const LIMIT = 1024 * 1024;
const CARD = '---\nlibrary_name: sklearn\n---\n';
const ABSENT = 'dead'.repeat(10);
const IRIS = 'gitea:ml/iris';
const TAG = 'refs/tags/v1.0.0';

let gitea: GiteaServer;
let model: GiteaRepository;
let forge: Forge;
let first: string;

const forgeWith = (token: string | null): Forge =>
  createGiteaForge({
    name: 'gitea',
    url: gitea.url,
    apiUrl: `${gitea.url}/api/v1`,
    token,
    webhookSecrets: [],
    ca: null,
    now: Date.now,
  });

beforeEach(async () => {
  gitea = await GiteaServer.start();
  model = gitea.create('ml/iris');
  forge = forgeWith(TOKENS.writer);
  first = model.commit('main', { 'README.md': CARD, 'model/weights.bin': Buffer.alloc(2 * LIMIT) });
});
afterEach(() => gitea.end());

const readRef = (ref: string, paths: string[] = []) => forge.repositories.readRef(IRIS, ref, paths, LIMIT);
const readFile = async (path: string, sha = first) =>
  (await forge.repositories.readFiles(IRIS, sha, [path], LIMIT))[0];
const listed = async () =>
  new Map((await forge.repositories.listRefs(IRIS)).map(({ ref, ...reading }) => [ref, reading]));
const paths = () => gitea.asked.map(({ path }) => path.replace('/api/v1/repos/ml/iris', ''));

/** What is thrown will mend itself, is no mistake of ours, and gives no token away. */
async function failure(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => new Error('it went well'),
    (thrown: unknown) => thrown as Error,
  );
  for (const other of [StalledError, WaitingError, TypeError, SyntaxError, RangeError])
    expect(error).not.toBeInstanceOf(other);
  for (const token of Object.values(TOKENS)) expect(`${error.message}${error.stack}`).not.toContain(token);
  return error.message;
}

describe('a file', () => {
  it('is read at its commit, also where a branch is called like that commit', async () => {
    const second = model.commit('main', { 'README.md': 'newer' });
    model.refs.set(`refs/heads/${first}`, second);
    expect(await readFile('README.md')).toMatchObject({ bytes: Buffer.from(CARD) });
    // These take a branch's name first.
    for (const path of paths())
      expect(path).not.toMatch(/^\/(?:raw|contents|commits|branches|archive|media)\b/);
  });

  it('over the limit is not asked for', async () => {
    expect(await readFile('model/weights.bin')).toEqual({
      kind: 'tooLarge',
      path: 'model/weights.bin',
      size: 2 * LIMIT,
    });
    expect(paths().filter((path) => path.includes('blobs'))).toEqual([]);
  });

  it('is found on any page of its folder', async () => {
    const many = Object.fromEntries(Array.from({ length: 10 }, (_, n) => [`A${n}`, `${n}`]));
    const sha = model.commit('main', many);
    expect(await readFile('README.md', sha)).toMatchObject({ kind: 'file' });
    expect(await readFile('A9', sha)).toMatchObject({ bytes: Buffer.from('9') });
    expect(await readFile('ZZ', sha)).toMatchObject({ kind: 'missing' });
  });

  it('that the forge gives without its content is an error that names the setting', async () => {
    model.maxBlob = 10;
    expect(await failure(readFile('README.md'))).toMatch(
      /0 of the 30 bytes of README\.md .* DEFAULT_MAX_BLOB_SIZE/,
    );
  });

  it('that is the pointer of a large file comes as the pointer', async () => {
    const pointer = 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n';
    const sha = model.commit('main', { 'README.md': pointer });
    expect(await readFile('README.md', sha)).toMatchObject({ bytes: Buffer.from(pointer) });
  });

  it('at a commit that is not there is told from one that is missing', async () => {
    expect(await readFile('none.md')).toEqual({ kind: 'missing', path: 'none.md' });
    const reading = readFile('README.md', ABSENT);
    await expect(reading).rejects.toBeInstanceOf(StalledError);
    await expect(reading).rejects.toThrow(/no commit deaddea is in the repository/);
  });

  it('in a repository that is not there is told from both', async () => {
    const reading = forge.repositories.readFiles('gitea:ml/none', first, ['README.md'], LIMIT);
    expect(await failure(reading)).toContain('/repos/ml/none was answered with 404 (not found)');
  });
});

describe('a ref', () => {
  it.each(['refs/tags/../../../other', 'refs/heads/./main'])(
    'called %s, which leads elsewhere, is not asked for',
    async (ref) => {
      expect(await failure(readRef(ref))).toContain('has a segment that is "." or ".."');
      expect(gitea.asked).toEqual([]);
    },
  );

  it('is itself, not one whose name it begins', async () => {
    model.refs.set(`${TAG}-rc.1`, first);
    expect(await readRef(TAG)).toBeNull();
    expect(await readRef(`${TAG}-rc.1`)).toMatchObject({ sha: first });
  });

  it.each([
    'refs/tags/odd#name',
    'refs/tags/50%',
    'refs/tags/a%2Fb',
    'refs/tags/ü+&=',
    'refs/heads/release/2026',
  ])('%s keeps its name on the way', async (ref) => {
    model.refs.set(ref, first);
    expect(await readRef(ref)).toMatchObject({ sha: first });
    expect((await listed()).get(ref)).toMatchObject({ sha: first });
  });

  it('that is an annotated tag is resolved by its object, whatever the tag was called when it was made', async () => {
    const second = model.commit('main', { 'notes.txt': 'newer' });
    const object = model.annotate('refs/tags/production', first, 'v1.0.0');
    model.annotate(TAG, second);
    expect(await readRef('refs/tags/production')).toMatchObject({ sha: first, object });
    expect((await listed()).get('refs/tags/production')).toMatchObject({ sha: first, object });
  });

  it('that is a tag of a tag has the commit of the inner one', async () => {
    const inner = model.annotate('refs/tags/inner', first);
    const object = model.annotate('refs/tags/outer', inner);
    expect(await readRef('refs/tags/outer')).toMatchObject({ sha: first, object });
    expect((await listed()).get('refs/tags/outer')).toMatchObject({ sha: first, object });
  });

  it('to a file is no version of a model, and spoils nothing', async () => {
    const blob = model.objects.blob('a file');
    model.refs.set('refs/tags/file', blob);
    model.annotate('refs/tags/annotated-file', blob);
    await expect(readRef('refs/tags/file')).rejects.toThrow(
      /refs\/tags\/file points to a blob; make it point to a commit/,
    );
    await expect(readRef('refs/tags/annotated-file')).rejects.toBeInstanceOf(StalledError);
    expect([...(await listed()).keys()]).toEqual(['refs/heads/main']);
  });

  it('is not believed to be gone where an object of the repository is lost: the forge fails', async () => {
    model.refs.set('refs/tags/broken', ABSENT);
    expect(await failure(readRef('refs/heads/main'))).toContain('500');
    expect(await failure(forge.repositories.listRefs(IRIS))).toContain('500');
  });

  it('is not believed to be gone where all others are, too', async () => {
    model.refs.clear();
    expect(await failure(readRef(TAG))).toContain('no branches and tags at all');
  });

  it('is gone where only tags are left', async () => {
    model.refs.clear();
    model.refs.set('refs/tags/v2', first);
    expect(await readRef(TAG)).toBeNull();
  });

  it('of a repository that was renamed is found under the old path', async () => {
    gitea.rename(model, 'vision/flowers');
    expect(await readRef('refs/heads/main', ['README.md'])).toMatchObject({
      sha: first,
      files: [{ kind: 'file' }],
    });
    expect((await listed()).size).toBe(1);
  });

  it.each(['gitea:iris', 'gitea:ml/vision/iris', 'gitea:ml/..', 'gitea:../admin', 'gitea:ml/iris/git'])(
    'of %s, which can be no repository, is not asked for',
    async (repository) => {
      const reading = forge.repositories.readRef(repository, TAG, [], LIMIT);
      await expect(reading).rejects.toBeInstanceOf(StalledError);
      expect(gitea.asked).toEqual([]);
    },
  );
});

describe('a listing', () => {
  /** From one request on, the repository is hidden: all that is asked for is answered with 404. */
  const hideAt = (part: string) => {
    gitea.onAsked = ({ path }) => {
      if (path.includes(part)) gitea.fault = { status: 404, body: '{"message":"not found"}' };
    };
  };

  it('lists all refs of a repository with very many, more than other answers may be long', async () => {
    const name = (n: number) => `refs/tags/${'x'.repeat(220)}/v${n}`;
    for (let n = 0; n < 12_500; n += 1) model.refs.set(name(n), first);
    const refs = await forge.repositories.listRefs(IRIS);
    expect(new Set(refs.map(({ ref }) => ref)).size).toBe(12_501);
  });

  it.each(['git/refs/heads', 'git/refs/tags', 'git/commits'])(
    'of a repository that is hidden from %s on fails, and lacks no ref',
    async (part) => {
      model.annotate(TAG, first);
      hideAt(part);
      await failure(forge.repositories.listRefs(IRIS));
    },
  );

  it('of a repository that was hidden only while its branches were listed fails', async () => {
    model.refs.set(TAG, first);
    gitea.onAsked = ({ path }) => {
      gitea.fault = /git\/refs\/heads|\/ml\/iris$/.test(path) ? { status: 404 } : null;
    };
    expect(await failure(forge.repositories.listRefs(IRIS))).toContain('404');
  });

  it('of a repository that is hidden while only the commit of an annotated tag is left to read fails', async () => {
    await listed();
    model.annotate(TAG, first);
    hideAt('git/commits');
    expect(await failure(forge.repositories.listRefs(IRIS))).toContain('404');
  });

  it('fails where the commit of a branch is not given, though the repository is there', async () => {
    gitea.onAsked = ({ path }) => {
      gitea.fault = path.includes('git/commits') ? { status: 404 } : null;
    };
    expect(await failure(forge.repositories.listRefs(IRIS))).toContain(
      `lists refs/heads/main at ${first.slice(0, 7)}, and gives no such commit`,
    );
  });

  it('has every ref, however many there are', async () => {
    for (let n = 0; n < 130; n += 1)
      if (n % 2 === 0) model.refs.set(`refs/tags/v${n}`, first);
      else model.annotate(`refs/tags/v${n}`, first);
    expect((await listed()).size).toBe(131);
  });

  it('leaves out what is neither branch nor tag', async () => {
    model.refs.set('refs/pull/1/head', first);
    model.refs.set('refs/notes/commits', first);
    expect([...(await listed()).keys()]).toEqual(['refs/heads/main']);
  });

  it('says when a tag was made, of a lightweight one when its commit was', async () => {
    const made = Date.parse('2026-02-03T04:05:06Z');
    const object = model.annotate('refs/tags/annotated', first);
    const tag = model.objects.get(object);
    if (tag?.type === 'tag') tag.created = made;
    const commit = model.objects.get(first);
    if (commit?.type === 'commit') commit.created = made - 1000;
    const refs = await listed();
    expect(refs.get('refs/tags/annotated')?.createdAt).toBe(made);
    expect(refs.get('refs/heads/main')?.createdAt).toBe(made - 1000);
  });

  it('says when the commit was made where the tag does not say when it was', async () => {
    model.annotate('refs/tags/renamed', first, 'a-name-that-no-ref-has');
    const commit = model.objects.get(first);
    expect((await listed()).get('refs/tags/renamed')?.createdAt).toBe(
      commit?.type === 'commit' && commit.created,
    );
  });

  it('has no date from before there were any', async () => {
    const commit = model.objects.get(first);
    if (commit?.type === 'commit') commit.created = Date.parse('0001-01-01T00:00:00Z');
    expect((await listed()).get('refs/heads/main')?.createdAt).toBeNull();
  });

  it('asks for what an object is only once', async () => {
    model.annotate(TAG, first);
    await listed();
    const asked = gitea.asked.length;
    await listed();
    expect(gitea.asked.length - asked).toBe(2);
  });

  it('of a repository without any is empty', async () => {
    gitea.create('ml/empty');
    expect(await forge.repositories.listRefs('gitea:ml/empty')).toEqual([]);
  });
});

describe('a forge that fails', () => {
  const html = { 'content-type': 'text/html' };
  const everything: readonly (() => Promise<unknown>)[] = [
    () => readRef('refs/heads/main', ['README.md']),
    () => readFile('README.md'),
    () => forge.repositories.listRefs(IRIS),
  ];

  it.each<[number, Record<string, string>, string, RegExp]>([
    [
      401,
      {},
      '{"message":"invalid username, password or token"}',
      /401 \(invalid .*\); check the token of forge "gitea"/,
    ],
    [403, {}, '{"message":"token does not have …"}', /403 .*scope read:repository/],
    [404, {}, '{"message":"not found"}', /404/],
    [409, {}, '{"message":"Git Repository is empty."}', /409 \(Git Repository is empty\.\)/],
    [500, {}, '{"message":""}', /500$/],
    [502, html, '<html>Bad Gateway</html>', /502$/],
    [503, html, '', /503$/],
    [200, html, '<html>Sign in</html>', /did not answer JSON; check the url of forge "gitea"/],
    [200, {}, '', /did not answer JSON/],
    [200, {}, '{"surprise":true}', /answered something unexpected/],
    [200, {}, '[{"ref":"refs/heads/main"}]', /answered something unexpected/],
    [200, {}, 'null', /answered something unexpected/],
    [200, {}, '"text"', /answered something unexpected/],
    [301, { location: 'http://elsewhere.invalid/' }, '', /its token does not belong/],
    [301, {}, '', /301/],
  ])('with %i %j %j is a failure that may mend itself', async (status, headers, body, message) => {
    gitea.fault = { status, headers, body };
    for (const work of everything) expect(await failure(work())).toMatch(message);
  });

  it('and repeats the token is not quoted', async () => {
    gitea.fault = { status: 500, body: JSON.stringify({ message: `token ${TOKENS.writer} is odd` }) };
    for (const work of everything) expect(await failure(work())).toMatch(/500$/);
  });

  it('and says much is quoted on one short line', async () => {
    gitea.fault = { status: 500, body: JSON.stringify({ message: `a\n\u0007b${'c'.repeat(5000)}` }) };
    for (const work of everything) expect(await failure(work())).toMatch(/\(a bc{100,200}\)$/);
  });

  it('by limiting us is waited for', async () => {
    gitea.fault = { status: 429, headers: { 'retry-after': '7' } };
    await expect(readRef(TAG)).rejects.toMatchObject({ name: 'WaitingError', after: 7000 });
  });

  it('without a token of ours is asked without one, and a private repository may need one', async () => {
    forge = forgeWith(null);
    expect(await failure(readRef(TAG))).toContain('a private repository needs a token of forge "gitea"');
    expect(gitea.asked.map(({ authorization }) => authorization)).toEqual([undefined, undefined]);
  });

  it('with a wrong token says to check it', async () => {
    forge = forgeWith('a-wrong-one');
    expect(await failure(readRef(TAG))).toContain('check the token of forge "gitea"');
  });
});

it('takes one reference that is answered without a list, as forks of Gitea did', async () => {
  gitea.fault = { status: 200, body: JSON.stringify({ ref: TAG, object: { type: 'commit', sha: first } }) };
  expect(await readRef(TAG)).toEqual({ sha: first, object: first, files: [] });
});
