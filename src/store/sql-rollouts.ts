import { randomUUID } from 'node:crypto';
import type { ExpressionBuilder, Selectable, SelectQueryBuilder, Transaction } from 'kysely';
import { StalledError } from '../core/errors.ts';
import { isFullSha, shortSha } from '../core/ref-event.ts';
import { destinationOf, formatTarget, type Rollout, statusContext, type Target } from '../core/rollout.ts';
import type { RolloutsTable, Schema } from './schema.ts';
import type { SqlContext } from './sql-context.ts';
import { pageOf } from './sql-events.ts';
import { compareInOrder, isAfter, isBefore, PLACE, placeOf } from './sql-order.ts';
import { broughtBy, isRemoval } from './sql-removals.ts';
import type { RolloutChange, RolloutStore } from './store.ts';

export type Row = Selectable<RolloutsTable>;

/** Milliseconds between two looks at a pull request, whoever tells of it: each costs requests of the forge's budget. */
const BETWEEN_LOOKS = 10_000;

export function createRolloutStore({ db, write, now, instance, changed }: SqlContext): RolloutStore {
  return {
    async claim(stage, limit, except) {
      let due = db
        .selectFrom('rollouts')
        .select('seq')
        .where('stage', '=', stage)
        .where('due_at', '<=', now())
        .where((e) => e.or([e('lease', 'is', null), e('lease', '<>', instance)]))
        .orderBy('due_at')
        .orderBy('seq')
        .limit(limit);
      if (except?.destinations?.length) due = due.where('destination', 'not in', except.destinations);
      for (const forge of except?.forges ?? []) due = due.where('repository', 'not like', `${forge}:%`);
      const rows = await db
        .updateTable('rollouts')
        .set({ lease: instance, hinted: 0 })
        .where('seq', 'in', due)
        .returningAll()
        .execute();
      return rows.sort(compareInOrder).map(rolloutOf);
    },

    async advance(id, change) {
      const at = now();
      const rollout = await write((trx) => advance(trx, at, id, change));
      changed();
      return rollout;
    },

    async lookAtPullRequests(destinations) {
      if (destinations.length === 0) return;
      let update = db
        .updateTable('rollouts')
        .set((e) => ({ due_at: notBefore(e, now()), hinted: 1 }))
        .where('stage', '=', 'deliver')
        .where('pull_request', 'is not', null);
      if (destinations !== 'all') update = update.where('destination', 'in', destinations);
      await update.execute();
      changed();
    },

    async tryAgain(destination) {
      await db
        .updateTable('rollouts')
        .set({ due_at: now() })
        .where('stage', '=', 'deliver')
        .where('destination', '=', destination)
        .where('attempts', '>', 0)
        .execute();
      changed();
    },

    async stillWanted(ids) {
      if (ids.length === 0) return new Set();
      const rows = await db
        .selectFrom('rollouts')
        .select('id')
        .where('id', 'in', ids)
        .where('stage', 'is not', null)
        .execute();
      return new Set(rows.map(({ id }) => id));
    },

    async get(id) {
      const row = await db.selectFrom('rollouts').selectAll().where('id', '=', id).executeTakeFirst();
      if (!row) return null;
      const transitions = await db
        .selectFrom('transitions')
        .select(['phase', 'message', 'at'])
        .where('rollout_id', '=', id)
        .orderBy('seq')
        .execute();
      return { ...rolloutOf(row), transitions };
    },

    broughtBy: (removal) => broughtBy(db, removal),

    async list(query) {
      let select = db.selectFrom('rollouts').selectAll();
      if (query.repository) select = select.where('repository', '=', query.repository);
      if (query.phase) select = select.where('phase', '=', query.phase);
      if (query.environment) select = select.where('environment', '=', query.environment);
      if (query.before) select = select.where('seq', '<', query.before);
      const rows = await select
        .orderBy('seq', 'desc')
        .limit(query.limit + 1)
        .execute();
      return pageOf(rows.map(rolloutOf), query.limit);
    },
  };
}

const notBefore = (e: ExpressionBuilder<Schema, 'rollouts'>, at: number) =>
  e
    .case()
    .when('updated_at', '>', at - BETWEEN_LOOKS)
    .then(e('updated_at', '+', BETWEEN_LOOKS))
    .else(at)
    .end();

