/** What a plan needs to know of a cluster, kept by watches: runtimes, KServe's version, its CRD and its settings. */
import { reduceCrd } from '../core/crd.ts';
import { type Fault, messageOf } from '../core/errors.ts';
import { isJsonObject, type Json, type JsonObject, parseJson, valueAt } from '../core/json.ts';
import { isKServeVersion, modeOfName } from '../core/kserve.ts';
import { readRuntime, type ServingRuntime } from '../core/runtime-catalogue.ts';
import type { Structure } from '../core/structure.ts';
import type { YamlDocument } from '../core/yaml-source.ts';
import { type ClusterCatalogue, ClusterUnavailableError, type KServeSettings } from './cluster.ts';
import { keyOf } from './list-watch.ts';
import {
  CLUSTER_RUNTIMES,
  CONFIG_MAPS,
  CRD_IS_GONE,
  CRD_LEAVES,
  CRDS,
  DEPLOYMENTS,
  INFERENCE_SERVICE_CRD,
  KSERVE_CONFIG,
  KSERVE_CONTROLLER,
  RUNTIMES,
} from './resources.ts';
import { makeSource, type Source, troubleOf, type WatchOptions } from './source.ts';

/** A value of each object that is watched, and what could not be read of it. */
interface Facts<T> {
  values: Map<string, { value: T | null; warnings: string[] }>;
  sink: Source['sink'];
}

export function createCatalogue({
  name,
  namespaces,
  kserveNamespace,
  now,
  changed,
  ofKnative,
}: WatchOptions & { changed: () => void; ofKnative: readonly Source[] }): {
  catalogue: ClusterCatalogue;
  sources: Source[];
  /** Its trouble is that KServe's CRD goes: whoever sees services deleted then must not take that for people's doing. */
  removal: Pick<Source, 'trouble'>;
} {
  const everywhere = { namespace: null, name: null };
  const places = namespaces.length === 0 ? [null] : namespaces;
  const own = places.map((namespace) => {
    const facts = factsOf(readFrom('ServingRuntime'), changed);
    return { namespace, facts, source: makeSource(RUNTIMES, { namespace, name: null }, facts.sink) };
  });
  const shared = factsOf(readFrom('ClusterServingRuntime'), changed);
  const crd = factsOf(readCrd, changed);
  const settings = factsOf(readSettings, changed);
  const controller = factsOf(readControllerVersion, changed);

  const sharedSource = makeSource(CLUSTER_RUNTIMES, everywhere, shared.sink);
  const removal: Pick<Source, 'trouble'> = { trouble: null };
  const noteRemoval = (words: typeof CRD_LEAVES | null): void => {
    const problem = words && { ...words, kind: 'missing' as const, detail: null, retryAfter: null };
    const since = removal.trouble?.since ?? now();
    removal.trouble = problem && { since, error: new ClusterUnavailableError(`cluster ${name}`, problem) };
  };
  const crdSource = makeSource(
    CRDS,
    { namespace: null, name: INFERENCE_SERVICE_CRD },
    {
      put: (object) => {
        noteRemoval(valueAt(object, ['metadata', 'deletionTimestamp']) === undefined ? null : CRD_LEAVES);
        crd.sink.put(object);
      },
      drop: (object) => {
        noteRemoval(CRD_IS_GONE);
        crd.sink.drop(object);
      },
      keepOnly: (keys) => {
        if (crd.values.size > keys.size) noteRemoval(CRD_IS_GONE);
        crd.sink.keepOnly(keys);
      },
    },
  );
  const settingsSource = makeSource(
    CONFIG_MAPS,
    { namespace: kserveNamespace, name: KSERVE_CONFIG },
    settings.sink,
  );
  const controllerSource = makeSource(
    DEPLOYMENTS,
    { namespace: kserveNamespace, name: KSERVE_CONTROLLER },
    controller.sink,
  );
  const commonSources = [sharedSource, crdSource, settingsSource, controllerSource];

  const catalogue: ClusterCatalogue = {
    knowledge: (namespace) => {
      const visible = own.filter((place) => place.namespace === null || place.namespace === namespace);
      const sources = [...visible.map(({ source }) => source), ...commonSources];
      const facts = [...visible.map((place) => place.facts), shared, crd, settings, controller];
      const runtimesListed =
        visible.length > 0 && visible.every(({ source }) => source.listed) && sharedSource.listed;
      const trouble = troubleOf(name, sources, now());
      return {
        complete: [...sources, ...ofKnative].every(hasAnswered),
        runtimes: runtimesListed
          ? {
              source: `cluster ${name}`,
              runtimes: [...visible.flatMap((place) => valuesOf(place.facts)), ...valuesOf(shared)].filter(
                (runtime) => runtime.namespace === null || runtime.namespace === namespace,
              ),
            }
          : null,
        kserveVersion: valuesOf(controller)[0] ?? valuesOf(crd)[0]?.version ?? null,
        structure: valuesOf(crd)[0]?.structure ?? null,
        settings: valuesOf(settings)[0] ?? null,
        knative: isInstalled(ofKnative),
        warnings: [
          ...(trouble === null ? [] : [trouble.message]),
          ...facts.flatMap(({ values }) => [...values.values()].flatMap(({ warnings }) => warnings)),
        ],
      };
    },
  };
  return { catalogue, sources: [...own.map(({ source }) => source), ...commonSources], removal };
}

