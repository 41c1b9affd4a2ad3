/** How `modelhook rollouts` asks a running controller. */
import { z } from 'zod';
import { messageOf } from '../core/errors.ts';
import { PHASES } from '../core/rollout.ts';

/** Which controller. */
export interface Controller {
  server: string;
  token?: string;
}

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
export const listSchema = z.looseObject({ items: z.array(rolloutSchema), nextCursor: z.string().nullable() });
const problemSchema = z.object({ detail: z.string() });

export type RolloutJson = z.infer<typeof rolloutSchema>;
export type DetailsJson = z.infer<typeof detailsSchema>;

/** Ends a command with a sentence on stderr. 1: the thing asked about is bad; 2: wrong usage or configuration. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure';
  readonly exitCode: 1 | 2;

  constructor(exitCode: 1 | 2, message: string, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}

/**
 * One request to the controller.
 * @param sent the body of a POST; undefined: it is a GET
 * @throws CommandFailure where it is not reached, or answers anything but what was asked for
 */
export async function ask<Schema extends z.ZodType>(
  { server, token }: Controller,
  path: string,
  schema: Schema,
  sent?: object,
): Promise<z.infer<Schema>> {
  const response = await send(server, path, token, sent);
  const body: unknown = await response.json().catch(() => null);
  if (!response.ok) {
    const problem = problemSchema.safeParse(body);
    const reason = problem.success ? problem.data.detail : `${server} answered ${response.status}.`;
    throw new CommandFailure([400, 401, 403].includes(response.status) ? 2 : 1, reason);
  }
  const answer = schema.safeParse(body);
  if (answer.success) return answer.data;
  throw new CommandFailure(
    2,
    `What answers at ${server} does not talk like a modelhook of this version. Check --server, or MODELHOOK_SERVER.`,
  );
}

async function send(
  server: string,
  path: string,
  token: string | undefined,
  sent: object | undefined,
): Promise<Response> {
  if (!/^https?:\/\//.test(server) || !URL.canParse(server))
    throw new CommandFailure(
      2,
      `"${server}" is not a URL such as http://127.0.0.1:8080. Check --server, or MODELHOOK_SERVER.`,
    );
  const headers = { accept: 'application/json', ...(token && { authorization: `Bearer ${token}` }) };
  try {
    return await fetch(`${server.replace(/\/+$/, '')}${path}`, {
      headers,
      ...(sent && { method: 'POST', body: JSON.stringify(sent) }),
      signal: AbortSignal.timeout(30_000),
    });
  } catch (error) {
    const cause = error instanceof Error && error.cause ? error.cause : error;
    throw new CommandFailure(
      1,
      `No controller is reached at ${server}: ${messageOf(cause)}. Is "modelhook serve" running there? Another address goes into --server or MODELHOOK_SERVER.`,
      { cause: error },
    );
  }
}
