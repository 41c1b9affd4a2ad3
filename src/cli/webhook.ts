/** `modelhook webhook create`: make repositories, groups and organisations report what happens in them. */
import { randomBytes } from 'node:crypto';
import { isAbsolute } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { type Config, loadConfigWithNewSecrets, type SecretSource } from '../config.ts';
import { messageOf, StalledError } from '../core/errors.ts';
import { parseRepositoryId, unsafeName } from '../core/ref-event.ts';
import { oneLine } from './printable.ts';

interface CreateOptions {
  config: string;
  url?: string;
  group: boolean;
}

export const webhookCommand = (): Command =>
  new Command('webhook').description('Make repositories report their pushes.').addCommand(
    new Command('create')
      .description(
        'Register the webhook on the forge, or bring it up to date. In a bare repository of this machine: install the post-receive hook.',
      )
      .argument('<id...>', 'repository ids, such as gitlab:ml/iris; with --group, such as gitlab:ml')
      .requiredOption('-c, --config <file>', 'modelhook.yaml')
      .option('--group', 'the ids are groups of GitLab, or organisations of GitHub or Gitea', false)
      .addOption(urlOption())
      .addHelpText(
        'after',
        `
The webhook is signed with the first of the forge's webhookSecrets. Where there is none, or its variable or file is not there
yet, a secret is made, registered, and printed once with where to put it.

An id that fails does not keep the others from being done.

Exit codes: 0 all webhooks are there, 1 at least one is not, 2 wrong usage or configuration.

Examples:
  modelhook webhook create gitlab:ml/iris gitlab:platform/model-policies --config modelhook.yaml
  modelhook webhook create --group gitlab:ml --config modelhook.yaml`,
      )
      .action(create),
  );

