/** Requests to Gitea's API: plain JSON, and errors that say which request failed and why. */
import { z } from 'zod';
import { StalledError } from '../../core/errors.ts';
import { parseRepositoryId, unsafeName } from '../../core/ref-event.ts';
import type { ForgeFetch } from '../forge-fetch.ts';
import { repositorySchema } from './schema.ts';

export interface GiteaClientOptions {
  /** Its name in modelhook.yaml. */
  name: string;
  /** The API's base, such as `https://gitea.example.com/api/v1`. */
  apiUrl: string;
  /** null: only what everybody may read is read, and nothing is written */
  token: string | null;
  /** A file with the certificates of a private CA; null: the system's */
  ca: string | null;
  /** Milliseconds since the epoch. */
  now: () => number;
}

/** An answer that is not the one that was asked for. Transient, whatever the status: what it means is the caller's to say. */
export class GiteaError extends Error {
  override readonly name = 'GiteaError';
  /** The answer's; 200 where it was not what the API answers. */
  readonly status: number;
  /** What the forge itself said, on one line; often nothing. */
  readonly said: string;

  constructor(status: number, message: string, said = '') {
    super(message);
    this.status = status;
    this.said = said;
  }
}

export interface GiteaRepository {
  id: number;
  /** The path today; GETs of an old one are redirected, writes are not. */
  path: string;
  archived: boolean;
  /** Whether its settings allow pull requests. */
  hasPullRequests: boolean;
  /** What the token's user may do there, whatever the token's scopes are; null where that is not told. */
  permissions: { admin: boolean; push: boolean } | null;
  /** Its web page. */
  page: string;
}

/** One page of a list. */
export interface Page<Item> {
  items: Item[];
  /** How many there are on all pages; null where that is not told. */
  total: number | null;
}

export interface GiteaClient {
  /** @throws GiteaError where it is not found or not readable */
  repository(repository: string): Promise<GiteaRepository>;
  /**
   * Reads anything.
   * @param path below the API's base, encoded
   * @throws GiteaError on any other answer but 200
   */
  read<Schema extends z.ZodType>(path: string, schema: Schema): Promise<z.output<Schema>>;
  /**
   * Reads one page of a list of a repository, or of anything.
   * @param path below the API's base, encoded
   * @param page counts from 1
   * @param maxBody bytes above which the answer is not read
   */
  page<Schema extends z.ZodType>(
    path: string,
    page: number,
    schema: Schema,
    maxBody?: number,
  ): Promise<Page<z.output<Schema>>>;
  /**
   * Reads something of a repository.
   * @param below what follows the repository in the path, encoded
   * @param absent the statuses that say it is not there
   * @param maxBody bytes above which the answer is not read
   * @returns null where it is not there; the repository itself may be what is not
   * @throws GiteaError on any other answer but 200
   */
  get<Schema extends z.ZodType>(
    repository: string,
    below: string,
    schema: Schema,
    absent?: readonly number[],
    maxBody?: number,
  ): Promise<z.output<Schema> | null>;
  /**
   * Writes something. Redirects are not followed: an old name may be another repository's by the next time.
   * @param path below the API's base, encoded
   * @param hidden what no error may show
   * @returns what was answered; null where that is nothing
   * @throws GiteaError on any answer but 2xx
   */
  write(method: 'POST' | 'PATCH' | 'DELETE', path: string, body: unknown, hidden?: string): Promise<unknown>;
}

/** A server may give fewer at once. */
const PAGE = 50;
const MAX_PAGES = 1000;

/** @returns all items of a list */
export async function allOf<Item>(read: (page: number) => Promise<Page<Item>>): Promise<Item[]> {
  const found: Item[] = [];
  for (let page = 1; page <= MAX_PAGES; page += 1) {
    const { items, total } = await read(page);
    found.push(...items);
    if (items.length === 0 || (total !== null && found.length >= total)) return found;
  }
  throw new Error(`the forge lists more than ${MAX_PAGES} pages`);
}

/** @returns a repository's path below the API's base, encoded */
export const pathTo = ({ path }: Pick<GiteaRepository, 'path'>): string => `/repos/${encodePath(path)}`;

/**
 * Names with `#`, `%`, `?` or a blank are one segment each; slashes stay.
 * @throws Error where a segment is `.` or `..`: the address would be another one
 */
export function encodePath(path: string): string {
  const segments = path.toWellFormed().split('/');
  if (segments.some((segment) => segment === '.' || segment === '..'))
    throw new Error(`"${path}" has a segment that is "." or ".."`);
  return segments.map(encodeURIComponent).join('/');
}

