// Rebuilds the copies of one node one after the other, when an operator asks for it: each is made suspect and waited for
// until it was built anew, so that the node goes on serving the others.

import type { Catalog } from '../catalog/catalog.ts';
import type { Term } from '../coordination/term.ts';
import { PolychromeError } from '../errors.ts';
import { sleep, type Clock } from '../util/clock.ts';
import type { ReportProgress } from '../util/progress.ts';
import type { Rebuilds } from './rebuilds.ts';

export interface NodeRebuildOptions {
  readonly catalog: Pick<Catalog, 'shards' | 'collectionOfShard' | 'isHealthy' | 'isSuspect' | 'physical'>;
  readonly rebuilds: { readonly status: Rebuilds['status'] };
  /** The ids of all nodes. */
  readonly nodes: () => readonly string[];
  /** Why the node cannot be rebuilt in its present state; null when it can. */
  readonly refusal: (node: string) => string | null;
  readonly markSuspect: (node: string, shard: string, reason: string, term: Term) => Promise<void>;
  /** Null while this gateway does not lead. */
  readonly term: () => Term | null;
  readonly clock: Clock;
}

/** What operators are shown of a rebuild. */
export interface NodeRebuildResult {
  /** Collections that were copied anew. */
  readonly rebuilt: number;
  /** Names of collections of which no other node has a healthy copy: they were left as they are. */
  readonly onlyHere: readonly string[];
}

export interface RebuildTask {
  readonly report: ReportProgress;
  readonly signal: AbortSignal;
}

const POLL_MS = 200;
// Each failure is followed by a longer pause; what fails so often needs another remedy.
const FAILURES_MAX = 4;
const NAMED_MAX = 20;

export class NodeRebuild {
  readonly #options: NodeRebuildOptions;

  constructor(options: NodeRebuildOptions) {
    this.#options = options;
  }

  /** The shards to rebuild; throws PolychromeError when they cannot be. `collection`: its id, or its name if that is unique. */
  shardsOf(node: string, collection: string | null): readonly string[] {
    const { catalog, refusal } = this.#options;
    const reason = refusal(node);
    if (reason !== null) throw new PolychromeError('conflict', `${reason} Nothing was changed.`);
    const shards = catalog.shards().filter((shard) => catalog.physical(node, shard) !== null);
    if (collection === null) return shards;
    const isWanted = (shard: string): boolean => {
      const found = catalog.collectionOfShard(shard);
      return found?.id === collection || found?.name === collection;
    };
    const wanted = shards.filter(isWanted);
    const owners = new Set(wanted.map((shard) => catalog.collectionOfShard(shard)?.id));
    if (owners.size === 1) return wanted;
    const what = owners.size === 0 ? 'no collection' : `${owners.size} collections`;
    throw new PolychromeError(
      owners.size === 0 ? 'not_found' : 'invalid_argument',
      `Node "${node}" has ${what} "${collection}"; name it by its id. Nothing was changed.`,
    );
  }

  /** Throws PolychromeError when a copy cannot be rebuilt, or this gateway ceases to lead; what is done stays done. */
  async run(
    node: string,
    shards: readonly string[],
    { report, signal }: RebuildTask,
  ): Promise<NodeRebuildResult> {
    const { catalog, nodes } = this.#options;
    const onlyHere: string[] = [];
    let rebuilt = 0;
    for (const [index, shard] of shards.entries()) {
      signal.throwIfAborted();
      const isElsewhere = nodes().some((other) => other !== node && catalog.isHealthy(other, shard));
      const name = catalog.collectionOfShard(shard)?.name;
      if (name === undefined) continue; // deleted meanwhile
      if (!isElsewhere) {
        onlyHere.push(name);
        continue;
      }
      const place = `${name} (${index + 1} of ${shards.length})`;
      await this.#rebuild(node, shard, {
        report: (progress) => report({ ...progress, phase: `${place}: ${progress.phase}` }),
        signal,
      });
      rebuilt += 1;
    }
    return { rebuilt, onlyHere: onlyHere.slice(0, NAMED_MAX) };
  }

  async #rebuild(node: string, shard: string, { report, signal }: RebuildTask): Promise<void> {
    const { catalog, rebuilds, clock, markSuspect } = this.#options;
    if (!catalog.isSuspect(node, shard))
      await markSuspect(node, shard, 'an operator has it rebuilt', this.#requireTerm());
    while (catalog.isSuspect(node, shard) && catalog.collectionOfShard(shard) !== null) {
      signal.throwIfAborted();
      this.#requireTerm();
      const { current, waiting } = rebuilds.status;
      const isCurrent = current?.node === node && current.shard === shard;
      report(
        isCurrent
          ? { phase: current.phase, done: current.done, total: current.total, unit: unitOf(current.phase) }
          : { phase: 'waiting', done: 0, total: null, unit: 'records' },
      );
      const failed = waiting.find((each) => each.node === node && each.shard === shard);
      if (failed !== undefined && failed.failures >= FAILURES_MAX) {
        throw new PolychromeError(
          'conflict',
          `The copy of "${catalog.collectionOfShard(shard)?.name ?? shard}" on node "${node}" could not be rebuilt (${failed.failures} attempts): ${failed.reason}. It serves nothing meanwhile, other nodes do; the attempts go on.`,
        );
      }
      await sleep(clock, POLL_MS, signal);
    }
  }

  #requireTerm(): Term {
    const term = this.#options.term();
    if (term !== null) return term;
    throw new PolychromeError(
      'not_leader',
      'This gateway does not lead, so it cannot rebuild a node. Send the command to the leader (GET /status names it).',
    );
  }
}

function unitOf(phase: string): string {
  return phase === 'catching up' ? 'LSNs' : 'records';
}
