/** `modelhook serve`: the controller. */
import { Command, Option } from 'commander';
import { loadConfig } from '../config.ts';
import { messageOf } from '../core/errors.ts';
import { createLog, LOG_LEVELS, type LogLevel } from '../telemetry/log.ts';
import { UsageError } from './usage-error.ts';

interface ServeOptions {
  config: string;
  logLevel: LogLevel;
}

export const serveCommand = (): Command =>
  new Command('serve')
    .description('Run the controller: take webhooks, deliver what policies say, report on the model commits.')
    .requiredOption('-c, --config <file>', 'modelhook.yaml')
    .addOption(
      new Option('--log-level <level>', 'what is logged on standard error')
        .choices(LOG_LEVELS)
        .default('info'),
    )
    .addHelpText('after', '\nExample:\n  modelhook serve --config /etc/modelhook/modelhook.yaml\n')
    .action(serve);

/** What a configuration holds may still be of no use, such as a key that is none. */
function composed<Service>(compose: () => Service): Service {
  try {
    return compose();
  } catch (error) {
    if (error instanceof TypeError) throw error;
    throw new UsageError(messageOf(error));
  }
}

async function serve({ config: file, logLevel }: ServeOptions): Promise<void> {
  const config = loadConfig(file);
  const log = createLog(logLevel);
  const { compose } = await import('../compose.ts');
  const service = composed(() => compose(config, log));

  const { promise: asked, resolve: stop } = Promise.withResolvers<NodeJS.Signals>();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      // A second one does not wait: rows and leases make that safe.
      process.once(signal, () => process.exit(1));
      stop(signal);
    });
  }
  try {
    await service.start();
    log.info({ signal: await asked }, 'stopping');
  } finally {
    await service.stop();
  }
}
