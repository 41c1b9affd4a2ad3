/** What the documentation shows is what the program takes. */
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, globSync, mkdirSync, mkdtempDisposableSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test, vi } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { type Config, parseConfig } from '../../src/config.ts';
import { SMALL_CRD } from '../../src/core/crd.fixture.ts';
import { formatFault } from '../../src/core/errors.ts';
import { type JsonObject, mergeJson } from '../../src/core/json.ts';
import { loadPolicies } from '../../src/core/policy-files.ts';
import { storageUriFault, storageUriWarning } from '../../src/core/storage-uri.ts';

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
  language: string;
  text: string;
  /** Where the page says to save it. */
  file: string | null;
}

/** A fenced block, and the end of the sentence before it where that names a file. */
const BLOCK = /(?:as\s+`([^`\n]+)`:\n\n)?^( *)```(\w*)\n([\s\S]*?)^\2```$/gm;

function blocksOf(page: string): Block[] {
  const text = read(page);
  return [...text.matchAll(BLOCK)].map(
    ({ index, 0: all, 1: file = null, 2: indent = '', 3: language = '', 4: block = '' }) => ({
      place: `${page}:${text.slice(0, index + all.indexOf('```')).split('\n').length}`,
      language,
      text: block.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
      file,
    }),
  );
}

const blocks = PAGES.flatMap(blocksOf).filter(({ language }) => language === 'yaml');
const OUR_KINDS = /^kind: (?:DeploymentPolicy|GpuProfile|ServingRuntime|ClusterServingRuntime)$/m;
const policies = blocks.filter(({ text }) => OUR_KINDS.test(text));
/** Parts of a policy, which need the rest of one. */
const parts = blocks.filter(({ text }) => text.startsWith('spec:\n'));
const configurations = blocks.filter(({ text }) => text.startsWith('# modelhook.yaml\n'));

/** What a part of a policy is added to. */
const REST = {
  apiVersion: 'modelhook.dev/v1alpha1',
  kind: 'DeploymentPolicy',
  metadata: { name: 'example' },
  spec: {
    match: { repositories: ['plain:ml/*'], tags: ['v*'] },
    target: { namespace: 'models' },
    storage: { uri: 's3://models/iris' },
    delivery: { gitops: 'fleet' },
  },
};

/** What is applied to a cluster goes to no GitOps repository. */
const restOf = (part: { spec: { delivery?: { apply?: boolean } } }): JsonObject =>
  part.spec.delivery?.apply ? { ...REST, spec: { ...REST.spec, delivery: {} } } : REST;

/** What is wrong or doubtful. That conventions: alauda is for Alauda AI is said of every policy that has it. */
function findingsOf(path: string, text: string): string[] {
  const { faults, warnings } = loadPolicies([{ path, text }], 'documentation');
  return [...faults, ...warnings]
    .map(formatFault)
    .filter((one) => !one.includes('alauda is for the KServe of'));
}

/** Runs what a page shows at a `$`, in a folder with the files that the page has had saved by then. */
function runCommands(page: string): { shown: string; printed: string }[] {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'modelhook-docs-'));
  return blocksOf(page).flatMap(({ place, text, file }) => {
    if (file !== null) {
      mkdirSync(dirname(join(folder.path, file)), { recursive: true });
      writeFileSync(join(folder.path, file), text);
    }
    return [...text.matchAll(/^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)/gm)].map(
      ([, command = '', shown = '']) => ({
        shown: `${place}\n${shown}`,
        printed: `${place}\n${run(command, folder.path)}`,
      }),
    );
  });
}

/** @returns what is printed on both streams; a command that fails is none of the test's business */
const run = (command: string, cwd: string): string =>
  execFileSync('sh', ['-c', `modelhook() { "$NODE" "$BIN" "$@"; }\n{ ${command}\n} 2>&1 || true`], {
    cwd,
    encoding: 'utf8',
    env: { ...process.env, NODE: process.execPath, BIN: join(ROOT, 'bin/modelhook.js'), NO_COLOR: '1' },
  });

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

  test.each(policies)('shows what validate accepts at $place', ({ place, text }) => {
    expect(findingsOf(place, text)).toEqual([]);
  });

  test.each(parts)('shows a part of a policy that validate accepts at $place', ({ place, text }) => {
    const [part, ...others] = parseAllDocuments(text).map((document) => document.toJS());
    expect(others).toEqual([]);
    expect(findingsOf(place, JSON.stringify(mergeJson(restOf(part), part)))).toEqual([]);
  });

  test.each(blocks)('shows YAML at $place', ({ text }) => {
    expect(parseAllDocuments(text).flatMap(({ errors }) => errors)).toEqual([]);
  });

  test.each(['docs/from-tekton.md', 'docs/policies.md', 'docs/reviewing-policies.md'])(
    '%s shows what its commands print',
    (page) => {
      const commands = runCommands(page);
      expect(commands).not.toEqual([]);
      for (const { shown, printed } of commands) expect(printed).toBe(shown);
    },
  );

  test('shows a CI job that compares what is deployed', async () => {
    const page = 'docs/reviewing-policies.md';
    using folder = mkdtempDisposableSync(join(tmpdir(), 'modelhook-docs-'));
    const clone = join(folder.path, 'model-policies');
    run('git init --quiet model-policies', folder.path);
    for (const { file, text } of blocksOf(page)) {
      if (file === null) continue;
      mkdirSync(dirname(join(folder.path, file)), { recursive: true });
      writeFileSync(join(folder.path, file), text);
    }
    const commit = 'git -c user.name=Ada -c user.email=ada@example.com commit --quiet --message Serve';
    run(`git add . && ${commit} && git update-ref refs/remotes/origin/main HEAD`, clone);
    const MODELHOOK_CONFIG = join(folder.path, 'modelhook.yaml');
    const configuration = configurations.find(({ place }) => place.startsWith(page));
    writeFileSync(MODELHOOK_CONFIG, configuration?.text ?? '');
    const asked: (string | undefined)[] = [];
    const server = createServer(({ url }, response) => {
      asked.push(url);
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ deployed: [], catalogues: {}, refs: [] }));
    });
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    const { port } = server.address() as AddressInfo;
    const jobs = blocksOf(page).filter(({ text }) => text.startsWith('policies:\n  image:'));
    const script = jobs.flatMap(({ text }) => parseAllDocuments(text)[0]?.toJS().policies.script);
    const command = script.join('\n').replaceAll('/app', ROOT.replace(/\/$/, ''));
    const env = { ...process.env, MODELHOOK_SERVER: `http://127.0.0.1:${port}`, MODELHOOK_CONFIG };
    const ran = await promisify(execFile)('sh', ['-ec', command], { cwd: clone, env }).finally(() =>
      server.close(),
    );
    expect(ran).toEqual({ stdout: '1 policy, nothing deployed changes\n', stderr: '' });
    expect(asked).toEqual(['/api/v1/deployed']);
  });

  test('shows addresses KServe takes', () => {
    const addresses = [...read('docs/policies.md').matchAll(/^\| `(\w[^`]*:[^`]+)` \|/gm)].map(
      ([, uri = '']) => uri,
    );
    expect(addresses).toContainEqual(expect.stringMatching(/^oci:/));
    expect(addresses.filter((uri) => (storageUriFault(uri) ?? storageUriWarning(uri)) !== null)).toEqual([]);
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
