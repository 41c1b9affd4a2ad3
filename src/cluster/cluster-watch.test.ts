import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type FakeApiServer,
  PATHS,
  refuse,
  reply,
  startFakeApiServer,
} from '../../test/cluster/fake-api-server.ts';
import { eventOf, HASTY, podOf, SILENT_LOG, serviceOf, until, untilListed } from './cluster.fixture.ts';
import type { Cluster } from './cluster.ts';
import { type ClusterOptions, createKubernetesCluster } from './kubernetes.ts';

let server: FakeApiServer;
let cluster: Cluster;
const clusters: Cluster[] = [];
const NOON = Date.parse('2026-03-01T12:00:00Z');
let clock = NOON;

beforeEach(async () => {
  clock = NOON;
  server = await startFakeApiServer();
  cluster = make();
});
afterEach(async () => {
  await Promise.all(clusters.splice(0).map(({ watch }) => watch.stop()));
  await server.close();
});

function make(options: Partial<ClusterOptions> = {}): Cluster {
  const made = createKubernetesCluster({
    name: 'prod',
    access: { file: server.kubeconfig },
    namespaces: [],
    log: SILENT_LOG,
    now: () => clock,
    pace: HASTY,
    ...options,
  });
  clusters.push(made);
  return made;
}

const urlOf = (name: string, namespace = 'vision'): string | null | undefined =>
  cluster.watch.seen(namespace, name).inferenceService?.url;
const podsOf = (name: string): string[] => cluster.watch.seen('vision', name).pods.map((pod) => pod.name);
const troubleIn = (namespace: string, of = cluster): string | undefined =>
  of.watch.state(namespace).trouble?.message;

async function start(): Promise<void> {
  cluster.watch.start();
  await untilListed(cluster, 'vision');
}

const watchesOf = (path: string): string[] =>
  server.requests.filter((request) => request.includes(`${path}?`) && request.includes('watch=true'));
const listsOf = (path: string): string[] =>
  server.requests.filter((request) => request.includes(`${path}?`) && !request.includes('watch=true'));

describe('what is seen', () => {
  it('is nothing before the first list, and then all that belongs to the service', async () => {
    server.put(PATHS.services, serviceOf('vision', 'iris', 'http://one'));
    server.put(PATHS.pods, podOf('vision', 'iris', 'iris-a'));
    server.put(PATHS.pods, podOf('vision', 'other', 'other-a'));
    server.put(PATHS.pods, podOf('ml', 'iris', 'elsewhere'));
    server.put(PATHS.namespaces, { metadata: { name: 'vision' }, status: { phase: 'Active' } });
    expect(cluster.watch.state('vision')).toEqual({ listed: false, trouble: null });
    expect(cluster.watch.seen('vision', 'iris').inferenceService).toBeNull();
    await start();
    expect(urlOf('iris')).toBe('http://one');
    expect(podsOf('iris')).toEqual(['iris-a']);
    expect(cluster.watch.seen('vision', 'iris').namespace).toBe('present');
    expect(cluster.watch.seen('nowhere', 'iris').namespace).toBe('absent');
  });

  it('is told as it changes, with the service it belongs to', async () => {
    server.put(PATHS.services, serviceOf('vision', 'iris'));
    await start();
    const told: unknown[] = [];
    cluster.watch.onChange((namespace, name) => told.push([namespace, name]));
    server.put(PATHS.pods, podOf('vision', 'iris', 'iris-a'));
    await until(cluster.watch, () => podsOf('iris').length === 1);
    server.remove(PATHS.pods, podOf('vision', 'iris', 'iris-a'));
    await until(cluster.watch, () => podsOf('iris').length === 0);
    expect(told).toEqual([
      ['vision', 'iris'],
      ['vision', 'iris'],
    ]);
  });

  it('is not told again where nothing that counts has changed', async () => {
    server.put(PATHS.services, serviceOf('vision', 'iris'));
    await start();
    const told: unknown[] = [];
    cluster.watch.onChange((namespace, name) => told.push([namespace, name]));
    const service = serviceOf('vision', 'iris');
    server.put(PATHS.services, { ...service, metadata: { ...service.metadata, managedFields: [1] } });
    server.put(PATHS.services, serviceOf('vision', 'iris', 'http://new'));
    await until(cluster.watch, () => urlOf('iris') === 'http://new');
    expect(told).toEqual([['vision', 'iris']]);
  });

  it('takes pages of a list, and one watch a kind however many services there are', async () => {
    for (let n = 0; n < 10; n += 1)
      server.put(PATHS.services, serviceOf('vision', `iris-${n}`, `http://${n}`));
    await start();
    expect(listsOf(PATHS.services)).toHaveLength(4);
    expect(urlOf('iris-9')).toBe('http://9');
    for (const path of [PATHS.services, PATHS.pods, PATHS.deployments, PATHS.replicaSets, PATHS.events])
      expect(watchesOf(path).length).toBe(1);
    expect(watchesOf(PATHS.pods)[0]).toContain('labelSelector=serving.kserve.io%2Finferenceservice');
  });

  it('lists in one answer where the pages expire', async () => {
    for (let n = 0; n < 5; n += 1)
      server.put(PATHS.services, serviceOf('vision', `iris-${n}`, `http://${n}`));
    server.intercept = (request, response) => {
      const isPage = request.url?.includes('continue=') ?? false;
      if (isPage) refuse(response, 410, 'The provided continue parameter is too old');
      return isPage;
    };
    await start();
    expect(urlOf('iris-4')).toBe('http://4');
  });

  it('keeps listeners apart: one that throws harms no other', async () => {
    await start();
    cluster.watch.onChange(() => {
      throw new Error('a bug');
    });
    server.put(PATHS.services, serviceOf('vision', 'iris', 'http://one'));
    await until(cluster.watch, () => urlOf('iris') === 'http://one');
  });
});

