/** What `modelhook doctor` looks at on a forge. */
import type { Config } from '../config.ts';
import { StalledError } from '../core/errors.ts';
import { parseRepositoryId } from '../core/ref-event.ts';
import type { Finding, ForgeAdministration, RepositoryUse } from '../forge/forge.ts';
import { failure, LIMIT, type Section, within } from './doctor-findings.ts';
import { webhookUrl } from './webhook.ts';

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
