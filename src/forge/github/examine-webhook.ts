/** Looks whether a repository on GitHub reports to us: by its own webhook, its organisation's, or the App's. */
import { z } from 'zod';
import { fault, good, isSameAddress, warning } from '../findings.ts';
import type { Finding, RepositoryUse } from '../forge.ts';
import { encodePath, shaped } from './api.ts';
import { type Answer, type Connection, wordsOf } from './connection.ts';
import { appHookConfig, EVENTS, type Hook, listHooks } from './hooks.ts';
import type { GitHubAdministrationOptions } from './look.ts';

export interface HookExaminer {
  /** @param path `<owner>/<repository>` as it is called today */
  examine(repository: string, path: string, uses: readonly RepositoryUse['use'][]): Promise<Finding[]>;
}

/** A webhook that reports to us, and how its deliveries are asked for. */
interface Reporter {
  /** Whose it is, as people say it. */
  whose: string;
  hook: Omit<Hook, 'id'>;
  deliveries: () => Promise<Answer>;
}

const NEEDED: Readonly<Record<RepositoryUse['use'], readonly string[]>> = {
  model: ['push'],
  policies: ['push', 'pull_request'],
  gitops: ['pull_request'],
};

const DELIVERIES = 10;
const deliveriesSchema = z.array(
  z.object({ status_code: z.number(), status: z.string().default(''), event: z.string().default('') }),
);
type Delivery = z.infer<typeof deliveriesSchema>[number];
const appSchema = z.object({ events: z.array(z.string()).default([]) });

/** @param url the address of this forge's route */
export function createHookExaminer(options: GitHubAdministrationOptions, url: string): HookExaminer {
  const { api, connection } = options;
  const ofOwners = new Map<string, Promise<Reporter | null>>();
  let ofApp: Promise<Reporter | null> | undefined;

  /** @returns null where there is none; undefined where they may not be listed */
  async function find(path: string, base: string, whose: string): Promise<Reporter | null | undefined> {
    let refused = false;
    const hooks = await listHooks(api, path, base, (answer) => {
      refused = answer.status === 403 || answer.status === 404;
      return api.unreadable(path, answer);
    }).catch((error: unknown) => {
      if (refused) return undefined;
      throw error;
    });
    const hook = hooks?.find(({ config }) => isSameAddress(config.url, url));
    if (!hook) return hooks && null;
    const route = `GET ${base}/hooks/${hook.id}/deliveries?per_page=${DELIVERIES}`;
    return { whose, hook, deliveries: () => api.ask(path, route) };
  }

  /** An organisation that cannot be asked, and a user, who has no webhooks, have none for us. */
  function ofOwner(owner: string): Promise<Reporter | null> {
    const asked =
      ofOwners.get(owner) ??
      find(owner, `/orgs/${owner}`, 'the webhook of its organisation').then(
        (found) => found ?? null,
        () => null,
      );
    ofOwners.set(owner, asked);
    return asked;
  }

  async function reporterOf(name: string): Promise<Reporter | null | undefined> {
    ofApp ??= api.auth === 'app' ? findOfApp(connection, url) : Promise.resolve(null);
    const app = await ofApp;
    if (app) return app;
    const path = encodePath(name);
    const own = await find(path, `/repos/${path}`, 'its webhook');
    return own ?? (await ofOwner(path.split('/')[0] ?? '')) ?? own;
  }

  return {
    async examine(repository, name, uses) {
      const reporter = await reporterOf(name);
      if (reporter) {
        const faults = faultsOf(repository, reporter, uses);
        return [...faults, await lastDeliveries(repository, reporter, url)];
      }
      if (reporter === undefined)
        return [
          warning(
            repository,
            'its webhooks may not be listed with this token',
            `look in its settings, under Webhooks, for one to ${url}, or give the token "Webhooks: read" (classic token: "read:repo_hook") and the role Admin`,
          ),
        ];
      const isOnlyTarget = uses.every((use) => use === 'gitops');
      const say = isOnlyTarget ? warning : fault;
      return [say(repository, `it has no webhook to ${url}`, `run modelhook webhook create ${repository}`)];
    },
  };
}

