/** Commits of policies, hostile ones too, and the statuses that a plain Git server has of them. */
import { randomUUID } from 'node:crypto';
import type { GitRepository } from '../git-repository.ts';
import type { WrittenStatus } from './forge-workplaces.ts';

/** A file's text, or an entry of another mode: the target of a link, the commit of a submodule; null: it is removed. */
export type Entry = string | { mode: '120000' | '160000'; content: string } | null;
export type Tree = Readonly<Record<string, Entry>>;

/** The statuses in the note of a commit, as a plain Git server has them. */
export function notesOf(config: GitRepository, sha: string): WrittenStatus[] {
  const note = config.read('refs/notes/modelhook') === null ? '' : noteOf(config, sha);
  return note
    .split('\n')
    .filter((line) => line.startsWith('modelhook/policies\t'))
    .map((line) => {
      const [, state = '', description = ''] = line.split('\t');
      return { state, description };
    });
}

function noteOf(config: GitRepository, sha: string): string {
  try {
    return config.git(['notes', '--ref=modelhook', 'show', sha]);
  } catch {
    return '';
  }
}

/** Makes a branch of one commit on top of another. @returns the commit */
export function commitTree(config: GitRepository, tree: Tree, branch: string, parent: string | null): string {
  const entries = Object.entries(tree).map(([path, entry]) => {
    const quoted = `"${path.replace(/["\\]/g, '\\$&').replaceAll('\n', '\\n')}"`;
    if (entry === null) return `D ${quoted}\n`;
    if (typeof entry !== 'string' && entry.mode === '160000') return `M 160000 ${entry.content} ${quoted}\n`;
    const [mode, text] = typeof entry === 'string' ? ['100644', entry] : [entry.mode, entry.content];
    return `M ${mode} inline ${quoted}\ndata ${Buffer.byteLength(text)}\n${text}\n`;
  });
  const ref = `refs/heads/${branch}`;
  const when = `${Math.floor(Date.now() / 1000)} +0000`;
  // Two commits of one second with the same files are two all the same.
  const message = `Change ${randomUUID()}\n`;
  const from = parent === null ? '' : `from ${parent}\n`;
  config.git(
    ['fast-import', '--quiet', '--force'],
    `commit ${ref}\ncommitter Ada <ada@example.com> ${when}\ndata ${message.length}\n${message}${from}${entries.join('')}\n`,
  );
  return config.read(ref) ?? '';
}
