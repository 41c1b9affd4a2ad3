import { expect, it } from 'vitest';
import { policyText } from '../core/policy.fixture.ts';
import { createSite, one, policySet, runStage, type Site } from './pipeline.fixture.ts';
import { createReplay } from './replay.ts';
import { createResolve } from './resolve.ts';

const V1 = 'refs/tags/v1.0.0';
const other = (spec: object = {}, name = 'other') =>
  policyText({ match: { repositories: ['plain:other/*'], tags: ['v*'] }, ...spec }, name);

/** A tag that came before the policy that matches it. */
async function siteWithEvent() {
  const site = await createSite();
  site.policies.set = policySet('before', other());
  const iris = site.forge.create('ml/iris');
  const sha = await site.tag(iris, 'v1.0.0');
  await site.match();
  return { site, iris, sha, event: one(await site.events()), replay: createReplay(site) };
}
const merge = (site: Site, ...texts: string[]) => {
  site.policies.set = policySet('after', ...texts);
};

it('deploys by the policies in force what none matched when it came', async () => {
  const { site, iris, sha, event, replay } = await siteWithEvent();
  expect(await site.rollouts()).toEqual([]);
  merge(site, policyText(), other());
  expect(await replay({ eventId: event.id })).toMatchObject([
    { eventId: event.id, policy: 'production', policyRevision: 'after', repository: iris, sha },
  ]);
  await runStage(createResolve(site));
  expect(one(await site.rollouts())).toMatchObject({ stage: 'deliver', revision: 'v1.0.0' });
});

it('reads the ref like any event does: what has moved on is followed instead', async () => {
  const { site, iris, event, replay } = await siteWithEvent();
  merge(site, policyText());
  await replay({ eventId: event.id });
  const newer = site.forge.commit(iris, {});
  site.forge.point(iris, V1, newer);
  await runStage(createResolve(site));
  await site.match();
  expect(await site.rollouts()).toMatchObject([{ phase: 'superseded' }, { sha: newer, phase: 'pending' }]);
});

it('finds the event of a ref by its name', async () => {
  const { site, iris, event, replay } = await siteWithEvent();
  merge(site, policyText());
  expect(await replay({ repository: iris, ref: V1 })).toMatchObject([{ eventId: event.id }]);
});

it('of what is not there is nothing', async () => {
  const { site, iris, replay } = await siteWithEvent();
  merge(site, policyText());
  expect(await replay({ eventId: 'none' })).toBeNull();
  expect(await replay({ repository: iris, ref: 'refs/tags/v2' })).toBeNull();
});

it('is refused where no policy matches, in the words of those that come nearest', async () => {
  const { site, iris, event, replay } = await siteWithEvent();
  const asked = () => replay({ eventId: event.id });
  await expect(asked()).rejects.toThrow(
    `no policy in force matches ${V1} of ${iris}; merge a policy that does, then replay it`,
  );
  const near = (name: string) =>
    policyText({ match: { repositories: ['plain:ml/*'], tags: [`${name}-*`] } }, name);
  merge(site, near('a'), near('b'), other());
  await expect(asked()).rejects.toThrow(
    'of plain:ml/iris ("a": tag v1.0.0 matches none of a-*; "b": tag v1.0.0 matches none of b-*); merge',
  );
  merge(site, ...['a', 'b', 'c', 'd', 'e'].map(near));
  await expect(asked()).rejects.toThrow(/"c": tag v1\.0\.0 matches none of c-\*; 2 more\); merge/);
  expect(await site.rollouts()).toEqual([]);
});

it('makes no event of a ref that nothing matches', async () => {
  const { site, replay } = await siteWithEvent();
  const rose = site.forge.create('ml/rose');
  await site.store.repositories.scheduleListings([rose]);
  const listed = [{ ref: V1, sha: 'a'.repeat(40), object: 'a'.repeat(40) }];
  await site.store.repositories.applyListing(await site.store.repositories.snapshot(rose), listed, 0);
  await expect(replay({ repository: rose, ref: V1 })).rejects.toThrow('no policy in force matches');
  expect(await site.events()).toHaveLength(1);
});

it('is refused while there are no policies', async () => {
  const { site, event, replay } = await siteWithEvent();
  site.policies.set = null;
  await expect(replay({ eventId: event.id })).rejects.toThrow('no policies are in force yet; mend what');
});
