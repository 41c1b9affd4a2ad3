/** Webhook deliveries of Gitea and Forgejo: signed over the raw bytes, one ref each. */
import { createHmac } from 'node:crypto';
import type { z } from 'zod';
import { parseRef } from '../../core/ref-event.ts';
import { type WebhookDelivery, WebhookError, type WebhookReceiver, type WebhookRequest } from '../forge.ts';
import { isSignedByAny } from '../hmac.ts';
import {
  checked,
  checkPath,
  deliveryId,
  ignored,
  parseJson,
  requireSecrets,
  tellMove,
} from '../webhook-body.ts';
import { deleteSchema, pullRequestEventSchema, pushSchema } from './schema.ts';

/** Gitea sends the first of each pair, Forgejo both. GitHub's headers come along, and say nothing more. */
const SIGNATURE_HEADERS = ['X-Gitea-Signature', 'X-Forgejo-Signature'];
const EVENT_HEADERS = ['X-Gitea-Event', 'X-Forgejo-Event'];
const DELIVERY_HEADERS = ['X-Gitea-Delivery', 'X-Forgejo-Delivery'];
/** What else is done to a pull request, such as giving it a label, changes nothing that anybody waits for. */
const PULL_REQUEST_ACTIONS = ['opened', 'closed', 'reopened', 'edited', 'synchronized'];

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
      const json = parseJson(body, 'set the webhook to the content type application/json');
      const id = deliveryId(first(DELIVERY_HEADERS));
      if (event === 'push') return readPush(forge, id, checked(pushSchema, json));
      if (event === 'delete') return readDelete(forge, id, checked(deleteSchema, json));
      if (event === 'pull_request') return readPullRequest(forge, checked(pullRequestEventSchema, json));
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
  requireSecrets(secrets);
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

function readPush(forge: string, id: string | null, push: z.output<typeof pushSchema>): WebhookDelivery {
  const { head_commit: head, repository, ...told } = push;
  return tellMove(id, {
    ...told,
    ...named(forge, repository),
    // What an annotated tag's ref points to is no commit; the head commit always is.
    commit: parseRef(push.ref)?.kind === 'tag' ? head?.id : null,
  });
}

/** A branch's deletion is told by this alone; a tag's by a push as well, which says where the tag was. */
function readDelete(
  forge: string,
  id: string | null,
  deleted: z.output<typeof deleteSchema>,
): WebhookDelivery {
  if (deleted.ref_type !== 'branch') return ignored('a push tells of it, too');
  const { ref, repository } = deleted;
  return tellMove(id, { ...named(forge, repository), ref: `refs/heads/${ref}`, before: null, after: null });
}

function readPullRequest(
  forge: string,
  { action, number, repository }: z.output<typeof pullRequestEventSchema>,
): WebhookDelivery {
  if (!PULL_REQUEST_ACTIONS.includes(action))
    return ignored(`the action ${printable(action)} of a pull request is not used`);
  const path = repository.full_name;
  checkPath(path);
  return {
    kind: 'changed',
    what: 'pullRequest',
    repository: `${forge}:${path}`,
    reason: `pull request #${number} was ${action}`,
  };
}

const named = (forge: string, { id, full_name }: z.output<typeof pushSchema>['repository']) => ({
  forge,
  path: full_name,
  projectId: String(id),
});

const printable = (text: string): string => JSON.stringify(text.slice(0, 60));
