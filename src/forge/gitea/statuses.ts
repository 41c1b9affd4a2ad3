/** Commit statuses on Gitea: the newest of a context counts, in any order of states (specification section 8). */
import { type CommitStatus, type StatusState, truncate } from '../../core/commit-status.ts';
import { StalledError } from '../../core/errors.ts';
import { shortSha } from '../../core/ref-event.ts';
import type { StatusWriter } from '../forge.ts';
import { type GiteaClient, GiteaError, type GiteaRepository } from './client.ts';
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
  /** What repositories are called today, by the path they were called by. */
  const known = new Map<string, GiteaRepository>();

  async function lookUp(repository: string): Promise<GiteaRepository> {
    const found = await client.repository(repository);
    known.set(repository, found);
    return found;
  }

  /** A write to a path the repository no longer has is answered with a redirect, or 404: the path is looked up again. */
  async function post(repository: string, below: string, body: unknown): Promise<void> {
    const before = known.get(repository);
    try {
      return await client.post(before ?? (await lookUp(repository)), below, body);
    } catch (error) {
      const moved = error instanceof GiteaError && [301, 302, 307, 308, 404].includes(error.status);
      if (!before || !moved) throw error;
    }
    known.delete(repository);
    await client.post(await lookUp(repository), below, body);
  }

  async function explain(error: unknown, repository: string, sha: string): Promise<unknown> {
    if (!(error instanceof GiteaError)) return error;
    switch (error.status) {
      case 401:
        return new StalledError(
          `the token of forge "${name}" was refused`,
          `make a new one with the scope write:repository, for a user who may write to ${repository}`,
        );
      case 403:
        return refused(repository);
      // The repository itself was found.
      case 404:
        return known.has(repository) ? refused(repository) : error;
      case 423:
        return archived(repository);
      // Also of what is only broken, and without a reason unless we are an administrator.
      case 500:
        return (await objects.commit(repository, sha))
          ? error
          : new StalledError(
              `no commit ${shortSha(sha)} is in ${repository} to write a status on`,
              'push the commit',
            );
      default:
        return error;
    }
  }

  function refused(repository: string): StalledError {
    if (known.get(repository)?.archived) return archived(repository);
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
      try {
        await post(repository, `statuses/${sha}`, stored(status));
      } catch (error) {
        // A repository whose default branch is not there answers 500 after the status was stored.
        if (error instanceof GiteaError && error.status === 500 && (await holds(repository, sha, status)))
          return;
        throw await explain(error, repository, sha);
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
