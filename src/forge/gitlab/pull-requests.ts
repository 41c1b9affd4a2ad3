/** Merge requests of a project from its own branches. They are written by the project's number, and read by its path. */
import { truncate } from '../../core/commit-status.ts';
import { StalledError } from '../../core/errors.ts';
import type { PullRequest, PullRequests } from '../forge.ts';
import { type GitLabApi, projectPath } from './api.ts';
import { type MergeRequest, madeSchema, mergeRequestSchema } from './schema.ts';
import { createGitLabWrites } from './writes.ts';

/** The oldest first, so that one made meanwhile pushes none over the edge of a page, and few, for texts may be long. */
const OPEN = { state: 'opened', order_by: 'created_at', sort: 'asc', per_page: '20' };
/** Of a title, and of a description or a comment, in characters (GitLab's own limits). */
const MAX_TITLE = 255;
const MAX_TEXT = 1_000_000;

/** @param forge its name in modelhook.yaml */
export function createGitLabPullRequests(forge: string, api: GitLabApi): PullRequests {
  const { numberOf, forbidden } = createGitLabWrites(forge, api, {
    action: 'write merge requests of',
    archived: 'it takes no merge requests',
    archivedFix: 'unarchive it, or deliver to another repository',
    rights: 'give it the scope api and the role Developer',
  });

  async function refusal(repository: string, response: Response): Promise<Error> {
    const { status } = response;
    if (status === 403) {
      const project = await api.project(repository);
      if (project.merge_requests_enabled === false || project.merge_requests_access_level === 'disabled')
        return new StalledError(
          `merge requests are switched off in ${repository}`,
          'switch them on in the settings of the project, or deliver via: push',
        );
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
  }

  /** @param id the project's number @param path below its merge requests */
  const send = (method: 'POST' | 'PUT', id: number, path: string, body: Readonly<Record<string, unknown>>) =>
    api.ask(method, `projects/${id}/merge_requests${path}`, body);

  return {
    async listOpen(repository, prefix) {
      const path = `${projectPath(repository)}/merge_requests`;
      const open = await api.list(repository, path, OPEN, mergeRequestSchema);
      return open
        .filter((each) => isOwn(each) && each.source_branch.startsWith(prefix))
        .map((each) => pullRequestOf(each));
    },

    async get(repository, number) {
      const path = `${projectPath(repository)}/merge_requests/${number}`;
      const found = await api.find(repository, path, mergeRequestSchema);
      if (found && isOwn(found)) return pullRequestOf(found);
      await api.project(repository);
      throw new Error(`${repository} has no merge request !${number} of a branch of its own`);
    },

    async open(repository, { head, base, title, text }) {
      const id = await numberOf(repository);
      const response = await send('POST', id, '', {
        source_branch: head,
        target_branch: base,
        // Of a fork GitLab would ask the project it was forked from.
        target_project_id: id,
        title: titleOf(title),
        description: withoutQuickActions(text),
      });
      if (response.status === 409)
        throw new Error(
          `${repository} has an open merge request of ${head} already${await api.wordsOf(response)}`,
        );
      if (!response.ok) throw await refusal(repository, response);
      return pullRequestOf(await api.read(repository, response, mergeRequestSchema));
    },

    async edit(repository, number, { title, text, state }) {
      const response = await send('PUT', await numberOf(repository), `/${number}`, {
        ...(title !== undefined && { title: titleOf(title) }),
        ...(text !== undefined && { description: withoutQuickActions(text) }),
        ...(state === 'closed' && { state_event: 'close' }),
      });
      if (!response.ok) throw await refusal(repository, response);
      // A login page changed nothing.
      await api.read(repository, response, mergeRequestSchema);
    },

    async comment(repository, number, text) {
      const body = withoutQuickActions(text);
      const response = await send('POST', await numberOf(repository), `/${number}/notes`, { body });
      if (!response.ok) throw await refusal(repository, response);
      await api.read(repository, response, madeSchema);
    },
  };
}

/** A fork's branch may have any name, ours too. */
const isOwn = ({ source_project_id, target_project_id }: MergeRequest): boolean =>
  source_project_id === target_project_id;

function pullRequestOf(mergeRequest: MergeRequest): PullRequest {
  const { iid, web_url, source_branch, target_branch, title, description } = mergeRequest;
  return {
    number: iid,
    label: `!${iid}`,
    url: web_url,
    state: stateOf(mergeRequest),
    head: source_branch,
    base: target_branch,
    title,
    text: withQuickActions(description ?? ''),
    mergeCommit: mergeCommitOf(mergeRequest),
  };
}

/** While it is being merged it is locked, which may still fail: it is open until it is done. */
function stateOf({ state }: MergeRequest): PullRequest['state'] {
  if (state === 'merged' || state === 'closed') return state;
  return 'open';
}

/** What came onto the target branch: a merge commit, the squashed one, or by fast-forward the branch's own head. */
function mergeCommitOf({ state, merge_commit_sha, squash_commit_sha, sha }: MergeRequest): string | null {
  if (state !== 'merged') return null;
  return merge_commit_sha ?? squash_commit_sha ?? sha ?? null;
}

const titleOf = (title: string): string =>
  truncate(
    title
      .toWellFormed()
      .replace(/[\s\p{Cc}]+/gu, ' ')
      .trim(),
    MAX_TITLE,
  );

// Where a line of the text starts, or the text itself once GitLab has stripped it, with what is escaped already.
const START = String.raw`((?:(?<![^])\s*|^)\\*)`;
const SLASH = new RegExp(`${START}/`, 'gm');
const ESCAPED_SLASH = new RegExp(String.raw`${START}\\/`, 'gm');

/**
 * A line that starts with a slash is a command to GitLab, such as `/merge`, which the token's user would give. Such a slash
 * gets a backslash, which Markdown does not show outside of code. What GitLab drops could bring a slash to the start of a
 * line, so control characters go first.
 */
function withoutQuickActions(text: string): string {
  const clean = text.toWellFormed().replace(/(?![\n\t])\p{Cc}/gu, '');
  return truncate(clean.replace(SLASH, String.raw`$1\/`), MAX_TEXT);
}

/** What was written, so that it can be compared with what is to be written. */
const withQuickActions = (text: string): string => text.replace(ESCAPED_SLASH, '$1/');
