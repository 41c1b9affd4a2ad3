/** The tables. Times are milliseconds since the epoch; what a column may hold is said in store.ts and core. */
import type { Generated } from 'kysely';
import type { RefEventKind, RefEventSource } from '../core/ref-event.ts';
import type { Cause, Phase, Stage } from '../core/rollout.ts';

export interface Schema {
  repositories: RepositoriesTable;
  former_names: FormerNamesTable;
  refs: RefsTable;
  events: EventsTable;
  rollouts: RolloutsTable;
  transitions: TransitionsTable;
  reports: ReportsTable;
  /** Long, and the same for many plans. */
  catalogues: { hash: string; content: string };
  reviews: ReviewsTable;
  facts: { key: string; value: string };
}

export interface RepositoriesTable {
  id: string;
  /** As the forge itself has said it, and unlike the payloads' in other tables; null: it has not been asked. */
  project_id: string | null;
  /** When its refs were first listed; null: they have not been, and everything in a listing is the baseline. */
  baseline_at: number | null;
  listing_due_at: number;
  lease: string | null;
}

/** What a repository was called before. The number is one of the forge that the name begins with. */
export interface FormerNamesTable {
  project_id: string;
  name: string;
}

export interface RefsTable {
  repository: string;
  ref: string;
  /** null: the ref is gone. */
  sha: string | null;
  /** Advances with every observed move, deletion and re-creation. */
  counter: number;
  /** The event this position made; null for a baseline, which silences none. */
  event_id: string | null;
  /** Where it stood before that event, and the event of that position: what somebody told may turn out not to be so. */
  was_sha: string | null;
  was_event_id: string | null;
}

export interface EventsTable {
  seq: Generated<number>;
  id: string;
  repository: string;
  project_id: string | null;
  ref: string;
  kind: RefEventKind;
  before: string | null;
  sha: string | null;
  source: RefEventSource;
  delivery: string | null;
  received_at: number;
  policy_revision: string | null;
}

export interface RolloutsTable {
  seq: Generated<number>;
  /** The `seq` of the rollout whose turn it takes once more (sql-order.ts); null: it has a turn of its own. */
  place: number | null;
  id: string;
  event_id: string | null;
  cause_kind: Cause['kind'];
  cause_of: string;
  repository: string;
  project_id: string | null;
  ref: string;
  revision: string;
  sha: string;
  policy: string;
  policy_revision: string;
  environment: string;
  cluster: string | null;
  namespace: string | null;
  name: string | null;
  phase: Phase;
  stage: Stage | null;
  message: string;
  created_at: number;
  updated_at: number;
  finished_at: number | null;
  /** JSON of PlanSummary. */
  plan: string | null;
  /** The plan's, as a column: one delivery at a time goes to each. */
  destination: string | null;
  manifest: string | null;
  /** JSON of what it was planned from, the catalogue of runtimes by its hash; null in rows of before it was kept. */
  inputs: string | null;
  /** JSON of Receipt. */
  receipt: string | null;
  /** JSON of PullRequestReference. */
  pull_request: string | null;
  /** 1 where its pull request may have changed since it was claimed. */
  hinted: Generated<number>;
  /** JSON of Observation. */
  observation: string | null;
  endpoint_internal: string | null;
  endpoint_external: string | null;
  attempts: number;
  waiting_since: number | null;
  due_at: number;
  lease: string | null;
}

export interface TransitionsTable {
  seq: Generated<number>;
  rollout_id: string;
  phase: Phase;
  message: string;
  at: number;
}

export interface ReportsTable {
  id: string;
  repository: string;
  sha: string;
  context: string;
  rollout_id: string;
  rollout_seq: number;
  /** Grows whenever there is something new to say, so that what changed during a write is written next. */
  version: number;
  /** JSON of the CommitStatus written last. */
  sent: string | null;
  /** 1 where a try was begun and its outcome is not known. */
  uncertain: number;
  attempts: number;
  /** null: nothing to write. */
  due_at: number | null;
  lease: string | null;
}

export interface ReviewsTable {
  id: string;
  subject: string;
  number: number | null;
  label: string;
  url: string | null;
  head: string;
  head_ref: string;
  status_ref: string;
  /** Grows whenever there is something new to look at, so that what changed during an examination is examined next. */
  version: number;
  /** JSON of ReviewOutcome. */
  outcome: string | null;
  /** The whole report, which may be long: read where it is shown, only. */
  text: string | null;
  /** How long its last examination took, in milliseconds; null: there was none. */
  took: number | null;
  attempts: number;
  /** null: nothing to do. */
  due_at: number | null;
  lease: string | null;
}
