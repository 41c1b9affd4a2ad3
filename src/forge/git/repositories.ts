/** Reads refs and single files of a plain Git repository; never its weights. */
import { StalledError } from '../../core/errors.ts';
import { shortSha } from '../../core/ref-event.ts';
import { GitError, git } from '../../git/git.ts';
import type { Mirror } from '../../git/mirror.ts';
import type { ObjectReader } from '../../git/objects.ts';
import type { RepositoryFile, RepositoryReader, RepositoryRef } from '../forge.ts';
import type { GitServer } from './server.ts';

const REF_FORMAT = ['refname', 'objectname', 'objecttype', '*objectname', '*objecttype', 'creatordate:unix'];

export function createGitRepositories(server: GitServer): RepositoryReader {
  return {
    // A plain server knows no names but paths.
    identify: async (repository) => ({ repository, projectId: null }),
    lag: 0,

    async readRef(repository, ref, paths, maxBytes) {
      const open = server.open(repository);
      const { dir, mirror } = open;
      const read = async () => {
        if (mirror) {
          // A pattern, since a plain name that is gone would make the fetch fail like an unreachable server.
          await mirror.fetchShallow([`+${ref}*:${ref}*`]);
        }
        using objects = await open.objects();
        const object = await objects.info(ref);
        if (!object && mirror) await checkAbsent(mirror, repository, ref);
        if (!object) return absent(dir, ref);
        const commit = await objects.info(`${object.oid}^{commit}`);
        if (object.type === 'blob' || object.type === 'tree')
          throw new StalledError(`${ref} points to a ${object.type}`, 'make it point to a commit');
        if (commit?.type !== 'commit') throw noCommit(object.oid, ref);
        return {
          sha: commit.oid,
          object: object.oid,
          files: await readFiles(objects, commit.oid, paths, maxBytes),
        };
      };
      return mirror ? server.serially(repository, read) : read();
    },

    async readFiles(repository, sha, paths, maxBytes) {
      const open = server.open(repository);
      const { mirror } = open;
      if (mirror) await server.serially(repository, () => mirror.fetchCommit(sha));
      using objects = await open.objects();
      if (!(await objects.info(`${sha}^{commit}`))) throw noCommit(sha);
      return await readFiles(objects, sha, paths, maxBytes);
    },

    async listRefs(repository) {
      const { dir, mirror } = server.open(repository);
      const list = async () => {
        if (mirror) await mirror.fetchShallow(['+refs/heads/*:refs/heads/*', '+refs/tags/*:refs/tags/*']);
        const format = REF_FORMAT.map((field) => `%(${field})`).join('%09');
        const output = await git(['for-each-ref', `--format=${format}`, 'refs/heads/', 'refs/tags/'], {
          dir,
        });
        return output.toString().split('\n').filter(Boolean).flatMap(refOf);
      };
      return mirror ? server.serially(repository, list) : list();
    },
  };
}

/**
 * A page in the place of the repository is, to git, an old server's empty list of refs. So a ref is believed to be gone
 * only where one answer shows others, and not this one.
 */
async function checkAbsent(mirror: Mirror, repository: string, ref: string): Promise<void> {
  const listed = await mirror.listRemote();
  if (listed.length === 0)
    throw new Error(`${repository} shows no refs at all; nothing is concluded from that`);
  if (listed.includes(ref))
    throw new Error(`${ref} of ${repository} was not there, and is; it is read again`);
}

/** A line of `for-each-ref`; a tag of a tree or blob is no version of a model. */
function refOf(line: string): RepositoryRef[] {
  const [ref = '', object = '', type, peeled = '', peeledType, created = ''] = line.split('\t');
  const sha = type === 'commit' ? object : peeledType === 'commit' ? peeled : null;
  return sha === null
    ? []
    : [{ ref, sha, object, createdAt: created === '' ? null : Number(created) * 1000 }];
}

async function readFiles(
  objects: ObjectReader,
  sha: string,
  paths: readonly string[],
  maxBytes: number,
): Promise<RepositoryFile[]> {
  return Promise.all(
    paths.map(async (path): Promise<RepositoryFile> => {
      const info = await objects.info(`${sha}:${path}`);
      if (info?.type !== 'blob') return { kind: 'missing', path };
      if (info.size > maxBytes) return { kind: 'tooLarge', path, size: info.size };
      const bytes = await objects.contents(info.oid);
      return bytes ? { kind: 'file', path, bytes } : { kind: 'missing', path };
    }),
  );
}

/** A ref that cannot be read is either gone, or points to something that is: `rev-parse` reads only the ref itself. */
async function absent(dir: string, ref: string): Promise<null> {
  try {
    const oid = await git(['rev-parse', '--verify', '--quiet', ref], { dir });
    throw noCommit(oid.toString().trim(), ref);
  } catch (error) {
    if (error instanceof GitError && error.code === 1) return null;
    throw error;
  }
}

/** @param ref what points to it, where something does */
export const noCommit = (oid: string, ref?: string): StalledError =>
  new StalledError(
    `${ref ? `${ref} points to ${shortSha(oid)}, and no such commit` : `no commit ${shortSha(oid)}`} is in the repository`,
    'push the commit, or move the ref to one that is there',
  );
