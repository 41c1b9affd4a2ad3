/** What `modelhook doctor` looks at. A check gives a section of findings, and never throws. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Config } from '../config.ts';
import { formatFault, messageOf, StalledError } from '../core/errors.ts';
import type { Policy, PolicySet } from '../core/policy.ts';
import { parseRepositoryId, shortSha } from '../core/ref-event.ts';
import type { Finding, ForgeAdministration, RepositoryUse } from '../forge/forge.ts';
import { endAllGit } from '../git/git.ts';
import { createLog } from '../telemetry/log.ts';
import { webhookUrl } from './webhook.ts';

/** What was found about one thing, such as a forge. */
export interface Section {
  title: string;
  /** The forge's name; null where it is about something else. */
  forge: string | null;
  /** The cluster's name; null where it is about something else. */
  cluster: string | null;
  findings: Finding[];
}

/** Milliseconds that one check may take. */
export const LIMIT = 120_000;
/** The faults of policies that are listed; `modelhook validate` lists all. */
const LISTED = 20;

/**
 * Reads the policies as the controller would, into a folder of its own: the cache may be a running controller's.
 * @returns also the policies, null where they cannot be used, and the repositories that one names without a wildcard
 */
export async function checkPolicies(
  config: Config,
  limit = LIMIT,
): Promise<{ section: Section; repositories: string[]; policies: readonly Policy[] | null }> {
  const section = (findings: Finding[]): Section => ({
    title: 'Policies',
    forge: null,
    cluster: null,
    findings,
  });
  const { repository: about, branch } = config.policies;
  const cache = mkdtempSync(join(tmpdir(), 'modelhook-doctor-'));
  try {
    const { composePolicies } = await import('../compose.ts');
    const policies = composePolicies({ ...config, cache }, createLog('silent'));
    await within(limit, policies.refresh());
    const current = policies.current();
    const { faults, head } = policies.status();
    const at = `${shortSha(head ?? '')}, the head of ${branch}`;
    if (current) {
      const message = `${count(current.policies.length, 'policy', 'policies')} at ${at}`;
      return {
        section: section([good(about, message)]),
        repositories: repositoriesOf(current),
        policies: current.policies,
      };
    }
    const listed = faults.slice(0, LISTED).map((fault) => ({
      about: formatFault({ ...fault, message: '' }).replace(/: $/, ''),
      state: 'fault' as const,
      message: fault.message,
      fix: 'correct it and push; modelhook validate checks it before',
    }));
    const sum: Finding = {
      about,
      state: 'fault',
      message: `${at} has ${count(faults.length, 'fault')}, so it is not used`,
      fix: 'correct what follows',
    };
    return { section: section([sum, ...listed]), repositories: [], policies: null };
  } catch (error) {
    const fix = 'check policies.repository, and what lets modelhook in there';
    return {
      section: section([failure(about, 'the policies cannot be read', error, fix)]),
      repositories: [],
      policies: null,
    };
  } finally {
    // What took too long is still at work in the folder.
    endAllGit();
    rmSync(cache, { recursive: true, force: true, maxRetries: 3 });
  }
}

const repositoriesOf = ({ policies }: PolicySet): string[] =>
  policies
    .flatMap(({ match }) => match.repositories.include)
    .filter(({ literals }) => literals.length === 0)
    .map(({ pattern }) => pattern);

/**
 * What is done with each repository, by forge.
 * @param models ids of model repositories
 */
export function usesOf(
  { policies, gitops }: Config,
  models: readonly string[],
): ReadonlyMap<string, RepositoryUse[]> {
  const uses: RepositoryUse[] = [
    { repository: policies.repository, use: 'policies' },
    ...Object.values(gitops).map(({ repository }): RepositoryUse => ({ repository, use: 'gitops' })),
    ...models.map((repository): RepositoryUse => ({ repository, use: 'model' })),
  ];
  const once = new Map(uses.map((use) => [`${use.use} ${use.repository}`, use]));
  return Map.groupBy(once.values(), ({ repository }) => parseRepositoryId(repository)?.forge ?? '');
}

/**
 * Looks at one forge.
 * @param base where forges reach the controller; undefined: where the configuration says
 */
export async function checkForge(
  config: Config,
  name: string,
  uses: readonly RepositoryUse[],
  base: string | undefined,
): Promise<Section> {
  const forge = config.forges[name];
  if (!forge) throw new TypeError(`the configuration has no forge ${name}`);
  const { url, unknown } = webhookAddress(config, name, base);
  const findings = [...(forge.webhookSecrets.length === 0 ? [NO_SECRET] : []), ...unknown];
  const administration = async (): Promise<ForgeAdministration> => {
    const { composeForges } = await import('../compose.ts');
    const composed = composeForges({ ...config, forges: { [name]: forge } }).get(name);
    if (!composed) throw new TypeError(`the forge ${name} was not composed`);
    return composed.administration;
  };
  findings.push(...(await examineForge(forge.url, administration, uses, url)));
  return { title: `${name}: ${forge.url}`, forge: name, cluster: null, findings };
}

const NO_SECRET: Finding = {
  about: 'webhookSecrets',
  state: 'fault',
  message: 'there is none, so every webhook is refused',
  fix: 'run modelhook webhook create, which makes one and says where to put it',
};

/** The address webhooks go to; null, and why, where the configuration's cannot be theirs. */
function webhookAddress(
  config: Config,
  name: string,
  base: string | undefined,
): { url: string | null; unknown: Finding[] } {
  try {
    return { url: webhookUrl(config, name, base), unknown: [] };
  } catch (error) {
    if (!(error instanceof StalledError)) throw error;
    const message = `not looked at: ${error.reason}`;
    return { url: null, unknown: [{ about: 'webhooks', state: 'warning', message, fix: error.fix }] };
  }
}

/**
 * What a forge finds. One that is not reached, or not in time, is a finding itself.
 * @param about what to call the forge
 * @param limit in milliseconds
 */
export async function examineForge(
  about: string,
  administration: () => Promise<ForgeAdministration>,
  uses: readonly RepositoryUse[],
  webhookUrl: string | null,
  limit = LIMIT,
): Promise<Finding[]> {
  const examine = async () => (await administration()).examine(uses, webhookUrl);
  try {
    return await within(limit, examine());
  } catch (error) {
    const fix = "check the forge's url and ca, the proxies of the environment, and that it is up";
    return [failure(about, 'cannot be asked', error, fix)];
  }
}

/** @throws where the work takes longer than so many milliseconds */
export async function within<Result>(limit: number, work: Promise<Result>): Promise<Result> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`it took longer than ${limit / 1000} s`)), limit);
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

export const good = (about: string, message: string): Finding => ({
  about,
  state: 'good',
  message,
  fix: null,
});

export const failure = (about: string, what: string, error: unknown, fix: string): Finding => ({
  about,
  state: 'fault',
  message: `${what}: ${error instanceof StalledError ? error.reason : messageOf(error)}`,
  fix: error instanceof StalledError ? error.fix : fix,
});

/** @returns a number with its noun */
export const count = (number: number, one: string, many = `${one}s`): string =>
  `${number} ${number === 1 ? one : many}`;
