/** Deliveries of GitHub: pushes, pull requests and new names of repositories, signed over the raw bytes. */
import { createHmac } from 'node:crypto';
import { z } from 'zod';
import { parseRef } from '../../core/ref-event.ts';
import { type WebhookDelivery, WebhookError, type WebhookReceiver, type WebhookRequest } from '../forge.ts';
import { isSignedByAny } from '../hmac.ts';
import {
  checked,
  checkPath,
  deliveryId,
  ignored,
  number,
  parseJson,
  requireSecrets,
  sha,
  tellMove,
  text,
} from '../webhook-body.ts';

export const SIGNATURE_HEADER = 'X-Hub-Signature-256';
export const EVENT_HEADER = 'X-GitHub-Event';
export const DELIVERY_HEADER = 'X-GitHub-Delivery';

/** Gitea and its kin send GitHub's three headers beside their own. */
const HEADERS_OF_OTHERS = ['X-Gitea-Event', 'X-Forgejo-Event', 'X-Gogs-Event'];

const repository = z.object(
  {
    id: number,
    full_name: text,
  },
  { error: 'must be there, as an object' },
);

const pushSchema = z.object({
  ref: text,
  before: sha,
  after: sha,
  deleted: z.boolean({ error: 'must be true or false' }).default(false),
  /** null where a ref was deleted, and where a tag is of no commit. */
  head_commit: z.object({ id: sha }, { error: 'must be an object or null' }).nullish(),
  repository,
});
type Push = z.infer<typeof pushSchema>;

const pullRequestSchema = z.object({ action: text, number, repository });
const repositorySchema = z.object({ action: text, repository });

const JSON_HINT = 'set the content type of the webhook to application/json';

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
      if (event === 'ping') return ignored('a ping: the webhook works');
      const json = () => parseJson(body, JSON_HINT);
      switch (event) {
        case 'push':
          return readPush(forge, deliveryId(header(DELIVERY_HEADER)), checked(pushSchema, json()));
        case 'pull_request':
          return readPullRequest(forge, checked(pullRequestSchema, json()));
        case 'repository':
          return readRepository(forge, checked(repositorySchema, json()));
        default:
          return ignored(`${eventName(event)} tells of no push, pull request or new name`);
      }
    },
  };
}

/** @returns the header's value for a body */
export const sign = (secret: string, body: Uint8Array | string): string =>
  `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`;

function verify(secrets: readonly string[], signature: string | undefined, body: Uint8Array): void {
  requireSecrets(secrets);
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

/** Labels, reviewers and the like change nothing for who waits for a request. */
const PULL_REQUEST_ACTIONS = ['opened', 'closed', 'reopened', 'edited', 'synchronize'];

/** Only a word of GitHub's own kind is repeated. */
const isWord = (word: string): boolean => /^[a-z_]{1,50}$/.test(word);
const eventName = (event: string): string => (isWord(event) ? `the event ${event}` : 'the event');

/** @throws WebhookError 400 where the path is no repository's */
function checkRepository(path: string): void {
  checkPath(path, 'repository.full_name');
  if (path.split('/').length !== 2)
    throw new WebhookError(400, `repository.full_name "${path}" is not <owner>/<repository>`);
}

function readPullRequest(forge: string, told: z.infer<typeof pullRequestSchema>): WebhookDelivery {
  const { action, number: pullRequest, repository: of } = told;
  checkRepository(of.full_name);
  if (!PULL_REQUEST_ACTIONS.includes(action))
    return ignored('the pull request is what it was to who waits for it');
  return {
    kind: 'changed',
    what: 'pullRequest',
    repository: `${forge}:${of.full_name}`,
    reason: `pull request #${pullRequest}: ${action}`,
  };
}

/** The repository has its new name in the body already. */
function readRepository(forge: string, told: z.infer<typeof repositorySchema>): WebhookDelivery {
  const { action, repository: of } = told;
  checkRepository(of.full_name);
  if (action !== 'renamed' && action !== 'transferred')
    return ignored('the event repository tells of no new name');
  return {
    kind: 'changed',
    what: 'name',
    repository: `${forge}:${of.full_name}`,
    reason: `the repository was ${action}`,
  };
}

function readPush(forge: string, id: string | null, push: Push): WebhookDelivery {
  const { before, after, ref, repository: of, deleted, head_commit: head } = push;
  const path = of.full_name;
  checkRepository(path);
  return tellMove(id, {
    forge,
    path,
    projectId: String(of.id),
    ref,
    before,
    after: deleted ? null : after,
    // Of an annotated tag `after` is the tag object.
    commit: parseRef(ref)?.kind === 'tag' ? head?.id : null,
  });
}
