/**
 * What the pipeline remembers. The rows are the queue: work is a row that is due, claimed under this process's
 * lease, and its outcome is one transaction. Every method that writes throws StoreUnavailableError while the
 * database cannot be written, and has then changed nothing.
 */
import type { CommitStatus } from '../core/commit-status.ts';
import type { Deployed, KnownRef, StoredInputs } from '../core/deployed.ts';
import type { RefEvent, RefEventSource, RefMove } from '../core/ref-event.ts';
import type {
  Observation,
  Phase,
  PlanSummary,
  PullRequestReference,
  Receipt,
  Rollout,
  Stage,
  Target,
  Transition,
} from '../core/rollout.ts';

/** The database cannot be written or reached right now: a full disk, a read-only file, a lost connection. */
export class StoreUnavailableError extends Error {
  override readonly name = 'StoreUnavailableError';
}

export interface Store {
  readonly events: EventStore;
  readonly repositories: RepositoryStore;
  readonly rollouts: RolloutStore;
  readonly standing: StandingStore;
  readonly requests: RequestStore;
  readonly reports: ReportStore;
  readonly policyChanges: PolicyChangeStore;
  readonly reviews: ReviewStore;
  readonly facts: FactStore;
  readonly lifecycle: StoreLifecycle;
}

export interface StoreLifecycle {
  /**
   * Opens the database, making its folder, and brings its schema up to date. It may be called again after it failed.
   * @throws StalledError where another process has it; StoreUnavailableError where it cannot be opened now
   */
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Resolves once a write went through; throws StoreUnavailableError while none does. */
  check(): Promise<void>;
  /** Calls back after every commit that may have made work due. Returns how to end that. */
  onChange(listener: () => void): () => void;
}

/** A page of a list, newest first. */
export interface Page<Item> {
  items: Item[];
  /** Where the next page starts; null on the last. */
  nextCursor: string | null;
}

export interface ListQuery {
  repository?: string | undefined;
  phase?: Phase | undefined;
  environment?: string | undefined;
  /** 1–200 */
  limit: number;
  /** The `seq` before which the page starts. */
  before?: number | undefined;
}

/** An event with the rollouts it caused, as the API shows it. */
export interface EventWithRollouts extends RefEvent {
  rollouts: Pick<Rollout, 'id' | 'policy' | 'phase'>[];
}

export type Recorded =
  /** The ref moved on: one more event. */
  | { outcome: 'new'; event: RefEvent }
  /** We were told before: this is the event it made then. */
  | { outcome: 'repeat'; event: RefEvent }
  /** Noted, and nobody asked about it: a deletion, or a ref that was never there. */
  | { outcome: 'ignored' };

/** A rollout that a match made, before it has an id. */
export interface RolloutDraft {
  policy: string;
  environment: string;
}

export interface EventStore {
  /**
   * Takes what somebody says about a ref and makes it one event, or finds the event it already made
   * (specification section 7: a payload is a hint).
   * @param delivery the forge's own id of the delivery; the same one again is always a repeat
   */
  record(move: RefMove, source: RefEventSource, delivery: string | null): Promise<Recorded>;
  /** Events that no policy revision has been matched against yet, oldest first. */
  unmatched(limit: number): Promise<RefEvent[]>;
  /**
   * Stores the rollouts an event causes, and that it has been matched, in one transaction. A deletion causes the removal
   * of what the ref has brought by a policy, if that is anything; it belongs to the commit that was deployed last.
   */
  matched(matches: { event: RefEvent; policyRevision: string; drafts: RolloutDraft[] }[]): Promise<void>;
  get(id: string): Promise<EventWithRollouts | null>;
  list(query: ListQuery): Promise<Page<EventWithRollouts>>;
}

/** A ref as a listing of its repository shows it. */
export interface ListedRef {
  ref: string;
  /** The commit. */
  sha: string;
  /** What the ref points to itself: the tag object of an annotated tag, else the commit. */
  object: string;
}

/** What is known of a repository's refs at one moment, to compare a listing with. */
export interface RefSnapshot {
  repository: string;
  counters: ReadonlyMap<string, number>;
  /** How many of them are there, as opposed to gone. */
  present: number;
}

