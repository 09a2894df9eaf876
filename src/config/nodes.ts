// Settings of the Chroma servers, of applying the log to them, and the parsing of their addresses.

import { z } from 'zod';
import { StartupError } from '../errors.ts';
import { duration, flag, list, setting, text, url, wholeNumber } from './setting.ts';

const nodeUrl = url('http:', 'https:');

export const NODE_SETTINGS = {
  NODES: setting(
    z.string(),
    null,
    'The Chroma servers: `id=url,id=url,…`. An id belongs to the data of a node. They are the nodes of the first start; later starts add new ids, and remove none (docs/operations.md). The first node is the preferred primary at the very first start. Or `dns+srv://NAME`: the targets of the SRV records of a name, such as the pods of a headless service of Kubernetes; nodes that appear there join. Set this, or PRIMARY_URL.',
  ),
  PRIMARY_URL: setting(
    nodeUrl,
    null,
    'A Chroma server, as node `primary`: the short form for one or two servers.',
  ),
  REPLICA_URL: setting(
    nodeUrl,
    null,
    'Another Chroma server, as node `replica`; only together with PRIMARY_URL.',
  ),
  SETTLE_MS: setting(
    wholeNumber(0, 60_000),
    '500',
    'How long a node must have responded again after a broken connection before a different call follows the interrupted one.',
  ),
  STAGGER_MS: setting(
    wholeNumber(50, 60_000),
    '500',
    'Calls expected to keep a node busy for longer than this are made on one node at a time, so that another node can serve reads.',
  ),
  ENTRY_ATTEMPTS: setting(
    wholeNumber(1, 100),
    '5',
    'How often a failing entry is sent to a node that otherwise works, before another node is asked and the entry is refused or quarantined.',
  ),
  ENTRY_TIMEOUT_MS: setting(
    wholeNumber(1_000, 3_600_000),
    '60000',
    'How long beyond its own bound a call may make no progress, and how long a failing entry waits for nodes that are away.',
  ),
  SCRUB_INTERVAL: setting(
    z
      .literal('0')
      .transform(() => 0)
      .or(duration()),
    '24h',
    'From the end of one scrub to the beginning of the next: all copies of every collection are compared. `0`: only on demand.',
  ),
  SCRUB_BYTES_PER_SECOND: setting(
    wholeNumber(1_024, 1_000_000_000),
    '4194304',
    'How much a scrub reads from each node in a second. The default leaves most of a server with two cores to clients.',
  ),
  REBUILD_BYTES_PER_SECOND: setting(
    wholeNumber(0, 1_000_000_000),
    '33554432',
    'How many bytes of records a rebuild copies in a second, so that it leaves the nodes room for reads and writes; 0 for no limit.',
  ),
  NODE_FORGET_AFTER: setting(
    duration(),
    null,
    'With `NODES=dns+srv://…`: a node that does not serve and that every response of DNS has lacked for so long is removed; unset: none is. A response that fails or is empty starts the time anew. The primary is never removed, nor a node while fewer than two others serve.',
  ),
  ADOPT: setting(
    flag,
    'false',
    'At the very first start: take the collections that the first server holds into the cluster, under their ids ([migration](migration.md)). Without it, a first server that holds data ends the start. Later starts ignore it.',
  ),
  ADOPT_REBUILD: setting(
    list,
    '',
    'With ADOPT: ids of nodes whose servers hold other content than the first; it is removed and copied anew. A server with equal content is kept; any other ends the start.',
  ),
  ADOPT_TENANTS: setting(
    list,
    '',
    'With ADOPT: tenants of the first server beside the default one; Chroma cannot list them.',
  ),
  NODE_RESTART_COMMAND: setting(
    text,
    null,
    'Shell command that restarts a node whose call hangs; NODE_ID and NODE_URL are in its environment. Runs at most once a minute for each node.',
  ),
  NODE_RESET_COMMAND: setting(
    text,
    null,
    'Shell command that empties the data directory of a node whose files are damaged, and starts its server; NODE_ID and NODE_URL are in its environment. Runs when other nodes have all of its content, at most once an hour for each node.',
  ),
} as const;

export interface NodeAddress {
  readonly id: string;
  readonly url: string;
}

interface NodeNames {
  readonly NODES?: string | undefined;
  readonly PRIMARY_URL?: string | undefined;
  readonly REPLICA_URL?: string | undefined;
}

/** How the servers are named: one by one, or by a DNS name whose SRV records have them. */
export interface NamedNodes {
  readonly service: string | null;
  /** In the order given: none with `service`, otherwise at least one. */
  readonly nodes: readonly NodeAddress[];
}

/** Throws StartupError when they are named in no way, or in two. */
export function namedNodes({
  NODES: nodes,
  PRIMARY_URL: primary,
  REPLICA_URL: replica,
}: NodeNames): NamedNodes {
  if (nodes === undefined) return { service: null, nodes: primaryAndReplica(primary, replica) };
  if (primary !== undefined || replica !== undefined) {
    throw new StartupError(
      'NODES and PRIMARY_URL or REPLICA_URL are both set: use one way to name the servers.',
    );
  }
  if (/^dns\b/i.test(nodes)) return { service: serviceName(nodes), nodes: [] };
  const addresses = nodes.split(',').map(nodeAddress);
  for (const key of ['id', 'url'] as const) {
    const duplicate = addresses.find(
      (one, index) => addresses.findIndex((other) => other[key] === one[key]) < index,
    );
    if (duplicate !== undefined)
      throw new StartupError(`NODES names the ${key} ${masked(duplicate[key])} twice.`);
  }
  return { service: null, nodes: addresses };
}

function serviceName(nodes: string): string {
  const name = /^dns\+srv:\/\/(?<name>\w(?:[\w.-]{0,251}\w)?)\.?$/i.exec(nodes.trim())?.groups?.['name'];
  if (name !== undefined) return name;
  throw new StartupError(
    `NODES must be dns+srv://NAME, such as dns+srv://_http._tcp.chroma.default.svc.cluster.local; "${masked(nodes)}" is not.`,
  );
}

function primaryAndReplica(primary?: string, replica?: string): readonly NodeAddress[] {
  if (primary === undefined) {
    throw new StartupError(
      'No Chroma server is named: set NODES=id=url,id=url or PRIMARY_URL (and REPLICA_URL).',
    );
  }
  const addresses = [{ id: 'primary', url: primary }];
  return replica === undefined ? addresses : [...addresses, { id: 'replica', url: replica }];
}

function nodeAddress(part: string): NodeAddress {
  const [id = '', ...rest] = part.trim().split('=');
  const address = { id, url: rest.join('=') };
  if (!/^[a-z0-9][a-z0-9-]{0,62}$/.test(id) || !nodeUrl.safeParse(address.url).success) {
    throw new StartupError(
      `NODES must be id=url pairs separated by commas, ids of lower-case letters, digits and dashes; "${masked(part)}" is not one.`,
    );
  }
  return address;
}

/** Without credentials: where they begin in text that cannot be parsed is unknown, so all before the last @ is cut. */
function masked(address: string): string {
  return address.replace(/^.*@/s, '***@');
}
