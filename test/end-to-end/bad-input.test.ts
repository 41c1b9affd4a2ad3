import { randomUUID } from 'node:crypto';
import { existsSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sign } from '../../src/forge/git/webhooks.ts';
import { importCommits } from '../../src/git/fast-import.ts';
import { git } from '../../src/git/git.ts';
import {
  type ControllerSite,
  ended,
  fleetLog,
  makeControllerSite,
  POLICY,
  SECRET,
  until,
} from '../controller-site.ts';

const AUTHOR = { name: 'Test', email: 'test@example.com' };
const MODELS = [
  'ml/iris',
  'ml/moved',
  'ml/gone',
  'ml/lost',
  'ml/no-card',
  'ml/plain-card',
  'ml/empty-card',
  'ml/late',
];
/** What the card must say is asked of it: the policy names no format. */
const CARD_POLICY = POLICY.replace(/ {2}modelFormat:.*\n/, '');

interface Rollout {
  id: string;
  eventId: string;
  repository: string;
  revision: string;
  sha: string;
  phase: string;
  message: string;
  receipt: { commit: string | null } | null;
  transitions: { phase: string; message: string }[];
}

let site: ControllerSite;
beforeAll(async () => {
  site = await makeControllerSite({
    policy: CARD_POLICY,
    config: {
      forges: {
        plain: { kind: 'git', url: './git', webhookSecrets: [{ file: './secret' }] },
        other: { kind: 'git', url: './git', webhookSecrets: [{ file: './modelhook.yaml' }] },
      },
    },
  });
  await site.makeModels(MODELS);
  await site.start();
});
afterAll(() => site.remove());

// biome-ignore lint/suspicious/noExplicitAny: the shape of each answer is what the cases check
const api = async (path: string): Promise<any> => (await fetch(site.url + path)).json();

/** Posts a body as the hook does, signed unless a case says otherwise. */
async function post(body: string, given: { forge?: string; headers?: Record<string, string> } = {}) {
  const response = await fetch(`${site.url}/webhooks/${given.forge ?? 'plain'}`, {
    method: 'POST',
    body,
    headers: {
      'content-type': 'application/json',
      'x-modelhook-signature-256': sign(SECRET, body),
      'x-modelhook-delivery': randomUUID(),
      ...given.headers,
    },
  });
  const answer = (await response.json()) as Record<
    'detail' | 'eventId' | 'url' | 'ignored',
    string | undefined
  >;
  return { status: response.status, type: response.headers.get('content-type') ?? '', body: answer };
}

const payload = (repository: string, ref: string, after: string, before = '0'.repeat(40)): string =>
  JSON.stringify({ repository, before, after, ref });

async function rolloutOf(repository: string, phase: string): Promise<Rollout> {
  let found: Rollout | undefined;
  await until(async () => {
    const { items } = await api(`/api/v1/rollouts?repository=plain:${repository}`);
    found = items.findLast((each: Rollout) => each.phase === phase);
    return found !== undefined;
  });
  return found as Rollout;
}

const note = async (path: string, sha: string): Promise<string> => {
  const read = async () =>
    git(['notes', '--ref=modelhook', 'show', sha], { dir: site.repository(path) }).then(String, () => '');
  let text = '';
  await until(async () => {
    text = await read();
    return /\t(?:success|failure|error)\t/.test(text);
  });
  return text;
};

/** Commits a model card, or none, and tags it. */
async function tagWithCard(path: string, tag: string, card: string | null): Promise<string> {
  const files =
    card === null ? [{ path: 'model.bin', text: 'weights' }] : [{ path: 'README.md', text: card }];
  const [sha = ''] = await importCommits(
    site.repository(path),
    `refs/tags/${tag}`,
    null,
    AUTHOR,
    1_700_000_000,
    [{ message: 'Train\n', files }],
  );
  return sha;
}

