/** Reads fields of what a cluster sent. Nothing throws: what is missing or of another type is null, or an empty list. */
import type { Condition } from './cluster-views.ts';
import { type Json, valueAt } from './json.ts';

export const textIn = (value: Json | undefined, ...path: string[]): string | null => {
  const found = valueAt(value, path);
  return typeof found === 'string' && found !== '' ? found : null;
};

export const numberIn = (value: Json | undefined, ...path: string[]): number | null => {
  const found = valueAt(value, path);
  return typeof found === 'number' ? found : null;
};

export const itemsIn = (value: Json | undefined, ...path: string[]): Json[] => {
  const found = valueAt(value, path);
  return Array.isArray(found) ? found : [];
};

/** Kubernetes leaves counters out that are zero. */
export const countIn = (value: Json | undefined, ...path: string[]): number => numberIn(value, ...path) ?? 0;

/** @returns milliseconds since the epoch, of the object's clock; null where there is no time */
export function timeIn(value: Json | undefined, ...path: string[]): number | null {
  const time = Date.parse(textIn(value, ...path) ?? '');
  return Number.isNaN(time) ? null : time;
}

/** @returns the condition of a type; null where the object does not have it yet */
export function conditionIn(value: Json | undefined, type: string): Condition | null {
  const found = itemsIn(value, 'status', 'conditions').find((item) => textIn(item, 'type') === type);
  if (found === undefined) return null;
  const status = textIn(found, 'status');
  return {
    status: status === 'True' || status === 'False' ? status : 'Unknown',
    reason: textIn(found, 'reason'),
    message: shorten(textIn(found, 'message')),
  };
}

const LONGEST = 600;
const LAST_LINES = 3;

/** Of more than this no part is looked at: nobody reads so far. */
const MOST = 20_000;

/** Keeps what a person reads of a message: the beginning, on one line, without secrets. */
export const shorten = (text: string | null, longest = LONGEST): string | null =>
  text === null ? null : withoutSecrets(text.slice(0, MOST).replace(/\s+/g, ' ').trim()).slice(0, longest);

/** Keeps the last lines of what a container left behind: the error stands at the end of a stack trace. */
export function lastLines(text: string | null): string | null {
  if (text === null) return null;
  const lines = text
    .slice(-MOST)
    .split('\n')
    .map((line) => line.trim());
  const last = lines.filter((line) => line !== '').slice(-LAST_LINES);
  return last.length === 0 ? null : withoutSecrets(last.join(' ')).slice(-LONGEST);
}

/** How names end whose value is a secret. Names that go on are others, such as `tokenizer` and `max_tokens`. */
const SECRET =
  '(?:token|signature|secret|passw(?:or)?d|pwd|credentials?|(?:secret|access|api|private|account)[-_]?key(?:[-_]?id)?)';
const NAME = String.raw`(?<![\w.-])[\w.-]*`;
/** In quotes, perhaps cut off, or up to the next space. */
const VALUE = String.raw`(?:"[^"]*(?:"|$)|'[^']*(?:'|$)|[^\s&'"])+`;

const HIDDEN: readonly (readonly [RegExp, string])[] = [
  // https://user:password@host
  [/(\w:\/\/)[^\s/?#'"]+@/g, '$1***@'],
  // ?X-Amz-Signature=…&sig=…; in brackets, the address ends with them
  [
    /([?&][\w.-]*(?:token|signature|sig|key|secret|password|credential)[\w.-]*=)(?:(?!\](?:\s|$))[^\s&'"])+/gi,
    '$1***',
  ],
  // AWS_SECRET_ACCESS_KEY=…, password = "…"
  [new RegExp(String.raw`(${NAME}${SECRET}\s?=\s?)${VALUE}`, 'gi'), '$1***'],
  // password: …; other names before a colon are of ordinary sentences
  [new RegExp(String.raw`(${NAME}(?:passw(?:or)?d|api[-_]?key):\s?)${VALUE}`, 'gi'), '$1***'],
  // "password": "…", also as a text in JSON
  [
    new RegExp(
      String.raw`((?<!\\)\\*["'][\w.-]*${SECRET}\\*["']\s?:\s?)(\\*["'])[\s\S]*?(?:(?<!\\)\2|$)`,
      'gi',
    ),
    '$1$2***$2',
  ],
  [/(\b(?:bearer|basic) )(?!(?:auth\w*|tokens?)\b)[\w.~+/=-]+/gi, '$1***'],
  // Tokens of Hugging Face, GitHub, GitLab and AWS, and JSON Web Tokens, by how they begin
  [/\b(hf_|gh[oprsu]_|github_pat_|glpat-|AKIA|eyJ)(?=\w{16})[\w.-]+/g, '$1***'],
];

/**
 * Hides what may be a secret. Everything that a cluster says passes through here: its words end in commit statuses, and
 * addresses of models, and what containers leave behind, hold credentials at times. Done twice it changes nothing more.
 */
export const withoutSecrets = (text: string): string =>
  HIDDEN.reduce((left, [pattern, hidden]) => left.replace(pattern, hidden), text);

export const isTrue = (value: Json | undefined, ...path: string[]): boolean => {
  const found = valueAt(value, path);
  return found === true || found === 'true';
};
