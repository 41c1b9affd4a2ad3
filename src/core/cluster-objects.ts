/** From raw Kubernetes JSON to what readiness needs of it. Nothing here throws, whatever the shape. */
import { createHash } from 'node:crypto';
import {
  conditionIn,
  countIn,
  isTrue,
  itemsIn,
  numberIn,
  shorten,
  textIn,
  timeIn,
} from './cluster-fields.ts';
import { projectPod } from './cluster-pods.ts';
import type {
  Child,
  ClusterKind,
  ClusterObject,
  Component,
  ComponentView,
  EventView,
  Identity,
  InferenceServiceView,
  Seen,
} from './cluster-views.ts';
import { DEPLOYMENT_MODE, SPEC_HASH } from './inference-service.ts';
import { canonicalJson, type Json, valueAt } from './json.ts';
import { modeOfName } from './kserve.ts';

const CONDITIONS: Readonly<Record<Component, string>> = {
  predictor: 'PredictorReady',
  transformer: 'TransformerReady',
  explainer: 'ExplainerReady',
};
const COMPONENTS: readonly Component[] = ['predictor', 'transformer', 'explainer'];

/** Events that are not warnings and still tell something: of pods, from the kubelet and who adds nodes. */
const TELLING = ['TriggeredScaleUp', 'NotTriggerScaleUp', 'Nominated', 'Pulling', 'Pulled'];
/** What events may be about. The HorizontalPodAutoscaler's say nothing about readiness. */
const TOLD_OF: readonly string[] = ['InferenceService', 'Pod', 'ReplicaSet'];

/**
 * Reduces an object of the cluster to what counts.
 * @param kind what the watch is on
 * @param raw the object as the API server sent it, without any promise about its shape
 * @returns null where it has no name, and for events that tell nothing about readiness
 */
export function projectObject(kind: ClusterKind, raw: unknown): ClusterObject | null {
  // Whatever it is, it came as JSON.
  const object = raw as Json;
  const namespace = textIn(object, 'metadata', 'namespace');
  const name = textIn(object, 'metadata', 'name');
  if (namespace === null || name === null) return null;
  const labels = valueAt(object, ['metadata', 'labels']);
  const identity: Identity = {
    namespace,
    name,
    uid: textIn(object, 'metadata', 'uid') ?? '',
    service: textIn(labels, 'serving.kserve.io/inferenceservice'),
  };
  switch (kind) {
    case 'InferenceService':
      return projectInferenceService(object, { ...identity, service: name });
    case 'Pod':
      return projectPod(object, {
        ...identity,
        component: textIn(labels, 'component'),
        owner: ownerOf(object),
        specHash: textIn(object, 'metadata', 'annotations', SPEC_HASH),
      });
    case 'Event':
      return projectEvent(object, identity);
    default:
      return projectChild(kind, object, {
        ...identity,
        component: textIn(labels, 'component'),
        // The Configuration between them is not watched.
        owner: kind === 'Revision' ? textIn(labels, 'serving.knative.dev/serviceUID') : ownerOf(object),
        specHash: templateHash(kind, object),
      });
  }
}

const ownerOf = (object: Json): string | null =>
  textIn(
    itemsIn(object, 'metadata', 'ownerReferences').find((reference) => isTrue(reference, 'controller')),
    'uid',
  );

/** A Revision is its own template. */
const templateHash = (kind: ClusterKind, object: Json): string | null =>
  kind === 'Revision'
    ? textIn(object, 'metadata', 'annotations', SPEC_HASH)
    : textIn(object, 'spec', 'template', 'metadata', 'annotations', SPEC_HASH);

/** Everything but what the API server keeps about an object, and its status, which no apply changes. */
export const INTENT: readonly (readonly string[])[] = [
  ['metadata', 'labels'],
  ['metadata', 'annotations'],
  ['spec'],
];

