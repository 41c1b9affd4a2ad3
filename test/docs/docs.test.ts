/** What the documentation shows is what the program takes. */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test, vi } from 'vitest';
import { type Config, parseConfig } from '../../src/config.ts';
import { SMALL_CRD } from '../../src/core/crd.fixture.ts';
import { formatFault } from '../../src/core/errors.ts';
import { loadPolicies } from '../../src/core/policy-files.ts';

const schema = vi.hoisted(() => ({ recording: false, keys: new Set<string>() }));
// The schema is not exported, and need not be: each object in it names its keys while a configuration is parsed.
vi.mock('zod', async (original) => {
  const zod = await original<typeof import('zod')>();
  const strictObject: typeof zod.z.strictObject = (shape, params) => {
    if (schema.recording) for (const key of Object.keys(shape)) schema.keys.add(key);
    return zod.z.strictObject(shape, params);
  };
  return { ...zod, z: { ...zod.z, strictObject } };
});

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PAGES = ['README.md', ...globSync('docs/**/*.md', { cwd: ROOT })].sort();
const CONFIG = 'config/modelhook.yaml';

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

/** Every variable is set and every file is there: the examples name those of other machines. */
const anySecret = new Proxy<Record<string, string>>({}, { get: () => 'a secret' });
const parse = (text: string): Config =>
  parseConfig(text, join(ROOT, CONFIG), {
    env: anySecret,
    // The only files that are no secrets are CRDs.
    readFile: () => JSON.stringify(SMALL_CRD),
    readSecret: () => 'a secret',
  });

interface Block {
  /** `page:line`, for the test's name. */
  place: string;
  text: string;
}

/** The fenced YAML blocks of a page. */
function yamlBlocks(page: string): Block[] {
  const text = read(page);
  return [...text.matchAll(/^( *)```yaml\n([\s\S]*?)^\1```$/gm)].map(
    ({ index, 1: indent = '', 2: block = '' }) => ({
      place: `${page}:${text.slice(0, index).split('\n').length}`,
      text: block.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
    }),
  );
}

const blocks = PAGES.flatMap(yamlBlocks);
const policies = blocks.filter(({ text }) => /^kind: DeploymentPolicy$/m.test(text));
const configurations = blocks.filter(({ text }) => text.startsWith('# modelhook.yaml\n'));

/** What a page links to, without what is in code. */
function linksOf(page: string): string[] {
  const prose = read(page)
    .replace(/^( *)```[\s\S]*?^\1```$/gm, '')
    .replace(/`[^`\n]*`/g, '');
  return [...prose.matchAll(/\[[^\]]*\]\(([^)\s]+)\)/g)].map(([, target = '']) => target);
}

/** The anchors of a page's headings, as forges make them. */
const anchorsOf = (page: string): string[] =>
  [...page.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );

describe('config/modelhook.yaml', () => {
  test('is a configuration modelhook accepts', () => {
    expect(Object.keys(parse(read(CONFIG)).forges)).not.toEqual([]);
  });

  test('names every key there is', () => {
    schema.recording = true;
    parse(read(CONFIG));
    schema.recording = false;
    expect(schema.keys).toContain('knownHosts');
    const missing = [...schema.keys].filter((key) => !new RegExp(`\\b${key}:`).test(read(CONFIG)));
    expect(missing).toEqual([]);
  });

  test('is explained key by key in docs/configuration.md', () => {
    schema.recording = true;
    parse(read(CONFIG));
    schema.recording = false;
    const page = read('docs/configuration.md');
    expect([...schema.keys].filter((key) => !new RegExp(`\\b${key}\\b`).test(page))).toEqual([]);
  });
});

describe('the documentation', () => {
  test('shows at least one policy and one configuration', () => {
    expect(policies.map(({ place }) => place)).toContainEqual(expect.stringContaining('README.md'));
    expect(configurations).not.toEqual([]);
  });

  test.each(policies)('shows a policy that validate accepts at $place', ({ place, text }) => {
    const { faults, warnings } = loadPolicies([{ path: place, text }], 'documentation');
    expect([...faults, ...warnings].map(formatFault)).toEqual([]);
  });

  test.each(configurations)('shows a configuration modelhook accepts at $place', ({ text }) => {
    expect(parse(text).policies.repository).toMatch(/:/);
  });

  test.each(PAGES)('%s links only to what exists', (page) => {
    const broken = linksOf(page).filter((link) => {
      if (/^[a-z]+:/.test(link)) return false;
      const [path = '', anchor] = link.split('#');
      const file = path === '' ? join(ROOT, page) : resolve(ROOT, dirname(page), path);
      if (!existsSync(file)) return true;
      return anchor !== undefined && !anchorsOf(readFileSync(file, 'utf8')).includes(anchor);
    });
    expect(broken).toEqual([]);
  });

  test.each(PAGES)('%s names only source files that exist', (page) => {
    const named = read(page).match(/\b(?:src|test|config|docs)\/[\w./-]*[\w/]/g) ?? [];
    expect(named.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });
});
