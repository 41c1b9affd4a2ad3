import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { policyText, runtimeText } from '../core/policy.fixture.ts';
import { run } from './program.fixture.ts';

const SHA = '8d3ba2f4c1a97e60b5d8f2c3a4e5061728394a5b';
const NO_BOUNDS = 'note: no bounds applied; they are in modelhook.yaml, which --config gives\n';
let directory: string;
let file: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'modelhook-'));
  file = join(directory, 'policies.yaml');
});
afterEach(() => rm(directory, { recursive: true }));

const write = (...policies: string[]): Promise<void> => writeFile(file, policies.join('\n---\n'));
const event = ['--repository', 'plain:ml/iris', '--ref', 'refs/tags/v1.0.0-rc1', '--sha', SHA];
const plan = (...argv: string[]) => run('plan', '--policies', directory, ...event, ...argv);

const PRODUCTION = policyText({ modelFormat: { name: 'sklearn' } }, 'production');
const EXCLUDED = policyText(
  { match: { repositories: ['plain:ml/*'], tags: ['v*', '!v*-rc*'] }, target: { namespace: 'final' } },
  'no-rc',
);
const ELSEWHERE = policyText({ match: { repositories: ['plain:nlp/*'], tags: ['v*'] } }, 'nlp');
/** Needs a model card. */
const NEEDY = policyText({ target: { namespace: 'staging' } }, 'staging');

const documentsOf = (text: string): unknown[] =>
  parseAllDocuments(text).map((document) => {
    expect(document.errors).toEqual([]);
    return document.toJS();
  });

