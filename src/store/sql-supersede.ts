/** Which rollout of a target counts, and which are refused it: what a newer one ends, and what comes too late. */
import type { Selectable, SelectQueryBuilder, Transaction } from 'kysely';
import { StalledError } from '../core/errors.ts';
import { isFullSha, shortSha } from '../core/ref-event.ts';
import { formatTarget, type Target } from '../core/rollout.ts';
import type { RolloutsTable, Schema } from './schema.ts';
import { isAfter, isBefore, PLACE, placeInOrder } from './sql-order.ts';
import { isRemoval } from './sql-removals.ts';
import type { RolloutChange } from './store.ts';

type Row = Selectable<RolloutsTable>;

/** @returns the newest rollout of a target that counts after one which has its plan only now, and ends that */
export const newerThan = (trx: Transaction<Schema>, row: Row, target: Target): Promise<Row | undefined> =>
  sameTarget(trx, row.repository, target)
    .where(isAfter(row))
    // A removal, which alone has no manifest, ends only what its own ref has brought.
    .where((e) => e.or([e('manifest', 'is not', null), e('ref', '=', row.ref)]))
    // One that failed before its delivery supersedes nothing; what it delivered stays.
    .where((e) => e.or([e('phase', 'not in', ['failed', 'cancelled']), e('receipt', 'is not', null)]))
    .orderBy(PLACE, 'desc')
    .orderBy('seq', 'desc')
    .executeTakeFirst();

/**
 * What ends for a newer rollout: with its plan what has not been delivered, and with its delivery also what is watched. Until
 * then that is what is there, and a newer one that is refused takes nothing of it back.
 */
export const underWayBefore = (
  trx: Transaction<Schema>,
  row: Row,
  target: Target,
  which: 'not delivered' | 'all',
): Promise<Row[]> => {
  let underWay = sameTarget(trx, row.repository, target).where(isBefore(row)).where('stage', 'is not', null);
  if (which === 'not delivered') underWay = underWay.where('receipt', 'is', null);
  return (isForRef(row) ? underWay.where('ref', '=', row.ref) : underWay).execute();
};

/** A removal ends only what its own ref has brought. */
const isForRef = (row: Row): boolean => row.stage === 'remove' || isRemoval(row);

/**
 * A retry is for what went wrong, and takes back nothing that was deployed since then: whoever wants that says so by a
 * rollback, or by pushing the older version once more.
 * @returns the place of a retry: where a newer rollout has brought the same version, that is what it does again
 * @throws StalledError where a newer rollout has brought another version, or may still
 */
export async function placeOfRetry(trx: Transaction<Schema>, row: Row, target: Target): Promise<number> {
  const latest = await latestAfter(trx, row, target);
  if (!latest) return placeInOrder(row);
  if (isOther(latest, row)) throw overtaken(latest, target, 'retry');
  return placeInOrder(latest);
}

/** @returns whether two rollouts of a target leave different versions there */
const isOther = (one: Row, other: Row): boolean =>
  one.sha !== other.sha || isRemoval(one) !== isRemoval(other);

/**
 * @param except a rollout that does not count
 * @returns the newest rollout of a target after one that has put something there, or may still
 */
export const latestAfter = (
  trx: Transaction<Schema>,
  row: Pick<Row, 'repository' | 'seq' | 'place'>,
  target: Target,
  except = '',
): Promise<Row | undefined> =>
  sameTarget(trx, row.repository, target)
    .where(isAfter(row))
    .where('id', '<>', except)
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

export const supersededBy = (older: Row, newer: Row): RolloutChange => ({
  phase: 'superseded',
  stage: null,
  message: `Superseded${whatSupersedes(older, newer)}`,
});

function whatSupersedes(older: Row, newer: Row): string {
  if (isRemoval(newer)) return `: ${newer.ref} was deleted`;
  const isSame = older.ref === newer.ref && older.sha === newer.sha;
  return isSame && newer.cause_kind === 'policy'
    ? ` by a rollout of the policies at ${shortSha(newer.cause_of)}`
    : ` by ${nameOf(newer)}`;
}

/** What failed or serves already stays that: only nobody watches it on. */
export const endedBy = (older: Row, newer: Row): RolloutChange =>
  older.phase === 'failed' || older.phase === 'ready' ? { stage: null } : supersededBy(older, newer);

/**
 * A target belongs to the repository that first deployed it, at whatever path (specification section 5), until that has
 * removed it and nothing of it is on its way there.
 */
export async function refuseForeignTarget(trx: Transaction<Schema>, row: Row, target: Target): Promise<void> {
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
export async function refuseSharedTarget(
  trx: Transaction<Schema>,
  row: Row,
  target: Target,
  policyRevision: string,
): Promise<void> {
  const other = await sameTarget(trx, row.repository, target)
    .where((e) =>
      e.or([
        // A replay has the cause of the rollouts before it, and may be for a policy that has taken the place of theirs.
        e.and([e('cause_of', '=', row.cause_of), e('created_at', '=', row.created_at)]),
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
