import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { policyText } from '../core/policy.fixture.ts';
import { StoreUnavailableError } from '../store/store.ts';
import { type Controller, type ControllerDeps, createController } from './controller.ts';
import { CARD, CONFIG, createSite, policySet, type Site } from './pipeline.fixture.ts';
import { createReceive } from './receive.ts';

const CONTEXT = 'modelhook/production';
const TAG = 'refs/tags/v1.0.0';

/** A site whose controller is stopped with the test. */
async function siteWithController(changes: Partial<ControllerDeps> = {}) {
  const site = await createSite();
  const iris = site.forge.create('ml/iris');
  const sha = site.forge.commit(iris, { 'README.md': CARD });
  const controller = createController({ ...site, ...changes });
  return { site, iris, sha, controller };
}

/** A tag is pushed, and its webhook taken. */
async function pushTag(site: Site, repository: string, ref: string, sha: string): Promise<void> {
  site.forge.point(repository, ref, sha);
  const delivery = site.forge.delivery({ repository, ref, before: null, after: sha });
  await createReceive(site)(site.forge, delivery);
}

const statusOf = (site: Site, repository: string, sha: string) =>
  site.forge.statusesOf(repository, sha).get(CONTEXT);

/** Runs a controller for as long as a test needs it. */
async function running(controller: Controller, work: () => Promise<void>): Promise<void> {
  await controller.start();
  try {
    await work();
  } finally {
    expect(await controller.stop(5000)).toBe(true);
  }
}

describe('the journey of a tag', () => {
  it('leads from its webhook to the commit on the fleet and a final status on the model commit', async () => {
    const { site, iris, sha, controller } = await siteWithController();
    await running(controller, async () => {
      await pushTag(site, iris, TAG, sha);
      await vi.waitFor(() => expect(statusOf(site, iris, sha)).toMatchObject({ state: 'success' }));
    });
    const [rollout, ...others] = await site.rollouts();
    expect(others).toEqual([]);
    expect(rollout).toMatchObject({ phase: 'delivered', stage: null, revision: 'v1.0.0', sha });
    expect(site.fleet.files.get('default/vision/iris.yaml')).toBe(rollout?.manifest);
    expect(statusOf(site, iris, sha)).toEqual({
      context: CONTEXT,
      state: 'success',
      description: rollout?.message,
      url: `https://modelhook.example.com/rollouts/${rollout?.id}`,
    });
    const { transitions } = await site.rollout(rollout?.id ?? '');
    expect(transitions.map(({ phase }) => phase)).toEqual(['pending', 'delivered']);
  });

  it('of other refs is left alone by who carries out only what was asked for', async () => {
    const { site, iris, sha } = await siteWithController();
    const { id } = await site.rollOut(iris, 'v0.9.0');
    await pushTag(site, iris, TAG, sha);
    await running(createController(site, 'asked'), async () => {
      await vi.waitFor(async () => expect(await site.rollout(id)).toMatchObject({ phase: 'delivered' }));
    });
    expect(await site.rollouts()).toHaveLength(1);
    expect(site.policies.refreshes).toBe(0);
    expect(await site.store.events.unmatched(10)).toHaveLength(1);
    expect(await site.store.reports.claim(10)).not.toEqual([]);
  });

  it('leads back when the tag is deleted, where the policy says so', async () => {
    const { site, iris, sha, controller } = await siteWithController();
    site.policies.set = policySet('c0ffee', policyText({ onRefDelete: 'remove' }));
    await running(controller, async () => {
      await pushTag(site, iris, TAG, sha);
      await vi.waitFor(() => expect(statusOf(site, iris, sha)).toMatchObject({ state: 'success' }));
      site.forge.remove(iris, TAG);
      const gone = site.forge.delivery({ repository: iris, ref: TAG, before: sha, after: null });
      expect(await createReceive(site)(site.forge, gone)).toMatchObject({ status: 'stored' });
      await vi.waitFor(() =>
        expect(statusOf(site, iris, sha)).toMatchObject({
          state: 'success',
          description: expect.stringContaining('Removed from fleet'),
        }),
      );
    });
    expect(site.fleet.files.size).toBe(0);
  });

  it('goes on where the rows are: what arrived before the start is done after it', async () => {
    const { site, iris, sha, controller } = await siteWithController();
    await pushTag(site, iris, TAG, sha);
    await running(controller, async () => {
      await vi.waitFor(() => expect(statusOf(site, iris, sha)).toMatchObject({ state: 'success' }));
    });
  });

  it('begins without a webhook: at start, and after any push, refs are listed', async () => {
    const { site, iris, sha, controller } = await siteWithController();
    await running(controller, async () => {
      await pushTag(site, iris, 'refs/heads/main', sha);
      await vi.waitFor(async () =>
        expect(await site.store.repositories.snapshot(iris)).toMatchObject({ counters: { size: 1 } }),
      );
      await vi.waitFor(() =>
        expect(site.log.lines.some(({ message }) => message.includes('no policy'))).toBe(true),
      );
    });
    site.forge.point(iris, TAG, sha);
    const restarted = createController(site);
    await running(restarted, async () => {
      await vi.waitFor(() => expect(statusOf(site, iris, sha)).toMatchObject({ state: 'success' }));
    });
    expect((await site.events()).at(-1)).toMatchObject({ ref: TAG, source: 'listing' });
  });

  it('ends in words on the commit where it fails', async () => {
    const { site, iris, controller } = await siteWithController();
    const sha = site.forge.commit(iris, { 'README.md': '# no card\n' });
    await running(controller, async () => {
      await pushTag(site, iris, TAG, sha);
      await vi.waitFor(() => expect(statusOf(site, iris, sha)).toMatchObject({ state: 'failed' }));
    });
    expect(statusOf(site, iris, sha)?.description).toMatch(
      /^the model card \(README\.md\) has no library_name/,
    );
    expect(site.fleet.files.size).toBe(0);
  });

  it('of a hundred repositories ends in a hundred commits and statuses, in a few pushes', async () => {
    const { site, controller } = await siteWithController();
    const models = Array.from({ length: 100 }, (_, n) => {
      const repository = site.forge.create(`ml/model-${n}`);
      return { repository, sha: site.forge.commit(repository, { 'README.md': CARD }) };
    });
    await running(controller, async () => {
      await Promise.all(models.map(({ repository, sha }) => pushTag(site, repository, TAG, sha)));
      await vi.waitFor(
        () => {
          for (const { repository, sha } of models)
            expect(statusOf(site, repository, sha)).toMatchObject({ state: 'success' });
        },
        { timeout: 20_000 },
      );
    });
    expect(site.fleet.files.size).toBe(100);
    expect(site.fleet.batches.flat()).toHaveLength(100);
    expect(site.fleet.batches.length).toBeLessThan(100);
  });

  it('waits for policies, and goes on when a push brings good ones', async () => {
    const { site, iris, sha, controller } = await siteWithController();
    site.policies.set = null;
    await running(controller, async () => {
      await pushTag(site, iris, TAG, sha);
      await vi.waitFor(() => expect(site.policies.refreshes).toBeGreaterThan(0));
      expect(await site.rollouts()).toEqual([]);
      site.policies.head = policySet('mended', policyText());
      const config = site.forge.create('platform/policies');
      await pushTag(site, config, CONFIG.ref, site.forge.commit(config, {}));
      await vi.waitFor(() => expect(statusOf(site, iris, sha)).toMatchObject({ state: 'success' }));
    });
    expect(await site.rollouts()).toMatchObject([{ policyRevision: 'mended' }]);
  });
});