export interface RepositoryStore {
  /**
   * Repositories whose refs are to be listed: those that are due, oldest first, leased to this process.
   * @param next when they are due again, in milliseconds since the epoch; a push before then makes it sooner
   * @param except forges whose repositories stay where they are
   */
  claimListings(limit: number, next: number, except?: readonly string[]): Promise<string[]>;
  /** Makes listings due now: for the repositories a policy names, and for all known ones at start. */
  scheduleListings(repositories: readonly string[] | 'all'): Promise<void>;
  /** Taken before a listing begins, so that what a webhook tells meanwhile is not undone by it. */
  snapshot(repository: string): Promise<RefSnapshot>;
  /**
   * Compares a listing with what is known. The first one of a repository is its baseline and makes no event.
   * @param listed in the order in which events are to happen
   * @param lag for how many milliseconds a listing may still show what was before a push: refs that somebody told about
   *   since then are left as they are, and listed again
   * @returns how many events it made
   */
  applyListing(snapshot: RefSnapshot, listed: readonly ListedRef[], lag: number): Promise<number>;
  /**
   * Ends the lease of a listing that could not be made.
   * @param next when it is tried again, in milliseconds since the epoch; a push meanwhile makes it sooner
   */
  postponeListing(repository: string, next: number): Promise<void>;
  /** Lists a repository as soon as may be, known or not: something about it has changed. */
  lookAgain(repository: string): Promise<void>;
  /**
   * Takes what the forge says a repository is called today and which number it has. What is known of that number
   * under other names is known under today's from now on, and a push that was told under two of them is one event.
   * A name that had another number before is another repository's now: its refs are listed as on first sight, and
   * what was stored under the name stays there until the number it belongs to is seen elsewhere.
   * @param asked the id the forge was asked for
   * @returns today's id; the one asked for where the forge has no numbers
   */
  identify(asked: string, identity: { repository: string; projectId: string | null }): Promise<string>;
  /** @returns the number the forge itself gave to {@link identify}; null: none, or it has not been asked */
  projectIdOf(repository: string): Promise<string | null>;
  /** @returns what repositories were called before, for those that have another name now */
  formerNames(repositories: readonly string[]): Promise<Map<string, string[]>>;
}

/** A change of a rollout. What is absent stays as it is. */
export interface RolloutChange {
  phase?: Phase;
  stage?: Stage | null;
  /** A new message is a new line in the timeline, and is reported on the commit. */
  message?: string;
  /** The message is for the rollout's page alone: a passing fault that is tried again. */
  quiet?: boolean;
  /** When the stage is to be tried again, in milliseconds since the epoch; absent: now. */
  dueAt?: number;
  attempts?: number;
  waitingSince?: number | null;
  sha?: string;
  policyRevision?: string;
  target?: Target;
  plan?: PlanSummary;
  /** What the plan was made from. */
  inputs?: StoredInputs;
  /** What {@link PolicyChangeStore.begun} said before the policies were looked at. */
  plannedAfter?: string | null;
  manifest?: string;
  receipt?: Receipt;
  pullRequest?: PullRequestReference;
  endpoints?: Rollout['endpoints'];
  observation?: Observation;
  /** The stage goes on with it: the lease stays with this process. */
  keepLease?: boolean;
}

/** What the ref of a removal has brought to the target of its newest rollout. */
export interface Brought {
  target: Target;
  plan: PlanSummary;
  /** The commits of all its rollouts there. */
  commits: string[];
  /**
   * The newest rollout there of the repository's that counts: it was not cancelled, superseded, or failed before its
   * delivery. null: none does.
   */
  standing: { ref: string; isRemoval: boolean } | null;
}

export interface RolloutStore {
  /** Leases rollouts whose stage is due, in order, but those of some destinations (core/rollout.ts) or forges. */
  claim(
    stage: Stage,
    limit: number,
    except?: { destinations?: readonly string[]; forges?: readonly string[] },
  ): Promise<Rollout[]>;
  /**
   * Stores what a stage did and ends its lease. With a target, older rollouts that wait to be delivered there end in the same
   * transaction, as superseded; or this one does where a newer one has its plan already. With a receipt the older ones end
   * that are watched there, as superseded where they have not failed or become ready. Their order is that of their events: a
   * retry or a rollback counts right after the rollout it is about, and what was pushed since then wins over it. With
   * `plannedAfter` nothing is stored where other policies have begun to be carried out since then: the rollout is to be
   * resolved anew.
   * @returns the rollout as it now is; null where it had ended meanwhile, and nothing but the receipt was stored, or is
   *   gone, as one of two that a rename showed to be the same
   */
  advance(id: string, change: RolloutChange): Promise<Rollout | null>;
  /**
   * Makes rollouts due that wait for their pull requests at some destinations, since one may have been merged: now, or ten
   * seconds after they were looked at last.
   */
  lookAtPullRequests(destinations: readonly string[] | 'all'): Promise<void>;
  /**
   * Makes deliveries to a destination due that wait to be tried again, since what they wait for may be over. Those that
   * wait for their pull request go on waiting.
   * @param namespace of their targets; null: any
   */
  tryAgain(destination: string, namespace: string | null): Promise<void>;
  /**
   * Makes rollouts due that wait to be resolved, or to remove something, though nothing failed: the policies have changed.
   * Those that a change of the policies has made, and that are planned already, wait for their turn once more.
   * @param suspended policies whose rollouts wait on
   */
  lookAgain(suspended: readonly string[]): Promise<void>;
  /**
   * @param removal a rollout of the stage `remove`
   * @returns null where its policy has brought nothing anywhere for the ref; `unplanned` while that is not known, for an
   *   older rollout has no plan yet
   */
  broughtBy(removal: Rollout): Promise<Brought | 'unplanned' | null>;
  /**
   * Asked right before a cluster is written to, when nothing is left that could be said against it.
   * @returns those of the given rollouts that are not final; what is watched at their targets ends, for it is about to be
   *   something else
   */
  takeOver(ids: readonly string[]): Promise<Set<string>>;
  /** @returns those of the given rollouts that are not final: what may still be delivered */
  stillWanted(ids: readonly string[]): Promise<Set<string>>;
  get(id: string): Promise<(Rollout & { transitions: Transition[] }) | null>;
  list(query: ListQuery): Promise<Page<Rollout>>;
}

