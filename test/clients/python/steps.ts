// Runs the steps of a Python script against a server.

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { z } from 'zod';
import { plainText } from '../side.ts';

export interface PythonSteps {
  readonly python: string;
  /** The script and its arguments after the address. */
  readonly words: readonly [script: string, ...args: string[]];
}

const outcome = z.looseObject({
  step: z.string(),
  result: z.unknown().optional(),
  error: z.string().optional(),
});

export type StepOutcome = z.infer<typeof outcome>;

const execute = promisify(execFile);

/** What came of each step, ids numbered. */
export async function stepsOf(
  { python, words: [script, ...args] }: PythonSteps,
  url: string,
): Promise<StepOutcome[]> {
  const path = fileURLToPath(new URL(script, import.meta.url));
  const env = { ...process.env, PYTHONDONTWRITEBYTECODE: '1', ANONYMIZED_TELEMETRY: 'False' };
  const { stdout } = await execute(python, [path, url, ...args], { env, maxBuffer: 64 * 1024 * 1024 });
  const lines = plainText(stdout, url, new Map()).trimEnd().split('\n');
  return lines.map((line) => outcome.parse(JSON.parse(line)));
}
