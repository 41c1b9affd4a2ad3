/** Merge requests of a project from its own branches. They are written by the project's number, and read by its path. */
import { truncate } from '../../core/commit-status.ts';
import type { PullRequest, PullRequests } from '../forge.ts';
import { type GitLabApi, projectPath } from './api.ts';
import { createMergeRequestWrites } from './merge-request-writes.ts';
import { type MergeRequest, madeSchema, mergeRequestSchema } from './schema.ts';
import { withoutQuickActions, withQuickActions } from './texts.ts';

/** The oldest first, so that one made meanwhile pushes none over the edge of a page, and few, for texts may be long. */
const OPEN = { state: 'opened', order_by: 'created_at', sort: 'asc', per_page: '20' };
/** Of a title, in characters (GitLab's own limit). */
const MAX_TITLE = 255;

/** @param forge its name in modelhook.yaml */
export function createGitLabPullRequests(forge: string, api: GitLabApi): PullRequests {
  const { numberOf, refusal } = createMergeRequestWrites(forge, api, {
    action: 'write merge requests of',
    archivedFix: 'unarchive it, or deliver to another repository',
    offFix: 'switch them on in the settings of the project, or deliver via: push',
  });

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
