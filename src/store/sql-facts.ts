import type { SqlContext } from './sql-context.ts';
import type { FactStore } from './store.ts';

export function createFactStore({ db, instance }: SqlContext): FactStore {
  /** Rows of one queue that nobody works on and that fall due later. */
  const earliest = async (rows: Promise<{ at: number | null } | undefined>) => (await rows)?.at ?? null;

  return {
    async get(key) {
      const row = await db.selectFrom('facts').select('value').where('key', '=', key).executeTakeFirst();
      return row?.value ?? null;
    },

    async set(key, value) {
      await db
        .insertInto('facts')
        .values({ key, value })
        .onConflict((conflict) => conflict.column('key').doUpdateSet({ value }))
        .execute();
    },

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
      ]);
      const known = due.filter((at) => at !== null);
      return known.length === 0 ? null : Math.min(...known);
    },
  };
}
