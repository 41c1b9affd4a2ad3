/** What reading and reporting share: repositories by name, and what GitHub's refusals mean. */
import { z } from 'zod';
import { StalledError } from '../../core/errors.ts';
import { parseRepositoryId, shortSha, unsafeName } from '../../core/ref-event.ts';
import { type Answer, type Connection, type Question, wordsOf } from './connection.ts';
import type { Tokens } from './tokens.ts';

export interface GitHubApi {
  readonly auth: Tokens['kind'];
  /**
   * Asks for something of a repository.
   * @param path `<owner>/<repository>`, or an organisation
   * @param route a method and a path below the API's base
   */
  ask(path: string, route: string, question?: Omit<Question, 'token'>): Promise<Answer>;
  /**
   * All pages of a list; empty for an empty repository.
   * @param refused what to throw for any other answer than 200; a repository that cannot be read unless said
   * @throws Error where a page is no list of that shape
   */
  askAll<Item>(path: string, route: string, item: z.ZodType<Item>, refused?: Refused): Promise<Item[]>;
  /** The same page by page, each asked for when it is wanted, for who may have enough before the end. */
  pages<Item>(path: string, route: string, item: z.ZodType<Item>, refused?: Refused): AsyncIterable<Item[]>;
  /** @returns the `data` of a GraphQL answer; null without a token, which GraphQL needs */
  query(path: string, text: string, variables: Readonly<Record<string, string>>): Promise<unknown>;
  /** What the repository says of itself. @throws Error, transient, where it cannot be read */
  repository(path: string): Promise<Repository>;
  /** @returns whether a commit is there @throws Error where the repository cannot be read */
  hasCommit(path: string, sha: string): Promise<boolean>;
  /** Why nothing can be concluded from an answer: a transient error, for a token may come back as well as a server. */
  unreadable(path: string, answer: Answer): Error;
}

/** What an answer that is not the wanted one means. */
export type Refused = (answer: Answer) => Error | Promise<Error>;

/** What is used of what a repository says of itself. */
const repositorySchema = z.object({
  // octokit reads numbers beyond 2^53 as a bigint.
  id: z.union([z.number(), z.bigint()]),
  archived: z.boolean().default(false),
  /** `<owner>/<repository>` as it is called today, in its own spelling. */
  full_name: z.string().refine((path) => unsafeName('it', path) === null, 'expected <owner>/<repository>'),
});
export type Repository = z.infer<typeof repositorySchema>;

/** More pages than the largest repositories have; a list that never ends is none. */
const MAX_PAGES = 2000;
/** How often a list is read until it holds still. */
const MAX_READINGS = 5;

/** @param forge its name in modelhook.yaml */
export function createApi(forge: string, connection: Connection, tokens: Tokens): GitHubApi {
  const api: GitHubApi = {
    auth: tokens.kind,

    async ask(path, route, question) {
      const answer = await connection.ask(route, { ...question, token: await tokens.of(path) });
      if (answer.status === 401) tokens.forget(path);
      return answer;
    },

    async *pages(path, route, item, refused = (answer) => api.unreadable(path, answer)) {
      let page = 0;
      for (let next: string | null = route; next !== null; page += 1) {
        if (page === MAX_PAGES) throw new Error(`GitHub's list of ${path} does not end`);
        const answer: Answer = await api.ask(path, next);
        // A repository to which nobody has pushed yet.
        if (answer.status === 409 && page === 0) return;
        if (answer.status !== 200) throw await refused(answer);
        yield shaped(z.array(item), answer.data);
        next = nextRoute(route, answer);
      }
    },

    async askAll(path, route, item, refused) {
      let list = await wholeOf(api.pages(path, route, item, refused));
      // An entry that goes meanwhile draws one of a later page forward, past us. What did not change costs no quota.
      for (let reading = 1; list.length > 1; reading += 1) {
        if (reading === MAX_READINGS) throw new Error(`the lists of ${path} change while they are read`);
        const again = await wholeOf(api.pages(path, route, item, refused));
        if (JSON.stringify(again.flat()) === JSON.stringify(list.flat())) break;
        list = again;
      }
      return list.flat();
    },

    async query(path, text, variables) {
      const token = await tokens.of(path);
      return token === null ? null : ((await connection.query(text, variables, token)) ?? {});
    },

    async repository(path) {
      const answer = await api.ask(path, `GET /repos/${path}`);
      if (answer.status !== 200) throw api.unreadable(path, answer);
      return shaped(repositorySchema, answer.data);
    },

    async hasCommit(path, sha) {
      const answer = await api.ask(path, `GET /repos/${path}/git/commits/${sha}`);
      if (answer.status === 200) return true;
      if (![404, 409, 422].includes(answer.status)) throw api.unreadable(path, answer);
      await api.repository(path);
      return false;
    },

    unreadable(path, { status, data }) {
      if (status === 401)
        return new Error(`GitHub does not accept the token of forge "${forge}" for ${path}; check the token`);
      // What was transferred to another owner is under another installation of an App.
      if (status === 403 || status === 404) tokens.forget(path);
      if (status === 403 || status === 404)
        return new Error(
          tokens.kind === 'none'
            ? `${path} was not found on forge "${forge}", or is private; check its name, or give the forge a token`
            : `${path} was not found on forge "${forge}", or its token may not read it${wordsOf(data)}; check the name, and that the token reaches the repository with "Contents: read" (classic token: "repo")`,
        );
      // Only refusals are looked through for the token.
      const words = status < 300 ? '' : wordsOf(data);
      return new Error(`forge "${forge}" answered ${status} for ${path}${words}`);
    },
  };
  return api;
}

async function wholeOf<Item>(pages: AsyncIterable<Item[]>): Promise<Item[][]> {
  const whole: Item[][] = [];
  for await (const page of pages) whole.push(page);
  return whole;
}

/** @returns where a list goes on, by the address it was asked at: a server may write another host's into its links */
export const nextRoute = (route: string, { next }: Answer): string | null =>
  next === null ? null : route.replace(/\?.*|$/, () => next);

/**
 * Takes what is used from an answer.
 * @throws Error that names the field: pages of proxies, too, come with status 200
 */
export function shaped<Shape>(schema: z.ZodType<Shape>, data: unknown): Shape {
  const parsed = schema.safeParse(data);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const where = issue?.path.join('.') || 'the whole';
  throw new Error(
    `GitHub's answer has another shape than expected at ${where}: ${issue?.message}; check the forge's url`,
  );
}

/**
 * @returns the owner and name of a repository id, safe in an address
 * @throws StalledError where GitHub can have no such repository
 */
export function pathOf(repository: string): string {
  const path = parseRepositoryId(repository)?.path ?? '';
  if (path.split('/').length === 2 && !unsafeName('the repository', path)) return encodePath(path);
  throw new StalledError(
    `"${repository}" is no repository of GitHub`,
    'write it as <forge name>:<owner>/<repository>',
  );
}

/** @returns a path of several segments for an address: `%`, `#` and `?` are letters like others in file and ref names */
export function encodePath(path: string): string {
  const segments = path.toWellFormed().split('/');
  if (segments.some((segment) => segment === '.' || segment === '..'))
    throw new Error(`"${path}" has a segment that is "." or ".."`);
  return segments.map(encodeURIComponent).join('/');
}

/** @param ref what points to it, where something does */
export const noCommit = (sha: string, ref?: string): StalledError =>
  new StalledError(
    `${ref ? `${ref} points to ${shortSha(sha)}, and no such commit` : `no commit ${shortSha(sha)}`} is in the repository`,
    'push the commit, or move the ref to one that is there',
  );
