/** Every file that is made of code, for the script that writes them and the test that compares them. */
import { readFileSync } from 'node:fs';
import { policyJsonSchemas } from './policy-json-schema.ts';
import { policyReference } from './policy-reference.ts';

/** @returns texts by their paths in the repository; JSON still has to be formatted */
export function generatedFiles(): Record<string, string> {
  const schemas = policyJsonSchemas();
  const example = readFileSync(new URL('policy-reference.yaml', import.meta.url), 'utf8');
  return {
    ...Object.fromEntries(
      Object.entries(schemas).map(([name, schema]) => [`config/schemas/${name}`, JSON.stringify(schema)]),
    ),
    'docs/policy-reference.md': policyReference(
      schemas['deployment-policy.json'],
      schemas['gpu-profile.json'],
      example,
    ),
  };
}
