/** The examples people copy: each command in them makes the files beside it, and nothing is wrong with any. */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const EXAMPLES = join(ROOT, 'config/examples');
const FOLDERS = readdirSync(EXAMPLES, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name)
  .sort();

const SCHEMA = /^# yaml-language-server: \$schema=(\S+)\n/;
const COMMAND = /^# modelhook (render \S.*) > (expected\/[a-z-]+\.yaml)$/gm;

/** Runs the real command line. It rejects where the exit code is not 0. */
const modelhook = (folder: string, args: readonly string[]): Promise<{ stdout: string; stderr: string }> =>
  promisify(execFile)(process.execPath, [join(ROOT, 'bin/modelhook.js'), ...args], {
    cwd: folder,
    env: { ...process.env, NO_COLOR: '1' },
  });

function readExample(name: string) {
  const folder = join(EXAMPLES, name);
  const read = (file: string): string => readFileSync(join(folder, file), 'utf8');
  const policy = read('policy.yaml');
  const commands = [...policy.matchAll(COMMAND)].map(([, command = '', file = '']) => ({
    args: command.split(' '),
    file,
  }));
  return { folder, read, policy, commands };
}

test('there are at least ten examples', () => {
  expect(FOLDERS.length).toBeGreaterThanOrEqual(10);
});

test('the index has a line for each example, in a table', () => {
  const listed = [...readFileSync(join(EXAMPLES, 'README.md'), 'utf8').matchAll(/^\| \[([^\]]+)\]\(\1\//gm)];
  expect(listed.map(([, name]) => name).sort()).toEqual(FOLDERS);
});

test.concurrent('all examples together have no fault', async ({ expect }) => {
  expect((await modelhook(EXAMPLES, ['validate', '.'])).stdout).toBe('');
});

describe.concurrent.each(FOLDERS)('the example %s', (name) => {
  const { folder, read, policy, commands } = readExample(name);

  test('is a policy, a model card and an expected manifest', ({ expect }) => {
    expect(readdirSync(folder).sort()).toEqual(['README.md', 'expected', 'policy.yaml']);
    expect(read('README.md')).toMatch(/^---\nlibrary_name: \S+\npipeline_tag: \S+\nlicense: \S+\n/);
  });

  test('begins with its schema, two to five lines on what it is for, and its command', ({ expect }) => {
    expect(policy).toMatch(
      /^# yaml-language-server: \$schema=\S+\n(?:# (?!modelhook ).+\n){2,5}#\n# modelhook render /,
    );
  });

  test('has a schema at every document of ours, which accepts it', ({ expect }) => {
    const documents = policy
      .split(/^---\n/m)
      .map((text) => ({ text, value: parse(text) }))
      .filter(({ value }) => value.apiVersion.startsWith('modelhook.dev/'));
    for (const { text, value } of documents) {
      // Editors apply such a comment to its own document alone.
      const [, schema = 'no schema'] = SCHEMA.exec(text) ?? [];
      const json = JSON.parse(readFileSync(resolve(folder, schema), 'utf8'));
      expect(json.title).toBe(value.kind);
      expect(z.fromJSONSchema(json).safeParse(value).error).toBeUndefined();
    }
    expect(documents).not.toEqual([]);
  });

  test('has a command for every expected file', ({ expect }) => {
    const files = readdirSync(join(folder, 'expected')).map((file) => `expected/${file}`);
    expect(files).toContain('expected/inference-service.yaml');
    expect(commands.map(({ file }) => file).sort()).toEqual(files.sort());
  });

  test('expects what its commands print, without a warning', async ({ expect }) => {
    const stderr = 'note: no bounds applied; they are in modelhook.yaml, which --config gives\n';
    for (const { args, file } of commands)
      expect(await modelhook(folder, args)).toEqual({ stdout: read(file), stderr });
  });

  test('renders for KServe 0.15 too, with its names of the deployment modes', async ({ expect }) => {
    const [{ args } = { args: [] }] = commands;
    const { stdout } = await modelhook(folder, [...args, '--kserve', '0.15']);
    expect(stdout).toMatch(/^ {4}serving\.kserve\.io\/deploymentMode: (?:RawDeployment|Serverless)$/m);
    expect(stdout).not.toMatch(/deploymentMode: (?:Standard|Knative)$/m);
  });

  test('has no fault', async ({ expect }) => {
    expect((await modelhook(folder, ['validate', '.'])).stdout).toBe('');
  });
});
