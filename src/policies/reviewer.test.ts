import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatFault } from '../core/errors.ts';
import { policyText, UNBOUNDED } from '../core/policy.fixture.ts';
import { deployedOf } from '../core/policy-changes.fixture.ts';
import { MOST_TEXT, type Reviewed } from '../core/review-report.ts';
import { git } from '../git/git.ts';
import { Mirror } from '../git/mirror.ts';
import { locateRemote } from '../git/remote.ts';
import { examineApart, judgeApart } from './examination-thread.ts';
import { createPolicyReviewer } from './reviewer.ts';

const KNOWN = {
  forges: ['plain'],
  clusters: [],
  gitops: [{ name: 'fleet', pullRequests: false }],
  policies: UNBOUNDED,
};
const NOTHING = { deployed: [], refs: [] };
const ACCESS = { user: 'modelhook', token: null, ssh: null, ca: null };

type Entry = string | { mode: string; content: string };

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'modelhook-reviewer-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let sites = 0;

/** A config repository on a plain server whose branch is in force. */
async function makeSite({
  files = { 'policies/a.yaml': policyText() },
  scheme = '',
}: {
  files?: Record<string, Entry>;
  scheme?: string;
} = {}) {
  sites += 1;
  const root = join(folder, String(sites));
  const server = join(root, 'policies.git');
  await git(['init', '--quiet', '--bare', '--', server]);
  // As forges have it.
  await git(['config', 'uploadpack.allowFilter', 'true'], { dir: server });
  const mirrorOf = (name: string) =>
    new Mirror(join(root, 'cache'), name, () =>
      locateRemote({ ...ACCESS, url: `${scheme}${root}` }, 'policies'),
    );
  const mirror = mirrorOf('policies');
  const push = async (ref: string, tree: Record<string, Entry>): Promise<string> => {
    const entries = Object.entries(tree).map(([path, entry]) => {
      const quoted = `"${path.replace(/[\\"]/g, '\\$&').replaceAll('\n', '\\n')}"`;
      if (typeof entry !== 'string' && entry.mode === '160000')
        return `M 160000 ${entry.content} ${quoted}\n`;
      const [mode, text] = typeof entry === 'string' ? ['100644', entry] : [entry.mode, entry.content];
      return `M ${mode} inline ${quoted}\ndata ${Buffer.byteLength(text)}\n${text}\n`;
    });
    const commit = `commit ${ref}\nmark :1\ncommitter A <a@example.com> 1700000000 +0000\ndata 1\nx\ndeleteall\n`;
    const input = `feature done\n${commit}${entries.join('')}\nget-mark :1\ndone\n`;
    const made = await git(['fast-import', '--quiet', '--done', '--force'], { dir: server, input });
    return made.toString().trim();
  };
  const base = await push('refs/heads/main', files);
  await mirror.fetchBranch('main');
  const heads = mirrorOf('heads');
  const restart = () => createPolicyReviewer({ mirror, heads, directory: 'policies', known: KNOWN });
  return { reviewer: restart(), restart, heads, push, base, cache: join(root, 'cache') };
}

const HEAD = 'refs/pull/1/head';
const faults = ({ kind, report }: Reviewed): string[] =>
  kind === 'faults' ? report.text.trimEnd().split('\n  ').slice(1) : [];

/** What becomes of a head with these files. */
async function review(tree: Record<string, Entry>, scheme = ''): Promise<Reviewed> {
  const { reviewer, push, base } = await makeSite({ scheme });
  return reviewer.examine({ sha: await push(HEAD, tree), ref: HEAD }, base, NOTHING, null);
}

