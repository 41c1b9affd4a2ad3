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
import { type ControllerSite, makeControllerSite, POLICY, until } from '../controller-site.ts';

const MAIN = fileURLToPath(new URL('../../bin/modelhook.js', import.meta.url));
const CHANGE = 'refs/heads/change';

let site: ControllerSite;
let policies: string;
let clone: string;
beforeAll(async () => {
  site = await makeControllerSite();
  const file = join(site.root, 'modelhook.yaml');
  const config = parse(readFileSync(file, 'utf8'));
  writeFileSync(join(site.root, 'token'), 'the-api-token');
  config.server.apiTokens = [{ file: './token' }];
  writeFileSync(file, stringify(config));
  policies = site.repository('platform/policies');
  clone = join(site.root, 'clone');
  await site.makeModels(['ml/iris', 'ml/rose', 'other/iris']);
  await site.start();
});
afterAll(() => site.remove());

/** What a shell shows of `modelhook plan`, run in the clone. */
async function plan(...words: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const args = [MAIN, 'plan', '--config', join(site.root, 'modelhook.yaml'), ...words];
  const env = { ...process.env, MODELHOOK_SERVER: site.url, MODELHOOK_API_TOKEN: 'the-api-token' };
  return promisify(execFile)(process.execPath, args, { cwd: clone, env }).then(
    (said) => ({ code: 0, ...said }),
    ({ code, stdout, stderr }) => ({ code, stdout, stderr }),
  );
}

/** Pushes a policy to the branch of the change, and tells the controller. @returns what its review found */
async function reviewed(policy: string): Promise<{ state: string; text: string }> {
  const head = await git(['rev-parse', 'refs/heads/main'], { dir: policies });
  const author = { name: 'Test', email: 'test@example.com' };
  await importCommits(policies, CHANGE, head.toString().trim(), author, 1_700_000_100, [
    { message: 'Change\n', files: [{ path: 'policies/production.yaml', text: policy }] },
  ]);
  const sha = (await git(['rev-parse', CHANGE], { dir: policies })).toString().trim();
  await site.deliver('platform/policies', CHANGE, sha, randomUUID());
  let note = '';
  await until(async () => {
    const show = git(['notes', '--ref=refs/notes/modelhook', 'show', sha], { dir: policies });
    note = await show.then(String, () => '');
    return note.includes('modelhook/policies');
  });
  const [url = ''] = /http\S+\/reviews\/\S+/.exec(note) ?? [];
  let page = '';
  await until(async () => {
    page = await (await fetch(url)).text();
    return page.includes('<pre');
  });
  const [, text = ''] = /<pre[^>]*><code>([\s\S]*?)<\/code>/.exec(page) ?? [];
  const bare = text.replace(/<\/?span[^>]*>/g, '');
  const plain = bare.replace(/&(lt|gt|quot|#39|amp);/g, (_, name: keyof typeof ENTITIES) => ENTITIES[name]);
  return { state: /failure|success/.exec(note)?.[0] ?? note, text: plain };
}
const ENTITIES = { lt: '<', gt: '>', quot: '"', '#39': "'", amp: '&' };

async function deploy(path: string): Promise<void> {
  const sha = await site.tag(path, 'v1.0.0');
  await site.deliver(path, 'refs/tags/v1.0.0', sha, randomUUID());
}

test('the plan of two revisions is what the controller says of the request', async () => {
  await deploy('ml/iris');
  await deploy('ml/rose');
  await deploy('other/iris');
  await until(async () => {
    const answer = await fetch(`${site.url}/api/v1/rollouts?phase=delivered`);
    return ((await answer.json()) as { items: unknown[] }).items.length === 2;
  });
  const larger = POLICY.replace('storage:', 'resources: { limits: { memory: 20Gi } }\n  storage:');
  const review = await reviewed(larger);
  await git(['clone', '--quiet', '--', policies, clone]);

  const { code, stdout, stderr } = await plan('--from', 'main', '--to', 'origin/change');
  expect(stdout).toBe(review.text);
  expect([code, stderr, review.state]).toEqual([0, '', 'success']);
  expect(stdout).toContain('1 policy, 2 targets change');
  expect(stdout).toContain('default/models/iris (now)');
  expect(stdout).toMatch(/^\+ +memory: 20Gi$/m);

  const json = await plan('--from', 'main', '--to', 'origin/change', '--output', 'json');
  expect(JSON.parse(json.stdout)).toMatchObject({
    deployed: true,
    policies: 1,
    changes: { targets: [{ effect: 'restarts', redeploys: 'now' }, { effect: 'restarts' }], unchanged: 0 },
  });
});

test('a target that would be taken from another repository is told, and ends with 1', async () => {
  const taking = `${POLICY}---
${POLICY.replace('name: production', 'name: taking').replace('plain:ml/*', 'plain:other/*')}`;
  const review = await reviewed(taking);
  await git(['fetch', '--quiet', '--', policies, `+${CHANGE}:${CHANGE}`], { dir: join(clone, '.git') });
  const { code, stdout, stderr } = await plan('--from', 'main', '--to', 'change');
  expect(stdout).toBe(review.text);
  expect([code, review.state]).toEqual([1, 'failure']);
  expect(stderr).toContain('target default/models/iris belongs to plain:ml/iris');
});

test('a controller that refuses the token ends it with 2', async () => {
  const { code, stdout, stderr } = await plan('--from', 'main', '--to', 'main', '--token', 'wrong');
  expect([code, stdout]).toEqual([2, '']);
  expect(stderr).toContain('error: The API token is none of server.apiTokens of this controller.');
});
