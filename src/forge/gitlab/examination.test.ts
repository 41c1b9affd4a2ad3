import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Hook, HookList } from '../../../test/forges/gitlab-hooks.ts';
import type { Grant } from '../../../test/forges/gitlab-reply.ts';
import { GitLabServer } from '../../../test/forges/gitlab-server.ts';
import type { Finding, RepositoryUse } from '../forge.ts';
import { createGitLabApi } from './api.ts';
import { createExamination } from './examination.ts';

const TOKEN = 'glpat-a-token';
const NOW = Date.parse('2026-03-01T12:00:00Z');
const MODEL = 'ml/vision/iris';
const ID = `gitlab:${MODEL}`;
const URL_ = 'https://modelhook.example.com/webhooks/gitlab';
const ALL = { push_events: true, tag_push_events: true, merge_requests_events: true };

let server: GitLabServer;
beforeEach(async () => {
  server = await new GitLabServer().start();
  server.create(MODEL);
  server.commit(MODEL, 'main', { 'README.md': 'x' });
  grant({});
});
afterEach(() => server.stop());

const grant = (changes: Partial<Grant>) =>
  server.tokens.set(TOKEN, {
    user: 'project_4000_bot_x1',
    scope: 'api',
    role: 'Maintainer',
    isBot: true,
    ...changes,
  });
async function examine(
  uses: readonly RepositoryUse[] = [],
  { url = null, token = TOKEN }: { url?: string | null; token?: string | null } = {},
): Promise<Finding[]> {
  const options = { name: 'gitlab', apiUrl: `${server.url}/api/v4`, token, ca: null, now: () => NOW };
  const findings = await createExamination(options, createGitLabApi(options))(uses, url);
  expect(JSON.stringify(findings)).not.toContain(TOKEN);
  for (const { state, fix, message } of findings) {
    expect(fix === null).toBe(state === 'good');
    expect(`${message} ${fix}`).not.toMatch(/<update>|undefined|\bnull\b.*null/);
  }
  expect(server.asked.every(({ method }) => method === 'GET')).toBe(true);
  return findings;
}
const useOf = (use: RepositoryUse['use'], repository = ID): RepositoryUse => ({ repository, use });
/** Of the use alone. */
const examineUse = async (use: RepositoryUse['use'], url: string | null = null, repository = ID) =>
  (await examine([useOf(use, repository)], { url })).slice(2);
const bad = (findings: readonly Finding[]) => findings.filter(({ state }) => state !== 'good');

describe('the API', () => {
  it('is told with its version', async () => {
    expect((await examine())[0]).toEqual({
      about: 'api',
      state: 'good',
      message: `GitLab 17.11.1 answers at ${server.url}/api/v4`,
      fix: null,
    });
  });

  it('may keep its version to itself', async () => {
    server.version = null;
    expect((await examine())[0]).toMatchObject({ state: 'good' });
  });

  it.each([
    ['a page', { status: 200, body: '<html>' }],
    ['something else', { status: 200, body: { hello: 'world' } }],
    ['nothing of the kind', { status: 404, body: 'Not Found' }],
    ['a failure', { status: 502, body: '<html>' }],
  ])('that answers %s is a fault, and the only thing that is told', async (_what, reply) => {
    server.fault = () => reply;
    expect(await examine([useOf('model')])).toMatchObject([{ about: 'api', state: 'fault' }]);
  });

  it('that nobody answers for is an error', async () => {
    await server.stop();
    await expect(examine()).rejects.toThrow('cannot be reached');
    await server.start();
  });
});

describe('the token', () => {
  const token = async (uses: readonly RepositoryUse[] = [useOf('model')]) =>
    (await examine(uses)).filter(({ about }) => about === 'token');

  it.each([
    ['project_4000_bot_x1', true, "a project's, project_4000_bot_x1"],
    ['group_7_bot_x1', true, "a group's, group_7_bot_x1"],
    ['service_account', true, "a service account's, service_account"],
    ['ada', false, 'a personal one of ada'],
  ])('of %s is told with kind and scopes', async (user, isBot, kind) => {
    grant({ user, isBot });
    const message = `the token is ${kind}, with the scope api`;
    expect(await token()).toEqual([{ about: 'token', state: 'good', message, fix: null }]);
  });

  it.each(['model', 'policies', 'gitops'] as const)('that may only read is a fault for %s', async (use) => {
    grant({ scope: 'read_api' });
    expect(await token([useOf(use)])).toMatchObject([
      { state: 'fault', fix: expect.stringContaining('scope api') },
    ]);
  });

  it('that cannot use the API is a fault, and no project is looked at', async () => {
    grant({ scope: 'read_repository' });
    const findings = await examine([useOf('model')]);
    expect(findings.at(-1)).toMatchObject({ about: 'token', state: 'fault' });
  });

  it('that is not accepted is a fault, and no project is looked at', async () => {
    server.tokens.clear();
    const findings = await examine([useOf('model')]);
    expect(findings.map(({ about, state }) => `${about} ${state}`)).toEqual(['api good', 'token fault']);
  });

  it('that is missing is a fault', async () => {
    const findings = await examine([], { token: null });
    expect(findings[1]).toMatchObject({
      about: 'token',
      state: 'fault',
      fix: expect.stringContaining('forges.gitlab.token'),
    });
  });

  it.each([
    ['2026-03-02', 'within a day'],
    ['2026-03-03', 'in 1 day,'],
    ['2026-03-15', 'in 13 days'],
  ])('that ends on %s is a warning', async (expiresAt, when) => {
    grant({ expiresAt });
    expect((await token()).at(-1)).toMatchObject({
      state: 'warning',
      message: expect.stringContaining(when),
    });
  });

  it('that ends later is good', async () => {
    grant({ expiresAt: '2026-03-16' });
    expect(bad(await token())).toEqual([]);
  });

  it('whose scopes GitLab does not tell is a warning', async () => {
    server.tellsTokens = false;
    expect(await token()).toMatchObject([{ state: 'warning', message: expect.stringContaining('scopes') }]);
  });
});

