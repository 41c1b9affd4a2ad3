/** A server in the controller's place: it keeps what it is sent, and answers as a test says. */
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface ReceivedRequest {
  path: string;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

export interface WebhookServer {
  url: string;
  port: number;
  received: ReceivedRequest[];
  /** Resolves once that many requests have come in. */
  until(count: number): Promise<void>;
  close(): Promise<void>;
}

/**
 * @param answer the status for a request; it may take its time
 * @param port 0: any that is free
 */
export async function startWebhookServer(
  answer: (request: ReceivedRequest) => number | Promise<number> = () => 202,
  port = 0,
): Promise<WebhookServer> {
  const received: ReceivedRequest[] = [];
  const waiting: { count: number; resolve: () => void }[] = [];
  const server = createServer((incoming, outgoing) => {
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('end', async () => {
      const request = { path: incoming.url ?? '', headers: incoming.headers, body: Buffer.concat(chunks) };
      received.push(request);
      for (const { count, resolve } of waiting) if (received.length >= count) resolve();
      outgoing.writeHead(await answer(request)).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const address = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${address.port}`,
    port: address.port,
    received,
    until(count) {
      if (received.length >= count) return Promise.resolve();
      return new Promise((resolve) => waiting.push({ count, resolve }));
    },
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
