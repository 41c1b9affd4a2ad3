/** Plans that other policies have overtaken while they were made. */
import type { Kysely } from 'kysely';
import type { Schema } from './schema.ts';
import { factOf, setFact } from './sql-facts.ts';
import type { RolloutChange } from './store.ts';

/** The revision whose carrying out began last. */
const BEGUN = 'policies/begun';

export const begunRevision = (db: Kysely<Schema>): Promise<string | null> => factOf(db, BEGUN);
export const beginRevision = (db: Kysely<Schema>, revision: string): Promise<void> =>
  setFact(db, BEGUN, revision);

/**
 * @returns whether other policies than those a plan was made by have begun to be carried out since it was begun: they
 *   were not compared for what it brings
 */
export async function isOutdated(
  db: Kysely<Schema>,
  { plannedAfter, policyRevision }: RolloutChange,
): Promise<boolean> {
  if (plannedAfter === undefined) return false;
  const begun = await begunRevision(db);
  return begun !== plannedAfter && begun !== policyRevision;
}
