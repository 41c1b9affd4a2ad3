/** Files that are made of code are up to date, and what they tell people is true. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { generatedFiles } from '../../scripts/generated-files.ts';
import { type JsonSchema, policyJsonSchemas } from '../../scripts/policy-json-schema.ts';
import { fieldsOf } from '../../scripts/policy-reference.ts';
import { gpuProfileSchema } from '../../src/core/gpu-profile.ts';
import { loadGood, only, policyText } from '../../src/core/policy.fixture.ts';
import { policySchema } from '../../src/core/policy-schema.ts';
import { TEMPLATE_VARIABLES } from '../../src/core/template.ts';

const read = (path: string): string =>
  readFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)), 'utf8');

const SCHEMAS = policyJsonSchemas();
const [POLICY, PROFILE] = parseAllDocuments(read('scripts/policy-reference.yaml')).map((document) =>
  document.toJS(),
);
const KINDS = [
  { kind: 'DeploymentPolicy', json: SCHEMAS['deployment-policy.json'], zod: policySchema, example: POLICY },
  { kind: 'GpuProfile', json: SCHEMAS['gpu-profile.json'], zod: gpuProfileSchema, example: PROFILE },
];
const accepts = (json: JsonSchema, value: unknown): boolean =>
  z.fromJSONSchema(json).safeParse(value).success;

/** Every property in a JSON Schema, wherever it stands. */
function propertiesIn(schema: unknown, path = ''): { path: string; property: JsonSchema }[] {
  if (typeof schema !== 'object' || schema === null) return [];
  return Object.entries(schema).flatMap(([key, value]) => [
    ...(key === 'properties' && !path.endsWith('/properties')
      ? Object.entries<JsonSchema>(value).map(([name, property]) => ({ path: `${path}/${name}`, property }))
      : []),
    ...propertiesIn(value, `${path}/${key}`),
  ]);
}

/** @returns a copy with the value at the path, and maps on the way to it */
function withValue(object: unknown, [key = '', ...rest]: readonly string[], value: unknown): object {
  const copy: Record<string, unknown> = { ...Object(object) };
  copy[key] = rest.length === 0 ? value : withValue(copy[key], rest, value);
  return copy;
}

describe('generated files', () => {
  test.each(Object.entries(generatedFiles()))('%s is what the code makes', (path, text) => {
    const how = `${path} is out of date: run npm run generate`;
    // Biome formats JSON, which changes no meaning.
    if (path.endsWith('.json')) expect(JSON.parse(read(path)), how).toEqual(JSON.parse(text));
    else expect(read(path), how).toBe(text);
  });
});

describe.each(KINDS)('the JSON Schema of $kind', ({ kind, json, example }) => {
  const properties = propertiesIn(json);

  test('says what the kind is', () => {
    expect(json).toMatchObject({ title: kind, description: expect.stringMatching(/\.$/) });
  });

  test('describes every property at every depth, with an example', () => {
    expect(properties.length).toBeGreaterThanOrEqual(fieldsOf(json).length);
    const bare = properties.filter(
      ({ property: { description, examples = [] } }) => !description || examples.length === 0,
    );
    expect(bare.map(({ path }) => path)).toEqual([]);
  });

  test('takes no unknown field', () => {
    const open = [{ path: '', property: json }, ...properties].filter(
      ({ property }) => property.properties !== undefined && property.additionalProperties !== false,
    );
    expect(open.map(({ path }) => path)).toEqual([]);
  });

  test('takes the example of the reference, which states every field', () => {
    expect(accepts(json, example)).toBe(true);
    const stated = (path: string): boolean => {
      const parent = path.split('.').slice(0, -1);
      const at = parent.reduce<unknown>((value, key) => Reflect.get(Object(value), key), example);
      // Null beside its alternative: the fields below have no place.
      return at === null || Object.hasOwn(Object(at), path.split('.').at(-1) ?? '');
    };
    expect(
      fieldsOf(json)
        .map(({ path }) => path)
        .filter((path) => !stated(path)),
    ).toEqual([]);
  });
});

describe.each(KINDS)('every field of $kind', ({ json, zod, example }) => {
  const fields = fieldsOf(json);

  test.each(fields)('$path has examples and a default that fit', ({ schema }) => {
    const { examples = [], default: byDefault = examples[0] } = schema;
    expect([...examples, byDefault].filter((value) => !accepts(schema, value))).toEqual([]);
  });

  test('is taken or refused by the JSON Schema as it is by validate', () => {
    const editor = z.fromJSONSchema(json);
    const values = [
      null,
      true,
      '',
      'x',
      '7',
      '10m',
      '25%',
      0,
      1,
      -1,
      1.5,
      [],
      ['x'],
      [''],
      {},
      { x: 1 },
      { x: null },
    ];
    const differences = fields
      .flatMap(({ path }) => values.map((value) => ({ path, value })))
      .filter(({ path, value }) => {
        const document = withValue(example, path.split('.'), value);
        return editor.safeParse(document).success !== zod.safeParse(document).success;
      });
    expect(differences).toEqual([]);
  });
});

describe('a default', () => {
  const policy = JSON.parse(
    policyText({
      match: { repositories: ['plain:ml/**'], tags: ['v*'], branches: ['main'] },
      gpu: { resources: { 'nvidia.com/gpu': 1 } },
    }),
  );
  const defaults = fieldsOf(SCHEMAS['deployment-policy.json']).filter(({ schema }) => 'default' in schema);
  const meaning = (path: string, value: unknown): object => {
    const text = JSON.stringify(withValue(policy, path.split('.'), value));
    return { ...only(loadGood(text)), defaulted: null, source: null };
  };

  test.each(defaults)('of $path means the same stated as left out', ({ path, schema }) => {
    expect(meaning(path, schema.default)).toEqual(meaning(path, undefined));
  });
});

test('the reference explains every template variable', () => {
  const page = read('docs/policy-reference.md');
  expect(TEMPLATE_VARIABLES.filter((name) => !page.includes(`| \`\${${name}}\` |`))).toEqual([]);
});
