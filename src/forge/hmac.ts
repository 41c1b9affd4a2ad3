/** Whether a webhook's signature is of one of the secrets that are accepted. */
import { timingSafeEqual } from 'node:crypto';

/**
 * Every secret and every signature is tried, in constant time each, so that the time taken tells nothing about which
 * one it was.
 * @param signatures what the headers say
 * @param sign what the header would say for a secret
 */
export function isSignedByAny(
  secrets: readonly string[],
  signatures: readonly string[],
  sign: (secret: string) => string,
): boolean {
  let matches = false;
  for (const secret of secrets) {
    const expected = Buffer.from(sign(secret));
    for (const signature of signatures) {
      const given = Buffer.from(signature);
      if (given.length === expected.length && timingSafeEqual(given, expected)) matches = true;
    }
  }
  return matches;
}
