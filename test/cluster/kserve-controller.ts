/**
 * A stand-in for KServe's controller in Standard mode, on a real control plane: it makes the Deployment of each
 * InferenceService in a namespace and copies from that to the status what the recorded traces show, errors included.
 * Ready says the old pods' word during an update, and observedGeneration counts the Deployment's generations. No code
 * and no webhook of KServe is in it.
 */
import { createApi } from '../../src/cluster/api.ts';
import { HASTY } from '../../src/cluster/cluster.fixture.ts';
import { keepWatching, keyOf } from '../../src/cluster/list-watch.ts';
import { DEPLOYMENTS, INFERENCE_SERVICES, pathOf, watchDeed } from '../../src/cluster/resources.ts';
import { conditionIn, countIn, numberIn, textIn } from '../../src/core/cluster-fields.ts';
import { isJsonObject, type JsonObject, valueAt } from '../../src/core/json.ts';
import { ask, put, REAL_KUBECONFIG } from './real-cluster.ts';

/** What it does instead of its work. */
export type KServeFault =
  | { kind: 'idle' } // nothing at all, as while it is down
  | { kind: 'invalidSpec'; reason: string; message: string } // as for a runtime that does not exist
  | { kind: 'event'; message: string }; // as for a storage URI it does not know: the status never says it

export interface KServeController {
  /** By the name of the InferenceService. A fault that is taken away is noticed with the next change, or {@link retry}. */
  faults: Map<string, KServeFault>;
  retry(name: string): void;
  /** @returns once nothing is written any more @throws what went wrong meanwhile */
  stop(): Promise<void>;
}

/** Objects of a list do not say theirs. */
const KIND = { apiVersion: 'serving.kserve.io/v1beta1', kind: 'InferenceService' };
const COMPONENTS = ['predictor', 'transformer'] as const;
const SERVICE_LABEL = 'serving.kserve.io/inferenceservice';

export function startKServeController(namespace: string): KServeController {
  const api = createApi({ access: { file: REAL_KUBECONFIG } });
  const end = new AbortController();
  const services = new Map<string, JsonObject>();
  const deployments = new Map<string, JsonObject>();
  const faults: KServeController['faults'] = new Map();
  const turns = new Map<string, Promise<void>>();
  const errors: unknown[] = [];

  /** One service after the other by itself: its last change counts. */
  function retry(name: string): void {
    const turn = (turns.get(name) ?? Promise.resolve())
      .then(() => (end.signal.aborted ? undefined : reconcile(name)))
      .catch((error) => void errors.push(error));
    turns.set(name, turn);
  }

  async function reconcile(name: string): Promise<void> {
    const service = services.get(name);
    if (service === undefined || textIn(service, 'metadata', 'deletionTimestamp') !== null) return;
    const fault = faults.get(name);
    if (fault) return misbehave(service, fault);
    const components = COMPONENTS.filter((component) => component in objectIn(service, 'spec'));
    for (const component of components) await put(deploymentOf(service, component), 'kserve');
    const made = components.map((component) => deployments.get(`${name}-${component}`));
    await putStatus(service, statusOf(service, made));
  }

  const watch = (what: typeof DEPLOYMENTS, take: (object: JsonObject, isGone: boolean) => void) =>
    keepWatching(
      {
        api,
        path: pathOf(what, namespace),
        query: {},
        deed: watchDeed(what, { namespace, name: null }),
        isAbsent: async () => false,
        sink: {
          put: (object) => take(object, false),
          drop: (object) => take(object, true),
          keepOnly: () => {},
          report: () => {},
        },
        pace: HASTY,
        heard: () => {},
        breaking: () => end.signal,
        pause: (span) => new Promise((resolve) => setTimeout(resolve, span)),
      },
      end.signal,
    );

  const keep = (
    objects: Map<string, JsonObject>,
    service: string,
    object: JsonObject,
    isGone: boolean,
  ): void => {
    if (isGone) objects.delete(nameOf(object));
    else objects.set(nameOf(object), object);
    retry(service);
  };
  const watches = [
    watch(INFERENCE_SERVICES, (object, isGone) => keep(services, nameOf(object), object, isGone)),
    watch(DEPLOYMENTS, (object, isGone) => {
      const owner = textIn(object, 'metadata', 'labels', SERVICE_LABEL);
      if (owner !== null) keep(deployments, owner, object, isGone);
    }),
  ];

  return {
    faults,
    retry,
    async stop() {
      end.abort();
      await Promise.all([...watches, ...turns.values()]);
      await api.close();
      // What a namespace on its way out refuses is refused to KServe as well.
      const unexpected = errors.filter((error) => !String(error).includes('being terminated'));
      if (unexpected.length > 0) throw unexpected[0];
    },
  };
}

async function misbehave(service: JsonObject, fault: KServeFault): Promise<void> {
  if (fault.kind === 'idle') return;
  if (fault.kind === 'event') return putEvent(service, fault.message);
  const { reason, message } = fault;
  await putStatus(service, {
    deploymentMode: 'Standard',
    conditions: ['IngressReady', 'PredictorReady', 'Ready'].map((type) => ({ type, status: 'Unknown' })),
    modelStatus: {
      transitionStatus: 'InvalidSpec',
      states: { activeModelState: '', targetModelState: 'FailedToLoad' },
      lastFailureInfo: { reason, message },
    },
  });
}

