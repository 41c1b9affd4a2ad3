/** Looks whether one repository on Gitea, the token's rights in it and its webhook are as modelhook needs them. */
import { fault, good, warning } from '../findings.ts';
import type { Finding, RepositoryUse } from '../forge.ts';
import { type GiteaClient, GiteaError, type GiteaRepository, pathTo } from './client.ts';
import { hooksOf, hooksOfRepository, organisationPath, reportsTo, shortcomingsOf } from './hooks.ts';
import { type Hook, userSchema } from './schema.ts';

export interface RepositoryExaminerOptions {
  /** The forge's name in modelhook.yaml. */
  name: string;
  client: GiteaClient;
  /** null: webhooks are not looked at */
  webhookUrl: string | null;
}

type Use = RepositoryUse['use'];

const PURPOSES: Readonly<Record<Use, string>> = {
  model: 'it may be read, and statuses may be written',
  policies: 'it may be read, statuses may be written, and pull requests may be commented on',
  gitops: 'it may be read and written, and pull requests may be opened and commented on',
};

/** What to do where pull requests are switched off. */
const OFF: Readonly<Record<'policies' | 'gitops', string>> = {
  policies: 'switch them on in its settings, for policies to be reviewed in them',
  gitops: 'switch them on in its settings where a policy delivers by pull request',
};

/** @returns what looks at one repository; it throws what is no answer about it */
export function createRepositoryExaminer({ name, client, webhookUrl }: RepositoryExaminerOptions) {
  const ofOrganisation = new Map<string, Promise<Hook[] | number>>();

  /** @returns the status where they may not be seen: 404 also says that it is no organisation */
  function organisationHooks(owner: string): Promise<Hook[] | number> {
    const asked = ofOrganisation.get(owner) ?? refusable(hooksOf(client, organisationPath(owner)));
    ofOrganisation.set(owner, asked);
    return asked;
  }

  /**
   * Sends a change of what cannot be there, number 0, which is answered with 404: 403 says that the token lacks the
   * scope, for that is looked at first. The scopes themselves are listed to nobody.
   */
  async function lacks(found: GiteaRepository, below: string, body: unknown): Promise<GiteaError | null> {
    try {
      await client.write('PATCH', `${pathTo(found)}/${below}`, body);
    } catch (error) {
      if (!(error instanceof GiteaError)) throw error;
      if (error.status === 403) return error;
    }
    return null;
  }

  /** @returns the refusal to say whose the token is */
  async function hidesUser(): Promise<GiteaError | null> {
    try {
      await client.read('/user', userSchema);
      return null;
    } catch (error) {
      if (error instanceof GiteaError && error.status === 403) return error;
      throw error;
    }
  }

  /** @returns what the token or its user may not do there, the first thing alone */
  async function examineRights(about: string, use: Use, found: GiteaRepository): Promise<Finding> {
    if (found.permissions?.push === false)
      return fault(
        about,
        "it may be read, and not be written: the token's user has no write access",
        `give the user of the token of forge "${name}" write access to the repository`,
      );
    const refused = await lacks(found, 'pulls/0', {});
    if (refused !== null)
      return unscoped(about, 'it may be read, and not be written', 'write:repository', refused);
    if (use === 'model') return good(about, PURPOSES[use]);
    return (await examineRequests(about, use, found)) ?? good(about, PURPOSES[use]);
  }

  /** @returns what stands in the way of pull requests; null: nothing does */
  async function examineRequests(
    about: string,
    use: 'policies' | 'gitops',
    found: GiteaRepository,
  ): Promise<Finding | null> {
    if (!found.hasPullRequests)
      return warning(about, 'it may be read and written, and has pull requests switched off', OFF[use]);
    const silenced = await lacks(found, 'issues/comments/0', { body: 'x' });
    if (silenced !== null) {
      const message = 'it may be written, and pull requests not be commented on';
      const finding = unscoped(about, message, 'write:issue', silenced);
      return { ...finding, state: use === 'policies' ? 'fault' : 'warning' };
    }
    const nameless = use === 'policies' ? await hidesUser() : null;
    if (nameless === null) return null;
    const message = 'it may be written, and no comment on its pull requests is known to be ours';
    return unscoped(about, message, 'read:user', nameless);
  }

  const unscoped = (about: string, message: string, scope: string, { said }: GiteaError): Finding =>
    fault(about, `${message}${said && ` (${said})`}`, `give the token of forge "${name}" the scope ${scope}`);

  async function examineWebhook(about: string, found: GiteaRepository, url: string): Promise<Finding> {
    const own = await refusable(hooksOfRepository(client, found));
    const [owner = ''] = found.path.split('/');
    const hook = typeof own === 'number' ? undefined : best(own, url);
    if (hook) return judged(about, hook, `${found.page}/settings/hooks/${hook.id}`, `${about}`);
    const shared = await organisationHooks(owner);
    const group = typeof shared === 'number' ? undefined : best(shared, url);
    if (group) return judged(about, group, `that of the organisation ${owner}`, `--group ${name}:${owner}`);
    if (typeof own === 'number')
      return warning(
        about,
        'its webhooks are shown to its administrators alone',
        `look for ${url} at ${found.page}/settings/hooks, or give the token's user administrator access`,
      );
    const create = `run modelhook webhook create ${about}, or set it by hand`;
    if (shared === 403)
      return warning(
        about,
        `it has no webhook to ${url}, and those of the organisation ${owner} are shown to its owners alone`,
        `${create}, unless the organisation has one`,
      );
    return fault(about, `no webhook reports to ${url}`, create);
  }

  return async function examine({ repository, use }: RepositoryUse): Promise<Finding[]> {
    const found = await client
      .repository(repository)
      .catch((error: unknown) => missing(name, repository, error));
    if ('state' in found) return [found];
    const about = `${name}:${found.path}`;
    const findings: Finding[] = [];
    if (about !== repository)
      findings.push(
        warning(
          repository,
          `it is ${about} now`,
          `write ${about} in its place in modelhook.yaml and the policies`,
        ),
      );
    if (found.archived)
      findings.push(fault(about, 'it is archived and takes nothing', 'unarchive it, or take it out'));
    else findings.push(await examineRights(about, use, found));
    if (webhookUrl !== null) findings.push(await examineWebhook(about, found, webhookUrl));
    return findings;
  };
}

