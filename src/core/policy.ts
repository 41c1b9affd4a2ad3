/** What a policy means once its defaults are applied, and everything one commit of the config repository says. */
import type { Bound } from './bound.ts';
import type { GlobList } from './glob.ts';
import type { GpuProfile } from './gpu-profile.ts';
import type { JsonObject } from './json.ts';
import type { ProtocolVersion } from './policy-schema.ts';
import type { ServingRuntime } from './runtime-catalogue.ts';

/** A policy with defaults applied and names resolved. Templates are still templates. */
export interface Policy {
  name: string;
  /** Where it is defined, for messages that name it. */
  source: { file: string; line: number; column: number };
  /** Of the directory it stands in; null: modelhook.yaml is not at hand. */
  bound: Bound | null;
  match: { repositories: GlobList; tags: GlobList; branches: GlobList };
  environment: string;
  description: string;
  target: { cluster: string; namespace: string; name: string };
  runtime: { name: string | null; class: string | null };
  protocolVersion: ProtocolVersion;
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
  storage: { uri: string; ephemeralStorage: string | null; pvc: string | null };
  conventions: 'kserve' | 'alauda';
  labels: Record<string, string>;
  annotations: Record<string, string>;
  pod: JsonObject;
  container: JsonObject;
  updateExisting: boolean;
  delivery: {
    /** A key of `gitops` in modelhook.yaml; null: applied to the cluster. */
    gitops: string | null;
    path: string;
    via: 'push' | 'pullRequest';
    adopt: boolean;
    selfHeal: boolean;
  };
  /** Times in milliseconds. */
  readiness: {
    observe: 'auto' | 'never';
    timeout: number;
    stability: number;
    grace: { imagePull: number; unschedulable: number; invalidSpec: number; restarts: number };
  };
  suspend: boolean;
  onPolicyChange: 'redeploy' | 'nextEvent';
  onRefDelete: 'keep' | 'remove';
  /** Which fields were left to their defaults, by their paths below `spec`: `replicas`, `resources.limits.cpu`. */
  defaulted: ReadonlySet<string>;
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
