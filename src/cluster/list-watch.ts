/**
 * Keeps up with one kind of object: lists it in pages, then watches from there, for as long as it is not told to end.
 *
 * The library's own informer does not ask for bookmarks or pages, keeps objects whole, ends with the first error, and
 * leaves a connection open for each try (docs/decisions/0014-an-own-list-watch.md).
 */
import { isJsonObject, type Json, type JsonObject, parseJson, valueAt } from '../core/json.ts';
import type { ClusterApi } from './api.ts';
import type { Deed } from './api-failure.ts';
import { ClusterUnavailableError } from './cluster.ts';
import { linesOf } from './lines.ts';

/** Times in milliseconds, except where it says otherwise. */
export interface Pace {
  /** How long an answer may take. */
  answer: number;
  /** Objects in a page of a list. */
  page: number;
  /** After how long without anything from the API server it is asked whether it is there, where that matters. */
  quiet: number;
  /** How long that answer may take. */
  sign: number;
  /** How long a watch may be silent. An API server sends a bookmark about every minute. */
  silence: number;
  /** Seconds after which the API server is asked to end a watch; up to twice as long, so that not all end at once. */
  watch: number;
  /** The wait after the first failure, which doubles with each. */
  first: number;
  /** The longest wait. */
  most: number;
  /** The wait for a kind that need not be there. */
  absent: number;
}

export const PATIENT: Pace = {
  answer: 30_000,
  page: 250,
  quiet: 10_000,
  sign: 5_000,
  silence: 150_000,
  watch: 300,
  first: 200,
  most: 10_000,
  absent: 60_000,
};

/** Takes in what a list and a watch bring. */
export interface Sink {
  /** An object is as given now. */
  put(object: JsonObject): void;
  /** It is gone. */
  drop(object: JsonObject): void;
  /** A list is complete: what is not in it is gone. The keys are as {@link keyOf} makes them. */
  keepOnly(keys: ReadonlySet<string>): void;
  /** Told after each try. */
  report(standing: Standing): void;
}

/** How a watch stands. */
export interface Standing {
  /** What is wrong; null: nothing is, and the watch goes on. */
  trouble: ClusterUnavailableError | null;
  /** Everything was listed once. */
  listed: boolean;
  /** The API server does not know the kind, and need not. */
  absent: boolean;
}

export interface ListWatchOptions {
  api: ClusterApi;
  path: string;
  /** Selectors. */
  query: Readonly<Record<string, string>>;
  deed: Deed;
  /** Whether the API server does not know the kind, which then is no trouble; it is asked again after a while. */
  isAbsent(problem: ClusterUnavailableError): Promise<boolean>;
  sink: Sink;
  pace: Pace;
  /** Told of everything that a watch brings, bookmarks included. */
  heard(): void;
  /** @returns what breaks the connection of a watch; then everything is listed anew, at once */
  breaking(): AbortSignal;
  /** Waits so many milliseconds, or less where something says that it is worth trying, or has to end. */
  pause(span: number): Promise<void>;
}

/** @returns how an object is told from others of its kind */
export const keyOf = (object: Json | undefined): string =>
  `${valueAt(object, ['metadata', 'namespace']) ?? ''}/${valueAt(object, ['metadata', 'name']) ?? ''}`;

/** The version to go on from is too old, so everything has to be listed anew. */
class GoneError extends Error {
  override readonly name = 'GoneError';
}

/** Runs until the signal aborts, and never throws. */
export async function keepWatching(options: ListWatchOptions, signal: AbortSignal): Promise<void> {
  const { sink, pace } = options;
  let version: string | null = null;
  let listed = false;
  /** Tries in a row that brought nothing. */
  let failures = 0;

  let breaking = options.breaking();

  async function once(): Promise<void> {
    if (version === null) {
      version = await list(options, signal);
      listed = true;
    }
    const stream = await openWatch(options, version, AbortSignal.any([signal, breaking]));
    options.heard();
    sink.report({ trouble: null, listed, absent: false });
    const began = performance.now();
    let progress = false;
    let dropped = false;
    try {
      for await (const line of linesOf(stream)) {
        options.heard();
        version = take(options, line);
        progress = true;
      }
    } catch (error) {
      if (error instanceof GoneError || error instanceof ClusterUnavailableError) throw error;
      // A connection that breaks is no trouble by itself: whether it is one shows when it is made again.
      dropped = true;
    }
    if (progress || performance.now() - began > pace.most) failures = dropped ? 1 : 0;
    else failures += 1;
  }

  /** @returns how long to wait at least */
  async function handle(error: unknown): Promise<number> {
    failures += 1;
    // Trouble is over once everything is up to date. A watch that goes on does not tell when it has caught up; a list does.
    version = null;
    if (error instanceof GoneError) return 0;
    const trouble = options.api.broken(error);
    if (!(await options.isAbsent(trouble))) {
      sink.report({ trouble, listed, absent: false });
      return trouble.problem.retryAfter ?? 0;
    }
    listed = true;
    sink.keepOnly(new Set());
    sink.report({ trouble: null, listed, absent: true });
    return pace.absent;
  }

  while (!signal.aborted) {
    let least = 0;
    if (breaking.aborted) version = null;
    breaking = options.breaking();
    try {
      await once();
    } catch (error) {
      if (signal.aborted) return;
      least = await handle(error);
    }
    const span = Math.max(backOff(failures, pace), Math.min(least, LONGEST_ASKED));
    await options.pause(span);
  }
}

