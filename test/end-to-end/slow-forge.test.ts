import { createServer, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { sign } from '../../src/forge/git/webhooks.ts';
import { freePort, makeControllerSite, POLICY, SECRET, until } from '../controller-site.ts';

const HANGING = 40;

test('a forge that accepts connections and never answers delays no other', async () => {
  const sockets = new Set<Socket>();
  const silent = createServer((socket) => {
    socket.on('error', () => {});
    sockets.add(socket);
  });
  const port = await freePort();
  await new Promise<void>((resolve) => silent.listen(port, '127.0.0.1', resolve));
  const secret = [{ file: './secret' }];
  const site = await makeControllerSite({
    policy: POLICY.replace('["plain:ml/*"]', '["plain:ml/*", "slow:ml/*"]'),
    config: {
      forges: {
        plain: { kind: 'git', url: './git', webhookSecrets: secret },
        slow: { kind: 'git', url: `http://127.0.0.1:${port}`, webhookSecrets: secret },
      },
    },
  });
  try {
    await site.makeModels(['ml/iris']);
    await site.start();
    for (let n = 0; n < HANGING; n += 1) {
      const body = JSON.stringify({
        repository: `ml/model-${n}`,
        before: '0'.repeat(40),
        after: 'a'.repeat(40),
        ref: 'refs/tags/v1',
      });
      const headers = {
        'content-type': 'application/json',
        'x-modelhook-signature-256': sign(SECRET, body),
        'x-modelhook-delivery': `slow-${n}`,
      };
      const { status } = await fetch(`${site.url}/webhooks/slow`, { method: 'POST', body, headers });
      expect(status).toBe(202);
    }
    const sha = await site.tag('ml/iris', 'v1');
    expect(await site.deliver('ml/iris', 'refs/tags/v1', sha, 'iris')).toBe(202);
    await until(
      async () => {
        const response = await fetch(`${site.url}/api/v1/rollouts?repository=plain:ml/iris`);
        const { items } = (await response.json()) as { items: { phase: string }[] };
        return items[0]?.phase === 'delivered';
        // What hangs is given up after 30 seconds, and would let others go then.
      },
      20,
      20_000,
    );
    expect(sockets.size).toBeGreaterThan(0);
  } finally {
    await site.remove();
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => silent.close(resolve));
  }
});
