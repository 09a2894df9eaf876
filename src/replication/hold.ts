// Holds an applier between two rounds: while it is held, the node is exactly at its checkpoint, and stays there.

import { Notifier } from '../util/notifier.ts';

export interface Hold {
  /** The checkpoint of the node while it is held. */
  readonly checkpoint: number;
  /** Ends the hold; the applier reads its shards again before it goes on. */
  release(): void;
}

interface Request {
  /** Null until the applier has stopped. */
  checkpoint: number | null;
}

export class Holds {
  readonly #requests = new Set<Request>();
  /** Notified when a hold is requested or released. */
  readonly #requested = new Notifier();
  readonly #reached = new Notifier();
  #isOutdated = false;

  get isRequested(): boolean {
    return this.#requests.size > 0;
  }

  /** Resolves when a hold is requested or released, or `signal` aborts. */
  wait(signal: AbortSignal): Promise<void> {
    return this.#requested.wait(signal);
  }

  /**
   * Resolves once the applier has stopped; null when `signal` aborts first. It stays stopped until the release, also
   * when it is restarted meanwhile.
   */
  async hold(signal: AbortSignal): Promise<Hold | null> {
    const request: Request = { checkpoint: null };
    const release = (): void => {
      if (!this.#requests.delete(request)) return;
      this.#isOutdated = true;
      this.#requested.notify();
    };
    this.#requests.add(request);
    this.#requested.notify();
    while (request.checkpoint === null && !signal.aborted) await this.#reached.wait(signal);
    if (request.checkpoint !== null && !signal.aborted) return { checkpoint: request.checkpoint, release };
    release();
    return null;
  }

  /**
   * Called by the applier between two rounds: waits while it is held. Returns whether a hold has ended since the last
   * call: what is known of the node's shards is outdated then.
   */
  async released(checkpoint: number, signal: AbortSignal): Promise<boolean> {
    while (this.isRequested && !signal.aborted) {
      for (const request of this.#requests) request.checkpoint ??= checkpoint;
      this.#reached.notify();
      await this.#requested.wait(signal);
    }
    const isOutdated = this.#isOutdated;
    this.#isOutdated = false;
    return isOutdated;
  }
}
