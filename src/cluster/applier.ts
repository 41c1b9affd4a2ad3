/** Puts InferenceServices into a cluster by server-side apply. */
import { StalledError } from '../core/errors.ts';
import { isJsonObject, type JsonObject, parseJson, valueAt } from '../core/json.ts';
import type { ClusterApi } from './api.ts';
import { type ApiAnswer, type Deed, statusOf, subjectOf, wordsOf } from './api-failure.ts';
import {
  ApplyConflictError,
  type ClusterApplier,
  type ClusterProblem,
  ClusterUnavailableError,
  FIELD_MANAGER,
  type ObjectPlace,
  ObjectReplacedError,
  type OwnedField,
} from './cluster.ts';
import { CRD_LEAVES, INFERENCE_SERVICES, pathOf, serviceDeed } from './resources.ts';

/** @param name of the cluster, for messages */
export const createApplier = (api: ClusterApi, name: string): ClusterApplier => ({
  get: async (place) => {
    const answer = await api.ask({ path: pathOfService(place) });
    if (answer.status === 200) return objectIn(api, answer);
    if (answer.status === 404 && statusOf(answer.body) !== null) return null;
    throw api.refusal(answer, serviceDeed('get', place));
  },

  apply: async (object, { dryRun, force }) => {
    const place = placeOf(object);
    const answer = await api.ask({
      method: 'PATCH',
      path: pathOfService(place),
      query: {
        fieldManager: FIELD_MANAGER,
        fieldValidation: 'Strict',
        force: String(force),
        ...(dryRun && { dryRun: 'All' }),
      },
      // JSON is YAML, and of all API servers only newer ones know apply-patch+json.
      contentType: 'application/apply-patch+yaml',
      body: object,
    });
    if (answer.status === 200 || answer.status === 201) return objectIn(api, answer);
    const deed = serviceDeed('apply', place);
    throw (
      conflictOf(place, name, answer) ??
      replacementOf(object, name, answer) ??
      refusalOf(api, name, place, answer, deed)
    );
  },

  remove: async (place, uid) => {
    const body = { kind: 'DeleteOptions', apiVersion: 'v1', preconditions: { uid } };
    const answer = await api.ask({ method: 'DELETE', path: pathOfService(place), body });
    if (answer.status === 200 || answer.status === 202) return 'removed';
    if (answer.status === 404 && statusOf(answer.body) !== null) return 'absent';
    if (answer.status === 409) return 'other';
    throw refusalOf(api, name, place, answer, serviceDeed('delete', place));
  },
});

const pathOfService = ({ namespace, name }: ObjectPlace): string =>
  pathOf(INFERENCE_SERVICES, namespace, name);

function placeOf(object: JsonObject): ObjectPlace {
  const namespace = valueAt(object, ['metadata', 'namespace']);
  const name = valueAt(object, ['metadata', 'name']);
  if (typeof namespace === 'string' && typeof name === 'string') return { namespace, name };
  throw new TypeError('an InferenceService to apply has a name and a namespace');
}

function objectIn(api: ClusterApi, { body }: ApiAnswer): JsonObject {
  const object = parseJson(body);
  if (isJsonObject(object) && object['kind'] === 'InferenceService') return object;
  throw api.stranger('something that is no InferenceService');
}

/** How a schema is told that does not fit: with code 500, as failures of the API server itself. */
const TYPED_PATCH = 'failed to create typed patch object';

/** How an API server refuses to make what is being deleted as a kind; nothing else in the answer tells. */
const CRD_TERMINATING = 'create not allowed while custom resource definition is terminating';

/**
 * What is wrong with the object fails a rollout, in the words of who refused it. What is wrong with the cluster, or
 * between it and us, can pass.
 */
