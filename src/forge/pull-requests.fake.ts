/** Pull requests in memory, which pass the same cases as those of real forges (pull-request-contract.ts). */
import type { PullRequest, PullRequestDraft, PullRequests } from './forge.ts';

interface Kept extends PullRequest {
  repository: string;
  /** Whether its branch is in another repository. */
  isFork: boolean;
  comments: string[];
}

export class FakePullRequests implements PullRequests {
  /** Thrown by everything while it is set: the forge is down, or refuses. */
  failure: Error | null = null;
  readonly #kept: Kept[] = [];
  readonly #exists: (repository: string) => boolean;

  /** @param exists whether the forge has such a repository */
  constructor(exists: (repository: string) => boolean) {
    this.#exists = exists;
  }

  // What people do on the forge.

  /** @returns the commit that merged it */
  merge(repository: string, number: number, mergeCommit = number.toString(16).padStart(40, 'e')): string {
    Object.assign(this.#find(repository, number), { state: 'merged', mergeCommit });
    return mergeCommit;
  }

  /** Makes it go to another branch. */
  retarget(repository: string, number: number, base: string): void {
    this.#find(repository, number).base = base;
  }

  close(repository: string, number: number): void {
    this.#find(repository, number).state = 'closed';
  }

  /** Opens one from a fork's branch of that name. */
  openFromFork(repository: string, draft: PullRequestDraft): PullRequest {
    return this.#add(repository, draft, true);
  }

  commentsOf(repository: string, number: number): readonly string[] {
    return this.#find(repository, number).comments;
  }

  // What modelhook sees of it.

  async listOpen(repository: string, prefix: string): Promise<PullRequest[]> {
    this.#check(repository);
    return this.#kept
      .filter((each) => each.repository === repository && each.state === 'open' && !each.isFork)
      .filter(({ head }) => head.startsWith(prefix))
      .map(shown);
  }

  async get(repository: string, number: number): Promise<PullRequest> {
    this.#check(repository);
    return shown(this.#find(repository, number));
  }

  async open(repository: string, draft: PullRequestDraft): Promise<PullRequest> {
    const others = await this.listOpen(repository, draft.head);
    if (others.some(({ head, base }) => head === draft.head && base === draft.base))
      throw new Error(`there is an open pull request of ${draft.head} already`);
    return this.#add(repository, draft, false);
  }

  async edit(
    repository: string,
    number: number,
    change: { title?: string; text?: string; state?: 'closed' },
  ): Promise<void> {
    this.#check(repository);
    Object.assign(this.#find(repository, number), change);
  }

  async comment(repository: string, number: number, text: string): Promise<void> {
    this.#check(repository);
    this.#find(repository, number).comments.push(text);
  }

  #check(repository: string): void {
    if (this.failure) throw this.failure;
    if (!this.#exists(repository)) throw new Error(`${repository} was not found`);
  }

  #add(repository: string, draft: PullRequestDraft, isFork: boolean): PullRequest {
    const number = this.#kept.length + 1;
    const kept: Kept = {
      ...draft,
      repository,
      number,
      label: `#${number}`,
      url: `https://forge.example.com/pulls/${number}`,
      state: 'open',
      mergeCommit: null,
      isFork,
      comments: [],
    };
    this.#kept.push(kept);
    return shown(kept);
  }

  #find(repository: string, number: number): Kept {
    const found = this.#kept.find((each) => each.repository === repository && each.number === number);
    if (!found) throw new Error(`${repository} has no pull request ${number}`);
    return found;
  }
}

const shown = ({ repository: _, isFork: __, comments: ___, ...pullRequest }: Kept): PullRequest =>
  pullRequest;
