import { describe, expect, it } from 'vitest';
import { faultsOf, load, policyText } from './policy.fixture.ts';

const match = (repositories: string[], tags: string[]): object => ({ match: { repositories, tags } });

describe('conflicts between policies', () => {
  it('name both places, the target and an example where one target would be deployed twice', () => {
    const { faults } = load(policyText({}, 'a'), policyText(match(['plain:ml/iris'], ['*']), 'b'));
    expect(faults).toHaveLength(1);
    expect(faults[0]?.file).toBe('1.yaml');
    expect(faults[0]?.message).toMatch(
      /^policies "b" and "a" \(0\.yaml:1:\d+\) both deploy default\/vision\/iris, for example for refs\/tags\/v of plain:ml\/iris/,
    );
  });

  it('are none where no tag, no repository or no branch is common', () => {
    const tags = [
      policyText(match(['plain:ml/*'], ['v*', '!v*-rc*']), 'a'),
      policyText(match(['plain:ml/*'], ['*-rc*']), 'b'),
    ];
    const repositories = [
      policyText(match(['plain:ml/*'], ['*']), 'a'),
      policyText(match(['plain:nlp/*'], ['*']), 'b'),
    ];
    const kinds = [
      policyText({}, 'a'),
      policyText({ match: { repositories: ['plain:ml/*'], branches: ['v*'] } }, 'b'),
    ];
    expect([tags, repositories, kinds].flatMap((texts) => faultsOf(...texts))).toEqual([]);
  });

  it('are none where targets differ', () => {
    const second = { target: { namespace: 'vision', name: `\${repository.name}-next` } };
    expect(faultsOf(policyText({}, 'a'), policyText(second, 'b'))).toEqual([]);
    expect(faultsOf(policyText({}, 'a'), policyText({ target: { namespace: 'other' } }, 'b'))).toEqual([]);
  });

  it('are found where targets are the same in other words', () => {
    const second = { target: { namespace: `\${environment}` }, environment: 'vision' };
    expect(faultsOf(policyText({}, 'a'), policyText(second, 'b'))).toEqual([
      expect.stringContaining('both deploy'),
    ]);
  });

  it('are found where one environment would have two statuses', () => {
    const second = { environment: 'a', target: { namespace: 'other' } };
    expect(faultsOf(policyText({}, 'a'), policyText(second, 'b'))).toEqual([
      expect.stringContaining('both report as environment "a"'),
    ]);
  });
});
