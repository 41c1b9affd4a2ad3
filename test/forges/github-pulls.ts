/** Pull requests of the GitHub stand-in: duplicates, forks, lengths, trial merges, permissions. */
import { createHash, randomUUID } from 'node:crypto';
import {
  archivedReply,
  denied,
  type Grant,
  invalid,
  notFound,
  type Page,
  type Pull,
  type Reply,
  type Repository,
} from './github-reply.ts';

const newSha = () => createHash('sha1').update(randomUUID()).digest('hex');

/** What is asked of a repository's pull requests. */
export interface PullQuestion {
  repository: Repository;
  method: string;
  /** Below the repository. */
  rest: string;
  query: URLSearchParams;
  grant: Grant;
  body: Record<string, string>;
  page: Page;
}

/** Adds one, as anybody with a branch may. @param from the id of the head's repository */
export function addPull(
  repository: Repository,
  draft: { head: string; base: string; title: string; body: string | null },
  from: number | null = repository.id,
): Pull {
  const number = repository.pulls.length + 1;
  const pull: Pull = {
    number,
    html_url: `https://github.example.com/${repository.path}/pull/${number}`,
    state: 'open',
    merged_at: null,
    merge_commit_sha: newSha(),
    title: draft.title,
    body: draft.body,
    head: { ref: draft.head, repo: from === null ? null : { id: from } },
    base: { ref: draft.base, repo: { id: repository.id } },
    comments: [],
  };
  repository.pulls.push(pull);
  return pull;
}

/** A person merges it. @returns the merge commit */
export function mergePull(pull: Pull): string {
  pull.merge_commit_sha = newSha();
  Object.assign(pull, { state: 'closed', merged_at: new Date().toISOString() });
  return pull.merge_commit_sha;
}

/** @returns null where the question is of something else */
export function answerPulls(question: PullQuestion): Reply | null {
  const { repository, method, rest, query, grant, page } = question;
  if (!/^\/(?:pulls|issues)(?:\/|$)/.test(rest)) return null;
  if (grant.lacks?.includes('pulls')) return denied(grant, 'pulls');
  const number = Number(/^\/(?:pulls|issues)\/(\d+)/.exec(rest)?.[1] ?? 0);
  const pull = repository.pulls.find((each) => each.number === number);
  if (number > 0 && !pull) return notFound;
  if (method === 'GET' && pull) return { status: 200, body: pull };
  if (method === 'GET') {
    const state = query.get('state') ?? 'open';
    return page(repository.pulls.filter((each) => state === 'all' || each.state === state).toReversed());
  }
  const refused =
    denied(grant, 'pulls') ?? (repository.archived ? archivedReply : null) ?? lengths(question.body);
  if (refused) return refused;
  if (!pull) return openPull(question);
  if (rest.endsWith('/comments')) {
    pull.comments.push(question.body.body ?? '');
    return { status: 201, body: { id: 1 } };
  }
  Object.assign(pull, question.body);
  return { status: 200, body: pull };
}

function lengths({ title, body }: Record<string, string>): Reply | null {
  if (title !== undefined && [...title].length > 256)
    return invalid('PullRequest', 'title is too long (maximum is 256 characters)');
  return body !== undefined && [...body].length > 65_536
    ? invalid('PullRequest', 'body is too long (maximum is 65536 characters)')
    : null;
}

function openPull({
  repository,
  body: { head = '', base = '', title = '', body = '' },
}: PullQuestion): Reply {
  const tips = [head, base].map((branch) => repository.refs.get(`refs/heads/${branch}`)?.sha);
  if (title === '' || tips.includes(undefined)) return invalid('PullRequest', 'head or base is invalid');
  if (tips[0] === tips[1]) return invalid('PullRequest', `No commits between ${base} and ${head}`);
  const isSame = (each: Pull) =>
    each.state === 'open' &&
    each.head.ref === head &&
    each.base.ref === base &&
    each.head.repo?.id === repository.id;
  if (repository.pulls.some(isSame))
    return invalid(
      'PullRequest',
      `A pull request already exists for ${repository.path.split('/')[0]}:${head}.`,
    );
  return { status: 201, body: addPull(repository, { head, base, title, body }) };
}
