/** Group commit: writes that wait while one is on its way share the next transaction, and its one wait for the disk. */
import { type Kysely, sql, type Transaction } from 'kysely';
import type { Schema } from './schema.ts';
import { StoreUnavailableError } from './store.ts';

/** Bounds how long the first of a group waits for the last. */
const GROUP = 100;

export type Write = <Result>(work: (trx: Transaction<Schema>) => Promise<Result>) => Promise<Result>;

interface Waiting {
  run(trx: Transaction<Schema>): Promise<void>;
  commit(): void;
  reject(error: unknown): void;
}

/**
 * @returns runs work in a transaction and resolves once it is committed. Work that throws undoes itself alone; a
 *   transaction that fails fails all that share it, and nothing of them is stored.
 */
export function createGroupCommit(db: Kysely<Schema>): Write {
  const waiting: Waiting[] = [];
  let committing = false;

  async function commitGroups(): Promise<void> {
    committing = true;
    for (let group = waiting.splice(0, GROUP); group.length > 0; group = waiting.splice(0, GROUP)) {
      try {
        await db.transaction().execute(async (trx) => {
          for (const each of group) await each.run(trx);
        });
        for (const each of group) each.commit();
      } catch (error) {
        for (const each of group) each.reject(error);
      }
    }
    committing = false;
  }

  return <Result>(work: (trx: Transaction<Schema>) => Promise<Result>) => {
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    let settle: () => void;
    waiting.push({
      async run(trx) {
        await sql`savepoint work`.execute(trx);
        try {
          const result = await work(trx);
          settle = () => resolve(result);
        } catch (error) {
          // A full disk has undone the whole transaction already, savepoint and all: that fails the group.
          if (error instanceof StoreUnavailableError) throw error;
          await sql`rollback to savepoint work`.execute(trx);
          settle = () => reject(error);
        }
        await sql`release savepoint work`.execute(trx);
      },
      commit: () => settle(),
      reject,
    });
    if (!committing) void commitGroups();
    return promise;
  };
}
