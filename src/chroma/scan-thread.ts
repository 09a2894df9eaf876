// The thread of large-scanner.ts.

import { parentPort } from 'node:worker_threads';
import type { ScanResult, ScanTask } from './large-scanner.ts';
import { isRefusal, scanRecordCall } from './scanner.ts';

parentPort?.on('message', ({ number, kind, bytes, capabilities }: ScanTask) => {
  const body = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const call = scanRecordCall(kind, body, capabilities);
  const { body: _, ...rest } = isRefusal(call) ? { ...call, body } : call;
  const result: ScanResult = { number, bytes, result: rest };
  parentPort?.postMessage(result, [bytes.buffer as ArrayBuffer]);
});
