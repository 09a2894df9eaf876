// GET /ui/live: what the dashboard shows, as server-sent events. Values are produced while anybody listens; a listener gets
// the newest value of each channel whenever it has read the last.

import { PolychromeError } from '../../errors.ts';
import type { Handler } from '../../http/router.ts';
import type { ResponseWriter } from '../../http/response.ts';
import type { Metric } from '../../observability/metrics-registry.ts';
import { sleep, type Clock } from '../../util/clock.ts';
import { Notifier } from '../../util/notifier.ts';
import { linkedAbort, onAbort } from '../../util/race.ts';

export interface LiveStreamOptions {
  readonly clock: Clock;
  /** Publishes until `signal` aborts. Called when the first listener arrives; must not reject. */
  readonly produce: (stream: Pick<LiveStream, 'publish' | 'flush'>, signal: AbortSignal) => Promise<void>;
}

interface ChannelValue {
  readonly version: number;
  readonly text: string;
}

// Windows of operators, not of users; each costs some kilobytes a second.
const LISTENERS_MAX = 32;
// A reader that takes nothing for this long does not look.
const STALLED_MS = 10_000;
// What a browser waits before it connects again.
const RETRY_MS = 2_000;
const HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store',
  // Asks proxies not to collect the stream before they forward it.
  'x-accel-buffering': 'no',
};

export class LiveStream {
  readonly #options: LiveStreamOptions;
  readonly #channels = new Map<string, ChannelValue>();
  readonly #changed = new Notifier();
  readonly #stopping = new AbortController();
  #listeners = 0;
  #dropped = 0;
  #producing: AbortController | null = null;

  constructor(options: LiveStreamOptions) {
    this.#options = options;
  }

  /** Sets the value of a channel; listeners get it with the next flush, unless it is the one they have. */
  publish(channel: string, value: unknown): void {
    const text = JSON.stringify(value);
    const known = this.#channels.get(channel);
    if (known?.text === text) return;
    this.#channels.set(channel, { version: (known?.version ?? 0) + 1, text });
  }

  flush(): void {
    this.#changed.notify();
  }

  /** Ends every stream; later listeners are refused. */
  stop(): void {
    this.#stopping.abort();
  }

  readonly handle: Handler = async ({ method, signal }) => {
    if (this.#stopping.signal.aborted) throw new PolychromeError('stopping', 'This gateway is stopping.');
    if (this.#listeners >= LISTENERS_MAX)
      throw new PolychromeError(
        'overloaded',
        `${LISTENERS_MAX} dashboards are open on this gateway. Close one, and try again.`,
      );
    if (method === 'HEAD') return { status: 200, headers: HEADERS };
    return (writer) => this.#serve(writer, signal);
  };

  get metrics(): readonly Metric[] {
    return [
      {
        kind: 'bound',
        name: 'listeners',
        help: 'Open dashboards.',
        unit: 'listeners',
        max: LISTENERS_MAX,
        read: () => this.#listeners,
      },
      {
        kind: 'counter',
        name: 'listeners_dropped',
        help: 'Dashboards disconnected because they did not read.',
        unit: 'listeners',
        read: () => this.#dropped,
      },
    ];
  }

  async #serve(writer: ResponseWriter, client: AbortSignal): Promise<void> {
    const { controller, unlink } = linkedAbort(client);
    const unsubscribe = onAbort(this.#stopping.signal, () => controller.abort());
    this.#listeners += 1;
    this.#startProducing();
    try {
      writer.head(200, HEADERS);
      await this.#send(writer, `retry: ${RETRY_MS}\n\n`);
      await this.#follow(writer, controller.signal);
    } finally {
      this.#listeners -= 1;
      if (this.#listeners === 0) this.#stopProducing();
      unlink();
      unsubscribe();
    }
  }

  async #follow(writer: ResponseWriter, signal: AbortSignal): Promise<void> {
    const sent = new Map<string, number>();
    while (!signal.aborted && !writer.closed) {
      const text = this.#unsent(sent);
      if (text === '') await this.#changed.wait(signal);
      else await this.#send(writer, text);
    }
  }

  /** The channels that have changed since they were last sent, as events. */
  #unsent(sent: Map<string, number>): string {
    let text = '';
    for (const [channel, value] of this.#channels) {
      if (sent.get(channel) === value.version) continue;
      sent.set(channel, value.version);
      text += `event: ${channel}\ndata: ${value.text}\n\n`;
    }
    return text;
  }

  /** Rejects when the listener does not read: its response is aborted. */
  async #send(writer: ResponseWriter, text: string): Promise<void> {
    const done = new AbortController();
    const stalled = sleep(this.#options.clock, STALLED_MS, done.signal).then(() => {
      if (done.signal.aborted) return;
      this.#dropped += 1;
      throw new PolychromeError('overloaded', 'A dashboard did not read its stream and was disconnected.');
    });
    try {
      await Promise.race([writer.write(text), stalled]);
    } finally {
      done.abort();
    }
  }

  #startProducing(): void {
    if (this.#producing !== null) return;
    const abort = new AbortController();
    this.#producing = abort;
    void this.#options.produce(this, abort.signal);
  }

  #stopProducing(): void {
    this.#producing?.abort();
    this.#producing = null;
    // Outdated when the next listener comes.
    this.#channels.clear();
  }
}
