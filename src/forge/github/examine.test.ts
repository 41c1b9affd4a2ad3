import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Grant, Hook } from '../../../test/forges/github-reply.ts';
import { APP, PRIVATE_KEY, type Site, startSite, TOKEN } from '../../../test/forges/github-site.ts';
import type { Finding, RepositoryUse } from '../forge.ts';
import type { GitHubForge } from './github-forge.ts';

const ID = 'github:ml/iris';
const URL = 'https://modelhook.example.com/webhooks/github';
const OK = { status_code: 202, status: 'OK', event: 'push' };

describe('examining a forge on GitHub', () => {
  let site: Site;
  beforeEach(async () => {
    site = await startSite();
    site.server.commit(site.model, 'main', { 'README.md': '# Iris' });
    site.model.hooks.push(hook());
  });
  afterEach(() => site[Symbol.asyncDispose]());

  const hook = (changes: Partial<Hook> = {}): Hook => ({
    id: 5,
    active: true,
    events: ['push', 'pull_request', 'repository'],
    config: { url: URL, content_type: 'json', insecure_ssl: '0' },
    deliveries: [OK],
    ...changes,
  });
  const uses = (...of: RepositoryUse['use'][]) => of.map((use) => ({ repository: ID, use }));
  const examine = async (
    of: readonly RepositoryUse[] = uses('model', 'policies', 'gitops'),
    forge: GitHubForge = site.forge,
    url: string | null = URL,
  ): Promise<Finding[]> => {
    if (!forge.administration) throw new Error('GitHub has an administration');
    const findings = await forge.administration.examine(of, url);
    for (const { state, message, fix } of findings) {
      expect(state === 'good').toBe(fix === null);
      expect(`${message} ${fix}`).not.toContain(TOKEN);
    }
    return findings;
  };
  const bad = (findings: readonly Finding[]) => findings.filter(({ state }) => state !== 'good');
  const told = (findings: readonly Finding[]) =>
    bad(findings).map(({ about, state, message, fix }) => `${state} ${about}: ${message}; ${fix}`);
  const grant = (changes: Partial<Grant>) =>
    site.server.tokens.set(TOKEN, { reads: true, writes: true, ...changes });
  const app = () => site.forgeAs({ app: APP });
  const setApp = (changes: object) => Object.assign(site.server.app ?? {}, changes);

  it('finds all good where it is, in order, and changes nothing', async () => {
    const findings = await examine();
    expect(bad(findings)).toEqual([]);
    expect(findings.map(({ about, message }) => `${about}: ${message}`)).toEqual([
      `API: ${site.server.apiUrl} is reached, GitHub Enterprise Server 3.14.0`,
      'token: it is a fine-grained token of ada; what it may do is looked at in each repository',
      `${ID}: it is there, and may be read`,
      `${ID}: the token may write commit statuses`,
      `${ID}: the token may comment on pull requests`,
      `${ID}: the token may push`,
      `${ID}: the token may open pull requests, which policies with "via: pullRequest" need`,
      `${ID}: its webhook is there, and its last delivery was answered with 202`,
    ]);
    expect(site.model).toMatchObject({ statuses: [], pulls: [], hooks: [hook()] });
    expect([...site.model.refs.keys()]).toEqual(['refs/heads/main']);
  });

  it('finds all good with an App too, whose permissions GitHub says', async () => {
    const findings = await examine(undefined, app());
    expect(bad(findings)).toEqual([]);
    expect(findings[1]).toMatchObject({ message: 'it is the GitHub App modelhook of ml, installed on ml' });
    const written = site.server.asked.filter(({ method }) => method !== 'GET');
    expect(written.every(({ path }) => path.endsWith('access_tokens'))).toBe(true);
  });

  it('throws where it cannot be reached, and says where something else answers', async () => {
    site.server.fault = () => ({ status: 200, body: '<html>', headers: { 'content-type': 'text/html' } });
    expect(told(await examine())).toEqual([
      expect.stringMatching(/^fault API: .* not as GitHub does; check/),
    ]);
    await site.server.stop();
    await expect(examine()).rejects.toThrow(/cannot be reached/);
  });

  it('says that there is no token, and what everybody sees', async () => {
    site.model.private = false;
    const findings = await examine(undefined, site.forgeAs(null));
    expect(told(findings)).toEqual([
      expect.stringMatching(/^fault token: .*no token.*; give it a token or an App/),
    ]);
    expect(findings.at(-1)).toMatchObject({ about: ID, message: 'it is there, and may be read' });
  });

  it('says that the token is refused, and that of each repository', async () => {
    site.server.tokens.clear();
    const findings = told(await examine());
    expect(findings[0]).toMatch(/^fault token: GitHub does not accept the token/);
    expect(findings[1]).toMatch(/^fault github:ml\/iris: .*check the token/);
  });

  it.each([
    ['repo, admin:repo_hook', []],
    [
      'repo:status',
      [expect.stringMatching(/^warning token: .* scopes repo:status; give it the scope "repo"/)],
    ],
    ['', [expect.stringMatching(/^warning token: .* no scope;/)]],
  ])('reads the scopes %j of a classic token', async (scopes, findings) => {
    grant({ classic: true, scopes });
    expect(told(await examine(uses('policies')))).toEqual(findings);
  });

  it('warns of a token that ends within two weeks', async () => {
    const at = (days: number) =>
      new Date(site.clock.at + days * 86_400_000 + 1000).toISOString().replace(/T(.{8}).*/, ' $1 UTC');
    grant({ ends: at(13) });
    expect(told(await examine())).toEqual([
      expect.stringMatching(/^warning token: it ends on .* in 1[23] days; make/),
    ]);
    grant({ ends: at(40) });
    expect(told(await examine(undefined, site.forgeAs({ token: TOKEN })))).toEqual([]);
  });

  it('says that an App is not known, installed nowhere, or suspended', async () => {
    const other = site.forgeAs({ app: { id: '1', privateKey: PRIVATE_KEY } });
    expect(told(await examine([], other))).toEqual([
      expect.stringMatching(/not accept the App.*check app\.id/),
    ]);
    setApp({ suspended: true });
    expect(told(await examine([], app()))).toEqual([
      expect.stringMatching(/installation on ml is suspended/),
    ]);
    setApp({ installed: new Map() });
    expect(told(await examine(uses('model'), app()))).toEqual([
      expect.stringMatching(/^fault token: .*installed nowhere; install it/),
      expect.stringMatching(/^fault github:ml\/iris: .*not installed on ml\/iris.*; install it there/),
    ]);
  });

  it('says what a repository is called today', async () => {
    site.server.rename(site.model, 'ml/flowers');
    expect(told(await examine())).toEqual([
      `warning ${ID}: it is called github:ml/flowers today; write github:ml/flowers in modelhook.yaml and the policies`,
    ]);
  });

  it('says that a repository is not found, and goes on with the next', async () => {
    const findings = await examine([{ repository: 'github:ml/none', use: 'model' }, ...uses('model')]);
    expect(told(findings)).toEqual([expect.stringMatching(/^fault github:ml\/none: .*was not found/)]);
    expect(findings.filter(({ about }) => about === ID)).toHaveLength(3);
  });

  it('says that a repository is archived, and probes nothing there', async () => {
    site.model.archived = true;
    expect(told(await examine())).toEqual([expect.stringMatching(/^fault .*is archived/)]);
  });

  it('says what the token may not do there, for what it is used for alone', async () => {
    const faults = [
      expect.stringMatching(
        /^fault .*may not write commit statuses; give it "Commit statuses: write".*"repo:status"/,
      ),
      expect.stringMatching(/^fault .*may not comment on pull requests; give it "Pull requests: write"/),
      expect.stringMatching(/^fault .*may not push; give it "Contents: write"/),
      expect.stringMatching(/^warning .*may not open pull requests.*; give it "Pull requests: write"/),
    ];
    grant({ lacks: ['statuses', 'contents', 'pulls'] });
    expect(told(await examine())).toEqual(faults);
    grant({ classic: true, lacks: ['statuses', 'contents', 'pulls'] });
    expect(told(await examine())).toEqual(faults);
    expect(told(await examine(uses('policies')))).toEqual(faults.slice(0, 2));
    expect(told(await examine(uses('model')))).toEqual(faults.slice(0, 1));
    setApp({ permissions: { contents: 'read', statuses: 'read' } });
    expect(told(await examine(undefined, app()))).toEqual(faults);
  });

  it('takes an empty repository that may be pushed to for a good one', async () => {
    site.model.refs.clear();
    expect(told(await examine(uses('gitops')))).toEqual([]);
  });

  it('looks at no webhook where the address is not known', async () => {
    site.model.hooks.length = 0;
    expect(told(await examine(undefined, site.forge, null))).toEqual([]);
  });

  it('says that there is no webhook, which a GitOps repository can do without', async () => {
    site.model.hooks.length = 0;
    const missing = `it has no webhook to ${URL}; run modelhook webhook create ${ID}`;
    expect(told(await examine(uses('model')))).toEqual([`fault ${ID}: ${missing}`]);
    expect(told(await examine(uses('gitops')))).toEqual([`warning ${ID}: ${missing}`]);
  });

  it('counts the webhook of the organisation, and that of the App', async () => {
    site.model.hooks.length = 0;
    site.server.organizations.set('ml', { hooks: [hook()] });
    expect((await examine()).at(-1)?.message).toMatch(/^the webhook of its organisation is there/);
    site.server.organizations.clear();
    setApp({ hook: hook({ events: ['push'] }) });
    const findings = await examine(uses('model'), app());
    expect(told(findings)).toEqual([
      expect.stringMatching(
        /^warning .*of the App lacks the events pull_request, repository; set that in .* App/,
      ),
    ]);
    expect(findings.at(-1)?.message).toMatch(/^the webhook of the App is there/);
  });

  it('says where to look by hand where webhooks may not be listed', async () => {
    grant({ lacks: ['hooks'] });
    expect(told(await examine())).toEqual([
      expect.stringMatching(
        /^warning .*may not be listed.*; look in its settings.*"Webhooks: read".*role Admin/,
      ),
    ]);
  });

  it.each<[string, Partial<Hook>, RegExp]>([
    ['off', { active: false }, /^fault .*is not active; run modelhook webhook create github:ml\/iris/],
    ['one of forms', { config: { url: URL, content_type: 'form' } }, /^fault .*not send application\/json/],
    ['careless', { config: { url: URL, content_type: 'json', insecure_ssl: '1' } }, /^warning .*certificate/],
    ['deaf to pushes', { events: ['pull_request', 'repository'] }, /^fault .*lacks the events push/],
    ['deaf to names', { events: ['push', 'pull_request'] }, /^warning .*lacks the events repository/],
  ])('says that the webhook is %s', async (_, changes, message) => {
    site.model.hooks = [hook(changes)];
    expect(told(await examine())).toEqual([expect.stringMatching(message)]);
  });

  it('is content with a webhook of all events, and with one that had nothing to deliver', async () => {
    site.model.hooks = [hook({ events: ['*'], deliveries: [] })];
    expect(told(await examine())).toEqual([]);
  });

  it.each([
    [401, 'Invalid HTTP Response: 401', /answered with 401; the secret .* none of webhookSecrets/],
    [404, '', /answered with 404; check that .* its name at the end/],
    [415, '', /answered with 415; set the content type/],
    [503, '', /answered with 503; look at the log/],
    [301, '', /answered with 301; .*redirected/],
    [400, '', /answered with 400; look at the answer/],
    [0, 'failed to connect to host', /got no answer: failed to connect to host; make .* reachable/],
    [0, '', /got no answer: no connection;/],
  ])('says what the answer %i to the last delivery means', async (status_code, status, message) => {
    site.model.hooks = [hook({ deliveries: [{ status_code, status, event: 'push' }, OK] })];
    expect(told(await examine())).toEqual([expect.stringMatching(message)]);
    site.model.hooks = [hook({ deliveries: [OK, { status_code, status, event: 'push' }] })];
    expect(told(await examine())).toEqual([expect.stringMatching(/^warning .*but 1 of the last 2 failed/)]);
  });

  it('says that GitHub limits us, or fails, where it does, and goes on', async () => {
    site.server.fault = (_, path) => (path.includes('/git/matching-refs') ? { status: 500, body: {} } : null);
    expect(told(await examine())).toEqual([expect.stringMatching(/^fault github:ml\/iris: .*answered 500/)]);
    site.server.fault = (_, path) =>
      path.includes('/git/matching-refs') ? { status: 403, body: { message: 'secondary rate limit' } } : null;
    expect(told(await examine())).toEqual([
      expect.stringMatching(/^warning .*limits how often.*; look again later/),
    ]);
    site.server.fault = () => ({ status: 429, body: '', headers: { 'retry-after': '60' } });
    expect(told(await examine(undefined, site.forgeAs({ token: TOKEN })))).toEqual([
      expect.stringMatching(/^fault API: .*limits how often.*; look again later/),
    ]);
  });
});
