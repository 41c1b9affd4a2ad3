/** The few fields that are used of what GitLab sends, in payloads and in answers. */
import { z } from 'zod';
import { number as id, sha, text } from '../webhook-body.ts';

/** The body of a push, whichever hook sends it: of the project, the group or the system. */
export const pushSchema = z.object({
  ref: text,
  before: sha,
  after: sha,
  /** The commit, looked up later and by the tag's name: null where the tag was gone or not found by then. */
  checkout_sha: sha.nullish(),
  project_id: id,
  project: z.object({ path_with_namespace: text }, { error: 'must be there, as an object' }),
});
export type Push = z.infer<typeof pushSchema>;

/** The body of what happened to a merge request. */
export const mergeRequestHookSchema = z.object({
  /** The project that has it, not the fork it may come from. */
  project: z.object({ path_with_namespace: text }, { error: 'must be there, as an object' }),
  object_attributes: z.object(
    {
      iid: id,
      action: z.string({ error: 'must be text' }).nullish(),
      oldrev: z.string({ error: 'must be text' }).nullish(),
    },
    { error: 'must be there, as an object' },
  ),
  /** What an update changed, each with what was before. */
  changes: z.object({ target_branch: z.unknown().optional() }, { error: 'must be an object' }).nullish(),
});

/** The body of a system hook that tells of a project's new path. */
export const movedProjectSchema = z.object({ path_with_namespace: text });

export const projectSchema = z.object({
  id,
  path_with_namespace: text,
  /** null where it has none yet. Left out, as empty_repo is, for those who may not read the code. */
  default_branch: z.string().nullish(),
  /** Older versions have the first alone. */
  merge_requests_enabled: z.boolean().nullish(),
  merge_requests_access_level: z.string().nullish(),
  archived: z.boolean().default(false),
  /** Without a branch. Left out for those who may not read the code. */
  empty_repo: z.boolean().default(false),
});
export type Project = z.infer<typeof projectSchema>;

const date = z.string().nullish();
const commitSchema = z.object({ id: sha, committed_date: date });

/** What every merge request has in a list, strangers' too. Computed later than it is made: merge_status, which nobody asks. */
export const mergeRequestSchema = z.object({
  iid: id,
  web_url: z.string().regex(/^https?:\/\//, 'must be an address'),
  /** opened, closed, merged; locked while it is being merged. */
  state: z.string(),
  source_branch: z.string(),
  target_branch: z.string(),
  /** null where the fork is gone. */
  source_project_id: id.nullish(),
  target_project_id: id,
  title: z.string(),
  description: z.string().nullish(),
  /** The head of its branch. */
  sha: sha.nullish(),
  merge_commit_sha: sha.nullish(),
  squash_commit_sha: sha.nullish(),
});
export type MergeRequest = z.infer<typeof mergeRequestSchema>;

/** What is said of a merge request, by people or by GitLab itself. */
export const noteSchema = z.object({
  id,
  body: z.string(),
  system: z.boolean().default(false),
  /** null where that user is gone. */
  author: z.object({ id }).nullish(),
});
export type Note = z.infer<typeof noteSchema>;

/** Something that was made, where only that counts. */
export const madeSchema = z.object({ id });

export const hookSchema = z.object({
  id,
  url: z.string(),
  push_events: z.boolean().default(false),
  tag_push_events: z.boolean().default(false),
  merge_requests_events: z.boolean().default(false),
  enable_ssl_verification: z.boolean().default(true),
  push_events_branch_filter: z.string().nullish(),
  custom_webhook_template: z.string().nullish(),
  /** executable, temporarily_disabled or disabled, from version 15.3 on. */
  alert_status: z.string().nullish(),
  disabled_until: z.string().nullish(),
  /** Whether deliveries are signed; versions that cannot sign leave it out. */
  signing_token_present: z.boolean().nullish(),
});
export type Hook = z.infer<typeof hookSchema>;

/** One delivery of a hook. */
export const hookEventSchema = z.object({
  id,
  /** A code, or `internal error` where there was no answer. */
  response_status: z.union([z.string(), z.number()]).nullish(),
});

export const groupSchema = z.object({ id, full_path: text });

export const versionSchema = z.object({ version: z.string() });

export const userSchema = z.object({
  id,
  username: z.string(),
  bot: z.boolean().default(false),
  /** Shown to administrators alone. */
  is_admin: z.boolean().default(false),
});
export type User = z.infer<typeof userSchema>;

export const tokenSchema = z.object({ scopes: z.array(z.string()), expires_at: z.string().nullish() });

export const memberSchema = z.object({ access_level: z.int() });

/** A branch or a tag, where only its name counts. */
export const namedSchema = z.object({ name: text });

export const branchSchema = z.object({
  name: text,
  commit: commitSchema,
  /** Whether whoever asks may push to it. */
  can_push: z.boolean().nullish(),
});

export const tagSchema = z.object({
  name: text,
  /** The tag object of an annotated tag, else the commit. */
  target: sha,
  /** null where the tag leads to no commit. */
  commit: commitSchema.nullable(),
  /** Of an annotated tag; older versions leave it out. */
  created_at: date,
});

export const statusSchema = z.object({
  id,
  status: z.string(),
  ref: z.string().nullish(),
  description: z.string().nullish(),
  target_url: z.string().nullish(),
});
export type StatusRow = z.infer<typeof statusSchema>;
