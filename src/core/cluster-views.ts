/**
 * What readiness needs to know of the objects in a cluster, and no more: a watch keeps thousands of them. Plain data,
 * made of raw Kubernetes JSON by src/core/cluster-objects.ts.
 */
import type { DeploymentMode } from './kserve.ts';

/** A condition of a Kubernetes status. */
export interface Condition {
  status: 'True' | 'False' | 'Unknown';
  reason: string | null;
  message: string | null;
}

/** What all have. `service` is the InferenceService they belong to; null where their labels do not say. */
export interface Identity {
  namespace: string;
  name: string;
  uid: string;
  service: string | null;
}

/** What a Deployment, ReplicaSet, Knative Service or Revision has in common: the pods it makes. */
export interface Child extends Identity {
  component: string | null;
  /** The uid of what made it, by its controller reference; null where it has none. Of a Revision, the Knative Service. */
  owner: string | null;
  /** Of its pod template. */
  specHash: string | null;
}

/** KServe's components. Each has a child of its own: a Deployment, or a Knative Service. */
export type Component = 'predictor' | 'transformer' | 'explainer';

/** One component of an InferenceService, as its spec and status have it. */
export interface ComponentView {
  component: Component;
  /** On the pods this component should have; null where its spec carries none. */
  specHash: string | null;
  /** Knative only: how much of the traffic its newest revision should get, in percent. */
  canaryTrafficPercent: number | null;
  latestCreatedRevision: string | null;
  latestReadyRevision: string | null;
  /** Of the InferenceService, such as PredictorReady. In Standard mode the Deployment's condition Available. */
  ready: Condition | null;
}

export interface InferenceServiceView extends Identity {
  kind: 'InferenceService';
  /** Of what people and programs ask of it, as `intentOf` (src/core/cluster-objects.ts) makes it. */
  intent: string;
  deleting: boolean;
  /** The annotation `serving.kserve.io/stop`. */
  stopped: boolean;
  /** The annotation `serving.kserve.io/disable-auto-update`: KServe ignores changes once it is ready. */
  autoUpdateDisabled: boolean;
  /** What KServe runs it in, else what it asks for. */
  mode: DeploymentMode | null;
  minReplicas: number | null;
  maxReplicas: number | null;
  runtime: string | null;
  storageUris: string[];
  components: ComponentView[];
  ready: Condition | null;
  ingressReady: Condition | null;
  transitionStatus: string | null;
  /** KServe never clears it: it means nothing without the transition status. */
  lastFailure: { reason: string | null; message: string | null } | null;
  url: string | null;
  /** Not its own but that of its child, and of the last one where it has several (KServe #6081). */
  observedGeneration: number;
}

export interface DeploymentView extends Child {
  kind: 'Deployment';
  /** The Knative Revision it belongs to; null in Standard mode. */
  revision: string | null;
  /** Counts the changes of its template; 0 where it does not say. */
  deploymentRevision: number;
  generation: number;
  observedGeneration: number;
  desired: number;
  total: number;
  updated: number;
  available: number;
  isAvailable: Condition | null;
}

export interface ReplicaSetView extends Child {
  kind: 'ReplicaSet';
  desired: number;
  total: number;
  /** The condition ReplicaFailure: why it cannot make its pods. */
  failure: Condition | null;
  /** The Deployment's counter: the greatest is the newest. */
  deploymentRevision: number;
}

export interface KnativeServiceView extends Child {
  kind: 'KnativeService';
  generation: number;
  observedGeneration: number;
  latestCreatedRevision: string | null;
  latestReadyRevision: string | null;
  traffic: { revision: string | null; latest: boolean; percent: number }[];
  ready: Condition | null;
  routesReady: Condition | null;
  configurationsReady: Condition | null;
}

export interface RevisionView extends Child {
  kind: 'Revision';
  ready: Condition | null;
}

export interface EventView extends Identity {
  kind: 'Event';
  /** What it is about. */
  regarding: { kind: string; uid: string };
  reason: string;
  message: string;
  /** When it was last repeated, by the clock of who reported it; null where it does not say. */
  lastAt: number | null;
}

export type ClusterObject =
  | InferenceServiceView
  | DeploymentView
  | ReplicaSetView
  | PodView
  | EventView
  | KnativeServiceView
  | RevisionView;

/** The kinds to watch. `KnativeService` is `services.serving.knative.dev`. */
export type ClusterKind = ClusterObject['kind'];

/** How a container ended. */
export interface Ending {
  reason: string | null;
  exitCode: number | null;
  /** The last lines of its termination message. */
  message: string | null;
}

export interface ContainerView {
  name: string;
  init: boolean;
  image: string | null;
  /** As written in the pod, such as `4Gi`; null where it has none. */
  memoryLimit: string | null;
  state: 'waiting' | 'running' | 'terminated';
  /** Why it waits, and what the kubelet says to that. */
  waiting: { reason: string | null; message: string | null } | null;
  /** How it ended; the last time, where it was started again. null: it never did. */
  ended: Ending | null;
  restarts: number;
  ready: boolean;
}

export interface PodView extends Child {
  kind: 'Pod';
  phase: string | null;
  /** Why the pod as a whole failed, such as `Evicted`. */
  reason: string | null;
  message: string | null;
  deleting: boolean;
  ready: boolean;
  /** What the scheduler says while it finds no node; null once, or before, it has tried. */
  unschedulable: string | null;
  scheduled: boolean;
  /** Those that have a status, in the order in which they start. */
  containers: ContainerView[];
}

/** All objects of one target, as far as they were seen. */
export interface Seen {
  /** null: whether it exists was not asked, or could not be read. */
  namespace: 'present' | 'terminating' | 'absent' | null;
  inferenceService: InferenceServiceView | null;
  deployments: DeploymentView[];
  replicaSets: ReplicaSetView[];
  pods: PodView[];
  knativeServices: KnativeServiceView[];
  revisions: RevisionView[];
  /** At least those about the objects above; more do no harm. */
  events: EventView[];
}
