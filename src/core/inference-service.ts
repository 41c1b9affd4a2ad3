/** From a plan to the InferenceService, and back from a file to what tells whose it is. */
import { createHash } from 'node:crypto';
import { StalledError } from './errors.ts';
import {
  canonicalJson,
  isJsonObject,
  type Json,
  type JsonObject,
  sortKeys,
  valueAt,
  withoutNulls,
} from './json.ts';
import {
  ASSUMED_KSERVE,
  ASSUMED_VERSION,
  BEFORE_NEW_NAMES,
  type DeploymentMode,
  type KServe,
  modeName,
  modeOfName,
} from './kserve.ts';
import type { Plan } from './plan.ts';
import { formatPath } from './schema-faults.ts';
import { checkStructure } from './structure.ts';
import { readYaml } from './yaml-source.ts';
import { toYaml } from './yaml-text.ts';

const MANAGED_BY = 'app.kubernetes.io/managed-by';
const REPOSITORY = 'modelhook.dev/repository';
const REVISION = 'modelhook.dev/revision';
const SHA = 'modelhook.dev/sha';
const SPEC_HASH = 'modelhook.dev/spec-hash';
const DEPLOYMENT_MODE = 'serving.kserve.io/deploymentMode';

/** Scaling and nothing else: KServe changes these without new pods. */
const SCALE_FIELDS = ['minReplicas', 'maxReplicas', 'scaleTarget', 'scaleMetric', 'scaleMetricType'];

/** What of a plan becomes part of the InferenceService. */
export type Renderable = Pick<
  Plan,
  | 'repository'
  | 'revision'
  | 'sha'
  | 'target'
  | 'runtime'
  | 'modelFormat'
  | 'protocolVersion'
  | 'storageUri'
  | 'resources'
  | 'replicas'
  | 'deploymentMode'
  | 'kserveVersion'
  | 'rollout'
  | 'labels'
  | 'annotations'
  | 'pod'
  | 'container'
>;

/**
 * Renders a plan.
 * @returns YAML, the same bytes for the same plan, and the object it stands for
 * @throws StalledError where KServe's API server would refuse the object: fields it does not know, values of another type
 */
export function renderInferenceService(
  plan: Renderable,
  { structure }: KServe = ASSUMED_KSERVE,
): { manifest: string; object: JsonObject } {
  const object = buildInferenceService(plan);
  const faults = checkStructure(structure, object, []);
  if (faults.length > 0)
    throw new StalledError(
      `the InferenceService does not have the structure KServe expects: ${faults.map(({ path, message }) => `${formatPath(path)}: ${message}`).join('; ')}`,
      'correct what it comes from: the policy, its GPU profile or the runtime',
    );
  return { manifest: toYaml(object), object };
}

/**
 * Builds the InferenceService of a plan.
 *
 * Only what stays the same from one revision to the next stands in the object's metadata: KServe copies that to the
 * pods too, but so it does with what else refers to it, and a renamed policy must restart nothing.
 */
export function buildInferenceService(plan: Renderable): JsonObject {
  const metadata = {
    name: plan.target.name,
    namespace: plan.target.namespace,
    labels: sortKeys({ ...plan.labels, [MANAGED_BY]: 'modelhook' }),
    annotations: sortKeys({
      ...plan.annotations,
      [DEPLOYMENT_MODE]: modeName(plan.deploymentMode, plan.kserveVersion),
      [REPOSITORY]: plan.repository,
    }),
  };
  const predictor = renderPredictor(plan);
  const specHash = hashSpec(predictor, metadata.labels, metadata.annotations, plan.sha);
  const annotations = isJsonObject(predictor['annotations']) ? predictor['annotations'] : {};
  return {
    apiVersion: 'serving.kserve.io/v1beta1',
    kind: 'InferenceService',
    metadata,
    spec: { predictor: { ...predictor, annotations: sortKeys({ ...annotations, [SPEC_HASH]: specHash }) } },
  };
}

/** Fields in the order in which people look for them; the policy's own sorted in between. */
function renderPredictor(plan: Renderable): JsonObject {
  const { labels, annotations, ...pod } = withoutNulls(plan.pod);
  const scaling = {
    minReplicas: plan.replicas.min,
    maxReplicas: plan.replicas.max,
    ...renderStrategy(plan.rollout),
  };
  return {
    ...(isJsonObject(labels) ? { labels: sortKeys(labels) } : {}),
    annotations: sortKeys({
      ...(isJsonObject(annotations) ? annotations : {}),
      [REVISION]: plan.revision,
      [SHA]: plan.sha,
    }),
    ...scaling,
    ...sorted(pod),
    // Again, for nothing from a pod may take their place.
    ...scaling,
    model: {
      modelFormat: { name: plan.modelFormat.name, ...present({ version: plan.modelFormat.version }) },
      runtime: plan.runtime,
      protocolVersion: plan.protocolVersion,
      storageUri: plan.storageUri,
      resources: { requests: sortKeys(plan.resources.requests), limits: sortKeys(plan.resources.limits) },
      ...sorted(withoutNulls(plan.container)),
    },
  };
}

