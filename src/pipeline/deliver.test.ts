import { describe, expect, it } from 'vitest';
import { FakeCluster } from '../cluster/cluster.fake.ts';
import { StalledError } from '../core/errors.ts';
import { policyText } from '../core/policy.fixture.ts';
import type { Rollout } from '../core/rollout.ts';
import { createFakeTarget } from '../delivery/target.fake.ts';
import type { DeliveryOutcome, DeliveryTarget, Errand } from '../delivery/target.ts';
import { FakePullRequests } from '../forge/pull-requests.fake.ts';
import { createDeliver, errandOf, isPlanned } from './deliver.ts';
import {
  createSite,
  failingAtFirst,
  MINUTE,
  NOON,
  policySet,
  runStage,
  type Site,
} from './pipeline.fixture.ts';
import { createResolve } from './resolve.ts';

/** A site with a policy for each of two GitOps repositories. */
async function siteWithTwo(): Promise<Site> {
  const site = await createSite();
  const edge = policyText(
    { match: { repositories: ['plain:edge/**'], tags: ['v*'] }, delivery: { gitops: 'edge' } },
    'edge',
  );
  site.policies.set = policySet('c0ffee', policyText(), edge);
  site.targets.set('gitops/edge', createFakeTarget('edge'));
  return site;
}

/** A rollout that is due for its delivery. */
async function planned(site: Site, path = 'ml/iris', tag = 'v1.0.0'): Promise<Rollout> {
  const repository = `plain:${path}`;
  const known = (await site.store.rollouts.list({ limit: 1, repository })).items.length > 0;
  const { id } = await site.rollOut(known ? repository : site.forge.create(path), tag);
  await runStage(createResolve(site));
  return site.rollout(id);
}

/** Holds every delivery of a target until it is let go. */
function hold(site: Site, name: string): { begun: Promise<void>; letGo: () => void; batches: number[] } {
  const target = site.targets.get(`gitops/${name}`);
  if (!target) throw new Error(`there is no target ${name}`);
  const begun = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const batches: number[] = [];
  const held: DeliveryTarget = {
    async deliver(batch, ...rest) {
      batches.push(batch.length);
      begun.resolve();
      await gate.promise;
      return target.deliver(batch, ...rest);
    },
  };
  site.targets.set(`gitops/${name}`, { ...target, ...held });
  return { begun: begun.promise, letGo: gate.resolve, batches };
}

/** A site with a target that is a cluster, and what arrived there. */
async function siteWithCluster(): Promise<{
  site: Site;
  targets: Map<string, DeliveryTarget>;
  batches: number[];
}> {
  const site = await createSite();
  const batches: number[] = [];
  const apply: DeliveryTarget = {
    async deliver(batch) {
      batches.push(batch.length);
    },
  };
  const target = { namespace: 'vision' };
  site.policies.set = policySet('c0ffee', policyText({ target, delivery: { apply: true } }));
  site.clusters.set('default', new FakeCluster());
  return { site, targets: new Map([...site.targets, ['apply/default', apply]]), batches };
}

describe('a batch to a cluster', () => {
  it('holds a hundred at most, so that newer ones do not wait for a slow one to end', async () => {
    const { site, targets, batches } = await siteWithCluster();
    const iris = site.forge.create('ml/iris');
    for (let index = 0; index < 120; index += 1) await site.tag(iris, `v${index}`);
    site.policies.set = policySet(
      'c0ffee',
      policyText({ target: { namespace: 'vision', name: '${tag}' }, delivery: { apply: true } }),
    );
    await site.match();
    const resolve = createResolve({ ...site, concurrency: 200 });
    while ((await runStage(resolve)) > 0);
    const deliver = createDeliver({ ...site, targets });
    await runStage(deliver);
    expect(batches).toEqual([100]);
    await runStage(deliver);
    expect(batches).toEqual([100, 20]);
  });

  it('waits for no batch to Git, nor that for it', async () => {
    const { site, targets, batches } = await siteWithCluster();
    await planned(site, 'ml/iris');
    site.policies.set = policySet('c0ffee', policyText());
    await planned(site, 'ml/rose');
    await runStage(createDeliver({ ...site, targets }, new Set(['gitops/fleet'])));
    expect(batches).toEqual([1]);
    expect(site.fleet.files.size).toBe(0);
    await runStage(createDeliver({ ...site, targets }, new Set(['apply/default'])));
    expect(batches).toEqual([1]);
    expect([...site.fleet.files.keys()]).toEqual(['default/vision/rose.yaml']);
  });
});

