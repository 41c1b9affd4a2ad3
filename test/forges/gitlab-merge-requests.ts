/** Merge requests of the stand-in for GitLab: their states, what they refuse, and the commands in their texts. */
import { createHash } from 'node:crypto';
import { message, notFound, type Reply } from './gitlab-reply.ts';

type State = 'opened' | 'closed' | 'merged' | 'locked';

interface MergeRequest {
  iid: number;
  state: State;
  title: string;
  description: string | null;
  source_branch: string;
  target_branch: string;
  /** null: the fork is gone. */
  source_project_id: number | null;
  target_project_id: number;
  sha: string;
  merge_commit_sha: string | null;
  squash_commit_sha: string | null;
  merge_status: string;
  web_url: string;
}

interface Note {
  id: number;
  body: string;
  /** Whether GitLab wrote it of itself. */
  system: boolean;
  author: { id: number };
}

/** What people may write into a text, one a line, and the state it leads to. */
const COMMANDS: Readonly<Record<string, State>> = { close: 'closed', merge: 'merged' };
const shaOf = (text: string) => createHash('sha1').update(text).digest('hex');

export class MergeRequestList {
  readonly all: MergeRequest[] = [];
  readonly notes = new Map<number, Note[]>();
  readonly #project: { id: number; url: string };

  /** @param url the page of the project */
  constructor(id: number, url: string) {
    this.#project = { id, url };
  }

  // What people do.

  merge(iid: number, how: 'merge' | 'squash' | 'fast-forward' = 'merge'): string {
    const found = this.#of(iid);
    const commit = how === 'fast-forward' ? found.sha : shaOf(`${how} ${iid}`);
    if (how === 'merge') found.merge_commit_sha = commit;
    if (how === 'squash') found.squash_commit_sha = commit;
    found.state = 'merged';
    return commit;
  }

  setState(iid: number, state: State): void {
    this.#of(iid).state = state;
  }

  openFromFork(source_branch: string, target_branch = 'main', source_project_id: number | null = 99): number {
    return this.#add({ source_branch, target_branch, source_project_id, title: 'mine', description: null })
      .iid;
  }

