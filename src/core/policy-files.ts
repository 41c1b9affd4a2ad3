/** The files of the config repository made a {@link PolicySet}, or everything that is wrong with them. */
import type { Fault } from './errors.ts';
import { checkGpuResources, type GpuProfile, gpuProfileSchema, normaliseGpu } from './gpu-profile.ts';
import { isJsonObject } from './json.ts';
import { ASSUMED_KSERVE, type KServe } from './kserve.ts';
import type { Policy, PolicySet } from './policy.ts';
import { checkPolicy } from './policy-checks.ts';
import { findConflicts } from './policy-conflicts.ts';
import { applyDefaults } from './policy-defaults.ts';
import { type PolicyFile, type Source, sortDocuments } from './policy-documents.ts';
import { type Definitions, type KnownNames, resolveReferences } from './policy-references.ts';
import { policySchema } from './policy-schema.ts';
import { checkPodStructure, checkPolicyStructure } from './policy-structure.ts';
import { checkReserved } from './policy-text-checks.ts';
import { readRuntime, type ServingRuntime } from './runtime-catalogue.ts';
import { check, reporter } from './schema-faults.ts';
import type { Position } from './yaml-source.ts';

/** What the files do not say themselves. */
export interface LoadOptions {
  /** Without it, names of clusters and GitOps repositories are not checked. */
  known?: KnownNames | undefined;
  /** Of clusters that `known` says nothing of; without it {@link ASSUMED_KSERVE}. */
  kserve?: KServe | undefined;
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

/**
 * Reads policies, GPU profiles and the runtime catalogue.
 * @param files in any order, which makes no difference
 * @param revision what the set is called: the commit the files are of
 * @returns the set, or every fault of every file; never throws
 */
export function loadPolicies(
  files: readonly PolicyFile[],
  revision: string,
  { known, kserve = ASSUMED_KSERVE }: LoadOptions = {},
): LoadedPolicies {
  const { faults, notes, ...sources } = sortDocuments(files);
  const warnings: Fault[] = [];
  const profiles = unique(
    sources.profiles.flatMap((source) => readProfile(source, kserve, faults)),
    (one) => `GpuProfile "${one.item.name}"`,
    faults,
  );
  const runtimes = unique(
    sources.runtimes.flatMap((source) => readCatalogue(source, faults)),
    runtimeTitle,
    faults,
  );
  const definitions: Definitions = {
    gpuProfiles: profiles.map(({ item }) => item),
    profileNames: new Set(sources.profiles.map(nameOf)),
    runtimes: runtimes.map(({ item }) => item),
    known: known ?? null,
    kserve,
  };
  const policies = unique(
    sources.policies.flatMap((source) => readPolicy(source, definitions, { faults, warnings })),
    (one) => `DeploymentPolicy "${one.item.name}"`,
    faults,
  ).map(({ item }) => item);
  policies.sort(byName);
  faults.push(...findConflicts(policies));
  const set: PolicySet = {
    revision,
    policies,
    gpuProfiles: definitions.gpuProfiles.toSorted(byName),
    runtimes: definitions.runtimes.toSorted(byName),
  };
  return {
    policies: faults.length === 0 ? set : null,
    faults: faults.sort(byPlace),
    warnings: warnings.sort(byPlace),
    notes: notes.sort(byPlace),
  };
}

interface Placed<Item> {
  item: Item;
  place: { file: string } & Position;
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

const placeOf = ({ file, document }: Source): Placed<unknown>['place'] => ({
  file,
  ...document.at(['metadata', 'name']),
});

/** What a document calls itself, whether or not the rest of it is right. */
function nameOf({ document: { value } }: Source): string {
  const metadata = isJsonObject(value) ? value['metadata'] : null;
  return String(isJsonObject(metadata) ? metadata['name'] : '');
}

function readCatalogue(source: Source, faults: Fault[]): Placed<ServingRuntime>[] {
  const runtime = readRuntime(source.file, source.document, faults);
  return runtime === null ? [] : [{ item: runtime, place: placeOf(source) }];
}

function readProfile(source: Source, kserve: KServe, faults: Fault[]): Placed<GpuProfile>[] {
  const { file, document } = source;
  const checked = check(gpuProfileSchema, file, document, faults);
  if (checked === null) return [];
  const profile = normaliseGpu(checked.metadata.name, checked.spec);
  const fault = reporter(file, document, faults);
  checkGpuResources(profile.resources, ['spec', 'resources'], fault);
  checkPodStructure(profile.pod, ['spec', 'pod'], kserve, fault);
  checkReserved(document.value, [], fault);
  return [{ item: profile, place: placeOf(source) }];
}

function readPolicy(
  source: Source,
  definitions: Definitions,
  { faults, warnings }: { faults: Fault[]; warnings: Fault[] },
): Placed<Policy>[] {
  const { file, document } = source;
  const checked = check(policySchema, file, document, faults);
  if (checked === null || !isJsonObject(document.value)) return [];
  const { metadata, spec } = checked;
  const sink = { fault: reporter(file, document, faults), warn: reporter(file, document, warnings) };
  const place = placeOf(source);
  const { kserve, ...references } = resolveReferences(spec, definitions, sink);
  const policy = applyDefaults(metadata.name, spec, { source: place, ...references });
  checkPolicy(policy, document.value['spec'] ?? null, sink);
  checkPolicyStructure(policy, kserve, sink.fault);
  return [{ item: policy, place }];
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