/** Starts nothing: the HTTP client is loaded with the first request. */
export function createGiteaClient({ name, apiUrl, token, ca, now }: GiteaClientOptions): GiteaClient {
  let fetching: Promise<ForgeFetch> | undefined;

  async function load(): Promise<ForgeFetch> {
    const { createForgeFetch } = await import('../forge-fetch.ts');
    return createForgeFetch({ base: apiUrl, ca, now });
  }

  interface Answer {
    json: unknown;
    headers: Headers;
  }

  async function request(
    method: string,
    path: string,
    {
      body,
      hidden,
      maxBody,
    }: { body?: unknown; hidden?: string | undefined; maxBody?: number | undefined } = {},
  ): Promise<Answer> {
    fetching ??= load();
    const fetch = await fetching;
    const response = await fetch(`${apiUrl}${path}`, {
      method,
      headers: {
        accept: 'application/json',
        ...(token !== null && { authorization: `token ${token}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      maxBody,
    });
    const what = `${method} ${apiUrl}${path.replace(/\?.*/, '')}`;
    const { status, headers } = response;
    const answer = await response.text();
    if (!response.ok) {
      // A server, or what stands before it, may repeat what it was sent.
      const said = messageIn(answer);
      const isSecret = [token, hidden].some((secret) => secret && said.includes(secret));
      // Judged before the cut, which could leave a part of the token.
      throw refusal(what, status, isSecret ? '' : said.slice(0, 200));
    }
    if (status === 204) return { json: null, headers };
    try {
      return { json: JSON.parse(answer), headers };
    } catch {
      throw new GiteaError(
        status,
        `${what} did not answer JSON; check the url of forge "${name}", and what stands between it and modelhook`,
      );
    }
  }

  const refusal = (what: string, status: number, said: string): GiteaError =>
    new GiteaError(status, `${what} was answered with ${status}${said && ` (${said})`}${hint(status)}`, said);

  function hint(status: number): string {
    if (status === 401) return `; check the token of forge "${name}"`;
    if (status === 403)
      return `; check that the token of forge "${name}" has the scope read:repository and may read this repository`;
    if (status === 404 && token === null) return `; a private repository needs a token of forge "${name}"`;
    return '';
  }

  function checked<Schema extends z.ZodType>(path: string, json: unknown, schema: Schema): z.output<Schema> {
    const parsed = schema.safeParse(json);
    if (parsed.success) return parsed.data;
    const [issue] = parsed.error.issues;
    const where = issue?.path.join('.') || 'the answer';
    throw new GiteaError(
      200,
      `GET ${apiUrl}${path} answered something unexpected: ${where} ${issue?.message}`,
    );
  }

  async function read<Schema extends z.ZodType>(
    path: string,
    schema: Schema,
    maxBody?: number,
  ): Promise<z.output<Schema>> {
    return checked(path, (await request('GET', path, { maxBody })).json, schema);
  }

  return {
    async repository(repository) {
      const found = await read(pathOf(repository), repositorySchema);
      return {
        id: found.id,
        path: found.full_name,
        archived: found.archived,
        hasPullRequests: found.has_pull_requests,
        permissions: found.permissions ?? null,
        page: found.html_url,
      };
    },

    read,

    async page(path, page, schema, maxBody) {
      const paged = `${path}${path.includes('?') ? '&' : '?'}limit=${PAGE}&page=${page}`;
      const { json, headers } = await request('GET', paged, { maxBody });
      const total = headers.get('x-total-count');
      return {
        items: checked(paged, json, z.array(schema)),
        total: total !== null && /^\d+$/.test(total) ? Number(total) : null,
      };
    },

    async get(repository, below, schema, absent = [404], maxBody) {
      try {
        return await read(`${pathOf(repository)}/${below}`, schema, maxBody);
      } catch (error) {
        if (error instanceof GiteaError && absent.includes(error.status)) return null;
        throw error;
      }
    },

    async write(method, path, body, hidden) {
      return (await request(method, path, { body, hidden })).json;
    },
  };
}

/** @throws StalledError where the id cannot be a repository of Gitea: its path would mean something else to the API */
export function pathOf(repository: string): string {
  const path = parseRepositoryId(repository)?.path ?? '';
  if (unsafeName('the repository', path) === null && path.split('/').length === 2) return pathTo({ path });
  throw new StalledError(
    `${repository} names no repository of a Gitea`,
    'write <forge name>:<owner>/<repository>',
  );
}

/** What an error's body says, on one line; nothing where it is a page. */
function messageIn(answer: string): string {
  try {
    const { message } = z.object({ message: z.string() }).parse(JSON.parse(answer));
    return message.replace(/[\p{C}\s]+/gu, ' ').trim();
  } catch {
    return '';
  }
}