describe('a head that is reviewed', () => {
  it('is fetched by its ref, and compared with the revision in force', async () => {
    const { reviewer, push, base } = await makeSite();
    const sha = await push(HEAD, { 'policies/a.yaml': policyText({ replicas: { min: 2, max: 2 } }) });
    const deployed = [deployedOf({ inputs: { ...deployedOf().inputs } })];
    const found = await reviewer.examine({ sha, ref: HEAD }, base, { deployed, refs: [] }, null);
    expect(found).toMatchObject({
      kind: 'compared',
      report: { state: 'success', description: '1 policy, 1 target changes', comment: null },
      redeployments: [{ rolloutId: 'r1', policy: 'production' }],
    });
  });

  it('that moved meanwhile is not mistaken for the one that was asked for', async () => {
    const { reviewer, push, base } = await makeSite();
    await push(HEAD, { 'policies/a.yaml': policyText() });
    const gone = 'f'.repeat(40);
    await expect(reviewer.examine({ sha: gone, ref: HEAD }, base, NOTHING, null)).rejects.toThrow(
      `${HEAD} does not lead to ${gone} any more`,
    );
  });

  it('is good without a comparison where nothing is in force, or what is cannot be read, and says which', async () => {
    const { reviewer, push, base } = await makeSite({
      files: { 'policies/a.yaml': policyText({ unknown: 1 }) },
    });
    const sha = await push(HEAD, { 'policies/a.yaml': policyText() });
    const told = async (present: string | null) => {
      const found = await reviewer.examine({ sha, ref: HEAD }, present, NOTHING, null);
      return [found.kind, found.report.description];
    };
    expect(await told(null)).toEqual(['uncompared', '1 policy, none is in force yet']);
    expect(await told('f'.repeat(40))).toEqual([
      'uncompared',
      '1 policy, not compared, as fffffff cannot be read any more',
    ]);
    expect(await told(base)).toEqual([
      'uncompared',
      `1 policy, not compared, as ${base.slice(0, 7)} has faults today`,
    ]);
  });

  it('may be the revision in force itself, compared with the one before', async () => {
    const { reviewer, base } = await makeSite();
    const found = await reviewer.examine({ sha: base, ref: null }, base, NOTHING, null);
    expect(found).toMatchObject({ kind: 'compared', redeployments: [] });
  });
});

