// Compares a share of the responses to gets with the response of another node at the same position of the shard. The
// comparison never delays the response.

import type { ShardLSNs } from './shard-lsns.ts';
import type { NodeSelection } from './node-selection.ts';
import type { ServedGet } from './reader.ts';
import type { Metric } from '../observability/metrics-registry.ts';

export interface ReadVerificationOptions {
  /** The share of gets that are compared, 0 to 1. */
  readonly ratio: number;
  readonly selection: Pick<NodeSelection, 'selectNow'>;
  readonly heads: Pick<ShardLSNs, 'get'>;
  readonly random: () => number;
  /** Whether two responses to one get differ. */
  readonly differs: (one: Buffer, other: Buffer) => boolean;
  readonly onDifference: (shard: string) => void;
}

const DEADLINE_MS = 30_000;
// The share is of gets, not of time: while a comparison waits for a busy node, further ones would only add to its load.
const IN_FLIGHT_MAX = 2;

export class ReadVerification {
  readonly #options: ReadVerificationOptions;
  #inFlight = 0;
  #compared = 0;
  #different = 0;

  constructor(options: ReadVerificationOptions) {
    this.#options = options;
  }

  get metrics(): readonly Metric[] {
    return [
      {
        kind: 'counter',
        name: 'compared',
        help: 'Responses to gets that were compared with another node.',
        unit: 'responses',
        read: () => this.#compared,
      },
      {
        kind: 'counter',
        name: 'different',
        help: 'Of them, responses that differed.',
        unit: 'responses',
        read: () => this.#different,
      },
    ];
  }

  /** Called with every response to a get; returns at once. */
  served(get: ServedGet): void {
    const { ratio, random } = this.#options;
    if (ratio === 0 || this.#inFlight >= IN_FLIGHT_MAX || random() >= ratio) return;
    this.#inFlight += 1;
    this.#compare(get)
      // Another node that does not respond proves nothing; its state machine learns of it by its own calls.
      .catch(() => undefined)
      .finally(() => (this.#inFlight -= 1));
  }

  async #compare({ node, shard, read, body, lsn }: ServedGet): Promise<void> {
    const { selection, heads, differs, onDifference } = this.#options;
    const head = heads.get(shard);
    // The response may lack an entry that the other one has.
    if (lsn < head) return;
    const other = selection.selectNow({ shard, floor: head, sticky: false }, new Set([node]));
    if (other === null || other.physicalId === null) return;
    const { status, body: otherBody } = await other.node.client.read({
      method: read.method,
      path: read.path(other.physicalId),
      ...(read.body === undefined ? {} : { body: read.body }),
      deadlineMs: DEADLINE_MS,
    });
    // An entry that came meanwhile may be in one of them.
    if (heads.get(shard) !== head) return;
    this.#compared += 1;
    if (status === 200 && !differs(body, otherBody)) return;
    this.#different += 1;
    onDifference(shard);
  }
}