describe('events', () => {
  const messages = (name: string) => cluster.watch.seen('vision', name).events.map(({ message }) => message);

  it('are those about objects that belong to the service, in the order in which they happened', async () => {
    server.put(PATHS.services, serviceOf('vision', 'iris'));
    server.put(PATHS.pods, podOf('vision', 'iris', 'iris-a'));
    server.put(PATHS.events, eventOf('vision', 'b', 'iris-a', 'Failed', 2));
    server.put(PATHS.events, eventOf('vision', 'c', 'iris-a', 'BackOff', 1));
    server.put(PATHS.events, eventOf('vision', 'd', 'another', 'Failed', 1));
    await start();
    expect(messages('iris')).toEqual(['BackOff c', 'Failed b']);
  });

  it('that come before their object are found when it comes', async () => {
    await start();
    server.put(PATHS.events, eventOf('vision', 'early', 'iris-a'));
    server.put(PATHS.events, eventOf('vision', 'mark', 'seen', 'Failed'));
    server.put(PATHS.pods, podOf('vision', 'iris', 'iris-a'));
    await until(cluster.watch, () => messages('iris').length === 1);
    expect(messages('iris')).toEqual(['Failed early']);
  });

  it('that expire are dropped, and so are those of an object that is gone', async () => {
    server.put(PATHS.pods, podOf('vision', 'iris', 'iris-a'));
    server.put(PATHS.events, eventOf('vision', 'one', 'iris-a'));
    server.put(PATHS.events, eventOf('vision', 'two', 'iris-a', 'BackOff', 2));
    await start();
    server.remove(PATHS.events, eventOf('vision', 'one', 'iris-a'));
    await until(cluster.watch, () => messages('iris').length === 1);
    server.remove(PATHS.pods, podOf('vision', 'iris', 'iris-a'));
    await until(cluster.watch, () => messages('iris').length === 0);
  });
});

