/**
 * GitLab's API, the few calls of it that are needed. @gitbeaker/rest is not used: it always asks `<host>/api/v4`, whatever
 * the API's address is, has no HEAD, and the requester function to replace its retries is in a package of its own.
 */
import type { z } from 'zod';
import { StalledError } from '../../core/errors.ts';
import { parseRepositoryId, unsafeName } from '../../core/ref-event.ts';
import type { ForgeFetch } from '../forge-fetch.ts';
import { type Project, projectSchema } from './schema.ts';

export interface GitLabApiOptions {
  /** The forge's name in modelhook.yaml. */
  name: string;
  /** The API's base, such as `https://gitlab.example.com/api/v4`. */
  apiUrl: string;
  /** null: only what everybody may read, and no status. */
  token: string | null;
  /** A file with the certificates of a private CA; null: the system's */
  ca: string | null;
  /** Milliseconds since the epoch. */
  now: () => number;
}

type Query = Readonly<Record<string, string>>;

export interface GitLabApi {
  /**
   * Asks, and leaves it to the caller to judge the answer.
   * @param path below the API's base, encoded
   * @param maxBody bytes above which the answer is not read
   */
  ask(
    method: 'GET' | 'HEAD' | 'POST' | 'PUT',
    path: string,
    body?: Readonly<Record<string, unknown>>,
    maxBody?: number,
  ): Promise<Response>;
  /** What an answer holds. @throws Error, transient, where it is a refusal, no JSON, or of another shape */
  read<Item>(repository: string, response: Response, schema: z.ZodType<Item>): Promise<Item>;
  /** @returns null for 404 @throws Error, transient, for any other refusal */
  find<Item>(repository: string, path: string, schema: z.ZodType<Item>): Promise<Item | null>;
  /** All pages of a list. @throws Error, transient, where one cannot be read */
  list<Item>(repository: string, path: string, query: Query, item: z.ZodType<Item>): Promise<Item[]>;
  /** The same page by page, each asked for when it is wanted. Texts of people make them large. */
  pages<Item>(
    repository: string,
    path: string,
    query: Query,
    item: z.ZodType<Item>,
    maxBody?: number,
  ): AsyncIterable<Item[]>;
  /** What a project says of itself. @throws Error, transient, where it is not found or not readable */
  project(repository: string): Promise<Project>;
  /** Why nothing can be concluded from an answer: always transient, for tokens and servers come back. */
  unreadable(repository: string, response: Response): Promise<Error>;
  /**
   * GitLab's own words of a refusal, for a sentence that needs them.
   * @param secret what they must not repeat beside the token
   * @returns `: ` and one short line; nothing where the answer has no words, or where they repeat the token
   */
  wordsOf(response: Response, secret?: string): Promise<string>;
}

/** More than the largest repositories have; a list that never ends is none. */
const MAX_PAGES = 2000;
const PAGE = { per_page: '100' };

