/** What was told of a repository under a former name becomes part of its history under today's. */
import { type RawBuilder, type Selectable, sql, type Transaction } from 'kysely';
import type { EventsTable, RefsTable, ReportsTable, Schema } from './schema.ts';
import { place } from './sql-events.ts';

type Trx = Transaction<Schema>;
type Told = Pick<Selectable<EventsTable>, 'id' | 'repository' | 'ref' | 'before' | 'sha'>;

/** Rows of a name that are not known to be another number's, which had the name before. */
export const unclaimed = (name: string): RawBuilder<boolean> =>
  sql`(project_id is null or project_id not in (select project_id from former_names where name = ${name}))`;

/**
 * Moves what has a repository's number from a former name to today's. Within a transaction.
 * @param baseline whether refs that made no event move too: no other repository has the former name
 */
export async function moveHistory(
  trx: Trx,
  at: number,
  former: string,
  { repository, projectId }: { repository: string; projectId: string },
  baseline: boolean,
): Promise<void> {
  const told = await toldOf(trx, former, repository, projectId);
  const followed = await followedEvents(trx, [former, repository]);
  const timelines = [...told].map(([ref, events]) => ({ ref, ...oneTimeline(events, former, followed) }));
  const before = await refsOf(trx, former);
  const now = await refsOf(trx, repository);

  const silenced = await drop(
    trx,
    timelines.flatMap(({ repeats }) => repeats),
  );
  const moving = sql<boolean>`repository = ${former} and project_id = ${projectId}`;
  await trx.updateTable('events').set({ repository }).where(moving).execute();
  await trx.updateTable('rollouts').set({ repository }).where(moving).execute();
  await moveReports(trx, at, former, repository);
  for (const { sha, context } of silenced) await writeAgain(trx, at, { repository, sha, context });

  await leaveRefs(trx, former, baseline);
  for (const { ref, last } of timelines) {
    // More than either: a listing that began before the merge leaves the ref alone.
    const counter = (before.get(ref)?.counter ?? 0) + (now.get(ref)?.counter ?? 0) + 1;
    if (last) await place(trx, { repository, ref, sha: last.sha, counter, event_id: last.id });
  }
  for (const row of before.values()) {
    const other = now.get(row.ref);
    const isNewer = !other || (other.event_id === null && other.counter < row.counter);
    if (baseline && row.event_id === null && !told.has(row.ref) && isNewer)
      await place(trx, { ...row, repository });
  }
}

async function refsOf(trx: Trx, repository: string): Promise<Map<string, Selectable<RefsTable>>> {
  const rows = await trx.selectFrom('refs').selectAll().where('repository', '=', repository).execute();
  return new Map(rows.map((row) => [row.ref, row]));
}

/** Events that move, and those of the same refs that are there already: by ref, oldest first. */
async function toldOf(
  trx: Trx,
  former: string,
  repository: string,
  projectId: string,
): Promise<Map<string, Told[]>> {
  const moving = sql<boolean>`repository = ${former} and project_id = ${projectId}`;
  const there = sql<boolean>`repository = ${repository} and (project_id = ${projectId} or ${unclaimed(repository)})`;
  const refs = trx.selectFrom('events').select('ref').where(moving);
  const rows = await trx
    .selectFrom('events')
    .select(['id', 'repository', 'ref', 'before', 'sha'])
    .where((e) => e.or([moving, e.and([there, e('ref', 'in', refs)])]))
    .orderBy('seq')
    .execute();
  return Map.groupBy(rows, ({ ref }) => ref);
}

/** Events something has come of: a rollout that went on from its first stage. */
async function followedEvents(trx: Trx, repositories: readonly string[]): Promise<Set<string>> {
  const rows = await trx
    .selectFrom('rollouts')
    .select('event_id')
    .distinct()
    .where('repository', 'in', repositories)
    .where((e) => e.or([e('stage', 'is distinct from', 'resolve'), e('plan', 'is not', null)]))
    .execute();
  return new Set(rows.flatMap(({ event_id }) => event_id ?? []));
}

/**
 * Tells the story of a ref as though all of it had been told under one name, by the rules of toldBefore
 * (sql-events.ts). Of two events that are one, the later one goes, or the one under the former name where the ref has
 * not moved on: policies match by today's. What was followed always stays.
 * @param events oldest first
 * @returns the event that made the ref's position, and the ids of those to be dropped
 */
