/** The only file that constructs: configuration in, a service that starts and stops in order out. */
import type { Cluster, ClusterReader } from './cluster/cluster.ts';
import {
  type ClusterAccess,
  createKubernetesCluster,
  createKubernetesReader,
  type KubeconfigAccess,
} from './cluster/kubernetes.ts';
import {
  type ClusterConfig,
  type Config,
  type ForgeConfig,
  type GitopsConfig,
  knownNames,
} from './config.ts';
import { messageOf } from './core/errors.ts';
import { parseRepositoryId, type RefMove } from './core/ref-event.ts';
import { clusterDestination, gitopsDestination } from './core/rollout.ts';
import { createApplyTarget } from './delivery/apply.ts';
import { type Comparison, createComparison } from './delivery/comparison.ts';
import { createGitopsTarget } from './delivery/gitops.ts';
import { mayEndRequest } from './delivery/proposals.ts';
import { createPullRequestTarget } from './delivery/pull-request.ts';
import type { DeliveryTarget } from './delivery/target.ts';
import type { Forge } from './forge/forge.ts';
import { createGitForge } from './forge/git/git-forge.ts';
import { createGiteaForge } from './forge/gitea/gitea-forge.ts';
import { createGitHubForge } from './forge/github/github-forge.ts';
import { createGitLabForge } from './forge/gitlab/gitlab-forge.ts';
import { createLocalModel, type LocalModel, withoutStatuses } from './forge/local-model.ts';
import { endAllGit } from './git/git.ts';
import { Mirror } from './git/mirror.ts';
import { locateRemote, type RemoteAccess } from './git/remote.ts';
import { createCancel } from './pipeline/cancel.ts';
import { type ControllerDeps, createController } from './pipeline/controller.ts';
import { createReceive } from './pipeline/receive.ts';
import { type ConfigRepository, createConfigRepository } from './policies/config-repository.ts';
import { examineApart } from './policies/examination-thread.ts';
import { createFixedPolicies } from './policies/fixed-policies.ts';
import type { PolicyReviewer, PolicySource } from './policies/policies.ts';
import { createPolicyReviewer } from './policies/reviewer.ts';
import { readRevision } from './policies/revision-files.ts';
import { createApp } from './server/app.ts';
import { type Listening, listen } from './server/listen.ts';
import { createSqlStore } from './store/sql.ts';
import { type Store, StoreUnavailableError } from './store/store.ts';
import type { Log } from './telemetry/log.ts';

export type { Comparison, Sides } from './delivery/comparison.ts';

/** How long a stop waits for work in hand, then for connections: ten seconds in all, as orchestrators give. */
const STOP_WORK = 7000;
const STOP_SERVER = 1000;
const STORE_RETRY = 1000;

export interface Service {
  readonly store: Store;
  readonly policies: PolicySource;
  /** Opens the store, listens, and begins to work. @returns the base of this service's addresses */
  start(): Promise<{ url: string }>;
  /** Finishes what is in hand, or leaves it to the next start. Resolves within ten seconds. */
  stop(): Promise<void>;
}

