import { describe, expect, it } from 'vitest';
import { type Bound, boundOf, requireWithin } from './bound.ts';
import { compileGlobs } from './glob.ts';
import { ASSUMED_KSERVE } from './kserve.ts';
import { NODE_ACCESS } from './node-access.ts';
import { makePlan } from './plan.ts';
import { loadGood, only, policyText, runtimeText } from './policy.fixture.ts';
import { checkBound } from './policy-bounds.ts';
import { type LoadedPolicies, loadPolicies } from './policy-files.ts';

const DIRECTORY = 'policies/vision';
const names = (...patterns: string[]) => compileGlobs(patterns);

const loadIn = (bounds: readonly Bound[], ...texts: string[]): LoadedPolicies =>
  loadFiles(
    bounds,
    texts.map((text, at) => ({ path: `${DIRECTORY}/${at}.yaml`, text })),
  );

function loadFiles(bounds: readonly Bound[], files: { path: string; text: string }[]): LoadedPolicies {
  const clusters = [{ name: 'default', kserve: ASSUMED_KSERVE, reachable: true, namespaces: [] }];
  const gitops = [{ name: 'fleet', pullRequests: false }];
  const policies = { directory: 'policies', bounds };
  return loadPolicies(files, 'c0ffee', { known: { forges: ['plain'], clusters, gitops, policies } });
}

/** The faults of a policy with `spec`, in a directory with this bound; the others stand where there is none. */
const faultsIn = (bound: Partial<Bound>, spec: object, ...others: string[]): string[] =>
  loadFiles(
    [{ directory: DIRECTORY, allow: [], ...bound }],
    [
      { path: `${DIRECTORY}/0.yaml`, text: policyText(spec) },
      ...others.map((text, at) => ({ path: `policies/shared/${at}.yaml`, text })),
    ],
  ).faults.map(({ message }) => message);

const gpuProfile = (spec: object, name = 'card'): string =>
  JSON.stringify({
    apiVersion: 'modelhook.dev/v1alpha1',
    kind: 'GpuProfile',
    metadata: { name },
    spec: { resources: { 'nvidia.com/gpu': 2 }, ...spec },
  });

describe('the bound of a file', () => {
  const bounds = ['policies', DIRECTORY, 'policies/vis'].map((directory) => ({ directory, allow: [] }));

  it.each([
    ['policies/vision/a.yaml', DIRECTORY],
    ['policies/vision/deep/a.yaml', DIRECTORY],
    ['policies/visions/a.yaml', 'policies'],
    ['policies/vision.yaml', 'policies'],
    ['policies/vis/vision/a.yaml', 'policies/vis'],
  ])('of %s is that of %s, the longest directory that contains it', (file, directory) => {
    expect(boundOf(bounds, file).directory).toBe(directory);
    expect(boundOf(bounds.toReversed(), file).directory).toBe(directory);
  });

  it('is that of the whole repository where no other contains it, and else none', () => {
    const whole = { directory: '', allow: [], maxGpus: 1 };
    expect(boundOf([...bounds, whole], 'other/a.yaml')).toBe(whole);
    expect(boundOf(bounds, 'other/a.yaml')).toEqual({ directory: '', adopt: true, allow: [] });
  });

  it('counts alone: what a directory above bounds does not count for it', () => {
    const above: Bound = { directory: 'policies', allow: [], namespaces: names('nlp') };
    const own: Bound = { directory: DIRECTORY, allow: [] };
    expect(loadIn([above, own], policyText()).faults).toEqual([]);
    expect(loadIn([above], policyText()).faults).toHaveLength(1);
  });

  it('is null in a policy of which modelhook.yaml is not known, and nothing is refused', () => {
    const files = [{ path: 'a.yaml', text: policyText({ pod: { hostNetwork: true } }) }];
    expect(loadPolicies(files, 'c0ffee').policies?.policies).toMatchObject([{ bound: null }]);
  });
});

