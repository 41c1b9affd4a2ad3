/** Deliveries of GitLab: pushes of project, group and system hooks. */
import { isZeroSha, parseRef, unsafeName, unsafeRef } from '../../core/ref-event.ts';
import { type WebhookDelivery, WebhookError, type WebhookReceiver, type WebhookRequest } from '../forge.ts';
import { type Push, pushSchema } from './schema.ts';
import { ID_HEADER, SIGNATURE_HEADER, verify } from './signature.ts';

export const DELIVERY_HEADER = 'Idempotency-Key';

/** Why what we could act on one day is not acted on. Anything else is not asked for. */
const IGNORED = new Map([
  ['merge_request', 'merge requests change nothing that is deployed'],
  ['note', 'comments change nothing that is deployed'],
  ['project_rename', 'a renamed project is known by its new name from its next push on'],
  ['project_transfer', 'a transferred project is known by its new name from its next push on'],
  ['repository_update', 'the push and tag_push events of the same push say which refs moved'],
]);
const TEMPLATE = 'where the hook has a custom webhook template, remove it';

/** GitLab's deliveries are checked at once. */
export interface GitLabWebhookReceiver extends WebhookReceiver {
  receive(request: WebhookRequest): WebhookDelivery;
}

/**
 * @param forge its name in modelhook.yaml
 * @param secrets all that are accepted, secret tokens and signing tokens: several while one is replaced by the next
 * @param now milliseconds since the epoch
 */
export function createGitLabWebhooks(
  forge: string,
  secrets: readonly string[],
  now: () => number,
): GitLabWebhookReceiver {
  return {
    receive(request) {
      verify(secrets, request, now());
      const body = parse(request.body);
      // System hooks have event_name alone, for every kind of event; the header says no more than that they are such.
      const kind = body['object_kind'] ?? body['event_name'];
      if (typeof kind !== 'string')
        throw new WebhookError(400, `the body's object_kind must be there, as text; ${TEMPLATE}`);
      if (kind !== 'push' && kind !== 'tag_push')
        return { kind: 'ignored', reason: IGNORED.get(kind) ?? `${named(kind)} are not asked for` };
      return movesOf(forge, deliveryId(request), pushOf(body));
    },
  };
}

const named = (kind: string): string => (/^[a-z_]{1,64}$/.test(kind) ? `events "${kind}"` : 'such events');

/**
 * GitLab's id of a delivery, from version 17.4 on; of a signed one the id that is signed.
 * @returns null where there is none that can be kept: every push is then known by what it moved
 */
function deliveryId({ header }: WebhookRequest): string | null {
  const isSigned = header(SIGNATURE_HEADER) !== undefined;
  const id = isSigned ? header(ID_HEADER) : (header(DELIVERY_HEADER) ?? header(ID_HEADER));
  return id !== undefined && /^[\x21-\x7e]{1,128}$/.test(id) ? id : null;
}

function parse(body: Uint8Array): Record<string, unknown> {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    throw new WebhookError(400, 'the body is not JSON');
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new WebhookError(400, `the body is not a JSON object; ${TEMPLATE}`);
  return json as Record<string, unknown>;
}

function pushOf(body: Record<string, unknown>): Push {
  const parsed = pushSchema.safeParse(body);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new WebhookError(400, `the body's ${issue?.path.join('.')} ${issue?.message}; ${TEMPLATE}`);
}

function movesOf(forge: string, id: string | null, push: Push): WebhookDelivery {
  const { before, after, ref, checkout_sha, project_id } = push;
  const path = push.project.path_with_namespace;
  const fault = unsafeName('the repository', path) ?? unsafeName('the ref', ref);
  if (fault) throw new WebhookError(400, fault);
  const { kind } = parseRef(ref) ?? {};
  if (!kind) return { kind: 'ignored', reason: `${ref} is neither a branch nor a tag` };
  const refFault = unsafeRef(ref);
  if (refFault) throw new WebhookError(400, refFault);
  if (before === after) return { kind: 'ignored', reason: 'before and after are the same: a test delivery' };
  // Of an annotated tag, after is the tag object; where its commit was not found, the reading of the ref knows both.
  const isKnown = kind === 'tag' && checkout_sha && !isZeroSha(checkout_sha);
  const sha = isKnown ? checkout_sha : after;
  const move = {
    repository: `${forge}:${path}`,
    projectId: String(project_id),
    ref,
    before: isZeroSha(before) ? null : before,
    after: isZeroSha(after) ? null : sha,
  };
  return { kind: 'refs', id, moves: [move] };
}
