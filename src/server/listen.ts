/** Opens the port, and closes it without cutting anybody off. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { getRequestListener, RequestError } from '@hono/node-server';
import type { Hono } from 'hono';
import { StalledError } from '../core/errors.ts';
import { PROBLEM_TYPE, problem } from './problem.ts';

export interface Listening {
  /** The one that was asked for, or the free one that the system chose for 0. */
  port: number;
  /**
   * Takes no new connection, lets requests in flight finish, and resolves when all connections are closed.
   * @param within after how many milliseconds those that are still open are cut
   */
  close(within?: number): Promise<void>;
}

/** What the remedies are for the reasons for which systems refuse a port. */
const REMEDIES: Readonly<Record<string, string>> = {
  EADDRINUSE: 'stop the process that listens there, or choose another server.port',
  EACCES: 'choose a server.port of 1024 or higher, or give the process the right to bind it',
  EADDRNOTAVAIL: 'set server.host to an address of this machine, or to 0.0.0.0 for all of them',
  ENOTFOUND: 'set server.host to an address of this machine, or to 0.0.0.0 for all of them',
};

/** Answers what never reached the app: a request without a URL that can be understood. */
const refuse = (): Response =>
  Response.json(problem(400, 'The path or the header Host of the request cannot be understood.'), {
    status: 400,
    headers: { 'content-type': PROBLEM_TYPE },
  });

/**
 * Serves an app over HTTP/1.1.
 * @throws StalledError where the address cannot be listened on
 */
export async function listen(
  app: Pick<Hono, 'fetch'>,
  { host, port }: { host: string; port: number },
): Promise<Listening> {
  const server = createServer(
    getRequestListener(app.fetch, {
      hostname: host,
      errorHandler: (error) =>
        error instanceof RequestError ? refuse() : new Response(null, { status: 500 }),
    }),
  );
  let closing = false;
  server.prependListener('request', ({ socket }, response) => {
    // A keep-alive connection that was busy when the server closed is of no more use once its answer is out.
    response.once('close', () => closing && socket.destroySoon());
  });
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    const remedy = REMEDIES[code];
    if (remedy === undefined) throw error;
    throw new StalledError(`cannot listen on ${host}:${port} (${code})`, remedy, { cause: error });
  }
  const address = server.address();

  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    async close(within = 5000) {
      closing = true;
      const cut = setTimeout(() => server.closeAllConnections(), within);
      server.close();
      await once(server, 'close');
      clearTimeout(cut);
    },
  };
}