/** @returns one without shortcomings, where there is one */
function best(hooks: readonly Hook[], url: string): Hook | undefined {
  const ours = hooks.filter(reportsTo(url));
  return ours.find((each) => shortcomingsOf(each).length === 0) ?? ours[0];
}

/** @param where its page, or whose it is @param scope what `webhook create` is given */
function judged(about: string, hook: Hook, where: string, scope: string): Finding {
  const shortcomings = shortcomingsOf(hook);
  if (shortcomings.length > 0)
    return fault(
      about,
      `the webhook does not tell all: ${shortcomings.join('; ')} (${where})`,
      `run modelhook webhook create ${scope}`,
    );
  return good(
    about,
    `the webhook is there and active; Gitea shows how its last deliveries were answered on its page alone (${where})`,
  );
}

/** @returns the status where that is refused or not there */
async function refusable(asked: Promise<Hook[]>): Promise<Hook[] | number> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof GiteaError && [403, 404].includes(error.status)) return error.status;
    throw error;
  }
}

function missing(name: string, repository: string, error: unknown): Finding {
  if (!(error instanceof GiteaError)) throw error;
  if (error.status === 404)
    return fault(
      repository,
      "it is not there, or hidden from the token's user",
      `correct the id, or give the user of the token of forge "${name}" access to it`,
    );
  if (error.status === 403)
    return fault(
      repository,
      `it may not be read${error.said && ` (${error.said})`}`,
      `give the token of forge "${name}" the scope write:repository`,
    );
  return fault(repository, error.message, 'try again, and look at the log of the server');
}
