import { describe, expect, it } from 'vitest';
import type { Bound } from './bound.ts';
import { StalledError } from './errors.ts';
import { compileGlobs } from './glob.ts';
import { ASSUMED_KSERVE } from './kserve.ts';
import type { ModelCard } from './model-card.ts';
import { makePlan, needsModelCard, type PlanInput, targetOf } from './plan.ts';
import { loadGood, only, policyText, runtimeText } from './policy.fixture.ts';

const card: ModelCard = { library: 'sklearn', pipelineTag: null, license: null, tags: [], baseModel: [] };
const SHA = '1234567'.padEnd(40, 'a');

function planOf(spec: object, more: Partial<PlanInput> = {}) {
  const policies = loadGood(policyText(spec), runtimeText('mlserver'));
  return makePlan({
    policy: only(policies),
    policies,
    repository: 'plain:ml/vision/iris',
    projectId: null,
    ref: 'refs/tags/v1.0.0',
    sha: SHA,
    modelCard: { kind: 'card', card },
    ...more,
  });
}

describe('a cluster that can be read', () => {
  const replicas = { min: 1, max: 3 };
  const deploymentMode = 'Knative';

  it.each([
    [{ replicas }, null, 'Knative', ['Knative', 'Standard']],
    [{ replicas }, true, 'Knative', ['Knative', 'Standard']],
    [{ replicas }, false, 'Standard', ['Standard']],
    [{}, false, 'Standard', ['Standard']],
  ])('gets of %j, with Knative %s, a service in %s mode', (spec, knative, mode, modes) => {
    expect(planOf(spec, { knative })).toMatchObject({ deploymentMode: mode, modes });
  });

  it('says why its service is in another mode than its replicas would have', () => {
    expect(planOf({ replicas }, { knative: false }).decisions).toContainEqual(
      'deployment mode Standard, as the cluster has no Knative Serving, for a KServe whose version is not known',
    );
  });

  it.each([
    [{ deploymentMode }, 'deploymentMode: Knative of policy "production"', 'set deploymentMode: Standard'],
    [
      { replicas: { min: 0, max: 3 } },
      'replicas.min: 0 of policy "production"',
      'set replicas.min to at least 1',
    ],
  ])('is refused %j where it has no Knative', (spec, what, fix) => {
    const plan = () => planOf(spec, { knative: false });
    expect(plan).toThrow(`cluster "default" has no Knative Serving, which ${what} needs`);
    expect(plan).toThrow(fix);
  });

  it('offers its own runtimes, and the catalogue counts no more', () => {
    const { runtimes } = loadGood(policyText(), runtimeText('own'));
    const own = { source: 'cluster default', runtimes };
    expect(planOf({ runtime: null }, { runtimes: own })).toMatchObject({ runtime: 'own' });
    expect(planOf({ runtime: null }, { runtimes: null })).toMatchObject({ runtime: 'mlserver' });
    expect(() => planOf({}, { runtimes: { ...own, runtimes: [] } })).toThrow(
      'cluster default has no runtime "mlserver"',
    );
  });
});

describe('the terms of readiness', () => {
  it('are those of the policy, and none where it asks for no observing', () => {
    expect(planOf({ readiness: { timeout: '1h', grace: { restarts: 5 } } }).readiness).toEqual({
      timeout: 3_600_000,
      stability: 0,
      grace: { imagePull: 60_000, unschedulable: 600_000, invalidSpec: 30_000, restarts: 5 },
    });
    expect(planOf({ readiness: { observe: 'never' } }).readiness).toBeNull();
  });
});

