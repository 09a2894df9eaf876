// Settings of what a gateway reports about itself.

import { oneOf, setting } from './setting.ts';

export const OBSERVE_SETTINGS = {
  LOG_LEVEL: setting(
    oneOf('debug', 'info', 'warn', 'error', 'silent'),
    'info',
    'Lowest level written to stderr, as JSON lines.',
  ),
} as const;
