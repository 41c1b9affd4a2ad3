/** Objects of a cluster for tests: raw JSON as the API server sends it, reduced the way a watch reduces it. */
import { collectSeen, projectObject } from './cluster-objects.ts';
import type { ClusterKind, ClusterObject, Seen } from './cluster-views.ts';
import type { Json, JsonObject } from './json.ts';
import { judge, type Verdict } from './readiness.ts';
import type { Since, Wanted } from './readiness-cause.ts';

export const HASH = 'aaaaaaaaaaaaaaaa';
export const OLD = '0000000000000000';
export const NOW = Date.parse('2026-11-21T12:00:00Z');
export const MINUTE = 60_000;

export const WANTED: Wanted = {
  target: { cluster: 'prod', namespace: 'demo', name: 'iris' },
  specHash: HASH,
  minReplicas: 1,
  maxReplicas: 3,
  mode: 'Standard',
  via: 'apply',
  heals: false,
  commit: null,
  deliveredAt: NOW,
  readiness: {
    timeout: 30 * MINUTE,
    grace: { imagePull: MINUTE, unschedulable: 10 * MINUTE, invalidSpec: MINUTE / 2, restarts: 3 },
  },
};

export const GITOPS: Wanted = { ...WANTED, via: 'gitops', commit: '1a2b3c4' };
export const KNATIVE: Wanted = { ...WANTED, mode: 'Knative' };

/** A condition: its status, reason and message. */
type Told = [status: string, reason?: string, message?: string];

const conditions = (told: Record<string, Told>): Json =>
  Object.entries(told).map(([type, [status, reason, message]]) => ({
    type,
    status,
    ...(reason === undefined ? {} : { reason }),
    ...(message === undefined ? {} : { message }),
  }));

const HASH_KEY = 'modelhook.dev/spec-hash';

function project(kind: ClusterKind, raw: Json): ClusterObject {
  const object = projectObject(kind, raw);
  if (object === null) throw new Error(`the ${kind} of a test has no name`);
  return object;
}

const metadata = (kind: string, name: string, over: JsonObject = {}): JsonObject => ({
  name,
  namespace: 'demo',
  uid: `${kind}/${name}`,
  generation: 2,
  ...over,
});

/** Who made it, by uid; an empty one: nobody says. */
const madeBy = (uid: string): JsonObject =>
  uid === '' ? {} : { ownerReferences: [{ uid: 'of-a-stranger' }, { controller: true, uid }] };

const labels = (component: string): JsonObject => ({
  component,
  'serving.kserve.io/inferenceservice': 'iris',
});

export const service = ({
  hash = HASH,
  min = 1,
  max = 3,
  mode = 'Standard',
  told = { Ready: ['True'] },
  annotations = {},
  model = {},
  predictor = {},
  spec = {},
  status = {},
  about = {},
}: {
  hash?: string;
  min?: number;
  max?: number;
  mode?: string;
  told?: Record<string, Told>;
  annotations?: JsonObject;
  model?: JsonObject;
  predictor?: JsonObject;
  spec?: JsonObject;
  status?: JsonObject;
  about?: JsonObject;
} = {}): ClusterObject =>
  project('InferenceService', {
    metadata: metadata('InferenceService', 'iris', { annotations, ...about }),
    spec: {
      predictor: {
        annotations: { [HASH_KEY]: hash },
        minReplicas: min,
        maxReplicas: max,
        model: { runtime: 'sklearnserver', storageUri: 'hf://demo/iris', ...model },
        ...predictor,
      },
      ...spec,
    },
    status: {
      deploymentMode: mode,
      conditions: conditions(told),
      url: 'https://iris.example.com',
      ...status,
    },
  });

const template = (hash: string | null): Json => ({
  metadata: hash === null ? {} : { annotations: { [HASH_KEY]: hash } },
});

export const deployment = ({
  name = 'iris-predictor',
  component = 'predictor',
  hash = HASH,
  owner = '',
  generation = 2,
  observed = generation,
  deploymentRevision = '1',
  desired = 1,
  total = desired,
  updated = total,
  available = total,
  revision = '',
  isAvailable = 'True',
}: {
  name?: string;
  component?: string;
  hash?: string | null;
  owner?: string;
  generation?: number;
  observed?: number;
  deploymentRevision?: string;
  desired?: number;
  total?: number;
  updated?: number;
  available?: number;
  revision?: string;
  isAvailable?: string;
} = {}): ClusterObject =>
  project('Deployment', {
    metadata: metadata('Deployment', name, {
      generation,
      labels: { ...labels(component), 'serving.knative.dev/revision': revision },
      annotations: { 'deployment.kubernetes.io/revision': deploymentRevision },
      ...madeBy(owner),
    }),
    spec: { replicas: desired, template: template(hash) },
    status: {
      observedGeneration: observed,
      replicas: total,
      updatedReplicas: updated,
      availableReplicas: available,
      conditions: conditions({ Available: [isAvailable] }),
    },
  });

