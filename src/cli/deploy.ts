/** `modelhook deploy`: one tag, branch or local model card, deployed now, without a webhook or a running controller. */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command, Option } from 'commander';
import { ClusterUnavailableError } from '../cluster/cluster.ts';
import type { Deployment, fixedPolicies } from '../compose.ts';
import { type Config, knownNames, loadConfig } from '../config.ts';
import { formatFault, messageOf, StalledError } from '../core/errors.ts';
import { explainMatch } from '../core/match.ts';
import { suggestion } from '../core/nearest.ts';
import { targetOf } from '../core/plan.ts';
import type { Policy, PolicySet } from '../core/policy.ts';
import { parseRepositoryId } from '../core/ref-event.ts';
import type { Rollout } from '../core/rollout.ts';
import { createLog } from '../telemetry/log.ts';
import { interruption, isGood, type Output, report } from './deploy-outcome.ts';
import { follow } from './deploy-progress.ts';
import { isNearby, projectIdOf, readModelCard, refOf, repositoryOf, shaOf } from './manifests.ts';
import { describeOthers } from './plan-text.ts';
import { loadPolicyDirectory } from './policy-directory.ts';
import { UsageError } from './usage-error.ts';

interface DeployOptions {
  config?: string;
  policies?: string;
  policy?: string;
  modelCard?: string;
  sha?: string;
  projectId?: string;
  kubeconfig?: string;
  context?: string;
  output: Output;
}

/** Milliseconds between two looks at a pull request that somebody is to merge. */
const LOOK_EVERY = 15_000;

/** The subcommand `deploy`, to be added to the program. */
export const deployCommand = (): Command =>
  new Command('deploy')
    .description(
      'Deploy one tag or branch now, and wait until it serves. It needs no webhook and no running controller.',
    )
    .argument('<repository>', 'the model repository, such as gitlab:ml/vision/iris', repositoryOf)
    .argument('<ref>', 'the full name, such as refs/tags/v1.0.0 or refs/heads/main', refOf)
    .option(
      '-c, --config <file>',
      'modelhook.yaml: the forges, the policies, the GitOps repositories and the clusters',
    )
    .option(
      '--policies <dir>',
      'a directory with the policies, or one file, instead of the config repository',
    )
    .option('--policy <name>', 'only this policy, instead of every one that matches')
    .option(
      '--model-card <file>',
      'README.md of the model; its forge is then not asked, and --sha names the commit',
    )
    .option('--sha <sha>', 'the commit, all 40 or 64 digits of its id; only with --model-card', shaOf)
    .option('--project-id <n>', "the forge's number of the repository; only with --model-card", projectIdOf)
    .addOption(
      new Option(
        '--kubeconfig <file>',
        'the cluster to apply to, where there is no modelhook.yaml',
      ).conflicts('config'),
    )
    .option('--context <name>', 'a context of that file, instead of its current one')
    .addOption(
      new Option('--output <format>', 'how to write the result')
        .choices(['text', 'json', 'yaml'])
        .default('text'),
    )
    .addHelpText(
      'after',
      `
What happens goes to standard error as it happens, the result to standard output. Statuses on the commit are left to the
controller. What a controller has deployed it overwrites only where that controller would. A cluster that cannot be asked at
the start ends it; one that is lost later is waited for.

Ctrl-C ends the waiting, takes nothing back, and says what stays. So does SIGTERM: in a pipeline, bound it with timeout 15m.

Exit codes: 0 it serves, or is delivered where nothing observes, 1 it failed or was interrupted, 2 wrong usage or
configuration.

Examples:
  modelhook deploy gitlab:ml/vision/iris refs/tags/v1.0.0 --config modelhook.yaml
  modelhook deploy gitlab:ml/vision/iris refs/tags/v1.0.0 --policies policies/ --model-card README.md \\
    --sha 8d3ba2f4c1a97e60b5d8f2c3a4e5061728394a5b --kubeconfig ~/.kube/config`,
    )
    .action(deploy);

async function deploy(repository: string, ref: string, options: DeployOptions): Promise<void> {
  const given = checked(options);
  const cache = mkdtempSync(join(tmpdir(), 'modelhook-deploy-'));
  const remove = () => rmSync(cache, { recursive: true, force: true, maxRetries: 3 });
  process.once('exit', remove);
  try {
    await deployWith(cache, { repository, ref }, given);
  } finally {
    process.off('exit', remove);
    remove();
  }
}

