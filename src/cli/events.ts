/** `modelhook events`: asks a running controller what arrived, and to deploy what no policy matched when it came. */
import { Command } from 'commander';
import { z } from 'zod';
import { PHASES } from '../core/rollout.ts';
import {
  ask,
  CommandFailure,
  type ListOptions,
  list,
  listOf,
  print,
  run,
  type ServerOptions,
  tableOf,
  timeOf,
  withFilters,
  withServer,
} from './controller-api.ts';
import { rolloutSchema } from './rollouts-api.ts';
import { summary } from './rollouts-text.ts';

/** What the text output shows of an event; the other outputs pass on all that the server says. */
const eventSchema = z.looseObject({
  id: z.string(),
  repository: z.string(),
  ref: z.string(),
  kind: z.string(),
  sha: z.string().nullable(),
  source: z.string(),
  receivedAt: z.string(),
  policyRevision: z.string().nullable(),
  rollouts: z.array(z.looseObject({ policy: z.string(), phase: z.enum(PHASES) })),
});

type EventJson = z.infer<typeof eventSchema>;

/** The subcommand `events`, to be added to the program. */
export const eventsCommand = (): Command => {
  const command = new Command('events').description(
    'ask a running controller what arrived, or to deploy what came before its policy',
  );

  withFilters(command.command('list'), 'only those with a rollout in this phase')
    .description('list events, newest first, with the rollouts they caused')
    .addHelpText('after', '\nExample:\n  $ modelhook events list --repository gitlab:ml/vision/iris')
    .action((options: ListOptions) => run(() => list(options, 'events', eventSchema, table)));

  withServer(command.command('replay'))
    .description('deploy what no policy matched when it came, by the policies that match it now')
    .argument('<event>', 'the full id of an event; or the id of a repository, before the ref')
    .argument('[ref]', 'the full name of a ref, such as refs/tags/v1.0.0')
    .addHelpText(
      'after',
      `
Rollouts are begun for the policies in force that match and have none of this event yet, and printed. Only the newest event
of a ref is replayed. A ref that was there before modelhook knew its repository has no event: name it by repository and ref.
It takes an API token of the controller, with --token or MODELHOOK_API_TOKEN.

Examples:
  $ modelhook events replay 7a1d9c5e-2f4b-4c0f-8a37-5a5e0c9b3d21
  $ modelhook events replay gitlab:ml/vision/iris refs/tags/v1.0.0`,
    )
    .action((event: string, ref: string | undefined, options: ServerOptions) =>
      run(() => replay(event, ref, options)),
    );

  return command;
};

async function replay(event: string, ref: string | undefined, options: ServerOptions): Promise<void> {
  if (ref === undefined && event.includes(':'))
    throw new CommandFailure(
      2,
      `"${event}" is the id of a repository. Add the full name of the ref, such as refs/tags/v1.0.0.`,
    );
  const [path, body] =
    ref === undefined
      ? [`/api/v1/events/${encodeURIComponent(event)}/replay`, {}]
      : ['/api/v1/events/replay', { repository: event, ref }];
  const answer = await ask(options, path, listOf(rolloutSchema), body);
  if (options.output !== 'text') return print(options.output, answer);
  process.stdout.write(answer.items.map(summary).join(''));
}

const table = (events: EventJson[]): string =>
  tableOf(
    ['ID', 'REPOSITORY', 'REF', 'KIND', 'COMMIT', 'RECEIVED (UTC)', 'ROLLOUTS'],
    events.map((event) => [
      event.id,
      event.repository,
      event.ref,
      event.kind,
      event.sha?.slice(0, 7) ?? '-',
      timeOf(event.receivedAt),
      rolloutsOf(event),
    ]),
  );

function rolloutsOf({ rollouts, policyRevision }: EventJson): string {
  if (policyRevision === null) return 'not matched yet';
  if (rollouts.length === 0) return 'none';
  return rollouts.map(({ policy, phase }) => `${policy} ${phase}`).join(', ');
}