function refusalOf(api: ClusterApi, name: string, place: ObjectPlace, answer: ApiAnswer, deed: Deed): Error {
  const status = statusOf(answer.body);
  if (status === null) return api.refusal(answer, deed);
  const { namespace } = place;
  const cannot = (problem: Omit<ClusterProblem, 'retryAfter'>) =>
    new ClusterUnavailableError(`cluster ${name}`, { ...problem, retryAfter: answer.retryAfter });
  const words = wordsOf(status);
  if (answer.status === 404 && valueAt(status, ['details', 'kind']) === 'namespaces')
    return cannot({
      kind: 'namespace',
      what: `has no namespace ${namespace}`,
      detail: null,
      fix: `make it, with what belongs in it: kubectl create namespace ${namespace}`,
    });
  if (isTerminating(status))
    return cannot({
      kind: 'namespace',
      what: `is deleting namespace ${namespace}`,
      detail: null,
      fix: 'make it again once it is gone, or change target.namespace in the policy',
    });
  if (answer.status === 403 && words.endsWith(CRD_TERMINATING))
    return cannot({ ...CRD_LEAVES, kind: 'missing', detail: null });
  // No field is another manager's: it changed between reading and writing, or is on its way out.
  if (answer.status === 409)
    return cannot({
      kind: 'busy',
      what: `cannot write the InferenceService ${namespace}/${place.name} just now`,
      detail: words,
      fix: 'if that goes on, find out what else writes or deletes it',
    });
  const isOfObject =
    answer.status === 400 ||
    answer.status === 422 ||
    (answer.status === 403 && subjectOf(status) === null) ||
    (answer.status === 500 && words.startsWith(TYPED_PATCH));
  if (!isOfObject) return api.refusal(answer, deed);
  return new StalledError(
    `cluster ${name} refuses the InferenceService ${namespace}/${place.name}: ${words}`,
    'correct what it comes from: the policy, its GPU profile or the runtime',
  );
}

const isTerminating = (status: JsonObject): boolean =>
  causesOf(status).some(({ reason }) => reason === 'NamespaceTerminating');

/**
 * Of an object that is gone an API server says with 409 that the uid does not fit, and of another one with 422 that it
 * cannot be changed.
 */
function replacementOf(object: JsonObject, cluster: string, answer: ApiAnswer): Error | null {
  if (valueAt(object, ['metadata', 'uid']) === undefined) return null;
  const status = statusOf(answer.body);
  if (status === null || isTerminating(status)) return null;
  const isOther = causesOf(status).some(({ field }) => field === 'metadata.uid');
  if (answer.status !== 409 && !(answer.status === 422 && isOther)) return null;
  const { namespace, name } = placeOf(object);
  return new ObjectReplacedError(
    `the InferenceService ${namespace}/${name} in cluster ${cluster} is not the one that was looked at any more`,
  );
}

const causesOf = (status: JsonObject): JsonObject[] => {
  const causes = valueAt(status, ['details', 'causes']);
  return Array.isArray(causes) ? causes.filter(isJsonObject) : [];
};

/** Source: apimachinery's NewApplyConflict, `conflict with "kubectl" using apps/v1`, a subresource and a time between. */
const MANAGER = /^conflict with "((?:[^"\\]|\\.)*)"/;

function conflictOf({ namespace, name }: ObjectPlace, cluster: string, answer: ApiAnswer): Error | null {
  const status = answer.status === 409 ? statusOf(answer.body) : null;
  if (status === null) return null;
  const fields: OwnedField[] = causesOf(status)
    .filter(({ reason }) => reason === 'FieldManagerConflict')
    .map(({ message, field }) => ({
      manager: MANAGER.exec(String(message))?.[1] ?? 'another manager',
      field: String(field ?? ''),
    }));
  if (fields.length === 0) return null;
  const owned = fields.map(({ manager, field }) => `${field} belongs to ${manager}`).join(', ');
  return new ApplyConflictError(
    `the InferenceService ${namespace}/${name} in cluster ${cluster} has fields that others set: ${owned}`,
    fields,
  );
}
