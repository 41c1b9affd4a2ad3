import { describe, expect, it } from 'vitest';
import { ASSUMED_KSERVE } from './kserve.ts';
import { faultsOf, load, loadGood, only, policyText, runtimeText, UNBOUNDED } from './policy.fixture.ts';
import { loadPolicies } from './policy-files.ts';
import type { KnownNames } from './policy-references.ts';

const yaml = `# comment
apiVersion: modelhook.dev/v1alpha1
kind: DeploymentPolicy
metadata:
  name: production
spec:
  match:
    repositories: ["plain:ml/*"]
    tags: ["v*"]
  target:
    namespace: vision
  storage:
    uri: s3://models/\${repository.path}/\${sha}
  delivery:
    gitops: fleet
`;
const profile = (resources: object, more: object = {}): string =>
  JSON.stringify({
    apiVersion: 'modelhook.dev/v1alpha1',
    kind: 'GpuProfile',
    metadata: { name: 'half' },
    spec: { resources, ...more },
  });

describe('loadPolicies', () => {
  it('applies the defaults', () => {
    const policy = only(loadGood(yaml));
    expect(policy).toMatchObject({
      name: 'production',
      source: { file: '0.yaml', line: 5, column: 9 },
      environment: 'production',
      target: { cluster: 'default', namespace: 'vision', name: `\${repository.name}` },
      runtime: { name: null, class: null },
      protocolVersion: 'v2',
      gpu: null,
      resources: {
        requests: { cpu: '1', memory: '4Gi' },
        limits: { cpu: '4', memory: '16Gi', 'ephemeral-storage': '10Gi' },
      },
      replicas: { min: 1, max: 1 },
      deploymentMode: 'auto',
      rollout: null,
      modelFormat: null,
      conventions: 'kserve',
      updateExisting: true,
      delivery: {
        gitops: 'fleet',
        path: `\${target.cluster}/\${target.namespace}/\${target.name}.yaml`,
        via: 'push',
        adopt: false,
      },
      readiness: { observe: 'auto', timeout: 1_800_000, stability: 0 },
      suspend: false,
    });
    expect(policy.match.tags.patterns).toEqual(['v*']);
  });

  it('takes null for left out, except that a null resource is left out itself', () => {
    const policy = only(
      loadGood(
        policyText({
          gpu: null,
          rollout: null,
          replicas: { min: 3, max: null },
          resources: { requests: { cpu: null }, limits: { memory: '32Gi', 'ephemeral-storage': null } },
        }),
      ),
    );
    expect(policy.resources).toEqual({ requests: { memory: '4Gi' }, limits: { cpu: '4', memory: '32Gi' } });
    expect(policy.replicas).toEqual({ min: 3, max: 3 });
  });

  it('gives the set its revision and sorts it by name, whatever the order of files', () => {
    const texts = ['b', 'a'].map((name) => policyText({ target: { namespace: name } }, name));
    const set = loadGood(...texts);
    expect(set.revision).toBe('c0ffee');
    expect(set.policies.map(({ name }) => name)).toEqual(['a', 'b']);
    expect(set).toEqual({
      ...loadGood(...texts.toReversed()),
      policies: set.policies.map((policy) => expect.objectContaining({ name: policy.name })),
    });
  });

  it('reports every fault of every file and document at its place, and no set', () => {
    const broken = yaml.replace('tags:', 'tgas:').replace('namespace: vision', 'namespace: Vision');
    const { policies, faults } = load(
      broken,
      `${yaml.replace('name: production', 'name: other')}---\nkind: [\n`,
    );
    expect(policies).toBeNull();
    expect(faults.map(({ file, line }) => `${file}:${line}`)).toEqual(['0.yaml:9', '0.yaml:11', '1.yaml:18']);
  });

  it('tells what is wrong with the rest of a policy too, in one run', () => {
    const faults = faultsOf(
      policyText({
        replicas: { min: -1 },
        pod: { nodeSelectr: {} },
        storage: { uri: 'hf://x' },
        labels: { 'a b': 'x' },
        match: { repositories: [], tags: ['v*'] },
      }),
    );
    expect(faults).toEqual([
      expect.stringContaining('name at least one repository'),
      expect.stringContaining('"hf://x" does not name a model'),
      expect.stringContaining('spec.replicas.min: must be at least 0'),
      expect.stringContaining('unknown field "nodeSelectr"'),
      expect.stringContaining('"a b" is no key of Kubernetes'),
    ]);
    expect(
      faultsOf(policyText({ deploymentMod: 'Standard', storage: null, delivery: { gitop: 'x' } })),
    ).toEqual([
      expect.stringContaining('spec.storage.uri: this field is required'),
      expect.stringContaining('unknown field "gitop"'),
      expect.stringContaining('unknown field "deploymentMod"'),
    ]);
  });

  it('suggests the nearest name for an unknown field, at the field', () => {
    expect(faultsOf(yaml.replace('namespace:', 'namespce:'))).toEqual([
      '10:3: spec.target.namespace: this field is required',
      '11:5: unknown field "namespce" in spec.target; did you mean "namespace"?',
    ]);
  });

  it('finds an unknown template variable inside its string', () => {
    expect(faultsOf(yaml.replace('sha}', 'shaa}'))).toEqual([
      `13:41: spec.storage.uri: unknown template variable \${shaa}; did you mean "sha"?`,
    ]);
  });

  it('skips other kinds with a note, and refuses unknown kinds of ours', () => {
    const { policies, notes } = load(yaml, 'apiVersion: v1\nkind: ConfigMap\n---\n---\n- x\n');
    expect(policies?.policies).toHaveLength(1);
    expect(notes.map(({ line, message }) => [line, message])).toEqual([
      [1, expect.stringContaining('skipped: kind ConfigMap')],
      [5, expect.stringContaining('a document without a kind')],
    ]);
    expect(faultsOf('apiVersion: modelhook.dev/v1alpha1\nkind: DeploymentPolcy\n')).toEqual([
      '2:7: unknown kind "DeploymentPolcy"; did you mean "DeploymentPolicy"?',
    ]);
    expect(faultsOf(yaml.replace('v1alpha1', 'v1'))[0]).toContain(
      '2:13: expected apiVersion modelhook.dev/v1alpha1',
    );
  });

  it('takes the documents of a List, as kubectl prints it, each at its place', () => {
    const list = `apiVersion: v1
kind: List
items:
  - { apiVersion: serving.kserve.io/v1alpha1, kind: ClusterServingRuntime, metadata: { name: a }, spec: {} }
  - apiVersion: modelhook.dev/v1alpha1
    kind: GpuProfile
    metadata: { name: b }
    spec:
      resourcs: {}
`;
    expect(faultsOf(list)).toContain('9:7: unknown field "resourcs" in spec; did you mean "resources"?');
    expect(loadGood(list.slice(0, list.indexOf('  - apiVersion'))).runtimes).toMatchObject([{ name: 'a' }]);
  });

  it('names both places of a name that is taken', () => {
    const { faults } = load(
      yaml,
      yaml,
      profile({ 'amd.com/gpu': 1 }),
      profile({ 'amd.com/gpu': 1 }),
      runtimeText('r'),
      runtimeText('r'),
    );
    expect(faults.map(({ file, message }) => `${file}: ${message}`)).toEqual([
      '1.yaml: DeploymentPolicy "production" is defined a second time; first at 0.yaml:5:9',
      expect.stringMatching(/^3\.yaml: GpuProfile "half" .* first at 2\.yaml:1:\d+$/),
      expect.stringMatching(/^5\.yaml: ClusterServingRuntime "r" .* first at 4\.yaml:1:\d+$/),
    ]);
  });

  it('refuses what is not UTF-8', () => {
    expect(faultsOf(`${yaml}# \ufffd\n`)).toEqual(['1:1: the file is not UTF-8; save it as UTF-8']);
  });

  it('takes names like __proto__ and constructor for what they are', () => {
    expect(faultsOf(yaml.replace('  delivery:', '  constructor: 1\n  delivery:'))[0]).toContain(
      'unknown field "constructor"',
    );
    expect(faultsOf(policyText({ container: { constructor: 1, toString: 'x' } }))).toEqual([
      expect.stringContaining('spec.container: unknown field "constructor"'),
      expect.stringContaining('spec.container: unknown field "toString"'),
    ]);
    expect(faultsOf(policyText({ pod: { nodeSelector: { constructor: 'x' } } }))).toEqual([]);
  });
});