const hasAnswered = ({ listed, trouble }: Source): boolean => listed || trouble !== null;

function isInstalled(kinds: readonly Source[]): boolean | null {
  const listed = kinds.filter((kind) => kind.listed);
  return listed.length === 0 ? null : listed.some(({ absent }) => !absent);
}

const valuesOf = <T>({ values }: Facts<T>): T[] => [...values.values()].flatMap(({ value }) => value ?? []);

function factsOf<T>(
  read: (object: JsonObject, warn: (text: string) => void) => T | null,
  changed: () => void,
): Facts<T> {
  const values: Facts<T>['values'] = new Map();
  return {
    values,
    sink: {
      put: (object) => {
        const warnings: string[] = [];
        values.set(keyOf(object), { value: read(object, (text) => warnings.push(text)), warnings });
        changed();
      },
      drop: (object) => {
        if (values.delete(keyOf(object))) changed();
      },
      keepOnly: (keys) => {
        const gone = [...values.keys()].filter((key) => !keys.has(key));
        for (const key of gone) values.delete(key);
        if (gone.length > 0) changed();
      },
    },
  };
}

/** Objects of a list do not say their kind. */
const readFrom =
  (kind: ServingRuntime['kind']) =>
  (object: JsonObject, warn: (text: string) => void): ServingRuntime | null => {
    const faults: Fault[] = [];
    const runtime = readRuntime('', documentOf({ ...object, kind }), faults);
    for (const { message } of faults)
      warn(`${kind} ${keyOf(object).replace(/^\//, '')} cannot be used: ${message}`);
    return runtime === null ? null : { ...runtime, source: null };
  };

/** There is no file, so no line. */
function documentOf(value: Json): YamlDocument {
  const nowhere = () => ({ line: 1, column: 1 });
  return { value, at: nowhere, atKey: nowhere, atText: nowhere };
}

interface CrdFacts {
  structure: Structure | null;
  version: string | null;
}

function readCrd(object: JsonObject, warn: (text: string) => void): CrdFacts {
  const label = valueAt(object, ['metadata', 'labels', 'app.kubernetes.io/version']);
  const version = typeof label === 'string' && isKServeVersion(label) ? label : null;
  try {
    return { structure: reduceCrd({ ...object, kind: 'CustomResourceDefinition' }), version };
  } catch (error) {
    warn(messageOf(error));
    return { structure: null, version };
  }
}

/** KServe tags the image of its controller with its version. Another image's tag may be another product's version. */
const CONTROLLER_IMAGE = /(?:^|\/)kserve-controller(?:-[\w-]+)?:([^@:/]+)(?:@|$)/;

function readControllerVersion(object: JsonObject): string | null {
  const containers = valueAt(object, ['spec', 'template', 'spec', 'containers']);
  for (const container of Array.isArray(containers) ? containers : []) {
    const tag = CONTROLLER_IMAGE.exec(String(valueAt(container, ['image'])))?.[1];
    if (tag !== undefined && isKServeVersion(tag)) return tag;
  }
  return null;
}

function readSettings(object: JsonObject, warn: (text: string) => void): KServeSettings {
  const section = (key: string): JsonObject => {
    const text = valueAt(object, ['data', key]);
    if (typeof text !== 'string') return {};
    const value = parseJson(text);
    if (isJsonObject(value)) return value;
    warn(`${key} of the ConfigMap ${keyOf(object)} is no JSON object, so KServe cannot read it either`);
    return {};
  };
  const deploy = section('deploy');
  return { defaultDeploymentMode: modeOfName(String(deploy['defaultDeploymentMode'] ?? '')) };
}
