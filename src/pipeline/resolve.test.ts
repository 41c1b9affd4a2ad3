import { describe, expect, it, vi } from 'vitest';
import { FakeCluster } from '../cluster/cluster.fake.ts';
import { SMALL_CRD } from '../core/crd.fixture.ts';
import { reduceCrd } from '../core/crd.ts';
import { policyText, runtimeText } from '../core/policy.fixture.ts';
import { createListRefs } from './list-refs.ts';
import {
  CARD,
  createSite,
  MINUTE,
  NOON,
  one,
  policySet,
  runStage,
  SECOND,
  type Site,
} from './pipeline.fixture.ts';
import { createReport } from './report.ts';
import { createResolve } from './resolve.ts';

const TAG = 'refs/tags/v1.0.0';
const resolve = (site: Site): Promise<number> => runStage(createResolve(site));
const CONTEXT = 'modelhook/production';

async function siteWithIris(): Promise<{ site: Site; iris: string }> {
  const site = await createSite();
  return { site, iris: site.forge.create('ml/iris') };
}

/** Puts one policy in force, laid over the default one. */
function usePolicy(site: Site, spec: object, ...more: string[]): void {
  site.policies.set = policySet('beef', policyText(spec), ...more);
}

describe('a rollout whose ref is where the payload said', () => {
  it('gets its plan and its manifest, and goes on to its delivery', async () => {
    const { site, iris } = await siteWithIris();
    const { id, sha } = await site.rollOut(iris);
    expect(await resolve(site)).toBe(1);
    const rollout = await site.rollout(id);
    expect(rollout).toMatchObject({
      phase: 'pending',
      stage: 'deliver',
      message: 'Queued for production',
      sha,
      policyRevision: 'c0ffee',
      target: { cluster: 'default', namespace: 'vision', name: 'iris' },
      plan: {
        gitops: 'fleet',
        path: 'default/vision/iris.yaml',
        adopt: false,
        updateExisting: true,
        why: 'Policy production deploys it: repository plain:ml/iris matches plain:ml/**, tag v1.0.0 matches v*.',
      },
      attempts: 0,
      waitingSince: null,
    });
    expect(rollout.manifest).toContain('kind: InferenceService');
    expect(rollout.manifest).toContain(`storageUri: s3://models/ml/iris/${sha}`);
    expect(rollout.manifest).toContain('modelhook.dev/repository: plain:ml/iris');
  });

  it('doubts a forge that may lag behind until that time has passed', async () => {
    const { site, iris } = await siteWithIris();
    const { id } = await site.rollOut(iris);
    const lagging = { ...site.forge.repositories, lag: 30_000, readRef: async () => null };
    const { name, webhooks, statuses, pullRequests, reviews, administration } = site.forge;
    site.forges.set('plain', {
      name,
      webhooks,
      statuses,
      pullRequests,
      reviews,
      administration,
      repositories: lagging,
    });
    await resolve(site);
    expect(await site.rollout(id)).toMatchObject({
      phase: 'pending',
      stage: 'resolve',
      message: expect.stringMatching(
        /^Waiting: plain:ml\/iris does not show [0-9a-f]{7} at refs\/tags\/v1\.0\.0 yet$/,
      ),
    });
    site.clock.now += 30_000;
    await resolve(site);
    expect(await site.rollout(id)).toMatchObject({ phase: 'cancelled' });
  });

  it('is decided by the policies in force now, not by those when it was matched', async () => {
    const { site, iris } = await siteWithIris();
    const { id } = await site.rollOut(iris);
    usePolicy(site, { target: { namespace: 'newer' } });
    await resolve(site);
    expect(await site.rollout(id)).toMatchObject({
      policyRevision: 'beef',
      target: { namespace: 'newer' },
    });
  });
});

