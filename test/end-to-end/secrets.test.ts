import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { until } from '../controller-site.ts';
import type { Asked, Fault, Instead } from './forge-front.ts';
import { type Credentials, type ForgeSite, makeForgeSite, type SiteForge } from './forge-site.ts';
import { filesIn, findSecrets, formsOf, type Trace } from './secret-search.ts';

const random = (prefix: string): string => `${prefix}${randomBytes(18).toString('hex')}`;
const KEYS = generateKeyPairSync('rsa', { modulusLength: 2048 });
const PRIVATE_KEY = KEYS.privateKey.export({ type: 'pkcs1', format: 'pem' }).toString();
const CREDENTIALS: Credentials = {
  github: random('ghp_'),
  // What tokens may hold, and every notation writes in a way of its own.
  gitlab: random('glpat-"\\/+%&<'),
  gitea: random('gitea-'),
  plain: random('plain+/='),
  app: { publicKey: KEYS.publicKey, privateKey: PRIVATE_KEY },
  webhooks: {
    github: random('hook-'),
    gitlab: random('hook-'),
    gitea: random('hook-'),
    plain: random('hook-'),
    app: random('hook-'),
  },
  more: {
    webhooks: { github: [random('rotated-')], gitlab: [`whsec_${randomBytes(32).toString('base64')}`] },
    apiTokens: [random('api-')],
  },
};

/** All that must not be seen, by what it is called. What is made on the way is added as it is sent. */
const secrets = new Map<string, string>([
  ['the token of github', CREDENTIALS.github],
  ['the token of gitlab', CREDENTIALS.gitlab],
  ['the token of plain', CREDENTIALS.plain],
  ['the token of gitea', CREDENTIALS.gitea],
  ...Object.entries(CREDENTIALS.webhooks).map(
    ([name, each]) => [`the webhook secret of ${name}`, each] as const,
  ),
  ...Object.entries(CREDENTIALS.more.webhooks).flatMap(([name, all]) =>
    (all ?? []).map((each) => [`another webhook secret of ${name}`, each] as const),
  ),
  ['the token of the API', CREDENTIALS.more.apiTokens[0] ?? ''],
  // Line by line, as it stands in files.
  ...PRIVATE_KEY.split('\n')
    .filter((line) => line.length > 40)
    .map((line, index) => [`line ${index + 1} of the private key`, line] as const),
]);

let site: ForgeSite;
const answered: Trace[] = [];
beforeAll(async () => {
  site = await makeForgeSite(1, {
    credentials: CREDENTIALS,
    policies: 'github:platform/policies',
    fleet: 'gitlab:platform/fleet',
  });
});
afterEach(() => {
  for (const { front } of site.forges) front.mend();
});
afterAll(() => site.remove());

/** What the controller sent to say who it is, as it was sent and, where it is Basic, as it was meant. */
function credentialsOf({ headers }: Asked): string {
  const { authorization = '' } = headers;
  const basic = /^Basic (.*)$/.exec(authorization)?.[1];
  return [authorization, basic && Buffer.from(basic, 'base64').toString(), headers['private-token']]
    .filter(Boolean)
    .join(' ');
}

type Echo = (asked: Asked) => Instead;
const JSON_TYPE = { 'content-type': 'application/json' };
const said = (words: string) => ({
  message: words,
  error: words,
  error_description: words,
  errors: [{ message: words, resource: words, field: words }],
});
const echo =
  (status: number, before = ''): Echo =>
  (asked) => ({
    status,
    headers: JSON_TYPE,
    body: JSON.stringify(said(`${before}you sent ${credentialsOf(asked)}`)),
  });
