// Micro-benchmark of the byte scanner against JSON.parse on typical request bodies.
// Run: node bench/micro-scanner.ts

import { scanRecordCall } from '../src/chroma/parse/scanner.ts';
import { isRefusal } from '../src/chroma/parse/refusal.ts';
import type { Capabilities } from '../src/chroma/protocol/capabilities.ts';
import { Corpus } from './corpus.ts';
import { median } from './statistics.ts';
import { adds, Numbering } from './supply.ts';

const CAPABILITIES: Capabilities = {
  maxBatchSize: 5_461,
  base64Embeddings: true,
  metadataArrays: true,
  deleteLimit: true,
  schema: true,
};
const ROUNDS = 7;
/** Long enough to average out timer resolution and garbage collection. */
const ROUND_MS = 300;
const MB = 1e6;

interface Subject {
  readonly title: string;
  readonly body: Buffer;
}

function bodyOf(corpus: Corpus, records: number): Buffer {
  return Buffer.from(adds(corpus, records, new Numbering(0)).next());
}

function subjects(): Subject[] {
  const narrow = new Corpus(128, 1);
  const wide = new Corpus(768, 1);
  return [
    { title: '1 × 128', body: bodyOf(narrow, 1) },
    { title: '64 × 128', body: bodyOf(narrow, 64) },
    { title: '1,000 × 128', body: bodyOf(narrow, 1_000) },
    { title: '1 × 768', body: bodyOf(wide, 1) },
    { title: '1,000 × 768', body: bodyOf(wide, 1_000) },
    { title: '1,000 × 128, base64', body: asBase64(bodyOf(narrow, 1_000)) },
    { title: '100 documents of 20 kB, escapes', body: withLongDocuments(bodyOf(narrow, 100)) },
  ];
}

interface RecordsBody {
  embeddings: number[][];
  documents: string[];
}

function parsed(body: Buffer): RecordsBody {
  return JSON.parse(body.toString());
}

/** The same call with base64 embeddings (little-endian 32-bit floats), as clients send them to newer servers. */
function asBase64(body: Buffer): Buffer {
  const call = parsed(body);
  const embeddings = call.embeddings.map((vector) =>
    Buffer.from(Float32Array.from(vector).buffer).toString('base64'),
  );
  return Buffer.from(JSON.stringify({ ...call, embeddings }));
}

function withLongDocuments(body: Buffer): Buffer {
  const call = parsed(body);
  const documents = call.documents.map((text) => `"${text}"\n`.repeat(Math.ceil(20_000 / text.length)));
  return Buffer.from(JSON.stringify({ ...call, documents }));
}

/** Throughput of `read`, MB/s. */
function throughput(body: Buffer, read: (body: Buffer) => void): number {
  const startedAt = performance.now();
  let bytes = 0;
  while (performance.now() - startedAt < ROUND_MS) {
    read(body);
    bytes += body.length;
  }
  return bytes / MB / ((performance.now() - startedAt) / 1_000);
}

function scan(body: Buffer): void {
  const result = scanRecordCall('add', body, CAPABILITIES);
  if (isRefusal(result)) throw new Error(`the scanner rejected a benchmark body: ${result.message}`);
}

console.log('| body | size | scanner MB/s | JSON.parse MB/s | ratio |');
console.log('|---|--:|--:|--:|--:|');
for (const { title, body } of subjects()) {
  const scanned: number[] = [];
  const built: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    scanned.push(throughput(body, scan));
    built.push(throughput(body, (bytes) => void JSON.parse(bytes.toString())));
  }
  // The first round of each is JIT warm-up.
  const [scanner, parser] = [median(scanned.slice(1)), median(built.slice(1))];
  const size =
    body.length < 1e5 ? `${(body.length / 1e3).toFixed(1)} kB` : `${(body.length / MB).toFixed(1)} MB`;
  console.log(
    `| ${title} | ${size} | ${scanner.toFixed(0)} | ${parser.toFixed(0)} | ${(scanner / parser).toFixed(2)} |`,
  );
}