/** Builds everything modelhook.yaml asks for; nothing is opened or started yet. */
export function compose(config: Config, log: Log, now: () => number = Date.now): Service {
  const { server, cache } = config;
  const store = createSqlStore({ file: config.store.file, now });
  const composed = composeAll(config, now);
  const forges = forgesOf(composed);
  const mirrorOf = createMirrors(composed, cache);
  const clusters = createClusters(config, log, now);
  const targets = createAllTargets(config, { clusters, forges, mirrorOf, store, now, log });
  const known = knownNames(config);
  const mirror = mirrorOf('policies', config.policies.repository);
  const inForce = factOf(store, 'policies/in-force');
  const policies = createConfigRepository({ ...config.policies, mirror, known, inForce, log });

  let url = server.publicUrl ?? '';
  let listening: Listening | undefined;
  let opening: NodeJS.Timeout | undefined;
  let stopped = false;
  const pullRequestsTo = pullRequestsOf(config, forges);
  const controller = createController({
    store,
    forges,
    targets,
    pullRequestsTo,
    clusters,
    policies,
    reviewer: createReviewer(config, mirrorOf),
    kserveOf: (cluster) => known.clusters.find(({ name }) => name === cluster)?.kserve,
    configRef: { repository: config.policies.repository, ref: `refs/heads/${config.policies.branch}` },
    publicUrl: () => url,
    concurrency: config.worker.concurrency,
    interval: config.reconcile.interval,
    now,
    log,
  });
  // Forges spell names as they were made, whatever modelhook.yaml writes.
  const isSame = (one: string, other: string) => one.toLowerCase() === other.toLowerCase();
  const pullRequestsIn = (repository: string, move?: RefMove): string[] =>
    Object.entries(config.gitops)
      .filter(([, gitops]) => isSame(gitops.repository, repository))
      .filter(([, { branch }]) => !move || mayEndRequest(move, branch))
      .map(([gitops]) => gitopsDestination(gitops, 'pullRequest'));
  const lookAtReviews = (repository: string) => {
    if (isSame(repository, config.policies.repository)) controller.lookAtReviews();
  };
  const receive = createReceive({ store, policies, pullRequestsIn, lookAtReviews, log });
  const cancel = createCancel({ store, pullRequestsTo, log });

  /**
   * Opens the store. While the disk does not let us, webhooks get 503 and it is tried again.
   * @throws StalledError where the store is not for us: another process has it, or it is no database
   */
  async function openStore(): Promise<boolean> {
    try {
      await store.lifecycle.start();
      return true;
    } catch (error) {
      if (!(error instanceof StoreUnavailableError)) throw error;
      log.error({ reason: error.message }, 'the store cannot be opened; trying again');
      return false;
    }
  }

  /** Begins to work once the store is open. */
  async function begin(opened: boolean): Promise<void> {
    try {
      if (opened || (await openStore())) {
        // What is seen before anybody listens is there to be looked at.
        for (const { watch } of clusters.values()) watch.start();
        return await controller.start();
      }
    } catch (error) {
      // Too late to refuse to start: whoever reads the log must act.
      log.error({ reason: messageOf(error) }, 'cannot begin to work; trying again');
    }
    if (!stopped) opening = setTimeout(() => void begin(false), STORE_RETRY);
  }

  return {
    store,
    policies,

    async start() {
      const opened = await openStore();
      // The app is made once its port is known: links need it where no publicUrl is set.
      let app: ReturnType<typeof createApp> | undefined;
      const fetch = (request: Request) => app?.fetch(request) ?? new Response(null, { status: 503 });
      listening = await listen({ fetch }, server);
      const host = server.host.includes(':') ? `[${server.host}]` : server.host;
      const address = `http://${host}:${listening.port}`;
      if (server.publicUrl === undefined) url = address;
      const apiTokens = server.apiTokens.map((token) => token.reveal());
      app = createApp({ receive, forges, store, policies, cancel, apiTokens, publicUrl: url, log });
      log.info({ address, publicUrl: url }, 'listening');
      await begin(opened);
      return { url: address };
    },

    async stop() {
      stopped = true;
      clearTimeout(opening);
      await listening?.close(STOP_SERVER);
      const ended = await controller.stop(STOP_WORK);
      if (!ended) log.warn({}, 'some work did not end in time; the next start goes on with it');
      await Promise.all([...clusters.values()].map(({ watch }) => watch.stop()));
      endAllGit();
      await store.lifecycle.stop();
      log.info({}, 'stopped');
    },
  };
}

/** @returns where the pull requests of a GitOps repository are, by its key in modelhook.yaml; null: it has none */
const pullRequestsOf =
  ({ gitops }: Config, forges: ReadonlyMap<string, Forge>) =>
  (name: string) => {
    const repository = gitops[name]?.repository ?? '';
    const pullRequests = forges.get(parseRepositoryId(repository)?.forge ?? '')?.pullRequests ?? null;
    return pullRequests && { repository, pullRequests };
  };

/** A forge, and how Git reaches its repositories: the policies' and the GitOps ones may be on any. */
interface ComposedForge {
  forge: Forge;
  access: RemoteAccess;
}

const composeAll = ({ forges, cache }: Config, now: () => number): ReadonlyMap<string, ComposedForge> =>
  new Map(Object.entries(forges).map(([name, forge]) => [name, composeForge(name, forge, cache, now)]));

const forgesOf = (composed: ReadonlyMap<string, ComposedForge>): ReadonlyMap<string, Forge> =>
  new Map([...composed].map(([name, { forge }]) => [name, forge]));

function composeForge(name: string, config: ForgeConfig, cache: string, now: () => number): ComposedForge {
  const webhookSecrets = config.webhookSecrets.map((secret) => secret.reveal());
  const { url, ca = null } = config;
  const token = config.token?.reveal() ?? null;
  const access: RemoteAccess = {
    url,
    user: 'modelhook',
    token: token === null ? null : async () => token,
    ssh: null,
    ca,
  };
  if (config.kind === 'git') {
    const withKeys = { ...access, ssh: config.ssh ?? null };
    return {
      forge: createGitForge({ name, access: withKeys, webhookSecrets, cache, now }),
      access: withKeys,
    };
  }
  const options = { name, url, apiUrl: config.apiUrl, webhookSecrets, ca, now };
  if (config.kind === 'gitlab') return { forge: createGitLabForge({ ...options, token }), access };
  if (config.kind === 'gitea') return { forge: createGiteaForge({ ...options, token }), access };
  const { app } = config;
  const auth = app
    ? { app: { id: app.id, privateKey: app.privateKey.reveal() } }
    : token === null
      ? null
      : { token };
  const forge = createGitHubForge({ ...options, auth });
  // What GitHub's documentation asks for with the token of an installation.
  const user = 'x-access-token';
  return { forge, access: { ...access, user, token: (path) => forge.tokenFor(path) } };
}

