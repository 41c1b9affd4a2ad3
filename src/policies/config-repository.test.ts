import { existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatFault, StalledError } from '../core/errors.ts';
import { policyText, runtimeText, UNBOUNDED } from '../core/policy.fixture.ts';
import { git } from '../git/git.ts';
import { Mirror } from '../git/mirror.ts';
import { locateRemote } from '../git/remote.ts';
import {
  type ConfigRepository,
  type ConfigRepositoryOptions,
  createConfigRepository,
} from './config-repository.ts';
import type { PolicySource } from './policies.ts';

let root: string;
let made = 0;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'modelhook-policies-'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** A file by its text, or another kind of entry by its mode. */
type Tree = Record<string, string | { mode: string; link?: string; commit?: string }>;

const GOOD = policyText();
const BETTER = policyText({ description: 'better' });
/** A fault in line 7, column 3. */
const BAD = `apiVersion: modelhook.dev/v1alpha1
kind: DeploymentPolicy
metadata:
  name: production
spec:
  match: { repositories: ["plain:ml/**"], tags: ["v*"] }
  repositoriez: [a]
  target: { namespace: vision }
  storage: { uri: "s3://models/x" }
  delivery: { gitops: fleet }
`;

interface ConfigSite {
  dir: string;
  mirrorDir: string;
  source: ConfigRepository;
  facts: Map<string, string>;
  log: { level: string; fields: object; message: string }[];
  /** Pushes a commit with exactly these entries. @returns its id */
  push(tree: Tree, options?: { rewrite?: boolean; branch?: string }): Promise<string>;
  /** The next process, on the same cache and store. */
  restart(changes?: Partial<ConfigRepositoryOptions>): ConfigRepository;
  /** Takes the repository away, or brings it back. */
  reachable(yes: boolean): void;
}

async function makeSite(changes: Partial<ConfigRepositoryOptions> = {}): Promise<ConfigSite> {
  made += 1;
  const folder = join(root, String(made));
  const dir = join(folder, 'policies.git');
  await git(['init', '--quiet', '--bare', '--template=', '--initial-branch=main', '--', dir]);
  const access = { url: folder, user: 'modelhook', token: null, ssh: null, ca: null };
  const facts = new Map<string, string>();
  const log: ConfigSite['log'] = [];
  const at = (level: string) => (fields: object, message: string) => {
    log.push({ level, fields, message });
  };
  const restart = (more: Partial<ConfigRepositoryOptions> = {}) =>
    createConfigRepository({
      repository: 'plain:policies',
      branch: 'main',
      directory: 'policies',
      mirror: new Mirror(join(folder, 'cache'), 'policies', () => locateRemote(access, 'policies')),
      known: {
        forges: ['plain'],
        clusters: [],
        gitops: [{ name: 'fleet', pullRequests: false }],
        policies: UNBOUNDED,
      },
      inForce: {
        get: async () => facts.get('in-force') ?? null,
        set: async (revision) => {
          facts.set('in-force', revision);
        },
      },
      log: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') },
      ...changes,
      ...more,
    });
  return {
    dir,
    mirrorDir: join(folder, 'cache/policies.git'),
    source: restart(),
    facts,
    log,
    restart,
    push: (tree, options = {}) => push(dir, tree, options),
    reachable: (yes) => renameSync(yes ? `${dir}.away` : dir, yes ? dir : `${dir}.away`),
  };
}

