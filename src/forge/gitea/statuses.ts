/** Commit statuses on Gitea: the newest of a context counts, in any order of states (specification section 8). */
import { type CommitStatus, type StatusState, truncate } from '../../core/commit-status.ts';
import { StalledError } from '../../core/errors.ts';
import { shortSha } from '../../core/ref-event.ts';
import type { StatusWriter } from '../forge.ts';
import { type GiteaClient, GiteaError, type GiteaRepository, pathTo } from './client.ts';
import type { GiteaObjects } from './objects.ts';
import { statusesSchema } from './schema.ts';

/** Gitea has no `running`, though it takes any word: nothing would show it. */
const STATES: Readonly<Record<StatusState, string>> = {
  pending: 'pending',
  running: 'pending',
  success: 'success',
  failed: 'failure',
  superseded: 'warning',
  cancelled: 'error',
};

/** Gitea keeps more (a TEXT column, 64 KiB in MySQL); it is read in one line. */
const DESCRIPTION_LIMIT = 1000;
const PAGE = 50;
/** A commit's statuses are one a transition and policy. */
const MAX_PAGES = 100;

export interface GiteaStatusesOptions {
  /** The forge's name in modelhook.yaml. */
  name: string;
  client: GiteaClient;
  objects: GiteaObjects;
}

export function createGiteaStatuses({ name, client, objects }: GiteaStatusesOptions): StatusWriter {
  /** @param found what was looked up for this write */
  async function explain(
    error: unknown,
    found: GiteaRepository,
    repository: string,
    sha: string,
  ): Promise<unknown> {
    if (!(error instanceof GiteaError)) return error;
    switch (error.status) {
      case 403:
        return refused(repository, found);
      // The repository itself was found, and may have been renamed or hidden since.
      case 404:
        return (await client.repository(repository)).path === found.path ? refused(repository, found) : error;
      case 423:
        return archived(repository);
      // Also of what is only broken, and without a reason unless we are an administrator.
      case 500:
        return (await objects.holds(repository, sha))
          ? error
          : new StalledError(
              `no commit ${shortSha(sha)} is in ${repository} to write a status on`,
              'push the commit',
            );
      // Also 401: rollouts wait until the token is replaced, and the message says to check it.
      default:
        return error;
    }
  }

  function refused(repository: string, found: GiteaRepository): StalledError {
    if (found.archived) return archived(repository);
    return new StalledError(
      `the token of forge "${name}" may not write statuses to ${repository}`,
      'give it the scope write:repository, and its user write access to the repository',
    );
  }

  async function holds(repository: string, sha: string, status: CommitStatus): Promise<boolean> {
    const wanted = stored(status);
    for (let page = 1; page <= MAX_PAGES; page += 1) {
      // `leastindex` is what Gitea calls the newest first.
      const below = `statuses/${sha}?sort=leastindex&limit=${PAGE}&page=${page}`;
      const statuses = await client.get(repository, below, statusesSchema);
      if (statuses === null) await client.repository(repository);
      const newest = statuses?.find(({ context }) => context === wanted.context);
      if (newest)
        return (
          newest.status === wanted.state &&
          newest.description === wanted.description &&
          newest.target_url === wanted.target_url
        );
      if (!statuses || statuses.length === 0) return false;
    }
    return false;
  }

  return {
    async write(repository, sha, _ref, status) {
      // A write to an old name is not followed, and the name may be another repository's since the last write.
      const found = await client.repository(repository);
      try {
        await client.write('POST', `${pathTo(found)}/statuses/${sha}`, stored(status));
      } catch (error) {
        // A repository whose default branch is not there answers 500 after the status was stored.
        if (error instanceof GiteaError && error.status === 500 && (await holds(repository, sha, status)))
          return;
        throw await explain(error, found, repository, sha);
      }
    },
    holds,
  };
}

const archived = (repository: string): StalledError =>
  new StalledError(
    `${repository} is archived and takes no statuses`,
    'unarchive it, or take it out of the policies',
  );

/** What Gitea is sent, in the form in which it gives it back: it trims, and databases refuse some characters. */
const stored = ({ context, state, description, url }: CommitStatus) => ({
  context,
  state: STATES[state],
  description: truncate(
    description
      .toWellFormed()
      .replace(/[\p{Cc}\s]+/gu, ' ')
      .trim(),
    DESCRIPTION_LIMIT,
  ),
  target_url: url,
});
