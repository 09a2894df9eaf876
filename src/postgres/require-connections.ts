// Stops the start of a gateway for which PostgreSQL has too few connections left: it would start, and fail under load.

import { StartupError } from '../errors.ts';
import type { Database } from './database.ts';

interface Limits extends Record<string, unknown> {
  readonly role: string;
  readonly isSuperuser: boolean;
  /** -1: no limit. */
  readonly roleMax: number;
  readonly roleUsed: number;
  /** -1: no limit. */
  readonly databaseMax: number;
  readonly databaseUsed: number;
  readonly serverMax: number;
  readonly serverUsed: number;
}

/**
 * Resolves when `needed` connections, one of which is in use already, are within all limits. Behind a pooler the pooler's
 * limits count, which cannot be asked for. Throws StartupError that names the lowest limit.
 */
export async function requireConnections(database: Database, host: string, needed: number): Promise<void> {
  if (await database.isPooled()) return;
  // Of other roles' backends only role and database are visible to everybody.
  const [row] = await database.query<Limits>(
    `select current_user as role, r.rolsuper as "isSuperuser", r.rolconnlimit as "roleMax",
            d.datconnlimit as "databaseMax",
            current_setting('max_connections')::int
              - case when r.rolsuper then 0 else current_setting('superuser_reserved_connections')::int
                + coalesce(current_setting('reserved_connections', true)::int, 0) end as "serverMax",
            (count(*) filter (where a.usename = current_user))::int as "roleUsed",
            (count(*) filter (where a.datname = current_database()))::int as "databaseUsed",
            count(*)::int as "serverUsed"
     from pg_roles r, pg_database d, pg_stat_activity a
     where r.rolname = current_user and d.datname = current_database() and a.datid is not null
     group by r.rolsuper, r.rolconnlimit, d.datconnlimit`,
  );
  const refusal = row === undefined ? null : connectionShortage(row, needed);
  if (refusal !== null) throw new StartupError(`PostgreSQL at ${host} ${refusal}`);
}

/** What limit leaves fewer than `needed` connections, as the end of a sentence; null when all leave enough. */
export function connectionShortage(limits: Limits, needed: number): string | null {
  const { role, isSuperuser, roleMax, roleUsed, databaseMax, databaseUsed, serverMax, serverUsed } = limits;
  // PostgreSQL exempts superusers from the first two.
  const isExempt = isSuperuser;
  const found = [
    {
      max: isExempt ? -1 : roleMax,
      used: roleUsed,
      name: `the connection limit of role "${role}"`,
      raise: 'raise it with ALTER ROLE … CONNECTION LIMIT',
    },
    {
      max: isExempt ? -1 : databaseMax,
      used: databaseUsed,
      name: 'the connection limit of the database',
      raise: 'raise it with ALTER DATABASE … CONNECTION LIMIT',
    },
    {
      max: serverMax,
      used: serverUsed,
      name: 'max_connections without reserved ones',
      raise: 'raise max_connections',
    },
  ]
    .filter(({ max }) => max >= 0)
    // One of those in use is this gateway's.
    .map((limit) => ({ ...limit, free: Math.max(0, limit.max - limit.used + 1) }))
    .sort((a, b) => a.free - b.free)[0];
  if (found === undefined || found.free >= needed) return null;
  const { max, used, free, name, raise } = found;
  return `has too few connections: a gateway process needs ${needed}, and ${name} leaves ${free} (${max} in all, ${used - 1} in use by others); ${raise}, or close other connections.`;
}
