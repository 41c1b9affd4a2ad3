/** Deliveries of a post-receive hook: one ref each, signed over the raw bytes (specification section 7). */
import { createHmac } from 'node:crypto';
import { z } from 'zod';
import { type WebhookDelivery, WebhookError, type WebhookReceiver, type WebhookRequest } from '../forge.ts';
import { isSignedByAny } from '../hmac.ts';
import { checked, parseJson, requireSecrets, sha, tellMove, text } from '../webhook-body.ts';

export const SIGNATURE_HEADER = 'X-Modelhook-Signature-256';
export const DELIVERY_HEADER = 'X-Modelhook-Delivery';

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
      return read(forge, id, checked(payloadSchema, parseJson(body)));
    },
  };
}

/** @returns the header's value for a body, as the hook computes it */
export const sign = (secret: string, body: Uint8Array | string): string =>
  `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`;

function verify(secrets: readonly string[], signature: string | undefined, body: Uint8Array): void {
  requireSecrets(secrets);
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

function read(forge: string, id: string, payload: z.infer<typeof payloadSchema>): WebhookDelivery {
  const path = payload.repository.replace(/(?:\.git)+$/, '');
  return tellMove(id, { ...payload, forge, path, projectId: null });
}
