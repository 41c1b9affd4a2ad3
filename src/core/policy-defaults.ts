/** What a policy means where it says nothing. */
import { compileGlobs } from './glob.ts';
import type { GpuProfile } from './gpu-profile.ts';
import type { JsonObject } from './json.ts';
import type { Policy, PolicySpec } from './policy.ts';

/** What a policy's text leaves to its surroundings. */
export interface Surroundings {
  source: Policy['source'];
  cluster: string;
  gitops: string;
  gpu: GpuProfile | null;
}

/** @returns the policy with a value for every field */
export function applyDefaults(name: string, spec: PolicySpec, around: Surroundings): Policy {
  const storage = storageOf(spec.storage);
  return {
    name,
    source: around.source,
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
    conventions: spec.conventions ?? 'kserve',
    labels: spec.labels ?? {},
    annotations: spec.annotations ?? {},
    // Read from YAML and inspected: plain data.
    pod: (spec.pod ?? {}) as JsonObject,
    container: (spec.container ?? {}) as JsonObject,
    updateExisting: spec.updateExisting ?? true,
    delivery: deliveryOf(spec.delivery, around.gitops),
    readiness: readinessOf(spec.readiness),
    suspend: spec.suspend ?? false,
  };
}

const runtimeOf = (runtime: PolicySpec['runtime']): Policy['runtime'] => ({
  name: runtime?.name ?? null,
  class: runtime?.class ?? null,
});

const storageOf = (storage: PolicySpec['storage']): Policy['storage'] => ({
  uri: storage.uri,
  ephemeralStorage: String(storage.ephemeralStorage ?? '10Gi'),
  pvc: storage.pvc ?? null,
});

function resourcesOf(
  resources: PolicySpec['resources'],
  { pvc, ephemeralStorage }: Policy['storage'],
  gpu: GpuProfile | null,
): Policy['resources'] {
  // With a claim the model is not downloaded to the node's disk.
  const disk = pvc === null ? { 'ephemeral-storage': ephemeralStorage } : {};
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
  const version = format.version ?? null;
  return { name: format.name, version: version === null ? null : String(version) };
}

const deliveryOf = (delivery: PolicySpec['delivery'], gitops: string): Policy['delivery'] => ({
  gitops,
  path: delivery?.path ?? `\${target.cluster}/\${target.namespace}/\${target.name}.yaml`,
  via: delivery?.via ?? 'push',
  adopt: delivery?.adopt ?? false,
});

const readinessOf = (readiness: PolicySpec['readiness']): Policy['readiness'] => ({
  observe: readiness?.observe ?? 'auto',
  timeout: milliseconds(readiness?.timeout ?? '30m'),
  stability: milliseconds(readiness?.stability ?? '0s'),
});

const UNITS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** @param duration as the schema accepts it: `1h30m` */
function milliseconds(duration: string): number {
  let total = 0;
  for (const [, digits, unit = 's'] of duration.matchAll(/(\d+)(ms|s|m|h)/g))
    total += Number(digits) * (UNITS[unit] ?? 0);
  return total;
}
