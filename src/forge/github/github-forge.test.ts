import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { addComment, addPull, mergePull, pushPull } from '../../../test/forges/github-pulls.ts';
import { APP, PRIVATE_KEY, SECRETS, type Site, startSite, TOKEN } from '../../../test/forges/github-site.ts';
import { StalledError, WaitingError } from '../../core/errors.ts';
import { describeForge, type ForgeHarness, type PointNowhere, webhookRequest } from '../contract.ts';
import type { Reviews } from '../forge.ts';
import { describePullRequests, type PullRequestHarness } from '../pull-request-contract.ts';
import { describeReviews, type ReviewHarness } from '../review-contract.ts';
import type { GitHubAuth } from './tokens.ts';
import { DELIVERY_HEADER, EVENT_HEADER, SIGNATURE_HEADER, sign } from './webhooks.ts';

const ZERO = '0'.repeat(40);

/** @param pageSize small, so that lists have many pages */
const makeHarness = (auth: GitHubAuth, pageSize: number) => async (): Promise<ForgeHarness> => {
  const site = await startSite();
  const { server, model } = site;
  server.pageSize = pageSize;
  const signed = (body: string | Uint8Array, secret: string | null, event = 'push') =>
    webhookRequest(
      {
        [EVENT_HEADER]: event,
        [DELIVERY_HEADER]: randomUUID(),
        ...(secret !== null && { [SIGNATURE_HEADER]: sign(secret, body) }),
      },
      body,
    );
  return {
    forge: site.forgeAs(auth),
    other: site.forgeAs(auth),
    repository: 'github:ml/iris',
    absent: 'github:ml/none',
    secrets: SECRETS,
    commit: async (branch, files) => server.commit(model, branch, files),
    point: async (ref, sha) => {
      model.refs.set(ref, { type: 'commit', sha });
    },
    annotate: async (ref, sha) => server.annotate(model, ref, { type: 'commit', sha }),
    remove: async (ref) => {
      model.refs.delete(ref);
    },
    delivery: ({ ref, before, after, object }, secret) => {
      const body = {
        ref,
        before: before ?? ZERO,
        after: object ?? after ?? ZERO,
        created: before === null,
        deleted: after === null,
        forced: false,
        head_commit: after && { id: after },
        repository: { id: model.id, full_name: 'ml/iris' },
      };
      return signed(JSON.stringify(body), secret);
    },
    pullRequestDelivery: (secret) => {
      const body = { action: 'closed', number: 7, repository: { id: model.id, full_name: 'ml/iris' } };
      return signed(JSON.stringify(body), secret, 'pull_request');
    },
    rename: async () => {
      server.rename(model, 'ml/iris-renamed');
      return 'github:ml/iris-renamed';
    },
    testDelivery: (secret) => signed(JSON.stringify({ zen: 'Speak like a human.' }), secret, 'ping'),
    signed,
    end: () => server.stop(),
  };
};

const pointNowhere: PointNowhere = (harness, ref) => harness.point(ref, 'dead'.repeat(10));

describeForge('GitHub with a token', makeHarness({ token: TOKEN }, 100), pointNowhere);
describeForge('GitHub with an App, and lists of many pages', makeHarness({ app: APP }, 2), pointNowhere);

const makePullRequests = (auth: GitHubAuth, pageSize: number) => async (): Promise<PullRequestHarness> => {
  const { server, model, forgeAs } = await startSite();
  server.pageSize = pageSize;
  server.commit(model, 'main', { 'README.md': '# Fleet' });
  const { pullRequests } = forgeAs(auth);
  if (pullRequests === null) throw new Error('GitHub has pull requests');
  const find = (number: number) => {
    const pull = model.pulls.find((each) => each.number === number);
    if (!pull) throw new Error(`there is no #${number}`);
    return pull;
  };
  return {
    pullRequests,
    repository: 'github:ml/iris',
    absent: 'github:ml/none',
    branch: async (name) => {
      server.commit(model, name, { 'iris.yaml': name });
    },
    merge: async (number) => mergePull(find(number)),
    close: async (number) => {
      find(number).state = 'closed';
    },
    openFromFork: async (head) =>
      addPull(model, { head, base: 'main', title: 'mine', body: null }, server.create('eve/iris').id).number,
    commentsOf: async (number) => find(number).comments.map(({ body }) => body),
    end: () => server.stop(),
  };
};

