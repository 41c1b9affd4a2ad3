import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GitLabServer } from '../../../test/forges/gitlab-server.ts';
import { StalledError } from '../../core/errors.ts';
import type { RepositoryReader } from '../forge.ts';
import { createGitLabApi } from './api.ts';
import { createGitLabRepositories } from './repositories.ts';

const TOKEN = 'glpat-a-token';
const PATH = 'ml/iris';
const ID = 'gitlab:ml/iris';
const ABSENT = 'dead'.repeat(10);

let server: GitLabServer;
let repositories: RepositoryReader;
let first: string;
let second: string;
beforeEach(async () => {
  server = await new GitLabServer().start();
  server.tokens.set(TOKEN, { user: 'modelhook', scope: 'read_api', role: 'Reporter' });
  server.create(PATH);
  first = server.commit(PATH, 'main', {
    'README.md': '\ufeff# Iris\n',
    'a b/ü#?%.json': '{"a":1}',
    'x.bin': 'x',
  });
  second = server.commit(PATH, 'main', { 'README.md': '# Better\n' });
  const apiUrl = `${server.url}/api/v4`;
  repositories = createGitLabRepositories(
    createGitLabApi({ name: 'gitlab', apiUrl, token: TOKEN, ca: null, now: Date.now }),
  );
});
afterEach(() => server.stop());

const read = (ref: string, paths: string[] = []) => repositories.readRef(ID, ref, paths, 1000);
const files = (paths: string[], sha = first) => repositories.readFiles(ID, sha, paths, 1000);
const failure = async (work: Promise<unknown>): Promise<Error> => {
  const error = await work.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(Error);
  return error as Error;
};
const transient = async (work: Promise<unknown>): Promise<string> => {
  const error = await failure(work);
  expect(error.constructor).toBe(Error);
  return error.message;
};

describe('a project that was renamed', () => {
  it('is read by its old path: refs, lists and files', async () => {
    server.rename(PATH, 'ml/new-iris');
    server.point(PATH, 'refs/tags/v1', first);
    const reading = await read('refs/tags/v1', ['README.md', 'none']);
    expect(reading).toMatchObject({ sha: first, files: [{ kind: 'file' }, { kind: 'missing' }] });
    expect(await read('refs/tags/none')).toBeNull();
    expect((await repositories.listRefs(ID)).map(({ ref }) => ref)).toEqual([
      'refs/heads/main',
      'refs/tags/v1',
    ]);
  });

  it('and whose path another took is that other: the path says what is deployed', async () => {
    await read('refs/heads/main', ['README.md']);
    server.rename(PATH, 'ml/old-iris');
    server.create(PATH);
    const sha = server.commit(PATH, 'main', { 'README.md': 'of the other' });
    expect(await read('refs/heads/main', ['README.md'])).toMatchObject({ sha, files: [{ kind: 'file' }] });
  });
});

describe('the identity of a project', () => {
  it('is its path as GitLab spells it today, and its number, asked anew each time', async () => {
    expect(await repositories.identify(ID)).toEqual({ repository: ID, projectId: '4000' });
    server.rename(PATH, 'ml/Iris');
    expect(await repositories.identify(ID)).toEqual({ repository: 'gitlab:ml/Iris', projectId: '4000' });
    server.create(PATH);
    expect(await repositories.identify(ID)).toEqual({ repository: ID, projectId: '4001' });
  });

  it.each(['../x', 'ml//x', 'ml/\u0000'])(
    'is none where GitLab says it is %j',
    async (path_with_namespace) => {
      server.fault = () => ({ status: 200, body: { id: 1, path_with_namespace } });
      expect(await transient(repositories.identify(ID))).toContain('no project has');
    },
  );
});

