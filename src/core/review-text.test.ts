import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { unifiedDiff } from '../git/unified-diff.ts';
import type { Deployed } from './deployed.ts';
import type { Fault } from './errors.ts';
import { liveText } from './markdown.fixture.ts';
import { loadGood, policyText, runtimeText } from './policy.fixture.ts';
import { changesOf, deployedOf, manifestBy } from './policy-changes.fixture.ts';
import { type PolicyChanges, planChanges } from './policy-changes.ts';
import { reviewPlainText } from './review-plain-text.ts';
import { conclude } from './review-report.ts';
import { carriedOutStatus, type Examination, reviewComment, reviewStatus } from './review-text.ts';

const place = {
  limit: 65_536,
  pageUrl: 'https://modelhook.example/reviews/1',
  filesUrl: 'https://forge.example/o/policies/blob/abc',
};
const good = (changes: PolicyChanges | null, policies = 12): Examination => ({
  kind: 'good',
  policies,
  warnings: [],
  changes,
});
const faulty = (...faults: Fault[]): Examination => ({ kind: 'faults', faults });
const fault = (message: string, line = 12): Fault => ({ file: 'policies/x.yaml', line, column: 5, message });

const match = (repository: string) => ({ match: { repositories: [repository], tags: ['v*'] } });
const target = (namespace: string, name: string) => ({ cluster: 'default', namespace, name });
const deployed = [
  deployedOf(),
  deployedOf({ rolloutId: 'r2', repository: 'plain:old/z', policy: 'old', target: target('old', 'z') }),
  deployedOf({ rolloutId: 'r3', repository: 'plain:mv/q', policy: 'mv', target: target('mv', 'q') }),
  deployedOf({ rolloutId: 'r4', repository: 'plain:kept/k', policy: 'kept', target: target('kept', 'k') }),
];
const kept = policyText({ ...match('plain:kept/*'), target: { namespace: 'kept' } }, 'kept');
const before = [
  kept,
  policyText(),
  policyText({ ...match('plain:old/*'), target: { namespace: 'old' } }, 'old'),
  policyText({ ...match('plain:mv/*'), target: { namespace: 'mv' } }, 'mv'),
];
const after = [
  kept,
  policyText({ labels: { team: 'a' } }),
  policyText({ ...match('plain:mv/*'), target: { namespace: 'mv2' }, onPolicyChange: 'nextEvent' }, 'mv'),
  policyText({ ...match('plain:new/*'), target: { namespace: 'new' } }, 'new'),
];
const known = [{ repository: 'plain:new/n', ref: 'refs/heads/v1', sha: 'b'.repeat(40) }];
const tagged = { repository: 'plain:new/n', ref: 'refs/tags/v2', sha: 'b'.repeat(40) };
const plan = (from = before, to = after) =>
  planChanges(
    loadGood(...from, runtimeText('mlserver')),
    loadGood(...to, runtimeText('mlserver')),
    deployed,
    [...known, tagged],
    { diff: unifiedDiff },
  );

describe('the status', () => {
  it.each([
    [good(changesOf([policyText()], [policyText({ labels: { a: 'b' } })]), 1), '1 policy, 1 target changes'],
    [good(plan()), '12 policies, 2 targets change, 1 left without a policy'],
    [good(plan(before, before)), '12 policies, nothing deployed changes'],
    [good(null), '12 policies, none is in force yet'],
    [{ ...good(null), uncompared: 'not compared' }, '12 policies, not compared'],
  ])('of what can be merged says how much changes', (found, description) => {
    expect(reviewStatus(found)).toEqual({ state: 'success', description });
  });

  it('of files with faults is the first of them', () => {
    expect(reviewStatus(faulty(fault('unknown field "x"')))).toEqual({
      state: 'failed',
      description: 'policies/x.yaml:12:5: unknown field "x"',
    });
    expect(reviewStatus(faulty(fault('a\nb'), fault('c'), fault('d'))).description).toBe(
      'policies/x.yaml:12:5: a\\u{a}b (and 2 more)',
    );
  });

  it('of a plan that fails, or takes what is of another repository, is that', () => {
    const failing = changesOf([policyText()], [policyText({ storage: { uri: `s3://a/\${branch}` } })]);
    expect(reviewStatus(good(failing))).toEqual({
      state: 'failed',
      description: expect.stringMatching(
        /^0\.yaml:1:\d+: target default\/vision\/iris of plain:ml\/vision\/iris could not be deployed any more: /,
      ),
    });
    const thief = policyText(
      { ...match('plain:new/*'), target: { namespace: 'vision', name: 'iris' } },
      'thief',
    );
    const taking = changesOf([policyText()], [policyText(), thief], undefined, [tagged]);
    expect(reviewStatus(good(taking))).toEqual({
      state: 'failed',
      description: expect.stringMatching(
        /^1\.yaml:1:\d+: target default\/vision\/iris belongs to plain:ml\/vision\/iris, .* plain:new\/n cannot take it/,
      ),
    });
  });

  it.each([
    [0, 0, 0, 0, 'success', '12 policies in force, nothing is deployed anew'],
    [3, 2, 0, 0, 'running', '12 policies in force, 1 of 3 targets deployed anew'],
    [3, 0, 0, 0, 'success', '12 policies in force, 3 targets deployed anew'],
    [3, 0, 0, 2, 'success', '12 policies in force, 1 of 3 targets deployed anew, 2 superseded or cancelled'],
    [3, 0, 1, 0, 'failed', '12 policies in force, 2 of 3 targets deployed anew, 1 failed: iris: no runtime'],
  ])(
    'of what is in force, with %i rollouts, %i under way, %i failed and %i dropped, is %s',
    (total, underWay, failed, dropped, state, description) => {
      const firstFailure = failed > 0 ? 'iris: no runtime' : null;
      expect(carriedOutStatus(12, { total, underWay, failed, dropped, firstFailure })).toEqual({
        state,
        description,
      });
    },
  );

  it('of what could not be compared does not say that nothing changes', () => {
    const progress = { total: 0, underWay: 0, failed: 0, dropped: 0, firstFailure: null, uncompared: true };
    expect(carriedOutStatus(12, progress).description).toBe(
      '12 policies in force, what changes for what is deployed is not known, so nothing is deployed anew',
    );
  });

  it('of what came into force and is not any more says so', () => {
    const progress = { total: 2, underWay: 0, failed: 0, dropped: 0, firstFailure: null };
    expect(carriedOutStatus(null, progress).description).toBe('was in force, 2 targets deployed anew');
  });
});

