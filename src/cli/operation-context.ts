// What a command that waits for an operation takes from its surroundings in addition to its output: interrupts and time.

import { PROCESS, type CommandContext } from './command-context.ts';
import { systemClock, type Clock } from '../util/clock.ts';

export interface OperationContext extends CommandContext {
  /** Where progress and hints go, so that they never mix with the result. */
  readonly progress: { readonly isTTY: boolean; readonly write: (text: string) => void };
  /** Calls `task` at Ctrl-C instead of ending the process, until the returned function is called. */
  readonly onInterrupt: (task: () => void) => () => void;
  /** The process ends with this code once the command has returned. */
  readonly setExitCode: (code: number) => void;
  readonly clock: Clock;
}

export const OPERATION_PROCESS: OperationContext = {
  ...PROCESS,
  progress: {
    isTTY: process.stderr.isTTY,
    write: (text) => void process.stderr.write(text),
  },
  onInterrupt(task) {
    process.once('SIGINT', task);
    return () => void process.off('SIGINT', task);
  },
  setExitCode: (code) => void (process.exitCode = code),
  clock: systemClock,
};
