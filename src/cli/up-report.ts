// What `polychrome up` shows: progress, what happens to its children, and how to use it.

import { resolve } from 'node:path';
import type { LocalCluster, LocalProgress } from '../local/cluster.ts';
import type { SupervisorLogger } from '../local/supervisor.ts';

interface Output {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

const CLEAR_LINE = '\r\u001B[K';

/** Prints progress: plain lines, and at a terminal also one changing line that says what is awaited. */
export function progressPrinter(output: Output): (progress: LocalProgress) => void {
  const awaited = new Set<string>();
  const show = (text: string): void => {
    const waiting = output.isTTY && awaited.size > 0 ? `  … ${[...awaited].join(', ')}` : '';
    if (output.isTTY || text !== '') output.write(`${output.isTTY ? CLEAR_LINE : ''}${text}${waiting}`);
  };
  const line = (text: string): void => show(`${text}\n`);
  return (progress) => {
    switch (progress.step) {
      case 'reclaimed':
        return line(
          `Ended ${displayName(progress.child)} (process ${progress.pid}), left by an earlier start.`,
        );
      case 'chroma':
        return line(`Starting PostgreSQL and the nodes (${progress.release}) …`);
      case 'starting':
        awaited.add(displayName(progress.child));
        return show('');
      case 'ready':
        awaited.delete(displayName(progress.child));
        return line(`  ${displayName(progress.child).padEnd(10)}  ready  ${progress.address}`);
      default:
        return progress satisfies never;
    }
  };
}

function displayName(child: string): string {
  return child === 'postgres' ? 'PostgreSQL' : child;
}

/** A logger for a person at a terminal: the sentences alone. */
export function lineLogger(output: Output): SupervisorLogger {
  const print = (_fields: object, message: string): void => void output.write(`polychrome: ${message}\n`);
  return { info: print, warn: print, error: print };
}

/** The text that closes a start: where everything is, and a first program in each language. */
export function readyText(
  endpoint: string,
  cluster: Pick<LocalCluster, 'nodes' | 'release'>,
  dataDir: string,
): string {
  const { host, port } = clientAddress(endpoint);
  const rows = [
    ['endpoint', `http://${host.includes(':') ? `[${host}]` : host}:${port}`],
    ...cluster.nodes.map(({ id, url }) => [id, url]),
    ['data', resolve(dataDir)],
  ];
  return `
Polychrome is ready: ${cluster.nodes.length} × ${cluster.release} behind one endpoint.

${rows.map(([name = '', value]) => `  ${name.padEnd(10)}  ${value}`).join('\n')}

Python (pip install chromadb)
  import chromadb
  notes = chromadb.HttpClient(host="${host}", port=${port}).get_or_create_collection("notes")
  notes.upsert(ids=["a"], embeddings=[[0.1, 0.2, 0.3]], documents=["hello"])
  print(notes.query(query_embeddings=[[0.1, 0.2, 0.3]], n_results=1))

JavaScript (npm install chromadb)
  import { ChromaClient } from "chromadb";
  const client = new ChromaClient({ host: "${host}", port: ${port} });
  const notes = await client.getOrCreateCollection({ name: "notes", embeddingFunction: null });
  await notes.upsert({ ids: ["a"], embeddings: [[0.1, 0.2, 0.3]], documents: ["hello"] });
  console.log(await notes.query({ queryEmbeddings: [[0.1, 0.2, 0.3]], nResults: 1 }));

Ctrl-C stops everything; the data stays.
`;
}

/** Where a client on this machine connects: an address that means "all" is not one to connect to. */
function clientAddress(endpoint: string): { host: string; port: number } {
  const url = new URL(endpoint);
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const local = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return { host: local, port: Number(url.port || 80) };
}
