/** A review of policies as plain text: for a terminal, and for the page of a report. No text of others steers either. */
import { cut, visibleLines } from './markdown.ts';
import type { Section } from './review-sections.ts';
import { countsOf, type Examination, headlineOf, reviewDiffs, reviewSections } from './review-text.ts';
import { toPlainText } from './sentence.ts';

export interface PlainTextOptions {
  /** Whether it is known what is deployed; default: it is. */
  isCompared?: boolean;
  /** Characters it may have, at least 16,384; default: as many as it takes. What does not fit is counted. */
  most?: number;
}

/** For titles, the first lines, and the numbers of what is left out: more than all of them have. */
const RESERVED = 8192;
/** A section takes at most this part of the room that is left, so that those behind it, and diffs, are seen too. */
const SHARE = 1 / 2;

export function reviewPlainText(
  found: Examination,
  { isCompared = true, most = Number.POSITIVE_INFINITY }: PlainTextOptions = {},
): string {
  const written = [headlineOf(found, isCompared), ...countsOf(found)];
  let left = most - RESERVED;
  for (const section of reviewSections(found)) {
    const lines = linesWithin(section, left * SHARE);
    left -= lines.reduce((sum, { length }) => sum + length + 1, 0);
    const missing = section.sentences.length - lines.length + section.more;
    written.push([titleOf(section), ...lines, ...more(missing, 'more')].join('\n'));
  }
  const diffs = reviewDiffs(found).map(({ diff }) => diff);
  const shown = diffsWithin(diffs, left);
  const rest = more(diffs.length - shown.length, 'more manifests that change, which are not shown');
  return `${[...written, ...shown, ...rest].join('\n\n')}\n`;
}

const titleOf = ({ title, note }: Section): string => (note === '' ? `${title}:` : `${title}. ${note}`);

const more = (missing: number, what: string): string[] =>
  missing > 0 ? [`  and ${missing.toLocaleString('en')} ${what}`] : [];

/** Where there is a bound, a single sentence has one too. */
function linesWithin({ sentences }: Section, room: number): string[] {
  const isBounded = Number.isFinite(room);
  const lines: string[] = [];
  let left = room;
  for (const sentence of sentences) {
    const text = toPlainText(sentence);
    const line = `  ${isBounded ? cut(text) : text}`;
    left -= line.length + 1;
    if (left < 0) break;
    lines.push(line);
  }
  return lines;
}

function diffsWithin(diffs: readonly string[], room: number): string[] {
  const shown: string[] = [];
  let left = room;
  for (const diff of diffs) {
    if (diff === '' || diff.length > left) continue;
    const text = visibleLines(diff).trimEnd();
    if (text.length + 2 > left) continue;
    left -= text.length + 2;
    shown.push(text);
  }
  return shown;
}
