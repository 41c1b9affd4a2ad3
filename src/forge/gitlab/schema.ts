/** The few fields that are used of what GitLab sends, in payloads and in answers. */
import { z } from 'zod';
import { isFullSha } from '../../core/ref-event.ts';

const text = z
  .string({ error: 'must be there, as text' })
  .min(1, 'must not be empty')
  .refine((value) => value.isWellFormed(), 'must be whole Unicode characters');

const sha = z
  .string({ error: 'must be there, as text' })
  .refine((value) => isFullSha(value), 'must be a full object name, 40 or 64 hexadecimal digits');

const id = z.int({ error: 'must be there, as a whole number' }).positive('must be a whole number above 0');

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

export const projectSchema = z.object({
  id,
  archived: z.boolean().default(false),
  /** Without a branch. Left out for those who may not read the code. */
  empty_repo: z.boolean().default(false),
});
export type Project = z.infer<typeof projectSchema>;

const date = z.string().nullish();
const commitSchema = z.object({ id: sha, committed_date: date });

/** A branch or a tag, where only its name counts. */
export const namedSchema = z.object({ name: text });

export const branchSchema = z.object({ name: text, commit: commitSchema });

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
