/** What modelhook asks of a Kubernetes cluster. */
import type { Seen } from '../core/cluster-views.ts';
import type { JsonObject } from '../core/json.ts';
import type { DeploymentMode } from '../core/kserve.ts';
import type { RuntimeCatalogue } from '../core/runtime-catalogue.ts';
import type { Structure } from '../core/structure.ts';

/** What stands between us and a cluster. */
export interface ClusterProblem {
  kind:
    | 'configuration' // the kubeconfig cannot be used
    | 'unreachable' // no connection, no answer in time, or no credentials to be had
    | 'busy' // it says that it cannot answer now
    | 'credentials' // they are refused
    | 'forbidden' // RBAC
    | 'missing' // it does not know what is asked for
    | 'namespace' // it does not have the namespace, or is deleting it
    | 'stranger'; // what answers is no API server
  /** The rest of a sentence that begins with the cluster, such as `cannot be reached`. */
  what: string;
  /** What was said to it, or null. */
  detail: string | null;
  /** What to do, in the imperative. */
  fix: string;
  /** Milliseconds that it asks us to wait, or null. */
  retryAfter: number | null;
}

/**
 * The cluster cannot be asked at present: it is not reached, gives no answer in time, says that it cannot answer now,
 * or does not accept us. It may mend itself, or be mended, so it is no StalledError and nothing that waits is lost.
 */
export class ClusterUnavailableError extends Error {
  override readonly name = 'ClusterUnavailableError';
  /** How the message calls it, such as `cluster prod`. */
  readonly cluster: string;
  readonly problem: ClusterProblem;

  constructor(cluster: string, problem: ClusterProblem) {
    super(problemText(cluster, problem, ''));
    this.cluster = cluster;
    this.problem = problem;
  }
}

/**
 * Says a problem in one sentence.
 * @param since put after what is wrong, such as ` since 10:02 UTC`; may be empty
 */
export const problemText = (cluster: string, { what, detail, fix }: ClusterProblem, since: string): string =>
  `${cluster} ${what}${since}${detail === null ? '' : `: ${detail}`}; ${fix}`;

/** Reads a cluster and changes nothing in it. No message of what it throws holds a credential. */
export interface ClusterReader {
  /**
   * Reads KServe's CustomResourceDefinition of InferenceService.
   * @returns the CRD as the API server sends it, no field renamed or left out
   * @throws {StalledError} a person must act: the kubeconfig cannot be used or has no such context, credentials are
   * refused, RBAC forbids the reading, KServe is not installed, or what answers is no API server
   * @throws {ClusterUnavailableError} the API server is not reached or gives no answer, or no credentials come
   */
  inferenceServiceCrd(): Promise<JsonObject>;
}

/** How far what is seen can be trusted. */
export interface WatchState {
  /** Everything was listed once, so what is not seen is not there. It stays true while the cluster is cut off. */
  listed: boolean;
  /** What keeps the watch from being up to date, in words for a rollout, and since when; null: nothing. */
  trouble: { since: number; message: string } | null;
}

/** Called with what may have changed: one service, all of a namespace (no name), or all there is (no namespace). */
export type ClusterListener = (namespace: string | null, name: string | null) => void;

/** Keeps what a cluster shows of its InferenceServices, by one watch a kind, however many rollouts wait. */
export interface ClusterWatch {
  /** Begins to watch. It goes on, whatever happens, until it is stopped. */
  start(): void;
  /** @returns once nothing is asked of the cluster any more */
  stop(): Promise<void>;
  /** @returns all that belongs to one InferenceService, from memory: its children, their pods, and what events tell of them */
  seen(namespace: string, name: string): Seen;
  /** @returns how far {@link seen} can be trusted for services of a namespace */
  state(namespace: string): WatchState;
  /**
   * Finds out whether what is known may be old, before time alone decides: a cluster that vanishes is as silent as one in
   * which nothing happens. Where nothing came from the API server for some seconds, it is asked whether it is there.
   * @returns once it was heard, or {@link state} tells that it was not
   */
  check(): Promise<void>;
  /** @returns a function that ends the listening */
  onChange(listener: ClusterListener): () => void;
}

/** What of `inferenceservice-config` counts; null where it is not set. */
export interface KServeSettings {
  /** What runs a service that does not say how. */
  defaultDeploymentMode: DeploymentMode | null;
}

