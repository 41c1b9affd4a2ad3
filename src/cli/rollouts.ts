/** `modelhook rollouts`: asks a running controller about its rollouts, and to retry, cancel or roll back one. */
import { userInfo } from 'node:os';
import { Command } from 'commander';
import {
  ask,
  type ListOptions,
  list,
  print,
  run,
  type ServerOptions,
  withFilters,
  withServer,
} from './controller-api.ts';
import { detailsSchema, rolloutSchema } from './rollouts-api.ts';
import { details, summary, table } from './rollouts-text.ts';

interface CancelOptions extends ServerOptions {
  by?: string;
}

/** The subcommand `rollouts`, to be added to the program. */
export const rolloutsCommand = (): Command => {
  const command = new Command('rollouts').description(
    'ask a running controller about its rollouts, or to retry, cancel or roll back one',
  );

  withFilters(command.command('list'), 'only those in this phase')
    .description('list rollouts, newest first')
    .addHelpText('after', '\nExample:\n  $ modelhook rollouts list --environment production --phase failed')
    .action((options: ListOptions) => run(() => list(options, 'rollouts', rolloutSchema, table)));

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
