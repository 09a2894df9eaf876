// The surroundings of a command for a test: what it prints, its exit code, and Ctrl-C.

import type { OperationContext } from '../../src/cli/operation-context.ts';
import { ManualClock } from './manual-clock.ts';

export class TestCommand implements OperationContext {
  readonly env: Readonly<Record<string, string>>;
  readonly clock = new ManualClock();
  output = '';
  shown = '';
  exitCode = 0;
  interrupt: () => void = () => undefined;
  readonly progress: OperationContext['progress'];

  constructor(options: { readonly env?: Readonly<Record<string, string>>; readonly isTTY?: boolean } = {}) {
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
    while (!isOver) await this.clock.pass(50);
    return work;
  }
}
