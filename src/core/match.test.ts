import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { compileGlobs } from './glob.ts';
import { explainMatch, matchPolicies, policiesFor } from './match.ts';
import { loadGood, only, policyText } from './policy.fixture.ts';

const match = {
  repositories: ['plain:ml/*', '!plain:ml/scratch-*'],
  tags: ['v*', '!v*-rc*'],
  branches: ['main'],
};
const policy = only(loadGood(policyText({ match })));
const explain = (repository: string, ref: string): string => explainMatch(policy, { repository, ref }).reason;

describe('explainMatch', () => {
  it('names the patterns that matched', () => {
    expect(explainMatch(policy, { repository: 'plain:ml/iris', ref: 'refs/tags/v1' })).toEqual({
      matches: true,
      repositoryPattern: 'plain:ml/*',
      refPattern: 'v*',
      reason: 'repository plain:ml/iris matches plain:ml/*, tag v1 matches v*',
    });
  });

  it('names what stood in the way', () => {
    expect(explain('plain:other/iris', 'refs/tags/v1')).toContain('matches none of plain:ml/*');
    expect(explain('plain:ml/scratch-1', 'refs/tags/v1')).toContain('is excluded by !plain:ml/scratch-*');
    expect(explain('plain:ml/iris', 'refs/tags/v1-rc1')).toContain('is excluded by !v*-rc*');
    expect(explain('plain:ml/iris', 'refs/heads/dev')).toContain('branch dev matches none of main');
    expect(explain('plain:ml/iris', 'refs/notes/x')).toContain('neither a tag nor a branch');
  });

  it('says where a policy deploys no branches at all', () => {
    const tagsOnly = only(loadGood(policyText()));
    const event = { repository: 'plain:ml/iris', ref: 'refs/heads/main' };
    expect(explainMatch(tagsOnly, event).reason).toBe('it deploys no branches');
  });
});

describe('matchPolicies', () => {
  it('returns every match by name, whatever the order of the files', () => {
    const texts = ['b', 'c', 'a'].map((name) =>
      policyText(
        {
          match: { repositories: ['plain:ml/*'], tags: name === 'c' ? ['w*'] : ['v*'] },
          target: { namespace: name },
        },
        name,
      ),
    );
    const event = { repository: 'plain:ml/iris', ref: 'refs/tags/v1' };
    expect(matchPolicies(loadGood(...texts), event).map(({ name }) => name)).toEqual(['a', 'b']);
  });

  it('looks at no pattern twice, and at no exclusion that cannot match', () => {
    const policies = Array.from({ length: 1000 }, (_, at) => ({
      ...policy,
      match: { ...policy.match, repositories: compileGlobs(['plain:ml/*', `!plain:ml/scratch-${at}-*`]) },
    }));
    const set = { ...loadGood(), policies };
    const event = { repository: 'plain:ml/scratch-7-a', ref: 'refs/tags/v1' };
    expect(matchPolicies(set, event)).toEqual(policies.toSpliced(7, 1));
    const looks = vi.spyOn(String.prototype, 'startsWith');
    matchPolicies(set, event);
    const count = looks.mock.calls.length;
    looks.mockRestore();
    expect(count).toBeLessThan(20);
  });

  it('says what explainMatch says of each, in the order of the set', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', '/', ':'), minLength: 1, maxLength: 6 });
    const piece = fc.constantFrom('a', 'b', '/', ':', '*', '**', '**/');
    const pieces = fc.array(piece, { minLength: 1, maxLength: 5 }).map((all) => all.join(''));
    const pattern = fc.oneof(pieces, fc.constantFrom('**', 'a**', '**b'));
    const list = fc
      .array(fc.tuple(fc.constantFrom('', '', '!'), pattern), { maxLength: 4 })
      .map((patterns) => compileGlobs(patterns.map((pair) => pair.join(''))));
    const lists = fc.record({ repositories: list, tags: list, branches: list });
    // Few lists for many policies: some share theirs.
    const policies = fc
      .array(lists, { minLength: 1, maxLength: 6 })
      .chain((some) => fc.array(fc.constantFrom(...some), { maxLength: 12 }));
    const event = fc.record({
      repository: text,
      ref: fc
        .tuple(fc.constantFrom('refs/tags/', 'refs/heads/', 'refs/notes/'), text)
        .map((parts) => parts.join('')),
    });
    fc.assert(
      fc.property(policies, fc.array(event, { maxLength: 10 }), (matches, events) => {
        const set = {
          ...loadGood(),
          policies: matches.map((one, at) => ({ ...policy, name: `policy-${at}`, match: one })),
        };
        for (const at of events)
          expect(matchPolicies(set, at)).toEqual(set.policies.filter((one) => explainMatch(one, at).matches));
      }),
      { numRuns: 500 },
    );
  });
});

describe('policiesFor', () => {
  const set = loadGood(
    policyText({ match }, 'keeps'),
    policyText({ match, environment: 'two', target: { namespace: 'two' }, onRefDelete: 'remove' }, 'removes'),
  );
  const named = (kind: 'created' | 'moved' | 'deleted', ref = 'refs/heads/main') =>
    policiesFor(set, { repository: 'plain:ml/iris', ref, kind }).map(({ name }) => name);

  it('are all that match a ref that is there', () => {
    expect([named('created'), named('moved')]).toEqual([
      ['keeps', 'removes'],
      ['keeps', 'removes'],
    ]);
  });

  it('are those that match and remove where it was deleted', () => {
    expect(named('deleted')).toEqual(['removes']);
    expect(named('deleted', 'refs/heads/dev')).toEqual([]);
  });
});
