/** `modelhook rollouts`: asks a running controller about its rollouts, and to retry, cancel or roll back one. */
import { userInfo } from 'node:os';
import { styleText } from 'node:util';
import { Command, InvalidArgumentError, Option } from 'commander';
import { stringify } from 'yaml';
import { z } from 'zod';
import { messageOf } from '../core/errors.ts';
import { PHASES, type Phase } from '../core/rollout.ts';
import { oneLine, printable } from './printable.ts';

interface ServerOptions {
  server: string;
  token?: string;
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

/** What the text output shows of a rollout; the other outputs pass on all that the server says. */
const rolloutSchema = z.looseObject({
  id: z.string(),
  cause: z.object({ kind: z.string(), of: z.string() }),
  repository: z.string(),
  ref: z.string(),
  revision: z.string(),
  sha: z.string(),
  policy: z.string(),
  policyRevision: z.string(),
  environment: z.string(),
  target: z.object({ cluster: z.string(), namespace: z.string(), name: z.string() }).nullable(),
  phase: z.enum(PHASES),
  message: z.string(),
  createdAt: z.string(),
  finishedAt: z.string().nullable(),
  receipt: z.looseObject({ commit: z.string().nullable(), path: z.string().nullable() }).nullable(),
  transitions: z.array(z.object({ phase: z.enum(PHASES), message: z.string(), at: z.string() })),
});
const detailsSchema = rolloutSchema.extend({
  manifest: z.string().nullable(),
  decisions: z.array(z.string()),
  warnings: z.array(z.string()),
});
const listSchema = z.looseObject({ items: z.array(rolloutSchema), nextCursor: z.string().nullable() });
const problemSchema = z.object({ detail: z.string() });

type RolloutJson = z.infer<typeof rolloutSchema>;
type DetailsJson = z.infer<typeof detailsSchema>;

/** Ends a command with a sentence on stderr. 1: the thing asked about is bad; 2: wrong usage or configuration. */
class CommandFailure extends Error {
  override readonly name = 'CommandFailure';
  readonly exitCode: 1 | 2;

