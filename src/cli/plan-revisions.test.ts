import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { CLEAN_GIT, GitRepository } from '../../test/git-repository.ts';
import { policyText } from '../core/policy.fixture.ts';
import { run } from './program.fixture.ts';

const NO_BOUNDS = 'note: no bounds applied; they are in modelhook.yaml, which --config gives\n';
const NOT_COMPARED =
  'note: deployed targets are not compared; a controller knows them, and --server says which\n';
const NOTES = NO_BOUNDS + NOT_COMPARED;
const FAULTY = policyText({ nope: 1 }, 'faulty');

const EVENT = [
  '--policies',
  '.',
  '--repository',
  'plain:a',
  '--ref',
  'refs/tags/v1',
  '--sha',
  'a'.repeat(40),
];
/** Nine aliases a line, nine lines: 9^9 values. */
const BOMB = Array.from({ length: 9 }, (_, at) =>
  at === 0
    ? 'a0: &a0 [x]'
    : `a${at}: &a${at} [${Array(9)
        .fill(`*a${at - 1}`)
        .join(', ')}]`,
).join('\n');

let root: string;
let origin: GitRepository;
let base: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'modelhook-plan-'));
  origin = GitRepository.create(join(root, 'policies.git'));
  const removed = policyText({ target: { namespace: 'old' } }, 'removed');
  base = origin.commit({ 'policies/a.yaml': policyText(), 'policies/old.yaml': removed }, 'Begin');
});
afterEach(() => rmSync(root, { recursive: true }));

/** @returns the folder of a clone with a work tree */
function clone(...options: string[]): string {
  const folder = mkdtempSync(join(root, 'clone-'));
  execFileSync('git', ['clone', '--quiet', ...options, `file://${origin.dir}`, folder], {
    env: CLEAN_GIT,
    stdio: 'pipe',
  });
  return folder;
}
/** Adds a commit of any entries, as fast-import writes them. @returns its id */
function commitEntries(...entries: string[]): string {
  const data = (text: string) => `data ${Buffer.byteLength(text)}\n${text}\n`;
  const who = 'committer Ada <ada@example.com> 1700000000 +0000';
  const commit = `commit refs/heads/change\n${who}\n${data('By hand')}from ${base}\n${entries.join('\n')}\n`;
  origin.git(['fast-import', '--quiet', '--force'], commit);
  return origin.read('refs/heads/change') ?? '';
}
const inline = (mode: string, path: string, text: string): string =>
  `M ${mode} inline ${path}\ndata ${Buffer.byteLength(text)}\n${text}`;

function writeConfig(policies: object = {}): string {
  const file = join(root, 'modelhook.yaml');
  const config = {
    forges: { plain: { kind: 'git', url: './git', webhookSecrets: [{ env: 'SECRET' }] } },
    policies: { repository: 'plain:policies', ...policies },
    gitops: { fleet: { repository: 'plain:fleet' } },
  };
  writeFileSync(file, JSON.stringify(config));
  return file;
}

const compare = (from: string, to: string, ...argv: string[]) =>
  run('plan', `--from=${from}`, `--to=${to}`, '-C', origin.dir, ...argv);

/** A change of each kind. @returns its commit */
function change(): string {
  const added = policyText({ target: { namespace: 'added' } }, 'added');
  return commitEntries(
    inline('100644', 'policies/a.yaml', policyText({ suspend: true })),
    inline('100644', 'policies/b.yaml', added),
    'D policies/old.yaml',
  );
}

