import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { commonName, compileGlobs } from './glob.ts';
import { faultsOf, load, loadGood, only, policyText } from './policy.fixture.ts';
import type { Policy } from './policy.ts';
import { findConflicts } from './policy-conflicts.ts';
import { resolveTarget, valuesOf } from './policy-target.ts';

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

const template = only(loadGood(policyText()));

interface Part {
  repositories: string[];
  tags: string[];
  branches?: string[];
  environment?: string;
  target: Policy['target'];
}

const policyOf = ({ repositories, tags, branches = [], environment, target }: Part, at: number): Policy => ({
  ...template,
  name: `p${at}`,
  source: { file: `${at}.yaml`, line: 1, column: 1 },
  environment: environment ?? `p${at}`,
  target,
  match: {
    repositories: compileGlobs(repositories),
    tags: compileGlobs(tags),
    branches: compileGlobs(branches),
  },
});

/** What two policies fight over, found without any index: the target, else the environment. */
function plainConflict(first: Policy, second: Policy): string | null {
  const [repository, tag, branch] = (['repositories', 'tags', 'branches'] as const).map((field) =>
    commonName(first.match[field], second.match[field]),
  );
  const ref = tag ? `refs/tags/${tag}` : branch ? `refs/heads/${branch}` : null;
  if (!repository || ref === null) return null;
  const [one, other] = [first, second].map((policy) => {
    try {
      return JSON.stringify(
        resolveTarget(policy, valuesOf(policy, { repository, ref, sha: '0'.repeat(40) }, null)),
      );
    } catch {
      return null;
    }
  });
  if (one && one === other) return `both deploy, ${ref} of ${repository}`;
  return first.environment === second.environment ? `both report, ${ref} of ${repository}` : null;
}