const ECHOES: Readonly<Record<string, Echo>> = {
  'JSON with 500': echo(500),
  'JSON with 401': echo(401),
  'JSON with 403': echo(403),
  'JSON with 422': echo(422),
  // Cuts after 200 and after 300 characters leave most of it, and no more.
  'JSON that is cut at 200': echo(500, 'x'.repeat(200 - 45)),
  'JSON that is cut at 300': echo(500, 'x'.repeat(300 - 45)),
  'text with 500': (asked) => ({
    status: 500,
    headers: { 'content-type': 'text/plain' },
    body: `you sent ${credentialsOf(asked)}\n`,
  }),
  'HTML with 200': (asked) => ({
    status: 200,
    headers: { 'content-type': 'text/html' },
    body: `<!doctype html><title>${credentialsOf(asked)}</title>`,
  }),
  'JSON of another shape with 200': (asked) => ({
    status: 200,
    headers: JSON_TYPE,
    body: JSON.stringify({ [credentialsOf(asked)]: credentialsOf(asked), ...said(credentialsOf(asked)) }),
  }),
  'headers with 429': (asked) => {
    const words = Buffer.from(credentialsOf(asked)).toString('latin1');
    return {
      status: 429,
      headers: { 'retry-after': '1', 'x-echo': words, 'www-authenticate': `Basic realm="${words}"` },
    };
  },
  'a redirect': (asked) => ({
    status: 302,
    headers: {
      location: `http://localhost:9/${encodeURIComponent(credentialsOf(asked))}?${encodeURI(credentialsOf(asked))}`,
    },
  }),
};
/** Git says who it is only where it is asked to, so that is left to what is behind the front. */
const echoing = (name: string): Fault => ({
  kind: 'answers',
  answer: (asked) => (credentialsOf(asked) === '' ? null : (ECHOES[name]?.(asked) ?? null)),
});

async function keep(where: string, response: Response): Promise<void> {
  const headers = [...response.headers].map((pair) => pair.join(': ')).join('\n');
  answered.push({ where, bytes: Buffer.from(`${headers}\n\n${await response.text()}`) });
}

const pathOf = ({ name }: SiteForge): string => `ml/${name}-0`;

