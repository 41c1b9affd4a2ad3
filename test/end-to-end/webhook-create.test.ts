/** `webhook create` and `doctor` with the real program, against each forge. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { stringify } from 'yaml';
import { run } from '../../src/cli/program.fixture.ts';
import { policyText } from '../../src/core/policy.fixture.ts';
import { GiteaServer, TOKENS } from '../forges/gitea-server.ts';
import { GitHubServer } from '../forges/github-server.ts';
import { GitLabServer } from '../forges/gitlab-server.ts';
import { GitRepository } from '../git-repository.ts';

const TOKEN = 'the-token-of-the-forge';

interface ForgeSite {
  /** One that the forge accepts. */
  token: string;
  forge: { kind: string; url: string; apiUrl?: string };
  /** The webhooks of `ml/iris`: address and secret, as the forge keeps them. */
  hooks(): (readonly [url: string | undefined, secret: string | undefined])[];
  end(): Promise<void>;
}

const FORGES: Record<string, () => Promise<ForgeSite>> = {
  async GitHub() {
    const server = await new GitHubServer().start();
    server.tokens.set(TOKEN, { reads: true, writes: true });
    const { hooks } = server.create('ml/iris');
    return {
      token: TOKEN,
      forge: { kind: 'github', url: server.url, apiUrl: server.apiUrl },
      hooks: () => hooks.map(({ config }) => [config.url, config.secret] as const),
      end: () => server.stop(),
    };
  },
  async GitLab() {
    const server = await new GitLabServer().start();
    server.tokens.set(TOKEN, { user: 'bot', scope: 'api', role: 'Maintainer' });
    server.create('ml/iris');
    server.commit('ml/iris', 'main', { 'README.md': '# Iris' });
    return {
      token: TOKEN,
      forge: { kind: 'gitlab', url: server.url },
      hooks: () => server.of('ml/iris').hooks.all.map(({ url, token }) => [url, token] as const),
      end: () => server.stop(),
    };
  },
  async Gitea() {
    const server = await GiteaServer.start();
    const model = server.create('ml/iris');
    model.commit('main', { 'README.md': '# Iris' });
    return {
      token: TOKENS.owner,
      forge: { kind: 'gitea', url: server.url },
      hooks: () => model.hooks.kept.map(({ config, secret }) => [config.url, secret] as const),
      end: () => server.end(),
    };
  },
};

describe.each(Object.entries(FORGES))('on %s', (_, start) => {
  let folder: string;
  let file: string;
  let site: ForgeSite;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'modelhook-create-'));
    file = join(folder, 'modelhook.yaml');
    site = await start();
    vi.stubEnv('FORGE_TOKEN', site.token);
    vi.stubEnv('no_proxy', '*');
    const match = { repositories: ['forge:ml/iris'], tags: ['v*'] };
    GitRepository.create(join(folder, 'git/policies.git')).commit({
      'policies/a.yaml': policyText({ match }),
    });
    const plain = { kind: 'git', url: './git', webhookSecrets: [] };
    const forge = { ...site.forge, token: { env: 'FORGE_TOKEN' }, webhookSecrets: [{ env: 'FORGE_SECRET' }] };
    const config = {
      server: { publicUrl: 'https://modelhook.example.com' },
      forges: { forge, plain },
      policies: { repository: 'plain:policies' },
      gitops: { fleet: { repository: 'plain:policies' } },
    };
    writeFileSync(file, stringify(config));
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    await site.end();
    rmSync(folder, { recursive: true, force: true });
  });

  const URL = 'https://modelhook.example.com/webhooks/forge';
  const create = () => run('webhook', 'create', 'forge:ml/iris', '--config', file);
  const faults = async () => {
    const { out } = await run('doctor', '--forge', 'forge', '--config', file, '--output', 'json');
    expect(out).not.toContain(site.token);
    const { findings } = JSON.parse(out);
    return findings.filter(
      ({ forge, state }: { forge: string; state: string }) => forge === 'forge' && state !== 'good',
    );
  };

  it('a secret is made, the webhook is registered once, and doctor finds it', async () => {
    const first = await create();
    expect(first).toMatchObject({ code: 0, err: '' });
    const [, secret] = /^ {2}FORGE_SECRET=(.*)$/m.exec(first.out) ?? [];
    expect(site.hooks()).toEqual([[URL, secret]]);

    vi.stubEnv('FORGE_SECRET', secret);
    const again = await create();
    expect(again).toEqual({ code: 0, err: '', out: `forge:ml/iris: updated, reports to ${URL}\n` });
    expect(site.hooks()).toEqual([[URL, secret]]);
    expect(await faults()).toEqual([]);
  });

  it('doctor finds that the webhook is missing, and what makes it', async () => {
    vi.stubEnv('FORGE_SECRET', 'a secret');
    expect(await faults()).toEqual([
      expect.objectContaining({ state: 'fault', fix: expect.stringContaining('modelhook webhook create') }),
    ]);
  });

  it('doctor finds a token that the forge does not accept, and goes on', async () => {
    vi.stubEnv('FORGE_SECRET', 'a secret');
    vi.stubEnv('FORGE_TOKEN', 'a-token-of-nobody');
    const found = await faults();
    expect(found).toContainEqual(
      expect.objectContaining({ state: 'fault', message: expect.stringMatching(/token/) }),
    );
    expect(JSON.stringify(found)).not.toContain('a-token-of-nobody');
  });
});
