import type { ExpressionBuilder, Selectable, Transaction } from 'kysely';
import type { RefsTable, Schema } from './schema.ts';
import type { SqlContext } from './sql-context.ts';
import { recordMove, sameForge } from './sql-events.ts';
import { isSettled, storeIdentity } from './sql-renames.ts';
import type { ListedRef, RepositoryStore } from './store.ts';

/** Rows of one insert: databases bound the values of a statement. */
const ROWS = 1000;

export function createRepositoryStore({ db, write, now, instance, changed }: SqlContext): RepositoryStore {
  return {
    async claimListings(limit, next, except = []) {
      let due = db
        .selectFrom('repositories')
        .select('id')
        .where('listing_due_at', '<=', now())
        .where((e) => e.or([e('lease', 'is', null), e('lease', '<>', instance)]))
        .orderBy('listing_due_at')
        .limit(limit);
      for (const forge of except) due = due.where('id', 'not like', `${forge}:%`);
      const rows = await db
        .updateTable('repositories')
        .set({ lease: instance, listing_due_at: next })
        .where('id', 'in', due)
        .returning('id')
        .execute();
      return rows.map(({ id }) => id);
    },

    async scheduleListings(repositories) {
      const listing_due_at = now();
      if (repositories === 'all') {
        await db.updateTable('repositories').set({ listing_due_at }).execute();
      } else if (repositories.length > 0) {
        // One that is known keeps its turn: naming it in a policy once more is no reason to list it again.
        await write(async (trx) => {
          for (let from = 0; from < repositories.length; from += ROWS) {
            const rows = repositories.slice(from, from + ROWS).map((id) => ({ id, listing_due_at }));
            await trx
              .insertInto('repositories')
              .values(rows)
              .onConflict((conflict) => conflict.column('id').doNothing())
              .execute();
          }
        });
      }
      changed();
    },

    async snapshot(repository) {
      const rows = await db
        .selectFrom('refs')
        .select(['ref', 'sha', 'counter'])
        .where('repository', '=', repository)
        .execute();
      return {
        repository,
        counters: new Map(rows.map(({ ref, counter }) => [ref, counter])),
        present: rows.filter(({ sha }) => sha !== null).length,
      };
    },

    async applyListing({ repository, counters }, listed, lag) {
      const at = now();
      const events = await write(async (trx) => {
        const row = await trx
          .selectFrom('repositories')
          .select(['baseline_at', 'project_id'])
          .where('id', '=', repository)
          .executeTakeFirst();
        // It has got another name meanwhile, and is listed under that.
        if (!row) return 0;
        const { baseline_at, project_id } = row;
        const refs = await trx.selectFrom('refs').selectAll().where('repository', '=', repository).execute();
        // A ref that a webhook told about since the snapshot is newer than the listing.
        const stale = (ref: string, counter: number) => counter !== (counters.get(ref) ?? 0);
        const known = new Map(refs.map((position) => [position.ref, position]));
        const young = lag === 0 ? new Set() : await toldSince(trx, repository, at - lag);
        const moves = [...movesOf(listed, known)].filter(
          ({ ref }) => !stale(ref, known.get(ref)?.counter ?? 0),
        );
        const sure = moves.filter(({ ref }) => !young.has(ref));

        let made = 0;
        for (const { ref, before, after } of sure) {
          if (baseline_at === null && !known.has(ref)) {
            const baseline = { repository, ref, sha: after, counter: 0, event_id: null };
            await trx.insertInto('refs').values(baseline).execute();
            continue;
          }
          const move = { repository, projectId: project_id, ref, before, after };
          const { outcome } = await recordMove(trx, at, move, 'listing', null);
          if (outcome === 'new') made += 1;
        }
        await trx
          .updateTable('repositories')
          .set((e) => ({
            baseline_at: baseline_at ?? at,
            lease: null,
            ...(sure.length < moves.length && { listing_due_at: sooner(e, at + lag) }),
          }))
          .where('id', '=', repository)
          .execute();
        return made;
      });
      changed();
      return events;
    },

    async postponeListing(repository, next) {
      await db
        .updateTable('repositories')
        .set((e) => ({
          lease: null,
          listing_due_at: sooner(e, next),
        }))
        .where('id', '=', repository)
        .execute();
    },

    async lookAgain(repository) {
      const listing_due_at = now();
      await db
        .insertInto('repositories')
        .values({ id: repository, listing_due_at })
        .onConflict((conflict) => conflict.column('id').doUpdateSet({ listing_due_at }))
        .execute();
      changed();
    },

    async identify(asked, { repository, projectId }) {
      if (projectId === null) return asked;
      const today = { repository, projectId };
      if (await isSettled(db, asked, today)) return repository;
      await write((trx) => storeIdentity(trx, now(), asked, today));
      changed();
      return repository;
    },

    async projectIdOf(repository) {
      const row = await db
        .selectFrom('repositories')
        .select('project_id')
        .where('id', '=', repository)
        .executeTakeFirst();
      return row?.project_id ?? null;
    },

    async formerNames(repositories) {
      if (repositories.length === 0) return new Map();
      const rows = await db
        .selectFrom('repositories')
        .innerJoin('former_names', 'former_names.project_id', 'repositories.project_id')
        .select(['id', 'name'])
        .where('id', 'in', repositories)
        .orderBy('name')
        .execute();
      const former = rows.filter(({ id, name }) => id !== name && sameForge(id, name));
      return new Map(
        [...Map.groupBy(former, ({ id }) => id)].map(([id, names]) => [id, names.map(({ name }) => name)]),
      );
    },
  };
}

/** @returns what a listing is due at: the given time, unless it is due before that already */
const sooner = (e: ExpressionBuilder<Schema, 'repositories'>, next: number) =>
  e.case().when('listing_due_at', '<', next).then(e.ref('listing_due_at')).else(next).end();

/** @returns refs that somebody told about after a time: what a lagging forge lists of them may be older */
async function toldSince(trx: Transaction<Schema>, repository: string, since: number): Promise<Set<string>> {
  const rows = await trx
    .selectFrom('refs')
    .innerJoin('events', 'events.id', 'refs.event_id')
    .select('refs.ref')
    .where('refs.repository', '=', repository)
    .where('events.received_at', '>', since)
    .execute();
  return new Set(rows.map(({ ref }) => ref));
}

type Position = Selectable<RefsTable>;

/** What a listing shows to be new, moved or gone, in its order. */
function* movesOf(listed: readonly ListedRef[], known: ReadonlyMap<string, Position>) {
  for (const { ref, sha, object } of listed) {
    const before = known.get(ref)?.sha ?? null;
    // A hook that is not ours may have told the tag object: the same position.
    if (before !== sha && before !== object) yield { ref, before, after: sha };
  }
  const present = new Set(listed.map(({ ref }) => ref));
  for (const { ref, sha } of known.values()) {
    if (sha !== null && !present.has(ref)) yield { ref, before: sha, after: null };
  }
}
