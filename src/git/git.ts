/** The one way git is run: bytes in, bytes out, and nothing of the caller's or the repository's configuration. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { StalledError } from '../core/errors.ts';

/** Git said no, or could not reach the other side. Transient until somebody who knows more says otherwise. */
export class GitError extends Error {
  override readonly name = 'GitError';
  /** Exit code; null where git was killed. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;

  constructor(command: string, code: number | null, stdout: string, stderr: string) {
    super(`git ${command}: ${lastWords(stderr) || `exit code ${code ?? 'unknown'}`}`);
    this.code = code;
    this.stdout = stdout;
    this.stderr = stderr;
  }
}

/** A command was ended by us: it took longer, or answered more, than it may. */
export class GitBoundError extends GitError {}

/** What git needs to reach a repository: where it is, and the environment that lets it in. */
export interface Remote {
  /** A path or URL, without credentials. */
  url: string;
  env: Readonly<Record<string, string>>;
  /** Configuration of the command, such as a credential helper that reads the environment above. */
  config: readonly (readonly [key: string, value: string])[];
}

export interface GitOptions {
  /** The repository (GIT_DIR). */
  dir?: string;
  /** Whose credentials the command may use. */
  remote?: Remote;
  /** Written to its standard input. */
  input?: string | Uint8Array;
  /** Bytes of standard output above which the command is ended; default 64 MiB. */
  maxOutput?: number;
  /** Milliseconds after which the command is ended; default two minutes. */
  timeout?: number;
  /** Sees standard error as it comes. What it throws ends the command and is thrown. */
  onStderr?: (text: string) => void;
}

const TIMEOUT = 120_000;
const MAX_OUTPUT = 64 * 1024 * 1024;
const MAX_STDERR = 64 * 1024;

/**
 * Set for every command, over whatever the repository says: none of its hooks, helpers or monitors run for us.
 * Pushing to a path still runs that repository's own hooks: Git starts its receiving side without these.
 */
const ALWAYS: Remote['config'] = [
  ['core.hooksPath', '/dev/null'],
  ['core.fsmonitor', 'false'],
  ['credential.helper', ''],
  ['gc.auto', '0'],
  ['maintenance.auto', 'false'],
  ['protocol.version', '2'],
];

/**
 * What git and ssh need of our environment. The rest holds our secrets, which no hook of a local repository gets to
 * see, and GIT_*, with which a hook that starts modelhook would point it at its own repository.
 */
const INHERITED = Object.fromEntries(
  Object.entries(process.env).filter(([key]) =>
    /^(?:PATH|HOME|USER|LOGNAME|TMPDIR|TZ|SSH_AUTH_SOCK|(?:https?|all|no)_proxy|SSL_CERT_(?:FILE|DIR))$/i.test(
      key,
    ),
  ),
);

function environment({
  dir,
  remote,
}: Pick<GitOptions, 'dir' | 'remote'>): Record<string, string | undefined> {
  const config = [...ALWAYS, ...(remote?.config ?? [])];
  return {
    ...INHERITED,
    LC_ALL: 'C',
    GIT_TERMINAL_PROMPT: '0',
    // Empty, or SSH_ASKPASS would open a window on a desktop.
    GIT_ASKPASS: '',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: fileURLToPath(new URL('./gitconfig', import.meta.url)),
    GIT_ALLOW_PROTOCOL: 'file:http:https:ssh',
    ...(dir !== undefined && { GIT_DIR: dir }),
    // A repository of somebody else's, read in place, must not make us fetch from where it says.
    ...(remote === undefined && { GIT_NO_LAZY_FETCH: '1' }),
    ...remote?.env,
    GIT_CONFIG_COUNT: String(config.length),
    ...Object.fromEntries(
      config.flatMap(([key, value], index) => [
        [`GIT_CONFIG_KEY_${index}`, key],
        [`GIT_CONFIG_VALUE_${index}`, value],
      ]),
    ),
  };
}

/** Running commands, so that a stop can end those that do not end by themselves. */
const running = new Set<ChildProcess>();

/**
 * Starts git in a process group of its own, so that Ctrl-C on a terminal reaches the controller alone, which then
 * decides what is finished and what is ended.
 */
export function spawnGit(args: readonly string[], options: Pick<GitOptions, 'dir' | 'remote'>): ChildProcess {
  const child = spawn('git', args, { env: environment(options), stdio: 'pipe', detached: true });
  running.add(child);
  child.once('close', () => running.delete(child));
  child.once('error', () => running.delete(child));
  // A command that ends early closes its input; its exit code says more than the broken pipe.
  child.stdin?.on('error', () => {});
  return child;
}

/** Ends a command and what it started. */
export function endGit(child: ChildProcess): void {
  // Once it is reaped, its number may be another process's.
  if (child.exitCode !== null || child.signalCode !== null) return;
  try {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  } catch {
    // It ended between the decision and the signal.
  }
}

/** Ends every command that still runs: the last step of a stop whose time is up. */
export function endAllGit(): void {
  for (const child of running) endGit(child);
}

/**
 * Runs one git command to its end.
 * @returns its standard output
 * @throws GitError where it exits with another code than 0; GitBoundError where it exceeds its bounds; StalledError where git is not installed
 */
export function git(args: readonly string[], options: GitOptions = {}): Promise<Buffer> {
  const command = args[0] ?? '';
  return new Promise((resolve, reject) => {
    const child = spawnGit(args, options);
    const out: Buffer[] = [];
    let size = 0;
    let stderr = '';
    const fail = (error: Error) => {
      reject(error);
      endGit(child);
    };
    const timeout = options.timeout ?? TIMEOUT;
    const timer = setTimeout(() => {
      fail(new GitBoundError(command, null, '', `gave no answer within ${timeout / 1000} s`));
    }, timeout);
    child.stdout?.on('data', (chunk: Buffer) => {
      out.push(chunk);
      size += chunk.length;
      if (size > (options.maxOutput ?? MAX_OUTPUT))
        fail(
          new GitBoundError(command, null, '', `answered more than ${options.maxOutput ?? MAX_OUTPUT} bytes`),
        );
    });
    child.stderr?.on('data', (chunk: Buffer) => {
      const text = chunk.toString();
      if (stderr.length < MAX_STDERR) stderr += text;
      try {
        options.onStderr?.(text);
      } catch (error) {
        fail(error instanceof Error ? error : new Error(String(error)));
      }
    });
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(spawnFailure(error));
    });
    child.once('close', (code) => {
      clearTimeout(timer);
      const stdout = Buffer.concat(out);
      if (code === 0) resolve(stdout);
      else {
        const said = (text: string) => withoutToken(text, options.remote);
        reject(new GitError(command, code, said(stdout.toString()), said(stderr)));
      }
    });
    child.stdin?.end(options.input ?? '');
  });
}

