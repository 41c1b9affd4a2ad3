import { describe, expect, it, vi } from 'vitest';
import type { CommitStatus } from '../core/commit-status.ts';
import { StalledError, WaitingError } from '../core/errors.ts';
import { policyText } from '../core/policy.fixture.ts';
import { FakeForge } from '../forge/forge.fake.ts';
import type { StatusWriter } from '../forge/forge.ts';
import type { RolloutChange } from '../store/store.ts';
import { createDeliver } from './deliver.ts';
import { createSite, MINUTE, policySet, runStage, type Site } from './pipeline.fixture.ts';
import { createReport } from './report.ts';
import { createResolve } from './resolve.ts';

const CONTEXT = 'modelhook/production';
const report = (site: Site): Promise<number> => runStage(createReport(site));

/** A site with one rollout that has its plan. */
async function siteWithRollout() {
  const site = await createSite();
  const iris = site.forge.create('ml/iris');
  const { id, sha } = await site.rollOut(iris);
  await runStage(createResolve(site));
  const status = () => site.forge.statusesOf(iris, sha).get(CONTEXT);
  const arrive = site.forge.statuses.write;
  const write = vi.spyOn(site.forge.statuses, 'write');
  const holds = vi.spyOn(site.forge.statuses, 'holds');
  return { site, iris, id, sha, status, write, arrive, holds };
}

/** A write that arrives, and whose answer is lost. */
const unheard =
  (arrive: StatusWriter['write']): StatusWriter['write'] =>
  async (...args) => {
    await arrive(...args);
    throw new Error('the connection was lost');
  };

describe('the status of a commit', () => {
  it.each<[string, RolloutChange[], CommitStatus['state'], string]>([
    ['pending', [], 'pending', 'Queued for production'],
    [
      'delivered, and nothing observes it',
      [{ phase: 'delivered', stage: null, message: 'Committed 1a2b3c4 to fleet' }],
      'success',
      'Committed 1a2b3c4 to fleet',
    ],
    [
      'delivered, and observed',
      [
        {
          phase: 'delivered',
          stage: 'observe',
          message: 'Committed 1a2b3c4 to fleet, waiting for iris to be ready',
        },
      ],
      'running',
      'Committed 1a2b3c4 to fleet, waiting for iris to be ready',
    ],
    ['ready', [{ phase: 'ready', stage: null, message: 'Ready in 2m 10s' }], 'success', 'Ready in 2m 10s'],
    [
      'failed',
      [{ phase: 'failed', stage: null, message: 'it is bad;\nmend it' }],
      'failed',
      'it is bad; mend it',
    ],
    [
      'superseded',
      [{ phase: 'superseded', stage: null, message: 'Superseded by v1.2.1' }],
      'superseded',
      'Superseded by v1.2.1',
    ],
    [
      'cancelled',
      [{ phase: 'cancelled', stage: null, message: 'Cancelled by somebody' }],
      'cancelled',
      'Cancelled by somebody',
    ],
  ])('says what is true of a rollout that is %s', async (_, changes, state, description) => {
    const { site, id, status } = await siteWithRollout();
    for (const change of changes) await site.store.rollouts.advance(id, change);
    await report(site);
    expect(status()).toEqual({
      context: CONTEXT,
      state,
      description,
      url: `https://modelhook.example.com/rollouts/${id}`,
    });
  });

  it('is written once for what is true once', async () => {
    const { site, write } = await siteWithRollout();
    expect(await report(site)).toBe(1);
    expect(await report(site)).toBe(0);
    expect(write).toHaveBeenCalledTimes(1);
  });

  it('is not repeated where what happened reads the same', async () => {
    const { site, id, write } = await siteWithRollout();
    await report(site);
    await site.store.rollouts.advance(id, { message: 'a moment of doubt' });
    await site.store.rollouts.advance(id, { message: 'Queued for production' });
    expect(await report(site)).toBe(1);
    expect(write).toHaveBeenCalledTimes(1);
  });

  it('skips what was over before it could be said', async () => {
    const { site, status, write } = await siteWithRollout();
    await runStage(createDeliver(site));
    await report(site);
    expect(write).toHaveBeenCalledTimes(1);
    expect(status()).toMatchObject({ state: 'success' });
  });

  it('is not written for a rollout whose faults pass by themselves', async () => {
    const site = await createSite();
    await site.rollOut(site.forge.create('ml/iris'));
    site.forge.down = new Error('no answer');
    await runStage(createResolve(site));
    site.forge.down = null;
    expect(await report(site)).toBe(0);
  });
});

