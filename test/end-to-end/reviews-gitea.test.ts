import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { type ControllerSite, makeControllerSite, POLICY, until } from '../controller-site.ts';
import { giteaAccess, RealGitea, type RealRepository } from '../forges/real-gitea.ts';

const access = giteaAccess();
const MAIN = fileURLToPath(new URL('../../bin/modelhook.js', import.meta.url));
const FILE = 'policies/production.yaml';
const replicas = (count: number): string => `${POLICY}  replicas: { min: ${count} }\n`;

describe.skipIf(!access)(
  `requests on a real Gitea${access ? '' : ' (skipped: MODELHOOK_TEST_GITEA names none)'}`,
  () => {
    let gitea: RealGitea;
    let policies: RealRepository;
    let site: ControllerSite;
    let stranger: { authorization: string; fork: string; name: string };

    beforeAll(async () => {
      if (!access) return;
      gitea = new RealGitea(access);
      policies = await gitea.create();
      await policies.commit('main', { [FILE]: POLICY });
      await policies.untilNotEmpty();
      const scopes = ['write:repository', 'write:issue', 'read:user'];
      const [bot, name] = [`bot-${policies.owner}`, `eve-${policies.owner}`];
      const token = await gitea.tokenOf(bot, scopes);
      const authorization = `token ${await gitea.tokenOf(name, scopes)}`;
      await gitea.api('PUT', `/repos/${policies.path}/collaborators/${bot}`, { permission: 'admin' });
      await gitea.api('PUT', `/repos/${policies.path}/collaborators/${name}`, { permission: 'read' });
      const fork = `fork-${policies.owner}`;
      await gitea.api('POST', `/repos/${policies.path}/forks`, { name: fork }, authorization);
      stranger = { authorization, fork: `${name}/${fork}`, name };
      site = await makeControllerSite();
      reportTo(site, access.url, token);
      await site.makeModels(['ml/iris']);
      await site.start();
      const webhook = ['--config', join(site.root, 'modelhook.yaml'), '--url', site.url];
      await promisify(execFile)(process.execPath, [
        MAIN,
        'webhook',
        'create',
        `gitea:${policies.path}`,
        ...webhook,
      ]);
      await site.deliver('ml/iris', 'refs/tags/v1', await site.tag('ml/iris', 'v1'), 'iris');
      await until(async () => (await phases())[0] === 'delivered');
    });
    afterAll(async () => {
      await site?.remove();
      await policies.end();
      await gitea.end();
    });

    /** Has the config repository on Gitea. */
    function reportTo({ root }: ControllerSite, url: string, token: string): void {
      const file = join(root, 'modelhook.yaml');
      const config = parse(readFileSync(file, 'utf8'));
      writeFileSync(join(root, 'token'), token);
      const { webhookSecrets } = config.forges.plain;
      config.forges.gitea = { kind: 'gitea', url, token: { file: './token' }, webhookSecrets };
      config.policies.repository = `gitea:${policies.path}`;
      writeFileSync(file, stringify(config));
    }

    async function phases(): Promise<string[]> {
      const response = await fetch(`${site.url}/api/v1/rollouts`);
      const { items } = (await response.json()) as { items: { phase: string }[] };
      return items.map(({ phase }) => phase);
    }

    /** Commits on top of main, to a branch that is moved there by force. */
    async function push(path: string, branch: string, text: string): Promise<string> {
      policies.local.point(`refs/heads/${branch}`, policies.local.read('refs/heads/main') ?? '');
      const sha = policies.local.commit({ [FILE]: text }, 'Change', branch);
      await policies.pushTo(path, `+refs/heads/${branch}`);
      return sha;
    }

    async function open(head: string, authorization?: string): Promise<number> {
      const draft = { head, base: 'main', title: 'A change' };
      const made = await gitea.api('POST', `/repos/${policies.path}/pulls`, draft, authorization);
      return (made as { number: number }).number;
    }

    interface Status {
      context: string;
      status: string;
      description: string;
    }
    /** Waits for a status. */
    async function status(sha: string, isIt: (status: Status) => boolean = () => true): Promise<string> {
      let found: Status | undefined;
      await until(async () => {
        const path = `/repos/${policies.path}/statuses/${sha}?sort=leastindex`;
        [found] = (await gitea.api('GET', path)) as Status[];
        return found !== undefined && isIt(found);
      }, 200);
      expect(found?.context).toBe('modelhook/policies');
      return `${found?.status}: ${found?.description}`;
    }

    const comments = async (number: number): Promise<string[]> =>
      (
        (await gitea.api('GET', `/repos/${policies.path}/issues/${number}/comments`)) as { body: string }[]
      ).map(({ body }) => body);

    it('have a status and one comment, which are those of each new head', async () => {
      const first = await push(policies.path, 'change', replicas(2));
      const number = await open('change');
      expect(await status(first)).toBe('success: 1 policy, 1 target changes');
      await until(async () => (await comments(number)).length > 0, 200);
      expect((await comments(number))[0]).toContain('+    minReplicas: 2');
      const bad = await push(policies.path, 'change', `${POLICY}  replicsa: 1\n`);
      expect(await status(bad)).toMatch(/^failure: policies\/production\.yaml:11:3: /);
      await until(async () => (await comments(number))[0]?.includes('replicsa') ?? false, 200);
      const mended = await push(policies.path, 'change', replicas(3));
      expect(await status(mended)).toBe('success: 1 policy, 1 target changes');
      await until(async () => (await comments(number))[0]?.includes('minReplicas: 3') ?? false, 200);
      expect(await comments(number)).toHaveLength(1);
    });

    it('are reviewed from forks too', async () => {
      const branch = `fork-${randomUUID()}`;
      const sha = await push(stranger.fork, branch, replicas(4));
      const number = await open(`${stranger.name}:${branch}`, stranger.authorization);
      expect(await status(sha)).toBe('success: 1 policy, 1 target changes');
      await until(async () => (await comments(number)).length > 0, 200);
    });

    it('that are merged deploy what they change, and the merge commit counts it', async () => {
      expect(await phases()).toEqual(['delivered']);
      await push(policies.path, 'merged', replicas(5));
      const sha = await policies.merge(await open('merged'));
      expect(await status(sha, (each) => each.status === 'success')).toBe(
        'success: 1 policy in force, 1 target deployed anew',
      );
      expect(await phases()).toEqual(['delivered', 'delivered']);
    });
  },
);
