/** `modelhook demo`: the whole path on this machine, with real Git repositories and no account anywhere. */
import { rmSync } from 'node:fs';
import { Command, InvalidArgumentError } from 'commander';
import { loadConfig } from '../config.ts';
import { createLog } from '../telemetry/log.ts';
import { createNarrator } from './demo-narrator.ts';
import { makeDemoSite } from './demo-site.ts';
import { registerWebhook } from './webhook.ts';

interface DemoOptions {
  port: number;
  once: boolean;
}

export const demoCommand = (): Command =>
  new Command('demo')
    .description(
      'Show the whole path on this machine: push a tag, read the commit it made and the status it got.',
    )
    .option('--port <number>', 'the port of the dashboard (default: a free one)', parsePort, 0)
    .option('--once', 'end when the rollout is final', false)
    .addHelpText('after', '\nExample:\n  modelhook demo --once\n')
    .action(demo);

function parsePort(text: string): number {
  const port = Number(text);
  if (Number.isInteger(port) && port >= 0 && port <= 65_535) return port;
  throw new InvalidArgumentError('a port is a number from 0 to 65535');
}

async function demo({ port, once }: DemoOptions): Promise<void> {
  const say = (text: string) => process.stdout.write(`${text}\n`);
  const { promise: interrupted, resolve: interrupt } = Promise.withResolvers<void>();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => interrupt());

  const site = makeDemoSite(port);
  const remove = () => rmSync(site.root, { recursive: true, force: true, maxRetries: 3 });
  process.once('exit', remove);
  const { compose } = await import('../compose.ts');
  const config = loadConfig(site.configFile);
  const service = compose(config, createLog('warn'));
  try {
    const { url } = await service.start();
    const narrator = createNarrator({ service, site, say });
    say(`The controller listens at ${url}. Repositories and work trees are in ${site.root}.\n`);
    for (const repository of [site.model, site.policies])
      await registerWebhook(config, repository, { url, kind: 'repository' });
    if (!site.hooksReport)
      say('curl or openssl is missing, so hooks cannot report: refs are listed every second instead.\n');
    await Promise.race([narrator.ready(), interrupted]);

    const tag = 'v1.0.0';
    say(`$ git push origin ${tag}        # in ${site.modelTree}`);
    narrator.begin();
    say(await site.push([tag]));
    const final = await Promise.race([narrator.finished(tag), interrupted]);
    if (once) {
      if (final?.phase !== 'delivered') process.exitCode = 1;
      return;
    }
    say(`
Push another tag by hand, and watch it arrive here:

  cd ${site.modelTree}
  git commit --allow-empty -m 'Train again' && git tag v1.1.0 && git push origin v1.1.0

Rollouts: ${url}/        Policies: ${site.policiesTree}        Ctrl-C ends the demo and removes ${site.root}.
`);
    await interrupted;
  } finally {
    await service.stop();
    remove();
    say('The demo has ended and left nothing behind.');
  }
}