describe('a planned rollout', () => {
  it('is delivered, and its receipt is stored', async () => {
    const site = await createSite();
    const { id, manifest } = await planned(site);
    await runStage(createDeliver(site));
    expect(site.fleet.files.get('default/vision/iris.yaml')).toBe(manifest);
    expect(await site.rollout(id)).toMatchObject({
      phase: 'delivered',
      stage: null,
      finishedAt: NOON,
      message: expect.stringMatching(/^Committed [0-9a-f]{7} to fleet$/),
      receipt: { commit: expect.stringMatching(/^[0-9a-f]{40}$/), path: 'default/vision/iris.yaml' },
    });
  });

  it('tells its commit why it happens: which ref points where, and which policy wants it', async () => {
    const site = await createSite();
    const { sha } = await planned(site);
    const told: Errand[] = [];
    const target: DeliveryTarget = {
      async deliver(batch) {
        told.push(...batch);
      },
    };
    await runStage(createDeliver({ ...site, targets: new Map([['gitops/fleet', target]]) }));
    expect(told).toMatchObject([
      {
        why:
          `refs/tags/v1.0.0 of plain:ml/iris points to ${sha.slice(0, 7)}.\n` +
          'Policy production deploys it: repository plain:ml/iris matches plain:ml/**, tag v1.0.0 matches v*.',
        repository: 'plain:ml/iris',
        sha,
        revision: 'v1.0.0',
        policy: 'production',
        policyRevision: 'c0ffee',
        environment: 'production',
      },
    ]);
  });

  it('that a change of the policies has made says so in its commit', async () => {
    const site = await createSite();
    const { id, sha } = await planned(site);
    await runStage(createDeliver(site));
    const rollouts = [{ rolloutId: id, policy: 'production', environment: 'production' }];
    const revision = 'beef'.repeat(10);
    await site.store.policyChanges.carryOut({ from: null, revision, rollouts, room: 1 });
    await runStage(createResolve(site));
    const rollout = (await site.rollouts()).find(({ cause }) => cause.kind === 'policy');
    expect(rollout && isPlanned(rollout) && errandOf(rollout, '', []).why.split('\n')[0]).toBe(
      `The policies at beefbee changed what refs/tags/v1.0.0 of plain:ml/iris at ${sha.slice(0, 7)} renders.`,
    );
  });

  it('with content that is there already is delivered without a commit', async () => {
    const site = await createSite();
    const { manifest, id } = await planned(site);
    site.fleet.files.set('default/vision/iris.yaml', manifest ?? '');
    await runStage(createDeliver(site));
    expect(await site.rollout(id)).toMatchObject({ phase: 'delivered', receipt: { commit: null } });
  });

  it('by pull request waits for that, every interval and at each hint, and ends with it', async () => {
    const site = await createSite();
    const viaRequest = policyText({ delivery: { gitops: 'fleet', via: 'pullRequest' } });
    site.policies.set = policySet('c0ffee', viaRequest);
    const { id } = await planned(site);
    const pullRequest = { number: 12, label: '!12', url: 'https://gitlab.example.com/12' };
    const told: Errand[] = [];
    let outcome: DeliveryOutcome = { kind: 'proposed', pullRequest, message: 'Waiting for !12' };
    const target: DeliveryTarget = {
      async deliver(batch, _stillWanted, settled) {
        told.push(...batch);
        for (const { rolloutId } of batch) settled(rolloutId, outcome);
      },
    };
    const deliver = createDeliver({ ...site, targets: new Map([['pull requests/fleet', target]]) });
    expect(await runStage(deliver)).toBe(1);
    expect(await site.rollout(id)).toMatchObject({
      phase: 'pending',
      stage: 'deliver',
      message: 'Waiting for !12',
      pullRequest,
      receipt: null,
    });
    expect(await runStage(deliver)).toBe(0);
    site.clock.now += site.interval;
    expect(await runStage(deliver)).toBe(1);
    site.clock.now += 10_000;
    await site.store.rollouts.lookAtPullRequests(['pull requests/fleet']);
    expect(await runStage(deliver)).toBe(1);
    expect((await site.rollout(id)).transitions).toHaveLength(2);
    outcome = { kind: 'cancelled', message: 'Cancelled: !12 was closed without being merged' };
    site.clock.now += 10_000;
    await site.store.rollouts.lookAtPullRequests(['pull requests/fleet']);
    await runStage(deliver);
    expect(await site.rollout(id)).toMatchObject({
      phase: 'cancelled',
      stage: null,
      message: outcome.message,
      receipt: null,
    });
    expect(told.map((each) => each.pullRequest)).toEqual([null, pullRequest, pullRequest, pullRequest]);
    expect(told[0]).toMatchObject({
      page: `https://modelhook.example.com/rollouts/${id}`,
      formerNames: [],
      decisions: expect.arrayContaining([expect.stringMatching(/./)]),
    });
  });

  describe('by pull request that ends while the request is opened', () => {
    /** @param ends what happens to it then; takes its id */
    async function opened(ends: (site: Site, id: string) => Promise<unknown>) {
      const site = await createSite();
      const viaRequest = policyText({ delivery: { gitops: 'fleet', via: 'pullRequest' } });
      site.policies.set = policySet('c0ffee', viaRequest);
      const repository = 'plain:fleet';
      const pullRequests = new FakePullRequests(() => true);
      const target: DeliveryTarget = {
        async deliver([errand], _stillWanted, settled) {
          if (!errand) return;
          const { rolloutId, page } = errand;
          const draft = { head: 'modelhook/iris', base: 'main', title: 'iris', text: page };
          const { number, label, url } = await pullRequests.open(repository, draft);
          await ends(site, rolloutId);
          settled(rolloutId, { kind: 'proposed', pullRequest: { number, label, url }, message: 'Waiting' });
        },
      };
      const pullRequestsTo = () => ({ repository, pullRequests });
      const targets = new Map([['pull requests/fleet', target]]);
      const { id } = await planned(site);
      const deliver = createDeliver({ ...site, targets, pullRequestsTo });
      return { site, id, pullRequests, run: () => runStage(deliver), repository };
    }
    it('closes the request where it was cancelled, and says so there', async () => {
      const { run, pullRequests, repository } = await opened((site, id) =>
        site.store.requests.cancel(id, 'anna'),
      );
      await run();
      expect(await pullRequests.get(repository, 1)).toMatchObject({ state: 'closed' });
      expect(pullRequests.commentsOf(repository, 1)).toEqual([
        'Somebody cancelled the rollout that this request is for, so modelhook closes it.',
      ]);
    });

    it('leaves the request open where a newer rollout goes on with it', async () => {
      const { run, pullRequests, repository, site, id } = await opened((on) =>
        planned(on, 'ml/iris', 'v1.1.0'),
      );
      await run();
      expect(await site.rollout(id)).toMatchObject({ phase: 'superseded' });
      expect(await pullRequests.get(repository, 1)).toMatchObject({ state: 'open' });
    });

    it('stays cancelled where the forge cannot close the request, and the log names it', async () => {
      const { run, pullRequests, site, id } = await opened(async (on, rollout) => {
        await on.store.requests.cancel(rollout, 'anna');
        pullRequests.failure = new Error('502 Bad Gateway');
      });
      await run();
      expect(await site.rollout(id)).toMatchObject({ phase: 'cancelled' });
      expect(site.log.lines.at(-1)).toMatchObject({
        level: 'warn',
        fields: { rollout: id, pullRequest: expect.any(String), reason: '502 Bad Gateway' },
        message: 'the pull request of a cancelled rollout stays open',
      });
    });
  });

  it('by pull request to a forge that has none fails for a person to mend it', async () => {
    const site = await createSite();
    site.policies.set = policySet(
      'c0ffee',
      policyText({ delivery: { gitops: 'fleet', via: 'pullRequest' } }),
    );
    const { id } = await planned(site);
    await runStage(createDeliver(site));
    expect(await site.rollout(id)).toMatchObject({
      phase: 'failed',
      message:
        'the forge of GitOps repository "fleet" has no pull requests; set delivery.via: push in the policy',
    });
  });

  it('keeps its receipt through a store that could not be written, and is not delivered twice', async () => {
    const site = await createSite();
    const { id } = await planned(site);
    const { advance, ...rollouts } = site.store.rollouts;
    let write: (() => Promise<Rollout | null>) | undefined;
    const store = {
      ...site.store,
      rollouts: {
        ...rollouts,
        advance: (...args: Parameters<typeof advance>) => {
          write ??= failingAtFirst(3, () => advance(...args));
          return write();
        },
      },
    };
    const deliver = createDeliver({ ...site, store });
    await runStage(deliver);
    expect(await runStage(deliver)).toBe(0);
    expect(site.fleet.batches).toEqual([[id]]);
    expect(await site.rollout(id)).toMatchObject({
      phase: 'delivered',
      receipt: { commit: expect.any(String) },
    });
  });
});

