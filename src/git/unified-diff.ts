/** Two texts as `git diff` shows them. It is here, and not in core, for the package that does it. */
import { formatPatch, OMIT_HEADERS, type StructuredPatch, structuredPatch } from 'diff';

/** So many lines may differ before it is given up to find what is alike: the time grows with their square. */
const MOST_EDITS = 2000;

interface NamedText {
  name: string;
  text: string;
}

/**
 * @param before null: there was none
 * @returns a unified diff with three lines of context, empty where the texts are alike; of texts that have next to nothing in
 *   common, all of the one and then all of the other
 */
export function unifiedDiff(before: NamedText | null, after: NamedText): string {
  const [old, text] = [before?.text ?? '', after.text];
  if (before !== null && old === text) return '';
  const options = { context: 3, maxEditLength: MOST_EDITS };
  const patch = structuredPatch('', '', old, text, undefined, undefined, options) ?? replacement(old, text);
  return `--- ${before?.name ?? '/dev/null'}\n+++ ${after.name}\n${formatPatch(patch, OMIT_HEADERS)}`;
}

function replacement(before: string, after: string): StructuredPatch {
  const [removed, added] = [linesOf(before), linesOf(after)];
  const lines = [...removed.map((line) => `-${line}`), ...added.map((line) => `+${line}`)];
  const hunk = { oldStart: 1, oldLines: removed.length, newStart: 1, newLines: added.length, lines };
  return { oldFileName: '', newFileName: '', oldHeader: undefined, newHeader: undefined, hunks: [hunk] };
}

const linesOf = (text: string): string[] => text.replace(/\n$/, '').split('\n');
