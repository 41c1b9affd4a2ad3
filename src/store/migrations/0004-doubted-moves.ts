import type { Kysely } from 'kysely';

/** Where refs stood before what was told last: where that was not so, they are put back without an event. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const { schema } = db;
  await schema.alterTable('refs').addColumn('was_sha', 'text').execute();
  await schema.alterTable('refs').addColumn('was_event_id', 'text').execute();
}
