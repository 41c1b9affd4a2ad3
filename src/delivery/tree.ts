/** The files a batch is about, as they are at a commit and as earlier deliveries of the batch leave them. */
import { git } from '../git/git.ts';
import type { Mirror } from '../git/mirror.ts';

/** What is at a path: nothing, a file, or something a file would destroy. */
export type Entry = { kind: 'nothing' } | { kind: 'file'; text: string } | { kind: 'inTheWay'; what: string };

export interface Tree {
  at(path: string): Entry;
  /** @param text null: the file goes */
  write(path: string, text: string | null): void;
}

/** An entry of a commit's tree: `100644 blob`, `120000 blob` (a link), `040000 tree`, `160000 commit` (a submodule). */
interface TreeEntry {
  mode: string;
  oid: string;
  size: number;
}

/** Paths of one `ls-tree`: systems bound the arguments of a process. */
const PATHS = 200;
/** What modelhook writes is a few kilobytes; a larger file is nobody's InferenceService, and is not read. */
const MAX_BYTES = 1024 * 1024;

/**
 * @param commit null: the branch has no commit yet
 */
export async function readTree(
  mirror: Mirror,
  commit: string | null,
  paths: readonly string[],
): Promise<Tree> {
  const entries = commit === null ? new Map<string, Entry>() : await readEntries(mirror, commit, paths);
  const written = new Map<string, Entry>();
  return {
    at: (path) => written.get(path) ?? besides(written, path) ?? entries.get(path) ?? { kind: 'nothing' },
    write: (path, text) => written.set(path, text === null ? { kind: 'nothing' } : { kind: 'file', text }),
  };
}

/** A file of the same batch may stand where a folder is needed, or the other way round. */
function besides(written: ReadonlyMap<string, Entry>, path: string): Entry | null {
  for (const [other, { kind }] of written) {
    if (kind === 'nothing') continue;
    if (path.startsWith(`${other}/`)) return inTheWay(other, 'a file');
    if (other.startsWith(`${path}/`)) return inTheWay(path, 'a folder');
  }
  return null;
}

const inTheWay = (path: string, what: string): Entry => ({ kind: 'inTheWay', what: `${path} is ${what}` });

async function readEntries(
  mirror: Mirror,
  commit: string,
  paths: readonly string[],
): Promise<Map<string, Entry>> {
  const asked = [...new Set(paths)];
  const listed = await listTree(mirror, commit, [
    ...new Set(asked.flatMap((path) => [...parentsOf(path), path])),
  ]);
  using objects = await mirror.objects();
  const read = async (path: string): Promise<Entry> => {
    const blocked = parentsOf(path).find((parent) => (listed.get(parent)?.mode ?? FOLDER) !== FOLDER);
    if (blocked !== undefined) return inTheWay(blocked, kindOf(listed.get(blocked)));
    const entry = listed.get(path);
    if (!entry) return { kind: 'nothing' };
    if (!entry.mode.startsWith('100')) return inTheWay(path, kindOf(entry));
    if (entry.size > MAX_BYTES) return { kind: 'file', text: '' };
    const bytes = await objects.contents(entry.oid);
    if (!bytes) throw new Error(`the mirror ${mirror.dir} lacks ${path} at ${commit}; it may be deleted`);
    return { kind: 'file', text: bytes.toString() };
  };
  return new Map(
    await Promise.all(asked.map(async (path): Promise<[string, Entry]> => [path, await read(path)])),
  );
}

const FOLDER = '040000';

/** `a/b/c.yaml` → `a`, `a/b` */
const parentsOf = (path: string): string[] => {
  const segments = path.split('/');
  return segments.slice(1).map((_, index) => segments.slice(0, index + 1).join('/'));
};

function kindOf(entry: TreeEntry | undefined): string {
  if (entry?.mode === FOLDER) return 'a folder';
  if (entry?.mode === '160000') return 'a submodule';
  if (entry?.mode === '120000') return 'a link';
  return 'a file';
}

/** What a commit has at paths: `git cat-file` knows no submodules, the tree does. */
async function listTree(
  { dir }: Mirror,
  commit: string,
  paths: readonly string[],
): Promise<Map<string, TreeEntry>> {
  const entries = new Map<string, TreeEntry>();
  for (let from = 0; from < paths.length; from += PATHS) {
    const some = paths.slice(from, from + PATHS).map((path) => `:(literal)${path}`);
    const output = await git(['ls-tree', '-z', '--full-tree', '--long', commit, '--', ...some], { dir });
    for (const line of output.toString().split('\0').filter(Boolean)) {
      const match = /^(\d{6}) \S+ ([0-9a-f]+) +(\d+|-)\t(.*)$/s.exec(line);
      if (match)
        entries.set(match[4] ?? '', { mode: match[1] ?? '', oid: match[2] ?? '', size: Number(match[3]) });
    }
  }
  return entries;
}
