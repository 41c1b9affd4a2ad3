/** A real Gitea that MODELHOOK_TEST_GITEA names: repositories made by its API, pushed to by Git over HTTP. */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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

  /** Removes the users that were made here. */
  async end(): Promise<void> {
    for (const user of this.#users.splice(0)) await this.api('DELETE', `/admin/users/${user}`);
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
    const { username, token, url } = this.#access;
    const basic = Buffer.from(`${username}:${token}`).toString('base64');
    const args = ['push', '--quiet', '--', `${url}/${this.path}.git`, ...refspecs];
    await run('git', args, {
      env: {
        ...CLEAN_GIT,
        GIT_DIR: this.local.dir,
        GIT_TERMINAL_PROMPT: '0',
        GIT_CONFIG_COUNT: '2',
        GIT_CONFIG_KEY_1: 'http.extraHeader',
        GIT_CONFIG_VALUE_1: `Authorization: Basic ${basic}`,
      },
    });
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
