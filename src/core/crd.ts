/** What KServe's CustomResourceDefinition says about the fields of an InferenceService, made small. */
import { parse } from 'yaml';
import { messageOf, StalledError } from './errors.ts';
import { isJsonObject, type Json } from './json.ts';
import { nodeAt, type Structure, type StructureNode } from './structure.ts';

const GROUP = 'serving.kserve.io';
const KIND = 'InferenceService';
const VERSION = 'v1beta1';
/** KServe's own schema is 16 levels deep. */
const MAX_DEPTH = 64;
const GET_CRD = `give what "kubectl get crd inferenceservices.${GROUP} -o yaml" prints`;

/** A CRD leaves metadata to the API server. Source: ObjectMeta of Kubernetes' API. */
const TEXT: Json = { type: 'string' };
const TEXTS: Json = { type: 'object', additionalProperties: TEXT };
const OBJECT_META: Json = {
  type: 'object',
  properties: {
    annotations: TEXTS,
    creationTimestamp: TEXT,
    deletionGracePeriodSeconds: { type: 'integer' },
    deletionTimestamp: TEXT,
    finalizers: { type: 'array', items: TEXT },
    generateName: TEXT,
    generation: { type: 'integer' },
    labels: TEXTS,
    managedFields: {},
    name: TEXT,
    namespace: TEXT,
    ownerReferences: {},
    resourceVersion: TEXT,
    selfLink: TEXT,
    uid: TEXT,
  },
};

/**
 * Reads the CRD from a file as KServe releases it, or as kubectl prints it.
 * @param text YAML or JSON
 * @throws {StalledError} what it is given is no such CRD, or no YAML
 */
export function parseCrd(text: string): Structure {
  let crd: Json;
  try {
    // Not readYaml: KServe's CRD is twice as large as the largest policy may be.
    crd = parse(text, { maxAliasCount: 0, logLevel: 'error', prettyErrors: false });
  } catch (error) {
    throw new StalledError(
      `the CRD is not valid YAML: ${error instanceof RangeError ? 'it is nested too deeply' : messageOf(error)}`,
      GET_CRD,
      { cause: error },
    );
  }
  return reduceCrd(crd);
}

/**
 * Reduces the CRD of InferenceService to the structure of its version v1beta1.
 * @param crd the CRD as data, as KServe releases it or as a cluster shows it
 * @returns the same structure, its keys in the same order, for the same CRD. `status` is any, as KServe writes it
 * @throws {StalledError} what it is given is no such CRD, or one that accepts any spec
 */
export function reduceCrd(crd: Json): Structure {
  const schema = schemaOf(crd);
  const nodes: StructureNode[] = [];
  const numbers = new Map<string, number>();
  const store = (node: StructureNode): number => {
    const text = JSON.stringify(node);
    const number = numbers.get(text) ?? nodes.push(node) - 1;
    numbers.set(text, number);
    return number;
  };
  const reduce = (part: Json | undefined, depth: number): number => {
    if (depth > MAX_DEPTH)
      throw new StalledError(`the schema of the CRD is nested more than ${MAX_DEPTH} levels deep`, GET_CRD);
    return store(nodeOf(part, (below) => reduce(below, depth + 1)));
  };
  const root = reduce(
    {
      type: 'object',
      properties: {
        apiVersion: TEXT,
        kind: TEXT,
        metadata: OBJECT_META,
        spec: get(get(schema, 'properties'), 'spec') ?? {},
        status: {},
      },
      required: get(schema, 'required') ?? [],
    },
    0,
  );
  const structure = { nodes, root };
  if (nodeAt(structure, ['spec', 'predictor', 'model'])?.type !== 'object')
    throw new StalledError(
      `this CRD does not say what spec.predictor.model of an ${KIND} holds, so nothing can be checked against it; ` +
        "KServe's minimal CRD is such a one, for it accepts any spec",
      `give the full one: config/crd/full/${GROUP}_inferenceservices.yaml of KServe's repository, at the tag of your version`,
    );
  return structure;
}

/** Keys come from a file, so only a field of its own is one. */
const get = (value: Json | undefined, key: string): Json | undefined =>
  isJsonObject(value) && Object.hasOwn(value, key) ? value[key] : undefined;

function schemaOf(crd: Json): Json | undefined {
  const kind = get(crd, 'kind');
  if (kind !== 'CustomResourceDefinition')
    throw new StalledError(
      `this is ${typeof kind === 'string' ? `of kind ${kind}` : 'no Kubernetes object'}, not a CustomResourceDefinition`,
      GET_CRD,
    );
  const spec = get(crd, 'spec');
  const group = String(get(spec, 'group'));
  const defined = String(get(get(spec, 'names'), 'kind'));
  if (group !== GROUP || defined !== KIND)
    throw new StalledError(`this is the CRD of ${defined} (${group}), not of ${KIND} (${GROUP})`, GET_CRD);
  const list = get(spec, 'versions');
  const versions = Array.isArray(list) ? list : [];
  const version = versions.find((candidate) => get(candidate, 'name') === VERSION);
  if (version === undefined)
    throw new StalledError(
      `the CRD of ${KIND} has no version ${VERSION}, only ${versions.map((one) => get(one, 'name')).join(', ') || 'none'}`,
      `give the CRD of a KServe that has ${GROUP}/${VERSION}`,
    );
  return get(get(version, 'schema'), 'openAPIV3Schema');
}

/** A schema without what Kubernetes lets a CRD leave out says nothing, so it accepts anything. */
function nodeOf(schema: Json | undefined, reduce: (schema: Json | undefined) => number): StructureNode {
  if (get(schema, 'x-kubernetes-preserve-unknown-fields') === true) return { type: 'any' };
  if (get(schema, 'x-kubernetes-int-or-string') === true) return { type: 'int-or-string' };
  const type = get(schema, 'type');
  switch (type) {
    case 'object':
      return objectOf(schema, reduce);
    case 'array':
      return { type, items: reduce(get(schema, 'items')) };
    case 'string':
      return textOf(get(schema, 'enum'));
    case 'boolean':
    case 'integer':
    case 'number':
      return { type };
    default:
      return { type: 'any' };
  }
}

function objectOf(schema: Json | undefined, reduce: (schema: Json | undefined) => number): StructureNode {
  const values = get(schema, 'additionalProperties');
  if (values !== undefined && values !== false) return { type: 'map', values: reduce(values) };
  const properties = get(schema, 'properties');
  const names = isJsonObject(properties) ? Object.keys(properties).sort() : [];
  const fields = Object.fromEntries(names.map((name) => [name, reduce(get(properties, name))]));
  // Defaults are filled in before anything is validated, so what has one is never missing.
  const required = texts(get(schema, 'required'))
    .filter((name) => get(get(properties, name), 'default') === undefined)
    .sort();
  return required.length > 0 ? { type: 'object', fields, required } : { type: 'object', fields };
}

function textOf(values: Json | undefined): StructureNode {
  const allowed = texts(values);
  return allowed.length > 0 ? { type: 'string', enum: allowed } : { type: 'string' };
}

const texts = (value: Json | undefined): string[] =>
  Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
