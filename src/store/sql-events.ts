import { randomUUID } from 'node:crypto';
import type { Selectable, Transaction } from 'kysely';
import {
  parseRepositoryId,
  type RefEvent,
  type RefEventKind,
  type RefEventSource,
  type RefMove,
  revisionOf,
} from '../core/ref-event.ts';
import type { EventsTable, RefsTable, Schema } from './schema.ts';
import type { SqlContext } from './sql-context.ts';
import { removalsOf } from './sql-removals.ts';
import type { EventStore, EventWithRollouts, Page, Recorded } from './store.ts';

export function createEventStore(context: SqlContext): EventStore {
  const { db, write, now, changed } = context;
  return {
    async record(move, source, delivery) {
      const recorded = await write((trx) => recordMove(trx, now(), move, source, delivery));
      if (recorded.outcome === 'new') changed();
      return recorded;
    },

    async unmatched(limit) {
      const rows = await db
        .selectFrom('events')
        .selectAll()
        .where('policy_revision', 'is', null)
        .orderBy('seq')
        .limit(limit)
        .execute();
      return rows.map(eventOf);
    },

    async matched(matches) {
      const at = now();
      await write(async (trx) => {
        for (const { event, policyRevision, drafts } of matches) {
          // As it is now: its repository may have been renamed since, or the event found to repeat another.
          const row = await trx
            .updateTable('events')
            .set({ policy_revision: policyRevision })
            .where('id', '=', event.id)
            .returning(['repository', 'project_id', 'sha'])
            .executeTakeFirst();
          if (!row || drafts.length === 0) continue;
          const begun = {
            event_id: event.id,
            cause_kind: 'event' as const,
            cause_of: event.id,
            repository: row.repository,
            project_id: row.project_id,
            ref: event.ref,
            policy_revision: policyRevision,
            phase: 'pending' as const,
            created_at: at,
            updated_at: at,
            attempts: 0,
            due_at: at,
          };
          const { sha } = row;
          const which =
            sha === null
              ? await removalsOf(trx, begun, drafts)
              : drafts.map((draft) => ({
                  ...draft,
                  revision: revisionOf(event.ref, sha),
                  sha,
                  stage: 'resolve' as const,
                  message: `Queued for ${draft.environment}`,
                }));
          if (which.length === 0) continue;
          const rows = which.map((each) => ({ id: randomUUID(), ...begun, ...each }));
          await trx.insertInto('rollouts').values(rows).execute();
          await trx
            .insertInto('transitions')
            .values(rows.map(({ id, phase, message }) => ({ rollout_id: id, phase, message, at })))
            .execute();
        }
      });
      changed();
    },

    async get(id) {
      const row = await db.selectFrom('events').selectAll().where('id', '=', id).executeTakeFirst();
      return row ? ((await withRollouts(context, [row]))[0] ?? null) : null;
    },

    async list(query) {
      let select = db.selectFrom('events').selectAll();
      if (query.repository) select = select.where('repository', '=', query.repository);
      if (query.before) select = select.where('seq', '<', query.before);
      const { phase, environment } = query;
      if (phase || environment) {
        select = select.where('id', 'in', (e) => {
          let caused = e.selectFrom('rollouts').select('event_id');
          if (phase) caused = caused.where('phase', '=', phase);
          if (environment) caused = caused.where('environment', '=', environment);
          return caused.where('event_id', 'is not', null);
        });
      }
      const rows = await select
        .orderBy('seq', 'desc')
        .limit(query.limit + 1)
        .execute();
      return pageOf(await withRollouts(context, rows), query.limit);
    },
  };
}

/** Cuts a list that was read one row too long into a page. */
export function pageOf<Item extends { seq: number }>(items: Item[], limit: number): Page<Item> {
  const page = items.slice(0, limit);
  const last = page.at(-1);
  return { items: page, nextCursor: items.length > limit && last ? String(last.seq) : null };
}

async function withRollouts(
  { db }: SqlContext,
  rows: Selectable<EventsTable>[],
): Promise<EventWithRollouts[]> {
  const ids = rows.map(({ id }) => id);
  const rollouts =
    ids.length === 0
      ? []
      : await db
          .selectFrom('rollouts')
          .select(['id', 'policy', 'phase', 'event_id'])
          .where('event_id', 'in', ids)
          .orderBy('seq')
          .execute();
  const byEvent = Map.groupBy(rollouts, ({ event_id }) => event_id);
  return rows.map((row) => ({
    ...eventOf(row),
    rollouts: (byEvent.get(row.id) ?? []).map(({ id, policy, phase }) => ({ id, policy, phase })),
  }));
}

export function eventOf(row: Selectable<EventsTable>): RefEvent {
  return {
    id: row.id,
    seq: row.seq,
    repository: row.repository,
    projectId: row.project_id,
    ref: row.ref,
    kind: row.kind,
    before: row.before,
    sha: row.sha,
    source: row.source,
    receivedAt: row.received_at,
    policyRevision: row.policy_revision,
  };
}

/**
 * Makes what somebody says about a ref one event, or finds the event it made before. Within a transaction.
 * @param at now, in milliseconds since the epoch
 * @param delivery the key of the webhook delivery; null for a listing or a reading
 */
