/** `GET /api/v1/…` (specification section 7): what the store and the policies hold, as JSON. */
import { type Context, Hono } from 'hono';
import type { Policy } from '../core/policy.ts';
import type { Rollout, Transition } from '../core/rollout.ts';
import type { PolicySource } from '../policies/policies.ts';
import type { EventWithRollouts, Page, Store } from '../store/store.ts';
import { encodeCursor, readListQuery } from './list-query.ts';
import { ProblemError } from './problem.ts';

export interface ApiDependencies {
  store: Pick<Store, 'events' | 'rollouts'>;
  policies: Pick<PolicySource, 'current' | 'status'>;
}

const time = (milliseconds: number): string => new Date(milliseconds).toISOString();

/** @returns an event as JSON has it: times as ISO 8601, and without the store's own sequence number */
function eventJson({ seq, receivedAt, ...event }: EventWithRollouts) {
  return { ...event, receivedAt: time(receivedAt) };
}

/** @returns a rollout as JSON has it: exactly the fields that specification section 7 lists */
export function rolloutJson(rollout: Rollout & { transitions: Transition[] }) {
  const { createdAt, updatedAt, finishedAt, endpoints, transitions } = rollout;
  return {
    id: rollout.id,
    eventId: rollout.eventId,
    cause: rollout.cause,
    repository: rollout.repository,
    ref: rollout.ref,
    revision: rollout.revision,
    sha: rollout.sha,
    policy: rollout.policy,
    policyRevision: rollout.policyRevision,
    environment: rollout.environment,
    target: rollout.target,
    phase: rollout.phase,
    message: rollout.message,
    createdAt: time(createdAt),
    updatedAt: time(updatedAt),
    finishedAt: finishedAt === null ? null : time(finishedAt),
    receipt: receiptJson(rollout),
    endpoints,
    transitions: transitions.map(({ phase, message, at }) => ({ phase, message, at: time(at) })),
  };
}

/** What is there of a rollout's delivery: while it waits for its pull request, that alone. */
function receiptJson({ receipt, pullRequest }: Rollout) {
  if (receipt === null && pullRequest === null) return null;
  return {
    commit: receipt?.commit ?? null,
    path: receipt?.path ?? null,
    pullRequest: pullRequest?.url ?? null,
  };
}

/** @returns what a policy deploys where. Its pod and container stay out: environment variables may hold secrets. */
function policyJson(policy: Policy) {
  const { name, source, description, environment, match, target, delivery, replicas, suspend } = policy;
  return {
    name,
    description,
    environment,
    match: {
      repositories: match.repositories.patterns,
      tags: match.tags.patterns,
      branches: match.branches.patterns,
    },
    target,
    delivery,
    replicas,
    suspend,
    source,
  };
}

const list = <Item>(c: Context, items: Item[], page: Pick<Page<unknown>, 'nextCursor'>) =>
  c.json({ items, nextCursor: encodeCursor(page.nextCursor) });

/** The routes below `/api/v1`. */
export function createApi({ store, policies }: ApiDependencies): Hono {
  const app = new Hono();

  app.get('/events', async (c) => {
    const page = await store.events.list(readListQuery(c.req.queries()));
    return list(c, page.items.map(eventJson), page);
  });

  app.get('/events/:id', async (c) => {
    const event = await store.events.get(c.req.param('id'));
    if (event === null)
      throw new ProblemError(404, 'There is no event with this id. GET /api/v1/events lists all.');
    return c.json(eventJson(event));
  });

  app.get('/rollouts', async (c) => {
    const page = await store.rollouts.list(readListQuery(c.req.queries()));
    // A rollout has one shape wherever it appears, its timeline included.
    const rollouts = await Promise.all(page.items.map(({ id }) => store.rollouts.get(id)));
    return list(c, rollouts.filter((rollout) => rollout !== null).map(rolloutJson), page);
  });

  app.get('/rollouts/:id', async (c) => {
    const rollout = await store.rollouts.get(c.req.param('id'));
    if (rollout === null)
      throw new ProblemError(404, 'There is no rollout with this id. GET /api/v1/rollouts lists all.');
    return c.json({
      ...rolloutJson(rollout),
      manifest: rollout.manifest,
      decisions: rollout.plan?.decisions ?? [],
      warnings: rollout.plan?.warnings ?? [],
    });
  });

  app.get('/policies', (c) => {
    const current = policies.current();
    return c.json({
      ...policies.status(),
      items: (current?.policies ?? []).map(policyJson),
      nextCursor: null,
    });
  });

  return app;
}
