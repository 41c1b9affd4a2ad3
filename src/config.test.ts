import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Config,
  ConfigError,
  type ConfigSources,
  knownNames,
  loadConfig,
  parseConfig,
} from './config.ts';
import { Secret } from './config-secret.ts';
import { formatFault } from './core/errors.ts';

const FILE = '/etc/modelhook/modelhook.yaml';
const SECRET = 'hunter2-the-webhook-secret';

function readFile(path: string): string {
  if (path === '/etc/modelhook/secret') return `${SECRET}\n`;
  if (path === '/etc/modelhook/empty') return ' \n';
  if (path === '/etc/modelhook/id_ed25519' || path === '/etc/modelhook/known_hosts') return 'x';
  if (path === '/etc/modelhook/prod.kubeconfig') return 'kind: Config';
  throw new Error(`ENOENT: no such file or directory, open '${path}'`);
}
const env = { WEBHOOK_SECRET: SECRET, EMPTY: '', HOME: '/home/ada' };
const sources: ConfigSources = { env, readFile, readSecret: readFile };

const SMALLEST = `forges:
  plain: { kind: git, url: /srv/git, webhookSecrets: [{ env: WEBHOOK_SECRET }] }
policies: { repository: plain:platform/policies }
gitops:
  fleet: { repository: plain:platform/fleet }
`;

const read = (text: string): Config => parseConfig(text, FILE, sources);
/** The faults of a text, a line each, without the name of the file. */
function faultsOf(text: string): string[] {
  try {
    read(text);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    expect(error.message).toBe(error.faults.map(formatFault).join('\n'));
    expect(error.faults.length).toBeGreaterThan(0);
    return error.faults.map(({ line, column, message }) => `${line}:${column}: ${message}`);
  }
  return [];
}
/** The smallest configuration with the plain forge's keys in place of its own. */
const withForge = (keys: string) => SMALLEST.replace(/plain: \{.*\}/, `plain: { kind: git, ${keys} }`);

describe('the smallest configuration', () => {
  it('has a default for everything else', () => {
    expect(read(SMALLEST)).toEqual({
      server: { host: '127.0.0.1', port: 8080, apiTokens: [] },
      store: { kind: 'sqlite', file: '/etc/modelhook/data/modelhook.db' },
      forges: { plain: { kind: 'git', url: '/srv/git', webhookSecrets: [new Secret(SECRET)] } },
      policies: { repository: 'plain:platform/policies', branch: 'main', directory: 'policies', bounds: [] },
      gitops: {
        fleet: {
          repository: 'plain:platform/fleet',
          branch: 'main',
          author: { name: 'modelhook', email: 'modelhook@localhost' },
        },
      },
      clusters: {},
      worker: { concurrency: 16 },
      reconcile: { interval: 600_000 },
      cache: '/etc/modelhook/data/mirrors',
    });
  });

  it('may have no GitOps repository', () => {
    const config = read(SMALLEST.replace(/^gitops:\n(?: .*\n)+/m, ''));
    expect(config.gitops).toEqual({});
    expect(knownNames(config).gitops).toEqual([]);
  });

  it('may say how clusters are reached, and what of them is watched', () => {
    const config = read(`${SMALLEST}clusters:
  prod: { kubeconfig: { file: prod.kubeconfig, context: prod }, namespaces: [vision] }
  here: { inCluster: true }
  far: { kserve: "0.15" }
`);
    expect(config.clusters).toEqual({
      prod: {
        kubeconfig: { file: '/etc/modelhook/prod.kubeconfig', context: 'prod' },
        namespaces: ['vision'],
      },
      here: { inCluster: true, namespaces: [] },
      far: { kserve: '0.15', namespaces: [] },
    });
    expect(knownNames(config).clusters).toMatchObject([
      { name: 'prod', reachable: true },
      { name: 'here', reachable: true },
      { name: 'far', reachable: false },
    ]);
  });

  it('cannot be changed, at any depth', () => {
    const config = read(SMALLEST);
    const change = (work: () => void) => expect(work).toThrow(TypeError);
    change(() => Object.assign(config, { cache: '/' }));
    change(() => Object.assign(config.server, { port: 1 }));
    change(() => Object.assign(config.gitops.fleet?.author ?? {}, { name: 'x' }));
    change(() => config.forges.plain?.webhookSecrets.push(new Secret('x')));
  });
});

