import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GitRepository } from '../../test/git-repository.ts';
import { endAllGit, GitError } from './git.ts';
import { ObjectReader } from './objects.ts';

let folder: string;
let repository: GitRepository;
let head: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'modelhook-objects-'));
  repository = GitRepository.create(join(folder, 'iris.git'));
  head = repository.commit({
    'README.md': '# Iris\n',
    'with space/and "quotes".txt': 'odd',
    'empty.txt': '',
    'looks-like-a-header': `${'a'.repeat(40)} blob 3\n${'b'.repeat(40)} missing\n`,
  });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const write = (content: Uint8Array) => repository.git(['hash-object', '-w', '--stdin'], content);

describe('an object reader', () => {
  it('tells what a revision names', async () => {
    repository.annotate('refs/tags/v1', head);
    using objects = new ObjectReader(repository.dir);
    expect(await objects.info('refs/heads/main')).toMatchObject({ oid: head, type: 'commit' });
    expect(await objects.info('refs/tags/v1')).toMatchObject({ type: 'tag' });
    expect(await objects.info('refs/tags/v1^{commit}')).toMatchObject({ oid: head });
    expect(await objects.info(`${head}:with space`)).toMatchObject({ type: 'tree' });
    expect(await objects.info(`${head}:README.md`)).toMatchObject({ type: 'blob', size: 7 });
  });

  it('gives contents as they are: also empty ones, and those that look like its own answers', async () => {
    using objects = new ObjectReader(repository.dir);
    const text = async (path: string) => (await objects.contents(`${head}:${path}`))?.toString();
    expect(await text('README.md')).toBe('# Iris\n');
    expect(await text('empty.txt')).toBe('');
    expect(await text('with space/and "quotes".txt')).toBe('odd');
    expect(await text('looks-like-a-header')).toMatch(/^a{40} blob 3\nb{40} missing\n$/);
    expect(await text('README.md')).toBe('# Iris\n');
  });

  it('gives null for what is not there', async () => {
    using objects = new ObjectReader(repository.dir);
    for (const revision of [
      'refs/heads/none',
      `${head}:none`,
      'dead'.repeat(10),
      `${head}:README.md\ninfo refs/heads/main`,
      'refs/heads/main blob 12',
      `${head}:../README.md`,
      `${head}:./README.md`,
      `${head}:..`,
      '^',
      '--help',
    ])
      expect(await objects.info(revision), revision).toBeNull();
    expect(await objects.contents(`${head}:none`)).toBeNull();
    expect(await objects.info('refs/heads/main')).not.toBeNull();
  });

  it('takes as many questions as there are, without waiting, and answers each', async () => {
    using objects = new ObjectReader(repository.dir);
    const asked = Array.from({ length: 2000 }, (_, n) =>
      n % 3 === 0
        ? objects.contents(`${head}:README.md`)
        : n % 3 === 1
          ? objects.info('none')
          : objects.info(head),
    );
    const answers = await Promise.all(asked);
    for (const [n, answer] of answers.entries()) {
      if (n % 3 === 0) expect(String(answer)).toBe('# Iris\n');
      else if (n % 3 === 1) expect(answer).toBeNull();
      else expect(answer).toMatchObject({ oid: head });
    }
  });

  it('puts large objects together, one after another', async () => {
    const blobs = [20, 0, 5].map((megabytes, n) => Buffer.alloc(megabytes * 1024 * 1024 + n, `blob ${n}\n`));
    const oids = blobs.map(write);
    using objects = new ObjectReader(repository.dir);
    const read = await Promise.all(oids.map((oid) => objects.contents(oid)));
    for (const [n, blob] of blobs.entries()) expect(read[n]?.equals(blob)).toBe(true);
  });

  it('gives back any set of blobs, byte for byte', async () => {
    const sets = fc.array(fc.uint8Array({ maxLength: 3000 }), { minLength: 1, maxLength: 12 });
    const lines = fc
      .array(fc.constantFrom(10, 32, 0, 65), { maxLength: 50 })
      .map((bytes) => Uint8Array.from(bytes));
    await fc.assert(
      fc.asyncProperty(sets, fc.array(lines, { maxLength: 5 }), async (random, awkward) => {
        const blobs = [...random, ...awkward];
        const files = Object.fromEntries(blobs.map((blob, n) => [`${n}.bin`, blob]));
        const commit = repository.commit(files, 'Any', 'any');
        using objects = new ObjectReader(repository.dir);
        const read = await Promise.all(blobs.map((_, n) => objects.contents(`${commit}:${n}.bin`)));
        expect(read.map((bytes) => [...(bytes ?? [-1])])).toEqual(blobs.map((blob) => [...blob]));
      }),
      { numRuns: 25 },
    );
  });

  it('rejects what it cannot answer when its process dies, and all that is asked after', async () => {
    const objects = new ObjectReader(repository.dir);
    expect(await objects.info(head)).not.toBeNull();
    // More than a pipe holds: git cannot have said all of it.
    const large = write(Buffer.alloc(20 * 1024 * 1024));
    const asked = Array.from({ length: 50 }, () => objects.contents(large));
    endAllGit();
    const settled = await Promise.allSettled(asked);
    expect(settled.some(({ status }) => status === 'rejected')).toBe(true);
    for (const each of settled) if (each.status === 'rejected') expect(each.reason).toBeInstanceOf(GitError);
    await expect(objects.info(head)).rejects.toBeInstanceOf(GitError);
  });

  it('rejects where there is no repository, in git’s words', async () => {
    using objects = new ObjectReader(join(folder, 'none.git'));
    await expect(objects.info(head)).rejects.toThrow(/not a git repository/);
  });

  it('answers what was asked before it is closed', async () => {
    const objects = new ObjectReader(repository.dir);
    const asked = [objects.info(head), objects.contents(`${head}:README.md`)];
    objects.close();
    expect(await Promise.all(asked)).toMatchObject([{ oid: head }, Buffer.from('# Iris\n')]);
    await expect(objects.info(head)).rejects.toBeInstanceOf(GitError);
  });
});
