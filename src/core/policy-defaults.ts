/** What a policy means where it says nothing. */
import type { Bound } from './bound.ts';
import { compileGlobs } from './glob.ts';
import type { GpuProfile } from './gpu-profile.ts';
import { type JsonObject, valueAt } from './json.ts';
import type { Policy } from './policy.ts';
import type { PolicySpec } from './policy-schema.ts';

/** What a policy's text leaves to its surroundings. */
export interface Surroundings {
  source: Policy['source'];
  bound: Bound | null;
  cluster: string;
  gitops: string | null;
  gpu: GpuProfile | null;
}

/** @returns the policy with a value for every field */
export function applyDefaults(name: string, spec: PolicySpec, around: Surroundings): Policy {
  const conventions = spec.conventions ?? 'kserve';
  const storage = storageOf(spec.storage, conventions);
  return {
    name,
    source: around.source,
    bound: around.bound,
    match: {
      repositories: compileGlobs(spec.match.repositories),
      tags: compileGlobs(spec.match.tags ?? []),
      branches: compileGlobs(spec.match.branches ?? []),
    },
    environment: spec.environment ?? name,
    description: spec.description ?? '',
    target: {
      cluster: around.cluster,
      namespace: spec.target.namespace,
      name: spec.target.name ?? `\${repository.name}`,
    },
    runtime: runtimeOf(spec.runtime),
    protocolVersion: spec.protocolVersion ?? 'v2',
    gpu: around.gpu,
    resources: resourcesOf(spec.resources, storage, around.gpu),
    replicas: replicasOf(spec.replicas),
    deploymentMode: spec.deploymentMode ?? 'auto',
    rollout: rolloutOf(spec.rollout),
    modelFormat: modelFormatOf(spec.modelFormat),
    storage,
    conventions,
    labels: textsOf(spec.labels),
    annotations: textsOf(spec.annotations),
    // Read from YAML and inspected: plain data.
    pod: (spec.pod ?? {}) as JsonObject,
    container: (spec.container ?? {}) as JsonObject,
    updateExisting: spec.updateExisting ?? true,
    delivery: deliveryOf(spec.delivery, around.gitops),
    readiness: readinessOf(spec.readiness),
    suspend: spec.suspend ?? false,
    onPolicyChange: spec.onPolicyChange ?? 'redeploy',
    onRefDelete: spec.onRefDelete ?? 'keep',
    defaulted: new Set(DEFAULTED.filter((path) => !isStated(spec, path))),
  };
}

/** The defaults that an explanation of a plan tells apart from what the policy says. */
const DEFAULTED = [
  'environment',
  'protocolVersion',
  'resources.requests.cpu',
  'resources.requests.memory',
  'resources.limits.cpu',
  'resources.limits.memory',
  'replicas.min',
  'replicas.max',
  'storage.uri',
  'storage.ephemeralStorage',
  'delivery.path',
];

function isStated(spec: PolicySpec, path: string): boolean {
  // Read from YAML: plain data.
  const value = valueAt(spec as unknown as JsonObject, path.split('.'));
  return value !== undefined && value !== null;
}

/** Null and left out are the same. */
const textsOf = (texts: PolicySpec['labels']): Record<string, string> =>
  Object.fromEntries(
    Object.entries(texts ?? {}).flatMap(([key, text]) => (text === null ? [] : [[key, text]])),
  );

const runtimeOf = (runtime: PolicySpec['runtime']): Policy['runtime'] => ({
  name: runtime?.name ?? null,
  class: runtime?.class ?? null,
});

/** Where Alauda AI keeps its models. Elsewhere this would name strangers' models on the public Hub. */
const ALAUDA_STORAGE = `hf://\${target.namespace}/\${repository.name}:\${revision}`;

function storageOf(storage: PolicySpec['storage'], conventions: Policy['conventions']): Policy['storage'] {
  const { uri, ephemeralStorage, pvc } = storage ?? {};
  return {
    uri: uri ?? (conventions === 'alauda' ? ALAUDA_STORAGE : ''),
    // Null leaves it out, as with the other resources.
    ephemeralStorage: ephemeralStorage === null ? null : String(ephemeralStorage ?? '10Gi'),
    pvc: pvc ?? null,
  };
}

function resourcesOf(
  resources: PolicySpec['resources'],
  { pvc, ephemeralStorage }: Policy['storage'],
  gpu: GpuProfile | null,
): Policy['resources'] {
  // With a claim the model is not downloaded to the node's disk.
  const disk = pvc === null && ephemeralStorage !== null ? { 'ephemeral-storage': ephemeralStorage } : {};
  return {
    requests: overlay({ cpu: '1', memory: '4Gi' }, resources?.requests),
    limits: overlay({ cpu: '4', memory: '16Gi', ...gpu?.resources, ...disk }, resources?.limits),
  };
}

/** Lays quantities over defaults; null leaves one out. */
function overlay(
  defaults: Record<string, string>,
  over: Record<string, string | number | null> | null | undefined,
): Record<string, string> {
  const merged = Object.entries({ ...defaults, ...over });
  return Object.fromEntries(merged.flatMap(([key, value]) => (value === null ? [] : [[key, String(value)]])));
}

/** `min: 3` alone means three. */
function replicasOf(replicas: PolicySpec['replicas']): Policy['replicas'] {
  const min = replicas?.min ?? 1;
  return { min, max: replicas?.max ?? Math.max(min, 1) };
}

function rolloutOf(rollout: PolicySpec['rollout']): Policy['rollout'] {
  if (!rollout) return null;
  const { strategy, maxSurge, maxUnavailable } = rollout;
  return { strategy, maxSurge: maxSurge ?? null, maxUnavailable: maxUnavailable ?? null };
}

function modelFormatOf(format: PolicySpec['modelFormat']): Policy['modelFormat'] {
  if (!format) return null;
  return { name: format.name, version: format.version ?? null };
}

const deliveryOf = (delivery: PolicySpec['delivery'], gitops: string | null): Policy['delivery'] => ({
  gitops,
  path: delivery?.path ?? `\${target.cluster}/\${target.namespace}/\${target.name}.yaml`,
  via: delivery?.via ?? 'push',
  adopt: delivery?.adopt ?? false,
  selfHeal: delivery?.selfHeal ?? false,
});

const readinessOf = (readiness: PolicySpec['readiness']): Policy['readiness'] => ({
  observe: readiness?.observe ?? 'auto',
  timeout: milliseconds(readiness?.timeout ?? '30m'),
  stability: milliseconds(readiness?.stability ?? '0s'),
  grace: {
    imagePull: milliseconds(readiness?.grace?.imagePull ?? '60s'),
    unschedulable: milliseconds(readiness?.grace?.unschedulable ?? '10m'),
    invalidSpec: milliseconds(readiness?.grace?.invalidSpec ?? '30s'),
    restarts: readiness?.grace?.restarts ?? 3,
  },
});

const UNITS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** @param duration as the schema accepts it: `1h30m` */
function milliseconds(duration: string): number {
  let total = 0;
  for (const [, digits, unit = 's'] of duration.matchAll(/(\d+)(ms|s|m|h)/g))
    total += Number(digits) * (UNITS[unit] ?? 0);
  return total;
}