/** @throws UsageError where the options do not go together */
function checked(options: DeployOptions): DeployOptions {
  const { config, policies, modelCard, sha, projectId, kubeconfig, context } = options;
  if (config === undefined && (policies === undefined || modelCard === undefined || kubeconfig === undefined))
    throw new UsageError(
      'give modelhook.yaml with --config; or without one, --policies, --model-card with --sha, and --kubeconfig',
    );
  if (context !== undefined && kubeconfig === undefined)
    throw new UsageError('--context is one of a kubeconfig; give the file with --kubeconfig');
  if (modelCard !== undefined && sha === undefined)
    throw new UsageError('--model-card is of a commit; name that with --sha');
  if (modelCard === undefined && (sha !== undefined || projectId !== undefined))
    throw new UsageError(
      'without --model-card the forge says which commit it is; leave out --sha and --project-id',
    );
  return options;
}

type PolicySource = ReturnType<typeof fixedPolicies>;

interface Pushed {
  repository: string;
  ref: string;
}

async function deployWith(cache: string, pushed: Pushed, options: DeployOptions): Promise<void> {
  // Everything the controller is made of: not for the help of this command.
  const compose = await import('../compose.ts');
  const config = options.config === undefined ? null : loadConfig(options.config);
  const log = createLog('error');
  const policies =
    config && options.policies === undefined
      ? await readConfigRepository(compose.composePolicies({ ...config, cache }, log))
      : compose.fixedPolicies(await readFolder(options.policies ?? '', config), options.policies ?? '');
  const wanted = wantedOf(policies, pushed, options);
  const model = await readModel(pushed, options);
  const namespaces = config ? [] : await namespacesOf(policies.current(), wanted, pushed, options);
  const deployment = compose.composeDeployment(configFor(wanted, config, cache, options, namespaces), {
    policies,
    model,
    log,
  });
  try {
    await deployment.start();
    await reach(deployment);
    const begun = await begin(deployment, policies, wanted, pushed);
    const interrupted = await follow(deployment.store, begun);
    // What is in hand at Ctrl-C may be delivered yet.
    const isFinished = await deployment.finish();
    const rollouts = await readAll(deployment.store, begun);
    report(rollouts, options.output);
    if (rollouts.every(isGood)) return;
    if (interrupted) throw new Error(interruption(rollouts, isFinished));
    process.exitCode = 1;
  } finally {
    await deployment.stop();
  }
}

/** Whoever waits here, a person or a pipeline, is told at once what is not mended by waiting. */
async function reach({ reach: ask }: Deployment): Promise<void> {
  try {
    await ask();
  } catch (error) {
    const kind = error instanceof ClusterUnavailableError ? error.problem.kind : null;
    if (kind === 'busy') return;
    throw kind === 'configuration' ? new UsageError(messageOf(error), { cause: error }) : error;
  }
}

const readAll = async ({ rollouts }: Deployment['store'], begun: readonly Rollout[]): Promise<Rollout[]> =>
  (await Promise.all(begun.map(({ id }) => rollouts.get(id)))).filter((rollout) => rollout !== null);

/** @throws Error where its head cannot be used */
async function readConfigRepository(policies: PolicySource): Promise<PolicySource> {
  await policies.refresh();
  const { faults } = policies.status();
  if (faults.length > 0) throw new Error(faults.map(formatFault).join('\n'));
  return policies;
}

async function readFolder(path: string, config: Config | null): Promise<PolicySet> {
  const { policies, faults } = await loadPolicyDirectory(path, config ? { known: knownNames(config) } : {});
  if (policies === null) throw new Error(faults.map(formatFault).join('\n'));
  return policies;
}

