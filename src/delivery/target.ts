/** Where manifests go: a branch of a GitOps repository, or a pull request there. */
import type { DeploymentMode } from '../core/kserve.ts';
import type { PullRequestReference, Receipt, Target } from '../core/rollout.ts';

/** One manifest to put where it belongs. */
export interface Delivery {
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
  path: string;
  manifest: string;
  adopt: boolean;
  updateExisting: boolean;
  /** The mode of the manifest, and those it may be taken over to. */
  modes: readonly [DeploymentMode, ...DeploymentMode[]];
  /** The one this rollout waits for already; null: none. */
  pullRequest: PullRequestReference | null;
  /** Ids that the repository had before it was renamed: what they deployed is its own. */
  formerNames: readonly string[];
}

export type DeliveryOutcome =
  /** `manifest` is what is there now: the delivery's, or that in the mode the service exists in. */
  | { kind: 'delivered'; receipt: Receipt; message: string; manifest: string }
  /** It waits for people to merge it. */
  | { kind: 'proposed'; pullRequest: PullRequestReference; message: string }
  /** People decided against it. */
  | { kind: 'cancelled'; message: string }
  /** Ended before its turn: a newer rollout took its place. */
  | { kind: 'dropped' }
  /** Its own fault or a failing remote; the error's class says which. */
  | { kind: 'failed'; error: unknown };

export interface DeliveryTarget {
  /**
   * Delivers a batch in order. Called by one caller at a time.
   * @param stillWanted asked right before anything leaves: which of these rollouts have not ended meanwhile
   * @returns an outcome for each rollout id of the batch
   */
  deliver(
    batch: readonly Delivery[],
    stillWanted: (rolloutIds: readonly string[]) => Promise<ReadonlySet<string>>,
  ): Promise<Map<string, DeliveryOutcome>>;
}
