import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { StalledError } from '../core/errors.ts';
import { importCommits } from '../git/fast-import.ts';
import { GitError, git } from '../git/git.ts';
import { Mirror } from '../git/mirror.ts';
import {
  deliveryOf,
  describeFileTarget,
  type FileSite,
  failureOf,
  manifestOf,
  outcomesOf,
  removalOf,
} from './contract.ts';
import { createGitopsTarget } from './gitops.ts';
import type { Delivery, DeliveryTarget } from './target.ts';

const AUTHOR = { name: 'Fleet Bot', email: 'fleet@example.com' };
const SOMEBODY = { name: 'Somebody', email: 'somebody@example.com' };
const NOW = 1_700_000_000_000;
const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

let root: string;
let made = 0;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'modelhook-gitops-'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

interface Fleet extends FileSite {
  dir: string;
  mirrorDir: string;
  /** A controller on the same fleet that remembers what the first one stored. */
  restart(): DeliveryTarget;
  /** Another machine: a mirror and a memory of its own. */
  stranger(): DeliveryTarget;
  commit(files: Record<string, string>): Promise<string>;
  log(format: string): Promise<string[]>;
}

async function makeFleet({ empty = false } = {}): Promise<Fleet> {
  made += 1;
  const folder = join(root, String(made));
  const dir = join(folder, 'fleet.git');
  mkdirSync(dir, { recursive: true });
  await git(['init', '--quiet', '--bare', '--template=', '--initial-branch=main', '--', dir]);
  const facts = new Map<string, string>();
  const create = (memory: Map<string, string>, cache: string) =>
    createGitopsTarget({
      name: 'fleet',
      branch: 'main',
      author: AUTHOR,
      mirror: new Mirror(join(folder, cache), 'fleet', async () => ({ url: dir, env: {}, config: [] })),
      base: {
        get: async () => memory.get('base') ?? null,
        set: async (head) => {
          memory.set('base', head);
        },
      },
      now: () => NOW,
      log: SILENT,
    });
  const head = async () =>
    (await git(['for-each-ref', '--format=%(objectname)', 'refs/heads/main'], { dir })).toString().trim() ||
    null;
  const fleet: Fleet = {
    dir,
    mirrorDir: join(folder, 'cache/fleet.git'),
    target: create(facts, 'cache'),
    restart: () => create(facts, 'cache'),
    stranger: () => create(new Map(), `cache-${Math.random()}`),
    async read(path) {
      return git(['cat-file', 'blob', `refs/heads/main:${path}`], { dir }).then(String, () => null);
    },
    async put(path, text) {
      await fleet.commit({ [path]: text });
    },
    async commit(files) {
      const changes = Object.entries(files).map(([path, text]) => ({ path, text }));
      const [sha = ''] = await importCommits(dir, 'refs/heads/main', await head(), SOMEBODY, NOW / 1000, [
        { message: 'By hand\n', files: changes },
      ]);
      return sha;
    },
    async log(format) {
      const output = await git(['log', '--reverse', `--format=${format}`, 'refs/heads/main'], { dir });
      return output.toString().trimEnd().split('\n');
    },
  };
  if (!empty) await fleet.commit({ 'README.md': 'The fleet\n' });
  return fleet;
}

/** A server-side hook, as somebody who runs the Git server would install it. */
function installHook(fleet: Fleet, name: string, script: string): void {
  mkdirSync(join(fleet.dir, 'hooks'), { recursive: true });
  writeFileSync(join(fleet.dir, 'hooks', name), `#!/bin/sh\n${script}\n`);
  chmodSync(join(fleet.dir, 'hooks', name), 0o755);
}

const named = (rolloutId: string, name: string, given: Partial<Delivery> = {}): Delivery =>
  deliveryOf(rolloutId, { target: { cluster: 'default', namespace: 'models', name }, ...given });

