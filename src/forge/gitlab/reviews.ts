/** Open merge requests on GitLab, and our note on them (docs: Merge requests API, Notes API). */
import { StalledError } from '../../core/errors.ts';
import { parseRepositoryId } from '../../core/ref-event.ts';
import type { ReviewRequest, Reviews } from '../forge.ts';
import { createCommentKeeper, type KeptComment } from '../kept-comment.ts';
import { type GitLabApi, projectPath } from './api.ts';
import { createMergeRequestWrites, hasNoMergeRequests } from './merge-request-writes.ts';
import {
  type MergeRequest,
  madeSchema,
  mergeRequestSchema,
  type Note,
  noteSchema,
  userSchema,
} from './schema.ts';
import { TEXT_LIMIT, withoutQuickActions } from './texts.ts';

/** Strangers may write texts of a million characters, and JSON may need six bytes for one. */
const MAX_PAGE_BODY = 64 * 1024 * 1024;
/** The oldest first, so that one made meanwhile pushes none over the edge of a page. */
const OLDEST = { order_by: 'created_at', sort: 'asc', per_page: '10' };

/**
 * @param forge its name in modelhook.yaml
 * @param url the web base
 */
export function createGitLabReviews(forge: string, url: string, api: GitLabApi): Reviews {
  const { numberOf, refusal } = createMergeRequestWrites(forge, api, {
    action: 'comment on merge requests of',
    archivedFix: 'unarchive it, or name another repository under policies in modelhook.yaml',
    offFix: 'switch them on in the settings of the project',
  });
  let ourId: number | null = null;

  async function whoIsUs(repository: string): Promise<number> {
    if (ourId !== null) return ourId;
    const response = await api.ask('GET', 'user');
    if (response.status === 403)
      throw new StalledError(
        `the token of forge "${forge}" may not say whose it is${await api.wordsOf(response)}`,
        'give it the scope api',
      );
    ourId = (await api.read(repository, response, userSchema)).id;
    return ourId;
  }

  const notesOf = (repository: string, of: number) => `${projectPath(repository)}/merge_requests/${of}/notes`;

  /** @param path below the notes */
  async function send(method: 'POST' | 'PUT', repository: string, of: number, path: string, body: string) {
    const id = await numberOf(repository);
    const response = await api.ask(method, `projects/${id}/merge_requests/${of}/notes${path}`, { body });
    if (!response.ok) throw await refusal(repository, response);
    return String((await api.read(repository, response, madeSchema)).id);
  }

  const keep = createCommentKeeper({
    async *list(repository, of) {
      const pages = api.pages(repository, notesOf(repository, of), OLDEST, noteSchema, MAX_PAGE_BODY);
      const us = await whoIsUs(repository);
      for await (const page of pages) for (const note of page) yield told(note, us);
    },

    async get(repository, of, id) {
      const note = await api.find(repository, `${notesOf(repository, of)}/${id}`, noteSchema);
      return note && told(note, await whoIsUs(repository));
    },

    async edit(repository, of, id, text) {
      await send('PUT', repository, of, `/${id}`, text);
    },

    add: (repository, of, text) => send('POST', repository, of, '', text),
  });

  return {
    commentLimit: TEXT_LIMIT,

    async listOpen(repository, base) {
      const path = `${projectPath(repository)}/merge_requests`;
      const query = { ...OLDEST, state: 'opened', target_branch: base };
      const open: ReviewRequest[] = [];
      try {
        for await (const page of api.pages(repository, path, query, mergeRequestSchema, MAX_PAGE_BODY))
          open.push(...page.flatMap(requestOf));
      } catch (error) {
        if (hasNoMergeRequests(await api.project(repository))) return [];
        throw error;
      }
      return open;
    },

    keepComment: (repository, of, text) => keep(repository, of, withoutQuickActions(text)),

    filesUrl(repository, at) {
      const { path = '' } = parseRepositoryId(repository) ?? {};
      return `${url}/${path.split('/').map(encodeURIComponent).join('/')}/-/blob/${at}`;
    },
  };
}

/** @param us our user's number */
const told = ({ id, body, system, author }: Note, us: number): KeptComment => ({
  id: String(id),
  text: body,
  isOurs: !system && author?.id === us,
});

/** @returns nothing for one that has no commit yet, or none any more */
function requestOf(mergeRequest: MergeRequest): ReviewRequest[] {
  const { iid, web_url, title, sha, source_branch, source_project_id, target_project_id } = mergeRequest;
  if (sha == null) return [];
  const headRef = `refs/merge-requests/${iid}/head`;
  const isFork = source_project_id !== target_project_id;
  return [
    {
      number: iid,
      label: `!${iid}`,
      url: web_url,
      title,
      head: sha,
      headRef,
      statusRef: isFork ? headRef : `refs/heads/${source_branch}`,
    },
  ];
}
