/** Everything that is decided before rendering: from a policy, a ref and a model card to a plan. */
import { alaudaContainer, alaudaMetadata, alaudaWarnings } from './alauda.ts';
import { requireWithin } from './bound.ts';
import { StalledError } from './errors.ts';
import { cpuImageDoubt } from './gpu-profile.ts';
import { type JsonObject, mergeJson } from './json.ts';
import {
  ASSUMED_KSERVE,
  ASSUMED_VERSION,
  BEFORE_NEW_NAMES,
  type DeploymentMode,
  type KServe,
  type KServeVersion,
  modeName,
  parseKServeVersion,
} from './kserve.ts';
import { explainMatch } from './match.ts';
import type { ModelCard } from './model-card.ts';
import { labelValue, pathSegment, unsafePath } from './names.ts';
import { describeDecisions } from './plan-decisions.ts';
import { modeOf, type Policy, type PolicySet } from './policy.ts';
import { resolveTarget, valuesOf } from './policy-target.ts';
import { revisionOf } from './ref-event.ts';
import type { PlanSummary, Target } from './rollout.ts';
import { type ChosenRuntime, chooseRuntime } from './runtime.ts';
import type { RuntimeCatalogue } from './runtime-catalogue.ts';
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
  /** Of the target's cluster; left out where nothing is known of it. */
  kserve?: KServe | undefined;
  /** Those of the target's cluster; null or left out where they cannot be read: the catalogue of the policies counts. */
  runtimes?: RuntimeCatalogue | null;
  /** Whether the target's cluster has Knative Serving; null or left out where that is not known. */
  knative?: boolean | null;
}

export interface Plan extends PlanSummary {
  deploymentMode: DeploymentMode;
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
  resources: Policy['resources'];
  replicas: Policy['replicas'];
  /** Before 0.16 the modes had other names. */
  kserveVersion: KServeVersion;
  rollout: Policy['rollout'];
  /** The policy's and those of its conventions, filled in; ours are added when rendering. */
  labels: Record<string, string>;
  annotations: Record<string, string>;
  /** Fields of the predictor's pod: the GPU profile's and the policy's. */
  pod: JsonObject;
  /** Fields of the model's container. */
  container: JsonObject;
}

/** @returns whether a policy can be planned without a model card: it names the format, and no template asks for more */
export const needsModelCard = (policy: Policy): boolean =>
  policy.modelFormat === null ||
  policy.conventions === 'alauda' ||
  [
    policy.target.namespace,
    policy.target.name,
    policy.storage.uri,
    policy.delivery.path,
    ...Object.values(policy.labels),
    ...Object.values(policy.annotations),
  ].some((template) => [...variablesOf(template)].some((name) => name.startsWith('modelCard.')));

/**
 * Names the target alone, which tells where to look up the rest.
 * @throws StalledError as {@link makePlan} does
 */
export const targetOf = (input: PlanInput): Target => beginPlan(input).target;

/** What is decided first, for all else follows from it. */
function beginPlan(input: PlanInput): { card: ModelCard | null; values: TemplateValues; target: Target } {
  const { policy, modelCard } = input;
  if (modelCard.kind === 'unavailable' && needsModelCard(policy)) throw modelCard.reason;
  const card = modelCard.kind === 'card' ? modelCard.card : null;
  const before = valuesOf(policy, input, card);
  const target = resolveTarget(policy, before);
  requireWithin(policy.bound, { namespace: target.namespace });
  return { card, values: withTarget(before, target), target };
}

/** @returns what templates can name once the target is known */
export const withTarget = (values: TemplateValues, { namespace, name }: Target): TemplateValues => ({
  ...values,
  'target.namespace': namespace,
  'target.name': name,
});

/**
 * Decides everything, in the order in which `decisions` says it.
 * @throws StalledError where a person must act: a template without a value, no runtime that fits, a card that is
 *   needed and missing, a storage address KServe refuses, something outside the policy's bound
 */
export function makePlan(input: PlanInput): Plan {
  const { policy, policies, projectId, kserve = ASSUMED_KSERVE, knative = null } = input;
  const { card, values, target } = beginPlan(input);
  const runtime = chooseRuntime(
    {
      ...policy.runtime,
      protocolVersion: policy.protocolVersion,
      namespace: target.namespace,
      modelFormat: policy.modelFormat,
      library: () => requireLibrary(card),
      multiNode: 'workerSpec' in policy.pod,
    },
    input.runtimes ?? catalogueOf(policies),
  );
  const storageUri = fillStorageUri(policy, values);
  requireWithin(policy.bound, { runtime: runtime.name, storageUri });
  const path = fillPath(policy, values);
  if (policy.delivery.gitops !== null) requireWithin(policy.bound, { file: { path, target } });
  const conventions = applyConventions(policy, { values, projectId, runtime });
  const deploymentMode = modeIn(policy, knative);
  const kserveVersion = kserve.version === null ? conventions.kserve : parseKServeVersion(kserve.version);
  const mode = modeName(deploymentMode, kserveVersion);
  const doubtful = storageUriWarning(storageUri);
  return {
    policy: policy.name,
    policyRevision: policies.revision,
    repository: input.repository,
    projectId,
    ref: input.ref,
    revision: revisionOf(input.ref, input.sha),
    sha: input.sha,
    environment: policy.environment,
    target,
    runtime: runtime.name,
    modelFormat: runtime.modelFormat,
    protocolVersion: policy.protocolVersion,
    storageUri,
    resources: policy.resources,
    replicas: policy.replicas,
    deploymentMode,
    kserveVersion,
    rollout: policy.rollout,
    labels: conventions.labels,
    annotations: conventions.annotations,
    pod: conventions.pod,
    container: conventions.container,
    gitops: policy.delivery.gitops,
    via: policy.delivery.via,
    path,
    adopt: policy.delivery.adopt,
    ...(policy.delivery.selfHeal && { selfHeal: true }),
    updateExisting: policy.updateExisting,
    modes: knative === false ? [deploymentMode] : modesOf(policy),
    why: `Policy ${policy.name} deploys it: ${explainMatch(policy, input).reason}.`,
    readiness: termsOf(policy),
    decisions: describeDecisions({
      policy,
      values,
      target,
      runtime,
      storageUri,
      path,
      kserve,
      mode,
      withoutKnative: deploymentMode !== modeOf(policy),
    }),
    warnings: [
      ...runtime.warnings,
      ...conventions.warnings,
      ...(doubtful === null ? [] : [`storage ${storageUri}: ${doubtful}`]),
      ...[cpuImageDoubt(policy, runtime.modelFormat.name)].filter((doubt) => doubt !== null),
    ],
  };
}

