/** A disposable cluster, named by MODELHOOK_TEST_KUBECONFIG, and what tests do in it as its administrator. */
import { once } from 'node:events';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parse, parseAllDocuments } from 'yaml';
import { createApi } from '../../src/cluster/api.ts';
import type { JsonObject } from '../../src/core/json.ts';

export const REAL_KUBECONFIG = process.env['MODELHOOK_TEST_KUBECONFIG'] ?? '';
/** Put after the name of tests that need it. */
export const SKIPPED = REAL_KUBECONFIG ? '' : ' (skipped: MODELHOOK_TEST_KUBECONFIG names no kubeconfig)';

const API = createApi({ access: { file: REAL_KUBECONFIG }, timeout: 20_000 });

/** Asks as administrator. @throws where the answer is no success and no 404 */
export async function ask(
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
  path: string,
  body?: unknown,
): Promise<JsonObject> {
  const contentType = method === 'PATCH' ? 'application/apply-patch+yaml' : 'application/json';
  const [pathname = '', search] = path.split('?');
  const query = Object.fromEntries(new URLSearchParams(search));
  const answer = await API.ask({
    method,
    path: pathname,
    query,
    contentType,
    ...(body !== undefined && { body }),
  });
  if (answer.status >= 400 && answer.status !== 404)
    throw new Error(`${method} ${path}: ${answer.status} ${answer.body}`);
  return JSON.parse(answer.body);
}

const PLURALS: Readonly<Record<string, string>> = {
  Namespace: 'namespaces',
  ServiceAccount: 'serviceaccounts',
  ClusterRole: 'clusterroles',
  ClusterRoleBinding: 'clusterrolebindings',
  Role: 'roles',
  RoleBinding: 'rolebindings',
  ConfigMap: 'configmaps',
  Pod: 'pods',
  Deployment: 'deployments',
  InferenceService: 'inferenceservices',
  ServingRuntime: 'servingruntimes',
  Secret: 'secrets',
  ResourceQuota: 'resourcequotas',
  ValidatingAdmissionPolicy: 'validatingadmissionpolicies',
  ValidatingAdmissionPolicyBinding: 'validatingadmissionpolicybindings',
};

/** @returns the path of an object */
export function pathOf(object: JsonObject): string {
  const version = String(object['apiVersion']);
  const { name, namespace } = object['metadata'] as { name: string; namespace?: string };
  const place = namespace === undefined ? '' : `/namespaces/${namespace}`;
  return `/${version.includes('/') ? 'apis' : 'api'}/${version}${place}/${PLURALS[String(object['kind'])]}/${name}`;
}

/** Server-side apply as somebody else than modelhook. */
export const put = (object: JsonObject, manager = 'a-person'): Promise<JsonObject> =>
  ask('PATCH', `${pathOf(object)}?fieldManager=${manager}&force=true`, object);

export const remove = (object: JsonObject): Promise<JsonObject> => ask('DELETE', pathOf(object));

export const makeNamespace = (name: string): Promise<JsonObject> =>
  put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });

/** Applies a file of deploy/. */
export async function putFile(file: string): Promise<void> {
  for (const document of parseAllDocuments(readFileSync(file, 'utf8'))) await put(document.toJS());
}

/**
 * @param secret it ends with this Secret; undefined: it lasts as long as the account
 * @returns a token of the service account that deploy/ makes
 */
export async function tokenOf(
  account = 'modelhook',
  namespace = 'modelhook',
  secret?: string,
): Promise<string> {
  const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`;
  const made = await ask('POST', path, {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: secret === undefined ? {} : { boundObjectRef: { apiVersion: 'v1', kind: 'Secret', name: secret } },
  });
  return (made['status'] as { token: string }).token;
}

const CLUSTER = REAL_KUBECONFIG ? parse(readFileSync(REAL_KUBECONFIG, 'utf8')).clusters[0].cluster : {};
export const SERVER: string = CLUSTER.server ?? '';
export const CA = resolve(dirname(REAL_KUBECONFIG), CLUSTER['certificate-authority'] ?? '');

/** @returns a kubeconfig with a token, for the cluster or what stands before it */
export function kubeconfigFor(token: string, server = SERVER): string {
  return writeKubeconfig(join(mkdtempSync(join(tmpdir(), 'modelhook-real-')), 'kubeconfig'), token, server);
}

/** @returns the file, written anew */
export function writeKubeconfig(file: string, token: string, server = SERVER): string {
  const cluster = { server, 'certificate-authority': CA };
  writeFileSync(
    file,
    JSON.stringify({
      clusters: [{ name: 'real', cluster }],
      users: [{ name: 'modelhook', user: { token } }],
      contexts: [{ name: 'real', context: { cluster: 'real', user: 'modelhook' } }],
      'current-context': 'real',
    }),
  );
  return file;
}

/** A way to the API server that can be cut: it is as if the API server was ended and started. */
export interface Way {
  server: string;
  cut(): Promise<void>;
  /** Swallows what goes either way, and breaks nothing, until {@link cut}: as a network does that drops packets. */
  hold(): void;
  mend(): Promise<void>;
}

export async function openWay(): Promise<Way> {
  const { hostname, port } = new URL(SERVER);
  const sockets = new Set<Socket>();
  let way: Server;
  let isHeld = false;
  const listen = async (at: number): Promise<number> => {
    way = createServer((socket) => {
      const there = connect(Number(port), hostname);
      for (const [from, to] of [[socket, there] as const, [there, socket] as const]) {
        sockets.add(from);
        from.on('data', (chunk) => {
          if (!isHeld) to.write(chunk);
        });
        from.on('error', () => to.destroy());
        from.on('close', () => {
          sockets.delete(from);
          to.destroy();
        });
      }
    });
    await once(way.listen(at, '127.0.0.1'), 'listening');
    const address = way.address();
    return typeof address === 'object' ? (address?.port ?? 0) : 0;
  };
  const at = await listen(0);
  return {
    server: `https://127.0.0.1:${at}`,
    cut: async () => {
      isHeld = false;
      const closed = once(way, 'close');
      way.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
    hold: () => {
      isHeld = true;
    },
    mend: async () => {
      await listen(at);
    },
  };
}
