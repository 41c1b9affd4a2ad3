import type { Kysely } from 'kysely';

/** What observing has noted of a rollout, for the next start. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('rollouts').addColumn('observation', 'text').execute();
}