describe('makePlan', () => {
  it('fills every template', () => {
    const plan = planOf({
      target: { namespace: `\${repository.group}`, name: `\${repository.name}-\${shortSha}` },
      storage: { uri: `s3://m/\${repository.path}/\${revision}` },
      annotations: {
        a: `\${repository.subgroup} \${environment} \${target.cluster} \${target.name} \${modelCard.library}`,
      },
    });
    expect(plan).toMatchObject({
      target: { cluster: 'default', namespace: 'ml', name: 'iris-1234567' },
      storageUri: 's3://m/ml/vision/iris/v1.0.0',
      annotations: { a: 'vision production default iris-1234567 sklearn' },
      path: 'default/ml/iris-1234567.yaml',
      gitops: 'fleet',
      revision: 'v1.0.0',
      policyRevision: 'c0ffee',
    });
  });

  it('takes the commit as the revision of a branch', () => {
    const plan = planOf({ match: { repositories: ['**'], branches: ['*'] } }, { ref: 'refs/heads/main' });
    expect(plan.revision).toBe(SHA);
  });

  it('says what was chosen and from where', () => {
    expect(planOf({})).toMatchObject({
      why: 'Policy production deploys it: repository plain:ml/vision/iris matches plain:ml/**, tag v1.0.0 matches v*.',
      decisions: [
        `target default/vision/iris, from \${repository.name}`,
        "environment production, the policy's name",
        'runtime mlserver, named by the policy, from the runtime catalogue',
        'model format sklearn, from library_name of the model card',
        'protocol v2, the default',
        `storage s3://models/ml/vision/iris/${SHA}, from the policy`,
        'requests cpu 1 (default), memory 4Gi (default)',
        'limits cpu 4 (default), memory 16Gi (default), ephemeral-storage 10Gi (default)',
        'no GPU',
        'replicas 1 to 1, the default',
        'deployment mode Standard, as replicas are 1 to 1, for a KServe whose version is not known',
        'committed to fleet as default/vision/iris.yaml, the default',
      ],
      warnings: [],
    });
  });

  it('says why a name was altered', () => {
    const plan = planOf({}, { repository: 'plain:ml/Iris' });
    expect(plan.target.name).toMatch(/^iris-[0-9a-f]{8}$/);
    expect(plan.decisions[0]).toContain('made a valid name of "Iris"');
  });

  it('cuts a name to what its namespace leaves in Standard mode', () => {
    const target = { namespace: 'n'.repeat(30) };
    const repository = `plain:ml/${'a'.repeat(40)}`;
    expect(planOf({ target }, { repository }).target.name).toMatch(/^a{13}-[0-9a-f]{8}$/);
    expect(planOf({ target, deploymentMode: 'Knative' }, { repository }).target.name).toBe('a'.repeat(40));
  });

  it('refuses a name that its namespace leaves no room for', () => {
    const plan = () => planOf({ target: { namespace: 'n'.repeat(50) } });
    expect(plan).toThrow(StalledError);
    expect(plan).toThrow(/leaves no room.*use a shorter namespace/);
  });

  it('makes each value in a path one segment', () => {
    const delivery = { gitops: 'fleet', path: `models/\${repository.path}/\${branch}.yaml` };
    const plan = planOf(
      { delivery, match: { repositories: ['**'], branches: ['**'] } },
      { ref: 'refs/heads/feature/x' },
    );
    expect(plan.path).toMatch(/^models\/ml-vision-iris-[0-9a-f]{8}\/feature-x-[0-9a-f]{8}\.yaml$/);
  });

  it('makes a value a label, and keeps the original as an annotation', () => {
    const plan = planOf({ labels: { path: `\${repository.path}`, tag: `\${tag}` } });
    expect(plan.labels).toEqual({ path: 'ml-vision-iris', tag: 'v1.0.0' });
    expect(plan.annotations).toEqual({ path: 'ml/vision/iris' });
  });

  it('merges the pods of the GPU profile and the policy', () => {
    const plan = planOf({
      gpu: {
        resources: { 'amd.com/gpu': 1 },
        pod: { tolerations: [{ key: 'gpu' }], nodeSelector: { a: 'x', b: 'x' } },
      },
      pod: { tolerations: [{ key: 'mine' }], nodeSelector: { b: 'y' } },
    });
    expect(plan.pod).toEqual({
      tolerations: [{ key: 'gpu' }, { key: 'mine' }],
      nodeSelector: { a: 'x', b: 'y' },
    });
    expect(plan.decisions).toContain('GPU from the policy: amd.com/gpu 1');
  });

  it('refuses an address that KServe would', () => {
    const storage = { uri: `hf://ml/\${repository.name}:\${branch}` };
    const plan = () =>
      planOf({ storage, match: { repositories: ['**'], branches: ['**'] } }, { ref: 'refs/heads/feature/x' });
    expect(plan).toThrow(/spec\.storage\.uri: "hf:\/\/ml\/iris:feature\/x"/);
  });

  it('refuses a variable that has no value', () => {
    expect(() => planOf({ target: { namespace: 'a', name: `\${branch}` } })).toThrow(/has no value here/);
  });

  it.each([
    [{}, ['Standard', 'Knative']],
    [{ replicas: { min: 1, max: 3 } }, ['Knative', 'Standard']],
    [{ replicas: { min: 0, max: 3 } }, ['Knative']],
    [{ rollout: { strategy: 'Recreate' } }, ['Standard']],
    [{ deploymentMode: 'Standard' }, ['Standard']],
    [{ deploymentMode: 'Knative' }, ['Knative']],
  ])('says in which modes %j can be deployed', (spec, modes) => {
    expect(planOf(spec).modes).toEqual(modes);
  });

  it('names the service the same in each mode that the replicas may bring', () => {
    const target = { namespace: 'team-vision-production' };
    const repository = 'plain:ml/a-rather-long-model-name-of-thirty-five';
    const nameOf = (replicas: object): string => planOf({ target, replicas }, { repository }).target.name;
    expect(nameOf({ min: 1, max: 3 })).toBe(nameOf({ min: 1, max: 1 }));
  });

  it.each([
    ['vLLM', { 'nvidia.com/gpualloc': 1 }, {}, 1],
    ['vLLM', { 'nvidia.com/gpualloc': 1 }, { runtimeVersion: 'v1' }, 0],
    ['vLLM', { 'nvidia.com/mig-1g.5gb': 1 }, {}, 0],
    ['sklearn', { 'amd.com/gpu': 1 }, {}, 0],
  ])('warns of the CPU image of %s with %j and %j', (name, resources, container, count) => {
    const policies = loadGood(
      policyText({ modelFormat: { name }, gpu: { resources }, container }),
      runtimeText('mlserver', { supportedModelFormats: [{ name }] }),
    );
    const { warnings } = planOf({}, { policies, policy: only(policies) });
    expect(warnings.filter((warning) => warning.includes('CPU image'))).toHaveLength(count);
  });

  it('refuses a version of KServe that is none', () => {
    expect(() => planOf({}, { kserve: { ...ASSUMED_KSERVE, version: 'latest' } })).toThrow(
      /no version of KServe/,
    );
  });
});

