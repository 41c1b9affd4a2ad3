/** Whether a policy stays within the bound of its directory, as far as that is known before any event. */
import {
  type Bound,
  nameFault,
  outside,
  pathTemplateFault,
  storageFault,
  storageTemplateFault,
  whose,
} from './bound.ts';
import { compileGlobs, type SearchBudget } from './glob.ts';
import { nameOutside } from './glob-containment.ts';
import { type BoundOfProfile, checkGpus, deviceFault, gpuField, gpusOf } from './gpu-bounds.ts';
import type { JsonObject } from './json.ts';
import { pathSegment } from './names.ts';
import { type Field, fieldsOf, type NodeAccess, nodeAccessOf } from './node-access.ts';
import type { Policy } from './policy.ts';
import { formatPath, type Report } from './schema-faults.ts';
import { parseTemplate, type TemplateValues } from './template.ts';

/** What a bound is checked with beside the policy. */
export interface Bounding {
  boundOfProfile: BoundOfProfile;
  /** What may be searched to find out which repositories are within a bound. */
  budget: SearchBudget;
}

/** Checks a policy against its bound. Namespaces, runtimes, addresses and paths that are not known yet are left to the plan. */
export function checkBound(policy: Policy, fault: Report, { boundOfProfile, budget }: Bounding): void {
  const { bound } = policy;
  if (bound === null) return;
  checkRepositories(policy, bound, fault, budget);
  checkNames(policy, bound, fault);
  checkDelivery(policy, bound, fault);
  checkGpus(policy, bound, fault, boundOfProfile);
  checkReplicas(policy, bound, fault);
  checkStorage(policy, bound, fault);
  for (const part of partsOf(policy, bound, fault)) checkPart(part);
  if (policy.conventions === 'alauda' && !bound.allow.includes('hostIPC'))
    fault(['spec', 'conventions'], `alauda sets hostIPC, which ${nodeFault('hostIPC', bound)}`);
}

function checkRepositories({ match }: Policy, bound: Bound, fault: Report, budget: SearchBudget): void {
  const { repositories: allowed } = bound;
  if (allowed === undefined) return;
  const { patterns } = match.repositories;
  const exclusions = patterns.filter((pattern) => pattern.startsWith('!'));
  for (const [at, pattern] of patterns.entries()) {
    if (pattern.startsWith('!')) continue;
    const name = nameOutside(compileGlobs([pattern, ...exclusions]), allowed, budget);
    if (name === null) continue;
    const what =
      name === '' ? `what "${pattern}" matches, perhaps,` : `"${name}", which "${pattern}" matches,`;
    fault(['spec', 'match', 'repositories', at], outside(what, bound, allowed.patterns));
  }
}

function checkNames({ target, runtime }: Policy, bound: Bound, fault: Report): void {
  const cluster = nameFault('cluster', target.cluster, bound, bound.clusters);
  if (cluster !== null) fault(['spec', 'target', 'cluster'], cluster);
  const { namespace } = target;
  const outsideNamespaces = isLiteral(namespace)
    ? nameFault('namespace', namespace, bound, bound.namespaces)
    : null;
  if (outsideNamespaces !== null) fault(['spec', 'target', 'namespace'], outsideNamespaces);
  const outsideRuntimes =
    runtime.name === null ? null : nameFault('runtime', runtime.name, bound, bound.runtimes);
  if (outsideRuntimes !== null) fault(['spec', 'runtime', 'name'], outsideRuntimes);
}

const isLiteral = (template: string): boolean => !template.includes('${');

function checkDelivery({ delivery, target, environment }: Policy, bound: Bound, fault: Report): void {
  const { gitops, path, adopt } = delivery;
  if (adopt && !bound.adopt)
    fault(
      ['spec', 'delivery', 'adopt'],
      `takes over what something else made, and ${notAllowed('adopt: true', bound)}`,
    );
  if (gitops === null) {
    if (bound.gitops)
      fault(['spec', 'delivery', 'apply'], outside('apply: true', bound, bound.gitops.patterns));
    return;
  }
  // Without a name it has had its fault.
  const repository = gitops === '' ? null : nameFault('GitOps repository', gitops, bound, bound.gitops);
  if (repository !== null) fault(['spec', 'delivery', 'gitops'], repository);
  const known = knownPart(path, {
    environment,
    'target.cluster': target.cluster,
    'target.namespace': isLiteral(target.namespace) ? target.namespace : null,
  });
  const found = pathTemplateFault(path, known, target, bound);
  if (found !== null) fault(['spec', 'delivery', 'path'], found);
}

