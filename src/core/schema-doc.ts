/** What a field of a policy is for, kept beside its shape: JSON Schemas and the reference are generated from both. */
import type { z } from 'zod';

/**
 * Describes a field. What it accepts and what it says about faults stay the same.
 * @param description one to three sentences: what it does, its unit, what leaving it out means. Code stands in backquotes
 * @param notes `default` only where it can be written down as a value; otherwise the description says it
 */
export const doc = <Schema extends z.ZodType>(
  schema: Schema,
  description: string,
  notes: { examples: [unknown, ...unknown[]]; default?: unknown },
): Schema => schema.meta({ ...notes, description });