/** What stands in clusters: of each target the rollout that was applied last, unless that removed it. */
export interface StandingStore {
  /**
   * @param namespace null: any
   * @returns which rollouts stand in a cluster, however they fare
   */
  list(
    cluster: string,
    namespace: string | null,
  ): Promise<(Pick<Rollout, 'id' | 'policy'> & { target: Target })[]>;
  /**
   * @returns null where nothing stands: nothing was applied, it was removed again, or went to a GitOps repository.
   *   `isFollowed`: another is about to be delivered
   */
  get(target: Target): Promise<{ rollout: Rollout; isFollowed: boolean } | null>;
  /** Adds a line to the timeline of a rollout. What it says of itself, and on its commit, stays. */
  note(id: string, message: string): Promise<void>;
}

/** What a command asks to have deployed (`modelhook deploy`). */
export interface CommandDraft {
  /** Names the command: the rollouts it asks for share it. */
  command: string;
  repository: string;
  projectId: string | null;
  ref: string;
  /** The commit. */
  sha: string;
  policyRevision: string;
  drafts: readonly RolloutDraft[];
}

/** A ref that is to be deployed by policies that came after it. */
export interface ReplayDraft {
  repository: string;
  ref: string;
  /** Refused unless it is the newest of the ref. null: that one, whichever it is */
  eventId: string | null;
  policyRevision: string;
  /** Of all policies that match now. */
  drafts: readonly RolloutDraft[];
}

/**
 * What people ask for, rather than refs. All but a command return null where there is no rollout of that id, or no such
 * ref, and throw StalledError where it cannot be done, with what can be done instead.
 */
export interface RequestStore {
  /** Deploys the commit of a rollout that has ended once more, by the policies of today. @returns the new rollout */
  retry(id: string): Promise<Rollout | null>;
  /** Ends a rollout that has neither failed nor become ready. What was delivered stays. @returns it as it was before */
  cancel(id: string, by: string): Promise<Rollout | null>;
  /**
   * Delivers again what its target had before a rollout: the manifest of the last one that became ready, or was delivered
   * where nothing observes, and is another. It goes where, and how, the rollout went that is taken back. What is under
   * way to the target ends. @returns the new rollout
   */
  rollback(id: string): Promise<Rollout | null>;
  /**
   * Begins a rollout for each policy that has none of the newest event of a ref yet. A ref of the baseline has made no
   * event: it makes one now. @returns the rollouts, in the order of their drafts
   */
  replay(draft: ReplayDraft): Promise<Rollout[] | null>;
  /** @returns the rollouts, in the order of their drafts */
  command(draft: CommandDraft): Promise<Rollout[]>;
}

/** One status to write: the newest rollout of a repository, commit and context, and what was written last. */
export interface Report {
  /** What it is about, when it was claimed: what changes meanwhile is reported next. */
  version: number;
  id: string;
  rollout: Rollout;
  sent: CommitStatus | null;
  /** The outcome of an earlier try is not known: read the status back before writing it again. */
  uncertain: boolean;
  attempts: number;
}

export interface ReportStore {
  /** @param except forges whose reports stay where they are */
  claim(limit: number, except?: readonly string[]): Promise<Report[]>;
  /** The forge has it. Where the rollout went on meanwhile, the report is due again. */
  sent(report: Report, status: CommitStatus): Promise<void>;
  /** @param dueAt when to try again, in milliseconds since the epoch */
  postponed(report: Report, dueAt: number): Promise<void>;
  /**
   * The forge refused for good: nothing is written until there is something new to say. The rollout's timeline says why,
   * once.
   */
  refused(report: Report, reason: string): Promise<void>;
}