describe('a payload is a hint: the ref is read when its rollout is resolved', () => {
  it('moved on: the rollout is superseded, and the newer commit is followed as one more event', async () => {
    const { site, iris } = await siteWithIris();
    const { id, sha } = await site.rollOut(iris);
    const newer = site.forge.commit(iris, { 'README.md': CARD });
    site.forge.point(iris, TAG, newer);
    await resolve(site);
    expect(await site.rollout(id)).toMatchObject({
      phase: 'superseded',
      stage: null,
      message: `Superseded: v1.0.0 points to ${newer.slice(0, 7)} now`,
      manifest: null,
    });
    const events = await site.events();
    expect(events).toMatchObject([{ sha }, { kind: 'moved', before: sha, sha: newer, source: 'reading' }]);

    await site.match();
    await resolve(site);
    expect((await site.rollouts()).at(-1)).toMatchObject({
      sha: newer,
      stage: 'deliver',
      eventId: events[1]?.id,
    });
  });

  it('moved on, and the webhook told that already: its event is not made twice', async () => {
    const { site, iris } = await siteWithIris();
    const { sha } = await site.rollOut(iris);
    const newer = site.forge.commit(iris, { 'README.md': CARD });
    site.forge.point(iris, TAG, newer);
    await site.tell({ repository: iris, ref: TAG, before: sha, after: newer });
    await resolve(site);
    expect(await site.events()).toHaveLength(2);
  });

  it('a branch that moved on is called by its name, not by the commit it was at', async () => {
    const { site, iris } = await siteWithIris();
    usePolicy(site, { match: { repositories: ['plain:ml/**'], branches: ['main'] } });
    const older = site.forge.commit(iris, { 'README.md': CARD });
    await site.tell({ repository: iris, ref: 'refs/heads/main', after: older });
    await site.match();
    const newer = site.forge.commit(iris, { 'README.md': CARD });
    await resolve(site);
    expect(one(await site.rollouts())).toMatchObject({
      phase: 'superseded',
      revision: older,
      message: `Superseded: main points to ${newer.slice(0, 7)} now`,
    });
  });

  it('gone: the rollout is cancelled', async () => {
    const { site, iris } = await siteWithIris();
    const { id } = await site.rollOut(iris);
    site.forge.remove(iris, TAG);
    await resolve(site);
    expect(await site.rollout(id)).toMatchObject({
      phase: 'cancelled',
      stage: null,
      message: 'Cancelled: refs/tags/v1.0.0 was deleted before it was deployed',
    });
    expect((await site.events()).at(-1)).toMatchObject({ kind: 'deleted', sha: null });
    await site.match();
    expect(await site.rollouts()).toHaveLength(1);
  });

  it('a tag object in the payload is where its commit is, which the rollout and its status then name', async () => {
    const { site, iris } = await siteWithIris();
    const commit = site.forge.commit(iris, { 'README.md': CARD });
    const object = site.forge.annotate(iris, TAG, commit);
    await site.tell({ repository: iris, ref: TAG, after: object });
    await site.match();
    await resolve(site);
    await runStage(createReport(site));
    expect(one(await site.rollouts())).toMatchObject({ stage: 'deliver', sha: commit });
    expect(site.forge.statusesOf(iris, commit).get(CONTEXT)).toMatchObject({ state: 'pending' });
    expect(site.forge.statusesOf(iris, object).size).toBe(0);
  });

  it('a failure of such a rollout, too, is said on the commit', async () => {
    const { site, iris } = await siteWithIris();
    const commit = site.forge.commit(iris, { 'model.bin': '0' });
    const object = site.forge.annotate(iris, TAG, commit);
    await site.tell({ repository: iris, ref: TAG, after: object });
    await site.match();
    await resolve(site);
    await runStage(createReport(site));
    expect(one(await site.rollouts())).toMatchObject({ phase: 'failed', sha: commit });
    expect(site.forge.statusesOf(iris, commit).get(CONTEXT)).toMatchObject({ state: 'failed' });
    expect(site.forge.statusesOf(iris, object).size).toBe(0);
  });

  it('a commit that is not there fails the rollout', async () => {
    const { site, iris } = await siteWithIris();
    const lost = 'f'.repeat(40);
    site.forge.point(iris, TAG, lost);
    await site.tell({ repository: iris, ref: TAG, after: lost });
    await site.match();
    await resolve(site);
    expect(one(await site.rollouts())).toMatchObject({
      phase: 'failed',
      message: expect.stringContaining('no such commit is in the repository'),
    });
  });

  it('a repository that is not found is a failing forge: the rollout waits, and nothing is concluded', async () => {
    const site = await createSite();
    await site.tell({ repository: 'plain:ml/lost', after: 'a'.repeat(40) });
    await site.match();
    await resolve(site);
    expect(one(await site.rollouts())).toMatchObject({
      phase: 'pending',
      stage: 'resolve',
      attempts: 1,
      waitingSince: NOON,
      message: 'Trying again: plain:ml/lost was not found',
    });
    expect(await site.events()).toHaveLength(1);

    const found = site.forge.create('ml/lost');
    site.forge.point(found, TAG, site.forge.commit(found, { 'README.md': CARD }));
    site.clock.now += MINUTE;
    await resolve(site);
    expect(one(await site.rollouts())).toMatchObject({ phase: 'superseded', attempts: 1 });
  });

  it('a forge that is down is tried again until it answers, and its failures are then forgotten', async () => {
    const { site, iris } = await siteWithIris();
    const { id } = await site.rollOut(iris);
    site.forge.down = new Error('no answer');
    await resolve(site);
    expect(await resolve(site)).toBe(0);
    site.clock.now += MINUTE;
    await resolve(site);
    expect(await site.rollout(id)).toMatchObject({ stage: 'resolve', attempts: 2, waitingSince: NOON });
    site.forge.down = null;
    site.clock.now += MINUTE;
    await resolve(site);
    expect(await site.rollout(id)).toMatchObject({ stage: 'deliver', attempts: 0, waitingSince: null });
  });

  it('a ref that nobody moved is found by a listing to be known, with its tag object or its commit', async () => {
    const { site, iris } = await siteWithIris();
    const commit = site.forge.commit(iris, { 'README.md': CARD });
    const object = site.forge.annotate(iris, TAG, commit);
    await site.tell({ repository: iris, ref: TAG, after: object });
    await site.match();
    await resolve(site);
    await runStage(createListRefs(site));
    expect(await site.events()).toHaveLength(1);
  });
});

