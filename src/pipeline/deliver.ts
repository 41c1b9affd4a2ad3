/** Planned rollouts → their delivery target, in batches: what arrives during a push goes with the next. */
import { StalledError } from '../core/errors.ts';
import { shortSha } from '../core/ref-event.ts';
import type { PlanSummary, Rollout, Target } from '../core/rollout.ts';
import type { Delivery, DeliveryOutcome, DeliveryTarget } from '../delivery/target.ts';
import { type SettleDeps, settleFailure } from './retry.ts';
import type { Stage } from './stage.ts';

/**
 * Milliseconds between two batches while more rollouts come than can be resolved: each push costs as much as thirty
 * resolved rollouts. Without that pressure nothing waits.
 */
const GATHER = 2000;
/** Bounds what one batch holds in memory. */
const BATCH = 1000;

export interface DeliverDeps extends SettleDeps {
  /** By the names policies use. */
  targets: ReadonlyMap<string, DeliveryTarget>;
}

type Planned = Rollout & { plan: PlanSummary; target: Target; manifest: string };

export function createDeliver(deps: DeliverDeps): Stage {
  const { store, targets, persist, now, log } = deps;
  /** Targets with a batch on its way: the next one waits, and grows meanwhile. */
  const busy = new Set<string>();
  /** When the last batch began. */
  let began = 0;

  async function deliver(name: string, batch: readonly Planned[]): Promise<void> {
    try {
      const outcomes = await targetOf(name).deliver(batch.map(deliveryOf), (ids) =>
        persist(() => store.rollouts.stillWanted(ids)),
      );
      await Promise.all(batch.map((rollout) => settle(rollout, outcomes.get(rollout.id))));
    } catch (error) {
      // Targets give each delivery its outcome; what one throws all the same is the whole batch's.
      await Promise.all(batch.map((rollout) => settleFailure(deps, rollout, error)));
    }
  }

  function targetOf(name: string): DeliveryTarget {
    const target = targets.get(name);
    if (target) return target;
    throw new StalledError(
      `the GitOps repository "${name}" is not configured`,
      'add it to gitops in modelhook.yaml, or name another in the policy',
    );
  }

  async function settle(rollout: Planned, outcome: DeliveryOutcome | undefined): Promise<void> {
    if (outcome?.kind === 'delivered') {
      const { receipt, message, manifest } = outcome;
      await persist(() =>
        store.rollouts.advance(rollout.id, { phase: 'delivered', stage: null, message, receipt, manifest }),
      );
      log.info({ rollout: rollout.id, commit: receipt.commit, path: receipt.path }, 'rollout delivered');
    } else if (outcome?.kind !== 'dropped') {
      // A target that forgets one would leave it leased for as long as this process lives.
      const error = outcome?.error ?? new TypeError(`the target gave rollout ${rollout.id} no outcome`);
      await settleFailure(deps, rollout, error);
    }
  }

  return {
    name: 'deliver',
    concurrency: Number.POSITIVE_INFINITY,
    yields: false,
    async claim(_limit, pressed) {
      if (pressed && now() - began < GATHER) return [];
      const rollouts = await store.rollouts.claim('deliver', BATCH, { gitops: [...busy] });
      const batches = Map.groupBy(rollouts.filter(isPlanned), ({ plan }) => plan.gitops);
      if (batches.size > 0) began = now();
      return [...batches].map(([name, batch]) => {
        busy.add(name);
        return () => deliver(name, batch).finally(() => busy.delete(name));
      });
    },
  };
}

/** Every rollout in this stage is: the resolve stage stores all three together. */
const isPlanned = (rollout: Rollout): rollout is Planned =>
  rollout.plan !== null && rollout.target !== null && rollout.manifest !== null;

function deliveryOf(rollout: Planned): Delivery {
  const { id, repository, sha, ref, revision, policy, policyRevision, environment, target, manifest, plan } =
    rollout;
  return {
    rolloutId: id,
    repository,
    sha,
    revision,
    policy,
    policyRevision,
    environment,
    why: `${ref} of ${repository} points to ${shortSha(sha)}.\n${plan.why}`,
    target,
    path: plan.path,
    manifest,
    adopt: plan.adopt,
    updateExisting: plan.updateExisting,
    modes: plan.modes,
  };
}
