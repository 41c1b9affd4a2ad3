/** Open pull requests of Gitea, and our comment on them. */
import { StalledError } from '../../core/errors.ts';
import { isFullSha } from '../../core/ref-event.ts';
import type { ReviewRequest, Reviews } from '../forge.ts';
import { createCommentKeeper, type KeptComment } from '../kept-comment.ts';
import { allOf, type GiteaClient, GiteaError, pathOf } from './client.ts';
import { COMMENT, createGiteaRequestWrites, TEXT_LIMIT, textOf } from './request-writes.ts';
import {
  commentSchema,
  type GiteaComment,
  type GiteaPullRequest,
  pullRequestSchema,
  userSchema,
} from './schema.ts';

/** Gitea cuts no text, and gives all comments of a request at once (measured with 1.26). */
const MAX_BODY = 64 * 1024 * 1024;

export interface GiteaReviewsOptions {
  /** The forge's name in modelhook.yaml. */
  name: string;
  /** The web base. */
  url: string;
  client: GiteaClient;
}

export function createGiteaReviews({ name, url, client }: GiteaReviewsOptions): Reviews {
  const { write, explain, requirePullRequests } = createGiteaRequestWrites({
    name,
    client,
    archivedFix: 'unarchive it, or name another repository under policies in modelhook.yaml',
    offFix: 'switch them on in its settings',
  });
  let ourId: number | undefined;

  async function whoIsUs(): Promise<number> {
    if (ourId !== undefined) return ourId;
    const { id } = await client.read('/user', userSchema).catch((error: unknown) => {
      if (!(error instanceof GiteaError) || error.status !== 403) throw error;
      throw new StalledError(
        `the token of forge "${name}" may not say whose it is${error.said && ` (${error.said})`}, so no comment is known to be ours`,
        'give it the scope read:user',
      );
    });
    if (id === undefined) throw new Error(`forge "${name}" does not tell the number of the token's user`);
    ourId = id;
    return id;
  }

  /** Gitea answers 500 where there is no request of that number. */
  async function refused(error: unknown, repository: string, number: number): Promise<never> {
    if (error instanceof GiteaError && error.status === 500) await requireRequest(repository, number);
    return explain(error, repository, await client.repository(repository), COMMENT);
  }

  async function requireRequest(repository: string, number: number): Promise<void> {
    const found = await client.get(repository, `pulls/${number}`, pullRequestSchema, [404], MAX_BODY);
    if (found !== null) return;
    requirePullRequests(await client.repository(repository), repository);
    throw new Error(`${repository} has no pull request ${number}`);
  }

  const keep = createCommentKeeper({
    async *list(repository, number) {
      const comments = await client
        .get(repository, `issues/${number}/comments`, commentSchema.array(), [404], MAX_BODY)
        .catch((error: unknown) => refused(error, repository, number));
      if (comments === null) {
        await requireRequest(repository, number);
        throw new Error(`the comments of #${number} of ${repository} are not found`);
      }
      const us = await whoIsUs();
      for (const comment of comments) yield told(comment, us);
    },

    async get(repository, number, id) {
      const comment = await client
        .get(repository, `issues/comments/${id}`, commentSchema)
        .catch((error: unknown) => refused(error, repository, number));
      return comment && told(comment, await whoIsUs());
    },

    async edit(repository, _number, id, body) {
      await write('PATCH', repository, `issues/comments/${id}`, { body }, COMMENT);
    },

    async add(repository, number, body) {
      const answer = await write('POST', repository, `issues/${number}/comments`, { body }, COMMENT);
      const made = commentSchema.safeParse(answer);
      if (made.success) return String(made.data.id);
      throw new Error(`what ${repository} answered is no comment; it may be there all the same`);
    },
  });

  return {
    commentLimit: TEXT_LIMIT,

    async listOpen(repository, base) {
      // The oldest first: one that is opened meanwhile moves no other to another page.
      const path = `${pathOf(repository)}/pulls?state=open&sort=oldest`;
      try {
        const open = await allOf((page) => client.page(path, page, pullRequestSchema, MAX_BODY));
        const byNumber = new Map(open.map((each) => [each.number, each]));
        return [...byNumber.values()]
          .filter((each) => each.base.label === base && isFullSha(each.head.sha))
          .map(requestOf);
      } catch (error) {
        if (!(error instanceof GiteaError) || error.status !== 404) throw error;
        if (!(await client.repository(repository)).hasPullRequests) return [];
        throw error;
      }
    },

    keepComment: (repository, number, text) => keep(repository, number, textOf(text)),
    filesUrl: (repository, sha) => `${url}${pathOf(repository).replace('/repos', '')}/src/commit/${sha}`,
  };
}

/** @param us our user's number */
const told = ({ id, body, user }: GiteaComment, us: number): KeptComment => ({
  id: String(id),
  text: body,
  isOurs: user?.id === us,
});

function requestOf({ number, html_url, title, head, base }: GiteaPullRequest): ReviewRequest {
  const headRef = `refs/pull/${number}/head`;
  // One that was pushed for review has no branch.
  const isOwn = head.repo_id === base.repo_id && head.label !== '';
  return {
    number,
    label: `#${number}`,
    url: html_url,
    title,
    head: head.sha,
    headRef,
    statusRef: isOwn ? `refs/heads/${head.label}` : headRef,
  };
}
