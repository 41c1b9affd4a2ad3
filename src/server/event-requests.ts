/** `POST /api/v1/events/:id/replay` and `POST /api/v1/events/replay` (specification section 7): with an API token. */
import { type Context, Hono } from 'hono';
import { z } from 'zod';
import { parseRef, parseRepositoryId } from '../core/ref-event.ts';
import type { Rollout } from '../core/rollout.ts';
import type { Replay, Replayed } from '../pipeline/replay.ts';
import type { Store } from '../store/store.ts';
import { rolloutJson } from './api.ts';
import { guardRequests, jsonOf, refuse } from './api-requests.ts';
import { ProblemError } from './problem.ts';

export interface EventRequestDependencies {
  store: Pick<Store, 'rollouts'>;
  replay: Replay;
  /** Any of them will do. None: everybody is refused. */
  apiTokens: readonly string[];
}

/** Names a ref that may have made no event. */
const refSchema = z.strictObject({
  repository: z.string().refine((id) => parseRepositoryId(id) !== null),
  ref: z.string().refine((ref) => parseRef(ref) !== null),
});

/** The routes below `/api/v1/events` that change something. */
export function createEventRequests({ store, replay, apiTokens }: EventRequestDependencies): Hono {
  const app = new Hono();
  const guards = guardRequests(apiTokens);

  /** @param unknown what to say where there is no such event or ref */
  async function answer(c: Context, asked: Replayed, unknown: string) {
    const begun: Rollout[] | null = await replay(asked).catch(refuse);
    if (begun === null) throw new ProblemError(404, unknown);
    const rollouts = await Promise.all(begun.map(({ id }) => store.rollouts.get(id)));
    const items = rollouts.filter((rollout) => rollout !== null).map(rolloutJson);
    c.header('location', `/api/v1/events/${begun[0]?.eventId}`);
    return c.json({ items, nextCursor: null }, 202);
  }

  app.post('/replay', ...guards, async (c) => {
    const body = refSchema.safeParse(jsonOf(await c.req.text()));
    if (!body.success)
      throw new ProblemError(
        400,
        'The body is JSON such as {"repository":"gitlab:ml/vision/iris","ref":"refs/tags/v1.0.0"}.',
      );
    const { repository, ref } = body.data;
    return answer(
      c,
      body.data,
      `Nothing is known of ${ref} in ${repository}. The refs of a repository are known once it has sent an event, or a policy names it without a wildcard: check both names, or push to it.`,
    );
  });

  app.post('/:id/replay', ...guards, (c) =>
    answer(
      c,
      { eventId: c.req.param('id') },
      'There is no event with this id. GET /api/v1/events lists all.',
    ),
  );

  return app;
}
