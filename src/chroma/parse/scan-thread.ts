// The worker thread of LargeScanner.

import { parentPort } from 'node:worker_threads';
import type { ScanResult, ScanTask } from './large-scanner.ts';
import { removeOlderParts } from './older-request.ts';
import { outlineOf } from './request-outline.ts';
import { scanRecordCall } from './scanner.ts';
import { isRefusal } from './refusal.ts';

parentPort?.on('message', (task: ScanTask) => {
  const { number, bytes } = task;
  const body = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const result: ScanResult = { number, bytes, result: resultOf(task, body) };
  parentPort?.postMessage(result, [bytes.buffer as ArrayBuffer]);
});

function resultOf(task: ScanTask, body: Buffer): ScanResult['result'] {
  if (task.type === 'older') return removeOlderParts(body);
  if (task.type === 'outline') return outlineOf(task.action, body);
  const call = scanRecordCall(task.kind, body, task.capabilities);
  const { body: _, ...rest } = isRefusal(call) ? { ...call, body } : call;
  return rest;
}
