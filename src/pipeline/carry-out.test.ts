import { describe, expect, it, vi } from 'vitest';
import { policyText } from '../core/policy.fixture.ts';
import { changesOf, deployedOf } from '../core/policy-changes.fixture.ts';
import type { Examination } from '../core/review-text.ts';
import { createCarryOut } from './carry-out.ts';
import { createDeliver } from './deliver.ts';
import { createSite, MINUTE, one, policySet, runStage } from './pipeline.fixture.ts';
import { createResolve } from './resolve.ts';

const BEFORE = policyText();
const AFTER = policyText({ replicas: { min: 2, max: 2 } });

/** A site with one delivered rollout, whose policies at `c0ffee` were carried out. */
async function deployedSite() {
  const site = await createSite();
  const iris = site.forge.create('ml/iris');
  const rollout = await site.rollOut(iris);
  await runStage(createResolve(site));
  await runStage(createDeliver(site));
  const stage = createCarryOut(site);
  await runStage(stage);
  /** Other policies come into force. */
  const merge = async (revision: string, text: string, target = {}): Promise<void> => {
    const before = site.policies.set;
    site.policies.set = policySet(revision, text);
    const deployed = deployedOf({ rolloutId: rollout.id, repository: iris, ...target });
    const changes = changesOf([before?.revision === 'c0ffee' ? BEFORE : AFTER], [text], [deployed]);
    site.reviewer.found.set(revision, { kind: 'good', policies: 1, warnings: [], changes });
    await runStage(stage);
  };
  const caused = async () => (await site.rollouts()).filter(({ cause }) => cause.kind === 'policy');
  return { site, iris, rollout, stage, merge, caused };
}

describe('policies that come into force', () => {
  it('for the first time deploy nothing anew', async () => {
    const { site, caused } = await deployedSite();
    expect(await site.store.policyChanges.carriedOut()).toBe('c0ffee');
    expect(await caused()).toEqual([]);
  });

  it('deploy the same commit once more where they change its manifest, because of the policies’ commit', async () => {
    const { site, rollout, merge, caused } = await deployedSite();
    await merge('beef', AFTER);
    const made = one(await caused());
    expect(made).toMatchObject({ cause: { kind: 'policy', of: 'beef' }, sha: rollout.sha, ref: rollout.ref });
    await runStage(createResolve(site));
    expect((await site.rollout(made.id)).manifest).toContain('minReplicas: 2');
    expect(site.reviewer.kept).toBe('beef');
  });

  it('deploy nothing where nothing changes, or where the policy leaves it to the next event', async () => {
    const { merge, caused } = await deployedSite();
    await merge('beef', BEFORE);
    await merge('f00d', policyText({ replicas: { min: 2, max: 2 }, onPolicyChange: 'nextEvent' }));
    expect(await caused()).toEqual([]);
  });

  it('are compared with the last that were carried out, however many came between', async () => {
    const { site, stage, caused } = await deployedSite();
    site.policies.set = policySet('skipped', AFTER);
    site.policies.set = policySet('beef', AFTER);
    site.reviewer.found.set('beef', { kind: 'good', policies: 1, warnings: [], changes: null });
    await runStage(stage);
    expect(site.reviewer.asked.at(-1)).toEqual({ sha: 'beef', ref: null, base: 'c0ffee' });
    expect(await caused()).toEqual([]);
  });

  it('that can be compared with nothing any more say so', async () => {
    const { site, stage } = await deployedSite();
    site.policies.set = policySet('beef', AFTER);
    site.reviewer.found.set('beef', { kind: 'good', policies: 1, warnings: [], changes: null });
    await runStage(stage);
    expect(await site.store.policyChanges.progress('beef')).toMatchObject({ total: 0, uncompared: true });
  });

  it('for the first time say nothing of the kind', async () => {
    const { site } = await deployedSite();
    expect(await site.store.policyChanges.progress('c0ffee')).toMatchObject({ uncompared: false });
  });

  it('let what was carried out last go only once they are carried out themselves', async () => {
    const { site, stage } = await deployedSite();
    site.policies.set = policySet('beef', AFTER);
    await runStage(stage);
    expect(site.reviewer.kept).toBe('c0ffee');
  });

  it('miss no rollout that is planned while they are examined', async () => {
    const { site, merge, caused, iris } = await deployedSite();
    const push = await site.rollOut(iris, 'v2.0.0');
    const { readRef } = site.forge.repositories;
    const reached = Promise.withResolvers<void>();
    const merged = Promise.withResolvers<void>();
    vi.spyOn(site.forge.repositories, 'readRef').mockImplementationOnce(async (...asked) => {
      reached.resolve();
      await merged.promise;
      return readRef(...asked);
    });
    const resolving = runStage(createResolve(site));
    await reached.promise;
    await merge('beef', AFTER);
    merged.resolve();
    await resolving;
    for (let round = 0; round < 2; round += 1) {
      await runStage(createResolve(site));
      await runStage(createDeliver(site));
    }
    const rollout = await site.rollout(push.id);
    expect(rollout).toMatchObject({ phase: 'delivered', policyRevision: 'beef' });
    expect(rollout.manifest).toContain('minReplicas: 2');
    expect((await caused()).map(({ phase }) => phase)).toEqual(['superseded']);
  });

  it.each<[string, Examination | null]>([
    ['cannot be had', null],
    [
      'take too long to examine',
      {
        kind: 'faults',
        faults: [{ file: '.', line: 1, column: 1, message: 'takes more than 60 s' }],
        exceeded: true,
      },
    ],
  ])('wait where they %s, and are carried out then', async (_, found) => {
    const { site, stage, caused, rollout, iris } = await deployedSite();
    site.policies.set = policySet('beef', AFTER);
    if (found) site.reviewer.found.set('beef', found);
    await runStage(stage);
    expect(await site.store.policyChanges.carriedOut()).toBe('c0ffee');
    const changes = changesOf([BEFORE], [AFTER], [deployedOf({ rolloutId: rollout.id, repository: iris })]);
    site.reviewer.found.set('beef', { kind: 'good', policies: 1, warnings: [], changes });
    expect(await runStage(stage)).toBe(0);
    site.clock.now += MINUTE;
    await runStage(stage);
    expect(await caused()).toHaveLength(1);
  });
});
