/** What the routes share that change something: only who has an API token is let through, and errors say what to do. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { bodyLimit } from 'hono/body-limit';
import { createMiddleware } from 'hono/factory';
import { StalledError } from '../core/errors.ts';
import { ProblemError } from './problem.ts';

const MAX_BODY_BYTES = 4096;

/**
 * @param apiTokens any of them will do; none: everybody is refused
 * @returns the middleware that goes before each of these routes
 */
export const guardRequests = (apiTokens: readonly string[]) => [onlyWithToken(apiTokens), onlySmall] as const;

const onlySmall = bodyLimit({
  maxSize: MAX_BODY_BYTES,
  onError: () => {
    throw new ProblemError(413, 'The body is over 4 KiB. Nothing was done.');
  },
});

/** Digests of one length: comparing them tells neither the length of a token nor how far a guess was right. */
const digestOf = (token: string): Buffer => createHash('sha256').update(token).digest();

/** Lets through who sends one of the tokens. */
function onlyWithToken(tokens: readonly string[]) {
  const digests = tokens.map(digestOf);
  return createMiddleware(async (c, next) => {
    if (digests.length === 0)
      throw new ProblemError(
        403,
        'This needs an API token, and this controller has none. Set server.apiTokens in modelhook.yaml.',
      );
    const [, token] = /^Bearer +(\S+) *$/i.exec(c.req.header('authorization') ?? '') ?? [];
    const given = digestOf(token ?? '');
    let isKnown = false;
    for (const digest of digests) if (timingSafeEqual(digest, given)) isKnown = true;
    if (token === undefined || !isKnown)
      throw new ProblemError(
        401,
        token === undefined
          ? 'This needs an API token: send "Authorization: Bearer <token>" with one of server.apiTokens.'
          : 'The API token is none of server.apiTokens of this controller.',
        { 'www-authenticate': 'Bearer' },
      );
    await next();
  });
}

/** @returns what a body says; undefined where it is no JSON */
export function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Answers 409 to what cannot be done as things are. */
export function refuse(error: unknown): never {
  if (!(error instanceof StalledError)) throw error;
  const { message } = error;
  throw new ProblemError(409, `${message.charAt(0).toUpperCase()}${message.slice(1)}.`);
}