describe('a model card', () => {
  const LIMIT = 1024 * 1024;
  it.each([
    [
      'that is missing',
      { 'model.bin': '0' },
      'there is no README.md at this commit; add one whose front matter names library_name, or set spec.modelFormat in the policy',
    ],
    [
      'that is too large',
      { 'README.md': CARD.padEnd(LIMIT + 1) },
      'README.md has 1048577 bytes, over the limit of 1 MiB; shorten it, or set spec.modelFormat in the policy',
    ],
    [
      'in Git LFS',
      { 'README.md': 'version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12\n' },
      'the model card (README.md) is a Git LFS pointer, not the text itself; keep README.md out of Git LFS (git lfs untrack README.md) and push again',
    ],
    [
      'that is bad YAML',
      { 'README.md': '---\nlibrary_name: "sklearn\n---\n' },
      expect.stringMatching(
        /^the front matter of the model card is unreadable: README\.md:\d+:\d+: .+; correct the YAML between the two lines "---" at the top of README\.md$/,
      ),
    ],
    [
      'without a library',
      { 'README.md': '---\nlicense: mit\n---\n' },
      'the model card (README.md) has no library_name, so the model format is not known; add library_name to its front matter, or set spec.modelFormat in the policy',
    ],
    [
      'without front matter',
      { 'README.md': '# Iris\n' },
      'the model card (README.md) has no library_name, so the model format is not known; add library_name to its front matter, or set spec.modelFormat in the policy',
    ],
  ])('%s fails the rollout in words that help', async (_, files, message) => {
    const { site, iris } = await siteWithIris();
    const { id } = await site.rollOut(iris, 'v1.0.0', files);
    await resolve(site);
    expect(await site.rollout(id)).toMatchObject({ phase: 'failed', stage: null, message, manifest: null });
  });

  it('of exactly 1 MiB is read', async () => {
    const { site, iris } = await siteWithIris();
    const { id } = await site.rollOut(iris, 'v1.0.0', { 'README.md': CARD.padEnd(LIMIT, '#') });
    await resolve(site);
    expect(await site.rollout(id)).toMatchObject({ stage: 'deliver' });
  });

  it('is not needed where the policy names the model format', async () => {
    const { site, iris } = await siteWithIris();
    usePolicy(site, { modelFormat: { name: 'sklearn' } });
    const { id } = await site.rollOut(iris, 'v1.0.0', { 'model.bin': '0' });
    await resolve(site);
    expect(await site.rollout(id)).toMatchObject({ stage: 'deliver' });
  });

  it('is kept all the same, with what else the plan was made from: another revision of the policy may need it', async () => {
    const { site, iris } = await siteWithIris();
    usePolicy(site, { modelFormat: { name: 'sklearn' } });
    const { id } = await site.rollOut(iris);
    await resolve(site);
    expect(await site.store.policyChanges.deployed()).toMatchObject([
      { rolloutId: id, inputs: { modelCard: { library: 'sklearn' }, runtimes: null, projectId: '1' } },
    ]);
  });

  it('is needed all the same where a template of the policy names it', async () => {
    const { site, iris } = await siteWithIris();
    usePolicy(site, { modelFormat: { name: 'sklearn' }, labels: { library: `\${modelCard.library}` } });
    const { id } = await site.rollOut(iris, 'v1.0.0', { 'model.bin': '0' });
    await resolve(site);
    expect(await site.rollout(id)).toMatchObject({
      phase: 'failed',
      message: expect.stringMatching(/^there is no README\.md at this commit/),
    });
  });
});

