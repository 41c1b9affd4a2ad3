/**
 * A KServe for the fake API server: it takes InferenceServices by server-side apply, makes what belongs to them, and lets
 * their pods fare as it is told. Like the real one it goes on to call a service ready while its new pods are not.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { json } from 'node:stream/consumers';
import { textIn } from '../../src/core/cluster-fields.ts';
import { SPEC_HASH } from '../../src/core/inference-service.ts';
import type { JsonObject } from '../../src/core/json.ts';
import { type FakeApiServer, type FakeObject, PATHS, refuse, reply } from './fake-api-server.ts';

/** How the pods of a service fare, or what keeps KServe from making them. */
export const FATES = [
  'ready',
  'image',
  'crash',
  'download',
  'memory',
  'node',
  'quota',
  'runtime',
  'uri',
] as const;
export type Fate = (typeof FATES)[number];

/** Of services whose names end in a number: half of them serve, and of each other fate there are as many. */
export const mixedFate = (name: string): Fate =>
  FATES[Number(name.split('-').at(-1)) % (2 * FATES.length)] ?? 'ready';

export interface FakeKServe {
  /** The number of services applied so far, updates included. */
  applied(): number;
  /** Lets its newest pod fare as it fares, or says why there is none. */
  settle(name: string): void;
}

interface Served {
  service: FakeObject;
  generation: number;
  fate: Fate;
  hash: string | null;
}

const SERVICE = /\/namespaces\/([^/]+)\/inferenceservices\/([^/]+)$/;

/** @param fateOf asked by name, and by how many versions of it there are */
export function playKServe(
  server: FakeApiServer,
  fateOf: (name: string, generation: number) => Fate,
): FakeKServe {
  const all = new Map<string, Served>();
  let applied = 0;
  server.put(PATHS.clusterRuntimes, RUNTIME);

  server.intercept = (request, response, path) => {
    const [, namespace = '', name = ''] = SERVICE.exec(path) ?? [];
    if (name === '' || !server.known.has(PATHS.services)) return false;
    if (request.method === 'PATCH') void apply(request, response, namespace, name);
    else answer(response, all.get(name)?.service);
    return true;
  };

  async function apply(
    request: IncomingMessage,
    response: ServerResponse,
    namespace: string,
    name: string,
  ): Promise<void> {
    const sent = (await json(request)) as FakeObject;
    const before = all.get(name);
    const hash = textIn(sent, 'spec', 'predictor', 'annotations', SPEC_HASH);
    const generation = before?.hash === hash ? before.generation : (before?.generation ?? 0) + 1;
    const metadata = { ...sent.metadata, namespace, name, uid: `uid-${name}`, generation };
    const service = { ...sent, metadata, status: before?.service['status'] ?? starting() };
    answer(response, service);
    if (request.url?.includes('dryRun=') || before?.hash === hash) return;
    applied += 1;
    const served = { service, generation, hash, fate: fateOf(name, generation) };
    all.set(name, served);
    server.put(PATHS.services, service);
    // A spec that KServe does not take reaches no child.
    if (served.fate !== 'runtime' && served.fate !== 'uri') begin(served);
  }

  function begin(served: Served): void {
    server.put(PATHS.replicaSets, replicaSetOf(served));
    server.put(PATHS.deployments, deploymentOf(served, served.generation > 1, 1));
    if (served.fate !== 'quota') server.put(PATHS.pods, podOf(served, { phase: 'Pending' }));
  }

  function serve(served: Served): void {
    const { service, generation } = served;
    server.put(PATHS.pods, podOf(served, READY_POD));
    if (generation > 1) server.remove(PATHS.pods, podOf({ ...served, generation: generation - 1 }, {}));
    const ready = { ...service, status: readyStatus(service.metadata.name) };
    all.set(service.metadata.name, { ...served, service: ready });
    server.put(PATHS.services, ready);
    // Last of all, as it was recorded.
    server.put(PATHS.deployments, deploymentOf(served, true, 0));
  }

  return {
    applied: () => applied,
    settle: (name) => {
      const served = all.get(name);
      if (served === undefined) throw new Error(`no service ${name} was applied`);
      const { service, fate } = served;
      if (fate === 'ready') serve(served);
      else if (fate === 'runtime') server.put(PATHS.services, { ...service, status: INVALID });
      else if (fate === 'uri') server.put(PATHS.events, refusalOf(service));
      else if (fate === 'quota') server.put(PATHS.replicaSets, replicaSetOf(served, NO_QUOTA));
      else server.put(PATHS.pods, podOf(served, POD_STATES[fate]));
    },
  };
}

const RUNTIME: FakeObject = {
  metadata: { name: 'kserve-sklearnserver' },
  spec: {
    supportedModelFormats: [{ name: 'sklearn', version: '1', autoSelect: true }],
    protocolVersions: ['v1', 'v2'],
    containers: [{ name: 'kserve-container', image: 'model:1' }],
  },
};

const answer = (response: ServerResponse, object: JsonObject | undefined): void =>
  object === undefined ? refuse(response, 404, 'not found') : reply(response, 200, object);

const NO_QUOTA =
  'pods "x" is forbidden: exceeded quota: gpus, requested: requests.nvidia.com/gpu=1, used: requests.nvidia.com/gpu=8, limited: requests.nvidia.com/gpu=8';

const conditions = (status: Record<string, string>): JsonObject[] =>
  Object.entries(status).map(([type, value]) => ({ type, status: value }));

