// The surroundings of a command for a test: what it prints, its exit code, and Ctrl-C.

import type { OperationContext } from '../../src/cli/operation-context.ts';
import type { Clock } from '../../src/util/clock.ts';
import { ManualClock } from './manual-clock.ts';

interface TestCommandOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly isTTY?: boolean;
  /** Default: one whose time passes in `during`. */
  readonly clock?: Clock;
}

export class TestCommand implements OperationContext {
  readonly env: Readonly<Record<string, string>>;
  readonly clock: Clock;
  output = '';
  shown = '';
  exitCode = 0;
  interrupt: () => void = () => undefined;
  readonly progress: OperationContext['progress'];

  constructor(options: TestCommandOptions = {}) {
    this.clock = options.clock ?? new ManualClock();
    this.env = options.env ?? {};
    this.progress = { isTTY: options.isTTY ?? false, write: (text) => void (this.shown += text) };
  }

  write = (text: string | Uint8Array): void => void (this.output += Buffer.from(text).toString());

  setExitCode = (code: number): void => void (this.exitCode = code);

  onInterrupt = (task: () => void): (() => void) => {
    this.interrupt = task;
    return () => (this.interrupt = () => undefined);
  };

  /** The result of `work`, while time passes. */
  async during<T>(work: Promise<T>): Promise<T> {
    let isOver = false;
    const over = (): void => void (isOver = true);
    work.then(over, over);
    const { clock } = this;
    while (!isOver && clock instanceof ManualClock) await clock.pass(50);
    return work;
  }
}
