import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Site, startSite, TOKEN } from '../../../test/forges/github-site.ts';
import { StalledError, WaitingError } from '../../core/errors.ts';

const ID = 'github:ml/iris';
const LIMIT = 1024 * 1024;

let site: Site;
let sha: string;
beforeEach(async () => {
  site = await startSite();
  sha = site.server.commit(site.model, 'main', { 'README.md': '# Iris' });
});
afterEach(() => site[Symbol.asyncDispose]());

const asked = () => site.server.asked.map(({ method, path }) => `${method} ${path.replace('/api/v3', '')}`);
const readRef = (ref: string, paths: string[] = []) => site.forge.repositories.readRef(ID, ref, paths, LIMIT);
const readFile = async (path: string, maxBytes = LIMIT) =>
  (await site.forge.repositories.readFiles(ID, sha, [path], maxBytes))[0];
const listRefs = () => site.forge.repositories.listRefs(ID);

describe('reading a ref on GitHub', () => {
  it('costs two requests with a file of it', async () => {
    expect(await readRef('refs/heads/main', ['README.md'])).toMatchObject({ sha, files: [{ kind: 'file' }] });
    expect(asked()).toEqual([
      'GET /repos/ml/iris/git/ref/heads/main',
      `GET /repos/ml/iris/contents/README.md?ref=${sha}`,
    ]);
  });

  it('follows a tag of a tag of a tag to the commit', async () => {
    const inner = site.server.annotate(site.model, 'refs/tags/inner', { type: 'commit', sha });
    const middle = site.server.annotate(site.model, 'refs/tags/middle', { type: 'tag', sha: inner });
    const object = site.server.annotate(site.model, 'refs/tags/outer', { type: 'tag', sha: middle });
    expect(await readRef('refs/tags/outer')).toEqual({ sha, object, files: [] });
    expect((await listRefs()).find(({ ref }) => ref === 'refs/tags/outer')).toMatchObject({ sha, object });
  });

  it('is a fault for a person where a tag is of a tree, or its tag object is not there', async () => {
    site.server.annotate(site.model, 'refs/tags/tree', { type: 'tree', sha: 'a'.repeat(40) });
    await expect(readRef('refs/tags/tree')).rejects.toThrow(
      new StalledError('refs/tags/tree points to a tree', 'make it point to a commit'),
    );
    site.model.refs.set('refs/tags/lost', { type: 'tag', sha: 'b'.repeat(40) });
    await expect(readRef('refs/tags/lost')).rejects.toBeInstanceOf(StalledError);
    await expect(readRef('refs/tags/lost')).rejects.toThrow(/refs\/tags\/lost points to bbbbbbb/);
  });

  it.each([
    'refs/tags/100%25',
    'refs/heads/a#b',
    'refs/tags/früh/模型',
    'refs/tags/a&b=c+d',
    'refs/tags/{x}',
    'refs/tags/(x)!',
  ])('reads and lists %s, whatever its letters mean in an address', async (ref) => {
    site.model.refs.set(ref, { type: 'commit', sha });
    expect(await readRef(ref)).toMatchObject({ sha });
    expect(await listRefs()).toContainEqual(expect.objectContaining({ ref, sha }));
  });

  it('believes that a ref is gone only where the repository says what is there', async () => {
    expect(await readRef('refs/tags/none')).toBeNull();
    site.server.tokens.set('ghp_aSecretToken', { reads: false, writes: true });
    await expect(readRef('refs/tags/none')).rejects.toThrow(/was not found on forge "github", or its token/);
    site.server.delete(site.model);
    await expect(readRef('refs/tags/none')).rejects.not.toBeInstanceOf(StalledError);
  });

  it('does not take a list of what begins with the name for the ref, as old servers answer', async () => {
    site.model.refs.set('refs/tags/v1.0', { type: 'commit', sha });
    const list = [{ ref: 'refs/tags/v1.0', object: { type: 'commit', sha } }];
    site.server.fault = (_, path) => (path.endsWith('/git/ref/tags/v1') ? { status: 200, body: list } : null);
    expect(await readRef('refs/tags/v1')).toBeNull();
  });

  it('does not take another ref for it', async () => {
    const other = { ref: 'refs/tags/V1', object: { type: 'commit', sha } };
    site.server.fault = (_, path) =>
      path.endsWith('/git/ref/tags/v1') ? { status: 200, body: other } : null;
    expect(await readRef('refs/tags/v1')).toBeNull();
  });

  it('in a repository that is suddenly empty throws: nothing is gone', async () => {
    site.model.refs.clear();
    await expect(readRef('refs/heads/main')).rejects.toThrow(/answered 409.*empty/);
  });

  it('follows a repository to its new name, on the same host', async () => {
    site.server.rename(site.model, 'ml/iris-2');
    expect(await readRef('refs/heads/main', ['README.md'])).toMatchObject({ sha });
    expect(await listRefs()).toHaveLength(1);
  });

  it.each(['github:ml', 'github:a/b/c', 'github:ml/../iris', 'github:ml/', 'github:-x/y', 'none'])(
    'is a fault for a person in %s, which GitHub cannot have',
    async (repository) => {
      const reading = site.forge.repositories.readRef(repository, 'refs/heads/main', [], LIMIT);
      await expect(reading).rejects.toBeInstanceOf(StalledError);
      expect(asked()).toEqual([]);
    },
  );
});