describe('a watch', () => {
  it('that breaks goes on from the last version, without a new list', async () => {
    server.put(PATHS.services, serviceOf('vision', 'iris', 'http://one'));
    await start();
    server.drop(PATHS.services);
    server.put(PATHS.services, serviceOf('vision', 'iris', 'http://two'));
    await until(cluster.watch, () => urlOf('iris') === 'http://two');
    expect(listsOf(PATHS.services)).toHaveLength(1);
    expect(troubleIn('vision')).toBeUndefined();
  });

  it('that breaks in the middle of an event gets it whole the next time', async () => {
    await start();
    const again = server.requested(
      (request) => request.includes(PATHS.services) && request.includes('watch'),
    );
    server.write(PATHS.services, '{"type":"ADDED","object":{"metadata":{"na');
    server.drop(PATHS.services);
    await again;
    server.put(PATHS.services, serviceOf('vision', 'iris', 'http://one'));
    await until(cluster.watch, () => urlOf('iris') === 'http://one');
    expect(listsOf(PATHS.services)).toHaveLength(1);
  });

  it('goes on from a bookmark, though everything before it is forgotten', async () => {
    await start();
    server.put(PATHS.pods, podOf('vision', 'iris', 'iris-a'));
    server.compact();
    server.bookmark(PATHS.services);
    // Both go the same way, so the bookmark has come when this has.
    server.put(PATHS.services, serviceOf('vision', 'iris', 'http://one'));
    await until(cluster.watch, () => urlOf('iris') === 'http://one');
    const again = server.requested(
      (request) => request.includes(PATHS.services) && request.includes('watch'),
    );
    server.drop(PATHS.services);
    expect(Number(new URLSearchParams((await again).split('?')[1]).get('resourceVersion'))).toBeGreaterThan(
      100,
    );
    server.put(PATHS.services, serviceOf('vision', 'iris', 'http://two'));
    await until(cluster.watch, () => urlOf('iris') === 'http://two');
    expect(listsOf(PATHS.services)).toHaveLength(1);
  });

  it('whose version is gone lists anew, and keeps meanwhile what was known', async () => {
    server.put(PATHS.services, serviceOf('vision', 'iris', 'http://one'));
    server.put(PATHS.services, serviceOf('vision', 'gone', 'http://gone'));
    await start();
    let release = (): void => {};
    server.intercept = (request, response, path) => {
      if (path !== PATHS.services || request.url?.includes('watch=true')) return false;
      // The list is held back until the test has looked.
      server.intercept = () => false;
      release = () =>
        reply(response, 200, {
          metadata: { resourceVersion: '100000' },
          items: [serviceOf('vision', 'iris', 'http://two')],
        });
      return true;
    };
    const again = server.requested(
      (request) => request.includes(PATHS.services) && !request.includes('watch'),
    );
    server.drop(PATHS.services);
    server.compact();
    await again;
    expect(urlOf('iris')).toBe('http://one');
    expect(cluster.watch.state('vision')).toEqual({ listed: true, trouble: null });
    release();
    await until(cluster.watch, () => urlOf('iris') === 'http://two' && urlOf('gone') === undefined);
  });

  it.each([
    ['no JSON', 'garbage\n'],
    ['half an event', '{"type":"ADDED"}\n'],
    ['an object without a version', '{"type":"ADDED","object":{"metadata":{"name":"x"}}}\n'],
    ['no text', '\u0000\u0001\n'],
  ])('that sends %s lists anew', async (_, text) => {
    server.put(PATHS.services, serviceOf('vision', 'iris', 'http://one'));
    await start();
    const again = server.requested(
      (request) => request.includes(PATHS.services) && !request.includes('watch'),
    );
    server.write(PATHS.services, text);
    await again;
    server.put(PATHS.services, serviceOf('vision', 'iris', 'http://two'));
    await until(cluster.watch, () => urlOf('iris') === 'http://two' && troubleIn('vision') === undefined);
  });

  it('that is silent for too long is made anew', async () => {
    cluster = make({ pace: { ...HASTY, silence: 300 } });
    await start();
    const request = await server.requested(
      (one) => one.includes(PATHS.services) && one.includes('watch=true'),
    );
    expect(request).toContain('allowWatchBookmarks=true');
    expect(listsOf(PATHS.services)).toHaveLength(1);
  });

  it('ends with stop, and nothing is asked any more', async () => {
    await start();
    await cluster.watch.stop();
    const asked = server.requests.length;
    server.put(PATHS.services, serviceOf('vision', 'iris', 'http://one'));
    expect(server.requests).toHaveLength(asked);
    expect(urlOf('iris')).toBeUndefined();
  });
});

