/** How commands talk to a running controller: options, one request, and how its answers and failures are written. */
import { styleText } from 'node:util';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { stringify } from 'yaml';
import { z } from 'zod';
import { messageOf } from '../core/errors.ts';
import { PHASES, type Phase } from '../core/rollout.ts';
import { phaseText } from './phase-text.ts';
import { oneLine, printable } from './printable.ts';

export interface ServerOptions {
  server: string;
  token?: string;
  output: 'text' | 'json' | 'yaml';
}

export interface ListOptions extends ServerOptions {
  repository?: string;
  phase?: Phase;
  environment?: string;
  limit: number;
  cursor?: string;
}

const problemSchema = z.object({ detail: z.string() });

/** Ends a command with a sentence on stderr. 1: the thing asked about is bad; 2: wrong usage or configuration. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure';
  readonly exitCode: 1 | 2;

  constructor(exitCode: 1 | 2, message: string, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}

/** Which controller; without a default none. */
export const serverOption = (): Option =>
  new Option('--server <url>', 'the controller').env('MODELHOOK_SERVER');
export const tokenOption = (): Option =>
  new Option('--token <token>', 'its API token').env('MODELHOOK_API_TOKEN');

/** Adds the options of every command that talks to a controller. */
export const withServer = (command: Command): Command =>
  command
    .addOption(serverOption().default('http://127.0.0.1:8080'))
    .addOption(tokenOption())
    .addOption(
      new Option('--output <format>', 'how to write the result')
        .choices(['text', 'json', 'yaml'])
        .default('text'),
    );

/** Adds those, and the filters of a list. @param phases what `--phase` says of the items */
export const withFilters = (command: Command, phases: string): Command =>
  withServer(command)
    .option('--repository <id>', 'only of this repository, such as gitlab:ml/vision/iris')
    .addOption(new Option('--phase <phase>', phases).choices(PHASES))
    .option('--environment <name>', 'only to this environment')
    .option('--limit <n>', 'at most so many, 1 to 200', limitOf, 50)
    .option('--cursor <cursor>', 'go on where an earlier list ended');

function limitOf(text: string): number {
  if (/^\d{1,3}$/.test(text) && Number(text) >= 1 && Number(text) <= 200) return Number(text);
  throw new InvalidArgumentError('It takes a whole number from 1 to 200.');
}

/** Does the work of a command; a CommandFailure is written to stderr and decides the exit code. */
export async function run(work: () => Promise<void>): Promise<void> {
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

/** Writes what the controller answered, for programs. */
export const print = (format: 'json' | 'yaml', value: unknown): void => {
  process.stdout.write(format === 'json' ? `${JSON.stringify(value, null, 2)}\n` : stringify(value));
};

/**
 * One request to the controller.
 * @param sent the body of a POST; undefined: it is a GET
 * @throws CommandFailure where it is not reached, or answers anything but what was asked for
 */
export async function ask<Schema extends z.ZodType>(
  { server, token }: Pick<ServerOptions, 'server' | 'token'>,
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

/** @returns a text in the colour of its phase, where the terminal shows any */
export const colour = (phase: Phase, text: string = phase): string => phaseText(phase, text, process.stdout);

export const bold = (text: string): string => styleText('bold', text, { stream: process.stdout });

/**
 * Writes a list of the controller as a table, or as the controller answered it.
 * @param what the last segment of its address: the items' name in the plural
 * @param table makes a table of at least one item
 */
export async function list<Item extends z.ZodType>(
  options: ListOptions,
  what: string,
  item: Item,
  table: (items: z.infer<Item>[]) => string,
): Promise<void> {
  const { repository, phase, environment, limit, cursor } = options;
  const given = Object.entries({ repository, phase, environment, limit, cursor }).filter(
    ([, value]) => value !== undefined,
  );
  const query = new URLSearchParams(given.map(([name, value]) => [name, String(value)]));
  const answer = await ask(options, `/api/v1/${what}?${query}`, listOf(item));
  if (options.output !== 'text') return print(options.output, answer);
  if (answer.items.length === 0) return void process.stderr.write(`No ${what}.\n`);
  process.stdout.write(table(answer.items));
  if (answer.nextCursor !== null)
    process.stderr.write(`There are more: add --cursor ${answer.nextCursor} to go on.\n`);
}

/** @returns the schema of an answer with many items */
export const listOf = <Item extends z.ZodType>(item: Item) =>
  z.looseObject({ items: z.array(item), nextCursor: z.string().nullable() });

/**
 * @param heads of the columns
 * @param rows their cells, as text of anybody's making
 * @param paint gives a padded cell its colour
 */
export function tableOf(
  heads: readonly string[],
  rows: readonly string[][],
  paint: (cell: string, column: number, row: number) => string = (cell) => cell,
): string {
  const cells = rows.map((row) => row.map(oneLine));
  const widths = heads.map((head, column) =>
    Math.max(head.length, ...cells.map((row) => row[column]?.length ?? 0)),
  );
  const line = (row: readonly string[]): string[] =>
    row.map((cell, column) => cell.padEnd(column === row.length - 1 ? 0 : (widths[column] ?? 0)));
  const lines = cells.map((row, index) =>
    line(row)
      .map((cell, column) => paint(cell, column, index))
      .join('  '),
  );
  return `${[bold(line(heads).join('  ')), ...lines].join('\n')}\n`;
}

/** @returns a time of the controller's as tables show it, to the second */
export const timeOf = (iso: string): string => iso.slice(0, 19).replace('T', ' ');
