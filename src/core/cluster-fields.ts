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

/**
 * Keeps what a person reads of a message: the beginning, on one line, without secrets.
 * Addresses of models carry credentials at times, and messages end in commit statuses.
 */
export const shorten = (text: string | null): string | null =>
  text === null ? null : withoutSecrets(text.replace(/\s+/g, ' ').trim()).slice(0, LONGEST);

/** Keeps the last lines of what a container left behind: the error stands at the end of a stack trace. */
export function lastLines(text: string | null): string | null {
  if (text === null) return null;
  const lines = text.split('\n').map((line) => line.trim());
  const last = lines.filter((line) => line !== '').slice(-LAST_LINES);
  return last.length === 0 ? null : withoutSecrets(last.join(' ')).slice(-LONGEST);
}

const withoutSecrets = (text: string): string =>
  text
    .replace(/(\w:\/\/)[^\s/@]+@/g, '$1***@')
    .replace(
      /([?&][\w.-]*(?:token|signature|sig|key|secret|password|credential)[\w.-]*=)[^\s&'"]+/gi,
      '$1***',
    )
    .replace(/(\b(?:bearer|basic) )[\w.~+/=-]+/gi, '$1***');

export const isTrue = (value: Json | undefined, ...path: string[]): boolean => {
  const found = valueAt(value, path);
  return found === true || found === 'true';
};
