// Reads a connection string in libpq's form, which may name several servers: postgres://user:password@a:5432,b:5432/db.

export interface DatabaseServer {
  /** host:port, for messages; without credentials. */
  readonly name: string;
  /** The connection string of this server alone. */
  readonly url: string;
}

export interface DatabaseAddress {
  /** At least one, in the order in which they are tried. */
  readonly servers: readonly DatabaseServer[];
  /** A server that accepts no writes is passed over. */
  readonly isWritableRequired: boolean;
  readonly hasPassword: boolean;
}

const FORM = /^(postgres(?:ql)?:\/\/)(?:([^/?#]*)@)?([^/?#@]*)([^?#]*)(?:\?([^#]*))?$/;
const WRITABLE = new Set(['read-write', 'primary']);
// Beyond it, trying them all would take longer than a write waits.
const SERVERS_MAX = 8;

/** Null when the text is no such connection string. */
export function parseDatabaseUrl(text: string): DatabaseAddress | null {
  const [, scheme, credentials, hosts, path = '', query = ''] = FORM.exec(text) ?? [];
  if (scheme === undefined || hosts === undefined) return null;
  const parameters = new URLSearchParams(query);
  const target = parameters.get('target_session_attrs');
  // libpq's name for the choice between servers, unknown to pg.
  parameters.delete('target_session_attrs');
  const rest = `${path}${parameters.size === 0 ? '' : `?${parameters.toString()}`}`;
  const prefix = `${scheme}${credentials === undefined ? '' : `${credentials}@`}`;
  const names = hosts.split(',');
  const servers = names.map((name) => ({ name, url: `${prefix}${name}${rest}` }));
  const isWritableRequired = names.length > 1 || target !== null;
  const isValid =
    servers.length <= SERVERS_MAX &&
    (target === null || WRITABLE.has(target)) &&
    servers.every(({ name, url }) => URL.canParse(url) && (name !== '' || names.length === 1));
  if (!isValid) return null;
  const hasPassword = credentials?.includes(':') === true || parameters.has('password');
  return { servers, isWritableRequired, hasPassword };
}

/** What a connection string must be, as the end of a sentence. */
export const DATABASE_URL_FORM =
  'must be a URL that begins with postgres:// or postgresql://, with at most 8 servers separated by commas, and with target_session_attrs=read-write or none';
