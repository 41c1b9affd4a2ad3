/** Webhooks of projects, groups and the whole GitLab, as its API shows them. */
import type { GitLabApi } from './api.ts';
import { type Hook, hookSchema } from './schema.ts';

/** The events that modelhook uses, as the API names them and as people read them. */
export const EVENTS = {
  push_events: 'push',
  tag_push_events: 'tag push',
  merge_requests_events: 'merge request',
} as const;
export type HookEvent = keyof typeof EVENTS;

/**
 * Lists the hooks of one place.
 * @param about whose they are, for errors
 * @param path such as `projects/42/hooks`
 * @returns the answer where the token may not see them, or the place has none
 */
export async function listHooks(
  api: GitLabApi,
  about: string,
  path: string,
): Promise<{ hooks: Hook[] } | { refused: Response }> {
  const probe = await api.ask('GET', `${path}?per_page=1`);
  if ([401, 403, 404].includes(probe.status)) return { refused: probe };
  return { hooks: await api.list(about, path, {}, hookSchema) };
}

/** Whether GitLab calls it, which it stops where too many deliveries failed. */
export const isCalled = ({ alert_status }: Hook): boolean => (alert_status ?? 'executable') === 'executable';
