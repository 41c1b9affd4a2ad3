/** What all writing to pull requests on GitHub has in common: it goes to the number, and a refusal is told for what it is. */
import { StalledError } from '../../core/errors.ts';
import type { GitHubApi } from './api.ts';
import { type Answer, wordsOf } from './connection.ts';

/** Of a text or a comment, in characters; GitHub refuses longer ones. */
export const TEXT_LIMIT = 65_536;

/** What is told of a refusal. */
export interface RequestWords {
  /** What to do with an archived repository, in the imperative. */
  archivedFix: string;
  /** Those of a fine-grained token or an App that are needed. */
  permissions: string;
}

export interface GitHubRequestWrites {
  /**
   * Who writes is redirected by a renamed repository, and nothing is written: its number is asked for each time.
   * @param below the repository
   */
  write(
    path: string,
    method: 'POST' | 'PATCH',
    below: string,
    body: Record<string, unknown>,
  ): Promise<Answer>;
  /**
   * Why an answer is not the wanted one: GitHub answers alike for want of a permission and of the thing, so the repository
   * is asked for once more.
   * @param does as in `may not …`
   * @param number of the pull request, where it is one that may be missing
   */
  refusal(path: string, does: string, answer: Answer, number?: number): Promise<Error>;
}

/** @param forge its name in modelhook.yaml */
export function createGitHubRequestWrites(
  forge: string,
  api: GitHubApi,
  { archivedFix, permissions }: RequestWords,
): GitHubRequestWrites {
  const has = async (path: string, number: number): Promise<boolean> =>
    (await api.ask(path, `GET /repos/${path}/pulls/${number}`)).status !== 404;

  return {
    async write(path, method, below, body) {
      const { id } = await api.repository(path);
      return api.ask(path, `${method} /repositories/${id}${below}`, { body });
    },

    async refusal(path, does, answer, number) {
      const { status, data } = answer;
      if (status !== 403 && status !== 404) return api.unreadable(path, answer);
      const { archived } = await api.repository(path);
      if (archived && does !== 'read')
        return new StalledError(`${path} is archived, so its pull requests do not change`, archivedFix);
      if (status === 404 && number !== undefined && !(await has(path, number)))
        return new Error(
          `${path} on forge "${forge}" has no pull request #${number}, or its token may not read it`,
        );
      return new StalledError(
        `the token of forge "${forge}" may not ${does} pull requests of ${path}${wordsOf(data)}`,
        `give it ${permissions} (fine-grained token or GitHub App) or the scope "repo" (classic token) with the role Write, and authorise it for the organisation where that asks for single sign-on`,
      );
    },
  };
}
