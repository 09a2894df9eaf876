// Runs the operator's command that prints the password of DATABASE_URL, such as a token that expires.

import { execFile } from 'node:child_process';
import type { Clock } from '../util/clock.ts';

// The pools of a gateway connect at about the same time and share one run; tokens live for minutes.
const REUSED_MS = 30_000;
// A command of a cloud takes a second or two.
const LIMIT_MS = 10_000;
// Passwords and tokens are far shorter.
const OUTPUT_BYTES_MAX = 64 * 1024;

export class PasswordCommand {
  readonly #command: string;
  readonly #clock: Clock;
  #last: { readonly password: Promise<string>; readonly startedAt: number } | null = null;

  constructor(command: string, clock: Clock) {
    this.#command = command;
    this.#clock = clock;
  }

  /** What the command prints, without the end of the line. Throws when it fails or takes too long. */
  password(): Promise<string> {
    const now = this.#clock.monotonic();
    if (this.#last !== null && now - this.#last.startedAt < REUSED_MS) return this.#last.password;
    const last = { password: this.#run(), startedAt: now };
    this.#last = last;
    last.password.catch(() => {
      if (this.#last === last) this.#last = null;
    });
    return last.password;
  }

  /** PostgreSQL has refused the password: the next connection runs the command again. */
  forget(): void {
    this.#last = null;
  }

  #run(): Promise<string> {
    return new Promise((resolve, reject) => {
      const limits = { timeout: LIMIT_MS, maxBuffer: OUTPUT_BYTES_MAX };
      execFile('/bin/sh', ['-c', this.#command], limits, (error, stdout) => {
        const password = stdout.replace(/\r?\n$/, '');
        // Neither the output nor the command line, which may hold a secret, is part of the message.
        if (error !== null)
          reject(
            new Error(
              `DATABASE_PASSWORD_COMMAND failed (${error.killed === true ? 'timeout' : `exit code ${String(error.code)}`})`,
            ),
          );
        else if (password === '') reject(new Error('DATABASE_PASSWORD_COMMAND printed nothing'));
        else resolve(password);
      });
    });
  }
}
