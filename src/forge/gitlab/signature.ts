/** Whether a delivery is GitLab's: signed from version 19.0 on, before that with a secret in a header. */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { WebhookError, type WebhookRequest } from '../forge.ts';
import { requireSecrets } from '../webhook-body.ts';

export const TOKEN_HEADER = 'X-Gitlab-Token';
export const SIGNATURE_HEADER = 'webhook-signature';
export const ID_HEADER = 'webhook-id';
export const TIMESTAMP_HEADER = 'webhook-timestamp';

const SIGNING_PREFIX = 'whsec_';
const VERSION_PREFIX = 'v1,';
/** GitLab sends one signature for each of a hook's tokens. Whoever sends more makes us work before we know who it is. */
const MAX_SIGNATURES = 10;
/** Seconds by which the clocks may differ, and a delivery may be late. */
const WINDOW = 300;

/**
 * A delivery with a signature is judged by that alone, so that nobody who once saw the secret of the header gets in by it.
 * @param secrets all that are accepted; those that start with `whsec_` sign
 * @param now milliseconds since the epoch
 * @throws WebhookError 401
 */
export function verify(secrets: readonly string[], { header, body }: WebhookRequest, now: number): void {
  requireSecrets(secrets);
  const signature = header(SIGNATURE_HEADER);
  if (signature === undefined) {
    verifyToken(secrets, header(TOKEN_HEADER));
    return;
  }
  const id = required(header(ID_HEADER), ID_HEADER);
  const timestamp = required(header(TIMESTAMP_HEADER), TIMESTAMP_HEADER);
  if (!/^\d{1,12}$/.test(timestamp) || Math.abs(now / 1000 - Number(timestamp)) > WINDOW)
    throw new WebhookError(
      401,
      `the header ${TIMESTAMP_HEADER} is more than ${WINDOW} seconds away from now; set the clocks of both machines`,
    );
  const keys = secrets.map(signingKey).filter((key) => key !== null);
  if (keys.length === 0)
    throw new WebhookError(
      401,
      `the delivery is signed, and none of this forge's webhookSecrets is a signing token; add the one that starts with ${SIGNING_PREFIX}`,
    );
  const given = signaturesOf(signature);
  let matches = false;
  // Every key is tried, so that the time taken tells nothing about which one it was.
  for (const key of keys) {
    const expected = signatureOf(key, id, timestamp, body);
    // The length of a signature is no secret.
    for (const each of given)
      if (each.length === expected.length && timingSafeEqual(each, expected)) matches = true;
  }
  if (!matches)
    throw new WebhookError(
      401,
      `the header ${SIGNATURE_HEADER} does not fit the body; give this forge's webhookSecrets the hook's signing token`,
    );
}

/** `v1,` and the HMAC over id, timestamp and the raw body (standardwebhooks.com, as GitLab implements it). */
const signatureOf = (key: Buffer, id: string, timestamp: string, body: Uint8Array): Buffer =>
  Buffer.from(
    `${VERSION_PREFIX}${createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest('base64')}`,
  );

const signaturesOf = (header: string): Buffer[] =>
  header
    .split(' ')
    .filter((each) => each.startsWith(VERSION_PREFIX))
    .slice(0, MAX_SIGNATURES)
    .map((each) => Buffer.from(each));

/** A signing token is the Base64 of 32 bytes (GitLab documentation, Webhooks API, `signing_token`). */
const KEY_BYTES = 32;

/**
 * What starts like a signing token and is none could check neither a signature nor a secret token.
 * @param forge its name in modelhook.yaml
 * @throws Error where there is such a one
 */
export function requireWholeSecrets(forge: string, secrets: readonly string[]): void {
  const place = secrets.findIndex((secret) => isSigningToken(secret) && signingKey(secret) === null);
  if (place === -1) return;
  throw new Error(
    `the forge "${forge}": entry ${place + 1} of webhookSecrets starts with ${SIGNING_PREFIX}, as GitLab's signing tokens do, and is not ${SIGNING_PREFIX} and the Base64 of ${KEY_BYTES} bytes; copy the whole token from the webhook, without spaces or line breaks`,
  );
}

/** Whether a webhook secret signs; any other is sent along as it is. */
export const isSigningToken = (secret: string): boolean => secret.startsWith(SIGNING_PREFIX);

/** @returns the bytes that a signing token stands for; null where it is none */
function signingKey(secret: string): Buffer | null {
  if (!isSigningToken(secret)) return null;
  const encoded = secret.slice(SIGNING_PREFIX.length);
  const key = Buffer.from(encoded, 'base64');
  // Node reads whatever it can; only the one right spelling comes back.
  const isWhole = key.length === KEY_BYTES && key.toString('base64') === encoded;
  return isWhole ? key : null;
}

function verifyToken(secrets: readonly string[], token: string | undefined): void {
  if (!token)
    throw new WebhookError(
      401,
      `the headers ${SIGNATURE_HEADER} and ${TOKEN_HEADER} are missing; give the hook one of this forge's webhook secrets`,
    );
  // Node reads header values as Latin-1, also those that were written as UTF-8.
  const given = [Buffer.from(token), Buffer.from(token, 'latin1')];
  let matches = false;
  for (const secret of secrets) {
    if (secret === '' || isSigningToken(secret)) continue;
    const expected = Buffer.from(secret);
    for (const each of given) if (isEqual(each, expected)) matches = true;
  }
  if (!matches)
    throw new WebhookError(
      401,
      `the header ${TOKEN_HEADER} is none of this forge's webhook secrets; a signing token (${SIGNING_PREFIX}…) belongs into the hook's field of that name`,
    );
}

/** Digests are compared, so that not even the length of the secret shows in the time taken. */
function isEqual(given: Buffer, expected: Buffer): boolean {
  const digest = (bytes: Buffer) => createHmac('sha256', 'length').update(bytes).digest();
  return timingSafeEqual(digest(given), digest(expected));
}

function required(value: string | undefined, name: string): string {
  if (value) return value;
  throw new WebhookError(401, `the header ${name} is missing, which a signed delivery has`);
}