describe('a file on GitHub', () => {
  it('is read to the byte where GitHub hands it out raw alone, though it calls it UTF-8', async () => {
    const bytes = Buffer.alloc(
      2 * LIMIT,
      Uint8Array.from({ length: 256 }, (_, byte) => byte),
    );
    sha = site.server.commit(site.model, 'main', { 'large.bin': bytes });
    const file = await readFile('large.bin', 2 * LIMIT);
    expect(file?.kind === 'file' && Buffer.compare(Buffer.from(file.bytes), bytes)).toBe(0);
  });

  it('over the limit is never fetched: its size is asked for first', async () => {
    sha = site.server.commit(site.model, 'main', { 'weights.bin': { size: 50 * LIMIT } });
    expect(await readFile('weights.bin')).toEqual({
      kind: 'tooLarge',
      path: 'weights.bin',
      size: 50 * LIMIT,
    });
    expect(site.server.asked.every(({ headers }) => !headers.accept?.includes('raw'))).toBe(true);
  });

  it('over 100 MB, which GitHub refuses, has the size that its folder says', async () => {
    sha = site.server.commit(site.model, 'main', {
      'a/b c/w.bin': { size: 300 * LIMIT },
      'w.bin': { size: 200 * LIMIT },
    });
    expect(await readFile('a/b c/w.bin')).toMatchObject({ kind: 'tooLarge', size: 300 * LIMIT });
    expect(await readFile('w.bin')).toMatchObject({ kind: 'tooLarge', size: 200 * LIMIT });
  });

  it('is what a symbolic link leads to, and missing where that is none', async () => {
    const files = {
      'link.md': { link: 'README.md' },
      'out.md': { link: '../../etc/passwd' },
      sub: { submodule: true },
    } as const;
    sha = site.server.commit(site.model, 'main', files);
    const linked = await readFile('link.md');
    expect(linked?.kind === 'file' && Buffer.from(linked.bytes).toString()).toBe('# Iris');
    expect(await readFile('out.md')).toEqual({ kind: 'missing', path: 'out.md' });
    expect(await readFile('sub')).toEqual({ kind: 'missing', path: 'sub' });
  });

  it.each(['100%.md', 'a b/c#d.md', 'ä:b.md', 'q?.md', '{x}.md'])('may be called %s', async (path) => {
    sha = site.server.commit(site.model, 'main', { [path]: 'text' });
    expect(await readFile(path)).toMatchObject({ kind: 'file' });
  });

  it('outside the repository is not asked for', async () => {
    await expect(readFile('../../../user')).rejects.toThrow(/segment/);
    expect(asked()).toEqual([]);
  });

  it('of a commit that does not change costs nothing of the rate limit the second time', async () => {
    await readFile('README.md');
    expect(await readFile('README.md')).toMatchObject({ kind: 'file' });
    expect(site.server.asked.map(({ status }) => status)).toEqual([200, 304]);
  });
});