describe('whether what is known may be old', () => {
  const asked = () => server.requests.filter((request) => request === 'GET /version').length;
  /** Swallows what comes, like a network that drops packets: no connection breaks. */
  const vanish = (): void => {
    server.intercept = () => true;
  };

  it('is not asked while something was heard a moment ago, or before anything is known', async () => {
    await cluster.watch.check();
    await start();
    await cluster.watch.check();
    expect(asked()).toBe(0);
  });

  it('is asked once for all who want to know, and any answer of the API server will do', async () => {
    cluster = make({ pace: { ...HASTY, quiet: 0 } });
    await start();
    await Promise.all([cluster.watch.check(), cluster.watch.check()]);
    expect(asked()).toBe(1);
    expect(troubleIn('vision')).toBeUndefined();
  });

  it('is told as trouble where nothing answers, and over once everything is listed anew', async () => {
    cluster = make({ pace: { ...HASTY, quiet: 0, sign: 50, answer: 200 } });
    server.put(PATHS.services, serviceOf('vision', 'iris', 'http://one'));
    await start();
    vanish();
    await cluster.watch.check();
    expect(troubleIn('vision')).toBe(
      `cluster prod gives no answer in time since 12:00 UTC; check that it runs, and its address, proxy and certificate authority in the kubeconfig ${server.kubeconfig}`,
    );
    expect(urlOf('iris')).toBe('http://one');
    // While it is known, nobody asks.
    await cluster.watch.check();
    expect(asked()).toBe(1);
    const seenAtEnd = new Promise((resolve) => {
      cluster.watch.onChange(() => {
        if (troubleIn('vision') === undefined) resolve(urlOf('iris'));
      });
    });
    server.intercept = () => false;
    server.put(PATHS.services, serviceOf('vision', 'iris', 'http://two'));
    expect(await seenAtEnd).toBe('http://two');
  });

  it('is told as trouble where only what stands before the API server answers', async () => {
    cluster = make({ pace: { ...HASTY, quiet: 0 } });
    await start();
    server.intercept = (_, response) => {
      response.writeHead(503).end('no healthy upstream');
      return true;
    };
    await cluster.watch.check();
    expect(troubleIn('vision')).toContain('cluster prod answers 503 since 12:00 UTC; check');
  });
});