describe('faults', () => {
  it('name what of a cluster contradicts itself, or is not there', () => {
    const faults = faultsOf(`${SMALLEST}clusters:
  a: { kubeconfig: { file: prod.kubeconfig }, inCluster: true }
  b: { namespaces: [vision] }
  c: { kubeconfig: { file: missing } }
  d: { inCluster: false }
  e: { inCluster: true, namespaces: [Vision] }
`);
    expect(faults.map((fault) => fault.replace(/^\d+:\d+: /, ''))).toEqual([
      'clusters.a.inCluster: stands beside kubeconfig; keep one of the two',
      'clusters.b.namespaces: says what to watch, so it needs kubeconfig or inCluster beside it',
      expect.stringMatching(/^clusters\.c\.kubeconfig\.file: the file cannot be read: ENOENT/),
      'clusters.d.inCluster: is true, or left out',
      'clusters.e.namespaces.0: a namespace is 1 to 63 lower-case letters, digits or "-"',
    ]);
  });

  it('are all reported at once, each with its place and its path', () => {
    const text = `server:
  port: 99999
  hots: 0.0.0.0
forges:
  plain:
    kind: git
    url: /srv/git
    token: glpat-inline-token
    webhookSecrets:
      - { env: NOT_SET }
      - { file: missing }
      - { env: EMPTY }
      - { file: empty }
policies: { repository: platform/policies }
gitops:
  fleet:
    repository: plain:../fleet
reconcile: { interval: soon }
surprise: true
`;
    expect(faultsOf(text).map((fault) => fault.replace(/\/etc\/modelhook\//g, ''))).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^2:9: server\.port: .*65535/),
        expect.stringMatching(/^3:9: server\.hots: is not a key modelhook knows here$/),
        expect.stringMatching(/^8:12: forges\.plain\.token: a secret is \{ env: NAME \} or \{ file: PATH \}/),
        expect.stringMatching(
          /^10:9: forges\.plain\.webhookSecrets\.0: the environment variable NOT_SET is not set$/,
        ),
        expect.stringMatching(
          /^11:9: forges\.plain\.webhookSecrets\.1: the secret cannot be read: ENOENT.*missing/,
        ),
        expect.stringMatching(
          /^12:9: forges\.plain\.webhookSecrets\.2: the environment variable EMPTY is not set$/,
        ),
        expect.stringMatching(/^13:9: forges\.plain\.webhookSecrets\.3: the file empty is empty$/),
        expect.stringMatching(
          /^14:25: policies\.repository: "platform\/policies" is not a repository id; write it as/,
        ),
        expect.stringMatching(/^17:17: gitops\.fleet\.repository: .*contains "\.\."/),
        expect.stringMatching(
          /^18:24: reconcile\.interval: "soon" is not a duration; write it like 30s, 10m or 1h$/,
        ),
        expect.stringMatching(/^19:11: surprise: is not a key modelhook knows here$/),
      ]),
    );
    expect(faultsOf(text)).toHaveLength(11);
    expect(faultsOf(text).join()).not.toContain('glpat-inline-token');
  });

  it('name what is missing', () => {
    expect(faultsOf('server: { port: 80 }\n')).toEqual([
      expect.stringMatching(/^1:1: forges: is missing/),
      expect.stringMatching(/^1:1: policies: is missing/),
    ]);
    expect(faultsOf(withForge('webhookSecrets: []'))).toEqual([
      expect.stringMatching(/^2:10: forges\.plain\.url: is missing/),
    ]);
  });

  it.each(['', '# nothing\n', '---\n'])('of an empty file are what it lacks: %j', (text) => {
    expect(faultsOf(text)).toHaveLength(2);
  });

  it.each(['just text', '- a\n- list\n', '42'])('of a file that is something else say so: %j', (text) => {
    expect(faultsOf(text)).toEqual([expect.stringMatching(/^1:1: modelhook\.yaml: must be an? object$/)]);
  });

  it('of YAML have their place', () => {
    expect(faultsOf('server:\n  host: "unclosed\n')[0]).toMatch(/^\d+:\d+: ./);
    expect(faultsOf('server: {}\nserver: {}\n')).toEqual([
      expect.stringMatching(/^2:1: Map keys must be unique/),
    ]);
    expect(faultsOf('a: 1\n---\nb: 2\n')[0]).toMatch(/multiple documents/);
    expect(faultsOf('server: *nothing\n')[0]).toMatch(/^\d+:\d+: .*alias/i);
  });

  it('are what an alias bomb is, not a crash', () => {
    const levels = Array.from({ length: 12 }, (_, n) =>
      n === 0
        ? 'x0: &x0 [lol, lol]'
        : `x${n}: &x${n} [${Array(10)
            .fill(`*x${n - 1}`)
            .join(', ')}]`,
    );
    expect(faultsOf(`${levels.join('\n')}\n`)).toEqual([expect.stringMatching(/^\d+:\d+: .*alias/i)]);
  });

  it('are what a file that cannot be read is', () => {
    expect(() => loadConfig('/etc/modelhook/none.yaml', sources)).toThrow(ConfigError);
    expect(() => loadConfig('/etc/modelhook/none.yaml', sources)).toThrow(
      /^\/etc\/modelhook\/none\.yaml:1:1: the file cannot be read: ENOENT/,
    );
  });
});