/**
 * Tells whether an InferenceService was changed by somebody: its status does not count, which KServe changes all the time.
 * @returns 16 hex digits, equal for equal labels, annotations and spec
 */
export function intentOf(object: Json): string {
  return createHash('sha256')
    .update(canonicalJson(INTENT.map((path) => valueAt(object, path) ?? null)))
    .digest('hex')
    .slice(0, 16);
}

function projectInferenceService(object: Json, identity: Identity): InferenceServiceView {
  const annotations = valueAt(object, ['metadata', 'annotations']);
  const predictor = valueAt(object, ['spec', 'predictor']);
  const failure = valueAt(object, ['status', 'modelStatus', 'lastFailureInfo']);
  return {
    kind: 'InferenceService',
    ...identity,
    intent: intentOf(object),
    deleting: textIn(object, 'metadata', 'deletionTimestamp') !== null,
    stopped: isTrue(annotations, 'serving.kserve.io/stop'),
    autoUpdateDisabled: isTrue(annotations, 'serving.kserve.io/disable-auto-update'),
    mode: modeOfName(
      textIn(object, 'status', 'deploymentMode') ?? textIn(annotations, DEPLOYMENT_MODE) ?? '',
    ),
    minReplicas: numberIn(predictor, 'minReplicas'),
    maxReplicas: numberIn(predictor, 'maxReplicas'),
    runtime: textIn(predictor, 'model', 'runtime'),
    storageUris: storageUrisIn(predictor),
    components: COMPONENTS.flatMap((component) => projectComponent(object, component)),
    ready: conditionIn(object, 'Ready'),
    ingressReady: conditionIn(object, 'IngressReady'),
    transitionStatus: textIn(object, 'status', 'modelStatus', 'transitionStatus'),
    lastFailure: failure
      ? { reason: textIn(failure, 'reason'), message: shorten(textIn(failure, 'message')) }
      : null,
    url: textIn(object, 'status', 'url'),
    observedGeneration: countIn(object, 'status', 'observedGeneration'),
  };
}

/** As messages have them, to be found there. */
const storageUrisIn = (predictor: Json | undefined): string[] =>
  [
    shorten(textIn(predictor, 'model', 'storageUri')),
    ...itemsIn(predictor, 'storageUris').map((item) => shorten(textIn(item, 'uri'))),
  ].filter((uri) => uri !== null);

function projectComponent(object: Json, component: Component): ComponentView[] {
  const spec = valueAt(object, ['spec', component]);
  if (spec === undefined || spec === null) return [];
  const status = valueAt(object, ['status', 'components', component]);
  return [
    {
      component,
      specHash: textIn(spec, 'annotations', SPEC_HASH),
      canaryTrafficPercent: numberIn(spec, 'canaryTrafficPercent'),
      latestCreatedRevision: textIn(status, 'latestCreatedRevision'),
      latestReadyRevision: textIn(status, 'latestReadyRevision'),
      ready: conditionIn(object, CONDITIONS[component]),
    },
  ];
}

