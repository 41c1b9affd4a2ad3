/** Pull requests on GitHub (docs: REST API endpoints for pull requests). */
import { z } from 'zod';
import { truncate } from '../../core/commit-status.ts';
import type { PullRequest, PullRequests } from '../forge.ts';
import { type GitHubApi, pathOf, shaped } from './api.ts';
import { type Answer, wordsOf } from './connection.ts';
import { createGitHubRequestWrites, TEXT_LIMIT } from './request-writes.ts';

/** In characters; GitHub refuses longer ones. */
const TITLE_LIMIT = 256;
/** Each has its text and says all of its repositories twice: more on a page could be too large to read. */
const PER_PAGE = 80;

const repositoryId = z.union([z.number(), z.bigint()]);
const pullRequestSchema = z
  .object({
    number: z.int().positive(),
    html_url: z.string(),
    state: z.enum(['open', 'closed']),
    merged_at: z.string().nullish(),
    merge_commit_sha: z.string().nullish(),
    title: z.string(),
    body: z.string().nullish(),
    /** The repository is null once its fork is deleted. */
    head: z.object({ ref: z.string(), repo: z.object({ id: repositoryId }).nullable() }),
    base: z.object({ ref: z.string(), repo: z.object({ id: repositoryId }) }),
  })
  // Of an open one it is a trial, made anew whenever its base moves.
  .transform((told) => (told.state === 'open' ? { ...told, merge_commit_sha: null } : told));
type Told = z.infer<typeof pullRequestSchema>;

/** @param forge its name in modelhook.yaml */
export function createGitHubPullRequests(forge: string, api: GitHubApi): PullRequests {
  const { write, refusal } = createGitHubRequestWrites(forge, api, {
    archivedFix: 'unarchive it, or give the GitOps repository that took its place in modelhook.yaml',
    permissions: '"Pull requests: write" and "Contents: write"',
  });

  /** GitHub's 422 has many reasons, and its words are no ground to decide on. */
  async function notOpened(path: string, head: string, base: string, answer: Answer): Promise<Error> {
    if (answer.status !== 422) return refusal(path, 'open', answer);
    const same = (await list(path)).find((each) => each.head === head && each.base === base);
    return same
      ? new Error(`${path} has an open pull request of ${head} already, ${same.label}`)
      : new Error(
          `GitHub opens no pull request of ${head} to ${base} in ${path}${wordsOf(answer.data)}; check that both branches are there and differ`,
        );
  }

  async function list(path: string): Promise<PullRequest[]> {
    const route = `GET /repos/${path}/pulls?state=open&per_page=${PER_PAGE}`;
    const told = await api.askAll(path, route, pullRequestSchema, (answer) => refusal(path, 'read', answer));
    return told.filter(isOwn).map(pullRequestOf);
  }

  return {
    async listOpen(repository, prefix) {
      return (await list(pathOf(repository))).filter(({ head }) => head.startsWith(prefix));
    },

    async get(repository, number) {
      const path = pathOf(repository);
      const answer = await api.ask(path, `GET /repos/${path}/pulls/${number}`);
      if (answer.status !== 200) throw await refusal(path, 'read', answer, number);
      const told = shaped(pullRequestSchema, answer.data);
      if (!isOwn(told)) throw new Error(`pull request #${number} of ${path} comes from another repository`);
      return pullRequestOf(told);
    },

    async open(repository, { head, base, title, text }) {
      const path = pathOf(repository);
      const body = { head, base, ...stored({ title, text }) };
      const answer = await write(path, 'POST', '/pulls', body);
      if (answer.status !== 201) throw await notOpened(path, head, base, answer);
      return pullRequestOf(shaped(pullRequestSchema, answer.data));
    },

    async edit(repository, number, change) {
      const path = pathOf(repository);
      const { state } = change;
      const body = { ...stored(change), ...(state !== undefined && { state }) };
      const answer = await write(path, 'PATCH', `/pulls/${number}`, body);
      if (answer.status !== 200) throw await refusal(path, 'change', answer, number);
    },

    async comment(repository, number, text) {
      const path = pathOf(repository);
      const answer = await write(path, 'POST', `/issues/${number}/comments`, stored({ text }));
      if (answer.status !== 201) throw await refusal(path, 'comment on', answer, number);
    },
  };
}

/** Of a fork the branch may have any name, ours too. */
const isOwn = ({ head, base }: Told): boolean => head.repo !== null && head.repo.id === base.repo.id;

/** As GitHub takes it: what is not given stays as it is. */
const stored = ({ title, text }: { title?: string; text?: string }) => ({
  ...(title !== undefined && {
    title: truncate(title.toWellFormed().replace(/\s+/g, ' ').trim(), TITLE_LIMIT),
  }),
  ...(text !== undefined && { body: truncate(text.toWellFormed(), TEXT_LIMIT) }),
});

function pullRequestOf(told: Told): PullRequest {
  const isMerged = told.merged_at != null;
  return {
    number: told.number,
    label: `#${told.number}`,
    url: told.html_url,
    state: isMerged ? 'merged' : told.state,
    head: told.head.ref,
    base: told.base.ref,
    title: told.title,
    text: told.body ?? '',
    // Before, and of one that was closed, it is the commit of a trial merge.
    mergeCommit: isMerged ? (told.merge_commit_sha ?? null) : null,
  };
}
