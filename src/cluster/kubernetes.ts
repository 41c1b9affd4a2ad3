/** A cluster, read through the API server that a kubeconfig names. */
import { once } from 'node:events';
import type { HttpLibrary, KubeConfig } from '@kubernetes/client-node';
import { StalledError } from '../core/errors.ts';
import { isJsonObject, type Json, type JsonObject } from '../core/json.ts';
import { listNames } from '../core/nearest.ts';
import { type ClusterReader, ClusterUnavailableError } from './cluster.ts';

/** Which cluster, and as whom. */
export interface KubeconfigAccess {
  /** Where the kubeconfig is. Paths in it are relative to its folder. */
  file: string;
  /** One of its contexts; its current one where there is none. */
  context?: string | undefined;
  /** How long one reading may take, credentials included, in milliseconds. */
  timeout?: number;
}

type Client = typeof import('@kubernetes/client-node');

/** A context of a kubeconfig, checked. The names are for messages. */
interface Connection {
  config: KubeConfig;
  file: string;
  user: string;
  /** Scheme, host and port of the API server. */
  server: string;
}

const CRDS = { group: 'apiextensions.k8s.io', version: 'v1', plural: 'customresourcedefinitions' };
const CRD = 'inferenceservices.serving.kserve.io';
const ASK_KUBECTL = `run "kubectl get crd ${CRD}" with this kubeconfig and context, which tells why`;

/**
 * Reads with a kubeconfig, which is read anew each time, as credentials in it change. A program that it names for
 * credentials is run, and is left to itself where it does not end in time.
 */
export const createKubernetesReader = ({
  file,
  context,
  timeout = 10_000,
}: KubeconfigAccess): ClusterReader => ({
  inferenceServiceCrd: async () => {
    // The package is about 50 MB resident, so only who reads a cluster pays for it.
    const client = await import('@kubernetes/client-node');
    const connection = connect(new client.KubeConfig(), file, context);
    const signal = AbortSignal.timeout(timeout);
    await authenticate(connection, signal);
    const answer = await requestCrd(client, connection, signal);
    if (isJsonObject(answer) && answer['kind'] === 'CustomResourceDefinition') return answer;
    throw notAnApiServer(connection, 'something that is no CustomResourceDefinition');
  },
});

function connect(config: KubeConfig, file: string, context: string | undefined): Connection {
  try {
    config.loadFromFile(file);
  } catch (error) {
    throw isSystemError(error)
      ? new StalledError(
          `the kubeconfig ${file} cannot be read: ${error.message}`,
          'name a file that can be read',
        )
      : // The parser quotes lines of the file, which may be credentials.
        new StalledError(
          `${file} is no valid kubeconfig`,
          'run "kubectl config view" with it, which tells why',
        );
  }
  if (context !== undefined) config.setCurrentContext(context);
  const name = config.getCurrentContext();
  if (!config.getContextObject(name)) throw noContext(config, file, name);
  const cluster = config.getCurrentCluster();
  const user = config.getCurrentUser();
  if (!cluster || !user)
    throw new StalledError(
      `the context "${name}" of the kubeconfig ${file} refers to a ${cluster ? 'user' : 'cluster'} that is not in the file`,
      'set it with "kubectl config set-context"',
    );
  const url = URL.parse(cluster.server);
  const secured = url?.protocol === 'https:' || (url?.protocol === 'http:' && cluster.skipTLSVerify);
  if (url === null || !secured || url.username !== '' || url.password !== '')
    throw new StalledError(
      `the server of the cluster "${cluster.name}" in the kubeconfig ${file} cannot be used`,
      'set it to an https:// address without user name and password',
    );
  return { config, file, user: user.name, server: url.origin };
}

function noContext(config: KubeConfig, file: string, name: string | undefined): StalledError {
  const names = config.getContexts().map((context) => context.name);
  return new StalledError(
    name
      ? `the kubeconfig ${file} has no context "${name}"`
      : `the kubeconfig ${file} has no current context`,
    names.length > 0 ? `name one that it has: ${listNames(names)}` : 'name a kubeconfig that has contexts',
  );
}

