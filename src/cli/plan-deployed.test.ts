import { afterEach, beforeEach, expect, it } from 'vitest';
import type { StoredInputs } from '../core/deployed.ts';
import { loadGood, runtimeText } from '../core/policy.fixture.ts';
import { addRollout, delivered, fakeApp } from '../server/app.fake.ts';
import { type Listening, listen } from '../server/listen.ts';
import { createSqlStore } from '../store/sql.ts';
import type { Store } from '../store/store.ts';
import { askDeployed } from './plan-deployed.ts';

let store: Store;
let server: Listening;
let url: string;

beforeEach(async () => {
  store = createSqlStore({ file: ':memory:' });
  await store.lifecycle.start();
  await serve(fakeApp(store, { apiTokens: ['a-token'] }).app);
});
afterEach(async () => {
  await server.close(0);
  await store.lifecycle.stop();
});

async function serve(app: Parameters<typeof listen>[0]): Promise<void> {
  server = await listen(app, { host: '127.0.0.1', port: 0 });
  url = `http://127.0.0.1:${server.port}`;
}

async function deploy(name: string, inputs: StoredInputs): Promise<void> {
  const [planned = {}, ...rest] = delivered(name);
  await addRollout(store, { repository: `plain:ml/${name}`, changes: [{ ...planned, inputs }, ...rest] });
}

const { runtimes } = loadGood(runtimeText('mlserver', { containers: [{ name: 'kserve-container' }] }));
const INPUTS: StoredInputs = {
  modelCard: { library: 'sklearn', pipelineTag: null, license: null, tags: ['a'], baseModel: [] },
  kserve: { version: '0.15' },
  runtimes: { source: 'cluster prod', runtimes },
  knative: true,
  projectId: '42',
};
const asked = (token?: string) => askDeployed({ server: url, ...(token !== undefined && { token }) });

it('is what the controller has, catalogues of runtimes included', async () => {
  await deploy('iris', INPUTS);
  const modelCard = { unavailable: { reason: 'there is no README.md', fix: 'add one' } };
  await deploy('rose', { ...INPUTS, modelCard, runtimes: null, knative: null, projectId: null });
  expect(await asked('a-token')).toEqual({
    deployed: await store.policyChanges.deployed(),
    refs: await store.policyChanges.knownRefs(),
  });
});

it('is told to whoever has a token, and to nobody else', async () => {
  await expect(asked()).rejects.toMatchObject({ exitCode: 2, message: expect.stringContaining('API token') });
  await expect(asked('wrong')).rejects.toMatchObject({ exitCode: 2 });
});

it.each([
  { deployed: [] },
  { deployed: [], catalogues: [], refs: [] },
  { deployed: [{ repository: 'plain:ml/iris' }], catalogues: {}, refs: [] },
])('is not taken from %j, which no controller of this version says', async (body) => {
  await server.close(0);
  await serve({ fetch: () => Response.json(body) });
  await expect(asked('a-token')).rejects.toMatchObject({
    exitCode: 2,
    message: expect.stringContaining('does not talk like a modelhook of this version'),
  });
});

it('is not taken with a catalogue missing, which would choose other runtimes', async () => {
  await deploy('iris', INPUTS);
  const response = await fetch(`${url}/api/v1/deployed`, { headers: { authorization: 'Bearer a-token' } });
  const { deployed, refs } = (await response.json()) as { deployed: unknown[]; refs: unknown[] };
  await server.close(0);
  await serve({ fetch: () => Response.json({ deployed, catalogues: {}, refs }) });
  await expect(asked('a-token')).rejects.toMatchObject({ exitCode: 2 });
});
