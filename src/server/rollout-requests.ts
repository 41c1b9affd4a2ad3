/** `POST /api/v1/rollouts/:id/{retry,cancel,rollback}` (specification section 7): for those who have an API token. */
import { type Context, Hono } from 'hono';
import { z } from 'zod';
import type { Rollout } from '../core/rollout.ts';
import type { Cancel } from '../pipeline/cancel.ts';
import type { Store } from '../store/store.ts';
import { rolloutJson } from './api.ts';
import { guardRequests, jsonOf, refuse } from './api-requests.ts';
import { ProblemError } from './problem.ts';

export interface RolloutRequestDependencies {
  store: Pick<Store, 'requests' | 'rollouts'>;
  cancel: Cancel;
  /** Any of them will do. None: everybody is refused. */
  apiTokens: readonly string[];
}

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
  const guards = guardRequests(apiTokens);

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

function byOf(text: string): string {
  if (text.trim() === '') return 'an API request';
  const body = bodySchema.safeParse(jsonOf(text));
  if (body.success) return body.data.by ?? 'an API request';
  throw new ProblemError(
    400,
    'The body is JSON such as {"by":"anna"}, whose name is one line of at most 100 characters; or there is none.',
  );
}

function found<Found>(value: Found | null): Found {
  if (value !== null) return value;
  throw new ProblemError(404, 'There is no rollout with this id. GET /api/v1/rollouts lists all.');
}