describe('a policy outside its bound is at fault, which names what is allowed:', () => {
  const allows = 'is outside what modelhook.yaml allows policies in policies/vision:';

  it.each<[Partial<Bound>, object, string]>([
    [
      { namespaces: names('nlp', 'nlp-*') },
      {},
      `spec.target.namespace: namespace "vision" ${allows} "nlp", "nlp-*"`,
    ],
    [{ clusters: names('prod') }, {}, `spec.target.cluster: cluster "default" ${allows} "prod"`],
    [{ runtimes: names('triton') }, {}, `spec.runtime.name: runtime "mlserver" ${allows} "triton"`],
    [
      { repositories: names('plain:ml/vision/**') },
      {},
      `spec.match.repositories[0]: "plain:ml/x", which "plain:ml/**" matches, ${allows} "plain:ml/vision/**"`,
    ],
    [{ maxReplicas: 2 }, { replicas: { min: 3 } }, `spec.replicas: a maximum of 3 replicas ${allows} 2`],
    [
      { maxReplicas: 2 },
      { deploymentMode: 'Knative', replicas: { min: 0, max: 0 } },
      `spec.replicas: any number of replicas ${allows} 2`,
    ],
    [
      { storage: ['s3://models/vision/'] },
      { storage: { uri: 's3://models/nlp/x' } },
      `spec.storage.uri: storage s3://models/nlp/x ${allows} "s3://models/vision/"`,
    ],
    [
      { serviceAccounts: names('vision-*') },
      { pod: { serviceAccountName: 'admin' } },
      `spec.pod.serviceAccountName: service account "admin" ${allows} "vision-*"`,
    ],
    [
      { podFields: ['env'] },
      { pod: { nodeSelector: {} } },
      `spec.pod.nodeSelector: field "nodeSelector" ${allows} "env"`,
    ],
    [{ podFields: [] }, { container: { env: [] } }, `spec.container.env: field "env" ${allows} none`],
    [{ gitops: names('nlp-*') }, {}, `spec.delivery.gitops: GitOps repository "fleet" ${allows} "nlp-*"`],
    [
      { gitops: names('fleet') },
      { delivery: { apply: true } },
      `spec.delivery.apply: apply: true ${allows} "fleet"`,
    ],
    [
      { paths: ['nlp/'] },
      {},
      `spec.delivery.path: path \${target.cluster}/\${target.namespace}/\${target.name}.yaml ${allows} "nlp/"`,
    ],
    [
      {},
      { delivery: { gitops: 'fleet', adopt: true } },
      'spec.delivery.adopt: takes over what something else made, and modelhook.yaml does not allow policies in policies/vision that; remove it, or have "adopt: true" added to their policies.bounds',
    ],
  ])('%j and %j', (bound, spec, message) => {
    expect(faultsIn(bound, spec)).toEqual([message]);
  });

  it('is told where it stands in the file', () => {
    const { faults } = loadIn([{ directory: '', allow: [], namespaces: names('nlp') }], policyText());
    expect(faults).toMatchObject([
      {
        file: 'policies/vision/0.yaml',
        line: 1,
        message: expect.stringContaining('allows policies: "nlp"'),
      },
    ]);
  });

  it('is told beside the other faults of the policy, and not of a part that has faults itself', () => {
    const bound = { repositories: names('plain:x/*'), maxReplicas: 1 };
    expect(faultsIn(bound, { match: { repositories: [] }, replicas: { min: 2 } })).toEqual([
      expect.stringContaining('name at least one repository'),
      expect.stringContaining('2 replicas'),
    ]);
  });
});