const nameOf = (object: JsonObject): string => keyOf(object).split('/')[1] ?? '';

const objectIn = (object: JsonObject, ...path: string[]): JsonObject => {
  const value = valueAt(object, path);
  return isJsonObject(value) ? value : {};
};

function ownerOf(service: JsonObject): JsonObject {
  const uid = textIn(service, 'metadata', 'uid');
  return { ...KIND, name: nameOf(service), uid, controller: true, blockOwnerDeletion: true };
}

/** KServe copies what is on the service, and on its component, to the pods (trace create-ready). */
function deploymentOf(service: JsonObject, component: (typeof COMPONENTS)[number]): JsonObject {
  const name = `${nameOf(service)}-${component}`;
  const app = `isvc.${name}`;
  const namespace = textIn(service, 'metadata', 'namespace');
  const uri = textIn(service, 'spec', 'predictor', 'model', 'storageUri') ?? '';
  const labels = {
    ...objectIn(service, 'metadata', 'labels'),
    ...objectIn(service, 'spec', component, 'labels'),
    app,
    component,
    [SERVICE_LABEL]: nameOf(service),
  };
  const annotations = {
    ...objectIn(service, 'metadata', 'annotations'),
    ...objectIn(service, 'spec', component, 'annotations'),
    'internal.serving.kserve.io/storage-initializer-sourceuri': uri,
  };
  const model = {
    name: 'kserve-container',
    image: 'kserve/sklearnserver:v0.20.0',
    resources: objectIn(service, 'spec', 'predictor', 'model', 'resources'),
  };
  const initializer = {
    name: 'storage-initializer',
    image: 'kserve/storage-initializer:v0.20.0',
    args: [uri, '/mnt/models'],
  };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace, labels, annotations, ownerReferences: [ownerOf(service)] },
    spec: {
      replicas: numberIn(service, 'spec', component, 'minReplicas') ?? 1,
      selector: { matchLabels: { app } },
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: '25%', maxUnavailable: '25%' } },
      template: {
        metadata: { labels, annotations },
        spec: { initContainers: [initializer], containers: [model] },
      },
    },
  };
}

/** Of the Deployments as they were seen last, the predictor's first: of the old ones where they were updated just now. */
function statusOf(service: JsonObject, deployments: readonly (JsonObject | undefined)[]): JsonObject {
  const name = nameOf(service);
  const namespace = textIn(service, 'metadata', 'namespace');
  const [deployment] = deployments;
  const available = conditionIn(deployment, 'Available');
  const isReady = deployments.every((each) => conditionIn(each, 'Available')?.status === 'True');
  const ready = isReady ? { status: 'True' } : { status: 'False', reason: 'Predictor ingress not created' };
  const predictor = isReady
    ? { status: 'True', reason: 'NewReplicaSetAvailable' }
    : { status: 'False', reason: available?.reason ?? '', message: available?.message ?? '' };
  return {
    deploymentMode: 'Standard',
    clusterServingRuntimeName: textIn(service, 'spec', 'predictor', 'model', 'runtime') ?? '',
    conditions: [
      { type: 'IngressReady', ...ready },
      { type: 'PredictorReady', ...predictor },
      { type: 'Ready', ...ready },
      { type: 'Stopped', status: 'False', severity: 'Info' },
    ],
    modelStatus: {
      transitionStatus: isReady ? 'UpToDate' : 'InProgress',
      states: isReady
        ? { activeModelState: 'Loaded', targetModelState: 'Loaded' }
        : { activeModelState: '', targetModelState: 'Pending' },
    },
    ...(deployment && { observedGeneration: countIn(deployment, 'status', 'observedGeneration') }),
    ...(isReady && {
      url: `http://${name}-${namespace}.example.com`,
      address: { url: `http://${name}-predictor.${namespace}.svc.cluster.local` },
      components: { predictor: { url: `http://${name}-predictor-${namespace}.example.com` } },
    }),
  };
}

async function putStatus(service: JsonObject, status: JsonObject): Promise<void> {
  const namespace = textIn(service, 'metadata', 'namespace') ?? '';
  const name = nameOf(service);
  await ask('PATCH', `${pathOf(INFERENCE_SERVICES, namespace, name)}/status?fieldManager=kserve&force=true`, {
    ...KIND,
    metadata: { name, namespace },
    status,
  });
}

async function putEvent(service: JsonObject, message: string): Promise<void> {
  const namespace = textIn(service, 'metadata', 'namespace') ?? '';
  const name = nameOf(service);
  const uid = textIn(service, 'metadata', 'uid');
  const now = new Date().toISOString().replace(/\.\d+/, '');
  await ask('POST', `/api/v1/namespaces/${namespace}/events`, {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { generateName: `${name}.`, namespace },
    involvedObject: { ...KIND, namespace, name, uid },
    type: 'Warning',
    reason: 'InternalError',
    message,
    source: { component: 'v1beta1Controllers' },
    firstTimestamp: now,
    lastTimestamp: now,
    count: 1,
  });
}
