import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SMALL_CRD } from '../core/crd.fixture.ts';
import { policyText } from '../core/policy.fixture.ts';
import { type Ran, run } from './program.fixture.ts';

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));
/** A KServe that knows no `deploymentStrategy`. */
const OLD_CRD = JSON.stringify(SMALL_CRD);
const ROLLOUT = { modelFormat: { name: 'sklearn' }, rollout: { strategy: 'Recreate' } };
const FAULT = /^\S+policy\.yaml:1:\d+: spec\.rollout: unknown field "deploymentStrategy"/m;

let directory: string;
let policy: string;
let crd: string;
let server: Server | undefined;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'modelhook-'));
  policy = join(directory, 'policy.yaml');
  crd = join(directory, 'crd.json');
  await writeFile(policy, policyText(ROLLOUT));
  await writeFile(crd, OLD_CRD);
});
afterEach(async () => {
  server?.close();
  server?.closeAllConnections();
  server = undefined;
  await rm(directory, { recursive: true });
});

const event = ['--repository', 'plain:ml/iris', '--ref', 'refs/tags/v1', '--sha', 'a'.repeat(40)];
const validate = (...argv: string[]) => run('validate', policy, ...argv);
const render = (...argv: string[]) => run('render', '--policies', policy, ...event, ...argv);
const plan = (...argv: string[]) => run('plan', '--policies', policy, ...event, ...argv);

/** @returns the option for a modelhook.yaml with this cluster */
async function config(cluster: object): Promise<[string, string]> {
  const file = join(directory, 'modelhook.yml');
  const url = { kind: 'git', url: '/srv/git' };
  await writeFile(
    file,
    JSON.stringify({
      forges: { plain: url },
      policies: { repository: 'plain:platform/policies' },
      gitops: { fleet: { repository: 'plain:platform/fleet' } },
      clusters: { prod: cluster },
    }),
  );
  return ['--config', file];
}

