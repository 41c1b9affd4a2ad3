import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { reduceCrd } from '../core/crd.ts';
import { StalledError } from '../core/errors.ts';
import type { JsonObject } from '../core/json.ts';
import { ClusterUnavailableError } from './cluster.ts';
import { createKubernetesReader, type KubeconfigAccess } from './kubernetes.ts';

const TOKEN = 'a-very-secret-token';
const CRD_PATH =
  '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/inferenceservices.serving.kserve.io';

const folder = mkdtempSync(join(tmpdir(), 'modelhook-cluster-'));
const kubeconfig = join(folder, 'kubeconfig');
const servers: Server[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) {
    server.close();
    server.closeAllConnections();
  }
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Starts a server in the place of an API server, and writes a kubeconfig for it. */
async function serve(listener: RequestListener, user: JsonObject = { token: TOKEN }): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  writeKubeconfig({ server: url, 'insecure-skip-tls-verify': true }, user);
  return url;
}

/** JSON is YAML too. */
const writeKubeconfig = (cluster: JsonObject, user: JsonObject): void =>
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      clusters: [{ name: 'lab', cluster }],
      users: [{ name: 'ci', user }],
      contexts: [
        { name: 'lab', context: { cluster: 'lab', user: 'ci' } },
        { name: 'torn', context: { cluster: 'gone', user: 'ci' } },
      ],
      'current-context': 'lab',
    }),
  );

const read = (options: Partial<KubeconfigAccess> = {}): Promise<JsonObject> =>
  createKubernetesReader({ file: kubeconfig, ...options }).inferenceServiceCrd();

/** Reads what cannot be read, and looks that no message gives the token away. */
async function failure(options: Partial<KubeconfigAccess> = {}): Promise<Error> {
  const error = await read(options).then(
    () => new Error('was read'),
    (thrown: Error) => thrown,
  );
  expect(`${error.message} ${error.stack} ${JSON.stringify(error)}`).not.toContain(TOKEN);
  return error;
}

/** Answers like an API server that says no. It repeats the credentials, for the worst case. */
const refuse =
  (code: number, message = ''): RequestListener =>
  ({ headers }, response) => {
    const status = { kind: 'Status', code, message: `${message} ${headers.authorization}` };
    response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(status));
  };

const program = (script: string): JsonObject => ({
  exec: {
    apiVersion: 'client.authentication.k8s.io/v1',
    command: process.execPath,
    args: ['--eval', script],
    interactiveMode: 'Never',
  },
});

describe('reading the CRD', () => {
  const crd = {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { creationTimestamp: '2026-01-02T03:04:05Z', unknown: 1 },
    spec: {
      schema: {
        $ref: 'a',
        default: { enum: [1] },
        enum: ['x'],
        not: {},
        'x-kubernetes-int-or-string': true,
        'x-kubernetes-preserve-unknown-fields': true,
        'x-of-tomorrow': null,
      },
    },
  };
  const requests: (string | undefined)[][] = [];
  const answer: RequestListener = ({ method, url, headers }, response) => {
    requests.push([method, url, headers.authorization]);
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(crd));
  };

  it('gives what the API server sends, no field renamed or left out', async () => {
    await serve(answer);
    expect(await read()).toEqual(crd);
    expect(requests.splice(0)).toEqual([['GET', CRD_PATH, `Bearer ${TOKEN}`]]);
  });

  it('sends the token that a program of the kubeconfig prints', async () => {
    const credential = JSON.stringify({ kind: 'ExecCredential', status: { token: TOKEN } });
    await serve(answer, program(`console.log(${JSON.stringify(credential)})`));
    await read();
    expect(requests.splice(0)).toEqual([['GET', CRD_PATH, `Bearer ${TOKEN}`]]);
  });

  it('reads the context that is named', async () => {
    await serve(answer);
    expect(await read({ context: 'lab' })).toEqual(crd);
    expect((await failure({ context: 'torn' })).message).toBe(
      `the context "torn" of the kubeconfig ${kubeconfig} refers to a cluster that is not in the file; set it with "kubectl config set-context"`,
    );
  });
});

