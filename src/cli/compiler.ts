// How soon V8 optimizes what the gateway runs.

import { setFlagsFromString } from 'node:v8';

// By default a function must have been called 3,000 times: a gateway asked ten times a second would run
// slower code for five minutes. What is optimized earlier on less experience is compiled again where that was misleading.
const CALLS_BEFORE_OPTIMIZING = 500;

/** To be called before anything is worth optimizing. Where V8 knows no such flag it says so on stderr, no more. */
export function optimizeEarly(): void {
  setFlagsFromString(`--invocation-count-for-turbofan=${CALLS_BEFORE_OPTIMIZING}`);
}
