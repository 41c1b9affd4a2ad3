/** Deliveries of GitHub: pushes, signed over the raw bytes. */
import { createHmac } from 'node:crypto';
import { z } from 'zod';
import { isFullSha, isZeroSha, parseRef, unsafeName, unsafeRef } from '../../core/ref-event.ts';
import { type WebhookDelivery, WebhookError, type WebhookReceiver, type WebhookRequest } from '../forge.ts';
import { isSignedByAny } from '../hmac.ts';

export const SIGNATURE_HEADER = 'X-Hub-Signature-256';
export const EVENT_HEADER = 'X-GitHub-Event';
export const DELIVERY_HEADER = 'X-GitHub-Delivery';

/** Gitea and its kin send GitHub's three headers beside their own. */
const HEADERS_OF_OTHERS = ['X-Gitea-Event', 'X-Forgejo-Event', 'X-Gogs-Event'];

const text = z
  .string({ error: 'must be there, as text' })
  .min(1, 'must not be empty')
  .refine((value) => value.isWellFormed(), 'must be whole Unicode characters');

const sha = z
  .string({ error: 'must be there, as text' })
  .refine((value) => isFullSha(value), 'must be a full object name, 40 or 64 hexadecimal digits');

const pushSchema = z.object({
  ref: text,
  before: sha,
  after: sha,
  deleted: z.boolean({ error: 'must be true or false' }).default(false),
  /** null where a ref was deleted, and where a tag is of no commit. */
  head_commit: z.object({ id: sha }, { error: 'must be an object or null' }).nullish(),
  repository: z.object(
    {
      id: z.int({ error: 'must be there, as a whole number' }).positive('must be a whole number above 0'),
      full_name: text,
    },
    { error: 'must be there, as an object' },
  ),
});
type Push = z.infer<typeof pushSchema>;

/** GitHub's signature is checked at once. */
export interface GitHubWebhookReceiver extends WebhookReceiver {
  receive(request: WebhookRequest): WebhookDelivery;
}

/**
 * The HMAC is Node's own over the bytes: the verification of @octokit/webhooks wants a string, so that a signed body
 * which is no UTF-8 looks badly signed, throws a TypeError for an empty one, and stops at the first secret that fits.
 * @param forge its name in modelhook.yaml
 * @param secrets all that are accepted: several while one is replaced by the next
 */
export function createGitHubWebhooks(forge: string, secrets: readonly string[]): GitHubWebhookReceiver {
  return {
    receive({ header, body }) {
      verify(secrets, header(SIGNATURE_HEADER), body);
      const other = HEADERS_OF_OTHERS.find((name) => header(name) !== undefined);
      if (other)
        throw new WebhookError(
          400,
          `the header ${other} says that this delivery is not from GitHub; give its forge the kind gitea in modelhook.yaml`,
        );
      const event = header(EVENT_HEADER);
      if (!event) throw new WebhookError(400, `the header ${EVENT_HEADER} is missing`);
      if (event === 'ping') return { kind: 'ignored', reason: 'a ping: the webhook works' };
      if (event !== 'push') return { kind: 'ignored', reason: `${eventName(event)} is no push` };
      return read(forge, deliveryId(header(DELIVERY_HEADER)), parse(body));
    },
  };
}

/** @returns the header's value for a body */
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
      `the header ${SIGNATURE_HEADER} is missing; give the webhook on GitHub one of this forge's secrets`,
    );
  if (!isSignedByAny(secrets, [signature], (secret) => sign(secret, body)))
    throw new WebhookError(
      401,
      `the header ${SIGNATURE_HEADER} does not fit the body; give the webhook on GitHub one of this forge's secrets`,
    );
}

/** Only a name of GitHub's own kind is repeated. */
const eventName = (event: string): string =>
  /^[a-z_]{1,50}$/.test(event) ? `the event ${event}` : 'the event';

/** It only tells a delivery that is sent again; one without is still taken. */
const deliveryId = (id: string | undefined): string | null =>
  id !== undefined && /^[\x21-\x7e]{1,128}$/.test(id) ? id : null;

function parse(body: Uint8Array): Push {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    throw new WebhookError(
      400,
      'the body is not JSON; set the content type of the webhook to application/json',
    );
  }
  const parsed = pushSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new WebhookError(400, `the body's ${issue?.path.join('.') || 'root'} ${issue?.message}`);
}

function read(forge: string, id: string | null, push: Push): WebhookDelivery {
  const { before, ref, repository } = push;
  const path = repository.full_name;
  const fault = unsafeName('repository.full_name', path) ?? unsafeName('the ref', ref);
  if (fault) throw new WebhookError(400, fault);
  if (path.split('/').length !== 2)
    throw new WebhookError(400, `repository.full_name "${path}" is not <owner>/<repository>`);
  const kind = parseRef(ref)?.kind;
  if (!kind) return { kind: 'ignored', reason: `${ref} is neither a branch nor a tag` };
  const refFault = unsafeRef(ref);
  if (refFault) throw new WebhookError(400, refFault);
  if (before === push.after)
    return { kind: 'ignored', reason: 'before and after are the same: a test delivery' };
  const move = {
    repository: `${forge}:${path}`,
    projectId: String(repository.id),
    ref,
    before: isZeroSha(before) ? null : before,
    after: commitOf(push, kind),
  };
  return { kind: 'refs', id, moves: [move] };
}

/** @returns the commit; of an annotated tag `after` is the tag object */
function commitOf({ after, deleted, head_commit }: Push, kind: 'tag' | 'branch'): string | null {
  if (deleted || isZeroSha(after)) return null;
  return kind === 'tag' ? (head_commit?.id ?? after) : after;
}