describe('names of clusters and GitOps repositories', () => {
  const withKnown = (spec: object, known: KnownNames | undefined) =>
    loadPolicies([{ path: 'a.yaml', text: policyText(spec) }], 'c0ffee', { known });
  const knownOf = (clusters: string[], gitops: string[]): KnownNames => ({
    forges: ['plain'],
    clusters: clusters.map((name) => ({ name, kserve: ASSUMED_KSERVE, reachable: false, namespaces: [] })),
    gitops: gitops.map((name) => ({ name, pullRequests: false })),
    policies: UNBOUNDED,
  });
  const messages = (spec: object, known?: KnownNames): string[] =>
    withKnown(spec, known).faults.map(({ message }) => message);

  it('are not checked where nothing is known', () => {
    expect(messages({ target: { namespace: 'vision', cluster: 'prod' } })).toEqual([]);
  });

  it('are the only one configured where they are left out', () => {
    const known = knownOf(['prod'], ['fleet']);
    const policy = withKnown({ delivery: null }, known).policies?.policies[0];
    expect([policy?.target.cluster, policy?.delivery.gitops]).toEqual(['prod', 'fleet']);
  });

  it('are required where several, or no GitOps repository, could be meant', () => {
    const several = knownOf(['a', 'b'], ['c', 'd']);
    expect(messages({ delivery: null }, several)).toEqual([
      expect.stringContaining('spec.target.cluster: this field is required'),
      expect.stringContaining('spec.delivery.gitops: this field is required'),
    ]);
    expect(messages({ delivery: null })).toEqual([expect.stringContaining('--config')]);
  });

  it('are refused where they are not configured, with the nearest', () => {
    const known = knownOf(['prod'], ['fleet']);
    const spec = { target: { namespace: 'vision', cluster: 'prd' }, delivery: { gitops: 'flet' } };
    expect(messages(spec, known)).toEqual([
      'spec.target.cluster: modelhook.yaml has no cluster "prd"; did you mean "prod"?',
      'spec.delivery.gitops: modelhook.yaml has no GitOps repository "flet"; did you mean "fleet"?',
    ]);
  });
});

