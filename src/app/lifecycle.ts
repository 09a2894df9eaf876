// Starts components in the order they were added and stops them in reverse, with a deadline each.

import { sleep, type Clock } from '../util/clock.ts';
import type { Logger } from '../util/logger.ts';

/** A part of a gateway that is started and stopped. */
export interface Component {
  readonly name: string;
  start?(): Promise<void>;
  /** Resolves when it has stopped all work; it has `deadlineMs` for that. */
  stop?(deadlineMs: number): Promise<void>;
}

export interface LifecycleOptions {
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'error'>;
  /** How long one component may take to stop, ms. */
  readonly stopDeadlineMs: number;
}

export class Lifecycle {
  readonly #options: LifecycleOptions;
  readonly #components: Component[] = [];
  /** Those to stop: started, or added without a start of their own. */
  readonly #running: Component[] = [];
  #stopped: Promise<void> | null = null;

  constructor(options: LifecycleOptions) {
    this.#options = options;
  }

  /** Components depend on those added before them. One without a start runs as soon as it is added. */
  add<T extends Component>(component: T): T {
    this.#components.push(component);
    if (component.start === undefined) this.#running.push(component);
    return component;
  }

  /** Starts all; when one fails, stops what is running and rejects with its error. */
  async start(): Promise<void> {
    try {
      for (const component of this.#components) {
        if (component.start === undefined || this.#running.includes(component)) continue;
        await component.start();
        this.#running.push(component);
      }
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** Stops all in reverse; one that fails or exceeds its deadline is logged and does not keep the others. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    const order = this.#components.filter((component) => this.#running.includes(component));
    for (const component of order.reverse()) await this.#stopOne(component);
  }

  async #stopOne(component: Component): Promise<void> {
    const { clock, logger, stopDeadlineMs } = this.#options;
    const done = new AbortController();
    const late = sleep(clock, stopDeadlineMs, done.signal).then(() => {
      if (!done.signal.aborted) throw new Error(`not stopped within ${stopDeadlineMs} ms`);
    });
    try {
      await Promise.race([component.stop?.(stopDeadlineMs), late]);
    } catch (error) {
      logger.error({ component: component.name, error: String(error) }, 'component did not stop');
    } finally {
      done.abort();
    }
  }
}
