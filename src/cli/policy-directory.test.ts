import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { policyText, runtimeText } from '../core/policy.fixture.ts';
import { run } from './program.fixture.ts';

const SHA = 'a'.repeat(40);
const NO_BOUNDS = 'note: no bounds applied; they are in modelhook.yaml, which --config gives\n';
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'modelhook-'));
  await mkdir(join(directory, 'deep'));
  await writeFile(join(directory, 'deep', 'runtime.yaml'), runtimeText('mlserver'));
});

afterEach(async () => {
  await rm(directory, { recursive: true });
});

const write = (name: string, text: string | Uint8Array): Promise<void> =>
  writeFile(join(directory, name), text);

describe('validate', () => {
  const validate = (...argv: string[]) => run('validate', directory, ...argv);

  it('says on standard error that all is well', async () => {
    await write('policy.yaml', policyText());
    expect(await validate()).toEqual({
      code: 0,
      out: '',
      err: `${NO_BOUNDS}1 policy, 0 GPU profiles, 1 runtime: no faults\n`,
    });
  });

  it('writes faults to standard output, notes and warnings to standard error', async () => {
    await write('policy.yaml', policyText({ replicas: { min: 2, max: 1 }, runtime: { name: 'mlservr' } }));
    await write('other.yaml', 'kind: ConfigMap\n');
    const { code, out, err } = await validate();
    expect(code).toBe(1);
    expect(out).toMatch(/policy\.yaml:1:\d+: spec\.replicas: min 2 is more than max 1\n$/);
    expect(err).toMatch(/other\.yaml:1:1: note: skipped: kind ConfigMap/);
    expect(err).toMatch(/warning: spec\.runtime\.name: .*did you mean "mlserver"\?/);
  });

  it('says of a file that only looks like a policy that it is not read', async () => {
    await write('policy.yaml', policyText());
    await write('second.yml', policyText({ nope: 1 }));
    const { code, err } = await validate();
    expect(code).toBe(0);
    expect(err).toMatch(/second\.yml:1:1: note: the controller does not read this file: .* end in \.yaml/);
  });

  it('needs no secret to check names against modelhook.yaml', async () => {
    await write('policy.yaml', policyText({ delivery: { gitops: 'fleat' } }));
    const config = join(directory, 'modelhook.yml');
    await writeFile(
      config,
      'forges: { plain: { kind: git, url: /srv/git, webhookSecrets: [{ env: NOT_SET_ANYWHERE }] } }\n' +
        'policies: { repository: plain:a/b }\ngitops: { fleet: { repository: plain:a/c } }\n',
    );
    const { code, out } = await validate('--config', config);
    expect(code).toBe(1);
    expect(out).toContain('fleat');
  });

  it('writes one JSON document for editors and CI', async () => {
    await write('policy.yaml', policyText({ nope: 1 }));
    const { code, out } = await validate('--output', 'json');
    expect(code).toBe(1);
    expect(JSON.parse(out)).toEqual({
      faults: [
        {
          file: join(directory, 'policy.yaml'),
          line: 1,
          column: expect.any(Number),
          message: expect.any(String),
        },
      ],
      warnings: [],
      notes: [],
    });
  });

  it('refuses a file that is too large, is no text or is no UTF-8, and goes on', async () => {
    await write('large.yaml', 'x'.repeat(3 * 1024 * 1024));
    await write('latin1.yaml', new Uint8Array([0x61, 0xff]));
    await write('nul.yaml', 'a\0');
    const { out } = await validate();
    expect(out.split('\n').map((line) => line.split('/').at(-1))).toEqual([
      expect.stringContaining('large.yaml:1:1: the file is larger than 1 MiB'),
      expect.stringContaining('latin1.yaml:1:1: the file is not UTF-8'),
      expect.stringContaining('nul.yaml:1:2: the file holds a NUL byte'),
      '',
    ]);
  });

  it('tells one fault of a file that is too large, wherever its characters end', async () => {
    for (const start of ['', 'x', 'xx']) {
      await write('large.yaml', start + '\u20ac'.repeat(400_000));
      const { out, err } = await validate();
      expect(out).toBe(
        `${join(directory, 'large.yaml')}:1:1: the file is larger than 1 MiB; split it into several files\n`,
      );
      expect(err).toBe(`${NO_BOUNDS}1 fault\n`);
    }
  });

  it('counts the faults it shows', async () => {
    await write('a.yaml', policyText({ nope: 1, replicas: { min: 2, max: 1 } }));
    await write('b.yaml', 'a: b: c\n');
    const { out, err } = await validate();
    expect(err).toBe(`${NO_BOUNDS}${out.match(/\n/g)?.length} faults\n`);
  });

  it('reads one file, whatever its name is', async () => {
    await write('policy.yaml', policyText());
    await write('second.yml', policyText({ nope: 1 }));
    const one = await run('validate', join(directory, 'policy.yaml'));
    expect(one).toEqual({
      code: 0,
      out: '',
      err: `${NO_BOUNDS}1 policy, 0 GPU profiles, 0 runtimes: no faults\n`,
    });
    const second = await run('validate', join(directory, 'second.yml'));
    expect(second.code).toBe(1);
    expect(second.out).toMatch(/second\.yml:1:\d+: unknown field "nope"/);
    expect(second.err).toMatch(/second\.yml:1:1: note: the controller does not read this file/);
  });

  it('names files as the directory was given', async () => {
    await write('two  spaces.yaml', policyText({ nope: 1 }));
    const { out } = await run('validate', relative('', directory));
    expect(out).toMatch(new RegExp(`^${relative('', directory)}/two {2}spaces\\.yaml:1:`));
  });

  it('leaves the terminal alone, whatever a policy holds', async () => {
    await write('policy.yaml', policyText({ 'a\u202e\u009b2J\nb': 1 }));
    const { out } = await validate();
    expect(out).toContain('unknown field');
    expect(out).not.toMatch(/[\u009b\u202e]|\n./);
  });

  it('follows no symbolic link', async () => {
    await symlink('/etc', join(directory, 'etc'));
    await symlink(join(directory, 'nowhere'), join(directory, 'broken.yaml'));
    expect((await validate()).code).toBe(0);
  });

  it('ends with 2 where the directory cannot be read', async () => {
    const { code, out, err } = await run('validate', join(directory, 'missing'));
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain('cannot be read');
  });
});