describe('the namespaces that modelhook.yaml gives for a cluster', () => {
  const faultsWith = (namespace: string, namespaces: string[]): string[] => {
    const clusters = [{ name: 'prod', kserve: ASSUMED_KSERVE, reachable: true, namespaces }];
    const known = {
      forges: ['plain'],
      clusters,
      gitops: [{ name: 'fleet', pullRequests: false }],
      policies: UNBOUNDED,
    };
    const spec = { target: { namespace, cluster: 'prod' } };
    return loadPolicies([{ path: 'a.yaml', text: policyText(spec) }], 'c0ffee', { known }).faults.map(
      ({ message }) => message,
    );
  };

  it('are all that a policy may deploy to', () => {
    expect(faultsWith('vision', ['vision', 'speech'])).toEqual([]);
    expect(faultsWith('visoin', ['vision', 'speech'])).toEqual([
      'spec.target.namespace: modelhook.yaml does not have "visoin" among the namespaces of cluster "prod"; did you mean "vision"?',
    ]);
    expect(faultsWith('billing', ['vision', 'speech'])).toEqual([expect.stringContaining('; it has')]);
  });

  it('are all there are where none is given, and cannot be told of a template', () => {
    expect(faultsWith('billing', [])).toEqual([]);
    expect(faultsWith('team-${repository.group}', ['vision'])).toEqual([]);
  });
});

