import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { parse, stringify } from 'yaml';
import { type DemoSite, makeDemoSite } from './demo-site.ts';
import { run } from './program.fixture.ts';

const TAG = 'refs/tags/v0.9.0';
let site: DemoSite;

beforeAll(() => {
  site = makeDemoSite(0);
});
afterAll(() => rmSync(site.root, { recursive: true, force: true }));

const deploy = (...words: string[]) => run('deploy', 'plain:ml/iris', ...words);
const withConfig = (...words: string[]) => deploy(TAG, '--config', site.configFile, ...words);
const fleet = (...words: string[]) => site.git(site.fleetRepository, ...words);

/** The same site, whose policy has other words in it. */
function policiesWith(...changes: [from: string, to: string][]): string {
  const folder = mkdtempSync(join(site.root, 'policies-'));
  const policies = join(site.policiesTree, 'policies');
  for (const file of readdirSync(policies)) {
    const text = readFileSync(join(policies, file), 'utf8');
    writeFileSync(
      join(folder, file),
      changes.reduce((all, [from, to]) => all.replaceAll(from, to), text),
    );
  }
  return folder;
}

describe('a deployment to a GitOps repository', () => {
  it('tells each step on standard error and the result on standard output, and the commit is there', async () => {
    const { code, out, err } = await withConfig();
    expect(out).toMatch(/^models-production {2}delivered {2}Committed [0-9a-f]{7} to fleet\n$/);
    expect(err).toMatch(/models-production {2}pending .*Queued for production\n.*delivered .*Committed/);
    expect(code).toBe(0);
    const message = fleet('log', '-1', '--format=%B', 'main');
    const sha = site.git(site.modelTree, 'rev-parse', 'v0.9.0').trim();
    expect(message).toContain('deploy iris v0.9.0 to production');
    expect(message).toContain(`Somebody asked for ${TAG} of plain:ml/iris at ${sha.slice(0, 7)}.`);
    expect(message).toContain(`Modelhook-Commit: ${sha}`);
  });

  it('of what is there already changes nothing, and is done', async () => {
    await withConfig();
    const before = fleet('rev-parse', 'main');
    const { code, out } = await withConfig('--output', 'json');
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject([
      {
        policy: 'models-production',
        environment: 'production',
        target: 'default/models/iris',
        phase: 'delivered',
        message: 'Unchanged in fleet: default/models/iris.yaml is already so',
        manifest: expect.stringContaining('kind: InferenceService'),
      },
    ]);
    expect(fleet('rev-parse', 'main')).toBe(before);
  });

  it('writes no status, for nobody could follow its link', async () => {
    await withConfig();
    expect(site.git(site.modelRepository, 'for-each-ref', 'refs/notes')).toBe('');
  });

  it('of a model card asks no forge, and is of the commit that is given', async () => {
    const card = join(site.root, 'CARD.md');
    writeFileSync(card, '---\nlibrary_name: pmml\n---\n');
    const sha = 'e'.repeat(40);
    const given = ['--model-card', card, '--sha', sha, '--config', site.configFile];
    const { code, err } = await run(
      'deploy',
      'elsewhere:ml/rose',
      TAG,
      ...given,
      '--policies',
      policiesWith(['plain:', 'elsewhere:']),
    );
    expect({ code, err }).toMatchObject({ code: 0 });
    expect(fleet('show', 'main:default/models/rose.yaml')).toContain(sha);
  });

  it('that fails ends with 1, and says why', async () => {
    const broken = policiesWith(['name: kserve-pmmlserver', 'name: kserve-pmmlservr']);
    const catalogue = readFileSync(join(broken, 'runtimes.yaml'), 'utf8');
    writeFileSync(join(broken, 'runtimes.yaml'), catalogue.replace('kserve-pmmlservr', 'kserve-pmmlserver'));
    const { code, out } = await withConfig('--policies', broken);
    expect(code).toBe(1);
    expect(out).toMatch(/^models-production {2}failed {2}.*kserve-pmmlservr/);
  });

  it('that waits for what is out of reach ends at Ctrl-C, with its state', async () => {
    const config = parse(readFileSync(site.configFile, 'utf8'));
    config.gitops.fleet.repository = 'plain:platform/none';
    const file = join(site.root, 'out-of-reach.yaml');
    writeFileSync(file, stringify(config));
    const before = process.listenerCount('SIGINT');
    const running = deploy(TAG, '--config', file);
    await vi.waitUntil(() => process.listenerCount('SIGINT') > before, { timeout: 10_000 });
    process.emit('SIGINT');
    const { code, out, err } = await running;
    expect(code).toBe(1);
    expect(out).toMatch(/^models-production {2}pending {2}/);
    expect(err).toMatch(/interrupted\n {2}models-production: default\/models\/iris /);
  });

  it('is ended by SIGTERM as by Ctrl-C, for pipelines that bound it', async () => {
    const config = parse(readFileSync(site.configFile, 'utf8'));
    config.gitops.fleet.repository = 'plain:platform/none';
    const file = join(site.root, 'bounded.yaml');
    writeFileSync(file, stringify(config));
    const before = process.listenerCount('SIGTERM');
    const running = deploy(TAG, '--config', file, '--output', 'json');
    await vi.waitUntil(() => process.listenerCount('SIGTERM') > before, { timeout: 10_000 });
    process.emit('SIGTERM');
    const { code, out } = await running;
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject([{ policy: 'models-production', phase: 'pending' }]);
  });
});

