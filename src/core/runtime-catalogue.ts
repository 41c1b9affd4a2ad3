/** KServe's ServingRuntime and ClusterServingRuntime, reduced to what choosing one needs. */
import { z } from 'zod';
import type { Fault } from './errors.ts';
import type { JsonObject } from './json.ts';
import { listNames } from './nearest.ts';
import { check } from './schema-faults.ts';
import type { YamlDocument } from './yaml-source.ts';

export interface SupportedFormat {
  name: string;
  version: string | null;
  autoSelect: boolean;
  priority: number;
}

export interface ServingRuntime {
  kind: 'ServingRuntime' | 'ClusterServingRuntime';
  name: string;
  /** null for a ClusterServingRuntime */
  namespace: string | null;
  /** Label `cpaas.io/runtime-class` */
  class: string | null;
  disabled: boolean;
  formats: readonly SupportedFormat[];
  /** Empty: every protocol, as KServe reads it. */
  protocolVersions: readonly string[];
  /** Spread over several nodes (`workerSpec`); KServe picks such a one only for a predictor with a workerSpec. */
  multiNode: boolean;
  /** ModelMesh's kind, which KServe never picks for one model. */
  multiModel: boolean;
  containers: readonly JsonObject[];
  /** Where it was defined, for messages about two of the same name. */
  source: { file: string; line: number; column: number } | null;
}

/** Where runtimes are looked up: the files of the config repository, or a cluster. */
export interface RuntimeCatalogue {
  /** How messages call it, such as `the runtime catalogue`. */
  source: string;
  runtimes: readonly ServingRuntime[];
}

/** @returns a format as messages name it */
export const formatText = ({
  name,
  version,
}: {
  name: string;
  version?: string | null | undefined;
}): string => (version ? `${name} ${version}` : name);

/** @returns what a runtime supports, as messages list it */
export const listFormats = ({ formats }: ServingRuntime): string =>
  listNames([...new Set(formats.map(formatText))]) || 'no format';

const text = z.string({ error: 'expected text; put it in quotes' });

/** KServe's own, checked loosely: only what is read must have the right shape. */
const schema = z.object({
  kind: z.literal(['ServingRuntime', 'ClusterServingRuntime']),
  metadata: z.object({
    name: z.string().min(1),
    namespace: z.string().nullish(),
    labels: z.record(z.string(), z.unknown()).nullish(),
  }),
  spec: z.object({
    disabled: z.boolean().nullish(),
    supportedModelFormats: z
      .array(
        z.object({
          name: z.string(),
          version: text.nullish(),
          autoSelect: z.boolean().nullish(),
          priority: z.int().nullish(),
        }),
      )
      .nullish(),
    protocolVersions: z.array(z.string()).nullish(),
    multiModel: z.boolean().nullish(),
    workerSpec: z.unknown().optional(),
    containers: z.array(z.record(z.string(), z.unknown())).nullish(),
  }),
});

/** @returns the runtime a document defines; null, and faults, where it is none */
export function readRuntime(file: string, document: YamlDocument, faults: Fault[]): ServingRuntime | null {
  const found = check(schema, file, document, faults);
  if (found === null) return null;
  const { kind, metadata, spec } = found;
  const position = document.at(['metadata', 'name']);
  if (kind === 'ServingRuntime' && !metadata.namespace) {
    const message =
      'metadata.namespace: a ServingRuntime belongs to a namespace; name it, or make it a ClusterServingRuntime';
    faults.push({ file, ...position, message });
    return null;
  }
  const label = metadata.labels?.['cpaas.io/runtime-class'];
  return {
    kind,
    name: metadata.name,
    namespace: kind === 'ServingRuntime' ? (metadata.namespace ?? null) : null,
    class: typeof label === 'string' ? label : null,
    disabled: spec.disabled ?? false,
    formats: (spec.supportedModelFormats ?? []).map((format) => ({
      name: format.name,
      version: format.version ?? null,
      autoSelect: format.autoSelect ?? false,
      priority: format.priority ?? 0,
    })),
    protocolVersions: spec.protocolVersions ?? [],
    multiNode: spec.workerSpec !== undefined && spec.workerSpec !== null,
    multiModel: spec.multiModel ?? false,
    containers: (spec.containers ?? []) as JsonObject[],
    source: { file, ...position },
  };
}
