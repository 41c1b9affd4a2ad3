/** Heads of the config repository that are examined before, or while, they come into force. */
import { randomUUID } from 'node:crypto';
import { type Selectable, sql, type Transaction } from 'kysely';
import type { ReviewsTable, Schema } from './schema.ts';
import type { SqlContext } from './sql-context.ts';
import type { Review, ReviewDraft, ReviewStore } from './store.ts';

/** A report may have half a megabyte, and there may be hundreds. */
type Row = Omit<Selectable<ReviewsTable>, 'text'>;
const WITHOUT_TEXT = [
  ...['id', 'subject', 'number', 'label', 'url', 'head', 'head_ref', 'status_ref'],
  ...['version', 'outcome', 'took', 'attempts', 'due_at', 'lease'],
] as const satisfies readonly (keyof Row)[];

/** A head of the branch whose policies come into force is named by its commit too, and no ref has a space in it. */
const IS_OWN = sql<boolean>`number is null and subject like '% %'`;

/**
 * Milliseconds between two statuses that say how far the rollouts of a commit are. GitHub takes 1,000 for a commit and
 * context, and a change may have more rollouts.
 */
const PACE = 30_000;

export function createReviewStore({ db, write, now, instance, changed }: SqlContext): ReviewStore {
  return {
    async seen(drafts) {
      const at = now();
      await write(async (trx) => {
        const known = new Map(
          (await trx.selectFrom('reviews').select(WITHOUT_TEXT).execute()).map((row) => [row.subject, row]),
        );
        for (const draft of drafts) await take(trx, at, draft, known.get(draft.subject));
        const open = new Set(drafts.map(({ subject }) => subject));
        const telling = await headsUnderWay(trx);
        const gone = [...known.values()]
          .filter((row) => !open.has(row.subject) && reviewOf(row).outcome?.state !== 'running')
          .filter(({ head, head_ref, subject }) => subject !== `${head_ref} ${head}` || !telling.has(head))
          .map(({ id }) => id);
        if (gone.length > 0) await trx.deleteFrom('reviews').where('id', 'in', gone).execute();
      });
      changed();
    },

    async lookAgain() {
      await db
        .updateTable('reviews')
        .set((e) => ({ due_at: now(), version: e('version', '+', 1), attempts: 0 }))
        .execute();
      changed();
    },

    async claim(limit) {
      const due = db
        .selectFrom('reviews')
        .select('id')
        .where('due_at', '<=', now())
        .where((e) => e.or([e('lease', 'is', null), e('lease', '<>', instance)]))
        .orderBy(IS_OWN, 'desc')
        .orderBy('attempts')
        // What was never examined has null, which is first.
        .orderBy('took')
        .orderBy('due_at')
        .limit(limit);
      const rows = await db
        .updateTable('reviews')
        .set({ lease: instance })
        .where('id', 'in', due)
        .returning(WITHOUT_TEXT)
        .execute();
      return rows.map(reviewOf);
    },

    async done({ id, version }, outcome, record) {
      await db
        .updateTable('reviews')
        .set((e) => ({
          ...record,
          outcome: JSON.stringify(outcome),
          lease: null,
          attempts: 0,
          // What changed during the examination is examined next.
          due_at: e.case().when('version', '=', version).then(null).else(e.ref('due_at')).end(),
        }))
        .where('id', '=', id)
        .execute();
      changed();
    },

    async postponed({ id, version, attempts }, dueAt) {
      await db
        .updateTable('reviews')
        .set((e) => ({
          lease: null,
          // What changed during the examination is as new as before it.
          attempts: e
            .case()
            .when('version', '=', version)
            .then(attempts + 1)
            .else(e.ref('attempts'))
            .end(),
          due_at: e.case().when('version', '=', version).then(dueAt).else(e.ref('due_at')).end(),
        }))
        .where('id', '=', id)
        .execute();
      changed();
    },

    async get(id) {
      const row = await db.selectFrom('reviews').selectAll().where('id', '=', id).executeTakeFirst();
      return row ? { ...reviewOf(row), text: row.text } : null;
    },
  };
}

/** A head that moved is examined anew; one that did not stays as it was found. */
async function take(
  trx: Transaction<Schema>,
  at: number,
  draft: ReviewDraft,
  known: Row | undefined,
): Promise<void> {
  const { subject, number, label, url, head, headRef, statusRef } = draft;
  const told = { number, label, url, head, head_ref: headRef, status_ref: statusRef };
  if (!known) {
    const fresh = {
      id: randomUUID(),
      subject,
      version: 1,
      outcome: null,
      text: null,
      took: null,
      attempts: 0,
      due_at: at,
      lease: null,
    };
    await trx
      .insertInto('reviews')
      .values({ ...told, ...fresh })
      .execute();
    return;
  }
  if (known.head === head) return;
  await trx
    .updateTable('reviews')
    .set({ ...told, version: known.version + 1, due_at: at, attempts: 0 })
    .where('id', '=', known.id)
    .execute();
}

/** @returns the commits whose rollouts are under way */
async function headsUnderWay(trx: Transaction<Schema>): Promise<Set<string>> {
  const rows = await trx
    .selectFrom('rollouts')
    .select('cause_of')
    .distinct()
    .where('cause_kind', '=', 'policy')
    .where('stage', 'is not', null)
    .where('phase', 'in', ['pending', 'delivered'])
    .execute();
  return new Set(rows.map(({ cause_of }) => cause_of));
}

/**
 * Makes the status on a head due, for what it counts has changed: now where that was the last change, else within
 * {@link PACE}. While it is being written its time is that of before.
 */
export async function headChanged(
  trx: Transaction<Schema>,
  at: number,
  head: string,
  isLast: boolean,
): Promise<void> {
  const soon = at + PACE;
  const paced = sql<number>`case when lease is null and due_at < ${soon} then due_at else ${soon} end`;
  await trx
    .updateTable('reviews')
    .set((e) => ({ due_at: isLast ? at : paced, version: e('version', '+', 1) }))
    .where('head', '=', head)
    .where('number', 'is', null)
    .execute();
}

const reviewOf = (row: Row): Review => ({
  id: row.id,
  subject: row.subject,
  number: row.number,
  label: row.label,
  url: row.url,
  head: row.head,
  headRef: row.head_ref,
  statusRef: row.status_ref,
  version: row.version,
  outcome: row.outcome === null ? null : JSON.parse(row.outcome),
  attempts: row.attempts,
});
