/** What an administrator asks of GitLab: to make webhooks, and to look whether all is as it must be. */

import { StalledError } from '../../core/errors.ts';
import { unsafeName } from '../../core/ref-event.ts';
import { isSameAddress } from '../findings.ts';
import type { ForgeAdministration, WebhookScope } from '../forge.ts';
import { type GitLabApi, type GitLabApiOptions, projectPath } from './api.ts';
import { createExamination } from './examination.ts';
import { EVENTS, isCalled, listHooks } from './hooks.ts';
import { groupSchema, type Hook, hookSchema, projectSchema } from './schema.ts';
import { isSigningToken } from './signature.ts';

export function createGitLabAdministration(options: GitLabApiOptions, api: GitLabApi): ForgeAdministration {
  const { name } = options;

  const refused = async ({ kind }: WebhookScope, about: string, response: Response, secret?: string) =>
    new StalledError(
      `the token of forge "${name}" may not set webhooks of ${about}${await api.wordsOf(response, secret)}`,
      kind === 'group'
        ? 'give it the scope api and the role Owner of the group; webhooks of groups need GitLab Premium, elsewhere set those of each project'
        : 'give it the scope api and the role Maintainer, or set the webhook by hand (docs/gitlab.md)',
    );

  /** @returns the address of the place's hooks @throws Error, transient, where there is no such place */
  async function hooksOf(scope: WebhookScope, about: string): Promise<string> {
    const isGroup = scope.kind === 'group';
    const place = isGroup ? `${groupPath(scope.path)}?with_projects=false` : projectPath(about);
    const response = await api.ask('GET', place);
    if (response.status === 403) throw await refused(scope, about, response);
    if (isGroup && response.status === 404)
      throw new Error(
        `the group ${about} was not found, or may not be read; check the name, and that the token of forge "${name}" is of a member`,
      );
    if (isGroup) return `groups/${(await api.read(about, response, groupSchema)).id}/hooks`;
    return `projects/${(await api.read(about, response, projectSchema)).id}/hooks`;
  }

  return {
    async registerWebhook(scope, { url, secret }) {
      const about = `${name}:${scope.path}`;
      const path = await hooksOf(scope, about);
      const list = await listHooks(api, about, path);
      if ('refused' in list) {
        if (list.refused.status === 401) throw await api.unreadable(about, list.refused);
        throw await refused(scope, about, list.refused);
      }
      const present = list.hooks.filter((hook) => isSameAddress(hook.url, url));
      if (present.length === 0) await write('POST', path);
      // Any of them could be refused, and would be a failed delivery of each push.
      for (const hook of present) await write('PUT', `${path}/${hook.id}`, hook);
      return present.length === 0 ? 'created' : 'updated';

      async function write(method: 'POST' | 'PUT', at: string, before?: Hook): Promise<void> {
        const response = await api.ask(method, at, bodyOf(url, secret, before));
        if (response.status === 403 || response.status === 404)
          throw await refused(scope, about, response, secret);
        if (response.status === 400 || response.status === 422)
          throw new StalledError(
            `GitLab refuses the webhook of ${about}${await api.wordsOf(response, secret)}`,
            'correct what it names; an address in the local network must be allowed by an administrator, under Outbound requests',
          );
        const hook = await api.read(about, response, hookSchema);
        requireKind(about, hook, secret);
        // A test is what makes GitLab call it again; whether it succeeds is told by its deliveries.
        if (!isCalled(hook)) await api.ask('POST', `${path}/${hook.id}/test/push_events`).catch(() => {});
      }
    },

    examine: createExamination(options, api),
  };
}

/** @throws StalledError where GitLab can have no such group */
function groupPath(path: string): string {
  // A number alone would be another group's id.
  if (!/^\d+$/.test(path) && path.isWellFormed() && !unsafeName('the group', path))
    return `groups/${encodeURIComponent(path)}`;
  throw new StalledError(`"${path}" is no group of GitLab`, 'write it as <forge name>:<group>[/<subgroup>]');
}

function bodyOf(url: string, secret: string, before: Hook | undefined): Readonly<Record<string, unknown>> {
  const signs = isSigningToken(secret);
  return {
    url,
    ...(signs ? { signing_token: secret } : { token: secret }),
    // What is signed is judged by the signature alone, so one of another token would be refused.
    ...(!signs && before?.signing_token_present && { signing_token: '' }),
    ...Object.fromEntries(Object.keys(EVENTS).map((event) => [event, true])),
    enable_ssl_verification: true,
    ...(before?.push_events_branch_filter && {
      push_events_branch_filter: '',
      branch_filter_strategy: 'all_branches',
    }),
    ...(before?.custom_webhook_template && { custom_webhook_template: '' }),
  };
}

/** Versions that cannot sign leave a signing token out without a word. */
function requireKind(about: string, { signing_token_present }: Hook, secret: string): void {
  const signs = isSigningToken(secret);
  if (signs === (signing_token_present ?? false)) return;
  if (signs)
    throw new StalledError(
      `this GitLab cannot sign deliveries, so those of the new webhook of ${about} would be refused`,
      'put a secret that does not start with whsec_ first in webhookSecrets, and run this again',
    );
  throw new StalledError(
    `the webhook of ${about} still signs its deliveries with a signing token`,
    'remove that token on the webhook’s page, or add it to webhookSecrets',
  );
}
