import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { HookList } from '../../../test/forges/gitea-hooks.ts';
import { type GiteaRepository, GiteaServer, TOKENS } from '../../../test/forges/gitea-server.ts';
import { StalledError } from '../../core/errors.ts';
import type { ForgeAdministration, WebhookScope } from '../forge.ts';
import { createGiteaForge } from './gitea-forge.ts';

const URL = 'https://modelhook.example.com/webhooks/gitea';
const SECRET = 'a webhook secret';
const REPOSITORY: WebhookScope = { kind: 'repository', path: 'ml/iris' };
const GROUP: WebhookScope = { kind: 'group', path: 'ml' };

let gitea: GiteaServer;
let model: GiteaRepository;
let shared: HookList;

function as(token: string | null): ForgeAdministration {
  const { administration } = createGiteaForge({
    name: 'gitea',
    url: gitea.url,
    apiUrl: `${gitea.url}/api/v1`,
    token,
    webhookSecrets: [],
    ca: null,
    now: Date.now,
  });
  if (!administration) throw new Error('Gitea has an API');
  return administration;
}

beforeEach(async () => {
  gitea = await GiteaServer.start();
  model = gitea.create('ml/iris');
  model.commit('main', { 'README.md': '# Iris' });
  shared = gitea.createOrganisation('ml');
});
afterEach(() => gitea.end());

const register = (scope = REPOSITORY, token = TOKENS.owner, url = URL, secret = SECRET) =>
  as(token).registerWebhook(scope, { url, secret });

async function failure(work: Promise<unknown>): Promise<Error> {
  const error = await work.then(
    () => new Error('it went well'),
    (thrown: unknown) => thrown as Error,
  );
  for (const bug of [TypeError, SyntaxError, RangeError]) expect(error).not.toBeInstanceOf(bug);
  for (const secret of [...Object.values(TOKENS), SECRET])
    expect(`${error.message}${error.stack}`).not.toContain(secret);
  return error;
}

describe('a webhook', () => {
  it.each([REPOSITORY, GROUP])('is made for %j, with what modelhook needs', async (scope) => {
    expect(await register(scope)).toBe('created');
    const { kept } = scope.kind === 'group' ? shared : model.hooks;
    expect(kept).toMatchObject([
      {
        type: 'gitea',
        active: true,
        events: ['push', 'delete', 'pull_request', 'pull_request_sync'],
        branch_filter: '*',
        config: { url: URL, content_type: 'json' },
        secret: SECRET,
      },
    ]);
  });

  it('to the same address is replaced: Gitea gives one that is there no new secret', async () => {
    model.hooks.add({
      type: 'gitea',
      active: true,
      config: { url: 'https://other.example.com/', content_type: 'json' },
    });
    await register();
    expect(await register(REPOSITORY, TOKENS.owner, URL, 'a new secret')).toBe('updated');
    expect(model.hooks.kept.map(({ config, secret }) => [config.url, secret])).toEqual([
      ['https://other.example.com/', ''],
      [URL, 'a new secret'],
    ]);
  });

  it.each(['https://MODELHOOK.example.com:443/webhooks/gitea', `${URL}/`])(
    'to %s is one to the same address',
    async (url) => {
      const config = { url, content_type: 'form' };
      model.hooks.add({ type: 'slack', active: false, branch_filter: 'main', config });
      expect(await register()).toBe('updated');
      expect(model.hooks.kept).toMatchObject([{ type: 'gitea', active: true, config: { url: URL } }]);
    },
  );

  it('that is replaced on any page of them leaves the authorization header, and no second', async () => {
    for (let n = 0; n < 5; n += 1) {
      const config = { url: n < 3 ? `https://other.example.com/${n}` : URL, content_type: 'json' };
      model.hooks.add({ type: 'gitea', authorization_header: n === 4 ? 'Bearer proxy' : '', config });
    }
    expect(await register()).toBe('updated');
    const ours = model.hooks.kept.filter(({ config }) => config.url === URL);
    expect(ours).toMatchObject([{ authorization_header: 'Bearer proxy', secret: SECRET }]);
  });

  it('that cannot be made leaves the one that is there', async () => {
    await register();
    gitea.writeFault = { status: 500, body: JSON.stringify({ message: `not with ${SECRET}` }) };
    expect((await failure(register())).message).toMatch(/500$/);
    expect(model.hooks.kept).toHaveLength(1);
  });

  it('that another removes meanwhile is no failure', async () => {
    await register();
    gitea.onAsked = ({ method }) => {
      if (method === 'DELETE') model.hooks.kept.shift();
    };
    expect(await register()).toBe('updated');
    expect(model.hooks.kept).toHaveLength(1);
  });

  it('is made under the name a repository has today', async () => {
    gitea.rename(model, 'vision/flowers');
    expect(await register()).toBe('created');
    expect(model.hooks.kept).toHaveLength(1);
  });

  it.each([
    [REPOSITORY, TOKENS.writer, /\(user should be an owner .*write:repository, and its user administrator/],
    [REPOSITORY, TOKENS.reader, /write:repository/],
    [REPOSITORY, TOKENS.misfit, /write:repository/],
    [GROUP, TOKENS.visitor, /\(Must be an organization owner\).*write:organization.* owners/],
    [GROUP, TOKENS.writer, /write:organization/],
  ])(
    'of %j may not be made with %s, which is final and says what is missing',
    async (scope, token, message) => {
      const error = await failure(register(scope, token));
      expect(error).toBeInstanceOf(StalledError);
      expect(error.message).toMatch(message);
    },
  );

  it('of what is not there, or of a user, says so', async () => {
    const repository = await failure(register({ kind: 'repository', path: 'ml/none' }));
    expect(repository.message).toContain('404');
    const group = await failure(register({ kind: 'group', path: 'ada' }));
    expect(group.message).toMatch(/shows the token no organisation "ada"; .*register a webhook in each/);
    for (const error of [repository, group]) expect(error).not.toBeInstanceOf(StalledError);
  });

  it('to an address that Gitea does not take says what Gitea says', async () => {
    expect((await failure(register(REPOSITORY, TOKENS.owner, 'ftp://x'))).message).toContain('(Invalid url)');
  });
});