describe('a secret', () => {
  it('is read from a variable, or from a file without its last line break', () => {
    const { forges } = read(
      withForge('url: /srv/git, webhookSecrets: [{ env: WEBHOOK_SECRET }, { file: secret }]'),
    );
    expect(forges.plain?.webhookSecrets.map((secret) => secret.reveal())).toEqual([SECRET, SECRET]);
  });

  it('shows in no text, JSON, inspection or copy of it', () => {
    const config = read(SMALLEST);
    const [secret] = config.forges.plain?.webhookSecrets ?? [];
    const shown = [
      String(secret),
      `${secret}`,
      JSON.stringify(config),
      inspect(config, { depth: 10, showHidden: true, getters: true }),
      inspect(secret, { depth: 10, showHidden: true, customInspect: false }),
      JSON.stringify({ ...secret }),
      Object.getOwnPropertyNames(secret).join(),
      JSON.stringify(structuredClone(secret)),
    ];
    for (const text of shown) expect(text).not.toContain('hunter2');
    expect(String(secret)).toBe('[secret]');
  });

  it.each([
    'token: hunter2',
    'token: { env: WEBHOOK_SECRET, file: secret }',
    'token: { value: hunter2 }',
    'token: [hunter2]',
    'token: {}',
    'webhookSecrets: [hunter2]',
    'webhookSecrets: hunter2',
  ])('is never inline: %s', (keys) => {
    const faults = faultsOf(withForge(`url: "https://git.example.com", ${keys}`));
    expect(faults).not.toEqual([]);
    expect(faults.join()).not.toContain('hunter2');
  });

  it.each([
    'https://ada:hunter2@git.example.com',
    'https://hunter2@git.example.com',
    'ssh://git:hunter2@git.example.com',
  ])('is not in an address: %s', (url) => {
    const faults = faultsOf(withForge(`url: "${url}"`));
    expect(faults).toEqual([
      expect.stringMatching(/^2:\d+: forges\.plain\.url: holds .*token: \{ env: NAME \}/),
    ]);
    expect(faults.join()).not.toContain('hunter2');
  });

  it('is not in a fault of the store either', () => {
    const faults = faultsOf(`${SMALLEST}store: postgres://modelhook:hunter2@db/modelhook\n`);
    expect(faults).toEqual([expect.stringMatching(/^6:8: store: .*sqlite:PATH/)]);
    expect(faults.join()).not.toContain('hunter2');
  });
});

