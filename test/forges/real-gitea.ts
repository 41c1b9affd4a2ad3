/** A real Gitea that MODELHOOK_TEST_GITEA names: repositories made by its API, pushed to by Git over HTTP. */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import { CLEAN_GIT, GitRepository } from '../git-repository.ts';

export interface GiteaAccess {
  url: string;
  /** An administrator's. */
  token: string;
  username: string;
}

/** @returns null where the variable is not set */
export function giteaAccess(): GiteaAccess | null {
  const access = process.env['MODELHOOK_TEST_GITEA'];
  return access ? (JSON.parse(access) as GiteaAccess) : null;
}

const run = promisify(execFile);

export class RealGitea {
  readonly #access: GiteaAccess;
  readonly #users: string[] = [];

  constructor(access: GiteaAccess) {
    this.#access = access;
  }

  get apiUrl(): string {
    return `${this.#access.url}/api/v1`;
  }

  /** @returns what the API answered, where that was 2xx */
  async api(method: string, path: string, body?: unknown, authorization?: string): Promise<unknown> {
    const response = await fetch(`${this.apiUrl}${path}`, {
      method,
      headers: {
        'content-type': 'application/json',
        authorization: authorization ?? `token ${this.#access.token}`,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const answer = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${answer}`);
    return answer === '' ? null : JSON.parse(answer);
  }

  /** Makes a user of its own who is no administrator. @returns a token of theirs with these scopes */
  async tokenOf(user: string, scopes: readonly string[]): Promise<string> {
    const password = randomUUID();
    const account = { username: user, password, email: `${user}@example.com`, must_change_password: false };
    await this.api('POST', '/admin/users', account);
    this.#users.push(user);
    const basic = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
    const token = await this.api('POST', `/users/${user}/tokens`, { name: 'test', scopes }, basic);
    return (token as { sha1: string }).sha1;
  }

  /** Makes a user one of the owners of an organisation. */
  async makeOwner(organisation: string, user: string): Promise<void> {
    const teams = (await this.api('GET', `/orgs/${organisation}/teams`)) as { id: number; name: string }[];
    const owners = teams.find(({ name }) => name === 'Owners');
    await this.api('PUT', `/teams/${owners?.id}/members/${user}`);
  }

  /** Removes the users that were made here. */
  async end(): Promise<void> {
    for (const user of this.#users.splice(0)) await this.api('DELETE', `/admin/users/${user}?purge=true`);
  }

  /** Makes a private repository in an organization of its own. */
  async create(): Promise<RealRepository> {
    const owner = `ml-${randomUUID().slice(0, 8)}`;
    await this.api('POST', '/orgs', { username: owner });
    await this.api('POST', `/orgs/${owner}/repos`, { name: 'iris', private: true, default_branch: 'main' });
    return new RealRepository(this, this.#access, owner, 'iris');
  }
}

/** A repository on Gitea, and a local one that is pushed to it. */
export class RealRepository {
  readonly gitea: RealGitea;
  readonly owner: string;
  name: string;
  readonly local: GitRepository;
  readonly #folder = mkdtempSync(join(tmpdir(), 'modelhook-gitea-'));
  readonly #access: GiteaAccess;

  constructor(gitea: RealGitea, access: GiteaAccess, owner: string, name: string) {
    this.gitea = gitea;
    this.#access = access;
    this.owner = owner;
    this.name = name;
    this.local = GitRepository.create(join(this.#folder, 'local.git'));
  }

  get path(): string {
    return `${this.owner}/${this.name}`;
  }

  async push(...refspecs: string[]): Promise<void> {
    await this.pushTo(this.path, ...refspecs);
  }

  /** @param path of another repository, such as a fork */
  async pushTo(path: string, ...refspecs: string[]): Promise<void> {
    await this.#git('push', path, refspecs);
  }

  /** @returns what a ref of it points to; undefined where there is none */
  async remoteRef(ref: string): Promise<string | undefined> {
    const found = await this.#git('ls-remote', this.path, [ref]);
    return found.split('\t')[0] || undefined;
  }

  async #git(command: string, path: string, refs: string[]): Promise<string> {
    const { username, token, url } = this.#access;
    const basic = Buffer.from(`${username}:${token}`).toString('base64');
    const args = [command, '--quiet', '--', `${url}/${path}.git`, ...refs];
    const { stdout } = await run('git', args, {
      env: {
        ...CLEAN_GIT,
        GIT_DIR: this.local.dir,
        GIT_TERMINAL_PROMPT: '0',
        GIT_CONFIG_COUNT: '2',
        GIT_CONFIG_KEY_1: 'http.extraHeader',
        GIT_CONFIG_VALUE_1: `Authorization: Basic ${basic}`,
      },
    });
    return stdout;
  }

  async commit(branch: string, files: Readonly<Record<string, string | Uint8Array>>): Promise<string> {
    const sha = this.local.commit(files, 'Train', branch);
    await this.push(`refs/heads/${branch}`);
    return sha;
  }

  async point(ref: string, sha: string): Promise<void> {
    this.local.point(ref, sha);
    await this.push(`+${ref}`);
  }

  async annotate(ref: string, sha: string): Promise<string> {
    const object = this.local.annotate(ref, sha);
    await this.push(`+${ref}`);
    return object;
  }

  async remove(ref: string): Promise<void> {
    this.local.remove(ref);
    await this.push(`:${ref}`);
  }

  /** Waits until Gitea itself knows that something was pushed: an empty repository takes no pull requests. */
  async untilNotEmpty(): Promise<void> {
    for (let tries = 0; tries < 100; tries += 1) {
      const { empty } = (await this.gitea.api('GET', `/repos/${this.path}`)) as { empty: boolean };
      if (!empty) return;
      await setTimeout(100);
    }
    throw new Error(`${this.path} stays empty`);
  }

  /** Makes a branch with a commit that main does not have. */
  async branch(name: string): Promise<void> {
    this.local.point(`refs/heads/${name}`, this.local.read('refs/heads/main') ?? '');
    await this.commit(name, { [`changes/${name}.txt`]: name });
  }

  /** A person merges a pull request. @returns the commit it became */
  async merge(number: number): Promise<string> {
    const path = `/repos/${this.path}/pulls/${number}`;
    // Gitea refuses with 405 while it looks for conflicts, and where there are some.
    for (let tries = 0; ; tries += 1) {
      try {
        await this.gitea.api('POST', `${path}/merge`, { Do: 'merge' });
        break;
      } catch (error) {
        if (tries > 100 || !(error instanceof Error && error.message.includes('try again later')))
          throw error;
        await setTimeout(100);
      }
    }
    const { merge_commit_sha } = (await this.gitea.api('GET', path)) as { merge_commit_sha: string };
    return merge_commit_sha;
  }

  async rename(name: string): Promise<void> {
    await this.gitea.api('PATCH', `/repos/${this.path}`, { name });
    this.name = name;
  }

  async end(): Promise<void> {
    rmSync(this.#folder, { recursive: true });
    await this.gitea.api('DELETE', `/repos/${this.path}`);
    await this.gitea.api('DELETE', `/orgs/${this.owner}`);
  }
}
