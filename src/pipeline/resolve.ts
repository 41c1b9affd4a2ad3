/** A pending rollout → its plan and manifest: the ref and the model card are read, everything else is decided purely. */
import type { Cluster, ClusterKnowledge } from '../cluster/cluster.ts';
import type { StoredInputs } from '../core/deployed.ts';
import { StalledError, WaitingError } from '../core/errors.ts';
import { renderInferenceService } from '../core/inference-service.ts';
import { ASSUMED_KSERVE, type KServe } from '../core/kserve.ts';
import { explainMatch } from '../core/match.ts';
import { parseModelCard } from '../core/model-card.ts';
import { type ModelCardInput, makePlan, targetOf } from '../core/plan.ts';
import type { Policy, PolicySet } from '../core/policy.ts';
import { parseRef, parseRepositoryId, shortSha } from '../core/ref-event.ts';
import type { Rollout, Target } from '../core/rollout.ts';
import type { Forge, RefReading, RepositoryFile } from '../forge/forge.ts';
import type { PolicySource } from '../policies/policies.ts';
import type { RolloutChange } from '../store/store.ts';
import { type SettleDeps, settleFailure } from './retry.ts';
import { createShares } from './shares.ts';
import type { Stage } from './stage.ts';
import { suspension } from './suspension.ts';

const MODEL_CARD = 'README.md';
/** Specification section 5: a larger card is a fault. */
const MODEL_CARD_LIMIT = 1024 * 1024;
/** How soon a ref is read again that may only lag behind (specification section 7). */
const READ_AGAIN = 3000;
/** How soon to look again whether a cluster has been read, right after the start. */
const CLUSTER_AGAIN = 500;
/** How soon a cluster is looked at again that cannot be read at all. */
const CLUSTER_AWAY = 5000;

export interface ResolveDeps extends SettleDeps {
  forges: ReadonlyMap<string, Forge>;
  policies: PolicySource;
  /** By name: those that can be read. */
  clusters: ReadonlyMap<string, Pick<Cluster, 'watch' | 'catalogue'>>;
  /** What modelhook.yaml says of the KServe of a cluster; undefined: nothing. What is read of it goes first. */
  kserveOf: (cluster: string) => KServe | undefined;
  concurrency: number;
}

