import type { Kysely } from 'kysely';
import type { Schema } from './schema.ts';
import type { SqlContext } from './sql-context.ts';
import type { FactStore } from './store.ts';

/** @returns null where nothing is known */
export async function factOf(db: Kysely<Schema>, key: string): Promise<string | null> {
  const row = await db.selectFrom('facts').select('value').where('key', '=', key).executeTakeFirst();
  return row?.value ?? null;
}

export async function setFact(db: Kysely<Schema>, key: string, value: string): Promise<void> {
  await db
    .insertInto('facts')
    .values({ key, value })
    .onConflict((conflict) => conflict.column('key').doUpdateSet({ value }))
    .execute();
}

export function createFactStore({ db, instance }: SqlContext): FactStore {
  /** Rows of one queue that nobody works on and that fall due later. */
  const earliest = async (rows: Promise<{ at: number | null } | undefined>) => (await rows)?.at ?? null;

  return {
    get: (key) => factOf(db, key),
    set: (key, value) => setFact(db, key, value),

    async nextDue(after) {
      const due = await Promise.all([
        earliest(
          db
            .selectFrom('rollouts')
            .select((e) => e.fn.min('due_at').as('at'))
            .where('stage', 'is not', null)
            .where('due_at', '>', after)
            .executeTakeFirst(),
        ),
        earliest(
          db
            .selectFrom('reports')
            .select((e) => e.fn.min('due_at').as('at'))
            .where('due_at', '>', after)
            .executeTakeFirst(),
        ),
        earliest(
          db
            .selectFrom('repositories')
            .select((e) => e.fn.min('listing_due_at').as('at'))
            .where('listing_due_at', '>', after)
            .where((e) => e.or([e('lease', 'is', null), e('lease', '<>', instance)]))
            .executeTakeFirst(),
        ),
        earliest(
          db
            .selectFrom('reviews')
            .select((e) => e.fn.min('due_at').as('at'))
            .where('due_at', '>', after)
            .executeTakeFirst(),
        ),
      ]);
      const known = due.filter((at) => at !== null);
      return known.length === 0 ? null : Math.min(...known);
    },
  };
}
