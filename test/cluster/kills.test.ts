/** The controller is killed again and again while models start on a real cluster: what its commits say goes on as if it was not. */
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { valueAt } from '../../src/core/json.ts';
import { type ControllerSite, ended, makeControllerSite } from '../controller-site.ts';
import { type KServeController, startKServeController } from './kserve-controller.ts';
import { REAL_KUBECONFIG, SKIPPED } from './real-cluster.ts';
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

const NAMESPACE = 'kills';
/** Milliseconds from each start to the next kill. A slow model starts in ten seconds, and so all fall between. */
const MOMENTS = [20, 300, 0, 900, 120, 450, 60, 1500, 5, 700];
const FATES = { good: 'ready', slow: 'ready', broken: 'failed' } as const;
const TAGS = Object.keys(FATES).flatMap((fate) => [0, 1, 2].map((n) => ({ fate, path: `ml/${fate}-${n}` })));

describe.skipIf(!REAL_KUBECONFIG)(`killed again and again, on a real cluster${SKIPPED}`, () => {
  const grant = grantOf('modelhook-kills');
  let site: ControllerSite;
  let kserve: KServeController;

  beforeAll(async () => {
    await openNamespaces('kserve', NAMESPACE);
    const file = await putGrant(grant);
    kserve = startKServeController(NAMESPACE);
    const policies = [
      servingPolicy('good', { namespace: NAMESPACE }),
      servingPolicy('slow', { namespace: NAMESPACE, fate: 'slow' }),
      servingPolicy('broken', { namespace: NAMESPACE, fate: 'image' }),
    ];
    site = await makeControllerSite({
      policy: policies.join('---\n'),
      config: { clusters: { real: { kubeconfig: { file } } } },
    });
    await site.makeModels(TAGS.map(({ path }) => path));
  });
  afterAll(async () => {
    await site.remove();
    await kserve.stop();
    await removeGrant(grant);
    await removeNamespace(NAMESPACE);
  });

  it('the controller skips no phase and no status, repeats none, and changes nothing twice', async () => {
    const { push, untilPhase, untilStatus, statuses } = rolloutsOf(site);
    let controller = await site.start();
    await Promise.all(TAGS.map(({ fate, path }) => push(path, `${fate}-1`)));
    for (const moment of MOMENTS) {
      await pause(moment);
      await ended(controller, 'SIGKILL');
      controller = await site.start();
    }
    for (const { fate, path } of TAGS) {
      const phase = FATES[fate as keyof typeof FATES];
      const rollout = await untilPhase(path, `${fate}-1`, phase);
      expect([path, phasesOf(rollout)]).toEqual([path, ['pending', 'delivered', phase]]);
      expect(valueAt(await serviceIn(NAMESPACE, path.slice('ml/'.length)), ['metadata', 'generation'])).toBe(
        1,
      );
      const state = phase === 'ready' ? 'success' : 'failure';
      await untilStatus(path, rollout, `modelhook/${fate}\t${state}\t${rollout.message.slice(0, 60)}`);
      const told = statuses(path, rollout.sha, fate);
      expect(new Set(told.slice(0, -1).map(([each]) => each))).toEqual(new Set(['pending']));
      expect(told.at(-1)?.[0]).toBe(state);
      expect(new Set(told.map((line) => line.join())).size).toBe(told.length);
    }
  });
});

/** Each once where it lasted. */
const phasesOf = ({ transitions }: RolloutJson): string[] =>
  transitions.map(({ phase }) => phase).filter((phase, index, all) => phase !== all[index - 1]);
