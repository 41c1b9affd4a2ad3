/** What the parts of the GitHub stand-in share: what there is, who asks, and how GitHub refuses. */

export interface Pointer {
  type: string;
  sha: string;
}

/** A file, a symbolic link, a submodule, or a file of which only the size is known. */
export type Entry = Uint8Array | { link: string } | { submodule: true } | { size: number };

export interface Repository {
  id: number;
  path: string;
  archived: boolean;
  private: boolean;
  refs: Map<string, Pointer>;
  commits: Map<string, { tree: Map<string, Entry>; date: string }>;
  tags: Map<string, { object: Pointer; date: string }>;
  statuses: { sha: string; state: string; description: string; context: string; target_url: string }[];
  pulls: Pull[];
  hooks: Hook[];
}

export interface Pull {
  number: number;
  html_url: string;
  state: 'open' | 'closed';
  merged_at: string | null;
  merge_commit_sha: string | null;
  title: string;
  body: string | null;
  draft: boolean;
  /** The newest commit, also where it is in a fork. */
  head: { ref: string; sha: string; repo: { id: number } | null };
  base: { ref: string; repo: { id: number } };
  comments: Comment[];
}

export interface User {
  id: number;
  login: string;
}

export interface Comment {
  id: number;
  body: string;
  /** null: that account is gone. */
  user: User | null;
}

export interface HookConfig {
  url: string;
  content_type?: string;
  insecure_ssl?: string;
  secret?: string;
}

export interface Hook {
  id: number;
  active: boolean;
  events: string[];
  config: HookConfig;
  /** The newest first. */
  deliveries: { status_code: number; status: string; event: string }[];
}

export type Right = 'statuses' | 'contents' | 'pulls' | 'hooks';

/** What a token may do; a classic one is refused with 404. */
export interface Grant {
  reads: boolean;
  writes: boolean;
  classic?: boolean;
  /** What it may not do, though it writes. */
  lacks?: readonly Right[];
  /** Of a classic token, as GitHub says them. */
  scopes?: string;
  /** When it ends, as GitHub says it. */
  ends?: string;
  /** The App's installation that it is of. */
  installation?: number;
}

export interface Reply {
  status: number;
  body?: unknown;
  headers?: Record<string, string>;
}

/** Whose a token is. */
export const ADA: User = { id: 101, login: 'ada' };
/** By whom an App writes. */
export const BOT: User = { id: 900, login: 'modelhook-of-ml[bot]' };

export type Page = (items: unknown[]) => Reply;

export const refusal = (status: number, message: string, more: object = {}): Reply => ({
  status,
  body: { message, documentation_url: 'https://docs.github.com/rest', ...more },
});
export const notFound = refusal(404, 'Not Found');
export const invalid = (resource: string, message: string): Reply =>
  refusal(422, 'Validation Failed', { errors: [{ resource, code: 'custom', message }] });

/** @returns what GitHub answers to who lacks a right; null: it may */
export function denied(grant: Grant, right: Right): Reply | null {
  if (grant.writes && !grant.lacks?.includes(right)) return null;
  return grant.classic ? notFound : refusal(403, 'Resource not accessible by personal access token');
}
export const archivedReply = refusal(403, 'Repository was archived so is read-only.');