describe('render', () => {
  const render = (...argv: string[]) =>
    run(
      'render',
      ...['--policies', directory, '--repository', 'plain:ml/iris', '--ref', 'refs/tags/v1', '--sha', SHA],
      ...argv,
    );

  const card = async (): Promise<string> => {
    await write('README.md', '---\nlibrary_name: sklearn\n---\n');
    return join(directory, 'README.md');
  };

  it('prints one manifest for each matching policy', async () => {
    await write(
      'a.yaml',
      `${policyText({}, 'a')}\n---\n${policyText({ target: { namespace: 'two' } }, 'b')}`,
    );
    const { code, out } = await render('--model-card', await card());
    expect(code).toBe(0);
    expect(out.split('---\n').map((text) => /namespace: (.*)/.exec(text)?.[1])).toEqual(['vision', 'two']);
    const one = await render(
      '--model-card',
      await card(),
      '--policy',
      'b',
      '--kserve',
      '0.15',
      '--output',
      'json',
    );
    expect(JSON.parse(one.out).metadata).toMatchObject({
      namespace: 'two',
      annotations: { 'serving.kserve.io/deploymentMode': 'RawDeployment' },
    });
  });

  it('says of each policy why it does not match', async () => {
    await write('a.yaml', policyText({ match: { repositories: ['plain:nlp/*'], tags: ['*'] } }));
    const { code, out, err } = await render();
    expect([code, out]).toEqual([1, '']);
    expect(err).toBe(
      `${NO_BOUNDS}no policy matches refs/tags/v1 of plain:ml/iris\n  production (${join(directory, 'a.yaml')}:1:85): repository plain:ml/iris matches none of plain:nlp/*\n`,
    );
  });

  it('says what is missing, and prints what can be rendered', async () => {
    await write(
      'a.yaml',
      `${policyText({}, 'a')}\n---\n${policyText({ target: { namespace: 'two' }, modelFormat: { name: 'sklearn' } }, 'b')}`,
    );
    const { code, out, err } = await render();
    expect(code).toBe(1);
    expect(out).toContain('namespace: two');
    expect(err).toBe(`${NO_BOUNDS}policy a: there is no model card; give one with --model-card\n`);
  });

  it('says which policy was probably meant', async () => {
    await write('a.yaml', policyText());
    expect((await render('--policy', 'prodution')).err).toContain('did you mean "production"?');
  });

  it('shows the faults of the policies', async () => {
    await write('a.yaml', policyText({ nope: 1 }));
    const { code, err } = await render();
    expect(code).toBe(1);
    expect(err).toContain('unknown field "nope"');
  });

  it('ends with 2 where a file cannot be read', async () => {
    await write('a.yaml', policyText());
    expect((await render('--model-card', join(directory, 'missing'))).code).toBe(2);
    expect(
      (
        await run(
          'render',
          '--policies',
          join(directory, 'missing'),
          '--repository',
          'a:b',
          '--ref',
          'refs/tags/v1',
          '--sha',
          SHA,
        )
      ).code,
    ).toBe(2);
  });
});

