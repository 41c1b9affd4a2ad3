import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { GitRepository } from '../../test/git-repository.ts';
import { importCommits } from './fast-import.ts';
import { GitBoundError, GitError, git, TOKEN_VARIABLE, withoutToken } from './git.ts';

let folder: string;
let repository: GitRepository;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'modelhook-git-'));
  repository = GitRepository.create(join(folder, 'iris.git'));
  repository.commit({ 'README.md': '# Iris' });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => {
  vi.unstubAllEnvs();
  vi.resetModules();
});

/** The module as a process has it that was started with this environment. */
async function startedWith(env: Record<string, string>) {
  for (const [key, value] of Object.entries(env)) vi.stubEnv(key, value);
  vi.resetModules();
  const fresh = await import('./git.ts');
  const errors = await import('../core/errors.ts');
  return { git: fresh.git, StalledError: errors.StalledError };
}

/** A command of that name, first on the PATH this returns. */
function commandOnPath(name: string, script: string): string {
  const bin = mkdtempSync(join(folder, 'bin-'));
  writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return `${bin}:${process.env.PATH}`;
}

describe('git runs in an environment of its own', () => {
  it('without any GIT_ variable of the process, which a hook may have started', async () => {
    const fresh = await startedWith({
      PATH: commandOnPath('git', 'env'),
      GIT_DIR: '/somewhere/else',
      GIT_INDEX_FILE: '/somewhere/else/index',
      GIT_QUARANTINE_PATH: '/somewhere/else/objects',
      GIT_OBJECT_DIRECTORY: '/somewhere/else/objects',
      GIT_CONFIG_PARAMETERS: "'core.bare=true'",
      GIT_CONFIG_COUNT: '99',
      GIT_SSH_COMMAND: 'evil',
      GIT_EXEC_PATH: '/evil',
      GIT_TRACE: '1',
      HOME: '/home/ada',
    });
    const lines = (await fresh.git(['anything'], { dir: repository.dir })).toString().split('\n');
    const env = Object.fromEntries(lines.map((line) => line.split(/=(.*)/s).slice(0, 2)));
    const own = Object.keys(env).filter(
      (key) => key.startsWith('GIT_') && !/^GIT_CONFIG_(KEY|VALUE)_\d+$/.test(key),
    );
    expect(own.toSorted()).toEqual([
      'GIT_ALLOW_PROTOCOL',
      'GIT_ASKPASS',
      'GIT_CONFIG_COUNT',
      'GIT_CONFIG_GLOBAL',
      'GIT_CONFIG_NOSYSTEM',
      'GIT_DIR',
      'GIT_NO_LAZY_FETCH',
      'GIT_TERMINAL_PROMPT',
    ]);
    expect(env).toMatchObject({
      GIT_DIR: repository.dir,
      GIT_TERMINAL_PROMPT: '0',
      LC_ALL: 'C',
      HOME: '/home/ada',
    });
    expect(Number(env['GIT_CONFIG_COUNT'])).toBeLessThan(20);
  });

  it('works on the repository it is given, whatever GIT_DIR says', async () => {
    const other = GitRepository.create(join(folder, 'other.git'));
    const fresh = await startedWith({ GIT_DIR: other.dir, GIT_CONFIG_PARAMETERS: "'evil.key=1'" });
    const head = await fresh.git(['rev-parse', 'refs/heads/main'], { dir: repository.dir });
    expect(head.toString().trim()).toBe(repository.read('refs/heads/main'));
    await expect(fresh.git(['config', 'evil.key'], { dir: repository.dir })).rejects.toMatchObject({
      code: 1,
    });
  });

  it('reads no configuration of the user', async () => {
    const home = join(folder, 'home');
    mkdirSync(join(home, '.config/git'), { recursive: true });
    writeFileSync(join(home, '.gitconfig'), '[evil]\n\tkey = 1\n');
    writeFileSync(join(home, '.config/git/config'), '[evil]\n\tother = 1\n');
    const fresh = await startedWith({ HOME: home, XDG_CONFIG_HOME: join(home, '.config') });
    const config = (await fresh.git(['config', '--list'], { dir: repository.dir })).toString();
    expect(config).not.toContain('evil');
    expect(config).toContain('core.hookspath=/dev/null');
  });

  it('runs none of the hooks of the repository', async () => {
    const guarded = GitRepository.create(join(folder, 'guarded.git'));
    const head = guarded.commit({ 'README.md': '# Guarded' });
    const mark = join(folder, 'a-hook-ran');
    for (const hook of ['reference-transaction', 'post-receive', 'update', 'pre-push', 'post-update'])
      guarded.hook(hook, `echo ${hook} >>'${mark}'`);
    guarded.point('refs/heads/control', head);
    expect(readFileSync(mark, 'utf8')).toContain('reference-transaction');
    rmSync(mark);
    await git(['update-ref', 'refs/heads/ours', head], { dir: guarded.dir });
    const author = { name: 'modelhook', email: 'modelhook@example.com' };
    const draft = { message: 'Ours', files: [{ path: 'a.txt', text: 'a' }] };
    await importCommits(guarded.dir, 'refs/heads/imported', head, author, 1_700_000_000, [draft]);
    expect(guarded.read('refs/heads/imported')).not.toBeNull();
    expect(existsSync(mark)).toBe(false);
  });

  it('runs no monitor that the repository is configured with', async () => {
    const clone = join(folder, 'clone');
    repository.git(['clone', '--quiet', repository.dir, clone]);
    const dir = join(clone, '.git');
    const mark = join(folder, 'a-monitor-ran');
    const monitor = join(folder, 'monitor');
    writeFileSync(monitor, `#!/bin/sh\ntouch '${mark}'\n`, { mode: 0o755 });
    await git(['config', 'core.fsmonitor', monitor], { dir });
    await git(['--work-tree', clone, 'status'], { dir });
    expect(existsSync(mark)).toBe(false);
  });

  it('does not run commands of an address', async () => {
    const mark = join(folder, 'an-address-ran');
    const listing = git(['ls-remote', '--', `ext::sh -c touch% ${mark}`]);
    await expect(listing).rejects.toThrow(/transport 'ext' not allowed/);
    expect(existsSync(mark)).toBe(false);
  });
});

