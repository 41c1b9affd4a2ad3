/** What a policy names and does not hold itself: a GPU profile, a cluster, a GitOps repository, a runtime. */
import type { Bound } from './bound.ts';
import { checkGpuResources, type GpuProfile, normaliseGpu } from './gpu-profile.ts';
import type { KServe } from './kserve.ts';
import { listNames, suggestion } from './nearest.ts';
import { checkPod } from './policy-overrides.ts';
import type { PolicySpec } from './policy-schema.ts';
import { formatText, listFormats, type ServingRuntime } from './runtime-catalogue.ts';
import type { Report } from './schema-faults.ts';
import { variablesOf } from './template.ts';
import type { Path } from './yaml-source.ts';

/** What modelhook.yaml has of what policies refer to. */
export interface KnownNames {
  forges: readonly string[];
  clusters: readonly KnownCluster[];
  gitops: readonly KnownGitops[];
  policies: { directory: string; bounds: readonly Bound[] };
}

export interface KnownCluster {
  name: string;
  kserve: KServe;
  /** Whether manifests can be applied to it. */
  reachable: boolean;
  /** Those that are watched there; empty: all */
  namespaces: readonly string[];
}

export interface KnownGitops {
  name: string;
  /** Whether manifests can be delivered to it by pull request. */
  pullRequests: boolean;
}

/** What the files define that a policy may name. */
export interface Definitions {
  gpuProfiles: readonly GpuProfile[];
  /** Of all GPU profiles, those with faults too: who names one of these has no fault of their own. */
  profileNames: ReadonlySet<string>;
  runtimes: readonly ServingRuntime[];
  /** null: modelhook.yaml is not at hand, and names of it are not checked */
  known: KnownNames | null;
  /** Of clusters that modelhook.yaml says nothing of. */
  kserve: KServe;
}

export interface References {
  gpu: GpuProfile | null;
  cluster: string;
  /** null: delivered by applying */
  gitops: string | null;
  /** Of the cluster. */
  kserve: KServe;
}

/** Looks up everything a policy names. What is not there is a fault. */
export function resolveReferences(
  spec: PolicySpec,
  definitions: Definitions,
  sink: { fault: Report; warn: Report },
): References {
  const { fault } = sink;
  const cluster = resolveCluster(spec.target.cluster ?? null, definitions.known, fault);
  const known = definitions.known?.clusters.find(({ name }) => name === cluster);
  checkNamespace(spec.target.namespace, known, fault);
  warnOfRuntime(spec, definitions.runtimes, sink.warn);
  warnOfForges(spec.match.repositories, definitions.known, sink.warn);
  return {
    gpu: chooseGpu(spec, definitions, fault),
    cluster,
    gitops: resolveDelivery(spec.delivery, cluster, definitions.known, fault),
    kserve: known?.kserve ?? definitions.kserve,
  };
}

function chooseGpu(spec: PolicySpec, definitions: Definitions, fault: Report): GpuProfile | null {
  const { gpuProfiles, profileNames } = definitions;
  const { gpuProfile: name, gpu } = spec;
  if (name && gpu) fault(['spec', 'gpu'], 'stands beside gpuProfile; keep one of the two');
  if (!name) return gpu ? inlineGpu(gpu, fault) : null;
  const profile = gpuProfiles.find((one) => one.name === name);
  if (profile !== undefined || profileNames.has(name)) return profile ?? null;
  const names = gpuProfiles.flatMap((one) => one.name ?? []);
  const hint =
    suggestion(name, names) || (names.length > 0 ? `; there are ${listNames(names)}` : '; there is none');
  fault(['spec', 'gpuProfile'], `there is no GpuProfile "${name}"${hint}`);
  return null;
}

function inlineGpu(spec: NonNullable<PolicySpec['gpu']>, fault: Report): GpuProfile {
  const gpu = normaliseGpu(null, spec);
  checkGpuResources(gpu.resources, ['spec', 'gpu', 'resources'], fault);
  checkPod(gpu.pod, ['spec', 'gpu', 'pod'], fault);
  return gpu;
}

/** Where no cluster is configured, nothing can be checked: names then only tell targets apart. */
function resolveCluster(name: string | null, known: KnownNames | null, fault: Report): string {
  const path = ['spec', 'target', 'cluster'];
  const clusters = (known?.clusters ?? []).map((cluster) => cluster.name);
  const [only] = clusters;
  if (name === null) {
    if (only === undefined) return 'default';
    if (clusters.length > 1)
      fault(path, `this field is required where several are configured: ${listNames(clusters)}`);
    return only;
  }
  if (clusters.length > 0 && !clusters.includes(name))
    fault(
      path,
      `modelhook.yaml has no cluster "${name}"${suggestion(name, clusters) || `; it has ${listNames(clusters)}`}`,
    );
  else if (!/^[a-z][a-z0-9-]{0,30}$/.test(name))
    fault(path, `"${name}" is no name of a cluster: lower-case letters, digits and "-"`);
  return name;
}

/** Where a namespace is not watched, nobody sees what is in it, and RBAC may allow nothing there. */
function checkNamespace(namespace: string, cluster: KnownCluster | undefined, fault: Report): void {
  // Which namespaces a template makes is known with the event.
  if (!cluster?.namespaces.length || variablesOf(namespace).size > 0) return;
  const { name, namespaces } = cluster;
  if (namespaces.includes(namespace)) return;
  const hint = suggestion(namespace, namespaces) || `; it has ${listNames(namespaces)}`;
  fault(
    ['spec', 'target', 'namespace'],
    `modelhook.yaml does not have "${namespace}" among the namespaces of cluster "${name}"${hint}`,
  );
}

