/**
 * Planned rollouts → their delivery target, in batches: what arrives during a push goes with the next. What waits for its
 * pull request comes by again: when a webhook tells of a change, and every interval all the same.
 */
import type { Cluster } from '../cluster/cluster.ts';
import { messageOf, StalledError } from '../core/errors.ts';
import { beginObservation } from '../core/observation.ts';
import { shortSha } from '../core/ref-event.ts';
import {
  clusterDestination,
  destinationOf,
  gitopsDestination,
  type Observation,
  type PlanSummary,
  type Rollout,
  type Target,
} from '../core/rollout.ts';
import type { DeliveryOutcome, DeliveryTarget, Errand, StillWanted } from '../delivery/target.ts';
import type { PolicySource } from '../policies/policies.ts';
import type { RolloutChange } from '../store/store.ts';
import { type CloseRequestDeps, createCloseRequest, STAYS_OPEN } from './cancel.ts';
import { type SettleDeps, settleFailure } from './retry.ts';
import type { Stage } from './stage.ts';
import { suspension } from './suspension.ts';

/**
 * Milliseconds between two batches while more rollouts come than can be resolved: each push costs as much as thirty
 * resolved rollouts. Without that pressure nothing waits.
 */
const GATHER = 2000;
/** Bounds what one batch holds in memory. */
const BATCH = 1000;
/** Bounds how long a cluster that is slow with each keeps newer ones waiting. */
const BATCH_TO_CLUSTERS = 100;

export interface DeliverDeps extends SettleDeps, CloseRequestDeps {
  /** By destination (core/rollout.ts). */
  targets: ReadonlyMap<string, DeliveryTarget>;
  policies: Pick<PolicySource, 'current'>;
  /** By name: those that can be watched. What is delivered to others ends with that. */
  clusters: ReadonlyMap<string, Pick<Cluster, 'watch'>>;
  /** The base of links. */
  publicUrl: () => string;
  /** Milliseconds between two looks at a pull request that nobody tells of. */
  interval: number;
}

/** Without a manifest it removes what is there. */
type Planned = Rollout & { plan: PlanSummary; target: Target };

/**
 * @param busy destinations with a batch on its way: the next one waits, and grows meanwhile
 * @param tell told of each target to which a rollout was delivered
 */