describe('a policy within its bound has no fault', () => {
  it.each<[Partial<Bound>, object]>([
    [{ namespaces: names('vis*'), clusters: names('default'), runtimes: names('ml*') }, {}],
    [
      { repositories: names('plain:ml/**') },
      { match: { repositories: ['plain:ml/a', '!x:*'], tags: ['*'] } },
    ],
    [
      { repositories: names('plain:ml/**', '!plain:ml/secret') },
      { match: { repositories: ['plain:ml/*', '!plain:ml/se*'], tags: ['*'] } },
    ],
    [{ maxReplicas: 3, maxGpus: 0 }, { replicas: { min: 1, max: 3 } }],
    [{ serviceAccounts: names('vision') }, {}],
    [{ gpuProfiles: names('card') }, {}],
    [{ podFields: ['env'] }, { pod: { nodeSelector: null }, container: { env: [] } }],
    [{ storage: ['s3://models/iris'] }, { storage: { uri: 's3://models/iris' } }],
    [{ namespaces: names('team-*') }, { target: { namespace: `team-\${repository.name}` } }],
    [{ namespaces: names('team-*') }, { target: { namespace: `\${repository.name}` } }],
  ])('%j and %j', (bound, spec) => {
    expect(faultsIn(bound, spec)).toEqual([]);
  });
});

describe('a path in a GitOps repository', () => {
  const inFleet = (path: string) => ({ delivery: { gitops: 'fleet', path } });
  const within: [Partial<Bound>, string][] = [
    [{ namespaces: names('vision') }, 'default/vision/a.yaml'],
    [{ clusters: names('default') }, 'default/vision/deep/a.yaml'],
    [{ clusters: names('default') }, `\${target.cluster}/\${target.namespace}/\${tag}.yaml`],
    [{ clusters: names('default') }, `\${tag}/a.yaml`],
    [{ paths: ['nlp/'] }, 'nlp/a.yaml'],
    [{ paths: ['nlp/a.yaml'] }, 'nlp/a.yaml'],
    [{ paths: ['other', 'nlp'] }, `nlp/\${repository.name}/a.yaml`],
    [{ paths: ['nlp/iris'] }, `nlp/\${repository.name}/a.yaml`],
    [{ paths: ['production/'] }, `\${environment}/a.yaml`],
    [{ maxReplicas: 1 }, 'prod/other/a.yaml'],
  ];
  const beyond: [Partial<Bound>, string][] = [
    [{ namespaces: names('vision') }, 'default/models/iris.yaml'],
    [{ namespaces: names('vision') }, `default/models/\${repository.name}.yaml`],
    [{ clusters: names('default') }, 'prod/vision/iris.yaml'],
    [{ clusters: names('default') }, 'default/vision-2/iris.yaml'],
    [{ paths: ['nlp'] }, 'nlp-secret/a.yaml'],
    [{ paths: ['nlp'] }, `\${target.cluster}/nlp/a.yaml`],
  ];

  it.each(within)('with %j may be %s', (bound, path) => {
    expect(faultsIn(bound, inFleet(path))).toEqual([]);
  });

  it.each(beyond)('with %j may not be %s', (bound, path) => {
    expect(faultsIn(bound, inFleet(path))).toEqual([
      expect.stringMatching(/^spec\.delivery\.path: path .* is outside what modelhook\.yaml allows/),
    ]);
  });

  it('is that of the cluster where a template makes the namespace, until a ref is planned', () => {
    const spec = (path: string) => ({ target: { namespace: `team-\${repository.name}` }, ...inFleet(path) });
    const bound = { namespaces: names('team-*') };
    expect(faultsIn(bound, spec('default/team-a/a.yaml'))).toEqual([]);
    expect(faultsIn(bound, spec('prod/team-a/a.yaml'))).toEqual([
      expect.stringContaining('"default/team-${repository.name}/"'),
    ]);
  });

  it('is not looked at where nothing is bounded, and where it is applied', () => {
    expect(loadIn([], policyText(inFleet('prod/other/a.yaml'))).faults).toEqual([]);
    const delivery = { apply: true, path: 'prod/other/a.yaml' };
    expect(faultsIn({ clusters: names('default') }, { delivery })).toEqual([]);
  });
});

