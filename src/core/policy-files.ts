/** The files of the config repository made a {@link PolicySet}, or everything that is wrong with them. */
import type { Fault } from './errors.ts';
import {
  API_VERSION,
  checkGpuResources,
  type GpuProfile,
  gpuProfileSchema,
  normaliseGpu,
} from './gpu-profile.ts';
import { isJsonObject, type Json } from './json.ts';
import { listNames, suggestion } from './nearest.ts';
import { type Policy, type PolicySet, policySchema } from './policy.ts';
import { checkPolicy } from './policy-checks.ts';
import { findConflicts } from './policy-conflicts.ts';
import { applyDefaults } from './policy-defaults.ts';
import { checkPodMetadata, checkReserved } from './policy-text-checks.ts';
import { readRuntime, type ServingRuntime } from './runtime-catalogue.ts';
import { check, type Report, reporter } from './schema-faults.ts';
import { type Position, readYaml, type YamlDocument } from './yaml-source.ts';

export interface PolicyFile {
  path: string;
  text: string;
}

/** Names from modelhook.yaml that policies refer to. */
export interface KnownNames {
  clusters: readonly string[];
  gitops: readonly string[];
}

export interface LoadedPolicies {
  /** null where there are faults: a set is used whole or not at all. */
  policies: PolicySet | null;
  faults: Fault[];
  /** What works, and perhaps not as meant. */
  warnings: Fault[];
  /** Documents that were skipped. */
  notes: Fault[];
}

const OUR_KINDS = ['DeploymentPolicy', 'GpuProfile'];

/**
 * Reads policies, GPU profiles and the runtime catalogue.
 * @param files in any order, which makes no difference
 * @param revision what the set is called: the commit the files are of
 * @param known without it, names of clusters and GitOps repositories are not checked
 * @returns the set, or every fault of every file; never throws
 */
export function loadPolicies(
  files: readonly PolicyFile[],
  revision: string,
  known?: KnownNames,
): LoadedPolicies {
  const found = sortDocuments(files);
  const { faults, warnings, notes } = found;
  const gpuProfiles = unique(found.profiles, (one) => `GpuProfile "${one.item.name}"`, faults);
  const runtimes = unique(found.runtimes, runtimeTitle, faults).map(({ item }) => item);
  const context: Context = { found, gpuProfiles: gpuProfiles.map(({ item }) => item), runtimes, known };
  const policies = unique(
    found.policies.flatMap((source) => readPolicy(source, context)),
    (one) => `DeploymentPolicy "${one.item.name}"`,
    faults,
  ).map(({ item }) => item);
  policies.sort(byName);
  faults.push(...findConflicts(policies));
  const set: PolicySet = {
    revision,
    policies,
    gpuProfiles: [...context.gpuProfiles].sort(byName),
    runtimes: [...runtimes].sort(byName),
  };
  return {
    policies: faults.length === 0 ? set : null,
    faults: faults.sort(byPlace),
    warnings: warnings.sort(byPlace),
    notes: notes.sort(byPlace),
  };
}

interface Source {
  file: string;
  document: YamlDocument;
}
interface Placed<Item> {
  item: Item;
  place: { file: string } & Position;
}
interface Found {
  policies: Source[];
  profiles: Placed<GpuProfile>[];
  runtimes: Placed<ServingRuntime>[];
  faults: Fault[];
  warnings: Fault[];
  notes: Fault[];
}
interface Context {
  found: Found;
  gpuProfiles: readonly GpuProfile[];
  runtimes: readonly ServingRuntime[];
  known: KnownNames | undefined;
}

const compare = (left: string, right: string): number => (left < right ? -1 : left > right ? 1 : 0);
const byName = (left: { name: string | null }, right: { name: string | null }): number =>
  compare(left.name ?? '', right.name ?? '');
const byPlace = (left: Fault, right: Fault): number =>
  compare(left.file, right.file) ||
  left.line - right.line ||
  left.column - right.column ||
  compare(left.message, right.message);

