/** What a change of the policies is judged by, and the rollouts that it makes. */
import { type Kysely, type Selectable, sql, type Transaction } from 'kysely';
import type { Deployed } from '../core/deployed.ts';
import { readManaged } from '../core/inference-service.ts';
import type { DeploymentMode } from '../core/kserve.ts';
import { formatTarget, type Observation, type PlanSummary, type Target } from '../core/rollout.ts';
import type { RolloutsTable, Schema } from './schema.ts';
import { begin } from './sql-begin.ts';
import type { SqlContext } from './sql-context.ts';
import { factOf, setFact } from './sql-facts.ts';
import { dropUnusedCatalogues, readInputs } from './sql-inputs.ts';
import { PLACE, placeInOrder } from './sql-order.ts';
import { beginRevision, begunRevision } from './sql-outdated.ts';
import { isRemoval } from './sql-removals.ts';
import { latestAfter } from './sql-supersede.ts';
import { giveRoom, OTHERS_FIRST } from './sql-waves.ts';
import type { PolicyChangeStore, PolicyProgress, PolicyRollout } from './store.ts';

type Row = Selectable<RolloutsTable>;

/** The revision whose merge made its rollouts last. */
const CARRIED_OUT = 'policies/carried-out';
/** The one carried out last, where what it changes could not be told; else empty. */
const UNCOMPARED = 'policies/uncompared';

export function createPolicyChangeStore({ db, write, now, changed }: SqlContext): PolicyChangeStore {
  return {
    deployed: () => deployed(db),

    async knownRefs() {
      const rows = await db
        .selectFrom('refs')
        .select(['repository', 'ref', 'sha'])
        .where('sha', 'is not', null)
        .execute();
      return rows.flatMap(({ repository, ref, sha }) => (sha === null ? [] : [{ repository, ref, sha }]));
    },

    begun: () => begunRevision(db),
    begin: (revision) => write((trx) => beginRevision(trx, revision)),
    carriedOut: () => factOf(db, CARRIED_OUT),

    async carryOut({ from, revision, rollouts, uncompared = false, room }) {
      const at = now();
      const made = await write(async (trx) => {
        let free = await giveRoom(trx, at, room);
        // Done already, also by a try whose end nobody saw.
        if (from === revision || (await factOf(trx, CARRIED_OUT)) !== from) return 0;
        await setFact(trx, CARRIED_OUT, revision);
        await setFact(trx, UNCOMPARED, uncompared ? revision : '');
        let begun = 0;
        for (const each of rollouts) {
          if (!(await insert(trx, at, revision, each, free > 0))) continue;
          begun += 1;
          free -= 1;
        }
        await dropUnusedCatalogues(trx);
        return begun;
      });
      changed();
      return made;
    },

    progress: (revision) => progress(db, revision),
  };
}

/** By place, as `isAfter` of sql-order.ts. */
const IS_NEWER = sql<boolean>`(coalesce(newer.place, newer.seq), newer.seq) > (coalesce(rollouts.place, rollouts.seq), rollouts.seq)`;

async function deployed(db: Kysely<Schema>): Promise<Deployed[]> {
  const rows = await db
    .selectFrom('rollouts')
    .selectAll()
    .where('inputs', 'is not', null)
    .where('manifest', 'is not', null)
    .where((e) => e.or([e('receipt', 'is not', null), e('stage', 'is not', null)]))
    .where((e) =>
      e.not(
        e.exists(
          e
            .selectFrom('rollouts as newer')
            .select('newer.seq')
            .whereRef('newer.cluster', '=', 'rollouts.cluster')
            .whereRef('newer.namespace', '=', 'rollouts.namespace')
            .whereRef('newer.name', '=', 'rollouts.name')
            .whereRef('newer.repository', '=', 'rollouts.repository')
            .where(IS_NEWER)
            .where((n) => n.or([n('newer.receipt', 'is not', null), n('newer.stage', 'is not', null)])),
        ),
      ),
    )
    .orderBy('seq')
    .execute();
  const inputs = await readInputs(
    db,
    rows.flatMap((row) => row.inputs ?? []),
  );
  const found = rows.map(async (row, index): Promise<Deployed[]> => {
    const target = targetOf(row);
    const its = inputs[index];
    if (!target || !its) return [];
    const { id: rolloutId, repository, ref, sha, policy } = row;
    const waits = isPlannedAnew(row);
    // What is about to be delivered counts as there: it is not planned by other policies any more.
    const there = waits ? await lastDelivered(db, row) : row;
    const delivery = deliveryOf(there ?? row);
    const [mode, manifest] = there ? [modeOf(there), there.manifest] : [null, null];
    return [
      { rolloutId, repository, ref, sha, policy, target, delivery, mode, manifest, waits, inputs: its },
    ];
  });
  return (await Promise.all(found)).flat();
}

