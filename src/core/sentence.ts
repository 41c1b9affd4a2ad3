/** Sentences of ours that hold text of others: written as Markdown or as plain text, and told apart in both. */
import { codeSpan, type FilePlace, fileLink, visible } from './markdown.ts';

/** Numbers are ours; texts and places are from files, refs and repositories. */
type Part = string | number | FilePlace | Sentence;

export interface Sentence {
  ours: readonly string[];
  parts: readonly Part[];
}

/** A template: what stands in it is ours, what is put into it is not. */
export const say = (ours: TemplateStringsArray, ...parts: Part[]): Sentence => ({ ours, parts });

/** @returns several as one, with text of ours between them */
export const join = (sentences: readonly Sentence[], between: string): Sentence => ({
  ours: ['', ...sentences.slice(1).map(() => between), ''],
  parts: sentences,
});

/** @param base as {@link fileLink} takes it */
export const toMarkdown = (sentence: Sentence, base: string | null): string =>
  write(sentence, (part) => (typeof part === 'string' ? codeSpan(part) : fileLink(base, part)));

export const toPlainText = (sentence: Sentence): string =>
  write(sentence, (part) =>
    visible(typeof part === 'string' ? part : `${part.file}:${part.line}:${part.column}`),
  );

function write({ ours, parts }: Sentence, one: (part: string | FilePlace) => string): string {
  const written = parts.map((part) => {
    if (typeof part === 'number') return part.toLocaleString('en');
    return typeof part === 'object' && 'ours' in part ? write(part, one) : one(part);
  });
  return String.raw({ raw: ours }, ...written);
}
