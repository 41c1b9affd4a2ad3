/** Webhook deliveries as Gitea 1.26 sends them, made by hand. */
import { createHmac, randomUUID } from 'node:crypto';
import { type Push, webhookRequest } from '../../src/forge/contract.ts';
import type { WebhookRequest } from '../../src/forge/forge.ts';

const ZERO = '0'.repeat(40);

/** The headers of a delivery; those without a secret are there, and empty. Also GitHub's, as Gitea sends them. */
export function giteaHeaders(
  event: string,
  body: string | Uint8Array,
  secret: string | null,
): Record<string, string> {
  const signature = secret === null ? '' : createHmac('sha256', secret).update(body).digest('hex');
  const id = randomUUID();
  return {
    'Content-Type': 'application/json',
    'X-GitHub-Delivery': id,
    'X-GitHub-Event': event,
    'X-GitHub-Event-Type': event,
    'X-Gitea-Delivery': id,
    'X-Gitea-Event': event,
    'X-Gitea-Event-Type': event,
    'X-Gitea-Signature': signature,
    'X-Gogs-Event': event,
    'X-Gogs-Signature': signature,
    'X-Hub-Signature-256': `sha256=${signature}`,
  };
}

export const giteaRequest = (
  event: string,
  body: string | Uint8Array,
  secret: string | null,
): WebhookRequest => webhookRequest(giteaHeaders(event, body, secret), body);

/** The event and body that tell of a push. A branch's deletion is told by `delete` alone. */
export function giteaPayload(
  { ref, before, after, object }: Push,
  path: string,
): { event: string; body: object } {
  const repository = { id: 42, name: path.split('/')[1], full_name: path, default_branch: 'main' };
  const sender = { id: 1, login: 'ada' };
  if (after === null && ref.startsWith('refs/heads/')) {
    const short = ref.replace('refs/heads/', '');
    return {
      event: 'delete',
      body: { ref: short, ref_type: 'branch', pusher_type: 'user', repository, sender },
    };
  }
  return {
    event: 'push',
    body: {
      ref,
      // A tag that moved is told as one that is new.
      before: ref.startsWith('refs/tags/') && after !== null ? ZERO : (before ?? ZERO),
      after: object ?? after ?? ZERO,
      commits: [],
      total_commits: 0,
      head_commit: after === null ? null : { id: after, message: 'Train\n' },
      repository,
      pusher: sender,
      sender,
    },
  };
}

export function giteaDelivery(push: Push, path: string, secret: string | null): WebhookRequest {
  const { event, body } = giteaPayload(push, path);
  return giteaRequest(event, JSON.stringify(body, null, 2), secret);
}

/** The delivery that tells of a pull request; also of pushes to it, under the same event. */
export function giteaPullRequestDelivery(
  path: string,
  number: number,
  action: string,
  secret: string | null,
): WebhookRequest {
  const { body } = giteaPayload({ ref: 'refs/heads/main', before: null, after: null }, path);
  const { repository, sender } = body as { repository: object; sender: object };
  const pullRequest = { number, state: action === 'closed' ? 'closed' : 'open', merged: false };
  const told = { action, number, pull_request: pullRequest, repository, sender, commit_id: '', review: null };
  return giteaRequest('pull_request', JSON.stringify(told, null, 2), secret);
}
