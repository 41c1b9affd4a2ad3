/**
 * `fetch` for one forge's API, the only way any adapter talks to one: it knows where the token may go, how long to
 * wait, what a rate limit says, and how failures are told. Loaded only where a forge with an API is configured.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Agent, type Dispatcher, EnvHttpProxyAgent, fetch } from 'undici';
import { messageOf, WaitingError } from '../core/errors.ts';

export interface ForgeFetchOptions {
  /** The base of the API, such as `https://gitlab.example.com/api/v4`. Nothing else is ever asked. */
  base: string;
  /** A file with the certificates of a private CA; null: the system's */
  ca: string | null;
  /** Milliseconds since the epoch. */
  now: () => number;
  /** Milliseconds for one request, its body included. */
  timeout?: number;
}

/** What adapters and their clients call; the subset of the standard's that they use. */
export type ForgeFetch = (url: string, init?: ForgeRequest) => Promise<Response>;

export interface ForgeRequest {
  method?: string | undefined;
  headers?: Readonly<Record<string, string>> | undefined;
  body?: string | undefined;
  /** Bytes above which an answer is not read; a few MiB where it is left out. */
  maxBody?: number | undefined;
  signal?: AbortSignal | undefined;
}

const TIMEOUT = 30_000;
const MAX_REDIRECTS = 3;
/** Where a rate limit does not say how long. GitHub asks for a minute at least. */
const UNKNOWN_LIMIT = 60_000;
/** Hardly an answer we ask for is larger, weights are never asked for. */
const MAX_BODY = 8 * 1024 * 1024;
const MAX_CACHED = 200;
const MAX_CACHED_BODY = 64 * 1024;
/** Tokens whose limits are kept: those of an App's installations are renewed every hour. */
const MAX_LIMITS = 1000;

/** An answer, read whole. */
interface Answer {
  status: number;
  headers: Headers;
  body: Buffer;
}

/**
 * Makes the `fetch` of one forge.
 *
 * It throws a WaitingError while the forge limits our rate, and a plain, transient Error where the forge is not
 * reached, is too slow, sends too much, or redirects to another host, which gets no token. Every other answer, also
 * 404 and 500, is the caller's to judge. Answers with an ETag are asked for again conditionally: on GitHub those that
 * did not change cost nothing of the rate limit.
 */
export function createForgeFetch({ base, ca, now, timeout = TIMEOUT }: ForgeFetchOptions): ForgeFetch {
  const { origin } = new URL(base);
  const cache = createAnswerCache();
  let dispatcher: Dispatcher | undefined;
  const limits = createLimits();

  async function once(url: string, init: ForgeRequest, headers: Headers): Promise<Answer> {
    const signal = AbortSignal.any([AbortSignal.timeout(timeout), ...(init.signal ? [init.signal] : [])]);
    try {
      dispatcher ??= connect(ca);
      const response = await fetch(url, {
        method: init.method ?? 'GET',
        headers: [...headers],
        ...(init.body !== undefined && { body: init.body }),
        redirect: 'manual',
        signal,
        dispatcher,
      });
      if (response.status < 200 || response.status > 599)
        throw new UnusableError(`${origin} answered with ${response.status}, which is no status`);
      const body = await readBody(response.body, origin, init.maxBody ?? MAX_BODY);
      const received = new Headers([...response.headers]);
      // The body is unpacked by now.
      for (const name of ['content-encoding', 'content-length']) received.delete(name);
      return { status: response.status, headers: received, body };
    } catch (error) {
      throw reachFailure(origin, error, timeout);
    }
  }

  /** Follows redirects of GETs, as renamed repositories answer them, as long as they stay on the forge. */
  async function follow(url: string, init: ForgeRequest, headers: Headers): Promise<Answer> {
    let at = url;
    for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects += 1) {
      const answer = await once(at, init, headers);
      const next = redirectOf(answer);
      if (next === null || (init.method ?? 'GET') !== 'GET') return answer;
      const target = URL.canParse(next, at) ? new URL(next, at) : null;
      if (target?.origin !== origin)
        throw new Error(
          `${origin} sends us to ${target?.origin ?? 'no address'}, where its token does not belong; correct the forge's url`,
        );
      // No address says who we are.
      target.username = '';
      target.password = '';
      at = target.href;
    }
    throw new Error(`${origin} redirects in circles`);
  }

  return async function forgeFetch(url, init = {}) {
    if (!URL.canParse(url) || new URL(url).origin !== origin)
      throw new Error(`a request that does not go to ${origin} gets none of its token`);
    const asker = askerOf(init.headers);
    const limitedFor = limits.until(asker) - now();
    if (limitedFor > 0) throw new WaitingError(`${origin} limits how often it is asked`, limitedFor);
    const isGet = (init.method ?? 'GET') === 'GET';
    // Answers differ by who asks and in which form.
    const key = JSON.stringify([url, init.headers]);
    const cached = isGet ? cache.find(key) : undefined;
    const etag = cached?.headers.get('etag');
    const headers = headersOf({
      'user-agent': 'modelhook',
      ...init.headers,
      ...(etag && { 'if-none-match': etag }),
    });
    const answer = await follow(url, init, headers);
    const wait = limitOf(answer, now());
    if (wait !== null) {
      limits.extend(asker, now() + wait);
      throw new WaitingError(`${origin} limits how often it is asked`, wait);
    }
    if (answer.status === 304 && cached) return responseOf(cached);
    if (isGet) cache.remember(key, answer);
    return responseOf(answer);
  };
}

