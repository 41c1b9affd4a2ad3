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
  const ephemeralStorage = String(spec.storage.ephemeralStorage ?? '10Gi');
  const pvc = spec.storage.pvc ?? null;
  const min = spec.replicas?.min ?? 1;
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
    runtime: { name: spec.runtime?.name ?? null, class: spec.runtime?.class ?? null },
    protocolVersion: spec.protocolVersion ?? 'v2',
    gpu: around.gpu,
    resources: {
      requests: overlay({ cpu: '1', memory: '4Gi' }, spec.resources?.requests),
      limits: overlay(
        {
          cpu: '4',
          memory: '16Gi',
          ...around.gpu?.resources,
          // With a claim the model is not downloaded to the node's disk.
          ...(pvc === null ? { 'ephemeral-storage': ephemeralStorage } : {}),
        },
        spec.resources?.limits,
      ),
    },
    replicas: { min, max: spec.replicas?.max ?? Math.max(min, 1) },
    deploymentMode: spec.deploymentMode ?? 'auto',
    rollout: spec.rollout
      ? {
          strategy: spec.rollout.strategy,
          maxSurge: spec.rollout.maxSurge ?? null,
          maxUnavailable: spec.rollout.maxUnavailable ?? null,
        }
      : null,
    modelFormat: spec.modelFormat
      ? { name: spec.modelFormat.name, version: textOrNull(spec.modelFormat.version) }
      : null,
    storage: { uri: spec.storage.uri, ephemeralStorage, pvc },
    conventions: spec.conventions ?? 'kserve',
    labels: spec.labels ?? {},
    annotations: spec.annotations ?? {},
    // Read from YAML and inspected: plain data.
    pod: (spec.pod ?? {}) as JsonObject,
    container: (spec.container ?? {}) as JsonObject,
    updateExisting: spec.updateExisting ?? true,
    delivery: {
      gitops: around.gitops,
      path: spec.delivery?.path ?? `\${target.cluster}/\${target.namespace}/\${target.name}.yaml`,
      via: spec.delivery?.via ?? 'push',
      adopt: spec.delivery?.adopt ?? false,
    },
    readiness: {
      observe: spec.readiness?.observe ?? 'auto',
      timeout: milliseconds(spec.readiness?.timeout ?? '30m'),
      stability: milliseconds(spec.readiness?.stability ?? '0s'),
    },
    suspend: spec.suspend ?? false,
  };
}

const textOrNull = (value: string | number | null | undefined): string | null =>
  value === null || value === undefined ? null : String(value);

/** Lays quantities over defaults; null leaves one out. */
function overlay(
  defaults: Record<string, string>,
  over: Record<string, string | number | null> | null | undefined,
): Record<string, string> {
  const merged = Object.entries({ ...defaults, ...over });
  return Object.fromEntries(merged.flatMap(([key, value]) => (value === null ? [] : [[key, String(value)]])));
}

const UNITS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** @param duration as the schema accepts it: `1h30m` */
function milliseconds(duration: string): number {
  let total = 0;
  for (const [, digits, unit = 's'] of duration.matchAll(/(\d+)(ms|s|m|h)/g))
    total += Number(digits) * (UNITS[unit] ?? 0);
  return total;
}
