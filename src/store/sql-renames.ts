/**
 * Renamed repositories (docs/decisions/0012-only-the-forge-names-a-repository.md). Rows are kept by name. When the
 * forge says what a repository is called today, what has its number under other names moves to that one.
 */
import { type Kysely, type RawBuilder, type Selectable, sql, type Transaction } from 'kysely';
import type { RepositoriesTable, Schema } from './schema.ts';
import { sameForge } from './sql-events.ts';
import { moveHistory, unclaimed } from './sql-merge.ts';

type Trx = Transaction<Schema>;

/** A repository by today's name, and its number. */
export interface Today {
  repository: string;
  projectId: string;
}

/** @returns whether what the forge says is what is stored */
export async function isSettled(db: Kysely<Schema>, asked: string, today: Today): Promise<boolean> {
  if (asked !== today.repository) return false;
  const [row, ...others] = await namesOf(db, asked, today);
  return row?.id === asked && row.project_id === today.projectId && others.length === 0;
}

/** The rows of both names, and of any other with the number. */
async function namesOf(
  db: Kysely<Schema>,
  asked: string,
  { repository, projectId }: Today,
): Promise<Selectable<RepositoriesTable>[]> {
  const rows = await db
    .selectFrom('repositories')
    .selectAll()
    .where((e) => e.or([e('id', 'in', [asked, repository]), e('project_id', '=', projectId)]))
    .execute();
  return rows.filter(({ id }) => sameForge(id, repository));
}

/** Stores what a repository is called today. Within a transaction. */
export async function storeIdentity(trx: Trx, at: number, asked: string, today: Today): Promise<void> {
  const { repository, projectId } = today;
  const known = await namesOf(trx, asked, today);
  const isOthers = (number: string | null) => number !== null && number !== projectId;
  for (const { id, project_id } of known)
    if (project_id !== null && isOthers(project_id)) await leave(trx, id, project_id, projectId);

  const listed = known.find((row) => row.baseline_at !== null && !isOthers(row.project_id));
  const baseline_at = listed?.baseline_at ?? null;
  const listing_due_at = known.find(({ id }) => id === asked)?.listing_due_at ?? at;
  await trx
    .insertInto('repositories')
    .values({ id: repository, project_id: projectId, baseline_at, listing_due_at })
    .onConflict((conflict) => conflict.column('id').doUpdateSet({ project_id: projectId, baseline_at }))
    .execute();

  const others = new Set([asked, ...known.map(({ id }) => id)]);
  others.delete(repository);
  for (const name of others) {
    // Where the forge leads from one name to the other, all is one repository's. Under a name that was only found by
    // its number, another may have told something since.
    await giveNumber(trx, name, projectId, name === asked ? unclaimed(name) : sql`project_id is null`);
    await remember(trx, projectId, name);
  }
  for (const former of await formerNamesOf(trx, today)) {
    const isGone = others.has(former);
    await moveHistory(trx, at, former, today, isGone);
    if (isGone) await forget(trx, at, former, former === asked);
  }
}

/**
 * A name is no longer that of the number it had. Its rows stay until that number is seen elsewhere: a repository that
 * was deleted and made again, or moved with its forge, goes on with what it deployed. Its refs begin anew.
 * @param now whose refs stay: those that were told with this number
 */
async function leave(trx: Trx, name: string, former: string, now: string): Promise<void> {
  await giveNumber(trx, name, former, sql`project_id is distinct from ${now} and ${unclaimed(name)}`);
  await remember(trx, former, name);
  await trx
    .deleteFrom('refs')
    .where('repository', '=', name)
    .where((e) =>
      e.or([
        e('event_id', 'is', null),
        e(
          'event_id',
          'not in',
          e.selectFrom('events').select('id').where('repository', '=', name).where('project_id', '=', now),
        ),
      ]),
    )
    .execute();
}

/** Writes down whose rows those of a name are, in the place of what payloads said. */
async function giveNumber(
  trx: Trx,
  name: string,
  project_id: string,
  which: RawBuilder<unknown>,
): Promise<void> {
  const rows = sql<boolean>`repository = ${name} and ${which}`;
  await trx.updateTable('events').set({ project_id }).where(rows).execute();
  await trx.updateTable('rollouts').set({ project_id }).where(rows).execute();
}

async function remember(trx: Trx, project_id: string, name: string): Promise<void> {
  await trx
    .insertInto('former_names')
    .values({ project_id, name })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

/** Names the repository of this number had before, as far as its forge has told. */
async function formerNamesOf(trx: Trx, { repository, projectId }: Today): Promise<string[]> {
  const rows = await trx
    .selectFrom('former_names')
    .select('name')
    .where('project_id', '=', projectId)
    .execute();
  return rows.flatMap(({ name }) => (name !== repository && sameForge(name, repository) ? [name] : []));
}

/** A name that is gone is listed no more. Where another repository has told something under it, it begins anew. */
async function forget(trx: Trx, at: number, name: string, leadsElsewhere: boolean): Promise<void> {
  const row = { project_id: null, baseline_at: null, listing_due_at: at };
  const left = leadsElsewhere
    ? undefined
    : await trx
        .selectFrom('events')
        .select('id')
        .where('repository', '=', name)
        .where(unclaimed(name))
        .limit(1)
        .executeTakeFirst();
  if (left) await trx.updateTable('repositories').set(row).where('id', '=', name).execute();
  else await trx.deleteFrom('repositories').where('id', '=', name).execute();
}
