/** What every forge does, whatever host is behind it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CommitStatus, StatusState } from '../core/commit-status.ts';
import { StalledError } from '../core/errors.ts';
import type { RefMove } from '../core/ref-event.ts';
import { type Forge, WebhookError, type WebhookRequest } from './forge.ts';

/** What a push did to a ref, as the forge knows it. */
export interface Push {
  ref: string;
  before: string | null;
  /** The commit. */
  after: string | null;
  /** What the ref points to itself, where that is an annotated tag's object. */
  object?: string;
}

/** A forge with one repository, and somebody who pushes to it. */
export interface ForgeHarness {
  forge: Forge;
  /** Another controller on the same forge, with nothing shared. */
  other: Forge;
  /** The repository's id, and one that the forge does not have. */
  repository: string;
  absent: string;
  /** Secrets that are accepted, two or more. */
  secrets: readonly string[];
  /** Adds a commit with these files to a branch of the repository. @returns its id */
  commit(branch: string, files: Readonly<Record<string, string | Uint8Array>>): Promise<string>;
  /** Makes or moves a ref. */
  point(ref: string, sha: string): Promise<void>;
  /** Makes or moves an annotated tag. @returns the tag object's id */
  annotate(ref: string, sha: string): Promise<string>;
  remove(ref: string): Promise<void>;
  /** The delivery the forge sends for a push; without a signature where the secret is null. */
  delivery(push: Push, secret: string | null): WebhookRequest;
  /** The delivery that the forge's test button sends. */
  testDelivery(secret: string): WebhookRequest;
  /** The delivery that tells of a change of pull request 7; null where the forge sends none. */
  pullRequestDelivery: ((secret: string) => WebhookRequest) | null;
  /** Gives the repository another name. @returns its new id; null where repositories have no number that stays */
  rename: (() => Promise<string>) | null;
  /** A signed delivery of any body. */
  signed(body: Uint8Array, secret: string): WebhookRequest;
  end(): Promise<void>;
}

/** Makes a ref that points to a commit the repository does not have; null where the forge cannot be made to. */
export type PointNowhere = ((harness: ForgeHarness, ref: string) => Promise<void>) | null;

const MODEL_CARD = '---\nlibrary_name: sklearn\n---\n# Iris\n';
const LIMIT = 1024 * 1024;
const ABSENT_SHA = 'dead'.repeat(10);

/** A delivery as it came in, with header names in any case. */
export const webhookRequest = (
  headers: Readonly<Record<string, string>>,
  body: string | Uint8Array,
): WebhookRequest => {
  const byName = new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
  return { header: (name) => byName.get(name.toLowerCase()), body: Buffer.from(body) };
};

/**
 * Runs the suite that every forge passes.
 * @param make makes a forge with an empty repository
 */