async function findOfApp(connection: Connection, url: string): Promise<Reporter | null> {
  const config = await appHookConfig(connection);
  if (config === null || !isSameAddress(config.url, url)) return null;
  const { events } = shaped(appSchema, (await connection.askAsApp('GET /app')).data);
  const deliveries = () => connection.askAsApp(`GET /app/hook/deliveries?per_page=${DELIVERIES}`);
  return { whose: 'the webhook of the App', hook: { active: true, events, config }, deliveries };
}

/** How a webhook is set. */
function faultsOf(
  repository: string,
  { whose, hook: { active, events, config } }: Reporter,
  uses: readonly RepositoryUse['use'][],
): Finding[] {
  const findings: Finding[] = [];
  const fix = whose.endsWith('App')
    ? 'set that in the settings of the App on GitHub, under Webhook and Permissions & events'
    : `run modelhook webhook create ${repository}, or set that in the settings under Webhooks`;
  if (!active) findings.push(fault(repository, `${whose} is not active`, fix));
  if (config.content_type !== 'json')
    findings.push(fault(repository, `${whose} does not send application/json`, fix));
  if (String(config.insecure_ssl) !== '0')
    findings.push(warning(repository, `${whose} does not verify our certificate`, fix));
  const missing = events.includes('*') ? [] : EVENTS.filter((event) => !events.includes(event));
  const needed = uses.flatMap((use) => NEEDED[use]);
  if (missing.length > 0) {
    const say = needed.some((event) => missing.includes(event)) ? fault : warning;
    findings.push(say(repository, `${whose} lacks the events ${missing.join(', ')}`, fix));
  }
  return findings;
}

/** How the last deliveries went, of which GitHub remembers some days. */
async function lastDeliveries(
  repository: string,
  { whose, deliveries }: Reporter,
  url: string,
): Promise<Finding> {
  const answer = await deliveries();
  if (answer.status !== 200)
    return warning(
      repository,
      `${whose} is there, and its deliveries may not be listed${wordsOf(answer.data)}`,
      'look at its recent deliveries in the settings, under Webhooks',
    );
  const list = shaped(deliveriesSchema, answer.data);
  const [last] = list;
  if (!last) return good(repository, `${whose} is there, and nothing was delivered in the last days`);
  const failed = list.filter((each) => !isSuccess(each));
  if (!isSuccess(last))
    return fault(
      repository,
      `the last delivery of ${whose} ${isAnswered(last) ? `was answered with ${last.status_code}` : `got no answer: ${words(last.status)}`}`,
      remedyOf(last, repository, url),
    );
  const message = `${whose} is there, and its last delivery was answered with ${last.status_code}`;
  const [newest] = failed;
  if (!newest) return good(repository, message);
  return warning(
    repository,
    `${message}, but ${failed.length} of the last ${list.length} failed`,
    `${remedyOf(newest, repository, url)}; refs that were not told are found by listing`,
  );
}

const isSuccess = ({ status_code: code }: Delivery): boolean => code >= 200 && code < 300;
/** GitHub writes 0, or 502 and such of its own, where it did not connect; its words tell these apart. */
const isAnswered = ({ status_code: code }: Delivery): boolean => code >= 100;
const words = (status: string): string =>
  status.replace(/[^\x20-\x7e]+/g, ' ').slice(0, 100) || 'no connection';

/** What a person does about an answer of ours, or of what stands before us. */
function remedyOf(delivery: Delivery, repository: string, url: string): string {
  if (!isAnswered(delivery))
    return `make ${url} reachable from GitHub, over HTTPS with a certificate that it trusts`;
  const { status_code: code } = delivery;
  if (code === 401)
    return `the secret of the webhook is none of webhookSecrets, so run modelhook webhook create ${repository}`;
  if (code === 404) return `check that ${url} is the address of this forge, with its name at the end`;
  if (code === 415) return 'set the content type of the webhook to application/json';
  if (code >= 500)
    return 'look at the log of modelhook, and of what stands before it, then redeliver in the settings under Webhooks';
  if (code < 400) return `give the webhook the address that it is redirected to, for GitHub does not follow`;
  return 'look at the answer in its recent deliveries, in the settings under Webhooks';
}