/** Proxies come from HTTPS_PROXY, HTTP_PROXY and NO_PROXY, in either case. */
function connect(ca: string | null): Dispatcher {
  const tls = ca === null ? {} : { ca: readFileSync(ca, 'utf8') };
  return Object.keys(process.env).some((name) => /^https?_proxy$/i.test(name))
    ? new EnvHttpProxyAgent({ connect: tls, requestTls: tls })
    : new Agent({ connect: tls });
}

/** What `fetch` says of a value that no header may have shows the value, which may be the token. */
function headersOf(headers: Readonly<Record<string, string>>): Headers {
  const checked = new Headers();
  for (const [name, value] of Object.entries(headers)) {
    try {
      checked.set(name, value);
    } catch {
      throw new Error(
        `the value for the header ${name} holds a character that none may have; check the forge's token`,
      );
    }
  }
  return checked;
}

const redirectOf = ({ status, headers }: Answer): string | null =>
  [301, 302, 303, 307, 308].includes(status) ? headers.get('location') : null;

/** Undici's own classes are not the globals that clients check for. */
function responseOf({ status, headers, body }: Answer): Response {
  const empty = [204, 205, 304].includes(status);
  return new Response(empty ? null : Buffer.from(body), { status, headers });
}

/** Keeps the newest answers that have an ETag. */
function createAnswerCache() {
  const answers = new Map<string, Answer>();
  return {
    find: (key: string): Answer | undefined => answers.get(key),
    remember(key: string, answer: Answer): void {
      answers.delete(key);
      if (answer.status !== 200 || !answer.headers.has('etag')) return;
      if (answer.body.byteLength > MAX_CACHED_BODY) return;
      answers.set(key, answer);
      const [oldest] = answers.keys();
      if (answers.size > MAX_CACHED && oldest !== undefined) answers.delete(oldest);
    },
  };
}

/** Until when the forge wants no requests, by who asks: one token's limit says nothing of another's. */
function createLimits() {
  const limits = new Map<string, number>();
  const until = (asker: string): number => limits.get(asker) ?? 0;
  return {
    until,
    extend(asker: string, to: number): void {
      const longest = Math.max(until(asker), to);
      limits.delete(asker);
      limits.set(asker, longest);
      const [oldest] = limits.keys();
      if (limits.size > MAX_LIMITS && oldest !== undefined) limits.delete(oldest);
    },
  };
}

/** @returns what stands for the token of a request, without giving it away; the same for all that have none */
function askerOf(headers: ForgeRequest['headers'] = {}): string {
  const tokens = Object.entries(headers).filter(([name]) => /^(?:authorization|private-token)$/i.test(name));
  return createHash('sha256')
    .update(tokens.map(([, value]) => value).join('\n'))
    .digest('hex');
}

/** An answer that came, and cannot be used: no failed connection, so it is said as it is. */
class UnusableError extends Error {}

async function readBody(
  body: AsyncIterable<Uint8Array> | null,
  origin: string,
  limit: number,
): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body ?? []) {
    size += chunk.byteLength;
    if (size > limit) throw new UnusableError(`the answer of ${origin} is over ${limit / 1024 / 1024} MiB`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}

/**
 * @returns how long to wait, in milliseconds; null where the answer tells of no limit. GitHub answers 403 as well as
 *   429, with `retry-after`, or with a remaining count of 0 and the time of its reset in seconds since the epoch;
 *   GitLab 429 with `Retry-After` and text that is no JSON (reference: both forges' rate limit documentation).
 */
function limitOf({ status, headers }: Answer, now: number): number | null {
  if (status !== 429 && status !== 403) return null;
  const after = headers.get('retry-after');
  if (after !== null) {
    const seconds = Number(after);
    const at = Number.isFinite(seconds) ? now + seconds * 1000 : Date.parse(after);
    return bounded(at - now);
  }
  const remaining = headers.get('x-ratelimit-remaining') ?? headers.get('ratelimit-remaining');
  const reset = headers.get('x-ratelimit-reset') ?? headers.get('ratelimit-reset');
  if (remaining === '0' && reset !== null) return bounded(Number(reset) * 1000 - now);
  return status === 429 ? UNKNOWN_LIMIT : null;
}

/** A second at least, an hour at most, whatever a header says. */
const bounded = (milliseconds: number): number =>
  Number.isFinite(milliseconds) ? Math.min(Math.max(milliseconds, 1000), 3_600_000) : UNKNOWN_LIMIT;

/** What `fetch` says of a failed connection is `fetch failed`; the reason is further down. */
function reachFailure(origin: string, error: unknown, timeout: number): Error {
  if (error instanceof UnusableError) return new Error(error.message);
  if (error instanceof Error && error.name === 'TimeoutError')
    return new Error(`${origin} did not answer within ${timeout / 1000} s`, { cause: error });
  let cause: unknown = error;
  for (let next = reasonOf(cause); next !== undefined; next = reasonOf(cause)) cause = next;
  return new Error(`${origin} cannot be reached: ${messageOf(cause)}`, { cause: error });
}

/** A name with several addresses fails with one error for each. */
function reasonOf(error: unknown): unknown {
  if (error instanceof AggregateError) return error.errors[0];
  return error instanceof Error ? error.cause : undefined;
}
