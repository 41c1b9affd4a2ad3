import { randomUUID } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { mergeRequestBody, pushBody, signedHeaders } from '../../../test/forges/gitlab-hook.ts';
import { type Fault, GitLabServer } from '../../../test/forges/gitlab-server.ts';
import { StalledError, WaitingError } from '../../core/errors.ts';
import { describeForge, type ForgeHarness, type PointNowhere, webhookRequest } from '../contract.ts';
import type { Forge, Reviews } from '../forge.ts';
import { describePullRequests, type PullRequestHarness } from '../pull-request-contract.ts';
import { describeReviews, type ReviewHarness } from '../review-contract.ts';
import { createGitLabForge } from './gitlab-forge.ts';

const TOKEN = 'glpat-a-token';
const PATH = 'ml/vision/iris';
const SECRETS = ['a', 'b'].map((letter) => `whsec_${Buffer.from(letter.repeat(32)).toString('base64')}`);

const forgeAt = (server: GitLabServer, changes: { token?: string | null; apiUrl?: string } = {}): Forge =>
  createGitLabForge({
    name: 'gitlab',
    url: server.url,
    apiUrl: `${server.url}/api/v4`,
    token: TOKEN,
    webhookSecrets: SECRETS,
    ca: null,
    now: Date.now,
    ...changes,
  });

const servers = new WeakMap<ForgeHarness, GitLabServer>();

const makeHarness = (set: (server: GitLabServer) => void) => async (): Promise<ForgeHarness> => {
  const server = await new GitLabServer().start();
  server.tokens.set(TOKEN, { user: 'modelhook', scope: 'api', role: 'Developer' });
  server.create(PATH);
  set(server);
  const signed = (body: string | Uint8Array, secret: string | null) =>
    webhookRequest(signedHeaders(body, secret), body);
  const harness: ForgeHarness = {
    forge: forgeAt(server),
    other: forgeAt(server),
    repository: `gitlab:${PATH}`,
    absent: 'gitlab:ml/none',
    secrets: SECRETS,
    commit: async (branch, files) => server.commit(PATH, branch, files),
    point: async (ref, sha) => server.point(PATH, ref, sha),
    annotate: async (ref, sha) => server.annotate(PATH, ref, sha),
    remove: async (ref) => {
      server.of(PATH).refs.delete(ref);
    },
    delivery: (push, secret) => signed(JSON.stringify(pushBody(push, PATH)), secret),
    testDelivery: (secret) => {
      const sha = 'a'.repeat(40);
      return signed(JSON.stringify(pushBody({ ref: 'refs/heads/main', before: sha, after: sha })), secret);
    },
    pullRequestDelivery: (secret) => signed(JSON.stringify(mergeRequestBody('merge', PATH)), secret),
    rename: async () => {
      server.rename(PATH, 'ml/vision/iris-renamed');
      return 'gitlab:ml/vision/iris-renamed';
    },
    signed,
    end: () => server.stop(),
  };
  servers.set(harness, server);
  return harness;
};

const pointNowhere: PointNowhere = async (harness, ref) =>
  servers.get(harness)?.point(PATH, ref, 'dead'.repeat(10));

describeForge(
  'GitLab',
  makeHarness(() => {}),
  pointNowhere,
);
describeForge(
  'GitLab with short pages by number, as old versions have them',
  makeHarness((server) => {
    server.keyset = false;
    server.pageSize = 2;
  }),
  pointNowhere,
);
describeForge(
  'GitLab with short pages by token, which thinks it has another address',
  makeHarness((server) => {
    server.pageSize = 2;
    server.externalUrl = 'https://outside.example.com';
  }),
  pointNowhere,
);

const makePullRequests = (set: (server: GitLabServer) => void) => async (): Promise<PullRequestHarness> => {
  const server = await new GitLabServer().start();
  server.tokens.set(TOKEN, { user: 'modelhook', scope: 'api', role: 'Developer' });
  server.create(PATH);
  server.commit(PATH, 'main', { 'README.md': '# Fleet' });
  set(server);
  const { pullRequests } = forgeAt(server);
  if (!pullRequests) throw new Error('GitLab has merge requests');
  const { mergeRequests } = server.of(PATH);
  return {
    pullRequests,
    repository: `gitlab:${PATH}`,
    absent: 'gitlab:ml/none',
    branch: async (name) => {
      server.commit(PATH, name, { 'a.yaml': 'a' });
    },
    merge: async (number) => mergeRequests.merge(number),
    close: async (number) => mergeRequests.setState(number, 'closed'),
    openFromFork: async (head) => mergeRequests.openFromFork(head),
    commentsOf: async (number) => mergeRequests.notes.get(number)?.map(({ body }) => body) ?? [],
    end: () => server.stop(),
  };
};
describePullRequests(
  'merge requests of GitLab',
  makePullRequests(() => {}),
);
describePullRequests(
  'merge requests of GitLab with short pages',
  makePullRequests((server) => {
    server.pageSize = 2;
  }),
);

