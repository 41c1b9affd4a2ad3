/** What tests of the whole controller on a real control plane share: policies, rights, and waiting for what becomes of tags. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { SILENT_LOG } from '../../src/cluster/cluster.fixture.ts';
import type { Cluster } from '../../src/cluster/cluster.ts';
import { createKubernetesCluster } from '../../src/cluster/kubernetes.ts';
import { textIn } from '../../src/core/cluster-fields.ts';
import type { JsonObject } from '../../src/core/json.ts';
import { type ControllerSite, until } from '../controller-site.ts';
import { GitRepository } from '../git-repository.ts';
import { ask, kubeconfigFor, makeNamespace, put, remove, tokenOf } from './real-cluster.ts';

export interface PolicyTraits {
  namespace: string;
  cluster?: string;
  /** What becomes of the pods (the annotation of the nodes). */
  fate?: string;
  delivery?: string;
  repositories?: string;
}

/** Each deploys tags of its own name, all to the same targets. */
export const servingPolicy = (
  name: string,
  { namespace, cluster = 'real', fate, delivery = 'apply: true', repositories = 'ml/*' }: PolicyTraits,
): string => `apiVersion: modelhook.dev/v1alpha1
kind: DeploymentPolicy
metadata: { name: ${name} }
spec:
  match: { repositories: ["plain:${repositories}"], tags: ["${name}-*"] }
  target: { cluster: ${cluster}, namespace: ${namespace} }
  modelFormat: { name: sklearn, version: "1" }
  runtime: { name: kserve-sklearnserver }
  storage: { uri: "s3://models/\${repository.path}/\${sha}" }
  resources: { requests: { cpu: 100m, memory: 64Mi }, limits: { cpu: 100m, memory: 64Mi } }
  ${fate === undefined ? '' : `pod: { annotations: { test.modelhook.dev/fate: ${fate} } }`}
  readiness: { grace: { imagePull: 1s, invalidSpec: 1s } }
  delivery: { ${delivery} }
`;

/** One that an earlier run removed may still be on its way out. */
export async function openNamespaces(...names: string[]): Promise<void> {
  for (const name of names)
    await until(async () => textIn(await makeNamespace(name), 'status', 'phase') === 'Active');
}

export const removeNamespace = (name: string): Promise<JsonObject> =>
  remove({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });

/** What deploy/ grants, under another name than its own: tests that run beside make and remove it too. */
export interface Grant {
  account: string;
  documents: JsonObject[];
}

/**
 * @param vision in place of the namespace that rbac-namespaced.yaml has as its example
 */
export function grantOf(account: string, file = 'rbac.yaml', vision = 'vision'): Grant {
  const text = readFileSync(resolve(import.meta.dirname, '../../deploy', file), 'utf8');
  const documents = parseAllDocuments(text).map((document) =>
    JSON.parse(
      JSON.stringify(document.toJS())
        .replaceAll('"modelhook', `"${account}`)
        .replaceAll('"vision"', `"${vision}"`),
    ),
  );
  return { account, documents };
}

/** @returns a kubeconfig of the account, once the API server knows of its roles */
export async function putGrant({ account, documents }: Grant, namespaces: string[] = []): Promise<string> {
  for (const document of documents) await put(document);
  const file = kubeconfigFor(await tokenOf(account, account));
  const { reviewer } = clusterOf(file, namespaces);
  await until(async () => (await reviewer.missingRights()).length === 0);
  return file;
}

export const clusterOf = (file: string, namespaces: string[] = []): Cluster =>
  createKubernetesCluster({ name: 'real', access: { file }, namespaces, log: SILENT_LOG, now: Date.now });

export async function removeGrant({ documents }: Grant): Promise<void> {
  for (const document of documents) await remove(document);
}

export interface RolloutJson {
  phase: string;
  message: string;
  revision: string;
  sha: string;
  endpoints: { internal: string | null; external: string | null };
  receipt: { commit: string | null; path: string | null } | null;
  transitions: { phase: string; message: string; at: string }[];
}

export interface Rollouts {
  /** Tags a model that was made, and tells the controller. @returns the commit */
  push(path: string, tag: string): Promise<string>;
  untilIt(path: string, tag: string, holds: (rollout: RolloutJson) => boolean): Promise<RolloutJson>;
  untilPhase(path: string, tag: string, phase: string): Promise<RolloutJson>;
  untilSaid(path: string, tag: string, words: RegExp): Promise<RolloutJson>;
  /** The line of the commit that plain Git keeps as its status. */
  untilStatus(path: string, rollout: RolloutJson, text: string): Promise<void>;
  /** Each state of that line since the beginning: state, and description. */
  statuses(path: string, sha: string, environment: string): [string, string][];
}

const NOTES = 'refs/notes/modelhook';

export function rolloutsOf(site: ControllerSite): Rollouts {
  const rollout = async (path: string, tag: string): Promise<RolloutJson | undefined> => {
    const response = await fetch(`${site.url}/api/v1/rollouts?repository=plain:${path}`).catch(() => null);
    const items: RolloutJson[] = response?.ok ? JSON.parse(await response.text()).items : [];
    return items.find(({ revision }) => revision === tag);
  };
  const untilIt: Rollouts['untilIt'] = async (path, tag, holds) => {
    let found: RolloutJson | undefined;
    await until(async () => {
      found = await rollout(path, tag);
      return found !== undefined && holds(found);
    });
    if (found === undefined) throw new Error('there is no rollout');
    return found;
  };
  return {
    untilIt,
    async push(path, tag) {
      const sha = await site.tag(path, tag);
      const status = await site.deliver(path, `refs/tags/${tag}`, sha, `${path}/${tag}`);
      if (status !== 202) throw new Error(`the webhook was answered with ${status}`);
      return sha;
    },
    untilPhase: (path, tag, phase) => untilIt(path, tag, (found) => found.phase === phase),
    untilSaid: (path, tag, words) => untilIt(path, tag, ({ message }) => words.test(message)),
    untilStatus: (path, { sha }, text) =>
      until(async () => {
        const repository = GitRepository.open(site.repository(path));
        if (repository.read(NOTES) === null) return false;
        return repository.git(['notes', `--ref=${NOTES}`, 'show', sha]).includes(text);
      }),
    statuses(path, sha, environment) {
      const repository = GitRepository.open(site.repository(path));
      const commits = repository.git(['log', '--reverse', '--format=%H', NOTES]).trim().split('\n');
      return commits
        .flatMap((commit) => repository.git(['show', `${commit}:${sha}`]).split('\n'))
        .map((line) => line.split('\t'))
        .filter(([context]) => context === `modelhook/${environment}`)
        .map(([, state = '', description = '']) => [state, description]);
    },
  };
}

/** @returns the live service */
export const serviceIn = (namespace: string, name: string): Promise<JsonObject> =>
  ask('GET', `/apis/serving.kserve.io/v1beta1/namespaces/${namespace}/inferenceservices/${name}`);
