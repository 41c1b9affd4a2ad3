import { describe, expect, it } from 'vitest';
import { reduceCrd } from './crd.ts';
import type { Json, JsonObject } from './json.ts';
import { nodeAt, type Structure } from './structure.ts';

const MODEL: Json = { type: 'object', properties: { storageUri: { type: 'string' } } };
const predictor = (fields: JsonObject): Json => ({
  type: 'object',
  properties: { predictor: { type: 'object', properties: { model: MODEL, ...fields } } },
});

const crd = (spec: Json, change: JsonObject = {}): JsonObject => ({
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'inferenceservices.serving.kserve.io' },
  spec: {
    group: 'serving.kserve.io',
    names: { kind: 'InferenceService', plural: 'inferenceservices' },
    versions: [
      { name: 'v1alpha2', schema: { openAPIV3Schema: { type: 'object' } } },
      {
        name: 'v1beta1',
        schema: {
          openAPIV3Schema: {
            type: 'object',
            properties: { apiVersion: { type: 'string' }, metadata: { type: 'object' }, spec, status: {} },
            required: ['spec'],
          },
        },
      },
    ],
    ...change,
  },
});

const reduce = (fields: JsonObject): Structure => reduceCrd(crd(predictor(fields)));

/** A node with what it refers to in place of the numbers. */
const shape = (structure: Structure, field: string): unknown => {
  const expand = (number: number): unknown => {
    const node = structure.nodes[number];
    if (node?.type === 'object')
      return {
        ...node,
        fields: Object.fromEntries(Object.entries(node.fields).map(([k, n]) => [k, expand(n)])),
      };
    if (node?.type === 'map') return { map: expand(node.values) };
    if (node?.type === 'array') return [expand(node.items)];
    return node?.type === 'string' && node.enum ? node.enum : node?.type;
  };
  const pod = nodeAt(structure, ['spec', 'predictor']);
  return pod?.type === 'object' ? expand(pod.fields[field] ?? -1) : null;
};

describe('reduceCrd', () => {
  it.each<[string, Json, unknown]>([
    ['text, without its pattern and default', { type: 'string', pattern: '^a', default: 'a' }, 'string'],
    ['one of some texts', { type: 'string', enum: ['b', 'a'] }, ['b', 'a']],
    ['a whole number', { type: 'integer', format: 'int32', minimum: 1 }, 'integer'],
    ['a number', { type: 'number' }, 'number'],
    ['a quantity', { anyOf: [], 'x-kubernetes-int-or-string': true }, 'int-or-string'],
    ['a list', { type: 'array', items: { type: 'boolean' }, 'x-kubernetes-list-type': 'set' }, ['boolean']],
    ['a map', { type: 'object', additionalProperties: { type: 'integer' } }, { map: 'integer' }],
    ['a map of anything', { type: 'object', additionalProperties: true }, { map: 'any' }],
    ['a map without fields', { type: 'object' }, { type: 'object', fields: {} }],
    [
      'what keeps unknown fields',
      { type: 'object', properties: { a: { type: 'string' } }, 'x-kubernetes-preserve-unknown-fields': true },
      'any',
    ],
    ['what has no type', { description: 'x' }, 'any'],
    ['what is no schema', 'string', 'any'],
    [
      'fields, and which are required',
      {
        type: 'object',
        description: 'x',
        properties: { name: { type: 'string' }, key: { type: 'string' } },
        required: ['name', 'key'],
      },
      { type: 'object', fields: { key: 'string', name: 'string' }, required: ['key', 'name'] },
    ],
    [
      'a required field with a default, which is never missing',
      { type: 'object', properties: { name: { type: 'string', default: '' } }, required: ['name'] },
      { type: 'object', fields: { name: 'string' } },
    ],
  ])('reads %s', (_, schema, expected) => {
    expect(shape(reduce({ field: schema }), 'field')).toEqual(expected);
  });

  it('stores equal parts once', () => {
    const container = {
      type: 'object',
      properties: { image: { type: 'string' }, port: { type: 'integer' } },
    };
    const one = reduce({ a: container });
    const two = reduce({ a: container, b: { ...container, description: 'the same' } });
    expect(two.nodes).toHaveLength(one.nodes.length);
  });

  it('makes the same bytes of a CRD that a cluster shows in another order, with a status', () => {
    const reversed = (value: Json): Json => {
      if (Array.isArray(value)) return value.map(reversed);
      if (typeof value !== 'object' || value === null) return value;
      const entries = Object.entries(value).reverse();
      return Object.fromEntries(entries.map(([key, item]) => [key, reversed(item)]));
    };
    const released = crd(
      predictor({ a: { type: 'string' }, b: { type: 'array', items: { type: 'integer' } } }),
    );
    const shown = { ...released, metadata: { uid: '1', managedFields: [] }, status: { conditions: [] } };
    expect(JSON.stringify(reduceCrd(reversed(shown)))).toBe(JSON.stringify(reduceCrd(released)));
  });

  it('keeps fields with the names of what every object has', () => {
    const properties: Json = JSON.parse('{"__proto__":{"type":"string"},"constructor":{"type":"integer"}}');
    const structure = reduce({ a: { type: 'object', properties } });
    expect(JSON.stringify(shape(structure, 'a'))).toBe(
      '{"type":"object","fields":{"__proto__":"string","constructor":"integer"}}',
    );
  });

  it('keeps what is required of the whole', () => {
    expect(nodeAt(reduce({}), [])).toMatchObject({ required: ['spec'] });
  });

  it('knows the fields of metadata, and lets a status be anything', () => {
    const structure = reduce({});
    expect(nodeAt(structure, ['metadata', 'labels'])).toMatchObject({ type: 'map' });
    expect(nodeAt(structure, ['status', 'url'])).toEqual({ type: 'any' });
  });
});

describe('reduceCrd refuses', () => {
  const minimal = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  const deep = Array.from({ length: 100 }).reduce<Json>((items) => ({ type: 'array', items }), {});

  it.each<[string, Json, RegExp]>([
    [
      'what is no map',
      ['x'],
      /^this is no Kubernetes object, not a CustomResourceDefinition; give what "kubectl/,
    ],
    ['another kind of object', { kind: 'Pod' }, /^this is of kind Pod, not a CustomResourceDefinition/],
    [
      'the CRD of another kind',
      crd({}, { names: { kind: 'LLMInferenceService' } }),
      /^this is the CRD of LLMInferenceService \(serving\.kserve\.io\), not of InferenceService/,
    ],
    [
      'the CRD of another group',
      crd({}, { group: 'example.com' }),
      /InferenceService \(example\.com\), not of/,
    ],
    [
      'a CRD without v1beta1',
      crd({}, { versions: [{ name: 'v1alpha2' }] }),
      /has no version v1beta1, only v1alpha2; give the CRD of a KServe that has serving\.kserve\.io\/v1beta1/,
    ],
    ['a CRD without versions', crd({}, { versions: null }), /has no version v1beta1, only none/],
    ['the minimal CRD', crd(minimal), /minimal CRD is such a one.*; give the full one: config\/crd\/full/],
    [
      'a CRD that names no fields of spec',
      crd({ type: 'object' }),
      /does not say what spec\.predictor\.model/,
    ],
    ['a version without a schema', crd({}, { versions: [{ name: 'v1beta1' }] }), /does not say what/],
    ['a schema without an end in sight', crd(predictor({ deep })), /nested more than 64 levels deep/],
  ])('%s', (_, given, message) => {
    expect(() => reduceCrd(given)).toThrow(
      expect.objectContaining({ name: 'StalledError', message: expect.stringMatching(message) }),
    );
  });
});