async function advance(
  trx: Transaction<Schema>,
  at: number,
  id: string,
  change: RolloutChange,
): Promise<Rollout | null> {
  const stored = await trx.selectFrom('rollouts').selectAll().where('id', '=', id).executeTakeFirst();
  // One event that was told under two names of a repository is one rollout: the other is gone.
  if (!stored) return null;
  if (stored.stage === null) {
    if (change.receipt) {
      // Ended while its commit was on the way: the commit is a fact all the same.
      await trx
        .updateTable('rollouts')
        .set({ receipt: JSON.stringify(change.receipt), lease: null })
        .where('id', '=', id)
        .execute();
      // Who cancelled it must know that it came too late.
      if (stored.phase === 'cancelled' && change.message)
        await write(trx, at, stored, { message: `${stored.message}, too late: ${change.message}` });
    }
    return null;
  }
  if (!change.target) return rolloutOf(await write(trx, at, stored, change));

  const row = await placed(trx, stored, change.target);
  await refuseForeignTarget(trx, row, change.target);
  await refuseSharedTarget(trx, row, change.target, change.policyRevision ?? row.policy_revision);
  const newer = await sameTarget(trx, row.repository, change.target)
    .where(isAfter(row))
    // A removal, which alone has no manifest, ends only what its own ref has brought.
    .where((e) => e.or([e('manifest', 'is not', null), e('ref', '=', row.ref)]))
    // One that failed before its delivery supersedes nothing; what it delivered stays.
    .where((e) => e.or([e('phase', 'not in', ['failed', 'cancelled']), e('receipt', 'is not', null)]))
    .orderBy(PLACE, 'desc')
    .orderBy('seq', 'desc')
    .executeTakeFirst();
  if (newer) {
    await write(trx, at, row, { ...change, ...supersededBy(newer) });
    return null;
  }
  await endOlder(trx, at, row, change.target);
  return rolloutOf(await write(trx, at, row, change));
}

/** Ends what is under way to a target when a newer rollout has its plan. */
export async function endOlder(
  trx: Transaction<Schema>,
  at: number,
  row: Row,
  target: Target,
): Promise<void> {
  let underWay = sameTarget(trx, row.repository, target).where(isBefore(row)).where('stage', 'is not', null);
  if (row.stage === 'remove') underWay = underWay.where('ref', '=', row.ref);
  const older = await underWay.execute();
  for (const each of older) await write(trx, at, each, endedBy(each, row));
}

/**
 * A retry is for what went wrong, and takes back nothing that was deployed since then: whoever wants that says so by a
 * rollback, or by pushing the older version once more.
 * @returns the place of a retry: where a newer rollout has brought the same version, that is what it does again
 * @throws StalledError where a newer rollout has brought another version, or may still
 */
export async function placeOfRetry(trx: Transaction<Schema>, row: Row, target: Target): Promise<number> {
  const latest = await latestAfter(trx, row, target);
  if (!latest) return placeOf(row);
  if (isOther(latest, row)) throw overtaken(latest, target, 'retry');
  return placeOf(latest);
}

/** @returns a rollout with the place that it has among those of its target; only for a retry that may be a new one */
async function placed(trx: Transaction<Schema>, row: Row, target: Target): Promise<Row> {
  if (row.cause_kind !== 'retry') return row;
  const place = await placeOfRetry(trx, row, target);
  await trx.updateTable('rollouts').set({ place }).where('id', '=', row.id).execute();
  return { ...row, place };
}

/** @returns whether two rollouts of a target leave different versions there */
const isOther = (one: Row, other: Row): boolean =>
  one.sha !== other.sha || isRemoval(one) !== isRemoval(other);

/** @returns the newest rollout of a target after one that has put something there, or may still */
export const latestAfter = (
  trx: Transaction<Schema>,
  row: Pick<Row, 'repository' | 'seq' | 'place'>,
  target: Target,
): Promise<Row | undefined> =>
  sameTarget(trx, row.repository, target)
    .where(isAfter(row))
    .where((e) => e.or([e('receipt', 'is not', null), e('stage', 'is not', null)]))
    .orderBy(PLACE, 'desc')
    .orderBy('seq', 'desc')
    .limit(1)
    .executeTakeFirst();