describe('trouble is told in words, and ends', () => {
  it('once everything is up to date again, and not before', async () => {
    const names = Array.from({ length: 20 }, (_, index) => `iris-${index}`);
    for (const name of names) server.put(PATHS.services, serviceOf('vision', name, 'http://one'));
    await start();
    server.intercept = (_, response) => {
      refuse(response, 503, 'no');
      return true;
    };
    server.drop();
    await until(cluster.watch, () => troubleIn('vision') !== undefined);
    const seenAtEnd = new Promise<unknown[]>((resolve) => {
      cluster.watch.onChange(() => {
        if (troubleIn('vision') === undefined) resolve(names.map((name) => urlOf(name)));
      });
    });
    for (const name of names) server.put(PATHS.services, serviceOf('vision', name, 'http://two'));
    server.intercept = () => false;
    expect(new Set(await seenAtEnd)).toEqual(new Set(['http://two']));
  });

  it('since it began, though it goes on in other words, and what was seen stays', async () => {
    server.put(PATHS.services, serviceOf('vision', 'iris', 'http://one'));
    await start();
    clock += 120_000;
    let code = 500;
    server.intercept = (_, response) => {
      refuse(response, code, 'no');
      return true;
    };
    server.drop();
    await until(cluster.watch, () => troubleIn('vision') !== undefined);
    clock += 120_000;
    code = 503;
    await until(cluster.watch, () => troubleIn('vision')?.includes('503') ?? false);
    expect(cluster.watch.state('vision')).toMatchObject({ listed: true, trouble: { since: NOON + 120_000 } });
    expect(troubleIn('vision')).toContain('since 12:02 UTC');
    expect(urlOf('iris')).toBe('http://one');
  });

  it('while it cannot be reached', async () => {
    server.intercept = (_, response) => {
      response.destroy();
      return true;
    };
    cluster.watch.start();
    await until(cluster.watch, () => troubleIn('vision') !== undefined);
    expect(troubleIn('vision')).toBe(
      `cluster prod cannot be reached since 12:00 UTC: other side closed; check that it runs, and its address, proxy and certificate authority in the kubeconfig ${server.kubeconfig}`,
    );
    expect(cluster.watch.state('vision').listed).toBe(false);
    server.intercept = () => false;
    await untilListed(cluster, 'vision');
  });

  it.each([429, 500, 503])('while it answers %i', async (code) => {
    server.intercept = (_, response) => {
      refuse(response, code, 'too many requests');
      return true;
    };
    cluster.watch.start();
    await until(cluster.watch, () => troubleIn('vision') !== undefined);
    expect(troubleIn('vision')).toContain(
      `cluster prod answers ${code} since 12:00 UTC: too many requests; check`,
    );
    server.intercept = () => false;
    await untilListed(cluster, 'vision');
  });

  it('while it gives no answer in time', async () => {
    server.intercept = () => true;
    cluster = make({ pace: { ...HASTY, answer: 100 } });
    cluster.watch.start();
    await until(cluster.watch, () => troubleIn('vision') !== undefined);
    expect(troubleIn('vision')).toContain('cluster prod gives no answer in time since 12:00 UTC; check');
    server.intercept = () => false;
    await untilListed(cluster, 'vision');
  });

  it('for all watches at once when it ends for one', async () => {
    // They would wait for an hour, but for one.
    cluster = make({ pace: { ...HASTY, first: 3_600_000, most: 3_600_000 } });
    let isFirst = true;
    server.intercept = (_, response, path) => {
      if (path === PATHS.configMaps && isFirst) return false;
      response.destroy();
      return true;
    };
    cluster.watch.start();
    await until(cluster.watch, () => troubleIn('vision') !== undefined);
    server.intercept = () => false;
    isFirst = false;
    server.drop(PATHS.configMaps);
    await server.requested((request) => request.includes(PATHS.configMaps.replace('/configmaps', '')));
  });

  it('for all watches at once when it ends for one, however long the others were asked to wait', async () => {
    server.intercept = (_, response, path) => {
      if (path === PATHS.pods) response.setHeader('retry-after', '3600');
      refuse(response, 503, path);
      return true;
    };
    cluster.watch.start();
    // Pods are asked for once and then not for long; the others again and again.
    const isOfServices = (request: string) => request.includes(PATHS.services);
    await server.requested(isOfServices);
    await server.requested(isOfServices);
    await until(cluster.watch, () => troubleIn('vision') !== undefined);
    server.intercept = () => false;
    await untilListed(cluster, 'vision');
  });

  it('for one kind that RBAC forbids, while the others go on', async () => {
    const words = 'pods is forbidden: User "system:serviceaccount:a:b" cannot list resource "pods"';
    server.intercept = (_, response, path) => {
      if (path === PATHS.pods) refuse(response, 403, words);
      return path === PATHS.pods;
    };
    server.put(PATHS.services, serviceOf('vision', 'iris', 'http://one'));
    cluster.watch.start();
    await until(cluster.watch, () => troubleIn('vision') !== undefined && urlOf('iris') === 'http://one');
    expect(troubleIn('vision')).toBe(
      'cluster prod forbids user "system:serviceaccount:a:b" to list and watch pods since 12:00 UTC; apply the rules of deploy/rbac.yaml, or deploy/rbac-namespaced.yaml for single namespaces',
    );
    server.intercept = () => false;
    server.put(PATHS.pods, podOf('vision', 'iris', 'iris-a'));
    await untilListed(cluster, 'vision');
    expect(podsOf('iris')).toEqual(['iris-a']);
  });

  it('where KServe is not installed, until it is', async () => {
    server.known.delete(PATHS.services);
    cluster.watch.start();
    await until(cluster.watch, () => troubleIn('vision') !== undefined);
    expect(troubleIn('vision')).toBe(
      'cluster prod has no inferenceservices.serving.kserve.io since 12:00 UTC; install KServe there',
    );
    server.known.add(PATHS.services);
    await untilListed(cluster, 'vision');
  });

  it('while the CRD of KServe goes, from before it takes the services with it until it is back', async () => {
    const crd = { metadata: { name: 'inferenceservices.serving.kserve.io' } };
    const deletionTimestamp = '2026-03-01T12:00:00Z';
    server.put(PATHS.crds, crd);
    server.put(PATHS.services, serviceOf('vision', 'iris'));
    await start();
    await until(cluster.watch, () => cluster.catalogue.knowledge('vision').complete);
    server.put(PATHS.crds, { metadata: { ...crd.metadata, deletionTimestamp } });
    await until(cluster.watch, () => troubleIn('vision') !== undefined);
    // Seen still, and without an address.
    expect(urlOf('iris')).toBeNull();
    expect(troubleIn('vision')).toBe(
      'cluster prod is deleting the CRD inferenceservices.serving.kserve.io, and every InferenceService with it since 12:00 UTC; install KServe there again',
    );
    clock += 60_000;
    server.remove(PATHS.crds, crd);
    await until(cluster.watch, () => troubleIn('vision')?.includes('is deleting') === false);
    expect(troubleIn('vision')).toBe(
      'cluster prod has no CRD inferenceservices.serving.kserve.io any more since 12:00 UTC; install KServe there again',
    );
    server.put(PATHS.crds, crd);
    await until(cluster.watch, () => troubleIn('vision') === undefined);
  });

  it('where the CRD of KServe went while its watch was down', async () => {
    const crd = { metadata: { name: 'inferenceservices.serving.kserve.io' } };
    server.put(PATHS.crds, crd);
    await start();
    await until(cluster.watch, () => cluster.catalogue.knowledge('vision').complete);
    server.remove(PATHS.crds, crd);
    server.compact();
    server.drop(PATHS.crds);
    await until(cluster.watch, () => troubleIn('vision')?.includes('any more') ?? false);
  });

  it('but not where Knative is not installed, also when RBAC forbids to look', async () => {
    server.known.delete(PATHS.knativeServices);
    server.known.delete(PATHS.revisions);
    server.intercept = (_, response, path) => {
      if (path === PATHS.revisions) refuse(response, 403, 'User "us" cannot list resource "revisions"');
      return path === PATHS.revisions;
    };
    await start();
    await until(cluster.watch, () => cluster.catalogue.knowledge('vision').knative === false);
    server.intercept = () => false;
    server.known.add(PATHS.knativeServices).add(PATHS.revisions);
    await until(cluster.watch, () => cluster.catalogue.knowledge('vision').knative === true);
  });

  it('while the kubeconfig cannot be used, and of it no line', async () => {
    await start();
    writeFileSync(server.kubeconfig, 'users: [{name: ci, user: {token: first-token');
    server.drop();
    await until(cluster.watch, () => troubleIn('vision') !== undefined);
    expect(troubleIn('vision')).toBe(
      `cluster prod cannot be asked since 12:00 UTC: ${server.kubeconfig} is no valid kubeconfig; run "kubectl config view" with it, which tells why`,
    );
    server.useUser({ token: 'first-token' });
    await untilListed(cluster, 'vision');
  });

  it('in the log once when it begins, and once when it is over, for all watches', async () => {
    const lines: string[] = [];
    const log = {
      ...SILENT_LOG,
      info: (_: object, message: string) => lines.push(message),
      warn: (_: object, message: string) => lines.push(message),
    };
    cluster = make({ log });
    server.tokens.clear();
    cluster.watch.start();
    await until(cluster.watch, () => cluster.catalogue.knowledge('vision').complete || lines.length > 1);
    server.tokens.add('first-token');
    await untilListed(cluster, 'vision');
    await until(cluster.watch, () => cluster.catalogue.knowledge('vision').warnings.length === 0);
    expect(lines).toEqual([
      `cluster prod refuses the credentials of user "ci" in the kubeconfig ${server.kubeconfig}; renew them, for they may have expired`,
      'cluster prod is watched again',
    ]);
  });

  it('of one cluster, and the other goes on', async () => {
    const other = await startFakeApiServer();
    const staging = make({ name: 'staging', access: { file: other.kubeconfig } });
    staging.watch.start();
    await untilListed(staging, 'vision');
    server.tokens.clear();
    cluster.watch.start();
    await until(cluster.watch, () => troubleIn('vision') !== undefined);
    expect(staging.watch.state('vision')).toEqual({ listed: true, trouble: null });
    await staging.watch.stop();
    await other.close();
  });
});

