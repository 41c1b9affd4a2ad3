import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Grant, Hook } from '../../../test/forges/github-reply.ts';
import { APP, type Site, startSite, TOKEN } from '../../../test/forges/github-site.ts';
import { StalledError, WaitingError } from '../../core/errors.ts';
import type { WebhookScope } from '../forge.ts';
import type { GitHubForge } from './github-forge.ts';

const URL = 'https://modelhook.example.com/webhooks/github';
const SECRET = 'a "strong" secret';
const REPOSITORY: WebhookScope = { kind: 'repository', path: 'ml/iris' };
const ORGANISATION: WebhookScope = { kind: 'group', path: 'ml' };
const SET = {
  active: true,
  events: ['push', 'pull_request', 'repository'],
  config: { url: URL, content_type: 'json', secret: SECRET, insecure_ssl: '0' },
};

describe('registering a webhook on GitHub', () => {
  let site: Site;
  let ofOrganisation: Hook[];
  beforeEach(async () => {
    site = await startSite();
    ofOrganisation = [];
    site.server.organizations.set('ml', { hooks: ofOrganisation });
  });
  afterEach(() => site[Symbol.asyncDispose]());

  const register = (scope = REPOSITORY, url = URL, forge: GitHubForge = site.forge) => {
    if (!forge.administration) throw new Error('GitHub has an administration');
    return forge.administration.registerWebhook(scope, { url, secret: SECRET });
  };
  const grant = (changes: Partial<Grant>) =>
    site.server.tokens.set(TOKEN, { reads: true, writes: true, ...changes });
  const failure = (work: Promise<unknown>): Promise<Error> =>
    work.then(
      () => new Error('it worked'),
      (error: Error) => error,
    );
  const stalled = async (work: Promise<unknown>, message: RegExp) => {
    const error = await failure(work);
    expect(error).toBeInstanceOf(StalledError);
    expect(error.message).toMatch(message);
    for (const secret of [TOKEN, SECRET]) expect(error.message).not.toContain(secret);
  };
  const hook = (url: string): Hook => ({
    id: 1,
    active: false,
    events: ['issues'],
    config: { url, content_type: 'form', insecure_ssl: '1', secret: 'an old one' },
    deliveries: [],
  });

  it('makes one that sends JSON over verified TLS, with what modelhook uses', async () => {
    expect(await register()).toBe('created');
    expect(site.model.hooks).toMatchObject([SET]);
  });

  it('brings one to the same address up to date, however that is spelled, whatever page it is on', async () => {
    site.server.pageSize = 1;
    site.model.hooks.push(
      { ...hook('https://ci.example.com/'), id: 2 },
      hook(`${URL.replace('.com', '.COM:443')}/`),
    );
    expect(await register()).toBe('updated');
    expect(await register()).toBe('updated');
    expect(site.model.hooks).toMatchObject([{ events: ['issues'] }, { id: 1, ...SET }]);
  });

  it('is done for a whole organisation, with a token or an App', async () => {
    expect(await register(ORGANISATION)).toBe('created');
    expect(await register(ORGANISATION, URL, site.forgeAs({ app: APP }))).toBe('updated');
    expect(ofOrganisation).toMatchObject([SET]);
    expect(site.model.hooks).toEqual([]);
  });

  it('is done in a repository that was renamed', async () => {
    site.server.rename(site.model, 'ml/flowers');
    expect(await register()).toBe('created');
    expect(site.model.hooks).toMatchObject([SET]);
  });

  it.each<[string, Partial<Grant>]>([
    ['a fine-grained token', { lacks: ['hooks'] }],
    ['a classic token', { classic: true, lacks: ['hooks'] }],
  ])('that %s may not do needs a person, who reads scope and role', async (_, changes) => {
    grant(changes);
    await stalled(register(), /webhooks of ml\/iris.*"Webhooks: write".*"admin:repo_hook".*role Admin/);
    await stalled(register(ORGANISATION), /webhooks of ml\b.*"admin:org_hook".*owner of the organisation/);
  });

  it('in an archived repository needs a person', async () => {
    site.model.archived = true;
    site.server.fault = (method) =>
      method === 'GET'
        ? null
        : { status: 403, body: { message: 'Repository was archived so is read-only.' } };
    await stalled(register(), /is archived, so it takes no webhook; unarchive it/);
  });

  it('where there is no such repository or organisation says so', async () => {
    expect((await failure(register({ kind: 'repository', path: 'ml/none' }))).message).toMatch(
      /was not found/,
    );
    expect((await failure(register({ kind: 'group', path: 'none' }))).message).toMatch(
      /there is no organisation none .*; check its name/,
    );
    for (const path of ['ml/iris', '..', ''])
      await stalled(register({ kind: 'group', path }), /is no organisation of GitHub/);
  });

  it('at an address that GitHub refuses says why, without the secret, though GitHub repeats it', async () => {
    await stalled(
      register(REPOSITORY, 'http://localhost:8080/webhooks/github'),
      /public Internet; .*can reach/,
    );
    site.server.fault = (method) =>
      method === 'POST'
        ? { status: 422, body: { message: 'Validation Failed', errors: [`${SECRET} is weak`] } }
        : null;
    await stalled(register(), /refuses the webhook of ml\/iris;/);
  });

  it('waits where GitHub limits in words alone how much is asked', async () => {
    site.server.fault = (method) =>
      method === 'POST'
        ? { status: 403, body: { message: 'You have exceeded a secondary rate limit.' } }
        : null;
    expect(await failure(register())).toBeInstanceOf(WaitingError);
  });

  it.each([
    ['an unreadable answer', { status: 200, body: '{}', headers: { 'content-type': '///;=' } }],
    ['HTML', { status: 502, body: '<html>', headers: { 'content-type': 'text/html' } }],
    ['a redirect to another host', { status: 307, headers: { location: 'https://elsewhere.example.com/' } }],
  ])('that is answered with %s has its secret nowhere in the error', async (_, reply) => {
    site.server.fault = (method) => (method === 'POST' ? reply : null);
    const error = await failure(register());
    expect(error.message).not.toBe('it worked');
    const all = inspect(error, { depth: null, showHidden: true });
    expect(all).not.toContain('strong');
    expect(all).not.toContain(TOKEN);
  });

  it('with an App that reports to the address itself says where it is set, and makes none', async () => {
    const app = site.forgeAs({ app: APP });
    if (site.server.app) site.server.app.hook = hook(URL);
    await stalled(
      register(REPOSITORY, URL, app),
      /App .* reports to .* itself.*; set its secret, and the events/,
    );
    if (site.server.app) site.server.app.hook = hook('https://elsewhere.example.com/');
    expect(await register(REPOSITORY, URL, app)).toBe('created');
    expect(site.model.hooks).toHaveLength(1);
  });
});
