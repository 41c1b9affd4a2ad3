/** Rollouts of what came before the policies that match it. */
import { randomUUID } from 'node:crypto';
import type { Selectable, Transaction } from 'kysely';
import { StalledError } from '../core/errors.ts';
import { revisionOf } from '../core/ref-event.ts';
import type { EventsTable, RefsTable, Schema } from './schema.ts';
import { begin } from './sql-begin.ts';
import type { Row } from './sql-rollouts.ts';
import type { ReplayDraft } from './store.ts';

type Trx = Transaction<Schema>;

/** See `RequestStore.replay`. Within a transaction. */
export async function replay(trx: Trx, asked: ReplayDraft, at: number): Promise<Row[] | null> {
  const { repository, ref } = asked;
  const known = await trx
    .selectFrom('refs')
    .selectAll()
    .where('repository', '=', repository)
    .where('ref', '=', ref)
    .executeTakeFirst();
  if (!known) return null;
  const { event_id, sha } = known;
  if (sha === null)
    throw new StalledError(`${ref} of ${repository} is deleted, which is not replayed`, 'push it again');
  if (asked.eventId !== null && asked.eventId !== event_id)
    throw new StalledError(
      `${ref} of ${repository} has changed since this event`,
      event_id === null ? 'replay the ref instead of the event' : `replay event ${event_id}, its newest`,
    );
  const event = await eventOfRef(trx, at, known, sha, asked.policyRevision);
  if (event.policy_revision === null)
    throw new StalledError(
      'this event has not been matched with the policies yet',
      'wait: what matches it is deployed without being asked for',
    );
  const before = await trx
    .selectFrom('rollouts')
    .select(['id', 'policy'])
    .where('event_id', '=', event.id)
    .orderBy('seq')
    .execute();
  const done = new Map(before.map(({ id, policy }) => [policy, id]));
  const drafts = asked.drafts.filter(({ policy }) => !done.has(policy));
  if (drafts.length === 0)
    throw new StalledError(
      `each policy that matches ${ref} of ${repository} has a rollout of it`,
      `retry ${asked.drafts.map(({ policy }) => `${done.get(policy)} (${policy})`).join(', ')} instead`,
    );
  const place = await placeOfEvent(trx, event);
  const rows: Row[] = [];
  for (const { policy, environment } of drafts)
    rows.push(
      await begin(trx, at, {
        event_id: event.id,
        cause_kind: 'event',
        cause_of: event.id,
        repository,
        project_id: event.project_id,
        ref,
        revision: revisionOf(ref, sha),
        sha,
        policy,
        policy_revision: asked.policyRevision,
        environment,
        place,
        stage: 'resolve',
      }),
    );
  return rows;
}

/**
 * After what the events until then made, and before what came of later ones: a replay is younger than its event. What was
 * there before all events is older than what any of them made.
 */
async function placeOfEvent(
  trx: Trx,
  { repository, seq, source }: Pick<Selectable<EventsTable>, 'repository' | 'seq' | 'source'>,
): Promise<number> {
  if (source === 'replay') return 0;
  const { place } = await trx
    .selectFrom('rollouts')
    .innerJoin('events', 'events.id', 'rollouts.event_id')
    .select((e) => e.fn.max('rollouts.seq').as('place'))
    .where('rollouts.repository', '=', repository)
    .where('rollouts.cause_kind', '=', 'event')
    .where('rollouts.place', 'is', null)
    .where('events.seq', '<=', seq)
    .executeTakeFirstOrThrow();
  return place ?? 0;
}

/** The event that the position of a ref made; where it is of the baseline, it makes one that is matched already. */
async function eventOfRef(
  trx: Trx,
  at: number,
  { repository, ref, event_id }: Selectable<RefsTable>,
  sha: string,
  policyRevision: string,
): Promise<Selectable<EventsTable>> {
  if (event_id !== null)
    return trx.selectFrom('events').selectAll().where('id', '=', event_id).executeTakeFirstOrThrow();
  const { project_id = null } =
    (await trx
      .selectFrom('repositories')
      .select('project_id')
      .where('id', '=', repository)
      .executeTakeFirst()) ?? {};
  const event = await trx
    .insertInto('events')
    .values({
      id: randomUUID(),
      repository,
      project_id,
      ref,
      kind: 'created',
      before: null,
      sha,
      source: 'replay',
      delivery: null,
      received_at: at,
      policy_revision: policyRevision,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  // Who tells of this position from now on tells nothing new.
  await trx
    .updateTable('refs')
    .set({ event_id: event.id })
    .where('repository', '=', repository)
    .where('ref', '=', ref)
    .execute();
  return event;
}
