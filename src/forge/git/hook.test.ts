import { execFile, execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { platform, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { CLEAN_GIT, GitRepository } from '../../../test/git-repository.ts';
import {
  type ReceivedRequest,
  startWebhookServer,
  type WebhookServer,
} from '../../../test/webhook-server.ts';
import { StalledError } from '../../core/errors.ts';
import type { RefMove } from '../../core/ref-event.ts';
import { installHook } from './hook.ts';
import { createGitWebhooks } from './webhooks.ts';

const SECRET = `it's a "secret" $(with) \`signs\` äöü % \\n and more than sixty-four bytes of it`;
const NEEDED = ['git', 'sh', 'cat', 'sed', 'mktemp', 'mv', 'od', 'tr', 'sleep', 'rm', 'dirname', 'env'];

const found = (command: string): string | null => {
  try {
    return execFileSync('sh', ['-c', `command -v ${command}`])
      .toString()
      .trim();
  } catch {
    return null;
  }
};
const lacks = ['curl', 'openssl'].filter((tool) => found(tool) === null);

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'modelhook-hook-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }));

/** The server's repository, and the one that somebody pushes from. */
interface Site {
  bare: GitRepository;
  work: GitRepository;
}

let sites = 0;
function makeSite(): Site {
  sites += 1;
  const bare = GitRepository.create(join(folder, `server-${sites}`, 'ml', 'iris.git'));
  const work = GitRepository.create(join(folder, `work-${sites}.git`));
  work.commit({ 'README.md': '# Iris' });
  return { bare, work };
}

interface Pushed {
  code: number;
  /** What the person who pushes reads. */
  text: string;
}

function push({ bare, work }: Site, refspecs: string[], env: Record<string, string> = {}): Promise<Pushed> {
  return new Promise((resolve) => {
    const args = ['push', '--', bare.dir, ...refspecs];
    const environment = { ...CLEAN_GIT, no_proxy: '*', GIT_DIR: work.dir, ...env };
    execFile(found('git') ?? 'git', args, { env: environment }, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code) : 0, text: stdout + stderr });
    });
  });
}

/** What the receiver of the forge makes of what the hook sent. */
function movesOf(requests: readonly ReceivedRequest[], secret = SECRET): Omit<RefMove, 'projectId'>[] {
  const { receive } = createGitWebhooks('plain', [secret]);
  return requests.flatMap(({ headers, body }) => {
    const header = (name: string) => headers[name.toLowerCase()]?.toString();
    const delivery = receive({ header, body });
    if (delivery.kind !== 'refs') throw new Error(`${delivery.kind}: ${delivery.reason}`);
    return delivery.moves.map(({ repository, ref, before, after }) => ({ repository, ref, before, after }));
  });
}

