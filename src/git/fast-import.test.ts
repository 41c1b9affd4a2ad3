import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { GitRepository } from '../../test/git-repository.ts';
import { type CommitDraft, importCommits, importNote } from './fast-import.ts';
import { GitError } from './git.ts';
import { ObjectReader } from './objects.ts';

const AUTHOR = { name: 'modelhook Übersee', email: 'modelhook@example.com' };
const AT = 1_700_000_000;
const NOTES = 'refs/notes/modelhook';

let folder: string;
let repository: GitRepository;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'modelhook-import-'));
  repository = GitRepository.create(join(folder, 'fleet.git'));
  repository.commit({ 'kept.txt': 'kept' });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => {
  vi.unstubAllEnvs();
  vi.resetModules();
});

const draft = (path: string, text: string, message = `deploy ${path}\n`): CommitDraft => ({
  message,
  files: [{ path, text }],
});
const paths = (commit: string) =>
  repository.git(['ls-tree', '-r', '-z', '--name-only', commit]).split('\0').filter(Boolean);

describe('importing commits', () => {
  it('writes a line of them upon the parent, and says their ids in order', async () => {
    const parent = repository.read('refs/heads/main') ?? '';
    const drafts = [draft('a.yaml', 'a'), draft('b/c.yaml', 'c'), draft('a.yaml', 'A')];
    const ids = await importCommits(repository.dir, 'refs/modelhook/next', parent, AUTHOR, AT, drafts);
    expect(repository.git(['rev-list', '--reverse', 'refs/modelhook/next']).split('\n')).toEqual([
      parent,
      ...ids,
    ]);
    expect(paths(ids[2] ?? '')).toEqual(['a.yaml', 'b/c.yaml', 'kept.txt']);
    expect(repository.git(['show', `${ids[1]}:a.yaml`])).toBe('a');
    expect(repository.git(['show', `${ids[2]}:a.yaml`])).toBe('A');
    expect(repository.git(['log', '-1', '--format=%an <%ae> %at %cn <%ce> %ct', ids[0] ?? ''])).toBe(
      `${AUTHOR.name} <${AUTHOR.email}> ${AT} ${AUTHOR.name} <${AUTHOR.email}> ${AT}`,
    );
  });

  it('takes files away, and minds none that is not there', async () => {
    const parent = repository.read('refs/heads/main') ?? '';
    const gone = (path: string): CommitDraft => ({ message: 'remove\n', files: [{ path, text: null }] });
    const drafts = [
      draft('b/c.yaml', 'c'),
      draft('b/ "x\n.yaml', 'x'),
      gone('b/ "x\n.yaml'),
      gone('b/c.yaml'),
      gone('no'),
    ];
    const ids = await importCommits(repository.dir, 'refs/modelhook/gone', parent, AUTHOR, AT, drafts);
    expect(ids.slice(1).map(paths)).toEqual([
      ['b/ "x\n.yaml', 'b/c.yaml', 'kept.txt'],
      ['b/c.yaml', 'kept.txt'],
      ['kept.txt'],
      ['kept.txt'],
    ]);
  });

  it('makes a first commit where there is no parent', async () => {
    const [id] = await importCommits(repository.dir, 'refs/modelhook/first', null, AUTHOR, AT, [
      draft('a', 'a'),
    ]);
    expect(repository.git(['rev-list', '--parents', 'refs/modelhook/first'])).toBe(id);
  });

  it('points its own ref to the new line wherever it pointed before', async () => {
    const parent = repository.read('refs/heads/main');
    await importCommits(repository.dir, 'refs/modelhook/again', parent, AUTHOR, AT, [draft('a', 'one')]);
    const [id] = await importCommits(repository.dir, 'refs/modelhook/again', parent, AUTHOR, AT, [
      draft('a', 'two'),
    ]);
    expect(repository.read('refs/modelhook/again')).toBe(id);
  });

  it('brings any message, path and text through, to the byte', async () => {
    const text = fc.string({ unit: 'binary', maxLength: 200 });
    const segment = fc
      .string({ unit: 'binary', minLength: 1, maxLength: 20 })
      .map((name) => name.replace(/[\0/]/g, '-'))
      .filter((name) => !/^\.{1,2}$|^\.git$/i.test(name));
    const awkward = fc.constantFrom(
      '"',
      '\\',
      '\n',
      '\t',
      ' ',
      '"a\\nb"',
      'data 3',
      '\\342',
      'M 100644',
      '-',
      '模型',
      '🚀',
    );
    const path = fc
      .array(fc.oneof(segment, awkward), { minLength: 1, maxLength: 4 })
      .map((segments) => segments.join('/'));
    const message = fc.oneof(text, fc.constantFrom('done\n', 'commit refs/heads/main\n', 'data <<EOF\n', ''));
    const drafts = fc.array(fc.record({ message, path, text }), { minLength: 1, maxLength: 10 });
    await fc.assert(
      fc.asyncProperty(drafts, async (each) => {
        const commits = each.map((one) => draft(one.path, one.text, one.message.replaceAll('\0', '')));
        // Each upon nothing but itself: a path may be another's folder.
        for (const commit of commits) {
          const [id = ''] = await importCommits(repository.dir, 'refs/modelhook/any', null, AUTHOR, AT, [
            commit,
          ]);
          const [file] = commit.files;
          expect(paths(id)).toEqual([file?.path]);
          using objects = new ObjectReader(repository.dir);
          const tree = execFileSync('git', [
            '--git-dir',
            repository.dir,
            'ls-tree',
            '-r',
            '-z',
            id,
          ]).toString();
          const blob = /^100644 blob ([0-9a-f]+)\t/.exec(tree)?.[1] ?? '';
          expect((await objects.contents(blob))?.toString()).toBe(file?.text);
          const raw = (await objects.contents(id))?.toString() ?? '';
          expect(raw.slice(raw.indexOf('\n\n') + 2)).toBe(commit.message);
        }
      }),
      { numRuns: 12 },
    );
  });

  it.each([1, 40, 150, 300, 5000, 20_000])(
    'commits nothing of a stream that is cut short after %i bytes',
    async (bytes) => {
      const bin = mkdtempSync(join(folder, 'bin-'));
      const real = execFileSync('sh', ['-c', 'command -v git']).toString().trim();
      writeFileSync(join(bin, 'git'), `#!/bin/sh\nhead -c ${bytes} | '${real}' "$@"\n`, { mode: 0o755 });
      vi.stubEnv('PATH', `${bin}:${process.env.PATH}`);
      vi.resetModules();
      const cut = await import('./fast-import.ts');
      const drafts = Array.from({ length: 200 }, (_, n) => draft(`${n}.yaml`, 'x'.repeat(100)));
      await expect(
        cut.importCommits(repository.dir, 'refs/modelhook/cut', null, AUTHOR, AT, drafts),
      ).rejects.toThrow();
      expect(repository.read('refs/modelhook/cut')).toBeNull();
    },
  );

  it('says why a repository cannot be written', async () => {
    const importing = importCommits(join(folder, 'none.git'), 'refs/modelhook/x', null, AUTHOR, AT, [
      draft('a', 'a'),
    ]);
    await expect(importing).rejects.toBeInstanceOf(GitError);
    await expect(importing).rejects.toThrow(/not a git repository/);
  });
});

