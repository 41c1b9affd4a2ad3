/** The dashboard: server-rendered pages that need no JavaScript (specification section 7). */
import { type Context, Hono } from 'hono';
import type { PolicySource } from '../../policies/policies.ts';
import type { Store } from '../../store/store.ts';
import { readListQuery } from '../list-query.ts';
import { ProblemError } from '../problem.ts';
import { reviewPage } from './review-page.ts';
import { rolloutListPage } from './rollout-list.ts';
import { rolloutPage } from './rollout-page.ts';

export interface PageDependencies {
  store: Pick<Store, 'rollouts' | 'reviews'>;
  policies: Pick<PolicySource, 'status'>;
  /** Answers with a page for whatever was thrown. */
  refuse: (thrown: unknown, c: Context) => Promise<Response>;
}

/** The routes of the pages that people see. */
export function createPages({ store, policies, refuse }: PageDependencies): Hono {
  const app = new Hono();
  app.onError((error, c) => refuse(error, c));

  app.get('/', async (c) => {
    // A form sends its empty fields too; they filter nothing.
    const filled = Object.entries(c.req.queries()).filter(([, values]) =>
      values.some((value) => value !== ''),
    );
    const query = readListQuery(Object.fromEntries(filled));
    const page = await store.rollouts.list(query);
    return c.html(rolloutListPage({ query, page, policies: policies.status(), now: Date.now() }));
  });

  app.get('/rollouts/:id', async (c) => {
    const rollout = await store.rollouts.get(c.req.param('id'));
    if (rollout === null)
      throw new ProblemError(
        404,
        'There is no rollout with this id. It may have been removed, or the link was cut.',
      );
    const live = c.req.query('live') !== 'off';
    return c.html(rolloutPage({ rollout, policies: policies.status(), now: Date.now(), live }));
  });

  app.get('/reviews/:id', async (c) => {
    const review = await store.reviews.get(c.req.param('id'));
    if (review === null)
      throw new ProblemError(
        404,
        'There is no review with this id. Its pull request or branch may be closed or merged, or the link was cut.',
      );
    return c.html(reviewPage({ review, policies: policies.status(), now: Date.now() }));
  });

  return app;
}
