// The logger interface and its implementation on pino.

import { pino } from 'pino';

/** Structured fields first, then a stable event phrase; the shape of pino. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** Writes JSON lines to stderr, each with the fields of `base`; stdout is for the output of commands. */
export function createLogger(level: string, base: Readonly<Record<string, unknown>> | null = null): Logger {
  return pino({ level, base, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination(2));
}
