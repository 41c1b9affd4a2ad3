/** What modelhook asks of a Kubernetes cluster. */
import type { JsonObject } from '../core/json.ts';

/**
 * The cluster cannot be read at present: it is not reached, gives no answer in time, says that it cannot answer now, or
 * credentials for it fail to come. It may mend itself, so it is no StalledError.
 */
export class ClusterUnavailableError extends Error {
  override readonly name = 'ClusterUnavailableError';
}

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