/** No server makes us wait longer. */
const LONGEST_ASKED = 60_000;

/** Between half and all of a time that doubles, so that many watches do not come back at once. */
const backOff = (failures: number, { first, most }: Pace): number =>
  failures === 0 ? 0 : Math.min(most, first * 2 ** (failures - 1)) * (0.5 + Math.random() / 2);

/** @returns the version to watch from */
async function list(options: ListWatchOptions, signal: AbortSignal): Promise<string> {
  const keys = new Set<string>();
  const limit = { limit: String(options.pace.page) };
  let page: Page;
  try {
    page = await listPage(options, limit, keys, signal);
    while (page.next !== null)
      page = await listPage(options, { ...limit, continue: page.next }, keys, signal);
  } catch (error) {
    if (!(error instanceof GoneError)) throw error;
    // Where there are very many the pages of a list expire. One answer does not.
    keys.clear();
    page = await listPage(options, {}, keys, signal);
  }
  options.sink.keepOnly(keys);
  return page.version;
}

interface Page {
  /** Where the next page begins; null: this was the last. */
  next: string | null;
  version: string;
}

async function listPage(
  { api, path, query, deed, sink }: ListWatchOptions,
  part: Readonly<Record<string, string>>,
  keys: Set<string>,
  signal: AbortSignal,
): Promise<Page> {
  const answer = await api.ask({ path, query: { ...query, ...part } }, signal);
  if (answer.status === 410) throw new GoneError();
  if (answer.status !== 200) throw api.refusal(answer, deed);
  const page = parseJson(answer.body);
  const items = valueAt(page, ['items']);
  const version = valueAt(page, ['metadata', 'resourceVersion']);
  if (!Array.isArray(items) || typeof version !== 'string') throw api.stranger('something that is no list');
  for (const item of items) {
    if (!isJsonObject(item)) continue;
    keys.add(keyOf(item));
    sink.put(item);
  }
  const next = valueAt(page, ['metadata', 'continue']);
  return { next: typeof next === 'string' && next !== '' ? next : null, version };
}

async function openWatch(
  { api, path, query, deed, pace }: ListWatchOptions,
  resourceVersion: string,
  signal: AbortSignal,
): Promise<AsyncIterable<Uint8Array>> {
  const timeoutSeconds = String(Math.ceil(pace.watch * (1 + Math.random())));
  const watch = { watch: 'true', allowWatchBookmarks: 'true', resourceVersion, timeoutSeconds };
  const opened = await api.follow({ path, query: { ...query, ...watch } }, pace.silence, signal);
  if (opened.stream !== null) return opened.stream;
  if (opened.answer.status === 410) throw new GoneError();
  throw api.refusal(opened.answer, deed);
}

/** @returns the version that a line of a watch leads to */
function take({ api, sink, deed }: ListWatchOptions, line: string): string {
  const event = parseJson(line);
  const object = valueAt(event, ['object']);
  const type = valueAt(event, ['type']);
  if (!isJsonObject(object)) throw api.stranger('a watch with something that cannot be read');
  if (type === 'ERROR') {
    const code = Number(object['code']);
    if (code === 410) throw new GoneError();
    throw api.refusal({ status: code, retryAfter: null, body: JSON.stringify(object) }, deed);
  }
  const version = valueAt(object, ['metadata', 'resourceVersion']);
  if (typeof version !== 'string') throw api.stranger('a watch with something that cannot be read');
  if (type === 'ADDED' || type === 'MODIFIED') sink.put(object);
  else if (type === 'DELETED') sink.drop(object);
  return version;
}
