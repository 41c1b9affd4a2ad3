/** Data written as YAML that every parser reads back as the same data, Go's sigs.k8s.io/yaml (YAML 1.1) included. */
import { Document, isScalar, Scalar, visit } from 'yaml';
import type { Json } from './json.ts';

/**
 * What some parser takes for a line break or refuses to read, and what turns the direction of the text around it:
 * written as an escape, in double quotes.
 * Line feeds are absent: texts of several ordinary lines are written as blocks.
 */
const ESCAPED = /[^\P{Cc}\n]|[\u00a0\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]/u;
const RAW = /[\u007f-\u00a0\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff]/g;
/**
 * What YAML 1.1 reads as something else than text, beyond what the library knows: `=`, `<<`, numbers with `_` or `:`.
 * Commits and hashes too, so that their quotes do not come and go with their digits.
 */
const SPECIAL = /^(?:[=~]|<<|[0-9a-f]{7,}|[-+.]?[0-9_][0-9a-fox_.:e+-]*|[-+]?\.(?:inf|nan))$/i;
/** Blocks are only for text that looks the same in them: its first line is not indented, and no line ends with a space. */
const BLOCK = /^\S(?:.*\S)?(?:\n(?:.*\S)?)*(?<!\n)\n?$/;

/** @returns the YAML of one document; equal data, with keys in the same order, gives the same bytes */
export function toYaml(value: Json): string {
  const document = new Document(value, { version: '1.2', compat: 'yaml-1.1', aliasDuplicateObjects: false });
  visit(document, {
    Scalar(_key, node) {
      if (isScalar(node) && typeof node.value === 'string' && needsQuotes(node.value))
        node.type = Scalar.QUOTE_DOUBLE;
    },
  });
  return document
    .toString({
      lineWidth: 0,
      minContentWidth: 0,
      blockQuote: 'literal',
      doubleQuotedMinMultiLineLength: 1e9,
    })
    .replace(RAW, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

const needsQuotes = (text: string): boolean =>
  ESCAPED.test(text) || SPECIAL.test(text) || (text.includes('\n') && !BLOCK.test(text));