describe('listing the refs on GitHub', () => {
  it('asks for 250 tags with few requests, for what changed alone the next time, and knows all dates', async () => {
    for (let n = 0; n < 250; n += 1)
      if (n % 2 === 0) site.server.annotate(site.model, `refs/tags/v${n}`, { type: 'commit', sha });
      else site.model.refs.set(`refs/tags/v${n}`, { type: 'commit', sha });
    const refs = await listRefs();
    expect(refs).toHaveLength(251);
    for (const each of refs) expect(each).toMatchObject({ sha, createdAt: expect.any(Number) });
    // A page of branches, three of tags and those once more, and 126 objects in two queries.
    expect(asked()).toHaveLength(9);
    site.server.asked.length = 0;
    expect(await listRefs()).toEqual(refs);
    expect(site.server.asked.map(({ method, status }) => `${method} ${status}`)).toEqual(
      Array(7).fill('GET 304'),
    );
  });

  it('gives the date of the tag, not of its commit, and no tag of a tree', async () => {
    const object = site.server.annotate(site.model, 'refs/tags/v1', { type: 'commit', sha });
    site.server.annotate(site.model, 'refs/tags/tree', { type: 'tree', sha: 'a'.repeat(40) });
    const tag = site.model.tags.get(object);
    if (tag) tag.date = '2026-05-01T12:00:00+02:00';
    const [, v1, ...others] = await listRefs();
    expect(v1).toMatchObject({ createdAt: Date.parse('2026-05-01T10:00:00Z') });
    expect(others).toEqual([]);
  });

  it('leaves out what begins like branches and tags and is neither', async () => {
    const others = ['refs/headship/x', 'refs/tagsv1', 'refs/pull/1/head'];
    const refs = ['refs/heads/main', ...others].map((ref) => ({ ref, object: { type: 'commit', sha } }));
    site.server.fault = (_, path) => (path.includes('matching-refs') ? { status: 200, body: refs } : null);
    expect((await listRefs()).map(({ ref }) => ref)).toEqual(['refs/heads/main']);
  });

  it('is empty for a repository to which nobody has pushed yet', async () => {
    site.model.refs.clear();
    expect(await listRefs()).toEqual([]);
  });

  it('gives all or nothing: a page that fails, is empty or of something else is no end of the list', async () => {
    site.server.pageSize = 1;
    for (const tag of ['v1', 'v2', 'v3']) site.model.refs.set(`refs/tags/${tag}`, { type: 'commit', sha });
    for (const body of ['', null, {}, '<html>', [{ ref: 'refs/tags/v2' }]]) {
      site.server.fault = (_, path) => (path.includes('page=2') ? { status: 200, body } : null);
      await expect(listRefs()).rejects.toThrow(/another shape/);
    }
    for (const status of [404, 409, 500]) {
      site.server.fault = (_, path) => (path.includes('page=2') ? { status, body: {} } : null);
      await expect(listRefs()).rejects.toThrow();
    }
    site.server.fault = null;
    expect(await listRefs()).toHaveLength(4);
  });

  it('misses no tag where another is deleted between two pages', async () => {
    site.server.pageSize = 2;
    for (const tag of ['v1', 'v2', 'v3', 'v4', 'v5'])
      site.model.refs.set(`refs/tags/${tag}`, { type: 'commit', sha });
    site.server.fault = (_, path) => {
      if (path.includes('tags/') && path.includes('page=2')) site.model.refs.delete('refs/tags/v1');
      return null;
    };
    const names = (await listRefs()).map(({ ref }) => ref);
    expect(names).toEqual(['refs/heads/main', ...['v2', 'v3', 'v4', 'v5'].map((tag) => `refs/tags/${tag}`)]);
  });

  it('goes on behind links with a name of the server that is not ours', async () => {
    site.server.linksAt = 'https://inside.example.com';
    site.server.pageSize = 1;
    for (const tag of ['v1', 'v2']) site.model.refs.set(`refs/tags/${tag}`, { type: 'commit', sha });
    expect(await listRefs()).toHaveLength(3);
  });

  it('goes on where a limit stopped it: what was read of the tags is not asked for again', async () => {
    site.model.private = false;
    const nobody = site.forgeAs(null);
    const [, , last = ''] = ['v1', 'v2', 'v3'].map((tag) =>
      site.server.annotate(site.model, `refs/tags/${tag}`, { type: 'commit', sha }),
    );
    const limit = { status: 403, body: { message: 'You have exceeded a secondary rate limit.' } };
    site.server.fault = (_, path) => (path.endsWith(last) ? limit : null);
    await expect(nobody.repositories.listRefs(ID)).rejects.toBeInstanceOf(WaitingError);
    site.server.fault = null;
    site.server.asked.length = 0;
    expect(await nobody.repositories.listRefs(ID)).toHaveLength(4);
    expect(asked().filter((each) => each.includes('/git/tags/'))).toEqual([
      `GET /repos/ml/iris/git/tags/${last}`,
    ]);
  });

  it('is put off where the refs never hold still', async () => {
    site.server.pageSize = 2;
    let n = 100;
    for (const tag of ['v1', 'v2']) site.model.refs.set(`refs/tags/${tag}`, { type: 'commit', sha });
    site.server.fault = (_, path) => {
      n += 1;
      if (path.includes('tags/') && !path.includes('page=2'))
        site.model.refs.set(`refs/tags/v${n}`, { type: 'commit', sha });
      return null;
    };
    await expect(listRefs()).rejects.toThrow(/change while they are read/);
  });

  it('throws without GraphQL’s words where they repeat the token', async () => {
    const errors = [{ message: `no access for ${TOKEN}` }];
    site.server.fault = (_, path) => (path === '/api/graphql' ? { status: 200, body: { errors } } : null);
    await expect(listRefs()).rejects.toThrow(/^GitHub did not answer a GraphQL query$/);
  });

  it('throws where GraphQL does not answer', async () => {
    const bodies = [
      { errors: [{ message: 'Something went wrong' }] },
      { data: { repository: null } },
      'x',
      {},
    ];
    for (const body of bodies) {
      site.server.fault = (_, path) => (path === '/api/graphql' ? { status: 200, body } : null);
      const error = await listRefs().catch((thrown: unknown) => thrown);
      expect((error as Error).constructor).toBe(Error);
    }
  });
});

describe('the identity of a repository on GitHub', () => {
  const identify = (repository = ID) => site.forge.repositories.identify(repository);

  it('has the spelling of GitHub, whatever the name was asked in', async () => {
    expect(await identify('github:ML/Iris')).toEqual({ repository: ID, projectId: String(site.model.id) });
  });

  it('is not kept: a rename is seen at once, and that another took the old name', async () => {
    await identify();
    site.server.rename(site.model, 'ml/flowers');
    expect(await identify()).toEqual({ repository: 'github:ml/flowers', projectId: String(site.model.id) });
    const taker = site.server.create('ml/iris');
    expect(await identify()).toEqual({ repository: ID, projectId: String(taker.id) });
  });

  it('is believed of no answer with a name that is none', async () => {
    for (const full_name of ['../iris', '', 'ml/-iris', 42]) {
      site.server.fault = () => ({ status: 200, body: { id: 1, archived: false, full_name } });
      const error = await identify().catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ constructor: Error, message: expect.stringContaining('full_name') });
    }
  });
});
