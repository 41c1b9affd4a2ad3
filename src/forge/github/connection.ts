/** One GitHub, asked through octokit: who asks is said with every request, and every failure is one of our errors. */
import { messageOf, WaitingError } from '../../core/errors.ts';

export interface GitHubApp {
  id: string;
  /** PEM: PKCS#1, as GitHub hands it out, or PKCS#8. */
  privateKey: string;
}

/** What GitHub said: any status but a rate limit's. Whether it is bad is for the caller to judge. */
export interface Answer {
  status: number;
  /** Parsed JSON; text where it was none; bytes where bytes were asked for. */
  data: unknown;
  /** The query of the next page, with its `?`; null: there is none. Its host may be a name that is not ours to ask. */
  next: string | null;
  /** By lower-case name. */
  headers: Readonly<Record<string, string | number | undefined>>;
}

export interface Question {
  /** Sent with this request alone; null or absent: none is */
  token?: string | null;
  body?: Readonly<Record<string, unknown>>;
  accept?: string;
  /** Whether the answer's bytes are wanted as they are: octokit takes `charset=utf-8` for text. */
  raw?: boolean;
}

export interface Connection {
  /** @param route a method and a path below the API's base, such as `GET /repos/ml/iris` */
  ask(route: string, question?: Question): Promise<Answer>;
  /** Asks as the App itself. */
  askAsApp(route: string): Promise<Answer>;
  /** @returns the `data` of a GraphQL answer @throws Error for any other answer */
  query(text: string, variables: Readonly<Record<string, string>>, token: string): Promise<unknown>;
}

export interface ConnectionOptions {
  apiUrl: string;
  app: GitHubApp | null;
  ca: string | null;
  now: () => number;
}

/** GitHub asks for a minute at least where it does not say how long (docs: rate limits for the REST API). */
const UNKNOWN_LIMIT = 60_000;
/** The version this was written for; a GitHub Enterprise Server that knows no versions ignores it. */
const API_VERSION = '2022-11-28';
/** What octokit makes of an App's key, and sends as its token. */
const WEB_TOKEN = /eyJ[\w-]+\.[\w-]+\.[\w-]+/;
const NO_LOG = { debug() {}, info() {}, warn() {}, error() {} };

export function createConnection(options: ConnectionOptions): Connection {
  const { now } = options;
  let loading: ReturnType<typeof load> | undefined;
  const clients = () => {
    loading ??= load(options);
    return loading;
  };

  return {
    async ask(route, { token, body, accept, raw = false } = {}) {
      const { octokit } = await clients();
      const headers = {
        accept: accept ?? 'application/vnd.github+json',
        'x-github-api-version': API_VERSION,
        ...(token && { authorization: `token ${token}` }),
      };
      const request = raw ? { request: { parseSuccessResponseBody: false } } : {};
      return answered(
        async () => {
          const response = await octokit.request(route, { ...body, ...request, headers });
          return { ...response, data: raw ? await bytesOf(response.data) : response.data };
        },
        now,
        (words) => token != null && words.includes(token),
      );
    },

    async askAsApp(route) {
      const { asApp } = await clients();
      return answered(
        () => asApp.request(route),
        now,
        (words) => WEB_TOKEN.test(words),
      );
    },

    async query(text, variables, token) {
      const { octokit } = await clients();
      const headers = { authorization: `bearer ${token}` };
      const { status, data } = await answered(
        async () => ({ status: 200, data: await octokit.graphql(text, { ...variables, headers }) }),
        now,
        (words) => words.includes(token),
      );
      if (status !== 200) throw new Error(`GitHub answered ${status} to a GraphQL query${wordsOf(data)}`);
      return data;
    },
  };
}

/** octokit is large, so it comes with the first request. Retrying and waiting are the pipeline's. */
async function load({ apiUrl, app, ca, now }: ConnectionOptions) {
  const [{ App, Octokit }, { createForgeFetch }] = await Promise.all([
    import('octokit'),
    import('../forge-fetch.ts'),
  ]);
  const Client = Octokit.defaults({
    baseUrl: apiUrl,
    log: NO_LOG,
    request: { fetch: createForgeFetch({ base: apiUrl, ca, now }), log: NO_LOG },
    retry: { enabled: false },
    throttle: { enabled: false },
  });
  const octokit = new Client();
  if (!app) return { octokit, asApp: octokit };
  const asApp = new App({ appId: app.id, privateKey: app.privateKey, Octokit: Client, log: NO_LOG }).octokit;
  return { octokit, asApp };
}

