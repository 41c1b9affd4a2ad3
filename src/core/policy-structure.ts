/** What a policy puts into the InferenceService, checked against the structure of KServe's own CRD. */
import { buildInferenceService, type Renderable } from './inference-service.ts';
import type { JsonObject } from './json.ts';
import { ASSUMED_VERSION, type KServe } from './kserve.ts';
import { modeOf, type Policy } from './policy.ts';
import type { Report } from './schema-faults.ts';
import { checkStructure, nodeAt, type Structure } from './structure.ts';
import type { Path } from './yaml-source.ts';

const PREDICTOR = ['spec', 'predictor'];
const MODEL = [...PREDICTOR, 'model'];

/** @returns the names of the fields that may stand at the top of a policy's `pod` and `container` */
export const mergedFields = (structure: Structure): string[] =>
  [PREDICTOR, MODEL].flatMap((at) => {
    const node = nodeAt(structure, at);
    return node?.type === 'object' ? Object.keys(node.fields) : [];
  });

/** Checks fields of a predictor's pod, where a policy or a GPU profile has them. */
export const checkPodStructure = (pod: JsonObject, path: Path, structure: Structure, fault: Report): void =>
  checkPart(pod, PREDICTOR, path, structure, fault);

function checkPart(
  part: JsonObject,
  at: readonly string[],
  path: Path,
  structure: Structure,
  fault: Report,
): void {
  for (const found of checkStructure(structure, part, at))
    fault([...path, ...found.path], found.message, found.atKey ? 'key' : undefined);
}

/**
 * Checks what is merged as it is where it stands, and then everything else by what becomes of it: the whole
 * InferenceService, rendered with a stand-in for what only an event brings.
 */
export function checkPolicyStructure(policy: Policy, { structure }: KServe, fault: Report): void {
  const { gpu, pod, container } = policy;
  if (gpu !== null && gpu.name === null) checkPodStructure(gpu.pod, ['spec', 'gpu', 'pod'], structure, fault);
  checkPodStructure(pod, ['spec', 'pod'], structure, fault);
  checkPart(container, MODEL, ['spec', 'container'], structure, fault);
  const merged = [
    ...Object.keys({ ...gpu?.pod, ...pod }).map((field) => [...PREDICTOR, field]),
    ...Object.keys(container).map((field) => [...MODEL, field]),
  ];
  for (const { path, message } of checkStructure(structure, buildInferenceService(standIn(policy)), []))
    if (!merged.some((prefix) => startsWith(path, prefix))) fault(sourceOf(path), message);
}

const startsWith = (path: Path, prefix: Path): boolean => prefix.every((part, at) => path[at] === part);

/** Which field of a policy becomes what of an InferenceService. The first that fits counts. */
const SOURCES: readonly [Path, Path][] = [
  [
    [...MODEL, 'resources'],
    ['spec', 'resources'],
  ],
  [
    [...MODEL, 'modelFormat'],
    ['spec', 'modelFormat'],
  ],
  [
    [...MODEL, 'protocolVersion'],
    ['spec', 'protocolVersion'],
  ],
  [
    [...MODEL, 'runtime'],
    ['spec', 'runtime'],
  ],
  [
    [...MODEL, 'storageUri'],
    ['spec', 'storage', 'uri'],
  ],
  [
    [...PREDICTOR, 'deploymentStrategy'],
    ['spec', 'rollout'],
  ],
  [
    [...PREDICTOR, 'minReplicas'],
    ['spec', 'replicas'],
  ],
  [
    [...PREDICTOR, 'maxReplicas'],
    ['spec', 'replicas'],
  ],
  [
    ['metadata', 'labels'],
    ['spec', 'labels'],
  ],
  [
    ['metadata', 'annotations'],
    ['spec', 'annotations'],
  ],
];

function sourceOf(path: Path): Path {
  const [target, source] = SOURCES.find(([prefix]) => startsWith(path, prefix)) ?? [path, ['spec']];
  return [...source, ...path.slice(target.length)];
}

/** The policy before any event. */
const standIn = (policy: Policy): Renderable => ({
  repository: 'forge:group/model',
  revision: 'v1',
  sha: '0'.repeat(40),
  target: { ...policy.target, namespace: 'namespace', name: 'name' },
  runtime: 'runtime',
  modelFormat: policy.modelFormat ?? { name: 'format', version: null },
  protocolVersion: policy.protocolVersion,
  storageUri: 's3://bucket/model',
  resources: policy.resources,
  replicas: policy.replicas,
  deploymentMode: modeOf(policy),
  kserveVersion: ASSUMED_VERSION,
  rollout: policy.rollout,
  labels: policy.labels,
  annotations: policy.annotations,
  pod: policy.pod,
  container: policy.container,
});
