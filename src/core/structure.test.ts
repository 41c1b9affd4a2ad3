import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Json, JsonObject } from './json.ts';
import { KSERVE_0_20 } from './kserve-structure.ts';
import { checkStructure, nodeAt, type Structure } from './structure.ts';
import { MORE_FAULTS } from './yaml-source.ts';

const POD = ['spec', 'predictor'];
const CONTAINER = ['spec', 'predictor', 'model'];

const service = (predictor: JsonObject): JsonObject => ({
  apiVersion: 'serving.kserve.io/v1beta1',
  kind: 'InferenceService',
  metadata: { name: 'iris', namespace: 'vision', labels: { team: 'ml' }, annotations: {} },
  spec: { predictor },
});

const VALID = service({
  minReplicas: 1,
  nodeSelector: { 'nvidia.com/gpu.product': 'A100' },
  tolerations: [{ key: 'nvidia.com/gpu', operator: 'Exists', tolerationSeconds: 30 }],
  deploymentStrategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 0, maxUnavailable: '25%' } },
  scaleMetric: 'cpu',
  volumes: [{ name: 'cache', emptyDir: { sizeLimit: '1Gi' } }],
  model: {
    modelFormat: { name: 'sklearn', version: '1' },
    storageUri: 's3://models/iris',
    args: ['--verbose'],
    env: [{ name: 'TOKEN', valueFrom: { secretKeyRef: { name: 'hub', key: 'token' } } }],
    ports: [{ containerPort: 8080 }],
    securityContext: { runAsNonRoot: true, capabilities: { drop: ['ALL'] } },
    resources: { requests: { cpu: '500m' }, limits: { cpu: 4, 'nvidia.com/gpu': 1 } },
  },
});

const messages = (value: Json, at: readonly string[]): string[] =>
  checkStructure(KSERVE_0_20, value, at).map(({ path, message }) => `${path.join('.')}: ${message}`);