describePullRequests('pull requests of GitHub with a token', makePullRequests({ token: TOKEN }, 100));
describePullRequests('pull requests of GitHub with an App, on many pages', makePullRequests({ app: APP }, 1));

const makeReviews = (auth: GitHubAuth, pageSize: number) => async (): Promise<ReviewHarness> => {
  const { server, model, forgeAs } = await startSite();
  server.pageSize = pageSize;
  for (const branch of ['main', 'release']) server.commit(model, branch, { 'README.md': branch });
  const { reviews, statuses } = forgeAs(auth);
  const known = (made: Reviews | null): Reviews => {
    if (made === null) throw new Error('GitHub has pull requests');
    return made;
  };
  const find = (number: number) => {
    const pull = model.pulls.find((each) => each.number === number);
    if (!pull) throw new Error(`there is no #${number}`);
    return pull;
  };
  return {
    reviews: known(reviews),
    restarted: () => known(forgeAs(auth).reviews),
    statuses,
    repository: 'github:ml/iris',
    absent: 'github:ml/none',
    open: async (from, base, title = 'A change') => {
      const head = `change-${model.pulls.length}`;
      if (from === 'branch') server.commit(model, head, { 'policy.yaml': head });
      const home = from === 'branch' ? model.id : server.create(`eve/iris-${model.pulls.length}`).id;
      const pull = addPull(model, { head, base, title, body: null }, home);
      return { number: pull.number, head: pull.head.sha };
    },
    forcePush: async (number) => pushPull(model, find(number)),
    retarget: async (number, base) => {
      find(number).base.ref = base;
    },
    close: async (number) => {
      find(number).state = 'closed';
    },
    comment: async (number, text) => {
      addComment(find(number), text, { id: 4711, login: 'eve' });
    },
    commentsOf: async (number) => find(number).comments.map(({ body }) => body),
    removeComment: async (number, text) => {
      const pull = find(number);
      pull.comments = pull.comments.filter(({ body }) => body !== text);
    },
    end: () => server.stop(),
  };
};

describeReviews('reviews on GitHub with a token', makeReviews({ token: TOKEN }, 100));
describeReviews('reviews on GitHub with an App, on many pages', makeReviews({ app: APP }, 2));

