import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { GitRepository } from '../../test/git-repository.ts';
import { StalledError } from '../core/errors.ts';
import { GitError, type Remote } from './git.ts';
import { Mirror } from './mirror.ts';

const WEIGHTS = 16 * 1024 * 1024;

let folder: string;
let model: GitRepository;
let first: string;
let head: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'modelhook-mirror-'));
  model = GitRepository.create(join(folder, 'iris.git'));
  first = model.commit({ 'README.md': '# Iris', 'weights.bin': randomBytes(WEIGHTS) });
  head = model.commit({ 'README.md': '# Iris, better' });
});
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }));

const remoteOf = (repository: GitRepository): Remote => ({
  url: pathToFileURL(repository.dir).href,
  env: {},
  config: [],
});
let mirrors = 0;
function mirrorOf(repository: GitRepository): Mirror {
  mirrors += 1;
  return new Mirror(join(folder, 'cache'), `mirror-${mirrors}`, async () => remoteOf(repository));
}

/** What is stored, without asking the server for what is missing. */
function objectsIn(mirror: Mirror): { type: string; size: number }[] {
  const format = '--batch-check=%(objecttype) %(objectsize)';
  const args = ['--git-dir', mirror.dir, 'cat-file', '--batch-all-objects', format];
  const lines = execFileSync('git', args, { stdio: 'pipe' }).toString().split('\n').filter(Boolean);
  return lines.map((line) => {
    const [type = '', size] = line.split(' ');
    return { type, size: Number(size) };
  });
}

const bytesIn = (dir: string): number =>
  Number(execFileSync('du', ['-sk', dir]).toString().split('\t')[0]) * 1024;