describe('credentials', () => {
  it('that are refused are told without being shown, and taken from the file once it has others', async () => {
    server.tokens = new Set(['second-token']);
    cluster.watch.start();
    await until(cluster.watch, () => troubleIn('vision') !== undefined);
    expect(troubleIn('vision')).toBe(
      `cluster prod refuses the credentials of user "ci" in the kubeconfig ${server.kubeconfig} since 12:00 UTC; renew them, for they may have expired`,
    );
    server.useUser({ token: 'second-token' });
    await untilListed(cluster, 'vision');
  });

  it('of a program are asked for again when they are refused, without a word', async () => {
    const file = join(server.kubeconfig, '..', 'token');
    writeFileSync(file, 'first-token');
    const script = `console.log(JSON.stringify({ status: { token: require('node:fs').readFileSync(${JSON.stringify(file)}, 'utf8') } }))`;
    server.useUser({
      exec: { command: process.execPath, args: ['--eval', script], interactiveMode: 'Never' },
    });
    await start();
    const told: (string | undefined)[] = [];
    cluster.watch.onChange(() => told.push(troubleIn('vision')));
    writeFileSync(file, 'second-token');
    server.tokens = new Set(['second-token']);
    server.drop();
    await server.requested((request) => request.includes('watch'));
    server.put(PATHS.services, serviceOf('vision', 'iris', 'http://one'));
    await until(cluster.watch, () => urlOf('iris') === 'http://one');
    expect(told).toEqual([undefined]);
  });

  it('are missing where the process runs in no pod', async () => {
    cluster = make({ access: { inCluster: true } });
    cluster.watch.start();
    await until(cluster.watch, () => troubleIn('vision') !== undefined);
    expect(troubleIn('vision')).toContain('this process runs in no pod of a cluster');
  });
});