describe('the model card', () => {
  const unavailable = {
    modelCard: { kind: 'unavailable', reason: new StalledError('no README.md', 'add it') },
  } as const;

  it('is needed for the model format and where a template names it', () => {
    const needs = (spec: object): boolean => needsModelCard(only(loadGood(policyText(spec))));
    const modelFormat = { name: 'sklearn' };
    expect(needs({})).toBe(true);
    expect(needs({ modelFormat })).toBe(false);
    expect(needs({ modelFormat, labels: { task: `\${modelCard.pipelineTag}` } })).toBe(true);
  });

  it('fails the plan with its own reason where it is needed, and only there', () => {
    expect(() => planOf({}, unavailable)).toThrow('no README.md; add it');
    expect(planOf({ modelFormat: { name: 'sklearn', version: '1' } }, unavailable).modelFormat).toEqual({
      name: 'sklearn',
      version: '1',
    });
  });

  it('must name the library or the task where they are needed', () => {
    const modelCard = { kind: 'card', card: { ...card, library: null } } as const;
    expect(() => planOf({}, { modelCard })).toThrow(/no library_name.*spec\.modelFormat/);
    expect(() => planOf({ labels: { task: `\${modelCard.pipelineTag}` } })).toThrow(/no pipeline_tag/);
  });
});

describe('the bound of the policy', () => {
  const bounded = (bound: Partial<Bound>, spec: object) => {
    const policies = loadGood(policyText(spec), runtimeText('mlserver'));
    const policy = { ...only(policies), bound: { directory: 'policies/vision', allow: [], ...bound } };
    return planOf(spec, { policies, policy });
  };
  const namespaces = compileGlobs(['vision', 'vision-*']);
  const target = { namespace: `\${repository.group}` };

  it.each<[Partial<Bound>, object, string]>([
    [
      { namespaces },
      { target },
      'namespace "ml" is outside what modelhook.yaml allows policies in policies/vision: "vision", "vision-*"',
    ],
    [{ runtimes: compileGlobs(['triton*']) }, { runtime: null }, 'runtime "mlserver" is outside'],
    [{ storage: ['s3://models/nlp'] }, {}, `storage s3://models/ml/vision/iris/${SHA} is outside`],
  ])('%j holds for what %j comes to', (bound, spec, message) => {
    expect(() => bounded(bound, spec)).toThrow(message);
    expect(() => bounded(bound, spec)).toThrow(StalledError);
    expect(() => bounded({}, spec)).not.toThrow();
  });

  it('holds for the target before anything is looked up there', () => {
    const policies = loadGood(policyText({ target }), runtimeText('mlserver'));
    const policy = { ...only(policies), bound: { directory: '', allow: [], namespaces } };
    const event = { repository: 'plain:ml/x', projectId: null, ref: 'refs/tags/v1', sha: SHA };
    expect(() => targetOf({ ...event, policy, policies, modelCard: { kind: 'card', card } })).toThrow(
      'namespace "ml" is outside',
    );
  });
});