describe('a path that is known when a ref is planned', () => {
  const target = { cluster: 'prod', namespace: 'team-a', name: 'iris' };
  const bounded: Bound = { directory: DIRECTORY, allow: [], namespaces: names('team-*') };

  it.each<[Bound, string]>([
    [bounded, 'prod/team-a/iris.yaml'],
    [{ ...bounded, paths: ['apps'] }, 'apps/iris.yaml'],
    [{ directory: DIRECTORY, allow: [] }, 'x.yaml'],
  ])('is within %j as %s', (bound, path) => {
    expect(() => requireWithin(bound, { file: { path, target } })).not.toThrow();
  });

  it.each<[Bound, string]>([
    [bounded, 'prod/team-b/iris.yaml'],
    [bounded, 'prod/team-aa/iris.yaml'],
    [bounded, 'prod/team-a'],
    [{ ...bounded, paths: ['apps'] }, 'prod/team-a/iris.yaml'],
  ])('is outside %j as %s', (bound, path) => {
    expect(() => requireWithin(bound, { file: { path, target } })).toThrow(`path ${path} is outside`);
  });

  it('is checked with the values of the ref, and only where it is committed', () => {
    const planOf = (delivery: object, tag: string) => {
      const policies = loadGood(policyText({ delivery }), runtimeText('mlserver'));
      const policy = { ...only(policies), bound: { directory: '', allow: [], clusters: names('default') } };
      return () =>
        makePlan({
          policy,
          policies,
          repository: 'plain:ml/iris',
          projectId: null,
          ref: `refs/tags/${tag}`,
          sha: '1'.repeat(40),
          modelCard: {
            kind: 'card',
            card: { library: 'sklearn', pipelineTag: null, license: null, tags: [], baseModel: [] },
          },
        });
    };
    const path = `default/\${tag}/a.yaml`;
    expect(planOf({ gitops: 'fleet', path }, 'vision')).not.toThrow();
    expect(planOf({ gitops: 'fleet', path }, 'v1')).toThrow('path default/v1/a.yaml is outside');
    expect(planOf({ apply: true, path }, 'v1')).not.toThrow();
  });
});

describe('adoption', () => {
  it('is allowed where the bound says so, and where there is none', () => {
    const delivery = { gitops: 'fleet', adopt: true };
    expect(faultsIn({ adopt: true }, { delivery })).toEqual([]);
    expect(loadIn([], policyText({ delivery })).faults).toEqual([]);
    expect(faultsIn({}, { delivery: { apply: true, adopt: true } })).toHaveLength(1);
  });
});

describe('repositories', () => {
  it('that only an exclusion of the bound keeps out are outside it', () => {
    const repositories = names('plain:ml/**', '!plain:ml/secret/**');
    expect(faultsIn({ repositories }, {})).toEqual([
      expect.stringMatching(/"plain:ml\/secret\/.+", which "plain:ml\/\*\*" matches, is outside/),
    ]);
  });

  it('are refused where there is no time left to decide', () => {
    const repositories = ['plain:ml/*/iris'];
    const loaded = loadIn([], policyText({ match: { repositories, tags: ['*'] } }));
    const policy = {
      ...only(loaded.policies ?? expect.fail()),
      bound: { directory: '', allow: [], repositories: names(...repositories) },
    };
    const told: string[] = [];
    const tell = (_: unknown, message: string) => void told.push(message);
    const boundOfProfile = () => null;
    checkBound(policy, tell, { boundOfProfile, budget: { left: 1000 } });
    expect(told).toEqual([]);
    checkBound(policy, tell, { boundOfProfile, budget: { left: -1 } });
    expect(told).toEqual([expect.stringContaining('what "plain:ml/*/iris" matches, perhaps, is outside')]);
  });
});