interface TargetOptions extends GitopsConfig {
  /** Its key in modelhook.yaml. */
  name: string;
  forges: ReadonlyMap<string, Forge>;
  mirrorOf: (folder: string, repository: string) => Mirror;
  store: Store;
  now: () => number;
  log: Log;
}

/** What a GitOps repository is delivered to, by destination: its branch, and pull requests where its forge has them. */
function createTargets({
  forges,
  mirrorOf,
  store,
  ...options
}: TargetOptions): [destination: string, DeliveryTarget][] {
  const { name, repository } = options;
  const branch = createGitopsTarget({
    ...options,
    mirror: mirrorOf(`gitops/${name}`, repository),
    base: factOf(store, `gitops/${name}/base`),
  });
  const targets: [string, DeliveryTarget][] = [[gitopsDestination(name, 'push'), branch]];
  const pullRequests = forges.get(parseRepositoryId(repository)?.forge ?? '')?.pullRequests;
  if (pullRequests) {
    const mirror = mirrorOf(`pull-requests/${name}`, repository);
    const requests = createPullRequestTarget({ ...options, mirror, pullRequests });
    targets.push([gitopsDestination(name, 'pullRequest'), requests]);
  }
  return targets;
}

interface AllTargetsOptions extends Pick<TargetOptions, 'forges' | 'mirrorOf' | 'store' | 'now' | 'log'> {
  clusters: ReadonlyMap<string, Pick<Cluster, 'applier'>>;
  /** See `ApplyTargetOptions`. */
  impatient?: boolean;
}

/** What there is to deliver to, by destination. */
const createAllTargets = (
  { gitops }: Config,
  { clusters, impatient = false, ...shared }: AllTargetsOptions,
): ReadonlyMap<string, DeliveryTarget> =>
  new Map([
    ...Object.entries(gitops).flatMap(([name, each]) => createTargets({ name, ...each, ...shared })),
    ...[...clusters].map(([name, { applier }]): [string, DeliveryTarget] => [
      clusterDestination(name),
      createApplyTarget({ name, applier, log: shared.log, impatient }),
    ]),
  ]);

/** Those that can be reached, by name. */
const createClusters = ({ clusters }: Config, log: Log, now: () => number): ReadonlyMap<string, Cluster> =>
  new Map(
    Object.entries(clusters).flatMap(([name, cluster]): [string, Cluster][] => {
      const access = accessOf(cluster);
      if (access === null) return [];
      return [[name, createKubernetesCluster({ name, access, namespaces: cluster.namespaces, log, now })]];
    }),
  );

function accessOf({ kubeconfig, inCluster }: ClusterConfig): ClusterAccess | null {
  if (kubeconfig) return kubeconfig;
  return inCluster ? { inCluster } : null;
}

/** @param mirrorOf makes a mirror of its own for heads that nobody has reviewed */
function createReviewer(config: Config, mirrorOf: ReturnType<typeof createMirrors>): PolicyReviewer {
  const { repository, directory } = config.policies;
  return createPolicyReviewer({
    mirror: mirrorOf('policies', repository),
    heads: mirrorOf('policy-heads', repository),
    directory,
    known: knownNames(config),
  });
}

/** For rollouts that a command asks for: the policies may be files of a folder, and nothing of them is reviewed. */
const NO_REVIEWER: PolicyReviewer = {
  examine: () => Promise.reject(new TypeError('a command reviews no policies')),
  keep: async () => {},
};

/** Mirrors in the cache, of repositories by their id. */
function createMirrors(composed: ReadonlyMap<string, ComposedForge>, cache: string) {
  return (folder: string, repository: string): Mirror => {
    const id = parseRepositoryId(repository);
    const access = id && composed.get(id.forge)?.access;
    if (!access)
      throw new TypeError(`the configuration let ${repository} through, whose forge it does not have`);
    return new Mirror(cache, folder, (url) => locateRemote(access, id.path, url));
  };
}

/** The forges, for commands that ask them: no store is opened. */
export const composeForges = (config: Config, now: () => number = Date.now): ReadonlyMap<string, Forge> =>
  forgesOf(composeAll(config, now));

