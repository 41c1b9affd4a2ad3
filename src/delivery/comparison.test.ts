import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { GitRepository } from '../../test/git-repository.ts';
import { StalledError } from '../core/errors.ts';
import { parseManifest } from '../core/inference-service.ts';
import { Mirror } from '../git/mirror.ts';
import { createFakeCluster, type FakeCluster } from './apply.fixture.ts';
import { type Comparison, createComparison } from './comparison.ts';
import { deliveryOf, manifestOf } from './contract.ts';

const IRIS = { namespace: 'models', name: 'iris' };
const mine = deliveryOf('r1');
const newer = deliveryOf('r2', { revision: 'v2.0.0' });
const OTHERS = manifestOf('plain:ml/other', IRIS);
const taken = /belongs to plain:ml\/other, which deployed it first; plain:ml\/iris cannot take it/;

describe('a comparison with the file of a GitOps repository', () => {
  let root: string;
  let fleet: GitRepository;
  let mirror: Mirror;
  let comparison: Comparison;

  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), 'modelhook-comparison-'));
    fleet = GitRepository.create(join(root, 'fleet.git'));
    fleet.commit({ [mine.path]: mine.manifest, 'taken.yaml': OTHERS });
  });
  afterAll(() => rmSync(root, { recursive: true }));
  beforeEach(() => {
    mirror = new Mirror(join(root, 'cache'), 'fleet', async () => ({ url: fleet.dir, env: {}, config: [] }));
    comparison = comparisonOn('main');
  });

  const comparisonOn = (branch: string): Comparison =>
    createComparison({ branches: new Map([['fleet', { mirror, branch }]]), appliers: new Map() });

  it('has the file as it is and as it would be, and changes nothing', async () => {
    const head = fleet.read('refs/heads/main');
    expect(await comparison.inRepository('fleet', newer)).toEqual({
      now: mine.manifest,
      next: newer.manifest,
    });
    expect(await comparison.inRepository('fleet', mine)).toEqual({ now: mine.manifest, next: mine.manifest });
    expect(fleet.read('refs/heads/main')).toBe(head);
  });

  it.each(['main', 'not-yet'])('has nothing now where branch %s has no such file', async (branch) => {
    const elsewhere = { ...mine, path: 'elsewhere.yaml' };
    expect(await comparisonOn(branch).inRepository('fleet', elsewhere)).toEqual({
      now: null,
      next: mine.manifest,
    });
  });

  it('is refused in the words of the delivery', async () => {
    const asked = comparison.inRepository('fleet', { ...mine, path: 'taken.yaml' });
    await expect(asked).rejects.toThrow(taken);
    const asNew = comparison.inRepository('fleet', { ...newer, updateExisting: false });
    await expect(asNew).rejects.toThrow(/exists, and policy "production" has updateExisting: false/);
  });

  it('fetches the branch once, however many files are asked for', async () => {
    const fetch = vi.spyOn(mirror, 'fetchBranch');
    await Promise.all([comparison.inRepository('fleet', mine), comparison.inRepository('fleet', newer)]);
    expect(fetch).toHaveBeenCalledTimes(1);
  });

  it('is of none that modelhook.yaml does not have', async () => {
    const asked = comparison.inRepository('flet', mine);
    await expect(asked).rejects.toThrow(StalledError);
    await expect(asked).rejects.toThrow('the GitOps repository "flet" is not configured');
  });
});

describe('a comparison with a cluster', () => {
  let cluster: FakeCluster;
  let comparison: Comparison;
  beforeEach(() => {
    cluster = createFakeCluster();
    comparison = createComparison({ branches: new Map(), appliers: new Map([['default', cluster]]) });
  });
  const applied = (text: string) => cluster.applyAs('modelhook', parseManifest(text));

  it('has what the API server would make of it, and writes nothing', async () => {
    cluster.admit = (object) => ({ ...object, spec: { admitted: true } });
    expect(await comparison.inCluster(mine)).toEqual({
      now: null,
      next: expect.objectContaining({ spec: { admitted: true } }),
    });
    expect(cluster.calls).toEqual(['get iris', 'dry run iris']);
    expect(cluster.live(IRIS)).toBeNull();
  });

  it('has the live object beside it', async () => {
    applied(mine.manifest);
    const { now, next } = await comparison.inCluster(newer);
    expect(now).toEqual(await cluster.get(IRIS));
    expect(next).toMatchObject({
      spec: { predictor: { annotations: { 'modelhook.dev/revision': 'v2.0.0' } } },
    });
  });

  it('is refused in the words of the delivery', async () => {
    applied(OTHERS);
    await expect(comparison.inCluster(mine)).rejects.toThrow(taken);
    expect(cluster.calls).toEqual(['get iris']);
  });

  it('where the policy makes new services only, is refused unless nothing would change', async () => {
    applied(mine.manifest);
    const { now, next } = await comparison.inCluster({ ...mine, updateExisting: false });
    expect(next).toEqual(now);
    await expect(comparison.inCluster({ ...newer, updateExisting: false })).rejects.toThrow(
      /exists, and policy "production" has updateExisting: false/,
    );
  });

  it('is of none that modelhook.yaml gives no access to', async () => {
    const blind = createComparison({ branches: new Map(), appliers: new Map() });
    await expect(blind.inCluster(mine)).rejects.toThrow(
      'modelhook.yaml gives no access to cluster "default"',
    );
  });
});