/** A rollout that a change of the policies makes. */
export interface PolicyRollout {
  /** The rollout that is there: its commit is deployed again. */
  rolloutId: string;
  policy: string;
  environment: string;
}

/** How far the rollouts of one change of the policies are. */
export interface PolicyProgress {
  total: number;
  underWay: number;
  failed: number;
  /** Superseded or cancelled. */
  dropped: number;
  /** What failed first and why; null: nothing did. */
  firstFailure: string | null;
  /** Of the change that was carried out last: whether it could not be told what it changes. */
  uncompared: boolean;
}

export interface PolicyChangeStore {
  /** The newest of each target that has put its manifest there, or is about to. Rollouts of before inputs were kept are left out. */
  deployed(): Promise<Deployed[]>;
  /** All refs that are there, of every known repository. */
  knownRefs(): Promise<KnownRef[]>;
  /** The revision whose rollouts were made last; null: none yet. */
  carriedOut(): Promise<string | null>;
  /** The revision whose carrying out began last; null: none yet. */
  begun(): Promise<string | null>;
  /**
   * Says that a revision came into force and is about to be carried out. Plans that were begun before are not taken any
   * more, but by that revision: {@link deployed} has all that were.
   */
  begin(revision: string): Promise<void>;
  /**
   * Makes the rollouts of a revision that came into force, and notes that, in one transaction.
   * @param change `from`: what {@link carriedOut} said; where it says something else by now, or this revision, no rollout is
   *   made. `uncompared`: it could not be told what it changes. `room`: how many rollouts of all changes are under way at
   *   once from now on; each that ends, or waits for people or for its suspended policy, lets the next go, and so does one
   *   that has waited for five minutes for what is out of reach
   * @returns how many were made
   * @throws Error where something else has come to a target since it was looked at
   */
  carryOut(change: {
    from: string | null;
    revision: string;
    rollouts: readonly PolicyRollout[];
    uncompared?: boolean;
    room: number;
  }): Promise<number>;
  progress(revision: string): Promise<PolicyProgress>;
}

/** A head of the config repository that is to be examined. */
export interface ReviewDraft {
  /** What it is the head of: `request 12`, or the full name of a branch. */
  subject: string;
  /** Of the pull request; null for a branch. */
  number: number | null;
  /** As people write it: `#12`, or the branch's short name. */
  label: string;
  /** The request's page; null for a branch. */
  url: string | null;
  /** The commit. */
  head: string;
  /** What git fetches to have it. */
  headRef: string;
  /** The ref that a status on it is written for. */
  statusRef: string;
}

/** What was found of a head. */
export interface ReviewOutcome {
  head: string;
  /** The revision in force that it was compared with; null: none was. */
  base: string | null;
  state: 'success' | 'failed' | 'running';
  /** The status, one line. */
  description: string;
  /** Whether the examination was given up, which it is again whatever it is compared with. */
  exceeded: boolean;
  /** Milliseconds since the epoch. */
  at: number;
}

export interface Review extends ReviewDraft {
  id: string;
  version: number;
  /** null: it has not been examined yet */
  outcome: ReviewOutcome | null;
  attempts: number;
}

/** What an examination leaves behind beside its outcome. */
export interface ReviewRecord {
  /** Everything, as plain text; null where the description says it all. */
  text: string | null;
  /** How long it took, in milliseconds. */
  took: number;
}

export interface ReviewStore {
  /**
   * Takes all heads there are now: new and moved ones are due. What is not among them is forgotten, unless it still tells of
   * something under way.
   */
  seen(drafts: readonly ReviewDraft[]): Promise<void>;
  /** Makes all due: what they are compared with has changed. */
  lookAgain(): Promise<void>;
  /**
   * Of what is due: the branch's own heads first, then what never failed to be examined, then what was never examined, then
   * what took the least time.
   */
  claim(limit: number): Promise<Review[]>;
  /**
   * Its status and comment are written. Where it changed meanwhile, it stays due.
   * @param record null: it stays as it was
   */
  done(review: Review, outcome: ReviewOutcome, record: ReviewRecord | null): Promise<void>;
  /** @param dueAt when to try again, in milliseconds since the epoch */
  postponed(review: Review, dueAt: number): Promise<void>;
  get(id: string): Promise<(Review & Pick<ReviewRecord, 'text'>) | null>;
}

/** Small facts that must survive a restart, such as the policy revision in force. */
export interface FactStore {
  get(key: string): Promise<string | null>;
  set(key: string, value: string): Promise<void>;
  /**
   * When the earliest row of any queue falls due.
   * @param after in milliseconds since the epoch; rows that were due by then are left out
   * @returns milliseconds since the epoch; null: nothing waits
   */
  nextDue(after: number): Promise<number | null>;
}