describe('a webhook that is refused changes nothing', () => {
  const good = payload('ml/iris.git', 'refs/tags/v9', 'a'.repeat(40));
  const unsigned = { 'x-modelhook-signature-256': '' };

  test.each([
    ['without a signature', good, { headers: unsigned }, 401, /X-Modelhook-Signature-256 is missing/],
    [
      'with a wrong signature',
      good,
      { headers: { 'x-modelhook-signature-256': `sha256=${'0'.repeat(64)}` } },
      401,
      /does not fit the body/,
    ],
    ["signed with another forge's secret", good, { forge: 'other' }, 401, /does not fit the body/],
    [
      'for a forge that is not configured',
      good,
      { forge: 'gitlab' },
      404,
      /No forge of this name is configured/,
    ],
    ['that is not JSON', 'not JSON', {}, 400, /not JSON/],
    ['whose type is not JSON', good, { headers: { 'content-type': 'text/plain' } }, 415, /application\/json/],
    ['over 25 MiB', 'x'.repeat(26 * 1024 * 1024), {}, 413, /25 MiB/],
    ['that names a path upwards', payload('../etc.git', 'refs/tags/v1', 'a'.repeat(40)), {}, 400, /\.\./],
    [
      'whose ref is an expression',
      payload('ml/iris', 'refs/tags/v1^{tree}', 'a'.repeat(40)),
      {},
      400,
      /not a name Git allows/,
    ],
    ['without a delivery id', good, { headers: { 'x-modelhook-delivery': '' } }, 400, /X-Modelhook-Delivery/],
  ])('%s', async (_what, body, given, status, words) => {
    const before = await api('/api/v1/events');
    const answer = await post(body, given);
    expect(answer.status).toBe(status);
    expect(answer.type).toContain('application/problem+json');
    expect(answer.body.detail).toMatch(words);
    expect(JSON.stringify(answer.body)).not.toContain(SECRET);
    expect(await api('/api/v1/events')).toEqual(before);
  });

  test.each([
    ['a ref that is neither branch nor tag', payload('ml/iris', 'refs/notes/modelhook', 'a'.repeat(40))],
    ['a test delivery', payload('ml/iris', 'refs/heads/main', 'a'.repeat(40), 'a'.repeat(40))],
    ['a deletion nobody asked about', payload('ml/iris', 'refs/tags/v8', '0'.repeat(40), 'a'.repeat(40))],
  ])('%s is ignored with the reason', async (_what, body) => {
    const answer = await post(body);
    expect(answer).toMatchObject({ status: 200, body: { ignored: expect.any(String) } });
  });
});

describe('a payload is only a hint', () => {
  test('a delivery that is repeated answers with the event it made', async () => {
    const sha = await site.tag('ml/iris', 'v1');
    const body = payload('ml/iris.git', 'refs/tags/v1', sha);
    const headers = { 'x-modelhook-delivery': 'the-same' };
    const first = await post(body, { headers });
    const again = await post(body, { headers });
    const byAnotherHook = await post(body);
    expect(first.status).toBe(202);
    expect(again).toEqual(first);
    expect(byAnotherHook.body).toEqual(first.body);
    expect(first.body.url).toBe(`${site.url}/api/v1/events/${first.body.eventId}`);
    const rollout = await rolloutOf('ml/iris', 'delivered');
    expect(rollout).toMatchObject({ eventId: first.body.eventId, revision: 'v1', sha });
    expect(await note('ml/iris', sha)).toMatch(
      /^modelhook\/production\tsuccess\tCommitted [0-9a-f]{7} to fleet\thttp/,
    );
    expect(fleetLog(site.fleet).filter(({ repository }) => repository === 'plain:ml/iris')).toHaveLength(1);
  });

  test('a commit that the ref does not point to is not deployed; what it points to is', async () => {
    const sha = await site.tag('ml/moved', 'v1');
    await post(payload('ml/moved', 'refs/tags/v1', 'b'.repeat(40)));
    expect(await rolloutOf('ml/moved', 'superseded')).toMatchObject({
      sha: 'b'.repeat(40),
      message: expect.stringContaining(`v1 points to ${sha.slice(0, 7)} now`),
    });
    expect(await rolloutOf('ml/moved', 'delivered')).toMatchObject({ sha, revision: 'v1' });
  });

  test('a ref that is gone is cancelled', async () => {
    await post(payload('ml/gone', 'refs/tags/v1', 'c'.repeat(40)));
    expect(await rolloutOf('ml/gone', 'cancelled')).toMatchObject({
      message: 'Cancelled: refs/tags/v1 was deleted before it was deployed',
      receipt: null,
    });
  });

  test('a repository that is not there is a failing forge: the rollout waits, and goes on when it is there', async () => {
    const answer = await post(payload('ml/unknown', 'refs/tags/v1', 'd'.repeat(40)));
    expect(answer.status).toBe(202);
    await until(async () => {
      const { items } = await api('/api/v1/rollouts?repository=plain:ml/unknown');
      return items[0]?.message.includes('there is no Git repository at');
    });
    await site.makeModels(['ml/unknown']);
    await site.tag('ml/unknown', 'v1');
    expect(await rolloutOf('ml/unknown', 'delivered')).toMatchObject({ revision: 'v1' });
  });

  test('a tag whose commit is gone fails in words', async () => {
    const sha = await tagWithCard('ml/lost', 'v1', '---\nlibrary_name: sklearn\n---\n');
    const object = join(site.repository('ml/lost'), 'objects', sha.slice(0, 2), sha.slice(2));
    if (!existsSync(object)) throw new Error('the commit is expected as a loose object');
    rmSync(object);
    await post(payload('ml/lost', 'refs/tags/v1', sha));
    expect((await rolloutOf('ml/lost', 'failed')).message).toMatch(
      /refs\/tags\/v1 points to [0-9a-f]{7}, and no such commit is in the repository; push the commit/,
    );
  });
});