export function createResolve(deps: ResolveDeps): Stage {
  const { store, policies, forges, persist, log } = deps;
  const shares = createShares(forges, deps.concurrency);

  /**
   * Policies match, and targets belong, by what the forge calls a repository today. It is asked where the rollout's
   * number is not the one it gave the last time: for a new repository, and after a rename (specification section 7).
   * @returns the rollout as it is then; null where it repeats one that was told of under another name
   */
  async function underTodaysName(rollout: Rollout): Promise<Rollout | null> {
    const { repository, projectId } = rollout;
    const known = await store.repositories.projectIdOf(repository);
    if (known !== null && known === projectId) return rollout;
    const identity = await forgeOf(forges, repository).repositories.identify(repository);
    if (identity.projectId === null) return rollout;
    const today = await persist(() => store.repositories.identify(repository, identity));
    const stored = await store.rollouts.get(rollout.id);
    if (stored && stored.repository !== today)
      throw new StalledError(
        `${repository} leads to ${today} now, which is another repository than the one this was pushed to`,
        'push the tag again where it belongs',
      );
    if (today !== repository)
      log.info({ repository: today, formerly: repository }, 'the repository has another name now');
    return stored && { ...stored, projectId: identity.projectId };
  }

  /**
   * Others may come into force while a slow forge answers. What is decided by those before is decided anew: it would stay,
   * for what they changed has been looked at by then.
   */
  async function resolveByLatest(
    rollout: Rollout,
    known: Pick<RolloutChange, 'sha'>,
  ): Promise<RolloutChange> {
    for (;;) {
      // In this order: none that begins to be carried out later was in force before.
      const plannedAfter = await store.policyChanges.begun();
      const current = policies.current();
      const isLatest = () => policies.current()?.revision === current?.revision;
      try {
        const change = await resolve(rollout, known, current);
        if (isLatest()) return { ...change, plannedAfter };
      } catch (error) {
        if (isLatest()) throw error;
      }
    }
  }

  /** @param known what is learnt on the way, and true also where the rest fails */
  async function resolve(
    rollout: Rollout,
    known: Pick<RolloutChange, 'sha'>,
    current: PolicySet | null,
  ): Promise<RolloutChange> {
    if (!current) throw new WaitingError('Waiting for the policies to be loaded', 1000);
    const policy = current.policies.find(({ name }) => name === rollout.policy);
    if (!policy) {
      const where = `the policies at ${shortSha(current.revision)}`;
      return ended('cancelled', `Cancelled: policy "${rollout.policy}" is no longer among ${where}`);
    }
    const match = explainMatch(policy, rollout);
    if (!match.matches)
      return ended('cancelled', `Cancelled: policy "${policy.name}" no longer deploys it: ${match.reason}`);
    if (isHeld(rollout, policy, current)) throw suspension(policy.name);
    const forge = forgeOf(forges, rollout.repository);
    // Also where this policy needs none: it is kept, and another may.
    const paths = [MODEL_CARD];
    const { repository, ref } = rollout;
    const now = await forge.repositories.readRef(repository, ref, paths, MODEL_CARD_LIMIT);
    const isFollowing = rollout.cause.kind === 'event';
    const gone = isFollowing && (await follow(rollout, now, forge.repositories.lag));
    if (gone) return gone;
    // What people or policies ask for concerns the rollout's commit, wherever its ref points to now.
    const reading = now && isAt(rollout, now) ? now : await readCommit(forge, rollout, paths);
    known.sha = reading.sha;
    const planned = plan(rollout, current, policy, reading);
    return policy.suspend ? held(planned, policy) : planned;
  }

  /**
   * A plan that waits is stored, so that the newest rollout of a target ends those before it. When the suspension is lifted
   * the ref is read and the plan made once more.
   */
  function held(planned: RolloutChange, { name }: Policy): RolloutChange {
    const { message, after } = suspension(name);
    return { ...planned, stage: 'resolve', message, dueAt: deps.now() + after };
  }

  /** What is wrong may be mended until the suspension is lifted: until then nothing fails. */
  function unlessSuspended({ policy }: Rollout, error: unknown): unknown {
    if (!(error instanceof StalledError)) return error;
    const isSuspended = policies.current()?.policies.some(({ name, suspend }) => suspend && name === policy);
    return isSuspended ? suspension(policy) : error;
  }

  /**
   * A payload is a hint, the repository is the truth: what the ref says now is followed (specification section 7).
   * A payload that named a tag object is the same position.
   * @returns how the rollout ends where its commit is no longer what the ref points to
   */
  async function follow(
    rollout: Rollout,
    reading: RefReading | null,
    lag: number,
  ): Promise<RolloutChange | null> {
    const { repository, projectId, ref, sha, createdAt } = rollout;
    if (isAt(rollout, reading)) return null;
    if (deps.now() - createdAt < lag)
      throw new WaitingError(
        `Waiting: ${repository} does not show ${shortSha(sha)} at ${ref} yet`,
        READ_AGAIN,
      );
    const after = reading?.sha ?? null;
    await persist(() =>
      store.events.record({ repository, projectId, ref, before: sha, after }, 'reading', null),
    );
    if (after === null) return ended('cancelled', `Cancelled: ${ref} was deleted before it was deployed`);
    const name = parseRef(ref)?.name ?? ref;
    return ended('superseded', `Superseded: ${name} points to ${shortSha(after)} now`);
  }

  /** Decides and renders. What comes of it is stored, so that a restart decides nothing twice. */
  function plan(
    rollout: Rollout,
    policySet: PolicySet,
    policy: Policy,
    { sha, files }: Commit,
  ): RolloutChange {
    const input = {
      policy,
      policies: policySet,
      repository: rollout.repository,
      projectId: rollout.projectId,
      ref: rollout.ref,
      sha,
      modelCard: modelCardOf(files[0]),
    };
    const place = targetOf(input);
    const known = knowledgeOf(place);
    const kserve = kserveIn(place, known);
    const { runtimes = null, knative = null } = known ?? {};
    const made = whereKnown(policy, known, () => makePlan({ ...input, kserve, runtimes, knative }));
    const { target, gitops, via, path, adopt, selfHeal, updateExisting, modes, why, readiness, decisions } =
      made;
    if (gitops === null && !known)
      throw new StalledError(
        `policy "${policy.name}" applies to cluster "${target.cluster}", which this controller cannot reach`,
        'set delivery.gitops in the policy, or add its kubeconfig to clusters in modelhook.yaml',
      );
    const { manifest } = renderInferenceService(made, kserve);
    const warnings = [...made.warnings, ...(known?.warnings ?? [])];
    return {
      stage: 'deliver',
      message: `Queued for ${rollout.environment}`,
      attempts: 0,
      waitingSince: null,
      sha,
      policyRevision: policySet.revision,
      target,
      inputs: {
        modelCard: storedCard(input.modelCard),
        kserve: { version: kserve?.version ?? null },
        runtimes,
        knative,
        projectId: rollout.projectId,
      },
      plan: {
        ...{ gitops, via, path, adopt, updateExisting, modes, why, readiness, decisions, warnings },
        ...(selfHeal && { selfHeal }),
      },
      manifest,
    };
  }

  /** @returns undefined: the cluster is not one that can be read */
  function knowledgeOf({ cluster, namespace }: Target): ClusterKnowledge | undefined {
    const found = deps.clusters.get(cluster);
    if (!found) return undefined;
    const known = found.catalogue.knowledge(namespace);
    const { trouble } = found.watch.state(namespace);
    const warnings = [...new Set([...known.warnings, ...(trouble ? [trouble.message] : [])])];
    // A reason why something cannot be read is an answer too: then the rollout goes on with what the configuration and the
    // policies say. What was not answered yet would be taken for something that is not there.
    if (!known.complete) throw new WaitingError(`Waiting for cluster ${cluster} to be read`, CLUSTER_AGAIN);
    return { ...known, warnings };
  }

  /**
   * What is applied to a cluster is decided by what the cluster is, and a fault that comes of knowing nothing of it may be
   * none: both wait until it can be read. A commit needs no cluster.
   */
  function whereKnown<Made>(policy: Policy, known: ClusterKnowledge | undefined, make: () => Made): Made {
    const [trouble] = known && isBlank(known) ? known.warnings : [];
    if (trouble === undefined) return make();
    if (policy.delivery.gitops === null) throw new WaitingError(`Waiting: ${trouble}`, CLUSTER_AWAY);
    try {
      return make();
    } catch (error) {
      throw error instanceof StalledError ? new WaitingError(`Waiting: ${trouble}`, CLUSTER_AWAY) : error;
    }
  }

  function kserveIn({ cluster }: Target, known: ClusterKnowledge | undefined): KServe | undefined {
    const configured = deps.kserveOf(cluster);
    if (!known) return configured;
    return {
      version: known.kserveVersion ?? configured?.version ?? null,
      structure: known.structure ?? configured?.structure ?? ASSUMED_KSERVE.structure,
    };
  }

  const logRepeat = ({ id, repository, ref }: Rollout): void =>
    log.info({ rollout: id, repository, ref }, 'told before under another name; the rollout of that goes on');

  return {
    name: 'resolve',
    concurrency: deps.concurrency,
    yields: false,
    async claim(limit) {
      // Without policies rollouts wait, as events do.
      if (!policies.current()) return [];
      const rollouts = await store.rollouts.claim('resolve', shares.atMost(limit), {
        forges: shares.spent(),
      });
      return rollouts.map((rollout) =>
        shares.counted(rollout.repository, async () => {
          const known: Pick<RolloutChange, 'sha'> = {};
          try {
            const current = await underTodaysName(rollout);
            if (!current) return logRepeat(rollout);
            const change = await resolveByLatest(current, known);
            const stored = await persist(() => store.rollouts.advance(rollout.id, change));
            const { id, repository, revision } = current;
            log.info(
              { rollout: id, repository, revision, phase: stored?.phase ?? 'ended' },
              'rollout resolved',
            );
          } catch (error) {
            if (!(await persist(() => store.rollouts.get(rollout.id)))) return logRepeat(rollout);
            // A failure, too, is said on the commit the ref points to, whatever the payload named.
            await settleFailure(deps, rollout, unlessSuspended(rollout, error), known);
          }
        }),
      );
    },
  };
}

