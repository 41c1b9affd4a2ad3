/** What people ask for: to try a rollout again, to end it, to take it back, or to deploy without a push, or long after it. */
import type { Transaction } from 'kysely';
import { StalledError } from '../core/errors.ts';
import { revisionOf } from '../core/ref-event.ts';
import { formatTarget, type PlanSummary } from '../core/rollout.ts';
import type { Schema } from './schema.ts';
import { begin } from './sql-begin.ts';
import type { SqlContext } from './sql-context.ts';
import { isBefore, PLACE, placeInOrder } from './sql-order.ts';
import { isForDeletion, targetOf } from './sql-removals.ts';
import { replay } from './sql-replay.ts';
import { endOlder, type Row, report, rolloutOf, write } from './sql-rollouts.ts';
import { latestAfter, nameOf, overtaken, placeOfRetry, sameTarget } from './sql-supersede.ts';
import type { CommandDraft, RequestStore } from './store.ts';

type Trx = Transaction<Schema>;

export function createRequestStore(context: SqlContext): RequestStore {
  const { now, changed } = context;

  /** Answers a request about a rollout in one transaction. */
  async function answer(id: string, work: (trx: Trx, row: Row, at: number) => Promise<Row>) {
    const at = now();
    const rollout = await context.write(async (trx) => {
      const row = await trx.selectFrom('rollouts').selectAll().where('id', '=', id).executeTakeFirst();
      return row ? rolloutOf(await work(trx, row, at)) : null;
    });
    if (rollout) changed();
    return rollout;
  }

  return {
    retry: (id) => answer(id, retry),
    cancel: (id, by) => answer(id, (trx, row, at) => cancel(trx, row, at, by)),
    rollback: (id) => answer(id, rollback),
    async replay(draft) {
      const at = now();
      const rows = await context.write((trx) => replay(trx, draft, at));
      if (rows) changed();
      return rows?.map(rolloutOf) ?? null;
    },
    async command(draft) {
      const at = now();
      const rows = await context.write((trx) => command(trx, draft, at));
      changed();
      return rows.map(rolloutOf);
    },
  };
}

async function retry(trx: Trx, row: Row, at: number): Promise<Row> {
  // What has failed may be watched on, and is tried again all the same.
  if (row.stage !== null && row.phase !== 'failed')
    throw new StalledError(
      `this rollout is under way: ${row.message}`,
      'wait until it ends, or cancel it first',
    );
  const underWay = await trx
    .selectFrom('rollouts')
    .select('id')
    .where('repository', '=', row.repository)
    .where('seq', '>', row.seq)
    .where('cause_of', '=', row.id)
    .where('stage', 'is not', null)
    .executeTakeFirst();
  if (underWay)
    throw new StalledError(`rollout ${underWay.id} does that already`, 'wait until that one ends');
  const target = targetOf(row);
  const place = target ? await placeOfRetry(trx, row, target) : placeInOrder(row);
  // A removal that is tried again must not deploy.
  const stage = (await isForDeletion(trx, row)) ? 'remove' : 'resolve';
  return begin(trx, at, { ...copyOf(row), cause_kind: 'retry', cause_of: row.id, place, stage });
}

async function cancel(trx: Trx, row: Row, at: number, by: string): Promise<Row> {
  if (row.phase !== 'pending' && row.phase !== 'delivered')
    throw new StalledError(`this rollout is ${row.phase} already: ${row.message}`, doneInstead(row));
  if (row.stage === null)
    throw new StalledError(`this rollout has ended already: ${row.message}`, doneInstead(row));
  const stays = row.phase === 'delivered' ? '; what was delivered stays' : '';
  await write(trx, at, row, {
    phase: 'cancelled',
    stage: null,
    message: `Cancelled by ${by}${stays}`,
    // What a removal would have taken away serves on, and its commit says so.
    quiet: row.stage === 'remove',
  });
  return row;
}

const doneInstead = ({ receipt }: Row): string =>
  receipt === null ? 'nothing is to be cancelled' : 'roll it back to have what was there before';

async function rollback(trx: Trx, row: Row, at: number): Promise<Row> {
  const target = targetOf(row);
  if (target === null || row.receipt === null || row.plan === null)
    throw new StalledError(
      'this rollout has delivered nothing that could be taken back',
      row.stage === null ? 'roll back the one that did' : 'cancel it instead',
    );
  const newest = await latestAfter(trx, row, target);
  // What waits for its suspended policy has put nothing there, and goes on after this.
  const isHeld = newest?.stage === 'resolve' || newest?.stage === 'wave';
  const latest = isHeld ? await latestAfter(trx, row, target, newest.id) : newest;
  if (latest) throw overtaken(latest, target, 'rollback');
  const before = await sameTarget(trx, row.repository, target)
    .where(isBefore(row))
    .where('manifest', 'is not', null)
    .where('manifest', 'is distinct from', row.manifest)
    .where((e) =>
      e.or([e('phase', '=', 'ready'), e.and([e('phase', '=', 'delivered'), e('stage', 'is', null)])]),
    )
    .orderBy(PLACE, 'desc')
    .orderBy('seq', 'desc')
    .limit(1)
    .executeTakeFirst();
  if (!before?.plan)
    throw new StalledError(
      `nothing else has served at ${formatTarget(target)} before ${nameOf(row)}`,
      'push the version that should be there',
    );
  const plan = planOfRollback(JSON.parse(row.plan), JSON.parse(before.plan));
  const { manifest, inputs } = before;
  const delivers = { ...target, manifest, inputs, plan: JSON.stringify(plan) };
  // What was pushed since the rollout that is taken back counts after this, whenever it has its plan.
  const place = { place: placeInOrder(row), destination: row.destination };
  const cause = { cause_kind: 'rollback' as const, cause_of: row.id };
  const made = await begin(trx, at, {
    ...copyOf(before),
    ...delivers,
    ...place,
    ...cause,
    stage: 'deliver',
  });
  await endOlder(trx, at, made, target, 'not delivered');
  await report(trx, at, made);
  return made;
}

/** An earlier manifest goes where, and how, its target is delivered now; policies may have changed that since then. */
function planOfRollback({ removes: _, ...now }: PlanSummary, before: PlanSummary): PlanSummary {
  // The modes are the manifest's.
  const { modes, why, decisions, warnings } = before;
  return { ...now, modes, why, decisions, warnings };
}

async function command(trx: Trx, asked: CommandDraft, at: number): Promise<Row[]> {
  const { repository, ref, sha } = asked;
  const rows: Row[] = [];
  for (const { policy, environment } of asked.drafts)
    rows.push(
      await begin(trx, at, {
        event_id: null,
        cause_kind: 'command',
        cause_of: asked.command,
        repository,
        project_id: asked.projectId,
        ref,
        revision: revisionOf(ref, sha),
        sha,
        policy,
        policy_revision: asked.policyRevision,
        environment,
        stage: 'resolve',
      }),
    );
  return rows;
}

/** What a rollout has in common with one that does the same again. */
const copyOf = (row: Row) => ({
  event_id: row.event_id,
  repository: row.repository,
  project_id: row.project_id,
  ref: row.ref,
  revision: row.revision,
  sha: row.sha,
  policy: row.policy,
  policy_revision: row.policy_revision,
  environment: row.environment,
});
