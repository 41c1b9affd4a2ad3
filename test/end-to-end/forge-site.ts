/** A controller in a process of its own before one forge of each kind, each behind a front that can be broken. */
import { type ChildProcess, spawn } from 'node:child_process';
import type { KeyObject } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { parse, stringify } from 'yaml';
import { type ControllerSite, ended, makeControllerSite, POLICY, until } from '../controller-site.ts';
import { GiteaServer, TOKENS } from '../forges/gitea-server.ts';
import { GitHubServer } from '../forges/github-server.ts';
import { GitLabServer } from '../forges/gitlab-server.ts';
import { startGitHttpServer } from '../git-http-server.ts';
import { type ForgeFront, startForgeFront } from './forge-front.ts';
import {
  type Workplace,
  workOnGitea,
  workOnGitHub,
  workOnGitLab,
  workOnPlainGit,
} from './forge-workplaces.ts';

const MAIN = fileURLToPath(new URL('../../bin/modelhook.js', import.meta.url));
const TEAM = 'ml';

export interface SiteForge extends Workplace {
  name: string;
  front: ForgeFront;
}

export interface ForgeSite {
  site: ControllerSite;
  /** One by name: github, gitlab, gitea, plain, and app, a GitHub again, with an App. */
  forge(name: string): SiteForge;
  forges: readonly SiteForge[];
  /** Everything the controller has written on standard output and error. */
  log(): string;
  database: DatabaseSync;
  /** Commits, tags, and tells the controller of it. @returns the commit */
  push(forge: SiteForge, path: string, tag: string): Promise<string>;
  post(forge: SiteForge, body: string, headers: Record<string, string>): Promise<Response>;
  /** Resolves once nothing is left to do. */
  settled(): Promise<void>;
  remove(): Promise<void>;
}

export interface ForgeSiteOptions {
  credentials: Credentials;
  /** Repository ids of the policies and the fleet; their Git is at the front of their forge. */
  policies?: string;
  fleet?: string;
}

/** What lets the controller in, and what webhooks are signed with. */
export interface Credentials {
  github: string;
  gitlab: string;
  gitea: string;
  plain: string;
  app: { publicKey: KeyObject; privateKey: string };
  webhooks: Record<'github' | 'gitlab' | 'gitea' | 'plain' | 'app', string>;
  /** More that the configuration holds: more secrets of webhooks, and tokens of the API. */
  more: { webhooks: Partial<Record<string, string[]>>; apiTokens: string[] };
}
/** @param models how many repositories each forge has: `ml/<forge>-<number>` */
export async function makeForgeSite(models: number, options: ForgeSiteOptions): Promise<ForgeSite> {
  const { credentials, policies = 'home:platform/policies', fleet = 'home:platform/fleet' } = options;
  const names = ['github', 'app', 'gitlab', 'gitea', 'plain'];
  const patterns = JSON.stringify(names.map((name) => `${name}:${TEAM}/*`));
  const site = await makeControllerSite({ policy: POLICY.replace('["plain:ml/*"]', patterns) });
  const closing: (() => Promise<void>)[] = [];
  const pathsOf = (name: string) => Array.from({ length: models }, (_, index) => `${TEAM}/${name}-${index}`);

  // The stand-in has tokens of its own.
  const known = new Map([[`token ${credentials.gitea}`, `token ${TOKENS.writer}`]]);

  /** A front with an API and Git behind it. */
  async function front(api: string | null, password: string | undefined): Promise<ForgeFront> {
    const git = await startGitHttpServer(join(site.root, 'git'), password === undefined ? {} : { password });
    const started = await startForgeFront((path) => (path.startsWith('/api') ? api : git.url), known);
    closing.push(started.close, git.close);
    return started;
  }

  const forges: SiteForge[] = [];
  const { webhooks } = credentials;
  for (const name of ['github', 'app'] as const) {
    const server = await new GitHubServer().start();
    closing.push(() => server.stop());
    if (name === 'github') server.tokens.set(credentials.github, { reads: true, writes: true });
    else {
      const installed = new Map(pathsOf(name).map((path, index) => [path, 31 + index]));
      server.app = { id: '4711', key: credentials.app.publicKey, installed, now: Date.now };
    }
    const started = await front(server.url, name === 'github' ? credentials.github : undefined);
    forges.push({ name, front: started, ...workOnGitHub(server, pathsOf(name), webhooks[name]) });
  }
  const gitlab = await new GitLabServer().start();
  closing.push(() => gitlab.stop());
  gitlab.tokens.set(credentials.gitlab, { user: 'modelhook', scope: 'api', role: 'Developer' });
  forges.push({
    name: 'gitlab',
    front: await front(gitlab.url, credentials.gitlab),
    ...workOnGitLab(gitlab, pathsOf('gitlab'), webhooks.gitlab),
  });
  const gitea = await GiteaServer.start();
  closing.push(() => gitea.end());
  forges.push({
    name: 'gitea',
    front: await front(gitea.url, credentials.gitea),
    ...workOnGitea(gitea, pathsOf('gitea'), webhooks.gitea),
  });
  forges.push({
    name: 'plain',
    front: await front(null, credentials.plain),
    ...workOnPlainGit(site.repository, pathsOf('plain'), webhooks.plain),
  });

  const forge = (name: string): SiteForge => {
    const one = forges.find((each) => each.name === name);
    if (!one) throw new Error(`no forge ${name}`);
    return one;
  };
  const env = configure(site, forge, { ...options, policies, fleet });
  const controller = await startController(site, env);
  const database = new DatabaseSync(join(site.root, 'data/modelhook.db'), { readOnly: true });

  async function post(to: SiteForge, body: string, headers: Record<string, string>): Promise<Response> {
    const all = { 'content-type': 'application/json', connection: 'close', ...headers };
    return fetch(`${site.url}/webhooks/${to.name}`, { method: 'POST', body, headers: all });
  }

  return {
    site,
    forge,
    forges,
    log: controller.log,
    database,
    post,

    async push(to, path, tag) {
      const sha = to.tag(path, tag);
      const { headers, body } = to.delivery(path, `refs/tags/${tag}`, sha);
      const text = JSON.stringify(body);
      const response = await post(to, text, { ...headers, ...to.sign(text) });
      if (response.status !== 202) throw new Error(`${response.status}: ${await response.text()}`);
      return sha;
    },

    async settled() {
      const open = database.prepare(
        `SELECT (SELECT count(*) FROM events WHERE policy_revision IS NULL)
              + (SELECT count(*) FROM rollouts WHERE stage IS NOT NULL)
              + (SELECT count(*) FROM reports WHERE due_at IS NOT NULL) AS n`,
      );
      await until(async () => open.get()?.['n'] === 0);
    },

    async remove() {
      database.close();
      await ended(controller.child, 'SIGKILL');
      await Promise.all(closing.map((close) => close()));
      await site.remove();
    },
  };
}

