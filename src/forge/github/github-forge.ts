/** github.com or a GitHub Enterprise Server, through its API. */
import type { Forge } from '../forge.ts';
import { createGitHubAdministration } from './administration.ts';
import { createApi, pathOf } from './api.ts';
import { createConnection } from './connection.ts';
import { createGitHubPullRequests } from './pull-requests.ts';
import { createGitHubRepositories } from './repositories.ts';
import { createGitHubReviews } from './reviews.ts';
import { createGitHubStatuses } from './statuses.ts';
import { createTokens, type GitHubAuth, readPrivateKey } from './tokens.ts';
import { createGitHubWebhooks } from './webhooks.ts';

export interface GitHubForgeOptions {
  name: string;
  /** The web base, without a trailing slash. */
  url: string;
  /** The API's base: `https://api.github.com`, elsewhere `<url>/api/v3`. */
  apiUrl: string;
  /** null: only what everybody may read, and no status. */
  auth: GitHubAuth;
  webhookSecrets: readonly string[];
  /** A file with the certificates of a private CA; null: the system's */
  ca: string | null;
  /** Milliseconds since the epoch. */
  now: () => number;
}

export interface GitHubForge extends Forge {
  /**
   * A token for Git over HTTPS, where the user name is `x-access-token`. An App's is good for five more minutes at least.
   * @param path `<owner>/<repository>`
   * @returns null where the forge has no token
   */
  tokenFor(path: string): Promise<string | null>;
}

/** @throws Error where the private key of the App cannot be read */
export function createGitHubForge(options: GitHubForgeOptions): GitHubForge {
  const { name, url, apiUrl, auth, webhookSecrets, ca, now } = options;
  const app = auth && 'app' in auth ? readPrivateKey(name, auth.app) : null;
  const connection = createConnection({ apiUrl, app, ca, now });
  const tokens = createTokens(name, auth, connection, now);
  const api = createApi(name, connection, tokens);
  return {
    name,
    webhooks: createGitHubWebhooks(name, webhookSecrets),
    repositories: createGitHubRepositories(name, api),
    statuses: createGitHubStatuses(name, api),
    pullRequests: createGitHubPullRequests(name, api),
    reviews: createGitHubReviews(name, url, api, connection),
    administration: createGitHubAdministration({ forge: name, apiUrl, api, connection, tokens, now }),
    tokenFor: async (path) => tokens.of(pathOf(`${name}:${path}`)),
  };
}
