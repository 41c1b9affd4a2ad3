/** How git reaches the repositories of a plain Git server, without a secret in any argument or URL. */
import { existsSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { git, type Remote, TOKEN_VARIABLE } from './git.ts';

/** Where a plain Git server's repositories are, and what lets us in. */
export interface RemoteAccess {
  /** A path, or a base URL: ssh://, https://, file://. */
  url: string;
  /** For https, beside the token. Most servers take any. */
  user: string;
  /** For https: asked for each time, since some forges' tokens live for an hour; null: none is needed. */
  token: ((path: string) => Promise<string | null>) | null;
  /** For ssh: files that ssh opens itself. */
  ssh: { key: string; knownHosts: string } | null;
  /** A file with the certificates of a private CA. */
  ca: string | null;
}

/** Whether the base is a folder of this machine, whose repositories are read and written in place. */
export const isLocal = ({ url }: RemoteAccess): boolean => isAbsolute(url);

/**
 * Where a repository on this machine is: `<url>/<path>.git`, else `<url>/<path>`.
 * @throws GitError where there is neither
 */
export function localRepository({ url }: RemoteAccess, path: string): string {
  const candidates = [`${url}/${path}.git`, `${url}/${path}`];
  // Also a clone with a work tree serves: its repository is in .git.
  for (const candidate of candidates.flatMap((each) => [each, `${each}/.git`])) {
    if (existsSync(`${candidate}/HEAD`) && existsSync(`${candidate}/objects`)) return candidate;
  }
  throw new Error(`there is no Git repository at ${candidates.join(' or ')}`);
}

/**
 * Where a repository is, on this machine or another, and what lets us in.
 * @param known where it was found before: then it is not looked for
 * @throws GitError where it cannot be found or reached
 */
export async function locateRemote(
  access: RemoteAccess,
  path: string,
  known: string | null = null,
): Promise<Remote> {
  const credentials = await credentialsOf(access, path);
  if (isLocal(access)) return { url: localRepository(access, path), ...credentials };
  if (known !== null) return { url: known, ...credentials };
  const base = access.url.replace(/\/+$/, '');
  const remote = { url: `${base}/${path}.git`, ...credentials };
  try {
    await git(['ls-remote', '--', remote.url, 'HEAD'], { remote });
    return remote;
  } catch (error) {
    const bare = { ...remote, url: `${base}/${path}` };
    // The first failure is the one to tell: `.git` is how repositories are usually named.
    await git(['ls-remote', '--', bare.url, 'HEAD'], { remote: bare }).catch(() => {
      throw error;
    });
    return bare;
  }
}

async function credentialsOf(
  { url, user, token: source, ssh, ca }: RemoteAccess,
  path: string,
): Promise<Pick<Remote, 'env' | 'config'>> {
  const env: Record<string, string> = {};
  const config: [string, string][] = [];
  const token = /^https?:/.test(url) ? await source?.(path) : null;
  if (token) {
    env[TOKEN_VARIABLE] = token;
    // Only this server gets it: the helper is configured for its URL, so a redirect to another host finds none.
    const helper = `!f() { test "$1" = get && printf 'username=${user}\\npassword=%s\\n' "$${TOKEN_VARIABLE}"; }; f`;
    config.push([`credential.${new URL(url).origin}.helper`, helper]);
  }
  if (ssh !== null) {
    const options = [
      `IdentityFile=${sshPath(ssh.key)}`,
      'IdentitiesOnly=yes',
      'BatchMode=yes',
      'StrictHostKeyChecking=yes',
      `UserKnownHostsFile=${sshPath(ssh.knownHosts)}`,
    ];
    env.GIT_SSH_COMMAND = ['ssh', ...options.flatMap((option) => ['-o', shellQuote(option)])].join(' ');
    env.GIT_SSH_VARIANT = 'ssh';
  }
  if (ca !== null) env.GIT_SSL_CAINFO = ca;
  return { env, config };
}

/** One path as ssh_config(5) reads it: otherwise a space would begin another, and % a token. */
const sshPath = (path: string): string => `"${path.replaceAll('%', '%%')}"`;

const shellQuote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
