/** What all writing to pull requests of Gitea has in common: the path of today, and what a refusal means. */
import { truncate } from '../../core/commit-status.ts';
import { StalledError } from '../../core/errors.ts';
import { type GiteaClient, GiteaError, type GiteaRepository, pathTo } from './client.ts';

/** Gitea keeps more; nobody reads it. */
export const TEXT_LIMIT = 65_536;

/** What a write needs besides access to the repository. */
export interface Need {
  /** The clause after "may not". */
  what: string;
  scope: string;
}
export const COMMENT: Need = { what: 'comment on pull requests in', scope: 'write:issue' };

export interface GiteaRequestWritesOptions {
  /** The forge's name in modelhook.yaml. */
  name: string;
  client: GiteaClient;
  /** What to do with an archived repository, in the imperative. */
  archivedFix: string;
  /** What to do where pull requests are switched off, in the imperative. */
  offFix: string;
}

export interface GiteaRequestWrites {
  /** @param below the repository @returns what the forge answers @throws the words for what it refuses */
  write(
    method: 'POST' | 'PATCH',
    repository: string,
    below: string,
    body: unknown,
    need: Need,
  ): Promise<unknown>;
  /** @throws StalledError for what a person must mend, and else the error itself */
  explain(error: unknown, repository: string, found: GiteaRepository, need: Need): never;
  /** @throws StalledError where the repository's settings allow none: then everything of them is answered with 404 */
  requirePullRequests(found: GiteaRepository, repository: string): void;
}

export function createGiteaRequestWrites({
  name,
  client,
  archivedFix,
  offFix,
}: GiteaRequestWritesOptions): GiteaRequestWrites {
  const archived = (repository: string): StalledError =>
    new StalledError(`${repository} is archived and takes no pull requests`, archivedFix);

  function requirePullRequests({ hasPullRequests }: GiteaRepository, repository: string): void {
    if (!hasPullRequests) throw new StalledError(`${repository} has pull requests switched off`, offFix);
  }

  function explain(error: unknown, repository: string, found: GiteaRepository, need: Need): never {
    if (!(error instanceof GiteaError)) throw error;
    const { status, said } = error;
    if (status === 423 || (status === 403 && found.archived)) throw archived(repository);
    if (status === 403)
      throw new StalledError(
        `the token of forge "${name}" may not ${need.what} ${repository}${said && ` (${said})`}`,
        `give it the scope ${need.scope}, and its user write access to the repository`,
      );
    if (status === 404) requirePullRequests(found, repository);
    throw error;
  }

  return {
    async write(method, repository, below, body, need) {
      const found = await client.repository(repository);
      try {
        return await client.write(method, `${pathTo(found)}/${below}`, body);
      } catch (error) {
        return explain(error, repository, found, need);
      }
    },
    explain,
    requirePullRequests,
  };
}

/** Databases refuse NUL. */
export const textOf = (text: string): string =>
  truncate(text.toWellFormed().replaceAll('\0', ''), TEXT_LIMIT);