describe('what cannot be begun', () => {
  it('a ref that is not there', async () => {
    const answer = await deploy('refs/tags/v3', '--config', site.configFile);
    expect(answer).toMatchObject({ code: 1, out: '', err: 'plain:ml/iris has no ref refs/tags/v3\n' });
  });

  it('a ref that no policy deploys, with the reason of each', async () => {
    const { code, err } = await deploy('refs/heads/main', '--config', site.configFile);
    expect(code).toBe(1);
    expect(err).toMatch(
      /^no policy matches refs\/heads\/main of plain:ml\/iris\n {2}models-production .*it deploys no branches/,
    );
  });

  it('a policy that is not there, with the nearest that is', async () => {
    const { code, err } = await withConfig('--policy', 'models-prodction');
    expect(code).toBe(1);
    expect(err).toBe('there is no policy "models-prodction"; did you mean "models-production"?\n');
  });

  it('a policy that is suspended', async () => {
    const { code, err } = await withConfig(
      '--policies',
      policiesWith(['spec:\n', 'spec:\n  suspend: true\n']),
    );
    expect([code, err]).toEqual([
      1,
      'policy "models-production" is suspended; name another with --policy, or set suspend: false\n',
    ]);
  });

  it('a repository whose forge is not configured', async () => {
    const folder = policiesWith(['plain:', 'elsewhere:']);
    const { code, err } = await run(
      'deploy',
      'elsewhere:ml/rose',
      TAG,
      '--config',
      site.configFile,
      '--policies',
      folder,
    );
    expect([code, err]).toEqual([
      2,
      'the forge "elsewhere" of elsewhere:ml/rose is not in modelhook.yaml; add it, or give --model-card and --sha\n',
    ]);
  });

  describe('for its cluster cannot be asked', () => {
    const onCluster = async (kubeconfig: object, ...words: string[]) => {
      const folder = mkdtempSync(join(site.root, 'cluster-'));
      const [card, file] = ['README.md', 'kubeconfig'].map((name) => join(folder, name)) as [string, string];
      writeFileSync(card, '---\nlibrary_name: pmml\n---\n');
      writeFileSync(file, stringify(kubeconfig));
      const given = ['--policies', join(site.policiesTree, 'policies'), '--model-card', card];
      return deploy(TAG, ...given, '--sha', 'e'.repeat(40), '--kubeconfig', file, ...words);
    };
    const kubeconfig = {
      clusters: [{ name: 'c', cluster: { server: 'https://127.0.0.1:1' } }],
      users: [{ name: 'u', user: { token: 'x' } }],
      contexts: [{ name: 'prod', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'prod',
    };

    it('is told at once where it is not reached: nothing was begun', async () => {
      const { code, out, err } = await onCluster(kubeconfig);
      expect([code, out]).toEqual([1, '']);
      expect(err).toMatch(/^cluster default cannot be reached: .*ECONNREFUSED.*; check that it runs/);
    });

    it('is wrong usage where the kubeconfig has no such context', async () => {
      const { code, out, err } = await onCluster(kubeconfig, '--context', 'prd');
      expect([code, out]).toEqual([2, '']);
      expect(err).toMatch(/has no context "prd"; name one that it has: prod\n$/);
    });
  });

  it.each([
    [[], /^give modelhook.yaml with --config; or without one/],
    [['--config', 'x', '--sha', 'a'.repeat(40)], /^without --model-card the forge says/],
    [['--config', 'x', '--model-card', 'y'], /^--model-card is of a commit/],
    [['--config', 'x', '--context', 'y'], /^--context is one of a kubeconfig/],
  ])('options that do not go together: %j', async (words, reason) => {
    expect(await deploy(TAG, ...words)).toMatchObject({
      code: 2,
      out: '',
      err: expect.stringMatching(reason),
    });
  });
});

it('leaves nothing behind', async () => {
  const folder = mkdtempSync(join(site.root, 'tmp-'));
  vi.stubEnv('TMPDIR', folder);
  onTestFinished(() => void vi.unstubAllEnvs());
  expect(await withConfig()).toMatchObject({ code: 0 });
  expect(readdirSync(folder)).toEqual([]);
});

describe('plan --diff against the GitOps repository', () => {
  const diff = (tag: string, ...words: string[]) =>
    run(
      ...['plan', '--diff', '--config', site.configFile, '--policies', join(site.policiesTree, 'policies')],
      ...['--repository', 'plain:ml/iris', '--ref', `refs/tags/${tag}`],
      ...['--sha', site.git(site.modelTree, 'rev-parse', 'v0.9.0').trim()],
      ...['--model-card', join(site.modelTree, 'README.md'), ...words],
    );

  it('says no change where the file is already so', async () => {
    await withConfig();
    expect(await diff('v0.9.0')).toMatchObject({
      code: 0,
      out: '# policy models-production: default/models/iris.yaml in fleet: no change\n',
    });
  });

  it('is what would change in the file, and changes nothing', async () => {
    await withConfig();
    const before = fleet('rev-parse', 'main');
    const { code, out } = await diff('v1.0.0');
    const lines = out.split('\n');
    expect(lines.slice(0, 4)).toEqual([
      '# policy models-production: default/models/iris.yaml in fleet',
      '--- default/models/iris.yaml in fleet (now)',
      '+++ default/models/iris.yaml in fleet (planned)',
      expect.stringMatching(/^@@ -\d+,9 \+\d+,9 @@/),
    ]);
    const kept = lines.slice(4).filter((line) => !line.startsWith('+'));
    expect(fleet('show', 'main:default/models/iris.yaml')).toContain(
      kept.map((line) => line.slice(1)).join('\n'),
    );
    expect(out).toContain('-      modelhook.dev/revision: v0.9.0\n+      modelhook.dev/revision: v1.0.0\n');
    expect(code).toBe(0);
    expect(fleet('rev-parse', 'main')).toBe(before);
  });

  it('of a file that is not there is all of it', async () => {
    const { out } = await diff(
      'v0.9.0',
      '--policies',
      policiesWith(['namespace: models', 'namespace: other']),
    );
    expect(out).toContain('--- /dev/null\n+++ default/other/iris.yaml in fleet (planned)\n@@ -0,0 +1,');
  });

  it('is none where the delivery would be refused, but the reason', async () => {
    await withConfig();
    const named = policiesWith(['namespace: models', 'namespace: models\n    name: iris']);
    const refused = await diff('v1.0.0', '--repository', 'plain:ml/other', '--policies', named);
    expect(refused).toMatchObject({ code: 1, err: expect.stringContaining('belongs to plain:ml/iris') });
    expect(refused.out).not.toContain('@@');
  });

  it('is part of the JSON too', async () => {
    await withConfig();
    expect(JSON.parse((await diff('v0.9.0', '--output', 'json')).out).matching).toMatchObject([
      {
        policy: 'models-production',
        diff: { with: 'default/models/iris.yaml in fleet', diff: '', error: null },
      },
    ]);
  });

  it('ends with 1 where the repository cannot be read', async () => {
    const config = parse(readFileSync(site.configFile, 'utf8'));
    config.gitops.fleet.repository = 'plain:platform/none';
    const file = join(site.root, 'none.yaml');
    writeFileSync(file, stringify(config));
    const { code, err } = await diff('v0.9.0', '--config', file);
    expect(code).toBe(1);
    expect(err).toMatch(
      /^policy models-production: cannot be compared with default\/models\/iris.yaml in fleet: .*none/,
    );
  });

  it('takes modelhook.yaml', async () => {
    const words = ['--policies', 'x', '--repository', 'plain:ml/iris', '--ref', TAG, '--sha', 'a'.repeat(40)];
    expect(await run('plan', '--diff', ...words)).toMatchObject({ code: 2 });
  });
});
