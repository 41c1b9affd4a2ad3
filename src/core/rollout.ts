/** The unit of work: one cause × one policy × one target, carried from `pending` to a final phase. */

import { StalledError } from './errors.ts';
import type { DeploymentMode } from './kserve.ts';

export type Phase = 'pending' | 'delivered' | 'ready' | 'failed' | 'superseded' | 'cancelled';
export const PHASES: readonly Phase[] = [
  'pending',
  'delivered',
  'ready',
  'failed',
  'superseded',
  'cancelled',
];

/**
 * What the controller does next with a rollout; null once it is final. `wave`: it waits for others that changes of the
 * policies have made.
 */
export type Stage = 'wave' | 'resolve' | 'remove' | 'deliver' | 'observe';

/** Why a rollout exists, and the id of what caused it. */
export interface Cause {
  kind: 'event' | 'policy' | 'retry' | 'rollback' | 'command';
  of: string;
}

/** Where one InferenceService lives. */
export interface Target {
  cluster: string;
  namespace: string;
  name: string;
}

/** `prod/vision/iris`: how a target is named in messages and compared in the store. */
export const formatTarget = (target: Target): string =>
  `${target.cluster}/${target.namespace}/${target.name}`;

/**
 * @param isHealed what is deleted is put back in the mode it had
 * @returns why a target cannot be deployed in another mode than the one it has
 */
export const modeConflict = (
  policy: string,
  target: Target,
  present: DeploymentMode,
  wanted: DeploymentMode,
  isHealed: boolean,
): StalledError =>
  new StalledError(
    `${formatTarget(target)} exists in ${present} mode, and policy "${policy}" makes it ${wanted}; KServe cannot change the mode of a service`,
    `set spec.deploymentMode: ${present} and what goes with it in the policy, or ${isHealed ? 'turn selfHeal off in it and ' : ''}delete the service first`,
  );

/** What a delivery left behind. Identical content makes no commit, and is a success all the same. */
export interface Receipt {
  /** The GitOps commit that put it there; null where nothing had to change, or the forge does not tell the merge's. */
  commit: string | null;
  path: string | null;
}

/** The pull request a delivery goes through. */
export interface PullRequestReference {
  number: number;
  /** As people write it: `#12` or `!12`. */
  label: string;
  url: string;
}

/** One line of a rollout's timeline. */
export interface Transition {
  phase: Phase;
  message: string;
  /** Milliseconds since the epoch. */
  at: number;
}

/**
 * What observing goes by and has noted. It is stored, so that a restart goes on where it was. Times are milliseconds
 * since the epoch.
 */
export interface Observation {
  /** This and the next three: of the manifest as it was delivered. */
  specHash: string;
  minReplicas: number;
  maxReplicas: number;
  mode: DeploymentMode;
  deliveredAt: number;
  /** When it first served; null: it has not so far. */
  readyAt: number | null;
  /** When causes of failure were first seen, as the judge of readiness keeps it. */
  since: Readonly<Record<string, number>>;
}

/** How long a delivered model may take to serve, and what counts against it. Times are milliseconds. */
export interface ReadinessTerms {
  timeout: number;
  stability: number;
  grace: { imagePull: number; unschedulable: number; invalidSpec: number; restarts: number };
}

/** A rollout as it is stored. Times are milliseconds since the epoch. */
export interface Rollout {
  id: string;
  /** Grows with every rollout: the newest of a target, or of a commit and context, has the greatest. */
  seq: number;
  eventId: string | null;
  cause: Cause;
  repository: string;
  projectId: string | null;
  ref: string;
  revision: string;
  sha: string;
  policy: string;
  policyRevision: string;
  environment: string;
  /** null until its plan is made: the name may depend on the model card. */
  target: Target | null;
  phase: Phase;
  stage: Stage | null;
  message: string;
  createdAt: number;
  updatedAt: number;
  finishedAt: number | null;
  /** What was decided before rendering; null until then. */
  plan: PlanSummary | null;
  /** The rendered InferenceService, YAML; null until then. */
  manifest: string | null;
  receipt: Receipt | null;
  /** null: there is none, or not yet. */
  pullRequest: PullRequestReference | null;
  endpoints: { internal: string | null; external: string | null };
  /** null until it is observed, and where it never is. */
  observation: Observation | null;
  /** Tries of the current stage that failed. */
  attempts: number;
  /** Since when the current stage fails; null while it does not. */
  waitingSince: number | null;
}

/** What the deliver stage and the rollout's page need of a plan: it is stored, so restarts decide nothing twice. */
export interface PlanSummary {
  /** A key of `gitops` in modelhook.yaml; null: applied to the cluster. */
  gitops: string | null;
  via: 'push' | 'pullRequest';
  path: string;
  adopt: boolean;
  /** What others change of what was applied is put back. Absent: it is not. */
  selfHeal?: boolean;
  updateExisting: boolean;
  /** The mode of the manifest, and after it one that the policy can do with where the service exists in that. */
  modes: readonly [DeploymentMode, ...DeploymentMode[]];
  /** Why this policy deploys this ref, one sentence. */
  why: string;
  /** null: the rollout ends with its delivery, whatever can be read of the cluster. */
  readiness: ReadinessTerms | null;
  /** What was chosen and from where, a line each, in the order in which it was decided. */
  decisions: string[];
  warnings: string[];
  /** Of a removal: what its deleted ref has brought to the target, as commits of the model. Absent: it deploys. */
  removes?: string[];
}

/** @returns what stands for the delivery target of a plan: one batch at a time goes to each */
export const destinationOf = (
  { gitops, via }: Pick<PlanSummary, 'gitops' | 'via'>,
  target: Target,
): string => (gitops === null ? clusterDestination(target.cluster) : gitopsDestination(gitops, via));

/** @returns the destination of what is committed to a GitOps repository, or proposed there */
export const gitopsDestination = (gitops: string, via: PlanSummary['via']): string =>
  via === 'pullRequest' ? `pull requests/${gitops}` : `gitops/${gitops}`;

/** @returns the destination of what is applied to a cluster */
export const clusterDestination = (cluster: string): string => `apply/${cluster}`;

/** @returns whether nothing follows this phase. `delivered` is final when nothing observes the cluster, that is when no stage is left; `failed` and `ready` may be watched on. */
export const isFinal = (rollout: Pick<Rollout, 'phase' | 'stage'>): boolean => rollout.stage === null;

/** The context of the status on the model commit: stable for a policy and repository. */
export const statusContext = (environment: string): string => `modelhook/${environment}`;
