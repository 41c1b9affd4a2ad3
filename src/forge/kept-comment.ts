/** The one comment of ours on a request, the same on every forge: found again after a restart, and edited in place. */
import type { Reviews } from './forge.ts';

/** A comment as the forge shows it. */
export interface KeptComment {
  id: string;
  text: string;
  /** Whether our own user wrote it. */
  isOurs: boolean;
}

/** What a forge does with the comments of its requests. Texts are as the forge keeps them. */
export interface CommentStore {
  /** The oldest first, asked for as they are needed: ours is among the first of what may be thousands. */
  list(repository: string, number: number): AsyncIterable<KeptComment>;
  /** @returns null where it is not there any more */
  get(repository: string, number: number, id: string): Promise<KeptComment | null>;
  edit(repository: string, number: number, id: string, text: string): Promise<void>;
  /** @returns its id */
  add(repository: string, number: number, text: string): Promise<string>;
}

/** Comments whose ids are kept in mind; any other is looked for. */
const MAX_KNOWN = 1000;

/** @returns `keepComment` of a forge, which takes the text as the forge keeps it */
export function createCommentKeeper(comments: CommentStore): Reviews['keepComment'] {
  const ids = new Map<string, string>();
  const running = new Map<string, Promise<void>>();

  /** @param known the id of the last time */
  async function find(repository: string, number: number, marker: string, known: string | undefined) {
    const isKept = ({ isOurs, text }: KeptComment) => isOurs && text.startsWith(marker);
    const remembered = known === undefined ? null : await comments.get(repository, number, known);
    if (remembered && isKept(remembered)) return remembered;
    for await (const comment of comments.list(repository, number)) if (isKept(comment)) return comment;
    return null;
  }

  function remember(key: string, id: string): void {
    ids.delete(key);
    ids.set(key, id);
    const [oldest] = ids.keys();
    if (ids.size > MAX_KNOWN && oldest !== undefined) ids.delete(oldest);
  }

  async function keep(key: string, repository: string, number: number, text: string): Promise<void> {
    const found = await find(repository, number, markerOf(text), ids.get(key));
    if (!found) return remember(key, await comments.add(repository, number, text));
    remember(key, found.id);
    if (!isSame(found.text, text)) await comments.edit(repository, number, found.id, text);
  }

  return async (repository, number, text) => {
    const key = `${repository} ${number} ${markerOf(text)}`;
    const before = running.get(key) ?? Promise.resolve();
    const work = before.catch(() => {}).then(() => keep(key, repository, number, text));
    running.set(key, work);
    try {
      await work;
    } finally {
      if (running.get(key) === work) running.delete(key);
    }
  };
}

/** @throws TypeError where there is none: a comment that could not be found again is made over and over */
export function markerOf(text: string): string {
  const marker = /^<!--[^\n]*?-->/.exec(text)?.[0];
  if (marker === undefined) throw new TypeError('a kept comment begins with its marker, an HTML comment');
  return marker;
}

/** Forges trim texts, and some write line ends of their own. */
const isSame = (one: string, other: string): boolean => normalised(one) === normalised(other);
const normalised = (text: string): string => text.replaceAll('\r\n', '\n').trim();