describe('a project', () => {
  it.each(['model', 'policies', 'gitops'] as const)('that can be used for %s is good', async (use) => {
    const findings = await examineUse(use);
    expect(bad(findings)).toEqual([]);
    expect(findings.length).toBeGreaterThan(0);
  });

  it('of another forge is not looked at', async () => {
    expect(await examineUse('model', null, 'github:ml/iris')).toEqual([]);
  });

  it('that is not there, or has no name of GitLab, is a fault, and the next is looked at', async () => {
    const uses = [useOf('model', 'gitlab:ml/none'), useOf('model', 'gitlab:42'), useOf('policies')];
    const findings = (await examine(uses)).slice(2);
    expect(findings.map(({ about, state }) => `${about} ${state}`)).toEqual([
      'gitlab:ml/none fault',
      'gitlab:42 fault',
      `${ID} good`,
      `${ID} good`,
    ]);
  });

  it('that was renamed is a warning with the name it has now', async () => {
    server.rename(MODEL, 'ml/flower');
    expect(bad(await examineUse('model'))).toMatchObject([
      { about: ID, state: 'warning', message: expect.stringContaining('gitlab:ml/flower') },
    ]);
    expect(bad(await examineUse('model', null, 'gitlab:ML/flower'))).toHaveLength(1);
  });

  it('that is archived is a fault', async () => {
    server.of(MODEL).archived = true;
    expect(bad(await examineUse('model'))).toMatchObject([{ state: 'fault', fix: 'unarchive it' }]);
  });

  it('whose code may not be read is a fault', async () => {
    server.of(MODEL).hidden = true;
    expect(bad(await examineUse('policies'))).toMatchObject([{ state: 'fault' }]);
  });

  it('that is empty is a warning', async () => {
    server.create('ml/empty');
    expect(bad(await examineUse('policies', null, 'gitlab:ml/empty'))).toMatchObject([{ state: 'warning' }]);
  });

  it('that takes no statuses of this role is a fault, which names the role', async () => {
    grant({ role: 'Reporter' });
    expect(bad(await examineUse('model'))).toMatchObject([
      { state: 'fault', message: 'the role Reporter may not write commit statuses' },
    ]);
    expect(bad(await examineUse('policies'))).toMatchObject([
      { state: 'fault', message: 'the role Reporter may not write commit statuses and comments' },
    ]);
    grant({ role: null });
    expect(bad(await examineUse('model'))).toMatchObject([{ message: expect.stringContaining('no member') }]);
  });

  it('may be written to by administrators, who are members of little', async () => {
    grant({ role: null, isAdmin: true });
    expect(bad(await examineUse('model'))).toEqual([]);
  });

  it('whose branch may not be pushed to, or that has no merge requests, is a warning for GitOps', async () => {
    server.of(MODEL).protected.add('main');
    server.of(MODEL).hasMergeRequests = false;
    expect(bad(await examineUse('gitops'))).toMatchObject([
      { state: 'warning', message: expect.stringContaining('may not push to its branch main') },
      { state: 'warning', message: expect.stringContaining('switched off') },
    ]);
    expect(bad(await examineUse('model'))).toEqual([]);
    expect(bad(await examineUse('policies'))).toMatchObject([
      { state: 'warning', fix: expect.stringContaining('for policies to be reviewed') },
    ]);
  });

  it('that fails halfway is a fault, and the next is looked at', async () => {
    server.create('ml/other');
    server.commit('ml/other', 'main', { 'README.md': 'x' });
    server.fault = (_method, path) => (path.includes('4000') ? { status: 500, body: {} } : null);
    const findings = (await examine([useOf('model'), useOf('policies', 'gitlab:ml/other')])).slice(2);
    expect(findings).toMatchObject([
      { about: ID, state: 'fault', message: expect.stringContaining('500') },
      { about: 'gitlab:ml/other', state: 'good' },
      { about: 'gitlab:ml/other', state: 'good' },
    ]);
  });
});

