/**
 * Commit statuses on GitLab. Each is a job of a pipeline, with a job's state machine (docs: Commits API, "Set commit
 * pipeline status"): pending, running, one of the final states, and never back. What is posted after a final one is a new job.
 */
import { type CommitStatus, type StatusState, truncate } from '../../core/commit-status.ts';
import { StalledError } from '../../core/errors.ts';
import { parseRef, shortSha } from '../../core/ref-event.ts';
import type { StatusWriter } from '../forge.ts';
import { type GitLabApi, projectPath } from './api.ts';
import { type Project, projectSchema, type StatusRow, statusSchema } from './schema.ts';

const STATES: Readonly<Record<StatusState, string>> = {
  pending: 'pending',
  running: 'running',
  success: 'success',
  failed: 'failed',
  superseded: 'canceled',
  cancelled: 'canceled',
};
/** Of a description, an address and a ref. */
const LIMIT = 255;

/** @param forge its name in modelhook.yaml */
export function createGitLabStatuses(forge: string, api: GitLabApi): StatusWriter {
  /**
   * A renamed project redirects whoever reads by its path, and refuses to be written to, so its number is. That is never
   * kept: another project may take the path.
   */
  async function idOf(repository: string): Promise<number> {
    const response = await api.ask('GET', projectPath(repository));
    if (response.status === 403) throw await forbidden(repository, response);
    return (await api.read(repository, response, projectSchema)).id;
  }

  async function forbidden(repository: string, response: Response, project?: Project): Promise<StalledError> {
    if (project?.archived)
      return new StalledError(
        `${repository} is archived, so it takes no commit status`,
        'unarchive it, or delete its webhook',
      );
    return new StalledError(
      `the token of forge "${forge}" may not write commit statuses on ${repository}${await api.wordsOf(response)}`,
      'give it the scope api and the role Developer, and on a protected branch or tag the right to push or merge',
    );
  }

  async function refusal(repository: string, sha: string, response: Response): Promise<Error> {
    const { status } = response;
    if (status === 403) return forbidden(repository, response, await api.project(repository));
    if (status === 404 || status === 405)
      return new Error(
        `GitLab does not find ${shortSha(sha)} in ${repository}${await api.wordsOf(response)}`,
      );
    if (status === 400 || status === 422)
      return new StalledError(
        `GitLab refuses a status on ${shortSha(sha)} of ${repository}${await api.wordsOf(response)}`,
        'correct what it names; links follow server.publicUrl',
      );
    return api.unreadable(repository, response);
  }

  /** @returns the jobs of a context on a commit, of all refs, the newest first */
  async function rowsOf(repository: string, sha: string, context: string): Promise<StatusRow[]> {
    const path = `${projectPath(repository)}/repository/commits/${sha}/statuses`;
    const rows = await api.list(repository, path, { name: context, all: 'true' }, statusSchema);
    return rows.toSorted((a, b) => b.id - a.id);
  }

  /** @param id the project's number */
  const post = (id: number, sha: string, { status: state, ...rest }: Job): Promise<Response> =>
    api.ask('POST', `projects/${id}/statuses/${sha}`, { state, ...rest });

  /**
   * What to do where a job would have to go back, or stay as it is, which is refused: its text cannot change so.
   * @returns whether the status can be posted now, as a new job, since the one of an older rollout was ended
   */
  async function makeWay(repository: string, id: number, sha: string, job: Job): Promise<boolean> {
    const rows = await rowsOf(repository, sha, job.name);
    const live = rows.filter((row) => isLive(row) && (job.ref === undefined || row.ref === job.ref));
    const [newest] = live;
    if (!newest)
      throw new Error(`the status ${job.name} on ${shortSha(sha)} of ${repository} changed meanwhile`);
    // This rollout's own: it is there, or further on, and the final state brings the newest text.
    const url = job.target_url ?? null;
    if (live.some(({ target_url }) => (target_url ?? null) === url)) return false;
    const { target_url } = newest;
    const ended: Job = { ...job, status: 'canceled', description: 'Superseded by a newer rollout' };
    const response = await post(id, sha, { ...ended, target_url: target_url ?? undefined });
    if (response.status !== 201) throw await refusal(repository, sha, response);
    return true;
  }

  async function isOutOfTurn(response: Response): Promise<boolean> {
    return response.status === 400 && (await api.wordsOf(response)).includes('Cannot transition status');
  }

  return {
    async write(repository, sha, ref, status) {
      const job = jobOf(status, parseRef(ref)?.name);
      const id = await idOf(repository);
      let response = await post(id, sha, job);
      if (await isOutOfTurn(response)) {
        if (!(await makeWay(repository, id, sha, job))) return;
        response = await post(id, sha, job);
      }
      if (await isOutOfTurn(response))
        throw new Error(`another status is being written on ${shortSha(sha)} of ${repository}`);
      if (response.status !== 201) throw await refusal(repository, sha, response);
      // A login page is no status that was written.
      await api.read(repository, response, statusSchema);
    },

    async holds(repository, sha, status) {
      const wanted = jobOf(status);
      const refs = new Set<string | null | undefined>();
      // Each ref has a job of its own.
      for (const row of await rowsOf(repository, sha, status.context)) {
        if (!refs.has(row.ref) && isSame(row, wanted)) return true;
        refs.add(row.ref);
      }
      return false;
    },
  };
}

/** As GitLab keeps it; what is longer than it takes is left out. */
interface Job {
  status: string;
  name: string;
  description: string;
  target_url?: string | undefined;
  /** Without one GitLab looks for a branch with the commit, and refuses where there is none. */
  ref?: string | undefined;
}

const jobOf = ({ context, state, description, url }: CommitStatus, ref?: string): Job => ({
  status: STATES[state],
  name: context,
  description: truncate(
    description
      .toWellFormed()
      .replace(/[\s\p{Cc}]+/gu, ' ')
      .trim(),
    LIMIT,
  ),
  target_url: fitting(url),
  ref: ref && fitting(ref),
});

const fitting = (text: string): string | undefined => (Array.from(text).length <= LIMIT ? text : undefined);

const isLive = ({ status }: StatusRow): boolean => status === 'pending' || status === 'running';

const isSame = (row: StatusRow, job: Job): boolean =>
  row.status === job.status &&
  (row.description ?? '') === job.description &&
  (row.target_url ?? undefined) === job.target_url;
