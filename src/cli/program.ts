/** All commands, and how their failures end the process. */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { ConfigError } from '../config.ts';
import { messageOf } from '../core/errors.ts';
import { demoCommand } from './demo.ts';
import { deployCommand } from './deploy.ts';
import { doctorCommand } from './doctor.ts';
import { eventsCommand } from './events.ts';
import { planCommand } from './plan.ts';
import { printable } from './printable.ts';
import { renderCommand } from './render.ts';
import { rolloutsCommand } from './rollouts.ts';
import { serveCommand } from './serve.ts';
import { UsageError } from './usage-error.ts';
import { validateCommand } from './validate.ts';
import { webhookCommand } from './webhook.ts';

const VERSION: string = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
).version;

/** Exit codes (specification section 3): 0 done, 1 the thing asked about is bad or failed, 2 wrong usage or configuration. */
const FAILED = 1;
const USAGE = 2;

export function createProgram(): Command {
  const program = new Command('modelhook')
    .description('Push a tag, get a served model: a GitOps controller for KServe.')
    .version(VERSION)
    .addHelpText('after', '\nTo see the whole path on this machine:\n  modelhook demo\n');
  const commands = [
    serveCommand(),
    demoCommand(),
    validateCommand(),
    renderCommand(),
    planCommand(),
    deployCommand(),
    rolloutsCommand(),
    eventsCommand(),
    webhookCommand(),
    doctorCommand(),
  ];
  for (const command of commands) program.addCommand(command);
  for (const command of allOf(program)) {
    command.exitOverride();
    command.showHelpAfterError('(run it with --help to see what it takes)');
  }
  const parse = program.parseAsync.bind(program);
  program.parseAsync = async (...argv) => {
    try {
      return await parse(...argv);
    } catch (error) {
      // Commander has said it already, and ends so after the help too.
      if (!(error instanceof CommanderError)) process.stderr.write(`${printable(messageOf(error))}\n`);
      process.exitCode = exitCodeOf(error);
      return program;
    }
  };
  return program;
}

function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE;
  return error instanceof ConfigError || error instanceof UsageError ? USAGE : FAILED;
}

const allOf = (command: Command): Command[] => [command, ...command.commands.flatMap((each) => allOf(each))];
