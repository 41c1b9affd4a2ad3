/** Rollouts as a running controller tells of them. */
import { z } from 'zod';
import { PHASES } from '../core/rollout.ts';

/** What the text output shows of a rollout; the other outputs pass on all that the server says. */
export const rolloutSchema = z.looseObject({
  id: z.string(),
  cause: z.object({ kind: z.string(), of: z.string() }),
  repository: z.string(),
  ref: z.string(),
  revision: z.string(),
  sha: z.string(),
  policy: z.string(),
  policyRevision: z.string(),
  environment: z.string(),
  target: z.object({ cluster: z.string(), namespace: z.string(), name: z.string() }).nullable(),
  phase: z.enum(PHASES),
  message: z.string(),
  createdAt: z.string(),
  finishedAt: z.string().nullable(),
  receipt: z.looseObject({ commit: z.string().nullable(), path: z.string().nullable() }).nullable(),
  transitions: z.array(z.object({ phase: z.enum(PHASES), message: z.string(), at: z.string() })),
});
export const detailsSchema = rolloutSchema.extend({
  manifest: z.string().nullable(),
  decisions: z.array(z.string()),
  warnings: z.array(z.string()),
});

export type RolloutJson = z.infer<typeof rolloutSchema>;
export type DetailsJson = z.infer<typeof detailsSchema>;
