/** A project of the stand-in for GitLab: what it shows of its repository, and the jobs behind commit statuses. */
import { HookList } from './gitlab-hooks.ts';
import { MergeRequestList } from './gitlab-merge-requests.ts';
import { forbidden, type Grant, message, notFound, type Reply, refusalOf } from './gitlab-reply.ts';

const STATES = ['pending', 'running', 'success', 'failed', 'canceled', 'skipped'];
export interface Pointer {
  object: string;
  /** null: it leads to no commit. */
  commit: string | null;
}
export interface StatusJob {
  id: number;
  sha: string;
  ref: string;
  name: string;
  status: string;
  description: string | null;
  target_url: string | null;
  author: string;
}
export interface Project {
  id: number;
  path: string;
  archived: boolean;
  /** Its repository is switched off, or kept to members: the project is shown, and nothing below it. */
  hidden: boolean;
  refs: Map<string, Pointer>;
  commits: Map<string, { files: Map<string, Uint8Array>; date: string }>;
  /** Dates of annotated tags, by tag object. */
  tagged: Map<string, string>;
  jobs: StatusJob[];
  mergeRequests: MergeRequestList;
  /** Switched off, or on. */
  hasMergeRequests: boolean;
  hooks: HookList;
  /** Branches that nobody may push to. */
  readonly protected: Set<string>;
}
/** @param url its page */
export const newProject = (id: number, path: string, url: string): Project => ({
  id,
  path,
  archived: false,
  hidden: false,
  refs: new Map(),
  commits: new Map(),
  tagged: new Map(),
  jobs: [],
  mergeRequests: new MergeRequestList(id, url),
  hasMergeRequests: true,
  hooks: new HookList(),
  protected: new Set(),
});

/** @param rest below `repository` @param page cuts a list into pages */
export function readRepository(
  project: Project,
  rest: readonly string[],
  method: string,
  query: URLSearchParams,
  page: (all: readonly { name: string }[]) => Reply,
): Reply {
  const [what, name, more] = rest;
  const shown = what === 'tags' ? shownTag : shownBranch;
  if (what === 'tags' || what === 'branches') {
    // The two lists take different words for their order.
    const orders = what === 'tags' ? ['asc', 'desc'] : ['name_asc', 'updated_asc', 'updated_desc'];
    if (!orders.includes(query.get('sort') ?? orders[0] ?? ''))
      return message(400, 'sort does not have a valid value');
    const prefix = what === 'tags' ? 'refs/tags/' : 'refs/heads/';
    const refs = [...project.refs].filter(([ref]) => ref.startsWith(prefix)).toSorted(byName);
    const all = refs.map(([ref, pointer]) => shown(project, ref.slice(prefix.length), pointer));
    if (name === undefined) return page(all.filter(searched(query)));
    const body = all.find((each) => each.name === name);
    return body ? { status: 200, body } : notFound(what === 'tags' ? 'Tag' : 'Branch');
  }
  const sha = (what === 'files' ? query.get('ref') : name) ?? '';
  const commit = project.commits.get(sha);
  if (!commit) return notFound('Commit');
  if (what === 'commits' && more === 'statuses') return page(statusesOf(project, sha, query));
  if (what === 'commits') return { status: 200, body: { id: sha } };
  const file = commit.files.get(name ?? '');
  if (!file) return notFound('File');
  const type = name?.endsWith('.json') ? 'application/json' : 'text/plain';
  const about = { 'x-gitlab-size': String(file.length), 'content-type': type };
  return { status: 200, body: method === 'HEAD' ? '' : file, headers: about };
}

/** @param isLeased whether somebody else writes a status on the commit just now */
export function postStatus(
  project: Project,
  sha: string,
  grant: Grant,
  isLeased: boolean,
  sent: Record<string, unknown>,
): Reply {
  const refusal = refusalOf(grant, 'POST', 'Developer');
  if (refusal) return refusal;
  if (project.archived) return forbidden();
  if (isLeased) return message(409, '409 Another update to this commit status is in progress');
  if (!project.commits.has(sha)) return notFound('Commit');
  const { state, name = 'default', ref = branchOf(project, sha) } = sent;
  if (typeof state !== 'string' || !STATES.includes(state))
    return message(400, 'state does not have a valid value');
  if (typeof ref !== 'string') return notFound('References for commit');
  const fields = { description: sent['description'] ?? null, target_url: sent['target_url'] ?? null, ref };
  for (const [key, value] of Object.entries(fields))
    if (typeof value === 'string' && Array.from(value).length > 255)
      return message(400, { [key]: ['is too long (maximum is 255 characters)'] });
  const isOurs = (job: StatusJob) =>
    job.sha === sha && job.ref === ref && job.name === name && job.author === grant.user;
  const live = project.jobs.find((job) => isOurs(job) && ['pending', 'running'].includes(job.status));
  const event = { pending: 'enqueue', running: 'run' }[state];
  if (live && event && !(live.status === 'pending' && state === 'running'))
    return message(
      400,
      `Cannot transition status via :${event} from :${live.status} (Reason(s): Status cannot transition via "${event}")`,
    );
  const job = live ?? { id: project.jobs.length + 1, sha, name: String(name), author: grant.user };
  Object.assign(job, fields, { status: state });
  if (!live) project.jobs.push(job as StatusJob);
  return { status: 201, body: job };
}

const byName = ([a]: [string, unknown], [b]: [string, unknown]) => (a < b ? -1 : 1);

/** As GitLab searches: ^ and $ hold the ends, and letters count the same in either case. */
const searched = (query: URLSearchParams) => {
  const search = (query.get('search') ?? '').replace(/[.*+?()[\]{}|\\]/g, '\\$&');
  return ({ name }: { name: string }) => new RegExp(search, 'i').test(name);
};

export function shownProject({ id, path, archived, refs, hidden, hasMergeRequests }: Project): object {
  const isEmpty = ![...refs.keys()].some((ref) => ref.startsWith('refs/heads/'));
  return {
    id,
    path_with_namespace: path,
    archived,
    merge_requests_enabled: hasMergeRequests,
    merge_requests_access_level: hasMergeRequests ? 'enabled' : 'disabled',
    ...(!hidden && { empty_repo: isEmpty, default_branch: isEmpty ? null : 'main' }),
  };
}

const shownCommit = ({ commits }: Project, sha: string | null) =>
  sha === null ? null : { id: sha, committed_date: commits.get(sha)?.date };

const shownBranch = (project: Project, name: string, { commit }: Pointer) => ({
  name,
  can_push: !project.protected.has(name),
  commit: shownCommit(project, commit),
});

const shownTag = (project: Project, name: string, { object, commit }: Pointer) => ({
  name,
  target: object,
  commit: shownCommit(project, commit),
  created_at: project.tagged.get(object) ?? null,
});

const branchOf = ({ refs }: Project, sha: string) =>
  [...refs]
    .find(([ref, { commit }]) => ref.startsWith('refs/heads/') && commit === sha)?.[0]
    .slice('refs/heads/'.length);

/** The latest of each ref and name, unless all are wanted; the oldest first, as GitLab sorts by default. */
function statusesOf({ jobs }: Project, sha: string, query: URLSearchParams): StatusJob[] {
  const matching = jobs.filter((job) => job.sha === sha && (query.get('name') ?? job.name) === job.name);
  if (query.get('all') === 'true') return matching;
  return matching.filter(
    ({ id, ref, name }) =>
      !matching.some((other) => other.id > id && other.ref === ref && other.name === name),
  );
}
