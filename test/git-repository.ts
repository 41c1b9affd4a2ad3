/** Real Git repositories for tests, made by git itself and by none of our own code. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** What git is run with: an identity, and nothing of the machine's configuration. */
export const CLEAN_GIT: Record<string, string | undefined> = {
  ...Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.startsWith('GIT_'))),
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_COUNT: '1',
  GIT_CONFIG_KEY_0: 'safe.directory',
  GIT_CONFIG_VALUE_0: '*',
  GIT_AUTHOR_NAME: 'Ada',
  GIT_AUTHOR_EMAIL: 'ada@example.com',
  GIT_COMMITTER_NAME: 'Ada',
  GIT_COMMITTER_EMAIL: 'ada@example.com',
};

export type Files = Readonly<Record<string, string | Uint8Array>>;

/** A bare repository. */
export class GitRepository {
  readonly dir: string;

  private constructor(dir: string) {
    this.dir = dir;
  }

  static create(dir: string, format: 'sha1' | 'sha256' = 'sha1'): GitRepository {
    mkdirSync(dirname(dir), { recursive: true });
    const args = ['init', '--quiet', '--bare', '--initial-branch=main', `--object-format=${format}`];
    execFileSync('git', [...args, '--', dir], { env: CLEAN_GIT });
    const repository = new GitRepository(dir);
    // As a server of large files is set up, so that one may leave them out.
    repository.git(['config', 'uploadpack.allowFilter', 'true']);
    return repository;
  }

  static open(dir: string): GitRepository {
    return new GitRepository(dir);
  }

  /** @returns standard output without its last line break */
  git(args: readonly string[], input: string | Uint8Array = ''): string {
    const env = { ...CLEAN_GIT, GIT_DIR: this.dir };
    return execFileSync('git', args, { env, input, stdio: 'pipe' }).toString().replace(/\n$/, '');
  }

  /** Adds a commit with these files to a branch, whose other files stay. @returns its id */
  commit(files: Files, message = 'Train', branch = 'main'): string {
    const ref = `refs/heads/${branch}`;
    const parent = this.read(ref);
    const stream: Uint8Array[] = [];
    const line = (text: string) => stream.push(Buffer.from(`${text}\n`));
    const data = (content: string | Uint8Array) => {
      const bytes = Buffer.from(content);
      line(`data ${bytes.length}`);
      stream.push(bytes);
      line('');
    };
    line(`commit ${ref}`);
    line(`committer Ada <ada@example.com> ${Math.floor(Date.now() / 1000)} +0000`);
    data(`${message}\n`);
    if (parent) line(`from ${parent}`);
    for (const [path, content] of Object.entries(files)) {
      line(`M 100644 inline ${path}`);
      data(content);
    }
    this.git(['fast-import', '--quiet'], Buffer.concat(stream));
    return this.read(ref) ?? '';
  }

  /** @returns what a ref points to itself; null where it is not there */
  read(ref: string): string | null {
    try {
      return this.git(['rev-parse', '--verify', '--quiet', ref]);
    } catch {
      return null;
    }
  }

  /** Makes or moves a ref. */
  point(ref: string, oid: string): void {
    this.git(['update-ref', ref, oid]);
  }

  /** Makes or moves an annotated tag. @returns the tag object's id */
  annotate(ref: string, commit: string): string {
    const tag = ref.replace('refs/tags/', '');
    const tagger = `Ada <ada@example.com> ${Math.floor(Date.now() / 1000)} +0000`;
    const text = `object ${commit}\ntype commit\ntag ${tag}\ntagger ${tagger}\n\nA release\n`;
    const object = this.git(['mktag'], text);
    this.point(ref, object);
    return object;
  }

  /** Makes a ref that points to an object nobody has, as a broken disk leaves it. */
  pointNowhere(ref: string): void {
    const file = join(this.dir, ref);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, `${'dead'.repeat(10)}\n`);
  }

  /** Installs a hook of POSIX sh. */
  hook(name: string, script: string): void {
    mkdirSync(join(this.dir, 'hooks'), { recursive: true });
    writeFileSync(join(this.dir, 'hooks', name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }

  remove(ref: string): void {
    this.git(['update-ref', '-d', ref]);
  }
}
