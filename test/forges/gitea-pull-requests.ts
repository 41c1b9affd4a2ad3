/** Pull requests of the stand-in for Gitea, as its API shows and changes them. */
import type { ObjectStore } from './gitea-objects.ts';
import { idOf, NOT_FOUND, Refusal } from './gitea-refusal.ts';

/** The repository it is in, or comes from. */
interface Home {
  readonly id: number;
  readonly path: string;
  readonly archived: boolean;
  readonly refs: ReadonlyMap<string, string>;
  readonly objects: ObjectStore;
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
  comments: Comment[];
  /** What the repository has of it under refs/pull. */
  sha: string;
}

interface Comment {
  id: number;
  body: string;
  /** null: that account is gone. */
  user: { id: number; login: string } | null;
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
  #comments = 0;

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
  openFrom(fork: Home, head: string, base = 'main', title = 'From a fork'): number {
    return this.#add({ head, base, title }, fork, 'stranger').number;
  }

  /** What is left when the fork is removed. */
  forget(fork: Home): void {
    for (const pull of this.#kept)
      if (pull.from === fork) Object.assign(pull, { from: null, isClosed: true });
  }

  commentsOf(number: number): readonly string[] {
    return this.#find(number).comments.map(({ body }) => body);
  }

  /** @param login null: somebody whose account is gone */
  addComment(number: number, body: string, login: string | null): Comment {
    this.#comments += 1;
    const user = login === null ? null : { id: idOf(login), login };
    const comment = { id: this.#comments, body, user };
    this.#find(number).comments.push(comment);
    return comment;
  }

  removeComment(number: number, body: string): void {
    const pull = this.#find(number);
    pull.comments = pull.comments.filter((each) => each.body !== body);
  }

  retarget(number: number, base: string): void {
    this.#find(number).base = base;
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

  /** All of them, whatever page is asked for. */
  listComments(number: number): unknown[] {
    const pull = this.#kept[number - 1];
    if (!pull) throw new Refusal(500, '');
    return pull.comments;
  }

  comment(number: number, body: string | undefined, login: string): unknown {
    if (this.#repository.archived) throw new Refusal(423, `${this.#repository.path} is archived`);
    if (!this.#kept[number - 1]) throw new Refusal(500, '');
    if (!body) throw new Refusal(422, '[Body]: Required');
    return this.addComment(number, body, login);
  }

  getComment(id: number): unknown {
    return this.#findComment(id);
  }

  /** Who may write may edit anybody's. */
  editComment(id: number, body: string | undefined, login: string, mayWrite: boolean): unknown {
    if (this.#repository.archived) throw new Refusal(423, `${this.#repository.path} is archived`);
    const comment = this.#findComment(id);
    if (comment.user?.login !== login && !mayWrite) throw new Refusal(403, '');
    comment.body = body ?? '';
    return comment;
  }

  #findComment(id: number): Comment {
    const found = this.#kept.flatMap(({ comments }) => comments).find((each) => each.id === id);
    if (!found) throw NOT_FOUND;
    return found;
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
      sha: '',
    };
    this.#kept.push(pull);
    this.#fetch(pull);
    return pull;
  }

  #find(number: number): Kept {
    const found = this.#kept[number - 1];
    if (!found) throw NOT_FOUND;
    return found;
  }

  /** What is pushed to its branch, in a fork too, comes into the repository. */
  #fetch(pull: Kept): void {
    const sha = pull.from?.refs.get(`refs/heads/${pull.head}`);
    if (!pull.from || sha === undefined) return;
    pull.sha = sha;
    this.#repository.objects.take(sha, pull.from.objects);
  }

  #hasBranch = ({ from, head }: Kept): boolean => from?.refs.has(`refs/heads/${head}`) ?? false;

  /** The deletion of its branch closes one. */
  #isClosed(pull: Kept): boolean {
    if (!this.#hasBranch(pull)) pull.isClosed = true;
    return pull.isClosed;
  }

  #shown(pull: Kept): unknown {
    this.#fetch(pull);
    const { number, title, body, mergeCommit, head, from, base, sha } = pull;
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
        sha,
        repo_id: from?.id ?? -1,
      },
      base: { label: base, ref: base, repo_id: id },
    };
  }
}

const cut = (title: string): string =>
  title.length > TITLE_LIMIT ? `${title.slice(0, TITLE_LIMIT - 2)}…` : title;
