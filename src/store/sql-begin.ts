/** The first row of a rollout that somebody asked for, and the first line of its timeline. */
import { randomUUID } from 'node:crypto';
import type { Insertable, Selectable, Transaction } from 'kysely';
import type { RolloutsTable, Schema } from './schema.ts';

type Row = Selectable<RolloutsTable>;

/** What a rollout is to be. */
type Fresh = Omit<
  Insertable<RolloutsTable>,
  'id' | 'phase' | 'message' | 'created_at' | 'updated_at' | 'attempts' | 'due_at'
>;

/**
 * Begins a rollout that is due now.
 * @param why put after its first message; may be empty
 */
export async function begin(trx: Transaction<Schema>, at: number, fresh: Fresh, why = ''): Promise<Row> {
  const id = randomUUID();
  const phase = 'pending';
  const message = `Queued for ${fresh.environment}${why}`;
  const row = await trx
    .insertInto('rollouts')
    .values({ ...fresh, id, phase, message, created_at: at, updated_at: at, attempts: 0, due_at: at })
    .returningAll()
    .executeTakeFirstOrThrow();
  await trx.insertInto('transitions').values({ rollout_id: id, phase, message, at }).execute();
  return row;
}