describe('what the catalogue says against the runtime that is named', () => {
  const warnings = (spec: object, runtime: object = {}): string[] =>
    load(policyText(spec), runtimeText('mlserver', runtime)).warnings.map(({ message }) => message);

  it('is a warning, for the cluster may have another', () => {
    expect(warnings({})).toEqual([]);
    expect(warnings({}, { disabled: true })).toEqual([expect.stringContaining('is disabled')]);
    expect(warnings({}, { protocolVersions: ['v1', 'grpc-v1'] })).toEqual([
      'spec.protocolVersion: runtime "mlserver" speaks v1, grpc-v1, not v2; set what it speaks',
    ]);
    expect(warnings({ modelFormat: { name: 'onnx' } })).toEqual([
      'spec.modelFormat: runtime "mlserver" does not support onnx, but sklearn 1',
    ]);
  });

  it('counts only where no runtime of that name fits', () => {
    const own = runtimeText('mlserver', { protocolVersions: ['v2'] }, { namespace: 'vision' });
    const other = runtimeText('mlserver', { protocolVersions: ['v1'] });
    expect(load(policyText({}), own, other).warnings).toEqual([]);
  });
});

it('a pattern for a forge that is not configured is warned of', () => {
  const match = { repositories: ['gitlb:ml/*', '!gitlab:x', '**'], tags: ['*'] };
  const known: KnownNames = {
    forges: ['gitlab'],
    clusters: [],
    gitops: [{ name: 'fleet', pullRequests: false }],
    policies: UNBOUNDED,
  };
  const { warnings } = loadPolicies([{ path: 'a.yaml', text: policyText({ match }) }], 'c0ffee', { known });
  expect(warnings.map(({ message }) => message)).toEqual([
    'spec.match.repositories[0]: modelhook.yaml has no forge "gitlb"; did you mean "gitlab"?',
  ]);
});

describe('what goes with another deployment mode', () => {
  const warnings = (spec: object): string[] => load(policyText(spec)).warnings.map(({ message }) => message);
  const knative = { deploymentMode: 'Knative' };

  it.each([
    [{ labels: { 'networking.knative.dev/visibility': 'cluster-local' } }, 'reached from outside'],
    [{ ...knative, labels: { 'networking.kserve.io/visibility': 'cluster-local' } }, 'reached from outside'],
    [{ pod: { scaleMetric: 'concurrency' } }, 'cpu or memory'],
    [{ ...knative, pod: { scaleMetric: 'cpu' } }, 'concurrency or rps'],
  ])('%j is warned of', (spec, expected) => {
    expect(warnings(spec)).toEqual([expect.stringContaining(expected)]);
  });

  it.each([
    { labels: { 'networking.kserve.io/visibility': 'cluster-local' }, pod: { scaleMetric: 'memory' } },
    { ...knative, pod: { scaleMetric: 'rps' } },
    { annotations: { 'serving.kserve.io/autoscalerClass': 'keda' }, pod: { scaleMetric: 'concurrency' } },
    {
      ...knative,
      annotations: { 'autoscaling.knative.dev/class': 'hpa.autoscaling.knative.dev' },
      pod: { scaleMetric: 'cpu' },
    },
  ])('%j is not', (spec) => {
    expect(warnings(spec)).toEqual([]);
  });
});

