import { randomUUID } from 'node:crypto';
import type { ExpressionBuilder, Selectable, Transaction, Updateable } from 'kysely';
import { destinationOf, type Rollout, statusContext, type Target } from '../core/rollout.ts';
import type { RolloutsTable, Schema } from './schema.ts';
import type { SqlContext } from './sql-context.ts';
import { pageOf } from './sql-events.ts';
import { keepInputs } from './sql-inputs.ts';
import { compareInOrder } from './sql-order.ts';
import { isOutdated } from './sql-outdated.ts';
import { broughtBy, targetOf } from './sql-removals.ts';
import {
  endedBy,
  newerThan,
  placeOfRetry,
  refuseForeignTarget,
  refuseSharedTarget,
  supersededBy,
  underWayBefore,
} from './sql-supersede.ts';
import { OTHERS_FIRST, policyRolloutMoved } from './sql-waves.ts';
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

    async lookAgain(suspended) {
      const at = now();
      await write((trx) => lookAgain(trx, at, suspended));
      changed();
    },

    async tryAgain(destination, namespace) {
      const at = now();
      let update = db
        .updateTable('rollouts')
        .set({ due_at: at })
        .where('stage', '=', 'deliver')
        .where('destination', '=', destination)
        // What waits for people's merges waits for nothing else.
        .where('pull_request', 'is', null)
        .where('due_at', '>', at);
      if (namespace !== null) update = update.where('namespace', '=', namespace);
      await update.execute();
      changed();
    },

    async takeOver(ids) {
      if (ids.length === 0) return new Set();
      const at = now();
      const wanted = await write((trx) => takeOver(trx, at, ids));
      changed();
      return wanted;
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

async function lookAgain(trx: Transaction<Schema>, at: number, suspended: readonly string[]): Promise<void> {
  const waiting = await trx
    .selectFrom('rollouts')
    .selectAll()
    .where('stage', 'in', ['resolve', 'remove'])
    .where('due_at', '>', at)
    .where('waiting_since', 'is', null)
    .orderBy('seq')
    .execute();
  const held = new Set(suspended);
  for (const row of waiting.filter(({ policy }) => !held.has(policy))) {
    // Many are lifted at once with their policy: more than may be under way.
    if (row.cause_kind === 'policy' && row.plan !== null)
      await write(trx, at, row, { stage: 'wave', message: `Queued for ${row.environment}${OTHERS_FIRST}` });
    else await trx.updateTable('rollouts').set({ due_at: at }).where('id', '=', row.id).execute();
  }
}

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
      // Ended while it was on the way: what was delivered is a fact all the same.
      const { receipt, manifest } = change;
      await trx
        .updateTable('rollouts')
        .set({ receipt: JSON.stringify(receipt), ...(manifest !== undefined && { manifest }), lease: null })
        .where('id', '=', id)
        .execute();
      // Who cancelled it must know that it came too late.
      if (stored.phase === 'cancelled' && change.message)
        await write(trx, at, stored, { message: `${stored.message}, too late: ${change.message}` });
    }
    return null;
  }
  if (await isOutdated(trx, change))
    return rolloutOf(await write(trx, at, stored, { stage: 'resolve', dueAt: at }));
  if (!change.target) {
    const place = targetOf(stored);
    if (change.receipt && place) await endOlder(trx, at, stored, place, 'all');
    return rolloutOf(await write(trx, at, stored, change));
  }

  const row = await placed(trx, stored, change.target);
  await refuseForeignTarget(trx, row, change.target);
  await refuseSharedTarget(trx, row, change.target, change.policyRevision ?? row.policy_revision);
  const newer = await newerThan(trx, row, change.target);
  if (newer) {
    await write(trx, at, row, { ...change, ...supersededBy(row, newer) });
    return null;
  }
  await endOlder(trx, at, row, change.target, 'not delivered');
  return rolloutOf(await write(trx, at, row, change));
}

async function takeOver(trx: Transaction<Schema>, at: number, ids: readonly string[]): Promise<Set<string>> {
  const rows = await trx
    .selectFrom('rollouts')
    .selectAll()
    .where('id', 'in', ids)
    .where('stage', 'is not', null)
    .execute();
  for (const row of rows) {
    const target = targetOf(row);
    if (target) await endOlder(trx, at, row, target, 'all');
  }
  return new Set(rows.map(({ id }) => id));
}

/** @returns a rollout with the place that it has among those of its target; only for a retry that may be a new one */
async function placed(trx: Transaction<Schema>, row: Row, target: Target): Promise<Row> {
  if (row.cause_kind !== 'retry') return row;
  const place = await placeOfRetry(trx, row, target);
  await trx.updateTable('rollouts').set({ place }).where('id', '=', row.id).execute();
  return { ...row, place };
}

/** Ends what is under way to a target for a newer rollout. */
export async function endOlder(
  trx: Transaction<Schema>,
  at: number,
  row: Row,
  target: Target,
  which: Parameters<typeof underWayBefore>[3],
): Promise<void> {
  for (const each of await underWayBefore(trx, row, target, which))
    await write(trx, at, each, endedBy(each, row));
}

/** Writes a change, its line in the timeline, and what is to be reported. */
export async function write(
  trx: Transaction<Schema>,
  at: number,
  row: Row,
  change: RolloutChange,
): Promise<Row> {
  const { inputs, quiet, plan } = change;
  const updated = await trx
    .updateTable('rollouts')
    .set({
      ...columnsOf(at, row, change),
      ...(inputs && { inputs: await keepInputs(trx, inputs) }),
    })
    .where('id', '=', row.id)
    .returningAll()
    .executeTakeFirstOrThrow();
  const tells = updated.phase !== row.phase || updated.message !== row.message;
  if (tells) {
    const { phase, message } = updated;
    await trx.insertInto('transitions').values({ rollout_id: row.id, phase, message, at }).execute();
  }
  if (row.cause_kind === 'policy') await policyRolloutMoved(trx, at, row, updated);
  // A rollout is reported from its plan on: only then is the commit known that its ref really points to.
  if ((tells && !quiet) || plan) await report(trx, at, updated);
  return updated;
}

function columnsOf(at: number, row: Row, change: RolloutChange): Updateable<RolloutsTable> {
  const { target, plan, inputs: _, receipt, pullRequest, endpoints, observation, ...others } = change;
  const { dueAt, waitingSince, policyRevision, quiet: __, plannedAfter: ___, keepLease, ...same } = others;
  const ends = change.stage === null;
  return {
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
  };
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