/** What is known of a cluster when a plan is made. Each part is null where it is not known. */
export interface ClusterKnowledge {
  /** Each watch of it has had its first answer. Before that, wait: `onChange` tells. */
  complete: boolean;
  runtimes: RuntimeCatalogue | null;
  /** Of the controller, else of the CRD. */
  kserveVersion: string | null;
  /** What an InferenceService may hold. */
  structure: Structure | null;
  settings: KServeSettings | null;
  /** Whether Knative Serving is installed. */
  knative: boolean | null;
  /** Why a part is not known or not up to date, and what of it cannot be read, in words. */
  warnings: readonly string[];
}

/** Tells from memory what a plan needs of a cluster; the same watches keep it. */
export interface ClusterCatalogue {
  /** @param namespace whose runtimes count, beside those of the cluster */
  knowledge(namespace: string): ClusterKnowledge;
}

export interface ApplyOptions {
  /** Everything is checked, by the webhooks too, and nothing is changed. */
  dryRun: boolean;
  /** Fields of others are taken over. */
  force: boolean;
}

/** A field of the object that another manager owns with another value. */
export interface OwnedField {
  manager: string;
  /** Such as `.spec.predictor.minReplicas`; the API server's spelling. */
  field: string;
}

/** An apply without force would have taken fields from others, and changed nothing. */
export class ApplyConflictError extends Error {
  override readonly name = 'ApplyConflictError';
  readonly fields: readonly OwnedField[];

  constructor(message: string, fields: readonly OwnedField[]) {
    super(message);
    this.fields = fields;
  }
}

/** An apply was meant for an object that is gone, or has been made anew under its name. Nothing was changed. */
export class ObjectReplacedError extends Error {
  override readonly name = 'ObjectReplacedError';
}

/** Under this name API servers keep which fields are ours. */
export const FIELD_MANAGER = 'modelhook';

/** Where one InferenceService is. */
export interface ObjectPlace {
  namespace: string;
  name: string;
}

/**
 * Puts InferenceServices into a cluster. Every call can be repeated. All throw {@link ClusterUnavailableError} where the
 * cluster cannot be asked, does not accept us, or lets us not do it.
 */
export interface ClusterApplier {
  /** @returns the live object as the API server sends it; null where there is none */
  get(place: ObjectPlace): Promise<JsonObject | null>;
  /**
   * Server-side apply as {@link FIELD_MANAGER}. Namespaces are never made.
   * @param object with `metadata.uid` only that very object is changed
   * @returns the object as it is, or would be, with what the webhooks made of it
   * @throws {ApplyConflictError} others own fields of it
   * @throws {ObjectReplacedError} it is not the one of the given uid any more
   * @throws {StalledError} it is refused, in the words of the API server or of a webhook
   */
  apply(object: JsonObject, options: ApplyOptions): Promise<JsonObject>;
  /**
   * Deletes the object, if it still is the one with this uid.
   * @returns `other`: another has its name by now, and was left alone
   * @throws {StalledError} it is refused, in the words of the API server or of a webhook
   */
  remove(place: ObjectPlace, uid: string): Promise<'removed' | 'absent' | 'other'>;
}

/** One thing that modelhook does in a cluster, as RBAC names it. */
export interface ClusterRight {
  /** Empty for the core group. */
  group: string;
  resource: string;
  verb: string;
  /** null: in the whole cluster */
  namespace: string | null;
  /** null: any */
  name: string | null;
}

/** Asks a cluster what it lets us do. */
export interface ClusterReviewer {
  /** @returns what of all that modelhook does there it may not do */
  missingRights(): Promise<ClusterRight[]>;
  /**
   * Whether KServe's webhooks for InferenceServices are configured. Nothing depends on it, so modelhook needs no right for it.
   * @throws {ClusterUnavailableError} the cluster cannot be asked
   */
  kserveWebhooks(): Promise<'configured' | 'absent' | 'unreadable'>;
}

/** One cluster. It loads its client, and opens connections, when it is first asked or started. */
export interface Cluster {
  watch: ClusterWatch;
  catalogue: ClusterCatalogue;
  applier: ClusterApplier;
  reviewer: ClusterReviewer;
}
