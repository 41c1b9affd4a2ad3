import { describe, expect, it } from 'vitest';
import { loadGood, policyText } from '../core/policy.fixture.ts';
import { healingOf, isHealed } from './heal-policies.ts';

const APPLY = { apply: true, selfHeal: true };
const ROLLOUT = {
  policy: 'production',
  repository: 'plain:ml/iris',
  ref: 'refs/tags/v1.0.0',
  sha: 'a'.repeat(40),
};
const IRIS = { cluster: 'default', namespace: 'vision', name: 'iris' };

const healing = (...specs: object[]) =>
  healingOf(loadGood(...specs.map((spec, at) => policyText(spec, at === 0 ? 'production' : `other-${at}`))));
const heals = (spec: object, target = IRIS): boolean =>
  isHealed(healing({ delivery: APPLY, ...spec }), ROLLOUT, target);

describe('policies that put back what others change', () => {
  it('are those that apply, say so, and are not suspended, by cluster', () => {
    const policies = healing(
      { delivery: APPLY },
      { delivery: APPLY, target: { namespace: 'vision', cluster: 'test' } },
      { delivery: { apply: true }, target: { namespace: 'a' } },
      { delivery: { gitops: 'fleet' }, target: { namespace: 'b' } },
      { delivery: APPLY, suspend: true, target: { namespace: 'c' } },
    );
    expect([...policies].map(([cluster, those]) => [cluster, [...those.keys()]])).toEqual([
      ['test', ['other-1']],
      ['default', ['production']],
    ]);
    expect(healingOf(null).size).toBe(0);
  });

  it('are found once for each set of policies', () => {
    const set = loadGood(policyText({ delivery: APPLY }));
    expect(healingOf(set)).toBe(healingOf(set));
  });
});

describe('what a rollout has brought', () => {
  it('is put back where its policy deploys this ref to this target', () => {
    expect(heals({})).toBe(true);
    expect(heals({ target: { namespace: '${repository.group}', name: '${repository.name}' } })).toBe(false);
    expect(heals({}, { ...IRIS, name: 'rose' })).toBe(false);
    expect(heals({}, { ...IRIS, cluster: 'test' })).toBe(false);
    expect(heals({ match: { repositories: ['plain:nlp/**'], tags: ['v*'] } })).toBe(false);
    expect(isHealed(healing({ delivery: APPLY }), { ...ROLLOUT, policy: 'staging' }, IRIS)).toBe(false);
  });

  it('is put back wherever it is in the cluster where the target is named after the model card', () => {
    const target = { namespace: 'vision', name: '${modelCard.library}-iris' };
    expect(heals({ target }, { ...IRIS, name: 'sklearn-iris' })).toBe(true);
    expect(heals({ target }, { ...IRIS, cluster: 'test' })).toBe(false);
  });
});