function oneTimeline(
  events: readonly Told[],
  former: string,
  followed: ReadonlySet<string>,
): { last: Told | undefined; repeats: string[] } {
  const story: Told[] = [];
  /** Where the newest event of a move stands in the story. */
  const places = new Map<string, number>();
  const repeats: string[] = [];
  for (const event of events) {
    const at = toldAt(story, places, event);
    const first = at === undefined ? undefined : story[at];
    const spares = first ? [event, first].filter(({ id }) => !followed.has(id)) : [];
    const isLast = first === story.at(-1);
    const spare = (isLast && spares.find(({ repository }) => repository === former)) || spares[0];
    if (spare) repeats.push(spare.id);
    if (!first || (!spare && first.repository === event.repository)) {
      places.set(moveOf(event), story.length);
      story.push(event);
    } else if (spare === first && at !== undefined) story[at] = event;
  }
  return { last: story.at(-1), repeats };
}

const moveOf = ({ before, sha }: Told): string => `${before} ${sha}`;

/** @returns where in the story an event was told before */
function toldAt(
  story: readonly Told[],
  places: ReadonlyMap<string, number>,
  event: Told,
): number | undefined {
  const last = story.at(-1);
  if (!last) return undefined;
  const { before, sha } = event;
  if (last.sha === sha) return story.length - 1;
  if (sha === null || last.sha === null || last.sha === before) return undefined;
  return places.get(moveOf(event));
}

/** A former name no longer knows the refs whose events are not there any more. */
async function leaveRefs(trx: Trx, former: string, baseline: boolean): Promise<void> {
  await trx
    .deleteFrom('refs')
    .where('repository', '=', former)
    .where((e) => {
      const staying = e.selectFrom('events').select('id').where('repository', '=', former);
      return e.or([e('event_id', 'not in', staying), ...(baseline ? [e('event_id', 'is', null)] : [])]);
    })
    .execute();
}

/** Reports go where their rollouts went. Where both names have one for a commit and context, the newer rollout speaks. */
async function moveReports(trx: Trx, at: number, former: string, repository: string): Promise<void> {
  const gone = trx.selectFrom('rollouts').select('id').where('repository', '=', repository);
  const both = await trx
    .selectFrom('reports as old')
    .innerJoin('reports as new', (join) =>
      join.onRef('new.sha', '=', 'old.sha').onRef('new.context', '=', 'old.context'),
    )
    .select([
      'old.id as oldId',
      'old.rollout_seq as oldSeq',
      'new.id as newId',
      'new.rollout_seq as newSeq',
      'old.sha',
      'old.context',
    ])
    .where('old.repository', '=', former)
    .where('old.rollout_id', 'in', gone)
    .where('new.repository', '=', repository)
    .execute();
  for (const { oldId, oldSeq, newId, newSeq } of both)
    await trx
      .deleteFrom('reports')
      .where('id', '=', oldSeq > newSeq ? newId : oldId)
      .execute();
  await trx
    .updateTable('reports')
    .set({ repository })
    .where('repository', '=', former)
    .where('rollout_id', 'in', gone)
    .execute();
  for (const { sha, context } of both) await writeAgain(trx, at, { repository, sha, context });
}

type Spoken = Pick<Selectable<ReportsTable>, 'repository' | 'sha' | 'context'>;

/** The commit may show what another rollout said: the status is read back before it is written. */
async function writeAgain(trx: Trx, at: number, { repository, sha, context }: Spoken): Promise<void> {
  await trx
    .updateTable('reports')
    .set((e) => ({ due_at: at, uncertain: 1, version: e('version', '+', 1) }))
    .where('repository', '=', repository)
    .where('sha', '=', sha)
    .where('context', '=', context)
    .execute();
}

/** Events of one statement: databases bound the values of each. */
const ROWS = 1000;

/**
 * Drops events that repeat another, with their rollouts, which had not begun.
 * @returns what those may have said on commits
 */
async function drop(trx: Trx, events: readonly string[]): Promise<Spoken[]> {
  const spoken: Spoken[] = [];
  for (let from = 0; from < events.length; from += ROWS) {
    const some = events.slice(from, from + ROWS);
    const rollouts = trx.selectFrom('rollouts').select('id').where('event_id', 'in', some);
    spoken.push(
      ...(await trx
        .deleteFrom('reports')
        .where('rollout_id', 'in', rollouts)
        .returning(['repository', 'sha', 'context'])
        .execute()),
    );
    await trx.deleteFrom('transitions').where('rollout_id', 'in', rollouts).execute();
    await trx.deleteFrom('rollouts').where('event_id', 'in', some).execute();
    await trx.deleteFrom('events').where('id', 'in', some).execute();
  }
  return spoken;
}
