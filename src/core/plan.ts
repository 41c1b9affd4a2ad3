/** Everything that is decided before rendering: from a policy, a ref and a model card to a plan. */
import { StalledError } from './errors.ts';
import { type JsonObject, mergeJson } from './json.ts';
import { explainMatch } from './match.ts';
import type { ModelCard } from './model-card.ts';
import { labelValue, pathSegment, unsafePath } from './names.ts';
import { modeOf, type Policy, type PolicySet } from './policy.ts';
import { resolveTarget, valuesOf } from './policy-target.ts';
import { revisionOf } from './ref-event.ts';
import { formatTarget, type PlanSummary, type Target } from './rollout.ts';
import { chooseRuntime } from './runtime.ts';
import { storageUriFault, storageUriWarning } from './storage-uri.ts';
import { fillTemplate, type TemplateValues, variablesOf } from './template.ts';

/** A model card, or why there is none: that matters only where something needs it. */
export type ModelCardInput =
  | { kind: 'card'; card: ModelCard }
  | { kind: 'unavailable'; reason: StalledError };

export interface PlanInput {
  policy: Policy;
  /** The set the policy is of, for its runtimes. */
  policies: PolicySet;
  repository: string;
  projectId: string | null;
  ref: string;
  sha: string;
  modelCard: ModelCardInput;
  /** Such as `0.15`; unknown: 0.20 */
  kserveVersion?: string | undefined;
}

export interface Plan extends PlanSummary {
  policy: string;
  policyRevision: string;
  repository: string;
  projectId: string | null;
  ref: string;
  revision: string;
  sha: string;
  environment: string;
  target: Target;
  runtime: string;
  modelFormat: { name: string; version: string | null };
  protocolVersion: Policy['protocolVersion'];
  storageUri: string;
  storagePvc: string | null;
  resources: Policy['resources'];
  replicas: Policy['replicas'];
  deploymentMode: 'Standard' | 'Knative';
  /** Before 0.16 the modes had other names. */
  kserveVersion: { major: number; minor: number };
  rollout: Policy['rollout'];
  /** The policy's, filled in; ours are added when rendering. */
  labels: Record<string, string>;
  annotations: Record<string, string>;
  /** Fields of the predictor's pod: the GPU profile's and the policy's. */
  pod: JsonObject;
  /** Fields of the model's container. */
  container: JsonObject;
  conventions: Policy['conventions'];
}

/** @returns whether a policy can be planned without a model card: it names the format, and no template asks for more */
export const needsModelCard = (policy: Policy): boolean =>
  policy.modelFormat === null ||
  [
    policy.target.namespace,
    policy.target.name,
    policy.storage.uri,
    policy.delivery.path,
    ...Object.values(policy.labels),
    ...Object.values(policy.annotations),
  ].some((template) => [...variablesOf(template)].some((name) => name.startsWith('modelCard.')));

/**
 * Decides everything, in the order in which `decisions` says it.
 * @throws StalledError where a person must act: a template without a value, no runtime that fits, a card that is
 *   needed and missing, a storage address KServe refuses
 */
export function makePlan(input: PlanInput): Plan {
  const { policy, policies, modelCard } = input;
  if (modelCard.kind === 'unavailable' && needsModelCard(policy)) throw modelCard.reason;
  const card = modelCard.kind === 'card' ? modelCard.card : null;
  const kserveVersion = parseKserveVersion(input.kserveVersion);
  const before = valuesOf(policy, input, card);
  const target = resolveTarget(policy, before);
  const values = { ...before, 'target.namespace': target.namespace, 'target.name': target.name };
  const runtime = chooseRuntime(
    {
      ...policy.runtime,
      protocolVersion: policy.protocolVersion,
      namespace: target.namespace,
      modelFormat: policy.modelFormat,
      library: () => requireLibrary(card),
      multiNode: 'workerSpec' in policy.pod,
    },
    policies.runtimes.length === 0 ? null : { source: 'the runtime catalogue', runtimes: policies.runtimes },
  );
  const storageUri = fillStorageUri(policy, values);
  const doubtful = storageUriWarning(storageUri);
  const deploymentMode = modeOf(policy);
  return {
    policy: policy.name,
    policyRevision: policies.revision,
    repository: input.repository,
    projectId: input.projectId,
    ref: input.ref,
    revision: revisionOf(input.ref, input.sha),
    sha: input.sha,
    environment: policy.environment,
    target,
    runtime: runtime.name,
    modelFormat: runtime.modelFormat,
    protocolVersion: policy.protocolVersion,
    storageUri,
    storagePvc: policy.storage.pvc,
    resources: policy.resources,
    replicas: policy.replicas,
    deploymentMode,
    kserveVersion,
    rollout: policy.rollout,
    ...fillMetadata(policy, values),
    pod: mergeJson(policy.gpu?.pod ?? {}, policy.pod),
    container: policy.container,
    conventions: policy.conventions,
    gitops: policy.delivery.gitops,
    path: fillPath(policy, values),
    adopt: policy.delivery.adopt,
    updateExisting: policy.updateExisting,
    why: `Policy ${policy.name} deploys it: ${explainMatch(policy, input).reason}.`,
    decisions: [
      `target ${formatTarget(target)}${targetOrigin(policy, values)}`,
      ...runtime.decisions,
      `storage ${storageUri}`,
      gpuDecision(policy),
      modeDecision(policy),
      `KServe ${kserveVersion.major}.${kserveVersion.minor}${input.kserveVersion === undefined ? ', assumed' : ''}`,
    ],
    warnings: [...runtime.warnings, ...(doubtful === null ? [] : [`storage ${storageUri}: ${doubtful}`])],
  };
}

