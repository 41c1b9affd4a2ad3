import { generateKeyPairSync } from 'node:crypto';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { fleetLog, until } from '../controller-site.ts';
import type { Fault } from './forge-front.ts';
import { type ForgeSite, makeForgeSite, type SiteForge } from './forge-site.ts';

/** Of the broken forge: as many as there are places to report in, so that its share shows. */
const MODELS = 4;
const KEYS = generateKeyPairSync('rsa', { modulusLength: 2048 });
const CREDENTIALS = {
  github: 'token-of-github',
  gitlab: 'token-of-gitlab',
  gitea: 'token-of-gitea',
  plain: 'token-of-plain',
  app: {
    publicKey: KEYS.publicKey,
    privateKey: KEYS.privateKey.export({ type: 'pkcs1', format: 'pem' }).toString(),
  },
  webhooks: { github: 'secret-1', gitlab: 'secret-2', gitea: 'secret-3', plain: 'secret-4', app: 'secret-5' },
  more: { webhooks: {}, apiTokens: [] },
};

/** Where a forge that goes astray sends us. It asks who we are, as one that collects tokens does. */
interface OtherHost {
  url: string;
  asked: { headers: IncomingHttpHeaders }[];
  close(): Promise<void>;
}

async function startOtherHost(): Promise<OtherHost> {
  const asked: OtherHost['asked'] = [];
  const server = createServer(({ headers }, response) => {
    asked.push({ headers });
    response.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end();
  });
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
  return {
    url: `http://localhost:${(server.address() as AddressInfo).port}`,
    asked,
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

let site: ForgeSite;
let other: OtherHost;
beforeAll(async () => {
  other = await startOtherHost();
  site = await makeForgeSite(MODELS, { credentials: CREDENTIALS });
});
afterEach(() => {
  for (const { front } of site.forges) front.mend();
});
afterAll(async () => {
  await site.remove();
  await other.close();
});

const answers = (status: number, headers: Record<string, string> = {}, body = ''): Fault => ({
  kind: 'answers',
  answer: () => ({ status, headers, body }),
});
const astray = (status: number): Fault => ({
  kind: 'answers',
  answer: ({ path }) => ({ status, headers: { location: `${other.url}${path}` } }),
});
const HTML = '<!doctype html><title>Sign in</title><h1>Sign in</h1>';
const FAULTS: Readonly<Record<string, () => Fault>> = {
  hangs: () => ({ kind: 'hangs' }),
  'answers 500': () => answers(500, { 'content-type': 'application/json' }, '{"message":"Server Error"}'),
  'answers 429 with Retry-After': () => answers(429, { 'retry-after': '1' }, 'Retry later'),
  'answers 403': () => answers(403, { 'content-type': 'application/json' }, '{"message":"Forbidden"}'),
  'answers HTML with 200': () => answers(200, { 'content-type': 'text/html; charset=utf-8' }, HTML),
  'resets connections': () => ({ kind: 'resets' }),
  'loses its answers': () => ({ kind: 'loses answers' }),
  'redirects to another host with 302': () => astray(302),
  'redirects to another host with 307': () => astray(307),
};
function faultOf(name: string): Fault {
  const fault = FAULTS[name];
  if (!fault) throw new Error(`no fault ${name}`);
  return fault();
}
const APIS = ['github', 'gitlab', 'gitea'];
/** A status that is refused for want of a permission is given up, so 403 is not among these. */
const WRITES = [
  'hangs',
  'answers 500',
  'answers HTML with 200',
  'loses its answers',
  'redirects to another host with 307',
];
const CASES = [
  ...Object.keys(FAULTS).map((fault, index) => ({ fault, broken: APIS[index % 3] ?? '', onlyWrites: false })),
  ...WRITES.map((fault, index) => ({ fault, broken: APIS[index % 3] ?? '', onlyWrites: true })),
  { fault: 'hangs', broken: 'plain', onlyWrites: false },
  { fault: 'answers HTML with 200', broken: 'plain', onlyWrites: false },
  { fault: 'redirects to another host with 302', broken: 'plain', onlyWrites: false },
  { fault: 'loses its answers', broken: 'plain', onlyWrites: true },
].map((each, index) => ({
  ...each,
  when: each.onlyWrites ? 'to statuses' : 'to all',
  tag: `v${index + 1}.0.0`,
}));

interface Pushed {
  forge: SiteForge;
  path: string;
  tag: string;
  sha: string;
}

const push = async (forge: SiteForge, tag: string, models: number): Promise<Pushed[]> =>
  Promise.all(
    Array.from({ length: models }, async (_, index) => {
      const path = `ml/${forge.name}-${index}`;
      return { forge, path, tag, sha: await site.push(forge, path, tag) };
    }),
  );

interface RolloutRow {
  id: string;
  phase: string;
  receipt: string | null;
}

const rolloutsOf = ({ forge, path, tag }: Pushed): RolloutRow[] =>
  site.database
    .prepare('SELECT id, phase, receipt FROM rollouts WHERE repository = ? AND ref = ?')
    .all(`${forge.name}:${path}`, `refs/tags/${tag}`) as unknown as RolloutRow[];

const successes = ({ forge, path, sha }: Pushed) =>
  forge.statuses(path, sha).filter(({ state }) => state === 'success');

const arrived = (pushed: Pushed): boolean =>
  rolloutsOf(pushed).some(({ phase }) => phase === 'delivered') && successes(pushed).length > 0;

/** Delivered once and reported once. */
function checkOnce(pushed: Pushed, fleet: ReturnType<typeof fleetLog>): void {
  const { forge, path, tag } = pushed;
  const what = `${forge.name}:${path} ${tag}`;
  const rollouts = rolloutsOf(pushed);
  expect(rollouts, what).toMatchObject([{ phase: 'delivered', receipt: expect.any(String) }]);
  expect(
    fleet.filter(({ rollout }) => rollout === rollouts[0]?.id),
    what,
  ).toHaveLength(1);
  expect(successes(pushed), what).toHaveLength(1);
  expect(forge.statuses(path, pushed.sha).at(-1)?.state, what).toBe('success');
}

describe('a forge that is broken delays no other, and all of its own arrives when it is back', () => {
  test.each(CASES)('$broken $fault, $when', async ({ fault, broken, onlyWrites, tag }) => {
    const bad = site.forge(broken);
    const well = site.forges.filter(({ name }) => name !== broken);
    bad.front.break({ ...faultOf(fault), onlyWrites });
    const waiting = await push(bad, tag, MODELS);
    // Once it is broken for the controller, too, and has all that it will get of a stage's places.
    await until(async () => bad.front.met() >= MODELS - 1);
    const others = (await Promise.all(well.map((forge) => push(forge, tag, 1)))).flat();
    await until(async () => others.every(arrived));
    // Where answers alone are lost, the last status may be there, and only the forge knows.
    if (fault !== 'loses its answers') expect(waiting.filter(arrived)).toEqual([]);
    bad.front.mend();
    await until(async () => waiting.every(arrived));
    await site.settled();
    const fleet = fleetLog(site.site.fleet);
    for (const each of [...waiting, ...others]) checkOnce(each, fleet);
  });

  test('the other host has seen no token, and nothing at all from a forge with an API', () => {
    const tokens = Object.values(other.asked).map(({ headers }) => [
      headers.authorization,
      headers['private-token'],
    ]);
    expect(tokens.flat().filter((each) => each !== undefined)).toEqual([]);
    expect(other.asked.filter(({ headers }) => !headers['user-agent']?.startsWith('git/'))).toEqual([]);
  });
});
