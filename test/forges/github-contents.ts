/** Files of the GitHub stand-in: limits of sizes, folders, symbolic links, submodules. */
import { type Entry, notFound, type Reply, type Repository, refusal } from './github-reply.ts';

const PLAIN = 1024 * 1024;
const LARGEST = 100 * 1024 * 1024;

export function contentsOf(repository: Repository, path: string, ref: string, accept: string): Reply {
  const tree = repository.commits.get(ref)?.tree;
  if (!tree) return refusal(404, `No commit found for the ref ${ref}`);
  const entry = tree.get(path);
  const size = (each: Entry) => (each instanceof Uint8Array ? each.length : 'size' in each ? each.size : 0);
  if (!entry) {
    const folder = path === '' ? '' : `${path}/`;
    const inside = [...tree].filter(([each]) => each.startsWith(folder));
    if (inside.length === 0) return notFound;
    const direct = inside.filter(([each]) => !each.slice(folder.length).includes('/'));
    const list = direct.map(([each, file]) => ({
      type: 'file',
      name: each.slice(folder.length),
      size: size(file),
    }));
    return { status: 200, body: list };
  }
  if (!(entry instanceof Uint8Array)) {
    if ('submodule' in entry) return { status: 200, body: { type: 'submodule', size: 0 } };
    if ('size' in entry && entry.size <= LARGEST)
      return { status: 200, body: { type: 'file', size: entry.size, encoding: 'none', content: '' } };
    if ('size' in entry)
      return refusal(403, 'The requested blob is too large to fetch via the API', {
        errors: [{ resource: 'Blob', field: 'data', code: 'too_large' }],
      });
    return tree.get(entry.link) instanceof Uint8Array
      ? contentsOf(repository, entry.link, ref, accept)
      : { status: 200, body: { type: 'symlink', size: entry.link.length, target: entry.link } };
  }
  if (accept.includes('raw'))
    // GitHub calls every raw file UTF-8.
    return {
      status: 200,
      body: entry,
      headers: { 'content-type': 'application/vnd.github.raw+json; charset=utf-8' },
    };
  const small = entry.length <= PLAIN;
  const content = small
    ? Buffer.from(entry)
        .toString('base64')
        .replace(/(.{60})/g, '$1\n')
    : '';
  return {
    status: 200,
    body: { type: 'file', size: entry.length, encoding: small ? 'base64' : 'none', content },
  };
}