describe('a stop', () => {
  it('begins no more: what arrives is for the next start', async () => {
    const { site, iris, sha, controller } = await siteWithController();
    await controller.start();
    expect(await controller.stop(5000)).toBe(true);
    await pushTag(site, iris, TAG, sha);
    for (let turns = 0; turns < 20; turns += 1) await turn();
    expect(await site.store.events.unmatched(10)).toHaveLength(1);

    await running(createController(site), async () => {
      await vi.waitFor(() => expect(statusOf(site, iris, sha)).toMatchObject({ state: 'success' }));
    });
  });

  it('finishes the delivery in hand', async () => {
    const begun = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    const site = await createSite();
    const held = {
      ...site.fleet,
      deliver: async (...args: Parameters<typeof site.fleet.deliver>) => {
        begun.resolve();
        await gate.promise;
        return site.fleet.deliver(...args);
      },
    };
    const iris = site.forge.create('ml/iris');
    const sha = site.forge.commit(iris, { 'README.md': CARD });
    const controller = createController({ ...site, targets: new Map([['gitops/fleet', held]]) });
    await controller.start();
    await pushTag(site, iris, TAG, sha);
    await begun.promise;
    const stopped = controller.stop(5000);
    gate.resolve();
    expect(await stopped).toBe(true);
    expect(await site.rollouts()).toMatchObject([
      { phase: 'delivered', receipt: { commit: expect.any(String) } },
    ]);
  });

  it('gives up a result that the store does not take, when its time is over', async () => {
    const site = await createSite();
    const iris = site.forge.create('ml/iris');
    const sha = site.forge.commit(iris, { 'README.md': CARD });
    const full = vi.fn(() => Promise.reject(new StoreUnavailableError('the disk is full')));
    const store = { ...site.store, rollouts: { ...site.store.rollouts, advance: full } };
    const controller = createController({ ...site, store });
    await controller.start();
    await pushTag(site, iris, TAG, sha);
    await vi.waitFor(() => expect(full).toHaveBeenCalled());
    expect(await controller.stop(10)).toBe(false);
    // The wait for the store ends with the controller, and the rollout is as it was.
    await vi.waitFor(() =>
      expect(site.log.lines.at(-1)).toMatchObject({ message: 'work is left to the next start' }),
    );
    expect(await site.rollouts()).toMatchObject([{ phase: 'pending', stage: 'resolve', attempts: 0 }]);
  });
});