/** @returns why a request comes too late: another version went to the target since then */
export function overtaken(latest: Row, target: Target, request: 'retry' | 'rollback'): StalledError {
  const place = formatTarget(target);
  const [is, was] = isRemoval(latest)
    ? [`removes ${place}`, `has removed ${place}`]
    : [`brings ${nameOf(latest)} to ${place}`, `has brought ${nameOf(latest)} to ${place}`];
  return new StalledError(
    `a newer rollout (${latest.id}) ${latest.stage === null ? was : is}`,
    request === 'retry' ? 'retry that one, or roll it back' : 'roll that one back',
  );
}

/** @returns a revision as people write it */
export const nameOf = ({ revision }: Pick<Row, 'revision'>): string =>
  isFullSha(revision) ? shortSha(revision) : revision;

/** Only a repository's own rollouts supersede each other: another repository's target is refused. */
export const sameTarget = (
  trx: Transaction<Schema>,
  repository: string,
  target: Target,
): SelectQueryBuilder<Schema, 'rollouts', Row> =>
  trx
    .selectFrom('rollouts')
    .selectAll()
    .where('repository', '=', repository)
    .where('cluster', '=', target.cluster)
    .where('namespace', '=', target.namespace)
    .where('name', '=', target.name);

const supersededBy = (newer: Row): RolloutChange => ({
  phase: 'superseded',
  stage: null,
  message: isRemoval(newer) ? `Superseded: ${newer.ref} was deleted` : `Superseded by ${nameOf(newer)}`,
});

/** What failed or serves already stays that: only nobody watches it on. */
const endedBy = (older: Row, newer: Row): RolloutChange =>
  older.phase === 'failed' || older.phase === 'ready' ? { stage: null } : supersededBy(newer);

/**
 * A target belongs to the repository that first deployed it, at whatever path (specification section 5), until that has
 * removed it and nothing of it is on its way there.
 */
async function refuseForeignTarget(trx: Transaction<Schema>, row: Row, target: Target): Promise<void> {
  const others = await trx
    .selectFrom('rollouts')
    .select('repository')
    .where('cluster', '=', target.cluster)
    .where('namespace', '=', target.namespace)
    .where('name', '=', target.name)
    .where('repository', '<>', row.repository)
    .groupBy('repository')
    .orderBy((e) => e.fn.min('seq'))
    .execute();
  for (const { repository } of others)
    if (await holds(trx, repository, target)) throw belongsTo(repository, row, target);
}

/** @returns whether something of a repository is at a target, or on its way there */
async function holds(trx: Transaction<Schema>, repository: string, target: Target): Promise<boolean> {
  const there = sameTarget(trx, repository, target).limit(1);
  if (await there.where('stage', 'is not', null).executeTakeFirst()) return true;
  const newest = await there
    .where('receipt', 'is not', null)
    .orderBy(PLACE, 'desc')
    .orderBy('seq', 'desc')
    .executeTakeFirst();
  return newest !== undefined && !isRemoval(newest);
}

const belongsTo = (owner: string, { repository, policy }: Row, target: Target): StalledError =>
  new StalledError(
    `${formatTarget(target)} belongs to ${owner}, which deployed it first; ${repository} cannot take it`,
    `give policy "${policy}" another target.name or target.namespace for ${repository}`,
  );

/**
 * Two policies that claim one target for one event cannot both be right (specification section 5). The one that has its
 * plan second is refused, whichever that is; and a retry of it too, until the policies are others.
 */
async function refuseSharedTarget(
  trx: Transaction<Schema>,
  row: Row,
  target: Target,
  policyRevision: string,
): Promise<void> {
  const other = await sameTarget(trx, row.repository, target)
    .where((e) =>
      e.or([
        e('cause_of', '=', row.cause_of),
        e.and([e('event_id', '=', row.event_id), e('policy_revision', '=', policyRevision)]),
      ]),
    )
    .where('policy', '<>', row.policy)
    .orderBy('seq')
    .executeTakeFirst();
  if (!other) return;
  throw new StalledError(
    `policies "${other.policy}" and "${row.policy}" both deploy ${row.ref} to ${formatTarget(target)}`,
    `give "${row.policy}" another target, or let only one of them match`,
  );
}