describe('importing a note', () => {
  const add = (object: string, parent: string | null, text = 'a note\n') =>
    importNote(repository.dir, NOTES, parent, AUTHOR, AT, 'A status', { object, text });
  const tip = () => repository.read(NOTES);

  it('shows in git notes, and replaces the one that was there', async () => {
    const commit = repository.commit({ 'a.txt': '1' });
    await add(commit, tip(), 'first\n');
    await add(commit, tip(), 'second: 模型\n');
    expect(repository.git(['notes', '--ref=modelhook', 'show', commit])).toBe('second: 模型');
    expect(repository.git(['notes', '--ref=modelhook', 'list']).split('\n')).toHaveLength(1);
  });

  it('leaves the notes of other commits, however many there are', async () => {
    const stream: string[] = [];
    for (let n = 1; n <= 300; n += 1)
      stream.push(
        'commit refs/heads/many',
        `mark :${n}`,
        'committer Ada <ada@example.com> 1700000000 +0000',
        'data 0',
      );
    repository.git(['fast-import', '--quiet'], `${stream.join('\n')}\n`);
    const commits = repository.git(['rev-list', 'refs/heads/many']).split('\n');
    const notes = ['commit refs/notes/many', 'committer Ada <ada@example.com> 1700000000 +0000', 'data 0'];
    for (const commit of commits) notes.push(`N inline ${commit}`, 'data 3', 'old');
    repository.git(['fast-import', '--quiet'], `${notes.join('\n')}\n`);
    const [first = ''] = commits;
    const parent = repository.read('refs/notes/many');
    await importNote(repository.dir, 'refs/notes/many', parent, AUTHOR, AT, 'A status', {
      object: first,
      text: 'new',
    });
    expect(repository.git(['notes', '--ref=many', 'list']).split('\n')).toHaveLength(300);
    expect(repository.git(['notes', '--ref=many', 'show', first])).toBe('new');
    expect(repository.git(['notes', '--ref=many', 'show', commits[1] ?? ''])).toBe('old');
  });

  it('is refused where the ref has moved meanwhile, and changes nothing', async () => {
    const [one, two] = [repository.commit({ 'b.txt': '1' }), repository.commit({ 'b.txt': '2' })];
    const before = tip();
    await add(one, before);
    const moved = tip();
    await expect(add(two, before)).rejects.toBeInstanceOf(GitError);
    expect(tip()).toBe(moved);
  });

  it('is refused where the ref was made meanwhile, and changes nothing', async () => {
    const commit = repository.commit({ 'c.txt': '1' });
    const before = tip();
    await expect(add(commit, null)).rejects.toBeInstanceOf(GitError);
    expect(tip()).toBe(before);
  });

  it('leaves no report of a crash behind when it is refused', async () => {
    const commit = repository.commit({ 'd.txt': '1' });
    const before = readdirSync(repository.dir);
    await expect(add(commit, null)).rejects.toThrow();
    expect(readdirSync(repository.dir)).toEqual(before);
  });
});