/** A folder of commands for PATH: those the hook needs, and what a test puts beside them. */
function commands(name: string, scripts: Record<string, string>): string {
  const bin = join(folder, name);
  mkdirSync(bin);
  for (const command of NEEDED.filter((each) => !(each in scripts))) {
    const path = found(command);
    if (path) symlinkSync(path, join(bin, command));
  }
  for (const [command, script] of Object.entries(scripts))
    writeFileSync(join(bin, command), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return bin;
}

/** Scripts that stand for commands of this machine. */
const linksTo = (...tools: string[]): Record<string, string> =>
  Object.fromEntries(tools.map((tool) => [tool, `exec ${found(tool)} "$@"`]));

const install = (dir: string, url: string, secret = SECRET, path = 'ml/iris') =>
  installHook({ dir, path, url: `${url}/webhooks/plain`, secret });

describe.skipIf(lacks.length > 0)(
  `the post-receive hook (the machine lacks ${lacks.join(', ') || 'nothing'})`,
  () => {
    let server: WebhookServer;
    let site: Site;
    beforeEach(async () => {
      server = await startWebhookServer();
      site = makeSite();
    });
    afterEach(() => server.close());

    describe('reports', () => {
      it('every branch and tag of a push, signed as the forge expects, with a delivery id each', async () => {
        const { bare, work } = site;
        install(bare.dir, server.url);
        const first = work.commit({ 'a.txt': 'a' });
        work.point('refs/tags/v1.0.0', first);
        const object = work.annotate('refs/tags/v1.1.0', first);
        const { code, text } = await push(site, ['refs/heads/main', 'refs/tags/*']);
        expect(code, text).toBe(0);
        const created = { repository: 'plain:ml/iris', before: null, after: first };
        expect(movesOf(server.received).toSorted((a, b) => (a.ref < b.ref ? -1 : 1))).toEqual([
          { ...created, ref: 'refs/heads/main' },
          { ...created, ref: 'refs/tags/v1.0.0' },
          { ...created, ref: 'refs/tags/v1.1.0' },
        ]);
        expect(bare.read('refs/tags/v1.1.0')).toBe(object);
        const ids = server.received.map(({ headers }) => headers['x-modelhook-delivery']);
        expect(new Set(ids).size).toBe(3);
        expect(server.received.map(({ path }) => path)).toEqual(Array(3).fill('/webhooks/plain'));
        expect(server.received[0]?.headers['content-type']).toBe('application/json');
        expect(text).toContain('modelhook: reported refs/tags/v1.0.0');
      });

      it('moves and deletions, of annotated tags by their commits', async () => {
        const { bare, work } = site;
        const first = work.commit({ 'a.txt': 'a' });
        work.annotate('refs/tags/v1', first);
        await push(site, ['refs/heads/main', 'refs/tags/v1']);
        install(bare.dir, server.url);
        const second = work.commit({ 'a.txt': 'b' });
        work.annotate('refs/tags/v1', second);
        await push(site, ['+refs/tags/v1']);
        await push(site, [':refs/tags/v1']);
        expect(movesOf(server.received)).toEqual([
          { repository: 'plain:ml/iris', ref: 'refs/tags/v1', before: first, after: second },
          { repository: 'plain:ml/iris', ref: 'refs/tags/v1', before: second, after: null },
        ]);
      });

      it('names as they are: quotes, shell signs, other scripts', async () => {
        install(site.bare.dir, server.url, SECRET, `ml/it's "iris" & 模型`);
        const tags = [
          '"quoted"',
          "it's",
          '$(touch${IFS}owned)',
          '`owned`',
          'a;b',
          '%s%n',
          'früh',
          '模型',
          '&',
          '!1',
          '#1',
          "'",
        ];
        for (const tag of tags) site.work.point(`refs/tags/${tag}`, site.work.read('refs/heads/main') ?? '');
        const { code, text } = await push(site, ['refs/tags/*']);
        expect(code, text).toBe(0);
        const moves = movesOf(server.received);
        expect(moves.map(({ ref }) => ref).toSorted()).toEqual(
          tags.map((tag) => `refs/tags/${tag}`).toSorted(),
        );
        expect(new Set(moves.map(({ repository }) => repository))).toEqual(
          new Set([`plain:ml/it's "iris" & 模型`]),
        );
        expect(readdirSync(site.bare.dir)).not.toContain('owned');
      });

      it('nothing of refs that are neither branch nor tag', async () => {
        install(site.bare.dir, server.url);
        await push(site, ['refs/heads/main:refs/notes/modelhook', 'refs/heads/main:refs/heads/main']);
        expect(movesOf(server.received).map(({ ref }) => ref)).toEqual(['refs/heads/main']);
      });

      it('the names of a SHA-256 repository', async () => {
        const bare = GitRepository.create(join(folder, `sha256-${sites}.git`), 'sha256');
        const work = GitRepository.create(join(folder, `sha256-work-${sites}.git`), 'sha256');
        const after = work.commit({ 'README.md': '# Iris' });
        install(bare.dir, server.url);
        await push({ bare, work }, ['refs/heads/main']);
        expect(movesOf(server.received)).toMatchObject([{ before: null, after }]);
      });

      it.each(['short', 'x'.repeat(64), 'x'.repeat(65), 'ä'.repeat(40), '\u0001\u007f'])(
        'with the secret %j',
        async (secret) => {
          install(site.bare.dir, server.url, secret);
          await push(site, ['refs/heads/main']);
          expect(movesOf(server.received, secret)).toHaveLength(1);
        },
      );

      it.for([
        ['dash', '#!@dash@'],
        ['bash --posix', '#!@bash@ --posix'],
        ['busybox sh', '#!@busybox@ sh'],
        ['ksh', '#!@ksh@'],
      ])('under %s', async ([shell = '', line = ''], { skip }) => {
        const path = found(shell.split(' ')[0] ?? '');
        if (path === null) return skip(`the machine has no ${shell}`);
        const hook = install(site.bare.dir, server.url);
        writeFileSync(
          hook,
          readFileSync(hook, 'utf8').replace(/^#!\/bin\/sh\n/, `${line.replace(/@.*@/, path)}\n`),
        );
        site.work.point('refs/tags/v1', site.work.read('refs/heads/main') ?? '');
        const { code, text } = await push(site, ['refs/heads/main', 'refs/tags/v1']);
        expect(code, text).toBe(0);
        expect(movesOf(server.received).map(({ ref }) => ref)).toEqual(['refs/heads/main', 'refs/tags/v1']);
      });
    });

    describe('keeps its secret', () => {
      const withoutSecret = (text: string) => {
        expect(text).not.toContain(SECRET);
        expect(text).not.toContain(SECRET.slice(0, 20));
      };

      it('out of the arguments and the environment of every command it runs', async () => {
        const log = join(folder, `commands-${sites}.log`);
        writeFileSync(log, '');
        const record = (command: string) =>
          `{ echo "${command} $*"; env; } >>'${log}'; exec ${found(command)} "$@"`;
        const bin = commands(`recording-${sites}`, { curl: record('curl'), openssl: record('openssl') });
        install(site.bare.dir, server.url);
        const { code, text } = await push(site, ['refs/heads/main'], { PATH: bin });
        expect(code, text).toBe(0);
        expect(movesOf(server.received)).toHaveLength(1);
        const seen = readFileSync(log, 'utf8');
        expect(seen).toMatch(/^openssl dgst -sha256/m);
        expect(seen).toMatch(/^curl .*--data-binary @-/m);
        withoutSecret(seen);
        withoutSecret(text);
      });

      it.skipIf(platform() !== 'linux')(
        'out of what the machine shows of its processes (needs /proc)',
        async () => {
          let answer: (status: number) => void = () => {};
          const held = new Promise<number>((resolve) => {
            answer = resolve;
          });
          const slow = await startWebhookServer(() => held);
          install(site.bare.dir, slow.url);
          const pushing = push(site, ['refs/heads/main']);
          await slow.until(1);
          const processes = readdirSync('/proc')
            .filter((name) => /^\d+$/.test(name))
            .map((pid) => [`/proc/${pid}/cmdline`, `/proc/${pid}/environ`].map(readIfThere).join('\n'));
          answer(202);
          await pushing;
          await slow.close();
          const ours = processes.filter((each) => each.includes(slow.url));
          expect(ours.some((each) => each.includes('curl'))).toBe(true);
          for (const each of ours) withoutSecret(each);
        },
      );

      it('out of the hook, and in files that only the owner of the repository can read', () => {
        const { bare } = site;
        const hook = install(bare.dir, server.url);
        withoutSecret(readFileSync(hook, 'utf8'));
        const modes = Object.fromEntries(
          readdirSync(join(bare.dir, 'hooks'))
            .filter(
              (name) =>
                name.startsWith('modelhook') ||
                (name.startsWith('post-receive') && !name.endsWith('.sample')),
            )
            .map((name) => [name, (statSync(join(bare.dir, 'hooks', name)).mode & 0o777).toString(8)]),
        );
        expect(modes).toEqual({
          'modelhook-inner.key': '600',
          'modelhook-outer.key': '600',
          'post-receive': '755',
        });
        const owner = statSync(bare.dir).uid;
        for (const name of Object.keys(modes))
          expect(statSync(join(bare.dir, 'hooks', name)).uid).toBe(owner);
      });

      it('in files that only their owner can read also where an installation was cut short before', () => {
        const hooks = join(site.bare.dir, 'hooks');
        mkdirSync(hooks, { recursive: true });
        writeFileSync(join(hooks, 'modelhook-inner.key.new'), 'left behind', { mode: 0o644 });
        install(site.bare.dir, server.url);
        expect((statSync(join(hooks, 'modelhook-inner.key')).mode & 0o777).toString(8)).toBe('600');
      });
    });

    describe('never fails a push', () => {
      it.concurrent('when the controller is down, and reports once it is back', async () => {
        const there = makeSite();
        const before = await startWebhookServer();
        await before.close();
        install(there.bare.dir, before.url);
        const { code, text } = await push(there, ['refs/heads/main']);
        expect(code, text).toBe(0);
        expect(there.bare.read('refs/heads/main')).toBe(there.work.read('refs/heads/main'));
        expect(text).toContain('modelhook: reporting goes on in the background');
        const back = await startWebhookServer(() => 202, before.port);
        await back.until(1);
        expect(movesOf(back.received)).toHaveLength(1);
        await back.close();
      });

      it.concurrent('when the controller fails, and reports once it does not', async () => {
        const there = makeSite();
        let status = 503;
        const failing = await startWebhookServer(() => status);
        install(there.bare.dir, failing.url);
        const { code, text } = await push(there, ['refs/heads/main']);
        expect(code, text).toBe(0);
        status = 202;
        const tries = failing.received.length;
        await failing.until(tries + 1);
        expect(new Set(failing.received.map(({ body }) => body.toString())).size).toBe(1);
        expect(new Set(failing.received.map(({ headers }) => headers['x-modelhook-delivery'])).size).toBe(1);
        await failing.close();
      });

      it.concurrent('when the controller refuses, and says so', async () => {
        const there = makeSite();
        const refusing = await startWebhookServer(() => 401);
        install(there.bare.dir, refusing.url);
        const { code, text } = await push(there, ['refs/heads/main']);
        expect(code, text).toBe(0);
        expect(text).toMatch(/modelhook: could not report refs\/heads\/main: http:\S+ answered 401/);
        await refusing.close();
      });

      it.concurrent('when the controller dies under the request: it is told once more', async () => {
        const there = makeSite();
        let requests = 0;
        const dying = createServer((incoming, outgoing) => {
          requests += 1;
          if (requests === 1) incoming.socket.destroy();
          else incoming.resume().on('end', () => outgoing.writeHead(202).end());
        });
        await new Promise<void>((resolve) => dying.listen(0, '127.0.0.1', resolve));
        install(there.bare.dir, `http://127.0.0.1:${(dying.address() as AddressInfo).port}`);
        const { code, text } = await push(there, ['refs/heads/main']);
        expect(code, text).toBe(0);
        expect(text).toContain('modelhook: reported refs/heads/main');
        expect(requests).toBe(2);
        dying.closeAllConnections();
        await new Promise((resolve) => dying.close(resolve));
      });

      it.concurrent('and reports what nobody took with the next one', async () => {
        const there = makeSite();
        const first = there.work.commit({ 'a.txt': 'a' });
        there.work.point('refs/tags/v1.0.0', first);
        const gone = await startWebhookServer();
        await gone.close();
        install(there.bare.dir, gone.url);
        // The pauses between tries are what takes a minute; nobody needs to wait for them here.
        const hurried = { PATH: commands('hurried', { ...linksTo('curl', 'openssl'), sleep: 'exit 0' }) };
        await push(there, ['refs/tags/v1.0.0'], hurried);
        const kept = join(there.bare.dir, 'hooks/modelhook.unreported');
        await expect.poll(() => existsSync(kept), { timeout: 30_000 }).toBe(true);

        const back = await startWebhookServer(() => 202, gone.port);
        there.work.point('refs/tags/v2.0.0', first);
        await push(there, ['refs/tags/v2.0.0']);
        await back.until(2);
        expect(movesOf(back.received).map(({ ref }) => ref)).toEqual([
          'refs/tags/v1.0.0',
          'refs/tags/v2.0.0',
        ]);
        expect(existsSync(kept)).toBe(false);
        await back.close();
      });

      it.concurrent('nor holds it up for as long as the controller takes', async () => {
        const there = makeSite();
        let answered = false;
        let answer: (status: number) => void = () => {};
        const held = new Promise<number>((resolve) => {
          answer = resolve;
        });
        const hanging = await startWebhookServer(async () => {
          const status = await held;
          answered = true;
          return status;
        });
        install(there.bare.dir, hanging.url);
        const { code, text } = await push(there, ['refs/heads/main']);
        expect(answered).toBe(false);
        expect(code, text).toBe(0);
        expect(hanging.received).toHaveLength(1);
        answer(202);
        await hanging.close();
      });

      it.each([
        ['curl', 'openssl'],
        ['openssl', 'curl'],
      ])('when %s is missing, and says so', async (missing, present) => {
        const bin = commands(`without-${missing}`, { [present]: `exec ${found(present)} "$@"` });
        install(site.bare.dir, server.url);
        const { code, text } = await push(site, ['refs/heads/main'], { PATH: bin });
        expect(code, text).toBe(0);
        expect(text).toMatch(new RegExp(`modelhook: .*${missing}`));
        expect(site.bare.read('refs/heads/main')).not.toBeNull();
      });

      it('when there is nowhere to write, and says so', async () => {
        install(site.bare.dir, server.url);
        const { code, text } = await push(site, ['refs/heads/main'], {
          TMPDIR: join(folder, 'no-such-folder'),
        });
        expect(code, text).toBe(0);
        expect(text).toMatch(/modelhook|mktemp/);
      });

      it.skipIf(platform() !== 'linux')('and leaves no process behind (needs /proc)', async () => {
        const mark = `MODELHOOK_TEST_PUSH=${site.work.dir}`;
        const marked = () =>
          readdirSync('/proc')
            .filter((name) => /^\d+$/.test(name) && readIfThere(`/proc/${name}/environ`).includes(mark))
            .map((pid) => readIfThere(`/proc/${pid}/cmdline`).replaceAll('\0', ' '));
        let during = '';
        const looking = await startWebhookServer(() => {
          during = marked().join('\n');
          return 202;
        });
        install(site.bare.dir, looking.url);
        await push(site, ['refs/heads/main'], { MODELHOOK_TEST_PUSH: site.work.dir });
        await looking.close();
        expect(during).toContain('curl');
        expect(marked()).toEqual([]);
      });
    });

    describe('when it is installed', () => {
      it('does not take the place of somebody else’s hook, and says what to do', () => {
        const hook = join(site.bare.dir, 'hooks', 'post-receive');
        site.bare.hook('post-receive', 'echo mine');
        const before = readFileSync(hook, 'utf8');
        expect(() => install(site.bare.dir, server.url)).toThrow(StalledError);
        expect(() => install(site.bare.dir, server.url)).toThrow(
          /post-receive is another hook; move it away/,
        );
        expect(readFileSync(hook, 'utf8')).toBe(before);
        expect(existsSync(join(site.bare.dir, 'hooks', 'modelhook-inner.key'))).toBe(false);
      });

      it('takes the place of an earlier one of ours: a new secret, a new address', async () => {
        install(site.bare.dir, 'http://127.0.0.1:1', 'the old secret');
        install(site.bare.dir, server.url, 'the new secret');
        await push(site, ['refs/heads/main']);
        expect(movesOf(server.received, 'the new secret')).toHaveLength(1);
      });

      it('leaves nothing else in the folder of hooks', () => {
        const before = readdirSync(join(site.bare.dir, 'hooks'));
        install(site.bare.dir, server.url);
        install(site.bare.dir, server.url);
        const added = readdirSync(join(site.bare.dir, 'hooks')).filter((name) => !before.includes(name));
        expect(added.toSorted()).toEqual(['modelhook-inner.key', 'modelhook-outer.key', 'post-receive']);
      });

      it('makes the folder of hooks where the repository has none', async () => {
        rmSync(join(site.bare.dir, 'hooks'), { recursive: true });
        install(site.bare.dir, server.url);
        await push(site, ['refs/heads/main']);
        expect(server.received).toHaveLength(1);
      });
    });
  },
);

function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
