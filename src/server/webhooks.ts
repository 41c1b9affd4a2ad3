/** `POST /webhooks/<forge name>` (specification section 7): one route and its own secrets per forge. */
import { Hono } from 'hono';
import { type Forge, WebhookError } from '../forge/forge.ts';
import type { Receive } from '../pipeline/receive.ts';
import type { Log } from '../telemetry/log.ts';
import { ProblemError } from './problem.ts';

export interface WebhookDependencies {
  receive: Receive;
  forges: ReadonlyMap<string, Forge>;
  /** The base of links, without a trailing slash. */
  publicUrl: string;
  log: Log;
}

/** GitHub caps its payloads at 25 MB; nobody else sends more. */
const MAX_BODY_BYTES = 25 * 1024 * 1024;

const isJson = (contentType: string | undefined): boolean =>
  /^\s*application\/(?:json|[\w.-]+\+json)\s*(?:;|$)/i.test(contentType ?? '');

/**
 * Reads a request's body, never holding more than the limit.
 * @throws ProblemError 413 where it is longer, 400 where the sender went away half way
 */
async function readBody(request: Request): Promise<Uint8Array> {
  const tooLarge = new ProblemError(
    413,
    'The body is over 25 MiB, more than any forge sends. Nothing of it was used.',
  );
  if (Number(request.headers.get('content-length')) > MAX_BODY_BYTES) throw tooLarge;
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of request.body ?? []) {
      size += chunk.byteLength;
      if (size > MAX_BODY_BYTES) throw tooLarge;
      chunks.push(chunk);
    }
  } catch (error) {
    if (error === tooLarge) throw error;
    throw new ProblemError(400, 'The connection ended before the whole body had arrived. Send it again.');
  }
  return Buffer.concat(chunks, size);
}

/** The route for webhooks. A bad one is answered with 4xx and changes nothing. */
export function createWebhooks({ receive, forges, publicUrl, log }: WebhookDependencies): Hono {
  const app = new Hono();

  app.post('/:forge', async (c) => {
    const forge = forges.get(c.req.param('forge'));
    if (forge === undefined)
      throw new ProblemError(
        404,
        `No forge of this name is configured. The path is /webhooks/<forge name>, a key of "forges" in modelhook.yaml.`,
      );
    if (!isJson(c.req.header('content-type')))
      throw new ProblemError(
        415,
        'The header Content-Type must be application/json. Set the content type of the webhook to JSON on the forge.',
      );
    const body = await readBody(c.req.raw);
    try {
      const received = await receive(forge, { header: (name) => c.req.header(name), body });
      if (received.status === 'ignored') return c.json({ ignored: received.reason });
      const { eventId } = received;
      return c.json({ eventId, url: `${publicUrl}/api/v1/events/${encodeURIComponent(eventId)}` }, 202);
    } catch (error) {
      if (error instanceof WebhookError)
        log.warn({ forge: forge.name, status: error.status }, `webhook refused: ${error.message}`);
      throw error;
    }
  });

  return app;
}
