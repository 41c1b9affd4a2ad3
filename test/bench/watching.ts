/** How soon a commit tells what a cluster showed: from the event of the pod to the status at the forge. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PATHS, startFakeApiServer } from '../cluster/fake-api-server.ts';
import { type FakeKServe, mixedFate, playKServe } from '../cluster/fake-kserve.ts';
import { type ControllerSite, ended, makeControllerSite, SECRET, until } from '../controller-site.ts';
import { type Workplace, workOnGitea } from '../end-to-end/forge-workplaces.ts';
import { GiteaServer, TOKENS } from '../forges/gitea-server.ts';
import { memory } from './memory.ts';

const ONE_BY_ONE = 40;
const AT_ONCE = 500;

const POLICY = `apiVersion: modelhook.dev/v1alpha1
kind: DeploymentPolicy
metadata: { name: production }
spec:
  match: { repositories: ["gitea:ml/*"], tags: ["v*"] }
  target: { cluster: lab, namespace: models }
  modelFormat: { name: sklearn, version: "1" }
  runtime: { name: kserve-sklearnserver }
  storage: { uri: "s3://models/\${repository.path}/\${sha}" }
  readiness: { grace: { imagePull: 0s, unschedulable: 0s, invalidSpec: 1s } }
  delivery: { apply: true }
`;

interface Lab {
  site: ControllerSite;
  forge: Workplace;
  kserve: FakeKServe;
  /** When each status of a commit came, beside those of {@link Workplace.statuses}. */
  written: Map<string, number[]>;
}

export async function measureWatching(say: (text: string) => void): Promise<void> {
  const server = await startFakeApiServer();
  const gitea = await GiteaServer.start();
  server.put(PATHS.namespaces, { metadata: { name: 'models' }, status: { phase: 'Active' } });
  const kserve = playKServe(server, (name) => (name.startsWith('many') ? mixedFate(name) : 'ready'));
  const written = new Map<string, number[]>();
  gitea.onAsked = ({ method, path }) => {
    const sha = /\/statuses\/(\w+)$/.exec(path)?.[1];
    if (method === 'POST' && sha !== undefined)
      written.set(sha, [...(written.get(sha) ?? []), performance.now()]);
  };
  const webhookSecrets = [{ file: './secret' }];
  const site = await makeControllerSite({
    policy: POLICY,
    config: {
      forges: {
        plain: { kind: 'git', url: './git', webhookSecrets },
        gitea: { kind: 'gitea', url: gitea.url, token: { file: './token' }, webhookSecrets },
      },
      clusters: { lab: { kubeconfig: { file: server.kubeconfig } } },
    },
  });
  try {
    writeFileSync(join(site.root, 'token'), TOKENS.writer);
    const single = Array.from({ length: ONE_BY_ONE }, (_, index) => `single-${index}`);
    const many = Array.from({ length: AT_ONCE }, (_, index) => `many-${index}`);
    const paths = [...single, ...many].map((name) => `ml/${name}`);
    const lab = { site, kserve, written, forge: workOnGitea(gitea, paths, SECRET) };
    const controller = await site.start();
    const alone: number[] = [];
    for (const name of single) alone.push(...(await measure(lab, [name])));
    say(`pod ready to status, one by one: ${spread(alone)}`);
    say(`pod's event to status, ${AT_ONCE} at once: ${spread(await measure(lab, many))}`);
    const watches = server.requests.filter((told) => told.includes('watch=true')).length;
    say(`${AT_ONCE + ONE_BY_ONE} services on ${watches} watches, ${memory(controller.pid)}`);
    await ended(controller, 'SIGTERM');
  } finally {
    await site.remove();
    await gitea.end();
    await server.close();
  }
}

/** Whether the word on a service comes at once: a runtime that is not there may come late, so that is waited for. */
const isTimed = (name: string): boolean => !name.startsWith('many') || mixedFate(name) !== 'runtime';

/**
 * Deploys services, and lets all of their pods fare at once.
 * @returns milliseconds until the verdict on each was written; throws where one is wrong
 */
async function measure({ site, forge, kserve, written }: Lab, names: readonly string[]): Promise<number[]> {
  const before = kserve.applied();
  const shas = new Map(names.map((name) => [name, forge.tag(`ml/${name}`, 'v1')]));
  for (const [name, sha] of shas) await push(site, forge, `ml/${name}`, sha);
  await until(async () => kserve.applied() === before + names.length);
  const told = (name: string) => forge.statuses(`ml/${name}`, shas.get(name) ?? '');
  // What is told of the way there is not to be on its way still.
  await until(async () =>
    names.every((name) => told(name).some(({ description }) => !description.startsWith('Queued'))),
  );
  const begun = new Map<string, number>();
  for (const name of names) {
    begun.set(name, performance.now());
    kserve.settle(name);
  }
  const isVerdict = ({ state }: { state: string }) => state !== 'pending';
  await until(async () => names.every((name) => told(name).some(isVerdict)));
  for (const name of names) {
    const expected = name.startsWith('many') && mixedFate(name) !== 'ready' ? 'failure' : 'success';
    const verdict = told(name).find(isVerdict);
    if (verdict?.state !== expected) throw new Error(`${name}: ${verdict?.state}: ${verdict?.description}`);
  }
  return names.filter(isTimed).map((name) => {
    const index = told(name).findIndex(isVerdict);
    return (written.get(shas.get(name) ?? '')?.[index] ?? Number.NaN) - (begun.get(name) ?? 0);
  });
}

async function push({ url }: ControllerSite, forge: Workplace, path: string, sha: string): Promise<void> {
  const { headers, body } = forge.delivery(path, 'refs/tags/v1', sha);
  const text = JSON.stringify(body);
  const all = { 'content-type': 'application/json', ...headers, ...forge.sign(text) };
  const response = await fetch(`${url}/webhooks/gitea`, { method: 'POST', body: text, headers: all });
  await response.arrayBuffer();
  if (response.status !== 202) throw new Error(`the webhook was answered with ${response.status}`);
}

function spread(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number) =>
    `${(sorted[Math.ceil(share * sorted.length) - 1] ?? Number.NaN).toFixed(0)} ms`;
  return `median ${at(0.5)}, 99 of 100 within ${at(0.99)}, at most ${at(1)}`;
}