describe('where a manifest goes', () => {
  const faults = (delivery: object, clusters: boolean[] = [], spec: object = {}): string[] =>
    loadPolicies([{ path: 'a.yaml', text: policyText({ delivery, ...spec }) }], 'c0ffee', {
      known: {
        forges: ['plain'],
        clusters: clusters.map((reachable) => ({
          name: 'prod',
          kserve: ASSUMED_KSERVE,
          reachable,
          namespaces: [],
        })),
        policies: UNBOUNDED,
        gitops: [
          { name: 'fleet', pullRequests: false },
          { name: 'hub', pullRequests: true },
        ],
      },
    }).faults.map(({ message }) => message);

  it('is a GitOps repository or a cluster', () => {
    expect(faults({ apply: true }, [true])).toEqual([]);
    expect(faults({ apply: true, selfHeal: true }, [true])).toEqual([]);
    expect(faults({ apply: true, selfHeal: true }, [true], { updateExisting: false })).toEqual([
      expect.stringContaining('contradicts delivery.selfHeal: true'),
    ]);
    expect(faults({ apply: true, gitops: 'fleet' }, [true])[0]).toContain('keep one of the two');
    expect(faults({ gitops: 'fleet', selfHeal: true })[0]).toContain('goes with apply: true');
  });

  it('is a cluster only where it can be reached', () => {
    expect(faults({ apply: true }, [false])[0]).toContain('no access to cluster "prod"');
    expect(faults({ apply: true })[0]).toContain('no access to cluster "default"');
    expect(faultsOf(policyText({ delivery: { apply: true } }))).toEqual([]);
  });

  it('is a pull request only where the forge has them', () => {
    expect(faults({ gitops: 'hub', via: 'pullRequest' })).toEqual([]);
    expect(faults({ gitops: 'fleet', via: 'pullRequest' })[0]).toContain('use via: push');
    expect(faults({ apply: true, via: 'pullRequest' }, [true])[0]).toContain('no pull request');
  });

  it('takes a redeployment with a change of the policy as it is', () => {
    expect(load(policyText({ onPolicyChange: 'redeploy' })).warnings).toEqual([]);
  });

  it('takes a removal with the ref as it is', () => {
    expect(load(policyText({ onRefDelete: 'remove' })).warnings).toEqual([]);
  });
});

describe('GPU profiles', () => {
  it('with faults bring no others to the policies that name them', () => {
    const broken = profile({ 'nvidia.com/gpu': 0.5 });
    const policies = Array.from({ length: 5 }, (_, at) =>
      policyText({ gpuProfile: 'half', environment: `e${at}`, target: { namespace: `n${at}` } }, `p${at}`),
    );
    expect(faultsOf(broken, ...policies)).toHaveLength(1);
    const shares = profile({ 'nvidia.com/gpualloc': 1, 'nvidia.com/gpucores': 101 });
    expect(faultsOf(shares, ...policies)).toHaveLength(1);
  });

  it('are found by name and put into the limits', () => {
    const policy = only(
      loadGood(
        policyText({ gpuProfile: 'half' }),
        profile({ 'nvidia.com/gpualloc': 1, 'nvidia.com/gpucores': 50 }),
      ),
    );
    expect(policy.resources.limits).toMatchObject({
      'nvidia.com/gpualloc': '1',
      'nvidia.com/gpucores': '50',
    });
    expect(policy.gpu?.name).toBe('half');
  });

  it('give way to a limit of the policy itself', () => {
    const spec = { gpuProfile: 'half', resources: { limits: { 'nvidia.com/gpucores': 80 } } };
    const policy = only(
      loadGood(policyText(spec), profile({ 'nvidia.com/gpualloc': 1, 'nvidia.com/gpucores': 50 })),
    );
    expect(policy.resources.limits['nvidia.com/gpucores']).toBe('80');
  });

  it.each([
    [{ 'nvidia.com/gpu': 1, 'nvidia.com/gpucores': 50 }, /whole cards/],
    [{ 'nvidia.com/gpucores': 101 }, /1 to 100/],
    [{ 'nvidia.com/gpu': 0 }, /at least 1/],
    [{ 'nvidia.com/gpu': 0.5 }, /whole number/],
    [{ 'a b': 1 }, /no name of a device/],
    [{ gpu: 1 }, /has a domain/],
  ])('refuse %j', (resources, expected) => {
    expect(faultsOf(profile(resources)).join()).toMatch(expected);
    expect(faultsOf(policyText({ gpu: { resources } })).join()).toMatch(expected);
  });

  it('refuse whole cards beside shares from the limits', () => {
    const spec = {
      gpu: { resources: { 'nvidia.com/gpu': 1 } },
      resources: { limits: { 'nvidia.com/gpumem': 10 } },
    };
    expect(faultsOf(policyText(spec))).toEqual([expect.stringContaining('whole cards')]);
  });

  it('must exist, and stand alone', () => {
    expect(faultsOf(policyText({ gpuProfile: 'hlf' }), profile({ 'amd.com/gpu': 1 }))[0]).toContain(
      'did you mean "half"?',
    );
    const both = policyText({ gpuProfile: 'half', gpu: { resources: { 'amd.com/gpu': 1 } } });
    expect(faultsOf(both, profile({ 'amd.com/gpu': 1 }))[0]).toContain('keep one of the two');
  });
});

