/** The JSON Schemas of DeploymentPolicy and GpuProfile, from the zod schemas that check them. */
import { stringify } from 'yaml';
import { z } from 'zod';
import { gpuProfileSchema } from '../src/core/gpu-profile.ts';
import { policySchema } from '../src/core/policy-schema.ts';

export type JsonSchema = z.core.JSONSchema.JSONSchema;

/** @returns file names below config/schemas/, each with its JSON Schema (draft 2020-12) */
export const policyJsonSchemas = (): Record<'deployment-policy.json' | 'gpu-profile.json', JsonSchema> => ({
  'deployment-policy.json': toJsonSchema(policySchema),
  'gpu-profile.json': toJsonSchema(gpuProfileSchema),
});

function toJsonSchema(schema: z.ZodType): JsonSchema {
  const {
    title = '',
    description = '',
    ...rest
  }: JsonSchema = z.toJSONSchema(schema, {
    io: 'input',
    override: ({ jsonSchema }) => {
      foldNull(jsonSchema);
      // Editors show the description and seldom the default.
      if (jsonSchema.default !== undefined)
        jsonSchema.description += ` Default: \`${inYaml(jsonSchema.default)}\`.`;
      // What holds of every key and of every integer says nothing to a person.
      delete jsonSchema.propertyNames;
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
      if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
    },
  });
  return { title, description, ...rest };
}

/** One shape or null, as one shape that may be null: editors complete and explain it better than a choice of two. */
function foldNull(schema: JsonSchema): void {
  const [shape, none, ...others] = schema.anyOf ?? [];
  if (shape?.type === undefined || none?.type !== 'null' || others.length > 0) return;
  delete schema.anyOf;
  Object.assign(schema, { ...shape, ...schema }, { type: [shape.type, 'null'].flat() });
  if (shape.enum) schema.enum = [...shape.enum, null];
}

/** @returns a value as one writes it in YAML, on one line; within braces more texts need quotes than alone */
export const inYaml = (value: unknown): string =>
  stringify(value, { collectionStyle: typeof value === 'object' ? 'flow' : 'any', lineWidth: 0 }).trimEnd();
