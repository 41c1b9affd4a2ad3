/** A forge in memory: what tests of the pipeline put in the place of a real one. It passes the same suite. */
import { createHash, createHmac, randomUUID, timingSafeEqual } from 'node:crypto';
import { type CommitStatus, truncate } from '../core/commit-status.ts';
import { StalledError } from '../core/errors.ts';
import { isFullSha, type RefMove } from '../core/ref-event.ts';
import {
  type Finding,
  type Forge,
  type ForgeAdministration,
  type RefReading,
  type RepositoryFile,
  type RepositoryReader,
  type RepositoryUse,
  type StatusWriter,
  type WebhookDelivery,
  WebhookError,
  type WebhookReceiver,
  type WebhookRequest,
  type WebhookScope,
} from './forge.ts';
import { FakePullRequests } from './pull-requests.fake.ts';
import { FakeReviews } from './reviews.fake.ts';

type Files = Readonly<Record<string, string | Uint8Array>>;
type Statuses = Map<string, CommitStatus>;

interface FakeRepository {
  refs: Map<string, RefReading>;
  commits: Map<string, ReadonlyMap<string, Uint8Array>>;
  /** By commit, then by context. */
  statuses: Map<string, Statuses>;
}

const SIGNATURE_HEADER = 'x-fake-signature';
const DELIVERY_HEADER = 'x-fake-delivery';
const DESCRIPTION_LIMIT = 140;

