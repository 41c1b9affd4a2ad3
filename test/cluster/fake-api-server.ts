/** A small API server of Kubernetes, for what a real one cannot be made to do when a test wants it: it forgets versions,
 * breaks connections, sends nonsense, falls silent, refuses tokens. It lists in pages, watches, and sends bookmarks. */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JsonObject } from '../../src/core/json.ts';

/** Paths of lists in the whole cluster; `/namespaces/…` in requests narrows them. */
export const PATHS = {
  services: '/apis/serving.kserve.io/v1beta1/inferenceservices',
  deployments: '/apis/apps/v1/deployments',
  replicaSets: '/apis/apps/v1/replicasets',
  pods: '/api/v1/pods',
  events: '/api/v1/events',
  namespaces: '/api/v1/namespaces',
  runtimes: '/apis/serving.kserve.io/v1alpha1/servingruntimes',
  clusterRuntimes: '/apis/serving.kserve.io/v1alpha1/clusterservingruntimes',
  crds: '/apis/apiextensions.k8s.io/v1/customresourcedefinitions',
  configMaps: '/api/v1/configmaps',
  knativeServices: '/apis/serving.knative.dev/v1/services',
  revisions: '/apis/serving.knative.dev/v1/revisions',
} as const;

/** What an object of a test has. */
export interface FakeObject extends JsonObject {
  metadata: JsonObject & { name: string };
}

type Change = { type: 'ADDED' | 'MODIFIED' | 'DELETED'; version: number; path: string; object: FakeObject };

interface Watcher {
  path: string;
  query: URLSearchParams;
  namespace: string | null;
  response: ServerResponse;
}

export interface FakeApiServer {
  url: string;
  /** Its kubeconfig, with the token `first`. */
  kubeconfig: string;
  /** `METHOD path?query` of each request. */
  requests: string[];
  /** Tokens that it takes. */
  tokens: Set<string>;
  /** Lists it knows; others are not found. */
  known: Set<string>;
  /** Answers in its place, where it returns true. */
  intercept: (request: IncomingMessage, response: ServerResponse, path: string) => boolean;
  put(path: string, object: FakeObject): void;
  remove(path: string, object: FakeObject): void;
  /** Forgets every version before now: who watches from one of them is told that it is gone. */
  compact(): void;
  /** Sends this to who watches a list. */
  write(path: string, text: string): void;
  /** A bookmark at the newest version. */
  bookmark(path: string): void;
  /** Breaks the connections of watches, of one list or all. */
  drop(path?: string): void;
  /** Number of watches on a list. */
  watching(path: string): number;
  /** @returns once a request has come that passes, from now on */
  requested(passes: (request: string) => boolean): Promise<string>;
  /** Writes the kubeconfig anew. */
  useUser(user: JsonObject): void;
  close(): Promise<void>;
}

