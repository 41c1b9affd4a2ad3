/** What Git objects say, asked for once in each repository: what an object name stands for never changes. */
import type { GiteaClient } from './client.ts';
import { annotatedTagSchema, commitSchema } from './schema.ts';

export interface Commit {
  /** The commit's own name, also where an annotated tag's was asked for. */
  sha: string;
  /** In milliseconds since the epoch; null where it is not told. */
  createdAt: number | null;
}

export interface GiteaObjects {
  /** @returns the commit behind the object name of a commit or annotated tag; null where there is none */
  commit(repository: string, object: string): Promise<Commit | null>;
  /**
   * Asks anew whether a commit is there: the name may be another repository's by now.
   * @throws GiteaError where the repository itself is not readable
   */
  holds(repository: string, sha: string): Promise<boolean>;
  /** @returns when an annotated tag was made, in milliseconds since the epoch; null where it is not told */
  taggedAt(repository: string, object: string): Promise<number | null>;
}

const MAX_KEPT = 20_000;

export function createGiteaObjects(client: GiteaClient): GiteaObjects {
  async function readCommit(repository: string, object: string): Promise<Commit | null> {
    const below = `git/commits/${object}?stat=false&verification=false&files=false`;
    const commit = await client.get(repository, below, commitSchema);
    return commit && { sha: commit.sha, createdAt: dateOf(commit.created) };
  }

  async function holds(repository: string, sha: string): Promise<boolean> {
    if (await readCommit(repository, sha)) return true;
    await client.repository(repository);
    return false;
  }

  const tags = remembered(async (repository, object) => {
    // 400 where the name the tag was made with is no ref's.
    const tag = await client.get(repository, `git/tags/${object}`, annotatedTagSchema, [400, 404]);
    return dateOf(tag?.tagger?.date);
  });
  return { commit: remembered(readCommit), taggedAt: tags, holds };
}

/** A date that is not there is written as the year 1. */
const dateOf = (date: number | undefined): number | null => (date !== undefined && date > 0 ? date : null);

type Read<Fact> = (repository: string, object: string) => Promise<Fact | null>;

/** Keeps what was found, for each repository: a fork has commits of its own. What was not there may come. */
function remembered<Fact>(read: Read<Fact>): Read<Fact> {
  const kept = new Map<string, Fact>();
  return async (repository, object) => {
    const key = `${repository} ${object}`;
    const known = kept.get(key);
    if (known !== undefined) return known;
    const fact = await read(repository, object);
    if (fact === null) return null;
    kept.set(key, fact);
    const [oldest] = kept.keys();
    if (kept.size > MAX_KEPT && oldest !== undefined) kept.delete(oldest);
    return fact;
  };
}
