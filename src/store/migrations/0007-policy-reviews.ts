import type { Kysely } from 'kysely';

/** Policies that are reviewed: what plans were made from, the heads that are looked at, and the waves of a merge. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const { schema } = db;
  await schema.alterTable('rollouts').addColumn('inputs', 'text').execute();
  // Many plans are made from one catalogue of runtimes, which is long.
  await schema
    .createTable('catalogues')
    .addColumn('hash', 'text', (column) => column.primaryKey())
    .addColumn('content', 'text', (column) => column.notNull())
    .execute();
  await schema.createIndex('rollouts_cause').on('rollouts').columns(['cause_kind', 'cause_of']).execute();
  await schema
    .createTable('reviews')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('subject', 'text', (column) => column.notNull().unique())
    .addColumn('number', 'integer')
    .addColumn('label', 'text', (column) => column.notNull())
    .addColumn('url', 'text')
    .addColumn('head', 'text', (column) => column.notNull())
    .addColumn('head_ref', 'text', (column) => column.notNull())
    .addColumn('status_ref', 'text', (column) => column.notNull())
    .addColumn('version', 'integer', (column) => column.notNull())
    .addColumn('outcome', 'text')
    .addColumn('text', 'text')
    .addColumn('took', 'integer')
    .addColumn('attempts', 'integer', (column) => column.notNull())
    .addColumn('due_at', 'integer')
    .addColumn('lease', 'text')
    .execute();
  await schema.createIndex('reviews_due').on('reviews').column('due_at').execute();
  await schema.createIndex('reviews_head').on('reviews').column('head').execute();
}
