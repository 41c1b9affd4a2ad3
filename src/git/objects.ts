/** Reads objects of one repository through one `git cat-file --batch-command`, as many as are asked for. */
import type { ChildProcess } from 'node:child_process';
import { endGit, GitError, type Remote, spawnFailure, spawnGit, withoutToken } from './git.ts';

export interface ObjectInfo {
  oid: string;
  type: 'commit' | 'tree' | 'blob' | 'tag';
  size: number;
}

/** Milliseconds of silence after which a question will not be answered. */
const SILENCE = 120_000;

interface Question {
  contents: boolean;
  resolve(answer: { info: ObjectInfo; bytes: Buffer } | null): void;
  reject(error: Error): void;
}

/** Questions may be asked without waiting for the answers before: git answers them in order. */
export class ObjectReader {
  readonly #child: ChildProcess;
  readonly #questions: Question[] = [];
  #buffered: Buffer = Buffer.alloc(0);
  #chunks: Buffer[] = [];
  #missing = 0;
  #stderr = '';
  #ended: Error | null = null;
  readonly #watch: NodeJS.Timeout;

  /**
   * @param dir the repository
   * @param remote where blobs that a partial clone lacks are fetched from
   */
  constructor(dir: string, remote?: Remote) {
    this.#child = spawnGit(['cat-file', '--batch-command'], { dir, ...(remote && { remote }) });
    this.#child.stdout?.on('data', (chunk: Buffer) => this.#take(chunk));
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      if (this.#stderr.length < 4096) this.#stderr += chunk.toString();
    });
    // A blob that a partial clone lacks is fetched by git itself, from a server that may have stopped answering.
    this.#watch = setTimeout(() => {
      if (this.#questions.length > 0)
        this.#end(new GitError('cat-file', null, '', `gave no answer within ${SILENCE / 1000} s`));
      else this.#watch.refresh();
    }, SILENCE).unref();
    this.#child.once('error', (error) => this.#end(spawnFailure(error)));
    this.#child.once('close', (code) =>
      this.#end(new GitError('cat-file', code, '', withoutToken(this.#stderr, remote))),
    );
  }

  /** @returns what a revision such as `refs/tags/v1^{commit}` or `<sha>:README.md` names; null where it is not there */
  async info(revision: string): Promise<ObjectInfo | null> {
    return (await this.#ask('info', revision))?.info ?? null;
  }

  /** @returns the bytes of the object; null where it is not there */
  async contents(revision: string): Promise<Buffer | null> {
    return (await this.#ask('contents', revision))?.bytes ?? null;
  }

  /** Ends the process once what was asked is answered. */
  close(): void {
    this.#child.stdin?.end();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #ask(command: 'info' | 'contents', revision: string): Promise<{ info: ObjectInfo; bytes: Buffer } | null> {
    if (this.#ended) return Promise.reject(this.#ended);
    // One question is one line; a name with a line break is nothing Git has.
    if (revision.includes('\n')) return Promise.resolve(null);
    // A path from here is relative to a work tree, and git dies of having none, with all questions.
    if (/:\.{1,2}(?:\/|$)/.test(revision)) return Promise.resolve(null);
    return new Promise((resolve, reject) => {
      this.#questions.push({ contents: command === 'contents', resolve, reject });
      this.#child.stdin?.write(`${command} ${revision}\n`);
    });
  }

  /** Collects until the answer that is awaited can be whole, so that a large blob is put together once. */
  #take(chunk: Buffer): void {
    this.#watch.refresh();
    this.#chunks.push(chunk);
    this.#missing -= chunk.length;
    if (this.#missing > 0) return;
    this.#buffered = Buffer.concat([this.#buffered, ...this.#chunks]);
    this.#chunks = [];
    while (this.#answer());
  }

  /** Answers the oldest question where its answer is there whole. */
  #answer(): boolean {
    const question = this.#questions[0];
    const lineEnd = this.#buffered.indexOf(0x0a);
    if (!question || lineEnd < 0) return false;
    const header = /^([0-9a-f]+) (commit|tree|blob|tag) (\d+)$/.exec(
      this.#buffered.toString('utf8', 0, lineEnd),
    );
    const [, oid, type, digits] = header ?? [];
    const size = Number(digits);
    const bytesEnd = header && question.contents ? lineEnd + 1 + size + 1 : lineEnd + 1;
    if (this.#buffered.length < bytesEnd) {
      this.#missing = bytesEnd - this.#buffered.length;
      return false;
    }
    const bytes = this.#buffered.subarray(lineEnd + 1, bytesEnd - 1);
    this.#buffered = this.#buffered.subarray(bytesEnd);
    this.#missing = 0;
    this.#questions.shift();
    if (oid && type) question.resolve({ info: { oid, type: type as ObjectInfo['type'], size }, bytes });
    else question.resolve(null);
    return true;
  }

  #end(error: Error): void {
    clearTimeout(this.#watch);
    this.#ended ??= error;
    for (const question of this.#questions.splice(0)) question.reject(this.#ended);
    endGit(this.#child);
  }
}
