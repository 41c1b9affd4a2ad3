import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { compileGlobs } from '../core/glob.ts';
import type { Policy } from '../core/policy.ts';
import { createSqlStore } from '../store/sql.ts';
import type { Store } from '../store/store.ts';
import { addRollout, delivered, fakeApp, POLICY_REVISION, sampleSha } from './app.fake.ts';

const NOW = Date.parse('2026-03-04T05:06:07.089Z');
const ISO = '2026-03-04T05:06:07.089Z';
let store: Store;

beforeEach(async () => {
  store = createSqlStore({ file: ':memory:', now: () => NOW });
  await store.lifecycle.start();
});
afterEach(() => store.lifecycle.stop());

/** What the tests look into; whole bodies are compared as they are. */
interface Body {
  items: { repository: string }[];
  nextCursor: string | null;
  status: number;
  detail: string;
  errorId: string;
}
const bodyOf = async (response: Response): Promise<Body> => (await response.json()) as Body;

const get = async (path: string) => {
  const response = await fakeApp(store).app.request(path);
  return {
    status: response.status,
    type: response.headers.get('content-type'),
    body: await bodyOf(response),
  };
};

describe('a rollout in JSON', () => {
  it('has the fields of the specification and no others', async () => {
    const { id, eventId } = await addRollout(store, { changes: delivered('iris') });
    const expected = {
      id,
      eventId,
      cause: { kind: 'event', of: eventId },
      repository: 'plain:ml/iris',
      ref: 'refs/tags/v1.0.0',
      revision: 'v1.0.0',
      sha: sampleSha(1),
      policy: 'production-policy',
      policyRevision: POLICY_REVISION,
      environment: 'production',
      target: { cluster: 'prod', namespace: 'vision', name: 'iris' },
      phase: 'delivered',
      message: 'Committed 1a2b3c4 to fleet',
      createdAt: ISO,
      updatedAt: ISO,
      finishedAt: ISO,
      receipt: { commit: '1a2b3c4d'.repeat(5), path: 'prod/vision/iris.yaml', pullRequest: null },
      endpoints: { internal: null, external: null },
      transitions: [
        { phase: 'pending', message: 'Queued for production', at: ISO },
        { phase: 'pending', message: 'Rendered', at: ISO },
        { phase: 'delivered', message: 'Committed 1a2b3c4 to fleet', at: ISO },
      ],
    };
    expect((await get('/api/v1/rollouts')).body).toEqual({ items: [expected], nextCursor: null });
    expect((await get(`/api/v1/rollouts/${id}`)).body).toEqual({
      ...expected,
      manifest: 'kind: InferenceService\nmetadata:\n  name: iris\n',
      decisions: ['runtime kserve-mlserver: named by the policy'],
      warnings: ['no catalogue has the runtime'],
    });
  });

  it('that waits for its pull request has that in its receipt', async () => {
    const pullRequest = { number: 12, label: '!12', url: 'https://gitlab.example.com/12' };
    const { id } = await addRollout(store, { changes: [{ message: 'Waiting for !12', pullRequest }] });
    expect((await get(`/api/v1/rollouts/${id}`)).body).toMatchObject({
      phase: 'pending',
      receipt: { commit: null, path: null, pullRequest: 'https://gitlab.example.com/12' },
    });
  });

  it('that has no plan yet has nulls and empty lists', async () => {
    const { id } = await addRollout(store);
    const nothing = {
      target: null,
      receipt: null,
      finishedAt: null,
      manifest: null,
      decisions: [],
      warnings: [],
    };
    expect((await get(`/api/v1/rollouts/${id}`)).body).toMatchObject(nothing);
  });
});

describe('an event in JSON', () => {
  it('names the rollouts it caused, and has ISO times', async () => {
    const { id, eventId } = await addRollout(store);
    const event = {
      id: eventId,
      repository: 'plain:ml/iris',
      projectId: null,
      ref: 'refs/tags/v1.0.0',
      kind: 'created',
      before: null,
      sha: sampleSha(1),
      source: 'webhook',
      policyRevision: POLICY_REVISION,
      rollouts: [{ id, policy: 'production-policy', phase: 'pending' }],
      receivedAt: ISO,
    };
    expect((await get(`/api/v1/events/${eventId}`)).body).toEqual(event);
    expect((await get('/api/v1/events')).body).toEqual({ items: [event], nextCursor: null });
  });
});

