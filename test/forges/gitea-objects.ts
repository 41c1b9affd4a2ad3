/** Git objects in memory, as the stand-in for Gitea keeps them: names are made from contents, as Git makes them. */
import { createHash, randomUUID } from 'node:crypto';

export type Files = Readonly<Record<string, string | Uint8Array>>;

export type GitObject =
  | { type: 'commit'; files: ReadonlyMap<string, string>; created: number }
  | { type: 'tag'; object: string; name: string; created: number }
  | { type: 'tree'; files: ReadonlyMap<string, string> }
  | { type: 'blob'; bytes: Uint8Array };

export interface TreeEntry {
  path: string;
  mode: string;
  type: 'blob' | 'tree';
  size: number;
  sha: string;
}

const hash = (...parts: (string | Uint8Array)[]): string => {
  const sha1 = createHash('sha1');
  for (const part of parts) sha1.update(part);
  return sha1.digest('hex');
};

export class ObjectStore {
  readonly #objects = new Map<string, GitObject>();

  get(sha: string): GitObject | undefined {
    return this.#objects.get(sha);
  }

  blob(content: string | Uint8Array): string {
    const bytes = Buffer.from(content);
    return this.#put(hash(`blob ${bytes.length}\0`, bytes), { type: 'blob', bytes });
  }

  commit(parent: string | undefined, changes: Files): string {
    const before = this.get(parent ?? '');
    const files = new Map(before?.type === 'commit' ? before.files : []);
    for (const [path, content] of Object.entries(changes)) files.set(path, this.blob(content));
    return this.#put(hash(randomUUID()), { type: 'commit', files, created: Date.now() });
  }

  tag(name: string, object: string): string {
    return this.#put(hash(randomUUID()), { type: 'tag', object, name, created: Date.now() });
  }

  /** @returns the commit behind a commit or tag; undefined where there is none */
  peel(sha: string): string | undefined {
    const object = this.get(sha);
    if (object?.type === 'tag') return this.peel(object.object);
    return object?.type === 'commit' ? sha : undefined;
  }

  /** @returns the entries of a tree, or of what leads to one, in order; undefined where there is none */
  entries(sha: string): TreeEntry[] | undefined {
    const object = this.get(this.peel(sha) ?? sha);
    if (object?.type !== 'commit' && object?.type !== 'tree') return undefined;
    const folders = new Map<string, Map<string, string>>();
    const entries: TreeEntry[] = [];
    for (const [path, blob] of object.files) {
      const [name = '', ...rest] = path.split('/');
      if (rest.length > 0) folders.set(name, (folders.get(name) ?? new Map()).set(rest.join('/'), blob));
      else {
        const found = this.get(blob);
        const size = found?.type === 'blob' ? found.bytes.length : 0;
        entries.push({ path: name, mode: '100644', type: 'blob', size, sha: blob });
      }
    }
    for (const [name, files] of folders) {
      const tree = this.#put(hash(JSON.stringify([...files])), { type: 'tree', files });
      entries.push({ path: name, mode: '040000', type: 'tree', size: 0, sha: tree });
    }
    return entries.sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  /** Takes an object from another repository. */
  take(sha: string, from: ObjectStore): void {
    const object = from.get(sha);
    if (object) this.#put(sha, object);
  }

  #put(sha: string, object: GitObject): string {
    this.#objects.set(sha, object);
    return sha;
  }
}
