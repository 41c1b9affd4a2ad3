import { describe, expect, it } from 'vitest';
import { faultsOf, load, loadGood, only, policyText, UNBOUNDED } from './policy.fixture.ts';
import { loadPolicies } from './policy-files.ts';

const messages = (spec: object): string[] =>
  faultsOf(policyText(spec)).map((fault) => fault.replace(/^\d+:\d+: /, ''));
const profile = (pod: object): string =>
  JSON.stringify({
    apiVersion: 'modelhook.dev/v1alpha1',
    kind: 'GpuProfile',
    metadata: { name: 'card' },
    spec: { resources: { 'nvidia.com/gpu': 1 }, pod },
  });

/** What no KServe or Kubernetes takes, wherever a pod is given. */
const BAD_PODS: [object, RegExp][] = [
  [{ minReplicas: 5 }, /minReplicas: modelhook sets this field itself; use spec\.replicas/],
  [{ deploymentStrategy: { type: 'Recreate' } }, /use spec\.rollout/],
  [{ sklearn: { storageUri: 's3://x' } }, /modelhook renders the model itself/],
  [{ labels: { 'bad key!': 'x' } }, /"bad key!" is no key of Kubernetes/],
  [{ labels: { a: 'not a label!!' } }, /"not a label!!" is no label value/],
  [{ annotations: { 'bad key!': 'x' } }, /no key of Kubernetes/],
  [{ nodeSelector: { a: 'c d' } }, /no label value/],
  [{ restartPolicy: 'Alway' }, /restartPolicy: expected Always, got "Alway"; did you mean "Always"/],
  [{ tolerations: [{ key: 'a' }, { operator: 'Exist' }] }, /tolerations\[1\]\.operator: expected Exists/],
  [{ tolerations: [{ effect: 'NoSchedul' }] }, /did you mean "NoSchedule"/],
  [{ containerConcurrency: -1 }, /is 0, for no limit, or more/],
  [{ containers: [{ name: 'kserve-container', image: 'i' }] }, /name of the model's own container/],
];

describe('a pod', () => {
  it.each(BAD_PODS)('%j is refused in a policy, inline with a GPU, and in a GPU profile', (pod, expected) => {
    const inline = { gpu: { resources: { 'nvidia.com/gpu': 1 }, pod } };
    expect(messages({ pod })).toEqual([expect.stringMatching(expected)]);
    expect(messages(inline)).toEqual([expect.stringMatching(expected)]);
    expect(faultsOf(profile(pod), policyText({ gpuProfile: 'card' }))).toEqual([
      expect.stringMatching(expected),
    ]);
  });

  it('may be anything else that KServe takes', () => {
    expect(
      messages({
        pod: {
          labels: { 'a.b/c': 'd' },
          nodeSelector: { 'kubernetes.io/os': 'linux' },
          tolerations: [{ key: 'gpu', operator: 'Exists', effect: 'NoSchedule' }],
          containers: [{ name: 'sidecar', image: 'i' }],
          containerConcurrency: 0,
        },
      }),
    ).toEqual([]);
  });
});

describe('a container', () => {
  it.each([
    [{ storageUri: 's3://x' }, /use spec\.storage/],
    [{ name: 'x' }, /KServe refuses a name here/],
    [{ imagePullPolicy: 'Alwyas' }, /expected Always or IfNotPresent or Never, got "Alwyas"; did you mean/],
    [{ env: [{ name: 'PYTHONPATH', value: '/x' }] }, /env\[0\]\.name: KServe refuses PYTHONPATH/],
    [
      { env: [{ name: 'A', value: 'x', valueFrom: { fieldRef: { fieldPath: 'a' } } }] },
      /keep one of the two/,
    ],
  ])('%j is refused', (container, expected) => {
    expect(messages({ container })).toEqual([expect.stringMatching(expected)]);
  });
});

describe('other values that are always refused', () => {
  it.each([
    [{ annotations: { 'serving.kserve.io/autoscalerClass': 'kpa' } }, /refuses "kpa"; expected hpa or keda/],
    [{ rollout: { strategy: 'RollingUpdate', maxUnavailable: '150%' } }, /at most 100%/],
    [{ resources: { limits: { memroy: '24Gi' } } }, /no resource "memroy"; did you mean "memory"/],
    [{ resources: { limits: { gpu: 1 } } }, /no resource "gpu"/],
    [{ storage: { uri: 's3://m/../x' } }, /segment "\." or "\.\."/],
    [{ storage: { uri: 'hf://x' } }, /does not name a model/],
    [{ modelFormat: { name: 'sklearn', version: 1.5 } }, /put it in quotes/],
  ])('%j', (spec, expected) => {
    expect(messages(spec)).toEqual([expect.stringMatching(expected)]);
  });

  it('but not what some event can make right', () => {
    expect(messages({ storage: { uri: `hf://\${repository.path}:\${tag}` } })).toEqual([]);
    expect(messages({ storage: { uri: 'pvc://claim/x', pvc: 'my.claim' } })).toEqual([]);
    expect(messages({ labels: { a: null }, annotations: { b: null } })).toEqual([]);
  });

  it('nor GPU resources of a profile that the policy leaves out', () => {
    const resources = { limits: { 'nvidia.com/gpu': null, 'nvidia.com/gpualloc': 1 } };
    const policy = only(loadGood(profile({}), policyText({ gpuProfile: 'card', resources })));
    expect(policy.resources.limits).not.toHaveProperty(['nvidia.com/gpu']);
  });
});

describe('where manifests go', () => {
  it.each([
    ['all.yaml', /one file for every target/],
    [`\${target.name}`, /does not end in \.yaml/],
  ])('%s is warned of', (path, expected) => {
    const { warnings } = load(policyText({ delivery: { gitops: 'fleet', path } }));
    expect(warnings.map(({ message }) => message)).toEqual([expect.stringMatching(expected)]);
  });
});

it('a GPU profile is checked against the KServe of each cluster it is used for', () => {
  const anything = { structure: { nodes: [{ type: 'any' }], root: 0 }, version: '0.99' } as const;
  const files = [profile({ fieldOfTomorrow: 1 }), policyText({ gpuProfile: 'card' })];
  const loaded = loadPolicies(
    files.map((text, at) => ({ path: `${at}.yaml`, text })),
    'c0ffee',
    {
      known: {
        forges: ['plain'],
        clusters: [{ name: 'prod', kserve: anything, reachable: false, namespaces: [] }],
        gitops: [{ name: 'fleet', pullRequests: false }],
        policies: UNBOUNDED,
      },
    },
  );
  expect(loaded.faults).toEqual([]);
  expect(faultsOf(...files)).toEqual([expect.stringContaining('unknown field "fieldOfTomorrow"')]);
});