export const replicaSet = ({
  name = 'iris-predictor-1',
  component = 'predictor',
  hash = HASH as string | null,
  owner = '',
  desired = 1,
  total = 1,
  failure = '',
  deploymentRevision = '1',
} = {}): ClusterObject =>
  project('ReplicaSet', {
    metadata: metadata('ReplicaSet', name, {
      labels: labels(component),
      annotations: { 'deployment.kubernetes.io/revision': deploymentRevision },
      ...madeBy(owner),
    }),
    spec: { replicas: desired, template: template(hash) },
    status: {
      replicas: total,
      conditions: failure === '' ? [] : conditions({ ReplicaFailure: ['True', 'FailedCreate', failure] }),
    },
  });

const CONTAINER: Json = {
  name: 'kserve-container',
  image: 'sklearn:1',
  resources: { limits: { memory: '4Gi' } },
};
const DOWNLOADER: Json = {
  name: 'storage-initializer',
  image: 'storage:1',
  resources: { limits: { memory: '1Gi' } },
};

/** A pod on a node, ready where nothing else is said. */
export const pod = ({
  name = 'iris-predictor-1-a',
  component = 'predictor',
  hash = HASH as string | null,
  owner = '',
  told = { PodScheduled: ['True'], Ready: ['True'] } as Record<string, Told>,
  phase = 'Running',
  container = { ready: true, state: { running: {} } } as JsonObject,
  download = { ready: true, state: { terminated: { exitCode: 0 } } } as JsonObject,
  status = {} as JsonObject,
  about = {} as JsonObject,
} = {}): ClusterObject =>
  project('Pod', {
    metadata: metadata('Pod', name, {
      labels: labels(component),
      annotations: hash === null ? {} : { [HASH_KEY]: hash },
      ...madeBy(owner),
      ...about,
    }),
    spec: { initContainers: [DOWNLOADER], containers: [CONTAINER] },
    status: {
      phase,
      conditions: conditions(told),
      initContainerStatuses: [{ name: 'storage-initializer', ...download }],
      containerStatuses: [{ name: 'kserve-container', ...container }],
      ...status,
    },
  });

/** A pod on a node whose server is in this state. */
export const unready = (container: JsonObject, over: Parameters<typeof pod>[0] = {}): ClusterObject =>
  pod({ told: { PodScheduled: ['True'], Ready: ['False'] }, container, ...over });

export const unschedulable = (message: string): ClusterObject =>
  pod({
    phase: 'Pending',
    told: { PodScheduled: ['False', 'Unschedulable', message] },
    status: { containerStatuses: [], initContainerStatuses: [] },
  });

/** An event about an object, some seconds after the delivery. */
export const event = (about: ClusterObject, reason: string, message: string, seconds = 5): ClusterObject =>
  project('Event', {
    metadata: metadata('Event', `${about.name}.${reason}.${seconds}`),
    type: reason.startsWith('Triggered') || reason.startsWith('Pull') ? 'Normal' : 'Warning',
    reason,
    message,
    involvedObject: { kind: about.kind, name: about.name, uid: about.uid },
    lastTimestamp: new Date(NOW + seconds * 1000).toISOString(),
  });

export const knativeService = ({
  hash = HASH,
  owner = '',
  observed = 2,
  created = 'iris-predictor-00002',
  ready = 'iris-predictor-00002',
  traffic = [{ latestRevision: true, revisionName: 'iris-predictor-00002', percent: 100 }] as Json,
  told = { Ready: ['True'], RoutesReady: ['True'], ConfigurationsReady: ['True'] } as Record<string, Told>,
} = {}): ClusterObject =>
  project('KnativeService', {
    metadata: metadata('KnativeService', 'iris-predictor', {
      labels: labels('predictor'),
      ...madeBy(owner),
    }),
    spec: { template: template(hash) },
    status: {
      observedGeneration: observed,
      latestCreatedRevisionName: created,
      latestReadyRevisionName: ready,
      traffic,
      conditions: conditions(told),
    },
  });

export const revision = ({
  name = 'iris-predictor-00002',
  hash = HASH,
  owner = '',
  told = { Ready: ['True'] } as Record<string, Told>,
} = {}): ClusterObject =>
  project('Revision', {
    metadata: metadata('Revision', name, {
      labels: {
        ...labels('predictor'),
        ...(owner !== '' && { 'serving.knative.dev/serviceUID': owner }),
      },
      annotations: { [HASH_KEY]: hash },
    }),
    status: { conditions: conditions(told) },
  });

/** An InferenceService in Knative mode that names its newest revision. */
export const knativeInferenceService = (over: Parameters<typeof service>[0] = {}): ClusterObject =>
  service({
    mode: 'Knative',
    status: {
      components: {
        predictor: {
          latestCreatedRevision: 'iris-predictor-00002',
          latestReadyRevision: 'iris-predictor-00002',
        },
      },
    },
    ...over,
  });

export const seenOf = (...objects: ClusterObject[]): Seen => collectSeen('iris', objects);

/** Judges objects that stay as they are: first right after the delivery, then after some time. */
export function judgeAfter(wanted: Wanted, milliseconds: number, ...objects: ClusterObject[]): Verdict {
  const seen = seenOf(...objects);
  const since: Since = judge(wanted, seen, {}, NOW).since;
  return judge(wanted, seen, since, NOW + milliseconds).verdict;
}

export const judgeNow = (wanted: Wanted, ...objects: ClusterObject[]): Verdict =>
  judgeAfter(wanted, 0, ...objects);
