/** What Git objects say, asked for once each: what an object name stands for never changes. */
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
  /** @returns when an annotated tag was made, in milliseconds since the epoch; null where it is not told */
  taggedAt(repository: string, object: string): Promise<number | null>;
}

const MAX_KEPT = 20_000;

export function createGiteaObjects(client: GiteaClient): GiteaObjects {
  const commits = remembered(async (repository, object) => {
    const below = `git/commits/${object}?stat=false&verification=false&files=false`;
    const commit = await client.get(repository, below, commitSchema);
    return commit && { sha: commit.sha, createdAt: dateOf(commit.created) };
  });
  const tags = remembered(async (repository, object) => {
    // 400 where the name the tag was made with is no ref's.
    const tag = await client.get(repository, `git/tags/${object}`, annotatedTagSchema, [400, 404]);
    return dateOf(tag?.tagger?.date);
  });
  return { commit: commits, taggedAt: tags };
}

/** A date that is not there is written as the year 1. */
const dateOf = (date: number | undefined): number | null => (date !== undefined && date > 0 ? date : null);

type Read<Fact> = (repository: string, object: string) => Promise<Fact | null>;

/** Keeps what was found; what was not there may come. */
function remembered<Fact>(read: Read<Fact>): Read<Fact> {
  const kept = new Map<string, Fact>();
  return async (repository, object) => {
    const known = kept.get(object);
    if (known !== undefined) return known;
    const fact = await read(repository, object);
    if (fact === null) return null;
    kept.set(object, fact);
    const [oldest] = kept.keys();
    if (kept.size > MAX_KEPT && oldest !== undefined) kept.delete(oldest);
    return fact;
  };
}
