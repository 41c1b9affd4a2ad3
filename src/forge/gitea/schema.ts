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

export const repositorySchema = repositoryName.extend({ archived: z.boolean().default(false) });

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
