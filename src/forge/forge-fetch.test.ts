import { execFileSync } from 'node:child_process';
import dns from 'node:dns';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { StalledError, WaitingError } from '../core/errors.ts';
import { createForgeFetch, type ForgeFetchOptions } from './forge-fetch.ts';

const TOKEN = 'a-very-secret-token';
const asked = { headers: { authorization: `token ${TOKEN}` } };
const MiB = 1024 * 1024;

// The machine's own proxies are not asked.
beforeEach(() => {
  for (const name of ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY']) {
    vi.stubEnv(name, undefined);
    vi.stubEnv(name.toLowerCase(), undefined);
  }
});

const servers: Server[] = [];
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  for (const server of servers.splice(0)) {
    server.close();
    server.closeAllConnections();
  }
});

async function listen(server: Server): Promise<string> {
  servers.push(server);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A server that notes who asked for what. */
async function serve(listener: RequestListener): Promise<{ url: string; requests: IncomingMessage[] }> {
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    requests.push(request);
    listener(request, response);
  });
  return { url: `http://${await listen(server)}`, requests };
}

const fetchOf = (base: string, options: Partial<ForgeFetchOptions> = {}) =>
  createForgeFetch({ base, ca: null, now: Date.now, ...options });

/** What is thrown is transient, is no mistake of ours, and gives no token away. */
async function failure(work: Promise<Response>): Promise<Error> {
  const error = await work.then(
    ({ status }) => new Error(`was answered with ${status}`),
    (thrown: unknown) => thrown as Error,
  );
  expect(error).not.toBeInstanceOf(StalledError);
  for (const bug of [TypeError, RangeError, SyntaxError, ReferenceError])
    expect(error).not.toBeInstanceOf(bug);
  expect(`${error.message} ${error.stack} ${JSON.stringify(error)}`).not.toContain(TOKEN);
  return error;
}

describe('an answer', () => {
  it('comes back as it is, whatever its status', async () => {
    const { url, requests } = await serve(({ url: path }, response) =>
      response.writeHead(Number(path?.slice(1)), { 'x-of-the-forge': 'yes' }).end('{"message":"text"}'),
    );
    const fetch = fetchOf(url);
    for (const status of [200, 201, 400, 401, 404, 409, 500, 502, 503]) {
      const response = await fetch(`${url}/${status}`, asked);
      expect(response).toBeInstanceOf(Response);
      expect(response.status).toBe(status);
      expect(response.headers.get('x-of-the-forge')).toBe('yes');
      expect(await response.json()).toEqual({ message: 'text' });
    }
    expect(requests[0]?.headers).toMatchObject({
      authorization: `token ${TOKEN}`,
      'user-agent': 'modelhook',
    });
  });

  it('may be empty', async () => {
    const { url } = await serve((_, response) => response.writeHead(204).end());
    const response = await fetchOf(url)(url);
    expect([response.status, await response.text()]).toEqual([204, '']);
  });

  it('may be a page', async () => {
    const { url } = await serve((_, response) =>
      response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Sign in</html>'),
    );
    const response = await fetchOf(url)(url);
    expect(response.headers.get('content-type')).toBe('text/html');
    expect(await response.text()).toBe('<html>Sign in</html>');
  });

  it('is unpacked, and says nothing of how it was packed', async () => {
    const packed = gzipSync('{"a":1}');
    const { url } = await serve((_, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': packed.length }).end(packed),
    );
    const response = await fetchOf(url)(url);
    expect(await response.json()).toEqual({ a: 1 });
    expect(response.headers.get('content-encoding')).toBeNull();
    expect(response.headers.get('content-length')).toBeNull();
  });

  it('has the bytes that were sent', async () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    const { url } = await serve((_, response) => response.end(bytes));
    expect(new Uint8Array(await (await fetchOf(url)(url)).arrayBuffer())).toEqual(bytes);
  });

  it('to a POST comes after its body arrived', async () => {
    const { url } = await serve((request, response) => request.pipe(response.writeHead(201)));
    const headers = { 'content-type': 'application/json' };
    const response = await fetchOf(url)(url, { method: 'POST', headers, body: '{"state":"pending"}' });
    expect([response.status, await response.json()]).toEqual([201, { state: 'pending' }]);
  });

  it('that is too large is not read, packed or not', async () => {
    let sent = 0;
    const { url } = await serve((request, response) => {
      if (request.url === '/packed') {
        const packed = gzipSync(Buffer.alloc(9 * MiB));
        response.writeHead(200, { 'content-encoding': 'gzip' }).end(packed);
        return;
      }
      const more = () => {
        do sent += MiB;
        while (response.write(Buffer.alloc(MiB)));
      };
      response.on('drain', more);
      more();
    });
    for (const path of ['endless', 'packed']) {
      const error = await failure(fetchOf(url)(`${url}/${path}`, asked));
      expect(error.message).toBe(`the answer of ${url} is over 8 MiB`);
    }
    expect(sent).toBeLessThan(64 * MiB);
  });

  it('of just the largest size is read', async () => {
    const { url } = await serve((_, response) => response.end(Buffer.alloc(8 * MiB)));
    expect((await (await fetchOf(url)(url)).arrayBuffer()).byteLength).toBe(8 * MiB);
  });

  it('with a status that is none is no mistake of ours', async () => {
    const { url } = await serve((_, response) => response.writeHead(999).end());
    expect((await failure(fetchOf(url)(url, asked))).message).toContain('999');
  });
});

