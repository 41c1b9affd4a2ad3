/** A plain Git server: no API, so hooks report, files are read by Git itself, and statuses are notes. */
import type { RemoteAccess } from '../../git/remote.ts';
import type { Forge } from '../forge.ts';
import { createGitAdministration } from './administration.ts';
import { createGitRepositories } from './repositories.ts';
import { createGitServer } from './server.ts';
import { createGitStatuses } from './statuses.ts';
import { createGitWebhooks } from './webhooks.ts';

export interface GitForgeOptions {
  name: string;
  access: RemoteAccess;
  webhookSecrets: readonly string[];
  /** The folder of mirrors. */
  cache: string;
  /** Milliseconds since the epoch. */
  now: () => number;
}

export function createGitForge({ name, access, webhookSecrets, cache, now }: GitForgeOptions): Forge {
  const server = createGitServer(access, cache);
  return {
    name,
    webhooks: createGitWebhooks(name, webhookSecrets),
    repositories: createGitRepositories(server),
    pullRequests: null,
    reviews: null,
    administration: createGitAdministration(access, webhookSecrets),
    statuses: createGitStatuses(server, now),
  };
}
