/** A ref of a repository as a forge names it: what is written on webhooks, and what policies match on. */

/** Where one ref stood before and stands now, as somebody told us. Commits, never tag objects, where it is known. */
export interface RefMove {
  /** `<forge name>:<path>` */
  repository: string;
  /** The forge's own number of the repository; it survives renames. Plain Git has none. */
  projectId: string | null;
  /** The full name: `refs/tags/v1.0.0`, `refs/heads/main`. */
  ref: string;
  /** null: the ref did not exist, or the forge does not say. */
  before: string | null;
  /** null: the ref is gone. */
  after: string | null;
}

export type RefEventKind = 'created' | 'moved' | 'deleted';
/**
 * Who told us: a webhook, a listing of the repository's refs, the reading of the one ref a rollout is for, or a person who
 * asked for a ref that was there before anybody told of it.
 */
export type RefEventSource = 'webhook' | 'listing' | 'reading' | 'replay';

/** One ref of one repository was created, moved or deleted. Stored once for every time it happened. */
export interface RefEvent {
  id: string;
  /** Grows with every event; the order in which deliveries of one target happen. */
  seq: number;
  repository: string;
  projectId: string | null;
  ref: string;
  kind: RefEventKind;
  before: string | null;
  /** The commit; null where the ref was deleted. */
  sha: string | null;
  source: RefEventSource;
  /** Milliseconds since the epoch. */
  receivedAt: number;
  /** The config commit whose policies it was matched against; null: not matched yet. */
  policyRevision: string | null;
}

/** A full ref name taken apart. */
export interface RefName {
  kind: 'tag' | 'branch';
  name: string;
}

/** @returns tag or branch with its short name; null for any other ref, such as `refs/notes/…` or `refs/pull/…` */
export function parseRef(ref: string): RefName | null {
  if (ref.startsWith('refs/tags/')) return { kind: 'tag', name: ref.slice('refs/tags/'.length) };
  if (ref.startsWith('refs/heads/')) return { kind: 'branch', name: ref.slice('refs/heads/'.length) };
  return null;
}

/** @returns the tag's name for a tag, the commit for a branch: what people call this version of the model */
export function revisionOf(ref: string, sha: string): string {
  const parsed = parseRef(ref);
  return parsed?.kind === 'tag' ? parsed.name : sha;
}

/** Forges write forty zeros (sixty-four in SHA-256 repositories) where there is no commit. */
export const isZeroSha = (sha: string): boolean => /^0+$/.test(sha);

/** A full object name: SHA-1 or SHA-256. */
export const isFullSha = (sha: string): boolean => /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(sha);

/** @returns the first seven digits, as `git log --oneline` shows them */
export const shortSha = (sha: string): string => sha.slice(0, 7);

/**
 * Takes a repository id apart.
 * @param id `<forge name>:<path>`
 * @returns null where there is no colon, or nothing beside it
 */
export function parseRepositoryId(id: string): { forge: string; path: string } | null {
  const colon = id.indexOf(':');
  if (colon < 1 || colon === id.length - 1) return null;
  return { forge: id.slice(0, colon), path: id.slice(colon + 1) };
}

const CONTROL = /\p{Cc}/u;

/**
 * Why a repository path or ref name from outside is refused (specification section 7): it ends up in file names
 * and in the arguments of git.
 * @param what the noun for the sentence, such as `repository`
 * @returns the sentence, or null where the name is safe
 */
export function unsafeName(what: string, name: string): string | null {
  if (name.length > 1024) return `${what} is longer than 1,024 characters`;
  if (CONTROL.test(name) || !name.isWellFormed())
    return `${what} holds a control character or half a character`;
  if (name.startsWith('-')) return `${what} "${name}" starts with "-"`;
  const segments = name.split('/');
  if (segments.some((segment) => segment === '')) return `${what} "${name}" has an empty path segment`;
  if (name.includes('..')) return `${what} "${name}" contains ".."`;
  if (segments.some((segment) => segment.startsWith('-') || segment === '.'))
    return `${what} "${name}" has a path segment that is "." or starts with "-"`;
  return null;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what Git refuses
const NOT_IN_REFS = /[\u0000-\u0020\u007f~^:?*[\\]|@\{|\.lock(?:\/|$)|\.(?:\/|$)|(?:^|\/)\./;

/**
 * Why a ref name from outside is refused: it is unsafe, or no name Git allows (git-check-ref-format). A name such as
 * `refs/tags/v1^{tree}` would otherwise be an expression.
 * @returns the sentence, or null where the name is a branch's or tag's
 */
export function unsafeRef(ref: string): string | null {
  const fault = unsafeName('the ref', ref);
  if (fault) return fault;
  return NOT_IN_REFS.test(ref) ? `the ref "${ref}" is not a name Git allows` : null;
}

const NUMERIC = new Intl.Collator('en', { numeric: true });

/**
 * Orders version names as people count: v1.9 before v1.10, and a pre-release before its release.
 * @returns negative where `a` is the older
 */
export function compareVersions(a: string, b: string): number {
  const [release = '', preRelease] = splitPreRelease(a);
  const [otherRelease = '', otherPreRelease] = splitPreRelease(b);
  const byRelease = NUMERIC.compare(release, otherRelease);
  if (byRelease !== 0) return byRelease;
  if (preRelease === undefined || otherPreRelease === undefined)
    return Number(preRelease === undefined) - Number(otherPreRelease === undefined);
  return NUMERIC.compare(preRelease, otherPreRelease);
}

/** `v1.0.0-rc.1` → `v1.0.0` and `rc.1` (semver.org, item 9). */
function splitPreRelease(name: string): [string, string?] {
  const match = /^(.*?\d)-([0-9A-Za-z.-]+)$/.exec(name);
  return match ? [match[1] ?? name, match[2] ?? ''] : [name];
}
