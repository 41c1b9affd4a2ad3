/** A forge on a GitHub of its own, for tests. */
import { generateKeyPairSync } from 'node:crypto';
import { createGitHubForge, type GitHubForge } from '../../src/forge/github/github-forge.ts';
import type { GitHubAuth } from '../../src/forge/github/tokens.ts';
import { GitHubServer } from './github-server.ts';

export const SECRETS = ['the first secret', 'ein zweites Geheimnis: äöü'];
export const TOKEN = 'ghp_aSecretToken';
export const KEYS = generateKeyPairSync('rsa', { modulusLength: 2048 });
export const PRIVATE_KEY = KEYS.privateKey.export({ type: 'pkcs1', format: 'pem' }).toString();
export const APP = { id: '4711', privateKey: PRIVATE_KEY };

export interface Site extends AsyncDisposable {
  server: GitHubServer;
  model: ReturnType<GitHubServer['create']>;
  forge: GitHubForge;
  /** Another forge on the same server. */
  forgeAs(auth: GitHubAuth): GitHubForge;
  /** Milliseconds since the epoch, for forge and server; may be set. */
  clock: { at: number };
}

/** A server with the repository `ml/iris`, and a forge named `github` that has a token for it. */
export async function startSite(): Promise<Site> {
  const server = await new GitHubServer().start();
  const clock = { at: Date.now() };
  server.tokens.set(TOKEN, { reads: true, writes: true });
  server.app = {
    id: '4711',
    key: KEYS.publicKey,
    installed: new Map([
      ['ml/iris', 31],
      ['ml', 31],
    ]),
    permissions: {
      contents: 'write',
      pull_requests: 'write',
      repository_hooks: 'write',
      statuses: 'write',
    },
    suspended: false,
    hook: null,
    now: () => clock.at,
  };
  const forgeAs = (auth: GitHubAuth) =>
    createGitHubForge({
      name: 'github',
      url: server.url,
      apiUrl: server.apiUrl,
      auth,
      webhookSecrets: SECRETS,
      ca: null,
      now: () => clock.at,
    });
  return {
    server,
    clock,
    model: server.create('ml/iris'),
    forgeAs,
    forge: forgeAs({ token: TOKEN }),
    [Symbol.asyncDispose]: () => server.stop(),
  };
}
