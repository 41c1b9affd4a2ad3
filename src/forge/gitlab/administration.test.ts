import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HookList } from '../../../test/forges/gitlab-hooks.ts';
import type { Grant } from '../../../test/forges/gitlab-reply.ts';
import { GitLabServer } from '../../../test/forges/gitlab-server.ts';
import { StalledError } from '../../core/errors.ts';
import type { ForgeAdministration } from '../forge.ts';
import { createGitLabAdministration } from './administration.ts';
import { createGitLabApi } from './api.ts';

const TOKEN = 'glpat-a-token';
const PATH = 'ml/vision/iris';
const URL_ = 'https://modelhook.example.com/webhooks/gitlab';
const SECRET = 'a-plain-secret';
const SIGNING = `whsec_${Buffer.from('s'.repeat(32)).toString('base64')}`;
const REPOSITORY = { kind: 'repository', path: PATH } as const;
const GROUP = { kind: 'group', path: 'ml' } as const;

let server: GitLabServer;
let administration: ForgeAdministration;
beforeEach(async () => {
  server = await new GitLabServer().start();
  server.create(PATH);
  server.groups.set('ml', { id: 7, hooks: new HookList() });
  grant({});
  const options = { name: 'gitlab', apiUrl: `${server.url}/api/v4`, token: TOKEN, ca: null, now: Date.now };
  administration = createGitLabAdministration(options, createGitLabApi(options));
});
afterEach(() => server.stop());

const grant = (changes: Partial<Grant>) =>
  server.tokens.set(TOKEN, { user: 'ada', scope: 'api', role: 'Owner', ...changes });
const hooks = () => server.of(PATH).hooks;
const register = (
  scope: Parameters<ForgeAdministration['registerWebhook']>[0] = REPOSITORY,
  secret = SECRET,
) => administration.registerWebhook(scope, { url: URL_, secret });
const failure = async (work: Promise<unknown>): Promise<Error> => {
  const error = await work.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(Error);
  for (const secret of [TOKEN, SECRET, SIGNING]) expect((error as Error).message).not.toContain(secret);
  return error as Error;
};
const OURS = {
  url: URL_,
  token: SECRET,
  push_events: true,
  tag_push_events: true,
  merge_requests_events: true,
  enable_ssl_verification: true,
};

describe('registering a webhook', () => {
  it('makes one for a project, and updates it when that is done again', async () => {
    expect(await register()).toBe('created');
    expect(hooks().all).toMatchObject([OURS]);
    expect(await register(REPOSITORY, 'a-new-secret')).toBe('updated');
    expect(hooks().all).toMatchObject([{ ...OURS, token: 'a-new-secret' }]);
  });

  it('makes one for a group', async () => {
    expect(await register(GROUP)).toBe('created');
    expect(await register(GROUP)).toBe('updated');
    expect(server.groups.get('ml')?.hooks?.all).toMatchObject([OURS]);
    expect(hooks().all).toEqual([]);
  });

  it.each([`${URL_}/`, 'HTTPS://ModelHook.example.com:443/webhooks/gitlab'])(
    'finds the one that is there as %s, and leaves others alone',
    async (url) => {
      const other = hooks().add({ url: 'https://other.example.com/webhooks/gitlab' });
      const masked = hooks().add({ url: 'https://{host}/webhooks/gitlab' });
      for (let n = 0; n < 5; n += 1) hooks().add({ url: `https://ci.example.com/${n}` });
      server.pageSize = 2;
      const kept = structuredClone([other, masked]);
      const { id } = hooks().add({ url });
      expect(await register()).toBe('updated');
      expect(hooks().all.find((each) => each.id === id)).toMatchObject(OURS);
      expect([other, masked]).toEqual(kept);
      expect(hooks().all).toHaveLength(8);
    },
  );

  it('updates each that goes to the address, for any of them could be refused', async () => {
    for (let n = 0; n < 2; n += 1) hooks().add({ url: URL_, token: 'old' });
    expect(await register()).toBe('updated');
    expect(hooks().all).toMatchObject([OURS, OURS]);
  });

  it('takes away what keeps a hook from working: filter, template, insecurity, being switched off', async () => {
    hooks().add({
      url: URL_,
      enable_ssl_verification: false,
      push_events_branch_filter: 'release',
      custom_webhook_template: '{"text":"pushed"}',
      alert_status: 'disabled',
    });
    await register();
    expect(hooks().all).toMatchObject([
      { ...OURS, push_events_branch_filter: '', custom_webhook_template: '', alert_status: 'executable' },
    ]);
  });

  it('is done although the test that switches a hook on again fails', async () => {
    hooks().add({ url: URL_, alert_status: 'temporarily_disabled' });
    server.fault = (_method, path) => (path.includes('/test/') ? { status: 429, body: 'Retry later' } : null);
    expect(await register()).toBe('updated');
  });

  it('gives a signing token as such, and takes it away again for a plain secret', async () => {
    await register(REPOSITORY, SIGNING);
    expect(hooks().all).toMatchObject([{ signing_token: SIGNING }]);
    expect(hooks().all[0]).not.toHaveProperty('token');
    await register();
    expect(hooks().all).toMatchObject([{ signing_token: '', token: SECRET }]);
  });

  it('says so where GitLab is too old for signing tokens, which it leaves out', async () => {
    hooks().canSign = false;
    const error = await failure(register(REPOSITORY, SIGNING));
    expect(error).toBeInstanceOf(StalledError);
    expect(error.message).toContain('cannot sign');
    expect(await register()).toBe('updated');
  });

  it('is done by the number of a project that was renamed', async () => {
    server.rename(PATH, 'ml/vision/flower');
    expect(await register()).toBe('created');
    expect(server.asked.at(-1)).toMatchObject({ method: 'POST', path: '/api/v4/projects/4000/hooks' });
  });
});