describe('a kubeconfig that cannot be used', () => {
  const server = 'https://127.0.0.1:1';
  it.each([
    ['is not there', { file: join(folder, 'absent') }, 'cannot be read: ENOENT'],
    ['is a folder', { file: folder }, 'cannot be read: EISDIR'],
    ['lacks the context', { context: 'prod' }, 'has no context "prod"; name one that it has: lab, torn'],
  ])('that %s is told', async (_, options, message) => {
    writeKubeconfig({ server }, { token: TOKEN });
    const error = await failure(options);
    expect(error).toBeInstanceOf(StalledError);
    expect(error.message).toContain(message);
  });

  it.each([
    ['no YAML', `users: [{name: ci, user: {token: ${TOKEN}`, 'is no valid kubeconfig'],
    ['empty', '', 'is no valid kubeconfig'],
    ['something else', 'kind: Pod', 'has no current context; name a kubeconfig that has contexts'],
    ['without names', `{users: [{user: {token: ${TOKEN}}}]}`, 'is no valid kubeconfig'],
  ])('for it is %s is told without a line of it', async (_, text, message) => {
    writeFileSync(kubeconfig, text);
    const error = await failure();
    expect(error).toBeInstanceOf(StalledError);
    expect(error.message).toContain(message);
  });

  it.each([
    ['127.0.0.1:6443'],
    ['http://127.0.0.1:1'],
    [`https://${TOKEN}@127.0.0.1:1`],
    [`https://:${TOKEN}@127.0.0.1:1`],
  ])('for its server is %s is told', async (server) => {
    writeKubeconfig({ server }, { token: TOKEN });
    const error = await failure();
    expect(error).toBeInstanceOf(StalledError);
    expect(error.message).toContain('set it to an https:// address without user name and password');
  });
});

describe('credentials', () => {
  const server = 'https://127.0.0.1:1';

  it.each([
    [{ exec: { command: join(folder, 'absent-program') } }, 'absent-program ENOENT'],
    [{ 'client-certificate': 'absent.crt' }, `open '${join(folder, 'absent.crt')}'`],
  ])('that are not there are told: %j', async (user, message) => {
    writeKubeconfig({ server }, user);
    const error = await failure();
    expect(error).toBeInstanceOf(StalledError);
    expect(error.message).toContain(`the credentials of user "ci" in the kubeconfig ${kubeconfig} cannot`);
    expect(error.message).toContain(message);
  });

  it.each([
    ['fails', `console.error('${TOKEN}'); process.exit(1)`],
    ['prints no JSON', `console.log('${TOKEN}')`],
    ['prints no credential', `console.log('{"token":"${TOKEN}"}')`],
  ])('of a program that %s are told without what it printed', async (_, script) => {
    writeKubeconfig({ server }, program(script));
    const error = await failure();
    expect(error).toBeInstanceOf(ClusterUnavailableError);
    expect(error.message).toMatch(/cannot be had; run "kubectl get crd .*" with this kubeconfig and context/);
  });

  it('of a program that does not end are not waited for', async () => {
    const ended = join(folder, 'ended');
    writeFileSync(ended, '');
    // It ends when the test has removed the file.
    const script = `setInterval(() => require('node:fs').existsSync(${JSON.stringify(ended)}) || process.exit(), 50)`;
    writeKubeconfig({ server }, program(script));
    const error = await failure({ timeout: 50 });
    rmSync(ended);
    expect(error).toBeInstanceOf(ClusterUnavailableError);
    expect(error.message).toContain('cannot be had in time');
  });
});

