/** Pull requests of Gitea. Its API addresses them by the repository's path alone, so that is looked up for each write. */
import { truncate } from '../../core/commit-status.ts';
import type { PullRequest, PullRequests } from '../forge.ts';
import { allOf, type GiteaClient, GiteaError, pathOf } from './client.ts';
import { COMMENT, createGiteaRequestWrites, type Need, textOf } from './request-writes.ts';
import { type GiteaPullRequest, pullRequestSchema } from './schema.ts';

/** Above that Gitea cuts titles itself, counting broad characters twice. */
const TITLE_LIMIT = 255;

const OPEN: Need = { what: 'open pull requests in', scope: 'write:repository' };
const EDIT: Need = { what: 'change pull requests in', scope: 'write:repository' };

export interface GiteaPullRequestsOptions {
  /** The forge's name in modelhook.yaml. */
  name: string;
  client: GiteaClient;
}

export function createGiteaPullRequests({ name, client }: GiteaPullRequestsOptions): PullRequests {
  const { write, requirePullRequests } = createGiteaRequestWrites({
    name,
    client,
    archivedFix: 'unarchive it, or name another repository under gitops in modelhook.yaml',
    offFix: 'switch them on in its settings, or deliver to its branch itself',
  });

  async function read(repository: string, number: number): Promise<PullRequest> {
    const found = await client.get(repository, `pulls/${number}`, pullRequestSchema);
    if (found !== null) return told(found);
    requirePullRequests(await client.repository(repository), repository);
    throw new Error(`${repository} has no pull request ${number}`);
  }

  return {
    async listOpen(repository, prefix) {
      // The oldest first: one that is opened meanwhile moves no other to another page.
      const path = `${pathOf(repository)}/pulls?state=open&sort=oldest`;
      const found = await allOf((page) => client.page(path, page, pullRequestSchema)).catch(
        async (error: unknown) => {
          if (error instanceof GiteaError && error.status === 404)
            requirePullRequests(await client.repository(repository), repository);
          throw error;
        },
      );
      const byNumber = new Map(found.map((each) => [each.number, each]));
      return [...byNumber.values()]
        .filter(isOwn)
        .map(told)
        .filter(({ head }) => head.startsWith(prefix));
    },

    get: read,

    async open(repository, { head, base, title, text }) {
      const body = { head, base, title: titleOf(title), body: textOf(text) };
      try {
        const made = pullRequestSchema.safeParse(await write('POST', repository, 'pulls', body, OPEN));
        if (made.success) return told(made.data);
        throw new Error(`what ${repository} answered is no pull request; it may be open all the same`);
      } catch (error) {
        if (!(error instanceof GiteaError)) throw error;
        if (error.status === 409)
          throw new Error(`${repository} has an open pull request of ${head} into ${base} already`);
        if (error.status !== 404) throw error;
        throw new Error(
          `${error.message}; ${head} or ${base} is no branch of ${repository}, or it is hidden`,
        );
      }
    },

    async edit(repository, number, { title, text, state }) {
      const body = {
        ...(title !== undefined && { title: titleOf(title) }),
        ...(text !== undefined && { body: textOf(text) }),
        ...(state !== undefined && { state }),
      };
      try {
        await write('PATCH', repository, `pulls/${number}`, body, EDIT);
      } catch (error) {
        if (!(error instanceof GiteaError) || error.status !== 412) throw error;
        throw new Error(`pull request #${number} of ${repository} cannot be closed: ${error.message}`);
      }
    },

    async comment(repository, number, text) {
      try {
        await write('POST', repository, `issues/${number}/comments`, { body: textOf(text) }, COMMENT);
      } catch (error) {
        // Gitea answers 500 where there is none of that number.
        if (error instanceof GiteaError && error.status === 500) await read(repository, number);
        throw error;
      }
    },
  };
}

/** A fork's may be of a branch of the same name; one that was pushed for review has no branch at all. */
const isOwn = ({ head, base }: GiteaPullRequest): boolean =>
  head.repo_id === base.repo_id && head.label !== '';

function told(found: GiteaPullRequest): PullRequest {
  const { number, html_url, title, body, state, merged, merge_commit_sha, head, base } = found;
  return {
    number,
    label: `#${number}`,
    url: html_url,
    state: merged ? 'merged' : state,
    head: head.label,
    base: base.label,
    title,
    text: body,
    mergeCommit: (merged && merge_commit_sha) || null,
  };
}

const titleOf = (title: string): string =>
  truncate(
    title
      .toWellFormed()
      .replace(/[\p{Cc}\s]+/gu, ' ')
      .trim(),
    TITLE_LIMIT,
  );