describe('the text', () => {
  it('explains what matches before its manifest, and then what does not match', async () => {
    await write(PRODUCTION, EXCLUDED, ELSEWHERE);
    expect(await plan()).toEqual({
      code: 0,
      err: NO_BOUNDS,
      out: `# refs/tags/v1.0.0-rc1 of plain:ml/iris at ${SHA}
# policies that match: 1 of 3
#   production  default/vision/iris, committed to fleet as default/vision/iris.yaml

# policy production (${file}:1:85)
#   repository plain:ml/iris matches plain:ml/**, tag v1.0.0-rc1 matches v*
#   target default/vision/iris, from \${repository.name}
#   environment production, the policy's name
#   runtime mlserver, named by the policy
#   model format sklearn, from the policy
#   protocol v2, the default
#   storage s3://models/ml/iris/${SHA}, from the policy
#   requests cpu 1 (default), memory 4Gi (default)
#   limits cpu 4 (default), memory 16Gi (default), ephemeral-storage 10Gi (default)
#   no GPU
#   replicas 1 to 1, the default
#   deployment mode Standard, as replicas are 1 to 1, for a KServe whose version is not known
#   committed to fleet as default/vision/iris.yaml, the default
#   warning: runtime mlserver was not checked: there is neither a cluster to read nor a runtime catalogue
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: iris
  namespace: vision
  labels:
    app.kubernetes.io/managed-by: modelhook
  annotations:
    modelhook.dev/repository: plain:ml/iris
    serving.kserve.io/deploymentMode: Standard
spec:
  predictor:
    annotations:
      modelhook.dev/revision: v1.0.0-rc1
      modelhook.dev/sha: "${SHA}"
      modelhook.dev/spec-hash: "9c5b6e21747b2f3d"
    minReplicas: 1
    maxReplicas: 1
    model:
      modelFormat:
        name: sklearn
      runtime: mlserver
      protocolVersion: v2
      storageUri: s3://models/ml/iris/${SHA}
      resources:
        requests:
          cpu: "1"
          memory: 4Gi
        limits:
          cpu: "4"
          ephemeral-storage: 10Gi
          memory: 16Gi

# policies that do not match: 2 of 3
#   no-rc (${file}:3:85): tag v1.0.0-rc1 is excluded by !v*-rc*
#   nlp (${file}:5:85): repository plain:ml/iris matches none of plain:nlp/*
`,
    });
  });

  it('is YAML whose documents are those of render, also between policies that cannot be planned', async () => {
    const second = policyText({ target: { namespace: 'b' }, modelFormat: { name: 'sklearn' } }, 'b');
    const needy = (name: string) => policyText({ target: { namespace: name } }, name);
    await write(PRODUCTION, second, needy('a'), needy('c'), needy('z'), ELSEWHERE);
    const planned = await plan();
    const rendered = await run('render', '--policies', directory, ...event);
    expect(documentsOf(planned.out)).toEqual(documentsOf(rendered.out));
    expect(documentsOf(planned.out)).toHaveLength(2);
    expect([planned.code, rendered.code]).toEqual([1, 1]);
  });

  it('says first of a policy that matches and cannot be planned what is wrong', async () => {
    await write(NEEDY, ELSEWHERE);
    const { code, out, err } = await plan();
    expect(code).toBe(1);
    expect(out.split('\n').slice(2, 7)).toEqual([
      '#   staging  FAILS: there is no model card',
      '',
      `# policy staging (${file}:1:85)`,
      '#   repository plain:ml/iris matches plain:ml/**, tag v1.0.0-rc1 matches v*',
      '#   fails: there is no model card; give one with --model-card',
    ]);
    expect(err).toBe(`${NO_BOUNDS}policy staging: there is no model card; give one with --model-card\n`);
  });

  it('says that a policy is suspended where it says what it deploys', async () => {
    await write(policyText({ modelFormat: { name: 'sklearn' }, suspend: true }));
    const { code, out } = await plan();
    expect(code).toBe(0);
    expect(out).toContain('default/vision/iris.yaml; suspended, so it waits\n');
    expect(out).toContain('#   note: suspended, so its rollouts wait\n');
  });

  it('gives all reasons where no policy matches', async () => {
    await write(ELSEWHERE, EXCLUDED);
    expect(await plan()).toEqual({
      code: 1,
      err: `${NO_BOUNDS}no policy matches refs/tags/v1.0.0-rc1 of plain:ml/iris\n`,
      out: `# refs/tags/v1.0.0-rc1 of plain:ml/iris at ${SHA}
# policies that match: 0 of 2

# policies that do not match: 2 of 2
#   no-rc (${file}:3:85): tag v1.0.0-rc1 is excluded by !v*-rc*
#   nlp (${file}:1:85): repository plain:ml/iris matches none of plain:nlp/*
`,
    });
  });

  it('counts what is far from matching where there is much of it, and lists it when asked to', async () => {
    const others = Array.from({ length: 1200 }, (_, at) =>
      policyText({ match: { repositories: [`plain:other/${at}`], tags: ['v*'] } }, `other-${at}`),
    );
    await write(...others, EXCLUDED);
    const few = await plan();
    expect(few.out.split('\n').slice(4)).toEqual([
      expect.stringMatching(/^# {3}no-rc /),
      '#   1,200 have no pattern for repository plain:ml/iris (plan --all lists them, --policy NAME asks about one)',
      '',
    ]);
    const all = (await plan('--all')).out.split('\n').slice(4, -1);
    expect(all).toHaveLength(1201);
    expect(all[0]).toMatch(/^# {3}no-rc /);
    expect((await plan('--output', 'json')).out.match(/"reason"/g)).toHaveLength(1201);
  });

  it('counts what has the repository and not the ref where there is much of it', async () => {
    const others = Array.from({ length: 23 }, (_, at) =>
      policyText({ match: { repositories: ['plain:ml/*'], tags: [`x${at}`] } }, `other-${at}`),
    );
    await write(...others);
    const lines = (await plan()).out.trimEnd().split('\n');
    expect(lines.filter((line) => line.includes('tag v1.0.0-rc1 matches none of x'))).toHaveLength(20);
    expect(lines.at(-1)).toMatch(/^# {3}3 more include the repository \(plan --all/);
  });

  it('keeps what a model card says within a comment', async () => {
    const card = join(directory, 'README.md');
    await writeFile(card, '---\nlibrary_name: "a # b: - c"\n---\n');
    await write(NEEDY, PRODUCTION);
    const { out } = await plan('--model-card', card);
    const [document, ...others] = documentsOf(out);
    expect(others).toHaveLength(1);
    expect(document).toMatchObject({ kind: 'InferenceService' });
    const comments = out.split('\n').filter((line) => line.startsWith('#'));
    expect(comments.join('\n')).toContain('model format a # b: - c, from library_name');
  });
});

describe('one document for programs', () => {
  it('says everything', async () => {
    await write(PRODUCTION, EXCLUDED, NEEDY, ELSEWHERE);
    const { code, out } = await plan('--output', 'json', '--project-id', '42');
    const rendered = await run('render', '--policies', directory, ...event, '--output', 'json');
    expect(code).toBe(1);
    const source = (line: number) => ({ file, line, column: 85 });
    expect(JSON.parse(out)).toEqual({
      event: { repository: 'plain:ml/iris', projectId: '42', ref: 'refs/tags/v1.0.0-rc1', sha: SHA },
      matching: [
        {
          policy: 'production',
          source: source(1),
          reason: 'repository plain:ml/iris matches plain:ml/**, tag v1.0.0-rc1 matches v*',
          suspended: false,
          target: { cluster: 'default', namespace: 'vision', name: 'iris' },
          delivery: { gitops: 'fleet', path: 'default/vision/iris.yaml' },
          decisions: expect.arrayContaining(['runtime mlserver, named by the policy']),
          warnings: [expect.stringContaining('was not checked')],
          manifest: JSON.parse(rendered.out),
        },
        {
          policy: 'staging',
          source: source(5),
          reason: expect.any(String),
          suspended: false,
          error: { reason: 'there is no model card', fix: 'give one with --model-card' },
        },
      ],
      other: [
        { policy: 'nlp', source: source(7), reason: expect.stringContaining('matches none of') },
        { policy: 'no-rc', source: source(3), reason: expect.stringContaining('is excluded by') },
      ],
    });
  });

  it('says how far it comes with what KServe would refuse', async () => {
    const containers = [{ name: 'kserve-container', env: [{ nam: 'A' }] }];
    const runtime = runtimeText('mlserver', { containers, protocolVersions: ['v2'] });
    const spec = { conventions: 'alauda', delivery: { apply: true }, modelFormat: { name: 'sklearn' } };
    await write(policyText(spec), runtime);
    const card = join(directory, 'README.md');
    await writeFile(card, '---\npipeline_tag: tabular-classification\n---\n');
    const { code, out, err } = await plan('--model-card', card, '--output', 'json');
    expect(code).toBe(1);
    expect(err).toMatch(/^note: .*\npolicy production: .*model\.env\[0\]\.nam: unknown field/);
    const [refused] = JSON.parse(out).matching;
    expect(refused).toMatchObject({
      delivery: { apply: true },
      decisions: expect.arrayContaining(['applied to cluster default']),
      error: { reason: expect.stringContaining('did you mean "name"?'), fix: expect.any(String) },
    });
    expect(refused).not.toHaveProperty('manifest');
    const planned = await plan('--model-card', card);
    expect(planned.out).toContain('#   applied to cluster default\n');
    expect(documentsOf(planned.out).filter((document) => document !== null)).toEqual([]);
  });

  it('is the same as YAML, and the same every time', async () => {
    await write(PRODUCTION, NEEDY);
    const { out } = await plan('--output', 'yaml');
    expect(parse(out)).toEqual(JSON.parse((await plan('--output', 'json')).out));
    expect((await plan('--output', 'yaml')).out).toBe(out);
    expect((await plan()).out).toBe((await plan()).out);
  });
});

describe('what was asked about', () => {
  it('is one policy where it is named', async () => {
    await write(PRODUCTION, EXCLUDED, ELSEWHERE);
    expect((await plan('--policy', 'nlp')).out).toContain('policies that do not match: 1 of 1\n#   nlp (');
    expect(await plan('--policy', 'prodution')).toEqual({
      code: 1,
      out: '',
      err: `${NO_BOUNDS}there is no policy "prodution"; did you mean "production"?\n`,
    });
  });

  it('is nothing where no file holds a policy', async () => {
    await writeFile(join(directory, 'policy.yml'), PRODUCTION);
    expect(await plan()).toEqual({
      code: 1,
      out: '',
      err: `${NO_BOUNDS}${directory} holds no policy; policies are in files whose names end in .yaml\n`,
    });
  });

  it('is one file where that is given in place of a directory', async () => {
    await write(PRODUCTION);
    await writeFile(join(directory, 'bad.yaml'), policyText({ nope: 1 }, 'bad'));
    expect((await plan()).err).toContain('unknown field "nope"');
    expect((await run('plan', '--policies', file, ...event)).code).toBe(0);
  });

  it.each([
    ['--sha', SHA.slice(0, 12), 'a whole commit id'],
    ['--sha', SHA.toUpperCase(), 'in lower case'],
    ['--ref', 'v1.0.0', 'a full name'],
    ['--ref', 'refs/tags/', 'no ref'],
    ['--ref', 'refs/tags/v1\nkind: Secret', 'no ref'],
    ['--repository', 'ml/iris', '<forge name>:<path>'],
    ['--repository', 'plain:../iris', 'no repository'],
    ['--repository', 'plain:ml/iris.git', 'leave it out'],
    ['--project-id', 'iris', 'a number'],
    ['--kserve', 'latest', 'a version'],
    ['--output', 'xml', 'text, json, yaml'],
  ])('is refused as wrong usage with %s %j', async (option, value, said) => {
    await write(PRODUCTION);
    const { code, out, err } = await plan(option, value);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain(said);
  });

  it('is wrong usage without the ref', async () => {
    const { code, err } = await run('plan', '--policies', directory, '--repository', 'a:b', '--sha', SHA);
    expect(code).toBe(2);
    expect(err).toContain("required option '--ref <ref>' not specified");
  });
});

it.each(['validate', 'render', 'plan'])('%s has a help with an example and its exit codes', async (name) => {
  const { code, out, err } = await run(name, '--help');
  expect([code, err]).toEqual([0, '']);
  expect(out).toMatch(/Exit codes: 0 .*, 1 .*,\s2 wrong usage/s);
  expect(out).toMatch(new RegExp(`Examples?:\n  modelhook ${name} `));
});