/** @throws Error where no policy deploys the ref, or one that does is suspended */
function wantedOf(
  source: PolicySource,
  { repository, ref }: Pushed,
  { policy: only }: DeployOptions,
): Policy[] {
  const policies = source.current()?.policies ?? [];
  const asked = policies.filter(({ name }) => only === undefined || name === only);
  if (only !== undefined && asked.length === 0)
    throw new Error(
      `there is no policy "${only}"${suggestion(
        only,
        policies.map(({ name }) => name),
      )}`,
    );
  const explained = asked.map((policy) => ({ policy, ...explainMatch(policy, { repository, ref }) }));
  const wanted = explained.filter(({ matches }) => matches).map(({ policy }) => policy);
  if (wanted.length === 0) {
    const others = explained.map((each) => ({ ...each, nearby: isNearby(each.policy, repository) }));
    const reasons = describeOthers(others, repository, false).map((line) => `  ${line}`);
    throw new Error([`no policy matches ${ref} of ${repository}`, ...reasons].join('\n'));
  }
  const suspended = wanted.find(({ suspend }) => suspend);
  if (!suspended) return wanted;
  throw new Error(
    `policy "${suspended.name}" is suspended; name another with --policy, or set suspend: false`,
  );
}

async function readModel({ repository }: Pushed, { modelCard, sha, projectId }: DeployOptions) {
  if (modelCard === undefined || sha === undefined) return null;
  try {
    return { repository, sha, projectId: projectId ?? null, modelCard: await readFile(modelCard) };
  } catch (error) {
    throw new UsageError(`the model card ${modelCard} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

/**
 * Rights may end at these, so nothing else is looked at.
 * @returns the namespaces that are deployed to. Of a policy that does not say one for this model, its plan says why.
 */
async function namespacesOf(
  policies: PolicySet | null,
  wanted: readonly Policy[],
  pushed: Pushed,
  { sha = '', modelCard: file, projectId }: DeployOptions,
): Promise<string[]> {
  if (policies === null) return [];
  const modelCard = await readModelCard(file);
  const input = { ...pushed, policies, sha, projectId: projectId ?? null, modelCard };
  const namespaces = new Set<string>();
  for (const policy of wanted)
    try {
      namespaces.add(targetOf({ ...input, policy }).namespace);
    } catch (error) {
      if (!(error instanceof StalledError)) throw error;
    }
  return [...namespaces];
}

/** @returns what modelhook.yaml says, with no more clusters than are deployed to; or a kubeconfig in the place of it */
function configFor(
  wanted: readonly Policy[],
  config: Config | null,
  cache: string,
  options: DeployOptions,
  namespaces: readonly string[],
): Config {
  const names = [...new Set(wanted.map(({ target }) => target.cluster))];
  const shared = { cache, reconcile: { interval: LOOK_EVERY } };
  if (config) {
    const clusters = Object.entries(config.clusters).filter(([name]) => names.includes(name));
    return { ...config, ...shared, clusters: Object.fromEntries(clusters) };
  }
  const [name = '', ...more] = names;
  if (more.length > 0)
    throw new UsageError(
      `the policies deploy to several clusters, ${names.join(', ')}, and --kubeconfig names one; name one policy with --policy`,
    );
  const { kubeconfig: file = '', context } = options;
  return {
    ...shared,
    server: { host: '127.0.0.1', port: 0, apiTokens: [] },
    store: { kind: 'sqlite', file: ':memory:' },
    forges: {},
    policies: { repository: '', branch: '', directory: '', bounds: [] },
    gitops: {},
    clusters: { [name]: { kubeconfig: { file, context }, namespaces: [...namespaces] } },
    worker: { concurrency: 4 },
  };
}

/** @throws Error where the forge has no such ref */
async function begin(
  { store, forges }: Deployment,
  policies: PolicySource,
  wanted: readonly Policy[],
  { repository: named, ref }: Pushed,
): Promise<Rollout[]> {
  const { forge: name = '' } = parseRepositoryId(named) ?? {};
  const forge = forges.get(name);
  if (!forge)
    throw new UsageError(
      `the forge "${name}" of ${named} is not in modelhook.yaml; add it, or give --model-card and --sha`,
    );
  const { repository, projectId } = await forge.repositories.identify(named);
  const reading = await forge.repositories.readRef(repository, ref, [], 0);
  if (!reading) throw new Error(`${repository} has no ref ${ref}`);
  return store.requests.command({
    command: randomUUID(),
    repository,
    projectId,
    ref,
    sha: reading.sha,
    policyRevision: policies.current()?.revision ?? '',
    drafts: wanted.map((policy) => ({ policy: policy.name, environment: policy.environment })),
  });
}
