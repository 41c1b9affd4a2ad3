/** Git objects of a GitHub repository: the commits that tags stand for, and when they were made. */
import { z } from 'zod';
import { StalledError } from '../../core/errors.ts';
import { type GitHubApi, noCommit, shaped } from './api.ts';

const sha = z.string().regex(/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/, 'expected a full object name');

export const pointerSchema = z.object({ sha, type: z.string() });
/** What a ref or tag points to. */
export type Pointer = z.infer<typeof pointerSchema>;

/** The version a ref stands for. */
export interface Described {
  /** The commit; null where a tag is of a tree or a blob. */
  sha: string | null;
  /** Milliseconds since the epoch; null where GitHub does not say. */
  createdAt: number | null;
}

export interface ObjectReader {
  /** Follows tags, tags of tags too, to what they are of. @throws StalledError where that is not there */
  peel(path: string, ref: string, pointer: Pointer): Promise<Pointer>;
  /** Describes what refs point to. @returns by the object's name */
  describe(path: string, refs: readonly { ref: string; object: Pointer }[]): Promise<Map<string, Described>>;
}

const tagSchema = z.object({ object: pointerSchema, tagger: z.object({ date: z.string() }).nullish() });

const target = { oid: sha, __typename: z.string() };
const objectSchema = z.object({
  ...target,
  committedDate: z.string().optional(),
  tagger: z.object({ date: z.string().nullish() }).nullish(),
  target: z.object(target).optional(),
});
const answerSchema = z.object({ repository: z.record(z.string(), objectSchema.nullable()) });

const FRAGMENT = `fragment described on GitObject {
  __typename oid ... on Commit { committedDate } ... on Tag { tagger { date } target { __typename oid } }
}`;
/** Objects in one query. */
const BATCH = 100;
/** Objects never change, so what is known of one is kept; some 20 MB at most. */
const MAX_KNOWN = 100_000;
const MAX_TAGS_OF_TAGS = 20;

export function createObjectReader(api: GitHubApi): ObjectReader {
  const known = new Map<string, Described>();

  async function readTag(path: string, ref: string, { sha: tag }: Pointer) {
    const answer = await api.ask(path, `GET /repos/${path}/git/tags/${tag}`);
    if (answer.status === 200) return shaped(tagSchema, answer.data);
    if (answer.status !== 404) throw api.unreadable(path, answer);
    await api.repository(path);
    throw noCommit(tag, ref);
  }

  async function peel(path: string, ref: string, pointer: Pointer): Promise<Pointer> {
    let at = pointer;
    for (let depth = 0; at.type === 'tag'; depth += 1) {
      if (depth === MAX_TAGS_OF_TAGS)
        throw new StalledError(`${ref} is a tag of a tag of a tag without end`, 'tag a commit');
      at = (await readTag(path, ref, at)).object;
    }
    return at;
  }

  const commitOf = ({ type, sha: name }: Pointer): string | null => (type === 'commit' ? name : null);

  /** Without GraphQL: a request for each annotated tag, and no dates of commits. */
  async function describeOne(path: string, ref: string, object: Pointer): Promise<Described> {
    if (object.type !== 'tag') return { sha: commitOf(object), createdAt: null };
    const { tagger, object: tagged } = await readTag(path, ref, object);
    return { sha: commitOf(await peel(path, ref, tagged)), createdAt: timeOf(tagger?.date) };
  }

  /** One by one, so that what was read before a limit or a failure is kept. */
  async function* describeBatch(path: string, batch: readonly { ref: string; object: Pointer }[]) {
    const [owner = '', name = ''] = path.split('/').map(decodeURIComponent);
    const fields = batch.map(({ object }, n) => `o${n}: object(oid: "${object.sha}") { ...described }`);
    const text = `query($owner: String!, $name: String!) {
      repository(owner: $owner, name: $name) { ${fields.join('\n')} }
    }
    ${FRAGMENT}`;
    const data = await api.query(path, text, { owner, name });
    const objects = data === null ? {} : shaped(answerSchema, data).repository;
    for (const [n, { ref, object }] of batch.entries()) {
      const found = objects[`o${n}`];
      const described = found
        ? await fromQuery(path, ref, object, found)
        : await describeOne(path, ref, object);
      yield [object.sha, described] as const;
    }
  }

  async function fromQuery(
    path: string,
    ref: string,
    object: Pointer,
    found: z.infer<typeof objectSchema>,
  ): Promise<Described> {
    if (object.type !== 'tag') return { sha: commitOf(object), createdAt: timeOf(found.committedDate) };
    if (!found.target) return describeOne(path, ref, object);
    const tagged = { sha: found.target.oid, type: found.target.__typename.toLowerCase() };
    return { sha: commitOf(await peel(path, ref, tagged)), createdAt: timeOf(found.tagger?.date) };
  }

  return {
    peel,
    async describe(path, refs) {
      const described = new Map<string, Described>();
      const unknown = new Map<string, { ref: string; object: Pointer }>();
      for (const each of refs) {
        const before = known.get(each.object.sha);
        if (before) described.set(each.object.sha, before);
        else unknown.set(each.object.sha, each);
      }
      const rest = [...unknown.values()];
      for (let start = 0; start < rest.length; start += BATCH) {
        for await (const [name, each] of describeBatch(path, rest.slice(start, start + BATCH))) {
          described.set(name, each);
          if (known.size >= MAX_KNOWN) known.clear();
          known.set(name, each);
        }
      }
      return described;
    },
  };
}

function timeOf(date: string | null | undefined): number | null {
  const time = Date.parse(date ?? '');
  return Number.isNaN(time) ? null : time;
}
