/**
 * Commit statuses on GitLab. Each is a job of a pipeline, with a job's state machine (docs: Commits API, "Set commit
 * pipeline status"): pending, running, one of the final states, and never back. What is posted after a final one is a new job.
 */
import { type CommitStatus, type StatusState, truncate } from '../../core/commit-status.ts';
import { StalledError } from '../../core/errors.ts';
import { parseRef, shortSha } from '../../core/ref-event.ts';
import { API_LAG, type StatusWriter } from '../forge.ts';
import { type GitLabApi, projectPath } from './api.ts';
import { type StatusRow, statusSchema } from './schema.ts';
import { createGitLabWrites } from './writes.ts';

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

/** Commits whose absence is kept in mind. */
const MAX_ABSENT = 1000;

/**
 * @param forge its name in modelhook.yaml
 * @param now milliseconds since the epoch
 */
export function createGitLabStatuses(forge: string, api: GitLabApi, now: () => number): StatusWriter {
  const { numberOf, forbidden } = createGitLabWrites(forge, api, {
    action: 'write commit statuses on',
    archived: 'it takes no commit status',
    archivedFix: 'unarchive it, or delete its webhook',
    rights:
      'give it the scope api and the role Developer, and on a protected branch or tag the right to push or merge',
  });
  /** Since when a commit is known to be missing, the one that was found so first being the first. */
  const absentSince = new Map<string, number>();

  /**
   * Why a commit's status was answered with 404. A replica that lags has the commit soon; one that is still missing when
   * none can lag any more was taken away, by a rewritten history, and does not come back by itself.
   */
  async function unfound(repository: string, id: number, sha: string, response: Response): Promise<Error> {
    const commit = await api.ask('GET', `projects/${id}/repository/commits/${sha}?stats=false`);
    if (commit.status !== 404)
      return new Error(
        `GitLab does not find ${shortSha(sha)} in ${repository}${await api.wordsOf(response)}`,
      );
    // Only where the project itself can be read is it the commit that is missing.
    await api.project(repository);
    const key = `${id} ${sha}`;
    const since = absentSince.get(key) ?? now();
    absentSince.set(key, since);
    const [oldest] = absentSince.keys();
    if (absentSince.size > MAX_ABSENT && oldest !== undefined) absentSince.delete(oldest);
    const reason = `no commit ${shortSha(sha)} is in ${repository}`;
    const fix = 'push the commit, or a new version of the model';
    return now() - since > API_LAG ? new StalledError(reason, fix) : new Error(`${reason}; ${fix}`);
  }

  async function refusal(repository: string, id: number, sha: string, response: Response): Promise<Error> {
    const { status } = response;
    if (status === 403) return forbidden(repository, response, await api.project(repository));
    if (status === 404) return unfound(repository, id, sha, response);
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
    if (response.status !== 201) throw await refusal(repository, id, sha, response);
    return true;
  }

  async function isOutOfTurn(response: Response): Promise<boolean> {
    return response.status === 400 && (await api.wordsOf(response)).includes('Cannot transition status');
  }

  return {
    async write(repository, sha, ref, status) {
      const job = jobOf(status, refNameOf(ref));
      const id = await numberOf(repository);
      let response = await post(id, sha, job);
      if (await isOutOfTurn(response)) {
        if (!(await makeWay(repository, id, sha, job))) return;
        response = await post(id, sha, job);
      }
      if (await isOutOfTurn(response))
        throw new Error(`another status is being written on ${shortSha(sha)} of ${repository}`);
      if (response.status !== 201) throw await refusal(repository, id, sha, response);
      absentSince.delete(`${id} ${sha}`);
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

/**
 * A branch or tag by its name, and the head of a merge request, which may be in a fork, by the name of GitLab's own pipelines
 * for merge requests: without one such a commit is refused, for it is on no branch.
 */
const refNameOf = (ref: string): string | undefined =>
  parseRef(ref)?.name ?? (ref.startsWith('refs/merge-requests/') ? ref : undefined);

const fitting = (text: string): string | undefined => (Array.from(text).length <= LIMIT ? text : undefined);

const isLive = ({ status }: StatusRow): boolean => status === 'pending' || status === 'running';

const isSame = (row: StatusRow, job: Job): boolean =>
  row.status === job.status &&
  (row.description ?? '') === job.description &&
  (row.target_url ?? undefined) === job.target_url;