const makeReviews = (set: (server: GitLabServer) => void) => async (): Promise<ReviewHarness> => {
  const server = await new GitLabServer().start();
  server.tokens.set('glpat-of-eve', { user: 'eve', scope: 'api', role: 'Guest' });
  server.tokens.set(TOKEN, { user: 'modelhook', scope: 'api', role: 'Developer' });
  const id = server.create(PATH);
  for (const branch of ['main', 'release']) server.commit(PATH, branch, { 'README.md': branch });
  set(server);
  const { mergeRequests, commits } = server.of(PATH);
  const made = new Map<number, { branch: string; from: number }>();
  /** A fork's commit is there as well, on no branch. */
  const push = (branch: string, from: number): string => {
    const sha = server.commit(PATH, branch, { 'policy.yaml': randomUUID() });
    if (from !== id) server.of(PATH).refs.delete(`refs/heads/${branch}`);
    expect(commits.has(sha)).toBe(true);
    return sha;
  };
  const reviewsOf = ({ reviews }: Forge): Reviews => {
    if (!reviews) throw new Error('GitLab has merge requests');
    return reviews;
  };
  const forge = forgeAt(server);
  return {
    reviews: reviewsOf(forge),
    restarted: () => reviewsOf(forgeAt(server)),
    statuses: forge.statuses,
    repository: `gitlab:${PATH}`,
    absent: 'gitlab:ml/none',
    open: async (of, base, title = 'A change') => {
      const [branch, from] = [`change-${made.size}`, of === 'fork' ? 99 : id];
      const head = push(branch, from);
      const number = mergeRequests.openAt(head, branch, base, title, from);
      mergeRequests.addNote(number, 'assigned to @modelhook', server.idOf('modelhook'), true);
      made.set(number, { branch, from });
      return { number, head };
    },
    forcePush: async (number) => {
      const { branch, from } = made.get(number) ?? { branch: '', from: id };
      const sha = push(branch, from);
      mergeRequests.change(number, { sha });
      return sha;
    },
    retarget: async (number, target_branch) => mergeRequests.change(number, { target_branch }),
    close: async (number) => mergeRequests.setState(number, 'closed'),
    comment: async (number, text) => {
      mergeRequests.addNote(number, text, server.idOf('eve'));
    },
    // As Markdown shows it.
    commentsOf: async (number) =>
      (mergeRequests.notes.get(number) ?? [])
        .filter(({ system }) => !system)
        .map(({ body }) => body.replace(/^\\\//gm, '/')),
    removeComment: async (number, text) => {
      const notes = mergeRequests.notes.get(number) ?? [];
      mergeRequests.notes.set(
        number,
        notes.filter(({ body }) => body.replace(/^\\\//gm, '/') !== text),
      );
    },
    end: () => server.stop(),
  };
};
describeReviews(
  'reviews on GitLab',
  makeReviews(() => {}),
);
describeReviews(
  'reviews on GitLab with short pages',
  makeReviews((server) => {
    server.pageSize = 2;
  }),
);

describe('asking GitLab', () => {
  let server: GitLabServer;
  const start = async (fault: Fault | null = null): Promise<Forge> => {
    server = await new GitLabServer().start();
    server.tokens.set(TOKEN, { user: 'modelhook', scope: 'api', role: 'Developer' });
    server.create(PATH);
    server.commit(PATH, 'main', { 'README.md': 'x' });
    server.fault = fault;
    return forgeAt(server);
  };
  afterEach(() => server.stop());
  const REF = 'refs/heads/main';
  const SHA = 'a'.repeat(40);
  const status = {
    context: 'modelhook/prod',
    state: 'pending',
    description: 'x',
    url: 'https://x/1',
  } as const;
  const draft = { head: 'a', base: 'main', title: 'x', text: '' };
  const pullRequestsOf = ({ pullRequests }: Forge) => {
    if (!pullRequests) throw new Error('GitLab has merge requests');
    return pullRequests;
  };
  const works: [string, (forge: Forge) => Promise<unknown>][] = [
    ['identifying a project', (forge) => forge.repositories.identify(`gitlab:${PATH}`)],
    ['listing merge requests', (forge) => pullRequestsOf(forge).listOpen(`gitlab:${PATH}`, '')],
    ['reading a merge request', (forge) => pullRequestsOf(forge).get(`gitlab:${PATH}`, 1)],
    ['opening a merge request', (forge) => pullRequestsOf(forge).open(`gitlab:${PATH}`, draft)],
    ['editing a merge request', (forge) => pullRequestsOf(forge).edit(`gitlab:${PATH}`, 1, draft)],
    ['commenting', (forge) => pullRequestsOf(forge).comment(`gitlab:${PATH}`, 1, 'x')],
    ['reading a ref', (forge) => forge.repositories.readRef(`gitlab:${PATH}`, REF, ['README.md'], 9)],
    ['reading files', (forge) => forge.repositories.readFiles(`gitlab:${PATH}`, SHA, ['README.md'], 9)],
    ['listing refs', (forge) => forge.repositories.listRefs(`gitlab:${PATH}`)],
    ['writing a status', (forge) => forge.statuses.write(`gitlab:${PATH}`, SHA, REF, status)],
    ['reading a status back', (forge) => forge.statuses.holds(`gitlab:${PATH}`, SHA, status)],
  ];
  const refused = async (work: Promise<unknown>): Promise<Error> => {
    const error = await work.then(
      () => new Error('nothing was thrown'),
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(Error);
    const { message, stack } = error as Error;
    expect(message).not.toBe('nothing was thrown');
    expect(`${message} ${stack}`).not.toContain(TOKEN);
    return error as Error;
  };
  const isTransient = (error: Error) => error.constructor === Error;

  describe.each(works)('%s', (_name, work) => {
    it.each([
      ['a 500', { status: 500, body: { message: '500 Internal Server Error' } }],
      ['a 502 with a page', { status: 502, body: '<html>Bad Gateway</html>' }],
      ['a page of a proxy in place of the answer', { status: 200, body: '<html>Sign in</html>' }],
      ['JSON of another shape', { status: 200, body: { hello: ['world'] } }],
      ['null', { status: 200, body: null }],
      [
        'an empty answer that claims to be JSON',
        { status: 200, headers: { 'content-type': 'application/json' } },
      ],
      ['a redirect without an address', { status: 302 }],
      ['a redirect to another host', { status: 302, headers: { location: 'http://localhost:1/api/v4/x' } }],
    ])('that meets %s is tried again, by the pipeline and not before', async (_what, reply) => {
      const forge = await start(() => reply);
      expect(await refused(work(forge))).toSatisfy(isTransient);
      const paths = server.asked.map(({ method, path }) => `${method} ${path}`);
      expect(new Set(paths).size).toBe(paths.length);
    });

    it('waits as long as a rate limit says, whose answer is no JSON', async () => {
      const forge = await start(() => ({
        status: 429,
        body: 'Retry later\n',
        headers: { 'retry-after': '17' },
      }));
      const error = await refused(work(forge));
      expect(error).toBeInstanceOf(WaitingError);
      expect(error).toMatchObject({ after: 17_000 });
      const { length } = server.asked;
      await refused(work(forge));
      expect(server.asked.length).toBe(length);
    });

    it('says that nobody answers, in a sentence', async () => {
      const forge = await start();
      await server.stop();
      expect(await refused(work(forge))).toSatisfy(isTransient);
      await server.start();
    });

    it('does not repeat a token that no header can hold', async () => {
      await start();
      const error = await refused(work(forgeAt(server, { token: `${TOKEN}\n` })));
      expect(error).toSatisfy(isTransient);
      expect(error.message).toContain('check the token');
      expect(server.asked).toHaveLength(0);
    });
  });

  it('sends the token with every request, and only below the API', async () => {
    const forge = await start();
    for (const [, work] of works) await work(forge).catch(() => {});
    expect(server.asked.length).toBeGreaterThan(5);
    for (const { headers, path } of server.asked) {
      expect(headers['private-token']).toBe(TOKEN);
      expect(path).toMatch(/^\/api\/v4\/projects\/(?:ml%2Fvision%2Firis|\d+)/);
    }
  });

  it('sends none where there is none, and says so of what is not public', async () => {
    await start((_method, path) => (path.includes('tags') ? { status: 401, body: {} } : null));
    const open = forgeAt(server, { token: null });
    const reading = open.repositories.readRef(`gitlab:${PATH}`, 'refs/tags/v1', [], 9);
    expect((await refused(reading)).message).toMatch(/has no token/);
    expect(server.asked[0]?.headers['private-token']).toBeUndefined();
  });

  it('gives a list up that never ends', async () => {
    const forge = await start((_method, path) =>
      path.includes('branches')
        ? { status: 200, body: [], headers: { link: '<http://x/y?page=2>; rel="next"' } }
        : null,
    );
    const error = await refused(forge.repositories.listRefs(`gitlab:${PATH}`));
    expect(error.message).toMatch(/does not end/);
  });

  it('is refused at the start with a signing token that is none', () => {
    const options = {
      name: 'gitlab',
      url: 'https://gitlab.example.com',
      apiUrl: 'https://gitlab.example.com/api/v4',
      token: null,
      webhookSecrets: ['whsec_half-a-token'],
      ca: null,
      now: Date.now,
    };
    expect(() => createGitLabForge(options)).toThrow(/the forge "gitlab": entry 1 of webhookSecrets/);
    expect(() => createGitLabForge(options)).not.toThrow(/half-a-token/);
  });

  it('starts nothing and asks nothing until it is used', async () => {
    await start();
    expect(server.asked).toHaveLength(0);
  });

  it.each([
    'gitlab:42',
    'gitlab:..',
    'gitlab:../x',
    'gitlab:ml/../x',
    'gitlab:ml',
    'gitlab:ml/\ud800',
    'gitlab:',
  ])('for %j says that this is no repository of GitLab, without asking', async (repository) => {
    const forge = await start();
    const error = await refused(forge.repositories.listRefs(repository));
    expect(error).toBeInstanceOf(StalledError);
    expect(server.asked).toHaveLength(0);
  });
});
