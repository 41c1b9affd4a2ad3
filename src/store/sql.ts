/** The store on a SQL database, by one set of Kysely queries. SQLite is the embedded default. */
import { randomUUID } from 'node:crypto';
import { type Dialect, Kysely } from 'kysely';
import { Migrator } from 'kysely/migration';
import { createGroupCommit } from './group-commit.ts';
import * as initial from './migrations/0001-initial.ts';
import * as pullRequests from './migrations/0002-pull-requests.ts';
import * as renames from './migrations/0003-renames.ts';
import * as doubtedMoves from './migrations/0004-doubted-moves.ts';
import * as observation from './migrations/0005-observation.ts';
import * as places from './migrations/0006-places.ts';
import * as policyReviews from './migrations/0007-policy-reviews.ts';
import type { Schema } from './schema.ts';
import type { SqlContext } from './sql-context.ts';
import { createEventStore } from './sql-events.ts';
import { createFactStore } from './sql-facts.ts';
import { createPolicyChangeStore } from './sql-policy-changes.ts';
import { createReportStore } from './sql-reports.ts';
import { createRepositoryStore } from './sql-repositories.ts';
import { createRequestStore } from './sql-requests.ts';
import { createReviewStore } from './sql-reviews.ts';
import { createRolloutStore } from './sql-rollouts.ts';
import { createStandingStore } from './sql-standing.ts';
import { SqliteFile } from './sqlite.ts';
import type { Store } from './store.ts';

/** In order; a migration that has been released never changes. */
const MIGRATIONS = {
  '0001-initial': initial,
  '0002-pull-requests': pullRequests,
  '0003-renames': renames,
  '0004-doubted-moves': doubtedMoves,
  '0005-observation': observation,
  '0006-places': places,
  '0007-policy-reviews': policyReviews,
};

export interface SqlStoreOptions {
  /** A file, or `:memory:`. */
  file: string;
  now?: () => number;
}

/** Builds the store on a SQLite file; nothing is opened before `lifecycle.start()`. */
export function createSqlStore({ file, now = Date.now }: SqlStoreOptions): Store {
  const sqlite = new SqliteFile(file);
  return assemble(sqlite.dialect(), now, () => sqlite.open());
}

function assemble(dialect: Dialect, now: () => number, open: () => void): Store {
  const listeners = new Set<() => void>();
  const db = new Kysely<Schema>({ dialect });
  const context: SqlContext = {
    db,
    write: createGroupCommit(db),
    now,
    instance: randomUUID(),
    changed: () => {
      for (const listener of listeners) listener();
    },
  };
  const facts = createFactStore(context);
  return {
    events: createEventStore(context),
    repositories: createRepositoryStore(context),
    rollouts: createRolloutStore(context),
    standing: createStandingStore(context),
    requests: createRequestStore(context),
    reports: createReportStore(context),
    policyChanges: createPolicyChangeStore(context),
    reviews: createReviewStore(context),
    facts,
    lifecycle: {
      async start() {
        open();
        await migrate(db);
      },
      stop: () => db.destroy(),
      check: () => facts.set('store/checked', String(now())),
      onChange(listener) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    },
  };
}

async function migrate(db: Kysely<Schema>): Promise<void> {
  const migrator = new Migrator({ db, provider: { getMigrations: async () => MIGRATIONS } });
  const { error } = await migrator.migrateToLatest();
  if (error) throw error;
}