/** The config repository, for commands that look at its head: which revision is in force is neither known nor kept. */
export function composePolicies(config: Config, log: Log): ConfigRepository {
  const { policies, forges, cache } = config;
  const ofPolicies = Object.entries(forges).filter(([name]) => policies.repository.startsWith(`${name}:`));
  const composed = composeAll({ ...config, forges: Object.fromEntries(ofPolicies) }, Date.now);
  return createConfigRepository({
    ...policies,
    mirror: createMirrors(composed, cache)('policies', policies.repository),
    known: knownNames(config),
    inForce: { get: async () => null, set: async () => {} },
    log,
  });
}

/** The clusters that can be reached, by name, for commands that ask them: nothing is started. */
export const composeClusters = (config: Config, log: Log, now: () => number = Date.now) =>
  createClusters(config, log, now);

/** Policies of a folder, for commands that are given one. */
export const fixedPolicies = createFixedPolicies;

/** Two revisions of a clone read and compared as heads of the config repository are, for commands that are given a clone. */
export const policyRevisions = { read: readRevision, examine: examineApart };

/** A cluster, for commands that look into one. Its client loads when it is asked. */
export const composeCluster = (access: KubeconfigAccess): ClusterReader => createKubernetesReader(access);

/** Carries out rollouts that a command asked for. Nothing listens, nothing is reported, and it is forgotten at the end. */
export interface Deployment {
  readonly store: Store;
  readonly forges: ReadonlyMap<string, Forge>;
  start(): Promise<void>;
  /** Asks every cluster once. @throws ClusterUnavailableError where one cannot be asked */
  reach(): Promise<void>;
  /** Finishes what is in hand, and begins nothing more. @returns false: not all of it ended in time */
  finish(): Promise<boolean>;
  stop(): Promise<void>;
}

/**
 * @param config its cache is for this alone: the controller that has it may run at the same time
 * @param model asked instead of its forge; null: every model is on a forge
 */
export function composeDeployment(
  config: Config,
  { policies, model, log }: { policies: PolicySource; model: LocalModel | null; log: Log },
): Deployment {
  const now = Date.now;
  const store = createSqlStore({ file: ':memory:', now });
  const composed = composeAll(config, now);
  const forges = new Map([...forgesOf(composed)].map(([name, forge]) => [name, withoutStatuses(forge)]));
  const mirrorOf = createMirrors(composed, config.cache);
  const clusters = createClusters(config, log, now);
  // Somebody waits for the end.
  const shared = { clusters, forges, mirrorOf, store, now, log };
  const targets = createAllTargets(config, { ...shared, impatient: true });
  const local = model && createLocalModel(model);
  const asked = local ? new Map([...forges, [local.name, local]]) : forges;
  const known = knownNames(config);
  const asking: ControllerDeps = {
    store,
    forges: asked,
    targets,
    pullRequestsTo: pullRequestsOf(config, forges),
    clusters,
    policies,
    reviewer: NO_REVIEWER,
    kserveOf: (cluster) => known.clusters.find(({ name }) => name === cluster)?.kserve,
    configRef: { repository: config.policies.repository, ref: `refs/heads/${config.policies.branch}` },
    publicUrl: () => config.server.publicUrl ?? '',
    concurrency: config.worker.concurrency,
    interval: config.reconcile.interval,
    now,
    log,
  };
  const controller = createController(asking, 'asked');
  let finishing: Promise<boolean> | undefined;
  const finish = (): Promise<boolean> => {
    finishing ??= controller.stop(STOP_WORK);
    return finishing;
  };
  return {
    store,
    forges: asked,
    async start() {
      await store.lifecycle.start();
      for (const { watch } of clusters.values()) watch.start();
      await controller.start();
    },
    reach: async () => {
      await Promise.all([...clusters.values()].map(({ reviewer }) => reviewer.missingRights()));
    },
    finish,
    async stop() {
      await finish();
      await Promise.all([...clusters.values()].map(({ watch }) => watch.stop()));
      endAllGit();
      await store.lifecycle.stop();
    },
  };
}

/**
 * For commands that compare with what there is. End it at last.
 * @param config its cache is for this alone
 */
export function composeComparison(config: Config, log: Log): Comparison & { end(): Promise<void> } {
  const mirrorOf = createMirrors(composeAll(config, Date.now), config.cache);
  const clusters = createClusters(config, log, Date.now);
  const branches = new Map(
    Object.entries(config.gitops).map(([name, { repository, branch }]) => [
      name,
      { mirror: mirrorOf(`gitops/${name}`, repository), branch },
    ]),
  );
  const appliers = new Map([...clusters].map(([name, { applier }]) => [name, applier]));
  return {
    ...createComparison({ branches, appliers }),
    end: async () => {
      await Promise.all([...clusters.values()].map(({ watch }) => watch.stop()));
      endAllGit();
    },
  };
}

/** One small fact that outlives a restart. */
const factOf = (store: Store, key: string) => ({
  get: () => store.facts.get(key),
  set: (value: string) => store.facts.set(key, value),
});