interface Reply {
  status: number;
  data: unknown;
  headers?: Answer['headers'];
}

/** What octokit throws for an answer it does not like, and around what our own fetch throws. */
interface Thrown {
  status?: unknown;
  response?: Reply & { errors?: unknown };
  /** Of GraphQL, whose failures have the HTTP status 200. */
  errors?: readonly { type?: unknown; message?: unknown }[];
  headers?: Readonly<Record<string, string | undefined>>;
}

/** Whether words repeat the token that was sent: a server, or what stands before it, may. Then they are not quoted. */
type Repeats = (words: string) => boolean;

async function answered(work: () => Promise<Reply>, now: () => number, repeats: Repeats): Promise<Answer> {
  let response: Reply;
  try {
    response = await work();
  } catch (error) {
    response = responseOf(error, now, repeats);
  }
  const { status, data, headers = {} } = response;
  // Secondary limits sometimes come without any header that says so.
  if ((status === 403 || status === 429) && /rate limit|abuse detection/i.test(wordsOf(data)))
    throw new WaitingError('GitHub limits how often it is asked', UNKNOWN_LIMIT);
  const next = /<[^<>?]*([^<>]*)>;\s*rel="next"/.exec(String(headers.link ?? ''))?.[1] ?? null;
  return { status, data: status >= 300 && repeats(allWordsOf(data)) ? null : data, next, headers };
}

/** @returns the answer inside what was thrown @throws our own error where there was none */
function responseOf(error: unknown, now: () => number, repeats: Repeats): Reply {
  if (!(error instanceof Error)) throw new Error(messageOf(error));
  const { response, errors, headers, status } = error as Error & Thrown;
  if (Array.isArray(errors)) throw graphqlFailure(errors, headers, now(), repeats);
  if (typeof status === 'number' && response) return response;
  // Our own fetch's error comes wrapped; anything else is octokit stumbling over what it was sent.
  if (typeof status === 'number' && error.cause instanceof Error) throw error.cause;
  if (repeats(error.message)) throw new Error("GitHub's answer cannot be read");
  throw new Error(`GitHub's answer cannot be read: ${messageOf(error)}`, { cause: error });
}

function graphqlFailure(
  errors: NonNullable<Thrown['errors']>,
  headers: Thrown['headers'],
  now: number,
  repeats: Repeats,
): Error {
  if (errors.some(({ type }) => type === 'RATE_LIMITED')) {
    const wait = Number(headers?.['x-ratelimit-reset']) * 1000 - now;
    const after = Number.isFinite(wait) ? Math.min(Math.max(wait, 1000), 3_600_000) : UNKNOWN_LIMIT;
    return new WaitingError('GitHub limits how often it is asked', after);
  }
  const words = repeats(allWordsOf(errors[0])) ? '' : wordsOf(errors[0]);
  return new Error(`GitHub did not answer a GraphQL query${words}`);
}

/**
 * GitHub's own words of a refusal, for a sentence that needs them.
 * @returns `: ` and one short line; nothing where the answer has no words
 */
export function wordsOf(data: unknown): string {
  const words = allWordsOf(data);
  return words === '' ? '' : `: ${words.slice(0, 300)}`;
}

function allWordsOf(data: unknown): string {
  if (typeof data !== 'object' || data === null || !('message' in data)) return '';
  const details = 'errors' in data && Array.isArray(data.errors) ? data.errors : [];
  return [data, ...details]
    .map((each) => (typeof each === 'string' ? each : each?.message))
    .filter((each) => typeof each === 'string')
    .join(': ')
    .replace(/\s+/g, ' ');
}

async function bytesOf(body: unknown): Promise<Uint8Array> {
  return body instanceof ReadableStream
    ? new Uint8Array(await new Response(body).arrayBuffer())
    : Buffer.alloc(0);
}
