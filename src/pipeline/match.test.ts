import { describe, expect, it, vi } from 'vitest';
import { policyText } from '../core/policy.fixture.ts';
import { createMatch, type MatchDeps } from './match.ts';
import { CONFIG, createSite, failingAtFirst, policySet, runStage, type Site } from './pipeline.fixture.ts';

const IRIS = 'plain:ml/iris';
const [A, B] = ['a'.repeat(40), 'b'.repeat(40)] as const;

const matchOf = (site: Site, changes: Partial<MatchDeps> = {}) =>
  createMatch({ ...site, refreshPolicies: () => site.policies.refresh().catch(() => {}), ...changes });

const staging = policyText(
  { match: { repositories: ['plain:ml/*'], tags: ['v*'] }, target: { namespace: 'staging' } },
  'staging',
);

describe('an event', () => {
  it('makes one rollout for each policy that matches', async () => {
    const site = await createSite();
    site.policies.set = policySet('c0ffee', policyText(), staging, policyText({ match: OTHERS }, 'others'));
    const event = await site.tell({ repository: IRIS, after: A });
    await runStage(matchOf(site));
    expect(await site.rollouts()).toMatchObject([
      { eventId: event.id, policy: 'production', environment: 'production', sha: A, revision: 'v1.0.0' },
      { eventId: event.id, policy: 'staging', environment: 'staging', phase: 'pending', stage: 'resolve' },
    ]);
    expect(await site.rollouts()).toMatchObject([
      { cause: { kind: 'event', of: event.id }, policyRevision: 'c0ffee' },
      { cause: { kind: 'event', of: event.id }, policyRevision: 'c0ffee' },
    ]);
  });

  it('that no policy matches makes none, is not looked at again, and stays in the list', async () => {
    const site = await createSite();
    await site.tell({ repository: IRIS, ref: 'refs/tags/nightly', after: A });
    expect(await runStage(matchOf(site))).toBe(1);
    expect(await runStage(matchOf(site))).toBe(0);
    expect(await site.rollouts()).toEqual([]);
    expect(await site.store.events.list({ limit: 10 })).toMatchObject({
      items: [{ ref: 'refs/tags/nightly', policyRevision: 'c0ffee', rollouts: [] }],
    });
    expect(site.log.lines).toMatchObject([
      { message: 'no policy matches the event', fields: { ref: 'refs/tags/nightly' } },
    ]);
  });

  it('that tells of a deletion makes none for policies that keep what was deployed', async () => {
    const site = await createSite();
    await site.tell({ repository: IRIS, after: A });
    await runStage(matchOf(site));
    const gone = await site.tell({ repository: IRIS, before: A, after: null });
    await runStage(matchOf(site));
    expect(site.log.lines.filter(({ message }) => message === 'event matched')).toHaveLength(1);
    expect(await site.rollouts()).toMatchObject([{ sha: A }]);
    expect(await site.store.events.get(gone.id)).toMatchObject({
      kind: 'deleted',
      policyRevision: 'c0ffee',
      rollouts: [],
    });
  });

  it('is matched once, however long the store could not be written', async () => {
    const site = await createSite();
    await site.tell({ repository: IRIS, after: A });
    const { events } = site.store;
    const matched = events.matched.bind(events);
    const tries = vi
      .spyOn(events, 'matched')
      .mockImplementation((matches) => failing.shift()?.() ?? matched(matches));
    const failing = [1, 2, 3].map(() => failingAtFirst(1, async () => {}));
    await runStage(matchOf(site));
    expect(tries).toHaveBeenCalledTimes(4);
    expect(await site.rollouts()).toHaveLength(1);
  });
});

describe('while there are no policies', () => {
  it('events wait, and are matched once there are some', async () => {
    const site = await createSite();
    const { set } = site.policies;
    site.policies.set = null;
    await site.tell({ repository: IRIS, after: A });
    expect(await runStage(matchOf(site))).toBe(0);
    expect(await site.store.events.unmatched(10)).toHaveLength(1);

    site.policies.set = set;
    await runStage(matchOf(site));
    expect(await site.rollouts()).toHaveLength(1);
  });

  it('a push to the config repository is followed at once, and once', async () => {
    const site = await createSite();
    const good = site.policies.set;
    site.policies.set = null;
    const match = matchOf(site);
    await site.tell({ repository: IRIS, after: A });
    await site.tell({ ...CONFIG, after: A });
    expect(await runStage(match)).toBe(1);
    expect(await runStage(match)).toBe(0);
    expect(site.policies.refreshes).toBe(1);

    site.policies.head = good;
    await site.tell({ ...CONFIG, before: A, after: B });
    expect(await runStage(match)).toBe(1);
    await runStage(match);
    expect(await site.rollouts()).toMatchObject([{ repository: IRIS }]);
  });
});

describe('a push to the config repository', () => {
  it('is a change of the policies for what was pushed after it, and for nothing before', async () => {
    const site = await createSite();
    site.policies.set = policySet('old', policyText());
    site.policies.head = policySet('new', policyText(), staging);
    await site.tell({ repository: IRIS, ref: 'refs/tags/v1.0.0', after: A });
    await site.tell({ ...CONFIG, after: A });
    await site.tell({ repository: IRIS, ref: 'refs/tags/v1.1.0', after: A });
    const match = matchOf(site);
    await runStage(match);
    expect(site.policies.refreshes).toBe(0);
    await runStage(match);
    expect(await runStage(match)).toBe(0);
    expect(
      (await site.rollouts()).map(({ revision, policy, policyRevision }) => [
        revision,
        policy,
        policyRevision,
      ]),
    ).toEqual([
      ['v1.0.0', 'production', 'old'],
      ['v1.1.0', 'production', 'new'],
      ['v1.1.0', 'staging', 'new'],
    ]);
  });

  it('is followed for each push, in order', async () => {
    const site = await createSite();
    for (const [index, before] of [null, A].entries()) {
      await site.tell({ ...CONFIG, before, after: index === 0 ? A : B });
      await site.tell({ repository: IRIS, ref: `refs/tags/v1.${index}.0`, after: A });
    }
    const match = matchOf(site);
    while ((await runStage(match)) > 0);
    expect(site.policies.refreshes).toBe(2);
    expect(await site.rollouts()).toHaveLength(2);
  });

  it('to another branch changes nothing', async () => {
    const site = await createSite();
    await site.tell({ ...CONFIG, ref: 'refs/heads/draft', after: A });
    await runStage(matchOf(site));
    expect(site.policies.refreshes).toBe(0);
  });

  it('that cannot be read holds up no other event: the last good policies are in force', async () => {
    const site = await createSite();
    site.policies.head = new Error('the config repository is down');
    await site.tell({ ...CONFIG, after: A });
    await site.tell({ repository: IRIS, after: A });
    await runStage(matchOf(site));
    expect(await site.rollouts()).toMatchObject([{ repository: IRIS, policyRevision: 'c0ffee' }]);
    expect(await site.store.events.unmatched(10)).toEqual([]);
  });
});

const OTHERS = { repositories: ['plain:others/**'], tags: ['v*'] };