describe('a webhook', () => {
  const hooks = () => server.of(MODEL).hooks;
  const add = (changes: Partial<Hook> = {}) => hooks().add({ url: URL_, ...ALL, ...changes });
  const found = async (use: RepositoryUse['use'] = 'model') => bad(await examineUse(use, URL_));

  it('that sends what it must, and arrived last, is good', async () => {
    add({ url: `${URL_}/` });
    hooks().deliveries = ['500', '202'];
    const findings = await examineUse('model', URL_);
    expect(bad(findings)).toEqual([]);
    expect(findings.at(-1)?.message).toMatch(/webhook of the project arrives.*202/);
  });

  it('that sent nothing yet, or whose deliveries this version does not tell, is good', async () => {
    add();
    expect(await found()).toEqual([]);
    hooks().deliveries = null;
    expect(await found()).toEqual([]);
    expect((await examineUse('model', URL_)).at(-1)?.message).toContain('Recent events');
  });

  it('that is not there is a fault, and for GitOps a warning', async () => {
    hooks().add({ url: 'https://other.example.com/' });
    for (const [use, state] of [
      ['model', 'fault'],
      ['policies', 'fault'],
      ['gitops', 'warning'],
    ] as const)
      expect(await found(use)).toMatchObject([{ state, fix: `run modelhook webhook create ${ID}` }]);
  });

  it.each([
    ['model', { tag_push_events: false }, 'sends no tag push events'],
    ['policies', { merge_requests_events: false }, 'sends no merge request events'],
    ['gitops', { merge_requests_events: false }, 'sends no merge request events'],
    ['model', { custom_webhook_template: '{}' }, 'custom template'],
    ['model', { alert_status: 'disabled' }, 'switched off after failures'],
    [
      'model',
      { alert_status: 'temporarily_disabled', disabled_until: '2026-03-01T13:00:00Z' },
      'until 2026-03-01T13:00:00Z',
    ],
  ] as const)('of a %s repository with %j is a fault', async (use, changes, message) => {
    add(changes);
    expect(await found(use)).toMatchObject([
      {
        about: ID,
        state: 'fault',
        message: expect.stringContaining(message),
        fix: `run modelhook webhook create ${ID}`,
      },
    ]);
  });

  it.each([
    [{ push_events_branch_filter: 'release/*' }, 'release/* alone'],
    [{ enable_ssl_verification: false }, 'certificate'],
  ])('with %j is a warning', async (changes, message) => {
    add(changes);
    expect(await found()).toMatchObject([{ state: 'warning', message: expect.stringContaining(message) }]);
  });

  it.each([
    ['401', 'its secret is none of webhookSecrets', `run modelhook webhook create ${ID}`],
    ['404', 'no forge of this name', 'correct its address'],
    ['301', 'redirected', 'set its address'],
    ['503', 'store', 'log'],
    ['418', 'answered 418', 'Recent events'],
    ['internal error', 'had no answer', 'reachable from GitLab'],
    ['', 'had no answer', 'reachable from GitLab'],
  ])(
    'whose last delivery was answered %j is a fault, which says what that means',
    async (code, message, fix) => {
      add();
      hooks().deliveries = ['202', code];
      expect(await found()).toMatchObject([
        { state: 'fault', message: expect.stringContaining(message), fix: expect.stringContaining(fix) },
      ]);
    },
  );

  it('that the token may not see is a warning, which says where to look', async () => {
    grant({ role: 'Developer' });
    expect(await found()).toMatchObject([
      {
        state: 'warning',
        message: expect.stringContaining(`no webhook to ${URL_} is seen`),
        fix: expect.stringContaining('under Settings, Webhooks'),
      },
    ]);
  });

  it('of a group of the project counts, and its list is asked for once', async () => {
    const list = new HookList();
    server.groups.set('ml', { id: 7, hooks: list });
    grant({ role: 'Owner' });
    list.add({ url: URL_, ...ALL, tag_push_events: false });
    server.create('ml/other');
    server.commit('ml/other', 'main', { 'README.md': 'x' });
    const findings = bad(await examine([useOf('model'), useOf('model', 'gitlab:ml/other')], { url: URL_ }));
    expect(findings.map(({ about, fix }) => `${about}: ${fix}`)).toEqual([
      `${ID}: run modelhook webhook create --group gitlab:ml`,
      'gitlab:ml/other: run modelhook webhook create --group gitlab:ml',
    ]);
    expect(server.asked.filter(({ path }) => path.includes('groups/ml/hooks?per_page=100'))).toHaveLength(1);
  });

  it('that may be of a group, whose the token may not see, is a warning', async () => {
    server.groups.set('ml', { id: 7, hooks: new HookList() });
    expect(await found()).toMatchObject([
      { state: 'warning', message: expect.stringContaining('those of the group ml are not shown') },
    ]);
  });

  it('of the system counts where the token may see it', async () => {
    server.systemHooks.add({ url: URL_, ...ALL });
    expect(await found()).toHaveLength(1);
    grant({ isAdmin: true });
    expect(await found()).toEqual([]);
  });
});
