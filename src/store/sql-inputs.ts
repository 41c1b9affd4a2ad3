/** What rollouts were planned from, as their rows keep it: catalogues of runtimes are long, and the same for many. */
import { createHash } from 'node:crypto';
import { type Kysely, sql, type Transaction } from 'kysely';
import type { StoredInputs } from '../core/deployed.ts';
import type { RuntimeCatalogue } from '../core/runtime-catalogue.ts';
import type { Schema } from './schema.ts';

/** As a row has them: the catalogue by its hash. */
type KeptInputs = Omit<StoredInputs, 'runtimes'> & { runtimes: string | null };

/** @returns the inputs as a rollout's row keeps them */
export async function keepInputs(trx: Transaction<Schema>, inputs: StoredInputs): Promise<string> {
  const { runtimes, ...others } = inputs;
  if (runtimes === null) return JSON.stringify({ ...others, runtimes } satisfies KeptInputs);
  const content = JSON.stringify(runtimes);
  const hash = createHash('sha256').update(content).digest('hex').slice(0, 32);
  await trx
    .insertInto('catalogues')
    .values({ hash, content })
    .onConflict((conflict) => conflict.column('hash').doNothing())
    .execute();
  return JSON.stringify({ ...others, runtimes: hash } satisfies KeptInputs);
}

/** @returns inputs that rows keep, in their order; those with one catalogue share it */
export async function readInputs(db: Kysely<Schema>, kept: readonly string[]): Promise<StoredInputs[]> {
  const parsed = kept.map((each) => JSON.parse(each) as KeptInputs);
  const hashes = [...new Set(parsed.flatMap(({ runtimes }) => runtimes ?? []))];
  const rows =
    hashes.length === 0
      ? []
      : await db.selectFrom('catalogues').selectAll().where('hash', 'in', hashes).execute();
  const catalogues = new Map(
    rows.map(({ hash, content }) => [hash, JSON.parse(content) as RuntimeCatalogue]),
  );
  return parsed.map(({ runtimes, ...others }) => ({
    ...others,
    runtimes: runtimes === null ? null : (catalogues.get(runtimes) ?? null),
  }));
}

/** Drops the catalogues that no rollout was planned from. */
export async function dropUnusedCatalogues(trx: Transaction<Schema>): Promise<void> {
  const used = trx
    .selectFrom('rollouts')
    .select(sql<string>`inputs ->> 'runtimes'`.as('hash'))
    .where('inputs', 'is not', null)
    .where(sql`inputs ->> 'runtimes'`, 'is not', null);
  await trx.deleteFrom('catalogues').where('hash', 'not in', used).execute();
}
