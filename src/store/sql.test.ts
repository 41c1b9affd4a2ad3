import { execFileSync, fork } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { platform, tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { StalledError } from '../core/errors.ts';
import type { Rollout } from '../core/rollout.ts';
import {
  A,
  C,
  DELIVERED,
  describeStore,
  FAILED,
  IRIS,
  NOON,
  one,
  planned,
  rollOut,
  type StoreHarness,
  TAG,
  tell,
  WATCHED,
} from './contract.ts';
import { describePolicyChanges } from './policy-change-contract.ts';
import { describeRemovals } from './removal-contract.ts';
import { describeRenames } from './rename-contract.ts';
import { describeRequests } from './request-contract.ts';
import { describeReviews } from './review-contract.ts';
import { createSqlStore } from './sql.ts';
import { describeStanding } from './standing-contract.ts';
import { type Store, StoreUnavailableError } from './store.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'modelhook-store-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
function newFile(): string {
  files += 1;
  return join(folder, `${files}`, 'data', 'modelhook.db');
}

const inMemory = async (): Promise<StoreHarness> => {
  const clock = { now: NOON };
  const store = createSqlStore({ file: ':memory:', now: () => clock.now });
  await store.lifecycle.start();
  return { store, clock, end: () => store.lifecycle.stop() };
};

describeStore('the store in memory', inMemory);
describeReviews('the store in memory, and reviews', inMemory);
describePolicyChanges('the store in memory, and changes of the policies', inMemory);
describeRenames('the store in memory, and renames', inMemory);
describeRequests('the store in memory, and what people ask for', inMemory);
describeRemovals('the store in memory, and removals', inMemory);
describeStanding('the store in memory, and what stands in clusters', inMemory);

describeStore('the store on a file', async () => {
  const clock = { now: NOON };
  const file = newFile();
  const store = createSqlStore({ file, now: () => clock.now });
  await store.lifecycle.start();
  return {
    store,
    clock,
    end: async () => {
      await store.lifecycle.stop();
      rmSync(join(file, '..'), { recursive: true });
    },
  };
});

describe('a store on a file', () => {
  let file: string;
  let clock: { now: number };
  const open: Store[] = [];
  const start = async (path = file): Promise<Store> => {
    const store = createSqlStore({ file: path, now: () => clock.now });
    await store.lifecycle.start();
    open.push(store);
    return store;
  };
  /** The next process on the file, after this one ended without a word. */
  const restart = async (store: Store): Promise<Store> => {
    await store.lifecycle.stop();
    return start();
  };
  beforeEach(() => {
    file = newFile();
    clock = { now: NOON };
  });
  afterEach(async () => {
    for (const store of open.splice(0)) await store.lifecycle.stop();
  });

  describe('when it starts', () => {
    it('makes the folders of a path that is not there yet', async () => {
      await start();
      expect(existsSync(file)).toBe(true);
    });

    it('opens nothing before that', () => {
      createSqlStore({ file });
      expect(existsSync(file)).toBe(false);
    });

    it('says which path cannot be a folder', async () => {
      const inTheWay = join(folder, 'in-the-way');
      writeFileSync(inTheWay, '');
      const refused = start(join(inTheWay, 'modelhook.db'));
      await expect(refused).rejects.toBeInstanceOf(StoreUnavailableError);
      await expect(refused).rejects.toThrow(inTheWay);
    });

    it('refuses a file that is no database, and leaves it as it is', async () => {
      const text = 'not a database, but long enough to be looked at as one. '.repeat(30);
      const path = join(folder, 'notes.txt');
      writeFileSync(path, text);
      await expect(start(path)).rejects.toThrow(/not a database/);
      expect(readFileSync(path, 'utf8')).toBe(text);
    });

    it('waits for the disk at every commit, so that what was answered outlives a power cut', async () => {
      const exec = vi.spyOn(DatabaseSync.prototype, 'exec');
      await start();
      const database = exec.mock.contexts.at(-1) as DatabaseSync;
      exec.mockRestore();
      expect(database.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'wal' });
      expect(database.prepare('PRAGMA synchronous').get()).toEqual({ synchronous: 2 });
    });
  });

  describe('belongs to one process', () => {
    it('refuses a second store on the same file, in words that name it', async () => {
      const store = await start();
      const refused = start();
      await expect(refused).rejects.toBeInstanceOf(StalledError);
      await expect(refused).rejects.toThrow(`${file} is in use by another modelhook; stop it`);
      await tell(store, { after: A });
      expect((await store.events.list({ limit: 1 })).items).toHaveLength(1);
    });

    it('lets the next one in once the first has stopped', async () => {
      await (await start()).lifecycle.stop();
      await expect(start()).resolves.toBeDefined();
    });

    it('refuses while another process has it, and not after that was killed', async () => {
      const holder = fork(join(import.meta.dirname, '../../test/store-process.ts'), [file], {
        stdio: 'ignore',
        execArgv: ['--disable-warning=ExperimentalWarning'],
      });
      await new Promise((resolve) => holder.once('message', resolve));
      await expect(start()).rejects.toThrow('is in use by another modelhook');
      const ended = new Promise((resolve) => holder.once('exit', resolve));
      holder.kill('SIGKILL');
      await ended;
      const store = await start();
      expect((await store.events.list({ limit: 10 })).items).toMatchObject([{ ref: TAG, sha: A }]);
    });

    it('leaves the file readable for backups', async () => {
      const store = await start();
      await tell(store, { after: A });
      const reader = new DatabaseSync(file, { readOnly: true });
      expect(reader.prepare('SELECT count(*) AS events FROM events').get()).toEqual({ events: 1 });
      reader.close();
    });
  });

  describe('of an earlier version', () => {
    it('is brought up to date, without the numbers that webhooks told it', async () => {
      await (await start()).lifecycle.stop();
      const database = new DatabaseSync(file);
      database.exec(`
        drop table former_names;
        drop index repositories_project;
        drop index rollouts_target;
        create index rollouts_target on rollouts (cluster, namespace, name, seq);
        alter table rollouts drop column place;
        alter table rollouts drop column observation;
        alter table rollouts drop column inputs;
        drop index rollouts_cause;
        drop table catalogues;
        drop table reviews;
        alter table refs drop column was_sha;
        alter table refs drop column was_event_id;
        delete from kysely_migration where name >= '0003';
        insert into repositories (id, project_id, listing_due_at) values ('${IRIS}', '42', 0);
      `);
      database.close();
      const store = await start();
      expect(await store.repositories.projectIdOf(IRIS)).toBeNull();
      await store.repositories.identify(IRIS, { repository: 'plain:ml/flowers', projectId: '7' });
      expect(await store.repositories.formerNames(['plain:ml/flowers'])).toEqual(
        new Map([['plain:ml/flowers', [IRIS]]]),
      );
    });

    it('has retries without a place, which count with the rollout they began with from then on', async () => {
      const before = await start();
      const v1 = await one(rollOut(before, { tag: 'v1' }));
      await before.rollouts.advance(v1.id, FAILED);
      const v2 = await one(rollOut(before, { tag: 'v2', sha: C }));
      const first = await before.requests.retry(v1.id);
      await before.rollouts.advance(first?.id ?? '', FAILED);
      const second = await before.requests.retry(first?.id ?? '');
      await before.lifecycle.stop();
      const database = new DatabaseSync(file);
      database.exec(`
        drop index rollouts_target;
        create index rollouts_target on rollouts (cluster, namespace, name, seq);
        alter table rollouts drop column place;
        alter table rollouts drop column inputs;
        drop index rollouts_cause;
        drop table catalogues;
        drop table reviews;
        delete from kysely_migration where name >= '0006';
      `);
      database.close();
      const store = await start();
      await store.rollouts.advance(second?.id ?? '', planned());
      expect(await store.rollouts.advance(v2.id, planned())).toMatchObject({ stage: 'deliver' });
      expect(await store.rollouts.get(second?.id ?? '')).toMatchObject({ message: 'Superseded by v2' });
    });

    it('has plans that say nothing of readiness: such a rollout ends with its delivery', async () => {
      const before = await start();
      const { id } = await one(rollOut(before));
      await before.rollouts.advance(id, planned());
      await before.lifecycle.stop();
      const database = new DatabaseSync(file);
      database.exec(`update rollouts set plan = json_remove(plan, '$.readiness')`);
      database.close();
      expect((await (await start()).rollouts.get(id))?.plan).toEqual(planned().plan);
    });
  });

  it('keeps the catalogues of runtimes that rollouts were planned from, and no others', async () => {
    const file = newFile();
    const store = createSqlStore({ file, now: () => NOON });
    await store.lifecycle.start();
    const { id } = await one(rollOut(store));
    for (const source of ['one', 'another'])
      await store.rollouts.advance(id, {
        ...planned(),
        inputs: {
          modelCard: { library: null, pipelineTag: null, license: null, tags: [], baseModel: [] },
          kserve: { version: null },
          runtimes: { source, runtimes: [] },
          knative: null,
          projectId: null,
        },
      });
    await store.policyChanges.carryOut({ from: null, revision: A, rollouts: [], room: 1 });
    const [deployed] = await store.policyChanges.deployed();
    expect(deployed?.inputs.runtimes).toEqual({ source: 'another', runtimes: [] });
    await store.lifecycle.stop();
    using database = new DatabaseSync(file, { readOnly: true });
    expect(database.prepare('select content from catalogues').all()).toEqual([
      { content: JSON.stringify({ source: 'another', runtimes: [] }) },
    ]);
  });

  describe('after a restart', () => {
    it('knows everything it knew', async () => {
      const before = await start();
      const rollout = await one(rollOut(before));
      await before.rollouts.advance(rollout.id, planned());
      await before.rollouts.advance(rollout.id, DELIVERED);
      await before.facts.set('gitops/fleet/base', C);
      const known = [await before.rollouts.get(rollout.id), await before.events.list({ limit: 9 })];
      const store = await restart(before);
      expect([await store.rollouts.get(rollout.id), await store.events.list({ limit: 9 })]).toEqual(known);
      expect(await store.facts.get('gitops/fleet/base')).toBe(C);
      expect(await tell(store, { after: A })).toMatchObject({ outcome: 'repeat' });
    });

    it('takes up rollouts that the last process had leased', async () => {
      const before = await start();
      const { id } = await one(rollOut(before));
      await before.rollouts.claim('resolve', 1);
      const store = await restart(before);
      expect(await store.rollouts.claim('resolve', 1)).toMatchObject([{ id }]);
      expect(await store.rollouts.claim('resolve', 1)).toEqual([]);
    });

    it('takes up rollouts that the last process had kept leased', async () => {
      const before = await start();
      const { id } = await one(rollOut(before));
      await before.rollouts.advance(id, planned());
      await before.rollouts.advance(id, WATCHED);
      await before.rollouts.claim('observe', 1);
      await before.rollouts.advance(id, { message: 'Waiting for a pod', keepLease: true });
      const store = await restart(before);
      expect(await store.rollouts.claim('observe', 1)).toMatchObject([{ id, message: 'Waiting for a pod' }]);
    });

    it('waits as long as was left of a wait', async () => {
      const before = await start();
      const { id } = await one(rollOut(before));
      await before.rollouts.advance(id, { attempts: 1, dueAt: NOON + 1000 });
      const store = await restart(before);
      expect(await store.rollouts.claim('resolve', 1)).toEqual([]);
      expect(await store.facts.nextDue(NOON)).toBe(NOON + 1000);
    });

    it('reads back a status that the last process had begun to write', async () => {
      const before = await start();
      await before.rollouts.advance((await one(rollOut(before))).id, planned());
      expect(await before.reports.claim(1)).toMatchObject([{ uncertain: false }]);
      const store = await restart(before);
      expect(await store.reports.claim(1)).toMatchObject([{ uncertain: true, sent: null }]);
    });

    it('takes up listings that the last process had leased', async () => {
      const before = await start();
      await before.repositories.scheduleListings([IRIS]);
      await before.repositories.claimListings(1, NOON + 600_000);
      const store = await restart(before);
      await store.repositories.scheduleListings('all');
      expect(await store.repositories.claimListings(1, NOON + 600_000)).toEqual([IRIS]);
    });
  });

  /** Everything that writes, with what it would change. */
  const everyWrite = (store: Store): Record<string, () => Promise<unknown>> => ({
    'events.record': () => tell(store, { ref: 'refs/tags/v2', after: A }),
    'repositories.scheduleListings': () => store.repositories.scheduleListings(['plain:ml/rose']),
    'repositories.claimListings': () => store.repositories.claimListings(1, NOON + 1),
    'repositories.applyListing': async () =>
      store.repositories.applyListing(
        await store.repositories.snapshot(IRIS),
        [TAG, 'refs/tags/v2', 'refs/heads/main'].map((ref) => ({ ref, sha: A, object: A })),
        30_000,
      ),
    'repositories.lookAgain': () => store.repositories.lookAgain('plain:ml/rose'),
    'repositories.identify': () =>
      store.repositories.identify(IRIS, { repository: 'plain:ml/flowers', projectId: '7' }),
    'rollouts.claim': () => store.rollouts.claim('deliver', 1),
    'rollouts.advance': async () => {
      const [rollout] = (await store.rollouts.list({ limit: 1 })).items;
      return store.rollouts.advance(rollout?.id ?? '', DELIVERED);
    },
    'reports.claim': () => store.reports.claim(1),
    'facts.set': () => store.facts.set('key', 'value'),
    'lifecycle.check': () => store.lifecycle.check(),
  });
  const everything = async (store: Store) => [
    await store.events.list({ limit: 200 }),
    await Promise.all(
      (await store.rollouts.list({ limit: 200 })).items.map(({ id }) => store.rollouts.get(id)),
    ),
    await store.facts.get('key'),
    await store.repositories.snapshot(IRIS),
    await store.events.unmatched(10),
  ];
  const withARollout = async (): Promise<Store> => {
    const store = await start();
    await store.rollouts.advance((await one(rollOut(store))).id, planned());
    return store;
  };

  /** Every write says that it is not possible and has changed nothing; once it is possible again, all of them work. */
  async function refusesAndRecovers(
    store: Store,
    words: RegExp,
    spoil: () => void,
    mend: () => void,
  ): Promise<void> {
    const before = await everything(store);
    spoil();
    try {
      for (const [name, write] of Object.entries(everyWrite(store))) {
        const error = await write().then(
          () => null,
          (thrown: unknown) => thrown,
        );
        expect(error, name).toBeInstanceOf(StoreUnavailableError);
        expect(String(error), name).toMatch(words);
        expect(String(error), name).toContain(file);
      }
      const tales = Array.from({ length: 20 }, (_, n) =>
        tell(store, { ref: `refs/tags/many-${n}`, after: A }),
      );
      for (const told of await Promise.allSettled(tales))
        expect(told).toMatchObject({ reason: expect.any(StoreUnavailableError) });
    } finally {
      mend();
    }
    expect(await everything(store)).toEqual(before);
    for (const [name, write] of Object.entries(everyWrite(store)))
      await expect(write(), name).resolves.not.toThrow();
    const { items } = await store.events.list({ limit: 200 });
    expect(items.map(({ ref }) => ref)).toEqual(['refs/tags/v2', TAG]);
  }

  // The kernel refuses to write beyond this offset of any file (EFBIG), whoever asks: as good as a broken disk.
  function limitFiles(bytes: string): void {
    const user = process.geteuid?.();
    process.seteuid?.(process.getuid?.() ?? 0);
    execFileSync('prlimit', ['--pid', `${process.pid}`, `--fsize=${bytes}:`]);
    process.seteuid?.(user ?? 0);
  }
  const canLimit = platform() === 'linux' && succeeds(() => limitFiles('unlimited'));

  describe.skipIf(!canLimit)('on a disk that takes nothing (needs prlimit of util-linux)', () => {
    it('throws StoreUnavailableError from every write, changes nothing, and recovers by itself', async () => {
      const store = await withARollout();
      await refusesAndRecovers(
        store,
        /cannot be (read or written|opened)|disk is full/,
        () => limitFiles('0'),
        () => limitFiles('unlimited'),
      );
    });

    it('fails alike whatever shares a transaction, also where the disk fails in its midst', async () => {
      const store = await start();
      const rollouts: Rollout[] = [];
      for (let n = 0; n < 12; n += 1)
        rollouts.push(await one(rollOut(store, { repository: `plain:ml/m-${n}` })));
      // More than SQLite keeps in memory until the commit: it writes before, and then undoes the transaction itself.
      const change = (name: string) => ({
        ...planned(),
        target: { cluster: 'prod', namespace: 'ml', name },
        manifest: 'x'.repeat(700_000),
      });
      const advance = () =>
        Promise.allSettled(rollouts.map(({ id }, n) => store.rollouts.advance(id, change(`m-${n}`))));
      limitFiles('300000');
      const refused = await advance().finally(() => limitFiles('unlimited'));
      for (const each of refused) expect(each).toMatchObject({ reason: expect.any(StoreUnavailableError) });
      expect(await store.rollouts.claim('deliver', 20)).toEqual([]);
      expect(await advance()).toMatchObject(rollouts.map(() => ({ status: 'fulfilled' })));
    });
  });

  const mounted = platform() === 'linux' && process.getuid?.() === 0 && succeeds(mountAndUnmount);

  describe.skipIf(!mounted)('on a file system that is full (needs root, to mount one)', () => {
    it('throws StoreUnavailableError from every write, changes nothing, and recovers by itself', async () => {
      const disk = mkdtempSync(join(tmpdir(), 'modelhook-disk-'));
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', disk]);
      try {
        file = join(disk, 'modelhook.db');
        const store = await withARollout();
        const ballast = join(disk, 'ballast');
        const spoil = () => {
          const chunk = Buffer.alloc(4096);
          while (succeeds(() => appendFileSync(ballast, chunk)));
        };
        await refusesAndRecovers(store, /disk is full/, spoil, () => rmSync(ballast));
        for (const each of open.splice(0)) await each.lifecycle.stop();
      } finally {
        execFileSync('umount', ['--lazy', disk]);
        rmSync(disk, { recursive: true });
      }
    });
  });

  describe.skipIf(!canLimit)('on a file that is read-only', () => {
    const NOBODY = 65_534;
    const asOrdinaryUser = process.getuid?.() === 0;
    const withoutRoot = <Result>(work: () => Promise<Result>): Promise<Result> => {
      if (!asOrdinaryUser) return work();
      // Permissions do not bind root.
      for (const path of [folder, join(file, '../..'), join(file, '..')]) chmodSync(path, 0o777);
      chownSync(file, NOBODY, NOBODY);
      process.seteuid?.(NOBODY);
      return work().finally(() => process.seteuid?.(0));
    };

    it('does not start where it cannot make its tables, says why, and does once it can', async () => {
      mkdirSync(join(file, '..'), { recursive: true });
      writeFileSync(file, '');
      await withoutRoot(async () => {
        chmodSync(file, 0o444);
        const refused = start();
        await expect(refused).rejects.toBeInstanceOf(StoreUnavailableError);
        await expect(refused).rejects.toThrow(`the database ${file} is read-only`);
        chmodSync(file, 0o644);
        await expect(start()).resolves.toBeDefined();
      });
    });

    it('throws StoreUnavailableError from every write, changes nothing, and recovers by itself', async () => {
      await (await start()).lifecycle.stop();
      await withoutRoot(async () => {
        const store = await withARollout();
        // The open handle may still write; it is given up after the first failure.
        chmodSync(file, 0o444);
        limitFiles('0');
        await expect(store.lifecycle.check()).rejects.toBeInstanceOf(StoreUnavailableError);
        limitFiles('unlimited');
        await refusesAndRecovers(
          store,
          /is read-only/,
          () => {},
          () => chmodSync(file, 0o644),
        );
      });
    });
  });
});

function succeeds(work: () => unknown): boolean {
  try {
    work();
    return true;
  } catch {
    return false;
  }
}

function mountAndUnmount(): void {
  const disk = mkdtempSync(join(tmpdir(), 'modelhook-disk-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', disk], { stdio: 'ignore' });
    execFileSync('umount', [disk]);
  } finally {
    rmSync(disk, { recursive: true });
  }
}
