/** Policy files for tests. JSON is YAML too. */
import type { Policy, PolicySet } from './policy.ts';
import { type LoadedPolicies, loadPolicies } from './policy-files.ts';
import type { KnownNames } from './policy-references.ts';

const DEFAULTS = {
  match: { repositories: ['plain:ml/**'], tags: ['v*'] },
  target: { namespace: 'vision' },
  runtime: { name: 'mlserver' },
  storage: { uri: `s3://models/\${repository.path}/\${sha}` },
  delivery: { gitops: 'fleet' },
};

/** @param spec laid over one that deploys tags `v*` of `plain:ml/**` */
export const policyText = (spec: object = {}, name = 'production'): string =>
  JSON.stringify({
    apiVersion: 'modelhook.dev/v1alpha1',
    kind: 'DeploymentPolicy',
    metadata: { name },
    spec: { ...DEFAULTS, ...spec },
  });

/** What modelhook.yaml has of policies where it bounds none. */
export const UNBOUNDED: KnownNames['policies'] = { directory: 'policies', bounds: [] };

export const runtimeText = (name: string, spec: object = {}, metadata: object = {}): string =>
  JSON.stringify({
    apiVersion: 'serving.kserve.io/v1alpha1',
    kind: Object.hasOwn(metadata, 'namespace') ? 'ServingRuntime' : 'ClusterServingRuntime',
    metadata: { name, ...metadata },
    spec: {
      supportedModelFormats: [{ name: 'sklearn', version: '1', autoSelect: true, priority: 1 }],
      ...spec,
    },
  });

/** Loads texts as the files `0.yaml`, `1.yaml` and so on. */
export const load = (...texts: string[]): LoadedPolicies =>
  loadPolicies(
    texts.map((text, at) => ({ path: `${at}.yaml`, text })),
    'c0ffee',
  );

/** @throws where the texts have faults */
export function loadGood(...texts: string[]): PolicySet {
  const { policies, faults } = load(...texts);
  if (policies === null) throw new Error(faults.map((fault) => fault.message).join('\n'));
  return policies;
}

/** @returns the only policy of a set */
export function only(set: PolicySet): Policy {
  const [policy, ...others] = set.policies;
  if (policy === undefined || others.length > 0) throw new Error(`${set.policies.length} policies, not one`);
  return policy;
}

/** @returns the faults as `line:column: message` */
export const faultsOf = (...texts: string[]): string[] =>
  load(...texts).faults.map(({ line, column, message }) => `${line}:${column}: ${message}`);
