/** Pull requests of the GitHub stand-in: duplicates, forks, lengths, trial merges, permissions. */
import { createHash, randomUUID } from 'node:crypto';
import {
  ADA,
  archivedReply,
  BOT,
  type Comment,
  denied,
  type Grant,
  invalid,
  notFound,
  type Page,
  type Pull,
  type Reply,
  type Repository,
  type User,
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

/** The newest commit of its branch; a fork's is there as well, under refs/pull. */
function headOf(repository: Repository, branch: string, isFork: boolean): string {
  const own = isFork ? undefined : repository.refs.get(`refs/heads/${branch}`)?.sha;
  if (own !== undefined) return own;
  const sha = newSha();
  repository.commits.set(sha, { tree: new Map(), date: new Date().toISOString() });
  return sha;
}

/** Somebody replaces the commit at its head. */
export function pushPull(repository: Repository, pull: Pull): string {
  const isFork = pull.head.repo?.id !== repository.id;
  if (!isFork) repository.refs.delete(`refs/heads/${pull.head.ref}`);
  const sha = headOf(repository, pull.head.ref, isFork);
  if (!isFork) repository.refs.set(`refs/heads/${pull.head.ref}`, { type: 'commit', sha });
  pull.head.sha = sha;
  return sha;
}

/** Somebody comments on one. */
export function addComment(pull: Pull, body: string, user: User | null): Comment {
  const comment = { id: pull.number * 10_000 + (pull.comments.at(-1)?.id ?? 0) + 1, body, user };
  pull.comments.push(comment);
  return comment;
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
    draft: draft.title.startsWith('Draft:'),
    head: {
      ref: draft.head,
      sha: headOf(repository, draft.head, from !== repository.id),
      repo: from === null ? null : { id: from },
    },
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
  const comment = /^\/issues\/comments\/(\d+)$/.exec(rest)?.[1];
  if (comment !== undefined) return answerComment(question, Number(comment));
  const number = Number(/^\/(?:pulls|issues)\/(\d+)/.exec(rest)?.[1] ?? 0);
  const pull = repository.pulls.find((each) => each.number === number);
  if (number > 0 && !pull) return notFound;
  if (method === 'GET' && pull && rest.endsWith('/comments')) return page(pull.comments);
  if (method === 'GET' && pull) return { status: 200, body: shown(pull) };
  if (method === 'GET') {
    const state = query.get('state') ?? 'open';
    const base = query.get('base');
    return page(
      repository.pulls
        .filter((each) => state === 'all' || each.state === state)
        .filter((each) => base === null || each.base.ref === base)
        .toReversed()
        .map(shown),
    );
  }
  const refused =
    denied(grant, 'pulls') ?? (repository.archived ? archivedReply : null) ?? lengths(question.body);
  if (refused) return refused;
  if (!pull) return openPull(question);
  if (rest.endsWith('/comments')) {
    return { status: 201, body: addComment(pull, question.body.body ?? '', userOf(grant)) };
  }
  Object.assign(pull, question.body);
  return { status: 200, body: shown(pull) };
}

const shown = ({ comments: _, ...pull }: Pull): object => pull;
const userOf = ({ installation }: Grant): User => (installation === undefined ? ADA : BOT);

function answerComment({ repository, method, grant, body }: PullQuestion, id: number): Reply {
  const comment = repository.pulls.flatMap(({ comments }) => comments).find((each) => each.id === id);
  if (!comment) return notFound;
  if (method === 'GET') return { status: 200, body: comment };
  const refused = denied(grant, 'pulls') ?? (repository.archived ? archivedReply : null) ?? lengths(body);
  if (refused) return refused;
  // Who may write may edit anybody's.
  comment.body = body['body'] ?? '';
  return { status: 200, body: comment };
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
  return { status: 201, body: shown(addPull(repository, { head, base, title, body })) };
}
