/** What stands in clusters, and what is said of it beside its phases. */
import { type Kysely, type Selectable, sql } from 'kysely';
import { clusterDestination, type Target } from '../core/rollout.ts';
import type { RolloutsTable, Schema } from './schema.ts';
import type { SqlContext } from './sql-context.ts';
import { PLACE } from './sql-order.ts';
import { rolloutOf } from './sql-rollouts.ts';
import type { StandingStore } from './store.ts';

type Db = Kysely<Schema>;

export function createStandingStore({ db, write, now }: SqlContext): StandingStore {
  return {
    async list(cluster, within) {
      const rows = await newestOfOwners(db, cluster, within)
        .select(['newest.id', 'newest.policy', 'newest.namespace', 'newest.name'])
        .where('newest.destination', '=', clusterDestination(cluster))
        .orderBy('newest.seq')
        .execute();
      return rows.flatMap(({ id, policy, namespace, name }) =>
        namespace === null || name === null ? [] : [{ id, policy, target: { cluster, namespace, name } }],
      );
    },

    async get(target) {
      const { cluster, namespace, name } = target;
      const row = await newestOfOwners(db, cluster, namespace)
        .selectAll('newest')
        .where('targets.name', '=', name)
        .orderBy('newest.seq', 'desc')
        .executeTakeFirst();
      if (!row || row.destination !== clusterDestination(cluster)) return null;
      const next = await rolloutsOf(db, target)
        .select('id')
        .where('stage', '=', 'deliver')
        .executeTakeFirst();
      return { rollout: rolloutOf(row), isFollowed: next !== undefined };
    },

    async note(id, message) {
      await write((trx) => addLine(trx, id, message, now()));
    },
  };
}

/**
 * The rollouts that were delivered last, one for each target and the repository it belongs to. Another repository may have
 * had the target before, and what it did last there was to remove: places count within one repository only.
 */
const newestOfOwners = (db: Db, cluster: string, namespace: string | null) =>
  db
    .selectFrom((e) =>
      e
        .selectFrom('rollouts')
        .select(['namespace', 'name', 'repository'])
        .distinct()
        .where('cluster', '=', cluster)
        .$if(namespace !== null, (all) => all.where('namespace', '=', namespace))
        .as('targets'),
    )
    // By the index on targets: their histories are long.
    .innerJoin('rollouts as newest', (join) =>
      join.on(
        'newest.seq',
        '=',
        sql<number>`(select seq from rollouts
          where cluster = ${cluster} and namespace = targets.namespace and name = targets.name
          and repository = targets.repository
          and receipt is not null order by ${PLACE} desc, seq desc limit 1)`,
      ),
    )
    .where('newest.manifest', 'is not', null);

const rolloutsOf = (db: Db, { cluster, namespace, name }: Target) =>
  db
    .selectFrom('rollouts')
    .where('cluster', '=', cluster)
    .where('namespace', '=', namespace)
    .where('name', '=', name);

/** Adds a line to a timeline, with the phase that the rollout has. Without the rollout it does nothing. */
export async function addLine(
  trx: Db,
  rollout: Selectable<RolloutsTable>['id'],
  message: string,
  at: number,
): Promise<void> {
  const current = await trx
    .selectFrom('rollouts')
    .select('phase')
    .where('id', '=', rollout)
    .executeTakeFirst();
  if (!current) return;
  const line = { rollout_id: rollout, phase: current.phase, message, at };
  await trx.insertInto('transitions').values(line).execute();
}