describe('rollouts of one GitOps repository', () => {
  it('go in one batch, in the order of their events', async () => {
    const site = await createSite();
    const rollouts = [];
    for (const path of ['ml/rose', 'ml/iris', 'ml/aster']) rollouts.push(await planned(site, path));
    expect(await runStage(createDeliver(site))).toBe(1);
    expect(site.fleet.batches).toEqual([rollouts.map(({ id }) => id)]);
  });

  it('that arrive during a delivery go together with the next', async () => {
    const site = await createSite();
    const { begun, letGo, batches } = hold(site, 'fleet');
    const deliver = createDeliver(site);
    await planned(site, 'ml/iris');
    const first = runStage(deliver);
    await begun;
    await planned(site, 'ml/rose');
    await planned(site, 'ml/aster');
    expect(await runStage(deliver)).toBe(0);
    letGo();
    await first;
    expect(await runStage(deliver)).toBe(1);
    expect(batches).toEqual([1, 2]);
    expect((await site.rollouts()).map(({ phase }) => phase)).toEqual([
      'delivered',
      'delivered',
      'delivered',
    ]);
  });

  it('can go on after a delivery that failed', async () => {
    const site = await createSite();
    const deliver = createDeliver(site);
    site.fleet.failure = new Error('the remote is down');
    await planned(site, 'ml/iris');
    await runStage(deliver);
    site.fleet.failure = null;
    const { id } = await planned(site, 'ml/rose');
    await runStage(deliver);
    expect(await site.rollout(id)).toMatchObject({ phase: 'delivered' });
  });
});

