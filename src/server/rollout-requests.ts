/** `POST /api/v1/rollouts/:id/{retry,cancel,rollback}` (specification section 7): for those who have an API token. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { type Context, Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { createMiddleware } from 'hono/factory';
import { z } from 'zod';
import { StalledError } from '../core/errors.ts';
import type { Rollout } from '../core/rollout.ts';
import type { Cancel } from '../pipeline/cancel.ts';
import type { Store } from '../store/store.ts';
import { rolloutJson } from './api.ts';
import { ProblemError } from './problem.ts';

export interface RolloutRequestDependencies {
  store: Pick<Store, 'requests' | 'rollouts'>;
  cancel: Cancel;
  /** Any of them will do. None: everybody is refused. */
  apiTokens: readonly string[];
}

const MAX_BODY_BYTES = 4096;

/** What a request may say about itself. A name is for one line of a timeline. */
const bodySchema = z.object({
  by: z
    .string()
    .trim()
    .min(1)
    .max(100)
    .regex(/^\P{C}*$/u)
    .optional(),
});

/** The routes below `/api/v1/rollouts`. */
export function createRolloutRequests({ store, cancel, apiTokens }: RolloutRequestDependencies): Hono {
  const app = new Hono();
  const guards = [onlyWithToken(apiTokens), onlySmall] as const;

  const answer = async (c: Context, id: string, status: 200 | 201) => {
    const rollout = found(await store.rollouts.get(id));
    if (status === 201) c.header('location', `/api/v1/rollouts/${id}`);
    return c.json(rolloutJson(rollout), status);
  };

  const makeAnother =
    (request: (id: string) => Promise<Rollout | null>) => async (c: Context<object, '/:id'>) => {
      const made = found(await request(c.req.param('id')).catch(refuse));
      return answer(c, made.id, 201);
    };
  app.post('/:id/retry', ...guards, makeAnother(store.requests.retry));
  app.post('/:id/rollback', ...guards, makeAnother(store.requests.rollback));

  app.post('/:id/cancel', ...guards, async (c) => {
    const by = byOf(await c.req.text());
    const { rollout, open } = found(await cancel(c.req.param('id'), by).catch(refuse));
    if (open)
      throw new ProblemError(
        502,
        `The rollout is cancelled, but ${open.label} could not be closed: ${open.reason}. Close it by hand, or somebody may still merge it.`,
      );
    return answer(c, rollout.id, 200);
  });

  return app;
}

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
        'This controller has no API token, so nobody may change anything here. Set server.apiTokens in modelhook.yaml.',
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

function byOf(text: string): string {
  if (text.trim() === '') return 'an API request';
  const body = bodySchema.safeParse(jsonOf(text));
  if (body.success) return body.data.by ?? 'an API request';
  throw new ProblemError(
    400,
    'The body is JSON such as {"by":"anna"}, whose name is one line of at most 100 characters; or there is none.',
  );
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function found<Found>(value: Found | null): Found {
  if (value !== null) return value;
  throw new ProblemError(404, 'There is no rollout with this id. GET /api/v1/rollouts lists all.');
}

/** What cannot be done as things are. */
function refuse(error: unknown): never {
  if (!(error instanceof StalledError)) throw error;
  const { message } = error;
  throw new ProblemError(409, `${message.charAt(0).toUpperCase()}${message.slice(1)}.`);
}
