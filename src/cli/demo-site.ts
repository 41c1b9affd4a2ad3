/** What the demo needs around the controller: three bare repositories, work trees to push from, and a configuration. */
import { type ExecFileOptions, execFile, execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { stringify } from 'yaml';

export interface DemoSite {
  /** The temporary folder; nothing is written outside it. */
  root: string;
  configFile: string;
  /** Repository ids. */
  model: string;
  policies: string;
  /** Bare repositories. */
  modelRepository: string;
  fleetRepository: string;
  /** Work trees to push from. */
  modelTree: string;
  policiesTree: string;
  /** Whether this machine has what a post-receive hook needs. */
  hooksReport: boolean;
  /** Pushes the model as a person would. @returns what git printed */
  push(refs: readonly string[]): Promise<string>;
  /** Runs git as the demo's user and returns what it printed. */
  git(dir: string, ...args: string[]): string;
}

const CONTENT = fileURLToPath(new URL('../../config/demo', import.meta.url));

/** @param port the controller's; 0: a free one */
export function makeDemoSite(port: number): DemoSite {
  const root = mkdtempSync(join(tmpdir(), 'modelhook-demo-'));
  try {
    return furnish(root, port);
  } catch (error) {
    rmSync(root, { recursive: true, force: true });
    throw error;
  }
}

function furnish(root: string, port: number): DemoSite {
  const [model, policies, fleet] = ['ml/iris', 'platform/model-policies', 'platform/fleet'].map((path) =>
    join(root, 'git', `${path}.git`),
  ) as [string, string, string];
  for (const bare of [model, policies, fleet])
    git(root, 'init', '--quiet', '--bare', '--initial-branch=main', bare);

  const policiesTree = clone(root, policies, 'model-policies');
  cpSync(join(CONTENT, 'policies'), join(policiesTree, 'policies'), { recursive: true });
  commit(policiesTree, 'Serve version tags of ml/ in production');
  git(policiesTree, 'push', '--quiet', 'origin', 'main');

  const modelTree = clone(root, model, 'iris');
  cpSync(join(CONTENT, 'model'), modelTree, { recursive: true });
  const tree = readFileSync(join(modelTree, 'model.pmml'), 'utf8');
  // The first version knew two species: the tree without its second split.
  writeFileSync(
    join(modelTree, 'model.pmml'),
    tree.replace(/\n *<Node id="narrow"[\s\S]*?(?=\n *<\/Node>\n *<\/Node>\n *<\/TreeModel)/, ''),
  );
  commit(modelTree, 'Tell setosa from the others');
  git(modelTree, 'tag', 'v0.9.0');
  git(modelTree, 'push', '--quiet', 'origin', 'main', 'v0.9.0');
  writeFileSync(join(modelTree, 'model.pmml'), tree);
  commit(modelTree, 'Tell virginica from versicolor');
  git(modelTree, 'tag', '--annotate', '--message', 'Three species', 'v1.0.0');

  const hooksReport = has('curl') && has('openssl');
  writeFileSync(join(root, 'webhook-secret'), randomBytes(32).toString('hex'), { mode: 0o600 });
  const configFile = join(root, 'modelhook.yaml');
  writeFileSync(
    configFile,
    stringify({
      server: { port },
      forges: { plain: { kind: 'git', url: './git', webhookSecrets: [{ file: './webhook-secret' }] } },
      policies: { repository: 'plain:platform/model-policies' },
      gitops: {
        fleet: {
          repository: 'plain:platform/fleet',
          author: { name: 'modelhook', email: 'modelhook@example.com' },
        },
      },
      ...(!hooksReport && { reconcile: { interval: '1s' } }),
    }),
  );

  return {
    root,
    configFile,
    model: 'plain:ml/iris',
    policies: 'plain:platform/model-policies',
    modelRepository: model,
    fleetRepository: fleet,
    modelTree,
    policiesTree,
    hooksReport,
    async push(refs) {
      return (await run('git', ['push', 'origin', ...refs], { cwd: modelTree, env: environment() })).stderr;
    },
    git,
  };
}

const run = promisify(execFile);

/** Without the caller's GIT_*: the demo may be run from a hook or with another repository in mind. */
const environment = (): ExecFileOptions['env'] =>
  Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.startsWith('GIT_')));

function git(dir: string, ...args: string[]): string {
  return execFileSync('git', args, { cwd: dir, env: environment(), encoding: 'utf8', stdio: 'pipe' });
}

function clone(root: string, bare: string, name: string): string {
  const tree = join(root, name);
  mkdirSync(tree);
  git(tree, 'init', '--quiet', '--initial-branch=main');
  git(tree, 'remote', 'add', 'origin', bare);
  // Set in the repository, so that a push by hand works on a machine without a Git identity.
  git(tree, 'config', 'user.name', 'Demo');
  git(tree, 'config', 'user.email', 'demo@example.com');
  git(tree, 'config', 'commit.gpgSign', 'false');
  git(tree, 'config', 'tag.gpgSign', 'false');
  return tree;
}

function commit(tree: string, message: string): void {
  git(tree, 'add', '--all');
  git(tree, 'commit', '--quiet', '--message', message);
}

function has(program: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