export async function recordMove(
  trx: Transaction<Schema>,
  at: number,
  told: RefMove,
  source: RefEventSource,
  delivery: string | null,
): Promise<Recorded> {
  const move = { ...told, repository: await todaysName(trx, told) };
  const { repository, projectId, ref, before, after } = move;
  if (source === 'webhook') {
    // Whatever it tells, the repository was pushed to: its refs are listed soon, for what no webhook tells.
    await trx
      .insertInto('repositories')
      .values({ id: repository, listing_due_at: at })
      .onConflict((conflict) => conflict.column('id').doUpdateSet({ listing_due_at: at }))
      .execute();
  }
  const known = await trx
    .selectFrom('refs')
    .selectAll()
    .where('repository', '=', repository)
    .where('ref', '=', ref)
    .executeTakeFirst();
  const first = await toldBefore(trx, move, delivery, known);
  if (first) return { outcome: 'repeat', event: eventOf(first) };
  const back = source === 'webhook' || !known ? null : await putBack(trx, known, after);
  if (back) return back;
  const current = known?.sha ?? null;
  const counter = (known?.counter ?? 0) + 1;
  if (after === null && current === null) {
    // Nobody asked about it, but a listing that began before must not bring it back.
    await place(trx, { repository, ref, sha: null, counter, event_id: known?.event_id ?? null });
    return { outcome: 'ignored' };
  }

  const event = await trx
    .insertInto('events')
    .values({
      id: randomUUID(),
      repository,
      project_id: projectId,
      ref,
      kind: kindOf(before, current, after),
      before,
      sha: after,
      source,
      delivery,
      received_at: at,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  const was = { was_sha: current, was_event_id: known?.event_id ?? null };
  await place(trx, { repository, ref, sha: after, counter, event_id: event.id, ...was });
  return { outcome: 'new', event: eventOf(event) };
}

/**
 * A webhook told of a move, and the forge shows that the ref is where it was before: nothing has advanced. Otherwise
 * whoever may sign webhooks could have an old version deployed over a newer one by a move that never was.
 * @param after where the forge shows the ref
 * @returns null where that is not so, or something has come of what was told
 */
async function putBack(
  trx: Transaction<Schema>,
  known: Selectable<RefsTable>,
  after: string | null,
): Promise<Recorded | null> {
  const { repository, ref, counter, event_id, was_sha, was_event_id } = known;
  if (after === null || event_id === null || after !== was_sha || after === known.sha) return null;
  const followed = await trx
    .selectFrom('rollouts')
    .select('id')
    .where('event_id', '=', event_id)
    .where('plan', 'is not', null)
    .executeTakeFirst();
  const events = trx.selectFrom('events').selectAll();
  const told = await events.where('id', '=', event_id).executeTakeFirst();
  if (followed || told?.source !== 'webhook' || told.sha === null) return null;
  await place(trx, { repository, ref, sha: after, counter: counter + 1, event_id: was_event_id });
  const first = await events.where('id', '=', was_event_id).executeTakeFirst();
  return first ? { outcome: 'repeat', event: eventOf(first) } : { outcome: 'ignored' };
}

/**
 * A name that the repository of this number no longer has, as far as the forge has told, is taken for today's. The
 * number is the payload's, and can at most do what naming the repository itself can.
 */
async function todaysName(
  trx: Transaction<Schema>,
  { repository, projectId }: Pick<RefMove, 'repository' | 'projectId'>,
): Promise<string> {
  if (projectId === null) return repository;
  const rows = await trx
    .selectFrom('former_names')
    .innerJoin('repositories', 'repositories.project_id', 'former_names.project_id')
    .select('id')
    .where('name', '=', repository)
    .where('former_names.project_id', '=', projectId)
    .execute();
  return rows.find(({ id }) => sameForge(id, repository))?.id ?? repository;
}

/** @returns whether two repository ids are of one forge: only there is a number the same */
export const sameForge = (a: string, b: string): boolean =>
  parseRepositoryId(a)?.forge === parseRepositoryId(b)?.forge;

/** A forge that gives no `before` may report a move so; a baseline that is where the ref is now tells nothing. */
function kindOf(before: string | null, current: string | null, after: string | null): RefEventKind {
  if (after === null) return 'deleted';
  return before !== null || (current !== null && current !== after) ? 'moved' : 'created';
}

type Position = Omit<Selectable<RefsTable>, 'was_sha' | 'was_event_id'> &
  Partial<Pick<RefsTable, 'was_sha' | 'was_event_id'>>;

/** Stores where a ref stands. What it was before is forgotten where that is not said. */
export async function place(trx: Transaction<Schema>, position: Position): Promise<void> {
  const { repository, ref, ...stands } = position;
  const where = { was_sha: null, was_event_id: null, ...stands };
  await trx
    .insertInto('refs')
    .values({ repository, ref, ...where })
    .onConflict((conflict) => conflict.columns(['repository', 'ref']).doUpdateSet(where))
    .execute();
}

/**
 * One advance of a ref is one event. Nothing new is told by a delivery that was seen before, by the position whose
 * event was made already, and by an old move that is told late: its `before` is not where the ref stands, and it has
 * its event. A late tale that slips through is caught when its rollout reads the ref.
 */
async function toldBefore(
  trx: Transaction<Schema>,
  { repository, ref, before, after }: RefMove,
  delivery: string | null,
  known: Selectable<RefsTable> | undefined,
): Promise<Selectable<EventsTable> | undefined> {
  const events = trx.selectFrom('events').selectAll();
  const seen =
    delivery === null ? undefined : await events.where('delivery', '=', delivery).executeTakeFirst();
  if (seen || !known) return seen;
  if (known.sha === after) return events.where('id', '=', known.event_id).executeTakeFirst();
  if (after === null || known.sha === null || known.sha === before) return undefined;
  return events
    .where('repository', '=', repository)
    .where('ref', '=', ref)
    .where('sha', '=', after)
    .where('before', before === null ? 'is' : '=', before)
    .orderBy('seq', 'desc')
    .executeTakeFirst();
}
