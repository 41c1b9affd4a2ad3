/** `modelhook deploy` and `plan --diff` on a cluster alone, under the rights that deploy/ gives: no forge, no GitOps. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseAllDocuments, stringify } from 'yaml';
import { run } from '../../src/cli/program.fixture.ts';
import { SILENT_LOG } from '../../src/cluster/cluster.fixture.ts';
import { createKubernetesCluster } from '../../src/cluster/kubernetes.ts';
import { type JsonObject, valueAt } from '../../src/core/json.ts';
import { until } from '../controller-site.ts';
import { type KServeController, startKServeController } from './kserve-controller.ts';
import {
  ask,
  kubeconfigFor,
  makeNamespace,
  pathOf,
  put,
  REAL_KUBECONFIG,
  remove,
  SKIPPED,
  tokenOf,
} from './real-cluster.ts';

const NAMESPACE = 'deploying';
/** Of its own: other tests make and remove what is in deploy/ under its names. */
const ACCOUNT = 'modelhook-deploying';
const SHA = 'e'.repeat(40);

const rbac = (): JsonObject[] =>
  parseAllDocuments(readFileSync(resolve(import.meta.dirname, '../../deploy/rbac.yaml'), 'utf8')).map(
    (document) => JSON.parse(JSON.stringify(document.toJS()).replaceAll('"modelhook"', `"${ACCOUNT}"`)),
  );

const policy = (name: string, fate?: string): string => `apiVersion: modelhook.dev/v1alpha1
kind: DeploymentPolicy
metadata: { name: ${name} }
spec:
  match: { repositories: ["local:ml/${name}"], tags: ["*"] }
  target: { cluster: real, namespace: ${NAMESPACE} }
  modelFormat: { name: sklearn, version: "1" }
  runtime: { name: kserve-sklearnserver }
  storage: { uri: "s3://models/\${repository.path}/\${sha}" }
  resources: { requests: { cpu: 100m, memory: 64Mi }, limits: { cpu: 100m, memory: 64Mi } }
  ${fate === undefined ? '' : `pod: { annotations: { test.modelhook.dev/fate: ${fate} } }`}
  readiness: { grace: { imagePull: 1s, invalidSpec: 1s } }
  delivery: { apply: true }
`;

describe.skipIf(!REAL_KUBECONFIG)(`one rollout from the command line, on a real cluster${SKIPPED}`, () => {
  let folder: string;
  let kubeconfig: string;
  let kserve: KServeController;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'modelhook-deploying-'));
    writeFileSync(join(folder, 'policies.yaml'), [policy('good'), policy('broken', 'image')].join('---\n'));
    writeFileSync(join(folder, 'README.md'), '---\nlibrary_name: sklearn\n---\n');
    for (const name of ['kserve', NAMESPACE]) await makeNamespace(name);
    for (const document of rbac()) await put(document);
    kubeconfig = kubeconfigFor(await tokenOf(ACCOUNT, ACCOUNT));
    const access = { file: kubeconfig };
    const cluster = { name: 'real', access, namespaces: [], log: SILENT_LOG, now: Date.now };
    const { reviewer } = createKubernetesCluster(cluster);
    // An API server learns of new roles a moment later.
    await until(async () => (await reviewer.missingRights()).length === 0);
    kserve = startKServeController(NAMESPACE);
  });
  afterAll(async () => {
    await kserve.stop();
    for (const object of rbac()) await remove(object);
    await remove({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } });
    rmSync(folder, { recursive: true });
  });

  const model = () => [
    '--policies',
    join(folder, 'policies.yaml'),
    '--model-card',
    join(folder, 'README.md'),
    '--sha',
    SHA,
  ];
  const deploy = (name: string, tag: string) =>
    run('deploy', `local:ml/${name}`, `refs/tags/${tag}`, ...model(), '--kubeconfig', kubeconfig);

  it('waits until it serves, and tells where', async () => {
    const { code, out, err } = await deploy('good', 'v1');
    expect(out).toMatch(/^good {2}ready {2}Ready in .* at http/);
    expect(err).toMatch(
      /pending .*Queued for good\n.*delivered .*Applied to real, waiting for good to be ready/,
    );
    expect(code).toBe(0);
    const service = { apiVersion: 'serving.kserve.io/v1beta1', kind: 'InferenceService' };
    const live = await ask('GET', pathOf({ ...service, metadata: { name: 'good', namespace: NAMESPACE } }));
    expect(valueAt(live, ['spec', 'predictor', 'annotations', 'modelhook.dev/sha'])).toBe(SHA);
  });

  it('ends with 1 where it cannot serve, and says why', async () => {
    const { code, out } = await deploy('broken', 'v1');
    expect(out).toMatch(/^broken {2}failed {2}.*image/);
    expect(code).toBe(1);
  });

  it('ends with 1 at once where the namespace is not there, and says how to make it', async () => {
    const policies = join(folder, 'nowhere.yaml');
    writeFileSync(
      policies,
      policy('nowhere').replace(`namespace: ${NAMESPACE}`, 'namespace: deploying-nowhere'),
    );
    const given = model().with(1, policies);
    const { code, out } = await run(
      ...['deploy', 'local:ml/nowhere', 'refs/tags/v1', ...given, '--kubeconfig', kubeconfig],
    );
    expect(out).toMatch(
      /^nowhere {2}failed {2}cluster real has no namespace deploying-nowhere; .*kubectl create namespace/,
    );
    expect(code).toBe(1);
  });

  it('a diff is what the API server would make of it, and changes nothing', async () => {
    await deploy('good', 'v1');
    const file = join(folder, 'modelhook.yaml');
    const config = {
      forges: { local: { kind: 'git', url: folder, webhookSecrets: [{ file: 'README.md' }] } },
      policies: { repository: 'local:policies' },
      gitops: {},
      clusters: { real: { kubeconfig: { file: kubeconfig } } },
    };
    writeFileSync(file, stringify(config));
    const diff = (tag: string) =>
      run(
        'plan',
        '--diff',
        '--config',
        file,
        '--repository',
        'local:ml/good',
        '--ref',
        `refs/tags/${tag}`,
        ...model(),
      );
    const same = { code: 0, out: `# policy good: real/${NAMESPACE}/good: no change\n` };
    expect(await diff('v1')).toMatchObject(same);
    const { out } = await diff('v2');
    expect(out).toContain('-      modelhook.dev/revision: v1\n+      modelhook.dev/revision: v2\n');
    expect(out).not.toMatch(/managedFields|resourceVersion|generation/);
    expect(await diff('v1')).toMatchObject(same);
  });
});