/** @returns a template up to the first variable without a value, each value filled in as it is in paths */
function knownPart(template: string, values: TemplateValues): { text: string; isWhole: boolean } {
  let text = '';
  for (const part of parseTemplate(template)) {
    const filled = part.kind === 'text' ? part.text : part.kind === 'variable' ? values[part.name] : null;
    if (filled === null || filled === undefined) return { text, isWhole: false };
    text += part.kind === 'text' ? filled : pathSegment(filled);
  }
  return { text, isWhole: true };
}

function checkReplicas(policy: Policy, bound: Bound, fault: Report): void {
  const { min, max } = policy.replicas;
  // Knative takes 0 for no limit.
  const replicas = max === 0 ? Number.POSITIVE_INFINITY : Math.max(min, max);
  const shown = max === 0 ? 'any number of replicas' : `a maximum of ${replicas} replicas`;
  const { maxReplicas, maxGpus } = bound;
  if (maxReplicas !== undefined && replicas > maxReplicas)
    fault(['spec', 'replicas'], outside(shown, bound, [maxReplicas]));
  const gpus = gpusOf(policy);
  if (maxGpus !== undefined && gpus > 0 && gpus * replicas > maxGpus)
    fault(['spec', gpuField(policy)], outside(`${shown} with ${gpus} GPUs each`, bound, [maxGpus]));
}

function checkStorage({ storage: { uri } }: Policy, bound: Bound, fault: Report): void {
  const found = isLiteral(uri) ? storageFault(uri, bound) : storageTemplateFault(uri, bound);
  if (found !== null) fault(['spec', 'storage', 'uri'], found);
}

/** Fields that are merged as they are written. */
interface Part {
  fields: JsonObject;
  bound: Bound;
  /** Tells of one of them, by its path in them. */
  fault: Report;
}

function partsOf({ pod, container, gpu }: Policy, bound: Bound, fault: Report): Part[] {
  const at =
    (...prefix: string[]): Report =>
    (path, ...what) =>
      fault([...prefix, ...path], ...what);
  // A profile stands elsewhere, and may be right for others.
  const inProfile: Report = (path, message) =>
    fault(['spec', 'gpuProfile'], `pod.${formatPath(path)} of GPU profile "${gpu?.name}": ${message}`);
  const profile = gpu?.name === null ? at('spec', 'gpu', 'pod') : inProfile;
  return [
    { fields: pod, bound, fault: at('spec', 'pod') },
    { fields: container, bound, fault: at('spec', 'container') },
    // A profile that is allowed brings what devices it likes; where they are counted, these are too.
    { fields: gpu?.pod ?? {}, bound: { ...bound, gpuProfiles: undefined }, fault: profile },
  ];
}

function checkPart({ fields, bound, fault }: Part): void {
  for (const field of fieldsOf(fields)) {
    const found = fieldFault(field, bound);
    if (found !== null) fault(field.path, found);
  }
}

function fieldFault(field: Field, bound: Bound): string | null {
  const { podFields } = bound;
  if (podFields !== undefined && field.path.length === 1 && !podFields.includes(field.name))
    return outside(`field "${field.name}"`, bound, podFields);
  const access = nodeAccessOf(field);
  if (access !== null && !bound.allow.includes(access)) return nodeFault(access, bound);
  return accountFault(field, bound) ?? deviceFault(field, bound);
}

const nodeFault = (access: NodeAccess, bound: Bound): string =>
  `gives away the node, and ${notAllowed(`allow: [${access}]`, bound)}`;

const notAllowed = (permission: string, bound: Bound): string =>
  `modelhook.yaml does not allow ${whose(bound)} that; remove it, or have "${permission}" added to their policies.bounds`;

/** The service account of the pod, of KServe's workers and of its logger; Kubernetes still reads the older name too. */
function accountFault({ name, value }: Field, bound: Bound): string | null {
  const isAccount = name === 'serviceAccountName' || name === 'serviceAccount';
  if (!isAccount || typeof value !== 'string' || value === '') return null;
  return nameFault('service account', value, bound, bound.serviceAccounts);
}
