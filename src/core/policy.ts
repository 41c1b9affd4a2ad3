/** DeploymentPolicy: the format people write, and what it means once defaults are applied. */
import { z } from 'zod';
import type { GlobList } from './glob.ts';
import { API_VERSION, type GpuProfile, gpuSpecSchema, metadataSchema } from './gpu-profile.ts';
import type { JsonObject } from './json.ts';
import type { ServingRuntime } from './runtime-catalogue.ts';
import { fields } from './schema-faults.ts';

const patterns = z.array(
  z.string().min(1, 'a pattern is not empty').max(256, 'a pattern has at most 256 characters'),
);
const quantity = z.union([z.string(), z.number()], { error: 'expected a quantity such as "500m" or 4Gi' });
const quantities = z.record(z.string(), quantity.nullable()).nullish();
const anything = z.record(z.string(), z.unknown()).nullish();
const texts = z.record(z.string(), z.string()).nullish();
const name = z.string().min(1, 'expected a name');
const surge = z.union([z.int().min(0), z.string().regex(/^\d{1,3}%$/)], {
  error: 'expected a whole number or a percentage such as "25%"',
});
const duration = z
  .string({ error: 'expected a time such as 30m' })
  .regex(/^(?:\d{1,6}(?:ms|s|m|h))+$/, 'expected a time such as 90s, 30m or 1h30m');
const version = z.union([z.string().min(1), z.int()], { error: 'expected a version; put it in quotes' });

const PROTOCOLS = ['v1', 'v2', 'grpc-v1', 'grpc-v2'] as const;

/** Every field a policy can have. Null and left out are the same, except for single resources. */
const specSchema = fields({
  match: fields({
    repositories: patterns.min(1, 'name at least one repository'),
    tags: patterns.nullish(),
    branches: patterns.nullish(),
  }),
  environment: z
    .string()
    .regex(/^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/, 'expected letters, digits, ".", "_" and "-"')
    .nullish(),
  target: fields({ cluster: name.nullish(), namespace: name, name: name.nullish() }),
  description: z.string().nullish(),
  runtime: fields({ name: name.nullish(), class: name.nullish() }).nullish(),
  protocolVersion: z.enum(PROTOCOLS).nullish(),
  gpuProfile: name.nullish(),
  gpu: gpuSpecSchema.nullish(),
  resources: fields({ requests: quantities, limits: quantities }).nullish(),
  replicas: fields({ min: z.int().min(0).nullish(), max: z.int().min(0).nullish() }).nullish(),
  deploymentMode: z.enum(['auto', 'Standard', 'Knative']).nullish(),
  rollout: fields({
    strategy: z.enum(['RollingUpdate', 'Recreate']),
    maxSurge: surge.nullish(),
    maxUnavailable: surge.nullish(),
  }).nullish(),
  modelFormat: fields({ name, version: version.nullish() }).nullish(),
  storage: fields({ uri: name, ephemeralStorage: quantity.nullish(), pvc: name.nullish() }),
  conventions: z.enum(['kserve']).nullish(),
  labels: texts,
  annotations: texts,
  pod: anything,
  container: anything,
  updateExisting: z.boolean().nullish(),
  delivery: fields({
    gitops: name.nullish(),
    path: name.nullish(),
    via: z.enum(['push']).nullish(),
    adopt: z.boolean().nullish(),
  }).nullish(),
  readiness: fields({
    observe: z.enum(['auto', 'never']).nullish(),
    timeout: duration.nullish(),
    stability: duration.nullish(),
  }).nullish(),
  suspend: z.boolean().nullish(),
});

export const policySchema = fields({
  apiVersion: z.literal(API_VERSION),
  kind: z.literal('DeploymentPolicy'),
  metadata: metadataSchema,
  spec: specSchema,
});
export type PolicySpec = z.infer<typeof specSchema>;

/** A policy with defaults applied and names resolved. Templates are still templates. */
export interface Policy {
  name: string;
  /** Where it is defined, for messages that name it. */
  source: { file: string; line: number; column: number };
  match: { repositories: GlobList; tags: GlobList; branches: GlobList };
  environment: string;
  description: string;
  target: { cluster: string; namespace: string; name: string };
  runtime: { name: string | null; class: string | null };
  protocolVersion: (typeof PROTOCOLS)[number];
  gpu: GpuProfile | null;
  /** Without the GPU's and the ephemeral storage. */
  resources: { requests: Record<string, string>; limits: Record<string, string> };
  replicas: { min: number; max: number };
  deploymentMode: 'auto' | 'Standard' | 'Knative';
  rollout: {
    strategy: 'RollingUpdate' | 'Recreate';
    maxSurge: number | string | null;
    maxUnavailable: number | string | null;
  } | null;
  modelFormat: { name: string; version: string | null } | null;
  storage: { uri: string; ephemeralStorage: string; pvc: string | null };
  conventions: 'kserve';
  labels: Record<string, string>;
  annotations: Record<string, string>;
  pod: JsonObject;
  container: JsonObject;
  updateExisting: boolean;
  delivery: { gitops: string; path: string; via: 'push'; adopt: boolean };
  /** Times in milliseconds. */
  readiness: { observe: 'auto' | 'never'; timeout: number; stability: number };
  suspend: boolean;
}

/** Everything one commit of the config repository says. */
export interface PolicySet {
  /** The commit, or whatever the caller calls this state of the files. */
  revision: string;
  /** By name. */
  policies: readonly Policy[];
  gpuProfiles: readonly GpuProfile[];
  /** The runtime catalogue, by name; empty where the files define none. */
  runtimes: readonly ServingRuntime[];
}

/** How a service scales with this policy. KServe cannot change the mode of a service that exists. */
export const modeOf = (policy: Pick<Policy, 'deploymentMode' | 'replicas'>): 'Standard' | 'Knative' => {
  if (policy.deploymentMode !== 'auto') return policy.deploymentMode;
  return policy.replicas.min === policy.replicas.max ? 'Standard' : 'Knative';
};