/** Where forges reach the controller. */
export const urlOption = (): Option =>
  new Option(
    '--url <url>',
    "where forges reach the controller (default: the configuration's server.publicUrl, else its host and port)",
  ).argParser((text) => {
    if (/^https?:\/\/[^?#@]+$/i.test(text) && URL.canParse(text)) return text.replace(/\/+$/, '');
    throw new InvalidArgumentError(
      'It takes an address such as https://modelhook.example.com, without user name and password.',
    );
  });

async function create(given: string[], { config: file, url, group }: CreateOptions): Promise<void> {
  const made = new Map<string, SecretSource | null>();
  const config = loadConfigWithNewSecrets(file, (source) => {
    // Two forges may share a variable, and so a secret.
    const [known] =
      [...made].find(([, other]) => other && JSON.stringify(other) === JSON.stringify(source)) ?? [];
    const secret = known ?? randomBytes(32).toString('base64url');
    made.set(secret, source);
    return secret;
  });
  const toTell = new Map<string, string>();
  // People paste paths; the suffix is no part of an id.
  for (const id of new Set(given.map((each) => each.replace(/(?:\.git)+$/, '')))) {
    try {
      const webhook = await registerWebhook(config, id, { url, kind: group ? 'group' : 'repository' });
      process.stdout.write(`${oneLine(id)}: ${webhook.outcome}, reports to ${webhook.url}\n`);
      const source = made.get(webhook.secret);
      if (source !== undefined) toTell.set(webhook.secret, howToKeep(webhook.secret, source, webhook.forge));
    } catch (error) {
      process.exitCode = 1;
      process.stderr.write(`${oneLine(hideSecrets(config, `${id}: ${messageOf(error)}`))}\n`);
    }
  }
  for (const text of toTell.values()) process.stdout.write(text);
}

interface RegisteredWebhook {
  outcome: 'created' | 'updated';
  url: string;
  secret: string;
  /** The forge's name. */
  forge: string;
}

/**
 * Makes a repository or group report to the controller, signed with the first of the forge's secrets.
 * @throws StalledError where that cannot be done from here, or the forge does not let us
 */
export async function registerWebhook(
  config: Config,
  id: string,
  { url: base, kind }: { url: string | undefined; kind: 'repository' | 'group' },
): Promise<RegisteredWebhook> {
  const { forge: name, path } = parseRepositoryId(id) ?? { forge: '', path: '' };
  const forge = config.forges[name];
  if (!forge)
    throw new StalledError(
      name === ''
        ? 'it names no forge and path'
        : `it names the forge "${name}", which the configuration does not have`,
      `write <forge name>:<path> with one of ${Object.keys(config.forges).join(', ')}`,
    );
  const fault = unsafeName('the path', path);
  if (fault) throw new StalledError(fault, 'write <forge name>:<path>, such as gitlab:ml/iris');
  const [secret] = forge.webhookSecrets;
  if (!secret)
    throw new StalledError(`the forge "${name}" has no webhookSecrets`, 'set one, such as { env: NAME }');
  const hook = { url: webhookUrl(config, name, base), secret: secret.reveal() };
  const { composeForges } = await import('../compose.ts');
  const administration = composeForges({ ...config, forges: { [name]: forge } }).get(name)?.administration;
  if (!administration) throw new TypeError(`the forge ${name} was not composed`);
  const outcome = await administration.registerWebhook({ kind, path }, hook);
  return { ...hook, outcome, forge: name };
}

/**
 * Where a forge sends its webhooks.
 * @param given the base from the command line, which is believed
 * @throws StalledError where the configuration's is an address that this forge cannot reach
 */
export function webhookUrl({ server, forges }: Config, name: string, given?: string): string {
  const base = given ?? server.publicUrl ?? addressOf(server);
  if (given === undefined && isLoopback(base) && !isHere(forges[name]?.url ?? ''))
    throw new StalledError(
      `${base} is an address of this machine alone, which the forge "${name}" cannot reach`,
      'set server.publicUrl, or give the address with --url',
    );
  return `${base}/webhooks/${name}`;
}

function addressOf({ host, port }: Config['server']): string {
  // Where it listens at every address, this one is among them.
  const address = ['0.0.0.0', '::'].includes(host) ? '127.0.0.1' : host;
  return `http://${address.includes(':') ? `[${address}]` : address}:${port}`;
}

const isLoopback = (url: string): boolean =>
  URL.canParse(url) && /^(?:(?:.+\.)?localhost|127(?:\.\d+){3}|\[::1\])$/.test(new URL(url).hostname);

/** Whether a forge is on this machine: a folder, or behind a loopback address. */
const isHere = (url: string): boolean => isAbsolute(url) || isLoopback(url);

/** A forge may repeat what it was sent. */
export function hideSecrets({ forges }: Config, text: string): string {
  const secrets = Object.values(forges).flatMap(({ token, webhookSecrets }) => [
    ...webhookSecrets,
    ...(token ? [token] : []),
  ]);
  return secrets.reduce((hidden, secret) => hidden.replaceAll(secret.reveal(), '[secret]'), text);
}

/** What to do with a secret that was made. */
function howToKeep(secret: string, source: SecretSource | null, forge: string): string {
  const intro = `\nA secret was made for the webhooks of ${forge}. It is shown only now: `;
  const outro = '\nUntil then the controller refuses what these webhooks send.\n';
  if (source && 'file' in source)
    return `${intro}write it into the file ${oneLine(source.file)}, which the\ncontroller alone may read, and restart the controller.\n\n  ${secret}\n${outro}`;
  const variable = source
    ? oneLine(source.env)
    : `${forge.toUpperCase().replaceAll('-', '_')}_WEBHOOK_SECRET`;
  const assignment = `  ${variable}=${secret}\n`;
  if (source) return `${intro}set the variable for the controller, and\nrestart it.\n\n${assignment}${outro}`;
  const lines = `  forges:\n    ${forge}:\n      webhookSecrets: [{ env: ${variable} }]\n`;
  return `${intro}set the variable for the controller,\nadd the last of these lines to modelhook.yaml, and restart the controller.\n\n${assignment}\n${lines}${outro}`;
}