/** Gets the credentials, which the library keeps, so that their failures are told from the API server's. */
async function authenticate({ config, file, user }: Connection, signal: AbortSignal): Promise<void> {
  const problem = `the credentials of user "${user}" in the kubeconfig ${file} cannot be had`;
  const expired = once(signal, 'abort').then(() => {
    throw new Error('the time is up');
  });
  try {
    await Promise.race([config.applyToHTTPSOptions({}), expired]);
  } catch (error) {
    if (isSystemError(error)) throw new StalledError(`${problem}: ${error.message}`, ASK_KUBECTL);
    // The error may quote what a program for credentials has printed, so nothing of it is passed on.
    throw new ClusterUnavailableError(`${problem}${signal.aborted ? ' in time' : ''}; ${ASK_KUBECTL}`);
  }
}

async function requestCrd(client: Client, connection: Connection, signal: AbortSignal): Promise<Json> {
  const http = new client.IsomorphicFetchHttpLibrary();
  const httpApi: HttpLibrary = {
    send: (request) => {
      request.setSignal(signal);
      return http.send(request);
    },
  };
  try {
    // Asked for like a custom resource: the typed client renames fields of a CRD, `enum` and `x-kubernetes-*` among them.
    const api = connection.config.makeApiClient(client.CustomObjectsApi);
    return await api.getClusterCustomObject({ ...CRDS, name: CRD }, { httpApi });
  } catch (error) {
    if (signal.aborted) throw unavailable(connection, 'gives no answer in time');
    if (error instanceof client.ApiException) throw refusal(connection, error.code, error.body);
    // fetch wraps what the network and TLS say. Where a name has several addresses, all that is said is a code.
    if (error instanceof TypeError && error.cause instanceof Error) {
      const { message, code }: NodeJS.ErrnoException = error.cause;
      throw unavailable(connection, `cannot be reached: ${message || code}`);
    }
    throw notAnApiServer(connection, 'something that cannot be read');
  }
}

/** What an answer means that is no success. Proxies refuse too, so 403 and 404 count only from an API server. */
function refusal(connection: Connection, code: number, body: unknown): Error {
  const { file, user, server } = connection;
  const status = statusOf(body);
  if (code === 401)
    return new StalledError(
      `the cluster at ${server} refuses the credentials of user "${user}" in the kubeconfig ${file}`,
      'renew them, for they may have expired',
    );
  if (code === 403 && status !== null)
    return new StalledError(
      `the cluster at ${server} forbids user "${subjectOf(status) ?? user}" to read the CRD ${CRD}`,
      `grant it a ClusterRole with the rule: get ${CRDS.plural}.${CRDS.group}`,
    );
  if (code === 404 && status !== null)
    return new StalledError(
      `the cluster at ${server} has no CRD ${CRD}`,
      'install KServe there, or name the context of a cluster that has it',
    );
  if (code === 429 || code >= 500) return unavailable(connection, `answers ${code}`);
  return notAnApiServer(connection, code);
}

const unavailable = ({ server, file }: Connection, what: string): ClusterUnavailableError =>
  new ClusterUnavailableError(
    `the cluster at ${server} ${what}; check that it runs, and its address, proxy and certificate authority in the kubeconfig ${file}`,
  );

const notAnApiServer = ({ server, file }: Connection, answer: string | number): StalledError =>
  new StalledError(
    `what is at ${server} answers ${answer}, as no API server of Kubernetes does`,
    `set the address of the API server as server in the kubeconfig ${file}`,
  );

/** @returns the Status object that an API server sends with every refusal; null where it is something else */
function statusOf(body: unknown): JsonObject | null {
  try {
    const status: Json = JSON.parse(String(body));
    return isJsonObject(status) && status['kind'] === 'Status' ? status : null;
  } catch {
    return null;
  }
}

/** Whom RBAC knows, which is not what the kubeconfig calls the user. Nothing else of the message is passed on. */
const subjectOf = ({ message }: JsonObject): string | null =>
  /\bUser "([^"]{1,253})"/.exec(String(message))?.[1] ?? null;

/** Whether it comes from the operating system: such messages name a call, a path or a program, and no content. */
const isSystemError = (error: unknown): error is NodeJS.ErrnoException =>
  error instanceof Error && 'syscall' in error;
