/** Looks whether GitLab, the token and the projects are as modelhook needs them. Nothing is changed. */
import { messageOf } from '../../core/errors.ts';
import { parseRepositoryId } from '../../core/ref-event.ts';
import { fault, good, warning } from '../findings.ts';
import type { Finding, ForgeAdministration, RepositoryUse } from '../forge.ts';
import { type GitLabApi, type GitLabApiOptions, projectPath, segmentOf } from './api.ts';
import { createHookExamination } from './hook-examination.ts';
import { hasNoMergeRequests } from './merge-request-writes.ts';
import {
  branchSchema,
  memberSchema,
  type Project,
  projectSchema,
  type User,
  versionSchema,
} from './schema.ts';
import { examineToken } from './token-examination.ts';

const DEVELOPER = 30;
const ROLES = new Map([
  [5, 'Minimal Access'],
  [10, 'Guest'],
  [15, 'Planner'],
  [20, 'Reporter'],
]);

/** What each use writes, and what to do where merge requests are switched off; null: it needs none. */
const WRITES: Readonly<Record<RepositoryUse['use'], { what: string; off: string | null }>> = {
  model: { what: 'commit statuses', off: null },
  policies: {
    what: 'commit statuses and comments',
    off: 'switch them on in its settings, for policies to be reviewed in them',
  },
  gitops: {
    what: 'merge requests',
    off: 'switch them on in its settings where a policy delivers via: pullRequest',
  },
};

export function createExamination(
  { name, apiUrl, token, now }: GitLabApiOptions,
  api: GitLabApi,
): ForgeAdministration['examine'] {
  /** @throws Error where nobody answers */
  async function examineApi(): Promise<Finding> {
    const response = await api.ask('GET', 'version');
    // Others than members of it are not told the version.
    if (response.status === 401 || response.status === 403)
      return good('api', `GitLab answers at ${apiUrl}, and does not tell its version`);
    const version = await api.read('its version', response, versionSchema).catch(() => null);
    if (version) return good('api', `GitLab ${version.version} answers at ${apiUrl}`);
    return fault(
      'api',
      `${apiUrl} answers ${response.status}, and not as GitLab's API does`,
      "correct the forge's url or apiUrl, and check what stands in front of it",
    );
  }

  /** @returns null where the project cannot be read, which is then told */
  async function findProject(repository: string, findings: Finding[]): Promise<Project | null> {
    const response = await api.ask('GET', projectPath(repository));
    if (response.status === 404 || response.status === 403) {
      const fix = token === null ? 'or give the forge a token' : 'and that the user of the token is a member';
      findings.push(fault(repository, 'it was not found, or may not be read', `check the name, ${fix}`));
      return null;
    }
    const project = await api.read(repository, response, projectSchema);
    const today = `${name}:${project.path_with_namespace}`;
    if (today !== repository)
      findings.push(
        warning(repository, `it is called ${today} now`, 'write it so in modelhook.yaml and in the policies'),
      );
    if (project.archived)
      findings.push(fault(repository, 'it is archived, so nothing can be written to it', 'unarchive it'));
    return project;
  }

  /** Reads the default branch, which takes the right to read the code. */
  async function examineReading(
    { repository, use }: RepositoryUse,
    { id, default_branch, empty_repo }: Project,
  ): Promise<Finding> {
    if (empty_repo)
      return warning(repository, 'it has no commit yet', 'push one to the branch it is used with');
    const unreadable = fault(
      repository,
      'its code may not be read',
      'give the token the scope read_api or api and the role Reporter, and check that the repository is switched on',
    );
    if (!default_branch) return unreadable;
    const path = `projects/${id}/repository/branches/${segmentOf(default_branch)}`;
    const response = await api.ask('GET', path);
    if (response.status === 403 || response.status === 404) return unreadable;
    const { can_push } = await api.read(repository, response, branchSchema);
    if (use === 'gitops' && can_push === false)
      return warning(
        repository,
        `the token may not push to its branch ${default_branch}`,
        'allow its user to push there (Settings, Repository, Protected branches), or deliver via: pullRequest',
      );
    return good(repository, `it is there, with the number ${id}, and may be read`);
  }

  /** Whether what its use writes may be written. */
  async function examineWriting(
    { repository, use }: RepositoryUse,
    { id, ...project }: Project,
    user: User,
  ): Promise<Finding[]> {
    if (project.archived) return [];
    const { what, off } = WRITES[use];
    const needed = `give the user of the token the role Developer in it`;
    const findings =
      off !== null && hasNoMergeRequests({ id, ...project })
        ? [warning(repository, 'merge requests are switched off in it', off)]
        : [];
    // Administrators may everything, and are members of little.
    if (user.is_admin) return [...findings, good(repository, `the token is an administrator's`)];
    const response = await api.ask('GET', `projects/${id}/members/all/${user.id}`);
    if (response.status === 404)
      return [...findings, fault(repository, `${user.username} is no member of it`, needed)];
    const { access_level } = await api.read(repository, response, memberSchema);
    if (access_level >= DEVELOPER)
      return [...findings, good(repository, `${user.username} has the role that ${what} take`)];
    const role = ROLES.get(access_level) ?? String(access_level);
    return [...findings, fault(repository, `the role ${role} may not write ${what}`, needed)];
  }

  return async (uses, webhookUrl) => {
    const reached = await examineApi();
    if (reached.state === 'fault') return [reached];
    const { findings, user, isUsable } = await examineToken({ name, token, now }, api);
    if (!isUsable) return [reached, ...findings];
    const examineHook = createHookExamination(name, api, webhookUrl);

    async function examineUse(use: RepositoryUse): Promise<Finding[]> {
      const { repository } = use;
      const told: Finding[] = [];
      try {
        const project = await findProject(repository, told);
        if (!project) return told;
        told.push(await examineReading(use, project));
        if (user) told.push(...(await examineWriting(use, project, user)));
        told.push(...(await examineHook(use, project)));
      } catch (error) {
        told.push(
          fault(repository, `it could not be looked at: ${messageOf(error)}`, 'mend that, and look again'),
        );
      }
      return told;
    }

    const told: Finding[] = [];
    for (const use of uses.filter(({ repository }) => parseRepositoryId(repository)?.forge === name))
      told.push(...(await examineUse(use)));
    return [reached, ...findings, ...told];
  };
}
