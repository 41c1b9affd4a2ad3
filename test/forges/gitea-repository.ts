/** A repository of the stand-in for Gitea, and what its API reads there. */
import { HookList } from './gitea-hooks.ts';
import { type Files, ObjectStore } from './gitea-objects.ts';
import { PullRequestList } from './gitea-pull-requests.ts';
import { NOT_FOUND, Refusal } from './gitea-refusal.ts';

export interface Status {
  id: number;
  context: string;
  status: string;
  description: string;
  target_url: string;
}

/** A repository, and what people do in it. */
export class GiteaRepository {
  readonly id: number;
  path: string;
  archived = false;
  hasPullRequests = true;
  defaultBranch = 'main';
  readonly refs = new Map<string, string>();
  readonly objects = new ObjectStore();
  readonly statuses = new Map<string, Status[]>();
  readonly pullRequests = new PullRequestList(this);
  readonly hooks = new HookList();

  constructor(id: number, path: string) {
    this.id = id;
    this.path = path;
  }

  commit(branch: string, files: Files): string {
    const ref = `refs/heads/${branch}`;
    const sha = this.objects.commit(this.refs.get(ref), files);
    this.refs.set(ref, sha);
    return sha;
  }

  /** Makes a branch with a commit that main does not have. */
  branch(name: string): void {
    this.refs.set(`refs/heads/${name}`, this.refs.get('refs/heads/main') ?? '');
    this.commit(name, { 'change.txt': name });
  }

  /** Makes or moves an annotated tag, under the ref's name or another. @returns the tag object's id */
  annotate(ref: string, target: string, name: string = ref.replace('refs/tags/', '')): string {
    const object = this.objects.tag(name, target);
    this.refs.set(ref, object);
    return object;
  }

  /** The pages a list has: a server gives fewer at once than it is asked for. */
  pageSizes = { trees: 3, lists: 2, refs: 50 };
  maxBlob = 10 * 1024 * 1024;
}

/** An answer with the number of all there are. */
export interface Listing {
  items: unknown[];
  total: number;
}

/** What is read of a repository's Git objects and statuses. */
export function readRepository(
  repository: GiteaRepository,
  below: string,
  query: URLSearchParams,
  url: string,
): unknown {
  const { objects, refs, pageSizes } = repository;
  const [kind, rest = ''] = /^(git\/[a-z]+|statuses)\/?(.*)$/.exec(below)?.slice(1) ?? [];
  const page = Number(query.get('page') ?? 1);
  switch (kind) {
    case 'git/refs':
      return referencesOf(repository, `refs/${decodeURIComponent(rest)}`, url);
    case 'git/commits': {
      const sha = objects.peel(rest);
      const commit = objects.get(sha ?? '');
      if (commit?.type !== 'commit') throw new Refusal(404, `commit doesn't exist: ${rest}`);
      return { sha, created: new Date(commit.created).toISOString() };
    }
    case 'git/tags': {
      const tag = objects.get(rest);
      if (tag?.type !== 'tag') throw new Refusal(400, 'object does not exist');
      // The commit is that of the ref which is called like the tag was.
      const named = refs.get(`refs/tags/${tag.name}`);
      if (named === undefined) throw new Refusal(400, 'object does not exist');
      return { tagger: { date: new Date(tag.created).toISOString() }, object: { sha: objects.peel(named) } };
    }
    case 'git/trees': {
      const entries = objects.entries(rest);
      if (!entries) throw new Refusal(400, `sha not found [${rest}]`);
      const tree = entries.slice((page - 1) * pageSizes.trees, page * pageSizes.trees);
      return {
        tree,
        truncated: page * pageSizes.trees < entries.length,
        page,
        total_count: entries.length,
      };
    }
    case 'git/blobs': {
      const blob = objects.get(rest);
      if (blob?.type !== 'blob') throw new Refusal(400, 'object does not exist');
      const size = blob.bytes.length;
      const isGiven = size <= repository.maxBlob;
      return { size, content: isGiven ? Buffer.from(blob.bytes).toString('base64') : null };
    }
    case 'statuses': {
      // One second is all the default order knows; only this one is exact.
      const newest = (repository.statuses.get(rest) ?? []).toReversed();
      const ordered = query.get('sort') === 'leastindex' ? newest : newest.toReversed();
      return paged(ordered, query, pageSizes.lists).items;
    }
    default:
      throw NOT_FOUND;
  }
}

export function paged(all: readonly unknown[], query: URLSearchParams, max: number): Listing {
  const limit = Math.min(Number(query.get('limit') ?? 30), max);
  const page = Number(query.get('page') ?? 1);
  return { items: all.slice((page - 1) * limit, page * limit), total: all.length };
}

/** All whose names begin so: a prefix of any length, not only whole segments. */
function referencesOf({ refs, objects, path }: GiteaRepository, beginning: string, url: string): unknown {
  for (const [ref, sha] of refs)
    if (!objects.get(sha)) throw new Refusal(500, `fatal: missing object ${sha} for ${ref}`);
  const found = [...refs].filter(([ref]) => ref.startsWith(beginning)).sort();
  if (found.length === 0) throw NOT_FOUND;
  return found.map(([ref, sha]) => {
    const type = objects.get(sha)?.type;
    const base = `${url}/api/v1/repos/${path}/git`;
    return { ref, url: `${base}/${ref}`, object: { type, sha, url: `${base}/${type}s/${sha}` } };
  });
}

const short = (ref: string): string => ref.split('/').slice(2).join('/');

export function branchesOf({ refs, pageSizes }: GiteaRepository, query: URLSearchParams): Listing {
  const branches = [...refs].filter(([ref]) => ref.startsWith('refs/heads/'));
  const listing = paged(branches, query, pageSizes.refs);
  const items = listing.items.map((each) => {
    const [ref, id] = each as [string, string];
    return { name: short(ref), commit: { id } };
  });
  return { ...listing, items };
}

/** The commit is what a tag points to, a tag again or not; one tag of a file spoils all. */
export function tagsOf({ refs, objects, pageSizes }: GiteaRepository, query: URLSearchParams): Listing {
  const tags = [...refs].filter(([ref]) => ref.startsWith('refs/tags/')).reverse();
  if (tags.some(([, id]) => ['blob', 'tree'].includes(objects.get(id)?.type ?? '')))
    throw new Refusal(500, '');
  const listing = paged(tags, query, pageSizes.refs);
  const items = listing.items.map((each) => {
    const [ref, id] = each as [string, string];
    const object = objects.get(id);
    return { name: short(ref), id, commit: { sha: object?.type === 'tag' ? object.object : id } };
  });
  return { ...listing, items };
}
