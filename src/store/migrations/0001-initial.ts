import type { Kysely } from 'kysely';
import type { Schema } from '../schema.ts';

/** Everything the path from a tag to a commit remembers. */
export async function up(db: Kysely<Schema>): Promise<void> {
  const { schema } = db;
  await schema
    .createTable('repositories')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('project_id', 'text')
    .addColumn('baseline_at', 'bigint')
    .addColumn('listing_due_at', 'bigint', (column) => column.notNull())
    .addColumn('lease', 'text')
    .execute();
  await schema.createIndex('repositories_due').on('repositories').column('listing_due_at').execute();
  await schema
    .createTable('refs')
    .addColumn('repository', 'text', (column) => column.notNull())
    .addColumn('ref', 'text', (column) => column.notNull())
    .addColumn('sha', 'text')
    .addColumn('counter', 'integer', (column) => column.notNull())
    .addColumn('event_id', 'text')
    .addPrimaryKeyConstraint('refs_pkey', ['repository', 'ref'])
    .execute();
  await schema
    .createTable('events')
    .addColumn('seq', 'integer', (column) => column.primaryKey().autoIncrement())
    .addColumn('id', 'text', (column) => column.notNull().unique())
    .addColumn('repository', 'text', (column) => column.notNull())
    .addColumn('project_id', 'text')
    .addColumn('ref', 'text', (column) => column.notNull())
    .addColumn('kind', 'text', (column) => column.notNull())
    .addColumn('before', 'text')
    .addColumn('sha', 'text')
    .addColumn('source', 'text', (column) => column.notNull())
    .addColumn('delivery', 'text', (column) => column.unique())
    .addColumn('received_at', 'bigint', (column) => column.notNull())
    .addColumn('policy_revision', 'text')
    .execute();
  await schema.createIndex('events_ref').on('events').columns(['repository', 'ref', 'seq']).execute();
  await schema
    .createIndex('events_unmatched')
    .on('events')
    .columns(['policy_revision', 'seq'])
    .where('policy_revision', 'is', null)
    .execute();
  await schema
    .createTable('rollouts')
    .addColumn('seq', 'integer', (column) => column.primaryKey().autoIncrement())
    .addColumn('id', 'text', (column) => column.notNull().unique())
    .addColumn('event_id', 'text')
    .addColumn('cause_kind', 'text', (column) => column.notNull())
    .addColumn('cause_of', 'text', (column) => column.notNull())
    .addColumn('repository', 'text', (column) => column.notNull())
    .addColumn('project_id', 'text')
    .addColumn('ref', 'text', (column) => column.notNull())
    .addColumn('revision', 'text', (column) => column.notNull())
    .addColumn('sha', 'text', (column) => column.notNull())
    .addColumn('policy', 'text', (column) => column.notNull())
    .addColumn('policy_revision', 'text', (column) => column.notNull())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('cluster', 'text')
    .addColumn('namespace', 'text')
    .addColumn('name', 'text')
    .addColumn('phase', 'text', (column) => column.notNull())
    .addColumn('stage', 'text')
    .addColumn('message', 'text', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('updated_at', 'bigint', (column) => column.notNull())
    .addColumn('finished_at', 'bigint')
    .addColumn('plan', 'text')
    .addColumn('gitops', 'text')
    .addColumn('manifest', 'text')
    .addColumn('receipt', 'text')
    .addColumn('endpoint_internal', 'text')
    .addColumn('endpoint_external', 'text')
    .addColumn('attempts', 'integer', (column) => column.notNull())
    .addColumn('waiting_since', 'bigint')
    .addColumn('due_at', 'bigint', (column) => column.notNull())
    .addColumn('lease', 'text')
    .execute();
  // Partial: a claim looks at what is due, however many rollouts have ended.
  await schema
    .createIndex('rollouts_due')
    .on('rollouts')
    .columns(['stage', 'due_at', 'seq'])
    .where('stage', 'is not', null)
    .execute();
  await schema
    .createIndex('rollouts_target')
    .on('rollouts')
    .columns(['cluster', 'namespace', 'name', 'seq'])
    .execute();
  await schema.createIndex('rollouts_phase').on('rollouts').columns(['phase', 'seq']).execute();
  await schema.createIndex('rollouts_environment').on('rollouts').columns(['environment', 'seq']).execute();
  await schema.createIndex('rollouts_event').on('rollouts').column('event_id').execute();
  await schema.createIndex('rollouts_repository').on('rollouts').columns(['repository', 'seq']).execute();
  await schema
    .createTable('transitions')
    .addColumn('seq', 'integer', (column) => column.primaryKey().autoIncrement())
    .addColumn('rollout_id', 'text', (column) => column.notNull())
    .addColumn('phase', 'text', (column) => column.notNull())
    .addColumn('message', 'text', (column) => column.notNull())
    .addColumn('at', 'bigint', (column) => column.notNull())
    .execute();
  await schema.createIndex('transitions_rollout').on('transitions').columns(['rollout_id', 'seq']).execute();
  await schema
    .createTable('reports')
    .addColumn('id', 'text', (column) => column.notNull().unique())
    .addColumn('repository', 'text', (column) => column.notNull())
    .addColumn('sha', 'text', (column) => column.notNull())
    .addColumn('context', 'text', (column) => column.notNull())
    .addColumn('rollout_id', 'text', (column) => column.notNull())
    .addColumn('rollout_seq', 'integer', (column) => column.notNull())
    .addColumn('version', 'integer', (column) => column.notNull())
    .addColumn('sent', 'text')
    .addColumn('uncertain', 'integer', (column) => column.notNull())
    .addColumn('attempts', 'integer', (column) => column.notNull())
    .addColumn('due_at', 'bigint')
    .addColumn('lease', 'text')
    .addPrimaryKeyConstraint('reports_pkey', ['repository', 'sha', 'context'])
    .execute();
  await schema
    .createIndex('reports_due')
    .on('reports')
    .column('due_at')
    .where('due_at', 'is not', null)
    .execute();
  await schema
    .createTable('facts')
    .addColumn('key', 'text', (column) => column.primaryKey())
    .addColumn('value', 'text', (column) => column.notNull())
    .execute();
}
