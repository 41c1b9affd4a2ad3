/** The repositories of one plain Git server: on this machine in place, elsewhere through mirrors without blobs. */
import { createHash } from 'node:crypto';
import { StalledError } from '../../core/errors.ts';
import { parseRepositoryId } from '../../core/ref-event.ts';
import type { Remote } from '../../git/git.ts';
import { Mirror } from '../../git/mirror.ts';
import { ObjectReader } from '../../git/objects.ts';
import { isLocal, localRepository, locateRemote, type RemoteAccess } from '../../git/remote.ts';

/** A repository that can be worked on: its folder, and how it is kept like the server's. */
export interface OpenRepository {
  dir: string;
  /** null where the folder is the repository itself. */
  mirror: Mirror | null;
  /** @returns a reader of its objects, for the caller to close */
  objects(): Promise<ObjectReader>;
}

export interface GitServer {
  open(repository: string): OpenRepository;
  /** Runs work on a repository after all earlier work on it. */
  serially<Result>(repository: string, work: () => Promise<Result>): Promise<Result>;
}

/**
 * @param access where the server is and what lets us in
 * @param cache the folder of mirrors; nothing is written there for a server on this machine
 */
export function createGitServer(access: RemoteAccess, cache: string): GitServer {
  const mirrors = new Map<string, Mirror>();
  const queues = new Map<string, Promise<unknown>>();

  const mirrorOf = (path: string): Mirror => {
    const known = mirrors.get(path);
    if (known) return known;
    // Server and path in a hash: any path is a safe folder name, and two servers never share one.
    const name = createHash('sha256').update(`${access.url}\n${path}`).digest('hex').slice(0, 32);
    const mirror = new Mirror(
      cache,
      `models/${name}`,
      (url): Promise<Remote> => locateRemote(access, path, url),
    );
    mirrors.set(path, mirror);
    return mirror;
  };

  return {
    open(repository) {
      const path = parseRepositoryId(repository)?.path;
      if (path === undefined)
        throw new StalledError(`"${repository}" is not a repository id`, 'write it as <forge name>:<path>');
      if (!isLocal(access)) {
        const mirror = mirrorOf(path);
        return { dir: mirror.dir, mirror, objects: () => mirror.objects() };
      }
      const dir = localRepository(access, path);
      return { dir, mirror: null, objects: async () => new ObjectReader(dir) };
    },

    serially(repository, work) {
      const result = (queues.get(repository) ?? Promise.resolve()).then(work);
      const settled = result.then(
        () => {},
        () => {},
      );
      queues.set(repository, settled);
      settled.then(() => {
        if (queues.get(repository) === settled) queues.delete(repository);
      });
      return result;
    },
  };
}
