/** From a kubeconfig, or the service account of a pod, to an API server and the credentials for it. */
import { once } from 'node:events';
import type { RequestOptions } from 'node:https';
import type { KubeConfig } from '@kubernetes/client-node';
import { StalledError } from '../core/errors.ts';
import { listNames } from '../core/nearest.ts';
import { type ClusterProblem, ClusterUnavailableError } from './cluster.ts';

/** Which cluster, and as whom: by a kubeconfig. */
export interface KubeconfigAccess {
  /** Where the kubeconfig is. Paths in it are relative to its folder. */
  file: string;
  /** One of its contexts; its current one where there is none. */
  context?: string | undefined;
  /** How long one reading may take, credentials included, in milliseconds. */
  timeout?: number;
}

/** The cluster whose pod this process runs in. */
export interface InClusterAccess {
  inCluster: true;
  /** Put before the paths of the service account's files; for tests. */
  root?: string;
}

export type ClusterAccess = KubeconfigAccess | InClusterAccess;

/** An API server and whom we are to it, checked. The texts are for messages. */
export interface Connection {
  config: KubeConfig;
  /** Scheme, host and port of the API server. */
  server: string;
  /** With the path of `server` in the kubeconfig, if any; no slash at the end. */
  base: string;
  /** Such as `the credentials of user "ci" in the kubeconfig prod.yaml`. */
  credentials: string;
  /** What to look at when it is not reached, in the imperative. */
  check: string;
  /** How to put right an address that leads to something else. */
  correct: string;
}

const CRD = 'inferenceservices.serving.kserve.io';
const ASK_KUBECTL = `run "kubectl get crd ${CRD}" with this kubeconfig and context, which tells why`;

/**
 * @param config empty
 * @throws {StalledError} the kubeconfig cannot be used, or this process is in no pod
 */
export const connect = (config: KubeConfig, access: ClusterAccess): Connection =>
  'file' in access ? connectByFile(config, access) : connectInCluster(config, access);

function connectInCluster(config: KubeConfig, { root }: InClusterAccess): Connection {
  if (!process.env['KUBERNETES_SERVICE_HOST'] || !process.env['KUBERNETES_SERVICE_PORT'])
    throw new StalledError(
      'this process runs in no pod of a cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set',
      'run it in the cluster, or name a kubeconfig instead of inCluster',
    );
  config.loadFromCluster(root ?? '');
  const server = config.getCurrentCluster()?.server ?? '';
  return {
    config,
    server,
    base: server,
    credentials: "the credentials of this pod's service account",
    check: 'check that it runs, and that network policies let this pod reach it',
    correct: 'check KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT of this pod',
  };
}

function connectByFile(config: KubeConfig, { file, context }: KubeconfigAccess): Connection {
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
  return {
    config,
    server: url.origin,
    base: `${url.origin}${url.pathname.replace(/\/+$/, '')}`,
    credentials: `the credentials of user "${user.name}" in the kubeconfig ${file}`,
    check: `check that it runs, and its address, proxy and certificate authority in the kubeconfig ${file}`,
    correct: `set the address of the API server as server in the kubeconfig ${file}`,
  };
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

/**
 * Gets what a request needs, by running a program of the kubeconfig or reading files where it says so. The library keeps
 * tokens of programs until they expire, and a token file's for a minute.
 * @param asking what the library gives; it may be shared by several requests
 * @param label how messages call the cluster
 * @throws {ClusterUnavailableError} it cannot be had, or not before the signal
 */
export async function credentialsOf(
  { credentials }: Connection,
  asking: Promise<RequestOptions>,
  label: string,
  signal: AbortSignal,
): Promise<RequestOptions> {
  const failure = (kind: ClusterProblem['kind'], why: string) =>
    new ClusterUnavailableError(label, {
      kind,
      what: 'cannot be asked',
      detail: `${credentials} cannot be had${why}`,
      fix: ASK_KUBECTL,
      retryAfter: null,
    });
  const late = new AbortController();
  const expired = once(signal, 'abort', { signal: late.signal }).then(() => {
    throw new Error('the time is up');
  });
  try {
    signal.throwIfAborted();
    return await Promise.race([asking, expired]);
  } catch (error) {
    if (isSystemError(error)) throw failure('configuration', `: ${error.message}`);
    // The error may quote what a program for credentials has printed, so nothing of it is passed on.
    throw failure('unreachable', signal.aborted ? ' in time' : '');
  } finally {
    expired.catch(() => {});
    late.abort();
  }
}

/** Whether it comes from the operating system: such messages name a call, a path or a program, and no content. */
const isSystemError = (error: unknown): error is NodeJS.ErrnoException =>
  error instanceof Error && 'syscall' in error;
