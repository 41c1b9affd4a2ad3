/** The files a batch is about, as they are at a commit and as earlier deliveries of the batch leave them. */
import type { Mirror } from '../git/mirror.ts';
import type { ObjectReader } from '../git/objects.ts';

/** What is at a path: nothing, a file, or something a file would destroy. */
export type Entry = { kind: 'nothing' } | { kind: 'file'; text: string } | { kind: 'inTheWay'; what: string };

export interface Tree {
  at(path: string): Entry;
  write(path: string, text: string): void;
}

/**
 * @param commit null: the branch has no commit yet
 */
export async function readTree(
  mirror: Mirror,
  commit: string | null,
  paths: readonly string[],
): Promise<Tree> {
  const entries = new Map<string, Entry>();
  if (commit !== null) {
    using objects = await mirror.objects();
    await Promise.all(
      [...new Set(paths)].map(async (path) => entries.set(path, await readEntry(objects, commit, path))),
    );
  }
  const written = new Map<string, Entry>();
  return {
    at: (path) => written.get(path) ?? besides(written, path) ?? entries.get(path) ?? { kind: 'nothing' },
    write: (path, text) => written.set(path, { kind: 'file', text }),
  };
}

/** A file of the same batch may stand where a folder is needed, or the other way round. */
function besides(written: ReadonlyMap<string, Entry>, path: string): Entry | null {
  for (const other of written.keys()) {
    if (path.startsWith(`${other}/`)) return { kind: 'inTheWay', what: `${other} is a file` };
    if (other.startsWith(`${path}/`)) return { kind: 'inTheWay', what: `${path} is a folder` };
  }
  return null;
}

async function readEntry(objects: ObjectReader, commit: string, path: string): Promise<Entry> {
  const segments = path.split('/');
  const parents = segments.slice(0, -1).map((_, index) => segments.slice(0, index + 1).join('/'));
  const above = await Promise.all(parents.map((parent) => objects.info(`${commit}:${parent}`)));
  const blocked = parents.find((_, index) => above[index] && above[index].type !== 'tree');
  if (blocked !== undefined) return { kind: 'inTheWay', what: `${blocked} is a file` };
  const info = await objects.info(`${commit}:${path}`);
  if (!info) return { kind: 'nothing' };
  if (info.type !== 'blob') return { kind: 'inTheWay', what: `${path} is a folder` };
  const bytes = await objects.contents(info.oid);
  return bytes ? { kind: 'file', text: bytes.toString() } : { kind: 'nothing' };
}
