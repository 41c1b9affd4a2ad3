/** Pull requests of the stand-in for Gitea, as its API shows and changes them. */
import { NOT_FOUND, Refusal } from './gitea-refusal.ts';

/** The repository it is in, or comes from. */
interface Home {
  readonly id: number;
  readonly path: string;
  readonly archived: boolean;
  readonly refs: ReadonlyMap<string, string>;
  commit(branch: string, files: Readonly<Record<string, string>>): string;
}

interface Kept {
  number: number;
  title: string;
  body: string;
  poster: string;
  isClosed: boolean;
  mergeCommit: string | null;
  head: string;
  /** The repository of the branch; null: it is gone. */
  from: Home | null;
  base: string;
  comments: string[];
}

/** What a request's body may say. */
export interface PullRequestForm {
  head?: string;
  base?: string;
  title?: string;
  body?: string;
  state?: string;
}

const TITLE_LIMIT = 255;

export class PullRequestList {
  readonly #repository: Home;
  readonly #kept: Kept[] = [];

  constructor(repository: Home) {
    this.#repository = repository;
  }

  // What people do.

  /** @returns the commit that merged it */
  merge(number: number): string {
    const pull = this.#find(number);
    const sha = this.#repository.commit(pull.base, { 'merged.txt': `${number}` });
    Object.assign(pull, { mergeCommit: sha, isClosed: true });
    return sha;
  }

  close(number: number): void {
    this.#find(number).isClosed = true;
  }

  /** Somebody proposes a fork's branch. @returns its number */
  openFrom(fork: Home, head: string): number {
    return this.#add({ head, base: 'main', title: 'From a fork' }, fork, 'stranger').number;
  }

  /** What is left when the fork is removed. */
  forget(fork: Home): void {
    for (const pull of this.#kept)
      if (pull.from === fork) Object.assign(pull, { from: null, isClosed: true });
  }

  commentsOf(number: number): readonly string[] {
    return this.#find(number).comments;
  }

  // What the API does.

  list(state: string | null): unknown[] {
    return this.#kept
      .filter((pull) => state !== 'open' || !this.#isClosed(pull))
      .map((pull) => this.#shown(pull));
  }

  get(number: number): unknown {
    return this.#shown(this.#find(number));
  }

  open(form: PullRequestForm, poster: string): unknown {
    const { refs, archived, path } = this.#repository;
    if (archived) throw new Refusal(423, `${path} is archived`);
    if (!form.title) throw new Refusal(422, '[Title]: Required');
    const same = this.#kept.find(
      (pull) =>
        !this.#isClosed(pull) &&
        pull.from === this.#repository &&
        pull.head === form.head &&
        pull.base === form.base,
    );
    for (const branch of [form.head, form.base]) if (!refs.has(`refs/heads/${branch}`)) throw NOT_FOUND;
    if (same) throw new Refusal(409, `pull request already exists for these targets [id: ${same.number}, …]`);
    return this.#shown(this.#add(form, this.#repository, poster));
  }

  /** An archived repository's, too. */
  edit(number: number, form: PullRequestForm, login: string, mayWrite: boolean): unknown {
    const pull = this.#find(number);
    if (pull.poster !== login && !mayWrite) throw new Refusal(403, '');
    // An empty title is none.
    if (form.title) pull.title = cut(form.title);
    if (form.body !== undefined) pull.body = form.body;
    if (form.state !== undefined) {
      if (pull.mergeCommit !== null)
        throw new Refusal(412, 'cannot change state of this pull request, it was already merged');
      pull.isClosed = form.state === 'closed';
    }
    return this.#shown(pull);
  }

  comment(number: number, body: string | undefined): unknown {
    if (this.#repository.archived) throw new Refusal(423, `${this.#repository.path} is archived`);
    const pull = this.#kept[number - 1];
    if (!pull) throw new Refusal(500, '');
    if (!body) throw new Refusal(422, '[Body]: Required');
    pull.comments.push(body);
    return { id: pull.comments.length, body };
  }

  #add(form: PullRequestForm, from: Home, poster: string): Kept {
    const { head = '', base = '', title = '', body = '' } = form;
    const number = this.#kept.length + 1;
    const pull: Kept = {
      number,
      title: cut(title),
      body,
      poster,
      isClosed: false,
      mergeCommit: null,
      head,
      from,
      base,
      comments: [],
    };
    this.#kept.push(pull);
    return pull;
  }

  #find(number: number): Kept {
    const found = this.#kept[number - 1];
    if (!found) throw NOT_FOUND;
    return found;
  }

  #hasBranch = ({ from, head }: Kept): boolean => from?.refs.has(`refs/heads/${head}`) ?? false;

  /** The deletion of its branch closes one. */
  #isClosed(pull: Kept): boolean {
    if (!this.#hasBranch(pull)) pull.isClosed = true;
    return pull.isClosed;
  }

  #shown(pull: Kept): unknown {
    const { number, title, body, mergeCommit, head, from, base } = pull;
    const { id, path } = this.#repository;
    return {
      number,
      title,
      body,
      html_url: `http://gitea.example.com/${path}/pulls/${number}`,
      state: this.#isClosed(pull) ? 'closed' : 'open',
      merged: mergeCommit !== null,
      merge_commit_sha: mergeCommit,
      head: {
        label: head,
        ref: this.#hasBranch(pull) ? head : `refs/pull/${number}/head`,
        repo_id: from?.id ?? -1,
      },
      base: { label: base, ref: base, repo_id: id },
    };
  }
}

const cut = (title: string): string =>
  title.length > TITLE_LIMIT ? `${title.slice(0, TITLE_LIMIT - 2)}…` : title;
