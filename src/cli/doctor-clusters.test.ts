import { beforeEach, describe, expect, it, vi } from 'vitest';
import { FakeCluster } from '../cluster/cluster.fake.ts';
import type { Cluster, ClusterKnowledge, ClusterReviewer, ClusterRight } from '../cluster/cluster.ts';
import { ClusterUnavailableError } from '../cluster/cluster.ts';
import { ASSUMED_KSERVE } from '../core/kserve.ts';
import { loadGood, policyText } from '../core/policy.fixture.ts';
import type { Policy } from '../core/policy.ts';
import type { ServingRuntime } from '../core/runtime-catalogue.ts';
import type { Finding } from '../forge/forge.ts';
import { checkCluster, type ExaminedCluster } from './doctor-clusters.ts';

const RUNTIME: ServingRuntime = {
  kind: 'ClusterServingRuntime',
  name: 'mlserver',
  namespace: null,
  class: null,
  disabled: false,
  formats: [{ name: 'sklearn', version: '1', autoSelect: true, priority: 1 }],
  protocolVersions: ['v2'],
  multiNode: false,
  multiModel: false,
  containers: [],
  source: null,
};

const KNOWN: ClusterKnowledge = {
  complete: true,
  runtimes: { source: 'cluster prod', runtimes: [RUNTIME] },
  kserveVersion: 'v0.20.0',
  structure: ASSUMED_KSERVE.structure,
  settings: { defaultDeploymentMode: 'Standard' },
  knative: false,
  warnings: [],
};

const LIST_PODS: ClusterRight = { group: '', resource: 'pods', verb: 'list', namespace: null, name: null };
const WATCH_PODS: ClusterRight = { ...LIST_PODS, verb: 'watch' };
const PATCH: ClusterRight = {
  group: 'serving.kserve.io',
  resource: 'inferenceservices',
  verb: 'patch',
  namespace: null,
  name: null,
};

