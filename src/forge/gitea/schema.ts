/** What Gitea's API answers and its webhooks send, as far as it is used: Gitea adds fields as it grows. */
import { z } from 'zod';
import { isFullSha } from '../../core/ref-event.ts';

const text = z.string({ error: 'must be there, as text' });
const sha = text.refine(isFullSha, 'must be a full object name, 40 or 64 hexadecimal digits');
const date = z.string().transform((written) => Date.parse(written));

/** Gitea's number of the repository, and its path. */
const repositoryName = z.object(
  {
    id: z.int('must be there, as a number').positive('must be positive'),
    full_name: text.min(1, 'must not be empty'),
  },
  'must be there, as an object',
);

/** `push`, also of a deletion: then `after` is zeros and there is no head commit. */
export const pushSchema = z.object({
  ref: text.min(1, 'must not be empty'),
  before: sha,
  after: sha,
  head_commit: z.object({ id: sha }, 'must be an object, or null').nullish(),
  repository: repositoryName,
});

/** `delete`: the name is short, and there is no commit. */
export const deleteSchema = z.object({
  ref: text.min(1, 'must not be empty'),
  ref_type: text,
  repository: repositoryName,
});

/** `pull_request`: any change of one, told of the repository that has it. */
export const pullRequestEventSchema = z.object({
  action: text,
  number: z.int('must be there, as a number').positive('must be positive'),
  repository: repositoryName,
});

export const repositorySchema = repositoryName.extend({
  archived: z.boolean().default(false),
  has_pull_requests: z.boolean().default(true),
  permissions: z.object({ admin: z.boolean(), push: z.boolean() }).nullish(),
  html_url: z.string().default(''),
});

/** Forks of Gitea have answered one reference as an object, others as a list of one. */
const reference = z.object({ ref: text, object: z.object({ type: text, sha }) });
export type Reference = z.infer<typeof reference>;
export const referencesSchema = z
  .union([z.array(reference), reference])
  .transform((answer) => (Array.isArray(answer) ? answer : [answer]));

export const commitSchema = z.object({ sha, created: date });
export const annotatedTagSchema = z.object({ tagger: z.object({ date }).nullish() });

export const treeSchema = z.object({
  /** An empty one may be null. */
  tree: z
    .array(z.object({ path: text, type: text, size: z.int().nonnegative().default(0), sha }))
    .nullable()
    .transform((entries) => entries ?? []),
  /** Whether more pages follow. */
  truncated: z.boolean().default(false),
});
export type TreeEntry = z.infer<typeof treeSchema>['tree'][number];

/** The content is left out above the size that Gitea's administrator set. */
export const blobSchema = z.object({
  size: z.int().nonnegative(),
  content: z.string().nullish(),
});

export const statusesSchema = z
  .array(
    z.object({
      context: text,
      status: text,
      description: z.string().default(''),
      target_url: z.string().default(''),
    }),
  )
  .nullable()
  .transform((statuses) => statuses ?? []);

/** The label keeps the branch's name; `ref` becomes `refs/pull/12/head` when the branch is gone. */
const pullRequestBranch = z.object({
  label: z.string().default(''),
  /** -1 where that repository is gone. */
  repo_id: z.int(),
  /** Of the head the newest commit, also when the fork is gone. */
  sha: z.string().default(''),
});
export const pullRequestSchema = z.object({
  number: z.int().positive(),
  html_url: z.string(),
  title: z.string(),
  body: z
    .string()
    .nullish()
    .transform((body) => body ?? ''),
  state: z.enum(['open', 'closed']),
  merged: z.boolean().default(false),
  merge_commit_sha: z.string().nullish(),
  head: pullRequestBranch,
  base: pullRequestBranch,
});
export type GiteaPullRequest = z.infer<typeof pullRequestSchema>;

/** A webhook as the API shows it: never with its secret. */
export const hookSchema = z.object({
  id: z.int(),
  type: z.string(),
  active: z.boolean(),
  events: z
    .array(z.string())
    .nullish()
    .transform((events) => events ?? []),
  branch_filter: z.string().default(''),
  authorization_header: z.string().default(''),
  config: z.object({ url: z.string().default(''), content_type: z.string().default('') }),
});
export type Hook = z.infer<typeof hookSchema>;

export const versionSchema = z.object({ version: z.string() });
export const userSchema = z.object({ id: z.int().optional(), login: text });

/** Who wrote it is null where that account is gone. */
export const commentSchema = z.object({
  id: z.int(),
  body: z
    .string()
    .nullish()
    .transform((body) => body ?? ''),
  user: z.object({ id: z.int() }).nullish(),
});
export type GiteaComment = z.infer<typeof commentSchema>;

/** Old versions have `username` alone. */
export const organisationSchema = z
  .object({ name: z.string().optional(), username: z.string().optional() })
  .transform(({ name, username }) => name || username || '');
