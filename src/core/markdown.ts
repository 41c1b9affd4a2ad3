/**
 * Markdown for the comments of forges, with text of others in it. That text is data: it stands in code, where no forge
 * takes it for a mention, a link, an image, HTML, a reference or a command.
 */

/** What marks our own comment: no text of others may look like it. */
const MARKER = /<!--(?=\s*modelhook)/gi;
/** What steers a terminal, turns or hides text: control and format characters, and separators of lines. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cn}\p{Cs}]/gu;
/** A single name or message is not longer than anybody reads. */
const MOST_CHARACTERS = 1000;

/** @returns the text with every unseen character as an escape, `\u{202e}`; line feeds and tabs too */
export const visible = (text: string): string =>
  text.replace(UNSEEN, (char) => `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`);

/** @returns the same of a text of several lines: line feeds and tabs stay */
export const visibleLines = (text: string): string =>
  text
    .split('\n')
    .map((line) => line.split('\t').map(visible).join('\t'))
    .join('\n');

/** @returns the text in code within a line, whatever it holds; too long a text is cut */
export function codeSpan(text: string): string {
  const shown = unmarked(visible(cut(text)));
  const marks = '`'.repeat(longestRun(shown) + 1);
  // One space at each end is no part of it (CommonMark 0.31, section 6.1).
  const room = shown === '' || /^[ `]|[ `]$/.test(shown) ? ' ' : '';
  return `${marks}${room}${shown}${room}${marks}`;
}

/**
 * @param language the info string, such as `diff`
 * @returns the text as a block of code, in a fence that is longer than any in it
 */
export function codeBlock(language: string, text: string): string {
  // GitLab looks for commands, such as /close, without knowing such fences; none starts behind a space.
  const shown = unmarked(visibleLines(text)).replace(/^\//gm, ' /');
  const fence = '`'.repeat(Math.max(2, longestRun(shown)) + 1);
  return `${fence}${language}\n${shown}\n${fence}`;
}

function longestRun(text: string): number {
  let longest = 0;
  for (const [run] of text.matchAll(/`+/g)) longest = Math.max(longest, run.length);
  return longest;
}

const unmarked = (text: string): string => text.replace(MARKER, '<! --');

/** @returns the text, cut where it is longer than anybody reads */
export function cut(text: string): string {
  if (text.length <= MOST_CHARACTERS) return text;
  return `${text.slice(0, MOST_CHARACTERS).toWellFormed()}…`;
}

/**
 * @param base the address of a repository's files at a commit, as its forge has it, without a slash at the end; null: it
 *   shows none
 * @returns a place in a file as `file:line:column`, with a link to the line
 */
export function fileLink(base: string | null, { file, line, column }: FilePlace): string {
  const text = codeSpan(`${file}:${line}:${column}`);
  return base === null ? text : `[${text}](${base}/${file.split('/').map(encodeSegment).join('/')}#L${line})`;
}

export interface FilePlace {
  file: string;
  line: number;
  column: number;
}

/** Also what encodeURIComponent leaves and Markdown could read. */
const encodeSegment = (segment: string): string =>
  encodeURIComponent(segment.toWellFormed()).replace(
    /[!'()*~_]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
