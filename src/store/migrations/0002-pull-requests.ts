import { type Kysely, sql } from 'kysely';

/** Pull requests: what a rollout waits for, and a destination for them beside that for pushes. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const { schema } = db;
  await schema.alterTable('rollouts').renameColumn('gitops', 'destination').execute();
  await sql`update rollouts set destination = 'gitops/' || destination where destination is not null`.execute(
    db,
  );
  await schema.alterTable('rollouts').addColumn('pull_request', 'text').execute();
  await schema
    .alterTable('rollouts')
    .addColumn('hinted', 'integer', (column) => column.notNull().defaultTo(0))
    .execute();
}
