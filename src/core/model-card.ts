/** What a model says about itself in the front matter of its README.md. */
import { formatFault, StalledError } from './errors.ts';
import { isJsonObject, type Json, type JsonObject } from './json.ts';
import { readYaml } from './yaml-source.ts';

export interface ModelCard {
  /** `library_name` */
  library: string | null;
  /** `pipeline_tag` */
  pipelineTag: string | null;
  license: string | null;
  tags: string[];
  /** `base_model` */
  baseModel: string[];
}

const MAX_CARD_BYTES = 1024 * 1024;
const LFS_POINTER = /^version https:\/\/git-lfs\.github\.com\/spec\//;

/**
 * Reads a model card.
 * @param bytes README.md as it stands at the commit
 * @returns what it says; null for what it leaves out, which matters only where something needs it
 * @throws StalledError where it cannot be read: a Git LFS pointer, over 1 MiB, not UTF-8, bad YAML
 */
export function parseModelCard(bytes: Uint8Array): ModelCard {
  if (bytes.length > MAX_CARD_BYTES)
    throw new StalledError(
      'the model card (README.md) is larger than 1 MiB',
      'shorten it, or move its images out',
    );
  const text = decode(bytes);
  if (LFS_POINTER.test(text))
    throw new StalledError(
      'the model card (README.md) is a Git LFS pointer, not the text itself',
      'keep README.md out of Git LFS (git lfs untrack README.md) and push again',
    );
  const front = frontMatter(text);
  if (front === null)
    return {
      ...EMPTY,
      library: lineValue(text, 'library_name'),
      pipelineTag: lineValue(text, 'pipeline_tag'),
    };
  const fields = parseFrontMatter(front);
  return {
    library: textField(fields, 'library_name'),
    pipelineTag: textField(fields, 'pipeline_tag'),
    license: listField(fields, 'license').join(', ') || null,
    tags: listField(fields, 'tags'),
    baseModel: listField(fields, 'base_model'),
  };
}

const EMPTY: ModelCard = { library: null, pipelineTag: null, license: null, tags: [], baseModel: [] };

/** @returns the text without a byte order mark, its lines ended by line feeds alone */
function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes).replace(/\r\n?/g, '\n');
  } catch {
    throw new StalledError('the model card (README.md) is not UTF-8 text', 'save README.md as UTF-8');
  }
}

/** @returns what stands between a first line `---` and the next one, after as many empty lines as stand before it */
function frontMatter(text: string): string | null {
  const lines = text.split('\n');
  const open = lines.findIndex((line) => line.trim() !== '');
  if (open < 0 || lines[open]?.trimEnd() !== '---') return null;
  const close = lines.findIndex((line, at) => at > open && line.trimEnd() === '---');
  // A lone rule at the top of the text opens nothing.
  if (close < 0) return null;
  return '\n'.repeat(open + 1) + lines.slice(open + 1, close).join('\n');
}

function parseFrontMatter(front: string): JsonObject {
  const bad = (what: string, cause?: unknown): StalledError =>
    new StalledError(
      `the front matter of the model card is unreadable: ${what}`,
      'correct the YAML between the two lines "---" at the top of README.md',
      { cause },
    );
  const { documents, faults } = readYaml('README.md', front);
  const [fault] = faults;
  if (fault !== undefined) throw bad(formatFault(fault));
  const value = documents[0]?.value ?? {};
  if (!isJsonObject(value)) throw bad('it is not a map of names and values');
  return value;
}

/** A card without front matter may still name them, a line each. */
function lineValue(text: string, key: string): string | null {
  const prefix = `${key}:`;
  const line = text.split('\n').find((candidate) => candidate.startsWith(prefix));
  const value = line?.slice(prefix.length).trim() ?? '';
  return nameIn(key, value.replace(/^(["'])(.*)\1$/, '$2').trim());
}

function textField(fields: JsonObject, key: string): string | null {
  const value = fields[key] ?? null;
  if (value === null) return null;
  if (typeof value === 'string') return nameIn(key, value.trim());
  throw new StalledError(
    `${key} in the model card (README.md) is not text`,
    `write one name, in quotes where it looks like a number: ${key}: "…"`,
  );
}

/** Names from a card end up in labels, addresses and messages. */
const MAX_NAME = 256;

function nameIn(key: string, text: string): string | null {
  if (text === '') return null;
  if (text.length <= MAX_NAME && !/\p{Cc}|\p{Cs}|[\u2028-\u202e\u2066-\u2069\ufffe\uffff]/u.test(text))
    return text;
  throw new StalledError(
    `${key} in the model card (README.md) is longer than ${MAX_NAME} characters, or holds a control character`,
    `write one name: ${key}: …`,
  );
}

/** One text or a list of them; what is neither is not looked at, for nothing hangs on it. */
function listField(fields: JsonObject, key: string): string[] {
  const value: Json = fields[key] ?? [];
  return (Array.isArray(value) ? value : [value]).filter((item) => typeof item === 'string');
}
