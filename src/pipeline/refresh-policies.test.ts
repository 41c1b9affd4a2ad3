import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { policyText } from '../core/policy.fixture.ts';
import { createSite, MINUTE, policySet, runStage, type Site } from './pipeline.fixture.ts';
import { createPolicyRefresh } from './refresh-policies.ts';
import { createResolve } from './resolve.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** Lets happen what can happen without time going by. */
async function settle(): Promise<void> {
  for (let turns = 0; turns < 10; turns += 1) await turn();
}

async function pass(milliseconds: number): Promise<void> {
  for (let left = milliseconds; left > 0; left -= 500) {
    vi.advanceTimersByTime(Math.min(left, 500));
    await settle();
  }
}

async function siteWithoutPolicies() {
  const site = await createSite();
  site.policies.set = null;
  const changed = vi.fn();
  return { site, changed, refresh: createPolicyRefresh({ ...site, changed }) };
}

const named = (site: Site): Promise<string[]> =>
  site.store.repositories.claimListings(10, site.clock.now + 1);

describe('the policies', () => {
  it('are looked at when it starts, and come into force', async () => {
    const { site, refresh, changed } = await siteWithoutPolicies();
    site.policies.head = policySet('first', policyText());
    refresh.start();
    await settle();
    expect(site.policies.current()?.revision).toBe('first');
    expect(changed).toHaveBeenCalledTimes(1);
    expect(site.log.lines).toMatchObject([
      { message: 'policies in force', fields: { revision: 'first', policies: 1 } },
    ]);
    refresh.stop();
  });

  it('are looked at again after the interval, and told only where they changed', async () => {
    const { site, refresh, changed } = await siteWithoutPolicies();
    site.policies.head = policySet('first', policyText());
    refresh.start();
    await settle();
    await pass(site.interval);
    expect(site.policies.refreshes).toBe(2);
    expect(changed).toHaveBeenCalledTimes(1);
    site.policies.head = policySet('second', policyText());
    await pass(site.interval);
    expect(changed).toHaveBeenCalledTimes(2);
    refresh.stop();
  });

  it('have the repositories listed that they name without a wildcard', async () => {
    const { site, refresh } = await siteWithoutPolicies();
    const match = { repositories: ['plain:ml/iris', 'plain:ml/vision/*', '!plain:ml/rose'], tags: ['v*'] };
    site.policies.head = policySet('first', policyText({ match }));
    await refresh.now();
    expect(await named(site)).toEqual(['plain:ml/iris']);
    refresh.stop();
  });
});

describe('a suspension', () => {
  it('that is lifted makes what waits for it due at once, and nothing of what is suspended still', async () => {
    const { site, refresh } = await siteWithoutPolicies();
    const repositories = [site.forge.create('ml/iris'), site.forge.create('rare/rose')];
    const rare = (spec: object) =>
      policyText({ match: { repositories: ['plain:rare/**'], tags: ['v*'] }, ...spec }, 'rare');
    site.policies.set = policySet('first', policyText({ suspend: true }), rare({ suspend: true }));
    const waiting = [];
    for (const repository of repositories) waiting.push(await site.rollOut(repository));
    await runStage(createResolve(site));
    expect(await runStage(createResolve(site))).toBe(0);
    site.policies.head = policySet('second', policyText(), rare({ suspend: true }));
    await refresh.now();
    expect(await runStage(createResolve(site))).toBe(1);
    expect(await site.rollouts()).toMatchObject([
      { id: waiting[0]?.id, stage: 'deliver' },
      { id: waiting[1]?.id, stage: 'resolve', message: 'Waiting: policy "rare" is suspended' },
    ]);
    refresh.stop();
  });
});

describe('a config repository that cannot be read', () => {
  it('is tried again with growing pauses, never longer than the interval, until it can', async () => {
    const { site, refresh, changed } = await siteWithoutPolicies();
    site.policies.head = new Error('no answer');
    refresh.start();
    await pass(5 * MINUTE);
    const soon = site.policies.refreshes;
    expect(soon).toBeGreaterThan(5);
    expect(soon).toBeLessThan(15);
    site.policies.head = policySet('first', policyText());
    await pass(5 * MINUTE);
    expect(changed).toHaveBeenCalledTimes(1);
    expect(site.log.lines[0]).toMatchObject({
      level: 'warn',
      fields: { reason: 'no answer' },
      message: 'the config repository cannot be read; trying again',
    });
    refresh.stop();
  });

  it('is looked at after the interval again once it could be read', async () => {
    const { site, refresh } = await siteWithoutPolicies();
    site.policies.head = new Error('no answer');
    await refresh.now();
    site.policies.head = policySet('first', policyText());
    await refresh.now();
    await pass(site.interval - 1000);
    expect(site.policies.refreshes).toBe(2);
    await pass(1000);
    expect(site.policies.refreshes).toBe(3);
    refresh.stop();
  });

  it('rejects nobody who asks for a look', async () => {
    const { site, refresh } = await siteWithoutPolicies();
    site.policies.head = new Error('no answer');
    await expect(refresh.now()).resolves.toBeUndefined();
    refresh.stop();
  });

  it('may have brought back what was in force before a restart: that is told, once', async () => {
    const { site, refresh, changed } = await siteWithoutPolicies();
    vi.spyOn(site.policies, 'refresh').mockImplementation(async () => {
      site.policies.set = policySet(
        'restored',
        policyText({ match: { repositories: ['plain:ml/iris'], tags: ['*'] } }),
      );
      throw new Error('no answer');
    });
    await refresh.now();
    await refresh.now();
    expect(changed).toHaveBeenCalledTimes(1);
    expect(await named(site)).toEqual(['plain:ml/iris']);
    refresh.stop();
  });
});

describe('a look', () => {
  it('that is asked for during another begins after that one', async () => {
    const { site, refresh } = await siteWithoutPolicies();
    const gate = Promise.withResolvers<void>();
    let looks = 0;
    vi.spyOn(site.policies, 'refresh').mockImplementation(async () => {
      looks += 1;
      if (looks === 1) await gate.promise;
    });
    const first = refresh.now();
    const second = refresh.now();
    await settle();
    expect(looks).toBe(1);
    gate.resolve();
    await first;
    await second;
    expect(looks).toBe(2);
    refresh.stop();
  });

  it('is not made any more after a stop, also where one was under way', async () => {
    const { site, refresh } = await siteWithoutPolicies();
    const gate = Promise.withResolvers<void>();
    vi.spyOn(site.policies, 'refresh').mockImplementation(() => gate.promise);
    refresh.start();
    await settle();
    refresh.stop();
    gate.resolve();
    await pass(3 * site.interval);
    expect(site.policies.refresh).toHaveBeenCalledTimes(1);
  });
});
