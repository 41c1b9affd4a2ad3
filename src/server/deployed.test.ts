import { afterEach, beforeEach, expect, it } from 'vitest';
import type { StoredInputs } from '../core/deployed.ts';
import { createSqlStore } from '../store/sql.ts';
import type { Store } from '../store/store.ts';
import { addRollout, delivered, fakeApp, sampleSha } from './app.fake.ts';
import type { DeployedJson } from './deployed.ts';

let store: Store;

beforeEach(async () => {
  store = createSqlStore({ file: ':memory:' });
  await store.lifecycle.start();
});
afterEach(() => store.lifecycle.stop());

const INPUTS: StoredInputs = {
  modelCard: { library: 'sklearn', pipelineTag: null, license: null, tags: [], baseModel: [] },
  kserve: { version: '0.15' },
  runtimes: { source: 'cluster prod', runtimes: [] },
  knative: false,
  projectId: '42',
};

/** A target of that name that was delivered. @returns the id of its rollout */
async function deploy(name: string, inputs: StoredInputs = INPUTS): Promise<string> {
  const [planned = {}, ...rest] = delivered(name);
  const changes = [{ ...planned, inputs }, ...rest];
  return (await addRollout(store, { repository: `plain:ml/${name}`, changes })).id;
}

function get(token: string | null = 'a-token', apiTokens: readonly string[] = ['a-token']) {
  const headers = { ...(token !== null && { authorization: `Bearer ${token}` }) };
  return fakeApp(store, { apiTokens }).app.request('/api/v1/deployed', { headers });
}
const answer = async (): Promise<DeployedJson> => (await get()).json() as Promise<DeployedJson>;

it('is what targets were planned from, and the refs that are known', async () => {
  const rolloutId = await deploy('iris');
  const { deployed, catalogues, refs } = await answer();
  const [name = ''] = Object.keys(catalogues);
  expect(deployed).toEqual([
    {
      rolloutId,
      repository: 'plain:ml/iris',
      ref: 'refs/tags/v1.0.0',
      sha: sampleSha(1),
      policy: 'production-policy',
      target: { cluster: 'prod', namespace: 'vision', name: 'iris' },
      delivery: { gitops: 'fleet', path: 'prod/vision/iris.yaml' },
      mode: null,
      manifest: 'kind: InferenceService\nmetadata:\n  name: iris\n',
      waits: false,
      inputs: { ...INPUTS, runtimes: name },
    },
  ]);
  expect(catalogues).toEqual({ [name]: INPUTS.runtimes });
  expect(refs).toEqual([{ repository: 'plain:ml/iris', ref: 'refs/tags/v1.0.0', sha: sampleSha(1) }]);
});

it('has each catalogue of runtimes once, and none where none was read', async () => {
  await deploy('iris');
  await deploy('rose');
  await deploy('other', { ...INPUTS, runtimes: { source: 'cluster test', runtimes: [] } });
  await deploy('blind', { ...INPUTS, runtimes: null });
  const { deployed, catalogues } = await answer();
  const sources = deployed.map(({ inputs: { runtimes } }) => runtimes && catalogues[runtimes]?.source);
  expect(sources).toEqual(['cluster prod', 'cluster prod', 'cluster test', null]);
  expect(Object.keys(catalogues)).toHaveLength(2);
});

it('is empty where nothing is deployed', async () => {
  expect(await answer()).toEqual({ deployed: [], catalogues: {}, refs: [] });
});

it.each([
  ['no token', null, ['a-token'], 401],
  ['a wrong token', 'another', ['a-token'], 401],
  ['any token, where the controller has none', 'a-token', [], 403],
])('is told to nobody with %s', async (_, token, apiTokens, status) => {
  await deploy('iris');
  const response = await get(token, apiTokens);
  expect([response.status, response.headers.get('content-type')]).toEqual([
    status,
    'application/problem+json',
  ]);
  expect(await response.text()).not.toContain('iris');
});

it('is only read', async () => {
  const { app } = fakeApp(store, { apiTokens: ['a-token'] });
  const response = await app.request('/api/v1/deployed', { method: 'POST' });
  expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
});
