import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { type GitHttpServer, startGitHttpServer } from '../../test/git-http-server.ts';
import { GitRepository } from '../../test/git-repository.ts';
import { StalledError } from '../core/errors.ts';
import { GitError, git } from './git.ts';
import { Mirror } from './mirror.ts';
import { isLocal, localRepository, locateRemote, type RemoteAccess } from './remote.ts';

const TOKEN = `glpat-"it's $(a) \`token\` \\ with % signs`;

let folder: string;
let root: string;
let head: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'modelhook-remote-'));
  root = join(folder, 'git');
  const bare = GitRepository.create(join(root, 'ml/iris.git'));
  head = bare.commit({ 'README.md': '# Iris' });
  bare.git(['config', 'http.receivepack', 'true']);
  bare.git(['clone', '--quiet', '--bare', bare.dir, join(root, 'ml/plain')]);
  bare.git(['clone', '--quiet', bare.dir, join(root, 'ml/clone')]);
  mkdirSync(join(root, 'ml/empty.git'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => {
  vi.unstubAllEnvs();
  vi.resetModules();
});

const access = (changes: Partial<RemoteAccess>): RemoteAccess => ({
  url: root,
  user: 'modelhook',
  token: null,
  ssh: null,
  ca: null,
  ...changes,
});

describe('a repository on this machine', () => {
  it('is at <url>/<path>.git, else at <url>/<path>, else in the .git of a clone', () => {
    expect(isLocal(access({}))).toBe(true);
    expect(localRepository(access({}), 'ml/iris')).toBe(join(root, 'ml/iris.git'));
    expect(localRepository(access({}), 'ml/plain')).toBe(join(root, 'ml/plain'));
    expect(localRepository(access({}), 'ml/clone')).toBe(join(root, 'ml/clone/.git'));
  });

  it('that is not there is a failing forge, with both places named', () => {
    for (const path of ['ml/none', 'ml/empty']) {
      const look = () => localRepository(access({}), path);
      expect(look).not.toThrow(StalledError);
      expect(look).toThrow(`there is no Git repository at ${root}/${path}.git or ${root}/${path}`);
    }
  });

  it('is reached by its path, whatever credentials are configured', async () => {
    const remote = await locateRemote(access({ token: async () => TOKEN }), 'ml/iris');
    expect(remote.url).toBe(join(root, 'ml/iris.git'));
    expect(JSON.stringify(remote)).not.toContain('glpat');
  });
});

describe('a repository at an address', () => {
  it('is at <url>/<path>.git, else at <url>/<path>', async () => {
    const base = pathToFileURL(root).href;
    expect(isLocal(access({ url: base }))).toBe(false);
    expect((await locateRemote(access({ url: base }), 'ml/iris')).url).toBe(`${base}/ml/iris.git`);
    expect((await locateRemote(access({ url: `${base}/` }), 'ml/plain')).url).toBe(`${base}/ml/plain`);
  });

  it('that is not there throws what git said of <url>/<path>.git', async () => {
    const locating = locateRemote(access({ url: pathToFileURL(root).href }), 'ml/none');
    await expect(locating).rejects.toBeInstanceOf(GitError);
    await expect(locating).rejects.toThrow(/ml\/none\.git/);
  });
});

describe('a token', () => {
  let server: GitHttpServer;
  beforeAll(async () => {
    vi.stubEnv('no_proxy', '*');
    server = await startGitHttpServer(root, { password: TOKEN });
  });
  afterAll(() => server.close());

  it('lets us fetch and push', async () => {
    const at = access({ url: server.url, token: async () => TOKEN });
    const mirror = new Mirror(join(folder, 'cache'), 'http', () => locateRemote(at, 'ml/iris'));
    expect(await mirror.fetchBranch('main')).toBe(head);
    const remote = await mirror.remote();
    const push = ['push', '--quiet', '--', remote.url, `${head}:refs/heads/pushed`];
    await git(push, { dir: mirror.dir, remote });
    expect(GitRepository.open(join(root, 'ml/iris.git')).read('refs/heads/pushed')).toBe(head);
  });

  it('is in no argument and in no address', async () => {
    const log = join(folder, 'arguments.log');
    const bin = mkdtempSync(join(folder, 'bin-'));
    const real = execFileSync('sh', ['-c', 'command -v git']).toString().trim();
    const script = `#!/bin/sh\nprintf '%s\\n' "$@" >>'${log}'\nGIT_TRACE='${log}' GIT_TRACE_CURL_NO_DATA=1 exec '${real}' "$@"\n`;
    writeFileSync(join(bin, 'git'), script, { mode: 0o755 });
    vi.stubEnv('PATH', `${bin}:${process.env.PATH}`);
    vi.resetModules();
    const fresh = await import('./remote.ts');
    const remote = await fresh.locateRemote(access({ url: server.url, token: async () => TOKEN }), 'ml/iris');
    expect(remote.url).toBe(`${server.url}/ml/iris.git`);
    const seen = readFileSync(log, 'utf8');
    expect(seen).toContain(`${server.url}/ml/iris.git`);
    expect(seen).toMatch(/run_command|exec: /);
    expect(seen).not.toContain('glpat');
    expect(JSON.stringify(remote.config)).not.toContain('glpat');
  });

  it('that is wrong is refused, and is not shown', async () => {
    const locating = locateRemote(access({ url: server.url, token: async () => 'glpat-wrong' }), 'ml/iris');
    await expect(locating).rejects.toThrow(/Authentication failed/);
    await expect(locating).rejects.not.toThrow(/glpat-wrong/);
  });

  it('that is missing is not asked for, on no terminal and in no window', async () => {
    const mark = join(folder, 'a-window-opened');
    const askpass = join(folder, 'askpass');
    writeFileSync(askpass, `#!/bin/sh\ntouch '${mark}'\necho secret\n`, { mode: 0o755 });
    vi.stubEnv('SSH_ASKPASS', askpass);
    vi.stubEnv('DISPLAY', ':0');
    vi.resetModules();
    const fresh = await import('./remote.ts');
    await expect(fresh.locateRemote(access({ url: server.url }), 'ml/iris')).rejects.toThrow(
      /could not read Username/,
    );
    expect(existsSync(mark)).toBe(false);
  });

  it('is not taken from the helper of a repository’s own configuration', async () => {
    const mark = join(folder, 'a-helper-ran');
    const mirror = GitRepository.create(join(folder, 'helped.git'));
    mirror.git(['config', 'credential.helper', `!touch '${mark}'; echo`]);
    mirror.git(['config', `credential.${server.url}.helper`, `!touch '${mark}'; echo`]);
    const remote = await locateRemote(access({ url: server.url, token: async () => TOKEN }), 'ml/iris');
    await git(['ls-remote', '--', remote.url], { dir: mirror.dir, remote });
    expect(existsSync(mark)).toBe(false);
  });

  it.each([
    ['before it was asked for', undefined],
    ['after it was given', TOKEN],
  ])('is not sent to another host, to which the server redirects %s', async (_, password) => {
    const other = await startGitHttpServer(root, { password: 'its own' });
    const redirecting = await startGitHttpServer(root, {
      redirect: other.url,
      ...(password && { password }),
    });
    try {
      const locating = locateRemote(access({ url: redirecting.url, token: async () => TOKEN }), 'ml/iris');
      await expect(locating).rejects.toBeInstanceOf(GitError);
      expect(other.authorizations.length).toBeGreaterThan(0);
      expect(other.authorizations.filter((header) => header !== undefined)).toEqual([]);
      if (password) expect(redirecting.authorizations.some((header) => header !== undefined)).toBe(true);
    } finally {
      await Promise.all([other.close(), redirecting.close()]);
    }
  });
});

describe('ssh', () => {
  const ssh = { key: `/etc/it's 100% a key $(x)`, knownHosts: '/etc/known hosts/100% of them' };
  const installed = () => {
    try {
      execFileSync('ssh', ['-V'], { stdio: 'ignore' });
      return true;
    } catch {
      return false;
    }
  };

  /** What git runs as ssh for a repository: its arguments, a line each. */
  async function argumentsOf(changes: Partial<RemoteAccess>): Promise<string[]> {
    const log = join(mkdtempSync(join(folder, 'ssh-')), 'arguments');
    const bin = mkdtempSync(join(folder, 'bin-'));
    writeFileSync(join(bin, 'ssh'), `#!/bin/sh\nprintf '%s\\n' "$@" >'${log}'\nexit 255\n`, { mode: 0o755 });
    vi.stubEnv('PATH', `${bin}:${process.env.PATH}`);
    vi.resetModules();
    const fresh = await import('./remote.ts');
    const locating = fresh.locateRemote(
      access({ url: 'ssh://git@git.example.com:2222/srv', ssh, ...changes }),
      'ml/iris',
    );
    await expect(locating).rejects.toThrow();
    return readFileSync(log, 'utf8').trimEnd().split('\n');
  }

  it('gets the key and the known hosts, and asks nobody anything', async () => {
    const args = await argumentsOf({});
    expect(args.filter((arg) => arg.startsWith('IdentityFile='))).toHaveLength(1);
    expect(args).toContain('BatchMode=yes');
    expect(args).toContain('IdentitiesOnly=yes');
    expect(args).toContain('StrictHostKeyChecking=yes');
    expect(args).toContain('git@git.example.com');
    expect(args.join(' ')).toContain('-p 2222');
  });

  it.skipIf(!installed())(
    'reads both paths whole, also with spaces and signs in them (needs ssh)',
    async () => {
      const args = await argumentsOf({});
      vi.unstubAllEnvs();
      const options = args.slice(0, args.indexOf('git@git.example.com'));
      const understood = execFileSync('ssh', ['-G', ...options, 'git.example.com'], {
        stdio: 'pipe',
      }).toString();
      const value = (option: string) => new RegExp(`^${option} (.*)$`, 'm').exec(understood)?.[1];
      expect(value('identityfile')?.replaceAll('%%', '%')).toBe(ssh.key);
      expect(value('userknownhostsfile')?.replaceAll('%%', '%')).toBe(ssh.knownHosts);
    },
  );

  it('is not affected by a token that is configured beside it', async () => {
    const args = await argumentsOf({ token: async () => TOKEN });
    expect(args.join('\n')).not.toContain('glpat');
  });
});
