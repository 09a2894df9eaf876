// Settings of writes.

import { flag, oneOf, setting, wholeNumber } from './setting.ts';

export const WRITE_SETTINGS = {
  ACK_LEVEL: setting(
    oneOf('log', 'primary', 'quorum', 'all'),
    'primary',
    'What a write waits for after it is durable in the log; `x-polychrome-ack` sets it for one request.',
  ),
  WRITE_TIMEOUT_MS: setting(
    wholeNumber(100, 600_000),
    '30000',
    'How long a write waits for its level before the response is 503 "durable at LSN n". The default is longer than a failover takes.',
  ),
  WRITE_RECORDS_MAX: setting(
    wholeNumber(5_461, 1_000_000),
    '200000',
    'Records that one add, upsert or update can name; above it, the response is 400. Servers apply no other write meanwhile. A delete by ids has no limit: very many are written in steps, and other writes take their turns in between.',
  ),
  ALLOW_RESET: setting(flag, 'false', 'Whether POST /api/v2/reset may delete everything.'),
} as const;