describe('the plan', () => {
  it('says which policies are added, changed and removed, and that nothing else was compared', async () => {
    change();
    expect(await compare('main', 'change')).toEqual({
      code: 0,
      err: NOTES,
      out: `2 policies

Policies:
  added: added (policies/b.yaml:1:85), in fleet
  changed: production (policies/a.yaml:1:85): suspend
  removed: removed
`,
    });
  });

  it('compares the two as they are: a branch that is behind undoes what it lacks', async () => {
    origin.git(['update-ref', 'refs/heads/behind', base]);
    origin.commit({ 'policies/b.yaml': policyText({ target: { namespace: 'b' } }, 'newer') });
    expect((await compare('main', 'behind')).out).toContain('  removed: newer\n');
  });

  it('is one document for programs, the same as YAML', async () => {
    const to = change();
    const { code, out, err } = await compare('main', 'change', '--output', 'json');
    expect([code, err]).toEqual([0, NOTES]);
    const place = (name: string, file: string) => ({ name, file, line: 1, column: 85 });
    expect(JSON.parse(out)).toEqual({
      ...{ from: base, to, deployed: false, policies: 2, faults: [], warnings: [] },
      changes: {
        before: base,
        after: to,
        policies: {
          added: [
            {
              ...place('added', 'policies/b.yaml'),
              delivery: { gitops: 'fleet', path: null, adopt: false },
            },
          ],
          changed: [{ ...place('production', 'policies/a.yaml'), fields: ['suspend'] }],
          removed: [place('removed', 'policies/old.yaml')],
        },
        matches: [],
        targets: [],
        unchanged: 0,
        newRefs: { total: 0, items: [] },
        taken: { total: 0, items: [] },
      },
    });
    expect(parse((await compare('main', 'change', '--output', 'yaml')).out)).toEqual(JSON.parse(out));
  });

  it('has every fault of what would be merged, and ends with 1 and the first', async () => {
    origin.commit({ 'policies/bad.yaml': FAULTY, 'policies/worse.yaml': '{' }, 'Bad', 'bad');
    const { code, out, err } = await compare('main', 'bad');
    expect(code).toBe(1);
    expect(out).toMatch(/^\d faults\n\nFaults:\n {2}policies\/bad\.yaml:1:\d+: .*unknown field "nope"/);
    expect(out).toContain('  policies/worse.yaml:1:');
    expect(err).toContain(`${NOTES}policies/bad.yaml:1:`);
    expect(err).toMatch(/ \(and \d more\)\n$/);
    const { code: same, out: json } = await compare('main', 'bad', '--output', 'json');
    expect(same).toBe(1);
    expect(JSON.parse(json)).toMatchObject({
      policies: null,
      changes: null,
      faults: expect.arrayContaining([expect.objectContaining({ file: 'policies/bad.yaml', line: 1 })]),
    });
  });

  it('says so where there is nothing to compare with', async () => {
    const empty = origin.commit({ 'README.md': 'Soon\n' }, 'Begin anew', 'empty');
    origin.commit({ 'policies/bad.yaml': FAULTY }, 'Bad', 'bad');
    const { code, out, err } = await compare(empty, 'main');
    expect([code, out]).toEqual([0, '2 policies, not compared\n']);
    expect(err).toContain(`note: nothing is compared with ${empty}: policies:1:1: is not in the config repo`);
    expect(await compare('bad', 'main')).toMatchObject({
      code: 0,
      err: expect.stringContaining('note: nothing is compared with bad: its policies have faults; name it'),
    });
  });
});

describe('what modelhook.yaml says', () => {
  it('applies: the directory of the policies, their bounds, and names', async () => {
    const bounds = [{ directory: 'teams/a', clusters: ['prod'] }];
    const config = writeConfig({ directory: 'teams', bounds });
    const good = policyText({ target: { namespace: 'vision', cluster: 'prod' } });
    const from = origin.commit({ 'teams/a/iris.yaml': good });
    expect(await compare(from, 'main', '--config', config)).toEqual({
      code: 0,
      err: NOT_COMPARED,
      out: '1 policy\n',
    });
    origin.commit({ 'teams/a/iris.yaml': policyText({ target: { namespace: 'vision', cluster: 'dev' } }) });
    const { code, out } = await compare(from, 'main', '--config', config);
    expect(code).toBe(1);
    expect(out).toMatch(/teams\/a\/iris\.yaml:1:\d+: .*cluster/);
    origin.commit({ 'teams/a/iris.yaml': policyText({ delivery: { gitops: 'flet' } }) });
    expect((await compare(from, 'main', '--config', config)).out).toContain('did you mean "fleet"?');
  });

  it('gives way to a directory that is named', async () => {
    const config = writeConfig({ directory: 'teams' });
    for (const directory of ['policies', './policies/', 'policies/../policies'])
      expect(await compare('main', 'main', '--config', config, '--policies', directory)).toMatchObject({
        code: 0,
        out: '2 policies\n',
      });
    expect((await compare('main', 'main', '--policies', '.')).out).toBe('2 policies\n');
  });
});

describe('a revision', () => {
  it('may have any name that git rev-parse takes', async () => {
    origin.annotate('refs/tags/v1', base);
    const to = change();
    for (const name of [to, to.slice(0, 9), 'refs/heads/change', 'change~0', ':/By hand'])
      expect((await compare('v1', name)).out).toContain('added: added');
    expect((await compare('change~1', 'change')).out).toContain('removed: removed');
  });

  it.each(['nowhere', 'main..main', 'main:policies', '--all', '', 'f'.repeat(40)])(
    '%j is wrong usage where it names no commit',
    async (name) => {
      expect(await compare('main', name)).toEqual({
        code: 2,
        out: '',
        err: `--to ${name}: the clone has no such commit\n`,
      });
      expect((await compare(name, 'main')).err).toContain(`--from ${name}: the clone has no`);
    },
  );

  it('that only the origin has is told by its name', async () => {
    change();
    const folder = clone('--single-branch', '--no-tags');
    execFileSync('git', ['fetch', '--quiet', 'origin', 'change:refs/remotes/origin/change'], {
      cwd: folder,
      env: CLEAN_GIT,
    });
    expect((await compare('main', 'change', '-C', folder)).err).toBe(
      '--to change: the clone has no such commit; did you mean origin/change?\n',
    );
    expect((await compare('main', 'origin/change', '-C', folder)).code).toBe(0);
  });
});

