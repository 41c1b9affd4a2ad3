/** What people change in a real cluster, and the controller puts back: as far as the policy says so, and while it was away. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createApi } from '../../src/cluster/api.ts';
import { numberIn, textIn } from '../../src/core/cluster-fields.ts';
import type { JsonObject } from '../../src/core/json.ts';
import { type ControllerSite, ended, makeControllerSite, until } from '../controller-site.ts';
import { GitRepository } from '../git-repository.ts';
import { type KServeController, startKServeController } from './kserve-controller.ts';
import { pathOf, put, REAL_KUBECONFIG, remove, SKIPPED } from './real-cluster.ts';
import {
  grantOf,
  openNamespaces,
  putGrant,
  type RolloutJson,
  removeGrant,
  removeNamespace,
  rolloutsOf,
  serviceIn,
  servingPolicy,
} from './serving-site.ts';

const NAMESPACE = 'healing';
const POLICIES = 'platform/policies';

const policyThat = (selfHeal: boolean): string =>
  servingPolicy('good', { namespace: NAMESPACE, delivery: `apply: true, selfHeal: ${selfHeal}` });

const inPlace = (name: string, more: JsonObject = {}): JsonObject => ({
  ...{ apiVersion: 'serving.kserve.io/v1beta1', kind: 'InferenceService' },
  ...{ metadata: { namespace: NAMESPACE, name }, ...more },
});

describe.skipIf(!REAL_KUBECONFIG)(`what people change, on a real cluster${SKIPPED}`, () => {
  const grant = grantOf('modelhook-healing');
  const api = createApi({ access: { file: REAL_KUBECONFIG } });
  let site: ControllerSite;
  let kserve: KServeController;
  let controller: Awaited<ReturnType<ControllerSite['start']>>;

  beforeAll(async () => {
    await openNamespaces('kserve', NAMESPACE);
    const file = await putGrant(grant);
    kserve = startKServeController(NAMESPACE);
    site = await makeControllerSite({
      policy: policyThat(true),
      config: { clusters: { real: { kubeconfig: { file } } } },
    });
    controller = await site.start();
  });
  afterAll(async () => {
    await site.remove();
    await kserve.stop();
    await api.close();
    await removeGrant(grant);
    await removeNamespace(NAMESPACE);
  });

  const serve = async (name: string): Promise<RolloutJson> => {
    await site.makeModels([`ml/${name}`]);
    await rolloutsOf(site).push(`ml/${name}`, 'good-1');
    return rolloutsOf(site).untilPhase(`ml/${name}`, 'good-1', 'ready');
  };
  const edit = (name: string, minReplicas: number): Promise<JsonObject> =>
    put(inPlace(name, { spec: { predictor: { minReplicas } } }), 'kubectl-edit');
  const replicasOf = async (name: string): Promise<number | null> =>
    numberIn(await serviceIn(NAMESPACE, name), 'spec', 'predictor', 'minReplicas');
  const untilReplicas = (name: string, wanted: number | null): Promise<void> =>
    until(async () => (await replicasOf(name)) === wanted);
  const saidOf = ({ transitions }: RolloutJson): string[] =>
    transitions.map(({ message }) => message).filter((message) => message.startsWith('Put back'));
  const untilSaid = async (name: string, times: number): Promise<string[]> =>
    saidOf(await rolloutsOf(site).untilIt(`ml/${name}`, 'good-1', (found) => saidOf(found).length === times));

  const EDITED = 'Put back in real: kubectl-edit had set spec.predictor.minReplicas';

  it('a field that somebody edits is put back, and the rollout says so while its commit does not', async () => {
    const ready = await serve('edited');
    await rolloutsOf(site).untilStatus('ml/edited', ready, `success\t${ready.message}`);
    await edit('edited', 5);
    expect(await untilSaid('edited', 1)).toEqual([EDITED]);
    expect(await replicasOf('edited')).toBe(1);
    const now = await rolloutsOf(site).untilPhase('ml/edited', 'good-1', 'ready');
    expect(now.message).toBe(ready.message);
    const states = rolloutsOf(site).statuses('ml/edited', ready.sha, 'good');
    expect(states.at(-1)).toEqual(['success', ready.message]);
  });

  it('a field that somebody removes is put back', async () => {
    await serve('removed');
    const answer = await api.ask({
      method: 'PATCH',
      path: pathOf(inPlace('removed')),
      query: { fieldManager: 'kubectl-edit' },
      contentType: 'application/merge-patch+json',
      body: { spec: { predictor: { minReplicas: null } } },
    });
    expect(answer.status).toBe(200);
    expect(await untilSaid('removed', 1)).toEqual([
      'Put back in real: somebody had removed spec.predictor.minReplicas',
    ]);
    expect(await replicasOf('removed')).toBe(1);
  });

  it('a service that somebody deletes is made anew', async () => {
    await serve('deleted');
    const before = textIn(await serviceIn(NAMESPACE, 'deleted'), 'metadata', 'uid');
    await remove(inPlace('deleted'));
    expect(await untilSaid('deleted', 1)).toEqual(['Put back in real: somebody had deleted it']);
    expect(textIn(await serviceIn(NAMESPACE, 'deleted'), 'metadata', 'uid')).not.toBe(before);
  });

  it('what somebody adds stays, and what KServe writes is no change', async () => {
    const ready = await serve('added');
    await put(inPlace('added', { spec: { predictor: { serviceAccountName: 'default' } } }), 'a-person');
    await edit('added', 5);
    await untilSaid('added', 1);
    const live = await serviceIn(NAMESPACE, 'added');
    expect(textIn(live, 'spec', 'predictor', 'serviceAccountName')).toBe('default');
    expect(saidOf(ready)).toEqual([]);
  });

  it('what was changed while the controller was away is put back when it is there again', async () => {
    await serve('away');
    await ended(controller, 'SIGKILL');
    await edit('away', 5);
    controller = await site.start();
    await untilReplicas('away', 1);
    expect(await untilSaid('away', 1)).toEqual([EDITED]);
  });

  it('a fight is said once, and fought ever more slowly', async () => {
    await serve('fought');
    const began = Date.now();
    for (let times = 0; times < 4; times += 1) {
      await edit('fought', 5);
      await untilReplicas('fought', 1);
    }
    expect(Date.now() - began).toBeGreaterThanOrEqual(4500);
    expect(await untilSaid('fought', 4)).toEqual([
      ...[EDITED, EDITED, EDITED],
      expect.stringMatching(/^Put back in real again and again: kubectl-edit had set /),
    ]);
  });

  it('another version that modelhook deploy has put there stays, and the rollout says so', async () => {
    const ready = await serve('deployed');
    const live = await serviceIn(NAMESPACE, 'deployed');
    const { apiVersion = null, kind = null, metadata, spec } = live;
    const { labels = null, annotations = null } = Object(metadata);
    const other = JSON.parse(JSON.stringify({ apiVersion, kind, spec }));
    Object.assign(other, { metadata: { namespace: NAMESPACE, name: 'deployed', labels, annotations } });
    Object.assign(other.spec.predictor, { minReplicas: 2, maxReplicas: 2 });
    Object.assign(other.spec.predictor.annotations, {
      'modelhook.dev/revision': 'v9',
      'modelhook.dev/sha': 'b'.repeat(40),
      'modelhook.dev/spec-hash': 'b'.repeat(16),
    });
    await put(other, 'modelhook');
    const said = await rolloutsOf(site).untilIt('ml/deployed', 'good-1', ({ transitions }) =>
      transitions.some(({ message }) => message.startsWith('Not put back')),
    );
    expect(said.transitions.at(-1)?.message).toMatch(
      /^Not put back in real: modelhook deploy, or another modelhook, has put v9 \(bbbbbbb\) there/,
    );
    expect(said.message).toBe(ready.message);
    expect(await replicasOf('deployed')).toBe(2);
  });

  it('turning it off in the policy ends it', async () => {
    await serve('left');
    const files = { 'policies/production.yaml': policyThat(false) };
    const revision = GitRepository.open(site.repository(POLICIES)).commit(files, 'Leave it');
    await site.deliver(POLICIES, 'refs/heads/main', revision, 'policies/1');
    await until(async () => {
      const { inForce } = JSON.parse(await (await fetch(`${site.url}/api/v1/policies`)).text());
      return inForce === revision;
    });
    await edit('left', 5);
    // A newer rollout of another target is delivered after the watch has told of the edit.
    await serve('later');
    expect(await replicasOf('left')).toBe(5);
  });
});
