/** The dashboard in a real browser: what a string comparison cannot see. */
import { type Browser, type BrowserContextOptions, chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addRollout, delivered, fakeApp, sampleSha } from '../../src/server/app.fake.ts';
import { type Listening, listen } from '../../src/server/listen.ts';
import { createSqlStore } from '../../src/store/sql.ts';
import type { ReviewOutcome, Store } from '../../src/store/store.ts';
import { CHROMIUM_FLAGS, findChromium } from './chromium.ts';

const HOSTILE = '<img src=x onerror=alert(1)><script>alert(2)</script>';
/** Longer than any window, and wider. */
const PLAN = [
  `12 policies, 300 targets change`,
  '',
  'Policies:',
  `  changed: ${HOSTILE}`,
  '',
  ...Array.from({ length: 300 }, (_, index) =>
    [
      `--- model-${index} (now)`,
      `+++ model-${index} (merged)`,
      '@@ -1,2 +1,2 @@',
      ` ${'x'.repeat(400)}`,
      '-  a',
      '+  b',
    ].join('\n'),
  ),
].join('\n');

/** One head with a plan, one with faults, and one that was not examined yet. @returns their ids, in this order */
async function addReviews({ reviews }: Store): Promise<string[]> {
  const heads = [1, 2, 3].map((number) => ({
    subject: `request ${number}`,
    number,
    label: number === 2 ? HOSTILE : `#${number}`,
    url: 'https://forge.example.com/pulls/1',
    head: sampleSha(number),
    headRef: `refs/pull/${number}/head`,
    statusRef: 'refs/heads/change',
  }));
  await reviews.seen(heads);
  const made = (await reviews.claim(3)).toSorted((a, b) => (a.number ?? 0) - (b.number ?? 0));
  const outcomes: (Pick<ReviewOutcome, 'state' | 'description'> & { text: string })[] = [
    { state: 'success', description: '12 policies, 300 targets change', text: `${PLAN}\n` },
    { state: 'failed', description: `${HOSTILE} ${'y'.repeat(400)}`, text: `Faults:\n  ${HOSTILE}\n` },
  ];
  for (const [index, { text, ...outcome }] of outcomes.entries()) {
    const review = made[index];
    if (!review) continue;
    const found = { ...outcome, head: review.head, base: sampleSha(9), exceeded: false, at: Date.now() };
    await reviews.done(review, found, { text, took: 100 });
  }
  return made.map(({ id }) => id);
}

const { path: executablePath, missing } = findChromium();

describe.skipIf(missing !== null)(
  `the pages in Chromium${missing === null ? '' : ` (skipped: ${missing})`}`,
  () => {
    const store = createSqlStore({ file: ':memory:' });
    let browser: Browser;
    let server: Listening;
    let paths: string[];

    beforeAll(async () => {
      await store.lifecycle.start();
      const { app, policies } = fakeApp(store);
      const faults = [
        { file: 'policies/a.yaml', line: 3, column: 5, message: `unknown key ${'y'.repeat(200)}` },
      ];
      policies.state = { ...policies.state, head: sampleSha(2), faults };
      const good = await addRollout(store, { changes: delivered('iris') });
      const running = await addRollout(store, { repository: 'plain:ml/running' });
      const hostile = await addRollout(store, {
        repository: `plain:${HOSTILE}`,
        ref: `refs/heads/${HOSTILE}`,
        environment: HOSTILE,
        changes: [{ message: `${HOSTILE} ${'x'.repeat(400)}`, manifest: `${HOSTILE}: ${'z'.repeat(400)}\n` }],
      });
      const reviews = await addReviews(store);
      server = await listen(app, { host: '127.0.0.1', port: 0 });
      browser = await chromium.launch({ executablePath: executablePath ?? '', args: CHROMIUM_FLAGS });
      paths = [
        '/',
        '/?phase=failed',
        ...[good, running, hostile].map(({ id }) => `/rollouts/${id}?live=off`),
        ...reviews.map((id) => `/reviews/${id}`),
      ];
    }, 60_000);

    afterAll(async () => {
      await browser?.close();
      await server?.close(0);
      await store.lifecycle.stop();
    });

    /** Opens a page, and gathers all that must not happen on it. */
    async function look(path: string, options: BrowserContextOptions) {
      const context = await browser.newContext(options);
      const page = await context.newPage();
      const origin = `http://127.0.0.1:${server.port}`;
      const trouble: string[] = [];
      page.on('console', (message) => trouble.push(`console ${message.type()}: ${message.text()}`));
      page.on('pageerror', (error) => trouble.push(`error: ${error.message}`));
      page.on('dialog', (dialog) => {
        trouble.push(`dialog: ${dialog.message()}`);
        return dialog.dismiss();
      });
      page.on('request', (request) => {
        if (request.url() !== `${origin}${path}` && !request.url().startsWith('data:'))
          trouble.push(`request: ${request.url()}`);
      });
      await page.goto(`${origin}${path}`, { waitUntil: 'load' });
      // As text: this side of the test knows no DOM types.
      const seen = (await page.evaluate(`({
      width: document.documentElement.scrollWidth,
      live: document.querySelectorAll('img, script, iframe, object').length,
      headings: document.querySelectorAll('h1').length,
      styled: getComputedStyle(document.body).margin === '0px',
      text: document.body.innerText,
    })`)) as { width: number; live: number; headings: number; styled: boolean; text: string };
      await context.close();
      return { ...seen, trouble };
    }

    it.each([
      ['on a desk in the light', { viewport: { width: 1280, height: 900 }, colorScheme: 'light' as const }],
      ['on a desk in the dark', { viewport: { width: 1280, height: 900 }, colorScheme: 'dark' as const }],
      ['on a phone', { viewport: { width: 390, height: 844 }, isMobile: true }],
      ['on a narrow phone', { viewport: { width: 320, height: 640 }, isMobile: true }],
    ])(
      'are quiet, inert and as wide as the window %s',
      async (_, options) => {
        for (const path of paths) {
          const seen = await look(path, options);
          expect(seen, path).toMatchObject({ trouble: [], live: 0, headings: 1, styled: true });
          expect(seen.width, path).toBeLessThanOrEqual(options.viewport.width);
        }
      },
      60_000,
    );

    it('show a plan with all its lines, and what a diff adds and takes away in two colours', async () => {
      const context = await browser.newContext();
      const page = await context.newPage();
      await page.goto(`http://127.0.0.1:${server.port}${paths.find((path) => path.startsWith('/reviews/'))}`);
      const colours = (await page.evaluate(`['.report .success', '.report .failure', '.report'].map(
        (selector) => getComputedStyle(document.querySelector(selector)).color,
      )`)) as string[];
      const text = (await page.evaluate("document.querySelector('.report').innerText")) as string;
      await context.close();
      expect(new Set(colours).size).toBe(3);
      expect(text).toBe(`${PLAN}\n`);
    }, 60_000);

    it('show what a repository wrote as text', async () => {
      const { text } = await look('/', { viewport: { width: 1280, height: 900 } });
      expect(text).toContain(HOSTILE);
    }, 60_000);
  },
);