describe('GPUs', () => {
  const profile = gpuProfile({});
  const share = { 'nvidia.com/gpualloc': 1, 'nvidia.com/gpucores': 50, 'nvidia.com/gpumem': 4096 };

  it('come from the profiles that are allowed', () => {
    const bound = { gpuProfiles: names('hami-*') };
    expect(faultsIn(bound, { gpuProfile: 'card' }, profile)).toEqual([
      expect.stringMatching(/^spec\.gpuProfile: GPU profile "card" is outside .*: "hami-\*"$/),
    ]);
    expect(faultsIn(bound, { gpuProfile: 'hami-half' }, gpuProfile({}, 'hami-half'))).toEqual([]);
  });

  it.each([
    [{ gpu: { resources: { 'nvidia.com/gpu': 1 } } }, /^spec\.gpu: a GPU without a profile/],
    [{ resources: { limits: { 'amd.com/gpu': 1 } } }, /^spec\.resources\.limits\["?amd\.com\/gpu/],
    [
      { gpuProfile: 'card', resources: { limits: { 'nvidia.com/gpu': 3 } } },
      /nvidia\.com\/gpu, other than its GPU profile has it/,
    ],
    [
      { pod: { containers: [{ name: 'x', resources: { limits: { 'nvidia.com/gpu': 1 } } }] } },
      /^spec\.pod\.containers\[0\].*nvidia\.com\/gpu of no GPU profile/,
    ],
    [{ pod: { resourceClaims: [{ name: 'gpu', resourceClaimName: 'x' }] } }, /claims devices/],
    [{ pod: { workerSpec: { tensorParallelSize: 8 } } }, /^spec\.pod\.workerSpec: has workers/],
    [{ resources: { limits: { 'volcano.sh/vgpu-number': 1 } } }, /volcano\.sh\/vgpu-number, other than/],
    [{ resources: { limits: { 'tencent.com/vcuda-core': 100 } } }, /tencent\.com\/vcuda-core, other than/],
    [{ resources: { limits: { 'aliyun.com/gpu-mem': 8 } } }, /aliyun\.com\/gpu-mem, other than/],
    [{ resources: { limits: { 'k8s.amazonaws.com/vgpu': 1 } } }, /k8s\.amazonaws\.com\/vgpu, other than/],
    [{ resources: { limits: { 'google.com/tpu': 4 } } }, /google\.com\/tpu, other than/],
    [
      { pod: { initContainers: [{ name: 'x', resources: { requests: { 'google.com/tpu': 4 } } }] } },
      /google\.com\/tpu of no GPU profile/,
    ],
  ])('%j go past the profile, and are refused', (spec, message) => {
    expect(faultsIn({ gpuProfiles: names('card') }, spec, profile)).toEqual([expect.stringMatching(message)]);
  });

  it('do not come from a profile of those whose GPUs are bounded', () => {
    const bounds: Bound[] = [
      { directory: 'policies', allow: [], gpuProfiles: names('card') },
      { directory: 'policies/other', allow: [], gpuProfiles: names('card') },
      { directory: 'policies/gpu', allow: [] },
    ];
    const faultsWith = (folder: string) =>
      loadFiles(bounds, [
        { path: `${DIRECTORY}/a.yaml`, text: policyText({ gpuProfile: 'card' }) },
        { path: `${folder}/card.yaml`, text: profile },
      ]).faults.map(({ message }) => message);
    for (const folder of ['policies', DIRECTORY, 'policies/other'])
      expect(faultsWith(folder)).toEqual([
        expect.stringMatching(
          /^spec\.gpuProfile: GPU profile "card" stands among policies in .* does not count/,
        ),
      ]);
    expect(faultsWith('policies/gpu')).toEqual([]);
  });

  it('may be brought to other containers by the profile', () => {
    const containers = [{ name: 'x', resources: { limits: { 'google.com/tpu': 1 } } }];
    const bringing = gpuProfile({ pod: { containers } });
    expect(faultsIn({ gpuProfiles: names('card') }, { gpuProfile: 'card' }, bringing)).toEqual([]);
    expect(faultsIn({ maxGpus: 2 }, { gpuProfile: 'card' }, bringing)).toHaveLength(1);
  });

  it('are not what Kubernetes has of its own', () => {
    const pod = {
      containers: [{ name: 'x', resources: { limits: { memory: '1Gi', 'x.kubernetes.io/y': 1 } } }],
    };
    expect(faultsIn({ gpuProfiles: names(), maxGpus: 0 }, { pod })).toEqual([]);
  });

  it('of a profile may not be enlarged by leaving out what limits a share', () => {
    const spec = { gpuProfile: 'card', resources: { limits: { 'nvidia.com/gpumem': null } } };
    expect(faultsIn({ gpuProfiles: names('card') }, spec, gpuProfile({ resources: share }))).toEqual([
      expect.stringContaining('nvidia.com/gpumem, other than its GPU profile has it,'),
    ]);
  });

  it.each([
    [{ gpuProfile: 'card' }, 2],
    [{ gpuProfile: 'card', replicas: { min: 1, max: 3 } }, 6],
    [{ gpu: { resources: share } }, 1],
    [{ gpu: { resources: { 'vendor.example/card': 2 } } }, 2],
    [{ gpu: { resources: { 'nvidia.com/gpumem': 4096 } } }, 1],
    [{ gpu: { resources: { 'nvidia.com/mig-1g.10gb': 1, 'nvidia.com/mig-2g.20gb': 2 } } }, 3],
    [{ gpu: { resources: { 'tencent.com/vcuda-core': 200 } } }, 200],
    [{ resources: { limits: { 'aliyun.com/gpu-mem': 8 } } }, 8],
    [{ resources: { limits: { 'volcano.sh/vgpu-number': 2, 'volcano.sh/vgpu-memory': 4096 } } }, 2],
    [{ resources: { limits: { 'amd.com/gpu': 1, 'huawei.com/Ascend910-memory': 2000 } } }, 2],
    [{ resources: { limits: { 'huawei.com/Ascend910': 1, 'huawei.com/Ascend910-memory': 2000 } } }, 1],
    [
      {
        gpuProfile: 'card',
        pod: { containers: [{ name: 'x', resources: { limits: { 'nvidia.com/gpu': '1' } } }] },
      },
      3,
    ],
  ])('of %j are %d, those of a replica times the most replicas', (spec, gpus) => {
    expect(faultsIn({ maxGpus: gpus }, spec, profile)).toEqual([]);
    expect(faultsIn({ maxGpus: gpus - 1 }, spec, profile)).toEqual([
      expect.stringMatching(new RegExp(`replicas with \\d+ GPUs each is outside .*: ${gpus - 1}$`)),
    ]);
  });

  it('that cannot be counted are refused where they are bounded', () => {
    const knative = { deploymentMode: 'Knative', replicas: { min: 0, max: 0 } };
    expect(faultsIn({ maxGpus: 9 }, { gpuProfile: 'card', ...knative }, profile)).toEqual([
      expect.stringContaining('any number of replicas with 2 GPUs each is outside'),
    ]);
    expect(faultsIn({ maxGpus: 9 }, { pod: { workerSpec: { pipelineParallelSize: 2 } } })).toEqual([
      expect.stringContaining('spec.pod.workerSpec: has workers'),
    ]);
  });
});

describe('what gives away the node', () => {
  const escapes: [object, (typeof NODE_ACCESS)[number]][] = [
    [{ pod: { hostNetwork: true } }, 'hostNetwork'],
    [{ pod: { hostPID: true } }, 'hostPID'],
    [{ pod: { hostIPC: true } }, 'hostIPC'],
    [{ pod: { volumes: [{ name: 'x', hostPath: { path: '/' } }] } }, 'hostPath'],
    [{ pod: { workerSpec: { hostPID: true } } }, 'hostPID'],
    [{ pod: { workerSpec: { volumes: [{ name: 'x', hostPath: { path: '/' } }] } } }, 'hostPath'],
    [{ pod: { securityContext: { windowsOptions: { hostProcess: true } } } }, 'privileged'],
    [{ pod: { containers: [{ name: 'x', securityContext: { privileged: true } }] } }, 'privileged'],
    [{ pod: { initContainers: [{ name: 'x', securityContext: { privileged: true } }] } }, 'privileged'],
    [{ pod: { containers: [{ name: 'x', ports: [{ containerPort: 1, hostPort: 1 }] }] } }, 'hostNetwork'],
    [{ container: { securityContext: { privileged: true } } }, 'privileged'],
    [{ container: { securityContext: { procMount: 'Unmasked' } } }, 'privileged'],
    [{ container: { securityContext: { capabilities: { add: ['NET_ADMIN'] } } } }, 'capabilities'],
    [{ gpu: { resources: { 'nvidia.com/gpu': 1 }, pod: { hostIPC: true } } }, 'hostIPC'],
    [{ conventions: 'alauda' }, 'hostIPC'],
  ];

  it.each(escapes)('%j is refused where modelhook.yaml is known, and allowed by %s', (spec, access) => {
    const others = NODE_ACCESS.filter((one) => one !== access);
    expect(loadIn([], policyText(spec)).faults).toHaveLength(1);
    expect(faultsIn({ allow: others }, spec)).toEqual([
      expect.stringMatching(
        new RegExp(
          `gives away the node, and modelhook.yaml does not allow policies in policies/vision that; .*"allow: \\[${access}\\]"`,
        ),
      ),
    ]);
    expect(faultsIn({ allow: [access] }, spec)).toEqual([]);
  });

  it('is refused in a GPU profile for each policy that uses it, with the name of the profile', () => {
    const profile = gpuProfile({ pod: { volumes: [{ name: 'x', hostPath: { path: '/' } }] } });
    expect(faultsIn({}, { gpuProfile: 'card' }, profile)).toEqual([
      expect.stringMatching(
        /^spec\.gpuProfile: pod\.volumes\[0\]\.hostPath of GPU profile "card": gives away/,
      ),
    ]);
    expect(faultsIn({}, {}, profile)).toEqual([]);
  });

  it.each([
    { pod: { hostNetwork: false, nodeSelector: { hostIPC: 'x', hostPath: 'x', privileged: 'true' } } },
    { container: { securityContext: { privileged: false, capabilities: { drop: ['ALL'], add: [] } } } },
    { container: { env: [{ name: 'hostPath', value: '/' }], ports: [{ containerPort: 8080 }] } },
    { pod: { volumes: [{ name: 'x', hostPath: null, emptyDir: {} }] } },
  ])('is not %j', (spec) => {
    expect(faultsIn({}, spec)).toEqual([]);
  });
});

describe('service accounts', () => {
  it.each([
    { pod: { serviceAccount: 'admin' } },
    { pod: { workerSpec: { serviceAccountName: 'admin' } } },
    { gpu: { resources: { 'nvidia.com/gpu': 1 }, pod: { serviceAccountName: 'admin' } } },
  ])('count in %j too', (spec) => {
    expect(faultsIn({ serviceAccounts: names('vision') }, spec)).toEqual([
      expect.stringContaining('service account "admin" is outside'),
    ]);
  });
});

describe('an address of storage', () => {
  const storage = ['s3://models/vision', 'https://files.example.com/vision/'];
  const bound: Bound = { directory: DIRECTORY, allow: [], storage };

  it.each(['s3://models/vision', 's3://models/vision/iris', 'https://files.example.com/vision/a%20b'])(
    '%s is within folders that are allowed',
    (storageUri) => {
      expect(() => requireWithin(bound, { storageUri })).not.toThrow();
    },
  );

  it.each([
    's3://models/vision-secret/iris',
    's3://models',
    'S3://models/vision/iris',
    'https://files.example.com/vision',
    'https://files.example.com/vision/%2E%2e/secret',
    'https://files.example.com/vision/..%2Fsecret',
  ])('%s is not', (storageUri) => {
    expect(() => requireWithin(bound, { storageUri })).toThrow(`storage ${storageUri} is outside`);
  });

  it.each([
    [`s3://models/vision/\${sha}`, 0],
    [`s3://\${repository.path}/\${sha}`, 0],
    [`\${repository.path}`, 0],
    [`s3://models/vision-\${sha}`, 1],
    [`s3://other/\${sha}`, 1],
  ])('with variables, %s, has %d faults before anything is filled in', (uri, count) => {
    expect(faultsIn({ storage }, { storage: { uri } })).toHaveLength(count);
  });
});
