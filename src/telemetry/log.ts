/** The log: one JSON object a line on standard error. */
import { pino } from 'pino';

/** What the rest of modelhook needs of a logger. Fields first, then one sentence. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * @param level what is left out below it
 * @param fd the file descriptor it writes to, synchronously, so that nothing is lost when the process is killed
 */
export function createLog(level: LogLevel, fd = 2): Log {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    pino.destination({ fd, sync: true }),
  );
}
