/**
 * A GitLab as far as modelhook asks one, over HTTP, with its state in memory: jobs behind commit statuses, moved projects,
 * pages by token and by number, permissions, archived projects, merge requests, webhooks.
 */
import { createHash, randomUUID } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { HookList } from './gitlab-hooks.ts';
import { newProject, type Project, postStatus, readRepository, shownProject } from './gitlab-project.ts';
import {
  forbidden,
  type Grant,
  insufficientScope,
  LEVELS,
  message,
  notFound,
  type Reply,
  refusalOf,
} from './gitlab-reply.ts';

/** A request, taken apart. */
interface Question {
  method: string;
  url: string;
  pathname: string;
  query: URLSearchParams;
  grant: Grant;
  sent: Record<string, unknown>;
}

interface Group {
  id: number;
  /** null: this GitLab is not Premium. */
  hooks: HookList | null;
}
export interface Asked {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
  status: number;
}
/** One answer instead of the right one; null: the right one after all */
export type Fault = (method: string, path: string) => Reply | null;

const newSha = () => createHash('sha1').update(randomUUID()).digest('hex');

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
  /** null: it is not told. */
  version: string | null = '17.11.1';
  /** Whether it tells the scopes of a token. */
  tellsTokens = true;
  readonly groups = new Map<string, Group>();
  readonly systemHooks = new HookList();
  url = '';
  readonly #projects = new Map<number, Project>();
  /** By path, old ones too. */
  readonly #paths = new Map<string, number>();
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
    this.#projects.set(id, newProject(id, path, `${this.url}/${path}`));
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

  #answer(method: string, url: string, headers: IncomingHttpHeaders, text: string): Reply {
    const { pathname, searchParams: query } = new URL(url, this.url);
    const [root, version, what = '', ...rest] = pathname.slice(1).split('/').map(decodeURIComponent);
    if (root !== 'api' || version !== 'v4') return message(404, '404 Not Found');
    const token = headers['private-token'];
    const grant = this.tokens.get(String(token));
    if (token !== undefined && !grant) return message(401, '401 Unauthorized');
    if (!grant) return what === 'projects' ? notFound('Project') : message(401, '401 Unauthorized');
    if (grant.scope === 'read_repository') return insufficientScope();
    const question = { method, url, pathname, query, grant, sent: text === '' ? {} : JSON.parse(text) };
    switch (what) {
      case 'projects':
        return this.#project(question, rest);
      case 'groups':
        return this.#group(question, rest);
      case 'hooks':
        return grant.isAdmin ? this.#hooks(question, this.systemHooks, rest) : forbidden();
      default:
        return this.#about(grant, [what, ...rest].join('/'));
    }
  }

  /** The number of a user who has a token. */
  idOf(user: string): number {
    return [...this.tokens.values()].findIndex((each) => each.user === user) + 1;
  }

  #about({ user, isBot = false, isAdmin, scope, expiresAt }: Grant, what: string): Reply {
    const id = this.idOf(user);
    const shown = { id, username: user, bot: isBot, ...(isAdmin && { is_admin: true }) };
    if (what === 'user') return { status: 200, body: shown };
    if (what === 'personal_access_tokens/self' && this.tellsTokens)
      return {
        status: 200,
        body: { scopes: [scope], active: true, user_id: id, expires_at: expiresAt ?? null },
      };
    if (what !== 'version') return message(404, '404 Not Found');
    return this.version === null ? forbidden() : { status: 200, body: { version: this.version } };
  }

  #group(question: Question, [name, what, ...rest]: string[]): Reply {
    const [path, group] = [...this.groups].find(([key, { id }]) => key === name || String(id) === name) ?? [];
    if (!group) return notFound('Group');
    if (what === undefined) return { status: 200, body: { id: group.id, full_path: path } };
    if (what !== 'hooks' || !group.hooks) return message(404, '404 Not Found');
    return refusalOf(question.grant, question.method, 'Owner') ?? this.#hooks(question, group.hooks, rest);
  }

  #hooks(question: Question, hooks: HookList, rest: string[]): Reply {
    const { method, sent } = question;
    if (method === 'GET' && rest.length === 0) return this.#page(hooks.shown(), question);
    return hooks.answer(method, rest, sent);
  }

  #project(question: Question, [id = '', ...rest]: string[]): Reply {
    const { method, url, grant, sent, query } = question;
    const project = this.#projects.get(/^\d+$/.test(id) ? Number(id) : (this.#paths.get(id) ?? 0));
    if (!project) return notFound('Project');
    if (id !== project.path && id !== String(project.id)) {
      if (method !== 'GET') return message(405, 'Non GET methods are not allowed for moved projects');
      const tail = url.slice(url.indexOf(encodeURIComponent(id)) + encodeURIComponent(id).length);
      const location = `${this.url}/api/v4/projects/${project.id}${tail}`;
      return { status: 301, body: 'This resource has been moved', headers: { location } };
    }
    const [what, ...more] = rest;
    if (method === 'POST' && what === 'statuses')
      return postStatus(project, more[0] ?? '', grant, this.leased.has(more[0] ?? ''), sent);
    if (what === 'merge_requests') return this.#mergeRequests(question, project, more);
    if (what === 'hooks')
      return refusalOf(grant, method, 'Maintainer') ?? this.#hooks(question, project.hooks, more);
    if (method !== 'GET' && method !== 'HEAD') return message(405, '405 Method Not Allowed');
    if (what === undefined) return { status: 200, body: shownProject(project) };
    if (what === 'members')
      return grant.role === null
        ? notFound('Member')
        : { status: 200, body: { access_level: LEVELS[grant.role] } };
    if (project.hidden) return message(404, '404 Not Found');
    return readRepository(project, more, method, query, (all) => this.#page(all, question));
  }

  #mergeRequests(question: Question, project: Project, rest: string[]): Reply {
    const { method, grant, query, sent } = question;
    const refusal = refusalOf(grant, method, method === 'GET' ? 'Reporter' : 'Developer');
    if (refusal) return refusal;
    if (!project.hasMergeRequests || (project.archived && method !== 'GET')) return forbidden();
    const isListOfNotes = method === 'GET' && rest.length === 2 && rest[1] === 'notes';
    if ((method !== 'GET' || rest.length > 0) && !isListOfNotes)
      return project.mergeRequests.answer(method, rest, sent, this.idOf(grant.user));
    const { mergeRequests } = project;
    const all: object[] = isListOfNotes
      ? (mergeRequests.notes.get(Number(rest[0])) ?? [])
      : mergeRequests.all
          .filter(({ state }) => state === (query.get('state') ?? state))
          .filter(({ target_branch }) => target_branch === (query.get('target_branch') ?? target_branch));
    if (isListOfNotes && !mergeRequests.all.some(({ iid }) => String(iid) === rest[0]))
      return notFound('Merge Request');
    return this.#page(query.get('sort') === 'asc' ? all : all.toReversed(), question);
  }

  #page(all: readonly object[], { query, pathname }: Question): Reply {
    const size = Math.min(Number(query.get('per_page') ?? 20), this.pageSize);
    const byToken = this.keyset && query.get('pagination') === 'keyset';
    const page = Number(query.get('page') ?? 1);
    const from = byToken
      ? all.findIndex((each) => nameOf(each) > (query.get('page_token') ?? ''))
      : (page - 1) * size;
    const body = from < 0 ? [] : all.slice(from, from + size);
    if (from < 0 || from + size >= all.length) return { status: 200, body };
    const next = new URLSearchParams(query);
    if (byToken) next.set('page_token', nameOf(body.at(-1) ?? {}));
    else next.set('page', String(page + 1));
    const address = `${this.externalUrl ?? this.url}${pathname}`;
    const link = `<${address}?${next}>; rel="next", <${address}?page=1>; rel="first"`;
    return { status: 200, body, headers: { link } };
  }
}

const nameOf = (item: object): string => ('name' in item ? String(item.name) : '');

function send(response: ServerResponse, method: string, { status, body = '', headers = {} }: Reply): void {
  const isRaw = typeof body === 'string' || body instanceof Uint8Array;
  response.writeHead(status, { ...(!isRaw && { 'content-type': 'application/json' }), ...headers });
  response.end(method === 'HEAD' ? undefined : isRaw ? body : JSON.stringify(body));
}
