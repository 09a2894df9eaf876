// One read on every node at a time, for operators who compare copies: what each node responds, side by side.

import type { Collection } from '../catalog/catalog.ts';
import { onlyShard } from '../catalog/only-shard.ts';
import { NodeError } from '../chroma/client/node-error.ts';
import { recordsPath } from '../chroma/protocol/paths.ts';
import type { ClusterView } from '../coordination/cluster-view.ts';
import { canServe } from '../nodes/node-state.ts';
import type { Clock } from '../util/clock.ts';
import { maskCredentials } from '../util/mask-credentials.ts';
import type { ReadCandidate } from './node-selection.ts';

export interface EachNodeOptions {
  readonly nodes: () => readonly ReadCandidate[];
  readonly view: Pick<ClusterView, 'applied' | 'isSuspect' | 'primary'>;
  readonly physicalId: (node: string, shard: string) => string | null;
  readonly clock: Clock;
}

export interface EachNodeRead {
  readonly collection: Collection;
  readonly action: 'get' | 'query';
  /** Within the limits of filters. */
  readonly body: Buffer;
  readonly signal: AbortSignal;
}

/** What one node responded. */
export interface NodeReadResult {
  readonly node: string;
  readonly isPrimary: boolean;
  /** LSN that it had applied before it was asked. */
  readonly applied: number;
  /** Null: it was not asked, or there was no response; `reason` says why. */
  readonly response: { readonly status: number; readonly body: Buffer; readonly ms: number } | null;
  readonly reason: string | null;
}

// Operators wait for it; a server that needs longer is shown as one that does.
const DEADLINE_MS = 10_000;
// Hits with documents of some hundred KiB each; all nodes together stay below the largest buffered response.
const RESPONSE_BYTES_MAX = 4 * 1024 * 1024;

/**
 * Asks a replica first and the other nodes once it has responded: a request that makes a server drop the connection
 * reaches one of them. Copies that are suspect serve nothing here either.
 */
export async function readFromEachNode(
  options: EachNodeOptions,
  read: EachNodeRead,
): Promise<readonly NodeReadResult[]> {
  const nodes = options.nodes();
  const primary = options.view.primary();
  const first = nodes.find((node) => node.member.id !== primary && isAsked(options, node, read)) ?? null;
  const firstResult = first === null ? null : await readFrom(options, first, read);
  const isSafe = firstResult === null || firstResult.response !== null;
  return Promise.all(
    nodes.map((node) => {
      if (node === first && firstResult !== null) return firstResult;
      if (isSafe) return readFrom(options, node, read);
      return notRead(options, node, `not asked, because ${first?.member.id} did not respond`);
    }),
  );
}

const isAsked = (options: EachNodeOptions, node: ReadCandidate, read: EachNodeRead): boolean =>
  refusalOf(options, node, read) === null;

/** Why a node is not asked; null when it is. */
function refusalOf(
  { view, physicalId }: EachNodeOptions,
  { member: { id, state } }: ReadCandidate,
  { collection }: EachNodeRead,
): string | null {
  const shard = onlyShard(collection).id;
  if (!canServe(state)) return `not asked, because it is ${state.replace('_', ' ')}`;
  if (view.isSuspect(id, shard)) return 'not asked, because its copy is suspect';
  return physicalId(id, shard) === null ? 'it has no copy yet' : null;
}

async function readFrom(
  options: EachNodeOptions,
  node: ReadCandidate,
  read: EachNodeRead,
): Promise<NodeReadResult> {
  const refusal = refusalOf(options, node, read);
  const { collection, action, body, signal } = read;
  const shard = onlyShard(collection).id;
  const physical = options.physicalId(node.member.id, shard);
  if (refusal !== null || physical === null) return notRead(options, node, refusal ?? 'it has no copy yet');
  const { clock, view } = options;
  const applied = view.applied(node.member.id, shard);
  const since = clock.monotonic();
  try {
    const response = await node.client.read({
      method: 'POST',
      path: recordsPath(collection, physical, action),
      body,
      deadlineMs: DEADLINE_MS,
      responseBytesMax: RESPONSE_BYTES_MAX,
      signal,
    });
    const { status, body: responded } = response;
    return {
      ...notRead(options, node, null),
      applied,
      response: { status, body: responded, ms: clock.monotonic() - since },
    };
  } catch (error) {
    if (!(error instanceof NodeError)) throw error;
    return notRead(options, node, maskCredentials(error.message));
  }
}

function notRead(
  { view }: EachNodeOptions,
  { member: { id } }: ReadCandidate,
  reason: string | null,
): NodeReadResult {
  return { node: id, isPrimary: id === view.primary(), applied: view.applied(id), response: null, reason };
}