describe('a git command', () => {
  it('gets bytes in and gives bytes out', async () => {
    const bytes = Buffer.from(Uint8Array.from({ length: 256 }, (_, byte) => byte));
    const id = await git(['hash-object', '-w', '--stdin'], { dir: repository.dir, input: bytes });
    const out = await git(['cat-file', 'blob', id.toString().trim()], { dir: repository.dir });
    expect(out.equals(bytes)).toBe(true);
  });

  it('that fails throws what git said, and its exit code', async () => {
    const failing = git(['rev-parse', '--verify', 'refs/heads/none'], { dir: repository.dir });
    await expect(failing).rejects.toBeInstanceOf(GitError);
    await expect(failing).rejects.toMatchObject({
      code: 128,
      message: 'git rev-parse: fatal: Needed a single revision',
    });
  });

  it('that fails without a word throws its exit code', async () => {
    const failing = git(['rev-parse', '--verify', '--quiet', 'refs/heads/none'], { dir: repository.dir });
    await expect(failing).rejects.toMatchObject({ code: 1, message: 'git rev-parse: exit code 1' });
  });

  it('that fails for a hook of the other side throws the words of that hook', async () => {
    const guarded = GitRepository.create(join(folder, 'refusing.git'));
    guarded.hook('pre-receive', 'echo "Deployments are frozen until Monday" >&2; exit 1');
    const pushing = git(['push', '--quiet', '--', guarded.dir, 'refs/heads/main'], { dir: repository.dir });
    await expect(pushing).rejects.toThrow(/remote: Deployments are frozen until Monday/);
  });

  it('that ends before it has read its input says why it ended', async () => {
    const input = Buffer.alloc(4 * 1024 * 1024, 'x');
    const failing = git(['fast-import', '--no-such-option'], { dir: repository.dir, input });
    await expect(failing).rejects.toThrow(/unknown option --no-such-option/);
  });

  it('that answers more than is wanted is ended', async () => {
    const id = repository.git(['hash-object', '-w', '--stdin'], Buffer.alloc(100_000));
    const reading = git(['cat-file', 'blob', id], { dir: repository.dir, maxOutput: 50_000 });
    await expect(reading).rejects.toThrow(GitBoundError);
    await expect(reading).rejects.toThrow('git cat-file: answered more than 50000 bytes');
  });

  it('that says something its caller will not have is ended with the caller’s error', async () => {
    const onStderr = () => {
      throw new TypeError('enough');
    };
    const failing = git(['rev-parse', '--verify', 'none'], { dir: repository.dir, onStderr });
    await expect(failing).rejects.toThrow(new TypeError('enough'));
  });

  it('that hangs is ended with all it started', async () => {
    let said = '';
    const alias = ['alias.hang', '!sleep 1000 & echo $! $$ >&2; wait'] as const;
    const hanging = git(['hang'], {
      remote: { url: '', env: {}, config: [alias] },
      timeout: 1500,
      onStderr: (text) => {
        said += text;
      },
    });
    await expect(hanging).rejects.toThrow(GitBoundError);
    await expect(hanging).rejects.toThrow('git hang: gave no answer within 1.5 s');
    const pids = said.trim().split(/\s+/).map(Number);
    expect(pids).toHaveLength(2);
    await vi.waitUntil(() => !pids.some(isRunning), { timeout: 30_000 });
  });

  it('is a matter for a person where git is not installed', async () => {
    const fresh = await startedWith({ PATH: join(folder, 'no-such-folder') });
    const failing = fresh.git(['version']);
    await expect(failing).rejects.toBeInstanceOf(fresh.StalledError);
    await expect(failing).rejects.toThrow(/git command was not found; install Git/);
  });
});

/** Whether a process is there, and not merely waiting to be taken note of. */
function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return !existsSync('/proc/self');
  }
}

describe('what a server says', () => {
  const token = 'glpat-"/+%&<secret';
  const remote = { url: 'https://git.example.com', env: { [TOKEN_VARIABLE]: token }, config: [] };

  it.each([
    ['as it is', token],
    ['as addresses have it', encodeURIComponent(token)],
    ['as HTTP sends it', Buffer.from(`modelhook:${token}`).toString('base64')],
  ])('is handed on without the token %s', (_, repeated) => {
    const said = `remote: you sent ${repeated}, sorry`;
    expect(withoutToken(said, remote)).toBe('remote: you sent [token], sorry');
  });

  it('is handed on whole where there is no token', () => {
    expect(withoutToken('remote: no', undefined)).toBe('remote: no');
    expect(withoutToken('remote: no', { ...remote, env: {} })).toBe('remote: no');
  });
});
