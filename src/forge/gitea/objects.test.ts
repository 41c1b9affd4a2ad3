import { afterEach, beforeEach, expect, it } from 'vitest';
import { type GiteaRepository, GiteaServer, TOKENS } from '../../../test/forges/gitea-server.ts';
import { createGiteaClient } from './client.ts';
import { createGiteaObjects, type GiteaObjects } from './objects.ts';

let gitea: GiteaServer;
let fork: GiteaRepository;
let objects: GiteaObjects;
let sha: string;

beforeEach(async () => {
  gitea = await GiteaServer.start();
  gitea.create('ml/iris');
  fork = gitea.create('ada/iris');
  sha = fork.commit('main', { 'README.md': '# Fork' });
  const apiUrl = `${gitea.url}/api/v1`;
  const client = createGiteaClient({
    name: 'gitea',
    apiUrl,
    token: TOKENS.writer,
    ca: null,
    now: Date.now,
  });
  objects = createGiteaObjects(client);
});
afterEach(() => gitea.end());

it('a commit of a fork is not one of the repository', async () => {
  expect(await objects.commit('gitea:ada/iris', sha)).toMatchObject({ sha });
  expect(await objects.commit('gitea:ml/iris', sha)).toBeNull();
});

it('a commit is held only as long as the repository of that name has it', async () => {
  await objects.commit('gitea:ada/iris', sha);
  expect(await objects.holds('gitea:ada/iris', sha)).toBe(true);
  gitea.rename(fork, 'ada/flowers');
  gitea.create('ada/iris');
  expect(await objects.holds('gitea:ada/iris', sha)).toBe(false);
  await expect(objects.holds('gitea:ada/none', sha)).rejects.toThrow(/404/);
});
