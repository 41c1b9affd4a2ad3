import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { readManaged, renderInferenceService, withMode } from './inference-service.ts';
import { isJsonObject, type Json, type JsonObject } from './json.ts';
import { ASSUMED_KSERVE } from './kserve.ts';
import { makePlan, type Plan, type PlanInput } from './plan.ts';
import { loadGood, only, policyText, runtimeText } from './policy.fixture.ts';

const SHA = 'a'.repeat(40);

function planOf(spec: object, more: Partial<PlanInput> = {}): Plan {
  const policies = loadGood(policyText(spec), runtimeText('mlserver'));
  const card = { library: 'sklearn', pipelineTag: null, license: null, tags: [], baseModel: [] };
  return makePlan({
    policy: only(policies),
    policies,
    repository: 'plain:ml/iris',
    projectId: '42',
    ref: 'refs/tags/v1.0.0',
    sha: SHA,
    modelCard: { kind: 'card', card },
    ...more,
  });
}
const render = (spec: object, more: Partial<PlanInput> = {}) => renderInferenceService(planOf(spec, more));
const hashOf = (object: JsonObject): Json =>
  ['spec', 'predictor', 'annotations', 'modelhook.dev/spec-hash'].reduce<Json>(
    (at, key) => (isJsonObject(at) ? (at[key] ?? null) : null),
    object,
  );
const hash = (spec: object, more: Partial<PlanInput> = {}): Json => hashOf(render(spec, more).object);
const forKServe = (version: string): Partial<PlanInput> => ({ kserve: { ...ASSUMED_KSERVE, version } });

describe('renderInferenceService', () => {
  it('renders the defaults, to the byte', () => {
    const { manifest, object } = render({});
    const specHash = String(hashOf(object));
    expect(manifest).toBe(`apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: iris
  namespace: vision
  labels:
    app.kubernetes.io/managed-by: modelhook
  annotations:
    modelhook.dev/repository: plain:ml/iris
    serving.kserve.io/deploymentMode: Standard
spec:
  predictor:
    annotations:
      modelhook.dev/revision: v1.0.0
      modelhook.dev/sha: "${SHA}"
      modelhook.dev/spec-hash: "${specHash}"
    minReplicas: 1
    maxReplicas: 1
    model:
      modelFormat:
        name: sklearn
      runtime: mlserver
      protocolVersion: v2
      storageUri: s3://models/ml/iris/${SHA}
      resources:
        requests:
          cpu: "1"
          memory: 4Gi
        limits:
          cpu: "4"
          ephemeral-storage: 10Gi
          memory: 16Gi
`);
  });

  it('renders everything a policy sets', () => {
    const { object } = render({
      labels: { team: 'vision' },
      annotations: { note: 'yes' },
      replicas: { min: 2 },
      rollout: { strategy: 'RollingUpdate', maxSurge: 0, maxUnavailable: '25%' },
      modelFormat: { name: 'sklearn', version: '1' },
      gpu: { resources: { 'nvidia.com/gpu': 1 } },
      pod: { serviceAccountName: 's3', labels: { a: 'b' }, annotations: { c: 'd' } },
      container: { env: [{ name: 'A', value: '1' }], args: ['--x'] },
      storage: { uri: 's3://m', pvc: 'claim' },
    });
    expect(object).toMatchObject({
      metadata: {
        labels: { team: 'vision' },
        annotations: { note: 'yes', 'storage-initializer-pvc-name': 'claim' },
      },
      spec: {
        predictor: {
          labels: { a: 'b' },
          annotations: { c: 'd', 'modelhook.dev/sha': SHA },
          minReplicas: 2,
          maxReplicas: 2,
          deploymentStrategy: {
            type: 'RollingUpdate',
            rollingUpdate: { maxSurge: 0, maxUnavailable: '25%' },
          },
          serviceAccountName: 's3',
          model: {
            modelFormat: { name: 'sklearn', version: '1' },
            env: [{ name: 'A', value: '1' }],
            args: ['--x'],
            resources: { limits: { cpu: '4', memory: '16Gi', 'nvidia.com/gpu': '1' } },
          },
        },
      },
    });
    expect(JSON.stringify(object)).not.toContain('ephemeral-storage');
  });

  it.each([
    [undefined, { min: 1, max: 1 }, 'Standard'],
    ['0.16', { min: 0, max: 2 }, 'Knative'],
    ['v0.15.1', { min: 1, max: 1 }, 'RawDeployment'],
    ['0.15', { min: 1, max: 2 }, 'Serverless'],
    ['1.0', { min: 1, max: 1 }, 'Standard'],
  ])('spells the mode for KServe %s and replicas %j as %s', (version, replicas, mode) => {
    const more = version === undefined ? {} : forKServe(version);
    expect(render({ replicas }, more).object).toMatchObject({
      metadata: { annotations: { 'serving.kserve.io/deploymentMode': mode } },
    });
  });

  it('gives back its object from its text, whatever the text of an event', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (tag, name) => {
        const plan = { ...planOf({}), revision: tag.toWellFormed(), storageUri: name.toWellFormed() };
        const { manifest, object } = renderInferenceService(plan);
        expect(parse(manifest)).toEqual(object);
        expect(parse(manifest, { version: '1.1' })).toEqual(object);
      }),
    );
  });

  it('renders the same bytes whatever the order of fields', () => {
    const container = { args: ['x'], env: [{ value: '1', name: 'A' }], command: ['y'] };
    const reversed = { command: ['y'], env: [{ name: 'A', value: '1' }], args: ['x'] };
    expect(render({ container }).manifest).toBe(render({ container: reversed }).manifest);
  });
});

