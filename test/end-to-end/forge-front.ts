/**
 * What stands in front of one forge: it sends requests on to the stand-in of its API or to Git over HTTP, keeps what it
 * was asked, and is broken where a test says so.
 */
import { createServer, type IncomingHttpHeaders, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';

export interface Asked {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

/** What is answered instead. */
export interface Instead {
  status: number;
  headers?: Record<string, string>;
  body?: string;
}

export type Fault = FaultKind & {
  /** Met by requests that write a status, and no others. */
  onlyWrites?: boolean;
};

type FaultKind =
  /** An answer; null: the right one after all */
  | { kind: 'answers'; answer: (asked: Asked) => Instead | null }
  /** Nothing is answered until the fault ends, and then rightly. */
  | { kind: 'hangs' }
  /** The connection ends before anything is done. */
  | { kind: 'resets' }
  /** What is asked is done, and nobody learns of it. */
  | { kind: 'loses answers' };

export interface ForgeFront {
  url: string;
  asked: Asked[];
  /** How many requests the fault met. */
  met(): number;
  break(fault: Fault): void;
  /** Ends the fault: what hangs is answered now. */
  mend(): void;
  close(): Promise<void>;
}

/**
 * @param targetOf the origin a path is sent on to; null: it is not there
 * @param known what the one behind it takes for a header Authorization, where that is another than was sent
 */
export async function startForgeFront(
  targetOf: (path: string) => string | null,
  known: ReadonlyMap<string, string> = new Map(),
): Promise<ForgeFront> {
  const asked: Asked[] = [];
  let fault: Fault | null = null;
  let mended = Promise.withResolvers<void>();
  let met = 0;

  async function answer(request: Asked, response: ServerResponse): Promise<void> {
    const current = fault?.onlyWrites && !isStatus(request) ? null : fault;
    if (current) met += 1;
    if (current?.kind === 'hangs') await mended.promise;
    if (current?.kind === 'resets') return reset(response);
    const instead = current?.kind === 'answers' ? current.answer(request) : null;
    if (instead) {
      response.writeHead(instead.status, instead.headers).end(instead.body);
      return;
    }
    const target = targetOf(request.path);
    const { headers } = request;
    const authorization = known.get(headers.authorization ?? '') ?? headers.authorization;
    const asKnown = { ...request, headers: { ...headers, ...(authorization && { authorization }) } };
    if (target === null) response.writeHead(404).end();
    else await sendOn(asKnown, target, response, current?.kind === 'loses answers');
  }

  const server = createServer(async (incoming, response) => {
    const { method = '', url: path = '', headers } = incoming;
    const body = await buffer(incoming).catch(() => null);
    if (!body) return;
    const request = { method, path, headers, body };
    asked.push(request);
    answer(request, response).catch(() => reset(response));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    met: () => met,
    break(next) {
      fault = next;
      met = 0;
      mended = Promise.withResolvers();
    },
    mend() {
      fault = null;
      mended.resolve();
    },
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/** Of an API, and of Git, where notes are pushed. */
const isStatus = ({ method, path }: Asked): boolean =>
  method === 'POST' && /\/statuses\/|\/git-receive-pack$/.test(path);

function reset(response: ServerResponse): void {
  response.socket?.resetAndDestroy();
}

async function sendOn(
  { method, path, headers, body }: Asked,
  target: string,
  response: ServerResponse,
  lost: boolean,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const outgoing = request(`${target}${path}`, { method, headers }, async (incoming) => {
    const answered = await buffer(incoming).catch(() => Buffer.alloc(0));
    if (lost) reset(response);
    else response.writeHead(incoming.statusCode ?? 502, incoming.headers).end(answered);
    resolve();
  });
  outgoing.once('error', reject);
  outgoing.end(body);
  await promise;
}
