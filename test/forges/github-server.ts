/**
 * A GitHub Enterprise Server as far as modelhook asks one, over HTTP, with its state in memory: permissions, redirects
 * of renamed repositories, pages, ETags, limits of sizes and lengths, GraphQL, Apps.
 */
import { createHash, randomUUID } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type App, answerApp } from './github-app.ts';
import { contentsOf } from './github-contents.ts';
import { answerHooks } from './github-hooks.ts';
import { answerPulls } from './github-pulls.ts';
import {
  ADA,
  archivedReply,
  denied,
  type Entry,
  type Grant,
  type Hook,
  notFound,
  type Pointer,
  type Reply,
  type Repository,
  refusal,
} from './github-reply.ts';

export interface Asked {
  method: string;
  /** Below the server, with its query. */
  path: string;
  headers: IncomingHttpHeaders;
  status: number;
}
/** One answer instead of the right one; null: the right one after all */
export type Fault = (method: string, path: string) => Reply | null;

const STATES = ['pending', 'success', 'failure', 'error'];
const newSha = () => createHash('sha1').update(randomUUID()).digest('hex');
export class GitHubServer {
  readonly tokens = new Map<string, Grant>();
  readonly asked: Asked[] = [];
  /** Asked before anything else is. */
  fault: Fault | null = null;
  /** The most entries on a page, whatever is asked for. */
  pageSize = 100;
  /** The origin in links to next pages; null: its own */
  linksAt: string | null = null;
  app: App | null = null;
  /** By name. */
  readonly organizations = new Map<string, { hooks: Hook[] }>();
  url = '';
  #nextId = 700_000;
  readonly #repositories = new Map<number, Repository>();
  /** By lower-case name, old names too. */
  readonly #names = new Map<string, number>();
  readonly #server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { method = '', url = '', headers } = request;
      const body = Buffer.concat(chunks).toString();
      const reply = this.fault?.(method, url) ?? this.#answer(method, url, headers, body);
      this.asked.push({
        method,
        path: url,
        headers,
        status: send(response, reply, headers['if-none-match']),
      });
    });
  });

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    this.url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    return this;
  }

  stop(): Promise<void> {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  get apiUrl(): string {
    return `${this.url}/api/v3`;
  }

  // What people do on the forge.

  create(path: string): Repository {
    const repository: Repository = {
      id: this.#nextId++,
      path,
      archived: false,
      private: true,
      refs: new Map(),
      commits: new Map(),
      tags: new Map(),
      statuses: [],
      pulls: [],
      hooks: [],
    };
    this.#repositories.set(repository.id, repository);
    this.#names.set(path.toLowerCase(), repository.id);
    return repository;
  }

  /** An App stays installed on it. */
  rename(repository: Repository, path: string): void {
    const installation = this.app?.installed.get(repository.path.toLowerCase());
    if (installation !== undefined) this.app?.installed.set(path.toLowerCase(), installation);
    this.app?.installed.delete(repository.path.toLowerCase());
    repository.path = path;
    this.#names.set(path.toLowerCase(), repository.id);
  }

  delete(repository: Repository): void {
    this.#repositories.delete(repository.id);
  }

  commit(repository: Repository, branch: string, files: Readonly<Record<string, string | Entry>>): string {
    const ref = `refs/heads/${branch}`;
    const tree = new Map(repository.commits.get(repository.refs.get(ref)?.sha ?? '')?.tree);
    for (const [path, content] of Object.entries(files))
      tree.set(path, typeof content === 'string' ? Buffer.from(content) : content);
    const sha = newSha();
    repository.commits.set(sha, { tree, date: new Date().toISOString() });
    repository.refs.set(ref, { type: 'commit', sha });
    return sha;
  }

  /** Makes a tag object. @returns its name */
  annotate(repository: Repository, ref: string, object: Pointer): string {
    const sha = newSha();
    repository.tags.set(sha, { object, date: new Date().toISOString() });
    repository.refs.set(ref, { type: 'tag', sha });
    return sha;
  }

  // What modelhook sees of it.

  #answer(method: string, url: string, headers: IncomingHttpHeaders, text: string): Reply {
    const { pathname, searchParams } = new URL(url, this.url);
    const token = headers.authorization?.replace(/^(?:token|bearer) /i, '');
    if (pathname === '/api/graphql') return this.#graphql(token, text);
    const path = pathname.replace(/^\/api\/v3/, '');
    if (path === '/meta') return { status: 200, body: { installed_version: '3.14.0' } };
    const named = /^\/repos\/([^/]+\/[^/]+)(.*)$/.exec(path);
    const numbered = /^\/repositories\/(\d+)(.*)$/.exec(path);
    const name = decodeURIComponent(named?.[1] ?? '').toLowerCase();
    const id = numbered ? Number(numbered[1]) : this.#names.get(name);
    const repository = this.#repositories.get(id ?? 0);
    const rest = (named ?? numbered)?.[2] ?? '';
    const moved =
      repository && named && name !== repository.path.toLowerCase()
        ? {
            status: method === 'GET' ? 301 : 307,
            headers: { location: `${this.apiUrl}/repositories/${id}${rest}${new URL(url, this.url).search}` },
            body: { message: 'Moved Permanently' },
          }
        : null;
    if (moved && rest === '/installation') return moved;
    // A redirect leads to the number.
    const today = repository && rest === '/installation' ? `/repos/${repository.path}${rest}` : path;
    const ofApp = answerApp(this.app, token, today, this.tokens);
    if (ofApp) return ofApp;
    const organization = /^\/orgs\/([^/]+)(.*)$/.exec(path);
    const grant =
      token === undefined ? { reads: !repository?.private, writes: false } : this.tokens.get(token);
    if (!grant) return refusal(401, 'Bad credentials');
    const page = (items: unknown[]) => this.#page(items, searchParams, url);
    const body = text === '' ? {} : JSON.parse(text);
    if (path === '/user') return userOf(grant);
    if (organization) {
      const hooks = this.organizations.get(organization[1] ?? '')?.hooks;
      if (!hooks) return notFound;
      const answer = answerHooks({ hooks, method, rest: organization[2] ?? '', grant, body, page });
      return answer ?? { status: 200, body: { login: organization[1] } };
    }
    if (!repository || !grant.reads || this.#isForeign(grant, repository)) return notFound;
    if (moved) return moved;
    const answer =
      answerPulls({ repository, method, rest, query: searchParams, grant, body, page }) ??
      answerHooks({ hooks: repository.hooks, method, rest, grant, body, page });
    if (answer) return answer;
    if (method === 'POST') return this.#post(repository, rest, grant, body);
    return this.#get(repository, rest, searchParams, headers.accept ?? '', url);
  }

  /** An installation's token is good for its own repositories. */
  #isForeign({ installation }: Grant, { path }: Repository): boolean {
    return installation !== undefined && this.app?.installed.get(path.toLowerCase()) !== installation;
  }

  #get(repository: Repository, rest: string, query: URLSearchParams, accept: string, url: string): Reply {
    const { id, path, archived, refs, commits, tags } = repository;
    const [, kind = '', given = ''] =
      /^\/(git\/ref|git\/matching-refs|git\/tags|git\/commits|contents|commits)\/(.*)$/.exec(rest) ?? [];
    const name = decodeURIComponent(given);
    const asRef = ([ref, object]: [string, Pointer]) => ({ ref, node_id: 'x', url: 'x', object });
    if (rest === '') return { status: 200, body: { id, full_name: path, archived, private: true } };
    if (kind.startsWith('git/') && refs.size === 0) return refusal(409, 'Git Repository is empty.');
    if (kind === 'git/ref') {
      const object = refs.get(`refs/${name}`);
      return object ? { status: 200, body: asRef([`refs/${name}`, object]) } : notFound;
    }
    if (kind === 'git/matching-refs') {
      const found = [...refs].filter(([ref]) => ref.startsWith(`refs/${name}`)).map(asRef);
      return this.#page(
        found.toSorted((a, b) => (a.ref < b.ref ? -1 : 1)),
        query,
        url,
      );
    }
    if (kind === 'git/tags') {
      const tag = tags.get(name);
      const tagger = { name: 'Ada', date: tag?.date };
      return tag ? { status: 200, body: { sha: name, tagger, object: tag.object } } : notFound;
    }
    if (kind === 'git/commits') return commits.has(name) ? { status: 200, body: { sha: name } } : notFound;
    if (kind === 'contents') return contentsOf(repository, name, query.get('ref') ?? '', accept);
    if (kind === 'commits' && name.endsWith('/statuses')) {
      const sha = name.replace('/statuses', '');
      if (!commits.has(sha)) return refusal(422, `No commit found for SHA: ${sha}`);
      return this.#page(repository.statuses.filter((each) => each.sha === sha).toReversed(), query, url);
    }
    return notFound;
  }

  #post(repository: Repository, rest: string, grant: Grant, body: Record<string, string>): Reply {
    const sha = /^\/statuses\/(.*)$/.exec(rest)?.[1];
    const right = sha === undefined ? 'contents' : 'statuses';
    if (sha === undefined && rest !== '/git/refs') return notFound;
    const refused = denied(grant, right) ?? (repository.archived ? archivedReply : null);
    if (refused) return refused;
    if (sha === undefined)
      return repository.refs.size === 0
        ? refusal(409, 'Git Repository is empty.')
        : refusal(422, 'Object does not exist');
    if (!repository.commits.has(sha)) return refusal(422, `No commit found for SHA: ${sha}`);
    const { state = '', description = '', context = 'default', target_url = '' } = body;
    const same = repository.statuses.filter(
      (each) => each.sha === sha && each.context.toLowerCase() === context.toLowerCase(),
    );
    const fault = [
      !STATES.includes(state) && 'State is not included in the list',
      [...description].length > 140 && 'description is too long (maximum is 140 characters)',
      /[\u{10000}-\u{10ffff}]/u.test(description) && "description doesn't accept 4-byte Unicode",
      !/^https?:/.test(target_url) && 'target_url must use http(s) scheme',
      same.length >= 1000 && 'This SHA and context has reached the maximum number of statuses.',
    ].find((each) => each !== false);
    if (fault) return refusal(422, 'Validation Failed', { errors: [{ resource: 'Status', message: fault }] });
    repository.statuses.push({ sha, state, description, context, target_url });
    return { status: 201, body: { id: 1, state } };
  }

  #page(items: unknown[], query: URLSearchParams, url: string): Reply {
    const size = Math.min(Number(query.get('per_page') ?? 30), this.pageSize);
    const page = Number(query.get('page') ?? 1);
    const next = new URL(url, this.linksAt ?? this.url);
    next.searchParams.set('page', String(page + 1));
    const last = page * size >= items.length;
    return {
      status: 200,
      body: items.slice((page - 1) * size, page * size),
      headers: last ? {} : { link: `<${next}>; rel="next", <${next}>; rel="last"` },
    };
  }

  #graphql(token: string | undefined, text: string): Reply {
    const grant = this.tokens.get(token ?? '');
    if (!grant) return refusal(401, 'Bad credentials');
    const { query, variables } = JSON.parse(text);
    const repository = this.#repositories.get(
      this.#names.get(`${variables.owner}/${variables.name}`.toLowerCase()) ?? 0,
    );
    if (!repository)
      return {
        status: 200,
        body: { data: { repository: null }, errors: [{ type: 'NOT_FOUND', message: 'Could not resolve' }] },
      };
    const found = (oid: string) => {
      const [commit, tag] = [repository.commits.get(oid), repository.tags.get(oid)];
      if (commit) return { __typename: 'Commit', oid, committedDate: commit.date };
      if (!tag) return null;
      const { type, sha } = tag.object;
      const __typename = `${type[0]?.toUpperCase()}${type.slice(1)}`;
      return { __typename: 'Tag', oid, tagger: { date: tag.date }, target: { __typename, oid: sha } };
    };
    const fields = [...query.matchAll(/(o\d+): object\(oid: "([0-9a-f]+)"\)/g)];
    return {
      status: 200,
      body: { data: { repository: Object.fromEntries(fields.map(([, as, oid]) => [as, found(oid)])) } },
    };
  }
}

function userOf({ classic, scopes, ends, installation }: Grant): Reply {
  if (installation !== undefined) return refusal(403, 'Resource not accessible by integration');
  return {
    status: 200,
    body: ADA,
    headers: {
      ...((classic || scopes !== undefined) && { 'x-oauth-scopes': scopes ?? 'repo' }),
      ...(ends !== undefined && { 'github-authentication-token-expiration': ends }),
    },
  };
}

/** @returns the status that was sent: 304 for what the asker has already */
function send(
  response: ServerResponse,
  { status, body = '', headers }: Reply,
  known: string | undefined,
): number {
  const bytes =
    body instanceof Uint8Array || typeof body === 'string'
      ? Buffer.from(body)
      : Buffer.from(JSON.stringify(body));
  const etag = `W/"${createHash('sha1').update(bytes).digest('hex')}"`;
  const fresh = status === 200 && known === etag;
  response.writeHead(fresh ? 304 : status, {
    'content-type': 'application/json; charset=utf-8',
    ...(status === 200 && { etag }),
    ...headers,
  });
  response.end(fresh ? undefined : bytes);
  return fresh ? 304 : status;
}