describe('who we are on GitHub', () => {
  let site: Site;
  beforeEach(async () => {
    site = await startSite();
    site.server.commit(site.model, 'main', { 'README.md': '# Iris' });
  });
  afterEach(() => site[Symbol.asyncDispose]());
  const read = (forge = site.forge) =>
    forge.repositories.readRef('github:ml/iris', 'refs/heads/main', [], 10);
  const authorizations = () => site.server.asked.map(({ headers }) => headers.authorization);

  it('is a token, with every request', async () => {
    await read();
    await site.forge.repositories.listRefs('github:ml/iris');
    expect(new Set(authorizations().map((each) => each?.split(' ')[1]))).toEqual(new Set([TOKEN]));
    expect(await site.forge.tokenFor('ml/iris')).toBe(TOKEN);
  });

  it('is nobody without a token: what everybody may read is read and listed, and nothing is sent', async () => {
    const nobody = site.forgeAs(null);
    await expect(read(nobody)).rejects.toThrow(/is private; .* give the forge a token/);
    site.model.private = false;
    const sha = site.model.refs.get('refs/heads/main')?.sha ?? '';
    const object = site.server.annotate(site.model, 'refs/tags/v1', { type: 'commit', sha });
    expect(await read(nobody)).toMatchObject({ sha });
    expect(await nobody.repositories.listRefs('github:ml/iris')).toEqual([
      { ref: 'refs/heads/main', sha, object: sha, createdAt: null },
      { ref: 'refs/tags/v1', sha, object, createdAt: expect.any(Number) },
    ]);
    expect(authorizations().every((each) => each === undefined)).toBe(true);
    expect(await nobody.tokenFor('ml/iris')).toBeNull();
  });

  it('is an App, whose installation is looked up once, and its token kept', async () => {
    const app = site.forgeAs({ app: APP });
    await Promise.all([read(app), read(app), app.tokenFor('ml/iris')]);
    await read(app);
    const asked = site.server.asked.filter(({ path }) => /installation/.test(path));
    expect(asked.map(({ method, path }) => `${method} ${path}`)).toEqual([
      'GET /api/v3/repos/ml/iris/installation',
      'POST /api/v3/app/installations/31/access_tokens',
    ]);
  });

  it('gets a new token of the App before the old one is over, one for all who ask', async () => {
    const app = site.forgeAs({ app: APP });
    const first = await app.tokenFor('ml/iris');
    site.clock.at += 54 * 60_000;
    expect(await app.tokenFor('ml/iris')).toBe(first);
    site.clock.at += 2 * 60_000;
    const [second, third] = await Promise.all([app.tokenFor('ml/iris'), app.tokenFor('ml/iris')]);
    expect(second).not.toBe(first);
    expect(third).toBe(second);
    expect(site.server.asked.filter(({ path }) => path.endsWith('access_tokens'))).toHaveLength(2);
  });

  it('gets a new token where the old one is refused, also when writing: nobody needs to act', async () => {
    const app = site.forgeAs({ app: APP });
    const { sha = '' } = (await read(app)) ?? {};
    const refused = async (work: () => Promise<unknown>) => {
      site.server.tokens.clear();
      await expect(work()).rejects.toThrow(/check the token/);
      await expect(work()).resolves.not.toBeNull();
    };
    await refused(() => read(app));
    const status = { context: 'c', state: 'success', description: 'd', url: 'https://m/1' } as const;
    const write = () => app.statuses.write('github:ml/iris', sha, 'refs/heads/main', status);
    await write();
    await refused(write);
  });

  it('asks anew for an installation that was removed and made again', async () => {
    const app = site.forgeAs({ app: APP });
    await read(app);
    for (const each of ['ml/iris', 'ml']) site.server.app?.installed.set(each, 32);
    site.clock.at += 3_600_000;
    await expect(read(app)).rejects.toThrow(/gives the App of forge "github" no token/);
    expect(await read(app)).not.toBeNull();
  });

  it('finds the installation of the new owner where a repository was transferred', async () => {
    const app = site.forgeAs({ app: APP });
    await read(app);
    site.server.rename(site.model, 'vision/iris');
    site.server.app?.installed.set('vision/iris', 47);
    await expect(read(app)).rejects.not.toBeInstanceOf(StalledError);
    expect(await read(app)).not.toBeNull();
    expect(await app.repositories.identify('github:ml/iris')).toEqual({
      repository: 'github:vision/iris',
      projectId: String(site.model.id),
    });
  });

  it('is never mixed up with an App on another GitHub that has an installation of the same number', async () => {
    await using other = await startSite();
    other.server.commit(other.model, 'main', { 'README.md': '# Iris' });
    const [here, there] = [site, other].map((each) => each.forgeAs({ app: APP }));
    const tokens = await Promise.all([here?.tokenFor('ml/iris'), there?.tokenFor('ml/iris')]);
    expect(site.server.tokens.has(tokens[0] ?? '')).toBe(true);
    expect(other.server.tokens.has(tokens[1] ?? '')).toBe(true);
    expect(tokens[0]).not.toBe(tokens[1]);
  });

  it('says where the App is not installed, and that its key or id is wrong, without the key', async () => {
    const app = site.forgeAs({ app: APP });
    await expect(app.tokenFor('ml/other')).rejects.toThrow(/is not installed on ml\/other.*install it/);
    const wrong = site.forgeAs({ app: { id: '1', privateKey: PRIVATE_KEY } });
    await expect(read(wrong)).rejects.toThrow(/does not accept the App .* check app\.id/);
    await expect(read(wrong)).rejects.not.toBeInstanceOf(StalledError);
    for (const privateKey of ['', 'a-secret-key', PRIVATE_KEY.slice(0, 200)])
      expect(() => site.forgeAs({ app: { id: '1', privateKey } })).toThrow(/private key .* cannot be read/);
    expect(() => site.forgeAs({ app: { id: '1', privateKey: 'a-secret-key' } })).not.toThrow(/a-secret-key/);
  });

  it('is not quoted where a refusal repeats what an App sent', async () => {
    site.server.fault = () => {
      const sent = 'eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiI0NzExIn0.c2lnbmVk';
      return { status: 403, body: { message: `${sent} is not welcome` } };
    };
    const app = site.forgeAs({ app: APP });
    await expect(app.tokenFor('ml/iris')).rejects.toThrow(/no token: it answered 403$/);
  });

  it('may have its key in either form, with line ends spelled out', async () => {
    const app = site.forgeAs({ app: { id: '4711', privateKey: PRIVATE_KEY.replaceAll('\n', '\\n') } });
    expect(await read(app)).not.toBeNull();
  });

  it('asks nothing, and loads nothing, before it is used', async () => {
    site.forgeAs({ app: APP });
    expect(site.server.asked).toEqual([]);
  });
});