export function createDeliver(
  deps: DeliverDeps,
  busy = new Set<string>(),
  tell: (target: Target) => void = () => {},
): Stage {
  const { store, targets, clusters, interval, persist, now, log } = deps;
  const closeRequest = createCloseRequest(deps);
  /** When the last batch began. */
  let began = 0;

  async function deliver(destination: string, batch: readonly Planned[]): Promise<void> {
    const open = new Map(batch.map((rollout) => [rollout.id, rollout]));
    const settling: Promise<void>[] = [];
    const settled = (id: string, outcome?: DeliveryOutcome): void => {
      const rollout = open.get(id);
      if (!rollout) return;
      open.delete(id);
      const work = settle(rollout, outcome).catch((error) => settleFailure(deps, rollout, error));
      // It is heard of below, once all are there.
      work.catch(() => {});
      settling.push(work);
    };
    // A cluster shows a new version at once, and nobody is to take that for somebody's change of the one before.
    const isApplied = batch.some(({ plan }) => plan.gitops === null);
    const { rollouts } = store;
    const stillWanted: StillWanted = (ids) =>
      persist(() => (isApplied ? rollouts.takeOver(ids) : rollouts.stillWanted(ids)));
    let failure: DeliveryOutcome | undefined;
    try {
      await targetOf(destination, batch).deliver(await errandsOf(batch), stillWanted, settled);
    } catch (error) {
      failure = { kind: 'failed', error };
    }
    for (const id of open.keys()) settled(id, failure);
    await Promise.all(settling);
  }

  function targetOf(destination: string, [first]: readonly Planned[]): DeliveryTarget {
    const target = targets.get(destination);
    if (target) return target;
    const name = first?.plan.gitops ?? null;
    if (name === null)
      throw new StalledError(
        `modelhook.yaml gives no access to cluster "${first?.target.cluster}", so nothing can be applied there`,
        'add its kubeconfig to clusters in modelhook.yaml, or set delivery.gitops in the policy',
      );
    throw targets.has(gitopsDestination(name, 'push'))
      ? new StalledError(
          `the forge of GitOps repository "${name}" has no pull requests`,
          'set delivery.via: push in the policy',
        )
      : new StalledError(
          `the GitOps repository "${name}" is not configured`,
          'add it to gitops in modelhook.yaml, or name another in the policy',
        );
  }

  async function errandsOf(batch: readonly Planned[]): Promise<Errand[]> {
    const repositories = [...new Set(batch.map(({ repository }) => repository))];
    const formerNames = await store.repositories.formerNames(repositories);
    return batch.map((rollout) =>
      errandOf(rollout, deps.publicUrl(), formerNames.get(rollout.repository) ?? []),
    );
  }

  /** @returns null where the rollout ends with its delivery */
  function observationOf({ plan, target }: Planned, manifest: string): Observation | null {
    const isWatched = plan.readiness !== null && clusters.has(target.cluster);
    return isWatched ? beginObservation(manifest, now()) : null;
  }

  async function settle(rollout: Planned, outcome: DeliveryOutcome | undefined): Promise<void> {
    const advance = (change: RolloutChange) => persist(() => store.rollouts.advance(rollout.id, change));
    switch (outcome?.kind) {
      case 'delivered': {
        const { receipt, message, manifest } = outcome;
        const observation = observationOf(rollout, manifest);
        const delivered: RolloutChange = { phase: 'delivered', receipt, manifest };
        await advance(
          observation === null
            ? { ...delivered, stage: null, message }
            : {
                ...delivered,
                stage: 'observe',
                message: `${message}, waiting for ${rollout.target.name} to be ready`,
                observation,
                attempts: 0,
                waitingSince: null,
              },
        );
        tell(rollout.target);
        log.info({ rollout: rollout.id, commit: receipt.commit, path: receipt.path }, 'rollout delivered');
        return;
      }
      case 'removed': {
        const { receipt, message } = outcome;
        await advance({ phase: 'delivered', stage: null, receipt, message });
        log.info({ rollout: rollout.id, commit: receipt.commit, path: receipt.path }, 'rollout removed it');
        return;
      }
      case 'proposed': {
        const { pullRequest, message } = outcome;
        const again = { attempts: 0, waitingSince: null, dueAt: now() + interval };
        const waiting = await advance({ pullRequest, message, ...again });
        if (!waiting) await withdraw({ ...rollout, pullRequest });
        return;
      }
      case 'cancelled':
        await advance({ phase: 'cancelled', stage: null, message: outcome.message });
        log.info({ rollout: rollout.id, reason: outcome.message }, 'rollout cancelled');
        return;
      case 'failed':
        return settleFailure(deps, rollout, outcome.error);
      case 'dropped':
        return;
      default:
        // A target that forgets one would leave it leased for as long as this process lives.
        await settleFailure(deps, rollout, new TypeError(`the target gave rollout ${rollout.id} no outcome`));
    }
  }

  /** A rollout that was cancelled while its request was made leaves none behind; a newer one goes on with the request. */
  async function withdraw(rollout: Rollout): Promise<void> {
    const { id, pullRequest } = rollout;
    const stored = await persist(() => store.rollouts.get(id));
    if (stored?.phase !== 'cancelled') return;
    await closeRequest(rollout).catch((error) =>
      log.warn({ rollout: id, pullRequest: pullRequest?.url, reason: messageOf(error) }, STAYS_OPEN),
    );
  }

  /** Sends a rollout back to where its plan was made: it waits there, and is planned anew when it may go on. */
  async function hold({ id, policy, manifest }: Planned): Promise<void> {
    const { message, after } = suspension(policy);
    const stage = manifest === null ? 'remove' : 'resolve';
    const begun = { attempts: 0, waitingSince: null, dueAt: now() + after };
    await persist(() => store.rollouts.advance(id, { stage, message, ...begun }));
    log.info({ rollout: id, policy }, 'rollout held: its policy is suspended');
  }

  function suspendedPolicies(): ReadonlySet<string> {
    const suspended = deps.policies.current()?.policies.filter(({ suspend }) => suspend) ?? [];
    return new Set(suspended.map(({ name }) => name));
  }

  /** Those of clusters and those of Git, as much as a batch of each may hold. */
  async function claimDue(): Promise<Rollout[]> {
    const toClusters = [...clusters.keys()].map(clusterDestination);
    const toGit = [...targets.keys()].filter((name) => !toClusters.includes(name));
    const claim = (limit: number, others: readonly string[]) =>
      store.rollouts.claim('deliver', limit, { destinations: [...busy, ...others] });
    const rollouts = await claim(BATCH, toClusters);
    return toClusters.length === 0 ? rollouts : [...rollouts, ...(await claim(BATCH_TO_CLUSTERS, toGit))];
  }

  return {
    name: 'deliver',
    concurrency: Number.POSITIVE_INFINITY,
    yields: false,
    async claim(_limit, pressed) {
      if (pressed && now() - began < GATHER) return [];
      const rollouts = await claimDue();
      if (rollouts.length === 0) return [];
      const suspended = suspendedPolicies();
      const { held = [], due = [] } = Object.groupBy(rollouts.filter(isPlanned), (rollout) =>
        suspended.has(rollout.policy) && mayWait(rollout) ? 'held' : 'due',
      );
      const batches = Map.groupBy(due, ({ plan, target }) => destinationOf(plan, target));
      if (batches.size > 0) began = now();
      const deliveries = [...batches].map(([name, batch]) => {
        busy.add(name);
        return () => deliver(name, batch).finally(() => busy.delete(name));
      });
      return [...held.map((rollout) => () => hold(rollout)), ...deliveries];
    },
  };
}

