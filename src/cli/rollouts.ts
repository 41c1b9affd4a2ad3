/** `modelhook rollouts`: asks a running controller about its rollouts, and to retry, cancel or roll back one. */
import { userInfo } from 'node:os';
import { styleText } from 'node:util';
import { Command, InvalidArgumentError, Option } from 'commander';
import { stringify } from 'yaml';
import { PHASES, type Phase } from '../core/rollout.ts';
import { printable } from './printable.ts';
import {
  ask,
  CommandFailure,
  type Controller,
  detailsSchema,
  listSchema,
  rolloutSchema,
} from './rollouts-api.ts';
import { details, summary, table } from './rollouts-text.ts';

interface ServerOptions extends Controller {
  output: 'text' | 'json' | 'yaml';
}

interface CancelOptions extends ServerOptions {
  by?: string;
}

interface ListOptions extends ServerOptions {
  repository?: string;
  phase?: Phase;
  environment?: string;
  limit: number;
  cursor?: string;
}

/** The subcommand `rollouts`, to be added to the program. */
export const rolloutsCommand = (): Command => {
  const command = new Command('rollouts').description(
    'ask a running controller about its rollouts, or to retry, cancel or roll back one',
  );

  withServer(command.command('list'))
    .description('list rollouts, newest first')
    .option('--repository <id>', 'only of this repository, such as gitlab:ml/vision/iris')
    .addOption(new Option('--phase <phase>', 'only those in this phase').choices(PHASES))
    .option('--environment <name>', 'only to this environment')
    .option('--limit <n>', 'at most so many, 1 to 200', limitOf, 50)
    .option('--cursor <cursor>', 'go on where an earlier list ended')
    .addHelpText('after', '\nExample:\n  $ modelhook rollouts list --environment production --phase failed')
    .action((options: ListOptions) => run(() => list(options)));

  withServer(command.command('show'))
    .description('show one rollout: its timeline, decisions and manifest')
    .argument('<id>', 'the full id, as in the list and in links')
    .addHelpText('after', '\nExample:\n  $ modelhook rollouts show 3f0c8a52-6d0e-4a53-9d1c-0b6f2f3c7a11')
    .action((id: string, options: ServerOptions) => run(() => show(id, options)));

  withServer(command.command('retry'))
    .description('deploy the commit of a rollout that has ended once more, by the policies of today')
    .argument('<id>', 'the full id')
    .addHelpText(
      'after',
      requestHelp('retry', 'The new rollout is printed. The commit is used, wherever its ref points to now.'),
    )
    .action((id: string, options: ServerOptions) => run(() => request(id, 'retry', options)));

  withServer(command.command('cancel'))
    .description('end a rollout that is under way; what was delivered stays')
    .argument('<id>', 'the full id')
    .option(
      '--by <name>',
      'who does it, for its timeline and the commit status (default: your name on this machine)',
    )
    .addHelpText('after', requestHelp('cancel', 'A pull request that it waits for is closed.'))
    .action((id: string, options: CancelOptions) =>
      run(() => request(id, 'cancel', options, { by: options.by ?? userName() })),
    );

  withServer(command.command('rollback'))
    .description('deliver again what the target of a rollout had before it')
    .argument('<id>', 'the full id')
    .addHelpText(
      'after',
      requestHelp(
        'rollback',
        'The new rollout is printed. It delivers the stored manifest of the last rollout before that became ready, or was\ndelivered where nothing observes.',
      ),
    )
    .action((id: string, options: ServerOptions) => run(() => request(id, 'rollback', options)));

  return command;
};

const requestHelp = (name: string, what: string): string => `
${what}
It takes an API token of the controller, with --token or MODELHOOK_API_TOKEN.

Example:
  $ modelhook rollouts ${name} 3f0c8a52-6d0e-4a53-9d1c-0b6f2f3c7a11`;

/** A container's user may have no name. */
function userName(): string | undefined {
  try {
    return userInfo().username;
  } catch {
    return undefined;
  }
}

const withServer = (command: Command): Command =>
  command
    .addOption(
      new Option('--server <url>', 'the controller').env('MODELHOOK_SERVER').default('http://127.0.0.1:8080'),
    )
    .addOption(new Option('--token <token>', 'its API token').env('MODELHOOK_API_TOKEN'))
    .addOption(
      new Option('--output <format>', 'how to write the result')
        .choices(['text', 'json', 'yaml'])
        .default('text'),
    );

function limitOf(text: string): number {
  if (/^\d{1,3}$/.test(text) && Number(text) >= 1 && Number(text) <= 200) return Number(text);
  throw new InvalidArgumentError('It takes a whole number from 1 to 200.');
}

async function run(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof CommandFailure)) throw error;
    process.stderr.write(
      `${styleText('red', 'error:', { stream: process.stderr })} ${printable(error.message)}\n`,
    );
    process.exitCode = error.exitCode;
  }
}

async function list(options: ListOptions): Promise<void> {
  const { repository, phase, environment, limit, cursor } = options;
  const given = Object.entries({ repository, phase, environment, limit, cursor }).filter(
    ([, value]) => value !== undefined,
  );
  const query = new URLSearchParams(given.map(([name, value]) => [name, String(value)]));
  const answer = await ask(options, `/api/v1/rollouts?${query}`, listSchema);
  if (options.output !== 'text') return print(options.output, answer);
  if (answer.items.length === 0) return void process.stderr.write('No rollouts.\n');
  process.stdout.write(table(answer.items));
  if (answer.nextCursor !== null)
    process.stderr.write(`There are more: add --cursor ${answer.nextCursor} to go on.\n`);
}

async function show(id: string, options: ServerOptions): Promise<void> {
  const rollout = await ask(options, `/api/v1/rollouts/${encodeURIComponent(id)}`, detailsSchema);
  if (options.output !== 'text') return print(options.output, rollout);
  process.stdout.write(details(rollout));
}

/** Asks for something, and tells which rollout came of it. */
async function request(
  id: string,
  what: 'retry' | 'cancel' | 'rollback',
  options: ServerOptions,
  body: object = {},
): Promise<void> {
  const path = `/api/v1/rollouts/${encodeURIComponent(id)}/${what}`;
  const rollout = await ask(options, path, rolloutSchema, body);
  if (options.output !== 'text') return print(options.output, rollout);
  process.stdout.write(summary(rollout));
}

const print = (format: 'json' | 'yaml', value: unknown): void => {
  process.stdout.write(format === 'json' ? `${JSON.stringify(value, null, 2)}\n` : stringify(value));
};
