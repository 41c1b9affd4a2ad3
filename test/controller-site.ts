/** A whole site for tests that cross rooms: bare repositories, a configuration, and a controller in a process of its own. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { sign } from '../src/forge/git/webhooks.ts';
import { importCommits } from '../src/git/fast-import.ts';
import { git } from '../src/git/git.ts';

export const SECRET = 'the-secret-of-the-test-forge';
const AUTHOR = { name: 'Test', email: 'test@example.com' };
const MAIN = fileURLToPath(new URL('../bin/modelhook.js', import.meta.url));

/** A policy that deploys version tags of everything below ml/ to the fleet. */
export const POLICY = `apiVersion: modelhook.dev/v1alpha1
kind: DeploymentPolicy
metadata: { name: production }
spec:
  match: { repositories: ["plain:ml/*"], tags: ["v*"] }
  target: { namespace: models }
  modelFormat: { name: sklearn, version: "1" }
  runtime: { name: kserve-sklearnserver }
  storage: { uri: "s3://models/\${repository.path}/\${sha}" }
  delivery: { gitops: fleet }
`;

export interface ControllerSite {
  root: string;
  fleet: string;
  /** The address the controller listens at. */
  url: string;
  /** Where a repository of the forge is. */
  repository(path: string): string;
  /** Makes model repositories with one commit, all alike. */
  makeModels(paths: readonly string[]): Promise<void>;
  /** Makes a tag on a model's newest commit. @returns the commit */
  tag(path: string, tag: string): Promise<string>;
  /** Sends what a post-receive hook sends. @returns the HTTP status; 0 where nobody listens */
  deliver(path: string, ref: string, after: string, id: string): Promise<number>;
  /** Starts the controller and waits until it is ready. */
  start(): Promise<ChildProcess>;
  /** Ends everything and removes it. */
  remove(): Promise<void>;
}

export interface SiteOptions {
  policy?: string;
  /** More of modelhook.yaml. */
  config?: Record<string, unknown>;
  node?: readonly string[];
}

export async function makeControllerSite({
  policy = POLICY,
  config = {},
  node = [],
}: SiteOptions = {}): Promise<ControllerSite> {
  const root = mkdtempSync(join(tmpdir(), 'modelhook-site-'));
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const repository = (path: string) => join(root, 'git', `${path}.git`);
  const fleet = repository('platform/fleet');
  const policies = repository('platform/policies');
  for (const dir of [fleet, policies]) await initBare(dir);
  await importCommits(policies, 'refs/heads/main', null, AUTHOR, 1_700_000_000, [
    { message: 'Policies\n', files: [{ path: 'policies/production.yaml', text: policy }] },
  ]);
  writeFileSync(join(root, 'secret'), SECRET);
  const configFile = join(root, 'modelhook.yaml');
  writeFileSync(
    configFile,
    stringify({
      server: { port },
      forges: { plain: { kind: 'git', url: './git', webhookSecrets: [{ file: './secret' }] } },
      policies: { repository: 'plain:platform/policies' },
      gitops: { fleet: { repository: 'plain:platform/fleet' } },
      ...config,
    }),
  );
  const running = new Set<ChildProcess>();
  const template = join(root, 'template.git');

  return {
    root,
    fleet,
    url,
    repository,

    async makeModels(paths) {
      await initBare(template);
      const card = '---\nlibrary_name: sklearn\npipeline_tag: tabular-classification\n---\n# A model\n';
      await importCommits(template, 'refs/heads/main', null, AUTHOR, 1_700_000_000, [
        { message: 'Train\n', files: [{ path: 'README.md', text: card }] },
      ]);
      for (const path of paths) cpSync(template, repository(path), { recursive: true });
    },

    async tag(path, tag) {
      const dir = repository(path);
      const head = (await git(['rev-parse', 'refs/heads/main'], { dir })).toString().trim();
      await git(['update-ref', `refs/tags/${tag}`, head], { dir });
      return head;
    },

    async deliver(path, ref, after, id) {
      const body = JSON.stringify({ repository: `${path}.git`, before: '0'.repeat(40), after, ref });
      try {
        const response = await fetch(`${url}/webhooks/plain`, {
          method: 'POST',
          body,
          headers: {
            'content-type': 'application/json',
            'x-modelhook-signature-256': sign(SECRET, body),
            'x-modelhook-delivery': id,
          },
        });
        await response.arrayBuffer();
        return response.status;
      } catch {
        return 0;
      }
    },

    async start() {
      const args = [...node, '--disable-warning=ExperimentalWarning', MAIN, 'serve', '--config', configFile];
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] });
      running.add(child);
      child.once('exit', () => running.delete(child));
      let log = '';
      child.stderr?.on('data', (chunk: Buffer) => {
        log = (log + chunk.toString()).slice(-20_000);
      });
      await until(async () => {
        if (child.exitCode !== null) throw new Error(`the controller ended with ${child.exitCode}:\n${log}`);
        const ready = await fetch(`${url}/readyz`).catch(() => null);
        await ready?.arrayBuffer();
        return ready?.status === 200;
      });
      return child;
    },

    async remove() {
      for (const child of running) await ended(child, 'SIGKILL');
      rmSync(root, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
    },
  };
}

async function initBare(dir: string): Promise<void> {
  mkdirSync(dir, { recursive: true });
  await git(['init', '--quiet', '--bare', '--template=', '--initial-branch=main', '--', dir]);
}

/** Ends a process and waits for it. @returns its exit code; null where the signal ended it */
export async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const { promise, resolve } = Promise.withResolvers<number | null>();
  child.once('exit', (code) => resolve(code));
  child.kill(signal);
  return promise;
}

/**
 * Waits for something that no event announces. Fails when the test's own time is up.
 * @param every milliseconds between two looks
 * @param within milliseconds after which it fails, where something else would end the waiting otherwise
 */
export async function until(
  done: () => Promise<boolean>,
  every = 20,
  within = Number.POSITIVE_INFINITY,
): Promise<void> {
  const began = performance.now();
  while (!(await done())) {
    if (performance.now() - began > within) throw new Error(`nothing came of it within ${within} ms`);
    await new Promise((resolve) => setTimeout(resolve, every));
  }
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

export interface FleetCommit {
  commit: string;
  subject: string;
  rollout: string;
  repository: string;
}

/** The subjects and rollout trailers of a branch, oldest first. */
export function fleetLog(fleet: string): FleetCommit[] {
  const format =
    '--format=%H%x09%s%x09%(trailers:key=Modelhook-Rollout,valueonly,separator=%x20)%x09%(trailers:key=Modelhook-Repository,valueonly,separator=%x20)';
  const output = execFileSync('git', ['--git-dir', fleet, 'log', '--reverse', format, 'main'], {
    encoding: 'utf8',
    stdio: 'pipe',
    maxBuffer: 1 << 28,
  });
  return output
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const [commit = '', subject = '', rollout = '', repository = ''] = line.split('\t');
      return { commit, subject, rollout: rollout.trim(), repository: repository.trim() };
    });
}
