import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { parse, stringify } from 'yaml';
import { GitRepository } from '../../test/git-repository.ts';
import { type Config, loadConfig } from '../config.ts';
import { FakeForge } from '../forge/forge.fake.ts';
import { inspectHook } from '../forge/git/hook.ts';
import { run } from './program.fixture.ts';
import { webhookUrl } from './webhook.ts';

/** In the place of the configured forges of these names; the others are real. */
const fakes = vi.hoisted(() => new Map<string, FakeForge>());
vi.mock('../compose.ts', async (original) => {
  const compose = await original<typeof import('../compose.ts')>();
  return {
    ...compose,
    composeForges: (config: Config) =>
      Object.keys(config.forges).every((name) => fakes.has(name)) ? fakes : compose.composeForges(config),
  };
});

const BASE = 'https://modelhook.example.com';
let folder: string;
let file: string;
let gitlab: FakeForge;
let gitea: FakeForge;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'modelhook-webhook-'));
  file = join(folder, 'modelhook.yaml');
  gitlab = new FakeForge('gitlab');
  gitea = new FakeForge('gitea');
  fakes.set('gitlab', gitlab).set('gitea', gitea);
  for (const path of ['ml/iris', 'ml/wine']) gitlab.create(path);
  gitea.create('ml/iris');
  vi.stubEnv('GITLAB_SECRET', 'the configured secret');
  configure({});
});
afterEach(() => {
  fakes.clear();
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

interface Changes {
  gitlab?: object;
  gitea?: object;
  server?: object;
}

function configure({ gitlab: changes, gitea: others, server = { publicUrl: BASE } }: Changes): void {
  const webhookSecrets = [{ env: 'GITLAB_SECRET' }];
  const config = {
    server,
    forges: {
      gitlab: { kind: 'gitlab', url: 'https://gitlab.example.com', webhookSecrets, ...changes },
      gitea: { kind: 'gitea', url: 'https://gitea.example.com', webhookSecrets, ...others },
      plain: { kind: 'git', url: './git', webhookSecrets },
    },
    policies: { repository: 'gitlab:platform/policies' },
    gitops: {},
  };
  writeFileSync(file, stringify(config));
}

const create = (...words: string[]) => run('webhook', 'create', '--config', file, ...words);
const hookOf = (forge: FakeForge, scope: string) =>
  Object.fromEntries(forge.administration.hooks.get(scope) ?? []);
const SECRET = /(?<![\w-])[\w-]{43}(?![\w-])/g;

describe('webhook create', () => {
  it('registers the address of the forge’s route with the first of its secrets, and says that it did', async () => {
    vi.stubEnv('NEXT', 'the next secret');
    configure({ gitlab: { webhookSecrets: [{ env: 'NEXT' }, { env: 'GITLAB_SECRET' }] } });
    const { code, out, err } = await create('gitlab:ml/iris');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toBe(`gitlab:ml/iris: created, reports to ${BASE}/webhooks/gitlab\n`);
    expect(hookOf(gitlab, 'repository ml/iris')).toEqual({ [`${BASE}/webhooks/gitlab`]: 'the next secret' });
  });

  it('done again brings it up to date, and says so', async () => {
    await create('gitlab:ml/iris');
    const { code, out } = await create('gitlab:ml/iris');
    expect({ code, out }).toEqual({
      code: 0,
      out: `gitlab:ml/iris: updated, reports to ${BASE}/webhooks/gitlab\n`,
    });
  });

  it('takes several ids, of several forges, each once, and a path as it is pasted', async () => {
    const { out } = await create('gitlab:ml/iris.git', 'gitlab:ml/iris', 'gitea:ml/iris');
    expect(out.split('\n').map((line) => line.split(':').slice(0, 2).join(':'))).toEqual([
      'gitlab:ml/iris',
      'gitea:ml/iris',
      '',
    ]);
    expect([...gitlab.administration.hooks.keys()]).toEqual(['repository ml/iris']);
  });

  it('registers for a group or organisation with --group', async () => {
    const { code } = await create('gitlab:ml', '--group');
    expect(code).toBe(0);
    expect([...gitlab.administration.hooks.keys()]).toEqual(['group ml']);
  });

  it('does the others where one fails, and exits with 1', async () => {
    const { code, out, err } = await create(
      'gitlab:ml/none',
      'gitlab:ml/iris',
      'github:ml/iris',
      'iris',
      'gitlab:../x',
    );
    expect(code).toBe(1);
    expect(out).toBe(`gitlab:ml/iris: created, reports to ${BASE}/webhooks/gitlab\n`);
    expect(err.split('\n')).toEqual([
      'gitlab:ml/none: gitlab:ml/none was not found',
      'github:ml/iris: it names the forge "github", which the configuration does not have; write <forge name>:<path> with one of gitlab, gitea, plain',
      expect.stringContaining('iris: it names no forge and path'),
      expect.stringContaining('contains ".."'),
      '',
    ]);
  });

  it('shows nothing that steers a terminal, and no secret that a forge repeats', async () => {
    gitlab.down = new Error('\u001b[2Jrefused\u0007: {"token":"the configured secret"}');
    const { code, out, err } = await create('gitlab:ml/iris');
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toBe('gitlab:ml/iris: refused\ufffd: {"token":"[secret]"}\n');
  });

  it.each([
    ['no id', []],
    ['no address', ['gitlab:ml/iris', '--url', 'modelhook']],
    ['an address with a query', ['gitlab:ml/iris', '--url', 'https://x.example.com/?a=b']],
    ['another scheme', ['gitlab:ml/iris', '--url', 'ftp://x.example.com']],
  ])('with %s is wrong usage', async (_, words) => {
    const { code, err } = await create(...words);
    expect(code).toBe(2);
    expect(err).toMatch(/error: /);
  });
});

describe('the address of a webhook', () => {
  it('is the one of --url, where it is given', async () => {
    await create('gitlab:ml/iris', '--url', 'http://tunnel.example.com:81/base/');
    expect(Object.keys(hookOf(gitlab, 'repository ml/iris'))).toEqual([
      'http://tunnel.example.com:81/base/webhooks/gitlab',
    ]);
  });

  it.each([{}, { host: '0.0.0.0' }, { host: '::' }, { host: '::1' }, { publicUrl: 'http://localhost:8080' }])(
    'is a fault where it is this machine’s alone and the forge elsewhere: %j',
    async (server) => {
      configure({ server });
      const { code, out, err } = await create('gitlab:ml/iris');
      expect({ code, out }).toEqual({ code: 1, out: '' });
      expect(err).toMatch(
        /is an address of this machine alone, which the forge "gitlab" cannot reach; .*--url/,
      );
      expect(gitlab.administration.hooks.size).toBe(0);
    },
  );

  it('may be this machine’s alone where --url says so', async () => {
    configure({ server: {} });
    expect((await create('gitlab:ml/iris', '--url', 'http://127.0.0.1:8080')).code).toBe(0);
  });

  it.each([
    [{}, 'http://127.0.0.1:8080/webhooks/gitlab'],
    [{ host: '::1', port: 81 }, 'http://[::1]:81/webhooks/gitlab'],
    [{ host: '0.0.0.0' }, 'http://127.0.0.1:8080/webhooks/gitlab'],
    [{ publicUrl: `${BASE}/` }, `${BASE}/webhooks/gitlab`],
  ])('is made of %j for a forge on this machine', (server, url) => {
    configure({ server, gitlab: { url: 'http://localhost:3000' } });
    expect(webhookUrl(loadConfig(file), 'gitlab')).toBe(url);
  });

  it('is made of host and port where others reach them', () => {
    configure({ server: { host: '10.0.0.5' } });
    expect(webhookUrl(loadConfig(file), 'gitlab')).toBe('http://10.0.0.5:8080/webhooks/gitlab');
  });
});

describe('a webhook secret that is not there yet', () => {
  it('is made of 32 random bytes, registered, and shown once', async () => {
    configure({ gitlab: { webhookSecrets: [] } });
    const runs = [await create('gitlab:ml/iris'), await create('gitlab:ml/iris')];
    const secrets = runs.map(({ code, out, err }) => {
      expect({ code, err }).toEqual({ code: 0, err: '' });
      const shown = out.match(SECRET) ?? [];
      expect(shown).toHaveLength(1);
      return shown[0] ?? '';
    });
    expect(new Set(secrets).size).toBe(2);
    expect(Buffer.from(secrets[1] ?? '', 'base64url')).toHaveLength(32);
    expect(Object.values(hookOf(gitlab, 'repository ml/iris'))).toEqual([secrets[1]]);
  });

  it('comes with the lines that make modelhook.yaml read it', async () => {
    configure({ gitlab: { webhookSecrets: [] } });
    const { out } = await create('gitlab:ml/iris');
    const [, variable = '', secret = ''] = /^ +(\w+)=(.*)$/m.exec(out) ?? [];
    expect(variable).toBe('GITLAB_WEBHOOK_SECRET');
    const lines = parse(/^ +forges:\n(?: +.*\n)+/m.exec(out)?.[0] ?? '');
    const config = parse(readFileSync(file, 'utf8'));
    Object.assign(config.forges.gitlab, lines.forges.gitlab);
    writeFileSync(file, stringify(config));
    vi.stubEnv(variable, secret);
    expect(loadConfig(file).forges.gitlab?.webhookSecrets.map((each) => each.reveal())).toEqual([secret]);
    const again = await create('gitlab:ml/iris');
    expect(again.out).toBe(`gitlab:ml/iris: updated, reports to ${BASE}/webhooks/gitlab\n`);
  });

  it.each([undefined, ''])(
    'goes into the variable that modelhook.yaml names, where that is %j',
    async (value) => {
      vi.stubEnv('MY_SECRET', value);
      configure({ gitlab: { webhookSecrets: [{ env: 'MY_SECRET' }, { env: 'GITLAB_SECRET' }] } });
      const { code, out } = await create('gitlab:ml/iris');
      expect(code).toBe(0);
      const [secret] = Object.values(hookOf(gitlab, 'repository ml/iris'));
      expect(out).toContain(`  MY_SECRET=${secret}\n`);
      expect(out).not.toContain('forges:');
    },
  );

  it.each([null, '', ' \n'])(
    'goes into the file that modelhook.yaml names, where that holds %j',
    async (text) => {
      const path = join(folder, 'a-secret');
      if (text !== null) writeFileSync(path, text);
      configure({ gitlab: { webhookSecrets: [{ file: './a-secret' }] } });
      const { code, out } = await create('gitlab:ml/iris');
      expect(code).toBe(0);
      expect(out).toContain(path);
      expect(out).toContain(`\n  ${Object.values(hookOf(gitlab, 'repository ml/iris'))[0]}\n`);
    },
  );

  it('is one for several ids of a forge, and for forges that share a variable', async () => {
    vi.stubEnv('SHARED', undefined);
    const shared = { webhookSecrets: [{ env: 'SHARED' }] };
    configure({ gitlab: shared, gitea: shared });
    const { out } = await create('gitlab:ml/iris', 'gitlab:ml/wine', 'gitea:ml/iris');
    const [secret, ...others] = out.match(SECRET) ?? [];
    expect(others).toEqual([]);
    for (const hook of [
      hookOf(gitlab, 'repository ml/iris'),
      hookOf(gitlab, 'repository ml/wine'),
      hookOf(gitea, 'repository ml/iris'),
    ])
      expect(Object.values(hook)).toEqual([secret]);
  });

  it('is another for each forge that names none', async () => {
    configure({ gitlab: { webhookSecrets: [] }, gitea: { webhookSecrets: [] } });
    const { out } = await create('gitlab:ml/iris', 'gitea:ml/iris');
    expect(new Set(out.match(SECRET)).size).toBe(2);
    expect(out).toContain('GITLAB_WEBHOOK_SECRET=');
    expect(out).toContain('GITEA_WEBHOOK_SECRET=');
  });

  it('is shown where one of several ids failed, and not where all did', async () => {
    configure({ gitlab: { webhookSecrets: [] } });
    const some = await create('gitlab:ml/none', 'gitlab:ml/iris');
    expect({ code: some.code, shown: some.out.match(SECRET)?.length }).toEqual({ code: 1, shown: 1 });
    const none = await create('gitlab:ml/none');
    expect({ code: none.code, out: none.out }).toEqual({ code: 1, out: '' });
    expect(none.err).not.toMatch(SECRET);
  });

  it('is not made for another forge than the ids name', async () => {
    configure({ gitea: { webhookSecrets: [] } });
    const { out } = await create('gitlab:ml/iris');
    expect(out).not.toMatch(SECRET);
  });

  it.each([
    ['a token whose variable is not set', { token: { env: 'NO_SUCH_TOKEN' } }, 'NO_SUCH_TOKEN is not set'],
    ['a secret in a folder’s place', { webhookSecrets: [{ file: '.' }] }, 'the secret cannot be read'],
    ['a secret in the file itself', { webhookSecrets: ['inline'] }, 'a secret is { env: NAME }'],
  ])('excuses no other fault: %s', async (_, changes, fault) => {
    configure({ gitlab: changes });
    const { code, out, err } = await create('gitea:ml/iris');
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toContain(fault);
  });
});

describe('webhook create for plain Git', () => {
  it('installs the hook in the bare repository', async () => {
    const { dir } = GitRepository.create(join(folder, 'git/ml/iris.git'));
    const { code, out } = await create('plain:ml/iris');
    expect({ code, out }).toEqual({
      code: 0,
      out: `plain:ml/iris: created, reports to ${BASE}/webhooks/plain\n`,
    });
    const hook = { dir, path: 'ml/iris', url: `${BASE}/webhooks/plain` };
    expect(inspectHook(hook, ['the configured secret'])).toBe('good');
    expect((await create('plain:ml/iris')).out).toContain('plain:ml/iris: updated');
  });

  it('says why it cannot', async () => {
    mkdirSync(join(folder, 'git'));
    const { code, err } = await create('plain:ml/none');
    expect(code).toBe(1);
    expect(err).toMatch(/^plain:ml\/none: there is no Git repository at /);
    expect((await create('plain:ml', '--group')).err).toContain('a plain Git server has no groups');
  });
});