describe('the spec hash', () => {
  it('stays where only scaling or the name of the policy changes', () => {
    expect(hash({ replicas: { min: 2 } })).toBe(hash({}));
    const renamed: Plan = { ...planOf({}), policy: 'renamed', policyRevision: 'x' };
    expect(hashOf(renderInferenceService(renamed).object)).toBe(hash({}));
  });

  it('changes with everything that KServe copies to pods, and with the commit', () => {
    const hashes = [
      hash({}),
      hash({}, { sha: 'b'.repeat(40) }),
      hash({ storage: { uri: 's3://other' } }),
      hash({ labels: { a: 'b' } }),
      hash({ annotations: { a: 'b' } }),
      hash({ container: { args: ['x'] } }),
      hash({ pod: { nodeSelector: { a: 'b' } } }),
    ];
    expect(new Set(hashes).size).toBe(hashes.length);
    expect(hashes.filter((each) => !/^[0-9a-f]{16}$/.test(String(each)))).toEqual([]);
  });
});

describe('readManaged', () => {
  const { manifest, object } = render({});
  const specHash = hashOf(object);

  it('reads back what was rendered, as YAML and as JSON', () => {
    const expected = {
      managed: true,
      documents: 1,
      repository: 'plain:ml/iris',
      target: { namespace: 'vision', name: 'iris' },
      revision: 'v1.0.0',
      sha: SHA,
      specHash,
      deploymentMode: 'Standard',
    };
    expect(readManaged(manifest)).toEqual(expected);
    expect(readManaged(JSON.stringify(object))).toEqual(expected);
  });

  it.each([
    ['another manager', manifest.replace('managed-by: modelhook', 'managed-by: Helm')],
    ['no label', manifest.replace(/.*managed-by.*\n/, '').replace('labels:', 'labels: {}')],
    ['several documents', `${manifest}---\nkind: ConfigMap\n`],
    ['broken YAML', `${manifest}  x: [`],
    ['nothing', ''],
    ['text', 'hello'],
    ['a list', '- a'],
  ])('knows that %s is not ours', (_name, text) => {
    expect(readManaged(text).managed).toBe(false);
  });

  it('takes any text', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => !readManaged(text).managed));
    fc.assert(fc.property(fc.json(), (text) => !readManaged(text).managed));
    const names: Json = { metadata: { labels: ['x'], annotations: 'y', name: 1 }, spec: null };
    expect(readManaged(JSON.stringify(names)).target).toBeNull();
  });
});

describe('withMode', () => {
  it.each([
    ['0.20', 'Knative', 'Standard'],
    ['0.15', 'Serverless', 'RawDeployment'],
  ])(
    'makes of a manifest for KServe %s what would have been rendered in the other mode',
    (version, _, other) => {
      const spec = { replicas: { min: 1, max: 3 }, labels: { a: 'b' }, container: { args: ['x'] } };
      const wanted = render({ ...spec, deploymentMode: 'Standard' }, forKServe(version)).manifest;
      const taken = withMode(render(spec, forKServe(version)).manifest, 'Standard');
      expect(taken).toBe(wanted);
      expect(taken).toContain(`serving.kserve.io/deploymentMode: ${other}`);
      expect(withMode(wanted, 'Standard')).toBe(wanted);
    },
  );
});

it('leaves out what is null, and lets no pod take the place of what is rendered', () => {
  const plan = planOf({ pod: { nodeSelector: null }, container: { env: null } });
  expect(renderInferenceService(plan).object).toEqual(render({}).object);
  const hostile = { ...plan, pod: { minReplicas: 5, model: {} } };
  expect(renderInferenceService(hostile).object).toEqual(render({}).object);
});