describe('checkStructure', () => {
  it('finds nothing in a right InferenceService', () => {
    expect(checkStructure(KSERVE_0_20, VALID, [])).toEqual([]);
  });

  it('suggests the nearest name for an unknown field, at its key, and says nothing of what is below', () => {
    const value = service({ nodeSelectr: { gpu: 1 }, model: { env: [{ name: 'A', valeu: { b: 1 } }] } });
    expect(checkStructure(KSERVE_0_20, value, [])).toEqual([
      {
        path: ['spec', 'predictor', 'nodeSelectr'],
        message: 'unknown field "nodeSelectr"; did you mean "nodeSelector"?',
        atKey: true,
      },
      {
        path: ['spec', 'predictor', 'model', 'env', 0, 'valeu'],
        message: 'unknown field "valeu"; did you mean "value"?',
        atKey: true,
      },
    ]);
  });

  it('says where a field of the pod or of the container belongs', () => {
    expect(messages({ tolerations: [], readinessGates: [] }, CONTAINER)).toEqual([
      'tolerations: unknown field "tolerations"; it is a field of the pod',
      'readinessGates: unknown field "readinessGates"; it is a field of the pod',
    ]);
    expect(messages(service({ env: [] }), [])).toEqual([
      'spec.predictor.env: unknown field "env"; it is a field of the container',
    ]);
    expect(messages({ volumes: [{ name: 'a', env: [] }] }, POD)).toEqual([
      'volumes.0.env: unknown field "env"',
    ]);
  });

  it.each<[string, JsonObject, string]>([
    ['text', { schedulerName: 7 }, 'expected text, got the number 7; put it in quotes'],
    ['text in a map', { nodeSelector: { a: true } }, 'expected text, got the value true; put it in quotes'],
    ['a whole number', { minReplicas: 1.5 }, 'expected a whole number, got the number 1.5'],
    ['a whole number', { minReplicas: '1' }, 'expected a whole number, got "1"'],
    ['true or false', { hostIPC: 'yes' }, 'expected true or false, got "yes"'],
    ['a list', { tolerations: { key: 'a' } }, 'expected a list, got a map'],
    ['a map', { nodeSelector: ['a'] }, 'expected a map, got a list'],
    ['a map with fields', { affinity: 'x'.repeat(61) }, 'expected a map, got a long text'],
    ['a map with fields in a list', { tolerations: [null] }, 'expected a map, got nothing'],
    [
      'a quantity',
      { overhead: { cpu: 0.5 } },
      'expected text or a whole number, got the number 0.5; put it in quotes',
    ],
    [
      'one of some texts',
      { scaleMetric: 'cpus' },
      'expected one of cpu, memory, concurrency, rps, got "cpus"; did you mean "cpu"?',
    ],
    [
      'one of some texts',
      { scaleMetric: 1 },
      'expected one of cpu, memory, concurrency, rps, got the number 1',
    ],
  ])('wants %s where the CRD does', (_, pod, message) => {
    const faults = checkStructure(KSERVE_0_20, pod, POD);
    expect(faults).toEqual([{ path: expect.anything(), message, atKey: false }]);
  });

  it('names a single text that is allowed, and tells numbers from whole numbers', () => {
    const structure: Structure = {
      nodes: [
        { type: 'string', enum: ['on'] },
        { type: 'number' },
        { type: 'object', fields: { mode: 0, share: 1 } },
      ],
      root: 2,
    };
    expect(checkStructure(structure, { mode: 'on', share: 0.5 }, [])).toEqual([]);
    expect(checkStructure(structure, { mode: 'x', share: '1' }, []).map(({ message }) => message)).toEqual([
      'expected on, got "x"',
      'expected a number, got "1"',
    ]);
  });

  it('misses what is required, at the map that lacks it', () => {
    expect(checkStructure(KSERVE_0_20, { spec: {} }, [])).toEqual([
      { path: ['spec'], message: 'the field "predictor" is required', atKey: false },
    ]);
    expect(messages({ env: [{ value: 'x' }, { name: null }] }, CONTAINER)).toEqual([
      'env.0: the field "name" is required',
      'env.1: the field "name" is required',
    ]);
  });

  it('requires nothing at the top of a part, and everything below it', () => {
    const structure: Structure = {
      nodes: [
        { type: 'string' },
        { type: 'object', fields: { name: 0 }, required: ['name'] },
        { type: 'object', fields: { one: 1, name: 0 }, required: ['name'] },
        { type: 'object', fields: { part: 2 } },
      ],
      root: 3,
    };
    expect(checkStructure(structure, { one: {} }, ['part']).map(({ path }) => path)).toEqual([['one']]);
    expect(checkStructure(structure, { part: { one: {} } }, []).map(({ path }) => path)).toEqual([
      ['part', 'one'],
      ['part'],
    ]);
  });

  it('takes a null for a field left out', () => {
    expect(checkStructure(KSERVE_0_20, null, POD)).toEqual([]);
    expect(checkStructure(KSERVE_0_20, { nodeSelector: { a: null }, tolerations: null }, POD)).toEqual([]);
    expect(checkStructure(KSERVE_0_20, null, [])).toHaveLength(1);
  });

  it('checks metadata, and nothing of a status', () => {
    const metadata = { nmae: 'x', labels: { a: 1 }, finalizers: ['x'], ownerReferences: [{}] };
    expect(messages({ metadata, status: { a: [1] } }, [])).toEqual([
      'metadata.nmae: unknown field "nmae"; did you mean "name"?',
      'metadata.labels.a: expected text, got the number 1; put it in quotes',
    ]);
  });

  it('knows no field by the names every object has', () => {
    const hostile: Json = JSON.parse(
      '{"__proto__":{"a":1},"constructor":{},"toString":1,"hasOwnProperty":1}',
    );
    expect(messages(hostile, POD)).toEqual([
      '__proto__: unknown field "__proto__"',
      'constructor: unknown field "constructor"',
      'toString: unknown field "toString"',
      'hasOwnProperty: unknown field "hasOwnProperty"',
    ]);
    expect(checkStructure(KSERVE_0_20, { env: [hostile] }, CONTAINER)).toHaveLength(5);
  });

  it('finds the first hundred faults of a value that has many, and says that there are more', () => {
    const many = Object.fromEntries(Array.from({ length: 150 }, (_, index) => [`nodeNam${index}`, 1]));
    const faults = messages(many, POD);
    expect(faults).toHaveLength(101);
    expect(faults.filter((message) => message.endsWith('did you mean "nodeName"?'))).toHaveLength(100);
    expect(faults.at(-1)).toBe(`: ${MORE_FAULTS}`);
    expect(messages({ env: Array(1000).fill(1) }, CONTAINER)).toHaveLength(101);
  });

  it('throws for a place that no InferenceService has', () => {
    expect(() => checkStructure(KSERVE_0_20, {}, ['spec', 'constructor'])).toThrow('has no spec.constructor');
  });

  it('judges any value without throwing', () => {
    const key = fc.oneof(
      fc.constantFrom('spec', 'metadata', 'predictor', 'model', 'env', 'labels', 'name', '__proto__'),
      fc.string(),
    );
    const { value } = fc.letrec<{ value: Json }>((tie) => ({
      value: fc.oneof(
        { maxDepth: 8 },
        fc.jsonValue() as fc.Arbitrary<Json>,
        fc.dictionary(key, tie('value'), { noNullPrototype: true }),
        fc.array(tie('value')),
      ),
    }));
    fc.assert(
      fc.property(value, fc.constantFrom([], POD, CONTAINER), (any, at) => {
        for (const fault of checkStructure(KSERVE_0_20, any, at)) expect(fault.message).not.toBe('');
      }),
    );
  });

  it('names the right field for any known one that is misspelt by a letter', () => {
    const places = fieldsOf(VALID, []);
    expect(places.length).toBeGreaterThan(30);
    fc.assert(
      fc.property(fc.constantFrom(...places), fc.nat(), fc.constantFrom(...'qzQ'), (place, index, letter) => {
        const name = place.at(-1) ?? '';
        const at = index % name.length;
        const wrong = name.slice(0, at) + letter + name.slice(at + 1);
        fc.pre(wrong !== name);
        const faults = checkStructure(KSERVE_0_20, renamed(VALID, place, wrong), []);
        expect(faults).toEqual([
          {
            path: [...place.slice(0, -1).map((part) => (/^\d+$/.test(part) ? Number(part) : part)), wrong],
            message: `unknown field "${wrong}"; did you mean "${name}"?`,
            atKey: true,
          },
        ]);
      }),
    );
  });
});

