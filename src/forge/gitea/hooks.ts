/** Webhooks as Gitea's API shows and makes them. */
import { StalledError } from '../../core/errors.ts';
import { isSameAddress } from '../findings.ts';
import type { WebhookScope } from '../forge.ts';
import { allOf, encodePath, type GiteaClient, GiteaError, type GiteaRepository, pathTo } from './client.ts';
import { type Hook, hookSchema, organisationSchema } from './schema.ts';

/**
 * A push tells of tags too, a deletion of a branch comes as `delete` alone. `pull_request` would switch on labels,
 * reviews and comments as well; the API shows `pull_request_only` as `pull_request` (measured with Gitea 1.26).
 */
const EVENTS = ['push', 'delete', 'pull_request_only', 'pull_request_sync'];
/** What must be among the events that the API shows. */
const NEEDED = ['push', 'delete', 'pull_request', 'pull_request_sync'];
/** Those that send what modelhook reads. */
const TYPES = ['gitea', 'forgejo', 'gogs'];

/** @param path of a repository or an organisation, below the API's base @returns its own webhooks */
export const hooksOf = (client: GiteaClient, path: string): Promise<Hook[]> =>
  allOf((page) => client.page(`${path}/hooks`, page, hookSchema));

/** @returns where a repository's webhooks are */
export const hooksOfRepository = (client: GiteaClient, found: GiteaRepository): Promise<Hook[]> =>
  hooksOf(client, pathTo(found));

/** @returns whether a webhook reports to an address, however either is written */
export const reportsTo =
  (url: string) =>
  ({ config }: Hook): boolean =>
    isSameAddress(config.url, url);

/** @returns what of a webhook keeps modelhook from hearing all it needs; empty: nothing */
export function shortcomingsOf({ active, type, config, events, branch_filter }: Hook): string[] {
  const missing = NEEDED.filter((event) => !events.includes(event));
  return [
    ...(active ? [] : ['it is not active']),
    ...(TYPES.includes(type) ? [] : [`it is of the type ${type}`]),
    ...(config.content_type === 'json' ? [] : [`its content type is ${config.content_type}, not json`]),
    ...(missing.length === 0 ? [] : [`it does not report ${missing.join(', ')}`]),
    ...(['', '*', '**'].includes(branch_filter) ? [] : [`its branch filter "${branch_filter}" hides refs`]),
  ];
}

export interface GiteaHooksOptions {
  /** The forge's name in modelhook.yaml. */
  name: string;
  client: GiteaClient;
}

/**
 * Makes a webhook, and removes those to the same address: Gitea takes no new secret for one that is there, and does not
 * say so (measured with 1.26). What both tell meanwhile is one event.
 */
export async function registerHook(
  { name, client }: GiteaHooksOptions,
  scope: WebhookScope,
  { url, secret }: { url: string; secret: string },
): Promise<'created' | 'updated'> {
  try {
    const path = await pathOfScope({ name, client }, scope);
    const former = (await hooksOf(client, path)).filter(reportsTo(url));
    const hook = {
      type: 'gitea',
      active: true,
      events: EVENTS,
      branch_filter: '*',
      // A proxy in front of modelhook may ask for it.
      authorization_header: former.find((each) => each.authorization_header)?.authorization_header ?? '',
      config: { url, secret, content_type: 'json' },
    };
    await client.write('POST', `${path}/hooks`, hook, secret);
    for (const { id } of former) await remove(client, `${path}/hooks/${id}`);
    return former.length > 0 ? 'updated' : 'created';
  } catch (error) {
    if (error instanceof GiteaError && error.status === 403) throw refused(name, scope, error);
    throw error;
  }
}

/** Another may have removed it by now. */
async function remove(client: GiteaClient, path: string): Promise<void> {
  try {
    await client.write('DELETE', path, undefined);
  } catch (error) {
    if (!(error instanceof GiteaError) || error.status !== 404) throw error;
  }
}

/** By today's name: what is written under an old one goes nowhere. */
async function pathOfScope(
  { name, client }: GiteaHooksOptions,
  { kind, path }: WebhookScope,
): Promise<string> {
  if (kind === 'repository') return pathTo(await client.repository(`${name}:${path}`));
  try {
    const today = await client.read(`/orgs/${encodeURIComponent(path)}`, organisationSchema);
    return organisationPath(today);
  } catch (error) {
    if (!(error instanceof GiteaError) || error.status !== 404) throw error;
    throw new Error(
      `forge "${name}" shows the token no organisation "${path}"; check the name, and for a user's repositories register a webhook in each`,
    );
  }
}

/** @returns where an organisation is, below the API's base */
export const organisationPath = (organisation: string): string => `/orgs/${encodePath(organisation)}`;

function refused(name: string, { kind, path }: WebhookScope, { said }: GiteaError): StalledError {
  const [scope, role] =
    kind === 'repository'
      ? ['write:repository', 'administrator access to the repository']
      : ['write:organization', 'a place among the owners of the organisation'];
  return new StalledError(
    `the token of forge "${name}" may not set webhooks of ${path}${said && ` (${said})`}`,
    `give it the scope ${scope}, and its user ${role}, or set the webhook by hand`,
  );
}