export function describeForge(
  name: string,
  make: () => Promise<ForgeHarness>,
  pointNowhere: PointNowhere,
): void {
  describe(name, () => {
    let harness: ForgeHarness;
    let forge: Forge;
    let repository: string;
    /** Two commits of the main branch. */
    let first: string;
    let second: string;
    beforeAll(async () => {
      harness = await make();
      ({ forge, repository } = harness);
      first = await harness.commit('main', {
        'README.md': MODEL_CARD,
        'model/weights.bin': Buffer.alloc(3 * LIMIT, 7),
        'model/pointer.bin': 'version https://git-lfs.github.com/spec/v1\nsize 5\n',
        'model/bytes.bin': Uint8Array.from({ length: 256 }, (_, byte) => byte),
        'empty.txt': '',
      });
      second = await harness.commit('main', { 'README.md': `${MODEL_CARD}Better.\n` });
    });
    afterAll(() => harness.end());

    const text = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString();

    describe('a webhook', () => {
      const secret = () => harness.secrets[0] as string;
      const receive = async (push: Push) => forge.webhooks.receive(harness.delivery(push, secret()));
      const move = (push: Push): Partial<RefMove> => ({ repository, ref: push.ref, after: push.after });
      const refused = async (request: WebhookRequest, status: number) => {
        try {
          await forge.webhooks.receive(request);
        } catch (error) {
          expect(error).toBeInstanceOf(WebhookError);
          expect(error).toMatchObject({ status });
          return error as WebhookError;
        }
        throw new Error('the delivery was taken');
      };

      it.each(['refs/tags/v1.0.0', 'refs/heads/main', 'refs/tags/release/2026-03'])(
        'tells that %s was created, moved and deleted',
        async (ref) => {
          const created = { ref, before: null, after: first };
          expect(await receive(created)).toMatchObject({
            kind: 'refs',
            moves: [{ ...move(created), before: null }],
          });
          const moved = { ref, before: first, after: second };
          expect(await receive(moved)).toMatchObject({ kind: 'refs', moves: [move(moved)] });
          const deleted = { ref, before: second, after: null };
          expect(await receive(deleted)).toMatchObject({ kind: 'refs', moves: [move(deleted)] });
        },
      );

      it('carries the commit of an annotated tag, never the tag object', async () => {
        const push = { ref: 'refs/tags/v2', before: null, after: second, object: 'f'.repeat(40) };
        expect(await receive(push)).toMatchObject({ moves: [{ after: second }] });
      });

      it('has an id of its own, the same when the delivery is sent again', async () => {
        const push = { ref: 'refs/tags/v1.0.0', before: null, after: first };
        const request = harness.delivery(push, secret());
        const requests = [request, request, harness.delivery(push, secret())];
        const ids = await Promise.all(
          requests.map(async (each) => {
            const delivery = await forge.webhooks.receive(each);
            return delivery.kind === 'refs' ? delivery.id : 'ignored';
          }),
        );
        expect(ids[0]).toBe(ids[1]);
        expect(ids[2]).not.toBe(ids[0]);
      });

      it('that is only a test is ignored, and says so', async () => {
        const delivery = await forge.webhooks.receive(harness.testDelivery(secret()));
        expect(delivery).toMatchObject({ kind: 'ignored', reason: expect.stringMatching(/./) });
      });

      it('that tells of a pull request names the repository that has it', async () => {
        if (harness.pullRequestDelivery === null) return expect(forge.pullRequests).toBeNull();
        const delivery = await forge.webhooks.receive(harness.pullRequestDelivery(secret()));
        expect(delivery).toMatchObject({
          kind: 'changed',
          what: 'pullRequest',
          repository,
          reason: expect.stringMatching(/./),
        });
      });

      it('is taken with each of the secrets that are accepted', async () => {
        expect(harness.secrets.length).toBeGreaterThan(1);
        for (const each of harness.secrets) {
          const push = { ref: 'refs/tags/v1', before: null, after: first };
          expect(await forge.webhooks.receive(harness.delivery(push, each))).toMatchObject({ kind: 'refs' });
        }
      });

      it('is refused without a signature, with one of another secret, and where the body was changed', async () => {
        const push = { ref: 'refs/tags/v1', before: null, after: first };
        expect((await refused(harness.delivery(push, null), 401)).message).toMatch(/missing/);
        for (const wrong of ['another-secret', '', `${secret()} `])
          await refused(harness.delivery(push, wrong), 401);
        const { header, body } = harness.delivery(push, secret());
        const changed = Buffer.from(text(body).replaceAll(first, second));
        expect((await refused({ header, body: changed }, 401)).message).not.toContain(secret());
        await refused({ header, body: Buffer.concat([body, Buffer.from(' ')]) }, 401);
        await refused({ header, body: new Uint8Array() }, 401);
      });

      it('is refused where its body is not JSON, or JSON of something else, once the signature is right', async () => {
        for (const body of ['', 'ref=refs/tags/v1', '{"ref":', '\u0000', '"text"', 'null', '[]', '{}', '42'])
          await refused(harness.signed(Buffer.from(body), secret()), 400);
        await refused(harness.signed(Uint8Array.of(0x22, 0xff, 0xfe, 0x22), secret()), 400);
        await refused(harness.signed(Buffer.from('not JSON'), 'another-secret'), 401);
      });
    });

    describe('reading a ref', () => {
      const read = (ref: string, paths: string[] = []) =>
        forge.repositories.readRef(repository, ref, paths, LIMIT);

      it('gives the commit of a branch, a lightweight and an annotated tag, and what an annotated tag itself is', async () => {
        await harness.point('refs/tags/light', first);
        const object = await harness.annotate('refs/tags/annotated', first);
        expect(await read('refs/heads/main')).toEqual({ sha: second, object: second, files: [] });
        expect(await read('refs/tags/light')).toEqual({ sha: first, object: first, files: [] });
        expect(await read('refs/tags/annotated')).toEqual({ sha: first, object, files: [] });
      });

      it('gives files at that commit, in the order asked for', async () => {
        await harness.point('refs/tags/old', first);
        const reading = await read('refs/tags/old', ['README.md', 'no-such-file']);
        expect(reading?.files.map(({ kind, path }) => `${kind} ${path}`)).toEqual([
          'file README.md',
          'missing no-such-file',
        ]);
        const [card] = reading?.files ?? [];
        expect(card?.kind === 'file' && text(card.bytes)).toBe(MODEL_CARD);
      });

      it('follows a ref that moves', async () => {
        await harness.point('refs/tags/moving', first);
        expect(await read('refs/tags/moving')).toMatchObject({ sha: first });
        await harness.point('refs/tags/moving', second);
        expect(await read('refs/tags/moving')).toMatchObject({ sha: second });
      });

      it('gives null for a ref that is not there, was deleted, or is only the beginning of another', async () => {
        await harness.point('refs/tags/gone', first);
        await harness.point('refs/tags/gone-too-far', first);
        expect(await read('refs/tags/gone')).not.toBeNull();
        await harness.remove('refs/tags/gone');
        expect(await read('refs/tags/gone')).toBeNull();
        expect(await read('refs/tags/never')).toBeNull();
        expect(await read('refs/heads/never')).toBeNull();
        expect(await read('refs/tags/gone-too-far')).not.toBeNull();
      });

      it('throws, and not for good, where there is no such repository: nothing is gone', async () => {
        const reading = forge.repositories.readRef(harness.absent, 'refs/heads/main', [], LIMIT);
        await expect(reading).rejects.toThrow();
        await expect(reading).rejects.not.toBeInstanceOf(StalledError);
      });

      // Not every server can be brought to show such a ref.
      if (pointNowhere)
        it('throws a StalledError that names the ref where its commit is not there', async () => {
          await pointNowhere(harness, 'refs/tags/broken');
          const reading = read('refs/tags/broken');
          await expect(reading).rejects.toBeInstanceOf(StalledError);
          await expect(reading).rejects.toThrow(/refs\/tags\/broken points to/);
          await harness.remove('refs/tags/broken');
        });

      it('answers many at once', async () => {
        const refs = [
          'refs/heads/main',
          'refs/tags/light',
          'refs/tags/none',
          'refs/heads/main',
          'refs/tags/light',
        ];
        const readings = await Promise.all(refs.map((ref) => read(ref, ['README.md'])));
        expect(readings.map((reading) => reading?.sha)).toEqual([second, first, undefined, second, first]);
      });
    });

    describe('reading files at a commit', () => {
      const read = (paths: string[], maxBytes = LIMIT, sha = first) =>
        forge.repositories.readFiles(repository, sha, paths, maxBytes);

      it('gives their bytes as they are: text, binary, empty, a Git LFS pointer', async () => {
        const files = await read(['README.md', 'model/bytes.bin', 'empty.txt', 'model/pointer.bin']);
        const contents = files.map((file) => (file.kind === 'file' ? Buffer.from(file.bytes) : null));
        expect(contents[0]?.toString()).toBe(MODEL_CARD);
        expect([...(contents[1] ?? [])]).toEqual(Array.from({ length: 256 }, (_, byte) => byte));
        expect(contents[2]).toHaveLength(0);
        expect(contents[3]?.toString()).toMatch(/^version https:\/\/git-lfs/);
      });

      it('says what is missing, a folder too', async () => {
        expect(await read(['none.md', 'model', 'README.md/x', 'readme.md'])).toEqual([
          { kind: 'missing', path: 'none.md' },
          { kind: 'missing', path: 'model' },
          { kind: 'missing', path: 'README.md/x' },
          { kind: 'missing', path: 'readme.md' },
        ]);
      });

      it('says how large a file over the limit is, and reads one that just reaches it', async () => {
        expect(await read(['model/weights.bin'])).toEqual([
          { kind: 'tooLarge', path: 'model/weights.bin', size: 3 * LIMIT },
        ]);
        expect(await read(['model/bytes.bin'], 255)).toEqual([
          { kind: 'tooLarge', path: 'model/bytes.bin', size: 256 },
        ]);
        expect(await read(['model/bytes.bin'], 256)).toMatchObject([{ kind: 'file' }]);
      });

      it('reads each commit as it was', async () => {
        const [card] = await read(['README.md'], LIMIT, second);
        expect(card?.kind === 'file' && text(card.bytes)).toBe(`${MODEL_CARD}Better.\n`);
      });

      it('needs nothing that was read before', async () => {
        const [card] = await harness.other.repositories.readFiles(repository, first, ['README.md'], LIMIT);
        expect(card?.kind === 'file' && text(card.bytes)).toBe(MODEL_CARD);
      });

      it('throws where the commit is not there, rather than that its files are missing', async () => {
        await expect(read(['README.md'], LIMIT, ABSENT_SHA)).rejects.toThrow();
      });

      it('throws, and not for good, where there is no such repository', async () => {
        const reading = forge.repositories.readFiles(harness.absent, first, ['README.md'], LIMIT);
        await expect(reading).rejects.toThrow();
        await expect(reading).rejects.not.toBeInstanceOf(StalledError);
      });
    });

    describe('listing refs', () => {
      it('gives all branches and tags with their commits, and nothing else', async () => {
        await harness.point('refs/heads/feature/one', first);
        await harness.point('refs/tags/listed', second);
        const object = await harness.annotate('refs/tags/listed-too', first);
        const refs = await forge.repositories.listRefs(repository);
        const byName = new Map(refs.map(({ ref, sha, object: itself }) => [ref, { sha, object: itself }]));
        expect(byName.get('refs/heads/main')).toEqual({ sha: second, object: second });
        expect(byName.get('refs/heads/feature/one')).toEqual({ sha: first, object: first });
        expect(byName.get('refs/tags/listed')).toEqual({ sha: second, object: second });
        expect(byName.get('refs/tags/listed-too')).toEqual({ sha: first, object });
        expect(byName.size).toBe(refs.length);
        for (const { ref, createdAt } of refs) {
          expect(ref).toMatch(/^refs\/(?:heads|tags)\//);
          if (createdAt !== null) expect(createdAt).toBeGreaterThan(Date.parse('2026-01-01'));
        }
      });

      it('no longer gives what was deleted', async () => {
        await harness.point('refs/tags/short-lived', first);
        const names = async () => (await forge.repositories.listRefs(repository)).map(({ ref }) => ref);
        expect(await names()).toContain('refs/tags/short-lived');
        await harness.remove('refs/tags/short-lived');
        expect(await names()).not.toContain('refs/tags/short-lived');
      });

      it('gives a tag that took the place of a folder of tags, and the other way round', async () => {
        const names = async () => (await forge.repositories.listRefs(repository)).map(({ ref }) => ref);
        await harness.point('refs/tags/place', first);
        expect(await names()).toContain('refs/tags/place');
        await harness.remove('refs/tags/place');
        await harness.point('refs/tags/place/taken', first);
        expect(await names()).toContain('refs/tags/place/taken');
        expect(
          await forge.repositories.readRef(repository, 'refs/tags/place/taken', [], LIMIT),
        ).toMatchObject({
          sha: first,
        });
        await harness.remove('refs/tags/place/taken');
      });

      it('throws, and not for good, where there is no such repository', async () => {
        const listing = forge.repositories.listRefs(harness.absent);
        await expect(listing).rejects.toThrow();
        await expect(listing).rejects.not.toBeInstanceOf(StalledError);
      });
    });

    describe('the identity of a repository', () => {
      it('is its id, with the number that the forge has for it', async () => {
        const { projectId, ...identity } = await forge.repositories.identify(repository);
        expect(identity).toEqual({ repository });
        expect(projectId === null).toBe(harness.rename === null);
        if (projectId !== null) expect(projectId).toMatch(/^[1-9]\d*$/);
      });

      it('throws, and not for good, where there is no such repository', async () => {
        // Without numbers nothing is asked.
        if (harness.rename === null) return;
        const asking = forge.repositories.identify(harness.absent);
        await expect(asking).rejects.toThrow();
        await expect(asking).rejects.not.toBeInstanceOf(StalledError);
      });
    });

    describe('a commit status', () => {
      const status = (changes: Partial<CommitStatus> = {}): CommitStatus => ({
        context: 'modelhook/production',
        state: 'pending',
        description: 'Queued for production',
        url: 'https://modelhook.example.com/rollouts/1',
        ...changes,
      });
      const REF = 'refs/heads/main';
      const write = (sha: string, each: CommitStatus, by = forge) =>
        by.statuses.write(repository, sha, REF, each);
      const holds = (sha: string, each: CommitStatus, by = forge) => by.statuses.holds(repository, sha, each);
      /** A commit for each test: statuses stay. */
      let sha: string;
      const newCommit = async () => {
        sha = await harness.commit('main', { 'notes.txt': `${Math.random()}` });
      };

      it('is held once it was written, and not before', async () => {
        await newCommit();
        expect(await holds(sha, status())).toBe(false);
        await write(sha, status());
        expect(await holds(sha, status())).toBe(true);
        expect(await holds(first, status())).toBe(false);
      });

      it('is not held where anything of it differs', async () => {
        await newCommit();
        await write(sha, status());
        expect(await holds(sha, status({ state: 'success' }))).toBe(false);
        expect(await holds(sha, status({ description: 'Queued' }))).toBe(false);
        expect(await holds(sha, status({ url: 'https://modelhook.example.com/rollouts/2' }))).toBe(false);
        expect(await holds(sha, status({ context: 'modelhook/staging' }))).toBe(false);
      });

      it('replaces the one of the same context', async () => {
        await newCommit();
        await write(sha, status());
        const done = status({ state: 'success', description: 'Committed 1a2b3c4 to fleet' });
        await write(sha, done);
        expect(await holds(sha, done)).toBe(true);
        expect(await holds(sha, status())).toBe(false);
      });

      it('stands beside those of other contexts', async () => {
        await newCommit();
        const staging = status({
          context: 'modelhook/staging',
          state: 'failed',
          description: 'No model card',
        });
        await write(sha, status());
        await write(sha, staging);
        expect(await holds(sha, status())).toBe(true);
        expect(await holds(sha, staging)).toBe(true);
      });

      it('may be written again as it is', async () => {
        await newCommit();
        await write(sha, status());
        await write(sha, status());
        expect(await holds(sha, status())).toBe(true);
      });

      it.each<StatusState>(['pending', 'running', 'success', 'failed', 'superseded', 'cancelled'])(
        'can say %s',
        async (state) => {
          await newCommit();
          await write(sha, status({ state }));
          expect(await holds(sha, status({ state }))).toBe(true);
        },
      );

      it('takes any description: long, of several lines, in any script', async () => {
        await newCommit();
        const odd = status({ description: `Überlänge\t模型\n${'very long '.repeat(200)}🚀` });
        await write(sha, odd);
        expect(await holds(sha, odd)).toBe(true);
      });

      it('lands from two controllers that write at once, all of them', async () => {
        await newCommit();
        const statuses = Array.from({ length: 8 }, (_, n) =>
          status({ context: `modelhook/environment-${n}` }),
        );
        await Promise.all(statuses.map((each, n) => write(sha, each, n % 2 === 0 ? forge : harness.other)));
        for (const each of statuses) expect(await holds(sha, each)).toBe(true);
      });

      it('that cannot be written, for there is no such repository, throws, and not for good', async () => {
        const writing = forge.statuses.write(harness.absent, first, REF, status());
        await expect(writing).rejects.toThrow();
        await expect(writing).rejects.not.toBeInstanceOf(StalledError);
      });
    });

    // The last of all: the repository has another name afterwards.
    describe('a renamed repository', () => {
      it('is found by both names, has the new one and the number it had', async () => {
        if (harness.rename === null) return expect(forge.pullRequests).toBeNull();
        const before = await forge.repositories.identify(repository);
        const renamed = await harness.rename();
        expect(renamed).not.toBe(repository);
        const after = { ...before, repository: renamed };
        expect(await forge.repositories.identify(repository)).toEqual(after);
        expect(await harness.other.repositories.identify(renamed)).toEqual(after);
        const ref = 'refs/heads/main';
        const [old, now] = [repository, renamed].map((id) => forge.repositories.readRef(id, ref, [], LIMIT));
        expect(await old).toEqual(await now);
        const status: CommitStatus = {
          context: 'modelhook/production',
          state: 'success',
          description: 'Committed 1a2b3c4 to fleet',
          url: 'https://modelhook.example.com/rollouts/2',
        };
        await forge.statuses.write(repository, first, ref, status);
        expect(await harness.other.statuses.holds(renamed, first, status)).toBe(true);
      });
    });
  });
}