/** @returns whether it has been planned by just these policies and waits: the forge need not be asked */
const isHeld = ({ plan, policyRevision }: Rollout, { suspend }: Policy, { revision }: PolicySet): boolean =>
  suspend && plan !== null && policyRevision === revision;

const isBlank = ({ runtimes, kserveVersion, structure, settings, knative }: ClusterKnowledge): boolean =>
  [runtimes, kserveVersion, structure, settings, knative].every((each) => each === null);

/** The forge of a repository id. @throws StalledError where none of that name is configured */
export function forgeOf(forges: ReadonlyMap<string, Forge>, repository: string): Forge {
  const name = parseRepositoryId(repository)?.forge ?? '';
  const forge = forges.get(name);
  if (forge) return forge;
  throw new StalledError(
    `the forge "${name}" of ${repository} is not configured`,
    'add it to forges in modelhook.yaml',
  );
}

/** A commit of the model, and what was asked of its files. */
interface Commit {
  sha: string;
  files: RepositoryFile[];
}

async function readCommit(
  forge: Forge,
  { repository, sha }: Rollout,
  paths: readonly string[],
): Promise<Commit> {
  if (paths.length === 0) return { sha, files: [] };
  return { sha, files: await forge.repositories.readFiles(repository, sha, paths, MODEL_CARD_LIMIT) };
}

