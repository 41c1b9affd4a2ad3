/** Commit statuses on GitHub (docs: REST API endpoints for commit statuses). */
import { z } from 'zod';
import { type CommitStatus, type StatusState, truncate } from '../../core/commit-status.ts';
import { StalledError } from '../../core/errors.ts';
import { shortSha } from '../../core/ref-event.ts';
import type { StatusWriter } from '../forge.ts';
import { type GitHubApi, nextRoute, pathOf, shaped } from './api.ts';
import { type Answer, wordsOf } from './connection.ts';

const STATES: Readonly<Record<StatusState, string>> = {
  pending: 'pending',
  running: 'pending',
  success: 'success',
  failed: 'failure',
  superseded: 'error',
  cancelled: 'error',
};
/** GitHub refuses longer ones, and characters of more than three bytes in UTF-8, such as emoji. */
const DESCRIPTION_LIMIT = 140;
const FOUR_BYTES = /[\u{10000}-\u{10ffff}]/gu;
const MAX_PAGES = 100;

const statusesSchema = z.array(
  z.object({
    context: z.string(),
    state: z.string(),
    description: z.string().nullable(),
    target_url: z.string().nullable(),
  }),
);

/** @param forge its name in modelhook.yaml */
export function createGitHubStatuses(forge: string, api: GitHubApi): StatusWriter {
  /** 404 is what GitHub answers for want of a permission too, so the repository is asked for once more. */
  async function forbidden(path: string, answer: Answer): Promise<Error> {
    const { archived } = await api.repository(path);
    if (archived)
      return new StalledError(
        `${path} is archived, so it takes no commit status`,
        'unarchive it, or delete its webhook',
      );
    return new StalledError(
      `the token of forge "${forge}" may not write commit statuses on ${path}${wordsOf(answer.data)}`,
      'give it "Commit statuses: write" (fine-grained token or GitHub App) or the scope "repo:status" (classic token), and authorise it for the organisation where that asks for single sign-on',
    );
  }

  async function refusal(path: string, sha: string, context: string, answer: Answer): Promise<Error> {
    const { status, data } = answer;
    if (status === 403 || status === 404) return forbidden(path, answer);
    if (status !== 422) return api.unreadable(path, answer);
    // Replicas lag behind the push that told us of the commit.
    if (!(await api.hasCommit(path, sha)))
      return new Error(
        `GitHub does not find the commit ${shortSha(sha)} in ${path}; push it again where it stays so`,
      );
    return new StalledError(
      `GitHub refuses the status ${context} on ${shortSha(sha)} of ${path}${wordsOf(data)}`,
      'push another commit where this one has its 1,000 statuses of a context, else check server.publicUrl',
    );
  }

  return {
    async write(repository, sha, _ref, status) {
      const path = pathOf(repository);
      const { context, state, description, target_url } = stored(status);
      // Who writes is redirected by a renamed repository, and nothing is written: its number is asked for. Each time,
      // for another may take the name. What did not change costs no quota.
      const { id } = await api.repository(path);
      const answer = await api.ask(path, `POST /repositories/${id}/statuses/${sha}`, {
        body: { context, state, description, target_url },
      });
      // Not every other answer is an error to octokit: a redirect is a status that was not written.
      if (answer.status !== 201) throw await refusal(path, sha, context, answer);
    },

    async holds(repository, sha, status) {
      const path = pathOf(repository);
      const wanted = stored(status);
      const route = `GET /repos/${path}/commits/${sha}/statuses?per_page=100`;
      let next: string | null = route;
      // The newest come first.
      for (let page = 0; next !== null && page < MAX_PAGES; page += 1) {
        const answer: Answer = await api.ask(path, next);
        // No such commit: writing will say so.
        if (answer.status === 422) return false;
        if (answer.status !== 200) throw api.unreadable(path, answer);
        const isOurs = ({ context }: { context: string }) =>
          context.toLowerCase() === wanted.context.toLowerCase();
        const newest = shaped(statusesSchema, answer.data).find(isOurs);
        if (newest)
          return (
            newest.state === wanted.state &&
            (newest.description ?? '') === wanted.description &&
            newest.target_url === wanted.target_url
          );
        next = nextRoute(route, answer);
      }
      return false;
    },
  };
}

/** As GitHub keeps it. */
const stored = ({ context, state, description, url }: CommitStatus) => ({
  context,
  state: STATES[state],
  description: truncate(
    description.toWellFormed().replace(FOUR_BYTES, '\ufffd').replace(/\s+/g, ' ').trim(),
    DESCRIPTION_LIMIT,
  ),
  target_url: url,
});