describe('a hostile head', () => {
  it('with a symbolic link in place of a policy, or of the directory, is told so', async () => {
    const link = { mode: '120000', content: '/etc/passwd' };
    expect(faults(await review({ 'policies/a.yaml': link }))).toEqual([
      'policies/a.yaml:1:1: is a symbolic link, which is not followed; put the file there',
    ]);
    expect(faults(await review({ policies: link }))[0]).toContain('is a symbolic link');
  });

  it('with a submodule among the policies is told so', async () => {
    const module = { mode: '160000', content: 'a'.repeat(40) };
    expect(faults(await review({ 'policies/a.yaml': policyText(), 'policies/more': module }))).toEqual([
      'policies/more:1:1: is a submodule, which is not read; put its files there',
    ]);
  });

  it('with more files than anybody writes is told how many may be', async () => {
    const many = Object.fromEntries(Array.from({ length: 20_001 }, (_, n) => [`policies/${n}.yaml`, '{}']));
    expect(faults(await review(many))).toEqual(['policies:1:1: has 20001 policy files, more than 20000']);
  });

  it('with a file larger than any policy is told so; where the server can leave it out, it is not even fetched', async () => {
    const large = { 'policies/a.yaml': '#'.repeat(2 * 1024 * 1024), 'policies/b.yaml': policyText() };
    expect(faults(await review(large, 'file://'))).toEqual([
      'policies/a.yaml:1:1: is over the limit of 1 MiB',
    ]);
    expect(faults(await review(large))).toEqual([
      'policies/a.yaml:1:1: has 2097152 bytes, over the limit of 1 MiB',
    ]);
  });

  it('whose YAML grows without bound is told so', async () => {
    const levels = Array.from({ length: 12 }, (_, n) =>
      n === 0
        ? 'a0: &a0 [x, x]'
        : `a${n}: &a${n} [${Array(9)
            .fill(`*a${n - 1}`)
            .join(', ')}]`,
    );
    const found = await review({ 'policies/a.yaml': levels.join('\n') });
    expect(found.kind).toBe('faults');
  });

  it('with control characters in its paths is told so in one line', async () => {
    const found = await review({
      'policies/a\n\u001b[31m.yaml': 'kind: DeploymentPolicy\napiVersion: modelhook.dev/v1alpha1\n',
    });
    expect(found.kind).toBe('faults');
  });

  it('that takes too long to read is given up, and that is its own fault', async () => {
    const files = Array.from({ length: 200 }, (_, n) => ({
      path: `policies/${n}.yaml`,
      text: '- '.repeat(500_000),
    }));
    const input = { before: null, after: { revision: 'x', files }, known: KNOWN, ...NOTHING };
    const given = { kind: 'faults', exceeded: true };
    const found = [await examineApart(input, 300), await judgeApart(input.after, KNOWN, 300)];
    for (const each of found) {
      expect(each).toMatchObject(given);
      expect(each?.kind === 'faults' && each.faults.map(formatFault)).toEqual([
        '.:1:1: the policies take more than 0.3 s to read; make them fewer or smaller',
      ]);
    }
  });

  it('with more names of files than can be listed is told so', async () => {
    const folder = ['x', 'y', 'z'].map((letter) => letter.repeat(240)).join('/');
    const many = Array.from({ length: 25_000 }, (_, n) => [`policies/${folder}/${n}.yaml`, 'a']);
    const found = await review(Object.fromEntries(many));
    expect(found).toMatchObject({ kind: 'faults', exceeded: true });
    expect(faults(found)).toEqual([
      'policies:1:1: has more files than can be listed; make them fewer, and their paths shorter',
    ]);
  });

  it('that makes large manifests of many targets gets a report that is small, and says what it leaves out', async () => {
    const { reviewer, push, base } = await makeSite();
    const args = ['long'.repeat(300), ...Array.from({ length: 5000 }, (_, n) => `--flag-${n}`)];
    const sha = await push(HEAD, { 'policies/a.yaml': policyText({ container: { args } }) });
    const deployed = Array.from({ length: 50 }, (_, n) =>
      deployedOf({
        rolloutId: `r${n}`,
        repository: `plain:ml/vision/m${n}`,
        target: { cluster: 'default', namespace: 'vision', name: `m${n}` },
      }),
    );
    const place = { limit: 20_000, pageUrl: 'https://modelhook.example/reviews/1', filesUrl: null };
    const found = await reviewer.examine({ sha, ref: HEAD }, base, { deployed, refs: [] }, place);
    expect(found.kind === 'compared' && found.redeployments).toHaveLength(50);
    const { text, comment } = found.report;
    expect(comment?.length).toBeLessThanOrEqual(place.limit);
    expect(text.length).toBeLessThanOrEqual(MOST_TEXT);
    expect(Math.max(...text.split('\n').map(({ length }) => length))).toBeLessThan(1100);
    expect(text).toMatch(/^… and [\d,]+ more lines$/m);
    const shown = text.match(/^--- default/gm)?.length ?? 0;
    const left = Number(/and (\d+) more manifests that change/.exec(text)?.[1] ?? 0);
    expect(shown).toBeGreaterThan(5);
    expect(shown + left).toBe(50);
  });

  it('leaves nothing behind in the cache for good', async () => {
    const { heads, restart, reviewer, push, base } = await makeSite();
    const look = async (tree: Record<string, Entry>) =>
      reviewer.examine({ sha: await push(HEAD, tree), ref: HEAD }, base, NOTHING, null);
    await look({ 'policies/a.yaml': policyText() });
    const first = await heads.resolve('refs/modelhook/reviewed^{commit}');
    await look({ 'policies/b.yaml': policyText() });
    expect(await heads.resolve(`${first}^{commit}`)).toBe(first);
    await heads.removeOver(1024 * 1024);
    expect(await heads.resolve(`${first}^{commit}`)).toBe(first);
    const next = restart();
    const sha = await push(HEAD, { 'policies/c.yaml': policyText() });
    expect(await next.examine({ sha, ref: HEAD }, base, NOTHING, null)).toMatchObject({ kind: 'compared' });
    expect(await heads.resolve(`${first}^{commit}`)).toBeNull();
  });
});

it('the commit whose rollouts were made last is kept, whatever happens to the branch', async () => {
  const { reviewer, base, cache } = await makeSite();
  await reviewer.keep(base);
  const kept = await git(['rev-parse', 'refs/modelhook/carried-out'], { dir: join(cache, 'policies.git') });
  expect(kept.toString().trim()).toBe(base);
});