describe('what comes of a rollout', () => {
  /** Two of one batch. The first is delivered at once; @param then what the target does after that. */
  async function firstOfTwo(then: () => Promise<void>) {
    const site = await createSite();
    const first = await planned(site, 'ml/iris');
    const second = await planned(site, 'ml/rose');
    const target: DeliveryTarget = {
      async deliver([errand], stillWanted, settled) {
        if (errand) await site.fleet.deliver([errand], stillWanted, settled);
        await then();
      },
    };
    const deliver = createDeliver({ ...site, targets: new Map([['gitops/fleet', target]]) });
    return { site, first, second, run: () => runStage(deliver) };
  }

  it('is stored as soon as it is told, though the batch goes on', async () => {
    const stored = Promise.withResolvers<void>();
    const { site, first, run } = await firstOfTwo(() => stored.promise);
    const { advance } = site.store.rollouts;
    site.store.rollouts.advance = async (...args) => advance(...args).finally(stored.resolve);
    await run();
    expect(await site.rollout(first.id)).toMatchObject({ phase: 'delivered' });
  });

  it('stays where the target breaks after it: only the others are tried again', async () => {
    const { site, first, second, run } = await firstOfTwo(() => Promise.reject(new Error('no memory')));
    await run();
    expect(await site.rollout(first.id)).toMatchObject({ phase: 'delivered', attempts: 0 });
    expect(await site.rollout(second.id)).toMatchObject({
      stage: 'deliver',
      attempts: 1,
      message: 'Trying again: no memory',
    });
  });

  it('that the target forgets is a mistake of ours, and it is tried again', async () => {
    const { site, second, run } = await firstOfTwo(async () => {});
    await run();
    expect(await site.rollout(second.id)).toMatchObject({
      stage: 'deliver',
      attempts: 1,
      message: expect.stringContaining('modelhook made a mistake'),
    });
  });
});