describe('an API server that does not give the CRD', () => {
  it('refuses the credentials', async () => {
    const url = await serve(refuse(401));
    const error = await failure();
    expect(error).toBeInstanceOf(StalledError);
    expect(error.message).toBe(
      `the cluster at ${url} refuses the credentials of user "ci" in the kubeconfig ${kubeconfig}; renew them, for they may have expired`,
    );
  });

  it('forbids it: the subject and the rule are told', async () => {
    const url = await serve(refuse(403, 'User "system:serviceaccount:ml:hook" cannot get resource'));
    const error = await failure();
    expect(error).toBeInstanceOf(StalledError);
    expect(error.message).toBe(
      `the cluster at ${url} forbids user "system:serviceaccount:ml:hook" to read the CRD inferenceservices.serving.kserve.io; grant it a ClusterRole with the rule: get customresourcedefinitions.apiextensions.k8s.io`,
    );
  });

  it('has none: KServe is to be installed', async () => {
    const url = await serve(refuse(404));
    const error = await failure();
    expect(error).toBeInstanceOf(StalledError);
    expect(error.message).toBe(
      `the cluster at ${url} has no CRD inferenceservices.serving.kserve.io; install KServe there, or name the context of a cluster that has it`,
    );
  });

  it.each([429, 500, 503])('has trouble of its own: %i', async (code) => {
    const url = await serve(refuse(code));
    const error = await failure();
    expect(error).toBeInstanceOf(ClusterUnavailableError);
    expect(error.message).toContain(`the cluster at ${url} answers ${code}: Bearer ***; check that it runs`);
  });

  it.each([
    [200, 'text/html', '<html>log in</html>', 'something that is no CustomResourceDefinition'],
    [200, 'application/json', '{"kind":"Pod"}', 'something that is no CustomResourceDefinition'],
    [200, 'application/json', `{"${TOKEN}`, 'something that is no CustomResourceDefinition'],
    [200, 'application/octet-stream', 'x', 'something that is no CustomResourceDefinition'],
    [403, 'text/html', '<html>no</html>', '403'],
    [404, 'text/plain', '404 Not Found', '404'],
    [418, 'application/json', '{}', '418'],
  ])('is none: %i %s %s', async (code, type, body, what) => {
    const url = await serve((_, response) => response.writeHead(code, { 'content-type': type }).end(body));
    const error = await failure();
    expect(error).toBeInstanceOf(StalledError);
    expect(error.message).toBe(
      `the cluster at ${url} answers ${what}, as no API server of Kubernetes does; set the address of the API server as server in the kubeconfig ${kubeconfig}`,
    );
  });

  it.each<[string, RequestListener]>([
    ['nothing', () => {}],
    [
      'half an answer',
      (_, response) => response.writeHead(200, { 'content-type': 'application/json' }).write('{'),
    ],
  ])('gives %s until the time is up', async (_, listener) => {
    const url = await serve(listener);
    const error = await failure({ timeout: 500 });
    expect(error).toBeInstanceOf(ClusterUnavailableError);
    expect(error.message).toContain(`the cluster at ${url} gives no answer in time`);
  });

  it.each<[string, RequestListener]>([
    ['at once', (_, response) => response.destroy()],
    [
      'in the middle',
      (_, response) =>
        response
          .writeHead(200, { 'content-type': 'application/json', 'content-length': 9 })
          .write('{', () => response.destroy()),
    ],
  ])('hangs up %s', async (_, listener) => {
    const url = await serve(listener);
    const error = await failure();
    expect(error).toBeInstanceOf(ClusterUnavailableError);
    expect(error.message).toContain(`the cluster at ${url} cannot be reached: `);
  });

  it.each(['127.0.0.1', 'localhost'])('is not there: %s', async (host) => {
    const port = new URL(await serve(() => {})).port;
    servers.pop()?.close();
    writeKubeconfig({ server: `https://${host}:${port}` }, { token: TOKEN });
    const error = await failure();
    expect(error).toBeInstanceOf(ClusterUnavailableError);
    expect(error.message).toMatch(
      new RegExp(`^the cluster at https://${host}:${port} cannot be reached: .*ECONNREFUSED`),
    );
  });
});

const real = process.env['MODELHOOK_TEST_KUBECONFIG'];

describe.skipIf(!real)(
  `a cluster with KServe${real ? '' : ' (skipped: MODELHOOK_TEST_KUBECONFIG names no kubeconfig)'}`,
  () => {
    let cluster: JsonObject;
    let user: JsonObject;

    beforeAll(() => {
      const config = parse(readFileSync(real ?? '', 'utf8'));
      cluster = config.clusters[0].cluster;
      user = config.users[0].user;
      const ca = cluster['certificate-authority'];
      if (ca) cluster = { ...cluster, 'certificate-authority': resolve(dirname(real ?? ''), String(ca)) };
    });

    it('gives its CRD with the schema of v1beta1', async () => {
      const crd = await read({ file: real ?? '' });
      expect(crd).toMatchObject({ metadata: { name: 'inferenceservices.serving.kserve.io' } });
      expect(reduceCrd(crd).nodes.length).toBeGreaterThan(100);
      const text = JSON.stringify(crd);
      expect(text).toContain('"x-kubernetes-int-or-string":true');
      expect(text).not.toMatch(/"x_kubernetes|"_enum"|"_default"/);
    });

    it('forbids it to whom RBAC does not allow it', async () => {
      writeKubeconfig(cluster, { ...user, as: 'nobody' });
      expect((await failure()).message).toContain('forbids user "nobody" to read the CRD');
    });

    it('refuses a token that it does not know', async () => {
      writeKubeconfig(cluster, { token: TOKEN });
      expect((await failure()).message).toContain('refuses the credentials of user "ci"');
    });

    it('is not trusted without its certificate authority', async () => {
      writeKubeconfig({ server: cluster['server'] ?? null }, user);
      const error = await failure();
      expect(error).toBeInstanceOf(ClusterUnavailableError);
      expect(error.message).toMatch(/cannot be reached: .*certificate/);
    });
  },
);
