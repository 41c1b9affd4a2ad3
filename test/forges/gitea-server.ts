/** A stand-in for Gitea's API on loopback, with its state in memory. It does what was measured of Gitea 1.26. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json as readJson } from 'node:stream/consumers';
import { type Files, ObjectStore } from './gitea-objects.ts';

interface Status {
  id: number;
  context: string;
  status: string;
  description: string;
  target_url: string;
}

/** A repository, and what people do in it. */
export class GiteaRepository {
  readonly id: number;
  path: string;
  archived = false;
  defaultBranch = 'main';
  readonly refs = new Map<string, string>();
  readonly objects = new ObjectStore();
  readonly statuses = new Map<string, Status[]>();

  constructor(id: number, path: string) {
    this.id = id;
    this.path = path;
  }

  commit(branch: string, files: Files): string {
    const ref = `refs/heads/${branch}`;
    const sha = this.objects.commit(this.refs.get(ref), files);
    this.refs.set(ref, sha);
    return sha;
  }

  /** Makes or moves an annotated tag, under the ref's name or another. @returns the tag object's id */
  annotate(ref: string, target: string, name: string = ref.replace('refs/tags/', '')): string {
    const object = this.objects.tag(name, target);
    this.refs.set(ref, object);
    return object;
  }
}

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

class Refusal extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export const TOKENS = {
  administrator: 'token-of-an-administrator',
  writer: 'token-of-a-writer',
  /** Without the scope to write. */
  reader: 'token-of-a-reader',
};

export class GiteaServer {
  readonly asked: Asked[] = [];
  /** Called before each answer: what changes while others ask. */
  onAsked: ((asked: Asked) => void) | null = null;
  /** Answered instead, while it is set. */
  fault: Fault | null = null;
  /** Answered instead to writes. */
  writeFault: Fault | null = null;
  treePage = 3;
  maxPage = 2;
  maxBlob = 10 * 1024 * 1024;
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
    const body = method === 'POST' ? await readJson(request) : null;
    const asked = { method, path: url, authorization: request.headers.authorization };
    this.asked.push(asked);
    this.onAsked?.(asked);
    const fault = this.fault ?? (method === 'POST' ? this.writeFault : null);
    if (fault) {
      response.writeHead(fault.status, fault.headers).end(fault.body ?? '');
      return;
    }
    const json = (status: number, value: unknown) =>
      response
        .writeHead(status, { 'content-type': 'application/json;charset=utf-8' })
        .end(JSON.stringify(value));
    try {
      const { pathname, searchParams } = new URL(url, this.url);
      const [, owner = '', name = '', below = ''] =
        /^\/api\/v1\/repos\/([^/]+)\/([^/]+)(?:\/(.*))?$/.exec(pathname) ?? [];
      const path = `${decodeURIComponent(owner)}/${decodeURIComponent(name)}`;
      const token = this.#authorize(request.headers.authorization);
      const moved = this.#redirects.get(path);
      const repository = this.#repositories.find((each) => each.path === path);
      if (!repository && moved) {
        const location = url.replace(`${owner}/${name}`, moved.path);
        response.writeHead(301, { location }).end('<a href="…">Moved Permanently</a>.');
        return;
      }
      // A private repository is not there for those who may not read it.
      if (!repository || token === null) throw new Refusal(404, 'not found');
      if (method === 'POST')
        json(201, this.#write(repository, below, body as Partial<Status & { state: string }>, token));
      else json(200, this.#read(repository, below, searchParams));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      json(error.status, { message: error.message, url: `${this.url}/api/swagger` });
    }
  }

  #authorize(authorization: string | undefined): string | null {
    if (authorization === undefined) return null;
    const token = authorization.replace(/^token /, '');
    if (Object.values(TOKENS).includes(token)) return token;
    throw new Refusal(401, 'invalid username, password or token');
  }

  #read(repository: GiteaRepository, below: string, query: URLSearchParams): unknown {
    const { id, path, archived, objects, refs } = repository;
    const [kind, rest = ''] = /^(git\/[a-z]+|statuses)\/?(.*)$/.exec(below)?.slice(1) ?? [];
    const page = Number(query.get('page') ?? 1);
    switch (kind) {
      case undefined:
        if (below === '') return { id, full_name: path, archived, empty: refs.size === 0 };
        throw new Refusal(404, 'not found');
      case 'git/refs':
        return this.#refs(repository, `refs/${decodeURIComponent(rest)}`);
      case 'git/commits': {
        const sha = objects.peel(rest);
        const commit = objects.get(sha ?? '');
        if (commit?.type !== 'commit') throw new Refusal(404, `commit doesn't exist: ${rest}`);
        return { sha, created: new Date(commit.created).toISOString() };
      }
      case 'git/tags': {
        const tag = objects.get(rest);
        if (tag?.type !== 'tag') throw new Refusal(400, 'object does not exist');
        // The commit is that of the ref which is called like the tag was.
        const named = refs.get(`refs/tags/${tag.name}`);
        if (named === undefined) throw new Refusal(400, 'object does not exist');
        return {
          tagger: { date: new Date(tag.created).toISOString() },
          object: { sha: objects.peel(named) },
        };
      }
      case 'git/trees': {
        const entries = objects.entries(rest);
        if (!entries) throw new Refusal(400, `sha not found [${rest}]`);
        const tree = entries.slice((page - 1) * this.treePage, page * this.treePage);
        return { tree, truncated: page * this.treePage < entries.length, page, total_count: entries.length };
      }
      case 'git/blobs': {
        const blob = objects.get(rest);
        if (blob?.type !== 'blob') throw new Refusal(400, 'object does not exist');
        const size = blob.bytes.length;
        const isGiven = size <= this.maxBlob;
        return { size, content: isGiven ? Buffer.from(blob.bytes).toString('base64') : null };
      }
      default: {
        const limit = Math.min(Number(query.get('limit') ?? 30), this.maxPage);
        // One second is all the default order knows; only this one is exact.
        const newest = (repository.statuses.get(rest) ?? []).toReversed();
        const ordered = query.get('sort') === 'leastindex' ? newest : newest.toReversed();
        return ordered.slice((page - 1) * limit, page * limit);
      }
    }
  }

  #refs({ refs, objects }: GiteaRepository, beginning: string): unknown {
    for (const [ref, sha] of refs)
      if (!objects.get(sha)) throw new Refusal(500, `fatal: missing object ${sha} for ${ref}`);
    const found = [...refs].filter(([ref]) => ref.startsWith(beginning)).sort();
    if (found.length === 0) throw new Refusal(404, 'not found');
    return found.map(([ref, sha]) => ({ ref, object: { type: objects.get(sha)?.type, sha } }));
  }

  #write(
    repository: GiteaRepository,
    below: string,
    body: Partial<Status & { state: string }>,
    token: string,
  ): Status {
    const { objects, statuses } = repository;
    if (token === TOKENS.reader)
      throw new Refusal(
        403,
        'token does not have at least one of required scope(s), required=[write:repository]',
      );
    const said = (message: string) => (token === TOKENS.administrator ? message : '');
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
    if (!repository.refs.has(`refs/heads/${repository.defaultBranch}`))
      throw new Refusal(500, said('object does not exist'));
    return status;
  }
}
