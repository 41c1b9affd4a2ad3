/** How many rollouts of changes of the policies are under way at once, of all changes together. */
import { type Selectable, sql, type Transaction } from 'kysely';
import type { RolloutsTable, Schema } from './schema.ts';
import { factOf, setFact } from './sql-facts.ts';
import { headChanged } from './sql-reviews.ts';

type Row = Selectable<RolloutsTable>;
type Trx = Transaction<Schema>;

/** How many may be: a fact, for whoever ends a rollout lets the next go. */
const ROOM = 'policies/room';
/**
 * How long one that waits for a forge or a cluster keeps its place, in milliseconds. A short outage must not let all
 * others go, which would then be delivered at once; a long one must not hold them up.
 */
const PATIENCE = 5 * 60_000;

/** Put after the message of one that waits. */
export const OTHERS_FIRST = ': others of a change of the policies go first';

/** Stores how many may be under way at once from now on. @returns how many more may go now, once those that wait have gone */
export async function giveRoom(trx: Trx, at: number, room: number): Promise<number> {
  await setFact(trx, ROOM, String(room));
  await letGo(trx, at);
  return placesLeft(trx, at);
}

/** A rollout that a change of the policies has made is in another state: others may go, and the status counts anew. */
export async function policyRolloutMoved(trx: Trx, at: number, before: Row, after: Row): Promise<void> {
  await letGo(trx, at);
  if (before.phase === after.phase && before.stage === after.stage) return;
  const head = after.cause_of;
  await headChanged(trx, at, head, !(await isUnderWay(trx, head)));
}

/** @returns whether a rollout that a change has made may still get on */
async function isUnderWay(trx: Trx, revision: string): Promise<boolean> {
  const row = await trx
    .selectFrom('rollouts')
    .select('id')
    .where('cause_kind', '=', 'policy')
    .where('cause_of', '=', revision)
    .where('stage', 'is not', null)
    .where('phase', 'in', ['pending', 'delivered'])
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

/** Lets as many go of those that wait for others as there are places, the oldest change first. */
async function letGo(trx: Trx, at: number): Promise<void> {
  const waiting = trx.selectFrom('rollouts').select('id').where('stage', '=', 'wave');
  if (!(await waiting.limit(1).executeTakeFirst())) return;
  const free = await placesLeft(trx, at);
  if (free <= 0) return;
  await trx
    .updateTable('rollouts')
    .set({ stage: 'resolve', due_at: at })
    .where('id', 'in', waiting.orderBy('seq').limit(free))
    .execute();
}

async function placesLeft(trx: Trx, at: number): Promise<number> {
  const room = Number((await factOf(trx, ROOM)) ?? 0);
  const { taken } = await trx
    .selectFrom('rollouts')
    .select((e) => e.fn.countAll<number>().as('taken'))
    .where('stage', 'in', ['resolve', 'deliver', 'observe'])
    .where('cause_kind', '=', 'policy')
    .where('phase', 'in', ['pending', 'delivered'])
    .where((e) => e.not(waits(at)))
    .executeTakeFirstOrThrow();
  return room - Number(taken);
}

/**
 * Waits for its suspended policy, for people who merge its pull request, or for long for what is out of reach. The last line
 * of a timeline is as old as what it says.
 */
const waits = (at: number) => sql<boolean>`(
  (stage = 'deliver' and pull_request is not null)
  or (stage = 'resolve' and due_at > ${at} and plan is not null)
  or (stage <> 'observe' and due_at > ${at} and ${at - PATIENCE} >=
    coalesce(waiting_since, (select max(line.at) from transitions as line where line.rollout_id = rollouts.id)))
)`;
