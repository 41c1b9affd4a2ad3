/** Deployed targets for tests, and changes of policies planned with them. */
import type { Deployed, KnownRef } from './deployed.ts';
import { loadGood, runtimeText } from './policy.fixture.ts';
import { type PolicyChanges, planChanges } from './policy-changes.ts';
import { policiesByName } from './policy-differences.ts';
import type { Diff } from './target-changes.ts';
import { claimOn, inMode, render } from './target-claim.ts';

const SHA = '1234567'.padEnd(40, 'a');

/** @returns `plain:ml/vision/iris` at v1.0.0, deployed as `default/vision/iris` by the policy `production` */
export const deployedOf = (over: Partial<Deployed> = {}): Deployed => ({
  rolloutId: 'r1',
  repository: 'plain:ml/vision/iris',
  ref: 'refs/tags/v1.0.0',
  sha: SHA,
  policy: 'production',
  target: { cluster: 'default', namespace: 'vision', name: 'iris' },
  inputs: {
    modelCard: { library: 'sklearn', pipelineTag: null, license: null, tags: [], baseModel: [] },
    kserve: { version: null },
    runtimes: null,
    knative: null,
    projectId: null,
  },
  ...over,
});

/** Shows which texts were compared, and nothing of how. */
export const namesOnly: Diff = (before, after) => `${before?.name ?? 'nothing'} → ${after.name}`;

/** Plans from texts of policies; a runtime `mlserver` is there always. */
export const changesOf = (
  before: readonly string[],
  after: readonly string[],
  deployed: readonly Deployed[] = [deployedOf()],
  known: readonly KnownRef[] = [],
): PolicyChanges =>
  planChanges(
    loadGood(...before, runtimeText('mlserver')),
    loadGood(...after, runtimeText('mlserver')),
    deployed,
    known,
    { diff: namesOnly },
  );

/** @returns the manifest that these policies render of what is deployed; null: none */
export function manifestBy(texts: readonly string[], deployed: Deployed = deployedOf()): string | null {
  const set = loadGood(...texts, runtimeText('mlserver'));
  const claim = claimOn(deployed, { set, byName: policiesByName(set), structures: new Map() });
  return claim && render(inMode(claim, deployed.mode ?? 'Standard')).manifest;
}
