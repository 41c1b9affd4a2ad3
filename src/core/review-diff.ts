/** Diffs for a review: as much of each as anybody reads, and of all together as much as a report has room for. */
import type { Diff } from './target-changes.ts';

const MOST_LINES = 400;
const MOST_CHARACTERS = 32 * 1024;
const LONGEST_LINE = 1000;
/** Of all diffs of a review. Which of them a report shows is decided later, so it is more than one holds. */
const MOST_OF_ALL = 4 * 1024 * 1024;

/**
 * @param diff makes one whole
 * @returns what makes one of at most 400 lines, and says where it is cut; once there are 4 MiB of them, the empty text, which
 *   stands for one that is not shown
 */
export function boundedDiff(diff: Diff): Diff {
  let left = MOST_OF_ALL;
  return (before, after) => {
    if (left <= 0) return '';
    const text = cutDiff(diff(before, after));
    left -= text.length;
    return text;
  };
}

function cutDiff(diff: string): string {
  const lines = diff.trimEnd().split('\n');
  const kept: string[] = [];
  let left = MOST_CHARACTERS;
  for (const line of lines.slice(0, MOST_LINES)) {
    const shown = line.length > LONGEST_LINE ? `${line.slice(0, LONGEST_LINE).toWellFormed()}…` : line;
    left -= shown.length + 1;
    if (left < 0) break;
    kept.push(shown);
  }
  const missing = lines.length - kept.length;
  return [...kept, ...(missing > 0 ? [`… and ${missing.toLocaleString('en')} more lines`] : []), ''].join(
    '\n',
  );
}