function requireLibrary(card: ModelCard | null): string {
  if (card?.library) return card.library;
  throw new StalledError(
    'the model card (README.md) has no library_name, so the model format is not known',
    'add library_name to its front matter, or set spec.modelFormat in the policy',
  );
}

function parseKserveVersion(text: string | undefined): Plan['kserveVersion'] {
  if (text === undefined) return { major: 0, minor: 20 };
  const match = /^v?(\d{1,4})\.(\d{1,4})(?:[.+-].*)?$/.exec(text);
  if (match === null)
    throw new StalledError(
      `"${text}" is no version of KServe`,
      'write it as 0.20 or v0.20.1 in the configuration',
    );
  return { major: Number(match[1]), minor: Number(match[2]) };
}

function fillStorageUri(policy: Policy, values: TemplateValues): string {
  const uri = fillTemplate(policy.storage.uri, 'spec.storage.uri', values);
  const fault = storageUriFault(uri);
  if (fault !== null)
    throw new StalledError(
      `spec.storage.uri: ${fault}`,
      'correct spec.storage.uri in the policy, or the name it is made of',
    );
  return uri;
}

/** Each value becomes one safe segment, so no name from outside leads to another folder. */
function fillPath(policy: Policy, values: TemplateValues): string {
  const path = fillTemplate(policy.delivery.path, 'spec.delivery.path', values, pathSegment);
  const unsafe = unsafePath(path);
  if (unsafe !== null)
    throw new StalledError(
      `spec.delivery.path: "${path}" ${unsafe}`,
      'correct spec.delivery.path in the policy',
    );
  return path;
}

/** A value that is no label text is made one, and its original kept as an annotation of the same key. */
function fillMetadata(policy: Policy, values: TemplateValues): Pick<Plan, 'labels' | 'annotations'> {
  const labels: Record<string, string> = {};
  const annotations: Record<string, string> = {};
  for (const [key, template] of Object.entries(policy.labels)) {
    const text = fillTemplate(template, `spec.labels["${key}"]`, values);
    labels[key] = labelValue(text);
    if (labels[key] !== text) annotations[key] = text;
  }
  for (const [key, template] of Object.entries(policy.annotations))
    annotations[key] = fillTemplate(template, `spec.annotations["${key}"]`, values);
  return { labels, annotations };
}

function targetOrigin(policy: Policy, values: TemplateValues): string {
  const { name } = policy.target;
  if (variablesOf(name).size === 0) return ', named by the policy';
  const source = fillTemplate(name, 'spec.target.name', values);
  const altered = source === values['target.name'] ? '' : `, made a valid name of "${source}"`;
  return `, from ${name}${altered}`;
}

function gpuDecision({ gpu }: Policy): string {
  if (gpu === null) return 'no GPU';
  const resources = Object.entries(gpu.resources).map(([name, value]) => `${name} ${value}`);
  return `GPU ${gpu.name === null ? 'from the policy' : `profile ${gpu.name}`}: ${resources.join(', ')}`;
}

function modeDecision(policy: Policy): string {
  const { min, max } = policy.replicas;
  const why = policy.deploymentMode === 'auto' ? `replicas ${min} to ${max}` : 'set by the policy';
  return `deployment mode ${modeOf(policy)}, ${why}`;
}