describe('findConflicts', () => {
  it('finds what comparing each two policies finds', () => {
    const piece = fc.constantFrom('a', 'b', '/', ':', '*', '**');
    const pattern = fc
      .array(piece, { minLength: 1, maxLength: 4 })
      .map((pieces) => pieces.join('').replace(/\*{3,}/g, '**'));
    const list = (minLength: number) =>
      fc.array(
        fc.tuple(fc.constantFrom('', '', '', '!'), pattern).map((pair) => pair.join('')),
        { minLength, maxLength: 3 },
      );
    const target = fc.record({
      cluster: fc.constantFrom('one', 'one', 'other'),
      namespace: fc.constantFrom('x', 'y', `\${environment}`, `\${repository.group}`),
      name: fc.constantFrom('a', 'b', `\${repository.name}`, `\${tag}`, `x-\${revision}`),
    });
    const part = fc.record({
      repositories: list(1),
      tags: list(0),
      branches: list(0),
      environment: fc.constantFrom('x', 'y', 'z'),
      target,
    });
    // Few parts for many policies: some match the same.
    const parts = fc
      .tuple(fc.array(part, { minLength: 1, maxLength: 6 }), fc.array(target, { minLength: 1, maxLength: 3 }))
      .chain(([some, targets]) =>
        fc.array(
          fc
            .tuple(fc.constantFrom(...some), fc.constantFrom(null, ...targets))
            .map(([one, other]) => (other === null ? one : { ...one, target: other })),
          { maxLength: 9 },
        ),
      );
    fc.assert(
      fc.property(parts, (all) => {
        const policies = all.map(policyOf);
        const expected = policies.flatMap((second, at) =>
          policies.slice(0, at).flatMap((first) => {
            const conflict = plainConflict(first, second);
            return conflict === null ? [] : [`${second.source.file} and ${first.source.file}: ${conflict}`];
          }),
        );
        const found = findConflicts(policies).faults.map(({ file, message }) => {
          const [, other, what, event] =
            /\((.*):1:1\) (both deploy|both report) .* for example for (.*); give one/.exec(message) ?? [];
          return `${file} and ${other}: ${what}, ${event}`;
        });
        expect(found.sort()).toEqual(expected.sort());
      }),
      { numRuns: 2000 },
    );
  });

  const NAME = '$' + '{repository.name}';
  const TAG = '$' + '{tag}';
  const of = (name: string, namespace = 'vision') => ({ cluster: 'default', namespace, name });
  const MONOREPO = ['gitlab:ml/models'];

  it.each<[string, (at: number) => Part]>([
    ['a monorepo', (at) => ({ repositories: MONOREPO, tags: [`m-${at}/v*`], target: of(`m-${at}`) })],
    ['names from tags', (at) => ({ repositories: MONOREPO, tags: [`m-${at}/v*`], target: of(TAG) })],
    ['ends of tags', (at) => ({ repositories: ['gitlab:ml/**'], tags: [`*-m${at}`], target: of(TAG) })],
    [
      'one environment',
      (at) => ({ repositories: MONOREPO, tags: [`m-${at}/v*`], environment: 'live', target: of(`m-${at}`) }),
    ],
    ['one match', (at) => ({ repositories: ['gitlab:**'], tags: ['v*'], target: of(`${NAME}-${at}`) })],
    ['tags for all', (at) => ({ repositories: MONOREPO, tags: [`m-${at}`, 'v*'], target: of(`m-${at}`) })],
    ['many repositories', (at) => ({ repositories: [`gitlab:ml/m-${at}`], tags: ['v*'], target: of(NAME) })],
    [
      'a monorepo among many',
      (at) =>
        at % 2 === 0
          ? { repositories: [`gitlab:ml/m-${at}`], tags: ['v*'], target: of(NAME) }
          : { repositories: MONOREPO, tags: [`m-${at}/v*`], target: of(TAG) },
    ],
  ])('compares 10,000 policies within its bound: %s', (_name, part) => {
    const policies = Array.from({ length: 10_000 }, (_, at) => policyOf(part(at), at));
    expect(findConflicts(policies)).toEqual({ faults: [], warnings: [] });
  });

  it('says so where too many match the same to compare them all', () => {
    const part = (at: number): Part => ({
      repositories: ['gitlab:ml/**', `!gitlab:ml/${at}`],
      tags: ['v*', `!v${at}`],
      target: of(`${NAME}-${at}`),
    });
    const policies = Array.from({ length: 100 }, (_, at) => policyOf(part(at), at));
    expect(findConflicts(policies)).toEqual({ faults: [], warnings: [] });
    expect(findConflicts(policies, 10_000).warnings).toEqual([
      {
        file: '0.yaml',
        line: 1,
        column: 1,
        message: expect.stringContaining('too many policies match the same'),
      },
    ]);
  });

  it('refuses a list of more than a hundred patterns with a wildcard, and takes two thousand names', () => {
    const tags = (count: number) => Array.from({ length: count }, (_, at) => `v${at}-*`);
    expect(faultsOf(policyText(match(['plain:ml/*'], tags(100))))).toEqual([]);
    expect(faultsOf(policyText(match(['plain:ml/*'], tags(101))))).toEqual([
      expect.stringContaining('spec.match.tags: at most 100 patterns with *'),
    ]);
    const names = Array.from({ length: 2000 }, (_, at) => `plain:ml/model-${at}`);
    expect(faultsOf(policyText(match(names, ['v*'])))).toEqual([]);
    const others = policyText(
      {
        ...match(
          names.map((name) => `${name}-b`),
          ['v*'],
        ),
      },
      'other',
    );
    expect(faultsOf(policyText(match(names, ['v*'])), others)).toEqual([]);
  });

  it('stops at 1,000', () => {
    const policies = Array.from({ length: 60 }, (_, at) =>
      policyOf({ repositories: ['**'], tags: ['v*'], target: of('a') }, at),
    );
    const { faults, warnings } = findConflicts(policies);
    expect(faults).toHaveLength(1000);
    expect(warnings).toEqual([expect.objectContaining({ message: expect.stringContaining('first 1000') })]);
  });
});