function projectChild(
  kind: 'Deployment' | 'ReplicaSet' | 'KnativeService' | 'Revision',
  object: Json,
  child: Child,
): ClusterObject {
  const generations = {
    generation: countIn(object, 'metadata', 'generation'),
    observedGeneration: countIn(object, 'status', 'observedGeneration'),
  };
  const desired = numberIn(object, 'spec', 'replicas') ?? 1;
  const total = countIn(object, 'status', 'replicas');
  const ready = conditionIn(object, 'Ready');
  const deploymentRevision = Number(
    textIn(object, 'metadata', 'annotations', 'deployment.kubernetes.io/revision') ?? 0,
  );
  switch (kind) {
    case 'Deployment':
      return {
        kind,
        ...child,
        revision: textIn(object, 'metadata', 'labels', 'serving.knative.dev/revision'),
        deploymentRevision,
        ...generations,
        desired,
        total,
        updated: countIn(object, 'status', 'updatedReplicas'),
        available: countIn(object, 'status', 'availableReplicas'),
        isAvailable: conditionIn(object, 'Available'),
      };
    case 'ReplicaSet':
      return {
        kind,
        ...child,
        desired,
        total,
        failure: conditionIn(object, 'ReplicaFailure'),
        deploymentRevision,
      };
    case 'KnativeService':
      return {
        kind,
        ...child,
        ...generations,
        latestCreatedRevision: textIn(object, 'status', 'latestCreatedRevisionName'),
        latestReadyRevision: textIn(object, 'status', 'latestReadyRevisionName'),
        traffic: itemsIn(object, 'status', 'traffic').map((item) => ({
          revision: textIn(item, 'revisionName'),
          latest: isTrue(item, 'latestRevision'),
          percent: countIn(item, 'percent'),
        })),
        ready,
        routesReady: conditionIn(object, 'RoutesReady'),
        configurationsReady: conditionIn(object, 'ConfigurationsReady'),
      };
    case 'Revision':
      return { kind, ...child, ready };
  }
}

/** Events of both APIs: `v1`, also with the fields of the newer reporters, and `events.k8s.io/v1`. */
function projectEvent(object: Json, identity: Identity): EventView | null {
  const about = valueAt(object, ['involvedObject']) ?? valueAt(object, ['regarding']);
  const reason = textIn(object, 'reason');
  const kind = textIn(about, 'kind');
  if (reason === null || kind === null || !TOLD_OF.includes(kind)) return null;
  if (textIn(object, 'type') !== 'Warning' && !TELLING.includes(reason)) return null;
  return {
    kind: 'Event',
    ...identity,
    service: kind === 'InferenceService' ? textIn(about, 'name') : null,
    regarding: { kind, uid: textIn(about, 'uid') ?? '' },
    reason,
    message: shorten(textIn(object, 'message') ?? textIn(object, 'note')) ?? '',
    lastAt:
      timeIn(object, 'series', 'lastObservedTime') ??
      timeIn(object, 'lastTimestamp') ??
      timeIn(object, 'deprecatedLastTimestamp') ??
      timeIn(object, 'eventTime') ??
      timeIn(object, 'metadata', 'creationTimestamp'),
  };
}

/**
 * Sorts objects by kind. What belongs to another InferenceService is left out, and so is what was left by one of the same
 * name that was deleted: its children have the same names, and may carry the same spec-hash. KServe and Kubernetes make
 * each the controller of what it makes, so the owners lead from a pod to its InferenceService.
 * @param service the name of the target's InferenceService
 * @param objects projections from the target's namespace
 */
export function collectSeen(
  service: string,
  objects: Iterable<ClusterObject>,
  namespace: Seen['namespace'] = null,
): Seen {
  const own = [...objects].filter((object) => object.kind === 'Event' || object.service === service);
  const ofKind = <K extends ClusterKind>(kind: K): Extract<ClusterObject, { kind: K }>[] =>
    own.filter((object): object is Extract<ClusterObject, { kind: K }> => object.kind === kind);
  const inferenceService = ofKind('InferenceService')[0] ?? null;
  const known = new Set(inferenceService === null ? [] : [inferenceService.uid]);
  /** To be asked from the service down to the pods: what a kind keeps are the owners of the next. */
  const descendants = <T extends Child>(children: T[]): T[] => {
    const kept = children.filter(
      ({ owner }) => inferenceService === null || owner === null || known.has(owner),
    );
    for (const { uid } of kept) known.add(uid);
    return kept;
  };
  return {
    namespace,
    inferenceService,
    knativeServices: descendants(ofKind('KnativeService')),
    revisions: descendants(ofKind('Revision')),
    deployments: descendants(ofKind('Deployment')),
    replicaSets: descendants(ofKind('ReplicaSet')),
    pods: descendants(ofKind('Pod')),
    events: ofKind('Event').filter(({ regarding }) => known.has(regarding.uid)),
  };
}