/** @returns whether the ref is where the rollout was told it is: at its commit, or the tag object that leads there */
const isAt = ({ sha }: Rollout, reading: RefReading | null): boolean =>
  reading !== null && (reading.sha === sha || reading.object === sha);

const ended = (phase: 'cancelled' | 'superseded', message: string): RolloutChange => ({
  phase,
  stage: null,
  message,
});

const storedCard = (input: ModelCardInput): StoredInputs['modelCard'] =>
  input.kind === 'card'
    ? input.card
    : { unavailable: { reason: input.reason.reason, fix: input.reason.fix } };

/** A card that cannot be used is a fault only where the plan needs it, in exactly these words. */
function modelCardOf(file: RepositoryFile | undefined): ModelCardInput {
  const unavailable = (reason: string, fix: string): ModelCardInput => ({
    kind: 'unavailable',
    reason: new StalledError(reason, fix),
  });
  if (!file || file.kind === 'missing')
    return unavailable(
      `there is no ${MODEL_CARD} at this commit`,
      'add one whose front matter names library_name, or set spec.modelFormat in the policy',
    );
  if (file.kind === 'tooLarge')
    return unavailable(
      `${MODEL_CARD} has ${file.size} bytes, over the limit of 1 MiB`,
      'shorten it, or set spec.modelFormat in the policy',
    );
  try {
    return { kind: 'card', card: parseModelCard(file.bytes) };
  } catch (error) {
    if (error instanceof StalledError) return { kind: 'unavailable', reason: error };
    throw error;
  }
}