const starting = (): JsonObject => ({
  deploymentMode: 'Standard',
  conditions: conditions({ Ready: 'False', PredictorReady: 'False' }),
});

const readyStatus = (name: string): JsonObject => ({
  deploymentMode: 'Standard',
  url: `http://${name}.example.com`,
  conditions: conditions({ Ready: 'True', PredictorReady: 'True', IngressReady: 'True' }),
  modelStatus: { transitionStatus: 'UpToDate' },
});

const INVALID: JsonObject = {
  deploymentMode: 'Standard',
  conditions: conditions({ Ready: 'True' }),
  modelStatus: {
    transitionStatus: 'InvalidSpec',
    lastFailureInfo: { reason: 'RuntimeNotRecognized', message: 'Waiting for runtime' },
  },
};

/** The metadata of what belongs to a service: named after it, the generation where there is one of each, and the kind. */
function childOf(kind: string, { service }: Served, suffix: string): FakeObject['metadata'] {
  const { name, namespace = '' } = service.metadata;
  const child = `${name}-predictor${suffix}`;
  const labels = { 'serving.kserve.io/inferenceservice': name, component: 'predictor' };
  return { name: child, namespace, uid: `${kind}-${child}`, labels };
}

const templateOf = ({ hash }: Served): JsonObject => ({ metadata: { annotations: { [SPEC_HASH]: hash } } });

function deploymentOf(served: Served, isAvailable: boolean, old: number): FakeObject {
  const { generation } = served;
  const before = isAvailable ? old : 0;
  return {
    metadata: { ...childOf('Deployment', served, ''), generation },
    spec: { replicas: 1, template: templateOf(served) },
    status: {
      observedGeneration: generation,
      replicas: 1 + before,
      updatedReplicas: 1,
      availableReplicas: isAvailable ? 1 : 0,
      conditions: conditions({ Available: isAvailable ? 'True' : 'False' }),
    },
  };
}

/** @param failure why it cannot make its pod; empty: it has made it */
const replicaSetOf = (served: Served, failure = ''): FakeObject => ({
  metadata: {
    ...childOf('ReplicaSet', served, `-${served.generation}`),
    annotations: { 'deployment.kubernetes.io/revision': String(served.generation) },
  },
  spec: { replicas: 1, template: templateOf(served) },
  status: {
    replicas: failure === '' ? 1 : 0,
    conditions: [
      {
        type: 'ReplicaFailure',
        status: failure === '' ? 'False' : 'True',
        reason: 'FailedCreate',
        message: failure,
      },
    ],
  },
});

const podOf = (served: Served, status: JsonObject): FakeObject => {
  const metadata = childOf('Pod', served, `-${served.generation}-a`);
  return {
    metadata: {
      ...metadata,
      annotations: { [SPEC_HASH]: served.hash },
      ownerReferences: [{ kind: 'ReplicaSet', uid: replicaSetOf(served).metadata['uid'] ?? '' }],
    },
    spec: {
      initContainers: [{ name: 'storage-initializer', image: 'storage:1' }],
      containers: [{ name: 'kserve-container', image: 'model:1', resources: { limits: { memory: '4Gi' } } }],
    },
    status,
  };
};

const DOWNLOADED: JsonObject = {
  name: 'storage-initializer',
  ready: true,
  state: { terminated: { exitCode: 0 } },
};

/** On a node, with the model downloaded, and its server in this state. */
const running = (container: JsonObject): JsonObject => ({
  phase: 'Running',
  conditions: conditions({ PodScheduled: 'True', Ready: container['ready'] === true ? 'True' : 'False' }),
  initContainerStatuses: [DOWNLOADED],
  containerStatuses: [{ name: 'kserve-container', ...container }],
});

const crashed = (terminated: JsonObject): JsonObject => ({
  ready: false,
  restartCount: 3,
  state: { waiting: { reason: 'CrashLoopBackOff' } },
  lastState: { terminated },
});

const READY_POD: JsonObject = running({ ready: true, state: { running: {} } });

const POD_STATES: Record<'image' | 'crash' | 'download' | 'memory' | 'node', JsonObject> = {
  image: running({ ready: false, state: { waiting: { reason: 'ImagePullBackOff', message: 'not found' } } }),
  crash: running(crashed({ reason: 'Error', exitCode: 1, message: 'no such model' })),
  memory: running(crashed({ reason: 'OOMKilled', exitCode: 137 })),
  download: {
    phase: 'Pending',
    conditions: conditions({ PodScheduled: 'True', Ready: 'False' }),
    initContainerStatuses: [
      {
        name: 'storage-initializer',
        ...crashed({ reason: 'Error', exitCode: 1, message: 'no such object' }),
      },
    ],
  },
  node: {
    phase: 'Pending',
    conditions: [
      { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: '0/4 nodes are available' },
    ],
  },
};

/** It is told in an event and nowhere else. */
function refusalOf(service: FakeObject): FakeObject {
  const { name, namespace = '', uid = '' } = service.metadata;
  const uri = textIn(service, 'spec', 'predictor', 'model', 'storageUri');
  return {
    metadata: { name: `${name}.refused`, namespace, uid: `event-${name}` },
    involvedObject: { kind: 'InferenceService', namespace, name, uid },
    type: 'Warning',
    reason: 'InternalError',
    message: `fails to reconcile predictor: storageUri [${uri}] is not supported`,
    lastTimestamp: new Date().toISOString(),
  };
}
