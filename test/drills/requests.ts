// Requests of a drill: sent once, bounded in time, and never thrown: what came of one is part of the history.

import { setTimeout as pause } from 'node:timers/promises';
import type { SentRead } from './history.ts';

export interface Response {
  /** 0 when there was none. */
  readonly status: number;
  readonly text: string;
  readonly tookMs: number;
}

/** Longer than any write may wait for its level (WRITE_TIMEOUT_MS in the drills), and than a bulk call takes to arrive. */
const REQUEST_MS_MAX = 180_000;

export async function send(method: string, url: string, body?: string): Promise<Response> {
  const started = performance.now();
  const took = (): number => performance.now() - started;
  try {
    const response = await fetch(url, {
      method,
      signal: AbortSignal.timeout(REQUEST_MS_MAX),
      ...(body === undefined ? {} : { body, headers: { 'content-type': 'application/json' } }),
    });
    return { status: response.status, text: await response.text(), tookMs: took() };
  } catch (error) {
    const { cause, message } = error as Error;
    return { status: 0, text: cause instanceof Error ? cause.message : message, tookMs: took() };
  }
}

/** The first line of a failure: status and the beginning of the body. */
export const shown = ({ status, text }: Response): string => `${status} ${text.slice(0, 200)}`;

/** A read as the history keeps it; `isRight` sees the body of a 200. */
export function checkedRead(what: string, response: Response, isRight: (body: unknown) => boolean): SentRead {
  const right = response.status === 200 && isRight(parsed(response.text));
  return { what, fault: right ? null : shown(response), tookMs: response.tookMs };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null;
  }
}

/** Repeats `turn` every `periodMs`, one at a time, until `stop` aborts. */
export async function paced(
  periodMs: number,
  stop: AbortSignal,
  turn: (n: number) => Promise<void>,
): Promise<void> {
  for (let n = 0; !stop.aborted; n++) {
    const next = performance.now() + periodMs;
    await turn(n);
    const restMs = next - performance.now();
    if (restMs > 0) await pause(restMs, undefined, { signal: stop }).catch(() => undefined);
  }
}
