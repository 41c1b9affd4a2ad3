/** What all writing to merge requests has in common. */
import { StalledError } from '../../core/errors.ts';
import type { GitLabApi } from './api.ts';
import type { Project } from './schema.ts';
import { createGitLabWrites, type GitLabWrites } from './writes.ts';

export interface MergeRequestWords {
  /** As in `may not …`. */
  action: string;
  /** What to do with an archived project, in the imperative. */
  archivedFix: string;
  /** What to do where merge requests are switched off, in the imperative. */
  offFix: string;
}

export interface MergeRequestWrites extends Pick<GitLabWrites, 'numberOf'> {
  /** Why an answer is not the wanted one. */
  refusal(repository: string, response: Response): Promise<Error>;
}

/** Whether the settings of a project allow no merge requests. */
export const hasNoMergeRequests = (project: Project): boolean =>
  project.merge_requests_enabled === false || project.merge_requests_access_level === 'disabled';

/** @param forge its name in modelhook.yaml */
export function createMergeRequestWrites(
  forge: string,
  api: GitLabApi,
  { action, archivedFix, offFix }: MergeRequestWords,
): MergeRequestWrites {
  const { numberOf, forbidden } = createGitLabWrites(forge, api, {
    action,
    archived: 'it takes no merge requests',
    archivedFix,
    rights: 'give it the scope api and the role Developer',
  });

  return {
    numberOf,
    async refusal(repository, response) {
      const { status } = response;
      if (status === 403) {
        const project = await api.project(repository);
        if (hasNoMergeRequests(project))
          return new StalledError(`merge requests are switched off in ${repository}`, offFix);
        return forbidden(repository, response, project);
      }
      if (status === 404 || status === 405)
        return new Error(
          `GitLab does not find the merge request in ${repository}${await api.wordsOf(response)}`,
        );
      if (status === 400 || status === 422)
        // Also of a branch that was pushed a moment ago and is not known everywhere yet.
        return new Error(
          `GitLab refuses the merge request in ${repository}${await api.wordsOf(response)}; correct what it names`,
        );
      return api.unreadable(repository, response);
    },
  };
}