/** Everything that the controller shows, writes or leaves behind. */
async function traces(): Promise<Trace[]> {
  const { root, url } = site.site;
  const ids = (table: string) =>
    site.database
      .prepare(`SELECT id FROM ${table}`)
      .all()
      .map(({ id }) => String(id));
  const pages = [
    ...['/', '/policies', '/events', '/healthz', '/readyz', '/metrics', '/nothing', '/rollouts/nothing'],
    ...['policies', 'events?limit=200', 'rollouts?limit=200', 'rollouts?cursor=x'].map(
      (path) => `/api/v1/${path}`,
    ),
    ...ids('rollouts').flatMap((id) => [`/rollouts/${id}`, `/api/v1/rollouts/${id}`]),
    ...ids('events').map((id) => `/api/v1/events/${id}`),
  ];
  for (const page of pages)
    for (const accept of ['text/html', 'application/json'])
      await keep(
        `${page} as ${accept}`,
        await fetch(url + page, { headers: { accept, connection: 'close' } }),
      );
  const fleet = site.site.fleet;
  const objects = execFileSync('git', ['--git-dir', fleet, 'cat-file', '--batch-all-objects', '--batch'], {
    maxBuffer: 1 << 28,
  });
  const written = site.forges.flatMap(({ name, front }) =>
    front.asked.map(({ method, path, body }) => ({
      where: `asked of ${name}: ${method} ${path}`,
      bytes: Buffer.concat([Buffer.from(path), body]),
    })),
  );
  return [
    { where: 'the log', bytes: Buffer.from(site.log()) },
    ...answered,
    ...filesIn(join(root, 'data')),
    { where: 'all rows', bytes: Buffer.from(rowsOf(site.database)) },
    { where: 'the fleet', bytes: objects },
    // What was committed, and what was written as statuses.
    ...filesIn(join(root, 'git'), /\/(?:objects|hooks)\//),
    ...written,
  ];
}

function rowsOf(database: DatabaseSync): string {
  const tables = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
  return tables
    .flatMap(({ name }) => database.prepare(`SELECT * FROM "${name}"`).all())
    .flatMap((row) => Object.values(row).map(String))
    .join('\n');
}

/** The tokens that were made on the way: of an App's key, and of its installations. */
function addWhatWasMade(): void {
  for (const { headers } of site.forge('app').front.asked) {
    const made = /(?:bearer|token) (\S+)$/i.exec(headers.authorization ?? '')?.[1];
    if (made) secrets.set(`a token of the App, ${made.slice(0, 3)}… of ${made.length} characters`, made);
  }
}

const tagOf = new Map<string, number>();
async function push(forge: SiteForge): Promise<void> {
  const number = (tagOf.get(forge.name) ?? 0) + 1;
  tagOf.set(forge.name, number);
  await site.push(forge, pathOf(forge), `v${number}.0.0`);
}

const delivered = (forge: SiteForge): boolean =>
  site.database
    .prepare("SELECT 1 FROM rollouts WHERE repository = ? AND ref = ? AND phase = 'delivered'")
    .get(`${forge.name}:${pathOf(forge)}`, `refs/tags/v${tagOf.get(forge.name)}.0.0`) !== undefined;

let read = 0;

/** @returns the leaks in what is quick to read again: what was logged since the last time, answers, and all rows */
function leaks(): string[] {
  addWhatWasMade();
  const log = site.log();
  const fresh: Trace[] = [
    { where: 'the log', bytes: Buffer.from(log.slice(read)) },
    { where: 'all rows', bytes: Buffer.from(rowsOf(site.database)) },
    ...answered,
  ];
  read = log.length;
  answered.length = 0;
  return found(fresh);
}

const found = (all: readonly Trace[]): string[] =>
  findSecrets(secrets, all).map(({ where, what }) => `${what}: ${where}`);

/** Breaks all forges, lets each be asked, and mends them. */
async function meet(fault: Fault): Promise<void> {
  for (const { front } of site.forges) front.break(fault);
  const from = site.forges.map(({ front }) => front.asked.length);
  for (const forge of site.forges) await push(forge);
  await pushPolicies();
  await until(async () =>
    site.forges.every(({ front }, index) => front.met() > 0 && front.asked.slice(from[index]).some(isNamed)),
  );
  for (const { front } of site.forges) front.mend();
  await until(async () => site.forges.every(delivered));
  await site.settled();
}

const isNamed = (asked: Asked): boolean => credentialsOf(asked) !== '';

/** Has the policies read again. */
async function pushPolicies(): Promise<void> {
  const github = site.forge('github');
  const after = randomBytes(20).toString('hex');
  const repository = { id: 1, full_name: 'platform/policies' };
  const body = JSON.stringify({
    ref: 'refs/heads/main',
    before: '0'.repeat(40),
    after,
    head_commit: null,
    repository,
  });
  const headers = { 'x-github-event': 'push', 'x-github-delivery': after, ...github.sign(body) };
  await keep('a webhook of the policies', await site.post(github, body, headers));
}

describe('no secret is seen anywhere', () => {
  test('when all goes well', async () => {
    for (const forge of site.forges) await push(forge);
    await until(async () => site.forges.every(delivered));
    await site.settled();
    expect(leaks()).toEqual([]);
  });

  test('in the answers to webhooks that are refused', async () => {
    const log = site.log().length;
    for (const forge of site.forges) {
      const { headers, body } = forge.delivery(pathOf(forge), 'refs/tags/v9.0.0', 'a'.repeat(40));
      const text = JSON.stringify({ ...body, secret: CREDENTIALS.webhooks[forge.name as 'plain'] });
      const signed = forge.sign(text);
      const wrong = Object.fromEntries(Object.entries(signed).map(([name, value]) => [name, `${value}0`]));
      const broken = `${text.slice(0, -1)}, "password": "${CREDENTIALS.plain}`;
      const bare = CREDENTIALS.webhooks[forge.name as 'plain'];
      for (const [sent, given] of [
        [text, {}],
        [text, wrong],
        [broken, forge.sign(broken)],
        ['null', forge.sign('null')],
        [`{"secret": "${bare}"}`, forge.sign(`{"secret": "${bare}"}`)],
        // A secret where the signature belongs: of another forge, since GitLab's own is right there.
        [text, Object.fromEntries(Object.keys(signed).map((name) => [name, CREDENTIALS.webhooks.app]))],
      ] as const)
        await keep(`a webhook of ${forge.name}`, await site.post(forge, sent, { ...headers, ...given }));
    }
    expect(site.log().slice(log)).toContain('webhook refused');
    expect(leaks()).toEqual([]);
  });

  test.each(Object.keys(ECHOES))('where a forge repeats what it was sent in %s', async (name) => {
    await meet(echoing(name));
    expect(leaks()).toEqual([]);
  });

  // Whose words are quoted to a person, and those that are no refusal.
  test.each(['JSON with 403', 'JSON with 422', 'text with 500', 'JSON of another shape with 200'])(
    'where a forge repeats it, when a status is written, in %s',
    async (name) => {
      await meet({ ...echoing(name), onlyWrites: true });
      expect(leaks()).toEqual([]);
    },
  );

  test('in all that is left behind', async () => {
    const all = await traces();
    expect(found(all)).toEqual([]);
    // Or there was nothing to find.
    for (const [place, text] of PLACES) {
      const there = all
        .filter(({ where }) => place.test(where))
        .map(({ bytes }) => Buffer.from(bytes).toString());
      expect(
        there.some((each) => each.includes(text)),
        `${place}: ${text}`,
      ).toBe(true);
    }
    const used = site.forges.flatMap(({ front }) => front.asked.map(credentialsOf)).join('\n');
    for (const name of ['github', 'gitlab', 'gitea', 'plain'])
      expect(used, name).toContain(secrets.get(`the token of ${name}`));
    const made = [...secrets.keys()].filter((name) => name.startsWith('a token of the App'));
    expect(made.length).toBeGreaterThan(1);
  });
});

/** What must be found in what was looked through, by where. */
const PLACES = [
  [/^the log$/, 'rollout waits'],
  [/^\/api\/v1\/rollouts\?limit=200 as application\/json$/, 'gitlab:ml/gitlab-0'],
  [/^\/rollouts\/.* as text\/html$/, 'ml/gitea-0'],
  [/modelhook\.db(?:-wal)?$/, 'ml/plain-0'],
  [/^the fleet$/, 'modelhook.dev/repository: github:ml/github-0'],
  [/^all rows$/, 'gitlab:ml/gitlab-0'],
  [/\/mirrors\/.*\/config$/, '[core]'],
  [/^asked of gitea: POST .*\/statuses\//, 'modelhook/production'],
] as const;

describe('the search', () => {
  const planted = CREDENTIALS.gitlab;
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'modelhook-planted-'));
    mkdirSync(join(folder, 'cache/models/x.git'), { recursive: true });
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test.each(Object.keys(formsOf('x')))('finds a secret: %s', (form) => {
    const text = `before ${formsOf(planted)[form]} after`;
    const found = findSecrets(secrets, [{ where: 'here', bytes: Buffer.from(text) }]);
    expect(found).toContainEqual({ where: 'here', what: `the token of gitlab, ${form}` });
  });

  test('finds one in a database, and in the configuration of a mirror', () => {
    const database = new DatabaseSync(join(folder, 'modelhook.db'));
    database.exec('PRAGMA journal_mode = WAL; CREATE TABLE planted (text TEXT)');
    database.prepare('INSERT INTO planted VALUES (?)').run(planted);
    writeFileSync(
      join(folder, 'cache/models/x.git/config'),
      `[remote]\n\turl = http://x:${planted}@example.com\n`,
    );
    const where = findSecrets(secrets, filesIn(folder)).map((leak) => leak.where.slice(folder.length));
    expect(new Set(where)).toEqual(new Set(['/modelhook.db-wal', '/cache/models/x.git/config']));
    expect(findSecrets(secrets, [{ where: 'rows', bytes: Buffer.from(rowsOf(database)) }])).not.toEqual([]);
    database.close();
  });
});