describe('two GitOps repositories', () => {
  it('do not wait for each other', async () => {
    const site = await siteWithTwo();
    const { begun, letGo } = hold(site, 'fleet');
    const deliver = createDeliver(site);
    const slow = await planned(site, 'ml/iris');
    const held = runStage(deliver);
    await begun;
    const quick = await planned(site, 'edge/rose');
    await runStage(deliver);
    expect(await site.rollout(quick.id)).toMatchObject({ phase: 'delivered' });
    expect(await site.rollout(slow.id)).toMatchObject({ phase: 'pending' });
    letGo();
    await held;
    expect(await site.rollout(slow.id)).toMatchObject({ phase: 'delivered' });
  });

  it('get a batch each', async () => {
    const site = await siteWithTwo();
    const iris = await planned(site, 'ml/iris');
    const rose = await planned(site, 'edge/rose');
    expect(await runStage(createDeliver(site))).toBe(2);
    expect(site.fleet.batches).toEqual([[iris.id]]);
    expect(site.targets.get('gitops/edge')?.batches).toEqual([[rose.id]]);
  });
});

describe('a rollout that ended before its turn', () => {
  it('stays as it is, and leaves nothing behind', async () => {
    const site = await createSite();
    const { begun, letGo } = hold(site, 'fleet');
    const deliver = createDeliver(site);
    const older = await planned(site, 'ml/iris', 'v1.0.0');
    const first = runStage(deliver);
    await begun;
    const newer = await planned(site, 'ml/iris', 'v1.1.0');
    letGo();
    await first;
    expect(site.fleet.files.size).toBe(0);
    expect(await site.rollout(older.id)).toMatchObject({
      phase: 'superseded',
      message: 'Superseded by v1.1.0',
      receipt: null,
    });
    await runStage(deliver);
    expect(await site.rollout(newer.id)).toMatchObject({ phase: 'delivered' });
    expect(site.fleet.files.get('default/vision/iris.yaml')).toBe(newer.manifest);
  });
});

describe('a delivery that fails', () => {
  it('by a remote that is down is tried again until it succeeds', async () => {
    const site = await createSite();
    const { id } = await planned(site);
    const deliver = createDeliver(site);
    site.fleet.failure = new Error('could not read from remote repository');
    for (let attempt = 1; attempt <= 8; attempt += 1) {
      expect(await runStage(deliver)).toBe(1);
      expect(await runStage(deliver)).toBe(0);
      expect(await site.rollout(id)).toMatchObject({ phase: 'pending', stage: 'deliver', attempts: attempt });
      site.clock.now += 5 * MINUTE;
    }
    expect(await site.rollout(id)).toMatchObject({
      message: 'Waiting since 2026-03-04 12:00 UTC: could not read from remote repository',
    });
    site.fleet.failure = null;
    await runStage(deliver);
    expect(await site.rollout(id)).toMatchObject({ phase: 'delivered' });
  });

  it('by something a person must mend fails that rollout alone', async () => {
    const site = await createSite();
    const iris = await planned(site, 'ml/iris');
    const rose = await planned(site, 'ml/rose');
    site.fleet.files.set('default/vision/iris.yaml', 'kind: InferenceService\n');
    await runStage(createDeliver(site));
    expect(await site.rollout(iris.id)).toMatchObject({
      phase: 'failed',
      stage: null,
      message: expect.stringContaining('default/vision/iris.yaml in fleet is not managed by modelhook'),
    });
    expect(await site.rollout(rose.id)).toMatchObject({ phase: 'delivered' });
  });

  it('for good fails at once, in the words of the target', async () => {
    const site = await createSite();
    const { id } = await planned(site);
    site.fleet.failure = new StalledError('fleet refused the push: no', 'ask its owner');
    await runStage(createDeliver(site));
    expect(await site.rollout(id)).toMatchObject({
      phase: 'failed',
      message: 'fleet refused the push: no; ask its owner',
    });
  });

  it('because the GitOps repository is not configured fails in words that help', async () => {
    const site = await createSite();
    const { id } = await planned(site);
    await runStage(createDeliver({ ...site, targets: new Map() }));
    expect(await site.rollout(id)).toMatchObject({
      phase: 'failed',
      message:
        'the GitOps repository "fleet" is not configured; add it to gitops in modelhook.yaml, or name another in the policy',
    });
  });

  it('because nothing can be applied to its cluster any more fails in words that help', async () => {
    const site = await createSite();
    site.clusters.set('default', new FakeCluster());
    site.policies.set = policySet('c0ffee', policyText({ delivery: { apply: true } }));
    const { id } = await planned(site);
    await runStage(createDeliver(site));
    expect(await site.rollout(id)).toMatchObject({
      phase: 'failed',
      message:
        'modelhook.yaml gives no access to cluster "default", so nothing can be applied there; add its kubeconfig to clusters in modelhook.yaml, or set delivery.gitops in the policy',
    });
  });

  it('because the target itself broke is tried again, and holds up no later batch', async () => {
    const site = await createSite();
    const { id } = await planned(site);
    const broken: DeliveryTarget = { deliver: () => Promise.reject(new Error('no memory')) };
    const deliver = createDeliver({ ...site, targets: new Map([['gitops/fleet', broken]]) });
    await runStage(deliver);
    expect(await site.rollout(id)).toMatchObject({ stage: 'deliver', attempts: 1 });
    site.clock.now += MINUTE;
    expect(await runStage(deliver)).toBe(1);
  });
});