describe('a model card', () => {
  test.each([
    ['ml/no-card', null, /there is no README\.md at this commit; add one/],
    ['ml/empty-card', '# A model\n\nWithout any metadata.\n', /no library_name/],
  ])('that cannot be used fails the rollout with the reason: %s', async (path, card, words) => {
    const sha = await tagWithCard(path, 'v1', card);
    await post(payload(path, 'refs/tags/v1', sha));
    expect((await rolloutOf(path, 'failed')).message).toMatch(words);
    expect(await note(path, sha)).toMatch(/^modelhook\/production\tfailure\t/);
  });

  test('without front matter is read line by line', async () => {
    const sha = await tagWithCard('ml/plain-card', 'v1', '# A model\n\nlibrary_name: sklearn\n');
    await post(payload('ml/plain-card', 'refs/tags/v1', sha));
    expect(await rolloutOf('ml/plain-card', 'delivered')).toMatchObject({ sha });
  });
});

describe('around the models', () => {
  test('a policy with an unknown template variable is not used: the last good revision stays in force', async () => {
    const dir = site.repository('platform/policies');
    const good = (await git(['rev-parse', 'refs/heads/main'], { dir })).toString().trim();
    const bad = CARD_POLICY.replace('${repository.path}', '${repository.nmae}');
    const [head = ''] = await importCommits(dir, 'refs/heads/main', good, AUTHOR, 1_700_000_001, [
      { message: 'Break it\n', files: [{ path: 'policies/production.yaml', text: bad }] },
    ]);
    await post(payload('platform/policies', 'refs/heads/main', head, good));
    await until(async () => (await api('/api/v1/policies')).head === head);
    const policies = await api('/api/v1/policies');
    expect(policies).toMatchObject({ inForce: good, head });
    expect(JSON.stringify(policies.faults)).toMatch(/repository\.nmae.*repository\.name/);
    const ready = await fetch(`${site.url}/readyz`);
    expect(ready.status).toBe(200);
    expect(JSON.stringify(await ready.json())).toMatch(/repository\.nmae/);

    await importCommits(dir, 'refs/heads/main', head, AUTHOR, 1_700_000_002, [
      { message: 'Mend it\n', files: [{ path: 'policies/production.yaml', text: CARD_POLICY }] },
    ]);
    const mended = (await git(['rev-parse', 'refs/heads/main'], { dir })).toString().trim();
    await post(payload('platform/policies', 'refs/heads/main', mended, head));
    await until(async () => (await api('/api/v1/policies')).inForce === mended);
  });

  test('a GitOps remote that is down holds nothing up but its own deliveries, and all arrives when it is back', async () => {
    renameSync(site.fleet, `${site.fleet}.away`);
    const sha = await site.tag('ml/late', 'v1');
    expect((await post(payload('ml/late', 'refs/tags/v1', sha))).status).toBe(202);
    await until(async () => {
      const { items } = await api('/api/v1/rollouts?repository=plain:ml/late');
      return items[0]?.message.startsWith('Trying again:');
    });
    renameSync(`${site.fleet}.away`, site.fleet);
    expect(await rolloutOf('ml/late', 'delivered')).toMatchObject({
      sha,
      receipt: { commit: expect.any(String) },
    });
  });
});

test('SIGTERM in the middle of the work ends with 0, and the next start goes on with it', async () => {
  const other = await makeControllerSite();
  try {
    const paths = Array.from({ length: 40 }, (_, index) => `ml/model-${index}`);
    await other.makeModels(paths);
    const controller = await other.start();
    for (const path of paths) {
      const sha = await other.tag(path, 'v1');
      expect(await other.deliver(path, 'refs/tags/v1', sha, path)).toBe(202);
    }
    expect(await ended(controller, 'SIGTERM')).toBe(0);
    await other.start();
    await until(async () => {
      const response = await fetch(`${other.url}/api/v1/rollouts?phase=delivered&limit=200`);
      return ((await response.json()) as { items: unknown[] }).items.length === 40;
    });
    const repositories = fleetLog(other.fleet).map(({ repository }) => repository);
    expect(repositories.toSorted()).toEqual(paths.map((path) => `plain:${path}`).toSorted());
  } finally {
    await other.remove();
  }
});
