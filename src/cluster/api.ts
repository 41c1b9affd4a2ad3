/**
 * Requests to one API server. The kubeconfig library gives addresses, certificates and credentials; undici sends the
 * requests, for it says when a stream falls silent, and its connections are ours to close.
 */
import { readFileSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import type { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import { StalledError } from '../core/errors.ts';
import { type ApiAnswer, type Deed, failureProblem, refusalProblem, strangerProblem } from './api-failure.ts';
import { type ClusterProblem, ClusterUnavailableError } from './cluster.ts';
import { type ClusterAccess, type Connection, connect, credentialsOf } from './connection.ts';

export interface ApiRequest {
  method?: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** Begins with a slash. */
  path: string;
  query?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  body?: unknown;
  contentType?: string;
}

/** An answer that goes on. Only a success is a stream. */
export type ApiStream = { stream: Readable } | { stream: null; answer: ApiAnswer };

/** All throw {@link ClusterUnavailableError}, and nothing else, where no answer is had. */
export interface ClusterApi {
  ask(request: ApiRequest, signal?: AbortSignal): Promise<ApiAnswer>;
  /** @param silence the stream breaks when nothing has come for so long, in milliseconds */
  follow(request: ApiRequest, silence: number, signal: AbortSignal): Promise<ApiStream>;
  /** @returns what to throw for an answer that is no success */
  refusal(answer: ApiAnswer, deed: Deed): ClusterUnavailableError;
  /** @returns what to throw where an answer did not come whole */
  broken(error: unknown): ClusterUnavailableError;
  /** @returns what to throw for an answer that no API server gives */
  stranger(answer: string): ClusterUnavailableError;
  /** Ends all connections. */
  close(): Promise<void>;
}

export interface ApiOptions {
  access: ClusterAccess;
  /** How messages call the cluster; left out: by the API server's address */
  name?: string | undefined;
  /** How long an answer may take, credentials included, in milliseconds. */
  timeout?: number | undefined;
}

/** A kubeconfig as it was read. */
interface Session {
  connection: Connection;
  /** What the file held; null in a pod. */
  text: string | null;
  /** Credentials on their way: several requests at once run a program only once. */
  asking: Promise<RequestOptions> | null;
}

type Packages = typeof import('@kubernetes/client-node') & typeof import('undici');

const TIMEOUT = 10_000;
/** Tokens that no message may hold; of those that were rotated, the last ones. */
const SECRETS_KEPT = 8;
const SHORTEST_SECRET = 8;

export function createApi({ access, name, timeout = TIMEOUT }: ApiOptions): ClusterApi {
  let packages: Pick<Packages, 'KubeConfig' | 'Agent' | 'ProxyAgent' | 'request'> | null = null;
  let session: Session | null = null;
  let pool: { certificates: string; dispatcher: Dispatcher } | null = null;
  let secrets: string[] = [];

  const label = (): string =>
    name === undefined
      ? `the cluster${session ? ` at ${session.connection.server}` : ''}`
      : `cluster ${name}`;
  const scrub = (text: string): string =>
    secrets.reduce((left, secret) => left.replaceAll(secret, '***'), text);

  function unavailable(problem: ClusterProblem): ClusterUnavailableError {
    const { detail } = problem;
    return new ClusterUnavailableError(label(), {
      ...problem,
      detail: detail === null ? null : scrub(detail),
    });
  }

  /** @param refused what was no good, so it is read anew though the file may be the same: a program may say more now */
  function openSession(kit: Pick<Packages, 'KubeConfig'>, refused: Session | null): Session {
    const text = 'file' in access ? readText(access.file) : null;
    if (session !== null && session !== refused && session.text === text) return session;
    try {
      session = { connection: connect(new kit.KubeConfig(), access), text, asking: null };
      return session;
    } catch (error) {
      if (!(error instanceof StalledError)) throw error;
      const { reason, fix } = error;
      throw unavailable({
        kind: 'configuration',
        what: 'cannot be asked',
        detail: reason,
        fix,
        retryAfter: null,
      });
    }
  }

  async function send(
    request: ApiRequest,
    silence: number,
    signal: AbortSignal,
  ): Promise<Dispatcher.ResponseData> {
    packages ??= await loadPackages();
    const used = openSession(packages, null);
    const response = await sendAs(packages, used, request, silence, signal);
    if (response.statusCode !== 401) return response;
    await response.body.dump().catch(() => {});
    return sendAs(packages, openSession(packages, used), request, silence, signal);
  }

  async function sendAs(
    kit: Pick<Packages, 'Agent' | 'ProxyAgent' | 'request'>,
    used: Session,
    { method = 'GET', path, query = {}, body, contentType = 'application/json' }: ApiRequest,
    silence: number,
    signal: AbortSignal,
  ): Promise<Dispatcher.ResponseData> {
    used.asking ??= askLibrary(used).finally(() => {
      used.asking = null;
    });
    // Who no longer waits leaves nobody to hear that it failed.
    used.asking.catch(() => {});
    const options = await credentialsOf(used.connection, used.asking, label(), signal);
    const headers = headersOf(options);
    remember(headers['authorization']);
    if (body !== undefined) headers['content-type'] = contentType;
    try {
      return await kit.request(`${used.connection.base}${path}`, {
        method,
        query,
        headers,
        body: body === undefined ? null : JSON.stringify(body),
        dispatcher: dispatcherFor(kit, used, options),
        bodyTimeout: silence,
        signal,
      });
    } catch (error) {
      throw unavailable(failureProblem(used.connection, error, signal.aborted));
    }
  }

  function remember(authorization: string | undefined): void {
    const secret = authorization?.replace(/^\w+ /, '').trim() ?? '';
    if (secret.length < SHORTEST_SECRET || secrets.includes(secret)) return;
    secrets = [secret, ...secrets].slice(0, SECRETS_KEPT);
  }

  /** Connections are kept for as long as the certificates stay the same, for each costs a handshake. */
  function dispatcherFor(
    kit: Pick<Packages, 'Agent' | 'ProxyAgent'>,
    { connection }: Session,
    options: RequestOptions,
  ): Dispatcher {
    const { ca, cert, key } = options;
    const certificates = [connection.base, ca, cert, key].map(String).join('\n');
    if (pool?.certificates === certificates) return pool.dispatcher;
    // What runs on the old ones ends by itself: an API server ends every watch after some minutes.
    pool?.dispatcher.close().catch(() => {});
    pool = { certificates, dispatcher: openDispatcher(kit, connection, options) };
    return pool.dispatcher;
  }

  function broken(error: unknown, aborted = false): ClusterUnavailableError {
    if (error instanceof ClusterUnavailableError) return error;
    return unavailable(failureProblem(connected().connection, error, aborted));
  }

  /** Answers come from somewhere. */
  function connected(): Session {
    if (session === null) throw new Error('an answer before anything was asked');
    return session;
  }

  async function read(
    { statusCode, headers, body }: Dispatcher.ResponseData,
    signal: AbortSignal,
  ): Promise<ApiAnswer> {
    try {
      const whole = await body.text();
      // Refusals are quoted, and some quote what was sent.
      const text = statusCode < 400 ? whole : scrub(whole);
      return { status: statusCode, retryAfter: retryAfterOf(headers['retry-after']), body: text };
    } catch (error) {
      throw broken(error, signal.aborted);
    }
  }

  return {
    ask: async (request, signal) => {
      const limit = AbortSignal.timeout(timeout);
      const both = signal ? AbortSignal.any([signal, limit]) : limit;
      return read(await send(request, timeout, both), both);
    },
    follow: async (request, silence, signal) => {
      const late = new AbortController();
      const timer = setTimeout(() => late.abort(), timeout);
      const both = AbortSignal.any([signal, late.signal]);
      try {
        const response = await send(request, silence, both);
        if (response.statusCode === 200) return { stream: response.body };
        return { stream: null, answer: await read(response, both) };
      } finally {
        clearTimeout(timer);
      }
    },
    refusal: (answer, deed) => unavailable(refusalProblem(connected().connection, answer, deed)),
    stranger: (answer) => unavailable(strangerProblem(connected().connection, answer)),
    broken,
    close: async () => {
      await pool?.dispatcher.destroy();
      pool = null;
    },
  };
}

/** They are about 50 MB resident, so only who asks a cluster pays for them. */
async function loadPackages(): Promise<Pick<Packages, 'KubeConfig' | 'Agent' | 'ProxyAgent' | 'request'>> {
  const [{ KubeConfig }, { Agent, ProxyAgent, request }] = await Promise.all([
    import('@kubernetes/client-node'),
    import('undici'),
  ]);
  return { KubeConfig, Agent, ProxyAgent, request };
}

/** Where it cannot be read, who connects says so. */
function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

async function askLibrary({ connection }: Session): Promise<RequestOptions> {
  const options: RequestOptions = { headers: {} };
  await connection.config.applyToHTTPSOptions(options);
  return options;
}

function headersOf({ headers, auth }: RequestOptions): Record<string, string> {
  const sent: Record<string, string> = { accept: 'application/json', 'user-agent': 'modelhook' };
  // A token file may end with a new line, which no header may hold.
  for (const [header, value] of Object.entries(headers ?? {}))
    sent[header.toLowerCase()] = String(value).trim();
  if (auth) sent['authorization'] = `Basic ${Buffer.from(auth).toString('base64')}`;
  return sent;
}

/**
 * One connection a request that is open, by HTTP/1.1. Over HTTP/2 all watches would share one connection: a server allows
 * a hundred streams on it, and one that stalls would stall them all.
 */
function openDispatcher(
  { Agent, ProxyAgent }: Pick<Packages, 'Agent' | 'ProxyAgent'>,
  { config }: Connection,
  options: RequestOptions,
): Dispatcher {
  const { ca, cert, key, rejectUnauthorized, servername } = options;
  const tls = {
    ...(ca && { ca }),
    ...(cert && { cert }),
    ...(key && { key }),
    ...(rejectUnauthorized !== undefined && { rejectUnauthorized }),
    ...(servername && { servername }),
  };
  const cluster = config.getCurrentCluster();
  const proxy = cluster?.proxyUrl;
  if (!proxy) return new Agent({ connect: { ...tls, ...KEEP_ALIVE }, allowH2: false });
  // Only the library has a connector for these, and gives it out in no other way.
  if (proxy.startsWith('socks')) return config['createDispatcher'](cluster, tls) ?? new Agent();
  return new ProxyAgent({ uri: proxy, requestTls: tls, connect: KEEP_ALIVE, allowH2: false });
}

/**
 * Load balancers forget connections that are silent for a minute. A watch is silent too where its other end has vanished
 * without a word: Node gives up ten seconds after the first of these packets that is not answered.
 */
const KEEP_ALIVE = { keepAlive: true, keepAliveInitialDelay: 10_000 };

/** @returns milliseconds; null where it does not say in seconds */
function retryAfterOf(header: string | string[] | undefined): number | null {
  const seconds = Number(header);
  return Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : null;
}
