/**
 * What becomes of rollouts whose cluster fails them: the whole controller, with several clusters that are one real control
 * plane by different ways and under different rights. The tests wait side by side, for each has to wait for ten seconds.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { itemsIn } from '../../src/core/cluster-fields.ts';
import { type JsonObject, valueAt } from '../../src/core/json.ts';
import { type ControllerSite, makeControllerSite } from '../controller-site.ts';
import { type KServeController, startKServeController } from './kserve-controller.ts';
import {
  kubeconfigFor,
  openWay,
  put,
  REAL_KUBECONFIG,
  remove,
  SKIPPED,
  tokenOf,
  type Way,
  writeKubeconfig,
} from './real-cluster.ts';
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

const NAMESPACE = 'outages';
const ACCOUNT = 'modelhook-outages';
const NARROW = 'modelhook-narrow-outages';
const MUTE = 'modelhook-mute-outages';
const CLUSTERS = ['near', 'away', 'silent', 'stale', 'narrow', 'mute'];
const MODELS = ['ml/near', 'ml/away', 'ml/late', 'ml/silent', 'ml/stale', 'ml/narrow', 'ml/mute'];

describe.skipIf(!REAL_KUBECONFIG)(`a real cluster that fails${SKIPPED}`, () => {
  const grant = grantOf(ACCOUNT);
  const narrow = grantOf(NARROW);
  const mute = grantOf(MUTE);
  let site: ControllerSite;
  let kserve: KServeController;
  let rollouts: Rollouts;
  let away: Way;
  let silent: Way;
  let stale: Way;
  /** Of the cluster `stale`. */
  let kubeconfig: string;

  beforeAll(async () => {
    await openNamespaces('kserve', NAMESPACE);
    const near = await putGrant(grant);
    const whole = await putGrant(narrow);
    await put(without(narrow.documents, 'resources', 'pods'));
    const muted = await putGrant(mute);
    await put(without(mute.documents, 'verbs', 'patch'));
    [away, silent, stale] = [await openWay(), await openWay(), await openWay()];
    await put(secret('first'));
    kubeconfig = kubeconfigFor(await tokenOf(ACCOUNT, ACCOUNT, 'first'), stale.server);
    const files = {
      near,
      away: kubeconfigFor(await tokenOf(ACCOUNT, ACCOUNT), away.server),
      silent: kubeconfigFor(await tokenOf(ACCOUNT, ACCOUNT), silent.server),
      stale: kubeconfig,
      narrow: whole,
      mute: muted,
    };
    kserve = startKServeController(NAMESPACE);
    site = await makeControllerSite({
      policy: CLUSTERS.map((cluster) => servingPolicy(cluster, { namespace: NAMESPACE, cluster }))
        .join('---\n')
        // Longer than a cluster may be silent before it is asked whether it is there.
        .replaceAll('invalidSpec: 1s', 'invalidSpec: 20s'),
      config: {
        clusters: Object.fromEntries(
          Object.entries(files).map(([name, file]) => [name, { kubeconfig: { file } }]),
        ),
      },
    });
    rollouts = rolloutsOf(site);
    await site.makeModels(MODELS);
    await site.start();
  });
  afterAll(async () => {
    await site.remove();
    await Promise.all([away.cut(), silent.cut(), stale.cut()]);
    await kserve.stop();
    for (const each of [grant, narrow, mute]) await removeGrant(each);
    await removeNamespace(NAMESPACE);
  });

  /** Delivers a model that KServe leaves alone. */
  const waiting = async (name: string, cluster: string): Promise<string> => {
    kserve.faults.set(name, { kind: 'idle' });
    const sha = await rollouts.push(`ml/${name}`, `${cluster}-1`);
    await rollouts.untilPhase(`ml/${name}`, `${cluster}-1`, 'delivered');
    return sha;
  };
  /** KServe does its work at last. */
  const serve = (name: string): void => {
    kserve.faults.delete(name);
    kserve.retry(name);
  };
  const told = (name: string, sha: string, cluster: string): string[] =>
    rollouts.statuses(`ml/${name}`, sha, cluster).map(([state, words]) => `${state}: ${words}`);

  it.concurrent('by being away says so on its rollouts, loses none of them, and holds up no other cluster', async () => {
    const sha = await waiting('away', 'away');
    await away.cut();
    await rollouts.push('ml/late', 'away-1');
    await rollouts.push('ml/near', 'near-1');
    await rollouts.untilPhase('ml/near', 'near-1', 'ready');
    const cut = await rollouts.untilSaid('ml/away', 'away-1', /cannot be reached/);
    expect(cut).toMatchObject({ phase: 'delivered' });
    expect(cut.message).toMatch(
      /^cluster away cannot be reached since \d\d:\d\d UTC: .+; check that it runs/,
    );
    await rollouts.untilStatus('ml/away', cut, `pending\t${cut.message.slice(0, 60)}`);
    const late = await rollouts.untilSaid('ml/late', 'away-1', /cannot be reached/);
    expect(late.phase).toBe('pending');
    serve('away');
    await away.mend();
    const ready = await rollouts.untilPhase('ml/away', 'away-1', 'ready');
    await rollouts.untilStatus('ml/away', ready, `success\t${ready.message}`);
    expect(told('away', sha, 'away').slice(-2)).toEqual([
      `pending: ${cut.message}`,
      `success: ${ready.message}`,
    ]);
    await rollouts.untilPhase('ml/late', 'away-1', 'ready');
  });

  it.concurrent('by vanishing without a word is judged by nothing that may be old', async () => {
    kserve.faults.set('silent', {
      kind: 'invalidSpec',
      reason: 'RuntimeNotRecognized',
      message: 'no runtime',
    });
    const sha = await rollouts.push('ml/silent', 'silent-1');
    await rollouts.untilSaid('ml/silent', 'silent-1', /KServe does not accept the spec yet/);
    silent.hold();
    // By what was seen last, this is a failure as soon as the grace ends.
    serve('silent');
    const cut = await rollouts.untilSaid('ml/silent', 'silent-1', /gives no answer in time|kserve-sklearn/);
    expect(cut).toMatchObject({ phase: 'delivered' });
    expect(cut.message).toMatch(/^cluster silent gives no answer in time since \d\d:\d\d UTC; check that/);
    await silent.cut();
    await silent.mend();
    const ready = await rollouts.untilPhase('ml/silent', 'silent-1', 'ready');
    await rollouts.untilStatus('ml/silent', ready, `success\t${ready.message}`);
    expect(told('silent', sha, 'silent').filter((line) => !/^(pending|success): /.test(line))).toEqual([]);
  });

  it.concurrent('by refusing credentials says so, and goes on with new ones', async () => {
    await waiting('stale', 'stale');
    await remove(secret('first'));
    // A watch that is open is not looked at again. The next one is, some seconds after the token was made void.
    const isRefused = rollouts.untilSaid('ml/stale', 'stale-1', /refuses the credentials/);
    const cutting = setInterval(() => void stale.cut().then(stale.mend), 3000);
    const refused = await isRefused.finally(() => clearInterval(cutting));
    expect(refused).toMatchObject({ phase: 'delivered' });
    expect(refused.message).toMatch(
      /^cluster stale refuses the credentials of user "modelhook" in the kubeconfig \S+ since \d\d:\d\d UTC; renew them/,
    );
    serve('stale');
    await put(secret('second'));
    writeKubeconfig(kubeconfig, await tokenOf(ACCOUNT, ACCOUNT, 'second'), stale.server);
    await rollouts.untilPhase('ml/stale', 'stale-1', 'ready');
  });

  it.concurrent('by granting too little says what it lacks, judges nothing, and goes on once it is granted', async () => {
    await waiting('narrow', 'narrow');
    serve('narrow');
    const lacking = await rollouts.untilSaid('ml/narrow', 'narrow-1', /forbids/);
    expect(lacking).toMatchObject({ phase: 'delivered' });
    expect(lacking.message).toMatch(
      new RegExp(
        `^cluster narrow forbids user "system:serviceaccount:${NARROW}:${NARROW}" to list and watch pods since \\d\\d:\\d\\d UTC; apply the rules of deploy/rbac.yaml`,
      ),
    );
    for (const document of narrow.documents) await put(document);
    await rollouts.untilPhase('ml/narrow', 'narrow-1', 'ready');
  });

  it.concurrent('by forbidding to apply says so at once, and goes on by itself once it is granted', async () => {
    await rollouts.push('ml/mute', 'mute-1');
    const waiting = await rollouts.untilSaid('ml/mute', 'mute-1', /forbids/);
    expect(waiting).toMatchObject({ phase: 'pending' });
    expect(waiting.message).toMatch(
      new RegExp(
        `^Waiting: cluster mute forbids user "system:serviceaccount:${MUTE}:${MUTE}" to apply \\S+ mute in namespace ${NAMESPACE}; apply the rules of deploy/rbac.yaml`,
      ),
    );
    await rollouts.untilStatus('ml/mute', waiting, `pending\t${waiting.message.slice(0, 60)}`);
    for (const document of mute.documents) await put(document);
    await rollouts.untilPhase('ml/mute', 'mute-1', 'ready');
  });
});

const secret = (name: string): JsonObject => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name, namespace: ACCOUNT },
});

/** @returns the ClusterRole of a grant, less one thing that it grants */
function without(documents: readonly JsonObject[], part: 'resources' | 'verbs', lost: string): JsonObject {
  const role = documents.find(({ kind }) => kind === 'ClusterRole') ?? {};
  const rules = itemsIn(role, 'rules').map((rule) => {
    const granted = valueAt(rule, [part]);
    const left = (Array.isArray(granted) ? granted : []).filter((each) => each !== lost);
    return { ...(rule as JsonObject), [part]: left };
  });
  return { ...role, rules };
}