describe('a redirect', () => {
  it('on the same host is followed, with the token', async () => {
    const { url, requests } = await serve(({ url: path }, response) => {
      if (path === '/new?page=2') return response.end('found');
      return response
        .writeHead(path === '/old' ? 301 : 307, { location: path === '/old' ? '/older' : '/new?page=2' })
        .end();
    });
    const response = await fetchOf(`${url}/api/v1`)(`${url}/old`, asked);
    expect(await response.text()).toBe('found');
    expect(requests.map((request) => [request.url, request.headers.authorization])).toEqual(
      ['/old', '/older', '/new?page=2'].map((path) => [path, `token ${TOKEN}`]),
    );
  });

  it('to another host, port or scheme is not followed: nobody else gets the token', async () => {
    const other = await serve((_, response) => response.end('yes'));
    let location = '';
    const { url } = await serve((_, response) => response.writeHead(302, { location }).end());
    for (location of [
      other.url,
      other.url.replace('http:', ''),
      url.replace('http:', 'https:'),
      'file:///etc/passwd',
    ]) {
      const error = await failure(fetchOf(url)(`${url}/repos`, asked));
      expect(error.message).toMatch(
        /sends us to .*, where its token does not belong; correct the forge's url/,
      );
    }
    expect(other.requests).toEqual([]);
  });

  it('to what is no address is an error', async () => {
    let location = '';
    const { url } = await serve((_, response) => response.writeHead(302, { location }).end());
    for (location of ['http://[', 'http:///'])
      expect((await failure(fetchOf(url)(url, asked))).message).toContain('sends us to no address');
  });

  it('with a name and password says nothing of who we are', async () => {
    const { url, requests } = await serve(({ url: path }, response) =>
      path === '/new'
        ? response.end('found')
        : response.writeHead(302, { location: `${url.replace('//', '//user:password@')}/new` }).end(),
    );
    expect(await (await fetchOf(url)(url, asked)).text()).toBe('found');
    expect(requests[1]?.headers.authorization).toBe(`token ${TOKEN}`);
  });

  it('without an address is an answer', async () => {
    const { url } = await serve((_, response) => response.writeHead(301).end());
    expect((await fetchOf(url)(url)).status).toBe(301);
  });

  it.each(['POST', 'PUT', 'PATCH', 'DELETE'])(
    'of a %s is an answer: it would become a GET',
    async (method) => {
      const { url, requests } = await serve((_, response) =>
        response.writeHead(301, { location: '/new' }).end(),
      );
      const response = await fetchOf(url)(`${url}/old`, { method, ...asked });
      expect([response.status, response.headers.get('location')]).toEqual([301, '/new']);
      expect(requests.map((request) => request.url)).toEqual(['/old']);
    },
  );

  it('in circles ends', async () => {
    const { url, requests } = await serve((_, response) => response.writeHead(302, { location: '/' }).end());
    expect((await failure(fetchOf(url)(url, asked))).message).toBe(`${url} redirects in circles`);
    expect(requests.length).toBeLessThan(6);
  });
});

