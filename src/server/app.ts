/** The HTTP server's routes, all in one place. */
import { Hono } from 'hono';
import { methodNotAllowed } from 'hono/method-not-allowed';
import { secureHeaders } from 'hono/secure-headers';
import type { Forge } from '../forge/forge.ts';
import type { Cancel } from '../pipeline/cancel.ts';
import type { Receive } from '../pipeline/receive.ts';
import { createReplay } from '../pipeline/replay.ts';
import type { PolicySource } from '../policies/policies.ts';
import type { Store } from '../store/store.ts';
import type { Log } from '../telemetry/log.ts';
import { createApi } from './api.ts';
import { createDeployed } from './deployed.ts';
import { createEventRequests } from './event-requests.ts';
import { createHealth } from './health.ts';
import { STYLE_SOURCE } from './pages/layout.ts';
import { createPages } from './pages/pages.ts';
import { problemPage } from './pages/problem-page.ts';
import { answerProblems, ProblemError, problemJson } from './problem.ts';
import { createRolloutRequests } from './rollout-requests.ts';
import { createWebhooks } from './webhooks.ts';

export interface AppDependencies {
  receive: Receive;
  /** By forge name: the last segment of the webhook's path. */
  forges: ReadonlyMap<string, Forge>;
  store: Store;
  policies: PolicySource;
  cancel: Cancel;
  /** Whoever sends one of these may change something. */
  apiTokens: readonly string[];
  /** The base of links, without a trailing slash. */
  publicUrl: string;
  log: Log;
}

/** Builds the whole server. Nothing listens yet: see listen.ts. */
export function createApp(dependencies: AppDependencies): Hono {
  const { receive, forges, store, policies, cancel, apiTokens, publicUrl, log } = dependencies;
  const app = new Hono();

  app.use(
    secureHeaders({
      // Nothing runs and nothing is fetched: whatever a repository wrote into a page stays text.
      contentSecurityPolicy: {
        defaultSrc: ["'none'"],
        styleSrc: [STYLE_SOURCE],
        imgSrc: ['data:'],
        formAction: ["'self'"],
        baseUri: ["'none'"],
        frameAncestors: ["'none'"],
      },
      xFrameOptions: 'DENY',
      // TLS ends at the proxy in front, and so does the decision about other hosts of the domain.
      strictTransportSecurity: false,
    }),
  );
  app.use(async (c, next) => {
    await next();
    c.header('cache-control', 'no-cache');
  });
  const refuse = answerProblems(log, problemJson);
  const refuseOnPage = answerProblems(log, problemPage);
  app.onError((error, c) => refuse(error, c));
  app.notFound((c) => {
    const error = new ProblemError(404, `There is nothing at ${c.req.path}.`);
    // Whoever asks for HTML has a browser, and followed an old link or mistyped.
    return c.req.header('accept')?.includes('text/html') ? refuseOnPage(error, c) : refuse(error, c);
  });
  app.use(
    methodNotAllowed({
      app,
      onMethodNotAllowed: (c, methods) => {
        const allow = methods.join(', ');
        return refuse(
          new ProblemError(405, `${c.req.path} does not take ${c.req.method}, only ${allow}.`, { allow }),
          c,
        );
      },
    }),
  );

  app.route('/webhooks', createWebhooks({ receive, forges, publicUrl, log }));
  app.route('/api/v1', createApi({ store, policies }));
  app.route('/api/v1/rollouts', createRolloutRequests({ store, cancel, apiTokens }));
  const replay = createReplay({ store, policies, log });
  app.route('/api/v1/events', createEventRequests({ store, replay, apiTokens }));
  app.route('/api/v1/deployed', createDeployed({ store, apiTokens }));
  app.route('/', createHealth({ store, policies }));
  app.route('/', createPages({ store, policies, refuse: refuseOnPage }));
  return app;
}