describe('a policy that is suspended after its rollout was planned', () => {
  const WAITING = 'Waiting: policy "production" is suspended';
  const suspend = (site: Site, isSuspended: boolean) => {
    site.policies.set = policySet(isSuspended ? 'beef' : 'lifted', policyText({ suspend: isSuspended }));
  };

  it('holds it: nothing is delivered until it is lifted, and it is planned anew for that', async () => {
    const site = await createSite();
    const { id } = await planned(site);
    suspend(site, true);
    await runStage(createDeliver(site));
    expect(site.fleet.files).toEqual(new Map());
    expect(await site.rollout(id)).toMatchObject({ phase: 'pending', stage: 'resolve', message: WAITING });
    suspend(site, false);
    await site.store.rollouts.lookAgain([]);
    await runStage(createResolve(site));
    await runStage(createDeliver(site));
    expect(await site.rollout(id)).toMatchObject({ phase: 'delivered', policyRevision: 'lifted' });
  });

  it('holds up no other', async () => {
    const site = await siteWithTwo();
    const [held, other] = [await planned(site, 'ml/iris'), await planned(site, 'edge/rose')];
    const edge = { match: { repositories: ['plain:edge/**'], tags: ['v*'] }, delivery: { gitops: 'edge' } };
    site.policies.set = policySet('beef', policyText({ suspend: true }), policyText(edge, 'edge'));
    await runStage(createDeliver(site));
    expect(await site.rollout(held.id)).toMatchObject({ phase: 'pending', message: WAITING });
    expect(await site.rollout(other.id)).toMatchObject({ phase: 'delivered' });
  });

  it('does not hold a rollback: that is asked for just then', async () => {
    const site = await createSite();
    await planned(site, 'ml/iris', 'v1.0.0');
    await runStage(createDeliver(site));
    const bad = await planned(site, 'ml/iris', 'v1.1.0');
    await runStage(createDeliver(site));
    suspend(site, true);
    const next = await planned(site, 'ml/iris', 'v1.2.0');
    expect(next).toMatchObject({ message: WAITING });
    const back = await site.store.requests.rollback(bad.id);
    await runStage(createDeliver(site));
    expect(await site.rollout(back?.id ?? '')).toMatchObject({ phase: 'delivered', revision: 'v1.0.0' });
    expect(await site.rollout(next.id)).toMatchObject({ phase: 'pending', message: WAITING });
  });

  it('leaves an open pull request to people: what they merge counts', async () => {
    const site = await createSite();
    const { id } = await planned(site);
    const pullRequest = { number: 7, label: '#7', url: 'https://forge.example.com/7' };
    await site.store.rollouts.advance(id, { pullRequest });
    suspend(site, true);
    await runStage(createDeliver(site));
    expect(await site.rollout(id)).toMatchObject({ phase: 'delivered' });
  });
});
