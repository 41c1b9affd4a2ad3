/** What `npm pack` makes: installed from the tarball into an empty project, it works without this repository. */
import { type ExecFileException, execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));
/** What a checkout holds besides what is packed from; node_modules is linked instead of copied. */
const NOT_COPIED = new Set(['.git', 'node_modules', 'dist', 'data', 'test']);
const QUIET = ['--no-audit', '--no-fund', '--loglevel=error'];

interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

let root: string;
let tarball: string;
let packed: string[];
/** Installs Node 24 beside the package's own installation; false where it cannot be had. */
let node24: Promise<boolean>;

/** Without npm's own variables: the npm that runs these tests must not steer the one that is tested. */
function environment(node: string): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(
    ([key]) => !/^(?:npm_|NODE_OPTIONS|VITEST)/i.test(key),
  );
  return { ...Object.fromEntries(inherited), PATH: `${dirname(node)}${delimiter}${process.env['PATH']}` };
}

function run(
  command: string,
  args: readonly string[],
  cwd: string,
  node = process.execPath,
  timeout = 240_000,
): Promise<Ran> {
  return new Promise((resolve) => {
    const done = (error: ExecFileException | null, stdout: string, stderr: string) =>
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr });
    const options = { cwd, env: environment(node), maxBuffer: 1 << 26, timeout };
    execFile(command, args, options, done).stdin?.end();
  });
}

async function runOrThrow(command: string, args: readonly string[], cwd: string): Promise<Ran> {
  const ran = await run(command, args, cwd);
  if (ran.code !== 0)
    throw new Error(`${command} ${args.join(' ')} ended with ${ran.code}:\n${ran.stdout}${ran.stderr}`);
  return ran;
}

/** A project without anything in it. Newer versions of npm run only the install scripts it allows. */
async function emptyProject(name: string): Promise<string> {
  const dir = join(root, name);
  await mkdir(dir);
  const manifest = { name, private: true, allowScripts: { node: true } };
  await writeFile(join(dir, 'package.json'), JSON.stringify(manifest));
  return dir;
}

async function pack(): Promise<void> {
  const copy = join(root, 'repository');
  const filter = (source: string): boolean => !NOT_COPIED.has(relative(REPOSITORY, source));
  await cp(REPOSITORY, copy, { recursive: true, filter });
  await symlink(join(REPOSITORY, 'node_modules'), join(copy, 'node_modules'));
  await runOrThrow('npm', ['pack', '--silent', '--pack-destination', root], copy);
  const [file = ''] = (await readdir(root)).filter((name) => name.endsWith('.tgz'));
  tarball = join(root, file);
  const { stdout } = await runOrThrow('tar', ['-tzf', tarball], root);
  packed = stdout
    .split('\n')
    .filter(Boolean)
    .map((path) => path.replace(/^package\//, ''));
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'modelhook-package-'));
  const project = await emptyProject('project');
  const other = await emptyProject('node-24');
  await pack();
  await runOrThrow('npm', ['install', ...QUIET, '--prefer-offline', tarball], project);
  // Not beside the other: two of them at once have waited for each other.
  node24 = installNode24(other);
}, 300_000);

afterAll(async () => {
  await node24;
  await rm(root, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
}, 300_000);

/** A download that stalls is begun again: it takes seconds, or for ever. */
async function installNode24(project: string): Promise<boolean> {
  for (let tries = 0; tries < 3; tries++) {
    const { code } = await run('npm', ['install', ...QUIET, 'node@24'], project, process.execPath, 60_000);
    if (code === 0) return true;
  }
  return false;
}

const installed = (...path: string[]): string => join(root, 'project', 'node_modules', ...path);

test('the tarball holds the built program, its command, the configuration examples and the documentation', () => {
  expect(packed).toEqual(
    expect.arrayContaining([
      'package.json',
      'README.md',
      'bin/modelhook.js',
      'dist/main.js',
      'dist/git/gitconfig',
      'config/modelhook.yaml',
      'config/demo/policies/production.yaml',
      'docs/architecture.md',
    ]),
  );
});

test('the tarball holds no TypeScript, no tests, no lockfile and no files of the build', () => {
  const unwanted =
    /^(?:src|test|node_modules|\.ci)\/|\.ts$|\.(?:test|fake|fixture)\.js$|contract\.js$|^(?:package-lock|tsconfig|biome|knip|Dockerfile|\.)/;
  expect(packed.filter((path) => unwanted.test(path))).toEqual([]);
});

test('the installed command runs the demo to its end and writes the status', async () => {
  const { code, stdout, stderr } = await run(installed('.bin', 'modelhook'), ['demo', '--once'], root);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/modelhook\/production\tsuccess\tCommitted [0-9a-f]{7} to fleet\thttp/);
}, 300_000);

test('the installed command says its version', async () => {
  const { stdout } = await run(installed('.bin', 'modelhook'), ['--version'], root);
  expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
});

test('the installed command runs the demo on Node 24, the oldest one that is supported', async (context) => {
  if (!(await node24)) return context.skip('Node 24 could not be installed');
  const node = join(root, 'node-24', 'node_modules', 'node', 'bin', 'node');
  const version = await run(node, ['--version'], root);
  expect(version.stdout).toMatch(/^v24\./);
  const { code, stdout, stderr } = await run(installed('.bin', 'modelhook'), ['demo', '--once'], root, node);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/modelhook\/production\tsuccess\tCommitted [0-9a-f]{7} to fleet\thttp/);
}, 300_000);