describe('a request', () => {
  it('that does not go to the forge is not made', async () => {
    const other = await serve((_, response) => response.end());
    const { url } = await serve((_, response) => response.end());
    for (const elsewhere of [other.url, '/repos', 'file:///etc/passwd'])
      expect((await failure(fetchOf(url)(elsewhere, asked))).message).toContain('gets none of its token');
    expect(other.requests).toEqual([]);
  });

  it('with a token that no header may carry does not show it', async () => {
    const { url, requests } = await serve((_, response) => response.end());
    for (const odd of ['\n', '\u0000', '™'])
      expect(
        (await failure(fetchOf(url)(url, { headers: { authorization: `token ${TOKEN}${odd}x` } }))).message,
      ).toContain('header authorization');
    expect(requests).toEqual([]);
  });

  it('can be given up by who made it', async () => {
    const { url } = await serve(() => undefined);
    const signal = AbortSignal.abort();
    await failure(fetchOf(url)(url, { ...asked, signal }));
  });
});

describe('a forge that fails', () => {
  it('by not listening is named with the reason', async () => {
    const { url } = await serve(() => undefined);
    for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve));
    const error = await failure(fetchOf(url)(url, asked));
    expect(error.message).toMatch(new RegExp(`^${url} cannot be reached: .*ECONNREFUSED`));
  });

  it('under a name with several addresses is, too', async () => {
    const addresses = [
      { address: '127.0.0.1', family: 4 },
      { address: '::1', family: 6 },
    ];
    type Found = (error: Error | null, found: typeof addresses) => void;
    const several = (_host: string, _options: object, found: Found) => found(null, addresses);
    vi.spyOn(dns, 'lookup').mockImplementation(several as unknown as typeof dns.lookup);
    const { url } = await serve(() => undefined);
    for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve));
    const named = url.replace('127.0.0.1', 'forge.test');
    const error = await failure(fetchOf(named)(named, asked));
    expect(error.message).toMatch(/cannot be reached: connect E[A-Z]+ (?:127\.0\.0\.1|::1):\d+/);
  });

  it('by a name that is none is, too', async () => {
    const url = 'http://no-such-host.invalid';
    expect((await failure(fetchOf(url)(url, asked))).message).toMatch(/cannot be reached: .*no-such-host/);
  });

  it('by ending the connection is, too', async () => {
    const { url } = await serve(({ url: path }, response) => {
      if (path === '/half') response.writeHead(200, { 'content-length': 100 }).write('half');
      setImmediate(() => response.destroy());
    });
    for (const path of ['none', 'half'])
      expect((await failure(fetchOf(url)(`${url}/${path}`, asked))).message).toMatch(/cannot be reached: ./);
  });

  it('by speaking no HTTP is, too', async () => {
    const server = createServer();
    server.on('connection', (socket: Socket) => socket.end('SSH-2.0-OpenSSH_9.9\r\n'));
    const url = `http://${await listen(server)}`;
    expect((await failure(fetchOf(url)(url, asked))).message).toMatch(/cannot be reached: ./);
  });

  it('by not answering, or not to the end, is given up', async () => {
    const { url } = await serve(({ url: path }, response) => {
      if (path === '/half') response.writeHead(200).write('half');
    });
    for (const path of ['never', 'half']) {
      const error = await failure(fetchOf(url, { timeout: 100 })(`${url}/${path}`, asked));
      expect(error.message).toBe(`${url} did not answer within 0.1 s`);
    }
  });
});