const catalogueOf = ({ runtimes }: PolicySet): RuntimeCatalogue | null =>
  runtimes.length === 0 ? null : { source: 'the runtime catalogue', runtimes };

/** Knative is chosen only where it exists, or nothing can be read (specification section 5). */
function modeIn(policy: Policy, knative: boolean | null): DeploymentMode {
  const mode = modeOf(policy);
  if (mode === 'Standard' || knative !== false) return mode;
  const { deploymentMode, replicas, target } = policy;
  const isFree = deploymentMode === 'auto';
  if (isFree && replicas.min > 0) return 'Standard';
  const what = isFree ? `replicas.min: ${replicas.min}` : 'deploymentMode: Knative';
  throw new StalledError(
    `cluster "${target.cluster}" has no Knative Serving, which ${what} of policy "${policy.name}" needs`,
    `set ${isFree ? 'replicas.min to at least 1' : 'deploymentMode: Standard'} in the policy, or install Knative Serving there`,
  );
}

function termsOf({ readiness: { observe, ...terms } }: Policy): PlanSummary['readiness'] {
  return observe === 'never' ? null : terms;
}

/** @returns the policy's mode, and with `auto` the other one too where the policy can do with it: KServe changes neither */
function modesOf(policy: Policy): [DeploymentMode, ...DeploymentMode[]] {
  const wanted = modeOf(policy);
  if (policy.deploymentMode !== 'auto') return [wanted];
  if (wanted === 'Standard') return policy.rollout === null ? ['Standard', 'Knative'] : ['Standard'];
  return policy.replicas.min === 0 ? ['Knative'] : ['Knative', 'Standard'];
}

interface Conventions extends Pick<Plan, 'labels' | 'annotations' | 'pod' | 'container'> {
  /** Assumed where the cluster's is not known. */
  kserve: KServeVersion;
  warnings: string[];
}

/** What the policy's conventions add to what it says itself. */
function applyConventions(
  policy: Policy,
  around: { values: TemplateValues; projectId: string | null; runtime: ChosenRuntime },
): Conventions {
  const own = fillMetadata(policy, around.values);
  const pod = mergeJson(policy.gpu?.pod ?? {}, policy.pod);
  const { pvc } = policy.storage;
  const claim = pvc === null ? {} : { 'storage-initializer-pvc-name': pvc };
  if (policy.conventions === 'kserve')
    return {
      labels: own.labels,
      annotations: { ...own.annotations, ...claim },
      pod,
      container: policy.container,
      kserve: ASSUMED_VERSION,
      warnings: [],
    };
  const description = fillTemplate(policy.description, 'spec.description', around.values);
  const input = { ...around, description };
  const { labels, annotations } = alaudaMetadata(input);
  const valid = validLabels(labels);
  return {
    labels: { ...valid.labels, ...own.labels },
    annotations: { ...valid.originals, ...annotations, ...own.annotations, ...claim },
    pod: { ...pod, hostIPC: true },
    container: alaudaContainer(around.runtime, policy.container),
    // Alauda AI's own is older than the names Standard and Knative.
    kserve: BEFORE_NEW_NAMES,
    warnings: alaudaWarnings(input),
  };
}

function requireLibrary(card: ModelCard | null): string {
  if (card?.library) return card.library;
  throw new StalledError(
    'the model card (README.md) has no library_name, so the model format is not known',
    'add library_name to its front matter, or set spec.modelFormat in the policy',
  );
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

/**
 * Names the file in the GitOps repository. Each value becomes one safe segment, so no name from outside leads to another
 * folder.
 * @param values with those of the target
 * @throws StalledError where a variable has no value, or the path is not safe
 */
export function fillPath(policy: Policy, values: TemplateValues): string {
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
  const fill = (field: 'labels' | 'annotations'): Record<string, string> =>
    Object.fromEntries(
      Object.entries(policy[field]).map(([key, template]) => [
        key,
        fillTemplate(template, `spec.${field}["${key}"]`, values),
      ]),
    );
  const { labels, originals } = validLabels(fill('labels'));
  return { labels, annotations: { ...originals, ...fill('annotations') } };
}

function validLabels(texts: Record<string, string>): {
  labels: Record<string, string>;
  originals: Record<string, string>;
} {
  const labels = Object.fromEntries(Object.entries(texts).map(([key, text]) => [key, labelValue(text)]));
  const altered = Object.entries(texts).filter(([key, text]) => labels[key] !== text);
  return { labels, originals: Object.fromEntries(altered) };
}
