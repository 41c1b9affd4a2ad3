/**
 * `conventions: alauda`: what Alauda AI's own KServe and console expect of an InferenceService, as the two Tekton
 * pipelines in its documentation make it. docs/from-tekton.md goes through them and says what is done otherwise here.
 */
import { StalledError } from './errors.ts';
import { isJsonObject, type Json, type JsonObject } from './json.ts';
import type { ChosenRuntime } from './runtime.ts';
import type { TemplateValues } from './template.ts';

/** Keys of the metadata that these conventions set. */
const LABEL_KEYS = [
  'aml-model-group',
  'aml-model-repo',
  'aml-model-subgroup',
  'aml-pipeline-tag',
  'aml.cpaas.io/runtime-type',
  'service.subdomain',
];
/** Without the deadline, which a large model may need longer. */
const ANNOTATION_KEYS = [
  'aml-model-repo',
  'aml-model-repo-branch',
  'aml-model-repo-id',
  'aml-model-repo-tag-commit',
  'aml-pipeline-tag',
  'cpaas.io/description',
];
export const ALAUDA_KEYS = { labels: LABEL_KEYS, annotations: ANNOTATION_KEYS } as const;

export interface AlaudaInput {
  /** As for the policy's templates, the target included. */
  values: TemplateValues;
  /** The forge's number of the repository; null: it has none */
  projectId: string | null;
  description: string;
  runtime: ChosenRuntime;
}

/** @returns labels and annotations as text; a label's may still have to be made a valid value */
export function alaudaMetadata({ values, projectId, description, runtime }: AlaudaInput): {
  labels: Record<string, string>;
  annotations: Record<string, string>;
} {
  const pipelineTag = values['modelCard.pipelineTag'];
  if (!pipelineTag)
    throw new StalledError(
      'the model card (README.md) has no pipeline_tag, and conventions: alauda labels the service with it',
      'add pipeline_tag to its front matter',
    );
  const repository = values['repository.name'] ?? '';
  const group = values['repository.group'] ?? '';
  return {
    labels: {
      'aml-model-group': group,
      'aml-model-repo': repository,
      'aml-model-subgroup': values['repository.subgroup'] ?? '',
      'aml-pipeline-tag': pipelineTag,
      'aml.cpaas.io/runtime-type': definitionOf(runtime).class ?? '',
      'service.subdomain': [values['target.name'], group].filter(Boolean).join('-'),
    },
    annotations: {
      'aml-model-repo': repository,
      'aml-model-repo-branch': values.branch ?? '',
      'aml-model-repo-id': projectId ?? '',
      'aml-model-repo-tag-commit': values.revision ?? '',
      'aml-pipeline-tag': pipelineTag,
      'cpaas.io/description': description,
      'serving.knative.dev/progress-deadline': '2400s',
    },
  };
}

/** What is missing without being a reason to fail. */
export function alaudaWarnings({ projectId, runtime }: AlaudaInput): string[] {
  return [
    projectId === null &&
      'the annotation aml-model-repo-id is empty: the forge has no number for the repository',
    definitionOf(runtime).class === null &&
      `the label aml.cpaas.io/runtime-type is empty: runtime ${runtime.name} has no label cpaas.io/runtime-class`,
  ].filter((warning) => warning !== false);
}

/**
 * Copies command, arguments and environment of the runtime's first container: Alauda AI's KServe takes them from the
 * InferenceService alone. What the policy says goes over them as it would in KServe: arguments are appended, variables
 * of one name replaced, a command replaces the whole.
 */
export function alaudaContainer(runtime: ChosenRuntime, policy: JsonObject): JsonObject {
  const [first = {}] = definitionOf(runtime).containers;
  const copied = {
    command: policy['command'] ?? first['command'],
    args: join(first['args'], policy['args']),
    env: mergeByName(first['env'], policy['env']),
  };
  const stated = Object.entries(copied).filter(
    (entry): entry is [string, Json] => entry[1] !== undefined && entry[1] !== null,
  );
  return { ...policy, ...Object.fromEntries(stated), name: 'kserve-container' };
}

function definitionOf(runtime: ChosenRuntime): NonNullable<ChosenRuntime['definition']> {
  if (runtime.definition !== null) return runtime.definition;
  throw new StalledError(
    `conventions: alauda copies command, arguments and environment from runtime ${runtime.name}, and there is neither a cluster to read nor a runtime catalogue`,
    'add the runtime (kubectl get clusterservingruntime -o yaml) to the policy directory',
  );
}

const join = (below: Json | undefined, above: Json | undefined): Json | undefined =>
  Array.isArray(below) && Array.isArray(above) ? [...below, ...above] : (above ?? below);

function mergeByName(below: Json | undefined, above: Json | undefined): Json | undefined {
  if (!Array.isArray(below) || !Array.isArray(above)) return above ?? below;
  const nameOf = (item: Json): Json => (isJsonObject(item) ? (item['name'] ?? null) : null);
  const replaced = below.map((item) => above.find((other) => nameOf(other) === nameOf(item)) ?? item);
  return [...replaced, ...above.filter((item) => !replaced.includes(item))];
}