describe('refs', () => {
  it.each([
    'release/2026-03',
    'v1.0.0+build',
    'früh',
    '模型',
    'a"b',
    "it's",
    '%2F',
    'v1#x',
    'v1.json',
    'a&b=c',
  ])('may be named %j', async (name) => {
    server.point(PATH, `refs/tags/${name}`, first);
    server.point(PATH, `refs/heads/${name}`, second);
    expect(await read(`refs/tags/${name}`)).toMatchObject({ sha: first });
    expect(await read(`refs/heads/${name}`)).toMatchObject({ sha: second });
    expect((await repositories.listRefs(ID)).map(({ ref }) => ref)).toContain(`refs/tags/${name}`);
  });

  it('of one name as a branch and a tag are told apart', async () => {
    server.point(PATH, 'refs/tags/main', first);
    expect(await read('refs/tags/main')).toMatchObject({ sha: first });
    expect(await read('refs/heads/main')).toMatchObject({ sha: second });
  });

  it('have the date of the tag, where it has one, else of the commit', async () => {
    server.point(PATH, 'refs/tags/light', first);
    server.annotate(PATH, 'refs/tags/annotated', first);
    const dates = (await repositories.listRefs(ID)).map(({ ref, createdAt }) => [ref, createdAt]);
    expect(Object.fromEntries(dates)).toEqual({
      'refs/heads/main': Date.parse('2026-03-01T08:00:00Z'),
      'refs/tags/light': Date.parse('2026-03-01T08:00:00Z'),
      'refs/tags/annotated': Date.parse('2026-04-01T10:00:00Z'),
    });
  });

  it.each(['2017-09-15 16:50:55 UTC', '2026-03-01T08:00:00.123Z', null, 'soon'])(
    'whose date is %j are listed all the same',
    async (date) => {
      const commit = server.of(PATH).commits.get(second);
      Object.assign(commit ?? {}, { date });
      const [main] = await repositories.listRefs(ID);
      const time = Date.parse(date ?? '');
      expect(main?.createdAt).toBe(Number.isNaN(time) ? null : time);
    },
  );

  it('of trees and blobs are left out of the list', async () => {
    server.point(PATH, 'refs/tags/a-blob', ABSENT);
    expect((await repositories.listRefs(ID)).map(({ ref }) => ref)).toEqual(['refs/heads/main']);
  });

  it('are listed whole, page by page, by token', async () => {
    for (let n = 0; n < 250; n += 1) server.point(PATH, `refs/tags/v${n}`, first);
    const refs = await repositories.listRefs(ID);
    expect(new Set(refs.map(({ ref }) => ref)).size).toBe(251);
    expect(refs).toHaveLength(251);
    const asked = server.asked.filter(({ path }) => path.includes('/tags'));
    expect(asked).toHaveLength(3);
    expect(asked[1]?.path).toContain('page_token=');
  });

  it('that go while they are listed take no other with them', async () => {
    for (let n = 100; n < 350; n += 1) server.point(PATH, `refs/tags/v${n}`, first);
    let pages = 0;
    server.fault = (_method, path) => {
      if (path.includes('/tags')) pages += 1;
      if (pages === 2) server.of(PATH).refs.delete('refs/tags/v100');
      return null;
    };
    const names = (await repositories.listRefs(ID)).map(({ ref }) => ref);
    for (let n = 101; n < 350; n += 1) expect(names).toContain(`refs/tags/v${n}`);
  });

  it('are not gone where the whole project lost them', async () => {
    server.of(PATH).refs.clear();
    expect(await transient(read('refs/tags/v1'))).toContain('nothing is concluded');
    expect(await repositories.listRefs(ID)).toEqual([]);
  });

  it('are not gone where the project cannot be seen any more', async () => {
    server.fault = (_method, path) =>
      path.includes('/tags/') ? null : { status: 404, body: { message: '404 Project Not Found' } };
    expect(await transient(read('refs/tags/v1'))).toContain('not found');
  });

  it('are not gone where the repository is switched off or kept to members, and the project is still shown', async () => {
    server.point(PATH, 'refs/tags/v1', first);
    server.of(PATH).hidden = true;
    for (const ref of ['refs/tags/v1', 'refs/heads/main', 'refs/tags/none'])
      expect(await transient(read(ref))).toContain('may not be read');
  });

  it.each([401, 403, 404, 500, 503])('are not gone where the list answers %i', async (status) => {
    server.fault = (_method, path) => (path.includes('search=') ? { status, body: {} } : null);
    expect(await transient(read('refs/tags/none'))).toMatch(/check|answered/);
    expect(await transient(read('refs/heads/none'))).toMatch(/check|answered/);
  });

  it.each(['refs/tags/release/v1', 'refs/heads/release/v1'])(
    'are not gone where the list has them: %s',
    async (ref) => {
      server.point(PATH, ref, first);
      server.fault = (_method, path) =>
        path.includes('release%2Fv1?') || path.endsWith('release%2Fv1') ? { status: 404 } : null;
      expect(await transient(read(ref))).toContain(`GitLab lists ${ref}`);
    },
  );

  it('are gone although others are named almost like them', async () => {
    for (const name of ['V1', 'v1.0', 'rc-v1']) {
      server.point(PATH, `refs/tags/${name}`, first);
      server.point(PATH, `refs/heads/${name}`, first);
    }
    expect(await read('refs/tags/v1')).toBeNull();
    expect(await read('refs/heads/v1')).toBeNull();
    const searches = server.asked.flatMap(({ path }) =>
      new URL(path, server.url).searchParams.getAll('search'),
    );
    expect(searches).toEqual(['^v1$', '^v1$']);
  });

  it.each([401, 403, 404, 500, 503])(
    'are not gone where GitLab answers %i, which names what to check',
    async (status) => {
      server.fault = () => ({ status, body: { message: `${status} Some Words` } });
      expect(await transient(read('refs/heads/main'))).toMatch(/check|answered/);
      expect(await transient(repositories.listRefs(ID))).toMatch(/check|answered/);
    },
  );

  it('that lead to no commit say so for good', async () => {
    server.point(PATH, 'refs/tags/broken', ABSENT);
    const error = await failure(read('refs/tags/broken'));
    expect(error).toBeInstanceOf(StalledError);
    expect(error.message).toContain('refs/tags/broken points to deaddea');
  });

  it('that are no whole Unicode are not there', async () => {
    expect(await read('refs/tags/\ud800')).toBeNull();
  });

  it('of no branch or tag are not read', async () => {
    expect(await transient(read('refs/notes/modelhook'))).toContain('neither');
  });
});

