import { type Kysely, sql } from 'kysely';

/** Retries count with the place of the rollout they began with. Rollbacks of before keep the place they had. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const { schema } = db;
  await schema.alterTable('rollouts').addColumn('place', 'integer').execute();
  await sql`
    with recursive retries (id, cause_of) as (
      select id, cause_of from rollouts where cause_kind = 'retry'
      union all
      select retries.id, rollouts.cause_of from retries join rollouts on rollouts.id = retries.cause_of
      where rollouts.cause_kind = 'retry'
    )
    update rollouts set place = (
      select min(first.seq) from retries join rollouts as first on first.id = retries.cause_of
      where retries.id = rollouts.id
    ) where cause_kind = 'retry'`.execute(db);
  await schema.dropIndex('rollouts_target').execute();
  await sql`create index rollouts_target
    on rollouts (cluster, namespace, name, coalesce(place, seq), seq)`.execute(db);
}