/** The paths of all keys that are fields, not keys of a map. */
function fieldsOf(value: Json, path: string[]): string[][] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) => {
    const below = fieldsOf(item, [...path, key]);
    const isField =
      !Array.isArray(value) && !/^(?:labels|nodeSelector|limits|requests)$/.test(path.at(-1) ?? '');
    return isField ? [[...path, key], ...below] : below;
  });
}

/** A copy in which the key at a path has another name. */
function renamed(value: Json, [key, ...rest]: readonly string[], name: string): Json {
  const change = (own: string, item: Json): [string, Json] => {
    if (own !== key) return [own, item];
    return rest.length === 0 ? [name, item] : [own, renamed(item, rest, name)];
  };
  if (Array.isArray(value)) return value.map((item, index) => change(String(index), item)[1]);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([own, item]) => change(own, item)));
}

it('brings a structure along in which every reference has a node before it', () => {
  const { nodes, root } = KSERVE_0_20;
  expect(root).toBe(nodes.length - 1);
  for (const [number, node] of nodes.entries()) {
    const below = 'fields' in node ? Object.values(node.fields) : [];
    if (node.type === 'map') below.push(node.values);
    if (node.type === 'array') below.push(node.items);
    for (const other of below) expect(other).toBeLessThan(number);
  }
  expect(nodeAt(KSERVE_0_20, CONTAINER)).toMatchObject({ type: 'object' });
});
