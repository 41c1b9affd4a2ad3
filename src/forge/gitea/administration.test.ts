import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { HookList } from '../../../test/forges/gitea-hooks.ts';
import { type GiteaRepository, GiteaServer, TOKENS } from '../../../test/forges/gitea-server.ts';
import type { Finding, ForgeAdministration, RepositoryUse, WebhookScope } from '../forge.ts';
import { createGiteaForge } from './gitea-forge.ts';

const IRIS = 'gitea:ml/iris';
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

describe('a look', () => {
  const USE: RepositoryUse = { repository: IRIS, use: 'model' };
  const look = async (token: string | null = TOKENS.owner, uses = [USE], url: string | null = URL) => {
    const findings = await as(token).examine(uses, url);
    // What is not good says what to do, what is good does not.
    for (const { state, fix } of findings) expect(fix === null).toBe(state === 'good');
    return findings;
  };
  const hook = (changes: object = {}) => ({
    type: 'gitea',
    active: true,
    events: ['push', 'delete', 'pull_request'],
    config: { url: URL, content_type: 'json' },
    ...changes,
  });
  const states = (findings: readonly Finding[]) => findings.map(({ state }) => state).join(' ');

  it('finds all as it must be, in order', async () => {
    model.hooks.add(hook());
    const findings = await look();
    expect(findings.map(({ about, state }) => `${state} ${about}`)).toEqual([
      'good API',
      'good token',
      `good ${IRIS}`,
      `good ${IRIS}`,
    ]);
    expect(findings.map(({ message }) => message)).toEqual([
      `Gitea 1.26.0 answers at ${gitea.url}/api/v1`,
      'it is one of olga',
      'it may be read, and statuses may be written',
      expect.stringContaining('(http://gitea.example.com/ml/iris/settings/hooks/1)'),
    ]);
  });

  it('changes nothing', async () => {
    model.hooks.add(hook());
    await look(TOKENS.owner, [USE, { repository: IRIS, use: 'gitops' }]);
    expect([model.hooks.kept.length, model.statuses.size, model.pullRequests.list(null).length]).toEqual([
      1, 0, 0,
    ]);
  });

  it('tells Forgejo from Gitea', async () => {
    gitea.version = '11.0.1+gitea-1.22.0';
    expect((await look())[0]?.message).toMatch(/^Forgejo 11\.0\.1 answers/);
  });

  it('takes a token that may not say whose it is, and repeats which scopes it has', async () => {
    expect((await look(TOKENS.writer))[1]).toMatchObject({
      state: 'good',
      message: expect.stringContaining('token scope=write:repository,write:issue'),
    });
  });

  it('finds a token that is refused, and looks no further', async () => {
    const findings = await look('a-wrong-one');
    expect(states(findings)).toBe('good fault');
    expect(findings[1]).toMatchObject({ about: 'token', fix: expect.stringContaining('make a new one') });
  });

  it('finds that there is no token', async () => {
    const findings = await look(null);
    expect(states(findings)).toBe('good fault fault');
    expect(findings[1]?.fix).toContain('forge "gitea" in modelhook.yaml');
  });

  it.each([
    [{ status: 404, body: '' }, '404'],
    [{ status: 200, body: '<html>' }, 'did not answer JSON'],
    [{ status: 200, body: '{"other":1}' }, 'something unexpected'],
    [{ status: 502, body: '' }, '502'],
  ])('finds that something else answers: %j', async (fault, message) => {
    gitea.fault = fault;
    const findings = await look();
    gitea.fault = null;
    expect(findings).toMatchObject([
      {
        about: 'API',
        state: 'fault',
        message: expect.stringContaining(message),
        fix: expect.stringMatching(/url/),
      },
    ]);
  });

  it('throws where the forge cannot be reached', async () => {
    gitea.onAsked = () => {
      throw new Error('the connection is cut');
    };
    expect((await failure(look())).message).toContain('cannot be reached');
    gitea.onAsked = null;
  });

  const repositoryOf = async (token: string, use: RepositoryUse['use'] = 'model', repository = IRIS) =>
    (await look(token, [{ repository, use }], null)).slice(2);

  it('finds a repository that is not there, hidden, or impossible', async () => {
    for (const [token, repository] of [
      [TOKENS.owner, 'gitea:ml/none'],
      [TOKENS.stranger, IRIS],
    ] as const)
      expect(await repositoryOf(token, 'model', repository)).toMatchObject([
        { about: repository, state: 'fault', message: expect.stringContaining('not there, or hidden') },
      ]);
    expect(await repositoryOf(TOKENS.owner, 'model', 'gitea:iris')).toMatchObject([{ state: 'fault' }]);
  });

  it('finds one that may not be read for want of a scope', async () => {
    expect(await repositoryOf(TOKENS.misfit, 'policies')).toMatchObject([
      { state: 'fault', fix: expect.stringContaining('write:repository') },
    ]);
  });

  it('goes on after one that fails', async () => {
    gitea.onAsked = ({ path }) => {
      gitea.fault = path.includes('/ml/iris') ? { status: 503 } : null;
    };
    const other = gitea.create('ml/other');
    const uses: RepositoryUse[] = [USE, { repository: `gitea:${other.path}`, use: 'policies' }];
    const findings = await look(TOKENS.owner, uses, null);
    gitea.onAsked = null;
    expect(states(findings.slice(2))).toBe('fault good');
  });

  it('finds one that was renamed, and looks at it under its new name', async () => {
    gitea.rename(model, 'vision/flowers');
    expect(await repositoryOf(TOKENS.owner)).toMatchObject([
      { about: IRIS, state: 'warning', fix: expect.stringContaining('write gitea:vision/flowers') },
      { about: 'gitea:vision/flowers', state: 'good' },
    ]);
    expect(await repositoryOf(TOKENS.owner, 'model', 'gitea:Vision/Flowers')).toMatchObject([
      { message: 'it is gitea:vision/flowers now' },
      { state: 'good' },
    ]);
  });

  it('finds one that is archived', async () => {
    model.archived = true;
    expect(await repositoryOf(TOKENS.owner)).toMatchObject([
      { state: 'fault', message: expect.stringContaining('archived') },
    ]);
  });

  it.each<[string, RepositoryUse['use'], Finding['state'], string]>([
    [TOKENS.visitor, 'policies', 'fault', 'write access'],
    [TOKENS.reader, 'policies', 'fault', 'the scope write:repository'],
    [TOKENS.silent, 'policies', 'fault', 'the scope write:issue'],
    [TOKENS.writer, 'policies', 'fault', 'the scope read:user'],
    [TOKENS.reviewer, 'policies', 'good', ''],
    [TOKENS.visitor, 'model', 'fault', 'write access'],
    [TOKENS.reader, 'model', 'fault', 'the scope write:repository'],
    [TOKENS.silent, 'model', 'good', ''],
    [TOKENS.visitor, 'gitops', 'fault', 'write access'],
    [TOKENS.reader, 'gitops', 'fault', 'the scope write:repository'],
    [TOKENS.silent, 'gitops', 'warning', 'the scope write:issue'],
    [TOKENS.writer, 'gitops', 'good', ''],
  ])('with %s for %s is %s', async (token, use, state, fix) => {
    const [finding] = await repositoryOf(token, use);
    expect(finding).toMatchObject({ state });
    expect(finding?.fix ?? '').toContain(fix);
  });

  it('finds that pull requests are switched off where they are wanted', async () => {
    model.hasPullRequests = false;
    expect(states(await repositoryOf(TOKENS.writer, 'model'))).toBe('good');
    expect(await repositoryOf(TOKENS.writer, 'gitops')).toMatchObject([
      { state: 'warning', message: expect.stringContaining('switched off') },
    ]);
  });

  const webhookOf = async (token: string = TOKENS.owner) => (await look(token)).slice(3);

  it('finds that no webhook reports to us', async () => {
    model.hooks.add(hook({ config: { url: 'https://other.example.com/', content_type: 'json' } }));
    expect(await webhookOf()).toMatchObject([
      { state: 'fault', fix: `run modelhook webhook create ${IRIS}, or set it by hand` },
    ]);
  });

  it.each([
    [{ active: false }, 'not active'],
    [{ type: 'slack' }, 'type slack'],
    [{ config: { url: URL, content_type: 'form' } }, 'content type is form'],
    [{ events: ['push'] }, 'does not report delete, pull_request'],
    [{ branch_filter: 'main' }, 'branch filter "main"'],
  ])('finds a webhook that does not tell all: %j', async (changes, message) => {
    model.hooks.add(hook(changes));
    expect(await webhookOf()).toMatchObject([
      {
        state: 'fault',
        message: expect.stringContaining(message),
        fix: `run modelhook webhook create ${IRIS}`,
      },
    ]);
    await register();
    expect(states(await webhookOf())).toBe('good');
  });

  it('takes one that tells all beside one that does not', async () => {
    model.hooks.add(hook({ active: false }));
    model.hooks.add(
      hook({ events: ['push', 'delete', 'pull_request_only', 'pull_request_sync'], branch_filter: '*' }),
    );
    expect(states(await webhookOf())).toBe('good');
  });

  it('takes that of the organisation, and finds what it lacks', async () => {
    await register(GROUP);
    expect(await webhookOf()).toMatchObject([
      { state: 'good', message: expect.stringContaining('that of the organisation ml') },
    ]);
    shared.edit(1, { events: ['push'], active: true });
    expect(await webhookOf()).toMatchObject([
      { state: 'fault', fix: 'run modelhook webhook create --group gitea:ml' },
    ]);
  });

  it('asks for those of an organisation once', async () => {
    await look(TOKENS.owner, [USE, USE, USE]);
    expect(gitea.asked.filter(({ path }) => path.includes('/orgs/ml/hooks'))).toHaveLength(1);
  });

  it('where webhooks are hidden says where to look', async () => {
    model.hooks.add(hook());
    expect(await webhookOf(TOKENS.writer)).toMatchObject([
      {
        state: 'warning',
        fix: expect.stringContaining(`look for ${URL} at http://gitea.example.com/ml/iris/settings/hooks`),
      },
    ]);
  });

  it('of a repository of a user finds a missing webhook all the same', async () => {
    gitea.create('ada/iris');
    const findings = await look(TOKENS.owner, [{ repository: 'gitea:ada/iris', use: 'model' }]);
    expect(states(findings)).toBe('good good good fault');
  });
});
