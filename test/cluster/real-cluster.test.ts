/** On a real API server, under the rights that deploy/ gives. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { HASTY, SILENT_LOG, until, untilListed } from '../../src/cluster/cluster.fixture.ts';
import { ApplyConflictError, type Cluster, ClusterUnavailableError } from '../../src/cluster/cluster.ts';
import { type ClusterOptions, createKubernetesCluster } from '../../src/cluster/kubernetes.ts';
import { StalledError } from '../../src/core/errors.ts';
import { type JsonObject, valueAt } from '../../src/core/json.ts';
import {
  CA,
  kubeconfigFor,
  makeNamespace,
  openWay,
  put,
  putFile,
  REAL_KUBECONFIG,
  remove,
  SERVER,
  SKIPPED,
  tokenOf,
} from './real-cluster.ts';

const DEPLOY = resolve(import.meta.dirname, '../../deploy');
const NAMESPACE = 'vision';

const service = (name: string, predictor: JsonObject = {}, namespace = NAMESPACE): JsonObject => ({
  apiVersion: 'serving.kserve.io/v1beta1',
  kind: 'InferenceService',
  metadata: { name, namespace },
  spec: { predictor: { minReplicas: 1, model: { modelFormat: { name: 'sklearn' } }, ...predictor } },
});

const deployment = (name: string, of: string, replicas = 1): JsonObject => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name, namespace: NAMESPACE, labels: { 'serving.kserve.io/inferenceservice': of } },
  spec: {
    replicas,
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name, 'serving.kserve.io/inferenceservice': of, component: 'predictor' } },
      spec: { containers: [{ name: 'kserve-container', image: 'model' }] },
    },
  },
});

describe.skipIf(!REAL_KUBECONFIG)(`a real cluster${SKIPPED}`, () => {
  let token: string;
  const clusters: Cluster[] = [];
  const made: JsonObject[] = [];

  beforeAll(async () => {
    for (const name of ['kserve', NAMESPACE]) await makeNamespace(name);
    await putFile(join(DEPLOY, 'rbac.yaml'));
    token = await tokenOf();
  });
  afterEach(async () => {
    await Promise.all(clusters.splice(0).map(({ watch }) => watch.stop()));
    await Promise.all(made.splice(0).map(remove));
  });
  afterAll(async () => {
    for (const kind of ['ClusterRole', 'ClusterRoleBinding'])
      await remove({ apiVersion: 'rbac.authorization.k8s.io/v1', kind, metadata: { name: 'modelhook' } });
  });

  const make = (options: Partial<ClusterOptions> = {}): Cluster => {
    const cluster = createKubernetesCluster({
      name: 'real',
      access: { file: kubeconfigFor(token) },
      namespaces: [],
      log: SILENT_LOG,
      now: Date.now,
      pace: HASTY,
      ...options,
    });
    clusters.push(cluster);
    return cluster;
  };
  const start = async (options: Partial<ClusterOptions> = {}): Promise<Cluster> => {
    const cluster = make(options);
    cluster.watch.start();
    await untilListed(cluster, NAMESPACE);
    return cluster;
  };
  const place = (object: JsonObject): JsonObject => {
    made.push(object);
    return object;
  };
  const uidOf = (object: JsonObject | null): string => String(valueAt(object ?? {}, ['metadata', 'uid']));

  it('lets modelhook do all that it does, by the rules of deploy/rbac.yaml', async () => {
    expect(await make().reviewer.missingRights()).toEqual([]);
  });

  it('shows a service, its Deployment, its pods and what events tell, until they are gone', async () => {
    const { watch, applier } = await start();
    const seen = () => watch.seen(NAMESPACE, 'seen');
    await applier.apply(place(service('seen')), { dryRun: false, force: false });
    await put(place(deployment('seen-predictor', 'seen', 2)));
    await until(watch, () => seen().inferenceService !== null && seen().deployments[0]?.available === 2);
    expect(seen().pods).toHaveLength(2);
    expect(seen().replicaSets).toHaveLength(1);
    expect(seen().namespace).toBe('present');
    await remove(deployment('seen-predictor', 'seen'));
    await remove(service('seen'));
    await until(watch, () => seen().inferenceService === null && seen().pods.length === 0);
  });

  it('tells of pods that a quota forbids', async () => {
    const { watch } = await start();
    const pods = deployment('quota-predictor', 'quota');
    await put(
      place({ ...pods, spec: { ...(pods['spec'] as JsonObject), template: templateOfNobody(pods) } }),
    );
    await until(watch, () =>
      watch.seen(NAMESPACE, 'quota').events.some(({ reason }) => reason === 'FailedCreate'),
    );
    const [event] = watch.seen(NAMESPACE, 'quota').events;
    expect(event?.message).toContain('serviceaccount "nobody" not found');
  });

  it('applies, sees nothing to change the second time, and deletes only what it means', async () => {
    const { applier } = make();
    const where = { namespace: NAMESPACE, name: 'applied' };
    expect(await applier.get(where)).toBeNull();
    const first = await applier.apply(place(service('applied')), { dryRun: false, force: false });
    const second = await applier.apply(service('applied'), { dryRun: false, force: false });
    expect(valueAt(second, ['metadata', 'resourceVersion'])).toBe(
      valueAt(first, ['metadata', 'resourceVersion']),
    );
    expect(valueAt(first, ['metadata', 'managedFields', '0', 'manager'])).toBeUndefined();
    expect(JSON.stringify(first)).toContain('"manager":"modelhook","operation":"Apply"');
    expect(await applier.get(where)).toEqual(second);
    expect(await applier.remove(where, '00000000-0000-0000-0000-000000000000')).toBe('other');
    expect(await applier.remove(where, uidOf(first))).toBe('removed');
    expect(await applier.remove(where, uidOf(first))).toBe('absent');
  });

  it('changes nothing in a dry run', async () => {
    const { applier } = make();
    const would = await applier.apply(service('tried'), { dryRun: true, force: false });
    expect(valueAt(would, ['spec', 'predictor', 'minReplicas'])).toBe(1);
    expect(await applier.get({ namespace: NAMESPACE, name: 'tried' })).toBeNull();
  });

  it('names the other manager and the field in a conflict, and takes it over by force', async () => {
    const { applier } = make();
    await put(place(service('shared')), 'somebody');
    const mine = service('shared', { minReplicas: 2 });
    const error = await applier.apply(mine, { dryRun: true, force: false }).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(ApplyConflictError);
    expect(error.fields).toEqual([{ manager: 'somebody', field: '.spec.predictor.minReplicas' }]);
    expect(error.message).toBe(
      'the InferenceService vision/shared in cluster real has fields that others set: .spec.predictor.minReplicas belongs to somebody',
    );
    const forced = await applier.apply(mine, { dryRun: false, force: true });
    expect(valueAt(forced, ['spec', 'predictor', 'minReplicas'])).toBe(2);
  });

  it.each<[string, JsonObject, string]>([
    ['an unknown field', { nodeSelectr: {} }, '.spec.predictor.nodeSelectr: field not declared in schema'],
    ['another type', { minReplicas: 'one' }, '.spec.predictor.minReplicas: expected numeric'],
    [
      'a value that is not allowed',
      { model: { modelFormat: {} } },
      'spec.predictor.model.modelFormat.name: Required',
    ],
  ])('refuses %s in its own words', async (_, predictor, words) => {
    const error = await make()
      .applier.apply(service('bad', predictor), { dryRun: true, force: false })
      .catch((thrown) => thrown);
    expect(error).toBeInstanceOf(StalledError);
    expect(error.message).toContain('cluster real refuses the InferenceService vision/bad: ');
    expect(error.message).toContain(words);
  });

  it('says where the namespace does not exist, and makes none', async () => {
    const error = await make()
      .applier.apply(service('iris', {}, 'nowhere'), { dryRun: true, force: false })
      .catch((thrown) => thrown);
    expect(error).toBeInstanceOf(ClusterUnavailableError);
    expect(error.message).toBe(
      'cluster real has no namespace nowhere; make it, with what belongs in it: kubectl create namespace nowhere',
    );
  });

  it('shows that a namespace was deleted with all that was in it', async () => {
    const { watch } = await start();
    await makeNamespace('doomed');
    await put(service('iris', {}, 'doomed'));
    const seen = () => watch.seen('doomed', 'iris');
    await until(watch, () => seen().inferenceService !== null && seen().namespace === 'present');
    await remove({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'doomed' } });
    await until(watch, () => seen().inferenceService === null && seen().namespace === 'absent');
  });

  it('goes on where it was after the API server was away', async () => {
    const way = await openWay();
    const { watch } = await start({ access: { file: kubeconfigFor(token, way.server) } });
    await way.cut();
    await until(watch, () => watch.state(NAMESPACE).trouble !== null);
    // What is cut first may be a connection, or the next one that is tried.
    expect(watch.state(NAMESPACE).trouble?.message).toMatch(
      /^cluster real cannot be reached since \d\d:\d\d UTC: ./,
    );
    await put(place(service('meanwhile')));
    await way.mend();
    await until(
      watch,
      () =>
        watch.state(NAMESPACE).trouble === null &&
        watch.seen(NAMESPACE, 'meanwhile').inferenceService !== null,
    );
    await watch.stop();
    await way.cut();
  });

  it('takes the token of a pod, and the new one when it was rotated', async () => {
    const root = mkdtempSync(join(tmpdir(), 'modelhook-pod-'));
    const account = join(root, 'var/run/secrets/kubernetes.io/serviceaccount');
    mkdirSync(account, { recursive: true });
    writeFileSync(join(account, 'ca.crt'), readFileSync(CA));
    writeFileSync(join(account, 'token'), 'outdated-token');
    const { hostname, port } = new URL(SERVER);
    Object.assign(process.env, { KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port });
    const { watch } = make({ access: { inCluster: true, root } });
    watch.start();
    await until(watch, () => watch.state(NAMESPACE).trouble !== null);
    expect(watch.state(NAMESPACE).trouble?.message).toContain(
      "refuses the credentials of this pod's service account",
    );
    writeFileSync(join(account, 'token'), token);
    await until(watch, () => watch.state(NAMESPACE).listed && watch.state(NAMESPACE).trouble === null);
    delete process.env['KUBERNETES_SERVICE_HOST'];
    delete process.env['KUBERNETES_SERVICE_PORT'];
    rmSync(root, { recursive: true });
  });

  it('forbids what RBAC does not grant: the rest goes on, and this too once it is granted', async () => {
    const role = 'modelhook-narrow';
    const rbac = 'rbac.authorization.k8s.io/v1';
    const rules = (resources: string[]): JsonObject => ({
      apiVersion: rbac,
      kind: 'ClusterRole',
      metadata: { name: role },
      rules: [{ apiGroups: ['serving.kserve.io', 'apps', ''], resources, verbs: ['list', 'watch'] }],
    });
    await put({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: role, namespace: 'modelhook' } });
    await put(place(rules(['inferenceservices', 'deployments', 'replicasets', 'events', 'namespaces'])));
    await put(
      place({
        apiVersion: rbac,
        kind: 'ClusterRoleBinding',
        metadata: { name: role },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
        subjects: [{ kind: 'ServiceAccount', name: role, namespace: 'modelhook' }],
      }),
    );
    await put(place(service('narrow')));
    const { watch, applier, catalogue, reviewer } = make({
      access: { file: kubeconfigFor(await tokenOf(role)) },
    });
    watch.start();
    await until(watch, () => watch.state(NAMESPACE).trouble !== null);
    await until(watch, () => watch.seen(NAMESPACE, 'narrow').inferenceService !== null);
    expect(watch.state(NAMESPACE).trouble?.message).toMatch(
      /^cluster real forbids user "system:serviceaccount:modelhook:modelhook-narrow" to list and watch pods since \d\d:\d\d UTC; apply the rules of deploy\/rbac.yaml/,
    );
    expect(await reviewer.missingRights()).toContainEqual({
      group: '',
      resource: 'pods',
      verb: 'watch',
      namespace: null,
      name: null,
    });
    const refused = await applier
      .apply(service('narrow'), { dryRun: true, force: true })
      .catch((thrown) => thrown);
    expect(refused).toBeInstanceOf(ClusterUnavailableError);
    expect(refused.message).toContain(
      'to apply inferenceservices.serving.kserve.io narrow in namespace vision',
    );
    await until(watch, () => catalogue.knowledge(NAMESPACE).complete);
    expect(catalogue.knowledge(NAMESPACE)).toMatchObject({ runtimes: null, structure: null, knative: false });
    expect(catalogue.knowledge(NAMESPACE).warnings.join()).toContain('list and watch clusterservingruntimes');
    await put(rules(['inferenceservices', 'deployments', 'replicasets', 'events', 'namespaces', 'pods']));
    await until(watch, () => watch.state(NAMESPACE).listed && watch.state(NAMESPACE).trouble === null);
  });

  it('can be watched in single namespaces, by the rules of deploy/rbac-namespaced.yaml', async () => {
    for (const kind of ['ClusterRole', 'ClusterRoleBinding'])
      await remove({ apiVersion: 'rbac.authorization.k8s.io/v1', kind, metadata: { name: 'modelhook' } });
    await putFile(join(DEPLOY, 'rbac-namespaced.yaml'));
    const cluster = make({ namespaces: [NAMESPACE] });
    expect(await cluster.reviewer.missingRights()).toEqual([]);
    cluster.watch.start();
    await untilListed(cluster, NAMESPACE);
    await until(cluster.watch, () => cluster.catalogue.knowledge(NAMESPACE).complete);
    expect(cluster.catalogue.knowledge(NAMESPACE).warnings).toEqual([]);
    await put(place(service('limited')));
    await until(cluster.watch, () => cluster.watch.seen(NAMESPACE, 'limited').inferenceService !== null);
    expect(cluster.watch.seen(NAMESPACE, 'limited').namespace).toBeNull();
    await putFile(join(DEPLOY, 'rbac.yaml'));
  });

  it('tells what a plan needs: runtimes, the version of KServe, its CRD and settings', async () => {
    const controller = deployment('kserve-controller-manager', 'none');
    const image = { containers: [{ name: 'manager', image: 'docker.io/kserve/kserve-controller:v0.20.0' }] };
    const spec = controller['spec'] as JsonObject;
    const template = { ...(spec['template'] as JsonObject), spec: image };
    const metadata = { name: 'kserve-controller-manager', namespace: 'kserve' };
    await put(place({ ...controller, metadata, spec: { ...spec, template } }));
    await put(
      place({
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'inferenceservice-config', namespace: 'kserve' },
        data: { deploy: '{"defaultDeploymentMode": "Standard"}' },
      }),
    );
    await put(
      place({
        apiVersion: 'serving.kserve.io/v1alpha1',
        kind: 'ServingRuntime',
        metadata: { name: 'own', namespace: NAMESPACE },
        spec: {
          containers: [{ name: 'kserve-container', image: 'model' }],
          supportedModelFormats: [{ name: 'sklearn', version: '1' }],
        },
      }),
    );
    const { watch, catalogue } = await start();
    const known = () => catalogue.knowledge(NAMESPACE);
    await until(watch, () => known().complete && (known().runtimes?.runtimes.length ?? 0) > 0);
    expect(known()).toMatchObject({
      kserveVersion: 'v0.20.0',
      settings: { defaultDeploymentMode: 'Standard' },
      knative: false,
      warnings: [],
    });
    expect(known().runtimes?.runtimes.find(({ name }) => name === 'own')).toMatchObject({
      kind: 'ServingRuntime',
      namespace: NAMESPACE,
      formats: [{ name: 'sklearn', version: '1' }],
    });
    expect(catalogue.knowledge('default').runtimes?.runtimes.some(({ name }) => name === 'own')).toBe(false);
    expect(known().structure?.nodes.length).toBeGreaterThan(100);
  });
});

/** Pods that cannot be made. */
function templateOfNobody(object: JsonObject): JsonObject {
  const template = valueAt(object, ['spec', 'template']) as JsonObject;
  return { ...template, spec: { ...(template['spec'] as JsonObject), serviceAccountName: 'nobody' } };
}
