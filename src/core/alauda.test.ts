import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { StalledError } from './errors.ts';
import { renderInferenceService } from './inference-service.ts';
import { ASSUMED_KSERVE } from './kserve.ts';
import type { ModelCard } from './model-card.ts';
import { makePlan, needsModelCard, type PlanInput } from './plan.ts';
import { faultsOf, load, loadGood, only, policyText, runtimeText } from './policy.fixture.ts';

const SHA = 'a'.repeat(40);
const card: ModelCard = {
  library: 'sklearn',
  pipelineTag: 'tabular-classification',
  license: null,
  tags: [],
  baseModel: [],
};
const SCRIPT = 'set -e\n  exec mlserver start "$MODEL"  # a \'quote\', a: colon\n\ntrue\n';
const container = {
  name: 'kserve-container',
  image: 'mlserver:1',
  command: ['/bin/bash', '-c'],
  args: [SCRIPT],
  env: [
    { name: 'MLSERVER_HTTP_PORT', value: '8080' },
    { name: 'NODE', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
    { name: 'TEMPLATE', value: '{{ .Values.chat }}' },
  ],
};
const runtime = (spec: object = {}, labels: object = { 'cpaas.io/runtime-class': 'mlserver' }): string =>
  runtimeText('aml-mlserver', { containers: [container], protocolVersions: ['v2'], ...spec }, { labels });

const POLICY = {
  conventions: 'alauda',
  match: { repositories: ['gitlab:mlops/**'], tags: ['v*'], branches: ['main'] },
  target: { namespace: 'demo' },
  runtime: { class: 'mlserver' },
  storage: null,
};

function plan(spec: object = {}, more: Partial<PlanInput> = {}, catalogue: string[] = [runtime()]) {
  const policies = loadGood(policyText({ ...POLICY, ...spec }), ...catalogue);
  return makePlan({
    policy: only(policies),
    policies,
    repository: 'gitlab:mlops/amlmodels/iris',
    projectId: '42',
    ref: 'refs/tags/v1.0.0',
    sha: SHA,
    modelCard: { kind: 'card', card },
    ...more,
  });
}
const render = (...args: Parameters<typeof plan>) => parse(renderInferenceService(plan(...args)).manifest);

describe('conventions: alauda', () => {
  it('renders what Alauda AI expects, value for value, with our keys beside it', () => {
    const gpu = {
      resources: { 'nvidia.com/gpualloc': 1, 'nvidia.com/gpucores': 50, 'nvidia.com/gpumem': 4096 },
    };
    expect(render({ gpu })).toEqual({
      apiVersion: 'serving.kserve.io/v1beta1',
      kind: 'InferenceService',
      metadata: {
        name: 'iris',
        namespace: 'demo',
        labels: {
          'aml-model-group': 'mlops',
          'aml-model-repo': 'iris',
          'aml-model-subgroup': 'amlmodels',
          'aml-pipeline-tag': 'tabular-classification',
          'aml.cpaas.io/runtime-type': 'mlserver',
          'app.kubernetes.io/managed-by': 'modelhook',
          'service.subdomain': 'iris-mlops',
        },
        annotations: {
          'aml-model-repo': 'iris',
          'aml-model-repo-branch': '',
          'aml-model-repo-id': '42',
          'aml-model-repo-tag-commit': 'v1.0.0',
          'aml-pipeline-tag': 'tabular-classification',
          'cpaas.io/description': '',
          'modelhook.dev/repository': 'gitlab:mlops/amlmodels/iris',
          'serving.knative.dev/progress-deadline': '2400s',
          'serving.kserve.io/deploymentMode': 'RawDeployment',
        },
      },
      spec: {
        predictor: {
          annotations: {
            'modelhook.dev/revision': 'v1.0.0',
            'modelhook.dev/sha': SHA,
            'modelhook.dev/spec-hash': expect.stringMatching(/^[0-9a-f]{16}$/),
          },
          minReplicas: 1,
          maxReplicas: 1,
          hostIPC: true,
          model: {
            modelFormat: { name: 'sklearn' },
            runtime: 'aml-mlserver',
            protocolVersion: 'v2',
            storageUri: 'hf://demo/iris:v1.0.0',
            resources: {
              requests: { cpu: '1', memory: '4Gi' },
              limits: {
                cpu: '4',
                memory: '16Gi',
                'ephemeral-storage': '10Gi',
                'nvidia.com/gpualloc': '1',
                'nvidia.com/gpucores': '50',
                'nvidia.com/gpumem': '4096',
              },
            },
            command: ['/bin/bash', '-c'],
            args: [SCRIPT],
            env: container.env,
            name: 'kserve-container',
          },
        },
      },
    });
  });

  it('takes the branch and its commit for a branch event', () => {
    expect(render({}, { ref: 'refs/heads/main' })).toMatchObject({
      metadata: { annotations: { 'aml-model-repo-branch': 'main', 'aml-model-repo-tag-commit': SHA } },
      spec: { predictor: { model: { storageUri: `hf://demo/iris:${SHA}` } } },
    });
  });

  it('names the claim and asks for no disk where there is one', () => {
    const service = render({ storage: { pvc: 'my-claim' } });
    expect(service.metadata.annotations['storage-initializer-pvc-name']).toBe('my-claim');
    expect(service.spec.predictor.model.resources.limits).not.toHaveProperty('ephemeral-storage');
  });

  it('scales without servers where the replicas may differ', () => {
    const service = render({ replicas: { min: 0, max: 3 } });
    expect(service.metadata.annotations['serving.kserve.io/deploymentMode']).toBe('Serverless');
  });

  it('spells the mode for a KServe whose version is known', () => {
    const kserve = { ...ASSUMED_KSERVE, version: '0.17' };
    expect(render({}, { kserve }).metadata.annotations['serving.kserve.io/deploymentMode']).toBe('Standard');
  });

  it('makes sub-groups a label value, and keeps them as they are in an annotation', () => {
    const { labels, annotations } = render({}, { repository: 'gitlab:mlops/a/b/iris' }).metadata;
    expect([labels['aml-model-subgroup'], annotations['aml-model-subgroup']]).toEqual(['a-b', 'a/b']);
  });

  it('leaves empty what a repository without groups does not have', () => {
    const match = { repositories: ['gitlab:*'], tags: ['*'] };
    expect(render({ match }, { repository: 'gitlab:iris' }).metadata.labels).toMatchObject({
      'aml-model-group': '',
      'aml-model-subgroup': '',
      'service.subdomain': 'iris',
    });
  });

  it('fills the description in, and takes any text for it', () => {
    const description = `\${repository.name}: "quoted" \n  - and: more\n`;
    const service = render({ description });
    expect(service.metadata.annotations['cpaas.io/description']).toBe('iris: "quoted" \n  - and: more\n');
  });

  it('lays the policy over what it copies from the runtime', () => {
    const env = [
      { name: 'MLSERVER_HTTP_PORT', value: '9000' },
      { name: 'MORE', value: 'x' },
    ];
    const { model } = render({ container: { args: ['--more'], env, runtimeVersion: '2' } }).spec.predictor;
    expect(model).toMatchObject({
      command: ['/bin/bash', '-c'],
      args: [SCRIPT, '--more'],
      env: [env[0], container.env[1], container.env[2], env[1]],
      runtimeVersion: '2',
    });
    expect(render({ container: { command: ['/serve'] } }).spec.predictor.model.command).toEqual(['/serve']);
  });

  it('copies nothing where the runtime has nothing', () => {
    const { model } = render({}, {}, [runtime({ containers: [{ name: 'c', image: 'i' }] })]).spec.predictor;
    expect(Object.keys(model)).not.toEqual(expect.arrayContaining(['args']));
    expect([model.command, model.args, model.env, model.name]).toEqual([
      undefined,
      undefined,
      undefined,
      'kserve-container',
    ]);
  });

  it('warns where the runtime has no class and the forge no number', () => {
    const { warnings, labels, annotations } = plan(
      { runtime: { name: 'aml-mlserver' } },
      { projectId: null },
      [runtime({}, {})],
    );
    expect([labels['aml.cpaas.io/runtime-type'], annotations['aml-model-repo-id']]).toEqual(['', '']);
    expect(warnings).toEqual([
      expect.stringContaining('aml-model-repo-id is empty'),
      expect.stringContaining('runtime-type is empty'),
    ]);
  });

  it('needs the runtime itself, not its name alone', () => {
    const named = { runtime: { name: 'aml-mlserver' } };
    expect(() => plan(named, {}, [])).toThrow(StalledError);
    expect(() => plan(named, {}, [])).toThrow(/add the runtime .* to the policy directory/);
  });

  it('needs the pipeline tag, even where the policy names the format', () => {
    const policy = only(loadGood(policyText({ ...POLICY, modelFormat: { name: 'sklearn' } }), runtime()));
    expect(needsModelCard(policy)).toBe(true);
    const modelCard = { kind: 'card', card: { ...card, pipelineTag: null } } as const;
    expect(() => plan({}, { modelCard })).toThrow(/no pipeline_tag.*add pipeline_tag to its front matter/);
  });

  it('refuses a runtime whose container KServe would refuse', () => {
    const broken = runtime({ containers: [{ ...container, env: [{ value: 'nameless' }] }] });
    expect(() => renderInferenceService(plan({}, {}, [broken]))).toThrow(
      /does not have the structure KServe expects: spec\.predictor\.model\.env\[0\]/,
    );
  });

  it('warns that upstream KServe takes it otherwise', () => {
    expect(load(policyText(POLICY), runtime()).warnings.map(({ message }) => message)).toEqual([
      expect.stringContaining('upstream KServe refuses model.name'),
    ]);
  });

  it.each([
    [{ labels: { 'aml-model-repo': 'x' } }, 'spec.labels.aml-model-repo: conventions: alauda sets this key'],
    [{ annotations: { 'cpaas.io/description': 'x' } }, 'conventions: alauda sets this key'],
    [{ pod: { hostIPC: false } }, 'spec.pod.hostIPC: conventions: alauda sets this field'],
  ])('refuses %j, which it sets itself', (spec, expected) => {
    expect(faultsOf(policyText({ ...POLICY, ...spec }), runtime())).toEqual([
      expect.stringContaining(expected),
    ]);
  });

  it('lets a policy set another deadline', () => {
    const annotations = { 'serving.knative.dev/progress-deadline': '600s' };
    expect(render({ annotations }).metadata.annotations).toMatchObject(annotations);
  });

  it('alone has a default for the storage address', () => {
    expect(faultsOf(policyText({ storage: null }))).toEqual([
      expect.stringContaining('spec.storage.uri: this field is required'),
    ]);
  });
});