describe('limited to namespaces', () => {
  it('each is watched by itself, and others are said not to be', async () => {
    cluster = make({ namespaces: ['vision', 'audio'] });
    server.put(PATHS.services, serviceOf('vision', 'iris', 'http://one'));
    server.put(PATHS.services, serviceOf('audio', 'iris', 'http://two'));
    server.put(PATHS.services, serviceOf('secret', 'iris', 'http://three'));
    cluster.watch.start();
    await untilListed(cluster, 'vision');
    await untilListed(cluster, 'audio');
    expect([urlOf('iris'), urlOf('iris', 'audio'), urlOf('iris', 'secret')]).toEqual([
      'http://one',
      'http://two',
      undefined,
    ]);
    expect(server.requests.some((request) => request.includes(`${PATHS.pods}?`))).toBe(false);
    expect(troubleIn('secret')).toBe(
      'cluster prod is watched in vision, audio only, not in namespace secret; add it to clusters.prod.namespaces',
    );
  });

  it('trouble in one is none of the other', async () => {
    cluster = make({ namespaces: ['vision', 'audio'] });
    server.intercept = (request, response) => {
      const isTrouble = request.url?.includes('/namespaces/audio/pods') ?? false;
      if (isTrouble) refuse(response, 403, 'User "us" cannot list resource "pods"');
      return isTrouble;
    };
    cluster.watch.start();
    await untilListed(cluster, 'vision');
    await until(cluster.watch, () => troubleIn('audio') !== undefined);
    expect(troubleIn('audio')).toContain('forbids user "us" to list and watch pods in namespace audio');
  });
});

describe('whatever happens between', () => {
  it('in the end what is seen is what there is', async () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ do: fc.constant('put' as const), n: fc.nat(4), url: fc.nat(9) }) },
      { weight: 3, arbitrary: fc.record({ do: fc.constant('remove' as const), n: fc.nat(4) }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('drop', 'compact', 'bookmark', 'garbage') }) },
    );
    await start();
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const expected = new Map<string, string>();
        for (let n = 0; n < 5; n += 1) server.remove(PATHS.services, serviceOf('vision', `iris-${n}`));
        for (const one of steps) {
          const name = 'n' in one ? `iris-${one.n}` : '';
          if (one.do === 'put' && 'url' in one) {
            expected.set(name, `http://${one.url}`);
            server.put(PATHS.services, serviceOf('vision', name, `http://${one.url}`));
          } else if (one.do === 'remove') {
            expected.delete(name);
            server.remove(PATHS.services, serviceOf('vision', name));
          } else if (one.do === 'drop') server.drop(PATHS.services);
          else if (one.do === 'compact') server.compact();
          else if (one.do === 'bookmark') server.bookmark(PATHS.services);
          else server.write(PATHS.services, 'garbage\n');
        }
        await until(cluster.watch, () =>
          [0, 1, 2, 3, 4].every((n) => urlOf(`iris-${n}`) === expected.get(`iris-${n}`)),
        );
      }),
      { numRuns: 60 },
    );
  });
});
