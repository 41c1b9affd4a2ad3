/** Files at one commit, found through its trees: a size is known before a byte of the file is read. */
import { shortSha } from '../../core/ref-event.ts';
import type { RepositoryFile } from '../forge.ts';
import { type GiteaClient, GiteaError } from './client.ts';
import { blobSchema, type TreeEntry, treeSchema } from './schema.ts';

/** Gitea says 400 of an object it does not have, and 404 of a repository. */
const ABSENT = [400, 404];
/** A folder is read in pages of a thousand entries, as Gitea is set up. */
const MAX_PAGES = 1000;

/**
 * One file at a commit, as it is in Git: the pointer of a large file, the target of a symbolic link.
 * @param commit an object name in full
 * @throws GiteaError 404 where the commit, or the repository, is not there
 */
export async function readFile(
  client: GiteaClient,
  repository: string,
  commit: string,
  path: string,
  maxBytes: number,
): Promise<RepositoryFile> {
  let at: Pick<TreeEntry, 'type' | 'sha' | 'size'> = { type: 'tree', sha: commit, size: 0 };
  for (const segment of path.split('/')) {
    const entry = at.type === 'tree' ? await entryOf(client, repository, at.sha, segment) : null;
    if (entry === null) return { kind: 'missing', path };
    at = entry;
  }
  if (at.type !== 'blob') return { kind: 'missing', path };
  if (at.size > maxBytes) return { kind: 'tooLarge', path, size: at.size };
  const blob = await client.get(repository, `git/blobs/${at.sha}`, blobSchema, ABSENT);
  const bytes = Buffer.from(blob?.content ?? '', 'base64');
  if (blob === null || bytes.length !== at.size)
    throw new Error(
      `the forge gave ${bytes.length} of the ${at.size} bytes of ${path} at ${shortSha(commit)}; its DEFAULT_MAX_BLOB_SIZE must be above that`,
    );
  return { kind: 'file', path, bytes };
}

/** @returns the entry of a folder; null where it has none of that name */
async function entryOf(
  client: GiteaClient,
  repository: string,
  tree: string,
  name: string,
): Promise<TreeEntry | null> {
  for (let page = 1; page <= MAX_PAGES; page += 1) {
    const answer = await client.get(repository, `git/trees/${tree}?page=${page}`, treeSchema, ABSENT);
    if (answer === null) throw new GiteaError(404, `${repository} has no ${shortSha(tree)}`);
    const entry = answer.tree.find((each) => each.path === name);
    if (entry) return entry;
    if (!answer.truncated || answer.tree.length === 0) return null;
  }
  throw new Error(`a folder of ${repository} has too many entries to look through`);
}