/** What a failed start means. */
export function spawnFailure(error: Error): Error {
  if (!('code' in error) || error.code !== 'ENOENT') return error;
  return new StalledError('the git command was not found', 'install Git 2.36 or newer, and put it on PATH', {
    cause: error,
  });
}

/** The variable the credential helper reads: the token is in git's environment, never in an argument. */
export const TOKEN_VARIABLE = 'MODELHOOK_GIT_TOKEN';

/** What a server says may repeat the token it was sent, as it is or as HTTP sends it, and git hands that on. */
export function withoutToken(said: string, remote: Remote | undefined): string {
  const token = remote?.env[TOKEN_VARIABLE];
  if (!token) return said;
  const holdsToken = (word: string) => Buffer.from(word, 'base64').toString().includes(token);
  return said
    .replaceAll(token, '[token]')
    .replaceAll(encodeURIComponent(token), '[token]')
    .replace(/[\w+/=-]{12,}/g, (word) => (holdsToken(word) ? '[token]' : word));
}

/** The lines of standard error that say why, without progress and advice. */
function lastWords(stderr: string): string {
  const lines = stderr
    .split(/[\r\n]+/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('hint:'));
  const telling = lines.filter((line) => /^(?:fatal|error|remote|ssh|Host key|.*denied)/i.test(line));
  return (telling.length > 0 ? telling : lines).slice(-4).join('; ').slice(0, 600);
}