const runtimeTitle = ({ item }: Placed<ServingRuntime>): string =>
  `${item.kind} "${item.namespace === null ? '' : `${item.namespace}/`}${item.name}"`;

function sortDocuments(files: readonly PolicyFile[]): Found {
  const found: Found = { policies: [], profiles: [], runtimes: [], faults: [], warnings: [], notes: [] };
  for (const { path, text } of [...files].sort((left, right) => compare(left.path, right.path))) {
    const { documents, faults } = readYaml(path, text);
    // What a decoder puts in place of bytes that are no UTF-8.
    if (text.includes('\ufffd'))
      faults.push({ file: path, line: 1, column: 1, message: 'the file is not UTF-8; save it as UTF-8' });
    found.faults.push(...faults);
    for (const document of documents) sortDocument({ file: path, document }, found);
  }
  return found;
}

const textAt = (value: Json, key: string): string => {
  const text = isJsonObject(value) ? value[key] : undefined;
  return typeof text === 'string' ? text : '';
};

/** Puts a document where its kind belongs. */
function sortDocument(source: Source, found: Found): void {
  const { file, document } = source;
  const { value } = document;
  const start = document.at([]);
  if (value === null) return;
  const apiVersion = textAt(value, 'apiVersion');
  const kind = textAt(value, 'kind');
  const [group = ''] = apiVersion.split('/');
  const fault = (key: string, message: string): number =>
    found.faults.push({ file, ...document.at([key]), message });
  if (group === 'modelhook.dev' || OUR_KINDS.includes(kind)) {
    if (!OUR_KINDS.includes(kind))
      fault(
        'kind',
        `unknown kind "${kind}"${suggestion(kind, OUR_KINDS) || `; ours are ${OUR_KINDS.join(' and ')}`}`,
      );
    else if (apiVersion !== API_VERSION)
      fault('apiVersion', `expected apiVersion ${API_VERSION} for a ${kind}, got "${apiVersion}"`);
    else if (kind === 'DeploymentPolicy') found.policies.push(source);
    else found.profiles.push(...readProfile(source, found.faults));
  } else if (group === 'serving.kserve.io' && ['ServingRuntime', 'ClusterServingRuntime'].includes(kind)) {
    const runtime = readRuntime(file, document, found.faults);
    if (runtime !== null)
      found.runtimes.push({ item: runtime, place: { file, ...document.at(['metadata', 'name']) } });
  } else {
    const what = kind === '' ? 'a document without a kind' : `kind ${kind}`;
    found.notes.push({
      file,
      ...start,
      message: `skipped: ${what} is not a policy, a GPU profile or a runtime`,
    });
  }
}

function readProfile({ file, document }: Source, faults: Fault[]): Placed<GpuProfile>[] {
  const checked = check(gpuProfileSchema, file, document, faults);
  if (checked === null) return [];
  const profile = normaliseGpu(checked.metadata.name, checked.spec);
  const fault = reporter(file, document, faults);
  checkGpuResources(profile.resources, ['spec', 'resources'], fault);
  checkPodMetadata(['spec', 'pod'], profile.pod, fault);
  checkReserved(document.value, [], fault);
  return [{ item: profile, place: { file, ...document.at(['metadata', 'name']) } }];
}

