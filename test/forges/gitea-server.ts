/** A stand-in for Gitea's API on loopback, with its state in memory. It does what was measured of Gitea 1.26. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json as readJson } from 'node:stream/consumers';
import { type HookForm, HookList } from './gitea-hooks.ts';
import type { PullRequestForm } from './gitea-pull-requests.ts';
import { ACCOUNTS, type Account, idOf, NOT_FOUND, Refusal, requireScope } from './gitea-refusal.ts';
import {
  branchesOf,
  GiteaRepository,
  type Listing,
  paged,
  readRepository,
  type Status,
  tagsOf,
} from './gitea-repository.ts';

export { TOKENS } from './gitea-refusal.ts';
export { GiteaRepository };

/** An answer that is not the API's own. */
export interface Fault {
  status: number;
  headers?: Record<string, string>;
  body?: string;
}

export interface Asked {
  method: string;
  path: string;
  authorization: string | undefined;
}

/** A request that was let in. */
interface Request {
  method: string;
  below: string;
  query: URLSearchParams;
  body: unknown;
  account: Account;
}

const ROLES = ['none', 'read', 'write', 'admin'];

export class GiteaServer {
  readonly asked: Asked[] = [];
  /** Called before each answer: what changes while others ask. */
  onAsked: ((asked: Asked) => void) | null = null;
  /** Answered instead, while it is set. */
  fault: Fault | null = null;
  /** Answered instead to writes. */
  writeFault: Fault | null = null;
  version = '1.26.0';
  /** Their webhooks, by name. */
  readonly organisations = new Map<string, HookList>();
  readonly #repositories: GiteaRepository[] = [];
  readonly #redirects = new Map<string, GiteaRepository>();
  readonly #server: Server;
  #ids = 0;

  constructor() {
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch((error: unknown) => response.destroy(error as Error));
    });
  }

  static async start(): Promise<GiteaServer> {
    const gitea = new GiteaServer();
    await once(gitea.#server.listen(0, '127.0.0.1'), 'listening');
    return gitea;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  create(path: string): GiteaRepository {
    this.#ids += 1;
    const repository = new GiteaRepository(this.#ids, path);
    this.#repositories.push(repository);
    return repository;
  }

  createOrganisation(name: string): HookList {
    const hooks = new HookList();
    this.organisations.set(name, hooks);
    return hooks;
  }

  rename(repository: GiteaRepository, path: string): void {
    this.#redirects.set(repository.path, repository);
    repository.path = path;
  }

  async end(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = 'GET', url = '/' } = request;
    const isWrite = method !== 'GET';
    const body = isWrite && request.headers['content-type'] ? await readJson(request) : null;
    const asked = { method, path: url, authorization: request.headers.authorization };
    this.asked.push(asked);
    this.onAsked?.(asked);
    const fault = this.fault ?? (isWrite ? this.writeFault : null);
    if (fault) {
      response.writeHead(fault.status, fault.headers).end(fault.body ?? '');
      return;
    }
    const json = (status: number, value: unknown, headers: Record<string, string> = {}) =>
      response
        .writeHead(status, { 'content-type': 'application/json;charset=utf-8', ...headers })
        .end(value === null ? '' : JSON.stringify(value));
    try {
      const moved = this.#moved(url);
      const account = this.#authorize(asked.authorization);
      if (moved !== null) {
        response.writeHead(301, { location: moved }).end('<a href="…">Moved Permanently</a>.');
        return;
      }
      const answer = this.#route(method, url, body, account);
      if (isListing(answer)) json(200, answer.items, { 'x-total-count': `${answer.total}` });
      else if (answer === null) json(204, null);
      else json(isWrite ? 201 : 200, answer);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      json(error.status, { message: error.message, url: `${this.url}/api/swagger` });
    }
  }

  /** Of an old path, for any method. */
  #moved(url: string): string | null {
    const [, path = ''] = /^\/api\/v1\/repos\/([^/]+\/[^/?]+)/.exec(url) ?? [];
    const repository = this.#redirects.get(path);
    if (!repository || this.#repositories.some((each) => each.path === path)) return null;
    return url.replace(path, repository.path);
  }

  #authorize(authorization: string | undefined): Account | null {
    if (authorization === undefined) return null;
    const account = ACCOUNTS[authorization.replace(/^token /, '')];
    if (account) return account;
    throw new Refusal(401, 'invalid username, password or token');
  }

  #route(method: string, url: string, body: unknown, account: Account | null): unknown {
    const { pathname, searchParams: query } = new URL(url, this.url);
    const path = pathname.replace('/api/v1/', '');
    if (path === 'version') return { version: this.version };
    // A private repository is not there for those who may not read it.
    if (account === null) throw NOT_FOUND;
    if (path === 'user') {
      requireScope(account, 'user', method);
      return { id: idOf(account.login), login: account.login };
    }
    const [kind = '', first = '', second = '', ...rest] = path.split('/');
    if (kind === 'orgs')
      return this.#organisation(first, [second, ...rest].join('/'), method, query, body, account);
    const below = rest.join('/');
    requireScope(account, below.startsWith('issues/') ? 'issue' : 'repository', method);
    const name = `${decodeURIComponent(first)}/${decodeURIComponent(second)}`.toLowerCase();
    const repository = this.#repositories.find((each) => each.path.toLowerCase() === name);
    if (!repository || account.role === 'none') throw NOT_FOUND;
    return this.#repository(repository, { method, below, query, body, account });
  }

  #organisation(
    name: string,
    below: string,
    method: string,
    query: URLSearchParams,
    body: unknown,
    account: Account,
  ): unknown {
    requireScope(account, 'organization', method);
    const found = [...this.organisations].find(([each]) => each.toLowerCase() === name.toLowerCase());
    if (!found) throw new Refusal(404, 'GetOrgByName');
    if (below === '') return { name: found[0], username: found[0] };
    if (account.role !== 'admin') throw new Refusal(403, 'Must be an organization owner');
    return hooks(found[1], method, below, query, body);
  }

  #repository(repository: GiteaRepository, { method, below, query, body, account }: Request): unknown {
    const { id, path, archived, refs, hasPullRequests, pageSizes } = repository;
    const may = (role: string) => ROLES.indexOf(account.role) >= ROLES.indexOf(role);
    const [kind = '', number = '', ...rest] = below.split('/');
    switch (kind) {
      case '':
        return {
          id,
          full_name: path,
          archived,
          empty: refs.size === 0,
          has_pull_requests: hasPullRequests,
          permissions: { admin: may('admin'), push: may('write'), pull: true },
          html_url: `http://gitea.example.com/${path}`,
        };
      case 'branches':
        return branchesOf(repository, query);
      case 'tags':
        return tagsOf(repository, query);
      case 'hooks':
        if (!may('admin'))
          throw new Refusal(
            403,
            'user should be an owner or a collaborator with admin write of a repository',
          );
        return hooks(repository.hooks, method, below, query, body, pageSizes.lists);
      case 'pulls':
        if (!hasPullRequests) throw NOT_FOUND;
        return pulls(repository, method, Number(number), query, body, account, may('write'));
      case 'issues':
        if (!hasPullRequests || (number !== 'comments' && rest[0] !== 'comments')) throw NOT_FOUND;
        return comments(repository, method, below, body as { body?: string }, account, may('write'));
      default:
        if (method === 'GET') return readRepository(repository, below, query, this.url);
        if (!may('write')) throw new Refusal(403, 'user should have a permission to write to a repo');
        return this.#writeStatus(repository, below, body as Partial<Status & { state: string }>, account);
    }
  }

  #writeStatus(
    { objects, statuses, refs, defaultBranch }: GiteaRepository,
    below: string,
    body: Partial<Status & { state: string }>,
    { isAdministrator }: Account,
  ): Status {
    const said = (message: string) => (isAdministrator ? message : '');
    const sha = objects.peel(below.replace('statuses/', ''));
    if (sha === undefined) throw new Refusal(500, said('object does not exist'));
    this.#ids += 1;
    const status = {
      id: this.#ids,
      context: (body.context ?? '').trim(),
      status: body.state ?? '',
      description: (body.description ?? '').trim(),
      target_url: (body.target_url ?? '').trim(),
    };
    statuses.set(sha, [...(statuses.get(sha) ?? []), status]);
    // It is stored by now.
    if (!refs.has(`refs/heads/${defaultBranch}`)) throw new Refusal(500, said('object does not exist'));
    return status;
  }
}

