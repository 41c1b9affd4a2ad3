import type { Kysely } from 'kysely';
import type { Write } from './group-commit.ts';
import type { Schema } from './schema.ts';

/** What the parts of the store share. */
export interface SqlContext {
  /** For reading, and for single statements that write. */
  db: Kysely<Schema>;
  /** For transactions. */
  write: Write;
  /** Milliseconds since the epoch. */
  now: () => number;
  /** Names this process in the leases it takes. With one process a file, any other name's leases are void. */
  instance: string;
  /** Says that work may have become due. Called after the commit. */
  changed: () => void;
}