describe('a rollout of a repository that was renamed', () => {
  it('is matched and planned by the name it has today', async () => {
    const { site, iris } = await siteWithIris();
    const { id } = await site.rollOut(iris);
    const rose = site.forge.rename(iris, 'ml/rose');
    await resolve(site);
    const rollout = await site.rollout(id);
    expect(rollout).toMatchObject({ repository: rose, stage: 'deliver', target: { name: 'rose' } });
    expect(rollout.manifest).toContain(`modelhook.dev/repository: ${rose}`);
    expect(site.log.lines).toContainEqual({
      level: 'info',
      fields: { repository: rose, formerly: iris },
      message: 'the repository has another name now',
    });
  });

  it('is cancelled where no name it has today matches its policy', async () => {
    const { site, iris } = await siteWithIris();
    const { id } = await site.rollOut(iris);
    site.forge.rename(iris, 'attic/iris');
    await resolve(site);
    expect(await site.rollout(id)).toMatchObject({
      repository: 'plain:attic/iris',
      phase: 'cancelled',
      message: expect.stringMatching(/no longer deploys it: repository plain:attic\/iris matches none/),
    });
  });

  it('repeats no other that was told of under the other name', async () => {
    const { site, iris } = await siteWithIris();
    const first = await site.rollOut(iris);
    await resolve(site);
    const rose = site.forge.rename(iris, 'ml/rose');
    await site.tell({ repository: rose, ref: TAG, after: first.sha });
    await site.match();
    const [, second] = await site.rollouts();
    await resolve(site);
    expect(await site.rollouts()).toMatchObject([{ id: first.id, repository: rose, stage: 'deliver' }]);
    expect(site.log.lines.at(-1)).toEqual({
      level: 'info',
      fields: { rollout: second?.id, repository: rose, ref: TAG },
      message: 'told before under another name; the rollout of that goes on',
    });
  });

  it('ends quietly where it is found to repeat another while the forge does not answer', async () => {
    const { site, iris } = await siteWithIris();
    const first = await site.rollOut(iris);
    await resolve(site);
    const rose = site.forge.rename(iris, 'ml/rose');
    await site.tell({ repository: rose, ref: TAG, after: first.sha });
    await site.match();
    vi.spyOn(site.forge.repositories, 'identify').mockImplementationOnce(async () => {
      await site.store.repositories.identify(iris, { repository: rose, projectId: '1' });
      throw new Error('no answer');
    });
    await resolve(site);
    expect(await site.rollouts()).toMatchObject([{ id: first.id }]);
    expect(site.log.lines.at(-1)?.message).toMatch(/^told before/);
  });

  it('fails where its name leads to another repository, which it was not pushed to', async () => {
    const { site, iris } = await siteWithIris();
    await site.store.repositories.identify(iris, { repository: iris, projectId: 'of another' });
    const { id } = await site.rollOut(iris);
    site.forge.rename(iris, 'ml/rose');
    await resolve(site);
    expect(await site.rollout(id)).toMatchObject({
      phase: 'failed',
      message:
        'plain:ml/iris leads to plain:ml/rose now, which is another repository than the one this was pushed to; push the tag again where it belongs',
    });
  });
});

describe('what the forge is asked about a name', () => {
  const push = async (site: Site, repository: string, tag: string, projectId: string | null) => {
    const sha = site.forge.commit(repository, { 'README.md': CARD });
    site.forge.point(repository, `refs/tags/${tag}`, sha);
    await site.tell({ repository, ref: `refs/tags/${tag}`, after: sha, projectId });
    await site.match();
    await resolve(site);
    return (await site.rollouts()).at(-1);
  };

  it('is asked once a repository, and again where a payload tells another number', async () => {
    const { site, iris } = await siteWithIris();
    const identify = vi.spyOn(site.forge.repositories, 'identify');
    for (const tag of ['v1', 'v2', 'v3']) await push(site, iris, tag, '1');
    expect(identify).toHaveBeenCalledTimes(1);
    await push(site, iris, 'v4', '666');
    expect(identify).toHaveBeenCalledTimes(2);
  });

  it('decides the number in the plan, whatever a payload says', async () => {
    const { site, iris } = await siteWithIris();
    const containers = [{ name: 'kserve-container', image: 'mlserver:1' }];
    const labels = { 'cpaas.io/runtime-class': 'mlserver' };
    const runtime = runtimeText('mlserver', { containers, protocolVersions: ['v2'] }, { labels });
    usePolicy(site, { conventions: 'alauda', storage: null }, runtime);
    for (const number of ['666', '1', null])
      expect((await push(site, iris, `v-${number}`, number))?.manifest).toMatch(/aml-model-repo-id: "1"/);
  });

  it('is asked again as any question is, while it does not answer', async () => {
    const { site, iris } = await siteWithIris();
    const { id } = await site.rollOut(iris);
    vi.spyOn(site.forge.repositories, 'identify').mockRejectedValueOnce(new Error('no answer'));
    await resolve(site);
    expect(await site.rollout(id)).toMatchObject({ stage: 'resolve', message: 'Trying again: no answer' });
    site.clock.now += MINUTE;
    await resolve(site);
    expect(await site.rollout(id)).toMatchObject({ stage: 'deliver' });
  });

  it('leaves a plain Git server alone', async () => {
    const { site, iris } = await siteWithIris();
    vi.spyOn(site.forge.repositories, 'identify').mockResolvedValue({ repository: iris, projectId: null });
    expect(await push(site, iris, 'v1', null)).toMatchObject({ repository: iris, stage: 'deliver' });
    expect(await site.store.repositories.projectIdOf(iris)).toBeNull();
  });
});

