/** The query parameters of lists, for the API and the pages alike. */
import { z } from 'zod';
import { parseRepositoryId } from '../core/ref-event.ts';
import { PHASES } from '../core/rollout.ts';
import type { ListQuery } from '../store/store.ts';
import { ProblemError } from './problem.ts';

/** @returns the store's cursor in the form that goes into URLs: opaque, so that nobody builds on what is in it */
export const encodeCursor = (cursor: string | null): string | null =>
  cursor === null ? null : Buffer.from(`before ${cursor}`).toString('base64url');

const decodeCursor = (cursor: string): number =>
  Number(/^before ([1-9]\d{0,14})$/.exec(Buffer.from(cursor, 'base64url').toString())?.[1]);

const listParameters = z.strictObject({
  repository: z
    .string()
    .refine((id) => parseRepositoryId(id) !== null)
    .optional(),
  phase: z.enum(PHASES).optional(),
  environment: z.string().min(1).optional(),
  limit: z
    .string()
    .regex(/^\d{1,3}$/)
    .transform(Number)
    .pipe(z.number().min(1).max(200))
    .default(50),
  cursor: z.string().transform(decodeCursor).pipe(z.number()).optional(),
});

/** What each parameter takes, in the words of the answer that refuses another value. */
const TAKES: Record<keyof z.infer<typeof listParameters>, string> = {
  repository: 'a repository id, <forge name>:<path>, such as gitlab:ml/vision/iris',
  phase: `one of ${PHASES.join(', ')}`,
  environment: 'the name of an environment',
  limit: 'a whole number from 1 to 200',
  cursor: 'the nextCursor of an earlier answer, unchanged',
};

/**
 * Reads and checks the query of a list.
 * @param queries all values of each parameter, as Hono's `c.req.queries()` has them
 * @throws ProblemError 400 that names every parameter that is unknown, repeated or has a value it does not take
 */
export function readListQuery(queries: Record<string, string[]>): ListQuery {
  const given = Object.entries(queries);
  const repeated = given.find(([, values]) => values.length > 1);
  if (repeated)
    throw new ProblemError(400, `The query parameter ${quote(repeated[0])} is given more than once.`);
  const parsed = listParameters.safeParse(Object.fromEntries(given.map(([name, [value]]) => [name, value])));
  if (!parsed.success) {
    const faults = parsed.error.issues.map((issue) =>
      issue.code === 'unrecognized_keys'
        ? `There is no query parameter ${issue.keys.map(quote).join(', ')}; a list takes ${Object.keys(TAKES).join(', ')}.`
        : refusal(String(issue.path[0]), queries),
    );
    throw new ProblemError(400, [...new Set(faults)].join(' '));
  }
  const { cursor, ...query } = parsed.data;
  return { ...query, before: cursor };
}

const refusal = (name: string, queries: Record<string, string[]>): string =>
  `The query parameter "${name}" takes ${TAKES[name as keyof typeof TAKES]}, not ${quote(queries[name]?.[0] ?? '')}.`;

/** Quotes what a stranger sent, cut to what fits a sentence. */
const quote = (text: string): string => JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
