/** What was chosen and from where, in words: the rollout's page and `modelhook plan` show it a line each. */
import { isGpu } from './gpu-profile.ts';
import type { KServe } from './kserve.ts';
import type { Policy } from './policy.ts';
import { formatTarget, type Target } from './rollout.ts';
import type { ChosenRuntime } from './runtime.ts';
import { fillTemplate, type TemplateValues, variablesOf } from './template.ts';

/** What has been decided, from which it can be told how. */
export interface Decided {
  policy: Policy;
  values: TemplateValues;
  target: Target;
  runtime: ChosenRuntime;
  storageUri: string;
  path: string;
  kserve: KServe;
  /** The deployment mode, as KServe spells it there. */
  mode: string;
  /** The mode is another than the policy's replicas would have, since the cluster has no Knative. */
  withoutKnative: boolean;
}

/** @returns a line each, in the order in which things are decided */
export function describeDecisions(decided: Decided): string[] {
  const { policy, values, target, runtime, storageUri, path } = decided;
  const from = (field: string): string => (policy.defaulted.has(field) ? 'the default' : 'from the policy');
  return [
    `target ${formatTarget(target)}${targetOrigin(policy, values)}`,
    `environment ${policy.environment}, ${policy.defaulted.has('environment') ? "the policy's name" : 'from the policy'}`,
    ...(policy.conventions === 'alauda' ? ['conventions alauda, from the policy'] : []),
    ...runtime.decisions,
    `protocol ${policy.protocolVersion}, ${from('protocolVersion')}`,
    ...cardDecision(policy, values),
    `storage ${storageUri}, ${from('storage.uri')}`,
    ...(policy.storage.pvc === null ? [] : [`claim ${policy.storage.pvc} for the storage initializer`]),
    `requests ${quantities(policy, 'requests')}`,
    `limits ${quantities(policy, 'limits')}`,
    gpuDecision(policy),
    replicasDecision(policy, from),
    modeDecision(decided),
    policy.delivery.gitops === null
      ? `applied to cluster ${target.cluster}`
      : `${policy.delivery.via === 'push' ? 'committed' : 'proposed'} to ${policy.delivery.gitops} as ${path}, ${from('delivery.path')}`,
  ];
}

function replicasDecision({ replicas: { min, max } }: Policy, from: (field: string) => string): string {
  const [least, most] = [from('replicas.min'), from('replicas.max')];
  return least === most
    ? `replicas ${min} to ${max}, ${least}`
    : `replicas ${min} (${least}) to ${max} (${most})`;
}

function targetOrigin(policy: Policy, values: TemplateValues): string {
  const { name } = policy.target;
  if (variablesOf(name).size === 0) return ', named by the policy';
  const source = fillTemplate(name, 'spec.target.name', values);
  const altered = source === values['target.name'] ? '' : `, made a valid name of "${source}"`;
  return `, from ${name}${altered}`;
}

/** Only where it matters: conventions: alauda writes it into labels. */
const cardDecision = ({ conventions }: Policy, values: TemplateValues): string[] =>
  conventions === 'alauda'
    ? [`pipeline tag ${values['modelCard.pipelineTag']}, from pipeline_tag of the model card`]
    : [];

function quantities(policy: Policy, kind: 'requests' | 'limits'): string {
  const all = Object.entries(policy.resources[kind]).map(([name, value]) => {
    const origin = originOf(policy, kind, name);
    return `${name} ${value}${origin === '' ? '' : ` (${origin})`}`;
  });
  return all.join(', ') || 'none';
}

/** Nothing for what the policy says itself. */
function originOf({ defaulted, gpu }: Policy, kind: 'requests' | 'limits', name: string): string {
  if (defaulted.has(`resources.${kind}.${name}`)) return 'default';
  if (kind === 'requests') return '';
  if (name === 'ephemeral-storage' && defaulted.has('storage.ephemeralStorage')) return 'default';
  return gpu && Object.hasOwn(gpu.resources, name) ? 'GPU' : '';
}

function gpuDecision({ gpu, resources }: Policy): string {
  const devices = Object.entries(resources.limits).filter(
    ([name]) => isGpu(name) || Object.hasOwn(gpu?.resources ?? {}, name),
  );
  if (devices.length === 0) return 'no GPU';
  const origin = gpu === null || gpu.name === null ? 'from the policy' : `profile ${gpu.name}`;
  return `GPU ${origin}: ${devices.map(([name, value]) => `${name} ${value}`).join(', ')}`;
}

function modeDecision({ policy, kserve, mode, withoutKnative }: Decided): string {
  const { min, max } = policy.replicas;
  const automatic = withoutKnative
    ? 'as the cluster has no Knative Serving'
    : `as replicas are ${min} to ${max}`;
  const why = policy.deploymentMode === 'auto' ? automatic : 'from the policy';
  const version =
    kserve.version === null ? 'a KServe whose version is not known' : `KServe ${kserve.version}`;
  return `deployment mode ${mode}, ${why}, for ${version}`;
}
