import { type Kysely, sql } from 'kysely';

/** Renamed repositories. Numbers that webhooks told are forgotten: only the forge's own word counts. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const { schema } = db;
  await sql`update repositories set project_id = null`.execute(db);
  await schema.createIndex('repositories_project').on('repositories').column('project_id').execute();
  await schema
    .createTable('former_names')
    .addColumn('project_id', 'text', (column) => column.notNull())
    .addColumn('name', 'text', (column) => column.notNull())
    .addPrimaryKeyConstraint('former_names_pkey', ['project_id', 'name'])
    .execute();
}
