/** gitlab.com or a GitLab of one's own, through its API. */
import type { Forge } from '../forge.ts';
import { createGitLabAdministration } from './administration.ts';
import { createGitLabApi, type GitLabApiOptions } from './api.ts';
import { createGitLabPullRequests } from './pull-requests.ts';
import { createGitLabRepositories } from './repositories.ts';
import { createGitLabReviews } from './reviews.ts';
import { createGitLabStatuses } from './statuses.ts';
import { createGitLabWebhooks } from './webhooks.ts';

export interface GitLabForgeOptions extends GitLabApiOptions {
  /** The web base, a path allowed, without a trailing slash. */
  url: string;
  /** Secret tokens, and signing tokens, which start with `whsec_`. */
  webhookSecrets: readonly string[];
}

/** @throws Error where a webhook secret starts like a signing token and is none */
export function createGitLabForge({ webhookSecrets, ...options }: GitLabForgeOptions): Forge {
  const { name, now } = options;
  const api = createGitLabApi(options);
  return {
    name,
    webhooks: createGitLabWebhooks(name, webhookSecrets, now),
    repositories: createGitLabRepositories(api),
    statuses: createGitLabStatuses(name, api, now),
    pullRequests: createGitLabPullRequests(name, api),
    reviews: createGitLabReviews(name, options.url, api),
    administration: createGitLabAdministration(options, api),
  };
}
