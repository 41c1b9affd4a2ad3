/** Rules for `pod` and `container`, which are merged as they are: what is modelhook's own, and what is always refused. */
import { isJsonObject, type Json, type JsonObject } from './json.ts';
import { DNS_LABEL, isQualifiedKey, LABEL_VALUE } from './names.ts';
import { suggestion } from './nearest.ts';
import type { Report } from './schema-faults.ts';
import type { Path } from './yaml-source.ts';

/** Fields of spec.predictor and of its model that modelhook sets itself, with the policy field to use instead. */
const OWN_POD_FIELDS: Record<string, string> = {
  model: 'spec.container',
  minReplicas: 'spec.replicas',
  maxReplicas: 'spec.replicas',
  deploymentStrategy: 'spec.rollout',
  storageUris: 'spec.storage',
};
const OWN_CONTAINER_FIELDS: Record<string, string> = {
  modelFormat: 'spec.modelFormat',
  runtime: 'spec.runtime',
  protocolVersion: 'spec.protocolVersion',
  storageUri: 'spec.storage',
  storageUris: 'spec.storage',
  storage: 'spec.storage',
  resources: 'spec.resources',
};

/** Other ways to say which model is served: KServe takes one of them a predictor, and modelhook renders `model`. */
const OTHER_PREDICTORS = [
  'huggingface',
  'lightgbm',
  'onnx',
  'paddle',
  'pmml',
  'pytorch',
  'sklearn',
  'tensorflow',
  'triton',
  'xgboost',
];

/** Words that Kubernetes knows and the CRD does not list. `*` stands for the items of a list. */
const POD_WORDS: readonly [readonly string[], readonly string[]][] = [
  [['restartPolicy'], ['Always']],
  [['dnsPolicy'], ['ClusterFirst', 'ClusterFirstWithHostNet', 'Default', 'None']],
  [
    ['tolerations', '*', 'operator'],
    ['Exists', 'Equal', 'Lt', 'Gt'],
  ],
  [
    ['tolerations', '*', 'effect'],
    ['NoSchedule', 'PreferNoSchedule', 'NoExecute'],
  ],
];
const CONTAINER_WORDS: readonly [readonly string[], readonly string[]][] = [
  [['imagePullPolicy'], ['Always', 'IfNotPresent', 'Never']],
];

/** Checks fields of the predictor's pod, where a policy or a GPU profile has them. */
export function checkPod(pod: JsonObject, path: Path, fault: Report): void {
  checkOwn(pod, path, OWN_POD_FIELDS, fault);
  for (const field of OTHER_PREDICTORS.filter((name) => Object.hasOwn(pod, name)))
    fault([...path, field], 'modelhook renders the model itself; use spec.modelFormat and spec.container');
  checkWords(pod, path, POD_WORDS, fault);
  for (const field of ['labels', 'annotations', 'nodeSelector']) checkKeys(pod, field, path, fault);
  const concurrency = pod['containerConcurrency'];
  if (typeof concurrency === 'number' && concurrency < 0)
    fault([...path, 'containerConcurrency'], 'is 0, for no limit, or more');
  for (const [at, sidecar] of itemsOf(pod['containers']))
    if (isJsonObject(sidecar) && sidecar['name'] === 'kserve-container')
      fault(
        [...path, 'containers', at, 'name'],
        "is the name of the model's own container; use spec.container",
      );
}

/** Checks fields of the model's container. */
export function checkContainer(container: JsonObject, path: Path, fault: Report): void {
  checkOwn(container, path, OWN_CONTAINER_FIELDS, fault);
  if (Object.hasOwn(container, 'name'))
    fault([...path, 'name'], 'KServe refuses a name here: it names the container itself; remove it');
  checkWords(container, path, CONTAINER_WORDS, fault);
  for (const [at, variable] of itemsOf(container['env'])) {
    if (!isJsonObject(variable)) continue;
    if (variable['name'] === 'PYTHONPATH')
      fault([...path, 'env', at, 'name'], 'KServe refuses PYTHONPATH; set it in the image');
    if (typeof variable['value'] === 'string' && isJsonObject(variable['valueFrom']))
      fault([...path, 'env', at], 'has value and valueFrom; keep one of the two');
  }
}

function checkOwn(part: JsonObject, path: Path, own: Record<string, string>, fault: Report): void {
  for (const field of Object.keys(part)) {
    const instead = Object.hasOwn(own, field) ? own[field] : undefined;
    if (instead !== undefined) fault([...path, field], `modelhook sets this field itself; use ${instead}`);
  }
}

const itemsOf = (value: Json | undefined): [number, Json][] =>
  Array.isArray(value) ? [...value.entries()] : [];

function checkWords(
  part: JsonObject,
  path: Path,
  words: readonly [readonly string[], readonly string[]][],
  fault: Report,
): void {
  for (const [place, known] of words)
    for (const [at, value] of valuesAt(part, place))
      if (typeof value === 'string' && !known.includes(value))
        fault([...path, ...at], `expected ${known.join(' or ')}, got "${value}"${suggestion(value, known)}`);
}

/** @returns what stands at a place, with its path: several where the place leads through the items of a list */
function valuesAt(value: Json | undefined, [first, ...rest]: readonly string[]): [Path, Json][] {
  if (first === undefined) return value === undefined ? [] : [[[], value]];
  const below: [string | number, Json | undefined][] =
    first === '*'
      ? itemsOf(value)
      : isJsonObject(value) && Object.hasOwn(value, first)
        ? [[first, value[first]]]
        : [];
  return below.flatMap(([at, item]) =>
    valuesAt(item, rest).map(([path, found]): [Path, Json] => [[at, ...path], found]),
  );
}

/** Labels, annotations and node selectors of a pod. */
function checkKeys(pod: JsonObject, field: string, path: Path, fault: Report): void {
  const entries = pod[field];
  if (!isJsonObject(entries)) return;
  for (const [key, value] of Object.entries(entries))
    checkKey([...path, field, key], key, field === 'annotations' ? null : value, fault);
}

/**
 * Checks one key of a map that Kubernetes restricts.
 * @param label its value where that is a label's; null: any text will do
 */
export function checkKey(path: Path, key: string, label: Json, fault: Report): void {
  if (!isQualifiedKey(key))
    fault(path, `"${key}" is no key of Kubernetes: an optional DNS name, "/", a name`);
  if (typeof label === 'string' && !LABEL_VALUE.test(label))
    fault(path, `"${label}" is no label value: at most 63 letters, digits, ".", "_" and "-"`);
}

/** Names of claims and many other objects: DNS labels with dots between them, 253 characters at most. */
export const isDnsName = (name: string): boolean =>
  name.length <= 253 && name.split('.').every((part) => DNS_LABEL.test(part));