describe('registering a webhook is refused', () => {
  it.each([
    ['of a lesser role', { role: 'Developer' }, REPOSITORY, /scope api and the role Maintainer/],
    ['that may only read', { scope: 'read_api' }, REPOSITORY, /scope api and the role Maintainer/],
    ['without the API', { scope: 'read_repository' }, REPOSITORY, /scope api and the role Maintainer/],
    ['of a lesser role', { role: 'Maintainer' }, GROUP, /scope api and the role Owner/],
  ] as const)('to a token %s, for good, in words', async (_what, changes, scope, words) => {
    grant(changes);
    const error = await failure(register(scope));
    expect(error).toBeInstanceOf(StalledError);
    expect(error.message).toMatch(words);
    expect(hooks().all).toEqual([]);
  });

  it('for a group where GitLab is not Premium, in words', async () => {
    server.groups.set('ml', { id: 7, hooks: null });
    const error = await failure(register(GROUP));
    expect(error).toBeInstanceOf(StalledError);
    expect(error.message).toContain('Premium');
  });

  it('for an address that GitLab may not call, in its words', async () => {
    const hook = { url: 'http://10.0.0.1/webhooks/gitlab', secret: SECRET };
    const error = await failure(administration.registerWebhook(REPOSITORY, hook));
    expect(error).toBeInstanceOf(StalledError);
    expect(error.message).toMatch(/local network are not allowed.*Outbound requests/);
  });

  it.each([400, 403, 422])('with %i without words that repeat the secret', async (status) => {
    for (const secret of [SECRET, SIGNING]) {
      const text = `${'x'.repeat(295 - 'token '.length)}token ${secret} is too short`;
      server.fault = (method) => (method === 'POST' ? { status, body: { message: text } } : null);
      expect((await failure(register(REPOSITORY, secret))).message).not.toMatch(/xxx|whsec|a-pla/);
    }
  });

  it.each([REPOSITORY, GROUP])('for what is not there, and not for good: %j', async ({ kind }) => {
    const error = await failure(register({ kind, path: 'ml/none' }));
    expect(error).not.toBeInstanceOf(StalledError);
    expect(error.message).toContain('gitlab:ml/none');
  });

  it('to a token that is not accepted, and not for good', async () => {
    server.tokens.clear();
    const error = await failure(register());
    expect(error).not.toBeInstanceOf(StalledError);
    expect(error.message).toContain('check the token');
  });

  it.each(['42', '../x', 'ml/../x', '-x'])(
    'for the group %j, which is none, without asking',
    async (path) => {
      expect(await failure(register({ kind: 'group', path }))).toBeInstanceOf(StalledError);
      expect(server.asked).toHaveLength(0);
    },
  );

  it.each([
    ['a login page', { status: 200, body: '<html>' }],
    ['a redirect', { status: 302, headers: { location: '/api/v4/projects/1' } }],
    ['a 502', { status: 502, body: '<html>' }],
  ])('by %s, and not for good', async (_what, reply) => {
    server.fault = (method) => (method === 'POST' ? reply : null);
    expect((await failure(register())).constructor).toBe(Error);
  });
});
