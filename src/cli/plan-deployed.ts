/** What is deployed, as a running controller tells it: `modelhook plan --from --to` judges a change by that. */
import { z } from 'zod';
import type { Deployed, KnownRef } from '../core/deployed.ts';
import { isJsonObject, type JsonObject } from '../core/json.ts';
import type { ModelCard } from '../core/model-card.ts';
import type { RuntimeCatalogue } from '../core/runtime-catalogue.ts';
import { ask, type ServerOptions } from './controller-api.ts';

const names = z.array(z.string());
const nullableText = z.string().nullable();

const cardSchema = z.object({
  library: nullableText,
  pipelineTag: nullableText,
  license: nullableText,
  tags: names,
  baseModel: names,
}) satisfies z.ZodType<ModelCard>;

const catalogueSchema = z.object({
  source: z.string(),
  runtimes: z.array(
    z.object({
      kind: z.enum(['ServingRuntime', 'ClusterServingRuntime']),
      name: z.string(),
      namespace: nullableText,
      class: nullableText,
      disabled: z.boolean(),
      formats: z.array(
        z.object({ name: z.string(), version: nullableText, autoSelect: z.boolean(), priority: z.number() }),
      ),
      protocolVersions: names,
      multiNode: z.boolean(),
      multiModel: z.boolean(),
      containers: z.array(z.custom<JsonObject>(isJsonObject)),
      source: z.object({ file: z.string(), line: z.number(), column: z.number() }).nullable(),
    }),
  ),
}) satisfies z.ZodType<RuntimeCatalogue>;

const deployedSchema = z.object({
  rolloutId: z.string(),
  repository: z.string(),
  ref: z.string(),
  sha: z.string(),
  policy: z.string(),
  target: z.object({ cluster: z.string(), namespace: z.string(), name: z.string() }),
  delivery: z.object({ gitops: nullableText, path: z.string() }).nullable().default(null),
  mode: z.enum(['Standard', 'Knative']).nullable().default(null),
  manifest: nullableText,
  waits: z.boolean(),
  inputs: z.object({
    modelCard: z.union([
      cardSchema,
      z.object({ unavailable: z.object({ reason: z.string(), fix: z.string() }) }),
    ]),
    kserve: z.object({ version: nullableText }),
    /** The name of a catalogue. */
    runtimes: nullableText,
    knative: z.boolean().nullable(),
    projectId: nullableText,
  }),
});

const answerSchema = z
  .object({
    deployed: z.array(deployedSchema),
    catalogues: z.record(z.string(), catalogueSchema),
    refs: z.array(z.object({ repository: z.string(), ref: z.string(), sha: z.string() })),
  })
  .refine(({ deployed, catalogues }) =>
    deployed.every(({ inputs: { runtimes } }) => runtimes === null || Object.hasOwn(catalogues, runtimes)),
  );

/** What is there already, for which a change of the policies may make a difference. */
export interface Present {
  deployed: Deployed[];
  refs: KnownRef[];
}

/** @throws CommandFailure where the controller is not reached, refuses the token, or is of another version */
export async function askDeployed(options: Pick<ServerOptions, 'server' | 'token'>): Promise<Present> {
  const { deployed, catalogues, refs } = await ask(options, '/api/v1/deployed', answerSchema);
  const withCatalogue = ({ inputs, ...each }: z.infer<typeof deployedSchema>): Deployed => ({
    ...each,
    inputs: { ...inputs, runtimes: inputs.runtimes === null ? null : (catalogues[inputs.runtimes] ?? null) },
  });
  return { deployed: deployed.map(withCatalogue), refs };
}
