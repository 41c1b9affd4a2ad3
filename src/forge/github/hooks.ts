/** Webhooks as GitHub keeps them (docs: REST API endpoints for repository, organization and App webhooks). */
import { z } from 'zod';
import type { GitHubApi, Refused } from './api.ts';
import type { Connection } from './connection.ts';

/** What modelhook uses: refs, pull requests, and new names of repositories. */
export const EVENTS: readonly string[] = ['push', 'pull_request', 'repository'];

const configSchema = z.object({
  url: z.string().default(''),
  content_type: z.string().default('form'),
  insecure_ssl: z.union([z.string(), z.number()]).default('0'),
});

const hookSchema = z.object({
  id: z.union([z.number(), z.bigint()]),
  active: z.boolean(),
  events: z.array(z.string()),
  config: configSchema,
});
export type Hook = z.infer<typeof hookSchema>;

/** All webhooks of a repository or an organisation. @param base `/repos/<owner>/<repository>` or `/orgs/<name>` */
export const listHooks = (api: GitHubApi, path: string, base: string, refused: Refused): Promise<Hook[]> =>
  api.askAll(path, `GET ${base}/hooks?per_page=100`, hookSchema, refused);

const appConfigSchema = configSchema.extend({ url: z.string().nullish() });

/** @returns the webhook of the App itself; null where it has none, or does not say */
export async function appHookConfig(connection: Connection): Promise<z.infer<typeof configSchema> | null> {
  const { status, data } = await connection.askAsApp('GET /app/hook/config');
  const parsed = appConfigSchema.safeParse(data);
  if (status !== 200 || !parsed.success || !parsed.data.url) return null;
  return { ...parsed.data, url: parsed.data.url };
}