async function push(dir: string, tree: Tree, { rewrite = false, branch = 'main' }): Promise<string> {
  made += 1;
  const ref = `refs/heads/${branch}`;
  const head = await git(['for-each-ref', '--format=%(objectname)', ref], { dir });
  const parent = rewrite || head.length === 0 ? '' : `from ${head.toString().trim()}\n`;
  const data = (text: string) => `data ${Buffer.byteLength(text)}\n${text}\n`;
  const entries = Object.entries(tree).map(([path, entry]) => {
    const quoted = `"${path.replace(/[\\"]/g, '\\$&')}"`;
    if (typeof entry === 'string') return `M 100644 inline ${quoted}\n${data(entry)}`;
    if (entry.commit !== undefined) return `M ${entry.mode} ${entry.commit} ${quoted}\n`;
    return `M ${entry.mode} inline ${quoted}\n${data(entry.link ?? '')}`;
  });
  const who = `Somebody <somebody@example.com> ${1_700_000_000 + made} +0000`;
  const commit = `commit ${ref}\nmark :1\ncommitter ${who}\n${data('By hand')}${parent}deleteall\n`;
  const input = `feature done\n${commit}${entries.join('')}\nget-mark :1\ndone\n`;
  return (await git(['fast-import', '--quiet', '--done', '--force'], { dir, input })).toString().trim();
}

const names = (source: PolicySource): string[] => source.current()?.policies.map(({ name }) => name) ?? [];

describe('the config repository', () => {
  it('gives no policies before it was read', async () => {
    const { source } = await makeSite();
    expect(source.current()).toBeNull();
    expect(source.status()).toEqual({
      repository: 'plain:policies',
      branch: 'main',
      inForce: null,
      head: null,
      faults: [],
      unreachable: null,
    });
  });

  it('brings a good head into force, and remembers that', async () => {
    const { source, push, facts } = await makeSite();
    const head = await push({ 'policies/a.yaml': GOOD, 'policies/runtimes.yaml': runtimeText('mlserver') });
    await source.refresh();
    expect(source.current()).toMatchObject({
      revision: head,
      policies: [{ name: 'production', source: { file: 'policies/a.yaml' } }],
      runtimes: [{ name: 'mlserver' }],
    });
    expect(source.status()).toMatchObject({ inForce: head, head, faults: [], unreachable: null });
    expect(facts.get('in-force')).toBe(head);
  });

  it('brings the next good head into force', async () => {
    const { source, push } = await makeSite();
    await push({ 'policies/a.yaml': GOOD });
    await source.refresh();
    const head = await push({ 'policies/a.yaml': BETTER });
    await source.refresh();
    expect(source.current()).toMatchObject({ revision: head, policies: [{ description: 'better' }] });
  });

  it('reads a head once', async () => {
    const { source, push } = await makeSite();
    await push({ 'policies/a.yaml': GOOD });
    await source.refresh();
    const before = source.current();
    await source.refresh();
    expect(source.current()).toBe(before);
  });

  it('reads its own branch alone', async () => {
    const { source, push } = await makeSite();
    const head = await push({ 'policies/a.yaml': GOOD });
    await push({ 'policies/a.yaml': BAD }, { branch: 'draft' });
    await source.refresh();
    expect(source.status()).toMatchObject({ inForce: head, head, faults: [] });
  });

  it('counts policies that are all gone as good: there is nothing to deploy', async () => {
    const { source, push } = await makeSite();
    const head = await push({ 'policies/README.md': 'none yet' });
    await source.refresh();
    expect(source.current()).toMatchObject({ revision: head, policies: [] });
  });

  it('is at fault where the directory is not there: a wrong name must not end what is pending', async () => {
    const { source, push } = await makeSite();
    const good = await push({ 'policies/a.yaml': GOOD });
    await source.refresh();
    const { status } = source;
    await push({ 'policy/a.yaml': GOOD });
    await source.refresh();
    expect(status().faults).toMatchObject([
      { file: 'policies', message: expect.stringContaining('policies.directory') },
    ]);
    expect(source.current()).toMatchObject({ revision: good });
  });

  it('brings nothing into force that the store could not remember, and does so at the next look', async () => {
    const { push, restart, facts } = await makeSite();
    const head = await push({ 'policies/a.yaml': GOOD });
    let full = true;
    const source = restart({
      inForce: {
        get: async () => null,
        set: async (revision) => {
          if (full) throw new Error('the disk is full');
          facts.set('in-force', revision);
        },
      },
    });
    await expect(source.refresh()).rejects.toThrow('the disk is full');
    expect(source.current()).toBeNull();
    full = false;
    await source.refresh();
    expect(source.status()).toMatchObject({ inForce: head, head });
  });
});

