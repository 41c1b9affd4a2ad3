/** Webhook deliveries of Gitea and Forgejo: signed over the raw bytes, one ref each. */
import { createHmac } from 'node:crypto';
import type { z } from 'zod';
import { isZeroSha, parseRef, type RefMove, unsafeName, unsafeRef } from '../../core/ref-event.ts';
import { type WebhookDelivery, WebhookError, type WebhookReceiver, type WebhookRequest } from '../forge.ts';
import { isSignedByAny } from '../hmac.ts';
import { deleteSchema, pushSchema } from './schema.ts';

/** Gitea sends the first of each pair, Forgejo both. GitHub's headers come along, and say nothing more. */
const SIGNATURE_HEADERS = ['X-Gitea-Signature', 'X-Forgejo-Signature'];
const EVENT_HEADERS = ['X-Gitea-Event', 'X-Forgejo-Event'];
const DELIVERY_HEADERS = ['X-Gitea-Delivery', 'X-Forgejo-Delivery'];

/** The signature is checked at once. */
export interface GiteaWebhookReceiver extends WebhookReceiver {
  receive(request: WebhookRequest): WebhookDelivery;
}

/**
 * @param forge its name in modelhook.yaml
 * @param secrets all that are accepted: several while one is replaced by the next
 */
export function createGiteaWebhooks(forge: string, secrets: readonly string[]): GiteaWebhookReceiver {
  return {
    receive({ header, body }) {
      const first = (names: readonly string[]) => names.map(header).find((value) => value);
      verify(
        secrets,
        SIGNATURE_HEADERS.map(header).filter((value) => value !== undefined),
        body,
      );
      const event = first(EVENT_HEADERS);
      if (!event) throw new WebhookError(400, `the header ${EVENT_HEADERS[0]} is missing`);
      const json = parse(body);
      const id = deliveryId(first(DELIVERY_HEADERS));
      if (event === 'push') return readPush(forge, id, checked(pushSchema, json));
      if (event === 'delete') return readDelete(forge, id, checked(deleteSchema, json));
      return ignored(
        event === 'create'
          ? 'a push tells of what was created, too'
          : `the event ${printable(event)} is not used`,
      );
    },
  };
}

/** @returns the header's value for a body: the bare digits, without the `sha256=` of others */
export const sign = (secret: string, body: Uint8Array | string): string =>
  createHmac('sha256', secret).update(body).digest('hex');

/** A webhook without a secret sends the header, and nothing in it. */
function verify(secrets: readonly string[], signatures: readonly string[], body: Uint8Array): void {
  if (secrets.length === 0)
    throw new WebhookError(
      401,
      'no webhook secret is configured for this forge; set its webhookSecrets in modelhook.yaml',
    );
  if (signatures.every((signature) => signature === ''))
    throw new WebhookError(
      401,
      `the header ${SIGNATURE_HEADERS[0]} is missing or empty; set the webhook's secret in Gitea`,
    );
  if (!isSignedByAny(secrets, signatures, (secret) => sign(secret, body)))
    throw new WebhookError(
      401,
      `the header ${SIGNATURE_HEADERS[0]} does not fit the body; give the webhook this forge's secret, and the content type application/json`,
    );
}

/** Gitea sends a UUID; anything else is no use for telling repetitions. */
const deliveryId = (id: string | undefined): string | null =>
  id !== undefined && /^[\x21-\x7e]{1,128}$/.test(id) ? id : null;

function parse(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    throw new WebhookError(400, 'the body is not JSON; set the webhook to the content type application/json');
  }
}

function checked<Schema extends z.ZodType>(schema: Schema, json: unknown): z.output<Schema> {
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new WebhookError(400, `the body's ${issue?.path.join('.') || 'root'} ${issue?.message}`);
}

function readPush(forge: string, id: string | null, push: z.output<typeof pushSchema>): WebhookDelivery {
  const { ref, before, after, head_commit: head, repository } = push;
  if (before === after) return ignored('before and after are the same: a test delivery');
  // What an annotated tag's ref points to is no commit; the head commit always is.
  const commit = parseRef(ref)?.kind === 'tag' ? (head?.id ?? after) : after;
  return delivery(forge, id, repository, {
    ref,
    before: isZeroSha(before) ? null : before,
    after: isZeroSha(after) ? null : commit,
  });
}

/** A branch's deletion is told by this alone; a tag's by a push as well, which says where the tag was. */
function readDelete(
  forge: string,
  id: string | null,
  deleted: z.output<typeof deleteSchema>,
): WebhookDelivery {
  if (deleted.ref_type !== 'branch') return ignored('a push tells of it, too');
  return delivery(forge, id, deleted.repository, {
    ref: `refs/heads/${deleted.ref}`,
    before: null,
    after: null,
  });
}

function delivery(
  forge: string,
  id: string | null,
  repository: z.output<typeof pushSchema>['repository'],
  move: Pick<RefMove, 'ref' | 'before' | 'after'>,
): WebhookDelivery {
  const fault = unsafeName('the repository', repository.full_name) ?? unsafeName('the ref', move.ref);
  if (fault) throw new WebhookError(400, fault);
  if (!parseRef(move.ref)) return ignored(`${move.ref} is neither a branch nor a tag`);
  const refFault = unsafeRef(move.ref);
  if (refFault) throw new WebhookError(400, refFault);
  return {
    kind: 'refs',
    id,
    moves: [{ repository: `${forge}:${repository.full_name}`, projectId: String(repository.id), ...move }],
  };
}

const ignored = (reason: string): WebhookDelivery => ({ kind: 'ignored', reason });

const printable = (text: string): string => JSON.stringify(text.slice(0, 60));