describe('files', () => {
  it('come as bytes, whatever type GitLab gives them: with a byte order mark, as JSON, with any name', async () => {
    const [card, json] = await files(['README.md', 'a b/ü#?%.json']);
    expect(card?.kind === 'file' && Buffer.from(card.bytes).toString('hex')).toBe(
      Buffer.from('\ufeff# Iris\n').toString('hex'),
    );
    expect(json?.kind === 'file' && Buffer.from(json.bytes).toString()).toBe('{"a":1}');
  });

  it('are read at the commit that is named, in every request', async () => {
    await files(['README.md']);
    const asked = server.asked.map(({ method, path }) => `${method} ${path}`);
    expect(asked).toEqual([
      `HEAD /api/v4/projects/ml%2Firis/repository/files/README.md?ref=${first}`,
      `GET /api/v4/projects/ml%2Firis/repository/files/README.md/raw?ref=${first}`,
    ]);
  });

  it('over the limit are not fetched', async () => {
    const sha = server.commit(PATH, 'main', { 'w.bin': Buffer.alloc(20 * 1024 * 1024) });
    expect(await files(['w.bin'], sha)).toEqual([
      { kind: 'tooLarge', path: 'w.bin', size: 20 * 1024 * 1024 },
    ]);
    expect(server.asked).toHaveLength(1);
  });

  it('are missing only where the commit is there', async () => {
    expect(await files(['none'])).toEqual([{ kind: 'missing', path: 'none' }]);
    expect(await transient(files(['README.md'], ABSENT))).toContain('no commit deaddea');
    expect(await transient(repositories.readFiles('gitlab:ml/none', first, ['README.md'], 9))).toContain(
      'not found',
    );
  });

  it.each([401, 403, 500])('are not missing where GitLab answers %i', async (status) => {
    server.fault = () => ({ status });
    await transient(files(['README.md']));
  });

  it('whose size is not said, or was not all that came, are asked for again later', async () => {
    server.fault = (method) => (method === 'HEAD' ? { status: 200 } : null);
    expect(await transient(files(['README.md']))).toContain('how large');
    server.fault = (method) => (method === 'GET' ? { status: 200, body: 'short' } : null);
    expect(await transient(files(['README.md']))).toContain('bytes');
  });

  it.each(['.', '..'])('cannot be named %j', async (path) => {
    await transient(files([path]));
    expect(server.asked).toHaveLength(0);
  });
});
