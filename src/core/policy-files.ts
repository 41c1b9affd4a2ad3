/** The files of the config repository made a {@link PolicySet}, or everything that is wrong with them. */
import type { z } from 'zod';
import { type Bound, boundOf } from './bound.ts';
import type { Fault } from './errors.ts';
import { checkGpuResources, type GpuProfile, gpuProfileSchema, normaliseGpu } from './gpu-profile.ts';
import { isJsonObject, type Json, type JsonObject, valueAt } from './json.ts';
import { ASSUMED_KSERVE, type KServe } from './kserve.ts';
import type { Policy, PolicySet } from './policy.ts';
import { type Bounding as BoundChecks, checkBound } from './policy-bounds.ts';
import { checkPolicy } from './policy-checks.ts';
import { findConflicts } from './policy-conflicts.ts';
import { applyDefaults } from './policy-defaults.ts';
import { type PolicyFile, type Source, sortDocuments } from './policy-documents.ts';
import { checkPod } from './policy-overrides.ts';
import { type Definitions, type KnownNames, resolveReferences } from './policy-references.ts';
import { policySchema } from './policy-schema.ts';
import { checkPodStructure, checkPolicyStructure } from './policy-structure.ts';
import { checkReserved } from './policy-text-checks.ts';
import { readRuntime, type ServingRuntime } from './runtime-catalogue.ts';
import { check, type Report, reporter } from './schema-faults.ts';
import type { Position } from './yaml-source.ts';

