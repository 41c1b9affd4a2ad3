/** A Git host, seen through the few things that are wanted of it. One folder beside this file for each kind. */
import type { CommitStatus } from '../core/commit-status.ts';
import type { RefMove } from '../core/ref-event.ts';

export interface Forge {
  readonly name: string;
  readonly webhooks: WebhookReceiver;
  readonly repositories: RepositoryReader;
  readonly statuses: StatusWriter;
  /** null: the forge has none, as a plain Git server. */
  readonly pullRequests: PullRequests | null;
  /** null: the forge has no pull requests. */
  readonly reviews: Reviews | null;
  /** What an administrator asks of it from the command line. */
  readonly administration: ForgeAdministration;
}

/** A webhook delivery as it came in: the body's bytes are what is signed. */
export interface WebhookRequest {
  header(name: string): string | undefined;
  body: Uint8Array;
}

export type WebhookDelivery =
  | { kind: 'refs'; id: string | null; moves: RefMove[] }
  /**
   * Something else of a repository changed: who waits for that looks now.
   * @property repository its id, by the name it has now
   * @property reason what it was, for the answer: one clause
   */
  | { kind: 'changed'; what: 'name' | 'pullRequest'; repository: string; reason: string }
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

/** What a repository is called today, and the number that stays. */
export interface RepositoryIdentity {
  /** The id by today's name, in the forge's own spelling. */
  repository: string;
  /** The forge's number of the repository; null where the forge has none. */
  projectId: string | null;
}

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
  /** Asks by a name that may be an old one, or spelled in another case. */
  identify(repository: string): Promise<RepositoryIdentity>;
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

/** A pull request, or merge request, within one repository. */
export interface PullRequest {
  /** How its API and its people number it. */
  number: number;
  /** As people write it: `#12` or `!12`. */
  label: string;
  /** Its page. */
  url: string;
  state: 'open' | 'merged' | 'closed';
  /** The branch it comes from, without `refs/heads/`. */
  head: string;
  /** The branch it goes to. */
  base: string;
  title: string;
  /** Its description, Markdown. */
  text: string;
  /** The commit on the base that merged it; null before, and where the forge does not say. */
  mergeCommit: string | null;
}

/** What a new pull request says. */
export type PullRequestDraft = Pick<PullRequest, 'head' | 'base' | 'title' | 'text'>;

/**
 * Pull requests whose branch is in the repository itself; a fork's with a branch of the same name is never one of them.
 * Every method throws StalledError where a person must act, naming the missing scope, and a transient error else.
 */
export interface PullRequests {
  /** All open ones from branches whose names begin so. */
  listOpen(repository: string, prefix: string): Promise<PullRequest[]>;
  get(repository: string, number: number): Promise<PullRequest>;
  /** @throws Error, transient, where there is an open one of that branch already */
  open(repository: string, draft: PullRequestDraft): Promise<PullRequest>;
  /** Replaces what is given. `state: 'closed'` closes it without merging. */
  edit(
    repository: string,
    number: number,
    change: { title?: string; text?: string; state?: 'closed' },
  ): Promise<void>;
  /** Adds a comment, Markdown. */
  comment(repository: string, number: number, text: string): Promise<void>;
}

/** An open pull request, or merge request, that is reviewed: from the repository itself or from a fork. */
export interface ReviewRequest {
  /** How its API and its people number it. */
  number: number;
  /** As people write it: `#12` or `!12`. */
  label: string;
  /** Its page. */
  url: string;
  title: string;
  /** The commit at its head. */
  head: string;
  /** What Git fetches from the repository it goes to, a fork's too: `refs/pull/12/head`, `refs/merge-requests/12/head`. */
  headRef: string;
  /** The ref that a status on the head is written for: its branch, and of a fork's request the `headRef`. */
  statusRef: string;
}

/** What reviews need of a forge's pull requests. Errors are those of `PullRequests`. */
export interface Reviews {
  /** Characters of a comment above which the forge, or this adapter, cuts. */
  readonly commentLimit: number;
  /**
   * All open ones into a branch, forks' and drafts too.
   * @param base the branch, without `refs/heads/`
   * @returns none where the repository has pull requests switched off
   */
  listOpen(repository: string, base: string): Promise<ReviewRequest[]>;
  /**
   * Makes the one comment of ours on a request say this: that which our own user wrote and which begins with the marker is
   * edited where its text differs, and else one is added. Nobody else's is touched. Of one request, calls wait for each other.
   * @param text Markdown that begins with the marker, an HTML comment
   */
  keepComment(repository: string, number: number, text: string): Promise<void>;
  /** @returns the page of the repository's files at a commit, to which `/<path>#L<line>` is added */
  filesUrl(repository: string, sha: string): string;
}

/** Where a webhook is: a repository, or a group or organisation for all it has. */
export interface WebhookScope {
  kind: 'repository' | 'group';
  /** Below the forge. */
  path: string;
}

/** What modelhook does with a repository, and so what its token must be able to do there. */
export interface RepositoryUse {
  /** Its id. */
  repository: string;
  use: 'model' | 'policies' | 'gitops';
}

/** One thing that was looked at. */
export interface Finding {
  /** What was looked at, such as `token` or a repository's id. */
  about: string;
  state: 'good' | 'warning' | 'fault';
  /** What is so, one sentence. */
  message: string;
  /** What to do, one clause in the imperative; null where it is good. */
  fix: string | null;
}

export interface ForgeAdministration {
  /**
   * Makes a repository or a group report to an address what modelhook uses. A webhook to that address that is there
   * already is brought up to date instead.
   * @throws StalledError where the token may not, naming the scope and role
   */
  registerWebhook(scope: WebhookScope, hook: { url: string; secret: string }): Promise<'created' | 'updated'>;
  /**
   * Looks whether the token, the repositories and their webhooks, with their last deliveries, are as they must be.
   * @param webhookUrl the address of this forge's route; null: not known, and webhooks are not looked at
   * @throws Error only where the forge cannot be reached at all
   */
  examine(uses: readonly RepositoryUse[], webhookUrl: string | null): Promise<Finding[]>;
}