/** Writes a change, its line in the timeline, and what is to be reported. */
export async function write(
  trx: Transaction<Schema>,
  at: number,
  row: Row,
  change: RolloutChange,
): Promise<Row> {
  const { target, plan, receipt, pullRequest, endpoints, observation, ...others } = change;
  const { dueAt, waitingSince, policyRevision, quiet, keepLease, ...same } = others;
  const ends = change.stage === null;
  const updated = await trx
    .updateTable('rollouts')
    .set({
      ...same,
      ...target,
      ...(plan && { plan: JSON.stringify(plan) }),
      ...(plan && target && { destination: destinationOf(plan, target) }),
      ...(receipt && { receipt: JSON.stringify(receipt) }),
      ...(pullRequest && { pull_request: JSON.stringify(pullRequest) }),
      ...(endpoints && { endpoint_internal: endpoints.internal, endpoint_external: endpoints.external }),
      ...(observation && { observation: JSON.stringify(observation) }),
      ...(waitingSince !== undefined && { waiting_since: waitingSince }),
      ...(policyRevision !== undefined && { policy_revision: policyRevision }),
      ...(ends && { finished_at: at }),
      // What somebody told about since the claim is looked at again soon.
      due_at: row.hinted === 1 ? at + BETWEEN_LOOKS : (dueAt ?? at),
      updated_at: at,
      lease: keepLease && !ends ? row.lease : null,
    })
    .where('id', '=', row.id)
    .returningAll()
    .executeTakeFirstOrThrow();
  const tells = updated.phase !== row.phase || updated.message !== row.message;
  if (tells) {
    const { phase, message } = updated;
    await trx.insertInto('transitions').values({ rollout_id: row.id, phase, message, at }).execute();
  }
  // A rollout is reported from its plan on: only then is the commit known that its ref really points to.
  if ((tells && !quiet) || plan) await report(trx, at, updated);
  return updated;
}

/** Makes the status of a commit and context due, unless a newer rollout speaks for it. */
export async function report(trx: Transaction<Schema>, at: number, row: Row): Promise<void> {
  const spoken = { rollout_id: row.id, rollout_seq: row.seq, due_at: at, attempts: 0 };
  await trx
    .insertInto('reports')
    .values({
      id: randomUUID(),
      repository: row.repository,
      sha: row.sha,
      context: statusContext(row.environment),
      version: 1,
      uncertain: 0,
      ...spoken,
    })
    .onConflict((conflict) =>
      conflict
        .columns(['repository', 'sha', 'context'])
        .doUpdateSet((e) => ({ ...spoken, version: e('reports.version', '+', 1) }))
        .where('reports.rollout_seq', '<=', row.seq),
    )
    .execute();
}

export function rolloutOf(row: Row): Rollout {
  const { cluster, namespace, name } = row;
  return {
    id: row.id,
    seq: row.seq,
    eventId: row.event_id,
    cause: { kind: row.cause_kind, of: row.cause_of },
    repository: row.repository,
    projectId: row.project_id,
    ref: row.ref,
    revision: row.revision,
    sha: row.sha,
    policy: row.policy,
    policyRevision: row.policy_revision,
    environment: row.environment,
    target: cluster === null || namespace === null || name === null ? null : { cluster, namespace, name },
    phase: row.phase,
    stage: row.stage,
    message: row.message,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    finishedAt: row.finished_at,
    // Plans of before there was observing say nothing of readiness.
    plan: row.plan === null ? null : { readiness: null, ...JSON.parse(row.plan) },
    manifest: row.manifest,
    receipt: row.receipt === null ? null : JSON.parse(row.receipt),
    pullRequest: row.pull_request === null ? null : JSON.parse(row.pull_request),
    endpoints: { internal: row.endpoint_internal, external: row.endpoint_external },
    observation: row.observation === null ? null : JSON.parse(row.observation),
    attempts: row.attempts,
    waitingSince: row.waiting_since,
  };
}
