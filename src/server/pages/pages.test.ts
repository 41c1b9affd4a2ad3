import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createSqlStore } from '../../store/sql.ts';
import type { Store } from '../../store/store.ts';
import { addRollout, delivered, fakeApp, sampleSha } from '../app.fake.ts';

let store: Store;

beforeEach(async () => {
  store = createSqlStore({ file: ':memory:' });
  await store.lifecycle.start();
});
afterEach(() => store.lifecycle.stop());

const page = async (path: string, app = fakeApp(store).app) => {
  const response = await app.request(path);
  return { response, text: await response.text() };
};

describe('the list', () => {
  it('shows each rollout with its phase in words, and links to it', async () => {
    const { id } = await addRollout(store, { changes: delivered('iris') });
    const { response, text } = await page('/');
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('text/html; charset=UTF-8');
    for (const part of [
      `href="./rollouts/${id}"`,
      'Delivered',
      'v1.0.0',
      'production',
      'prod / vision / iris',
    ])
      expect(text).toContain(part);
    expect(text).toMatch(/<th scope="col"[^>]*>Phase<\/th>/);
    expect(text).toMatch(/<time datetime="\d{4}-\d\d-\d\dT/);
  });

  it('shows a branch by its name and commit', async () => {
    await addRollout(store, { ref: 'refs/heads/main', sha: sampleSha(7) });
    expect((await page('/')).text).toContain('main @ aaaaaaa');
  });

  it('explains the first rollout where there is none', async () => {
    expect((await page('/')).text).toContain('git push origin v1.0.0');
  });

  it('filters, keeps the other filters in its links, and takes no notice of empty fields', async () => {
    await addRollout(store, { repository: 'plain:a', environment: 'staging' });
    await addRollout(store, { repository: 'plain:b' });
    const { text } = await page('/?repository=&environment=staging');
    expect(text).toContain('plain:a');
    expect(text).not.toContain('plain:b');
    expect(text).toContain('href="./?environment=staging&amp;phase=failed"');
    expect((await page('/?environment=nowhere')).text).toContain('Nothing matches');
  });

  it('goes on with older rollouts, and back', async () => {
    for (let n = 0; n < 3; n++) await addRollout(store, { repository: `plain:m${n}` });
    const first = (await page('/?limit=2')).text;
    const next = /rel="next" href="\.(\/\?[^"]+)"/.exec(first)?.[1] ?? '';
    const second = (await page(next)).text;
    expect(second).toContain('plain:m0');
    expect(second).not.toContain('plain:m2');
    expect(second).toContain('Newest');
  });

  it('answers a wrong filter with a page that names it', async () => {
    const { response, text } = await page('/?phase=done');
    expect(response.status).toBe(400);
    expect(text).toContain('one of pending, delivered');
  });

  it('says when the newest policies are not in force, and why', async () => {
    const { app, policies } = fakeApp(store);
    const faults = [{ file: 'policies/a.yaml', line: 3, column: 5, message: 'unknown key <b>' }];
    policies.state = { ...policies.state, head: sampleSha(2), faults };
    const { text } = await page('/', app);
    expect(text).toContain('policies/a.yaml:3:5: unknown key &lt;b&gt;');
    expect(text).toContain('<code>9d1e8a4</code> stay in force');
    policies.state = { ...policies.state, faults: [], inForce: null, unreachable: 'connection refused' };
    expect((await page('/', app)).text).toContain('connection refused');
  });
});