it('has the warnings of its newest head, in force or not', async () => {
  const { source, push } = await makeSite();
  expect(source.warnings()).toEqual([]);
  await push({ 'policies/a.yaml': policyText({ conventions: 'alauda' }) });
  await source.refresh();
  const warning = {
    file: 'policies/a.yaml',
    line: expect.any(Number),
    column: expect.any(Number),
    message: expect.stringContaining('upstream KServe'),
  };
  expect(source.warnings()).toEqual([warning]);
  await push({ 'policies/a.yaml': GOOD });
  await source.refresh();
  expect(source.warnings()).toEqual([]);
});

describe('a bad head', () => {
  it('leaves the last good revision in force, and both show', async () => {
    const { source, push, log } = await makeSite();
    const good = await push({ 'policies/a.yaml': GOOD });
    await source.refresh();
    const bad = await push({ 'policies/a.yaml': BAD });
    await source.refresh();
    expect(source.current()?.revision).toBe(good);
    expect(source.status()).toMatchObject({
      inForce: good,
      head: bad,
      faults: [
        { file: 'policies/a.yaml', line: 7, column: 3, message: expect.stringContaining('repositoriez') },
      ],
      unreachable: null,
    });
    expect(log).toMatchObject([
      {
        level: 'error',
        message: 'the config head is bad and not used',
        fields: {
          head: bad,
          inForce: good,
          faults: [expect.stringMatching(/^policies\/a\.yaml:7:3: .*repositoriez/)],
        },
      },
    ]);
  });

  it('is refused whole: none of its good files is used', async () => {
    const { source, push } = await makeSite();
    await push({ 'policies/a.yaml': GOOD });
    await source.refresh();
    const other = policyText({ match: { repositories: ['plain:x'], tags: ['*'] } }, 'other');
    await push({ 'policies/a.yaml': BAD, 'policies/b.yaml': other });
    await source.refresh();
    expect(names(source)).toEqual(['production']);
  });

  it('is forgotten when a good one follows', async () => {
    const { source, push } = await makeSite();
    await push({ 'policies/a.yaml': BAD });
    await source.refresh();
    expect(source.current()).toBeNull();
    expect(source.status().faults).toHaveLength(1);
    const good = await push({ 'policies/a.yaml': GOOD });
    await source.refresh();
    expect(source.status()).toMatchObject({ inForce: good, head: good, faults: [] });
  });

  it('that names a GitOps repository we do not know says which we do', async () => {
    const { source, push } = await makeSite();
    await push({ 'policies/a.yaml': policyText({ delivery: { gitops: 'fleat' } }) });
    await source.refresh();
    expect(source.status().faults).toMatchObject([{ message: expect.stringContaining('"fleet"') }]);
  });
});