describe('a rate limit', () => {
  const NOW = Date.parse('2026-03-01T12:00:00Z');
  let clock = NOW;

  /** Asks a forge that refuses once. @returns how long it is to be waited, and what was asked for meanwhile */
  async function limited(status: number, headers: Record<string, string>, body = 'Retry later\n') {
    clock = NOW;
    let limits = true;
    const { url, requests } = await serve((_, response) =>
      limits ? response.writeHead(status, headers).end(body) : response.end('{}'),
    );
    const fetch = fetchOf(url, { now: () => clock });
    const error = await fetch(url, asked).then(
      () => null,
      (thrown: unknown) => thrown,
    );
    limits = false;
    return { error, fetch, url, requests };
  }

  it.each<[number, Record<string, string>, number]>([
    [429, { 'retry-after': '30' }, 30_000],
    [403, { 'retry-after': '30' }, 30_000],
    [429, { 'retry-after': 'Sun, 01 Mar 2026 12:00:30 GMT' }, 30_000],
    [429, { 'retry-after': '0' }, 1000],
    [429, { 'retry-after': '-5' }, 1000],
    [429, { 'retry-after': 'Sun, 01 Mar 2026 11:00:00 GMT' }, 1000],
    [429, { 'retry-after': '999999999' }, 3_600_000],
    [429, { 'retry-after': 'soon' }, 60_000],
    [429, {}, 60_000],
    [403, { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': `${NOW / 1000 + 90}` }, 90_000],
    [429, { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': `${NOW / 1000 + 90}` }, 90_000],
    [429, { 'ratelimit-remaining': '0', 'ratelimit-reset': `${NOW / 1000 + 90}` }, 90_000],
    [403, { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': 'never' }, 60_000],
    [
      403,
      { 'retry-after': '5', 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': `${NOW / 1000 + 90}` },
      5000,
    ],
  ])('told by %i with %j is waited for', async (status, headers, after) => {
    const { error } = await limited(status, headers);
    expect(error).toBeInstanceOf(WaitingError);
    expect(error).toMatchObject({ after, message: expect.stringContaining('limits how often it is asked') });
  });

  it.each<[number, Record<string, string>]>([
    [403, {}],
    [403, { 'x-ratelimit-remaining': '10', 'x-ratelimit-reset': `${NOW / 1000 + 90}` }],
    [200, { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': `${NOW / 1000 + 90}` }],
    [503, { 'retry-after': '30' }],
  ])('is not meant by %i with %j', async (status, headers) => {
    expect((await limited(status, headers)).error).toBeNull();
  });

  it('is kept by all requests until it is over', async () => {
    const { fetch, url, requests } = await limited(429, { 'retry-after': '30' });
    clock = NOW + 20_000;
    const error = await fetch(`${url}/other`, { method: 'POST', ...asked }).then(
      null,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(WaitingError);
    expect(error).toMatchObject({ after: 10_000 });
    expect(requests.length).toBe(1);
    clock = NOW + 30_000;
    expect((await fetch(url, asked)).status).toBe(200);
  });

  it.each(['authorization', 'Authorization', 'PRIVATE-TOKEN'])(
    'of one token in %s stops no other, and none without',
    async (header) => {
      clock = NOW;
      const limited = 'Bearer of-one-installation';
      const { url } = await serve(({ headers }, response) =>
        response
          .writeHead(headers[header.toLowerCase()] === limited ? 429 : 200, { 'retry-after': '30' })
          .end('{}'),
      );
      const fetch = fetchOf(url, { now: () => clock });
      const by = (token: string) => fetch(url, { headers: { [header]: token } });
      await expect(by(limited)).rejects.toMatchObject({ after: 30_000 });
      expect((await by('Bearer of-another')).status).toBe(200);
      expect((await fetch(url)).status).toBe(200);
      clock = NOW + 10_000;
      await expect(by(limited)).rejects.toMatchObject({ after: 20_000 });
    },
  );

  it('told twice lasts as long as the longer', async () => {
    clock = NOW;
    const { url } = await serve(({ url: path }, response) =>
      response.writeHead(429, { 'retry-after': path === '/long' ? '60' : '1' }).end(),
    );
    const fetch = fetchOf(url, { now: () => clock });
    await Promise.allSettled([fetch(`${url}/long`), fetch(`${url}/short`)]);
    await expect(fetch(url)).rejects.toMatchObject({ after: 60_000 });
  });
});

describe('an answer with an ETag', () => {
  it('that did not change is not sent again', async () => {
    const { url, requests } = await serve((request, response) => {
      const etag = '"one"';
      if (request.headers['if-none-match'] === etag) return response.writeHead(304, { etag }).end();
      return response.writeHead(200, { etag, link: '<next>' }).end('{"a":1}');
    });
    const fetch = fetchOf(url);
    for (const round of [1, 2, 3]) {
      const response = await fetch(url, asked);
      expect([round, response.status, response.headers.get('link')]).toEqual([round, 200, '<next>']);
      expect(await response.json()).toEqual({ a: 1 });
    }
    expect(requests.map(({ headers }) => headers['if-none-match'])).toEqual([undefined, '"one"', '"one"']);
  });

  it('is asked for anew by another token, in another form, and after it changed', async () => {
    let etag = '"one"';
    const { url, requests } = await serve((_, response) => response.writeHead(200, { etag }).end(etag));
    const fetch = fetchOf(url);
    await fetch(url, asked);
    await fetch(url, { headers: { authorization: 'token other' } });
    await fetch(url, { headers: { ...asked.headers, accept: 'text/plain' } });
    await fetch(url, { method: 'POST', ...asked });
    etag = '"two"';
    expect(await (await fetch(url, asked)).text()).toBe('"two"');
    await fetch(url, asked);
    expect(requests.map(({ headers }) => headers['if-none-match'])).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
      '"one"',
      '"two"',
    ]);
  });

  it('is found behind a redirect', async () => {
    const { url } = await serve((request, response) => {
      if (request.url === '/old') return response.writeHead(301, { location: '/new' }).end();
      if (request.headers['if-none-match'] === '"one"') return response.writeHead(304).end();
      return response.writeHead(200, { etag: '"one"' }).end('found');
    });
    const fetch = fetchOf(url);
    for (let round = 0; round < 2; round += 1) expect(await (await fetch(`${url}/old`)).text()).toBe('found');
  });

  it('is kept only where it is small, and no more than some hundreds', async () => {
    const { url, requests } = await serve((request, response) =>
      response
        .writeHead(200, { etag: `"${request.url}"` })
        .end(Buffer.alloc(request.url === '/large' ? 65 * 1024 : 1)),
    );
    const fetch = fetchOf(url);
    for (const path of ['large', 'large', ...Array.from({ length: 250 }, (_, n) => `${n}`), '0', '249'])
      await fetch(`${url}/${path}`);
    const conditional = requests
      .filter(({ headers }) => headers['if-none-match'])
      .map((request) => request.url);
    expect(conditional).toEqual(['/249']);
  });
});

describe('with a private CA', () => {
  let folder: string;
  const pem = (name: string) => join(folder, `${name}.pem`);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'modelhook-ca-'));
    const subject = ['-subj', '/CN=modelhook test CA', '-keyout', pem('ca-key'), '-out', pem('ca')];
    openssl(
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '2',
      ...subject,
    );
    const request = ['-subj', '/CN=forge', '-keyout', pem('key'), '-out', pem('request')];
    openssl(
      'req',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-addext',
      'subjectAltName=DNS:localhost',
      ...request,
    );
    const signing = [
      '-CA',
      pem('ca'),
      '-CAkey',
      pem('ca-key'),
      '-CAcreateserial',
      '-copy_extensions',
      'copy',
    ];
    openssl('x509', '-req', '-in', pem('request'), '-days', '2', '-out', pem('certificate'), ...signing);
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  async function serveSecurely(): Promise<{ port: string; url: string }> {
    const keys = { key: readFileSync(pem('key')), cert: readFileSync(pem('certificate')) };
    const host = await listen(createSecureServer(keys, (_, response) => response.end('private')));
    const port = host.split(':')[1] ?? '';
    return { port, url: `https://localhost:${port}` };
  }

  it('its forge is trusted, and only under its name', async () => {
    const { url } = await serveSecurely();
    expect(await (await fetchOf(url, { ca: pem('ca') })(url, asked)).text()).toBe('private');
    const byAddress = url.replace('localhost', '127.0.0.1');
    const error = await failure(fetchOf(byAddress, { ca: pem('ca') })(byAddress, asked));
    expect(error.message).toContain('cannot be reached');
  });

  it('that is not configured, the forge is not trusted', async () => {
    const { url } = await serveSecurely();
    expect((await failure(fetchOf(url)(url, asked))).message).toMatch(/cannot be reached: .*certificate/);
  });

  it('whose file is gone, the file is named', async () => {
    const { url } = await serveSecurely();
    expect((await failure(fetchOf(url, { ca: pem('gone') })(url, asked))).message).toContain('gone.pem');
  });

  it('its forge is reached through a proxy, which sees neither token nor answer', async () => {
    const { url, port } = await serveSecurely();
    const tunnels: (string | undefined)[] = [];
    const seen: Buffer[] = [];
    const proxy = createServer();
    proxy.on('connect', (request: IncomingMessage, client: Socket) => {
      tunnels.push(request.url);
      const forge = connect(Number(port), '127.0.0.1', () => client.write('HTTP/1.1 200 OK\r\n\r\n'));
      client.on('data', (chunk: Buffer) => seen.push(chunk));
      client.pipe(forge).pipe(client);
      for (const socket of [client, forge]) socket.on('error', () => undefined);
    });
    vi.stubEnv('HTTPS_PROXY', `http://${await listen(proxy)}`);
    const fetch = fetchOf(url, { ca: pem('ca') });
    expect(await (await fetch(url, asked)).text()).toBe('private');
    expect(tunnels).toEqual([`localhost:${port}`]);
    expect(Buffer.concat(seen).toString('latin1')).not.toContain(TOKEN);
    vi.stubEnv('NO_PROXY', 'localhost');
    expect(await (await fetchOf(url, { ca: pem('ca') })(url, asked)).text()).toBe('private');
    expect(tunnels.length).toBe(1);
  });
});

describe('a proxy', () => {
  /** A proxy that answers in the place of the forge. */
  const proxied = () =>
    serve((request, response) =>
      response.end(`for ${request.url} with ${request.headers['proxy-authorization']}`),
    );

  it.each(['HTTP_PROXY', 'http_proxy'])(
    'named by %s is asked in the place of the forge',
    async (variable) => {
      const { url } = await proxied();
      vi.stubEnv(variable, url.replace('//', '//user:password@'));
      const answer = await fetchOf('http://forge.invalid/api')('http://forge.invalid/api/repos', asked);
      const credentials = Buffer.from('user:password').toString('base64');
      expect(await answer.text()).toBe(`for http://forge.invalid/api/repos with Basic ${credentials}`);
    },
  );

  it('is passed by for what NO_PROXY names', async () => {
    const proxy = await proxied();
    const { url } = await serve((_, response) => response.end('direct'));
    vi.stubEnv('HTTP_PROXY', proxy.url);
    vi.stubEnv('NO_PROXY', '127.0.0.1');
    expect(await (await fetchOf(url)(url, asked)).text()).toBe('direct');
    expect(proxy.requests).toEqual([]);
  });

  it('that is not there, or refuses, is a failure like any other', async () => {
    const refusing = createServer();
    refusing.on('connect', (_: IncomingMessage, client: Socket) => client.end('HTTP/1.1 407 No\r\n\r\n'));
    vi.stubEnv('HTTPS_PROXY', `http://user:${TOKEN}@${await listen(refusing)}`);
    expect(
      (await failure(fetchOf('https://forge.invalid')('https://forge.invalid', asked))).message,
    ).toContain('407');
    vi.stubEnv('HTTPS_PROXY', 'http://127.0.0.1:1');
    await failure(fetchOf('https://forge.invalid')('https://forge.invalid', asked));
    vi.stubEnv('HTTPS_PROXY', 'no address');
    await failure(fetchOf('https://forge.invalid')('https://forge.invalid', asked));
  });
});
