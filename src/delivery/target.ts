/** Where manifests go: a branch of a GitOps repository, a pull request there, or a cluster. */
import type { DeploymentMode } from '../core/kserve.ts';
import type { PullRequestReference, Receipt, Target } from '../core/rollout.ts';

/** What a rollout does at one place. */
interface ErrandBase {
  rolloutId: string;
  repository: string;
  sha: string;
  revision: string;
  policy: string;
  policyRevision: string;
  environment: string;
  /** Why it happens, for the commit's body: a sentence a line. */
  why: string;
  /** What was chosen and from where, a line each. */
  decisions: readonly string[];
  warnings: readonly string[];
  /** The rollout's page. */
  page: string;
  target: Target;
  /** The file in a GitOps repository. */
  path: string;
  /** The one this rollout waits for already; null: none. */
  pullRequest: PullRequestReference | null;
  /** Ids that the repository had before it was renamed: what they deployed is its own. */
  formerNames: readonly string[];
}

/** One manifest to put where it belongs. */
export interface Delivery extends ErrandBase {
  manifest: string;
  adopt: boolean;
  /** What others have set is taken back, where modelhook manages it. It means something in a cluster only. */
  selfHeal: boolean;
  updateExisting: boolean;
  /** The mode of the manifest, and those it may be taken over to. */
  modes: readonly [DeploymentMode, ...DeploymentMode[]];
}

/** One manifest to take away again, for the ref that deployed it is gone. */
export interface Removal extends ErrandBase {
  manifest: null;
  /** What the ref has brought there, as commits of the model: anything else stays. */
  commits: readonly string[];
}

/** What was applied to a cluster, to be put back where somebody changed or deleted it. For clusters only. */
export interface Healing extends Delivery {
  heals: true;
}

export type Errand = Delivery | Removal;

export type DeliveryOutcome =
  /** `manifest` is what is there now: the delivery's, or that in the mode the service exists in. */
  | { kind: 'delivered'; receipt: Receipt; message: string; manifest: string }
  /** It is not there any more, or never was. */
  | { kind: 'removed'; receipt: Receipt; message: string }
  /** Of a healing: nobody changed it. `intent` is that of what is there (`intentOf`, src/core/cluster-objects.ts). */
  | { kind: 'intact'; intent: string }
  /** Of a healing: it is put back. `what` says what somebody had made of it, a clause. */
  | { kind: 'healed'; what: string }
  /** It waits for people to merge it. */
  | { kind: 'proposed'; pullRequest: PullRequestReference; message: string }
  /** People decided against it: by closing the request, or by making what is to be removed or put back something else. */
  | { kind: 'cancelled'; message: string }
  /** Ended before its turn: a newer rollout took its place. */
  | { kind: 'dropped' }
  /** Its own fault or a failing remote; the error's class says which. */
  | { kind: 'failed'; error: unknown };

/** Asked right before anything leaves: which of these rollouts have not ended meanwhile. */
export type StillWanted = (rolloutIds: readonly string[]) => Promise<ReadonlySet<string>>;

/** Told once for each rollout id of a batch, as soon as it is so. */
export type Settled = (rolloutId: string, outcome: DeliveryOutcome) => void;

export interface DeliveryTarget {
  /**
   * Does a batch, what concerns one target in its order. Called by one caller at a time.
   * @throws what those fail with that have no outcome by then
   */
  deliver(batch: readonly Errand[], stillWanted: StillWanted, settled: Settled): Promise<void>;
}