describe('after a restart', () => {
  it('with a bad head, the revision that was in force is so again', async () => {
    const { source, push, restart } = await makeSite();
    const good = await push({ 'policies/a.yaml': GOOD });
    await source.refresh();
    const bad = await push({ 'policies/a.yaml': BAD });
    const next = restart();
    await next.refresh();
    expect(names(next)).toEqual(['production']);
    expect(next.status()).toMatchObject({ inForce: good, head: bad, faults: [{ line: 7 }] });
  });

  it('with an unreachable repository, the revision that was in force is so again', async () => {
    const { source, push, restart, reachable } = await makeSite();
    const good = await push({ 'policies/a.yaml': GOOD });
    await source.refresh();
    reachable(false);
    const next = restart();
    await expect(next.refresh()).rejects.toThrow('there is no Git repository');
    expect(names(next)).toEqual(['production']);
    expect(next.status()).toMatchObject({
      inForce: good,
      head: null,
      unreachable: expect.stringContaining('there is no Git repository'),
    });

    reachable(true);
    const head = await push({ 'policies/a.yaml': BETTER });
    await next.refresh();
    expect(next.status()).toMatchObject({ inForce: head, head, unreachable: null });
  });

  it('without the branch, the revision that was in force is so again', async () => {
    const { source, push, restart, dir } = await makeSite();
    const good = await push({ 'policies/a.yaml': GOOD });
    await source.refresh();
    await git(['update-ref', '-d', 'refs/heads/main'], { dir });
    const next = restart();
    await expect(next.refresh()).rejects.toThrow(StalledError);
    expect(next.status()).toMatchObject({ inForce: good, head: null });
  });

  it('the mirror has kept that revision, though its branch was rewritten and the mirror tidied', async () => {
    const { source, push, restart, mirrorDir } = await makeSite();
    const good = await push({ 'policies/a.yaml': GOOD });
    await source.refresh();
    await push({ 'policies/a.yaml': BAD }, { rewrite: true });
    await source.refresh();
    await git(['reflog', 'expire', '--expire=now', '--all'], { dir: mirrorDir });
    await git(['gc', '--prune=now', '--quiet'], { dir: mirrorDir });
    const kept = await git(['for-each-ref', '--format=%(objectname)', 'refs/modelhook/in-force'], {
      dir: mirrorDir,
    });
    expect(kept.toString().trim()).toBe(good);
    const next = restart();
    await next.refresh();
    expect(next.status()).toMatchObject({ inForce: good });
  });

  it('nothing is in force of a head that never was', async () => {
    const { push, restart } = await makeSite();
    const bad = await push({ 'policies/a.yaml': BAD });
    const next = restart();
    await next.refresh();
    expect(next.current()).toBeNull();
    expect(next.status()).toMatchObject({ inForce: null, head: bad });
  });
});

describe('a cache that was deleted', () => {
  it('is made again, while it runs and after a restart', async () => {
    const { source, push, restart, mirrorDir } = await makeSite();
    await push({ 'policies/a.yaml': GOOD });
    await source.refresh();
    rmSync(mirrorDir, { recursive: true });
    const head = await push({ 'policies/a.yaml': BETTER });
    await source.refresh();
    expect(source.status()).toMatchObject({ inForce: head });
    rmSync(mirrorDir, { recursive: true });
    const next = restart();
    await next.refresh();
    expect(next.status()).toMatchObject({ inForce: head });
    expect(existsSync(mirrorDir)).toBe(true);
  });

  it('is no loss with a bad head: the good one before it is in its history', async () => {
    const { source, push, restart, mirrorDir } = await makeSite();
    const good = await push({ 'policies/a.yaml': GOOD });
    await source.refresh();
    await push({ 'policies/a.yaml': BAD });
    rmSync(mirrorDir, { recursive: true });
    const next = restart();
    await next.refresh();
    expect(next.status()).toMatchObject({ inForce: good });
  });

  it('with an unreachable repository leaves nothing in force, and says why', async () => {
    const { source, push, restart, mirrorDir, reachable } = await makeSite();
    await push({ 'policies/a.yaml': GOOD });
    await source.refresh();
    rmSync(mirrorDir, { recursive: true });
    reachable(false);
    const next = restart();
    await expect(next.refresh()).rejects.toThrow('there is no Git repository');
    expect(next.status()).toMatchObject({ inForce: null, unreachable: expect.any(String) });
  });
});

describe('a repository that cannot be read', () => {
  it('takes nothing out of force while it runs', async () => {
    const { source, push, reachable } = await makeSite();
    const good = await push({ 'policies/a.yaml': GOOD });
    await source.refresh();
    reachable(false);
    await expect(source.refresh()).rejects.toThrow();
    expect(source.status()).toMatchObject({ inForce: good, head: good, unreachable: expect.any(String) });
    reachable(true);
    await source.refresh();
    expect(source.status()).toMatchObject({ inForce: good, unreachable: null });
  });

  it('because it lacks the branch says so, and what to do', async () => {
    const { source, push } = await makeSite();
    await push({ 'policies/a.yaml': GOOD }, { branch: 'trunk' });
    const refused = source.refresh();
    await expect(refused).rejects.toThrow(StalledError);
    await expect(refused).rejects.toThrow(
      'plain:policies has no branch "main"; push the policies to it, or set policies.branch in modelhook.yaml',
    );
    expect(source.status()).toMatchObject({ unreachable: 'plain:policies has no branch "main"' });
    const head = await push({ 'policies/a.yaml': GOOD });
    await source.refresh();
    expect(source.status()).toMatchObject({ inForce: head, unreachable: null });
  });
});