describe('a write whose outcome is not known', () => {
  it('is read back, and not repeated where it had arrived', async () => {
    const { site, status, write, arrive, holds } = await siteWithRollout();
    write.mockImplementationOnce(unheard(arrive));
    await report(site);
    expect(holds).not.toHaveBeenCalled();
    site.clock.now += MINUTE;
    await report(site);
    expect(write).toHaveBeenCalledTimes(1);
    expect(holds).toHaveBeenCalledTimes(1);
    expect(status()).toMatchObject({ state: 'pending' });
    site.clock.now += MINUTE;
    expect(await report(site)).toBe(0);
  });

  it('is repeated where it had not', async () => {
    const { site, status, write } = await siteWithRollout();
    write.mockRejectedValueOnce(new Error('no answer'));
    await report(site);
    expect(status()).toBeUndefined();
    site.clock.now += MINUTE;
    await report(site);
    expect(status()).toMatchObject({ state: 'pending' });
  });

  it('is corrected where the truth is again what was said before it', async () => {
    const { site, id, status, write, arrive } = await siteWithRollout();
    await report(site);
    write.mockImplementationOnce(unheard(arrive));
    await site.store.rollouts.advance(id, { message: 'Waiting for something' });
    await report(site);
    expect(status()).toMatchObject({ description: 'Waiting for something' });
    await site.store.rollouts.advance(id, { message: 'Queued for production' });
    site.clock.now += MINUTE;
    await report(site);
    expect(status()).toMatchObject({ description: 'Queued for production' });
  });
});

describe('a forge that fails', () => {
  it('waits for as long as the forge asks for', async () => {
    const { site, status } = await siteWithRollout();
    site.forge.down = new WaitingError('the forge limits how often it is asked', 7 * MINUTE);
    await report(site);
    expect(await site.store.facts.nextDue(site.clock.now)).toBe(site.clock.now + 7 * MINUTE);
    site.forge.down = null;
    site.clock.now += 7 * MINUTE;
    await report(site);
    expect(status()).toMatchObject({ state: 'pending' });
  });

  it('is tried again with growing pauses for as long as it takes', async () => {
    const { site, status, write } = await siteWithRollout();
    site.forge.down = new Error('no answer');
    const pauses: number[] = [];
    for (let attempt = 0; attempt < 12; attempt += 1) {
      expect(await report(site)).toBe(1);
      expect(await report(site)).toBe(0);
      const due = (await site.store.facts.nextDue(site.clock.now)) ?? 0;
      pauses.push(due - site.clock.now);
      site.clock.now = due;
    }
    expect(Math.max(...pauses)).toBeLessThanOrEqual(5 * MINUTE);
    expect(Math.max(...pauses)).toBeGreaterThan(2 * MINUTE);
    expect(pauses[0]).toBeLessThanOrEqual(1000);
    expect(write).toHaveBeenCalledTimes(1);
    site.forge.down = null;
    await report(site);
    expect(status()).toMatchObject({ state: 'pending' });
  });

  it('holds up no rollout', async () => {
    const { site, id } = await siteWithRollout();
    site.forge.down = new Error('no answer');
    await report(site);
    await runStage(createDeliver(site));
    expect(await site.rollout(id)).toMatchObject({ phase: 'delivered' });
  });

  it('says what is true when it can be said, not what was true when it failed', async () => {
    const { site, status } = await siteWithRollout();
    site.forge.down = new Error('no answer');
    await report(site);
    await runStage(createDeliver(site));
    site.forge.down = null;
    await report(site);
    expect(status()).toMatchObject({ state: 'success' });
  });

  it('does not hold up the statuses of another', async () => {
    const { site } = await siteWithRollout();
    const other = new FakeForge('other');
    site.forges.set('other', other);
    site.policies.set = policySet('c0ffee', policyText({ match: { repositories: ['**'], tags: ['v*'] } }));
    const rose = other.create('ml/rose');
    const sha = other.commit(rose, { 'README.md': 'library_name: sklearn' });
    other.point(rose, 'refs/tags/v1.0.0', sha);
    await site.tell({ repository: rose, after: sha });
    await site.match();
    await runStage(createResolve(site));
    site.forge.down = new Error('no answer');
    await report(site);
    expect(other.statusesOf(rose, sha).get(CONTEXT)).toMatchObject({ state: 'pending' });
  });

  it('for good is asked once, and the rollout goes on', async () => {
    const { site, id, write, status } = await siteWithRollout();
    write.mockRejectedValue(new StalledError('the token may not write statuses', 'give it the scope'));
    await report(site);
    site.clock.now += 60 * MINUTE;
    expect(await report(site)).toBe(0);
    expect(write).toHaveBeenCalledTimes(1);
    expect(site.log.lines.at(-1)).toMatchObject({
      level: 'warn',
      message: 'the status is refused for good',
      fields: { reason: 'the token may not write statuses; give it the scope' },
    });
    await runStage(createDeliver(site));
    const { phase, transitions } = await site.rollout(id);
    expect(phase).toBe('delivered');
    expect(transitions.map(({ message }) => message)).toContain(
      'The status on the commit could not be written: the token may not write statuses; give it the scope',
    );
    // Somebody may have mended it meanwhile: what is new is tried.
    write.mockRestore();
    await report(site);
    expect(status()).toMatchObject({ state: 'success' });
  });

  it('because it is no longer configured is not asked again', async () => {
    const { site } = await siteWithRollout();
    await report({ ...site, forges: new Map() });
    site.clock.now += 60 * MINUTE;
    expect(await report(site)).toBe(0);
  });
});