/** Writes modelhook.yaml and the files of secrets. @returns the environment that holds the others */
function configure(
  { root }: ControllerSite,
  forge: (name: string) => SiteForge,
  { credentials, policies, fleet }: Required<ForgeSiteOptions>,
): Record<string, string> {
  const env: Record<string, string> = {};
  let made = 0;
  /** Half of them in the environment, half in files. */
  const secret = (value: string): object => {
    made += 1;
    if (made % 2 === 0) {
      writeFileSync(join(root, `secret-${made}`), `${value}\n`);
      return { file: `./secret-${made}` };
    }
    env[`MODELHOOK_TEST_${made}`] = value;
    return { env: `MODELHOOK_TEST_${made}` };
  };
  const { webhooks, more } = credentials;
  const hooks = (name: keyof typeof webhooks) => ({
    webhookSecrets: [webhooks[name], ...(more.webhooks[name] ?? [])].map(secret),
  });
  const url = (name: string) => forge(name).front.url;
  const app = { id: '4711', privateKey: secret(credentials.app.privateKey) };
  const file = join(root, 'modelhook.yaml');
  const config = parse(readFileSync(file, 'utf8'));
  config.server.apiTokens = more.apiTokens.map(secret);
  config.forges = {
    home: { kind: 'git', url: './git' },
    github: { kind: 'github', url: url('github'), token: secret(credentials.github), ...hooks('github') },
    app: { kind: 'github', url: url('app'), app, ...hooks('app') },
    gitlab: { kind: 'gitlab', url: url('gitlab'), token: secret(credentials.gitlab), ...hooks('gitlab') },
    gitea: { kind: 'gitea', url: url('gitea'), token: secret(credentials.gitea), ...hooks('gitea') },
    plain: { kind: 'git', url: url('plain'), token: secret(credentials.plain), ...hooks('plain') },
  };
  config.policies.repository = policies;
  config.gitops.fleet.repository = fleet;
  writeFileSync(file, stringify(config));
  return env;
}

async function startController(
  { root, url }: ControllerSite,
  env: Record<string, string>,
): Promise<{ child: ChildProcess; log: () => string }> {
  const config = join(root, 'modelhook.yaml');
  const args = [
    '--disable-warning=ExperimentalWarning',
    MAIN,
    'serve',
    '--config',
    config,
    '--log-level',
    'debug',
  ];
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  let log = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      log += chunk.toString();
    });
  await until(async () => {
    if (child.exitCode !== null) throw new Error(`the controller ended with ${child.exitCode}:\n${log}`);
    const ready = await fetch(`${url}/readyz`).catch(() => null);
    await ready?.arrayBuffer();
    return ready?.status === 200;
  });
  return { child, log: () => log };
}
