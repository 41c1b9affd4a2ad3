/** Every error answer of this server: `application/problem+json` (RFC 9457), a sentence a person can act on. */
import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { Context } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { WebhookError } from '../forge/forge.ts';
import { StoreUnavailableError } from '../store/store.ts';
import type { Log } from '../telemetry/log.ts';

/** The body of an error answer (RFC 9457, section 3). `type` is about:blank: the status says all a program needs. */
export interface Problem {
  type: 'about:blank';
  title: string;
  status: ContentfulStatusCode;
  detail: string;
  /** Of an unexpected error: what to look for in the log. */
  errorId?: string;
}

/** The media type of problems. */
export const PROBLEM_TYPE = 'application/problem+json';

/** @returns the body of an error answer */
export const problem = (status: ContentfulStatusCode, detail: string): Problem => ({
  type: 'about:blank',
  title: STATUS_CODES[status] ?? 'Error',
  status,
  detail,
});

/** Thrown where a request cannot be answered as asked; the detail is shown to whoever sent it. */
export class ProblemError extends Error {
  override readonly name = 'ProblemError';
  readonly status: ContentfulStatusCode;
  readonly headers: Record<string, string>;

  /** @param detail what is wrong and how to mend it, in whole sentences */
  constructor(status: ContentfulStatusCode, detail: string, headers: Record<string, string> = {}) {
    super(detail);
    this.status = status;
    this.headers = headers;
  }
}

/** How long senders wait before they try a store again that could not be written, in seconds. */
const RETRY_AFTER = '10';

/**
 * What a thrown value is to whoever sent the request. Errors that nobody foresaw are logged under an id, and the
 * answer holds the id alone: their messages may name files, hosts or worse.
 * @returns the error to answer with, and the id it is logged under
 */
function explain(thrown: unknown, c: Context, log: Log): { error: ProblemError; errorId?: string } {
  const request = { method: c.req.method, path: c.req.path };
  if (thrown instanceof ProblemError) return { error: thrown };
  if (thrown instanceof WebhookError) return { error: new ProblemError(thrown.status, thrown.message) };
  if (thrown instanceof StoreUnavailableError) {
    log.warn({ ...request, reason: thrown.message }, 'the store is not available, answered 503');
    const detail =
      'The store cannot be used right now, so nothing was done. Send the same request again later.';
    return { error: new ProblemError(503, detail, { 'retry-after': RETRY_AFTER }) };
  }
  const errorId = randomUUID();
  log.error({ ...request, errorId, err: thrown }, 'unexpected error while answering a request');
  const detail = `Something unexpected went wrong here. The log of modelhook has more under the error id ${errorId}.`;
  return { error: new ProblemError(500, detail), errorId };
}

/** Puts a problem into the form its reader understands: JSON for programs, a page for people. */
export type ProblemRenderer = (c: Context, problem: Problem) => Response | Promise<Response>;

/** Answers with the problem as JSON. */
export const problemJson: ProblemRenderer = (c, body) =>
  c.body(JSON.stringify(body), body.status, { 'content-type': PROBLEM_TYPE });

/**
 * @param log where unexpected errors go
 * @param render the form of the answer
 * @returns a handler for Hono's `onError` that turns whatever was thrown into an answer
 */
export function answerProblems(log: Log, render: ProblemRenderer) {
  return async (thrown: unknown, c: Context): Promise<Response> => {
    const { error, errorId } = explain(thrown, c, log);
    for (const [name, value] of Object.entries(error.headers)) c.header(name, value);
    const body = problem(error.status, error.message);
    return render(c, errorId === undefined ? body : { ...body, errorId });
  };
}