describe('two rollouts of one commit and context', () => {
  it('the newest speaks, and the older falls silent', async () => {
    const { site, iris, id, sha, status } = await siteWithRollout();
    await report(site);
    site.forge.point(iris, 'refs/tags/v1.0.1', sha);
    await site.tell({ repository: iris, ref: 'refs/tags/v1.0.1', after: sha });
    await site.match();
    await runStage(createResolve(site));
    const [older, newer] = await site.rollouts();
    expect(older).toMatchObject({ id, phase: 'superseded' });
    await report(site);
    expect(status()?.url).toMatch(new RegExp(`/${newer?.id}$`));
    expect(status()).toMatchObject({ state: 'pending' });
    expect(await report(site)).toBe(0);
  });

  it('an older one that ends later says nothing over it', async () => {
    const { site, iris, id, sha, status } = await siteWithRollout();
    site.policies.set = policySet('beef', policyText({ target: { namespace: `\${tag}` } }));
    site.forge.point(iris, 'refs/tags/vnext', sha);
    await site.tell({ repository: iris, ref: 'refs/tags/vnext', after: sha });
    await site.match();
    await runStage(createResolve(site));
    await report(site);
    const before = status();
    await site.store.rollouts.advance(id, { phase: 'failed', stage: null, message: 'it is late' });
    await report(site);
    expect(status()).toEqual(before);
    expect(status()?.url).not.toContain(id);
  });
});

describe('a rollout that goes on during a write', () => {
  it('is written again, by what is true then', async () => {
    const { site, status, write, arrive } = await siteWithRollout();
    const begun = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    write.mockImplementationOnce(async (...args) => {
      begun.resolve();
      await gate.promise;
      await arrive(...args);
    });
    const first = report(site);
    await begun.promise;
    await runStage(createDeliver(site));
    // One write of a commit and context at a time.
    expect(await report(site)).toBe(0);
    gate.resolve();
    await first;
    await report(site);
    expect(status()).toMatchObject({ state: 'success' });
    expect(write).toHaveBeenCalledTimes(2);
  });
});
