/**
 * A GitLab as far as modelhook asks one, over HTTP, with its state in memory: jobs behind commit statuses, moved projects,
 * pages by token and by number, permissions, archived projects.
 */
import { createHash, randomUUID } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

interface Pointer {
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
interface Project {
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
}
export interface Grant {
  user: string;
  scope: 'read_api' | 'api';
  role: 'Reporter' | 'Developer';
}
export interface Asked {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
  status: number;
}
interface Reply {
  status: number;
  /** Bytes and text are sent as they are. */
  body?: unknown;
  headers?: Record<string, string>;
}
/** One answer instead of the right one; null: the right one after all */
export type Fault = (method: string, path: string) => Reply | null;

const STATES = ['pending', 'running', 'success', 'failed', 'canceled', 'skipped'];
const newSha = () => createHash('sha1').update(randomUUID()).digest('hex');
const message = (status: number, text: unknown): Reply => ({ status, body: { message: text } });
const notFound = (what: string) => message(404, `404 ${what} Not Found`);

export class GitLabServer {
  readonly tokens = new Map<string, Grant>();
  readonly asked: Asked[] = [];
  /** Asked before anything else is. */
  fault: Fault | null = null;
  /** The most entries on a page, whatever is asked for. */
  pageSize = 100;
  /** Older versions have pages by number only. */
  keyset = true;
  /** What GitLab takes for its own address, in links of pages; null: the one it has. */
  externalUrl: string | null = null;
  /** Commits on which somebody else writes a status just now. */
  readonly leased = new Set<string>();
  url = '';
  readonly #projects = new Map<number, Project>();
  /** By path, old ones too. */
  readonly #paths = new Map<string, number>();
  #jobs = 0;
  readonly #server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { method = '', url = '', headers } = request;
      const body = Buffer.concat(chunks).toString();
      const reply = this.fault?.(method, url) ?? this.#answer(method, url, headers, body);
      this.asked.push({ method, path: url, headers, body, status: reply.status });
      send(response, method, reply);
    });
  });

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    this.url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    return this;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  // What people do on it.

  create(path: string): number {
    const id = 4000 + this.#projects.size;
    const maps = { refs: new Map(), commits: new Map(), tagged: new Map() };
    this.#projects.set(id, { id, path, archived: false, hidden: false, jobs: [], ...maps });
    this.#paths.set(path, id);
    return id;
  }

  rename(path: string, to: string): void {
    const project = this.of(path);
    project.path = to;
    this.#paths.set(to, project.id);
  }

  of(path: string): Project {
    const project = this.#projects.get(this.#paths.get(path) ?? 0);
    if (!project) throw new Error(`no project ${path}`);
    return project;
  }

  commit(path: string, branch: string, files: Readonly<Record<string, string | Uint8Array>>): string {
    const { refs, commits } = this.of(path);
    const parent = refs.get(`refs/heads/${branch}`)?.commit ?? '';
    const all = new Map(commits.get(parent)?.files);
    for (const [name, content] of Object.entries(files)) all.set(name, Buffer.from(content));
    const sha = newSha();
    commits.set(sha, { files: all, date: '2026-03-01T10:00:00.000+02:00' });
    refs.set(`refs/heads/${branch}`, { object: sha, commit: sha });
    return sha;
  }

  point(path: string, ref: string, sha: string): void {
    const { refs, commits } = this.of(path);
    refs.set(ref, { object: sha, commit: commits.has(sha) ? sha : null });
  }

  annotate(path: string, ref: string, sha: string): string {
    const object = newSha();
    this.of(path).refs.set(ref, { object, commit: sha });
    this.of(path).tagged.set(object, '2026-04-01T10:00:00.000Z');
    return object;
  }

  // The API.

  #answer(method: string, url: string, headers: IncomingHttpHeaders, body: string): Reply {
    const { pathname, searchParams: query } = new URL(url, this.url);
    const [root, version, projects, id, ...rest] = pathname.slice(1).split('/').map(decodeURIComponent);
    if (root !== 'api' || version !== 'v4' || projects !== 'projects' || !id)
      return message(404, '404 Not Found');
    const token = headers['private-token'];
    const grant = this.tokens.get(String(token));
    if (token !== undefined && !grant) return message(401, '401 Unauthorized');
    const project = this.#projects.get(/^\d+$/.test(id) ? Number(id) : (this.#paths.get(id) ?? 0));
    if (!project || !grant) return notFound('Project');
    if (id !== project.path && id !== String(project.id)) {
      if (method !== 'GET') return message(405, 'Non GET methods are not allowed for moved projects');
      const tail = url.slice(url.indexOf(encodeURIComponent(id)) + encodeURIComponent(id).length);
      const location = `${this.url}/api/v4/projects/${project.id}${tail}`;
      return { status: 301, body: 'This resource has been moved', headers: { location } };
    }
    if (method === 'POST' && rest[0] === 'statuses')
      return this.#post(project, rest[1] ?? '', grant, JSON.parse(body));
    if (method !== 'GET' && method !== 'HEAD') return message(405, '405 Method Not Allowed');
    if (rest.length === 0) return { status: 200, body: shownProject(project) };
    if (project.hidden) return message(404, '404 Not Found');
    return this.#read(project, rest.slice(1), query, pathname, method);
  }

  #read(project: Project, rest: string[], query: URLSearchParams, pathname: string, method: string): Reply {
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
      if (name === undefined) return this.#page(all.filter(searched(query)), query, pathname);
      const body = all.find((each) => each.name === name);
      return body ? { status: 200, body } : notFound(what === 'tags' ? 'Tag' : 'Branch');
    }
    const sha = (what === 'files' ? query.get('ref') : name) ?? '';
    const commit = project.commits.get(sha);
    if (!commit) return notFound('Commit');
    if (what === 'commits' && more === 'statuses')
      return this.#page(statusesOf(project, sha, query), query, pathname);
    if (what === 'commits') return { status: 200, body: { id: sha } };
    const file = commit.files.get(name ?? '');
    if (!file) return notFound('File');
    const type = name?.endsWith('.json') ? 'application/json' : 'text/plain';
    const about = { 'x-gitlab-size': String(file.length), 'content-type': type };
    return { status: 200, body: method === 'HEAD' ? '' : file, headers: about };
  }

  #page(all: readonly { name: string }[], query: URLSearchParams, pathname: string): Reply {
    const size = Math.min(Number(query.get('per_page') ?? 20), this.pageSize);
    const byToken = this.keyset && query.get('pagination') === 'keyset';
    const page = Number(query.get('page') ?? 1);
    const from = byToken
      ? all.findIndex(({ name }) => name > (query.get('page_token') ?? ''))
      : (page - 1) * size;
    const body = from < 0 ? [] : all.slice(from, from + size);
    if (from < 0 || from + size >= all.length) return { status: 200, body };
    const next = new URLSearchParams(query);
    if (byToken) next.set('page_token', body.at(-1)?.name ?? '');
    else next.set('page', String(page + 1));
    const address = `${this.externalUrl ?? this.url}${pathname}`;
    const link = `<${address}?${next}>; rel="next", <${address}?page=1>; rel="first"`;
    return { status: 200, body, headers: { link } };
  }

  #post(project: Project, sha: string, grant: Grant, sent: Record<string, unknown>): Reply {
    if (grant.scope !== 'api')
      return {
        status: 403,
        body: {
          error: 'insufficient_scope',
          error_description: 'The request requires higher privileges than provided by the access token.',
          scope: 'api',
        },
      };
    if (grant.role !== 'Developer' || project.archived) return message(403, '403 Forbidden');
    if (this.leased.has(sha)) return message(409, '409 Another update to this commit status is in progress');
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
    this.#jobs += live ? 0 : 1;
    const job = live ?? { id: this.#jobs, sha, name: String(name), author: grant.user };
    Object.assign(job, fields, { status: state });
    if (!live) project.jobs.push(job as StatusJob);
    return { status: 201, body: job };
  }
}

const byName = ([a]: [string, unknown], [b]: [string, unknown]) => (a < b ? -1 : 1);

/** As GitLab searches: ^ and $ hold the ends, and letters count the same in either case. */
const searched = (query: URLSearchParams) => {
  const search = (query.get('search') ?? '').replace(/[.*+?()[\]{}|\\]/g, '\\$&');
  return ({ name }: { name: string }) => new RegExp(search, 'i').test(name);
};

const shownProject = ({ id, path, archived, refs }: Project) => ({
  id,
  path_with_namespace: path,
  archived,
  empty_repo: ![...refs.keys()].some((ref) => ref.startsWith('refs/heads/')),
});

const shownCommit = ({ commits }: Project, sha: string | null) =>
  sha === null ? null : { id: sha, committed_date: commits.get(sha)?.date };

const shownBranch = (project: Project, name: string, { commit }: Pointer) => ({
  name,
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

function send(response: ServerResponse, method: string, { status, body = '', headers = {} }: Reply): void {
  const isRaw = typeof body === 'string' || body instanceof Uint8Array;
  response.writeHead(status, { ...(!isRaw && { 'content-type': 'application/json' }), ...headers });
  response.end(method === 'HEAD' ? undefined : isRaw ? body : JSON.stringify(body));
}
