/** Commit statuses on GitHub (docs: REST API endpoints for commit statuses). */
import { z } from 'zod';
import { type CommitStatus, type StatusState, truncate } from '../../core/commit-status.ts';
import { StalledError } from '../../core/errors.ts';
import { shortSha } from '../../core/ref-event.ts';
import type { StatusWriter } from '../forge.ts';
import { type GitHubApi, noCommit, pathOf, repositorySchema, shaped } from './api.ts';
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
  /** A renamed repository redirects whoever reads, and writes nothing: its number stays. */
  const ids = new Map<string, string>();

  async function idOf(path: string): Promise<string> {
    const known = ids.get(path);
    if (known !== undefined) return known;
    const answer = await api.ask(path, `GET /repos/${path}`);
    if (answer.status === 401) throw unauthorised(path, answer);
    if (answer.status !== 200) throw api.unreadable(path, answer);
    const id = String(shaped(repositorySchema, answer.data).id);
    ids.set(path, id);
    return id;
  }

  function unauthorised(path: string, answer: Answer): Error {
    // The token of an App's installation is exchanged with the next try.
    if (api.auth === 'app') return api.unreadable(path, answer);
    return new StalledError(
      `GitHub does not accept the token of forge "${forge}" for a commit status on ${path}`,
      'replace the token',
    );
  }

  /** 404 is what GitHub answers for want of a permission too, so the repository is asked for once more. */
  async function forbidden(path: string, answer: Answer): Promise<Error> {
    const before = ids.get(path);
    ids.delete(path);
    const { id, archived } = await api.repository(path);
    if (archived)
      return new StalledError(
        `${path} is archived, so it takes no commit status`,
        'unarchive it, or delete its webhook',
      );
    if (before !== undefined && before !== String(id))
      return new Error(`another repository has taken the name ${path}`);
    return new StalledError(
      `the token of forge "${forge}" may not write commit statuses on ${path}${wordsOf(answer.data)}`,
      'give it "Commit statuses: write" (fine-grained token or GitHub App) or the scope "repo:status" (classic token), and authorise it for the organisation where that asks for single sign-on',
    );
  }

  async function refusal(path: string, sha: string, context: string, answer: Answer): Promise<Error> {
    const { status, data } = answer;
    if (status === 401) return unauthorised(path, answer);
    if (status === 403 || status === 404) return forbidden(path, answer);
    if (status !== 422) return api.unreadable(path, answer);
    if (!(await api.hasCommit(path, sha))) return noCommit(sha);
    return new StalledError(
      `GitHub refuses the status ${context} on ${shortSha(sha)} of ${path}${wordsOf(data)}`,
      'push another commit where this one has its 1,000 statuses of a context, else check server.publicUrl',
    );
  }

  return {
    async write(repository, sha, _ref, status) {
      const path = pathOf(repository);
      const { context, state, description, target_url } = stored(status);
      const answer = await api.ask(path, `POST /repositories/${await idOf(path)}/statuses/${sha}`, {
        body: { context, state, description, target_url },
      });
      // Not every other answer is an error to octokit: a redirect is a status that was not written.
      if (answer.status !== 201) throw await refusal(path, sha, context, answer);
    },

    async holds(repository, sha, status) {
      const path = pathOf(repository);
      const wanted = stored(status);
      let next: string | null = `/repos/${path}/commits/${sha}/statuses?per_page=100`;
      // The newest come first.
      for (let page = 0; next !== null && page < MAX_PAGES; page += 1) {
        const answer: Answer = await api.ask(path, `GET ${next}`);
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
        next = answer.next;
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