describe('bounds', () => {
  const CONFIG = `forges: { plain: { kind: git, url: /srv/git } }
gitops: { fleet: { repository: plain:a/c } }
policies:
  repository: plain:a/b
  bounds:
    - { directory: "", namespaces: [other] }
    - { directory: policies, namespaces: [other], maxReplicas: 2 }
    - { directory: policies/team, namespaces: [vision], runtimes: [triton] }
`;
  const validate = (path: string) => run('validate', path, '--config', join(directory, 'modelhook.yml'));
  const outside = (what: string) => expect.stringContaining(`is outside what modelhook.yaml allows ${what}`);

  beforeEach(async () => {
    await write('modelhook.yml', CONFIG);
    await mkdir(join(directory, 'policies', 'team'), { recursive: true });
    await write('policies/team/a.yaml', policyText());
  });

  it.each([
    ['', 'policies in policies/team'],
    ['policies', 'policies in policies/team'],
    ['policies/team', 'policies in policies/team'],
    ['policies/team/a.yaml', 'policies in policies/team'],
  ])('in a work tree of Git go by the place in it, also where only "%s" is checked', async (part, whose) => {
    await mkdir(join(directory, '.git'));
    const { code, out, err } = await validate(join(directory, part));
    expect([code, out]).toEqual([1, outside(`${whose}: "triton"`)]);
    expect(err).not.toContain('bounds');
  });

  it('outside of Git, or of policies.directory, go by the place in what is checked', async () => {
    expect((await validate(join(directory, 'policies'))).out).toEqual(outside('policies in policies/team:'));
    expect((await validate(join(directory, 'policies/team'))).out).toEqual(
      outside('policies in policies: "other"'),
    );
    await mkdir(join(directory, '.git'));
    await write('deep/a.yaml', policyText());
    expect((await validate(join(directory, 'deep'))).out).toEqual(outside('policies in policies: "other"'));
  });

  it.each(['render', 'plan'])('are applied by %s with --config', async (command) => {
    const ran = (...argv: string[]) =>
      run(
        command,
        ...['--policies', join(directory, 'policies')],
        ...['--repository', 'plain:ml/iris', '--ref', 'refs/tags/v1', '--sha', SHA],
        ...argv,
      );
    expect(await ran('--config', join(directory, 'modelhook.yml'))).toMatchObject({
      code: 1,
      err: outside('policies in policies/team'),
    });
    expect((await ran()).err).toContain(NO_BOUNDS);
  });
});
