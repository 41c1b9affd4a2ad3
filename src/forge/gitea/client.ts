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
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export interface GiteaRepository {
  id: number;
  /** The path today; GETs of an old one are redirected, writes are not. */
  path: string;
  archived: boolean;
}

export interface GiteaClient {
  /** @throws GiteaError where it is not found or not readable */
  repository(repository: string): Promise<GiteaRepository>;
  /**
   * Reads something of a repository.
   * @param below what follows the repository in the path, encoded
   * @param absent the statuses that say it is not there
   * @returns null where it is not there; the repository itself may be what is not
   * @throws GiteaError on any other answer but 200
   */
  get<Schema extends z.ZodType>(
    repository: string,
    below: string,
    schema: Schema,
    absent?: readonly number[],
  ): Promise<z.output<Schema> | null>;
  /**
   * Writes something to a repository.
   * @throws GiteaError on any answer but 2xx
   */
  post(repository: GiteaRepository, below: string, body: unknown): Promise<void>;
}

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

  async function request(method: 'GET' | 'POST', path: string, body?: unknown): Promise<unknown> {
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
    });
    const what = `${method} ${apiUrl}${path.replace(/\?.*/, '')}`;
    const answer = await response.text();
    if (!response.ok) throw new GiteaError(response.status, refusal(what, response.status, answer));
    try {
      return JSON.parse(answer);
    } catch {
      throw new Error(
        `${what} did not answer JSON; check the url of forge "${name}", and what stands between it and modelhook`,
      );
    }
  }

  function refusal(what: string, status: number, answer: string): string {
    const said = messageIn(answer);
    // A server, or what stands before it, may repeat what it was sent.
    const quoted = said !== '' && (token === null || !said.includes(token)) ? ` (${said})` : '';
    return `${what} was answered with ${status}${quoted}${hint(status)}`;
  }

  function hint(status: number): string {
    if (status === 401) return `; check the token of forge "${name}"`;
    if (status === 403)
      return `; check that the token of forge "${name}" has the scope read:repository and may read this repository`;
    if (status === 404 && token === null) return `; a private repository needs a token of forge "${name}"`;
    return '';
  }

  async function read<Schema extends z.ZodType>(path: string, schema: Schema): Promise<z.output<Schema>> {
    const parsed = schema.safeParse(await request('GET', path));
    if (parsed.success) return parsed.data;
    const [issue] = parsed.error.issues;
    const where = issue?.path.join('.') || 'the answer';
    throw new Error(`GET ${apiUrl}${path} answered something unexpected: ${where} ${issue?.message}`);
  }

  return {
    async repository(repository) {
      const { id, full_name, archived } = await read(pathOf(repository), repositorySchema);
      return { id, path: full_name, archived };
    },

    async get(repository, below, schema, absent = [404]) {
      try {
        return await read(`${pathOf(repository)}/${below}`, schema);
      } catch (error) {
        if (error instanceof GiteaError && absent.includes(error.status)) return null;
        throw error;
      }
    },

    async post({ path }, below, body) {
      await request('POST', `/repos/${encodePath(path)}/${below}`, body);
    },
  };
}

/** @throws StalledError where the id cannot be a repository of Gitea: its path would mean something else to the API */
function pathOf(repository: string): string {
  const path = parseRepositoryId(repository)?.path ?? '';
  if (unsafeName('the repository', path) === null && path.split('/').length === 2)
    return `/repos/${encodePath(path)}`;
  throw new StalledError(
    `${repository} names no repository of a Gitea`,
    'write <forge name>:<owner>/<repository>',
  );
}

/** What an error's body says, on one line; nothing where it is a page. */
function messageIn(answer: string): string {
  try {
    const { message } = z.object({ message: z.string() }).parse(JSON.parse(answer));
    return message
      .replace(/[\p{C}\s]+/gu, ' ')
      .trim()
      .slice(0, 200);
  } catch {
    return '';
  }
}
