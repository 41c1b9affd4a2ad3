/** Deliveries as GitLab sends them. */
import { createHmac, randomUUID } from 'node:crypto';

export const ZERO = '0'.repeat(40);

/** Headers of a delivery of a hook that has a signing token; of one without any secret where it is null. */
export function signedHeaders(
  body: string | Uint8Array,
  secret: string | null,
  at: number = Date.now(),
  id: string = randomUUID(),
): Record<string, string> {
  const timestamp = String(Math.floor(at / 1000));
  const base = { 'X-Gitlab-Event': 'Tag Push Hook', 'Idempotency-Key': id };
  if (secret === null) return base;
  const encoded = /^whsec_([A-Za-z0-9+/]+=*)$/.exec(secret)?.[1];
  const key = encoded === undefined ? Buffer.from(secret) : Buffer.from(encoded, 'base64');
  const signature = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest('base64');
  return {
    ...base,
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    'webhook-signature': `v1,${signature}`,
  };
}

/** The body of a push of a project hook. */
export function pushBody(
  push: { ref: string; before: string | null; after: string | null; object?: string },
  path = 'ml/iris',
  id = 42,
): Record<string, unknown> {
  const kind = push.ref.startsWith('refs/tags/') ? 'tag_push' : 'push';
  return {
    object_kind: kind,
    event_name: kind,
    before: push.before ?? ZERO,
    after: push.object ?? push.after ?? ZERO,
    ref: push.ref,
    ref_protected: true,
    checkout_sha: push.after,
    message: null,
    user_id: 1,
    user_username: 'ada',
    user_email: '[REDACTED]',
    project_id: id,
    project: {
      id,
      name: 'Iris',
      web_url: `https://elsewhere.example.com/${path}`,
      path_with_namespace: path,
      default_branch: 'main',
    },
    commits: [],
    total_commits_count: 0,
    push_options: {},
  };
}

/** The body of a merge request's project hook. */
export function mergeRequestBody(
  action: string | undefined,
  path = 'ml/iris',
  iid = 7,
): Record<string, unknown> {
  return {
    object_kind: 'merge_request',
    event_type: 'merge_request',
    user: { id: 1, username: 'ada', email: '[REDACTED]' },
    project: { id: 42, path_with_namespace: path, web_url: `https://elsewhere.example.com/${path}` },
    object_attributes: {
      id: 700 + iid,
      iid,
      action,
      state: 'opened',
      source_branch: 'modelhook/prod/vision/iris',
      target_branch: 'main',
      source_project_id: 42,
      target_project_id: 42,
      last_commit: { id: 'a'.repeat(40) },
    },
    labels: [],
    changes: {},
  };
}
