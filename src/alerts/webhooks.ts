// Sends alerts to webhooks: one at a time, repeated within a bound, limited in rate, and never in the way of a request.

import type { Metric } from '../observability/metrics-registry.ts';
import { sleep, type Clock } from '../util/clock.ts';
import type { Logger } from '../util/logger.ts';
import { slackText, type AlertMessage } from './alert-kinds.ts';

/** Posts JSON; resolves with the status, or rejects when there is no response. */
export type PostJson = (url: string, body: string) => Promise<number>;

export interface Webhook {
  readonly name: 'slack' | 'json';
  readonly url: string;
}

export interface WebhooksOptions {
  readonly webhooks: readonly Webhook[];
  readonly post: PostJson;
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'warn'>;
}

/** What became of the last message to a webhook. */
export interface WebhookState {
  readonly name: string;
  readonly sent: number;
  readonly failed: number;
  /** Why the last message was not delivered; null when it was, or there was none. */
  readonly lastError: string | null;
}

const QUEUED_MAX = 100;
const PAUSES_MS = [1_000, 5_000, 30_000] as const;
// Slack accepts one message a second; more than this from one cluster would bury the first.
const PER_WINDOW_MAX = 30;
const WINDOW_MS = 10 * 60_000;

interface Counts {
  sent: number;
  failed: number;
  lastError: string | null;
}

export class Webhooks {
  readonly #options: WebhooksOptions;
  readonly #counts = new Map<string, Counts>();
  readonly #stopping = new AbortController();
  readonly #queue: AlertMessage[] = [];
  #sending: Promise<void> | null = null;
  #dropped = 0;
  #windowAt = -Infinity;
  #inWindow = 0;

  constructor(options: WebhooksOptions) {
    this.#options = options;
    for (const { name } of options.webhooks) this.#counts.set(name, { sent: 0, failed: 0, lastError: null });
  }

  get states(): readonly WebhookState[] {
    return Array.from(this.#counts, ([name, counts]) => ({ name, ...counts }));
  }

  send(message: AlertMessage): void {
    if (this.#options.webhooks.length === 0) return;
    const now = this.#options.clock.monotonic();
    if (now - this.#windowAt > WINDOW_MS) [this.#windowAt, this.#inWindow] = [now, 0];
    this.#inWindow += 1;
    if (this.#inWindow > PER_WINDOW_MAX || this.#queue.length >= QUEUED_MAX) {
      this.#dropped += 1;
      this.#options.logger.warn({ key: message.key, dropped: this.#dropped }, 'alert not sent: too many');
      return;
    }
    this.#queue.push(message);
    this.#sending ??= this.#drain().finally(() => {
      this.#sending = null;
    });
  }

  /** Sends one message to every webhook at once, without repetition: for a test by an operator. */
  async test(message: AlertMessage): Promise<readonly { name: string; error: string | null }[]> {
    const { webhooks } = this.#options;
    return Promise.all(
      webhooks.map(async (webhook) => ({ name: webhook.name, error: await this.#attempt(webhook, message) })),
    );
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#sending;
  }

  get metrics(): readonly Metric[] {
    const sum = (field: 'sent' | 'failed') => (): number =>
      this.states.reduce((total, state) => total + state[field], 0);
    const counter = (name: string, help: string, read: () => number): Metric => {
      return { kind: 'counter', name, help, unit: 'messages', read };
    };
    return [
      counter('sent', 'Alerts delivered to webhooks.', sum('sent')),
      counter('failed', 'Alerts that a webhook did not take.', sum('failed')),
      counter('dropped', 'Alerts not sent because there were too many.', () => this.#dropped),
      {
        kind: 'bound',
        name: 'queued',
        help: 'Alerts that wait to be sent.',
        unit: 'messages',
        max: QUEUED_MAX,
        read: () => this.#queue.length,
      },
    ];
  }

  async #drain(): Promise<void> {
    for (let message = this.#queue.shift(); message !== undefined; message = this.#queue.shift())
      for (const webhook of this.#options.webhooks) await this.#deliver(webhook, message);
  }

  async #deliver(webhook: Webhook, message: AlertMessage): Promise<void> {
    const { clock, logger } = this.#options;
    for (let attempt = 0; ; attempt++) {
      const error = await this.#attempt(webhook, message);
      if (error === null) return;
      const pauseMs = PAUSES_MS[attempt];
      if (pauseMs === undefined || this.#stopping.signal.aborted) {
        logger.warn({ webhook: webhook.name, key: message.key, error }, 'alert not delivered');
        return;
      }
      await sleep(clock, pauseMs, this.#stopping.signal);
    }
  }

  /** Why it was not delivered; null when it was. */
  async #attempt({ name, url }: Webhook, message: AlertMessage): Promise<string | null> {
    const body = JSON.stringify(name === 'slack' ? { text: slackText(message) } : message);
    let error: string | null = null;
    try {
      const status = await this.#options.post(url, body);
      if (status < 200 || status > 299) error = `HTTP ${status}`;
    } catch (cause) {
      // The URL of a webhook is a secret: errors of fetch do not contain it.
      error = (cause as { cause?: { code?: string } }).cause?.code ?? (cause as Error).name;
    }
    const counts = this.#counts.get(name) as Counts;
    counts.lastError = error;
    if (error === null) counts.sent += 1;
    else counts.failed += 1;
    return error;
  }
}