describe('rules for a policy', () => {
  it.each<[string, object, RegExp]>([
    ['no tags and no branches', { match: { repositories: ['a:b'] } }, /in tags, in branches/],
    ['exclusions alone', { match: { repositories: ['!a:b'], tags: ['!v*'] } }, /exclusions alone/],
    [
      'a repository without its forge',
      { match: { repositories: ['ml/iris'], tags: ['v*'] } },
      /<forge name>:<path>/,
    ],
    ['a full ref name', { match: { repositories: ['a:b'], tags: ['refs/tags/v1'] } }, /without refs\/tags\//],
    ['another wildcard', { match: { repositories: ['a:b'], tags: ['v?'] } }, /are wildcards/],
    ['a name KServe refuses', { target: { namespace: 'a', name: '1iris' } }, /no name KServe takes/],
    ['a name of 41 characters', { target: { namespace: 'a', name: 'a'.repeat(41) } }, /at most 40/],
    [
      'name and namespace too long together',
      { target: { namespace: 'n'.repeat(20), name: 'a'.repeat(33) } },
      /53 characters together/,
    ],
    ['a namespace that is none', { target: { namespace: 'A' } }, /no namespace/],
    [
      'a target that names itself',
      { target: { namespace: 'a', name: `\${target.name}` } },
      /not decided yet/,
    ],
    ['min over max', { replicas: { min: 2, max: 1 } }, /min 2 is more than max 1/],
    ['Standard with min 0', { replicas: { min: 0, max: 2 }, deploymentMode: 'Standard' }, /raises it to 1/],
    [
      'a strategy with Knative',
      { rollout: { strategy: 'Recreate' }, replicas: { min: 0, max: 2 } },
      /Standard mode only/,
    ],
    ['Recreate with bounds', { rollout: { strategy: 'Recreate', maxSurge: 1 } }, /belong to RollingUpdate/],
    [
      'no pod ever replaced',
      { rollout: { strategy: 'RollingUpdate', maxSurge: 0, maxUnavailable: '0%' } },
      /both 0/,
    ],
    ['a request over its limit', { resources: { requests: { cpu: 8 } } }, /set resources\.limits\.cpu too/],
    ['a quantity that is none', { resources: { limits: { memory: '4GB' } } }, /no quantity/],
    ['a storage address without slashes', { storage: { uri: 's3:models/x' } }, /two slashes/],
    ['a Hub address of three parts', { storage: { uri: 'hf://a/b/c' } }, /hf:\/\/owner\/model/],
    ['a path that leaves the repository', { delivery: { gitops: 'f', path: '../x.yaml' } }, /segment "\.\."/],
    ['a key of ours', { labels: { 'modelhook.dev/x': 'y' } }, /belong to modelhook/],
    [
      'a key of ours deep in the pod',
      { pod: { annotations: { 'modelhook.dev/x': 'y' } } },
      /belong to modelhook/,
    ],
    [
      'the label that marks what is managed',
      { labels: { 'app.kubernetes.io/managed-by': 'me' } },
      /sets this key itself/,
    ],
    [
      'the mode as an annotation',
      { annotations: { 'serving.kserve.io/deploymentMode': 'Standard' } },
      /sets this key itself/,
    ],
    ['a label value that is none', { labels: { team: 'a/b' } }, /no label value/],
    [
      'a label that is a number',
      { labels: { team: 1 } },
      /expected text, got the number 1; put it in quotes/,
    ],
    ['a key that is none', { annotations: { 'a b': 'x' } }, /no key of Kubernetes/],
    ['a field that modelhook sets', { container: { storageUri: 's3://x' } }, /use spec\.storage/],
    ['a model in the pod', { pod: { model: {} } }, /use spec\.container/],
    ['a name of the container', { container: { name: 'kserve-container' } }, /KServe refuses a name/],
    ['a Go template', { container: { args: ['{{ range }}'] } }, /Go template/],
    ['a pod annotation that is no text', { pod: { annotations: { a: true } } }, /expected text/],
    ['a mode that is none', { deploymentMode: 'standard' }, /did you mean "Standard"\?/],
    ['a time that is none', { readiness: { timeout: '30' } }, /such as 90s, 30m/],
    ['an environment with a template', { environment: `\${branch}` }, /expected letters/],
  ])('refuse %s', (_name, spec, expected) => {
    expect(faultsOf(policyText(spec)).join('\n')).toMatch(expected);
  });

  it('allow the placeholders KServe fills in', () => {
    expect(faultsOf(policyText({ container: { args: ['--name={{.Name}}', '{{ .Labels.team }}'] } }))).toEqual(
      [],
    );
  });

  it('warn of what works only perhaps', () => {
    const warnings = load(
      policyText({
        storage: { uri: 'ftp://models/x', pvc: 'claim' },
        container: { args: [`\${sha} \${PORT}`] },
        replicas: { min: 0, max: 0 },
        deploymentMode: 'Knative',
      }),
      runtimeText('mlserver2'),
    ).warnings.map(({ message }) => message);
    expect(warnings.sort()).toEqual([
      expect.stringContaining(`\${sha} stays as it is`),
      expect.stringContaining('max 0'),
      expect.stringContaining('did you mean "mlserver2"?'),
      expect.stringContaining('upstream KServe ignores'),
      expect.stringContaining('ClusterStorageContainer'),
    ]);
  });
});

describe('runtimes', () => {
  it('are read with what choosing one needs', () => {
    const text = runtimeText(
      'mlserver',
      {
        disabled: true,
        protocolVersions: ['v2'],
        supportedModelFormats: [{ name: 'sklearn', version: '1' }],
      },
      { namespace: 'vision', labels: { 'cpaas.io/runtime-class': 'mlserver' } },
    );
    expect(loadGood(text).runtimes).toEqual([
      {
        kind: 'ServingRuntime',
        name: 'mlserver',
        namespace: 'vision',
        class: 'mlserver',
        disabled: true,
        formats: [{ name: 'sklearn', version: '1', autoSelect: false, priority: 0 }],
        protocolVersions: ['v2'],
        multiNode: false,
        multiModel: false,
        containers: [],
        source: { file: '0.yaml', line: 1, column: expect.any(Number) },
      },
    ]);
  });

  it('of a namespace name it', () => {
    expect(faultsOf(runtimeText('r', {}, { namespace: '' }))[0]).toContain('belongs to a namespace');
  });
});
