import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { importCommits } from '../../src/git/fast-import.ts';
import { git } from '../../src/git/git.ts';
import { type ControllerSite, fleetLog, makeControllerSite, POLICY, until } from '../controller-site.ts';

const MAIN = fileURLToPath(new URL('../../bin/modelhook.js', import.meta.url));
const TAG = 'refs/tags/v1.0.0';
const forRepositories = (...patterns: string[]) => POLICY.replace('["plain:ml/*"]', JSON.stringify(patterns));

let site: ControllerSite;
beforeAll(async () => {
  site = await makeControllerSite({ policy: forRepositories('plain:other/*') });
  const file = join(site.root, 'modelhook.yaml');
  const config = parse(readFileSync(file, 'utf8'));
  writeFileSync(join(site.root, 'token'), 'the-api-token');
  config.server.apiTokens = [{ file: './token' }];
  writeFileSync(file, stringify(config));
  await site.makeModels(['ml/iris', 'ml/rose']);
  await site.start();
});
afterAll(() => site.remove());

/** @returns what the command prints on standard output @throws where it does not end with 0, with what it says */
async function events(...words: string[]): Promise<string> {
  const env = { ...process.env, MODELHOOK_SERVER: site.url, MODELHOOK_API_TOKEN: 'the-api-token' };
  const { stdout } = await promisify(execFile)(process.execPath, [MAIN, 'events', ...words], { env });
  return stdout;
}

async function merge(policy: string): Promise<void> {
  const dir = site.repository('platform/policies');
  const head = async () => (await git(['rev-parse', 'refs/heads/main'], { dir })).toString().trim();
  await importCommits(
    dir,
    'refs/heads/main',
    await head(),
    { name: 'Test', email: 'test@example.com' },
    1_700_000_100,
    [{ message: 'For ml\n', files: [{ path: 'policies/production.yaml', text: policy }] }],
  );
  const revision = await head();
  await site.deliver('platform/policies', 'refs/heads/main', revision, randomUUID());
  await until(async () => {
    const policies = await fetch(`${site.url}/api/v1/policies`);
    return ((await policies.json()) as { inForce: string }).inForce === revision;
  });
}

/** Waits until so many rollouts are delivered. @returns the repositories whose commits the fleet has then, oldest first */
async function deployed(rollouts: number): Promise<string[]> {
  await until(async () => {
    const delivered = await fetch(`${site.url}/api/v1/rollouts?phase=delivered`);
    return ((await delivered.json()) as { items: unknown[] }).items.length === rollouts;
  });
  return fleetLog(site.fleet).map(({ repository }) => repository);
}

test('what was tagged before its policy came is deployed when somebody replays it, and not before', async () => {
  await site.tag('ml/rose', 'v1.0.0');
  const sha = await site.tag('ml/iris', 'v1.0.0');
  expect(await site.deliver('ml/iris', TAG, sha, randomUUID())).toBe(202);
  await until(async () => / refs\/tags\/v1\.0\.0 .* none$/m.test(await events('list')));

  await merge(forRepositories('plain:ml/*', 'plain:ml/rose'));
  const listed = JSON.parse(await events('list', '--repository', 'plain:ml/iris', '--output', 'json'));
  const event = listed.items.find(({ ref }: { ref: string }) => ref === TAG);
  expect(event.rollouts).toEqual([]);
  expect(await events('replay', event.id)).toMatch(/ {2}pending {2}Queued for production\n$/);
  expect(await deployed(1)).toEqual(['plain:ml/iris']);
  await expect(events('replay', event.id)).rejects.toThrow(/has a rollout of it; retry .* instead\./);

  // Nobody told of this one: the policy names its repository, whose refs are known once they are listed.
  await until(async () => {
    const asked = events('replay', 'plain:ml/rose', TAG);
    return asked.then(
      () => true,
      ({ stderr }: { stderr: string }) => {
        expect(stderr).toContain('Nothing is known of refs/tags/v1.0.0 in plain:ml/rose');
        return false;
      },
    );
  }, 100);
  expect(await deployed(2)).toEqual(['plain:ml/iris', 'plain:ml/rose']);
});