describe('doctor, of a cluster', () => {
  let fake: FakeCluster;
  let reviewer: ClusterReviewer;
  beforeEach(() => {
    fake = new FakeCluster();
    fake.known = KNOWN;
    reviewer = { missingRights: async () => [], kserveWebhooks: async () => 'configured' };
  });

  const policy = (spec: object = {}): Policy => {
    const [first] = loadGood(
      policyText({
        target: { namespace: 'vision', cluster: 'prod' },
        runtime: { name: 'mlserver' },
        ...spec,
      }),
    ).policies;
    if (first === undefined) throw new Error('the policy was not read');
    return first;
  };
  const look = async (
    policies: readonly Policy[] | null = [policy()],
    { limit = 60_000, ...how }: Partial<ExaminedCluster> & { limit?: number } = {},
  ): Promise<Finding[]> => {
    const { applier } = {
      applier: {
        get: () => Promise.reject(new Error('doctor reads no service')),
        apply: () => Promise.reject(new Error('doctor changes nothing')),
        remove: () => Promise.reject(new Error('doctor changes nothing')),
      },
    };
    const cluster: Cluster = { watch: fake, catalogue: fake, applier, reviewer };
    const open = async () => cluster;
    const examined = { name: 'prod', access: 'prod.kubeconfig', namespaces: [], open, ...how };
    const section = await checkCluster(examined, policies, limit);
    expect(section).toMatchObject({ title: 'Cluster prod: prod.kubeconfig', forge: null, cluster: 'prod' });
    expect(fake.started).toBe(false);
    return section.findings;
  };
  const notGood = async (
    policies?: readonly Policy[] | null,
    how?: Partial<ExaminedCluster>,
  ): Promise<Finding[]> => (await look(policies, how)).filter(({ state }) => state !== 'good');

  it('finds nothing to mend where all is as it must be', async () => {
    expect((await look()).map(({ about, state, message }) => `${state} ${about}: ${message}`)).toEqual([
      'good access: is reached, and takes the credentials',
      'good namespace vision: exists',
      'good KServe: version 0.20.0',
      'good KServe: runs a service that does not say how in mode Standard',
      'good rights: RBAC allows all that modelhook does',
      "good KServe's webhooks: are configured",
      'good Knative: is not installed: services run in Standard mode',
      'good runtimes: 1 runtime: mlserver',
    ]);
  });

  it.each([
    ['credentials', 'renew the token; then try: kubectl --kubeconfig prod.kubeconfig auth whoami'],
    ['configuration', 'renew the token'],
  ] as const)('tells why it is not reached, and what to do about %s', async (kind, fix) => {
    reviewer.missingRights = async () => {
      const problem = { kind, what: 'is barred', detail: null, fix: 'renew the token', retryAfter: null };
      throw new ClusterUnavailableError('cluster prod', problem);
    };
    expect(await look([policy()], { kubectl: 'kubectl --kubeconfig prod.kubeconfig' })).toEqual([
      { about: 'access', state: 'fault', message: 'cluster prod is barred', fix },
    ]);
  });

  it('goes no further than its time, and tells what it had found by then', async () => {
    fake.known = { ...KNOWN, complete: false };
    expect(await look([policy()], { limit: 1 })).toEqual([
      expect.objectContaining({ about: 'access', state: 'good' }),
      expect.objectContaining({ state: 'fault', message: expect.stringContaining('it took longer than') }),
    ]);
  });

  it('names each right that is missing, with the rule that gives it', async () => {
    reviewer.missingRights = async () => [LIST_PODS, WATCH_PODS];
    expect(await notGood()).toEqual([
      {
        about: 'rights',
        state: 'fault',
        message:
          'may not list, watch pods; the rule is { apiGroups: [""], resources: [pods], verbs: [list, watch] }',
        fix: 'kubectl apply -f deploy/rbac.yaml',
      },
    ]);
  });

  it('mends a right in a namespace by the roles for that, whichever the file has', async () => {
    const places = ['nlp', 'vision'];
    reviewer.missingRights = async () => [
      ...places.map((namespace) => ({ ...LIST_PODS, namespace })),
      { ...LIST_PODS, group: 'apps', resource: 'deployments', namespace: 'kserve' },
      LIST_PODS,
    ];
    const found = await notGood([policy()], { namespaces: places });
    const ofNlp =
      "sed 's/namespace: vision/namespace: nlp/' deploy/rbac-namespaced.yaml | kubectl apply -f -";
    expect(found.map(({ fix }) => fix)).toEqual([
      ofNlp,
      'kubectl apply -f deploy/rbac-namespaced.yaml',
      ofNlp,
      ofNlp,
    ]);
  });

  it.each([
    ['a fault where a policy applies', { apply: true, gitops: undefined }, 'fault'],
    ['a warning where all is delivered by Git', { gitops: 'fleet' }, 'warning'],
  ])('takes a missing right to write for %s', async (_, delivery, state) => {
    reviewer.missingRights = async () => [PATCH];
    expect(await notGood([policy({ delivery })])).toEqual([
      expect.objectContaining({ state, message: expect.stringContaining('which delivery.apply needs') }),
    ]);
  });

  it('asks for no right of Knative where that is not installed', async () => {
    reviewer.missingRights = async () => [
      { ...LIST_PODS, group: 'serving.knative.dev', resource: 'services' },
    ];
    expect(await notGood()).toEqual([]);
    fake.known = { ...KNOWN, knative: true };
    expect(await notGood()).toEqual([
      expect.objectContaining({
        state: 'fault',
        message: expect.stringMatching(/^may not list services\.serving\.knative\.dev;/),
      }),
    ]);
  });

  it.each([
    ['absent', 'fault', 'kubectl create namespace vision'],
    [
      'terminating',
      'fault',
      'kubectl wait --for=delete namespace/vision --timeout=10m && kubectl create namespace vision',
    ],
    [null, 'warning', 'kubectl get namespace vision || kubectl create namespace vision'],
  ] as const)('says how a namespace that is %s comes to be', async (phase, state, fix) => {
    const seen = fake.seen('vision', '');
    vi.spyOn(fake, 'seen').mockReturnValue({ ...seen, namespace: phase });
    expect(await notGood()).toEqual([{ about: 'namespace vision', state, message: expect.any(String), fix }]);
  });

  it('tells that KServe is not installed, and then says nothing of what comes with it', async () => {
    fake.known = { ...KNOWN, structure: null, runtimes: null };
    expect(await notGood()).toEqual([
      {
        about: 'KServe',
        state: 'fault',
        message: 'is not installed',
        fix: expect.stringMatching(/^helm upgrade --install kserve-crd .* && helm .*kserve-resources/),
      },
    ]);
  });

  it('tells that nobody may look whether KServe is installed', async () => {
    fake.known = { ...KNOWN, structure: null };
    reviewer.missingRights = async () => [
      { ...LIST_PODS, group: 'apiextensions.k8s.io', resource: 'customresourcedefinitions' },
    ];
    expect(await notGood()).toContainEqual({
      about: 'KServe',
      state: 'warning',
      message: expect.stringContaining('not known'),
      fix: 'kubectl apply -f deploy/rbac.yaml',
    });
  });

  it('takes the version of modelhook.yaml where the cluster tells none', async () => {
    fake.known = { ...KNOWN, kserveVersion: null };
    expect(await look([policy()], { kserve: '0.18' })).toContainEqual(
      expect.objectContaining({ state: 'good', message: 'version 0.18, as modelhook.yaml says' }),
    );
    expect(await notGood()).toEqual([
      expect.objectContaining({
        state: 'warning',
        fix: expect.stringMatching(/^set clusters\.prod\.kserve/),
      }),
    ]);
  });

  it.each([
    ['deployments', 'kserve-controller-manager', { kserveVersion: null }],
    ['configmaps', 'inferenceservice-config', { settings: null }],
  ])('tells %s that may not be read from those that are not there', async (resource, name, known) => {
    fake.known = { ...KNOWN, ...known };
    const absent = await notGood();
    expect(absent).toEqual([
      { about: 'KServe', state: 'warning', message: expect.any(String), fix: expect.stringContaining(name) },
    ]);
    reviewer.missingRights = async () => [{ ...LIST_PODS, resource, namespace: 'kserve', name }];
    expect(await notGood()).toContainEqual({
      about: 'KServe',
      state: 'warning',
      message: expect.stringContaining('cannot be read'),
      fix: 'kubectl apply -f deploy/rbac.yaml',
    });
  });

  it('says how the runtimes of its KServe are installed where there is none', async () => {
    fake.known = { ...KNOWN, kserveVersion: 'v0.18.1', runtimes: { source: 'cluster prod', runtimes: [] } };
    expect(await notGood([])).toEqual([
      {
        about: 'runtimes',
        state: 'warning',
        message: 'there is none',
        fix: expect.stringMatching(/kserve-runtime-configs --version v0\.18\.1 /),
      },
    ]);
  });

  it.each([
    ['absent', 'fault'],
    ['unreadable', 'warning'],
  ] as const)('takes webhooks that are %s for a %s', async (answer, state) => {
    reviewer.kserveWebhooks = async () => answer;
    expect(await notGood()).toEqual([expect.objectContaining({ about: "KServe's webhooks", state })]);
  });

  it('tells of a policy that needs Knative where there is none', async () => {
    expect(await notGood([policy({ deploymentMode: 'Knative' })])).toEqual([
      expect.objectContaining({ about: 'Knative', state: 'fault' }),
    ]);
  });

  it.each([
    ['is not there', { runtime: { name: 'triton' } }, 'cluster prod has no runtime "triton"'],
    ['does not speak the protocol', { protocolVersion: 'v1' }, 'mlserver'],
    ['does not support the format', { modelFormat: { name: 'onnx' } }, 'onnx'],
  ])('tells of a policy whose runtime %s', async (_, spec, words) => {
    expect(await notGood([policy(spec)])).toEqual([
      expect.objectContaining({ about: 'runtimes', state: 'fault', message: expect.stringContaining(words) }),
    ]);
  });

  it('looks at no policy of another cluster, and at none where they could not be read', async () => {
    const other = policy({ target: { namespace: 'vision', cluster: 'far' }, runtime: { name: 'triton' } });
    expect(await notGood([other])).toEqual([]);
    expect(await notGood(null)).toEqual([]);
  });
});
