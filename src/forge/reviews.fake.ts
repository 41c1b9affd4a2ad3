/** Reviews in memory, which pass the same cases as those of real forges (review-contract.ts). */
import { truncate } from '../core/commit-status.ts';
import type { ReviewRequest, Reviews } from './forge.ts';
import { markerOf } from './kept-comment.ts';

interface FakeComment {
  text: string;
  /** Whether modelhook wrote it. */
  isOurs: boolean;
}

interface Kept extends ReviewRequest {
  repository: string;
  base: string;
  isOpen: boolean;
  comments: FakeComment[];
}

/** What somebody proposes. */
export interface FakeProposal {
  /** The commit at its head. */
  head: string;
  base: string;
  title?: string;
  /** Whether its branch is in another repository. */
  isFork?: boolean;
}

export class FakeReviews implements Reviews {
  /** Thrown by everything while it is set: the forge is down, or refuses. */
  failure: Error | null = null;
  readonly commentLimit = 65_536;
  readonly #kept: Kept[] = [];
  readonly #exists: (repository: string) => boolean;

  /** @param exists whether the forge has such a repository */
  constructor(exists: (repository: string) => boolean) {
    this.#exists = exists;
  }

  // What people do on the forge.

  open(repository: string, { head, base, title = 'A change', isFork = false }: FakeProposal): ReviewRequest {
    const number = this.#kept.length + 1;
    const headRef = `refs/pull/${number}/head`;
    const kept: Kept = {
      repository,
      number,
      label: `#${number}`,
      url: `https://forge.example.com/pulls/${number}`,
      title,
      head,
      headRef,
      statusRef: isFork ? headRef : `refs/heads/change-${number}`,
      base,
      isOpen: true,
      comments: [],
    };
    this.#kept.push(kept);
    return shown(kept);
  }

  push(repository: string, number: number, head: string): void {
    this.#find(repository, number).head = head;
  }

  /** Makes it go to another branch. */
  retarget(repository: string, number: number, base: string): void {
    this.#find(repository, number).base = base;
  }

  close(repository: string, number: number): void {
    this.#find(repository, number).isOpen = false;
  }

  comment(repository: string, number: number, text: string): void {
    this.#find(repository, number).comments.push({ text, isOurs: false });
  }

  removeComment(repository: string, number: number, text: string): void {
    const found = this.#find(repository, number);
    found.comments = found.comments.filter((each) => each.text !== text);
  }

  /** Oldest first. */
  commentsOf(repository: string, number: number): readonly FakeComment[] {
    return this.#find(repository, number).comments;
  }

  // What modelhook sees of it.

  async listOpen(repository: string, base: string): Promise<ReviewRequest[]> {
    this.#check(repository);
    return this.#kept
      .filter((each) => each.repository === repository && each.isOpen && each.base === base)
      .map(shown);
  }

  async keepComment(repository: string, number: number, text: string): Promise<void> {
    this.#check(repository);
    const { comments } = this.#find(repository, number);
    const marker = markerOf(text);
    const known = comments.find((each) => each.isOurs && each.text.startsWith(marker));
    const cut = truncate(text, this.commentLimit);
    if (known) known.text = cut;
    else comments.push({ text: cut, isOurs: true });
  }

  filesUrl(_repository: string, sha: string): string {
    return `https://forge.example.com/files/${sha}`;
  }

  #check(repository: string): void {
    if (this.failure) throw this.failure;
    if (!this.#exists(repository)) throw new Error(`${repository} was not found`);
  }

  #find(repository: string, number: number): Kept {
    const found = this.#kept.find((each) => each.repository === repository && each.number === number);
    if (!found) throw new Error(`${repository} has no pull request ${number}`);
    return found;
  }
}

const shown = ({ repository: _, base: __, isOpen: ___, comments: ____, ...request }: Kept): ReviewRequest =>
  request;
