// The calls that gateways send to nodes: one at a time to each copy (I4), and none repeated without pauses (I9).

import { keyOf } from '../../support/fake-postgres/tables.ts';
import { isReserved, type NodeCall } from './chroma-process.ts';
import { Violation } from './violation.ts';

/** A call that changes records, with the physical id of their collection. */
export const RECORD_CALL = /collections\/([^/]+)\/(?:add|upsert|update|delete)$/;
// A call is repeated with pauses that grow to seconds: this many in ten seconds are a loop without pauses.
const REPETITIONS_MAX = 300;
const REPETITIONS_MS = 10_000;

export class SentCalls {
  /** Calls in flight on open connections, by gateway, node and collection. */
  readonly #inFlight = new Map<string, string>();
  readonly #repetitions = new Map<string, { sinceMs: number; times: number }>();

  /** Before a call leaves its gateway. Throws Violation. */
  check(call: NodeCall, nowMs: number): void {
    const copy = copyOf(call);
    const other = copy === null ? undefined : this.#inFlight.get(copy);
    if (other !== undefined)
      throw new Violation('I4', `${call.gateway} sends ${call.body} to ${call.addressee} beside ${other}`);
    this.#countRepetition(call, nowMs);
  }

  /** The call leaves; returns what is to be called when it has a response or its connection has ended. */
  begin(call: NodeCall): () => void {
    const copy = copyOf(call);
    if (copy === null) return () => undefined;
    this.#inFlight.set(copy, call.body);
    return () => this.#inFlight.delete(copy);
  }

  /** The process of a gateway has ended, and with it its connections. */
  gatewayKilled(gateway: string): void {
    for (const key of this.#inFlight.keys())
      if ((JSON.parse(key) as string[])[0] === gateway) this.#inFlight.delete(key);
  }

  #countRepetition({ gateway, addressee, method, path, body }: NodeCall, nowMs: number): void {
    const key = keyOf(gateway, addressee, method, path, body);
    const known = this.#repetitions.get(key);
    if (known === undefined || nowMs - known.sinceMs > REPETITIONS_MS) {
      this.#repetitions.set(key, { sinceMs: nowMs, times: 1 });
      return;
    }
    known.times += 1;
    if (known.times > REPETITIONS_MAX)
      throw new Violation(
        'I9',
        `${gateway} sent ${path} to ${addressee} ${known.times} times in ten seconds`,
      );
  }
}

/** The copy of a client's collection that the call changes; null for other calls. */
function copyOf(call: NodeCall): string | null {
  const collection = RECORD_CALL.exec(call.path)?.[1];
  return collection === undefined || isReserved(call)
    ? null
    : keyOf(call.gateway, call.addressee, collection);
}