describe('the comment', () => {
  it('says what changes, and what restarts and what does not', () => {
    const comment = reviewComment(good(plan(), 4), place);
    expect(comment).toMatch(/^<!-- modelhook:policies -->\n\n\*\*modelhook: 4 policies, 2 targets change, /);
    expect(comment).toContain(
      'Of 4 deployed targets 1 restarts with the merge, 1 waits, 2 go on with the pods there are.',
    );
    expect(comment).toContain(
      '- changed: `production` ([`1.yaml:1:85`](https://forge.example/o/policies/blob/abc/1.yaml#L1)): `labels.team`',
    );
    expect(comment).toContain('- removed: `old`');
    expect(comment).toContain(
      '- `default/vision/iris`, tag `v1.0.0` of `plain:ml/vision/iris`, policy `production`: restarts, its pods are replaced',
    );
    expect(comment).toContain('its policy waits for the next push');
    expect(comment).toContain(
      '### Targets that no policy would own any more\n\nWhat is deployed stays as it is.\n\n- `default/old/z`',
    );
    expect(comment).toContain('- `new` now matches `plain:new/n`');
    expect(comment).toContain('- `new`: tag `v2` of `plain:new/n`');
    expect(comment).toContain('\n+    team: a\n');
    expect(comment).not.toContain('kept');
  });

  it('says what comes with a change: what earlier merges left undeployed, and what a suspension has held', () => {
    const labelled = policyText({ onPolicyChange: 'nextEvent', labels: { team: 'a' } });
    const now = policyText({ labels: { team: 'b' } });
    const told = (from: string, one: Partial<Deployed>) => {
      const change = changesOf([from], [now], [deployedOf({ manifest: manifestBy([policyText()]), ...one })]);
      return reviewComment(good(change), place);
    };
    expect(told(labelled, {})).toContain(
      'restarts, its pods are replaced; with changes of earlier merges that were not deployed\n',
    );
    expect(told(policyText({ suspend: true, labels: { team: 'a' } }), { waits: true })).toContain(
      'restarts, its pods are replaced; with what has waited for its suspended policy\n',
    );
    expect(told(policyText(), {})).not.toContain('; with ');
  });

  it('says where a merge that lifts a suspension lets go what has waited', () => {
    const manifest = manifestBy([policyText()], deployedOf({ sha: '0'.repeat(40) }));
    const released = changesOf(
      [policyText({ suspend: true })],
      [policyText()],
      [deployedOf({ waits: true, manifest })],
    );
    expect(reviewStatus(good(released, 1)).description).toBe('1 policy, 1 target goes on');
    const comment = reviewComment(good(released, 1), place);
    expect(comment).toContain(
      'Of 1 deployed target 0 restart with the merge, 1 gets what has waited, 0 go on with the pods there are.',
    );
    expect(comment).toContain(
      '- `default/vision/iris`, tag `v1.0.0` of `plain:ml/vision/iris`, policy `production`: goes on with the merge: `v1.0.0` has waited for its suspended policy\n',
    );
    expect(conclude(good(released, 1), null)).toMatchObject({ kind: 'compared', redeployments: [] });
  });

  it('names each fault with its file, its line and a link there', () => {
    const comment = reviewComment(faulty(fault('unknown field "x"'), fault('another', 13)), place);
    expect(comment).toContain('**modelhook: 2 faults.**');
    expect(comment).toContain(
      '- [`policies/x.yaml:13:5`](https://forge.example/o/policies/blob/abc/policies/x.yaml#L13): `another`',
    );
  });

  it('folds a long manifest, and leaves a short one open', () => {
    const annotations = Object.fromEntries(Array.from({ length: 40 }, (_, at) => [`a${at}`, 'x']));
    const long = reviewComment(
      good(plan(before, [policyText({ annotations }), ...before.slice(2), kept])),
      place,
    );
    expect(long).toMatch(/<details><summary>\d+ lines<\/summary>\n\n```diff\n[^`]*```\n\n<\/details>/);
    expect(reviewComment(good(plan()), place)).not.toContain('<details>');
  });

  it('fits, says how much it left out, and still has something of each part', () => {
    const many = Array.from({ length: 500 }, (_, at) =>
      deployedOf({
        rolloutId: `r${at}`,
        repository: `plain:ml/vision/model-${at}`,
        target: target('vision', `model-${at}`),
      }),
    );
    const changes = planChanges(
      loadGood(policyText(), runtimeText('mlserver')),
      loadGood(policyText({ labels: { team: 'a' } }), runtimeText('mlserver')),
      many,
      [],
      { diff: unifiedDiff },
    );
    const comment = reviewComment(good(changes), place);
    expect(comment.length).toBeLessThanOrEqual(place.limit);
    const [listed, shown] = [/^- `default\/vision/gm, /^```diff$/gm].map(
      (each) => comment.match(each)?.length ?? 0,
    );
    const left = [...comment.matchAll(/^- and (\d+) more in \[the whole report\]/gm)].map(([, more]) =>
      Number(more),
    );
    expect(left).toEqual([500 - (listed ?? 0), 500 - (shown ?? 0)]);
    expect(listed).toBeGreaterThan(50);
    expect(shown).toBeGreaterThan(20);
    expect(reviewPlainText(good(changes)).match(/^--- /gm)).toHaveLength(500);
  });

  test('fits any limit there is room in for its first line', () => {
    fc.assert(
      fc.property(fc.integer({ min: 500, max: 5000 }), (limit) => {
        expect(reviewComment(good(plan()), { ...place, limit }).length).toBeLessThanOrEqual(limit);
        const faults = Array.from({ length: 100 }, (_, at) => fault('x'.repeat(at * 20)));
        expect(reviewComment(faulty(...faults), { ...place, limit }).length).toBeLessThanOrEqual(limit);
      }),
    );
  });
});

describe('text of others', () => {
  /** Every such text has a §, which no sentence of ours has. */
  const hostile = fc
    .array(
      fc.oneof(
        fc.constantFrom(
          '`',
          '```',
          '~~~',
          '\n',
          '\r',
          '\n/close\n',
          '@all',
          '#1',
          '!1',
          '<img src=x>',
          '</details>',
        ),
        fc.constantFrom(
          '<!-- modelhook:policies -->',
          '[a](b)',
          '![a](b)',
          '\u001b[2J',
          '\u202e',
          '\u2028',
          '|',
          ' ',
        ),
        fc.string({ unit: 'binary', maxLength: 5 }),
      ),
      { minLength: 1, maxLength: 8 },
    )
    .map((parts) => `§${parts.join('')}`);
  /** Words of ours in the data. */
  const OURS = /^(?:effect|redeploys|via|ref|diff)$/;
  const diffs = fc
    .tuple(hostile, hostile)
    .map(([one, other]) =>
      unifiedDiff({ name: 'one', text: `${one}\n` }, { name: 'other', text: `${other}\n§` }),
    );
  const withText = (value: unknown, text: string, diff: string): unknown =>
    JSON.parse(JSON.stringify(value), (key, one) => {
      if (key === 'diff') return one === null ? null : diff;
      if (key === 'ref') return `refs/tags/${text}`;
      return typeof one === 'string' && !OURS.test(key) ? text : one;
    });

  test('is never live in a comment: it mentions, links, embeds and commands nothing', () => {
    fc.assert(
      fc.property(hostile, diffs, (text, diff) => {
        const changes = withText(plan(), text, diff) as PolicyChanges;
        const faults = [fault(text), { ...fault('a'), file: text }];
        for (const found of [good(changes), { ...good(changes), warnings: faults }, faulty(...faults)]) {
          const comment = reviewComment(found, place);
          // In addresses of files it stands percent-encoded.
          const live = liveText(comment)
            .replace(/^<!-- modelhook:policies -->\n/, '')
            .replace(/\]\(https:\/\/[\w./%:#-]*\)/g, '](link)');
          expect(live).not.toMatch(/[§@!]|<img|\]\((?!link\))/u);
          expect(comment).not.toMatch(/^\//m);
          expect(comment.match(/<!--\s*modelhook/g)).toHaveLength(1);
        }
      }),
      { numRuns: 60 },
    );
  });

  test('steers no terminal, and adds no line', () => {
    fc.assert(
      fc.property(hostile, diffs, (text, diff) => {
        const changes = withText(plan(), text, diff) as PolicyChanges;
        expect(reviewPlainText(good(changes))).not.toMatch(/[^\P{C}\n\t\p{Co}]/u);
        const lines = reviewPlainText(faulty(fault(text))).split('\n');
        expect(lines).toHaveLength(5);
        expect(reviewStatus(faulty(fault(text))).description).not.toMatch(/\n|\r/);
      }),
      { numRuns: 60 },
    );
  });
});