/** What the files do not say themselves. */
export interface LoadOptions {
  /** Without it, names of clusters and GitOps repositories are not checked, and no bounds apply. */
  known?: KnownNames | undefined;
  /** Where the config repository has a file, by the path it is given with; left out: at that path. Bounds go by it. */
  placeOf?: ((path: string) => string) | undefined;
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
  { known, kserve = ASSUMED_KSERVE, placeOf = (path) => path }: LoadOptions = {},
): LoadedPolicies {
  const { faults, notes, ...sources } = sortDocuments(files);
  const warnings: Fault[] = [];
  const profiles = unique(
    sources.profiles.flatMap((source) => readProfile(source, faults)),
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
  const boundFor = (file: string) => known && boundOf(known.policies.bounds, placeOf(file));
  const boundsOfProfiles = new Map(
    profiles.map(({ item, source }) => [item.name, boundFor(source.file) ?? null]),
  );
  const bounding: Bounding = {
    boundFor,
    boundOfProfile: (name) => boundsOfProfiles.get(name) ?? null,
    budget: { left: MAX_BOUND_WORK },
  };
  const used: ProfileUse = new Map();
  const policies = unique(
    sources.policies.flatMap((source) =>
      readPolicy(source, definitions, { used, bounding }, { faults, warnings }),
    ),
    (one) => `DeploymentPolicy "${one.item.name}"`,
    faults,
  ).map(({ item }) => item);
  for (const profile of profiles) checkProfileStructure(profile, used, kserve, faults);
  policies.sort(byName);
  const conflicts = findConflicts(policies);
  faults.push(...conflicts.faults);
  warnings.push(...conflicts.warnings);
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
  source: Source;
  place: { file: string } & Position;
}
/** By the name of a GPU profile: what is known of the KServe of the clusters it is used for. */
type ProfileUse = Map<string, Set<KServe>>;

interface Bounding extends BoundChecks {
  /** undefined: nothing is known of modelhook.yaml */
  boundFor(file: string): Bound | undefined;
}
/** Ten seconds of comparing patterns with bounds, of which 10,000 ordinary policies need two; what is left then is refused. */
const MAX_BOUND_WORK = 30_000_000;

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

const placed = <Item>(item: Item, source: Source): Placed<Item> => ({
  item,
  source,
  place: { file: source.file, ...source.document.at(['metadata', 'name']) },
});

/** What a document calls itself, whether or not the rest of it is right. */
function nameOf({ document: { value } }: Source): string {
  const metadata = isJsonObject(value) ? value['metadata'] : null;
  return String(isJsonObject(metadata) ? metadata['name'] : '');
}

function readCatalogue(source: Source, faults: Fault[]): Placed<ServingRuntime>[] {
  const runtime = readRuntime(source.file, source.document, faults);
  return runtime === null ? [] : [placed(runtime, source)];
}

function readProfile(source: Source, faults: Fault[]): Placed<GpuProfile>[] {
  const { file, document } = source;
  const checked = check(gpuProfileSchema, file, document, faults);
  if (checked === null) return [];
  const profile = normaliseGpu(checked.metadata.name, checked.spec);
  const fault = reporter(file, document, faults);
  checkGpuResources(profile.resources, ['spec', 'resources'], fault);
  checkPod(profile.pod, ['spec', 'pod'], fault);
  checkReserved(document.value, [], fault);
  return [placed(profile, source)];
}

/** A profile must suit every cluster it is used for. */
function checkProfileStructure(
  { item, source }: Placed<GpuProfile>,
  used: ProfileUse,
  assumed: KServe,
  faults: Fault[],
): void {
  const structures = new Set([...(used.get(item.name ?? '') ?? [assumed])].map(({ structure }) => structure));
  const told = new Set<string>();
  const fault = reporter(source.file, source.document, faults);
  for (const structure of structures)
    checkPodStructure(item.pod, ['spec', 'pod'], structure, (path, message, within) => {
      const text = JSON.stringify([path, message]);
      if (!told.has(text)) fault(path, message, within);
      told.add(text);
    });
}

function readPolicy(
  source: Source,
  definitions: Definitions,
  { used, bounding }: { used: ProfileUse; bounding: Bounding },
  { faults, warnings }: { faults: Fault[]; warnings: Fault[] },
): Placed<Policy>[] {
  const { file, document } = source;
  const checked = check(policySchema, file, document, faults);
  const part = checked === null ? salvage(document.value) : { data: checked, replaced: [] };
  if (part === null || !isJsonObject(document.value)) return [];
  const { metadata, spec } = part.data;
  const told = reporter(file, document, faults);
  const sink = {
    // What stands in for a part with faults has no more of them.
    fault: ((path, ...what) => {
      if (!part.replaced.includes(String(path[1]))) told(path, ...what);
    }) satisfies Report,
    warn: reporter(file, document, warnings),
  };
  const one = placed(metadata.name, source);
  const { kserve, ...references } = resolveReferences(spec, definitions, sink);
  if (spec.gpuProfile) used.set(spec.gpuProfile, (used.get(spec.gpuProfile) ?? new Set()).add(kserve));
  const bound = bounding.boundFor(file) ?? null;
  const policy = applyDefaults(metadata.name, spec, { source: one.place, bound, ...references });
  checkPolicy(policy, document.value['spec'] ?? null, sink);
  checkPolicyStructure(policy, kserve, sink.fault);
  checkBound(policy, sink.fault, bounding);
  // A policy with faults is no other's rival.
  return checked === null ? [] : [{ ...one, item: policy }];
}

/** In place of what a policy cannot do without. */
const STAND_INS: JsonObject = {
  match: { repositories: ['forge:x'], tags: ['x'] },
  target: { namespace: 'x' },
};

/**
 * Takes the parts of a policy that have faults away, so that the rest of it can be checked in the same run.
 * @returns what is left, and the names of the parts; null where nothing can be made of it
 */
function salvage(value: Json): { data: z.infer<typeof policySchema>; replaced: string[] } | null {
  const issues = policySchema.safeParse(value).error?.issues ?? [];
  const spec = valueAt(value, ['spec']);
  if (!isJsonObject(value) || !isJsonObject(spec)) return null;
  const replaced = new Set(
    issues.flatMap(({ path, ...issue }) =>
      path.length === 1 && issue.code === 'unrecognized_keys' ? issue.keys : [String(path[1])],
    ),
  );
  const kept = Object.entries(spec).filter(([field]) => !replaced.has(field));
  const stood = Object.entries(STAND_INS).filter(([field]) => replaced.has(field));
  const parsed = policySchema.safeParse({ ...value, spec: Object.fromEntries([...kept, ...stood]) });
  return parsed.success ? { data: parsed.data, replaced: [...replaced] } : null;
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
