import { beforeEach, describe, expect, it } from 'vitest';
import { FakeCluster } from '../cluster/cluster.fake.ts';
import type { Cluster, ClusterKnowledge, ClusterReviewer, ClusterRight } from '../cluster/cluster.ts';
import { ClusterUnavailableError } from '../cluster/cluster.ts';
import { ASSUMED_KSERVE } from '../core/kserve.ts';
import { loadGood, policyText } from '../core/policy.fixture.ts';
import type { Policy } from '../core/policy.ts';
import type { ServingRuntime } from '../core/runtime-catalogue.ts';
import type { Finding } from '../forge/forge.ts';
import { checkCluster } from './doctor-clusters.ts';

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
  settings: {
    defaultDeploymentMode: 'Standard',
    ingressDomain: null,
    domainTemplate: null,
    urlScheme: null,
    disableIngressCreation: false,
  },
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
    limit = 60_000,
  ): Promise<Finding[]> => {
    const { applier } = {
      applier: {
        get: () => Promise.reject(new Error('doctor reads no service')),
        apply: () => Promise.reject(new Error('doctor changes nothing')),
        remove: () => Promise.reject(new Error('doctor changes nothing')),
      },
    };
    const cluster: Cluster = { watch: fake, catalogue: fake, applier, reviewer };
    const examined = { name: 'prod', access: 'prod.kubeconfig', namespaces: [], open: async () => cluster };
    const section = await checkCluster(examined, policies, limit);
    expect(section).toMatchObject({ title: 'Cluster prod: prod.kubeconfig', forge: null, cluster: 'prod' });
    expect(fake.started).toBe(false);
    return section.findings;
  };
  const notGood = async (policies?: readonly Policy[] | null): Promise<Finding[]> =>
    (await look(policies)).filter(({ state }) => state !== 'good');

  it('finds nothing to mend where all is as it must be', async () => {
    expect((await look()).map(({ about, state, message }) => `${state} ${about}: ${message}`)).toEqual([
      'good access: is reached, and takes the credentials',
      'good rights: RBAC allows all that modelhook does',
      'good KServe: version 0.20.0',
      'good KServe: runs a service that does not say how in mode Standard',
      "good KServe's webhooks: are configured",
      'good Knative: is not installed: services run in Standard mode',
      'good runtimes: 1 runtime: mlserver',
      'good namespace vision: exists',
    ]);
  });

  it('tells why it is not reached, and what to do', async () => {
    reviewer.missingRights = async () => {
      const what = 'refuses the credentials';
      throw new ClusterUnavailableError('cluster prod', {
        kind: 'credentials',
        what,
        detail: null,
        fix: 'renew the token',
        retryAfter: null,
      });
    };
    expect(await look()).toEqual([
      {
        about: 'access',
        state: 'fault',
        message: 'cluster prod refuses the credentials',
        fix: 'renew the token',
      },
    ]);
  });

  it('goes no further than its time, and tells what it had found by then', async () => {
    fake.known = { ...KNOWN, complete: false };
    expect(await look([policy()], 1)).toEqual([
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
        message: 'may not list, watch pods',
        fix: 'kubectl apply -f deploy/rbac.yaml, which has the rule { apiGroups: [""], resources: [pods], verbs: [list, watch] }',
      },
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
      expect.objectContaining({ state: 'fault', message: 'may not list services.serving.knative.dev' }),
    ]);
  });

  it('tells that KServe is not installed, or that nobody may look', async () => {
    fake.known = { ...KNOWN, structure: null };
    expect(await notGood()).toEqual([
      expect.objectContaining({ about: 'KServe', state: 'fault', message: 'is not installed' }),
    ]);
    reviewer.missingRights = async () => [
      { ...LIST_PODS, group: 'apiextensions.k8s.io', resource: 'customresourcedefinitions' },
    ];
    expect(await notGood()).toContainEqual(
      expect.objectContaining({
        about: 'KServe',
        state: 'warning',
        message: expect.stringContaining('not known'),
      }),
    );
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