describe('a forge with an API', () => {
  const withApi = (keys: string) =>
    read(SMALLEST.replace(/plain: \{.*\}/, `plain: { ${keys}, webhookSecrets: [{ env: WEBHOOK_SECRET }] }`))
      .forges.plain;

  it.each([
    ['kind: github', 'https://github.com', 'https://api.github.com'],
    ['kind: github, url: "https://www.github.com/"', 'https://www.github.com', 'https://api.github.com'],
    ['kind: github, url: "https://acme.ghe.com"', 'https://acme.ghe.com', 'https://api.acme.ghe.com'],
    [
      'kind: github, url: "https://ghes.example.com"',
      'https://ghes.example.com',
      'https://ghes.example.com/api/v3',
    ],
    ['kind: gitlab', 'https://gitlab.com', 'https://gitlab.com/api/v4'],
    [
      'kind: gitlab, url: "https://x.example.com/git/"',
      'https://x.example.com/git',
      'https://x.example.com/git/api/v4',
    ],
    ['kind: gitea, url: "http://127.0.0.1:3000"', 'http://127.0.0.1:3000', 'http://127.0.0.1:3000/api/v1'],
    ['kind: gitea, url: "https://a.b", apiUrl: "https://c.d/api"', 'https://a.b', 'https://c.d/api'],
  ])('%s has its web base and its API', (keys, url, apiUrl) => {
    expect(withApi(keys)).toMatchObject({ url, apiUrl });
  });

  it.each([
    ['kind: gitea, url: "https://a.b "', /white space/],
    ['kind: gitea, url: "https://a.b?x=1"', /"\?" or "#"/],
    ['kind: gitea, url: "ssh://git@a.b"', /is no address/],
    ['kind: gitea, url: "https://me:hunter2@a.b"', /holds a password/],
    ['kind: bitbucket, url: "https://a.b"', /must be git, github, gitlab or gitea/],
    [
      'kind: github, token: { env: WEBHOOK_SECRET }, app: { id: 1, privateKey: { env: WEBHOOK_SECRET } }',
      /one of the two/,
    ],
  ])('%s is refused', (keys, expected) => {
    expect(() => withApi(keys)).toThrow(expected);
  });
});

describe('text', () => {
  it('is not expanded', () => {
    const { server, forges, cache } = read(
      `${withForge('url: "/srv/${HOME}"')}server: { host: "\${HOME}" }\ncache: $HOME/mirrors\n`,
    );
    expect(forges.plain?.url).toBe('/srv/${HOME}');
    expect(server.host).toBe('${HOME}');
    expect(cache).toBe('/etc/modelhook/$HOME/mirrors');
  });

  it('that is a path is relative to the folder of the file', () => {
    const config = read(
      `${withForge('url: ./git, ssh: { key: { file: id_ed25519 }, knownHosts: { file: ./known_hosts } }')}store: sqlite:db/x.db\ncache: ../mirrors\n`.replace(
        'url: ./git',
        'url: ssh://git@example.com/srv',
      ),
    );
    expect(config.store.file).toBe('/etc/modelhook/db/x.db');
    expect(config.cache).toBe('/etc/mirrors');
    expect(config.forges.plain).toMatchObject({
      ssh: { key: '/etc/modelhook/id_ed25519', knownHosts: '/etc/modelhook/known_hosts' },
    });
    expect(read(withForge('url: ./git')).forges.plain?.url).toBe('/etc/modelhook/git');
    expect(read(`${SMALLEST}store: sqlite:/var/lib/x.db\n`).store.file).toBe('/var/lib/x.db');
  });
});

describe('names', () => {
  const named = (name: string) =>
    SMALLEST.replace('plain: {', `${JSON.stringify(name)}: {`).replaceAll(
      'plain:platform',
      `${name}:platform`,
    );

  it.each(['plain', 'a', 'git-2', `a${'b'.repeat(30)}`])('may be %j', (name) => {
    expect(Object.keys(read(named(name)).forges)).toEqual([name]);
  });

  it.each(['', 'Plain', '2git', '-git', 'git_hub', 'git.hub', `a${'b'.repeat(31)}`, 'git/hub', 'ä'])(
    'may not be %j',
    (name) => {
      const faults = faultsOf(named(name)).join('\n');
      expect(faults).toMatch(/a name is 1 to 31 lower-case letters, digits or "-", and starts with a letter/);
    },
  );

  it('of forges that are not there are faults, each where it is used', () => {
    const text = SMALLEST.replaceAll('plain:platform', 'gitlab:platform');
    expect(faultsOf(text)).toEqual([
      '3:25: policies.repository: names the forge "gitlab", but forges has only plain',
      '5:24: gitops.fleet.repository: names the forge "gitlab", but forges has only plain',
    ]);
  });

  it.each(['constructor', 'toString', 'hasOwnProperty'])(
    'that every object has are no forges: %s',
    (name) => {
      const text = SMALLEST.replace('plain:platform/fleet', `${name}:platform/fleet`);
      expect(faultsOf(text)).toEqual([expect.stringContaining(`names the forge "${name}"`)]);
    },
  );
});