const sorted = (object: JsonObject): JsonObject => {
  const copy = sortKeys(object);
  return isJsonObject(copy) ? copy : {};
};

/** Leaves out what is null. */
const present = (object: JsonObject): JsonObject =>
  Object.fromEntries(Object.entries(object).filter(([, value]) => value !== null));

function renderStrategy(rollout: Plan['rollout']): JsonObject {
  if (rollout === null) return {};
  const rollingUpdate = present({ maxSurge: rollout.maxSurge, maxUnavailable: rollout.maxUnavailable });
  const bounds = Object.keys(rollingUpdate).length === 0 ? {} : { rollingUpdate };
  return { deploymentStrategy: { type: rollout.strategy, ...bounds } };
}

/**
 * Hashes everything KServe copies to pods. The commit belongs to it: a moved tag brings new weights at the old address.
 * @returns 16 hex digits
 */
function hashSpec(predictor: JsonObject, labels: Json, annotations: Json, sha: string): string {
  const copied = Object.fromEntries(
    Object.entries(predictor).filter(([field]) => !SCALE_FIELDS.includes(field)),
  );
  return createHash('sha256')
    .update(canonicalJson({ predictor: copied, labels, annotations, sha }))
    .digest('hex')
    .slice(0, 16);
}

/**
 * Takes a manifest over to the mode its service exists in, since KServe cannot change that.
 * @param manifest as {@link renderInferenceService} made it
 * @returns the same service in the other mode, spelled for the same version of KServe
 */
export function withMode(manifest: string, mode: DeploymentMode): string {
  const object = readYaml('', manifest).documents[0]?.value;
  const spelled = textAt(object, ['metadata', 'annotations', DEPLOYMENT_MODE]) ?? '';
  if (!isJsonObject(object) || modeOfName(spelled) === mode) return manifest;
  const metadata = objectAt(object, ['metadata']);
  const version =
    spelled === 'RawDeployment' || spelled === 'Serverless' ? BEFORE_NEW_NAMES : ASSUMED_VERSION;
  const annotations = { ...objectAt(metadata, ['annotations']), [DEPLOYMENT_MODE]: modeName(mode, version) };
  const predictor = objectAt(object, ['spec', 'predictor']);
  const { [SPEC_HASH]: _, ...own } = objectAt(predictor, ['annotations']);
  const specHash = hashSpec(
    { ...predictor, annotations: own },
    metadata['labels'] ?? {},
    annotations,
    textAt(predictor, ['annotations', SHA]) ?? '',
  );
  return toYaml({
    ...object,
    metadata: { ...metadata, annotations },
    spec: { predictor: { ...predictor, annotations: sortKeys({ ...own, [SPEC_HASH]: specHash }) } },
  });
}

const objectAt = (value: Json, path: readonly string[]): JsonObject => {
  const found = valueAt(value, path);
  return isJsonObject(found) ? found : {};
};

/** What an existing file says about whose it is. */
export interface ManagedManifest {
  /** Whether modelhook may replace it: one document with our label. */
  managed: boolean;
  /** 0 where it cannot be read. */
  documents: number;
  repository: string | null;
  target: { namespace: string; name: string } | null;
  revision: string | null;
  sha: string | null;
  specHash: string | null;
  /** null: it does not say */
  deploymentMode: DeploymentMode | null;
}

const UNMANAGED: ManagedManifest = {
  managed: false,
  documents: 0,
  repository: null,
  target: null,
  revision: null,
  sha: null,
  specHash: null,
  deploymentMode: null,
};

/**
 * Reads a file of a GitOps repository. A file of several documents is never ours, whatever they say.
 * @param text anything; what is not readable is not managed
 */
export function readManaged(text: string): ManagedManifest {
  const { documents, faults } = readYaml('', text);
  const [document, ...others] = documents;
  if (faults.length > 0 || document === undefined || others.length > 0)
    return { ...UNMANAGED, documents: documents.length };
  const { value } = document;
  const pod = ['spec', 'predictor', 'annotations'];
  const namespace = textAt(value, ['metadata', 'namespace']);
  const name = textAt(value, ['metadata', 'name']);
  return {
    documents: 1,
    managed: textAt(value, ['metadata', 'labels', MANAGED_BY]) === 'modelhook',
    repository: textAt(value, ['metadata', 'annotations', REPOSITORY]),
    target: namespace === null || name === null ? null : { namespace, name },
    revision: textAt(value, [...pod, REVISION]),
    sha: textAt(value, [...pod, SHA]),
    specHash: textAt(value, [...pod, SPEC_HASH]),
    deploymentMode: modeOfName(textAt(value, ['metadata', 'annotations', DEPLOYMENT_MODE]) ?? ''),
  };
}

function textAt(value: Json | undefined, path: readonly string[]): string | null {
  const text = valueAt(value, path);
  return typeof text === 'string' ? text : null;
}