describe('lists', () => {
  it.each(['rollouts', 'events'])(
    'of %s are newest first, and pages join without gap or overlap',
    async (list) => {
      for (let n = 1; n <= 7; n++) await addRollout(store, { repository: `plain:ml/m${n}` });
      const seen: string[] = [];
      let cursor: string | null = '';
      while (cursor !== null) {
        const { body } = await get(`/api/v1/${list}?limit=3${cursor && `&cursor=${cursor}`}`);
        seen.push(...body.items.map(({ repository }) => repository));
        cursor = body.nextCursor;
        expect(cursor ?? '').toMatch(/^[\w-]*$/);
      }
      expect(seen).toEqual([7, 6, 5, 4, 3, 2, 1].map((n) => `plain:ml/m${n}`));
    },
  );

  it('are filtered by repository, phase and environment together', async () => {
    await addRollout(store, { repository: 'plain:a', environment: 'staging' });
    await addRollout(store, { repository: 'plain:b', environment: 'staging' });
    await addRollout(store, { repository: 'plain:b', ref: 'refs/tags/v2', changes: delivered('b') });
    const count = async (query: string) => (await get(`/api/v1/rollouts?${query}`)).body.items.length;
    expect(await count('repository=plain:b')).toBe(2);
    expect(await count('environment=staging')).toBe(2);
    expect(await count('phase=delivered')).toBe(1);
    expect(await count('repository=plain:b&environment=staging&phase=pending')).toBe(1);
    expect((await get('/api/v1/events?phase=delivered')).body.items).toHaveLength(1);
  });

  it.each([
    ['limit=0', /"limit" takes a whole number from 1 to 200, not "0"/],
    ['limit=201', /"limit"/],
    ['limit=1.5', /"limit"/],
    ['limit=', /"limit"/],
    [
      'phase=done',
      /"phase" takes one of pending, delivered, ready, failed, superseded, cancelled, not "done"/,
    ],
    ['repository=iris', /"repository" takes a repository id/],
    ['environment=', /"environment"/],
    ['cursor=!!', /"cursor" takes the nextCursor of an earlier answer/],
    ['cursor=YmVmb3JlIDA', /"cursor"/],
    ['phse=failed', /no query parameter "phse"; a list takes repository, phase, environment, limit, cursor/],
    ['phase=failed&phase=ready', /"phase" is given more than once/],
    ['limit=0&phase=x', /"phase".*"limit"|"limit".*"phase"/],
  ])('refuse ?%s', async (query, detail) => {
    const { status, type, body } = await get(`/api/v1/rollouts?${query}`);
    expect([status, type]).toEqual([400, 'application/problem+json']);
    expect(body).toMatchObject({ title: 'Bad Request', status: 400, detail: expect.stringMatching(detail) });
  });
});

describe('policies in JSON', () => {
  const policy: Policy = {
    name: 'vision',
    source: { file: 'policies/vision.yaml', line: 1, column: 1 },
    bound: null,
    match: {
      repositories: compileGlobs(['plain:ml/*', '!plain:ml/scratch']),
      tags: compileGlobs(['v*']),
      branches: compileGlobs([]),
    },
    environment: 'production',
    description: 'Vision models',
    target: { cluster: 'prod', namespace: 'vision', name: 'iris' },
    runtime: { name: null, class: null },
    protocolVersion: 'v2',
    gpu: null,
    resources: { requests: {}, limits: {} },
    replicas: { min: 1, max: 1 },
    deploymentMode: 'auto',
    rollout: null,
    modelFormat: null,
    storage: { uri: 's3://models', ephemeralStorage: '10Gi', pvc: null },
    conventions: 'kserve',
    labels: {},
    annotations: {},
    pod: {},
    container: { env: [{ name: 'TOKEN', value: 'not for everybody' }] },
    updateExisting: true,
    delivery: { gitops: 'fleet', path: 'a.yaml', via: 'push', adopt: false, selfHeal: false },
    readiness: {
      observe: 'auto',
      timeout: 1,
      stability: 0,
      grace: { imagePull: 1, unschedulable: 1, invalidSpec: 1, restarts: 3 },
    },
    suspend: false,
    onPolicyChange: 'redeploy',
    onRefDelete: 'keep',
    defaulted: new Set(),
  };

  it('show what is in force, why the head is not, and what each policy matches', async () => {
    const { app, policies } = fakeApp(store);
    const faults = [{ file: 'policies/a.yaml', line: 3, column: 5, message: 'unknown key' }];
    policies.state = { ...policies.state, head: sampleSha(2), faults };
    policies.set = { revision: POLICY_REVISION, policies: [policy], gpuProfiles: [], runtimes: [] };
    const response = await app.request('/api/v1/policies');
    const text = await response.text();
    expect(JSON.parse(text)).toMatchObject({
      ...policies.state,
      items: [
        {
          name: 'vision',
          environment: 'production',
          match: { repositories: ['plain:ml/*', '!plain:ml/scratch'], tags: ['v*'], branches: [] },
        },
      ],
      nextCursor: null,
    });
    expect(text).not.toContain('not for everybody');
  });

  it('are an empty list while there are none', async () => {
    expect((await get('/api/v1/policies')).body).toMatchObject({ items: [], nextCursor: null });
  });
});

describe('what is not there', () => {
  it.each(['/api/v1/rollouts/none', '/api/v1/events/none', '/api/v1/nothing', '/api/v1/rollouts/%E0%A4%A'])(
    'is a problem: %s',
    async (path) => {
      const { status, type, body } = await get(path);
      expect([status, type, body.status]).toEqual([404, 'application/problem+json', 404]);
    },
  );

  it('stays JSON for a program, and is a page for a browser', async () => {
    const { app } = fakeApp(store);
    const program = await app.request('/nothing', { headers: { accept: '*/*' } });
    expect(program.headers.get('content-type')).toBe('application/problem+json');
    const browser = await app.request('/some/thing', { headers: { accept: 'text/html,*/*;q=0.8' } });
    expect(browser.status).toBe(404);
    expect(await browser.text()).toContain('href="../"');
  });
});

it('an unexpected error is answered with an id that the log has too, and nothing else of it', async () => {
  const rollouts = { ...store.rollouts, list: () => Promise.reject(new TypeError('secret internals')) };
  const { app, log } = fakeApp({ ...store, rollouts });
  const response = await app.request('/api/v1/rollouts');
  const body = await bodyOf(response);
  expect(response.status).toBe(500);
  expect(JSON.stringify(body)).not.toMatch(/secret|TypeError|\.ts/);
  expect(body.detail).toContain(body.errorId);
  expect(log.lines).toMatchObject([
    { level: 'error', fields: { errorId: body.errorId, err: { message: 'secret internals' } } },
  ]);
});

it('HEAD answers as GET does, without the body', async () => {
  const response = await fakeApp(store).app.request('/api/v1/rollouts', { method: 'HEAD' });
  expect([response.status, response.headers.get('content-type')]).toEqual([200, 'application/json']);
  expect(await response.text()).toBe('');
});
