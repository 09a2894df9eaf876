// Makes the checkpoints of one node durable, each before the next round begins (I4).

import { orOver, TermOver, type Term } from '../coordination/term.ts';
import { sleep, type Clock } from '../util/clock.ts';
import { Notifier } from '../util/notifier.ts';
import type { AssignedShard, Checkpoints, ShardChange } from './checkpoints.ts';
import { nameOfRemoved } from './collection-removal.ts';

export interface DurableCheckpointOptions {
  readonly node: string;
  /** How often the node has begun again without content. */
  readonly resets: number;
  readonly checkpoints: Pick<Checkpoints, 'save' | 'assigned' | 'suspect'>;
  readonly clock: Clock;
  readonly onTrouble: (error: Error) => void;
}

const PAUSE_MS = 200;

export class DurableCheckpoint {
  readonly #options: DurableCheckpointOptions;
  readonly #uncertain = new Notifier();
  #isUncertain = false;

  constructor(options: DurableCheckpointOptions) {
    this.#options = options;
  }

  /** Whether PostgreSQL may lack the last checkpoint: a promoted standby may not have received it. */
  get isUncertain(): boolean {
    return this.#isUncertain;
  }

  /** PostgreSQL may lack the last checkpoint. */
  becomesUncertain(): void {
    this.#isUncertain = true;
    this.#uncertain.notify();
  }

  /** What is recorded has just been read, and is followed. */
  isRead(): void {
    this.#isUncertain = false;
  }

  /** Resolves when the last checkpoint is uncertain, or `signal` aborts. */
  wait(signal: AbortSignal): Promise<void> {
    return this.#uncertain.wait(signal);
  }

  /** Tries until it is durable; the node gets no further calls meanwhile. Throws TermOver. */
  async save(lsn: number, changes: readonly ShardChange[], term: Term): Promise<void> {
    const { checkpoints, node: id, resets } = this.#options;
    await this.#until(term, () => checkpoints.save(term.epoch, { id, resets }, lsn, changes));
  }

  /**
   * Records the checkpoint once more if it is uncertain, with what PostgreSQL lacks of the node's shards: changes, and
   * suspicions (I8). Throws TermOver.
   */
  async saveAgain(lsn: number, assigned: ReadonlyMap<string, AssignedShard>, term: Term): Promise<void> {
    if (!this.#isUncertain) return;
    const { checkpoints, node } = this.#options;
    this.#isUncertain = false;
    const recorded = await this.#until(term, () => checkpoints.assigned(node));
    for (const [shard, { physical, suspect }] of assigned) {
      const known = recorded.get(shard);
      if (suspect === null || known?.physical !== physical || known.suspect !== null) continue;
      await this.#until(term, () => checkpoints.suspect(term.epoch, node, shard, suspect));
    }
    await this.save(lsn, lackingChanges(recorded, assigned, lsn), term);
  }

  async #until<T>(term: Term, run: () => Promise<T>): Promise<T> {
    const { clock, onTrouble } = this.#options;
    for (;;) {
      if (!term.held()) throw new TermOver();
      try {
        return await orOver(run(), term);
      } catch (error) {
        if (error instanceof TermOver) throw error;
        onTrouble(error as Error);
        await sleep(clock, PAUSE_MS, term.signal);
      }
    }
  }
}

/**
 * The node's copies after what is recorded was read again: copies that were swapped in, and suspicions. What the node itself
 * created, renamed or removed stays as it is known: a promoted server may lack it.
 */
export function takeOver(
  known: ReadonlyMap<string, AssignedShard>,
  recorded: ReadonlyMap<string, AssignedShard>,
): Map<string, AssignedShard> {
  const all = new Map(known);
  for (const [shard, copy] of recorded) {
    const own = known.get(shard);
    if (own?.physical === copy.physical) all.set(shard, { ...own, suspect: own.suspect ?? copy.suspect });
    else if (copy.copy > (own?.copy ?? 0)) all.set(shard, copy);
  }
  return all;
}

/** What the node created, renamed or removed, and PostgreSQL has not recorded. Copies are recorded when they are made. */
function lackingChanges(
  recorded: ReadonlyMap<string, AssignedShard>,
  assigned: ReadonlyMap<string, AssignedShard>,
  lsn: number,
): ShardChange[] {
  const lacking = [...assigned].flatMap(([shard, { physical, name, fromLSN, copy }]) => {
    const known = recorded.get(shard);
    const isRenamed = known?.physical === physical && known.name !== name;
    const isCreated = known === undefined && copy === 0;
    return isRenamed || isCreated ? [{ shard, physical, name, lsn: fromLSN }] : [];
  });
  const removed = [...recorded]
    .filter(([shard]) => !assigned.has(shard))
    .map(([shard, copy]) => ({ shard, physical: null, name: nameOfRemoved(copy), lsn }));
  return [...lacking, ...removed];
}