const isListing = (answer: unknown): answer is Listing =>
  typeof answer === 'object' && answer !== null && 'items' in answer && 'total' in answer;

function hooks(
  list: HookList,
  method: string,
  below: string,
  query: URLSearchParams,
  body: unknown,
  pageSize = 2,
): unknown {
  const id = Number(below.split('/')[1]);
  if (method === 'GET') return paged(list.list(), query, pageSize);
  if (method === 'POST') return list.add(body as HookForm);
  return method === 'PATCH' ? list.edit(id, body as HookForm) : list.remove(id);
}

/** @param below such as `issues/7/comments` or `issues/comments/99` */
function comments(
  { pullRequests }: GiteaRepository,
  method: string,
  below: string,
  form: { body?: string },
  { login }: Account,
  mayWrite: boolean,
): unknown {
  const one = /^issues\/comments\/(\d+)$/.exec(below)?.[1];
  const number = Number(/^issues\/(\d+)/.exec(below)?.[1] ?? 0);
  if (one !== undefined)
    return method === 'GET'
      ? pullRequests.getComment(Number(one))
      : pullRequests.editComment(Number(one), form.body, login, mayWrite);
  if (method === 'POST') return pullRequests.comment(number, form.body, login);
  const all = pullRequests.listComments(number);
  return { items: all, total: all.length };
}

function pulls(
  { pullRequests, pageSizes }: GiteaRepository,
  method: string,
  number: number,
  query: URLSearchParams,
  body: unknown,
  { login }: Account,
  mayWrite: boolean,
): unknown {
  if (method === 'POST') return pullRequests.open(body as PullRequestForm, login);
  if (method === 'PATCH') return pullRequests.edit(number, body as PullRequestForm, login, mayWrite);
  if (number > 0) return pullRequests.get(number);
  return paged(pullRequests.list(query.get('state')), query, pageSizes.lists);
}