function readPolicy({ file, document }: Source, context: Context): Placed<Policy>[] {
  const { faults, warnings } = context.found;
  const checked = check(policySchema, file, document, faults);
  if (checked === null || !isJsonObject(document.value)) return [];
  const { metadata, spec } = checked;
  const fault = reporter(file, document, faults);
  const warn = reporter(file, document, warnings);
  const place = { file, ...document.at(['metadata', 'name']) };
  const gpu = chooseGpu(spec.gpuProfile ?? null, spec.gpu ?? null, context, fault);
  const cluster = resolveCluster(spec.target.cluster ?? null, context.known, fault);
  const gitops = resolveGitops(spec.delivery?.gitops ?? null, context.known, fault);
  const policy = applyDefaults(metadata.name, spec, { source: place, cluster, gitops, gpu });
  if (gpu !== null && gpu.name === null)
    checkGpuResources(gpu.resources, ['spec', 'gpu', 'resources'], fault);
  checkPolicy(policy, document.value['spec'] ?? null, { fault, warn });
  const runtime = policy.runtime.name;
  if (
    runtime !== null &&
    context.runtimes.length > 0 &&
    !context.runtimes.some(({ name }) => name === runtime)
  ) {
    const names = context.runtimes.map(({ name }) => name);
    warn(
      ['spec', 'runtime', 'name'],
      `the runtime catalogue has no "${runtime}", so it must be in the cluster${suggestion(runtime, names)}`,
    );
  }
  return [{ item: policy, place }];
}

function chooseGpu(
  name: string | null,
  inline: Parameters<typeof normaliseGpu>[1] | null,
  { gpuProfiles }: Context,
  fault: Report,
): GpuProfile | null {
  if (name !== null && inline !== null)
    fault(['spec', 'gpu'], 'stands beside gpuProfile; keep one of the two');
  if (name === null) return inline === null ? null : normaliseGpu(null, inline);
  const profile = gpuProfiles.find((one) => one.name === name);
  if (profile !== undefined) return profile;
  const names = gpuProfiles.flatMap((one) => one.name ?? []);
  const hint =
    suggestion(name, names) || (names.length > 0 ? `; there are ${listNames(names)}` : '; there is none');
  fault(['spec', 'gpuProfile'], `there is no GpuProfile "${name}"${hint}`);
  return null;
}

/** Where no cluster is configured, nothing can be checked: names then only tell targets apart. */
function resolveCluster(name: string | null, known: KnownNames | undefined, fault: Report): string {
  const clusters = known?.clusters ?? [];
  const [only] = clusters;
  if (name === null) {
    if (only === undefined) return 'default';
    if (clusters.length > 1)
      fault(
        ['spec', 'target', 'cluster'],
        `this field is required where several are configured: ${listNames(clusters)}`,
      );
    return only;
  }
  if (clusters.length > 0 && !clusters.includes(name))
    fault(
      ['spec', 'target', 'cluster'],
      `modelhook.yaml has no cluster "${name}"${suggestion(name, clusters) || `; it has ${listNames(clusters)}`}`,
    );
  else if (!/^[a-z][a-z0-9-]{0,30}$/.test(name))
    fault(
      ['spec', 'target', 'cluster'],
      `"${name}" is no name of a cluster: lower-case letters, digits and "-"`,
    );
  return name;
}

function resolveGitops(name: string | null, known: KnownNames | undefined, fault: Report): string {
  const [only, ...others] = known?.gitops ?? [];
  if (name === null) {
    if (only !== undefined && others.length === 0) return only;
    fault(
      ['spec', 'delivery', 'gitops'],
      'this field is required; it may be left out where modelhook.yaml (--config) configures exactly one',
    );
    return '';
  }
  const names = known?.gitops ?? [name];
  if (!names.includes(name)) {
    const hint =
      suggestion(name, names) || (only === undefined ? '; it has none' : `; it has ${listNames(names)}`);
    fault(['spec', 'delivery', 'gitops'], `modelhook.yaml has no GitOps repository "${name}"${hint}`);
  }
  return name;
}

/** @returns the first of each name, and a fault for every other that names both places */
function unique<Item>(
  all: Placed<Item>[],
  title: (one: Placed<Item>) => string,
  faults: Fault[],
): Placed<Item>[] {
  const first = new Map<string, Placed<Item>>();
  for (const one of all) {
    const name = title(one);
    const { place } = first.get(name) ?? {};
    if (place === undefined) first.set(name, one);
    else
      faults.push({
        ...one.place,
        message: `${name} is defined a second time; first at ${place.file}:${place.line}:${place.column}`,
      });
  }
  return [...first.values()];
}
