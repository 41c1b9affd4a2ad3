import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Site, startSite, TOKEN } from '../../../test/forges/github-site.ts';
import type { CommitStatus } from '../../core/commit-status.ts';
import { StalledError } from '../../core/errors.ts';

const ID = 'github:ml/iris';

describe('a status on GitHub', () => {
  let site: Site;
  let sha: string;
  beforeEach(async () => {
    site = await startSite();
    sha = site.server.commit(site.model, 'main', { 'README.md': '# Iris' });
  });
  afterEach(() => site[Symbol.asyncDispose]());

  const status = (changes: Partial<CommitStatus> = {}): CommitStatus => ({
    context: 'modelhook/production',
    state: 'pending',
    description: 'Queued for production',
    url: 'https://modelhook.example.com/rollouts/1',
    ...changes,
  });
  const write = (changes: Partial<CommitStatus> = {}, commit = sha) =>
    site.forge.statuses.write(ID, commit, 'refs/heads/main', status(changes));
  const holds = (changes: Partial<CommitStatus> = {}) => site.forge.statuses.holds(ID, sha, status(changes));
  const failure = (work: Promise<unknown>): Promise<Error> =>
    work.then(
      () => new Error('it worked'),
      (error: Error) => error,
    );
  const stalled = async (work: Promise<unknown>, message: RegExp) => {
    const error = await failure(work);
    expect(error).toBeInstanceOf(StalledError);
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain(TOKEN);
  };
  const transient = async (work: Promise<unknown>, message: RegExp) => {
    const error = await failure(work);
    expect(error.constructor).toBe(Error);
    expect(error.message).toMatch(message);
  };

  it.each([
    ['pending', 'pending'],
    ['running', 'pending'],
    ['success', 'success'],
    ['failed', 'failure'],
    ['superseded', 'error'],
    ['cancelled', 'error'],
  ] as const)('%s is written %s', async (state, word) => {
    await write({ state });
    expect(site.model.statuses).toEqual([
      {
        sha,
        state: word,
        context: 'modelhook/production',
        description: 'Queued for production',
        target_url: 'https://modelhook.example.com/rollouts/1',
      },
    ]);
  });

  it('has a description within 140 characters, on one line, without what GitHub refuses', async () => {
    await write({ description: `Fertig 🚀\n${'模型 '.repeat(100)}\ud800` });
    const [{ description } = { description: '' }] = site.model.statuses;
    expect(Array.from(description)).toHaveLength(140);
    expect(description).toMatch(/^Fertig \ufffd 模型 .*…$/);
    expect(await holds({ description: `Fertig 🚀\n${'模型 '.repeat(100)}\ud800` })).toBe(true);
  });

  it('is addressed by the repository’s number, looked up each time, which costs nothing where it stays', async () => {
    await write();
    await write({ state: 'success' });
    const asked = site.server.asked.map(
      ({ method, path, status: answered }) => `${method} ${path.replace('/api/v3', '')} ${answered}`,
    );
    expect(asked).toEqual([
      'GET /repos/ml/iris 200',
      `POST /repositories/${site.model.id}/statuses/${sha} 201`,
      'GET /repos/ml/iris 304',
      `POST /repositories/${site.model.id}/statuses/${sha} 201`,
    ]);
  });

  it('reaches a repository that was renamed, before or after the first one', async () => {
    await write();
    site.server.rename(site.model, 'ml/iris-2');
    await write({ state: 'success' });
    expect(site.model.statuses).toHaveLength(2);
    const later = site.forgeAs({ token: TOKEN });
    await later.statuses.write(ID, sha, 'refs/heads/main', status({ state: 'failed' }));
    expect(site.model.statuses).toHaveLength(3);
    expect(await holds({ state: 'failed' })).toBe(true);
  });

  it('that is redirected was not written', async () => {
    await write();
    site.server.fault = (method) =>
      method === 'POST'
        ? { status: 307, headers: { location: `${site.server.apiUrl}/repositories/1` } }
        : null;
    await transient(write(), /answered 307/);
  });

  it('reaches the repository that took the place of a deleted one, with the next try', async () => {
    await write();
    site.server.delete(site.model);
    await transient(write(), /was not found/);
    const next = site.server.create('ml/iris');
    sha = site.server.commit(next, 'main', {});
    await write();
    expect(next.statuses).toHaveLength(1);
  });

  it.each(['deleted', 'renamed'])('reaches the repository that has the name of one %s', async (fate) => {
    await write();
    if (fate === 'deleted') site.server.delete(site.model);
    else site.server.rename(site.model, 'ml/iris-2');
    const next = site.server.create('ml/iris');
    // A fork, or the same history pushed anew: the old repository would take the status as well.
    for (const [name, commit] of site.model.commits) next.commits.set(name, commit);
    await write({ state: 'success' });
    expect(next.statuses).toHaveLength(1);
    expect(site.model.statuses).toHaveLength(1);
  });

  it('that the token may not write is a fault for a person, and names the scopes', async () => {
    site.server.tokens.set(TOKEN, { reads: true, writes: false });
    await stalled(write(), /"Commit statuses: write" .* "repo:status"/);
    site.server.tokens.set(TOKEN, { reads: true, writes: false, classic: true });
    await stalled(write(), /"Commit statuses: write" .* "repo:status"/);
  });

  it('with a token that GitHub does not know is written another time: it may be replaced meanwhile', async () => {
    site.server.tokens.clear();
    await transient(write(), /does not accept the token .* check the token/);
    await transient(holds(), /check the token/);
    site.server.tokens.set(TOKEN, { reads: true, writes: true });
    site.server.fault = (method) => (method === 'POST' ? { status: 401, body: {} } : null);
    await transient(write(), /check the token/);
    site.server.fault = null;
    await write();
    expect(site.model.statuses).toHaveLength(1);
  });

  it.each([
    ['alone', TOKEN],
    ['where a long text is cut', `${'x'.repeat(295)}${TOKEN}`],
  ])('is refused in words that are not quoted where they repeat the token, %s', async (_, words) => {
    site.server.fault = (method) => (method === 'POST' ? { status: 403, body: { message: words } } : null);
    const error = await failure(write());
    expect(error).toBeInstanceOf(StalledError);
    expect(error.message).not.toContain(TOKEN.slice(0, 4));
  });

  it('without any token is a fault for a person where everybody may read the repository', async () => {
    site.model.private = false;
    const nobody = site.forgeAs(null);
    await stalled(nobody.statuses.write(ID, sha, 'refs/heads/main', status()), /may not write|give it/);
  });

  it('on an archived repository is a fault for a person', async () => {
    await write();
    site.model.archived = true;
    await stalled(write(), /ml\/iris is archived/);
  });

  it('on a commit that is not there is written another time, for replicas lag, and not held', async () => {
    await transient(write({}, 'dead'.repeat(10)), /does not find the commit deaddea/);
    expect(await site.forge.statuses.holds(ID, 'dead'.repeat(10), status())).toBe(false);
  });

  it('that is one too many is a fault for a person, in GitHub’s words', async () => {
    const one = {
      sha,
      state: 'success',
      description: '',
      context: 'ModelHook/Production',
      target_url: 'https://m',
    };
    site.model.statuses.push(...Array.from({ length: 1000 }, () => one));
    await stalled(write(), /maximum number of statuses.*push another commit/);
    await write({ context: 'modelhook/staging' });
  });

  it('with a link that GitHub refuses is a fault for a person', async () => {
    await stalled(write({ url: 'ftp://m/1' }), /http\(s\) scheme.*server\.publicUrl/);
  });

  it('that a failing server or a limit stopped is written another time', async () => {
    for (const code of [500, 502, 503]) {
      site.server.fault = (method) => (method === 'POST' ? { status: code, body: 'x' } : null);
      await transient(write(), new RegExp(`answered ${code}`));
    }
  });

  it('is held in whatever case its context was first written', async () => {
    await write({ context: 'ModelHook/Production' });
    expect(await holds()).toBe(true);
    await write({ state: 'success' });
    expect(await holds()).toBe(false);
  });

  it('is found behind those of many other contexts, and the newest counts', async () => {
    site.server.pageSize = 3;
    await write({ state: 'success' });
    await write();
    for (let n = 0; n < 10; n += 1) await write({ context: `ci/${n}` });
    expect(await holds()).toBe(true);
    expect(await holds({ state: 'success' })).toBe(false);
  });

  it('is found behind a link with a name of the server that is not ours', async () => {
    site.server.linksAt = 'https://inside.example.com';
    site.server.pageSize = 1;
    await write();
    await write({ context: 'ci/1' });
    expect(await holds()).toBe(true);
  });

  it('with no description or link, of somebody else, is not ours', async () => {
    const bare = { context: 'modelhook/production', state: 'pending', description: null, target_url: null };
    site.server.fault = (_, path) => (path.includes('/statuses') ? { status: 200, body: [bare] } : null);
    expect(await holds()).toBe(false);
  });
});
