/** What it means when an API server cannot be asked, or answers with no success. */
import { shorten } from '../core/cluster-fields.ts';
import { isJsonObject, type JsonObject, parseJson } from '../core/json.ts';
import type { ClusterProblem } from './cluster.ts';
import type { Connection } from './connection.ts';

/** What the API server answered, whatever the status. */
export interface ApiAnswer {
  status: number;
  /** Milliseconds that it asks us to wait, or null. */
  retryAfter: number | null;
  body: string;
}

/** What was asked for, for messages. */
export interface Deed {
  /** Follows `to`, such as `list and watch pods`. */
  verb: string;
  /** What to do where RBAC forbids it. */
  grant: string;
  /** What is missing where it is not found, and what to do. */
  missing: { what: string; fix: string };
}

const problem = (
  kind: ClusterProblem['kind'],
  what: string,
  fix: string,
  detail: string | null = null,
  retryAfter: number | null = null,
): ClusterProblem => ({ kind, what, detail, fix, retryAfter });

/** @param answer what it answers */
export const strangerProblem = ({ correct }: Connection, answer: string | number): ClusterProblem =>
  problem('stranger', `answers ${answer}, as no API server of Kubernetes does`, correct);

/**
 * What an answer means that is no success. Proxies refuse too, so 403 counts only from an API server. It answers 404 in
 * plain text where it does not know the kind.
 */
export function refusalProblem(connection: Connection, answer: ApiAnswer, deed: Deed): ClusterProblem {
  const { status: code, body, retryAfter } = answer;
  const status = statusOf(body);
  if (code === 401)
    return problem(
      'credentials',
      `refuses ${connection.credentials}`,
      'renew them, for they may have expired',
    );
  if (code === 403 && status !== null)
    return problem('forbidden', `forbids ${subjectOf(status) ?? 'us'} to ${deed.verb}`, deed.grant);
  if (code === 404 && (status !== null || body.trim() === '404 page not found'))
    return problem('missing', deed.missing.what, deed.missing.fix);
  // 409: it changed between reading and writing.
  if (code === 429 || code >= 500 || (code === 409 && status !== null))
    return problem(
      'busy',
      `answers ${code}`,
      connection.check,
      status === null ? null : wordsOf(status),
      retryAfter,
    );
  return strangerProblem(connection, code);
}

/** What it means that no answer came, or not all of it. */
export function failureProblem(connection: Connection, error: unknown, aborted: boolean): ClusterProblem {
  if (aborted || codeOf(error).endsWith('_TIMEOUT'))
    return problem('unreachable', 'gives no answer in time', connection.check);
  if (codeOf(error).startsWith('HPE_') || !(error instanceof Error))
    return strangerProblem(connection, 'something that cannot be read');
  return problem('unreachable', 'cannot be reached', connection.check, saidBy(error));
}

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : '';

/** Where a name has several addresses, all that is said is a code. */
const saidBy = (error: Error): string => error.message || codeOf(error) || error.name;

/** @returns the Status object that an API server sends with every refusal; null where it is something else */
export function statusOf(body: string): JsonObject | null {
  const status = parseJson(body);
  return isJsonObject(status) && status['kind'] === 'Status' ? status : null;
}

const LONGEST_WORDS = 1000;

/** @returns the message of a Status on one line, not too long and without secrets */
export const wordsOf = ({ message }: JsonObject): string =>
  shorten(String(message ?? ''), LONGEST_WORDS) || 'it says no more';

/** Whom RBAC knows, which is not what the kubeconfig calls the user. */
const SUBJECT = /\bUser "([^"]{1,253})" cannot /;

/** @returns whom RBAC forbids something; null where it is not RBAC that forbids, but an admission webhook or quota */
export function subjectOf({ message }: JsonObject): string | null {
  const subject = SUBJECT.exec(String(message))?.[1];
  return subject === undefined ? null : `user "${subject}"`;
}
