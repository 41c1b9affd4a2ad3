/** What a deleted ref has brought, and so what is to be removed for it. */
import type { Kysely, Selectable, SelectQueryBuilder } from 'kysely';
import type { Rollout, Target } from '../core/rollout.ts';
import type { RolloutsTable, Schema } from './schema.ts';
import { isBefore, PLACE } from './sql-order.ts';
import type { Brought, RolloutDraft } from './store.ts';

type Db = Kysely<Schema>;
type Row = Selectable<RolloutsTable>;
type Rollouts = SelectQueryBuilder<Schema, 'rollouts', Row>;
/** A ref of one repository: of another that had the name before, if its number is another. */
type Ref = Pick<Row, 'repository' | 'project_id' | 'ref'>;

/**
 * Begins a removal for each policy that has brought, or is about to bring, something for the ref and has not taken it away
 * again. Within a transaction.
 */
export async function removalsOf(trx: Db, ref: Ref, drafts: readonly RolloutDraft[]) {
  const removals: (RolloutDraft & { revision: string; sha: string; stage: 'remove'; message: string })[] = [];
  for (const { policy } of drafts) {
    const newest = await rolloutsOf(trx, ref, policy)
      .where((e) => e.or([e('cluster', 'is not', null), e('stage', 'is not', null)]))
      .executeTakeFirst();
    if (!newest || (newest.phase === 'delivered' && isRemoval(newest))) continue;
    const deployed = await rolloutsOf(trx, ref, policy).where('receipt', 'is not', null).executeTakeFirst();
    const { revision, sha, environment } = deployed ?? newest;
    const message = `Queued, for ${ref.ref} was deleted`;
    removals.push({ policy, revision, sha, environment, stage: 'remove', message });
  }
  return removals;
}

/** See `RolloutStore.broughtBy`. */
export async function broughtBy(db: Db, removal: Rollout): Promise<Brought | 'unplanned' | null> {
  const { id, repository, projectId, ref, policy } = removal;
  const row = await db
    .selectFrom('rollouts')
    .select(['seq', 'place'])
    .where('id', '=', id)
    .executeTakeFirst();
  // Two that a rename showed to be the same are one: this one is gone.
  if (!row) return null;
  const older = rolloutsOf(db, { repository, project_id: projectId, ref }, policy).where(isBefore(row));
  if (await older.where('stage', '=', 'resolve').executeTakeFirst()) return 'unplanned';
  const newest = await older.where('manifest', 'is not', null).executeTakeFirst();
  const target = newest && targetOf(newest);
  if (!target || newest.plan === null) return null;
  const there = db
    .selectFrom('rollouts')
    .where('repository', '=', repository)
    .where('cluster', '=', target.cluster)
    .where('namespace', '=', target.namespace)
    .where('name', '=', target.name)
    .where(isBefore(row));
  const commits = await there.select('sha').distinct().where('ref', '=', ref).orderBy('sha').execute();
  const standing = await there
    .selectAll()
    .where('phase', 'not in', ['cancelled', 'superseded'])
    .where((e) => e.or([e('phase', '<>', 'failed'), e('receipt', 'is not', null)]))
    .orderBy(PLACE, 'desc')
    .orderBy('seq', 'desc')
    .executeTakeFirst();
  return {
    target,
    plan: { readiness: null, ...JSON.parse(newest.plan) },
    commits: commits.map(({ sha }) => sha),
    standing: standing ? { ref: standing.ref, isRemoval: isRemoval(standing) } : null,
  };
}

/** Those of a policy for a ref, newest first, without what was cancelled before it brought anything. */
const rolloutsOf = (db: Db, { repository, project_id, ref }: Ref, policy: string): Rollouts =>
  db
    .selectFrom('rollouts')
    .selectAll()
    .where('repository', '=', repository)
    .where('ref', '=', ref)
    .where('policy', '=', policy)
    .where((e) => e.or([e('phase', '<>', 'cancelled'), e('receipt', 'is not', null)]))
    .where((e) =>
      project_id === null
        ? e.lit(true)
        : e.or([e('project_id', 'is', null), e('project_id', '=', project_id)]),
    )
    .orderBy(PLACE, 'desc')
    .orderBy('seq', 'desc')
    .limit(1);

/** A removal alone has a plan and no manifest. */
export const isRemoval = ({ stage, plan, manifest }: Pick<Row, 'stage' | 'plan' | 'manifest'>): boolean =>
  stage === 'remove' || (plan !== null && manifest === null);

export const targetOf = ({ cluster, namespace, name }: Row): Target | null =>
  cluster === null || namespace === null || name === null ? null : { cluster, namespace, name };

/** @returns whether a rollout is for a deletion, whatever has become of it */
export async function isForDeletion(trx: Db, { event_id }: Pick<Row, 'event_id'>): Promise<boolean> {
  const event = await trx.selectFrom('events').select('kind').where('id', '=', event_id).executeTakeFirst();
  return event?.kind === 'deleted';
}
