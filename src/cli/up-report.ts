// Formats the output of `polychrome up`: progress, messages about its children, and how to connect.

import { resolve } from 'node:path';
import type { LocalCluster, LocalProgress } from '../local/cluster.ts';
import type { SupervisorLogger } from '../local/supervisor.ts';

interface Output {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

const CLEAR_LINE = '\r\u001B[K';

/** Prints progress as lines; a terminal also shows the processes that are starting. */
export function progressPrinter(output: Output): (progress: LocalProgress) => void {
  const starting = new Set<string>();
  const show = (text: string): void => {
    const waiting = output.isTTY && starting.size > 0 ? `  … ${[...starting].join(', ')}` : '';
    if (output.isTTY || text !== '') output.write(`${output.isTTY ? CLEAR_LINE : ''}${text}${waiting}`);
  };
  const line = (text: string): void => show(`${text}\n`);
  return (progress) => {
    switch (progress.step) {
      case 'reclaimed':
        return line(`Stopped ${displayName(progress.child)} (process ${progress.pid}) of an earlier start.`);
      case 'chroma':
        return line(`Starting PostgreSQL and the nodes (${progress.release}) …`);
      case 'starting':
        starting.add(displayName(progress.child));
        return show('');
      case 'ready':
        starting.delete(displayName(progress.child));
        return line(`  ${displayName(progress.child).padEnd(10)}  ready  ${progress.address}`);
      default:
        return progress satisfies never;
    }
  };
}

function displayName(child: string): string {
  return child === 'postgres' ? 'PostgreSQL' : child;
}

/** Creates a logger that prints messages without fields. */
export function lineLogger(output: Output): SupervisorLogger {
  const print = (_fields: object, message: string): void => void output.write(`polychrome: ${message}\n`);
  return { info: print, warn: print, error: print };
}

/** Returns the addresses of a started cluster and an example program in each language. */
export function readyText(
  gateway: { readonly url: string; readonly dashboardUrl: string },
  cluster: Pick<LocalCluster, 'nodes' | 'release'>,
  dataDir: string,
): string {
  const { host, port } = clientAddress(gateway.url);
  const rows = [
    ['endpoint', originOf(gateway.url)],
    ['dashboard', `${originOf(gateway.dashboardUrl)}/ui/`],
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

Ctrl-C stops everything and keeps the data.
`;
}

function originOf(url: string): string {
  const { host, port } = clientAddress(url);
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** Returns the address for clients on this machine; a wildcard address becomes the loopback address. */
function clientAddress(endpoint: string): { host: string; port: number } {
  const url = new URL(endpoint);
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const local = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return { host: local, port: Number(url.port || 80) };
}
