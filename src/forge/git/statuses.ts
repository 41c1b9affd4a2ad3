/** Commit statuses on plain Git: a note on the commit, one line a context (specification section 7). */
import { type CommitStatus, type StatusState, truncate } from '../../core/commit-status.ts';
import { importNote } from '../../git/fast-import.ts';
import { GitError, git } from '../../git/git.ts';
import type { StatusWriter } from '../forge.ts';
import { noCommit } from './repositories.ts';
import type { GitServer, OpenRepository } from './server.ts';

export const NOTES_REF = 'refs/notes/modelhook';
/** Where a mirror keeps the server's notes while it adds one. */
const FETCHED = `+${NOTES_REF}*:${NOTES_REF}*`;
const AUTHOR = { name: 'modelhook', email: 'modelhook@localhost' };
/** No forge sets a limit here; a note is read in a terminal. */
const DESCRIPTION_LIMIT = 1000;
/** How often another controller's note may come in between before the write is put off. */
const RACES = 20;

const STATES: Readonly<Record<StatusState, string>> = {
  pending: 'pending',
  running: 'pending',
  success: 'success',
  failed: 'failure',
  superseded: 'error',
  cancelled: 'error',
};

export function createGitStatuses(server: GitServer, now: () => number): StatusWriter {
  return {
    write: (repository, sha, _ref, status) =>
      server.serially(repository, async () => {
        const open = server.open(repository);
        // Git puts notes on commits that are there only.
        await open.mirror?.fetchCommit(sha);
        for (let race = 1; ; race += 1) {
          const moved = await setLine(open, sha, status, Math.floor(now() / 1000));
          if (moved === null) return;
          if (race >= RACES) throw moved;
        }
      }),

    holds: (repository, sha, status) =>
      server.serially(repository, async () => {
        const open = server.open(repository);
        await open.mirror?.fetch([FETCHED]);
        const { text } = await readNote(open, sha);
        return withLine(text, status) === text;
      }),
  };
}

/**
 * Adds one commit to the notes.
 * @param at seconds since the epoch
 * @returns null once it is there; the error where another controller's came first, and it is worth another try at once
 */
async function setLine(
  open: OpenRepository,
  sha: string,
  status: CommitStatus,
  at: number,
): Promise<GitError | null> {
  await open.mirror?.fetch([FETCHED]);
  const { tip, text, hasCommit } = await readNote(open, sha);
  if (!hasCommit) throw noCommit(sha);
  const next = withLine(text, status);
  if (next === text) return null;
  try {
    const message = `${status.context}: ${STATES[status.state]}`;
    await importNote(open.dir, NOTES_REF, tip, AUTHOR, at, message, { object: sha, text: next });
    await push(open);
    return null;
  } catch (error) {
    // Only a ref that moved meanwhile is worth another try; anything else is a failing repository.
    if (error instanceof GitError && (await tipMoved(open, tip))) return error;
    throw error;
  }
}

/** @returns the note's text with the one line of the status's context set; whatever else it holds stays as it is */
export function withLine(text: string, status: CommitStatus): string {
  const { context, state, description, url } = status;
  const line = [context, STATES[state], truncate(plain(description), DESCRIPTION_LIMIT), url].join('\t');
  const lines = text.replace(/\n$/, '').split('\n');
  const isOurs = (each: string) => each.startsWith(`${context}\t`);
  const at = lines.findIndex(isOurs);
  if (at >= 0)
    return `${lines
      .map((each, index) => (index === at ? line : each))
      .filter((each, index) => index === at || !isOurs(each))
      .join('\n')}\n`;
  return text === '' ? `${line}\n` : `${[...lines, line].join('\n')}\n`;
}

const plain = (text: string): string => text.replace(/\s+/g, ' ').trim();

interface Note {
  tip: string | null;
  text: string;
  /** Whether the commit itself is there. */
  hasCommit: boolean;
}

/** The note of a commit at the tip of the notes ref. */
async function readNote(open: OpenRepository, sha: string): Promise<Note> {
  using objects = await open.objects();
  const [notes, commit] = await Promise.all([objects.info(NOTES_REF), objects.info(`${sha}^{commit}`)]);
  const tip = notes?.oid ?? null;
  const hasCommit = commit !== null;
  if (tip === null) return { tip, text: '', hasCommit };
  // Git spreads notes over folders as they grow in number: abcd…, ab/cd…, ab/cd/ef….
  for (const depth of [0, 1, 2, 3]) {
    const folders = Array.from({ length: depth }, (_, level) => `${sha.slice(level * 2, level * 2 + 2)}/`);
    const note = await objects.contents(`${tip}:${folders.join('')}${sha.slice(depth * 2)}`);
    if (note) return { tip, text: note.toString(), hasCommit };
  }
  return { tip, text: '', hasCommit };
}

async function push({ dir, mirror }: OpenRepository): Promise<void> {
  if (!mirror) return;
  const remote = await mirror.remote();
  await git(['push', '--quiet', '--no-verify', '--', remote.url, `${NOTES_REF}:${NOTES_REF}`], {
    dir,
    remote,
  });
}

async function tipMoved(open: OpenRepository, tip: string | null): Promise<boolean> {
  await open.mirror?.fetch([FETCHED]);
  using objects = await open.objects();
  return ((await objects.info(NOTES_REF))?.oid ?? null) !== tip;
}
