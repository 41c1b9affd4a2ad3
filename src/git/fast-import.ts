/** Commits without a work tree: a stream for `git fast-import`. */
import { git } from './git.ts';

export interface Identity {
  name: string;
  email: string;
}

export interface FileChange {
  path: string;
  /** null: the file goes. It need not be there. */
  text: string | null;
}

export interface CommitDraft {
  message: string;
  files: readonly FileChange[];
}

/**
 * Writes a line of commits and makes a ref of the repository point to the last, wherever it pointed before.
 * @param ref a full name, of this process's own
 * @param parent the commit the first one stands on; null for a first commit
 * @param at seconds since the epoch
 * @returns the commits' ids, in order
 */
export function importCommits(
  dir: string,
  ref: string,
  parent: string | null,
  author: Identity,
  at: number,
  commits: readonly CommitDraft[],
): Promise<string[]> {
  const files = ({ path, text }: FileChange) =>
    text === null ? [`D ${quote(path)}\n`] : [`M 100644 inline ${quote(path)}\n`, data(text)];
  return importStream(
    dir,
    ['--force'],
    ref,
    parent,
    author,
    at,
    commits.map(({ message, files: changed }) => [message, changed.flatMap(files)]),
  );
}

/**
 * Sets the note of one object, in one commit on a notes ref.
 * @returns the commit's id
 * @throws GitError where the ref has moved meanwhile
 */
export async function importNote(
  dir: string,
  ref: string,
  parent: string | null,
  author: Identity,
  at: number,
  message: string,
  note: { object: string; text: string },
): Promise<void> {
  await importStream(dir, [], ref, parent, author, at, [
    [message, [`N inline ${note.object}\n`, data(note.text)]],
  ]);
}

async function importStream(
  dir: string,
  flags: readonly string[],
  ref: string,
  parent: string | null,
  author: Identity,
  at: number,
  commits: readonly [message: string, changes: readonly string[]][],
): Promise<string[]> {
  // Without `feature done`, a stream cut short by the end of this process would be committed as far as it came.
  const stream = ['feature done\n'];
  const who = `${author.name} <${author.email}> ${at} +0000`;
  for (const [index, [message, changes]] of commits.entries()) {
    stream.push(`commit ${ref}\nmark :${index + 1}\nauthor ${who}\ncommitter ${who}\n`, data(message));
    if (index === 0) {
      if (parent !== null) stream.push(`from ${parent}\n`);
    } else stream.push(`from :${index}\n`);
    stream.push(...changes, '\n');
  }
  for (const index of commits.keys()) stream.push(`get-mark :${index + 1}\n`);
  stream.push('done\n');
  const output = await git(['fast-import', '--quiet', '--done', ...flags], { dir, input: stream.join('') });
  return output.toString().split('\n').filter(Boolean);
}

const data = (text: string): string => `data ${Buffer.byteLength(text)}\n${text}\n`;

/** A path as fast-import reads it whatever it holds. */
const quote = (path: string): string => `"${path.replace(/[\\"]/g, '\\$&').replace(/\n/g, '\\n')}"`;
