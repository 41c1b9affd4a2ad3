/** What a reader of Markdown takes for more than code, for tests. */

/**
 * Takes code away by the rules of CommonMark 0.31: fenced blocks (section 4.5), then spans within what is left (6.1).
 * @returns what is left of the text
 */
export function liveText(markdown: string): string {
  const kept: string[] = [];
  let fence: string | null = null;
  // Carriage returns end lines too.
  for (const line of markdown.split(/\r\n?|\n/)) {
    const [, marks, info] = /^ {0,3}(`{3,}|~{3,})(.*)$/.exec(line) ?? [];
    if (fence !== null) {
      const isEnd = marks?.[0] === fence[0] && (marks?.length ?? 0) >= fence.length && info?.trim() === '';
      if (isEnd) fence = null;
    } else if (marks !== undefined && (marks[0] === '~' || !info?.includes('`'))) fence = marks;
    else kept.push(line);
  }
  return withoutSpans(kept.join('\n'));
}

function withoutSpans(text: string): string {
  const runs = [...text.matchAll(/`+/g)].map(({ 0: run, index }) => ({ length: run.length, index }));
  let kept = '';
  let at = 0;
  for (const [place, { length, index }] of runs.entries()) {
    if (index < at) continue;
    const end = runs.slice(place + 1).find((run) => run.length === length);
    if (end === undefined) continue;
    kept += text.slice(at, index);
    at = end.index + length;
  }
  return kept + text.slice(at);
}
