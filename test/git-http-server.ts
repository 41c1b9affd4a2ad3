/** A Git server over HTTP, as `git http-backend` makes one: smart HTTP behind a password. */
import { execFileSync, spawn } from 'node:child_process';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { CLEAN_GIT } from './git-repository.ts';

export interface GitHttpServer {
  url: string;
  /** The Authorization header of each request, in order; undefined where there was none. */
  authorizations: (string | undefined)[];
  close(): Promise<void>;
}

export interface GitHttpOptions {
  /** The password that is asked for; none: everybody may. */
  password?: string;
  /** Where requests are sent on to, once the password was right; null: they are answered here. */
  redirect?: string | null;
}

/** @param root the folder of the repositories */
export async function startGitHttpServer(
  root: string,
  { password, redirect = null }: GitHttpOptions = {},
): Promise<GitHttpServer> {
  const backend = join(execFileSync('git', ['--exec-path']).toString().trim(), 'git-http-backend');
  const authorizations: (string | undefined)[] = [];

  const server = createServer((request, response) => {
    const { authorization } = request.headers;
    authorizations.push(authorization);
    const [, given] = Buffer.from(authorization?.replace(/^Basic /, '') ?? '', 'base64')
      .toString()
      .split(':');
    if (password !== undefined && given !== password)
      response.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end();
    else if (redirect !== null) response.writeHead(302, { location: `${redirect}${request.url}` }).end();
    else answer(backend, root, request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    authorizations,
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/** One CGI request (RFC 3875). */
function answer(backend: string, root: string, request: IncomingMessage, response: ServerResponse): void {
  const { pathname, search } = new URL(request.url ?? '', 'http://server');
  const child = spawn(backend, {
    env: {
      ...CLEAN_GIT,
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: '1',
      GIT_PROTOCOL: request.headers['git-protocol']?.toString(),
      HTTP_CONTENT_ENCODING: request.headers['content-encoding'],
      REQUEST_METHOD: request.method,
      PATH_INFO: decodeURIComponent(pathname),
      QUERY_STRING: search.slice(1),
      CONTENT_TYPE: request.headers['content-type'],
      REMOTE_USER: 'modelhook',
      REMOTE_ADDR: '127.0.0.1',
    },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  child.stdin.on('error', () => {});
  request.pipe(child.stdin);
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.once('close', () => {
    const output = Buffer.concat(chunks);
    const end = output.indexOf('\r\n\r\n');
    let status = 200;
    for (const line of output.toString('latin1', 0, end).split('\r\n')) {
      const [name = '', value = ''] = line.split(/: (.*)/s);
      if (name.toLowerCase() === 'status') status = Number.parseInt(value, 10);
      else response.setHeader(name, value);
    }
    response.writeHead(status).end(output.subarray(end + 4));
  });
}
