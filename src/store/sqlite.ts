/** SQLite through node:sqlite, as the database Kysely's own dialect expects. */
import { chmodSync, mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { type Dialect, SqliteDialect, type SqliteStatement } from 'kysely';
import { StalledError } from '../core/errors.ts';
import { StoreUnavailableError } from './store.ts';

const READ_ONLY = 8;
/** Primary result codes that mean "not now": the file or the disk under it, not the statement (sqlite.org/rescode.html). */
const UNAVAILABLE: ReadonlyMap<number, string> = new Map([
  [5, 'is locked by another process'],
  [6, 'is locked by another process'],
  [READ_ONLY, 'is read-only'],
  [10, 'cannot be read or written (I/O error)'],
  [13, 'cannot grow: the disk is full'],
  [14, 'cannot be opened'],
]);

/** SQLITE_CORRUPT and SQLITE_NOTADB: waiting mends neither. */
const NOT_OURS: ReadonlySet<number> = new Set([11, 26]);
/** Prepared statements that are kept. */
const STATEMENTS = 256;

/** One database file, opened when it is first used, and again after a failure that a fresh handle may mend. */
export class SqliteFile {
  readonly #path: string;
  #database: DatabaseSync | null = null;
  #guard: DatabaseSync | null = null;
  #statements = new Map<string, SqliteStatement>();
  #reopen = false;

  constructor(path: string) {
    this.#path = path;
  }

  /**
   * Makes the folder, takes the file for this process alone, and opens it.
   * @throws StalledError where another process has it; StoreUnavailableError where it cannot be opened
   */
  open(): void {
    try {
      this.#attempt(() => {
        if (this.#path !== ':memory:') {
          mkdirSync(dirname(this.#path), { recursive: true });
          this.#guard ??= takeAlone(this.#path);
        }
        this.#connect();
      });
    } catch (error) {
      this.close();
      throw error;
    }
  }

  close(): void {
    this.#statements.clear();
    this.#database?.close();
    this.#database = null;
    this.#guard?.close();
    this.#guard = null;
  }

  dialect(): Dialect {
    return new SqliteDialect({
      database: { prepare: (sql) => this.#prepare(sql), close: () => this.close() },
    });
  }

  #connect(): void {
    this.#statements.clear();
    this.#database?.close();
    if (this.#path !== ':memory:') alignSideFiles(this.#path);
    const database = new DatabaseSync(this.#path);
    this.#database = database;
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 2000;');
    // A handle that was opened read-only stays so after the file is writable again.
    this.#reopen = !isWritable(database);
  }

  /** Kysely prepares every statement anew; the same text is prepared once here. */
  #prepare(sql: string): SqliteStatement {
    if (this.#reopen && !this.#database?.isTransaction) this.#attempt(() => this.#connect());
    const known = this.#statements.get(sql);
    if (known) return known;
    const statement = this.#attempt(() => this.#open().prepare(sql));
    const prepared = this.#shim(sql, statement);
    // A list of another length is another text: without a bound, every length ever seen would be kept.
    if (this.#statements.size >= STATEMENTS) this.#statements.clear();
    this.#statements.set(sql, prepared);
    return prepared;
  }

  #shim(sql: string, statement: StatementSync): SqliteStatement {
    const values = (parameters: readonly unknown[]) => parameters as SQLInputValue[];
    return {
      reader: statement.columns().length > 0,
      all: (parameters) => this.#attempt(() => statement.all(...values(parameters))),
      iterate: (parameters) => statement.iterate(...values(parameters)),
      run: (parameters) => {
        // SQLite has already rolled back after a full disk; a second rollback would hide that error.
        if (sql === 'rollback' && !this.#open().isTransaction) return { changes: 0, lastInsertRowid: 0 };
        return this.#attempt(() => statement.run(...values(parameters)));
      },
    };
  }

  #open(): DatabaseSync {
    if (!this.#database) throw new StoreUnavailableError(`the database ${this.#path} is not open`);
    return this.#database;
  }

  #attempt<Result>(work: () => Result): Result {
    try {
      return work();
    } catch (error) {
      if (NOT_OURS.has(resultCode(error) ?? 0))
        throw new StalledError(
          `${this.#path} is damaged or not a database of modelhook`,
          'set store to another file, or put a backup in its place',
          { cause: error },
        );
      const unavailable = unavailableReason(error);
      if (unavailable === null) throw error;
      this.#reopen = true;
      throw new StoreUnavailableError(`the database ${this.#path} ${unavailable}`, { cause: error });
    }
  }
}

/**
 * One process a file: a lock beside the database that ends with this process, however it ends. The database itself
 * stays readable for backups and for `sqlite3` at night.
 */
function takeAlone(path: string): DatabaseSync {
  const guard = new DatabaseSync(`${path}.lock`);
  try {
    guard.exec('PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE');
  } catch (error) {
    guard.close();
    if (resultCode(error) !== 5) throw error;
    throw new StalledError(
      `${path} is in use by another modelhook`,
      'stop it, or give this one a store of its own',
      { cause: error },
    );
  }
  return guard;
}

function isWritable(database: DatabaseSync): boolean {
  try {
    database.exec('BEGIN IMMEDIATE; ROLLBACK');
    return true;
  } catch (error) {
    if (resultCode(error) === READ_ONLY) return false;
    throw error;
  }
}

/**
 * SQLite makes the files beside a database no more writable than that was at the time, and uses them as they are: made
 * while the database was read-only, they would keep it so for ever.
 */
function alignSideFiles(path: string): void {
  for (const file of [`${path}-wal`, `${path}-shm`]) {
    try {
      chmodSync(file, statSync(path).mode & 0o777);
    } catch {
      // It is not there, or somebody else's: then opening the database says more.
    }
  }
}

function resultCode(error: unknown): number | null {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return null;
  return error.errcode & 0xff; // extended codes carry the primary one in the low byte
}

function unavailableReason(error: unknown): string | null {
  if (error instanceof StoreUnavailableError) return null;
  const code = resultCode(error);
  if (code !== null) return UNAVAILABLE.get(code) ?? null;
  if (error instanceof Error && 'syscall' in error) return `cannot be opened: ${error.message}`;
  return null;
}