  /** Somebody opens one whose head is this commit. @param from its project; another than this one is a fork */
  openAt(sha: string, source_branch: string, target_branch: string, title: string, from: number): number {
    const made = this.#add({
      source_branch,
      target_branch,
      title,
      description: null,
      source_project_id: from,
    });
    made.sha = sha;
    return made.iid;
  }

  change(iid: number, changes: Partial<Pick<MergeRequest, 'sha' | 'target_branch'>>): void {
    Object.assign(this.#of(iid), changes);
  }

  /** @param author the number of the user */
  addNote(iid: number, body: string, author: number, system = false): Note {
    const notes = this.notes.get(iid) ?? [];
    const note = { id: (notes.at(-1)?.id ?? iid * 10_000) + 1, body, system, author: { id: author } };
    this.notes.set(iid, [...notes, note]);
    return note;
  }

  #of(iid: number): MergeRequest {
    const found = this.all.find((each) => each.iid === iid);
    if (!found) throw new Error(`no merge request !${iid}`);
    return found;
  }

  #add(
    fields: Pick<
      MergeRequest,
      'source_branch' | 'target_branch' | 'title' | 'description' | 'source_project_id'
    >,
  ) {
    const iid = this.all.length + 1;
    const made: MergeRequest = {
      iid,
      state: 'opened',
      target_project_id: this.#project.id,
      sha: shaOf(fields.source_branch),
      merge_commit_sha: null,
      squash_commit_sha: null,
      // Computed later, which nobody must wait for.
      merge_status: 'checking',
      web_url: `${this.#project.url}/-/merge_requests/${iid}`,
      ...fields,
    };
    this.all.push(made);
    return made;
  }

  // The API.

  /**
   * @param rest below `merge_requests`; whole lists are the caller's to cut into pages
   * @param user the number of who asks
   */
  answer(
    method: string,
    rest: readonly string[],
    sent: Readonly<Record<string, unknown>>,
    user: number,
  ): Reply {
    const [number, notes, note] = rest;
    if (number === undefined) return this.#post(sent);
    const found = this.all.find(({ iid }) => String(iid) === number);
    if (!found) return notFound('Merge Request');
    if (notes === 'notes' && note !== undefined) return this.#note(found, note, method, sent, user);
    if (notes === 'notes' && method === 'POST') return this.#comment(found, sent, user);
    if (notes !== undefined) return notFound('');
    if (method === 'PUT') return this.#put(found, sent);
    return { status: 200, body: found };
  }

  #post({
    source_branch,
    target_branch,
    title,
    description,
    target_project_id,
  }: Readonly<Record<string, unknown>>): Reply {
    if (typeof source_branch !== 'string' || typeof target_branch !== 'string' || typeof title !== 'string')
      return message(400, 'source_branch is missing, target_branch is missing, title is missing');
    // A fork's go to the project it was forked from.
    if (target_project_id !== this.#project.id) return message(422, ['Target project is not this one']);
    if (source_branch === target_branch)
      return message(422, ["You can't use same project/branch for source and target"]);
    const open = this.all.find(
      (each) =>
        each.state === 'opened' &&
        each.source_project_id === this.#project.id &&
        each.source_branch === source_branch &&
        each.target_branch === target_branch,
    );
    if (open)
      return message(409, [`Another open merge request already exists for this source branch: !${open.iid}`]);
    const refusal = tooLong(title);
    if (refusal) return refusal;
    const made = this.#add({
      source_branch,
      target_branch,
      title,
      description: null,
      source_project_id: this.#project.id,
    });
    this.#describe(made, description);
    return { status: 201, body: made };
  }

  #put(found: MergeRequest, { title, description, state_event }: Readonly<Record<string, unknown>>): Reply {
    if (title === undefined && description === undefined && state_event === undefined)
      return message(
        400,
        'title, description, state_event are missing, at least one parameter must be provided',
      );
    if (typeof title === 'string') {
      const refusal = tooLong(title);
      if (refusal) return refusal;
      found.title = title;
    }
    this.#describe(found, description);
    if (state_event === 'close' && found.state === 'opened') found.state = 'closed';
    return { status: 200, body: found };
  }

  #comment(found: MergeRequest, { body }: Readonly<Record<string, unknown>>, user: number): Reply {
    const text = this.#obey(found, String(body));
    if (text === '') return { status: 202, body: { commands_changes: {} } };
    return { status: 201, body: this.addNote(found.iid, text, user) };
  }

  #note(
    found: MergeRequest,
    id: string,
    method: string,
    { body }: Readonly<Record<string, unknown>>,
    user: number,
  ): Reply {
    const note = this.notes.get(found.iid)?.find((each) => String(each.id) === id);
    if (!note) return notFound('Note');
    if (method === 'GET') return { status: 200, body: note };
    if (method !== 'PUT') return message(405, '405 Method Not Allowed');
    if (note.author.id !== user) return message(403, '403 Forbidden');
    note.body = this.#obey(found, String(body));
    return { status: 200, body: note };
  }

  #describe(found: MergeRequest, text: unknown): void {
    if (typeof text === 'string') found.description = this.#obey(found, text);
  }

  /** Does what the commands in a text say. @returns the text without them */
  #obey(found: MergeRequest, text: string): string {
    return text
      .replaceAll('\r', '')
      .replace(/^\s+(?=\/)/, '')
      .split('\n')
      .filter((line) => {
        const state = COMMANDS[/^\/(\w+)/.exec(line)?.[1] ?? ''];
        if (state) found.state = state;
        return !state;
      })
      .join('\n');
  }
}

const tooLong = (title: string): Reply | null =>
  Array.from(title).length > 255
    ? message(400, { title: ['is too long (maximum is 255 characters)'] })
    : null;
