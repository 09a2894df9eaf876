// The live stream of the gateway, and the samples of the last minutes that it makes up.

import { useEffect, useState } from 'preact/hooks';
import type { LiveCollection, LiveEvent, LiveState } from '../../src/api/ui/live-feed.ts';
import { urlOf } from './api.ts';

export type Connection = 'connecting' | 'live' | 'lost';

/** One second of the cluster, for charts. */
export interface LiveSample {
  /** Unix time in seconds. */
  readonly time: number;
  readonly reads: number | null;
  readonly writes: number | null;
  readonly failed: number | null;
  readonly readMs: readonly [number | null, number | null, number | null];
  readonly writeMs: readonly [number | null, number | null, number | null];
  /** Entries that each node has not applied. */
  readonly backlog: Readonly<Record<string, number>>;
  /** Nodes that do not serve. */
  readonly out: readonly string[];
}

export interface Live {
  readonly connection: Connection;
  readonly state: LiveState | null;
  readonly collections: readonly LiveCollection[] | null;
  readonly events: readonly LiveEvent[] | null;
  readonly samples: readonly LiveSample[];
}

// Ten minutes: enough to see a failover and what led to it; the history has the rest.
const SAMPLES_MAX = 600;
// The gateway sends every second.
const SILENT_MS = 5_000;
const RECONNECT_MS = 2_000;

class LiveConnection {
  #live: Live = { connection: 'connecting', state: null, collections: null, events: null, samples: [] };
  readonly #listeners = new Set<(live: Live) => void>();
  #source: EventSource | null = null;
  #silence = 0;

  get live(): Live {
    return this.#live;
  }

  subscribe(listener: (live: Live) => void): () => void {
    this.#listeners.add(listener);
    if (this.#source === null) this.#connect();
    return () => this.#listeners.delete(listener);
  }

  #connect(): void {
    const source = new EventSource(urlOf('live'));
    this.#source = source;
    source.addEventListener('state', ({ data }: MessageEvent<string>) => {
      const state = JSON.parse(data) as LiveState;
      const samples = [...this.#live.samples, sampleOf(state)].slice(-SAMPLES_MAX);
      this.#update({ connection: 'live', state, samples });
    });
    source.addEventListener('collections', ({ data }: MessageEvent<string>) =>
      this.#update({ collections: JSON.parse(data) as LiveCollection[] }),
    );
    source.addEventListener('events', ({ data }: MessageEvent<string>) =>
      this.#update({ events: JSON.parse(data) as LiveEvent[] }),
    );
    source.addEventListener('error', () => this.#reconnect());
    this.#expect();
  }

  /** A connection that ends with an error status is not opened again by the browser. */
  #reconnect(): void {
    window.clearTimeout(this.#silence);
    this.#source?.close();
    this.#update({ connection: 'lost' });
    window.setTimeout(() => this.#connect(), RECONNECT_MS);
  }

  #expect(): void {
    window.clearTimeout(this.#silence);
    this.#silence = window.setTimeout(() => this.#reconnect(), SILENT_MS);
  }

  #update(change: Partial<Live>): void {
    if (change.connection !== 'lost') this.#expect();
    this.#live = { ...this.#live, ...change };
    for (const listener of this.#listeners) listener(this.#live);
  }
}

const connection = new LiveConnection();

export function useLive(): Live {
  const [live, setLive] = useState(connection.live);
  useEffect(() => connection.subscribe(setLive), []);
  return live;
}

function sampleOf({ at, traffic, status }: LiveState): LiveSample {
  const rates = (of: 'reads' | 'writes'): [number | null, number | null, number | null] =>
    traffic === null ? [null, null, null] : [traffic[of].p50Ms, traffic[of].p95Ms, traffic[of].p99Ms];
  return {
    time: at / 1_000,
    reads: traffic?.reads.perSecond ?? null,
    writes: traffic?.writes.perSecond ?? null,
    failed: traffic?.failedPerSecond ?? null,
    readMs: rates('reads'),
    writeMs: rates('writes'),
    backlog: Object.fromEntries(status.nodes.map(({ id, lag }) => [id, lag.entries])),
    out: status.nodes.filter(({ state }) => !serves(state)).map(({ id }) => id),
  };
}

export const serves = (state: string): boolean => state === 'serving' || state === 'busy';