describe('the page of a rollout', () => {
  it('shows what, where, why, the timeline, the commit and the manifest', async () => {
    const { id, eventId } = await addRollout(store, { changes: delivered('iris') });
    const { text } = await page(`/rollouts/${id}`);
    for (const part of [
      'Committed 1a2b3c4 to fleet',
      '1a2b3c4d'.repeat(5),
      'prod/vision/iris.yaml',
      'production-policy',
      'namespace vision, cluster prod',
      'Queued for production',
      'no catalogue has the runtime',
      'named by the policy',
      `../api/v1/events/${eventId}`,
    ])
      expect(text).toContain(part);
    expect(text.replace(/<[^>]+>/g, '')).toContain('kind: InferenceService\nmetadata:\n  name: iris');
  });

  it('loads itself again until the rollout is final, and lets the reader stop that', async () => {
    const { id } = await addRollout(store);
    const refresh = '<meta http-equiv="refresh" content="3">';
    expect((await page(`/rollouts/${id}`)).text).toContain(refresh);
    expect((await page(`/rollouts/${id}?live=off`)).text).not.toContain(refresh);
    for (const change of delivered('iris')) await store.rollouts.advance(id, change);
    expect((await page(`/rollouts/${id}`)).text).not.toContain(refresh);
  });

  it('tells a delivery that is watched from one that is done', async () => {
    const watched = { phase: 'delivered', stage: 'observe', message: 'waiting for iris' } as const;
    const { id } = await addRollout(store, { changes: [watched] });
    expect((await page(`/rollouts/${id}`)).text).toContain('Delivered<span class="unseen">, in progress');
  });

  it('says until when a rollout is watched, and where its model is reached', async () => {
    const terms = { timeout: 1_800_000, stability: 300_000 };
    const readiness = {
      ...terms,
      grace: { imagePull: 60_000, unschedulable: 600_000, invalidSpec: 30_000, restarts: 3 },
    };
    const [planned = {}, done = {}] = delivered('iris');
    const plan = planned.plan && { ...planned.plan, gitops: null, readiness };
    const observation = {
      specHash: 'aaaaaaaaaaaaaaaa',
      minReplicas: 1,
      maxReplicas: 1,
      mode: 'Standard',
      deliveredAt: Date.parse('2026-03-04T12:00:00Z'),
      readyAt: null,
      since: {},
    } as const;
    const changes = [
      { ...planned, ...(plan && { plan }) },
      { ...done, stage: 'observe', observation } as const,
    ];
    const { id } = await addRollout(store, { changes });
    const waiting = (await page(`/rollouts/${id}`)).text;
    expect(waiting).toContain('Watched until</dt><dd><time datetime="2026-03-04T12:30:00.000Z"');
    expect(waiting).toContain('applied to cluster prod');
    expect(waiting).not.toContain('GitOps commit');
    await store.rollouts.advance(id, { phase: 'failed', message: 'It crashes; mend it' });
    expect((await page(`/rollouts/${id}`)).text).toContain('it may still become ready');
    await store.rollouts.advance(id, {
      phase: 'ready',
      message: 'Ready',
      endpoints: {
        internal: 'http://iris-predictor.vision.svc.cluster.local',
        external: 'https://iris.example.com',
      },
      observation: { ...observation, readyAt: Date.parse('2026-03-04T12:02:00Z') },
    });
    const ready = (await page(`/rollouts/${id}`)).text;
    for (const part of [
      '2026-03-04T12:07:00.000Z',
      '<code>http://iris-predictor.vision.svc.cluster.local</code>',
      'href="https://iris.example.com"',
    ])
      expect(ready).toContain(part);
    await store.rollouts.advance(id, { stage: null });
    expect((await page(`/rollouts/${id}`)).text).not.toContain('Watched until');
  });

  it('says that identical content made no commit', async () => {
    const receipt = { commit: null, path: 'a.yaml' };
    const same = { phase: 'delivered', stage: null, message: 'Nothing to change', receipt } as const;
    const { id } = await addRollout(store, { changes: [same] });
    expect((await page(`/rollouts/${id}`)).text).toContain('already had this content');
  });

  it('links to web addresses only', async () => {
    const pageWith = async (url: string, ref: string) => {
      const pullRequest = { number: 12, label: '!12', url };
      const { id } = await addRollout(store, { ref, changes: [{ pullRequest }] });
      return (await page(`/rollouts/${id}`)).text;
    };
    const hostile = await pageWith('javascript:alert(1)', 'refs/tags/v1');
    expect(hostile).toContain('!12');
    expect(hostile).not.toContain('href="javascript');
    const good = await pageWith('https://gitlab.example.com/12', 'refs/tags/v2');
    expect(good).toContain('href="https://gitlab.example.com/12"');
  });

  it('is a page even where there is no such rollout', async () => {
    const { response, text } = await page('/rollouts/none');
    expect(response.status).toBe(404);
    expect(response.headers.get('content-type')).toBe('text/html; charset=UTF-8');
    expect(text).toContain('href="../"');
  });
});

describe('the review', () => {
  const report = async (text: string): Promise<string> => {
    const head = sampleSha(1);
    const refs = { head, headRef: 'refs/heads/a', statusRef: 'refs/heads/a' };
    await store.reviews.seen([{ subject: 'refs/heads/a', number: null, label: 'a', url: null, ...refs }]);
    const [review] = await store.reviews.claim(1);
    if (!review) throw new Error('no review is due');
    const outcome = {
      head,
      base: null,
      state: 'success',
      description: 'good',
      exceeded: false,
      at: 0,
    } as const;
    await store.reviews.done(review, outcome, { text, took: 1 });
    return /<pre[^>]*><code>(.*)<\/code>/s.exec((await page(`/reviews/${review.id}`)).text)?.[1] ?? '';
  };

  it('shows what is new and gone in diffs, and text of others as text', async () => {
    expect(await report('1 policy\n\n@@ -1 +1,2 @@\n-a\n+<b>\n+</pre>&amp;\n c\n')).toBe(
      [
        '1 policy\n',
        '<span class="muted">@@ -1 +1,2 @@</span>',
        '<span class="failure">-a</span>',
        '<span class="success">+&lt;b&gt;\n+&lt;/pre&gt;&amp;amp;</span>',
        ' c\n',
      ].join('\n'),
    );
  });

  it('stays a page where its lines were made to swell it', async () => {
    const text = '+\n-\n'.repeat(128 * 1024);
    expect((await report(text)).length).toBeLessThan(2 * text.length);
  });
});

describe('every page', () => {
  it('shows text from repositories as text', async () => {
    const hostile = `<img src=x onerror=alert(1)>"'`;
    const { id } = await addRollout(store, {
      repository: `plain:${hostile}`,
      ref: `refs/tags/${hostile}`,
      environment: hostile,
      changes: [{ message: hostile, manifest: `key: ${hostile}\n${hostile}: 1\n- ${hostile}\n# ${hostile}` }],
    });
    for (const path of ['/', `/rollouts/${id}`]) {
      const { text } = await page(path);
      expect(text).not.toContain('<img');
      expect(text).toContain('&lt;img src=x onerror=alert(1)&gt;&quot;&#39;');
    }
  });

  it('allows its own style sheet and nothing else', async () => {
    const { response, text } = await page('/');
    const style = /<style>(.*?)<\/style>/s.exec(text)?.[1] ?? '';
    const hash = createHash('sha256').update(style).digest('base64');
    const policy = response.headers.get('content-security-policy');
    expect(policy).toContain(`style-src 'sha256-${hash}'`);
    expect(policy).toContain("default-src 'none'");
    expect(text).not.toMatch(/<script|\sstyle=|\son\w+="/);
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
    expect(response.headers.get('x-frame-options')).toBe('DENY');
  });

  it('answers HEAD', async () => {
    const response = await fakeApp(store).app.request('/', { method: 'HEAD' });
    expect([response.status, await response.text()]).toEqual([200, '']);
  });
});
