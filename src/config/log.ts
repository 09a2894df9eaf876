// Settings of the log in PostgreSQL.

import { z } from 'zod';
import { DATABASE_URL_FORM, parseDatabaseUrl } from '../postgres/database-url.ts';
import { duration, setting, text, wholeNumber } from './setting.ts';

export const LOG_SETTINGS = {
  DATABASE_URL: setting(
    z
      .string()
      .refine((value) => parseDatabaseUrl(value) !== null, DATABASE_URL_FORM)
      .optional(),
    null,
    'PostgreSQL that holds the log. Required, or DATABASE_URL_FILE. Its durability is the durability of every acknowledged write. Several servers, `postgres://user:password@a:5432,b:5432/db`: the first that accepts writes is used.',
  ),
  DATABASE_URL_FILE: setting(
    text.optional(),
    null,
    'File that holds DATABASE_URL, read again for each new connection, so that credentials can change without a restart.',
  ),
  DATABASE_PASSWORD_COMMAND: setting(
    text.optional(),
    null,
    'Shell command that prints the password of DATABASE_URL, such as a token that expires. Run for new connections, at most every 30 s, and again after PostgreSQL has refused the password.',
  ),
  DATABASE_SCHEMA: setting(
    z.string().regex(/^[a-z_][a-z0-9_]{0,62}$/, 'must be a lower-case SQL identifier'),
    'polychrome',
    'PostgreSQL schema of this replica group; several groups can share one database.',
  ),
  LOG_TIMEOUT_MS: setting(
    wholeNumber(100, 600_000),
    '10000',
    'How long a write waits for PostgreSQL before it is refused with 503. The default is longer than a restart of PostgreSQL takes.',
  ),
  LEASE_MS: setting(
    wholeNumber(1_000, 60_000),
    '5000',
    'Length of the leader’s lease; must be the same on every gateway. A shorter lease shortens the failover when a gateway fails; a longer one tolerates longer pauses of PostgreSQL.',
  ),
  WAL_RETENTION: setting(
    duration(),
    '72h',
    'How long entries stay in the log after all working nodes have applied them. A node that was away for longer must be rebuilt, and so must a node for which WAL_RETENTION_BYTES was too small.',
  ),
  WAL_RETENTION_BYTES: setting(
    wholeNumber(1, 999_999_999_999_999),
    '10737418240',
    'Maximum size of the log kept for nodes that are away and for WAL_RETENTION. Entries that a working node has not applied yet are always kept.',
  ),
} as const;
