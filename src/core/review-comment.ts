/** The comment on a request that changes policies: Markdown that GitHub, GitLab and Gitea show alike. */
import { codeBlock } from './markdown.ts';
import { nameSentence, type Section } from './review-sections.ts';
import { toMarkdown } from './sentence.ts';
import type { TargetChange } from './target-changes.ts';

/** What the comment begins with: how it is found again. No text of others in a comment looks like it. */
const COMMENT_MARKER = '<!-- modelhook:policies -->';

/** Where a comment stands, and where more can be read. */
export interface CommentPlace {
  /** The most characters the forge takes. */
  limit: number;
  /** Of the whole report. */
  pageUrl: string;
  /**
   * Of the repository's files at the head, as its forge has it: `…/blob/<sha>` (GitHub), `…/-/blob/<sha>` (GitLab),
   * `…/src/commit/<sha>` (Gitea). null: there is none, so places are not links.
   */
  filesUrl: string | null;
}

/** So many manifests are shown without a click, where they are not longer than this. */
const OPEN_DIFFS = 3;
const OPEN_LINES = 25;
/** A section takes at most this part of the room that is left, so that those behind it are seen too. */
const SHARE = 1 / 3;

/** A heading, and what stands below it: each whole or not at all. */
interface Part {
  title: string;
  /** Empty: there is none. */
  note: string;
  items: readonly Item[];
  /** Between items. */
  gap: string;
  /** How many there are, those without an item among them. */
  total: number;
}

interface Item {
  /** Characters it has at least: what there is no room for is not even written. */
  least: number;
  write(): string;
}

/** What a comment says. */
export interface CommentContent {
  /** Markdown of ours. */
  headline: string;
  sections: readonly Section[];
  /** Targets with the diffs of their manifests; empty: there is one, and it is not shown. */
  diffs: readonly (TargetChange & { diff: string })[];
}

/**
 * @returns the comment. Text of others stands in code only. What does not fit is left out in whole items, and counted,
 *   with a link to the whole report.
 */
export function writeComment(content: CommentContent, { limit, pageUrl, filesUrl }: CommentPlace): string {
  const head = `${COMMENT_MARKER}\n\n${content.headline} [The whole report](${pageUrl})`;
  const parts = [...content.sections.map((section) => listOf(section, filesUrl)), manifestsOf(content.diffs)];
  const written = [head];
  let left = limit - head.length;
  for (const [at, part] of parts.entries()) {
    const isLast = parts.slice(at + 1).every(({ total }) => total === 0);
    const text = fill(part, isLast ? left : Math.floor(left * SHARE), pageUrl);
    left -= text.length;
    written.push(text);
  }
  return written.join('');
}

const listOf = ({ title, note, sentences, more }: Section, filesUrl: string | null): Part => ({
  title,
  note,
  items: sentences.map((sentence) => ({
    // Nothing that says anything is shorter.
    least: 20,
    write: () => `- ${toMarkdown(sentence, filesUrl)}`,
  })),
  gap: '\n',
  total: sentences.length + more,
});

const manifestsOf = (diffs: CommentContent['diffs']): Part => ({
  title: 'Manifests',
  note: '',
  items: diffs
    .filter(({ diff }) => diff !== '')
    .map((change, at) => ({
      least: change.diff.length,
      write: () => manifestDiff(change, at < OPEN_DIFFS),
    })),
  gap: '\n\n',
  total: diffs.length,
});

function manifestDiff(change: CommentContent['diffs'][number], mayBeOpen: boolean): string {
  const diff = change.diff.trimEnd();
  const lines = diff.split('\n').length;
  const name = toMarkdown(nameSentence(change), null);
  const block = codeBlock('diff', diff);
  return `${name}\n\n${mayBeOpen && lines <= OPEN_LINES ? block : folded(`${lines} lines`, block)}`;
}

const folded = (summary: string, text: string): string =>
  `<details><summary>${summary}</summary>\n\n${text}\n\n</details>`;

/** @returns the part with the items there is room for; empty where its title has none, or there is nothing to tell */
function fill({ title, note, items, gap, total }: Part, room: number, pageUrl: string): string {
  const heading = `\n\n### ${title}\n\n${note === '' ? '' : `${note}\n\n`}`;
  const rest = (missing: number): string =>
    `- and ${missing.toLocaleString('en')} more in [the whole report](${pageUrl})`;
  let left = room - heading.length - gap.length - rest(total).length;
  if (total === 0 || left < 0) return '';
  const taken: string[] = [];
  for (const item of items) {
    if (item.least > left) continue;
    const text = item.write();
    if (text.length + gap.length > left) continue;
    taken.push(text);
    left -= text.length + gap.length;
  }
  const missing = total - taken.length;
  return `${heading}${[...taken, ...(missing > 0 ? [rest(missing)] : [])].join(gap)}`;
}