describe('a GitHub in trouble', () => {
  let site: Site;
  beforeEach(async () => {
    site = await startSite();
    site.server.commit(site.model, 'main', { 'README.md': '# Iris' });
  });
  afterEach(() => {
    vi.restoreAllMocks();
    return site[Symbol.asyncDispose]();
  });
  const failure = (): Promise<Error> =>
    site.forge.repositories.readRef('github:ml/iris', 'refs/heads/main', ['README.md'], 1000).then(
      () => new Error('it was read'),
      (error: Error) => error,
    );
  const answer = (status: number, body: unknown, headers: Record<string, string> = {}) => {
    site.server.fault = () => ({ status, body, headers });
  };

  it.each([
    ['a server error', 502, '<html>Bad gateway</html>', { 'content-type': 'text/html' }],
    ['a login page of a proxy', 200, '<html>Log in</html>', { 'content-type': 'text/html' }],
    ['HTML that calls itself JSON', 200, '<html>', { 'content-type': 'application/json' }],
    ['an empty answer', 200, '', {}],
    ['an unreadable content type', 200, '{}', { 'content-type': '///;=' }],
    ['another shape', 200, { ref: 42 }, {}],
    ['null', 200, null, {}],
    ['a revoked token', 401, { message: 'Bad credentials' }, {}],
    ['no permission', 403, { message: 'Resource not accessible' }, {}],
    ['a redirect to nowhere', 302, '', {}],
  ])(
    'that answers %s throws a plain error: nothing is gone, and no bug of ours',
    async (_, status, body, headers) => {
      answer(status, body, { ...headers });
      const error = await failure();
      expect(error.constructor).toBe(Error);
      expect(error.message).not.toBe('it was read');
      expect(error.message).not.toContain(TOKEN);
    },
  );

  it('that cannot be reached says so', async () => {
    await site.server.stop();
    const error = await failure();
    expect(error.constructor).toBe(Error);
    expect(error.message).toMatch(/cannot be reached/);
  });

  it.each([
    ['says how long', 403, { 'retry-after': '17' }, {}, 17_000],
    ['has nothing left', 403, { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '1' }, {}, 1000],
    ['says so in words alone', 403, {}, { message: 'You have exceeded a secondary rate limit.' }, 60_000],
    ['answers 429 and no more', 429, {}, {}, 60_000],
  ])('that limits our rate and %s is waited for', async (_, status, headers, body, after) => {
    answer(status, body, headers);
    const error = await failure();
    expect(error).toBeInstanceOf(WaitingError);
    expect(error).toMatchObject({ after });
  });

  it('that limits GraphQL with status 200 is waited for', async () => {
    const reset = String(Math.ceil(site.clock.at / 1000) + 100);
    site.server.fault = (_, path) =>
      path === '/api/graphql'
        ? {
            status: 200,
            body: { errors: [{ type: 'RATE_LIMITED', message: 'API rate limit exceeded' }] },
            headers: { 'x-ratelimit-reset': reset },
          }
        : null;
    await expect(site.forge.repositories.listRefs('github:ml/iris')).rejects.toBeInstanceOf(WaitingError);
  });

  it('is asked once, not again and again: trying again is the pipeline’s business', async () => {
    answer(502, 'Bad gateway');
    await failure();
    expect(site.server.asked).toHaveLength(1);
  });

  it('gets no second chance to see the token on another host', async () => {
    await using other = await startSite();
    site.server.fault = (_, path) => ({ status: 301, headers: { location: `${other.server.url}${path}` } });
    expect((await failure()).message).toMatch(/sends us to/);
    expect(other.server.asked).toEqual([]);
  });

  it('writes nothing on the console, not even that an address is deprecated', async () => {
    const spies = (['log', 'info', 'warn', 'error', 'debug'] as const).map((name) =>
      vi.spyOn(console, name).mockImplementation(() => {}),
    );
    answer(404, { message: 'Not Found' }, { deprecation: 'true', sunset: 'tomorrow' });
    await failure();
    for (const spy of spies) expect(spy).not.toHaveBeenCalled();
  });
});
