/** Gitea, and Forgejo, which descends from it. */
import type { Forge } from '../forge.ts';
import { createGiteaAdministration } from './administration.ts';
import { createGiteaClient } from './client.ts';
import { createGiteaObjects } from './objects.ts';
import { createGiteaPullRequests } from './pull-requests.ts';
import { createGiteaRepositories } from './repositories.ts';
import { createGiteaReviews } from './reviews.ts';
import { createGiteaStatuses } from './statuses.ts';
import { createGiteaWebhooks } from './webhooks.ts';

export interface GiteaForgeOptions {
  name: string;
  /** The web base; a path is allowed. */
  url: string;
  /** The API's base, `<url>/api/v1` where nobody says otherwise. */
  apiUrl: string;
  /** With the scopes write:repository, write:issue and read:user, of a user who may write to the repositories. */
  token: string | null;
  webhookSecrets: readonly string[];
  /** A file with the certificates of a private CA; null: the system's */
  ca: string | null;
  /** Milliseconds since the epoch. */
  now: () => number;
}

/** Starts nothing: the first request loads the HTTP client. */
export function createGiteaForge(options: GiteaForgeOptions): Forge {
  const { name, url, apiUrl, token, webhookSecrets } = options;
  const client = createGiteaClient(options);
  const objects = createGiteaObjects(client);
  return {
    name,
    webhooks: createGiteaWebhooks(name, webhookSecrets),
    repositories: createGiteaRepositories(client, objects),
    statuses: createGiteaStatuses({ name, client, objects }),
    pullRequests: createGiteaPullRequests({ name, client }),
    reviews: createGiteaReviews({ name, url, client }),
    administration: createGiteaAdministration({ name, apiUrl, hasToken: token !== null, client }),
  };
}
