// Settings of the HTTP listeners.

import { z } from 'zod';
import { list, setting, text, wholeNumber } from './setting.ts';

export const HTTP_SETTINGS = {
  HOST: setting(text, '0.0.0.0', 'Address the gateway listens on.'),
  PORT: setting(
    wholeNumber(0, 65_535),
    '8000',
    "Port the gateway listens on; 8000 is Chroma's own. 0 takes a free port.",
  ),
  WORKERS: setting(
    wholeNumber(1, 64),
    '1',
    'Gateway processes of one `polychrome serve`, which share PORT; each uses up to one core and has connections, caches and budgets of its own. Above 1, operators reach worker n on ADMIN_PORT + n - 1.',
  ),
  ADMIN_PORT: setting(
    wholeNumber(0, 65_535).optional(),
    null,
    'Port of the operator API (`/admin/…`), which then is on no other; `/health`, `/ready`, `/status`, `/wal/…` and `/metrics` are on both. Unset: the operator API is on PORT. 0 takes a free port.',
  ),
  ADMIN_TOKEN: setting(
    z
      .string()
      .regex(/^[!-~]{16,}$/, 'must have at least 16 visible ASCII characters')
      .optional(),
    null,
    'Lets operators use `/admin/…` from other machines, with `Authorization: Bearer`. Unset: from this machine only.',
  ),
  BODY_BUDGET_BYTES: setting(
    wholeNumber(41_943_040, 68_719_476_736),
    '268435456',
    'Request bodies in memory at one time, of all clients together; further requests wait, then get 503. At least one body of the largest size (40 MiB).',
  ),
  STOP_DELAY_MS: setting(
    wholeNumber(0, 600_000),
    '0',
    'How long a gateway goes on serving after SIGTERM, while `/ready` and `/health` are 503 and each response ends its connection. Longer than a balancer needs to send its requests elsewhere. 0: it stops at once.',
  ),
  CORS_ALLOW_ORIGINS: setting(
    list,
    '',
    'Origins from which browsers may call, separated by commas; `*` for all.',
  ),
} as const;