  constructor(exitCode: 1 | 2, message: string, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
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
  process.stdout.write(`${rollout.id}  ${colour(rollout.phase)}  ${oneLine(rollout.message)}\n`);
}

const print = (format: 'json' | 'yaml', value: unknown): void => {
  process.stdout.write(format === 'json' ? `${JSON.stringify(value, null, 2)}\n` : stringify(value));
};

/**
 * One request to the controller.
 * @param sent the body of a POST; undefined: it is a GET
 * @throws CommandFailure where it is not reached, or answers anything but what was asked for
 */
async function ask<Schema extends z.ZodType>(
  { server, token }: ServerOptions,
  path: string,
  schema: Schema,
  sent?: object,
): Promise<z.infer<Schema>> {
  const response = await send(server, path, token, sent);
  const body: unknown = await response.json().catch(() => null);
  if (!response.ok) {
    const problem = problemSchema.safeParse(body);
    const reason = problem.success ? problem.data.detail : `${server} answered ${response.status}.`;
    throw new CommandFailure([400, 401, 403].includes(response.status) ? 2 : 1, reason);
  }
  const answer = schema.safeParse(body);
  if (answer.success) return answer.data;
  throw new CommandFailure(
    2,
    `What answers at ${server} does not talk like a modelhook of this version. Check --server, or MODELHOOK_SERVER.`,
  );
}

async function send(
  server: string,
  path: string,
  token: string | undefined,
  sent: object | undefined,
): Promise<Response> {
  if (!/^https?:\/\//.test(server) || !URL.canParse(server))
    throw new CommandFailure(
      2,
      `"${server}" is not a URL such as http://127.0.0.1:8080. Check --server, or MODELHOOK_SERVER.`,
    );
  const headers = { accept: 'application/json', ...(token && { authorization: `Bearer ${token}` }) };
  try {
    return await fetch(`${server.replace(/\/+$/, '')}${path}`, {
      headers,
      ...(sent && { method: 'POST', body: JSON.stringify(sent) }),
      signal: AbortSignal.timeout(30_000),
    });
  } catch (error) {
    const cause = error instanceof Error && error.cause ? error.cause : error;
    throw new CommandFailure(
      1,
      `No controller is reached at ${server}: ${messageOf(cause)}. Is "modelhook serve" running there? Another address goes into --server or MODELHOOK_SERVER.`,
      { cause: error },
    );
  }
}

const COLOURS = {
  pending: 'yellow',
  delivered: 'green',
  ready: 'green',
  failed: 'red',
  superseded: 'gray',
  cancelled: 'gray',
} as const satisfies Record<Phase, string>;

const colour = (phase: Phase, text: string = phase): string =>
  styleText(COLOURS[phase], text, { stream: process.stdout });

const bold = (text: string): string => styleText('bold', text, { stream: process.stdout });

const targetOf = ({ target }: RolloutJson): string =>
  target === null ? '-' : `${target.cluster}/${target.namespace}/${target.name}`;

const versionOf = ({ revision, sha }: RolloutJson): string => (revision === sha ? sha.slice(0, 7) : revision);

function table(rollouts: RolloutJson[]): string {
  const rows = rollouts.map((rollout) =>
    [
      rollout.id,
      rollout.phase,
      rollout.repository,
      versionOf(rollout),
      rollout.environment,
      targetOf(rollout),
      rollout.createdAt.slice(0, 19).replace('T', ' '),
    ].map(oneLine),
  );
  const heads = ['ID', 'PHASE', 'REPOSITORY', 'REVISION', 'ENVIRONMENT', 'TARGET', 'CREATED (UTC)'];
  const widths = heads.map((head, column) =>
    Math.max(head.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: string[]): string[] => cells.map((cell, column) => cell.padEnd(widths[column] ?? 0));
  const lines = rows.map((row, index) => {
    const [id = '', phase = '', ...rest] = line(row);
    return [id, colour(rollouts[index]?.phase ?? 'pending', phase), ...rest].join('  ').trimEnd();
  });
  return `${[bold(line(heads).join('  ').trimEnd()), ...lines].join('\n')}\n`;
}

function details(rollout: DetailsJson): string {
  const { receipt } = rollout;
  const facts = [
    ['Id', rollout.id],
    ['Repository', rollout.repository],
    ['Ref', rollout.ref],
    ['Commit', rollout.sha],
    ['Policy', `${rollout.policy} at ${rollout.policyRevision.slice(0, 7)}`],
    ['Environment', rollout.environment],
    ['Target', targetOf(rollout)],
    ['Cause', `${rollout.cause.kind} ${rollout.cause.of}`],
    [
      'Delivered',
      receipt === null ? '-' : `${receipt.commit ?? 'no change'}${receipt.path ? `, ${receipt.path}` : ''}`,
    ],
    ['Created', rollout.createdAt],
    ['Finished', rollout.finishedAt ?? '-'],
  ];
  const times = rollout.transitions.map(
    ({ at, phase, message }) => `  ${at}  ${colour(phase, phase.padEnd(10))}  ${oneLine(message)}`,
  );
  const section = (title: string, lines: string[]): string[] =>
    lines.length === 0 ? [] : ['', bold(title), ...lines];
  return `${[
    `${colour(rollout.phase)}  ${oneLine(rollout.message)}`,
    '',
    ...facts.map(([name = '', value = '']) => `${name.padEnd(12)} ${oneLine(value)}`),
    ...section('Timeline', times),
    ...section(
      'Warnings',
      rollout.warnings.map((text) => `  ${oneLine(text)}`),
    ),
    ...section(
      'Decisions',
      rollout.decisions.map((text) => `  ${oneLine(text)}`),
    ),
    ...section('Manifest', rollout.manifest === null ? [] : [printable(rollout.manifest.trimEnd())]),
  ].join('\n')}\n`;
}