describe('durations', () => {
  it.each([
    ['250ms', 250],
    ['30s', 30_000],
    ['10m', 600_000],
    ['2h', 7_200_000],
  ])('%s is %i milliseconds', (text, milliseconds) => {
    expect(read(`${SMALLEST}reconcile: { interval: ${text} }\n`).reconcile.interval).toBe(milliseconds);
  });

  it.each(['10', '10 m', '-1m', '1.5h', 'PT10M', 'm', '', '1d', '0s'])(
    '%j is none that can be used',
    (text) => {
      expect(faultsOf(`${SMALLEST}reconcile: { interval: "${text}" }\n`)).toEqual([
        expect.stringMatching(/^6:24: reconcile\.interval: ".*" is not a duration; write it like/),
      ]);
    },
  );
});

describe('addresses', () => {
  it.each([
    ['https://git.example.com/', 'https://git.example.com'],
    ['https://git.example.com/base//', 'https://git.example.com/base'],
    ['ssh://git@git.example.com:2222/srv', 'ssh://git@git.example.com:2222/srv'],
    ['file:///srv/git', 'file:///srv/git'],
  ])('%s is one', (url, used) => {
    expect(read(withForge(`url: "${url}"`)).forges.plain?.url).toBe(used);
  });

  it.each([
    'ftp://git.example.com',
    'git://git.example.com',
    'ext::sh -c evil',
    'git@git.example.com:srv',
    'https://',
    'HTTP://[',
  ])('%s is none', (url) => {
    expect(faultsOf(withForge(`url: "${url}"`))).toEqual([
      expect.stringMatching(/^2:\d+: forges\.plain\.url: /),
    ]);
  });

  it('of the server itself are http or https', () => {
    expect(
      read(`${SMALLEST}server: { publicUrl: "https://modelhook.example.com/base/" }\n`).server.publicUrl,
    ).toBe('https://modelhook.example.com/base');
    for (const url of [
      'http://me:secret@modelhook.example.com',
      'modelhook.example.com',
      'ftp://x',
      'javascript:alert(1)',
    ])
      expect(faultsOf(`${SMALLEST}server: { publicUrl: "${url}" }\n`)).toHaveLength(1);
  });

  it.each(['/srv/git', 'ssh://git@git.example.com/srv', 'file:///srv/git'])(
    'such as %s have no token: it is for https',
    (url) => {
      expect(faultsOf(withForge(`url: "${url}", token: { env: WEBHOOK_SECRET }`))).toEqual([
        expect.stringMatching(/forges\.plain\.token: .*https/),
      ]);
    },
  );
});

describe('an author', () => {
  it.each(['"a <b"', '"a> b"', '"a\\nb"', '""'])('may not be %s, which no commit can hold', (name) => {
    const text = SMALLEST.replace(
      'plain:platform/fleet',
      `plain:platform/fleet, author: { name: ${name}, email: a@b }`,
    );
    expect(faultsOf(text)).toEqual([expect.stringMatching(/gitops\.fleet\.author\.name: /)]);
  });
});

describe('a real file', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'modelhook-config-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it('is read with its secrets and paths beside it', () => {
    const file = join(folder, 'modelhook.yaml');
    writeFileSync(join(folder, 'secret'), 'from a file\n');
    writeFileSync(file, SMALLEST.replace('{ env: WEBHOOK_SECRET }', '{ file: ./secret }'));
    const config = loadConfig(file);
    expect(config.forges.plain?.webhookSecrets[0]?.reveal()).toBe('from a file');
    expect(config.store.file).toBe(join(folder, 'data/modelhook.db'));
  });
});

