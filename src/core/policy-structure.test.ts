import { describe, expect, it } from 'vitest';
import { SMALL_CRD } from './crd.fixture.ts';
import { reduceCrd } from './crd.ts';
import { faultsOf, policyText } from './policy.fixture.ts';
import { loadPolicies } from './policy-files.ts';

const yaml = (lines: string): string => `apiVersion: modelhook.dev/v1alpha1
kind: DeploymentPolicy
metadata: { name: production }
spec:
  match: { repositories: ["plain:ml/*"], tags: ["v*"] }
  target: { namespace: vision }
  storage: { uri: "s3://m/x" }
  delivery: { gitops: fleet }
${lines}`;

describe('pod and container', () => {
  it.each([
    [
      '  pod:\n    nodeSelectr: {}\n',
      '10:5: spec.pod: unknown field "nodeSelectr"; did you mean "nodeSelector"?',
    ],
    [
      '  container:\n    env:\n      - name: A\n        valu: b\n',
      '12:9: spec.container.env[0]: unknown field "valu"; did you mean "value"?',
    ],
    [
      '  gpu:\n    resources: { nvidia.com/gpu: 1 }\n    pod:\n      tolerations:\n        - kee: gpu\n',
      '13:11: spec.gpu.pod.tolerations[0]: unknown field "kee"; did you mean "key"?',
    ],
  ])('name the place and the nearest right name of %j', (lines, fault) => {
    expect(faultsOf(yaml(lines))).toEqual([fault]);
  });

  it('are checked for types, at every depth', () => {
    expect(
      faultsOf(
        yaml('  pod:\n    hostNetwork: "yes"\n  container:\n    ports:\n      - containerPort: http\n'),
      ),
    ).toEqual([
      expect.stringContaining('10:18: spec.pod.hostNetwork: expected true or false'),
      expect.stringContaining('13:24: spec.container.ports[0].containerPort: expected a whole number'),
    ]);
  });

  it('of a GPU profile are checked where the profile stands, once', () => {
    const profile = JSON.stringify({
      apiVersion: 'modelhook.dev/v1alpha1',
      kind: 'GpuProfile',
      metadata: { name: 'card' },
      spec: { resources: { 'nvidia.com/gpu': 1 }, pod: { nodeSelctor: {} } },
    });
    expect(faultsOf(profile, policyText({ gpuProfile: 'card' }))).toEqual([
      expect.stringContaining('spec.pod: unknown field "nodeSelctor"; did you mean "nodeSelector"?'),
    ]);
  });

  it('leave the model itself to modelhook', () => {
    expect(faultsOf(policyText({ pod: { sklearn: { storageUri: 's3://x' } } }))).toEqual([
      expect.stringContaining('spec.pod.sklearn: modelhook renders the model itself'),
    ]);
  });
});

describe('another version of KServe', () => {
  const faults = (spec: object): string[] =>
    loadPolicies([{ path: 'a.yaml', text: policyText(spec) }], 'c0ffee', {
      kserve: { version: '0.10', structure: reduceCrd(SMALL_CRD) },
    }).faults.map(({ message }) => message);

  it('may lack what a field of the policy becomes, and the fault is at that field', () => {
    expect(faults({})).toEqual([]);
    expect(faults({ rollout: { strategy: 'Recreate' } })).toEqual([
      expect.stringContaining('spec.rollout: unknown field "deploymentStrategy"'),
    ]);
  });
});
