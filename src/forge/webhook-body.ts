/** What the headers and bodies of all forges' webhooks have in common. */
import { z } from 'zod';
import { isFullSha, isZeroSha, parseRef, unsafeName, unsafeRef } from '../core/ref-event.ts';
import { type WebhookDelivery, WebhookError } from './forge.ts';

/** Text in a body that is kept or shown. */
export const text = z
  .string({ error: 'must be there, as text' })
  .min(1, 'must not be empty')
  .refine((value) => value.isWellFormed(), 'must be whole Unicode characters');

export const sha = z
  .string({ error: 'must be there, as text' })
  .refine((value) => isFullSha(value), 'must be a full object name, 40 or 64 hexadecimal digits');

/** A forge's number of a repository. */
export const number = z
  .int({ error: 'must be there, as a whole number' })
  .positive('must be a whole number above 0');

/** @throws WebhookError 401 where no secret is configured: then nobody's word is taken */
export function requireSecrets(secrets: readonly string[]): void {
  if (secrets.length === 0)
    throw new WebhookError(
      401,
      'no webhook secret is configured for this forge; set its webhookSecrets in modelhook.yaml',
    );
}

/**
 * @param hint what to do where it is none, one clause
 * @throws WebhookError 400 where the bytes are not JSON in UTF-8
 */
export function parseJson(body: Uint8Array, hint = ''): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    throw new WebhookError(400, `the body is not JSON${hint && `; ${hint}`}`);
  }
}

/**
 * @param hint what to do where it is of another shape, one clause
 * @throws WebhookError 400 that names the first field that is not as the schema has it
 */
export function checked<Schema extends z.ZodType>(
  schema: Schema,
  json: unknown,
  hint = '',
): z.output<Schema> {
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const where = issue?.path.join('.') || 'root';
  throw new WebhookError(400, `the body's ${where} ${issue?.message}${hint && `; ${hint}`}`);
}

/** @returns a forge's own id of a delivery; null where it is no use for telling one that is sent again */
export const deliveryId = (id: string | undefined): string | null =>
  id !== undefined && /^[\x21-\x7e]{1,128}$/.test(id) ? id : null;

export const ignored = (reason: string): WebhookDelivery => ({ kind: 'ignored', reason });

/** @param field where it stands in the body @throws WebhookError 400 where a repository's path from a body is unsafe */
export function checkPath(path: string, field = 'the repository'): void {
  const fault = unsafeName(field, path);
  if (fault) throw new WebhookError(400, fault);
}

/** What a body says of one ref. */
export interface ToldMove {
  forge: string;
  /** Below the forge. */
  path: string;
  projectId: string | null;
  ref: string;
  /** Zeros: there was no such ref; null: that is not said. */
  before: string | null;
  /** Zeros or null: the ref is gone. */
  after: string | null;
  /** The commit `after` leads to, where that is said: `after` itself may be a tag object. */
  commit?: string | null | undefined;
}

/**
 * @param id the delivery's; null where it has none
 * @returns the move; ignored where nobody asks about such a ref, or nothing moved
 * @throws WebhookError 400 where the repository or the ref has a name that is unsafe or impossible
 */
export function tellMove(id: string | null, told: ToldMove): WebhookDelivery {
  const { forge, path, projectId, ref, before, after, commit } = told;
  checkPath(path);
  const fault = unsafeName('the ref', ref);
  if (fault) throw new WebhookError(400, fault);
  if (!parseRef(ref)) return ignored(`${ref} is neither a branch nor a tag`);
  const refFault = unsafeRef(ref);
  if (refFault) throw new WebhookError(400, refFault);
  if (before !== null && before === after) return ignored('before and after are the same: a test delivery');
  const move = {
    repository: `${forge}:${path}`,
    projectId,
    ref,
    before: isAbsent(before) ? null : before,
    after: isAbsent(after) ? null : (commit ?? after),
  };
  return { kind: 'refs', id, moves: [move] };
}

const isAbsent = (object: string | null): boolean => object === null || isZeroSha(object);