export class FakeForge implements Forge {
  readonly name: string;
  readonly secrets: readonly string[];
  /** Thrown by everything but webhooks while it is set: the forge is down. */
  down: Error | null = null;
  readonly pullRequests = new FakePullRequests((repository) => this.#repositories.has(repository));
  readonly reviews = new FakeReviews((repository) => this.#repositories.has(repository));
  readonly administration = new FakeAdministration((path) => this.#find(`${this.name}:${path}`));
  /** Former ids, and what they are now: what a rename leaves behind on the forge. */
  readonly #renamed = new Map<string, string>();
  readonly #projectIds = new Map<string, string>();
  #numbered = 0;
  readonly #repositories = new Map<string, FakeRepository>();

  constructor(name: string, secrets: readonly string[] = ['a-secret']) {
    this.name = name;
    this.secrets = secrets;
  }

  // What people do on the forge.

  /** @param path below the forge @returns the repository's id */
  create(path: string): string {
    const id = `${this.name}:${path}`;
    this.#renamed.delete(id);
    this.#numbered += 1;
    this.#projectIds.set(id, String(this.#numbered));
    this.#repositories.set(id, { refs: new Map(), commits: new Map(), statuses: new Map() });
    return id;
  }

  /** The repository keeps its number, and its old name leads to it until another takes that. @returns its new id */
  rename(repository: string, path: string): string {
    const id = `${this.name}:${path}`;
    this.#repositories.set(id, this.#find(repository));
    this.#projectIds.set(id, this.projectIdOf(repository));
    this.#repositories.delete(repository);
    this.#projectIds.delete(repository);
    this.#renamed.set(repository, id);
    return id;
  }

  projectIdOf(repository: string): string {
    return this.#projectIds.get(this.#renamed.get(repository) ?? repository) ?? '';
  }

  /** Adds a commit with these files to a branch, whose other files stay. @returns its id */
  commit(repository: string, files: Files, branch = 'main'): string {
    const { refs, commits } = this.#find(repository);
    const ref = `refs/heads/${branch}`;
    const tree = new Map(commits.get(refs.get(ref)?.sha ?? ''));
    for (const [path, content] of Object.entries(files)) tree.set(path, Buffer.from(content));
    const sha = newSha();
    commits.set(sha, tree);
    refs.set(ref, { sha, object: sha });
    return sha;
  }

  /** Makes or moves a ref, to any commit, there or not. */
  point(repository: string, ref: string, sha: string): void {
    this.#find(repository).refs.set(ref, { sha, object: sha });
  }

  /** Makes or moves an annotated tag. @returns the tag object's id */
  annotate(repository: string, ref: string, sha: string): string {
    const object = newSha();
    this.#find(repository).refs.set(ref, { sha, object });
    return object;
  }

  remove(repository: string, ref: string): void {
    this.#find(repository).refs.delete(ref);
  }

  /** The statuses of a commit, by context. */
  statusesOf(repository: string, sha: string): ReadonlyMap<string, CommitStatus> {
    return this.#find(repository).statuses.get(sha) ?? new Map();
  }

  /** The delivery this forge sends for a move; unsigned where the secret is null. */
  delivery(
    move: Omit<RefMove, 'projectId'>,
    secret: string | null = this.secrets[0] ?? null,
  ): WebhookRequest {
    return this.signed(JSON.stringify({ ...move, projectId: null }), secret);
  }

  /** The delivery this forge sends when something happens to a pull request. */
  pullRequestDelivery(repository: string, secret: string): WebhookRequest {
    return this.signed(JSON.stringify({ repository, pullRequest: 7 }), secret);
  }

  signed(body: string | Uint8Array, secret: string | null): WebhookRequest {
    const headers = new Map<string, string>([[DELIVERY_HEADER, randomUUID()]]);
    if (secret !== null) headers.set(SIGNATURE_HEADER, hmac(secret, body).toString('hex'));
    return { header: (name) => headers.get(name.toLowerCase()), body: Buffer.from(body) };
  }

  // What modelhook sees of it.

  readonly webhooks: WebhookReceiver = {
    receive: ({ header, body }) => {
      const given = Buffer.from(header(SIGNATURE_HEADER) ?? '', 'hex');
      if (given.length === 0) throw new WebhookError(401, 'the signature is missing');
      const matches = (secret: string) => given.length === 32 && timingSafeEqual(given, hmac(secret, body));
      if (!this.secrets.some(matches)) throw new WebhookError(401, 'the signature is wrong');
      return deliveryOf(header(DELIVERY_HEADER) ?? null, body);
    },
  };

  readonly repositories: RepositoryReader = {
    lag: 0,
    identify: async (repository) => {
      this.#find(repository);
      return {
        repository: this.#renamed.get(repository) ?? repository,
        projectId: this.projectIdOf(repository),
      };
    },
    readRef: async (repository, ref, paths, maxBytes) => {
      const { refs, commits } = this.#find(repository);
      const reading = refs.get(ref);
      if (!reading) return null;
      const tree = commits.get(reading.sha);
      if (!tree) throw noCommit(`${ref} points to ${reading.sha}`);
      return { ...reading, files: paths.map((path) => fileOf(tree, path, maxBytes)) };
    },
    readFiles: async (repository, sha, paths, maxBytes) => {
      const tree = this.#find(repository).commits.get(sha);
      if (!tree) throw noCommit(sha);
      return paths.map((path) => fileOf(tree, path, maxBytes));
    },
    listRefs: async (repository) =>
      [...this.#find(repository).refs].map(([ref, reading]) => ({ ref, ...reading, createdAt: null })),
  };

  readonly statuses: StatusWriter = {
    write: async (repository, sha, _ref, status) => {
      const { statuses } = this.#find(repository);
      const ofCommit: Statuses = statuses.get(sha) ?? new Map();
      statuses.set(sha, ofCommit.set(status.context, stored(status)));
    },
    holds: async (repository, sha, status) => {
      const held = this.#find(repository).statuses.get(sha)?.get(status.context);
      return JSON.stringify(held) === JSON.stringify(stored(status));
    },
  };

  #find(repository: string): FakeRepository {
    if (this.down) throw this.down;
    const found = this.#repositories.get(this.#renamed.get(repository) ?? repository);
    if (!found) throw new Error(`${repository} was not found`);
    return found;
  }
}

/** Keeps webhooks by their scope, and finds fault with those that are not there. */
export class FakeAdministration implements ForgeAdministration {
  /** By kind and path, such as `repository ml/iris`, then by address: the secret. */
  readonly hooks = new Map<string, Map<string, string>>();
  readonly #find: (path: string) => unknown;

  /** @param find throws where no repository is at the path, or the forge is down */
  constructor(find: (path: string) => unknown) {
    this.#find = find;
  }

  async registerWebhook(
    { kind, path }: WebhookScope,
    { url, secret }: { url: string; secret: string },
  ): Promise<'created' | 'updated'> {
    if (kind === 'repository') this.#find(path);
    const hooks = this.hooks.get(`${kind} ${path}`) ?? new Map<string, string>();
    const outcome = hooks.has(url) ? 'updated' : 'created';
    this.hooks.set(`${kind} ${path}`, hooks.set(url, secret));
    return outcome;
  }

  async examine(uses: readonly RepositoryUse[], webhookUrl: string | null): Promise<Finding[]> {
    return uses.map(({ repository: about }): Finding => {
      const path = about.slice(about.indexOf(':') + 1);
      this.#find(path);
      const isReported = webhookUrl === null || this.hooks.get(`repository ${path}`)?.has(webhookUrl);
      return isReported
        ? { about, state: 'good', message: 'is as it must be', fix: null }
        : { about, state: 'fault', message: 'has no webhook', fix: 'make one' };
    });
  }
}

const newSha = (): string => createHash('sha1').update(randomUUID()).digest('hex');

const hmac = (secret: string, body: string | Uint8Array): Buffer =>
  createHmac('sha256', secret).update(body).digest();

const noCommit = (what: string): StalledError =>
  new StalledError(`${what}, and no such commit is in the repository`, 'push the commit');

/** As forges keep a status: the description is cut. */
const stored = ({ context, state, description, url }: CommitStatus): CommitStatus => ({
  context,
  state,
  description: truncate(description, DESCRIPTION_LIMIT),
  url,
});

function fileOf(tree: ReadonlyMap<string, Uint8Array>, path: string, maxBytes: number): RepositoryFile {
  const bytes = tree.get(path);
  if (!bytes) return { kind: 'missing', path };
  return bytes.length > maxBytes
    ? { kind: 'tooLarge', path, size: bytes.length }
    : { kind: 'file', path, bytes };
}

function deliveryOf(id: string | null, body: Uint8Array): WebhookDelivery {
  let move: (Partial<RefMove> & { pullRequest?: number }) | null;
  try {
    move = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    throw new WebhookError(400, 'the body is not JSON');
  }
  if (typeof move?.repository === 'string' && move.pullRequest !== undefined)
    return { kind: 'changed', what: 'pullRequest', repository: move.repository, reason: 'one changed' };
  if (typeof move?.repository !== 'string' || typeof move.ref !== 'string')
    throw new WebhookError(400, 'the body names no repository and ref');
  const { repository, ref } = move;
  const [before, after] = [move.before, move.after].map((sha) =>
    isFullSha(sha ?? '') ? (sha ?? null) : null,
  );
  if (before === after) return { kind: 'ignored', reason: 'a test delivery' };
  return {
    kind: 'refs',
    id,
    moves: [{ repository, projectId: null, ref, before: before ?? null, after: after ?? null }],
  };
}
