/** A controller in a process of its own, a config repository with people who propose changes, and models to deploy. */
import type { ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { parse, stringify } from 'yaml';
import { type ControllerSite, ended, makeControllerSite, SECRET, until } from '../controller-site.ts';
import { startGitHttpServer } from '../git-http-server.ts';
import { GitRepository } from '../git-repository.ts';
import { startForgeFront } from './forge-front.ts';
import type { WrittenStatus } from './forge-workplaces.ts';
import { CONFIG, type ConfigForge, type Delivery, type Proposal } from './reviews-forges.ts';
import { commitTree, type Tree } from './reviews-tree.ts';

const API_TOKEN = 'a-token-of-the-api';

export interface ReviewSite {
  site: ControllerSite;
  config: GitRepository;
  /** Commits on top of the main branch, to a branch of that name, which is moved there by force. @returns the commit */
  commit(tree: Tree, branch: string): string;
  /** Moves the main branch to a commit, and tells of it. */
  merge(head: string): Promise<void>;
  start(): Promise<void>;
  /** Ends the controller as if its machine had lost power. */
  kill(): Promise<void>;
  /** Tags models and waits until that is delivered. */
  deploy(paths: readonly string[], tag: string): Promise<void>;
  /** Waits until a tag of a model is delivered that was told of just now. */
  deliver(path: string, tag: string): Promise<void>;
  /** What the API lists, oldest first. */
  rollouts(): Promise<RolloutJson[]>;
  ask(path: string, body?: object): Promise<Response>;
  /** A question to the controller's database, which somebody else may write at the same time. */
  rows(sql: string, ...values: string[]): Record<string, unknown>[];
  /** Statements for the same database. */
  execute(sql: string): void;
  remove(): Promise<void>;
}

export interface RolloutJson {
  id: string;
  cause: { kind: string; of: string };
  repository: string;
  ref: string;
  sha: string;
  policy: string;
  phase: string;
  message: string;
  target: { name: string } | null;
}

export interface ReviewSiteOptions {
  /** By path in the config repository. */
  policies: Readonly<Record<string, string>>;
  models: readonly string[];
  /** null: the config repository is on a plain Git server. */
  forge?: ConfigForge | null;
  concurrency?: number;
}

export async function makeReviewSite({
  policies,
  models,
  forge = null,
  concurrency = 16,
}: ReviewSiteOptions): Promise<ReviewSite> {
  const secret = [{ file: './secret' }];
  let gitUrl = '';
  const front = forge && (await startForgeFront((path) => (path.startsWith('/api') ? forge.url : gitUrl)));
  const site = await makeControllerSite({
    config: {
      forges: {
        plain: { kind: 'git', url: './git', webhookSecrets: secret },
        ...(forge && {
          [forge.kind]: {
            kind: forge.kind,
            url: front?.url,
            token: { file: './token' },
            webhookSecrets: secret,
          },
        }),
      },
      policies: { repository: `${forge?.kind ?? 'plain'}:${CONFIG}` },
      worker: { concurrency },
    },
  });
  const http = forge && (await startGitHttpServer(join(site.root, 'git'), { password: forge.token }));
  gitUrl = http?.url ?? '';
  writeFileSync(join(site.root, 'token'), forge?.token ?? '');
  letAsk(site);
  const config = GitRepository.open(site.repository(CONFIG));
  config.remove('refs/heads/main');
  const first = commitTree(config, policies, 'main', null);
  forge?.know('main', first);
  await site.makeModels(models);
  let controller: ChildProcess | undefined;

  const kill = async (): Promise<void> => {
    if (controller) await ended(controller, 'SIGKILL');
  };

  return {
    site,
    config,
    commit: (tree, branch) => commitTree(config, tree, branch, config.read('refs/heads/main')),

    async merge(head) {
      config.point('refs/heads/main', head);
      if (!forge) return void (await site.deliver(CONFIG, 'refs/heads/main', head, randomUUID()));
      forge.know('main', head);
      await send(site, forge, forge.ofPush('refs/heads/main', head));
    },

    async start() {
      controller = await site.start();
    },

    kill,

    async deploy(paths, tag) {
      for (const path of paths)
        await site.deliver(path, `refs/tags/${tag}`, await site.tag(path, tag), `${path} ${tag}`);
      await until(async () => {
        const done = (await rolloutsOf(site)).filter(
          ({ ref, phase }) => ref === `refs/tags/${tag}` && phase === 'delivered',
        );
        return done.length >= paths.length;
      });
    },

    async deliver(path, tag) {
      await site.deliver(path, `refs/tags/${tag}`, await site.tag(path, tag), `${path} ${tag}`);
      await until(async () =>
        (await rolloutsOf(site)).some(
          ({ ref, repository, phase }) =>
            ref === `refs/tags/${tag}` && repository === `plain:${path}` && phase === 'delivered',
        ),
      );
    },

    rollouts: () => rolloutsOf(site),

    ask: (path, body) =>
      fetch(`${site.url}${path}`, {
        ...(body && { method: 'POST', body: JSON.stringify(body) }),
        headers: { 'content-type': 'application/json', authorization: `Bearer ${API_TOKEN}` },
      }),

    rows(sql, ...values) {
      using database = open(site);
      return database.prepare(sql).all(...values);
    },

    execute(sql) {
      using database = open(site);
      database.exec(sql);
    },

    async remove() {
      await kill();
      await front?.close();
      await http?.close();
      await forge?.stop();
      await site.remove();
    },
  };
}

const open = ({ root }: ControllerSite): DatabaseSync =>
  new DatabaseSync(join(root, 'data/modelhook.db'), { timeout: 5000 });

/** Gives the controller a token of its API. */
function letAsk({ root }: ControllerSite): void {
  const file = join(root, 'modelhook.yaml');
  const config = parse(readFileSync(file, 'utf8'));
  config.server.apiTokens = [{ file: './api-token' }];
  writeFileSync(file, stringify(config));
  writeFileSync(join(root, 'api-token'), API_TOKEN);
}

async function rolloutsOf({ url }: ControllerSite): Promise<RolloutJson[]> {
  const response = await fetch(`${url}/api/v1/rollouts?limit=200`);
  const { items } = (await response.json()) as { items: RolloutJson[] };
  return items.reverse();
}

async function send({ url }: ControllerSite, forge: ConfigForge, { headers, body }: Delivery): Promise<void> {
  const text = JSON.stringify(body);
  const response = await fetch(`${url}/webhooks/${forge.kind}`, {
    method: 'POST',
    body: text,
    headers: {
      'content-type': 'application/json',
      // Commits of many files take longer than connections are kept.
      connection: 'close',
      ...headers,
      ...forge.sign(text, SECRET),
    },
  });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
}

/** A request on the config repository, and what its people do with it. */
export interface Request {
  number: number;
  /** Pushes by force. @returns the new head */
  push(tree: Tree): Promise<string>;
  close(): Promise<void>;
  /** Its forge tells of it. */
  tell(): Promise<void>;
  comments(): readonly string[];
}

/** Somebody proposes a change of the policies. */
export async function propose(
  { site, config, commit }: ReviewSite,
  forge: ConfigForge,
  tree: Tree,
  how: Partial<Pick<Proposal, 'base' | 'isFork'>> & { isTold?: boolean } = {},
): Promise<Request & { head: string }> {
  const { base = 'main', isFork = false, isTold = true } = how;
  const branch = `change-${randomUUID().slice(0, 8)}`;
  const tell = (number: number) => send(site, forge, forge.ofRequest(number));
  const made = (of: Tree): string => {
    const head = commit(of, branch);
    // A fork's branch is in another repository.
    if (isFork) config.remove(`refs/heads/${branch}`);
    return head;
  };
  const head = made(tree);
  const number = forge.open({ head, branch, base, isFork });
  config.point(forge.headRef(number), head);
  if (isTold) await tell(number);
  return {
    number,
    head,
    async push(next) {
      const sha = made(next);
      forge.push(number, sha);
      config.point(forge.headRef(number), sha);
      if (isTold) await tell(number);
      return sha;
    },
    async close() {
      forge.close(number);
      await tell(number);
    },
    tell: () => tell(number),
    comments: () => forge.comments(number),
  };
}

/** Waits until a commit has a status that is final. @returns all it has, the oldest first */
export async function reviewed(read: () => readonly WrittenStatus[]): Promise<readonly WrittenStatus[]> {
  await until(async () => FINAL.has(read().at(-1)?.state ?? ''));
  return read();
}
const FINAL = new Set(['success', 'failure', 'failed']);