export async function startFakeApiServer(): Promise<FakeApiServer> {
  const objects = new Map<string, Map<string, FakeObject>>();
  const waiting = new Set<{ passes: (request: string) => boolean; done: (request: string) => void }>();
  let history: Change[] = [];
  let watchers: Watcher[] = [];
  let version = 100;
  let oldest = 0;
  const folder = mkdtempSync(join(tmpdir(), 'modelhook-api-'));
  const http = createServer(answer);
  await once(http.listen(0, '127.0.0.1'), 'listening');
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;

  const server: FakeApiServer = {
    url,
    kubeconfig: join(folder, 'kubeconfig'),
    requests: [],
    tokens: new Set(['first-token']),
    known: new Set<string>(Object.values(PATHS)),
    intercept: () => false,
    put: (path, object) => {
      const list = objects.get(path) ?? new Map<string, FakeObject>();
      objects.set(path, list);
      const type = list.has(keyOf(object)) ? 'MODIFIED' : 'ADDED';
      version += 1;
      const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } };
      list.set(keyOf(object), stored);
      change({ type, version, path, object: stored });
    },
    remove: (path, object) => {
      objects.get(path)?.delete(keyOf(object));
      version += 1;
      const gone = { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } };
      change({ type: 'DELETED', version, path, object: gone });
    },
    compact: () => {
      version += 1;
      oldest = version;
      history = [];
    },
    write: (path, text) => {
      for (const watcher of watchers) if (watcher.path === path) watcher.response.write(text);
    },
    bookmark: (path) => {
      const object = { metadata: { resourceVersion: String(version) } };
      server.write(path, `${JSON.stringify({ type: 'BOOKMARK', object })}\n`);
    },
    drop: (path) => {
      for (const watcher of watchers)
        if (path === undefined || watcher.path === path) watcher.response.destroy();
    },
    watching: (path) => watchers.filter((watcher) => watcher.path === path).length,
    requested: (passes) => new Promise((done) => waiting.add({ passes, done })),
    useUser: (user) =>
      writeFileSync(
        server.kubeconfig,
        JSON.stringify({
          clusters: [{ name: 'lab', cluster: { server: url, 'insecure-skip-tls-verify': true } }],
          users: [{ name: 'ci', user }],
          contexts: [{ name: 'lab', context: { cluster: 'lab', user: 'ci' } }],
          'current-context': 'lab',
        }),
      ),
    close: async () => {
      http.close();
      http.closeAllConnections();
      await once(http, 'close').catch(() => {});
      rmSync(folder, { recursive: true, force: true });
    },
  };
  server.useUser({ token: 'first-token' });

  function change(made: Change): void {
    history.push(made);
    for (const watcher of watchers) if (concerns(watcher, made)) send(watcher, made);
  }

  const send = (watcher: Watcher, { type, object }: Change): void => {
    watcher.response.write(`${JSON.stringify({ type, object })}\n`);
  };

  function answer(request: IncomingMessage, response: ServerResponse): void {
    const { pathname, searchParams } = new URL(request.url ?? '/', url);
    const told = `${request.method} ${request.url}`;
    server.requests.push(told);
    for (const one of waiting) {
      if (!one.passes(told)) continue;
      waiting.delete(one);
      one.done(told);
    }
    const place = /^(.*)\/namespaces\/([^/]+)\/(\w+)$/.exec(pathname);
    const path = place === null ? pathname : `${place[1]}/${place[3]}`;
    const token = request.headers.authorization?.replace('Bearer ', '') ?? '';
    if (server.intercept(request, response, path)) return;
    if (!server.tokens.has(token)) refuse(response, 401, 'Unauthorized');
    else if (!server.known.has(path)) response.writeHead(404).end('404 page not found\n');
    else if (searchParams.get('watch') === 'true')
      watch({ path, query: searchParams, namespace: place?.[2] ?? null, response });
    else list(path, place?.[2] ?? null, searchParams, response);
  }

  function list(
    path: string,
    namespace: string | null,
    query: URLSearchParams,
    response: ServerResponse,
  ): void {
    const all = [...(objects.get(path)?.values() ?? [])].filter((object) =>
      selects(query, namespace, object),
    );
    const from = Number(query.get('continue') ?? 0);
    const limit = Number(query.get('limit') ?? all.length);
    const items = all.slice(from, from + limit);
    const more = from + limit < all.length ? String(from + limit) : '';
    reply(response, 200, { metadata: { resourceVersion: String(version), continue: more }, items });
  }

  function watch(watcher: Watcher): void {
    const from = Number(watcher.query.get('resourceVersion'));
    watcher.response.writeHead(200, { 'content-type': 'application/json' });
    watcher.response.flushHeaders();
    if (from < oldest) {
      const object = { kind: 'Status', code: 410, reason: 'Expired', message: 'too old resource version' };
      watcher.response.end(`${JSON.stringify({ type: 'ERROR', object })}\n`);
      return;
    }
    for (const made of history) if (made.version > from && concerns(watcher, made)) send(watcher, made);
    watchers.push(watcher);
    watcher.response.on('close', () => {
      watchers = watchers.filter((other) => other !== watcher);
    });
  }

  return server;
}

const keyOf = ({ metadata }: FakeObject): string => `${metadata['namespace'] ?? ''}/${metadata.name}`;

const concerns = ({ path, query, namespace }: Watcher, made: Change): boolean =>
  made.path === path && selects(query, namespace, made.object);

function selects(query: URLSearchParams, namespace: string | null, { metadata }: FakeObject): boolean {
  const label = query.get('labelSelector');
  const name = query.get('fieldSelector')?.replace('metadata.name=', '');
  const labels = (metadata['labels'] ?? {}) as JsonObject;
  if (namespace !== null && metadata['namespace'] !== namespace) return false;
  return (label === null || label in labels) && (name === undefined || metadata.name === name);
}

/** Answers with JSON. */
export const reply = (response: ServerResponse, code: number, body: JsonObject): void => {
  response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(body));
};

/** Answers with a Status, as an API server that says no. */
export const refuse = (response: ServerResponse, code: number, message: string): void =>
  reply(response, code, { kind: 'Status', status: 'Failure', code, message });
