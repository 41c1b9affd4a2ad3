/** A repository that is renamed, through all stages. */
import { expect, it } from 'vitest';
import { createDeliver } from './deliver.ts';
import { createListRefs } from './list-refs.ts';
import { createSite, MINUTE, runStage, type Site } from './pipeline.fixture.ts';
import { createReport } from './report.ts';
import { createResolve } from './resolve.ts';

const CONTEXT = 'modelhook/production';
const TAG = 'refs/tags/v1.0.0';

/** Lets all stages do what is due, twice over: what one makes due, the next does. */
async function work(site: Site): Promise<void> {
  for (let round = 0; round < 2; round += 1) {
    await site.match();
    for (const create of [createResolve, createDeliver, createReport, createListRefs])
      await runStage(create(site));
    site.clock.now += 10 * MINUTE;
  }
}

it('one push is deployed once, by whatever names and ways it is told', async () => {
  const site = await createSite();
  const iris = site.forge.create('ml/iris');
  const sha = await site.tag(iris, 'v1.0.0');
  await work(site);
  const rose = site.forge.rename(iris, 'ml/rose');
  for (const repository of [rose, iris, rose]) {
    await site.tell({ repository, ref: TAG, after: sha });
    await work(site);
  }
  expect(await site.events()).toMatchObject([{ repository: rose, ref: TAG, sha }]);
  expect(await site.rollouts()).toMatchObject([{ repository: rose, phase: 'delivered' }]);
  expect([...site.fleet.files.keys()]).toEqual(['default/vision/iris.yaml']);
  expect(site.forge.statusesOf(rose, sha).get(CONTEXT)).toMatchObject({ state: 'success' });
  expect(site.log.lines.filter(({ level }) => level !== 'info')).toEqual([]);
});

it('one push that is told under both names before any of it is done is deployed once, by the new name', async () => {
  const site = await createSite();
  const iris = site.forge.create('ml/iris');
  const sha = await site.tag(iris, 'v1.0.0');
  const rose = site.forge.rename(iris, 'ml/rose');
  await site.tell({ repository: rose, ref: TAG, after: sha });
  await work(site);
  expect(await site.rollouts()).toMatchObject([{ repository: rose, phase: 'delivered' }]);
  expect([...site.fleet.files.keys()]).toEqual(['default/vision/rose.yaml']);
});

it('a repository keeps its target under a new name where the policy does', async () => {
  const site = await createSite();
  const { set } = site.policies;
  const [policy] = set?.policies ?? [];
  if (!set || !policy) throw new Error('the site has no policy');
  site.policies.set = { ...set, policies: [{ ...policy, target: { ...policy.target, name: 'model' } }] };
  const iris = site.forge.create('ml/iris');
  await site.tag(iris, 'v1.0.0');
  await work(site);
  const rose = site.forge.rename(iris, 'ml/rose');
  await site.tag(rose, 'v1.1.0');
  await work(site);
  expect(await site.rollouts()).toMatchObject([
    { repository: rose, revision: 'v1.0.0', phase: 'delivered' },
    { repository: rose, revision: 'v1.1.0', phase: 'delivered' },
  ]);
  expect(site.fleet.files.get('default/vision/model.yaml')).toContain(`modelhook.dev/repository: ${rose}`);
});
