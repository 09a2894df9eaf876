// The worker thread of LargeScanner.

import { parentPort } from 'node:worker_threads';
import type { ScanResult, ScanTask } from './large-scanner.ts';
import { removeOlderParts } from './older-request.ts';
import { outlineOf } from './request-outline.ts';
import { isListed } from './record-ids.ts';
import { scanFirstAccepted } from './scanner.ts';
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
  const call = scanFirstAccepted(task.kind, body, task.levels);
  if (isRefusal(call)) return call;
  const { body: _, ids, ...rest } = call;
  return { ...rest, bodyBytes: call.body.length, ids: isListed(ids) ? ids : ids.length };
}
