/** The whole controller where it may see and change single namespaces only, by the rules of deploy/rbac-namespaced.yaml. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { run } from '../../src/cli/program.fixture.ts';
import { type ControllerSite, makeControllerSite } from '../controller-site.ts';
import { type KServeController, startKServeController } from './kserve-controller.ts';
import { REAL_KUBECONFIG, SKIPPED } from './real-cluster.ts';
import {
  grantOf,
  openNamespaces,
  putGrant,
  type Rollouts,
  removeGrant,
  removeNamespace,
  rolloutsOf,
  servingPolicy,
} from './serving-site.ts';

const NAMESPACE = 'namespaced';
const ELSEWHERE = 'namespaced-not';

describe.skipIf(!REAL_KUBECONFIG)(`limited to a namespace of a real cluster${SKIPPED}`, () => {
  const grant = grantOf('modelhook-namespaced', 'rbac-namespaced.yaml', NAMESPACE);
  let kubeconfig: string;
  let site: ControllerSite;
  let kserve: KServeController;
  let rollouts: Rollouts;

  beforeAll(async () => {
    await openNamespaces('kserve', NAMESPACE, ELSEWHERE);
    kubeconfig = await putGrant(grant, [NAMESPACE]);
    kserve = startKServeController(NAMESPACE);
    const policies = [
      servingPolicy('good', { namespace: NAMESPACE }),
      servingPolicy('broken', { namespace: NAMESPACE, fate: 'image' }),
      // A namespace that a policy says outright is checked before it is in force.
      servingPolicy('elsewhere', { namespace: '"${repository.name}"', delivery: 'gitops: fleet' }),
    ];
    site = await makeControllerSite({
      policy: policies.join('---\n'),
      config: { clusters: { real: { kubeconfig: { file: kubeconfig }, namespaces: [NAMESPACE] } } },
    });
    rollouts = rolloutsOf(site);
    await site.makeModels(['ml/iris', 'ml/broken', `ml/${ELSEWHERE}`]);
    await site.start();
  });
  afterAll(async () => {
    await site.remove();
    await kserve.stop();
    await removeGrant(grant);
    for (const name of [NAMESPACE, ELSEWHERE]) await removeNamespace(name);
  });

  it('applies, waits until the model serves, and says so on the commit', async () => {
    await rollouts.push('ml/iris', 'good-1');
    const ready = await rollouts.untilPhase('ml/iris', 'good-1', 'ready');
    await rollouts.untilStatus('ml/iris', ready, `modelhook/good\tsuccess\t${ready.message}`);
  });

  it('says why a model does not serve', async () => {
    await rollouts.push('ml/broken', 'broken-1');
    const failed = await rollouts.untilPhase('ml/broken', 'broken-1', 'failed');
    expect(failed.message).toMatch(/^broken-predictor-\S+ cannot pull the image/);
  });

  it('is enough for one rollout from the command line', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'modelhook-namespaced-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const policies = join(folder, 'policies.yaml');
    const card = join(folder, 'README.md');
    writeFileSync(policies, servingPolicy('good', { namespace: NAMESPACE }));
    writeFileSync(card, '---\nlibrary_name: sklearn\n---\n');
    const model = ['--policies', policies, '--model-card', card, '--sha', 'e'.repeat(40)];
    const { code, out } = await run(
      ...['deploy', 'plain:ml/rose', 'refs/tags/good-1', ...model, '--kubeconfig', kubeconfig],
    );
    expect(out).toMatch(/^good {2}ready {2}Ready in /);
    expect(code).toBe(0);
  });

  it('says of a namespace that is not its own which are', async () => {
    await rollouts.push(`ml/${ELSEWHERE}`, 'elsewhere-1');
    const waiting = await rollouts.untilSaid(`ml/${ELSEWHERE}`, 'elsewhere-1', /is watched in/);
    expect(waiting).toMatchObject({
      phase: 'delivered',
      message: `cluster real is watched in ${NAMESPACE} only, not in namespace ${ELSEWHERE}; add it to clusters.real.namespaces`,
    });
  });
});
