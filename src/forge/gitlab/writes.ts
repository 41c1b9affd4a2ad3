/** What all writing to a project has in common: it goes to the number, and a refusal is for good. */
import { StalledError } from '../../core/errors.ts';
import { type GitLabApi, projectPath } from './api.ts';
import { type Project, projectSchema } from './schema.ts';

/** What is written, for sentences. */
export interface WriteWords {
  /** As in `may not …`. */
  action: string;
  /** As in `is archived, so …`. */
  archived: string;
  /** What to do with an archived project, in the imperative. */
  archivedFix: string;
  /** What the token must have, in the imperative. */
  rights: string;
}

export interface GitLabWrites {
  /**
   * A renamed project redirects whoever reads by its path, and refuses to be written to, so its number is. That is never
   * kept: another project may take the path.
   * @throws StalledError where the token may not even see the project, Error, transient, where there is none
   */
  numberOf(repository: string): Promise<number>;
  /** Why 403 was answered to a write. @param project where it could be read */
  forbidden(repository: string, response: Response, project?: Project): Promise<StalledError>;
}

/** @param forge its name in modelhook.yaml */
export function createGitLabWrites(forge: string, api: GitLabApi, words: WriteWords): GitLabWrites {
  const { action, archived, archivedFix, rights } = words;

  async function forbidden(repository: string, response: Response, project?: Project): Promise<StalledError> {
    if (project?.archived) return new StalledError(`${repository} is archived, so ${archived}`, archivedFix);
    return new StalledError(
      `the token of forge "${forge}" may not ${action} ${repository}${await api.wordsOf(response)}`,
      rights,
    );
  }

  return {
    async numberOf(repository) {
      const response = await api.ask('GET', projectPath(repository));
      if (response.status === 403) throw await forbidden(repository, response);
      return (await api.read(repository, response, projectSchema)).id;
    },
    forbidden,
  };
}