describe('the clone', () => {
  it('may be named by any folder in its work tree, and counts as it is committed', async () => {
    const folder = clone();
    writeFileSync(join(folder, 'policies/a.yaml'), '{');
    const { code, out } = await compare('origin/main', 'HEAD', '--clone', join(folder, 'policies'));
    expect([code, out]).toEqual([0, '2 policies\n']);
  });

  it('is wrong usage where it is none', async () => {
    mkdirSync(join(root, 'plain'));
    for (const folder of [join(root, 'plain'), join(root, 'nowhere')])
      expect(await compare('main', 'main', '-C', folder)).toEqual({
        code: 2,
        out: '',
        err: expect.stringMatching(/^\S+ cannot be used as a clone: .*; name one with --clone\n$/),
      });
  });

  it('says how to complete it where it is shallow', async () => {
    change();
    const folder = clone('--depth=1', '--branch=change');
    expect(await compare('HEAD~1', 'HEAD', '-C', folder)).toEqual({
      code: 2,
      out: '',
      err: '--from HEAD~1: the clone has no such commit; it is a shallow clone, which git fetch --unshallow completes\n',
    });
  });

  it('fetches nothing where files were left out of it', async () => {
    change();
    const folder = clone('--filter=blob:none', '--branch=change');
    const { code, out, err } = await compare('HEAD~1', 'HEAD', '-C', folder);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain('HEAD~1 cannot be read: ');
    expect(err).toContain('a clone that was made with --filter may lack files, so make it without\n');
  });
});

describe('a hostile revision', () => {
  it.each([
    ['a symbolic link', () => inline('120000', 'policies/link.yaml', '/etc/passwd'), 'symbolic link'],
    ['a link for the directory', () => inline('120000', 'policies', '/etc'), 'symbolic link'],
    ['a submodule', () => `M 160000 ${base} policies/sub`, 'submodule'],
    ['a bomb', () => inline('100644', 'policies/bomb.yaml', BOMB), 'policies/bomb.yaml:'],
  ])('is a fault: %s', async (what, entry, said) => {
    commitEntries(...(what.includes('directory') ? ['D policies'] : []), entry());
    const { code, out } = await compare('main', 'change');
    expect(code).toBe(1);
    expect(out).toMatch(/^\d+ faults?\n/);
    expect(out).toContain(said);
    expect(out).not.toContain('root:');
  });

  it('is a fault: more files than are read', async () => {
    const blob = origin.git(['rev-parse', 'main:policies/a.yaml']);
    const files = Array.from({ length: 20_001 }, (_, at) => `M 100644 ${blob} policies/many/${at}.yaml`);
    commitEntries(...files);
    const { code, out } = await compare('main', 'change');
    expect([code, out]).toEqual([1, expect.stringContaining('has 20003 policy files, more than 20000')]);
  });

  it('steers no terminal with its names', async () => {
    commitEntries(inline('100644', '"policies/\\033[31mred\\n.yaml"', FAULTY));
    const { code, out, err } = await compare('main', 'change');
    expect(code).toBe(1);
    expect(out + err).toContain('red');
    expect(out + err).not.toContain('\u001b');
  });
});

describe('wrong usage', () => {
  it.each([
    [['--from', 'main'], '--from and --to go together'],
    [['--to', 'main'], '--from and --to go together'],
    [['--from', 'a', '--to', 'b', '--repository', 'plain:a'], "'--repository <id>'"],
    [['--from', 'a', '--to', 'b', '--ref', 'refs/tags/v1'], "'--ref <ref>'"],
    [['--from', 'a', '--to', 'b', '--diff'], "'--diff'"],
    [['--from', 'a', '--to', 'b', '--kserve', '0.15'], "'--kserve <version>'"],
    [['--server', 'http://localhost'], 'required option'],
    [[...EVENT, '--server', 'http://localhost'], '--server goes with --from and --to'],
    [[...EVENT, '--clone', '.'], '--clone goes with --from and --to'],
  ])('is %j', async (argv, said) => {
    const { code, out, err } = await run('plan', ...argv);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain(said);
  });

  it.each(['..', '../policies', '/policies'])('is --policies %s, outside the clone', async (directory) => {
    const { code, err } = await compare('main', 'main', '--policies', directory);
    expect(code).toBe(2);
    expect(err).toContain(`--policies ${directory} leads out of the clone`);
  });

  it('is a controller without modelhook.yaml, whose names tell its targets apart', async () => {
    const { code, out, err } = await compare('main', 'main', '--server', 'http://127.0.0.1:9');
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain('give that with --config');
  });
});
