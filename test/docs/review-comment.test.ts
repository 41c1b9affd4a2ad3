/** The comment that docs/reviewing-policies.md shows is the one that its policy gets. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { deployedOf } from '../../src/core/policy-changes.fixture.ts';
import { planChanges } from '../../src/core/policy-changes.ts';
import { loadPolicies } from '../../src/core/policy-files.ts';
import { reviewComment } from '../../src/core/review-text.ts';
import { unifiedDiff } from '../../src/git/unified-diff.ts';

const PAGE = readFileSync(
  fileURLToPath(new URL('../../docs/reviewing-policies.md', import.meta.url)),
  'utf8',
);

function policiesOf(text: string) {
  const path = 'policies/vision/production.yaml';
  const { policies } = loadPolicies([{ path, text }], 'documentation');
  if (policies === null) throw new Error('the policy of the page has faults');
  return policies;
}

test('docs/reviewing-policies.md shows the comment on its change', () => {
  const [, policy = ''] = /^```yaml\n(apiVersion: [\s\S]*?)^```$/m.exec(PAGE) ?? [];
  const [, shown] = /^~~~markdown\n([\s\S]*?)^~~~$/m.exec(PAGE) ?? [];
  const after = policy.replace('8Gi', '16Gi');
  expect(after).not.toBe(policy);
  const deployed = deployedOf({
    repository: 'gitlab:ml/vision/iris',
    sha: '9b1d6f3a7c2e48051d8f6b9e3a5c7d2046e8f1b3',
    policy: 'vision-production',
  });
  const diff = { diff: unifiedDiff };
  const changes = planChanges(policiesOf(policy), policiesOf(after), [deployed], [], diff);
  const comment = reviewComment(
    { kind: 'good', policies: 1, warnings: [], changes },
    {
      limit: 65_536,
      pageUrl: 'https://modelhook.example.com/reviews/7a1d9c5e-2f4b-4c0f-8a37-5a5e0c9b3d21',
      filesUrl:
        'https://gitlab.example.com/platform/model-policies/-/blob/5f0c1b7e9a3d48261c0e7f5b9d2a46830b1e7c95',
    },
  );
  expect(shown).toBe(`${comment}\n`);
});