/** Its plan is stored all the same, as one that waits for its suspended policy has it. */
const isPlannedAnew = ({ stage, receipt }: Row): boolean =>
  receipt === null && (stage === 'resolve' || stage === 'wave');

/** @returns what has put the manifest at a rollout's target that is there; undefined: none is, or it was removed */
async function lastDelivered(db: Kysely<Schema>, row: Row): Promise<Row | undefined> {
  const { repository, cluster, namespace, name } = row;
  const newest = await db
    .selectFrom('rollouts')
    .selectAll()
    .where('repository', '=', repository)
    .where('cluster', '=', cluster)
    .where('namespace', '=', namespace)
    .where('name', '=', name)
    .where('receipt', 'is not', null)
    .orderBy(PLACE, 'desc')
    .orderBy('seq', 'desc')
    .limit(1)
    .executeTakeFirst();
  return newest?.manifest ? newest : undefined;
}

const targetOf = ({ cluster, namespace, name }: Row): Target | null =>
  cluster === null || namespace === null || name === null ? null : { cluster, namespace, name };

function deliveryOf({ plan }: Pick<Row, 'plan'>): Pick<PlanSummary, 'gitops' | 'path'> | null {
  if (plan === null) return null;
  const { gitops, path } = JSON.parse(plan) as PlanSummary;
  return { gitops, path };
}

/** The mode a service exists in, which another policy does not change. */
function modeOf({ observation, manifest }: Pick<Row, 'observation' | 'manifest'>): DeploymentMode | null {
  if (observation !== null) return (JSON.parse(observation) as Observation).mode;
  return manifest === null ? null : readManaged(manifest).deploymentMode;
}

/**
 * Its place is that of the rollout whose commit it deploys again: what was pushed since then counts after it.
 * @returns whether it has begun; not where the target has something of this revision by now, or is removed
 * @throws Error where something else came to the target since it was looked at: it is to be looked at again
 */
async function insert(
  trx: Transaction<Schema>,
  at: number,
  revision: string,
  { rolloutId, policy, environment }: PolicyRollout,
  goes: boolean,
): Promise<boolean> {
  const of = await trx.selectFrom('rollouts').selectAll().where('id', '=', rolloutId).executeTakeFirst();
  const target = of && targetOf(of);
  if (!target) return false;
  const latest = await latestAfter(trx, of, target);
  if (latest && (latest.policy_revision === revision || isRemoval(latest))) return false;
  if (latest) throw new Error(`rollout ${latest.id} came to ${formatTarget(target)} meanwhile`);
  const { repository, project_id, ref, sha } = of;
  await begin(
    trx,
    at,
    {
      ...{ repository, project_id, ref, revision: of.revision, sha },
      ...{ event_id: null, cause_kind: 'policy', cause_of: revision },
      ...{ policy, policy_revision: revision, environment, place: placeInOrder(of) },
      stage: goes ? 'resolve' : 'wave',
    },
    goes ? '' : OTHERS_FIRST,
  );
  return true;
}

async function progress(db: Kysely<Schema>, revision: string): Promise<PolicyProgress> {
  const uncompared = (await factOf(db, UNCOMPARED)) === revision;
  const rows = await db
    .selectFrom('rollouts')
    .select(['phase', 'stage', 'message', 'namespace', 'name', 'repository'])
    .where('cause_kind', '=', 'policy')
    .where('cause_of', '=', revision)
    .orderBy('seq')
    .execute();
  const isUnderWay = ({ phase, stage }: (typeof rows)[number]) =>
    stage !== null && (phase === 'pending' || phase === 'delivered');
  const failed = rows.filter(({ phase }) => phase === 'failed');
  const [first] = failed;
  return {
    uncompared,
    total: rows.length,
    underWay: rows.filter(isUnderWay).length,
    failed: failed.length,
    dropped: rows.filter(({ phase }) => phase === 'superseded' || phase === 'cancelled').length,
    firstFailure: first ? `${first.name ?? first.repository}: ${first.message}` : null,
  };
}
