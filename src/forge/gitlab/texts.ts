/** Texts of merge requests and comments, in which GitLab looks for commands. */
import { truncate } from '../../core/commit-status.ts';

/** Of a description or a comment, in characters (GitLab's own limit). */
export const TEXT_LIMIT = 1_000_000;

// Where a line of the text starts, or the text itself once GitLab has stripped it, with what is escaped already.
const START = String.raw`((?:(?<![^])\s*|^)\\*)`;
const SLASH = new RegExp(`${START}/`, 'gm');
const ESCAPED_SLASH = new RegExp(String.raw`${START}\\/`, 'gm');

/**
 * A line that starts with a slash is a command to GitLab, such as `/merge`, which the token's user would give. Such a slash
 * gets a backslash, which Markdown does not show outside of code. What GitLab drops could bring a slash to the start of a
 * line, so control characters go first.
 */
export function withoutQuickActions(text: string): string {
  const clean = text.toWellFormed().replace(/(?![\n\t])\p{Cc}/gu, '');
  return truncate(clean.replace(SLASH, String.raw`$1\/`), TEXT_LIMIT);
}

/** What was written, so that it can be compared with what is to be written. */
export const withQuickActions = (text: string): string => text.replace(ESCAPED_SLASH, '$1/');
