/** `modelhook webhook create`: make a repository report its pushes. */
import { Command } from 'commander';
import { type Config, loadConfig } from '../config.ts';
import { StalledError } from '../core/errors.ts';
import { parseRepositoryId } from '../core/ref-event.ts';
import { installHook } from '../forge/git/hook.ts';
import { isLocal, localRepository } from '../git/remote.ts';

interface CreateOptions {
  config: string;
  url?: string;
}

export const webhookCommand = (): Command =>
  new Command('webhook')
    .description('Make repositories report their pushes.')
    .addCommand(
      new Command('create')
        .description('Install the post-receive hook in a repository of a plain Git server on this machine.')
        .argument('<repository...>', 'repository ids, such as plain:ml/iris')
        .requiredOption('-c, --config <file>', 'modelhook.yaml')
        .option('--url <url>', "where the hook reaches the controller (default: the configuration's address)")
        .addHelpText(
          'after',
          '\nExample:\n  modelhook webhook create plain:ml/iris plain:platform/model-policies --config modelhook.yaml\n',
        )
        .action(create),
    );

function create(repositories: string[], { config: file, url }: CreateOptions): void {
  const config = loadConfig(file);
  for (const given of repositories) {
    // People paste paths; the suffix is no part of an id.
    const repository = given.replace(/(?:\.git)+$/, '');
    const hook = installWebhook(config, repository, url ?? addressOf(config));
    process.stdout.write(`${repository}: ${hook} reports to ${url ?? addressOf(config)}\n`);
  }
}

/**
 * Makes a repository report its pushes to the controller.
 * @param base the controller's address
 * @returns the hook's path
 * @throws StalledError where that cannot be done from here
 */
export function installWebhook(config: Config, repository: string, base: string): string {
  const { forge: name = '', path = '' } = parseRepositoryId(repository) ?? {};
  const forge = config.forges[name];
  if (!forge)
    throw new StalledError(
      `${repository} names the forge "${name}", which the configuration does not have`,
      `use one of ${Object.keys(config.forges).join(', ')}`,
    );
  if (forge.kind !== 'git')
    throw new StalledError(
      `${repository} is on ${forge.kind}, whose webhooks this version does not make`,
      `add one there by hand: ${base}/webhooks/${name}, application/json, with the forge's secret (docs/${forge.kind}.md)`,
    );
  const access = { url: forge.url, user: '', token: null, ssh: null, ca: null };
  if (!isLocal(access))
    throw new StalledError(
      `${repository} is not on this machine`,
      "run this on the Git server, with the server's folder as the forge's url",
    );
  const [secret] = forge.webhookSecrets;
  if (!secret)
    throw new StalledError(
      `the forge "${name}" has no webhookSecrets`,
      'set one, such as webhookSecrets: [{ env: PLAIN_WEBHOOK_SECRET }]',
    );
  const dir = localRepository(access, path);
  return installHook({ dir, path, url: `${base}/webhooks/${name}`, secret: secret.reveal() });
}

const addressOf = ({ server }: Config): string => server.publicUrl ?? `http://${server.host}:${server.port}`;
