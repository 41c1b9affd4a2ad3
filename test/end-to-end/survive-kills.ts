/** Ends a controller with SIGKILL at random moments while tags are pushed, and reads what came of every tag. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import {
  type ControllerSite,
  ended,
  fleetLog,
  makeControllerSite,
  POLICY,
  until,
} from '../controller-site.ts';

export interface Survived {
  /** The tags' repositories, one tag each. */
  repositories: string[];
  rollouts: { repository: string; phase: string; commit: string | null }[];
  fleet: { repository: string; commit: string }[];
  /** The status lines on each tag's commit. */
  statuses: Map<string, string[]>;
}

export interface KillOptions {
  kills: number;
  repositories: number;
  /** Repeats a run: the moments are drawn from it. */
  seed: number;
}

const OPEN = 0.5;

export async function surviveKills({ kills, repositories, seed }: KillOptions): Promise<Survived> {
  const random = randomOf(seed);
  const paths = Array.from({ length: repositories }, (_, index) => `ml/model-${index}`);
  const named = JSON.stringify(paths.map((path) => `plain:${path}`));
  const site = await makeControllerSite({ policy: POLICY.replace('["plain:ml/*"]', named) });
  try {
    await site.makeModels(paths);
    let controller = await site.start();
    // What is there at first sight is not deployed; only what is pushed after that is awaited here.
    await until(
      async () =>
        count(site, 'SELECT count(*) AS n FROM repositories WHERE baseline_at IS NOT NULL') === repositories,
    );

    const waiting = [...paths];
    for (let kill = 0; kill < kills; kill += 1) {
      const share = Math.ceil(waiting.length / (kills - kill));
      const deliveries = waiting.splice(0, share).map(async (path) => {
        await pause(random() * 200);
        const sha = await site.tag(path, 'v1');
        // Like a hook that nobody hears: a push is never told twice.
        await site.deliver(path, 'refs/tags/v1', sha, `${path} v1`);
      });
      // Mostly in the middle of the work, now and then while it starts or when all is quiet.
      await pause(random() < OPEN ? random() * 300 : random() * 1200);
      await ended(controller, 'SIGKILL');
      await Promise.all(deliveries);
      controller = await site.start();
    }
    await until(async () => settled(site, repositories));
    const code = await ended(controller, 'SIGTERM');
    if (code !== 0) throw new Error(`the controller ended with ${code} after SIGTERM`);
    return read(site, paths);
  } finally {
    await site.remove();
  }
}

/** Every tag has a final rollout, and nothing waits to be reported. */
function settled(site: ControllerSite, tags: number): boolean {
  const done = count(
    site,
    "SELECT count(DISTINCT repository) AS n FROM rollouts WHERE stage IS NULL AND ref = 'refs/tags/v1'",
  );
  const open =
    count(site, 'SELECT count(*) AS n FROM rollouts WHERE stage IS NOT NULL') +
    count(site, 'SELECT count(*) AS n FROM reports WHERE due_at IS NOT NULL');
  return done === tags && open === 0;
}

function read(site: ControllerSite, paths: readonly string[]): Survived {
  const rollouts = query(site, 'SELECT repository, phase, receipt FROM rollouts ORDER BY repository') as {
    repository: string;
    phase: string;
    receipt: string | null;
  }[];
  const git = (dir: string, ...args: string[]) =>
    execFileSync('git', ['--git-dir', dir, ...args], { encoding: 'utf8', stdio: 'pipe' });
  return {
    repositories: paths.map((path) => `plain:${path}`).sort(),
    rollouts: rollouts.map(({ repository, phase, receipt }) => ({
      repository,
      phase,
      commit: receipt === null ? null : JSON.parse(receipt).commit,
    })),
    fleet: fleetLog(site.fleet).map(({ repository, commit }) => ({ repository, commit })),
    statuses: new Map(
      paths.map((path) => [
        `plain:${path}`,
        git(site.repository(path), 'notes', '--ref=modelhook', 'show', 'refs/tags/v1')
          .split('\n')
          .filter(Boolean),
      ]),
    ),
  };
}

function query(site: ControllerSite, sql: string): Record<string, unknown>[] {
  const database = new DatabaseSync(join(site.root, 'data/modelhook.db'), { readOnly: true });
  try {
    return database.prepare(sql).all();
  } finally {
    database.close();
  }
}

const count = (site: ControllerSite, sql: string): number => Number(query(site, sql)[0]?.n);

const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));

/** A small generator with a seed (mulberry32), so that a failing run can be repeated. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** One line for each thing that is not as it must be; empty where nothing was lost and nothing done twice. */
export function faultsOf({ repositories, rollouts, fleet, statuses }: Survived): string[] {
  return repositories.flatMap((repository) => {
    const own = rollouts.filter((each) => each.repository === repository);
    const commits = fleet.filter((each) => each.repository === repository);
    const lines = statuses.get(repository) ?? [];
    const faults: string[] = [];
    if (own.length !== 1) faults.push(`${own.length} rollouts`);
    if (own[0]?.phase !== 'delivered') faults.push(`phase ${own[0]?.phase}`);
    if (commits.length !== 1) faults.push(`${commits.length} commits`);
    if (own[0]?.commit !== commits[0]?.commit)
      faults.push(`receipt ${own[0]?.commit}, commit ${commits[0]?.commit}`);
    if (lines.length !== 1 || lines[0]?.split('\t')[1] !== 'success')
      faults.push(`status ${lines.join(' | ')}`);
    return faults.map((fault) => `${repository}: ${fault}`);
  });
}
