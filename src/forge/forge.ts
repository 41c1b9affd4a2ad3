/** A Git host, seen through the three things the pipeline wants of it. One folder beside this file for each kind. */
import type { CommitStatus } from '../core/commit-status.ts';
import type { RefMove } from '../core/ref-event.ts';

export interface Forge {
  readonly name: string;
  readonly webhooks: WebhookReceiver;
  readonly repositories: RepositoryReader;
  readonly statuses: StatusWriter;
}

/** A webhook delivery as it came in: the body's bytes are what is signed. */
export interface WebhookRequest {
  header(name: string): string | undefined;
  body: Uint8Array;
}

export type WebhookDelivery =
  | { kind: 'refs'; id: string | null; moves: RefMove[] }
  | { kind: 'ignored'; reason: string };

/** A delivery that is refused. The status is the HTTP answer's. */
export class WebhookError extends Error {
  override readonly name = 'WebhookError';
  readonly status: 400 | 401;

  constructor(status: 400 | 401, message: string) {
    super(message);
    this.status = status;
  }
}

export interface WebhookReceiver {
  /**
   * Verifies a delivery over its raw bytes, in constant time, before anything is parsed, and says what it tells.
   * @throws WebhookError 401 where the signature is missing or wrong, 400 where the signed body cannot be read
   */
  receive(request: WebhookRequest): WebhookDelivery | Promise<WebhookDelivery>;
}

/** Where a ref stands, read from the forge: the truth that payloads only hint at. */
export interface RefReading {
  /** The commit. */
  sha: string;
  /** What the ref points to itself: the tag object of an annotated tag, else the commit. */
  object: string;
}

/** A ref in a listing. */
export interface RepositoryRef extends RefReading {
  ref: string;
  /** Of the tag or commit, in milliseconds since the epoch; null where the forge does not say. */
  createdAt: number | null;
}

/** One file at one commit. */
export type RepositoryFile =
  | { kind: 'file'; path: string; bytes: Uint8Array }
  | { kind: 'missing'; path: string }
  | { kind: 'tooLarge'; path: string; size: number };

/** How long an absent or not yet moved ref is doubted on a forge with an API (specification section 7). */
export const API_LAG = 30_000;

/**
 * Reads a model repository without its weights. Every method throws a transient error while the repository is not
 * found or not readable: that is a failing forge, not a repository without refs.
 */
export interface RepositoryReader {
  /**
   * For how long after a push what is read may still be what was before it, in milliseconds: the replicas of forges with
   * an API lag behind.
   */
  readonly lag: number;
  /**
   * Where a ref stands now, and files at that commit.
   * @param paths the files to read along
   * @param maxBytes the size above which a file is not read
   * @returns null where the repository has no such ref
   * @throws StalledError where the ref points to no commit that is there
   */
  readRef(
    repository: string,
    ref: string,
    paths: readonly string[],
    maxBytes: number,
  ): Promise<(RefReading & { files: RepositoryFile[] }) | null>;
  /** Files at a commit. */
  readFiles(
    repository: string,
    sha: string,
    paths: readonly string[],
    maxBytes: number,
  ): Promise<RepositoryFile[]>;
  /** All branches and tags. */
  listRefs(repository: string): Promise<RepositoryRef[]>;
}

export interface StatusWriter {
  /** Writes a status on a commit. Any error but StalledError leaves open whether it arrived. */
  write(repository: string, sha: string, ref: string, status: CommitStatus): Promise<void>;
  /** @returns whether the newest status of the context on the commit is this one, as the forge would have stored it */
  holds(repository: string, sha: string, status: CommitStatus): Promise<boolean>;
}