/** Every rollout in this stage is: plan and target are stored together, and the manifest with them where there is one. */
export const isPlanned = (rollout: Rollout): rollout is Planned =>
  rollout.plan !== null &&
  rollout.target !== null &&
  (rollout.manifest === null) === (rollout.plan.removes !== undefined);

/**
 * @returns whether the suspension of its policy concerns a rollout: not what people asked for by name, and not a pull
 * request that is open, which people merge or leave
 */
const mayWait = ({ cause, pullRequest }: Rollout): boolean =>
  cause.kind !== 'rollback' && cause.kind !== 'command' && pullRequest === null;

/** @param formerNames of its repository */
export function errandOf(rollout: Planned, publicUrl: string, formerNames: readonly string[]): Errand {
  const { id, repository, sha, revision, policy, policyRevision, environment, target, manifest, plan } =
    rollout;
  const errand = {
    rolloutId: id,
    formerNames,
    page: `${publicUrl}/rollouts/${id}`,
    pullRequest: rollout.pullRequest,
    repository,
    sha,
    revision,
    policy,
    policyRevision,
    environment,
    why: `${occasionOf(rollout)}\n${plan.why}`,
    decisions: plan.decisions,
    warnings: plan.warnings,
    target,
    path: plan.path,
  };
  const { adopt, selfHeal = false, updateExisting, modes, removes } = plan;
  return manifest === null
    ? { ...errand, manifest, commits: removes ?? [] }
    : { ...errand, manifest, adopt, selfHeal, updateExisting, modes };
}

/** What led to a rollout, one sentence. */
function occasionOf({ cause, repository, ref, sha, manifest }: Rollout): string {
  if (manifest === null) return `${ref} of ${repository} was deleted.`;
  const version = `${ref} of ${repository} at ${shortSha(sha)}`;
  switch (cause.kind) {
    case 'retry':
      return `Somebody retried rollout ${cause.of}: ${version}.`;
    case 'rollback':
      return `Somebody rolled back rollout ${cause.of} to ${version}.`;
    case 'command':
      return `Somebody asked for ${version}.`;
    case 'policy':
      return `The policies at ${shortSha(cause.of)} changed what ${version} renders.`;
    default:
      return `${ref} of ${repository} points to ${shortSha(sha)}.`;
  }
}
