/**
 * The page to read first: the journey of a pushed tag.
 *
 *   receive   a webhook is verified, stored and answered          receive.ts, called by the server
 *   match     event → one rollout for each policy that matches    match.ts
 *   resolve   ref and model card read → plan → manifest           resolve.ts (core/plan.ts, core/inference-service.ts)
 *   remove    deleted ref → what it had brought is taken away     remove.ts, which goes on with deliver
 *   deliver   manifest → a commit on the GitOps repository,       deliver.ts (delivery/gitops.ts)
 *             or a pull request there that people merge                      (delivery/pull-request.ts)
 *   observe   what the cluster shows → ready, or failed           observe.ts (core/observation.ts, core/readiness.ts)
 *   heal      what others change in the cluster → as delivered    heal.ts (delivery/heal.ts), where the policy says so
 *   report    what is true now → status on the model commit       report.ts (core/commit-status.ts)
 *   carry out policies that came into force → rollouts           carry-out.ts (core/policy-changes.ts)
 *   review    heads that may come into force → what they change  review.ts (core/review-text.ts)
 *   list refs what no webhook told → events, from the beginning   list-refs.ts
 *
 * Rows are the queue: each stage leases what is due, does it, and stores the outcome, which makes the next stage's
 * work due. Nothing else is remembered, so a restart goes on where the rows are.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Cluster } from '../cluster/cluster.ts';
import type { KServe } from '../core/kserve.ts';
import type { DeliveryTarget } from '../delivery/target.ts';
import type { Forge } from '../forge/forge.ts';
import type { PolicyReviewer, PolicySource } from '../policies/policies.ts';
import type { Store } from '../store/store.ts';
import type { Log } from '../telemetry/log.ts';
import type { CloseRequestDeps } from './cancel.ts';
import { createCarryOut } from './carry-out.ts';
import { createClusterReturn } from './cluster-return.ts';
import { createDeliver } from './deliver.ts';
import { createHeal } from './heal.ts';
import { createListRefs } from './list-refs.ts';
import { createMatch } from './match.ts';
import { createObserve } from './observe.ts';
import { createPolicyRefresh } from './refresh-policies.ts';
import { createRemove } from './remove.ts';
import { createReport } from './report.ts';
import { createResolve } from './resolve.ts';
import { createPersist } from './retry.ts';
import { createReview } from './review.ts';
import type { Stage } from './stage.ts';
import { createWorker } from './worker.ts';

export interface ControllerDeps extends CloseRequestDeps {
  store: Store;
  forges: ReadonlyMap<string, Forge>;
  targets: ReadonlyMap<string, DeliveryTarget>;
  policies: PolicySource;
  reviewer: PolicyReviewer;
  /** By name: those that can be read. They are started and stopped by who made them. */
  clusters: ReadonlyMap<string, Pick<Cluster, 'watch' | 'catalogue'>>;
  /** What modelhook.yaml says of the KServe of a cluster; undefined: nothing */
  kserveOf: (cluster: string) => KServe | undefined;
  configRef: { repository: string; ref: string };
  /** The base of links in statuses; asked late, since a free port is known only once it is listened on. */
  publicUrl: () => string;
  concurrency: number;
  /** Milliseconds between two listings of a repository's refs. */
  interval: number;
  now: () => number;
  log: Log;
}

export interface Controller {
  start(): Promise<void>;
  /** Something happened in the config repository. */
  lookAtReviews(): void;
  /** Takes no more work and waits for what is in hand. @returns whether all of it ended in time */
  stop(milliseconds: number): Promise<boolean>;
}

/**
 * @param scope `asked`: only the rollouts that are stored already are carried out; no event is taken up, nothing is listed
 *   or reported, and policies are not loaded anew
 */
export function createController(
  deps: ControllerDeps,
  scope: 'everything' | 'asked' = 'everything',
): Controller {
  const { store, policies, interval, log } = deps;
  const stopping = new AbortController();
  const persist = createPersist(
    (milliseconds) => delay(milliseconds, undefined, { signal: stopping.signal }),
    log,
  );
  const refresh = createPolicyRefresh({ policies, store, log, interval, changed: () => worker.wake() });
  const shared = { ...deps, persist, wake: () => worker.wake() };
  const observe = createObserve({ ...shared, heals: scope === 'everything' });
  const clusterReturn = createClusterReturn(shared);

  const resolve = createResolve(shared);
  const busy = new Set<string>();
  const heal = createHeal(shared, busy);
  const deliver = createDeliver(shared, busy, heal.renew);
  const review = createReview(shared);
  const everything = (): readonly Stage[] => [
    createMatch({ ...shared, refreshPolicies: refresh.now }),
    resolve,
    createRemove(shared),
    deliver,
    observe,
    heal,
    createCarryOut(shared),
    createReport(shared),
    review,
    createListRefs(shared),
  ];
  const worker = createWorker(scope === 'asked' ? [resolve, deliver, observe] : everything(), deps);

  return {
    async start() {
      if (scope === 'everything') {
        refresh.start();
        heal.start();
        // Refs may have moved, and pull requests been merged, while nobody listened.
        await store.repositories.scheduleListings('all');
        await store.rollouts.lookAtPullRequests('all');
      }
      observe.start();
      clusterReturn.start();
      worker.start();
    },
    lookAtReviews() {
      review.look();
      worker.wake();
    },
    async stop(milliseconds) {
      refresh.stop();
      observe.stop();
      clusterReturn.stop();
      heal.stop();
      const ended = await worker.stop(milliseconds);
      stopping.abort();
      return ended;
    },
  };
}