describe('delivery to a GitOps repository', () => {
  describeFileTarget(() => makeFleet());

  test('makes one commit a rollout with its cause in subject, body and trailers', async () => {
    const fleet = await makeFleet();
    await outcomesOf(fleet.target, [named('r1', 'iris'), named('r2', 'rose')]);
    expect(await fleet.log('%s')).toEqual([
      'By hand',
      'deploy iris v1.0.0 to production',
      'deploy rose v1.0.0 to production',
    ]);
    const message = await git(['log', '-1', '--format=%an <%ae>%n%cn%n%at%n%B', 'refs/heads/main'], {
      dir: fleet.dir,
    });
    expect(message.toString().trimEnd()).toBe(`Fleet Bot <fleet@example.com>
Fleet Bot
1700000000
deploy rose v1.0.0 to production

It matches.

Modelhook-Rollout: r2
Modelhook-Repository: plain:ml/iris
Modelhook-Commit: ${'c'.repeat(40)}
Modelhook-Policy: production@${'d'.repeat(40)}`);
  });

  test('removes a file with a commit that names its cause, and leaves all others', async () => {
    const fleet = await makeFleet();
    await outcomesOf(fleet.target, [named('r1', 'iris'), named('r2', 'rose')]);
    const outcomes = await outcomesOf(fleet.target, [removalOf('r3')]);
    const message = await git(['log', '-1', '--format=%H%n%B', 'refs/heads/main'], { dir: fleet.dir });
    const [commit, ...lines] = message.toString().trimEnd().split('\n');
    expect(outcomes.get('r3')).toMatchObject({ kind: 'removed', receipt: { commit } });
    expect(lines.slice(0, 5)).toEqual([
      'remove iris v1.0.0 from production',
      '',
      'It is gone.',
      '',
      'Modelhook-Rollout: r3',
    ]);
    expect(await fleet.read('default/models/iris.yaml')).toBeNull();
    expect(await fleet.read('default/models/rose.yaml')).not.toBeNull();
    expect(await fleet.read('README.md')).not.toBeNull();
  });

  test('finds the commit of a removal whose outcome was never stored', async () => {
    const fleet = await makeFleet();
    await outcomesOf(fleet.target, [named('r1', 'iris')]);
    const first = await outcomesOf(fleet.target, [removalOf('r2')]);
    const again = await outcomesOf(fleet.restart(), [removalOf('r2')]);
    expect(again.get('r2')).toEqual(first.get('r2'));
    expect((await fleet.log('%s')).length).toBe(3);
  });

  test('puts a folder where the same batch put a file and removed it', async () => {
    const fleet = await makeFleet();
    const outcomes = await outcomesOf(fleet.target, [
      named('r1', 'iris', { path: 'a' }),
      removalOf('r2', { path: 'a' }),
      named('r3', 'rose', { path: 'a/rose.yaml' }),
    ]);
    expect([...outcomes.values()].map(({ kind }) => kind)).toEqual(['delivered', 'removed', 'delivered']);
    expect(await fleet.read('a/rose.yaml')).not.toBeNull();
  });

  test('sends a batch in one push', async () => {
    const fleet = await makeFleet();
    installHook(fleet, 'post-receive', 'echo push >> pushes');
    const batch = Array.from({ length: 50 }, (_, index) => named(`r${index}`, `model-${index}`));
    const outcomes = await outcomesOf(fleet.target, batch);
    expect([...outcomes.values()].every(({ kind }) => kind === 'delivered')).toBe(true);
    expect((await fleet.log('%s')).length).toBe(51);
    expect(readFileSync(join(fleet.dir, 'pushes'), 'utf8')).toBe('push\n');
  });

  test('makes the first commit of an empty repository', async () => {
    const fleet = await makeFleet({ empty: true });
    const outcomes = await outcomesOf(fleet.target, [named('r1', 'iris')]);
    expect(outcomes.get('r1')).toMatchObject({ kind: 'delivered' });
    expect(await fleet.log('%s')).toEqual(['deploy iris v1.0.0 to production']);
  });

  test('builds upon a push that came in between, and loses neither', async () => {
    const fleet = await makeFleet();
    await outcomesOf(fleet.target, [named('r1', 'iris')]);
    await fleet.commit({ 'other.yaml': 'a: b\n' });
    await outcomesOf(fleet.stranger(), [named('s1', 'tulip')]);
    const outcomes = await outcomesOf(fleet.target, [named('r2', 'rose')]);
    expect(outcomes.get('r2')).toMatchObject({ kind: 'delivered' });
    expect(await fleet.log('%s')).toEqual([
      'By hand',
      'deploy iris v1.0.0 to production',
      'By hand',
      'deploy tulip v1.0.0 to production',
      'deploy rose v1.0.0 to production',
    ]);
    expect(await fleet.read('other.yaml')).toBe('a: b\n');
  });

  test('builds upon a branch that was rewound, and brings nothing back that was removed', async () => {
    const fleet = await makeFleet();
    await outcomesOf(fleet.target, [named('r1', 'iris')]);
    const kept = (await git(['rev-parse', 'refs/heads/main'], { dir: fleet.dir })).toString().trim();
    await fleet.commit({ 'leak.yaml': 'password: hunter2\n' });
    await outcomesOf(fleet.target, [named('r2', 'rose')]);
    await git(['update-ref', 'refs/heads/main', kept], { dir: fleet.dir });
    const outcomes = await outcomesOf(fleet.target, [named('r3', 'tulip')]);
    expect(outcomes.get('r3')).toMatchObject({ kind: 'delivered' });
    expect(await fleet.read('leak.yaml')).toBeNull();
    expect(await fleet.log('%s')).toEqual([
      'By hand',
      'deploy iris v1.0.0 to production',
      'deploy tulip v1.0.0 to production',
    ]);

    await git(['update-ref', '-d', 'refs/heads/main'], { dir: fleet.dir });
    await outcomesOf(fleet.target, [named('r4', 'daisy')]);
    expect(await fleet.log('%s')).toEqual(['deploy daisy v1.0.0 to production']);
  });

  test('two controllers that deliver at once both get through', async () => {
    const fleet = await makeFleet();
    const other = fleet.stranger();
    const mine = Array.from({ length: 8 }, (_, index) => named(`m${index}`, `mine-${index}`));
    const theirs = Array.from({ length: 8 }, (_, index) => named(`t${index}`, `theirs-${index}`));
    const inTurn = async (target: DeliveryTarget, batch: Delivery[]) => {
      for (const delivery of batch) {
        const outcomes = await outcomesOf(target, [delivery]);
        expect(outcomes.get(delivery.rolloutId)).toMatchObject({ kind: 'delivered' });
      }
    };
    await Promise.all([inTurn(fleet.target, mine), inTurn(other, theirs)]);
    expect((await fleet.log('%s')).length).toBe(17);
  });

  test('finds the commit of a push whose outcome was never stored', async () => {
    const fleet = await makeFleet();
    const first = await outcomesOf(fleet.target, [named('r1', 'iris')]);
    // As after a kill: the rollout is still due, and the next controller knows only what was stored.
    const again = await outcomesOf(fleet.restart(), [named('r1', 'iris')]);
    expect(again.get('r1')).toEqual(first.get('r1'));
    expect((await fleet.log('%s')).length).toBe(2);
  });

  test('finds it also when another kill follows the next push', async () => {
    const fleet = await makeFleet();
    const first = await outcomesOf(fleet.target, [named('r1', 'iris')]);
    await outcomesOf(fleet.restart(), [named('r1', 'iris'), named('r2', 'rose')]);
    const again = await outcomesOf(fleet.restart(), [named('r1', 'iris'), named('r2', 'rose')]);
    expect(again.get('r1')).toEqual(first.get('r1'));
    expect(again.get('r2')).toMatchObject({ receipt: { commit: expect.any(String) } });
    expect((await fleet.log('%s')).length).toBe(3);
  });

  test('finds it also when others were delivered before it came back', async () => {
    const fleet = await makeFleet();
    await outcomesOf(fleet.target, [named('r0', 'first')]);
    // The push arrives, and its answer does not: the receiving side ends before it says so.
    installHook(fleet, 'post-receive', 'kill -9 $PPID');
    const lost = await outcomesOf(fleet.target, [named('r1', 'iris')]);
    expect(failureOf(lost.get('r1'))).toBeInstanceOf(GitError);
    rmSync(join(fleet.dir, 'hooks/post-receive'));
    await outcomesOf(fleet.target, [named('r2', 'rose')]);
    await outcomesOf(fleet.target, [named('r3', 'tulip')]);
    const again = await outcomesOf(fleet.target, [named('r1', 'iris')]);
    const subjects = await fleet.log('%H %s');
    const [commit] = subjects
      .filter((line) => line.includes('deploy iris'))
      .map((line) => line.split(' ')[0]);
    expect(again.get('r1')).toMatchObject({ kind: 'delivered', receipt: { commit } });
    expect(subjects).toHaveLength(5);
  });

  test('finds it when the mirror was deleted, and when the branch was rewritten', async () => {
    const fleet = await makeFleet();
    const first = await outcomesOf(fleet.target, [named('r1', 'iris')]);
    rmSync(fleet.mirrorDir, { recursive: true });
    expect((await outcomesOf(fleet.restart(), [named('r1', 'iris')])).get('r1')).toEqual(first.get('r1'));

    await git(['update-ref', '-d', 'refs/heads/main'], { dir: fleet.dir });
    await fleet.commit({ 'README.md': 'Begun again\n' });
    const rewritten = await outcomesOf(fleet.restart(), [named('r1', 'iris')]);
    expect(rewritten.get('r1')).toMatchObject({ kind: 'delivered', receipt: { commit: expect.any(String) } });
    expect(await fleet.log('%s')).toEqual(['By hand', 'deploy iris v1.0.0 to production']);
  });

  test("fails only the culprit when a hook refuses, in the hook's words", async () => {
    const fleet = await makeFleet();
    installHook(
      fleet,
      'pre-receive',
      `while read -r old new ref; do
        if git log --format=%s "$old..$new" | grep -q 'deploy bad'; then echo "no bad models on Fridays" >&2; exit 1; fi
      done`,
    );
    const batch = ['a', 'b', 'bad', 'c', 'd'].map((name) => named(`r-${name}`, name));
    const outcomes = await outcomesOf(fleet.target, batch);
    expect([...outcomes].filter(([, { kind }]) => kind === 'delivered').map(([id]) => id)).toEqual([
      'r-a',
      'r-b',
      'r-c',
      'r-d',
    ]);
    const refused = failureOf(outcomes.get('r-bad'));
    expect(refused).toBeInstanceOf(StalledError);
    expect(String(refused)).toContain('fleet refused the push: no bad models on Fridays');
    expect(await fleet.log('%s')).not.toContain('deploy bad v1.0.0 to production');
  });

  test('a remote that is down is a passing failure, and all is delivered when it is back', async () => {
    const fleet = await makeFleet();
    const away = `${fleet.dir}.away`;
    renameSync(fleet.dir, away);
    const failed = failureOf((await outcomesOf(fleet.target, [named('r1', 'iris')])).get('r1'));
    expect(failed).toBeInstanceOf(GitError);
    renameSync(away, fleet.dir);
    expect((await outcomesOf(fleet.target, [named('r1', 'iris')])).get('r1')).toMatchObject({
      kind: 'delivered',
    });
  });

  test('a remote that goes down after the first delivery is a passing failure too', async () => {
    const fleet = await makeFleet();
    await outcomesOf(fleet.target, [named('r1', 'iris')]);
    const away = `${fleet.dir}.away`;
    renameSync(fleet.dir, away);
    expect(failureOf((await outcomesOf(fleet.target, [named('r2', 'rose')])).get('r2'))).toBeInstanceOf(
      GitError,
    );
    renameSync(away, fleet.dir);
    expect((await outcomesOf(fleet.target, [named('r2', 'rose')])).get('r2')).toMatchObject({
      kind: 'delivered',
    });
  });

  test('a remote whose disk is full is a passing failure: nobody else has to act', async () => {
    const fleet = await makeFleet();
    // What Git itself does to its objects when it cannot write: the folder for incoming ones is a file here.
    installHook(fleet, 'pre-receive', 'exit 0');
    rmSync(join(fleet.dir, 'objects/incoming'), { force: true, recursive: true });
    await git(['config', 'receive.maxInputSize', '1'], { dir: fleet.dir });
    const failed = failureOf((await outcomesOf(fleet.target, [named('r1', 'iris')])).get('r1'));
    expect(failed).toBeInstanceOf(GitError);
    expect(String(failed)).toMatch(/unpack/);
    await git(['config', '--unset', 'receive.maxInputSize'], { dir: fleet.dir });
    expect((await outcomesOf(fleet.target, [named('r1', 'iris')])).get('r1')).toMatchObject({
      kind: 'delivered',
    });
  });

  test('a server-side push does not run in the environment of ours', async () => {
    const fleet = await makeFleet();
    installHook(fleet, 'post-receive', 'env > environment');
    await outcomesOf(fleet.target, [named('r1', 'iris')]);
    const environment = readFileSync(join(fleet.dir, 'environment'), 'utf8');
    // Vitest's own variables stand for the secrets that a controller has in its environment.
    expect(process.env.VITEST).toBe('true');
    expect(environment).not.toMatch(/^VITEST=/m);
    expect(environment).not.toMatch(/^GIT_CONFIG_COUNT=/m);
  });

  test.each([
    ['a folder', 'default/models/iris.yaml/notes.txt', 'default/models/iris.yaml is a folder'],
    ['a file where its folder must be', 'default/models', 'default/models is a file'],
  ])('never destroys %s that is in the way', async (_what, path, words) => {
    const fleet = await makeFleet();
    await fleet.commit({ [path]: 'precious\n' });
    const refused = failureOf(
      (await outcomesOf(fleet.target, [named('r1', 'iris', { adopt: true })])).get('r1'),
    );
    expect(String(refused)).toContain(words);
    expect(await fleet.read(path)).toBe('precious\n');
  });

  test('never destroys a submodule that is in the way', async () => {
    const fleet = await makeFleet();
    const tree = `160000 commit ${'a'.repeat(40)}\tmodels\n`;
    const sub = (await git(['mktree', '--missing'], { dir: fleet.dir, input: tree })).toString().trim();
    const top = `040000 tree ${sub}\tdefault\n`;
    const root = (await git(['mktree', '--missing'], { dir: fleet.dir, input: top })).toString().trim();
    const who = ['-c', 'user.name=x', '-c', 'user.email=x@example.com'];
    const commit = await git([...who, 'commit-tree', '-m', 'Add a submodule', root], { dir: fleet.dir });
    await git(['update-ref', 'refs/heads/main', commit.toString().trim()], { dir: fleet.dir });
    const outcomes = await outcomesOf(fleet.target, [named('r1', 'iris', { adopt: true })]);
    expect(String(failureOf(outcomes.get('r1')))).toContain('default/models is a submodule');
  });

  test('asks what is still wanted right before each push, not only once', async () => {
    const fleet = await makeFleet();
    await outcomesOf(fleet.target, [named('r0', 'zero')]);
    await fleet.commit({ 'other.yaml': 'a: b\n' });
    let asked = 0;
    const outcomes = await outcomesOf(
      fleet.target,
      [named('r1', 'iris'), named('r2', 'rose')],
      async (ids) => {
        asked += 1;
        // Superseded between the push that lost its race and the next.
        return new Set(asked === 1 ? ids : ids.filter((id) => id !== 'r1'));
      },
    );
    expect(outcomes.get('r1')).toEqual({ kind: 'dropped' });
    expect(outcomes.get('r2')).toMatchObject({ kind: 'delivered' });
    expect(await fleet.read('default/models/iris.yaml')).toBeNull();
  });

  test('works on when the cache is deleted while it runs', async () => {
    const fleet = await makeFleet();
    await outcomesOf(fleet.target, [named('r1', 'iris')]);
    rmSync(fleet.mirrorDir, { recursive: true });
    const first = failureOf((await outcomesOf(fleet.target, [named('r2', 'rose')])).get('r2'));
    if (first !== undefined) {
      expect(first).not.toBeInstanceOf(StalledError);
      await outcomesOf(fleet.target, [named('r2', 'rose')]);
    }
    expect(await fleet.read('default/models/rose.yaml')).toBe(
      manifestOf('plain:ml/iris', { namespace: 'models', name: 'rose' }),
    );
    expect(existsSync(fleet.mirrorDir)).toBe(true);
  });
});
