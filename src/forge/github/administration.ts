/** What an administrator asks of GitHub from the command line. */

import { StalledError } from '../../core/errors.ts';
import { unsafeName } from '../../core/ref-event.ts';
import { isSameAddress } from '../findings.ts';
import type { ForgeAdministration, WebhookScope } from '../forge.ts';
import { encodePath, pathOf } from './api.ts';
import { type Answer, wordsOf } from './connection.ts';
import { examine } from './examine.ts';
import { appHookConfig, EVENTS, listHooks } from './hooks.ts';
import type { GitHubAdministrationOptions } from './look.ts';

/** A repository or an organisation, and where its webhooks are. */
interface Owner {
  path: string;
  reads: string;
  /** By number, for who writes to a repository that was renamed is redirected, and nothing is written. */
  writes: string;
}

export function createGitHubAdministration(options: GitHubAdministrationOptions): ForgeAdministration {
  const { forge, api, connection } = options;

  async function ownerOf({ kind, path: given }: WebhookScope): Promise<Owner> {
    if (kind === 'repository') {
      const path = pathOf(`${forge}:${given}`);
      const { id } = await api.repository(path);
      return { path, reads: `/repos/${path}`, writes: `/repositories/${id}` };
    }
    if (given.includes('/') || unsafeName('the organisation', given))
      throw new StalledError(`"${given}" is no organisation of GitHub`, 'write its name alone, without "/"');
    const path = encodePath(given);
    return { path, reads: `/orgs/${path}`, writes: `/orgs/${path}` };
  }

  async function refuseWhereAppReports(url: string): Promise<void> {
    const config = api.auth === 'app' ? await appHookConfig(connection) : null;
    if (config !== null && isSameAddress(config.url, url))
      throw new StalledError(
        `the GitHub App of forge "${forge}" reports to ${url} itself, for all it is installed on, so another webhook would say everything twice`,
        'set its secret, and the events Push, Pull request and Repository, in the settings of the App on GitHub',
      );
  }

  /** GitHub answers 404 for want of a permission, too. */
  async function refusal({ path, reads }: Owner, answer: Answer): Promise<Error> {
    const { status, data } = answer;
    if (status === 422)
      return new StalledError(
        `GitHub refuses the webhook of ${path}${wordsOf(data)}`,
        'mend what it says; the address must be one that GitHub can reach',
      );
    if (status !== 403 && status !== 404) return api.unreadable(path, answer);
    const isRepository = reads.startsWith('/repos/');
    if (isRepository && (await api.repository(path)).archived)
      return new StalledError(`${path} is archived, so it takes no webhook`, 'unarchive it');
    if (!isRepository && (await api.ask(path, `GET ${reads}`)).status !== 200)
      return new Error(`there is no organisation ${path} on forge "${forge}"; check its name`);
    return new StalledError(
      `the token of forge "${forge}" may not manage the webhooks of ${path}${wordsOf(data)}`,
      isRepository
        ? 'give it "Webhooks: write" (fine-grained token or GitHub App) or the scope "admin:repo_hook" (classic token), of somebody with the role Admin on the repository, or set the webhook by hand'
        : 'give it "Webhooks: write" of the organisation (fine-grained token or GitHub App) or the scope "admin:org_hook" (classic token), of an owner of the organisation, or set the webhook by hand',
    );
  }

  return {
    async registerWebhook(scope, { url, secret }) {
      const owner = await ownerOf(scope);
      const { path, reads, writes } = owner;
      await refuseWhereAppReports(url);
      const hooks = await listHooks(api, path, reads, (answer) => refusal(owner, answer));
      const known = hooks.find(({ config }) => isSameAddress(config.url, url));
      const config = { url, content_type: 'json', secret, insecure_ssl: '0' };
      const hook = { active: true, events: EVENTS, config };
      const answer = known
        ? await api.ask(path, `PATCH ${writes}/hooks/${known.id}`, { body: hook })
        : await api.ask(path, `POST ${writes}/hooks`, { body: { name: 'web', ...hook } });
      if (answer.status !== (known ? 200 : 201)) throw await refusal(owner, without(secret, answer));
      return known ? 'updated' : 'created';
    },

    examine: (uses, webhookUrl) => examine(options, uses, webhookUrl),
  };
}

/** A server, or what stands before it, may repeat what it was sent. Then it is not quoted. */
function without(secret: string, answer: Answer): Answer {
  const written = JSON.stringify(secret).slice(1, -1);
  return JSON.stringify(answer.data ?? null).includes(written) ? { ...answer, data: null } : answer;
}
