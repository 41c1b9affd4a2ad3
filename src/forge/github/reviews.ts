/** Open pull requests on GitHub and our comment on them (docs: REST API endpoints for pull requests and issue comments). */
import { z } from 'zod';
import { truncate } from '../../core/commit-status.ts';
import type { ReviewRequest, Reviews } from '../forge.ts';
import { createCommentKeeper, type KeptComment } from '../kept-comment.ts';
import { sha } from '../webhook-body.ts';
import { type GitHubApi, pathOf, shaped } from './api.ts';
import type { Answer, Connection } from './connection.ts';
import { type Author, authorSchema, createIdentity } from './identity.ts';
import { createGitHubRequestWrites, TEXT_LIMIT } from './request-writes.ts';

/** Of texts of 65,536 characters, which strangers may write, more would be too large to read. */
const PER_PAGE = 20;

const id = z.union([z.number(), z.bigint()]);
const requestSchema = z.object({
  number: z.int().positive(),
  html_url: z.string(),
  title: z.string(),
  /** The repository is null once its fork is deleted. */
  head: z.object({ ref: z.string(), sha, repo: z.object({ id }).nullable() }),
  base: z.object({ repo: z.object({ id }) }),
});
const commentSchema = z.object({ id, body: z.string().nullish(), user: authorSchema });

/**
 * @param forge its name in modelhook.yaml
 * @param url the web base
 */
export function createGitHubReviews(
  forge: string,
  url: string,
  api: GitHubApi,
  connection: Connection,
): Reviews {
  const whoIsUs = createIdentity(forge, api, connection);
  const { write, refusal } = createGitHubRequestWrites(forge, api, {
    archivedFix: 'unarchive it, or give the repository that took its place under policies in modelhook.yaml',
    permissions: '"Pull requests: write"',
  });

  const keep = createCommentKeeper({
    async *list(repository, of) {
      const path = pathOf(repository);
      const route = `GET /repos/${path}/issues/${of}/comments?per_page=${PER_PAGE}`;
      const isUs = await whoIsUs(path);
      const refused = (answer: Answer) => refusal(path, 'read', answer, of);
      for await (const page of api.pages(path, route, commentSchema, refused))
        for (const comment of page) yield told(comment, isUs);
    },

    async get(repository, of, comment) {
      const path = pathOf(repository);
      const answer = await api.ask(path, `GET /repos/${path}/issues/comments/${comment}`);
      if (answer.status === 404) return null;
      if (answer.status !== 200) throw await refusal(path, 'read', answer, of);
      return told(shaped(commentSchema, answer.data), await whoIsUs(path));
    },

    async edit(repository, of, comment, body) {
      const path = pathOf(repository);
      const answer = await write(path, 'PATCH', `/issues/comments/${comment}`, { body });
      if (answer.status !== 200) throw await refusal(path, 'comment on', answer, of);
    },

    async add(repository, of, body) {
      const path = pathOf(repository);
      const answer = await write(path, 'POST', `/issues/${of}/comments`, { body });
      if (answer.status !== 201) throw await refusal(path, 'comment on', answer, of);
      return String(shaped(commentSchema, answer.data).id);
    },
  });

  return {
    commentLimit: TEXT_LIMIT,

    async listOpen(repository, base) {
      const path = pathOf(repository);
      const route = `GET /repos/${path}/pulls?state=open&base=${encodeURIComponent(base)}&per_page=${PER_PAGE}`;
      const open = await api.askAll(path, route, requestSchema, (answer) => refusal(path, 'read', answer));
      return open.map(requestOf);
    },

    keepComment: (repository, of, text) => keep(repository, of, truncate(text.toWellFormed(), TEXT_LIMIT)),
    filesUrl: (repository, at) => `${url}/${pathOf(repository)}/blob/${at}`,
  };
}

const told = (
  { id: of, body, user }: z.infer<typeof commentSchema>,
  isUs: (author: Author) => boolean,
): KeptComment => ({ id: String(of), text: body ?? '', isOurs: isUs(user) });

function requestOf({
  number: of,
  html_url,
  title,
  head,
  base,
}: z.infer<typeof requestSchema>): ReviewRequest {
  const headRef = `refs/pull/${of}/head`;
  const isFork = head.repo === null || head.repo.id !== base.repo.id;
  return {
    number: of,
    label: `#${of}`,
    url: html_url,
    title,
    head: head.sha,
    headRef,
    statusRef: isFork ? headRef : `refs/heads/${head.ref}`,
  };
}
