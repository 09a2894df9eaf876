// Settings of the HTTP listener.

import { list, setting, text, wholeNumber } from './setting.ts';

export const HTTP_SETTINGS = {
  HOST: setting(text, '0.0.0.0', 'Address the gateway listens on.'),
  PORT: setting(
    wholeNumber(0, 65_535),
    '8000',
    "Port the gateway listens on; 8000 is Chroma's own. 0 takes a free port.",
  ),
  BODY_BUDGET_BYTES: setting(
    wholeNumber(41_943_040, 68_719_476_736),
    '268435456',
    'Request bodies in memory at one time, of all clients together; further requests wait, then get 503. At least one body of the largest size (40 MiB).',
  ),
  CORS_ALLOW_ORIGINS: setting(
    list,
    '',
    'Origins from which browsers may call, separated by commas; `*` for all.',
  ),
} as const;
