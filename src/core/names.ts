/** Text from outside made into names that Kubernetes, labels and paths accept, without two sources colliding. */
import { createHash } from 'node:crypto';

/** KServe refuses any other InferenceService name (kserve pkg/apis/serving/v1beta1, IsvcNameFmt). */
export const KSERVE_NAME = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;
/** RFC 1123 label: namespaces, and the names of our own objects. */
export const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
/** The value of a Kubernetes label; the empty one is valid too. */
export const LABEL_VALUE = /^(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;
const KEY_NAME = /^[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const KEY_PREFIX = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;

/** The InferenceService's own limit: with it the labels and hosts that KServe derives stay within 63 characters. */
export const MAX_NAME = 40;
/** In Standard mode KServe makes the host label `<name>-predictor-<namespace>`, and a host label holds 63. */
export const MAX_NAME_AND_NAMESPACE = 52;
/** Room for `m-`, at least one character of the source, `-` and the hash. */
export const MIN_HASHED_NAME = 12;
const MAX_PATH_SEGMENT = 100;

const hash8 = (source: string): string => createHash('sha256').update(source).digest('hex').slice(0, 8);

/**
 * Makes any text a name that KServe accepts.
 * @param limit the most characters, at least {@link MIN_HASHED_NAME}
 * @returns the text itself where it is such a name already; otherwise a likeness that ends in eight hash digits
 */
export function kubernetesName(source: string, limit: number = MAX_NAME): string {
  if (KSERVE_NAME.test(source) && source.length <= limit) return source;
  const trimmed = source
    .toLowerCase()
    .replace(/[^a-z0-9-]/g, '-')
    .replace(/^-+/, '');
  const named = /^[a-z]/.test(trimmed) ? trimmed : `m-${trimmed}`;
  return `${named.slice(0, limit - 9).replace(/-+$/, '')}-${hash8(source)}`;
}

/** @returns the nearest valid label value: other characters become `-`, and it ends after 63; may be empty */
export function labelValue(source: string): string {
  if (LABEL_VALUE.test(source)) return source;
  return source
    .replace(/[^A-Za-z0-9_.-]/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, 63)
    .replace(/[^A-Za-z0-9]+$/, '');
}

/** @returns whether this may be the key of a label or annotation: an optional DNS prefix, `/`, a name */
export function isQualifiedKey(key: string): boolean {
  const slash = key.indexOf('/');
  const prefix = key.slice(0, Math.max(slash, 0));
  return (
    KEY_NAME.test(key.slice(slash + 1)) && (slash < 0 || (prefix.length <= 253 && KEY_PREFIX.test(prefix)))
  );
}

/**
 * Makes any text one segment of a path: no separator, no `..`, no `-` or `.` in front.
 * @returns the text itself where it is safe already; otherwise a likeness that ends in eight hash digits
 */
export function pathSegment(source: string): string {
  const safe = /^[A-Za-z0-9_+=@][A-Za-z0-9_+=@.-]*$/.test(source) && !source.includes('..');
  if (safe && source.length <= MAX_PATH_SEGMENT) return source;
  const cleaned = source
    .replace(/[^A-Za-z0-9_+=@.-]/g, '-')
    .replace(/\.{2,}/g, '.')
    .replace(/^[.-]+/, '')
    .slice(0, MAX_PATH_SEGMENT - 9);
  return cleaned === '' ? hash8(source) : `${cleaned}-${hash8(source)}`;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
const UNSAFE_IN_PATH = /[\u0000-\u001f\u007f\\]/;

/**
 * Why a path inside a GitOps repository is refused.
 * @returns a phrase that follows the path in a sentence, or null where the path is safe
 */
export function unsafePath(path: string): string | null {
  if (path === '') return 'is empty';
  if (path.length > 1024) return 'is longer than 1,024 characters';
  if (UNSAFE_IN_PATH.test(path)) return 'holds a backslash or a control character';
  if (path.startsWith('/')) return 'starts with "/", but is relative to the root of the repository';
  for (const segment of path.split('/')) {
    if (segment === '') return 'has an empty segment';
    if (segment === '.' || segment === '..') return `has the segment "${segment}"`;
    if (segment.startsWith('-') || segment.startsWith('.'))
      return `has a segment that starts with "${segment[0]}"`;
    if (segment.length > 255) return 'has a segment longer than 255 characters';
  }
  return null;
}