describe('a target whose cluster can be read', () => {
  const known = (cluster: FakeCluster, over: Partial<FakeCluster['known']>) => {
    cluster.known = { ...cluster.known, ...over };
  };

  async function siteWithCluster() {
    const { site, iris } = await siteWithIris();
    const cluster = new FakeCluster();
    site.clusters.set('default', cluster);
    const { id } = await site.rollOut(iris);
    return { site, cluster, id };
  }
  /** Those of a catalogue, as though a cluster had them. */
  const runtimes = (...texts: string[]) => ({
    source: 'cluster default',
    runtimes: policySet('', policyText(), ...texts).runtimes,
  });

  it('takes version, structure and runtimes from there, before the configuration and the catalogue', async () => {
    const { site, cluster, id } = await siteWithCluster();
    usePolicy(site, { runtime: null }, runtimeText('of-the-catalogue'));
    known(cluster, { kserveVersion: '0.15', runtimes: runtimes(runtimeText('of-the-cluster')) });
    await resolve(site);
    const { manifest, plan } = await site.rollout(id);
    expect(manifest).toContain('runtime: of-the-cluster');
    expect(manifest).toContain('serving.kserve.io/deploymentMode: RawDeployment');
    expect(plan?.decisions).toContainEqual(expect.stringContaining('cluster default'));
  });

  it('refuses what its own CRD does not have', async () => {
    const { site, cluster, id } = await siteWithCluster();
    usePolicy(site, { rollout: { strategy: 'Recreate' } });
    known(cluster, { structure: reduceCrd(SMALL_CRD) });
    await resolve(site);
    expect(await site.rollout(id)).toMatchObject({
      phase: 'failed',
      message: expect.stringContaining('does not have the structure KServe expects'),
    });
  });

  it('has the mode that its cluster can run', async () => {
    const { site, cluster, id } = await siteWithCluster();
    usePolicy(site, { replicas: { min: 1, max: 3 } });
    known(cluster, { knative: false });
    await resolve(site);
    expect((await site.rollout(id)).manifest).toContain('serving.kserve.io/deploymentMode: Standard');
  });

  it('waits right after the start, until the cluster has been read', async () => {
    const { site, cluster, id } = await siteWithCluster();
    const forbidden = 'cluster default forbids user "ci" to list and watch services';
    for (const warnings of [[], [forbidden]]) {
      known(cluster, { complete: false, kserveVersion: '0.20.0', warnings });
      await resolve(site);
      expect(await site.rollout(id)).toMatchObject({
        stage: 'resolve',
        message: 'Waiting for cluster default to be read',
      });
      site.clock.now += SECOND;
    }
    known(cluster, { complete: true });
    site.clock.now += MINUTE;
    await resolve(site);
    expect(await site.rollout(id)).toMatchObject({ stage: 'deliver' });
  });

  it('goes on with the catalogue where the cluster cannot be read, and says so', async () => {
    const { site, cluster, id } = await siteWithCluster();
    usePolicy(site, { runtime: null }, runtimeText('of-the-catalogue'));
    known(cluster, { warnings: ['cluster default cannot be reached since 12:00 UTC'] });
    await resolve(site);
    expect(await site.rollout(id)).toMatchObject({
      stage: 'deliver',
      manifest: expect.stringContaining('runtime: of-the-catalogue'),
      plan: { warnings: [expect.stringContaining('cannot be reached')] },
    });
  });

  it.each([
    ['what is applied to it', { delivery: { apply: true } }],
    ['what cannot be decided without it', { runtime: null }],
  ])('keeps %s waiting while nothing of it can be read, and goes on when it can', async (_, policy) => {
    const { site, cluster, id } = await siteWithCluster();
    usePolicy(site, policy);
    known(cluster, { warnings: ['cluster default cannot be reached since 12:00 UTC'] });
    await resolve(site);
    expect(await site.rollout(id)).toMatchObject({
      stage: 'resolve',
      message: 'Waiting: cluster default cannot be reached since 12:00 UTC',
    });
    known(cluster, { runtimes: runtimes(runtimeText('mlserver')), knative: false, warnings: [] });
    site.clock.now += MINUTE;
    await resolve(site);
    expect(await site.rollout(id)).toMatchObject({ stage: 'deliver' });
  });

  it('goes on, and says why, where a part of the cluster may not be read', async () => {
    const { site, cluster, id } = await siteWithCluster();
    cluster.become({ trouble: { since: NOON, message: 'cluster default forbids to watch services' } });
    await resolve(site);
    expect((await site.rollout(id)).plan?.warnings).toContain('cluster default forbids to watch services');
  });

  it('may be applied to, where it is no longer a GitOps repository that is needed', async () => {
    const { site, id } = await siteWithCluster();
    usePolicy(site, { delivery: { apply: true } });
    await resolve(site);
    expect(await site.rollout(id)).toMatchObject({ stage: 'deliver', plan: { gitops: null } });
    expect(await site.store.rollouts.claim('deliver', 1, { destinations: ['apply/default'] })).toEqual([]);
  });

  it('may not be applied to without access', async () => {
    const { site, id } = await siteWithCluster();
    usePolicy(site, { delivery: { apply: true } });
    site.clusters.clear();
    await resolve(site);
    expect(await site.rollout(id)).toMatchObject({
      phase: 'failed',
      message: expect.stringMatching(/applies to cluster "default", which this controller cannot reach; set/),
    });
  });
});

