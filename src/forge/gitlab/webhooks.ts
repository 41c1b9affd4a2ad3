/** Deliveries of GitLab: pushes, merge requests and renames, of project, group and system hooks. */
import { isZeroSha, parseRef } from '../../core/ref-event.ts';
import { type WebhookDelivery, WebhookError, type WebhookReceiver, type WebhookRequest } from '../forge.ts';
import { checked, checkPath, deliveryId, ignored, parseJson, tellMove } from '../webhook-body.ts';
import { mergeRequestHookSchema, movedProjectSchema, type Push, pushSchema } from './schema.ts';
import { ID_HEADER, requireWholeSecrets, SIGNATURE_HEADER, verify } from './signature.ts';

export const DELIVERY_HEADER = 'Idempotency-Key';

/** Why what we could act on one day is not acted on. Anything else is not asked for. */
const IGNORED = new Map([
  ['note', 'comments change nothing that is deployed'],
  ['group_rename', 'the projects of a renamed group are known by their new names when they are next read'],
  ['user_rename', 'the projects of a renamed user are known by their new names when they are next read'],
  ['repository_update', 'the push and tag_push events of the same push say which refs moved'],
]);
/** What became of a merge request, by GitLab's word for it. */
const ACTIONS = new Map([
  ['open', 'opened'],
  ['update', 'updated'],
  ['reopen', 'reopened'],
  ['close', 'closed'],
  ['merge', 'merged'],
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
 * @throws Error where a secret starts like a signing token and is none
 */
export function createGitLabWebhooks(
  forge: string,
  secrets: readonly string[],
  now: () => number,
): GitLabWebhookReceiver {
  requireWholeSecrets(forge, secrets);
  return {
    receive(request) {
      verify(secrets, request, now());
      const body = parse(request.body);
      // System hooks have event_name alone, for every kind of event; the header says no more than that they are such.
      const kind = body['object_kind'] ?? body['event_name'];
      if (typeof kind !== 'string')
        throw new WebhookError(400, `the body's object_kind must be there, as text; ${TEMPLATE}`);
      switch (kind) {
        case 'push':
        case 'tag_push':
          return movesOf(forge, idOf(request), checked(pushSchema, body, TEMPLATE));
        case 'merge_request':
          return mergeRequestOf(forge, body);
        case 'project_rename':
          return movedProjectOf(forge, body, 'the project was renamed');
        case 'project_transfer':
          return movedProjectOf(forge, body, 'the project was moved to another group');
        default:
          return ignored(IGNORED.get(kind) ?? `${named(kind)} are not asked for`);
      }
    },
  };
}

const named = (kind: string): string => (/^[a-z_]{1,64}$/.test(kind) ? `events "${kind}"` : 'such events');

/**
 * GitLab's id of a delivery, from version 17.4 on; of a signed one the id that is signed.
 * @returns null where there is none that can be kept: every push is then known by what it moved
 */
function idOf({ header }: WebhookRequest): string | null {
  const isSigned = header(SIGNATURE_HEADER) !== undefined;
  const id = isSigned ? header(ID_HEADER) : (header(DELIVERY_HEADER) ?? header(ID_HEADER));
  return deliveryId(id);
}

function parse(body: Uint8Array): Record<string, unknown> {
  const json = parseJson(body);
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new WebhookError(400, `the body is not a JSON object; ${TEMPLATE}`);
  return json as Record<string, unknown>;
}

function movesOf(forge: string, id: string | null, push: Push): WebhookDelivery {
  const { before, after, ref, checkout_sha, project_id, project } = push;
  // Of an annotated tag, after is the tag object; where its commit was not found, the reading of the ref knows both.
  const isKnown = parseRef(ref)?.kind === 'tag' && checkout_sha && !isZeroSha(checkout_sha);
  return tellMove(id, {
    forge,
    path: project.path_with_namespace,
    projectId: String(project_id),
    ref,
    before,
    after,
    commit: isKnown ? checkout_sha : null,
  });
}

/** A change of title or labels is an update without `oldrev`, which only a push to the branch brings, to the same branch. */
function mergeRequestOf(forge: string, body: Record<string, unknown>): WebhookDelivery {
  const { project, object_attributes, changes } = checked(mergeRequestHookSchema, body, TEMPLATE);
  const { iid, action, oldrev } = object_attributes;
  const goesElsewhere = changes?.target_branch != null;
  if (action === 'update' && !oldrev && !goesElsewhere)
    return ignored('the merge request is what it was to who waits for it');
  const became = ACTIONS.get(action ?? '') ?? 'changed';
  return changed('pullRequest', forge, project.path_with_namespace, `merge request !${iid} was ${became}`);
}

/** The path is the new one. */
function movedProjectOf(forge: string, body: Record<string, unknown>, reason: string): WebhookDelivery {
  return changed('name', forge, checked(movedProjectSchema, body, TEMPLATE).path_with_namespace, reason);
}

function changed(what: 'name' | 'pullRequest', forge: string, path: string, reason: string): WebhookDelivery {
  checkPath(path);
  return { kind: 'changed', what, repository: `${forge}:${path}`, reason };
}