describe('what is read', () => {
  const other = policyText({ match: { repositories: ['plain:other'], tags: ['v*'] } }, 'other');

  it('is every .yaml below the directory, however deep, and nothing else', async () => {
    const { source, push } = await makeSite();
    await push({
      'policies/team/deep/a.yaml': GOOD,
      'policies/b.yaml': other,
      'policies/README.md': BAD,
      'policies/c.yml': BAD,
      'policies/d.yaml.bak': BAD,
      'e.yaml': BAD,
      'policies-old/f.yaml': BAD,
      'archive/policies/g.yaml': BAD,
    });
    await source.refresh();
    expect(source.status().faults).toEqual([]);
    expect(names(source)).toEqual(['other', 'production']);
  });

  it('is the whole repository where the directory is its root', async () => {
    const { source, push } = await makeSite({ directory: '' });
    await push({ 'a.yaml': GOOD, 'deep/b.yaml': other });
    await source.refresh();
    expect(names(source)).toEqual(['other', 'production']);
  });

  it('is never behind a link or in a submodule: either is a fault, for nobody has reviewed what it leads to', async () => {
    const { source, push } = await makeSite();
    await push({
      'policies/a.yaml': GOOD,
      'policies/inner.yaml': { mode: '120000', link: '../elsewhere/b.yaml' },
      'policies/module': { mode: '160000', commit: 'a'.repeat(40) },
      'policies/README.md': { mode: '120000', link: '../README.md' },
      'elsewhere/b.yaml': other,
    });
    await source.refresh();
    expect(source.status().faults.map(formatFault)).toEqual([
      'policies/inner.yaml:1:1: is a symbolic link, which is not followed; put the file there',
      'policies/module:1:1: is a submodule, which is not read; put its files there',
    ]);
    expect(names(source)).toEqual([]);
  });

  it('is not where the directory itself is a link', async () => {
    const { source, push } = await makeSite();
    await push({ policies: { mode: '120000', link: 'elsewhere' }, 'elsewhere/a.yaml': GOOD });
    await source.refresh();
    expect(source.status().faults.map(formatFault)).toEqual([
      'policies:1:1: is a symbolic link, which is not followed; put the file there',
    ]);
  });

  it('is in a directory with any name', async () => {
    for (const directory of ['-n*[a] :(glob)ü "x" \\', 'with\ttab', ':!policies']) {
      const { source, push } = await makeSite({ directory });
      await push({ [`${directory}/a "1".yaml`]: GOOD, 'policies/b.yaml': other });
      await source.refresh();
      expect([directory, ...names(source)]).toEqual([directory, 'production']);
    }
  });

  it('keeps the name of a file as it is, for whoever must find it', async () => {
    const { source, push } = await makeSite();
    await push({ 'policies/mö "dell".yaml': BAD });
    await source.refresh();
    expect(source.status().faults).toMatchObject([{ file: 'policies/mö "dell".yaml' }]);
  });

  it('is no file over 1 MiB: that is a fault which names it', async () => {
    const { source, push } = await makeSite();
    const limit = 1024 * 1024;
    const head = await push({ 'policies/a.yaml': GOOD, 'policies/full.yaml': '#'.padEnd(limit, 'x') });
    await source.refresh();
    expect(source.status()).toMatchObject({ inForce: head });
    await push({ 'policies/a.yaml': GOOD, 'policies/large.yaml': '#'.padEnd(limit + 1, 'x') });
    await source.refresh();
    expect(source.status()).toMatchObject({
      inForce: head,
      faults: [
        {
          file: 'policies/large.yaml',
          line: 1,
          column: 1,
          message: 'has 1048577 bytes, over the limit of 1 MiB',
        },
      ],
    });
  });

  it('is no more than 20,000 files', async () => {
    const { source, push } = await makeSite();
    const many = Object.fromEntries(Array.from({ length: 20_001 }, (_, n) => [`policies/${n}.yaml`, '']));
    await push(many);
    await source.refresh();
    expect(source.current()).toBeNull();
    expect(source.status().faults).toEqual([
      { file: 'policies', line: 1, column: 1, message: 'has 20001 policy files, more than 20000' },
    ]);
  });

  it('is no more than 16 MiB in all', async () => {
    const { source, push } = await makeSite();
    const full = '#'.padEnd(1024 * 1024, 'x');
    const files = Object.fromEntries(Array.from({ length: 17 }, (_, n) => [`policies/${n}.yaml`, full]));
    await push(files);
    await source.refresh();
    expect(source.status().faults).toMatchObject([
      { file: 'policies', message: 'has 17825792 bytes of policies, over the limit of 16 MiB in all' },
    ]);
  });

  it('is loaded where it is large, and its faults are told as many as anybody reads', async () => {
    const { source, push } = await makeSite();
    const many = (spec: object) =>
      Array.from({ length: 1500 }, (_, n) =>
        policyText(
          {
            match: { repositories: [`plain:ml/m${n}`], tags: ['v*'] },
            target: { namespace: `n${n}` },
            ...spec,
          },
          `p${n}`,
        ),
      ).join('\n---\n');
    const head = await push({ 'policies/a.yaml': many({}) });
    await source.refresh();
    expect(source.status()).toMatchObject({ inForce: head, faults: [] });
    await push({ 'policies/a.yaml': many({ unknown: 1 }) });
    await source.refresh();
    const { inForce, faults } = source.status();
    expect([inForce, faults.length]).toEqual([head, 1001]);
    expect(faults.at(-1)?.message).toBe('and 500 more faults');
  });

  it('is looked at again where it could not be listed, for that may have been the machine', async () => {
    const { source, push, log } = await makeSite();
    const folder = ['x', 'y', 'z'].map((letter) => letter.repeat(240)).join('/');
    const many = Array.from({ length: 25_000 }, (_, n) => [`policies/${folder}/${n}.yaml`, 'a']);
    await push(Object.fromEntries(many));
    await source.refresh();
    await source.refresh();
    expect(source.status().faults).toMatchObject([
      { file: 'policies', message: expect.stringContaining('has more files than can be listed') },
    ]);
    expect(log.filter(({ level }) => level === 'error')).toHaveLength(2);
  });

  it('is text in UTF-8', async () => {
    const { source, push } = await makeSite();
    await push({ 'policies/a.yaml': GOOD, 'policies/b.yaml': '# caf\ufffd\n' });
    await source.refresh();
    expect(source.status().faults).toMatchObject([
      { file: 'policies/b.yaml', message: 'the file is not UTF-8; save it as UTF-8' },
    ]);
  });
});

it('a policy outside the bound of its directory is refused with its head', async () => {
  const bounds = [{ directory: 'policies/team', maxReplicas: 2, allow: [] }];
  const { source, push } = await makeSite({
    known: {
      forges: ['plain'],
      clusters: [],
      gitops: [{ name: 'fleet', pullRequests: false }],
      policies: { directory: 'policies', bounds },
    },
  });
  const many = policyText({ replicas: { min: 3 } });
  const good = await push({ 'policies/a.yaml': many });
  await source.refresh();
  await push({ 'policies/team/a.yaml': many });
  await source.refresh();
  expect(source.status()).toMatchObject({
    inForce: good,
    faults: [
      { file: 'policies/team/a.yaml', message: expect.stringContaining('policies in policies/team: 2') },
    ],
  });
});