describe('a rollout that cannot be planned', () => {
  it('says which runtime does not fit and what would', async () => {
    const { site, iris } = await siteWithIris();
    usePolicy(site, {}, runtimeText('mlserver', { supportedModelFormats: [{ name: 'xgboost' }] }));
    const { id } = await site.rollOut(iris);
    await resolve(site);
    expect(await site.rollout(id)).toMatchObject({
      phase: 'failed',
      message: expect.stringMatching(/xgboost/),
    });
  });

  it('is cancelled where its policy is gone', async () => {
    const { site, iris } = await siteWithIris();
    const { id } = await site.rollOut(iris);
    site.policies.set = policySet('beefbeefbeef', policyText({}, 'other'));
    await resolve(site);
    expect(await site.rollout(id)).toMatchObject({
      phase: 'cancelled',
      message: 'Cancelled: policy "production" is no longer among the policies at beefbee',
    });
  });

  it('is cancelled where its policy matches it no more', async () => {
    const { site, iris } = await siteWithIris();
    const { id } = await site.rollOut(iris);
    usePolicy(site, { match: { repositories: ['plain:ml/**'], tags: ['release-*'] } });
    await resolve(site);
    expect(await site.rollout(id)).toMatchObject({
      phase: 'cancelled',
      message: 'Cancelled: policy "production" no longer deploys it: tag v1.0.0 matches none of release-*',
    });
  });

  it('fails where its forge is no longer configured', async () => {
    const { site, iris } = await siteWithIris();
    const { id } = await site.rollOut(iris);
    site.forges.clear();
    await resolve(site);
    expect(await site.rollout(id)).toMatchObject({
      phase: 'failed',
      message: 'the forge "plain" of plain:ml/iris is not configured; add it to forges in modelhook.yaml',
    });
  });

  it('waits while no policies are in force', async () => {
    const { site, iris } = await siteWithIris();
    const { id } = await site.rollOut(iris);
    site.policies.set = null;
    expect(await runStage(createResolve(site))).toBe(0);
    expect(await site.rollout(id)).toMatchObject({ phase: 'pending', attempts: 0 });
  });

  it('fails by a bug of ours after five attempts, and no sooner', async () => {
    const { site, iris } = await siteWithIris();
    const { id } = await site.rollOut(iris);
    vi.spyOn(site.forge.repositories, 'readRef').mockRejectedValue(new TypeError('x is not a function'));
    for (let attempt = 1; attempt <= 5; attempt += 1) {
      expect(await site.rollout(id)).toMatchObject({ phase: 'pending' });
      expect(await resolve(site)).toBe(1);
      site.clock.now += 5 * MINUTE;
    }
    expect(await site.rollout(id)).toMatchObject({
      phase: 'failed',
      message: expect.stringMatching(/^modelhook made a mistake \(error [0-9a-f-]{36}\)/),
    });
  });
});

