import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { liveText } from '../../src/core/markdown.fixture.ts';
import { POLICY, until } from '../controller-site.ts';
import { type ConfigForge, standInGitLab } from './reviews-forges.ts';
import { makeReviewSite, propose, type ReviewSite, reviewed } from './reviews-site.ts';
import type { Tree } from './reviews-tree.ts';

const policyNamed = (name: string, more = ''): string => `${POLICY.replace('production', name)}${more}`;
/** So many words that each means nine of the one before. */
const BOMB = Array.from({ length: 12 }, (_, level) =>
  level === 0
    ? 'a0: &a0 [x, x]'
    : `a${level}: &a${level} [${Array(9)
        .fill(`*a${level - 1}`)
        .join(', ')}]`,
).join('\n');
const files = (count: number, text: (index: number) => string): Tree =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`policies/${index}.yaml`, text(index)]));

/** What forges make of text that is not code: mentions, references, images, links, HTML, commands, the end of a block. */
const LIVE =
  '@everyone #1 !1 ![x](https://evil.example/x.png) <img src=x> </details> ``` ~~~ [a](javascript:x) /close';
const LINES = `\n\n/close\n\n/merge\n\n${LIVE}\n`;

const DEPLOYED = [1, 2, 3, 4, 5].map((number) => `ml/a-${number}`);
/** Nearly as many bytes as a file may have, in lines. */
const LONG = `  container: { args: [${JSON.stringify('abcdefg\n'.repeat(100_000))}] }\n`;

describe('a hostile request', () => {
  // It obeys the commands in a comment.
  let forge: ConfigForge;
  let site: ReviewSite;
  beforeAll(async () => {
    forge = await standInGitLab();
    const policies = {
      'policies/a.yaml': policyNamed('of-a').replace('plain:ml/*', 'plain:ml/a-*'),
      'policies/free.yaml': policyNamed('free').replace('plain:ml/*', 'plain:free/*'),
    };
    site = await makeReviewSite({ policies, models: [...DEPLOYED, 'ml/thief', 'free/iris'], forge });
    await site.start();
    await site.deploy(DEPLOYED, 'v1');
    await site.site.deliver('ml/thief', 'refs/tags/v1', await site.site.tag('ml/thief', 'v1'), 'thief');
  });
  afterAll(() => site.remove());

  /** What becomes of a request with this change. */
  async function outcome(tree: Tree) {
    const request = await propose(site, forge, tree, { isFork: true });
    const [status] = await reviewed(() => forge.statuses(request.head));
    await until(async () => request.comments().length > 0);
    expect(forge.isOpen(request.number)).toBe(true);
    const [comment = ''] = request.comments();
    await request.close();
    return { status: `${status?.state}: ${status?.description}`, comment };
  }

  const link = { mode: '120000', content: '/etc/passwd' } as const;
  test.each<[string, Tree, RegExp]>([
    ['with YAML that grows without bound', { 'policies/bomb.yaml': BOMB }, /bomb\.yaml:\d+:\d+: /],
    ['with a symbolic link', { 'policies/x.yaml': link }, /x\.yaml:1:1: is a symbolic link/],
    [
      'whose directory is a symbolic link',
      { 'policies/a.yaml': null, 'policies/free.yaml': null, policies: link },
      /policies:1:1: is a symbolic link/,
    ],
    [
      'with a submodule',
      { 'policies/more': { mode: '160000', content: 'a'.repeat(40) } },
      /more:1:1: is a submodule/,
    ],
    [
      'with control characters in a path',
      { 'policies/a\u0007\n\u202eb.yaml': 'x: [' },
      /policies\/a\\u\{7\}\\u\{a\}\\u\{202e\}b\.yaml:/,
    ],
    [
      'with names that git lists for too long',
      Object.fromEntries(
        Array.from({ length: 25_000 }, (_, index) => [`policies/${'x/'.repeat(350)}${index}.yaml`, '']),
      ),
      /policies:1:1: has more files than can be listed/,
    ],
    ['with 20,001 files', files(20_001, () => '{}'), /has 20003 policy files, more than 20000/],
    [
      'with a file over the limit',
      { 'policies/large.yaml': `#${'x'.repeat(3_000_000)}` },
      /large\.yaml:1:1: .*over the limit of 1 MiB/,
    ],
    [
      'that takes the target of another team',
      {
        'policies/thief.yaml': policyNamed('thief')
          .replace('plain:ml/*', 'plain:ml/thief')
          .replace('models }', 'models, name: a-1 }'),
      },
      /thief\.yaml:\d+:\d+: target default\/models\/a-1 belongs to plain:ml\/a-1/,
    ],
  ])('%s fails, and says why', async (_, tree, reason) => {
    const { status } = await outcome(tree);
    expect(status).toMatch(/^failed: /);
    expect(status).toMatch(reason);
  });

  test.each<[string, Tree]>([
    [
      'what is deployed',
      {
        'policies/a.yaml': policyNamed('of-a', `  annotations: { note: ${JSON.stringify(LINES)} }\n`).replace(
          'plain:ml/*',
          'plain:ml/a-*',
        ),
      },
    ],
    ['faults', { 'policies/a.yaml': policyNamed('of-a', `  ${JSON.stringify(LINES)}: 1\n`) }],
    ['names of files', { [`policies/${LIVE.replaceAll('/', '')}.yaml`]: 'x: [' }],
  ])('writes nothing into the comment that is more than text: by %s', async (_, tree) => {
    const { comment } = await outcome(tree);
    expect(comment).toContain('@everyone');
    // Links to the files at the head have their names in them, as part of the address.
    const live = liveText(comment.replace(/\]\(http:\/\/127\.0\.0\.1[^)\s]*\)/g, ']'));
    for (const word of ['@everyone', 'evil', '<img', 'javascript', '/close', '/merge'])
      expect(live).not.toContain(word);
    expect(comment).not.toMatch(/^\s*\/(?:close|merge)/m);
  });

  test('keeps no tag from being delivered meanwhile', async () => {
    // As many as may be, and one of them changes what is deployed.
    const many = files(20_000 - 2, (index) =>
      policyNamed(`p${index}`).replace('plain:ml/*', `plain:x/m-${index}-*`),
    );
    const long = policyNamed('of-a', LONG).replace('plain:ml/*', 'plain:ml/a-*');
    const request = await propose(site, forge, { ...many, 'policies/a.yaml': long }, { isFork: true });
    const isLeased = () =>
      site.rows('SELECT 1 FROM reviews WHERE head = ? AND lease IS NOT NULL', request.head).length > 0;
    await until(async () => isLeased());
    await site.deliver('free/iris', 'v1');
    expect(isLeased()).toBe(true);
    expect(forge.statuses(request.head)).toEqual([]);
    const [status] = await reviewed(() => forge.statuses(request.head));
    expect(status).toMatchObject({ description: '20,000 policies, 5 targets change' });
    expect((await site.ask('/readyz')).status).toBe(200);
    await until(async () => !isLeased());
    const [row] = site.rows('SELECT id, length(text) AS size FROM reviews WHERE head = ?', request.head);
    expect(row?.size).toBeLessThanOrEqual(512 * 1024);
    const page = await site.ask(`/reviews/${row?.id}`);
    expect([page.status, (await page.text()).includes('more lines')]).toEqual([200, true]);
  });
});
