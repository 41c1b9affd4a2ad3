import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { stringify } from 'yaml';
import { GitRepository } from '../../test/git-repository.ts';
import type { Config } from '../config.ts';
import { StalledError } from '../core/errors.ts';
import { policyText } from '../core/policy.fixture.ts';
import { FakeForge } from '../forge/forge.fake.ts';
import type { Finding } from '../forge/forge.ts';
import { run } from './program.fixture.ts';

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

const SECRET = 'the-configured-secret';
const TOKEN = 'the-configured-token';
let folder: string;
let file: string;
let policies: GitRepository;
let gitlab: FakeForge;
let gitea: FakeForge;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'modelhook-doctor-test-'));
  file = join(folder, 'modelhook.yaml');
  vi.stubEnv('FORCE_COLOR', undefined);
  vi.stubEnv('HOOK_SECRET', SECRET);
  vi.stubEnv('API_TOKEN', TOKEN);
  policies = GitRepository.create(join(folder, 'git/platform/policies.git'));
  policies.commit({ 'policies/a.yaml': policyText() });
  GitRepository.create(join(folder, 'git/platform/fleet.git'));
  gitlab = new FakeForge('gitlab');
  gitea = new FakeForge('gitea');
  fakes.set('gitlab', gitlab).set('gitea', gitea);
  configure();
});
afterEach(() => {
  fakes.clear();
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

const webhookSecrets = [{ env: 'HOOK_SECRET' }];
const FORGES: Record<string, object> = {
  plain: { kind: 'git', url: './git', webhookSecrets },
  gitlab: { kind: 'gitlab', url: 'https://gitlab.example.com', token: { env: 'API_TOKEN' }, webhookSecrets },
  gitea: { kind: 'gitea', url: 'https://gitea.example.com', webhookSecrets },
};

function configure(changes: object = {}): void {
  const config = {
    server: { publicUrl: 'https://modelhook.example.com' },
    forges: FORGES,
    policies: { repository: 'plain:platform/policies' },
    gitops: { fleet: { repository: 'plain:platform/fleet' } },
    ...changes,
  };
  writeFileSync(file, stringify(config));
}

const doctor = (...words: string[]) => run('doctor', '--config', file, ...words);
type Found = Finding & { forge: string | null };

async function findings(...words: string[]): Promise<{ code: string | number; found: Found[] }> {
  const { code, out, err } = await doctor('--output', 'json', ...words);
  expect(err).toBe('');
  return { code, found: JSON.parse(out).findings };
}

/** What the forges are asked, and what they answer. */
function examination(forge: FakeForge, ...found: Partial<Finding>[]) {
  const answer = found.map(
    (changes): Finding => ({ about: 'token', state: 'good', message: 'is good', fix: null, ...changes }),
  );
  return vi.spyOn(forge.administration, 'examine').mockResolvedValue(answer);
}

describe('doctor', () => {
  it('exits with 0 where there is no fault, though there are warnings', async () => {
    await run('webhook', 'create', 'plain:platform/policies', '--config', file);
    examination(gitlab, { state: 'warning', message: 'the token expires in 3 days', fix: 'renew it' });
    const { code, out, err } = await doctor();
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toBe(`Configuration
  good     ${file}: can be used

Policies
  good     plain:platform/policies: 1 policy at ${policies.read('refs/heads/main')?.slice(0, 7)}, the head of main

plain: ${folder}/git
  good     plain:platform/policies: can be read
  good     plain:platform/policies: its hook reports to https://modelhook.example.com/webhooks/plain
  good     plain:platform/fleet: can be read and written

gitlab: https://gitlab.example.com
  warning  token: the token expires in 3 days
      renew it

gitea: https://gitea.example.com

0 faults, 1 warning, 5 good
`);
  });

  it('exits with 1 where there is a fault, and says what to do below it', async () => {
    const { code, out } = await doctor();
    expect(code).toBe(1);
    expect(
      out,
    ).toContain(`  fault    plain:platform/policies: has no post-receive hook, so nothing reports its pushes
      run modelhook webhook create plain:platform/policies\n`);
    expect(out).toMatch(/^1 fault, 0 warnings, 4 good$/m);
  });

  it('has signs in place of words where colours are shown', async () => {
    vi.stubEnv('FORCE_COLOR', '1');
    examination(gitlab, {}, { state: 'warning', fix: 'a' }, { state: 'fault', fix: 'b' });
    const { out } = await doctor('--forge', 'gitlab');
    expect(out).toContain('\u001b[32m✓\u001b[39m  token: is good');
    expect(out).toContain('\u001b[33m!\u001b[39m  token: is good\n      a');
    expect(out).toContain('\u001b[31m✗\u001b[39m  token: is good\n      b');
  });

  it('says once what mends several in a row', async () => {
    const fix = 'mend it';
    examination(gitlab, { state: 'fault', fix }, { state: 'warning', fix }, { state: 'fault', fix: 'b' });
    const { out } = await doctor('--forge', 'gitlab');
    expect(out).toContain(
      '  fault    token: is good\n  warning  token: is good\n      mend it\n  fault    token: is good\n      b\n',
    );
  });

  it('puts together what is about the same, in the order in which it came', async () => {
    examination(gitlab, { about: 'b' }, { about: 'a' }, { about: 'b', message: 'is fine' });
    const { out } = await doctor('--forge', 'gitlab');
    expect(out).toContain('b: is good\n  good     b: is fine\n  good     a: is good\n');
  });

  it('writes all findings as JSON with --output json', async () => {
    examination(gitlab, { state: 'fault', message: 'lacks the scope api', fix: 'make a token with it' });
    const { code, found } = await findings('--forge', 'gitlab');
    expect(code).toBe(1);
    expect(found).toEqual([
      { forge: null, cluster: null, about: file, state: 'good', message: 'can be used', fix: null },
      {
        forge: null,
        cluster: null,
        about: 'plain:platform/policies',
        state: 'good',
        message: expect.any(String),
        fix: null,
      },
      {
        forge: 'gitlab',
        cluster: null,
        about: 'token',
        state: 'fault',
        message: 'lacks the scope api',
        fix: 'make a token with it',
      },
    ]);
  });

  it.each(['text', 'json'])('shows nothing that steers a terminal, and no secret, in %s', async (output) => {
    examination(gitlab, {
      about: '\u001b[31mtoken',
      state: 'fault',
      message: `"${TOKEN}"\u0007 and ${SECRET}\u009b2J\nsecond line`,
      fix: '\u202erenew',
    });
    gitea.down = new Error(`\u001b]0;x\u0007${SECRET}`);
    const { out, err } = await doctor('--output', output, 'gitea:ml/iris');
    expect(out + err).not.toMatch(/[^\P{Cc}\n]|\u202e/u);
    expect(out + err).not.toMatch(/the-configured/);
    expect(out).toContain('[secret]');
    expect(out).toContain('second line');
  });
});

describe('of the configuration doctor', () => {
  it('tells every fault as a finding, and exits with 2 as other commands do', async () => {
    vi.stubEnv('HOOK_SECRET', undefined);
    const { code, found } = await findings();
    expect(code).toBe(2);
    expect(found).toHaveLength(3);
    expect(found[0]).toEqual({
      forge: null,
      cluster: null,
      about: expect.stringMatching(/modelhook\.yaml:\d+:\d+$/),
      state: 'fault',
      message: 'forges.plain.webhookSecrets.0: the environment variable HOOK_SECRET is not set',
      fix: expect.stringContaining('docs/configuration.md'),
    });
  });

  it.each([
    [['--forge', 'github'], 'the configuration has no forge "github"; it has plain, gitlab, gitea'],
    [['github:ml/iris'], 'the configuration has no forge "github"'],
    [['toString:ml/iris'], 'the configuration has no forge "toString"'],
    [['ml/iris'], '"ml/iris" is not a repository id; write <forge name>:<path>'],
    [['gitlab:../iris'], 'contains ".."'],
    [['--url', 'example.com'], '--url'],
  ])('takes %j for wrong usage', async (words, message) => {
    const { code, out, err } = await doctor(...words);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toContain(message);
  });
});

describe('of the policies doctor', () => {
  const policiesOf = async () => (await findings('--forge', 'gitea')).found.slice(1);

  it('tells each fault of the head, with its place', async () => {
    policies.commit({ 'policies/b.yaml': policyText({ repositoriez: [] }, 'other') });
    const [sum, fault] = await policiesOf();
    expect(sum).toMatchObject({
      about: 'plain:platform/policies',
      state: 'fault',
      message: expect.stringContaining('has 1 fault, so it is not used'),
    });
    expect(fault).toMatchObject({
      about: expect.stringMatching(/^policies\/b\.yaml:\d+:\d+$/),
      state: 'fault',
      message: expect.stringContaining('repositoriez'),
    });
  });

  it('shows the first warnings of the head, with their places, and counts the rest', async () => {
    const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
    const texts = names.map((name) =>
      policyText(
        {
          match: { repositories: ['nowhere:ml/*'], tags: ['v*'] },
          target: { namespace: 'vision', name },
        },
        name,
      ),
    );
    policies.commit({ 'policies/a.yaml': texts.join('\n---\n') });
    const [sum, ...found] = await policiesOf();
    expect(sum).toMatchObject({ state: 'good', message: expect.stringContaining('7 policies at') });
    expect(found.map(({ state }) => state)).toEqual(Array(6).fill('warning'));
    expect(found[0]).toMatchObject({
      about: expect.stringMatching(/^policies\/a\.yaml:\d+:\d+$/),
      message: expect.stringContaining('modelhook.yaml has no forge "nowhere"'),
      fix: expect.any(String),
    });
    expect(found[5]).toMatchObject({ message: '2 more warnings', fix: 'modelhook validate lists all' });
  });

  it('tells what keeps them from being read, and looks at the forges all the same', async () => {
    rmSync(policies.dir, { recursive: true });
    examination(gitea, {});
    expect(await policiesOf()).toMatchObject([
      { forge: null, state: 'fault', message: expect.stringContaining('there is no Git repository') },
      { forge: 'gitea', state: 'good' },
    ]);
  });

  it('tells that the branch is missing, and what to do', async () => {
    policies.remove('refs/heads/main');
    expect(await policiesOf()).toMatchObject([{ fix: expect.stringContaining('policies.branch') }]);
  });

  it('writes nothing into the cache or the store, and leaves nothing behind', async () => {
    const before = readdirSync(tmpdir()).filter((name) => name.startsWith('modelhook-doctor-'));
    await doctor();
    expect(existsSync(join(folder, 'data'))).toBe(false);
    const after = readdirSync(tmpdir()).filter((name) => name.startsWith('modelhook-doctor-'));
    expect(
      after.filter((name) => !before.includes(name) && !name.startsWith('modelhook-doctor-test-')),
    ).toEqual([]);
  });
});

describe('of the forges doctor', () => {
  it('asks each for the repositories it has, and what they are for', async () => {
    const repositories = [
      'gitlab:ml/iris',
      'gitlab:ml/*',
      '!gitlab:ml/old',
      'gitea:ml/iris',
      'plain:platform/fleet',
    ];
    policies.commit({ 'policies/a.yaml': policyText({ match: { repositories, tags: ['v*'] } }) });
    configure({
      gitops: {
        fleet: { repository: 'gitlab:platform/fleet' },
        again: { repository: 'gitlab:platform/fleet', branch: 'b' },
      },
    });
    const [ofGitLab, ofGitea] = [examination(gitlab), examination(gitea)];
    await findings('gitlab:ml/wine', 'gitlab:ml/iris');
    expect(ofGitLab).toHaveBeenCalledExactlyOnceWith(
      [
        { repository: 'gitlab:platform/fleet', use: 'gitops' },
        { repository: 'gitlab:ml/iris', use: 'model' },
        { repository: 'gitlab:ml/wine', use: 'model' },
      ],
      'https://modelhook.example.com/webhooks/gitlab',
    );
    expect(ofGitea).toHaveBeenCalledExactlyOnceWith(
      [{ repository: 'gitea:ml/iris', use: 'model' }],
      'https://modelhook.example.com/webhooks/gitea',
    );
  });

  it.each([
    [['--forge'], ['plain', 'gitlab', 'gitea']],
    [['--forge', 'gitlab'], ['gitlab']],
    [
      ['--forge', 'gitlab', 'gitea'],
      ['gitlab', 'gitea'],
    ],
    [
      ['--forge', 'gitlab', 'gitea:ml/iris'],
      ['gitlab', 'gitea'],
    ],
    [
      ['gitea:ml/iris', '--forge', 'gitlab'],
      ['gitlab', 'gitea'],
    ],
    [['gitea:ml/iris'], ['plain', 'gitlab', 'gitea']],
  ])('given %j looks at %j', async (words, names) => {
    examination(gitlab, {});
    examination(gitea, {});
    const { found } = await findings(...words);
    expect([...new Set(found.map(({ forge }) => forge))]).toEqual([null, ...names]);
  });

  it('takes one that is not reached for a finding, and looks at the others', async () => {
    vi.spyOn(gitlab.administration, 'examine').mockRejectedValue(new Error('connect ECONNREFUSED'));
    examination(gitea, {});
    const { code, found } = await findings('--forge', 'gitlab', 'gitea');
    expect(code).toBe(1);
    expect(found.slice(2)).toMatchObject([
      {
        forge: 'gitlab',
        about: 'https://gitlab.example.com',
        state: 'fault',
        message: 'cannot be asked: connect ECONNREFUSED',
        fix: expect.any(String),
      },
      { forge: 'gitea', state: 'good' },
    ]);
  });

  it('tells what a person must do in the words of who knows', async () => {
    const error = new StalledError('the App is not known', 'check app.id');
    vi.spyOn(gitlab.administration, 'examine').mockRejectedValue(error);
    const { found } = await findings('--forge', 'gitlab');
    expect(found.at(-1)).toMatchObject({
      message: 'cannot be asked: the App is not known',
      fix: 'check app.id',
    });
  });

  it('asks all at the same time', async () => {
    const begun = [gitlab, gitea].map((forge) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      return { forge, promise, resolve };
    });
    for (const { forge, resolve } of begun)
      vi.spyOn(forge.administration, 'examine').mockImplementation(async () => {
        resolve();
        await Promise.all(begun.map(({ promise }) => promise));
        return [];
      });
    expect((await findings('--forge', 'gitlab', 'gitea')).code).toBe(0);
  });

  it('warns where it does not know the address of the webhooks, and asks without it', async () => {
    configure({ server: {} });
    const examine = examination(gitlab, {});
    const { found } = await findings('--forge', 'gitlab');
    expect(found.slice(2)).toMatchObject([
      { about: 'webhooks', state: 'warning', fix: expect.stringContaining('server.publicUrl') },
      { state: 'good' },
    ]);
    expect(examine).toHaveBeenCalledExactlyOnceWith([], null);
    await findings('--forge', 'gitlab', '--url', 'http://tunnel.example.com/');
    expect(examine).toHaveBeenLastCalledWith([], 'http://tunnel.example.com/webhooks/gitlab');
  });

  it('finds a forge without a webhook secret', async () => {
    configure({ forges: { ...FORGES, gitlab: { ...FORGES.gitlab, webhookSecrets: [] } } });
    const { found } = await findings('--forge', 'gitlab');
    expect(found.slice(2)).toMatchObject([{ forge: 'gitlab', about: 'webhookSecrets', state: 'fault' }]);
  });
});

describe('of the clusters doctor', () => {
  type OfCluster = Found & { cluster: string | null };
  const clustersIn = (found: readonly Found[]): (string | null)[] => [
    ...new Set((found as OfCluster[]).map(({ cluster }) => cluster)),
  ];
  beforeEach(() => {
    const kubeconfig = join(folder, 'kubeconfig');
    writeFileSync(
      kubeconfig,
      stringify({
        clusters: [{ name: 'c', cluster: { server: 'https://127.0.0.1:1' } }],
        users: [{ name: 'u', user: { token: 'the-token-of-the-cluster' } }],
        contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
        'current-context': 'c',
      }),
    );
    policies.commit({ 'policies/a.yaml': policyText({ target: { namespace: 'vision', cluster: 'prod' } }) });
    configure({ clusters: { prod: { kubeconfig: { file: kubeconfig } }, blind: { kserve: '0.20' } } });
  });

  it.each([
    [[], [null, 'prod']],
    [['--cluster'], [null, 'prod']],
    [
      ['--cluster', 'prod', '--forge', 'gitlab'],
      [null, 'prod'],
    ],
    [['--forge', 'gitlab'], [null]],
  ])('given %j looks at %j, of those it has access to', async (words, names) => {
    const { found } = await findings(...words);
    expect(clustersIn(found)).toEqual(names);
  });

  it('looks at no forge where only clusters are asked for', async () => {
    const { found } = await findings('--cluster');
    expect([...new Set(found.map(({ forge }) => forge))]).toEqual([null]);
  });

  it('takes one that is not reached for a fault, with what to do and without its token', async () => {
    const { code, found } = await findings('--cluster', 'prod');
    expect(code).toBe(1);
    expect(found).toContainEqual({
      forge: null,
      cluster: 'prod',
      about: 'access',
      state: 'fault',
      message: expect.stringContaining('ECONNREFUSED'),
      fix: expect.stringContaining('check that it runs'),
    });
    expect(JSON.stringify(found)).not.toContain('the-token-of-the-cluster');
  });

  it.each([
    ['nowhere', 'the configuration has no cluster "nowhere"; it has prod, blind'],
    ['blind', 'the configuration gives no access to cluster "blind"'],
  ])('takes --cluster %s for wrong usage', async (name, words) => {
    const { code, err } = await doctor('--cluster', name);
    expect(code).toBe(2);
    expect(err).toContain(words);
  });
});