describe('the bounds of policies', () => {
  const withBounds = (...bounds: string[]) =>
    SMALLEST.replace('policies }', `policies, bounds: [\n  ${bounds.join(',\n  ')} ] }`);

  it('are what policies may use, by their directory from the root of the config repository', () => {
    const text = withBounds(
      '{ directory: ./policies/vision/, namespaces: [vision, "vision-*"], storage: [s3://models], maxGpus: 0, allow: [hostIPC] }',
      '{ directory: "", podFields: [], gpuProfiles: [] }',
    );
    const { policies } = knownNames(read(text));
    expect(policies).toMatchObject({
      directory: 'policies',
      bounds: [
        {
          directory: 'policies/vision',
          namespaces: { patterns: ['vision', 'vision-*'] },
          storage: ['s3://models'],
          maxGpus: 0,
          allow: ['hostIPC'],
        },
        { directory: '', podFields: [], gpuProfiles: { patterns: [] }, allow: [] },
      ],
    });
  });

  it.each([
    ['{ directory: policies, namespace: [a] }', /^4:\d+: policies\.bounds\.0\.namespace: is not a key/],
    ['{ namespaces: [a] }', /directory: is missing/],
    ['{ directory: policies/../x }', /^4:\d+: policies\.bounds\.0\.directory: /],
    ['{ directory: charts }', /"charts" is not in policies\.directory, "policies"/],
    ['{ directory: policies, namespaces: [] }', /namespaces: allows nothing; leave it out/],
    ['{ directory: policies, runtimes: ["!a"] }', /runtimes: allows nothing; leave it out/],
    ['{ directory: policies, storage: [] }', /storage: allows nothing/],
    ['{ directory: policies, runtimes: [""] }', /runtimes\.0: is no pattern/],
    ['{ directory: policies, allow: [hostpath] }', /allow\.0: gives away no node; what does is hostPath, /],
    ['{ directory: policies, maxGpus: -1 }', /maxGpus: /],
    [
      '{ directory: policies, storage: ["s3://models/../x"] }',
      /storage\.0: .* has the segment "\." or "\.\."/,
    ],
    ['{ directory: policies, storage: ["s3://models/%2e%2e/x"] }', /storage\.0: .* has the segment/],
    ['{ directory: policies, storage: [models] }', /storage\.0: "models" is no address; .* s3:\/\/models$/],
    [
      '{ directory: policies, storage: ["S3://models"] }',
      /storage\.0: .* in lower-case letters, such as s3:\/\/models$/,
    ],
    ['{ directory: policies, storage: ["s3:models"] }', /storage\.0: .* lacks the two slashes/],
    ['{ directory: policies, podFields: [tolerashuns] }', /podFields\.0: .* did you mean "tolerations"/],
    [
      '{ directory: policies, podFields: [env, qqqqqqqqqqqq] }',
      /podFields\.1: .*; name one of KServe, or give the CRD/,
    ],
    [
      '{ directory: policies, gitops: [flet] }',
      /gitops\.0: names the GitOps repository "flet", but gitops has only /,
    ],
    ['{ directory: policies, paths: [] }', /paths: allows nothing/],
    ['{ directory: policies, paths: [/nlp] }', /paths\.0: "\/nlp" starts with "\/"/],
    ['{ directory: policies, paths: [a/../b] }', /paths\.0: "a\/\.\.\/b" has the segment "\.\."/],
    ['{ directory: policies, adopt: always }', /adopt: must be a boolean/],
    ['{ directory: policies, repositories: ["plane:ml/*"] }', /repositories\.0: names the forge "plane"/],
  ])('%s is at fault', (bound, fault) => {
    expect(faultsOf(withBounds(bound))).toEqual([expect.stringMatching(fault)]);
  });

  it('take folders of addresses, files and patterns of GitOps repositories', () => {
    const text = withBounds(
      '{ directory: policies, storage: [s3://, hf://owner, hf://owner/model, pvc://claim, /mnt/models], gitops: ["*", "!x"], paths: [nlp/, a/b.yaml], podFields: [tolerations, env], adopt: true }',
    );
    expect(faultsOf(text)).toEqual([]);
  });

  it('are at fault where two are of one directory, however it is written', () => {
    expect(faultsOf(withBounds('{ directory: policies }', '{ directory: ./policies/ }'))).toEqual([
      '5:16: policies.bounds.1.directory: "policies" has a bound already; keep one of the two',
    ]);
  });

  it('may name any cluster where none is configured, and else only those', () => {
    const text = withBounds('{ directory: policies, clusters: [prod, "dev-*"] }');
    expect(faultsOf(text)).toEqual([]);
    expect(faultsOf(`${text}clusters: { prd: {} }\n`)).toEqual([
      expect.stringContaining(
        'policies.bounds.0.clusters.0: names the cluster "prod", but clusters has only prd',
      ),
    ]);
  });
});