describe('--crd', () => {
  it('is what policies are checked against', async () => {
    expect((await validate()).code).toBe(0);
    const { code, out, err } = await validate('--crd', crd);
    expect([code, err]).toEqual([1, expect.stringMatching(/^1 fault$/m)]);
    expect(out).toMatch(FAULT);
    for (const command of [render, plan]) {
      const refused = await command('--crd', crd);
      expect([refused.code, refused.out]).toEqual([1, '']);
      expect(refused.err).toMatch(FAULT);
    }
  });

  it('lets through what it has', async () => {
    await writeFile(policy, policyText({ modelFormat: { name: 'sklearn' } }));
    expect((await validate('--crd', crd)).code).toBe(0);
    expect((await plan('--crd', crd)).code).toBe(0);
    expect((await render('--crd', crd)).out).toBe((await render()).out);
  });

  it('reads standard input for -', async () => {
    const argv = [MAIN, 'validate', policy, '--crd', '-'];
    const program = spawn(process.execPath, argv, { stdio: ['pipe', 'pipe', 'ignore'] });
    program.stdin.end(OLD_CRD);
    const [out, [code]] = await Promise.all([text(program.stdout), once(program, 'close')]);
    expect(code).toBe(1);
    expect(out).toMatch(FAULT);
  });

  it('goes before the one of modelhook.yaml, and before that of 0.20', async () => {
    const given = await config({ crd: { file: crd } });
    expect((await validate(...given)).out).toMatch(FAULT);
    const newer = join(directory, 'newer.json');
    const strategy = { deploymentStrategy: {}, annotations: {} };
    await writeFile(
      newer,
      OLD_CRD.replace('"annotations":', `${JSON.stringify(strategy).slice(1, -1)},"was":`),
    );
    expect((await validate(...given, '--crd', newer)).code).toBe(0);
    expect((await plan(...given, '--crd', newer)).code).toBe(0);
  });

  it.each([
    ['is not there', null, /^--crd \S+missing\.json: ENOENT/],
    ['is no YAML', 'a: b: c', /^--crd \S+: the CRD is not valid YAML: .*; give what "kubectl get crd/],
    ['is another object', 'kind: ConfigMap', /^--crd \S+: this is of kind ConfigMap, not a/],
    ['is empty', '', /^--crd \S+: this is no Kubernetes object/],
  ])('ends with 2 and one sentence where the file %s', async (_, contents, sentence) => {
    const file = join(directory, contents === null ? 'missing.json' : 'other.json');
    if (contents !== null) await writeFile(file, contents);
    for (const command of [validate, render, plan]) {
      const { code, out, err } = await command('--crd', file);
      expect([code, out]).toEqual([2, '']);
      expect(err).toMatch(sentence);
      expect(err.match(/\n/g)).toHaveLength(1);
    }
  });
});

describe('--config', () => {
  const modeOf = ({ out }: Ran) => /deploymentMode: (.*)/.exec(out)?.[1];

  it("tells the version of the target's cluster, as the controller takes it", async () => {
    const given = await config({ kserve: '0.15' });
    for (const command of [render, plan]) {
      expect(modeOf(await command(...given))).toBe('RawDeployment');
      expect(modeOf(await command(...given, '--kserve', '0.20'))).toBe('Standard');
      expect(modeOf(await command())).toBe('Standard');
    }
    expect((await plan(...given)).out).toContain('prod/vision/iris, committed to fleet');
  });

  it("tells the CRD of the target's cluster", async () => {
    const given = await config({ crd: { file: crd } });
    expect((await plan(...given)).err).toMatch(FAULT);
    await writeFile(policy, policyText({ modelFormat: { name: 'sklearn' } }));
    expect((await plan(...given)).code).toBe(0);
  });

  it('ends with 2 where it cannot be used', async () => {
    const { code, err } = await plan(...(await config({ kserve: 'latest' })));
    expect(code).toBe(2);
    expect(err).toContain('is no version of KServe');
  });
});

describe('--kubeconfig', () => {
  /** @returns the file, for a server in the place of an API server */
  async function kubeconfig(answer: string): Promise<string> {
    server = createServer((_, response) =>
      response.setHeader('content-type', 'application/json').end(answer),
    );
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as AddressInfo;
    const file = join(directory, 'kubeconfig');
    const cluster = { server: `http://127.0.0.1:${port}`, 'insecure-skip-tls-verify': true };
    await writeFile(
      file,
      JSON.stringify({
        clusters: [{ name: 'lab', cluster }],
        users: [{ name: 'ci', user: { token: 'a-very-secret-token' } }],
        contexts: [{ name: 'lab', context: { cluster: 'lab', user: 'ci' } }],
      }),
    );
    return file;
  }

  it("checks against the cluster's CRD", async () => {
    const { code, out } = await validate('--kubeconfig', await kubeconfig(OLD_CRD), '--context', 'lab');
    expect(code).toBe(1);
    expect(out).toMatch(FAULT);
  });

  it('ends with 2 and one sentence where it cannot be used', async () => {
    for (const [argv, sentence] of [
      [
        ['--kubeconfig', join(directory, 'missing')],
        /^--kubeconfig: the kubeconfig \S+missing cannot be read/,
      ],
      [['--kubeconfig', await kubeconfig(OLD_CRD), '--context', 'none'], /has no context "none"; name one/],
      [
        ['--kubeconfig', await kubeconfig('{}'), '--context', 'lab'],
        /^--kubeconfig: the cluster at .* answers something that is no CustomResourceDefinition/,
      ],
      [['--context', 'lab'], /^--context is one of a kubeconfig; give the file with --kubeconfig/],
      [
        ['--crd', crd, '--kubeconfig', crd],
        /'--crd <file>' cannot be used with option '--kubeconfig <file>'/,
      ],
    ] as const) {
      const { code, out, err } = await validate(...argv);
      expect([code, out]).toEqual([2, '']);
      expect(err).toMatch(sentence);
    }
  });

  const real = process.env['MODELHOOK_TEST_KUBECONFIG'];
  it.skipIf(real === undefined)('reads a real cluster (MODELHOOK_TEST_KUBECONFIG)', async () => {
    const given = ['--kubeconfig', real ?? ''];
    expect(await validate(...given)).toMatchObject({ code: 0, out: '' });
    expect((await plan(...given)).code).toBe(0);
    await writeFile(policy, policyText({ pod: { nodeSelectr: {} } }));
    expect((await validate(...given)).out).toContain('did you mean "nodeSelector"?');
  });
});