describe('a suspended policy', () => {
  it('lets its rollouts wait, says so on the commit, and lets them go on when it is lifted', async () => {
    const { site, iris } = await siteWithIris();
    usePolicy(site, { suspend: true });
    const { id, sha } = await site.rollOut(iris);
    await resolve(site);
    await runStage(createReport(site));
    const message = 'Waiting: policy "production" is suspended';
    expect(await site.rollout(id)).toMatchObject({
      phase: 'pending',
      stage: 'resolve',
      message,
      attempts: 0,
    });
    expect(site.forge.statusesOf(iris, sha).get(CONTEXT)).toMatchObject({
      state: 'pending',
      description: message,
    });

    expect(await resolve(site)).toBe(0);
    usePolicy(site, {});
    site.clock.now += MINUTE;
    expect(await resolve(site)).toBe(1);
    expect(await site.rollout(id)).toMatchObject({ stage: 'deliver', message: 'Queued for production' });
  });

  it('stays silent after it has said so', async () => {
    const { site, iris } = await siteWithIris();
    usePolicy(site, { suspend: true });
    const { id } = await site.rollOut(iris);
    for (let minute = 0; minute < 3; minute += 1) {
      await resolve(site);
      site.clock.now += MINUTE;
    }
    expect((await site.rollout(id)).transitions).toHaveLength(2);
  });

  it('does not ask the forge again while nothing changes', async () => {
    const { site, iris } = await siteWithIris();
    usePolicy(site, { suspend: true });
    await site.rollOut(iris);
    const readRef = vi.spyOn(site.forge.repositories, 'readRef');
    for (let minute = 0; minute < 3; minute += 1) {
      await resolve(site);
      site.clock.now += MINUTE;
    }
    expect(readRef).toHaveBeenCalledTimes(1);
  });

  it('deploys only the newest of a target once it is lifted', async () => {
    const { site, iris } = await siteWithIris();
    usePolicy(site, { suspend: true });
    const older = await site.rollOut(iris, 'v1.0.0');
    await resolve(site);
    const newer = await site.rollOut(iris, 'v1.1.0');
    await resolve(site);
    expect(await site.rollout(older.id)).toMatchObject({
      phase: 'superseded',
      message: 'Superseded by v1.1.0',
    });
    expect(await site.rollout(newer.id)).toMatchObject({ phase: 'pending', stage: 'resolve' });
    usePolicy(site, {});
    site.clock.now += MINUTE;
    await resolve(site);
    expect(await site.rollout(newer.id)).toMatchObject({ stage: 'deliver', manifest: expect.any(String) });
  });

  it('deploys only where its branch is once it is lifted, wherever it was meanwhile', async () => {
    const { site, iris } = await siteWithIris();
    const match = { repositories: ['plain:ml/**'], branches: ['main'] };
    usePolicy(site, { match, suspend: true });
    const pushed = [];
    for (let push = 0; push < 3; push += 1) {
      const sha = site.forge.commit(iris, { 'README.md': CARD });
      await site.tell({
        repository: iris,
        ref: 'refs/heads/main',
        before: pushed.at(-1) ?? null,
        after: sha,
      });
      await site.match();
      await resolve(site);
      pushed.push(sha);
    }
    usePolicy(site, { match });
    site.clock.now += MINUTE;
    await resolve(site);
    expect(await site.rollouts()).toMatchObject([
      { sha: pushed[0], phase: 'superseded' },
      { sha: pushed[1], phase: 'superseded' },
      { sha: pushed[2], stage: 'deliver' },
    ]);
  });

  it('cancels at its end what was deleted meanwhile', async () => {
    const { site, iris } = await siteWithIris();
    usePolicy(site, { suspend: true });
    const { id } = await site.rollOut(iris);
    await resolve(site);
    site.forge.remove(iris, TAG);
    usePolicy(site, {});
    site.clock.now += MINUTE;
    await resolve(site);
    expect(await site.rollout(id)).toMatchObject({ phase: 'cancelled' });
  });

  it('plans what waits by the policies that lift it', async () => {
    const { site, iris } = await siteWithIris();
    usePolicy(site, { suspend: true, replicas: { min: 1, max: 1 } });
    const { id } = await site.rollOut(iris);
    await resolve(site);
    usePolicy(site, { replicas: { min: 2, max: 2 } });
    site.clock.now += MINUTE;
    await resolve(site);
    expect((await site.rollout(id)).manifest).toContain('minReplicas: 2');
  });

  it('lets what is wrong wait, too: it may be mended until then', async () => {
    const { site, iris } = await siteWithIris();
    usePolicy(site, { suspend: true });
    const { id } = await site.rollOut(iris, 'v1.0.0', { 'README.md': '# no card\n' });
    await resolve(site);
    expect(await site.rollout(id)).toMatchObject({
      phase: 'pending',
      message: expect.stringMatching(/^Waiting/),
    });
    usePolicy(site, {});
    site.clock.now += MINUTE;
    await resolve(site);
    expect(await site.rollout(id)).toMatchObject({ phase: 'failed' });
  });

  it('that is lifted while its rollout is planned holds it no longer', async () => {
    const { site, iris } = await siteWithIris();
    usePolicy(site, { suspend: true });
    const { id } = await site.rollOut(iris);
    const { readRef } = site.forge.repositories;
    vi.spyOn(site.forge.repositories, 'readRef').mockImplementationOnce(async (...asked) => {
      site.policies.set = policySet('lifted', policyText({}));
      return readRef(...asked);
    });
    await resolve(site);
    expect(await site.rollout(id)).toMatchObject({ stage: 'deliver', policyRevision: 'lifted' });
  });

  it('does not keep a rollout whose ref moved on', async () => {
    const { site, iris } = await siteWithIris();
    usePolicy(site, { suspend: true });
    const { id } = await site.rollOut(iris);
    site.forge.point(iris, TAG, site.forge.commit(iris, {}));
    await resolve(site);
    expect(await site.rollout(id)).toMatchObject({ phase: 'superseded' });
  });
});

describe('policies that come into force while a rollout is resolved', () => {
  /** Merges while the forge is asked for the ref. */
  function meanwhile(site: Site, merge: () => Promise<void> | void): void {
    const { readRef } = site.forge.repositories;
    vi.spyOn(site.forge.repositories, 'readRef').mockImplementationOnce(async (...asked) => {
      await merge();
      return readRef(...asked);
    });
  }

  it('decide it, and not those it was begun with', async () => {
    const { site, iris } = await siteWithIris();
    const { id } = await site.rollOut(iris);
    meanwhile(site, () => usePolicy(site, { replicas: { min: 2, max: 2 } }));
    await resolve(site);
    const rollout = await site.rollout(id);
    expect(rollout).toMatchObject({ stage: 'deliver', policyRevision: 'beef' });
    expect(rollout.manifest).toContain('minReplicas: 2');
  });

  it('decide also whether it fails', async () => {
    const { site, iris } = await siteWithIris();
    const { id } = await site.rollOut(iris, 'v1.0.0', { 'README.md': '# no card\n' });
    meanwhile(site, () => usePolicy(site, { modelFormat: { name: 'sklearn' } }));
    await resolve(site);
    expect(await site.rollout(id)).toMatchObject({ stage: 'deliver', policyRevision: 'beef' });
  });

  it('and are carried out before its plan is stored have it planned once more', async () => {
    const { site, iris } = await siteWithIris();
    const { id } = await site.rollOut(iris);
    meanwhile(site, () => site.store.policyChanges.begin('beef'));
    await resolve(site);
    expect(await site.rollout(id)).toMatchObject({ stage: 'resolve', plan: null });
    usePolicy(site, { replicas: { min: 2, max: 2 } });
    await resolve(site);
    expect(await site.rollout(id)).toMatchObject({ stage: 'deliver', policyRevision: 'beef' });
  });
});