export function createGitLabApi({ name, apiUrl, token, ca, now }: GitLabApiOptions): GitLabApi {
  let loading: Promise<ForgeFetch> | undefined;

  const api: GitLabApi = {
    async ask(method, path, body, maxBody) {
      // The client that refuses such a header says in its error what the header holds.
      if (token !== null && !/^[\x21-\x7e]+$/.test(token))
        throw new Error(
          `the token of forge "${name}" is empty or holds characters that no token has; check the token`,
        );
      loading ??= import('../forge-fetch.ts').then(({ createForgeFetch }) =>
        createForgeFetch({ base: apiUrl, ca, now }),
      );
      const fetch = await loading;
      return fetch(`${apiUrl}/${path}`, {
        method,
        headers: {
          ...(token !== null && { 'private-token': token }),
          ...(body && { 'content-type': 'application/json' }),
        },
        ...(body && { body: JSON.stringify(body) }),
        maxBody,
      });
    },

    async read(repository, response, schema) {
      if (!response.ok) throw await api.unreadable(repository, response);
      const parsed = schema.safeParse(await jsonOf(response));
      if (parsed.success) return parsed.data;
      const [issue] = parsed.error.issues;
      const where = issue?.path.join('.') || 'the whole';
      throw new Error(
        `the answer of forge "${name}" has another shape than expected at ${where}: ${issue?.message}; check the forge's url`,
      );
    },

    async find(repository, path, schema) {
      const response = await api.ask('GET', path);
      return response.status === 404 ? null : api.read(repository, response, schema);
    },

    async list(repository, path, query, item) {
      const items: z.infer<typeof item>[] = [];
      for await (const page of api.pages(repository, path, query, item)) items.push(...page);
      return items;
    },

    async *pages(repository, path, query, item, maxBody) {
      let search: string | null = `${new URLSearchParams({ ...PAGE, ...query })}`;
      for (let page = 0; search !== null; page += 1) {
        if (page === MAX_PAGES) throw new Error(`GitLab's list of ${repository} does not end`);
        const response = await api.ask('GET', `${path}?${search}`, undefined, maxBody);
        yield await api.read(repository, response, item.array());
        search = nextOf(response);
      }
    },

    project: async (repository) =>
      api.read(repository, await api.ask('GET', projectPath(repository)), projectSchema),

    async unreadable(repository, response) {
      const { status } = response;
      if (status === 401)
        return new Error(
          token === null
            ? `what was asked of ${repository} is not public, and forge "${name}" has no token; give it one`
            : `GitLab does not accept the token of forge "${name}" for ${repository}; check the token`,
        );
      if (status === 403 || status === 404)
        return new Error(
          `${repository} was not found, or may not be read${await api.wordsOf(response)}; check the name, and that the token of forge "${name}" reaches the project with the scope read_api and the role Reporter`,
        );
      return new Error(`forge "${name}" answered ${status} for ${repository}${await api.wordsOf(response)}`);
    },

    async wordsOf(response, secret) {
      const line = await lineOf(response);
      const hidden = [token, secret].filter((each) => typeof each === 'string' && each !== '');
      // Judged before the cut, which could leave a part of the token.
      if (line === '' || hidden.some((each) => each && holdsToken(line, each))) return '';
      return `: ${line.slice(0, MAX_WORDS)}`;
    },
  };
  return api;
}

/** @returns the address of a project by its path @throws StalledError where GitLab can have no such project */
export function projectPath(repository: string): string {
  const path = parseRepositoryId(repository)?.path ?? '';
  // A number alone would be another project's id.
  if (path.includes('/') && path.isWellFormed() && !unsafeName('the repository', path))
    return `projects/${encodeURIComponent(path)}`;
  throw new StalledError(
    `"${repository}" is no repository of GitLab`,
    'write it as <forge name>:<group>/<project>',
  );
}

/** @returns one segment of an address, whose slashes, too, are letters like others */
export function segmentOf(text: string): string {
  if (text === '.' || text === '..') throw new Error(`"${text}" is no name`);
  return encodeURIComponent(text.toWellFormed());
}

/** @throws Error where the answer is no JSON: pages of proxies, too, come with status 200 */
async function jsonOf(response: Response): Promise<unknown> {
  try {
    return JSON.parse(await response.text());
  } catch {
    throw new Error("GitLab's answer is not JSON; check the forge's url, and what stands in front of it");
  }
}

/**
 * Only the query is taken: the rest is GitLab's own idea of its address, which need not be the one that it has for us.
 * @returns the query of the next page, by token (keyset) or by number; null: there is none
 */
function nextOf({ headers }: Response): string | null {
  const link = /<[^<>?]*\?([^<>]*)>;\s*rel="next"/.exec(headers.get('link') ?? '')?.[1];
  return link ?? null;
}

const MAX_WORDS = 300;

/** @returns GitLab's words of a refusal in one line, as long as they are; empty where the answer has none */
async function lineOf(response: Response): Promise<string> {
  let words: unknown;
  try {
    const data = JSON.parse(await response.clone().text());
    words = data.message ?? data.error_description ?? data.error;
  } catch {
    return '';
  }
  if (words === undefined || words === null) return '';
  return (typeof words === 'string' ? words : JSON.stringify(words)).replace(/[\s\p{Cc}]+/gu, ' ').trim();
}

/** @returns whether a token stands in a text, as it is or as JSON spells it */
const holdsToken = (text: string, token: string): boolean =>
  text.includes(token) || text.includes(JSON.stringify(token).slice(1, -1));
