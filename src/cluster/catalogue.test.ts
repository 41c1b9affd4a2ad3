import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type FakeApiServer, PATHS, refuse, startFakeApiServer } from '../../test/cluster/fake-api-server.ts';
import type { JsonObject } from '../core/json.ts';
import { HASTY, type Named, SILENT_LOG, until } from './cluster.fixture.ts';
import type { Cluster, ClusterKnowledge } from './cluster.ts';
import { createKubernetesCluster } from './kubernetes.ts';

let server: FakeApiServer;
let cluster: Cluster;

beforeEach(async () => {
  server = await startFakeApiServer();
  cluster = createKubernetesCluster({
    name: 'prod',
    access: { file: server.kubeconfig },
    namespaces: [],
    log: SILENT_LOG,
    now: () => 0,
    pace: HASTY,
  });
});
afterEach(async () => {
  await cluster.watch.stop();
  await server.close();
});

const known = (namespace = 'vision'): ClusterKnowledge => cluster.catalogue.knowledge(namespace);

async function complete(): Promise<void> {
  cluster.watch.start();
  await until(cluster.watch, () => known().complete);
}

const runtime = (name: string, namespace?: string, spec: JsonObject = {}): Named => ({
  metadata: { name, ...(namespace !== undefined && { namespace }) },
  spec: { supportedModelFormats: [{ name: 'sklearn' }], containers: [{ name: 'kserve-container' }], ...spec },
});

const controller = (image: string): Named => ({
  metadata: { namespace: 'kserve', name: 'kserve-controller-manager' },
  spec: { template: { spec: { containers: [{ image: 'rbac-proxy:v0.13.1' }, { image }] } } },
});

const settings = (data: JsonObject): Named => ({
  metadata: { namespace: 'kserve', name: 'inferenceservice-config' },
  data,
});

const crd = (more: JsonObject = {}, model: JsonObject = { type: 'object', properties: {} }): Named => ({
  metadata: { name: 'inferenceservices.serving.kserve.io', ...more },
  spec: {
    group: 'serving.kserve.io',
    names: { kind: 'InferenceService' },
    versions: [
      {
        name: 'v1beta1',
        schema: {
          openAPIV3Schema: {
            type: 'object',
            properties: {
              spec: {
                type: 'object',
                properties: { predictor: { type: 'object', properties: { model } } },
              },
            },
          },
        },
      },
    ],
  },
});

describe('what is known of a cluster', () => {
  it('is nothing before it has answered', () => {
    expect(known()).toEqual({
      complete: false,
      runtimes: null,
      kserveVersion: null,
      structure: null,
      settings: null,
      knative: null,
      warnings: [],
    });
  });

  it('are its runtimes and those of the namespace, as they are now', async () => {
    server.put(PATHS.clusterRuntimes, runtime('shared'));
    server.put(PATHS.runtimes, runtime('own', 'vision'));
    server.put(PATHS.runtimes, runtime('foreign', 'audio'));
    await complete();
    const names = () => known().runtimes?.runtimes.map(({ name, namespace }) => [name, namespace]);
    expect(names()).toEqual([
      ['own', 'vision'],
      ['shared', null],
    ]);
    expect(known().runtimes?.source).toBe('cluster prod');
    server.remove(PATHS.runtimes, runtime('own', 'vision'));
    server.put(PATHS.clusterRuntimes, runtime('shared', undefined, { disabled: true }));
    await until(cluster.watch, () => known().runtimes?.runtimes[0]?.disabled === true);
    expect(names()).toEqual([['shared', null]]);
  });

  it('a runtime that cannot be read is a warning, and the others count', async () => {
    server.put(PATHS.clusterRuntimes, runtime('good'));
    server.put(PATHS.clusterRuntimes, runtime('odd', undefined, { supportedModelFormats: 'all' }));
    await complete();
    expect(known().runtimes?.runtimes.map(({ name }) => name)).toEqual(['good']);
    expect(known().warnings.join()).toContain(
      'ClusterServingRuntime odd cannot be used: spec.supportedModelFormats',
    );
  });

  it.each([
    ['kserve/kserve-controller:v0.20.0', 'v0.20.0'],
    ['registry.example.com:5000/mirror/kserve/kserve-controller:v0.15.2@sha256:00', 'v0.15.2'],
    ['kserve/kserve-controller:latest', null],
    ['kserve/kserve-controller@sha256:00', null],
    ['registry.example.com/platform:v4.1.0', null],
  ])('is the version of KServe by its controller: %s', async (image, version) => {
    server.put('/apis/apps/v1/deployments', controller(image));
    await complete();
    expect(known().kserveVersion).toBe(version);
  });

  it('is the version that the CRD is labelled with, where the controller does not tell', async () => {
    server.put(PATHS.crds, crd({ labels: { 'app.kubernetes.io/version': 'v0.17.0' } }));
    await complete();
    expect(known().kserveVersion).toBe('v0.17.0');
    expect(known().structure?.nodes.length).toBeGreaterThan(3);
  });

  it('is no structure where the CRD accepts anything, with a warning', async () => {
    server.put(PATHS.crds, crd({}, {}));
    await complete();
    expect(known().structure).toBeNull();
    expect(known().warnings.join()).toContain('so nothing can be checked against it');
  });

  it('are the mode that is the default, and a warning for what KServe cannot read either', async () => {
    server.put(PATHS.configMaps, settings({ deploy: '{"defaultDeploymentMode": "RawDeployment"}' }));
    await complete();
    expect(known().settings).toEqual({ defaultDeploymentMode: 'Standard' });
    server.put(PATHS.configMaps, settings({ deploy: '{' }));
    await until(cluster.watch, () => known().warnings.length > 0);
    expect(known().warnings.join()).toBe(
      'deploy of the ConfigMap kserve/inferenceservice-config is no JSON object, so KServe cannot read it either',
    );
  });

  it('are no runtimes where RBAC forbids to see those of the cluster, in words', async () => {
    server.intercept = (_, response, path) => {
      if (path === PATHS.clusterRuntimes) refuse(response, 403, 'User "us" cannot list resource');
      return path === PATHS.clusterRuntimes;
    };
    server.put(PATHS.runtimes, runtime('own', 'vision'));
    await complete();
    expect(known().runtimes).toBeNull();
    expect(known().warnings.join()).toContain(
      'cluster prod forbids user "us" to list and watch clusterservingruntimes.serving.kserve.io',
    );
  });
});