describe('two rollouts of one target', () => {
  it('the newer one ends the older once its plan is stored', async () => {
    const { site, iris } = await siteWithIris();
    const older = await site.rollOut(iris, 'v1.0.0');
    await resolve(site);
    const newer = await site.rollOut(iris, 'v1.1.0');
    expect(await site.rollout(older.id)).toMatchObject({ phase: 'pending' });
    await resolve(site);
    expect(await site.rollout(older.id)).toMatchObject({
      phase: 'superseded',
      stage: null,
      message: 'Superseded by v1.1.0',
    });
    expect(await site.rollout(newer.id)).toMatchObject({ stage: 'deliver' });
  });

  it('the newer one that cannot be planned supersedes nothing', async () => {
    const { site, iris } = await siteWithIris();
    const older = await site.rollOut(iris, 'v1.0.0');
    await resolve(site);
    const newer = await site.rollOut(iris, 'v1.1.0', { 'README.md': '# no card\n' });
    await resolve(site);
    expect(await site.rollout(newer.id)).toMatchObject({ phase: 'failed' });
    expect(await site.rollout(older.id)).toMatchObject({ stage: 'deliver' });
  });

  it('the older one that is planned later ends itself', async () => {
    const { site, iris } = await siteWithIris();
    const older = await site.rollOut(iris, 'v1.0.0');
    site.forge.down = new Error('no answer');
    await resolve(site);
    site.forge.down = null;
    const newer = await site.rollOut(iris, 'v1.1.0');
    await resolve(site);
    site.clock.now += MINUTE;
    await resolve(site);
    expect(await site.rollout(older.id)).toMatchObject({
      phase: 'superseded',
      message: 'Superseded by v1.1.0',
    });
    expect(await site.rollout(newer.id)).toMatchObject({ stage: 'deliver' });
  });

  it('of two policies: the second is refused with both names', async () => {
    const { site, iris } = await siteWithIris();
    const event = await site
      .tag(iris, 'v1.0.0')
      .then(() => site.events())
      .then(one);
    const drafts = [
      { policy: 'production', environment: 'production' },
      { policy: 'canary', environment: 'canary' },
    ];
    await site.store.events.matched([{ event, policyRevision: 'c0ffee', drafts }]);
    // Loading would call these a conflict; which one is seen only at run time, where templates meet.
    const [production, canary] = [policySet('x', policyText()), policySet('x', policyText({}, 'canary'))];
    site.policies.set = { ...production, policies: [...production.policies, ...canary.policies] };
    await resolve(site);
    const failed = one((await site.rollouts()).filter(({ phase }) => phase === 'failed'));
    expect(failed.message).toMatch(
      /^policies "(production|canary)" and "(production|canary)" both deploy refs\/tags\/v1\.0\.0 to default\/vision\/iris; /,
    );
    expect((await site.rollouts()).filter(({ stage }) => stage === 'deliver')).toHaveLength(1);
  });
});

describe('a retry concerns its commit, wherever the ref points to now', () => {
  const FAILED = { phase: 'failed', stage: null, message: 'It is broken' } as const;

  it('moved on: the commit of the retried rollout is deployed by the policies of today, and no event is made', async () => {
    const { site, iris } = await siteWithIris();
    const { id, sha } = await site.rollOut(iris, 'v1.0.0', {
      'README.md': CARD.replace('sklearn', 'xgboost'),
    });
    await site.store.rollouts.advance(id, FAILED);
    site.forge.point(iris, TAG, site.forge.commit(iris, { 'README.md': CARD }));
    usePolicy(site, { target: { namespace: 'newer' } });
    const retried = await site.store.requests.retry(id);
    await resolve(site);
    const rollout = await site.rollout(retried?.id ?? '');
    expect(rollout).toMatchObject({ stage: 'deliver', sha, target: { namespace: 'newer' } });
    expect(rollout.manifest).toContain('name: xgboost');
    expect(rollout.manifest).toContain(`storageUri: s3://models/ml/iris/${sha}`);
    expect(await site.events()).toHaveLength(1);
  });

  it('deleted: it is deployed all the same', async () => {
    const { site, iris } = await siteWithIris();
    const { id, sha } = await site.rollOut(iris);
    await site.store.rollouts.advance(id, FAILED);
    site.forge.remove(iris, TAG);
    const retried = await site.store.requests.retry(id);
    await resolve(site);
    expect(await site.rollout(retried?.id ?? '')).toMatchObject({ stage: 'deliver', sha });
  });

  it('told as a tag object: the commit it leads to is deployed', async () => {
    const { site, iris } = await siteWithIris();
    const sha = site.forge.commit(iris, { 'README.md': CARD });
    const object = site.forge.annotate(iris, TAG, sha);
    await site.tell({ repository: iris, after: object });
    await site.match();
    const { id } = one(await site.rollouts());
    await site.store.rollouts.advance(id, FAILED);
    const retried = await site.store.requests.retry(id);
    await resolve(site);
    expect(await site.rollout(retried?.id ?? '')).toMatchObject({ stage: 'deliver', sha });
  });
});
