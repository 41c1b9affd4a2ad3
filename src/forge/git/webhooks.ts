/** Deliveries of a post-receive hook: one ref each, signed over the raw bytes (specification section 7). */
import { createHmac } from 'node:crypto';
import { z } from 'zod';
import { isFullSha, isZeroSha, parseRef, unsafeName, unsafeRef } from '../../core/ref-event.ts';
import { type WebhookDelivery, WebhookError, type WebhookReceiver, type WebhookRequest } from '../forge.ts';
import { isSignedByAny } from '../hmac.ts';

export const SIGNATURE_HEADER = 'X-Modelhook-Signature-256';
export const DELIVERY_HEADER = 'X-Modelhook-Delivery';

const sha = z
  .string({ error: 'must be there, as text' })
  .refine((text) => isFullSha(text), 'must be a full object name, 40 or 64 hexadecimal digits');

const text = z.string({ error: 'must be there, as text' }).min(1, 'must not be empty');

const payloadSchema = z.object({
  repository: text,
  before: sha,
  after: sha,
  ref: text,
});

/** Plain Git's signature is checked at once. */
export interface GitWebhookReceiver extends WebhookReceiver {
  receive(request: WebhookRequest): WebhookDelivery;
}

/**
 * @param forge its name in modelhook.yaml
 * @param secrets all that are accepted: several while one is replaced by the next
 */
export function createGitWebhooks(forge: string, secrets: readonly string[]): GitWebhookReceiver {
  return {
    receive({ header, body }) {
      verify(secrets, header(SIGNATURE_HEADER), body);
      const id = deliveryId(header(DELIVERY_HEADER));
      return read(forge, id, parse(body));
    },
  };
}

/** @returns the header's value for a body, as the hook computes it */
export const sign = (secret: string, body: Uint8Array | string): string =>
  `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`;

function verify(secrets: readonly string[], signature: string | undefined, body: Uint8Array): void {
  if (secrets.length === 0)
    throw new WebhookError(
      401,
      'no webhook secret is configured for this forge; set its webhookSecrets in modelhook.yaml',
    );
  if (!signature)
    throw new WebhookError(
      401,
      `the header ${SIGNATURE_HEADER} is missing; sign the body with the forge's webhook secret`,
    );
  if (!isSignedByAny(secrets, [signature], (secret) => sign(secret, body)))
    throw new WebhookError(
      401,
      `the header ${SIGNATURE_HEADER} does not fit the body; it must be sha256=<hex HMAC-SHA-256 of the raw body> with this forge's webhook secret`,
    );
}

function deliveryId(id: string | undefined): string {
  if (id !== undefined && /^[\x21-\x7e](?:[\x20-\x7e]{0,126}[\x21-\x7e])?$/.test(id)) return id;
  throw new WebhookError(400, `the header ${DELIVERY_HEADER} must be an id of 1 to 128 printable characters`);
}

function parse(body: Uint8Array): z.infer<typeof payloadSchema> {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    throw new WebhookError(400, 'the body is not JSON');
  }
  const parsed = payloadSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new WebhookError(400, `the body's ${issue?.path.join('.') || 'root'} ${issue?.message}`);
}

function read(forge: string, id: string, payload: z.infer<typeof payloadSchema>): WebhookDelivery {
  const { before, after, ref } = payload;
  const path = payload.repository.replace(/(?:\.git)+$/, '');
  const fault = unsafeName('the repository', path) ?? unsafeName('the ref', ref);
  if (fault) throw new WebhookError(400, fault);
  if (!parseRef(ref)) return { kind: 'ignored', reason: `${ref} is neither a branch nor a tag` };
  const refFault = unsafeRef(ref);
  if (refFault) throw new WebhookError(400, refFault);
  if (before === after) return { kind: 'ignored', reason: 'before and after are the same: a test delivery' };
  const move = {
    repository: `${forge}:${path}`,
    projectId: null,
    ref,
    before: isZeroSha(before) ? null : before,
    after: isZeroSha(after) ? null : after,
  };
  return { kind: 'refs', id, moves: [move] };
}
