/** `npm run bench`: how fast the path is, beside what people do without modelhook, in one run on one machine. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ControllerSite, ended, fleetLog, makeControllerSite, until } from '../controller-site.ts';
import { measureMatching } from './matching.ts';
import { memory } from './memory.ts';
import { measureReviewing } from './reviewing.ts';
import { measureValidating } from './validating.ts';
import { measureWatching } from './watching.ts';

const ONE_BY_ONE = 40;
const AT_ONCE = 1000;
const CLIENTS = 50;
const BY_HAND = 20;

const say = (text: string) => process.stdout.write(`${text}\n`);
const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
const seconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(2)} s`;

async function measure(site: ControllerSite): Promise<void> {
  const single = Array.from({ length: ONE_BY_ONE }, (_, index) => `ml/single-${index}`);
  const burst = Array.from({ length: AT_ONCE }, (_, index) => `ml/burst-${index}`);
  await site.makeModels([...single, ...burst]);
  const started = performance.now();
  const controller = await site.start();
  say(`ready after ${(performance.now() - started).toFixed(0)} ms, ${memory(controller.pid)}`);

  for (const path of single) await push(site, path);
  await until(async () => fleetLog(site.fleet).length >= ONE_BY_ONE);
  const byModelhook = median(await latencies(site));
  say(`webhook to commit, one by one: median ${byModelhook.toFixed(0)} ms of ${ONE_BY_ONE}`);

  const byHand = median(Array.from({ length: BY_HAND }, (_, index) => commitByHand(site, index)));
  say(
    `clone, commit and push by script: median ${byHand.toFixed(0)} ms of ${BY_HAND}, ${(byHand / byModelhook).toFixed(1)} times as long`,
  );

  const shas = new Map<string, string>();
  for (const path of burst) shas.set(path, await site.tag(path, 'v1'));
  const before = commits(site);
  const begun = performance.now();
  const queue = [...burst];
  const client = async () => {
    for (let path = queue.pop(); path !== undefined; path = queue.pop())
      await site.deliver(path, 'refs/tags/v1', shas.get(path) ?? '', path);
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  const answered = performance.now() - begun;
  // Seldom: looking costs a process, and this machine's cores are what is measured.
  await until(async () => commits(site) >= before + AT_ONCE, 250);
  const committed = performance.now() - begun;
  say(
    `${AT_ONCE} tags at once: answered in ${seconds(answered)}, committed in ${seconds(committed)}, ${memory(controller.pid)}`,
  );
  say(`one by one that would take ${seconds(byModelhook * AT_ONCE)}, by script ${seconds(byHand * AT_ONCE)}`);
  await until(async () => (await api(site, '/api/v1/rollouts?limit=1&phase=pending')).items.length === 0);
  await ended(controller, 'SIGTERM');
}

async function push(site: ControllerSite, path: string): Promise<void> {
  const sha = await site.tag(path, 'v1');
  await site.deliver(path, 'refs/tags/v1', sha, path);
  await until(
    async () =>
      (await api(site, `/api/v1/rollouts?repository=plain:${path}`)).items[0]?.phase === 'delivered',
  );
}

/** From the event's arrival to the stored outcome of its delivery: a little more than to the commit. */
async function latencies(site: ControllerSite): Promise<number[]> {
  const { items } = await api(site, '/api/v1/rollouts?limit=200');
  return items.map(({ createdAt, finishedAt }) => Date.parse(finishedAt) - Date.parse(createdAt));
}

interface RolloutItem {
  phase: string;
  createdAt: string;
  finishedAt: string;
}

async function api(site: ControllerSite, path: string): Promise<{ items: RolloutItem[] }> {
  return (await (await fetch(site.url + path)).json()) as { items: RolloutItem[] };
}

/** What a pipeline step does that has a shell and Git. @returns milliseconds */
function commitByHand(site: ControllerSite, index: number): number {
  const begun = performance.now();
  const tree = join(site.root, `by-hand-${index}`);
  const git = (...args: string[]) => execFileSync('git', args, { stdio: 'pipe' });
  git('clone', '--quiet', '--depth=1', `file://${site.fleet}`, tree);
  mkdirSync(join(tree, 'by-hand'), { recursive: true });
  writeFileSync(join(tree, 'by-hand', `${index}.yaml`), `index: ${index}\n`);
  git('-C', tree, 'add', '--all');
  git(
    '-C',
    tree,
    '-c',
    'user.name=x',
    '-c',
    'user.email=x@example.com',
    'commit',
    '--quiet',
    '-m',
    'By hand',
  );
  git('-C', tree, 'push', '--quiet', 'origin', 'HEAD:main');
  rmSync(tree, { recursive: true });
  return performance.now() - begun;
}

const commits = ({ fleet }: ControllerSite): number =>
  Number(execFileSync('git', ['--git-dir', fleet, 'rev-list', '--count', 'main'], { encoding: 'utf8' }));

measureMatching(say);
measureValidating(say);
await measureReviewing(say);
const site = await makeControllerSite();
try {
  await measure(site);
} finally {
  await site.remove();
}
await measureWatching(say);