describe('a mirror', () => {
  it('is nothing until it is used', () => {
    expect(existsSync(mirrorOf(model).dir)).toBe(false);
  });

  describe('of a branch', () => {
    let repository: GitRepository;
    let mirror: Mirror;
    beforeEach(() => {
      repository = GitRepository.create(join(folder, `fleet-${mirrors}.git`));
      mirror = mirrorOf(repository);
    });

    it('has the head of the branch, with all its files', async () => {
      const sha = repository.commit({ 'a.yaml': 'a' });
      expect(await mirror.fetchBranch('main')).toBe(sha);
      using objects = await mirror.objects();
      expect(String(await objects.contents(`${sha}:a.yaml`))).toBe('a');
    });

    it('follows it: forward, and where it was forced', async () => {
      const one = repository.commit({ 'a.yaml': '1' });
      const two = repository.commit({ 'a.yaml': '2' });
      expect(await mirror.fetchBranch('main')).toBe(two);
      repository.point('refs/heads/main', one);
      expect(await mirror.fetchBranch('main')).toBe(one);
    });

    it('has null for a branch that is not there, not there yet, or no longer', async () => {
      expect(await mirror.fetchBranch('main')).toBeNull();
      const sha = repository.commit({ 'a.yaml': 'a' });
      expect(await mirror.fetchBranch('other')).toBeNull();
      expect(await mirror.fetchBranch('main')).toBe(sha);
      repository.point('refs/heads/spare', sha);
      repository.remove('refs/heads/main');
      expect(await mirror.fetchBranch('main')).toBeNull();
      expect(await mirror.resolve('refs/remotes/origin/main')).toBeNull();
    });

    it('throws, and forgets nothing, while the repository cannot be reached', async () => {
      const sha = repository.commit({ 'a.yaml': 'a' });
      await mirror.fetchBranch('main');
      renameSync(repository.dir, `${repository.dir}.away`);
      await expect(mirror.fetchBranch('main')).rejects.toBeInstanceOf(GitError);
      await expect(mirror.fetchBranch('main')).rejects.toThrow(
        /does not appear to be a git repository|not exist/,
      );
      expect(await mirror.resolve('refs/remotes/origin/main')).toBe(sha);
      renameSync(`${repository.dir}.away`, repository.dir);
      expect(await mirror.fetchBranch('main')).toBe(sha);
    });

    it('is of SHA-256 where the repository is, files and single commits too', async () => {
      const modern = GitRepository.create(join(folder, `sha256-${mirrors}.git`), 'sha256');
      const sha = modern.commit({ 'a.yaml': 'a' });
      expect(sha).toHaveLength(64);
      const copy = mirrorOf(modern);
      expect(await copy.fetchBranch('main')).toBe(sha);
      using objects = await copy.objects();
      expect(String(await objects.contents(`${sha}:a.yaml`))).toBe('a');
      const single = mirrorOf(modern);
      await single.fetchCommit(sha);
      expect(await single.resolve(`${sha}^{commit}`)).toBe(sha);
    });

    it('is of SHA-256 also where the repository was empty at first', async () => {
      const modern = GitRepository.create(join(folder, `empty-${mirrors}.git`), 'sha256');
      const copy = mirrorOf(modern);
      expect(await copy.fetchBranch('main')).toBeNull();
      const sha = modern.commit({ 'a.yaml': 'a' });
      expect(await copy.fetchBranch('main')).toBe(sha);
    });

    it('has nothing while it cannot be made, and says why', async () => {
      const away = GitRepository.create(join(folder, `away-${mirrors}.git`));
      const copy = mirrorOf(away);
      rmSync(away.dir, { recursive: true });
      await expect(copy.fetchBranch('main')).rejects.toThrow(
        /does not appear to be a git repository|not exist/,
      );
      expect(await copy.resolve('refs/heads/main')).toBeNull();
    });

    it('is made again after its folder was deleted', async () => {
      const sha = repository.commit({ 'a.yaml': 'a' });
      await mirror.fetchBranch('main');
      rmSync(mirror.dir, { recursive: true });
      expect(await mirror.fetchBranch('main')).toBe(sha);
    });

    it('looks again for a repository that could not be found, and where it was found once it was', async () => {
      const sha = repository.commit({ 'a.yaml': 'a' });
      const looks: (string | null)[] = [];
      const late = new Mirror(join(folder, 'cache'), `late-${mirrors}`, async (url) => {
        looks.push(url);
        if (looks.length === 1) throw new Error('no route to host');
        return remoteOf(repository);
      });
      await expect(late.fetchBranch('main')).rejects.toThrow('no route to host');
      expect(await late.fetchBranch('main')).toBe(sha);
      await late.fetchBranch('main');
      expect(looks).toEqual([null, null, remoteOf(repository).url]);
    });
  });

  describe('without blobs', () => {
    it('has the newest commit of each ref and no file of it', async () => {
      const mirror = mirrorOf(model);
      await mirror.fetchShallow(['+refs/heads/*:refs/heads/*']);
      expect(await mirror.resolve('refs/heads/main')).toBe(head);
      const objects = objectsIn(mirror);
      expect(objects.filter(({ type }) => type === 'commit')).toHaveLength(1);
      expect(objects.filter(({ type }) => type === 'blob')).toEqual([]);
      expect(bytesIn(mirror.dir)).toBeLessThan(1024 * 1024);
    });

    it('gets the file that is read, and only that', async () => {
      const mirror = mirrorOf(model);
      await mirror.fetchShallow(['+refs/heads/main:refs/heads/main']);
      using objects = await mirror.objects();
      expect(String(await objects.contents(`${head}:README.md`))).toBe('# Iris, better');
      const blobs = objectsIn(mirror).filter(({ type }) => type === 'blob');
      expect(blobs).toEqual([{ type: 'blob', size: '# Iris, better'.length }]);
    });

    it('gets a commit that no ref points to any more, and an older one of a branch', async () => {
      const lost = model.commit({ 'README.md': '# Lost' }, 'Lost', 'lost');
      model.remove('refs/heads/lost');
      const mirror = mirrorOf(model);
      for (const [sha, card] of [
        [lost, '# Lost'],
        [first, '# Iris'],
      ] as const) {
        await mirror.fetchCommit(sha);
        await mirror.fetchCommit(sha);
        using objects = await mirror.objects();
        expect(String(await objects.contents(`${sha}:README.md`))).toBe(card);
      }
      expect(bytesIn(mirror.dir)).toBeLessThan(1024 * 1024);
    });

    it('throws for a commit that the repository does not have', async () => {
      await expect(mirrorOf(model).fetchCommit('dead'.repeat(10))).rejects.toBeInstanceOf(GitError);
    });

    it('forgets the refs of a pattern that are gone, and minds none that matches nothing', async () => {
      const mirror = mirrorOf(model);
      model.point('refs/tags/v1', head);
      await mirror.fetchShallow(['+refs/tags/v1*:refs/tags/v1*']);
      expect(await mirror.resolve('refs/tags/v1')).toBe(head);
      model.remove('refs/tags/v1');
      await mirror.fetchShallow(['+refs/tags/v1*:refs/tags/v1*']);
      expect(await mirror.resolve('refs/tags/v1')).toBeNull();
      await mirror.fetch(['+refs/tags/v1*:refs/tags/v1*']);
    });

    it('throws where the repository cannot be reached, rather than take it for empty', async () => {
      const nowhere = new Mirror(join(folder, 'cache'), 'nowhere', async () => ({
        ...remoteOf(model),
        url: pathToFileURL(join(folder, 'none.git')).href,
      }));
      await expect(nowhere.fetchShallow(['+refs/heads/*:refs/heads/*'])).rejects.toBeInstanceOf(GitError);
    });

    it('is refused by a server that would send everything, with the setting to change, and gets nothing', async () => {
      const ignoring = GitRepository.create(join(folder, 'ignoring.git'));
      ignoring.git(['config', 'uploadpack.allowFilter', 'false']);
      ignoring.commit({ 'README.md': '# Large', 'weights.bin': randomBytes(WEIGHTS) });
      const mirror = mirrorOf(ignoring);
      const fetching = mirror.fetchShallow(['+refs/heads/*:refs/heads/*']);
      await expect(fetching).rejects.toBeInstanceOf(StalledError);
      await expect(fetching).rejects.toThrow(/uploadpack\.allowFilter=true/);
      // Not even in the part of a pack that came before it was ended.
      await vi.waitUntil(() => bytesIn(mirror.dir) < 1024 * 1024);
      expect(objectsIn(mirror)).toEqual([]);
      expect(await mirror.resolve('refs/heads/main')).toBeNull();
      ignoring.git(['config', 'uploadpack.allowFilter', 'true']);
      // The fetch that was ended may hold its lock for a moment more.
      await vi.waitFor(() => mirror.fetchShallow(['+refs/heads/*:refs/heads/*']), 10_000);
      expect(await mirror.resolve('refs/heads/main')).not.toBeNull();
      expect(bytesIn(mirror.dir)).toBeLessThan(1024 * 1024);
    });
  });
});