/** @returns the GitOps repository; null where the manifest is applied */
function resolveDelivery(
  delivery: PolicySpec['delivery'],
  cluster: string,
  known: KnownNames | null,
  fault: Report,
): string | null {
  if (delivery?.apply) {
    if (delivery.gitops) fault(['spec', 'delivery', 'apply'], 'stands beside gitops; keep one of the two');
    if (delivery.via === 'pullRequest')
      fault(['spec', 'delivery', 'via'], 'what is applied has no pull request; remove it, or use gitops');
    const reachable = known?.clusters.some((one) => one.name === cluster && one.reachable) ?? true;
    if (!reachable)
      fault(
        ['spec', 'delivery', 'apply'],
        `modelhook.yaml gives no access to cluster "${cluster}", so nothing can be applied there; use delivery.gitops`,
      );
    return null;
  }
  if (delivery?.selfHeal)
    fault(
      ['spec', 'delivery', 'selfHeal'],
      'goes with apply: true; in a GitOps repository the agent puts back what someone changed',
    );
  const name = resolveGitops(delivery?.gitops ?? null, known, fault);
  const repository = known?.gitops.find((one) => one.name === name);
  if (delivery?.via === 'pullRequest' && repository && !repository.pullRequests)
    fault(
      ['spec', 'delivery', 'via'],
      `the forge of GitOps repository "${repository.name}" has no pull requests; use via: push`,
    );
  return name;
}

function resolveGitops(name: string | null, known: KnownNames | null, fault: Report): string {
  const path = ['spec', 'delivery', 'gitops'];
  const names = known?.gitops.map((one) => one.name);
  const [only, ...others] = names ?? [];
  if (name === null) {
    if (only !== undefined && others.length === 0) return only;
    fault(
      path,
      names?.length === 0
        ? 'modelhook.yaml has no GitOps repository; add one to gitops there, or set delivery.apply: true'
        : 'this field is required; it may be left out where modelhook.yaml (--config) configures exactly one',
    );
    return '';
  }
  if (names !== undefined && !names.includes(name)) {
    const hint =
      suggestion(name, names) || (names.length === 0 ? '; it has none' : `; it has ${listNames(names)}`);
    fault(path, `modelhook.yaml has no GitOps repository "${name}"${hint}`);
  }
  return name;
}

/** What the catalogue says against the runtime that is asked for. The cluster may have another, so it is no fault. */
function warnOfRuntime(spec: PolicySpec, runtimes: readonly ServingRuntime[], warn: Report): void {
  const { name, class: wanted } = spec.runtime ?? {};
  if ((!name && !wanted) || runtimes.length === 0) return;
  const asked = runtimes.filter((runtime) => (name ? runtime.name === name : runtime.class === wanted));
  if (asked.length === 0) {
    const field = name ? 'name' : 'class';
    const all = runtimes.flatMap((runtime) => runtime[field] ?? []);
    const hint = suggestion(name ?? wanted ?? '', all);
    const what = name ? `"${name}"` : `runtime of class "${wanted}"`;
    warn(['spec', 'runtime', field], `the runtime catalogue has no ${what}${hint}`);
    return;
  }
  const reasons = asked.map((runtime) => unfit(runtime, spec));
  const [reason] = reasons;
  if (reason && reasons.every((each) => each !== null)) warn(reason.path, reason.message);
}

/** @returns why a runtime cannot serve what the policy asks for, whatever the model card says */
function unfit(runtime: ServingRuntime, spec: PolicySpec): { path: Path; message: string } | null {
  const { name, disabled, protocolVersions, formats } = runtime;
  const protocol = spec.protocolVersion ?? 'v2';
  const wanted = spec.runtime?.class;
  if (wanted && runtime.class !== wanted)
    return {
      path: ['spec', 'runtime', 'class'],
      message: `runtime "${name}" is of class ${runtime.class ?? '(none)'}; let name and class agree, or keep one of them`,
    };
  if (disabled)
    return {
      path: ['spec', 'runtime'],
      message: `runtime "${name}" of the catalogue is disabled; ask for another`,
    };
  if (protocolVersions.length > 0 && !protocolVersions.includes(protocol))
    return {
      path: ['spec', 'protocolVersion'],
      message: `runtime "${name}" speaks ${protocolVersions.join(', ')}, not ${protocol}; set what it speaks`,
    };
  const { modelFormat } = spec;
  const fits = formats.some(
    (one) => one.name === modelFormat?.name && (!modelFormat.version || one.version === modelFormat.version),
  );
  if (modelFormat && !fits)
    return {
      path: ['spec', 'modelFormat'],
      message: `runtime "${name}" does not support ${formatText(modelFormat)}, but ${listFormats(runtime)}`,
    };
  return null;
}

/** A pattern for a forge that is not configured matches nothing, ever. */
function warnOfForges(repositories: readonly string[], known: KnownNames | null, warn: Report): void {
  if (known === null) return;
  for (const [at, pattern] of repositories.entries()) {
    const forge = /^!?([^*:/]+):/.exec(pattern)?.[1];
    if (forge === undefined || known.forges.includes(forge)) continue;
    warn(
      ['spec', 'match', 'repositories', at],
      `modelhook.yaml has no forge "${forge}"${suggestion(forge, known.forges) || `; it has ${listNames(known.forges)}`}`,
    );
  }
}
