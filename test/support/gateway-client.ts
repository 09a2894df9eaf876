// A client of one gateway during faults: it writes a record again and again, reads it back, and looks for its collection.
// It notes every response that breaks a promise.

import type { ChromaHttp, TextResponse } from './chroma-http.ts';

export interface GatewayClientOptions {
  readonly api: ChromaHttp;
  readonly name: string;
  /** The consistency level that its reads name; undefined: none. */
  readonly level?: string;
  /** Whether it only reads records. */
  readonly readsRecords?: boolean;
}

// Longer than a write waits, so that a request fails by itself.
const PATIENCE_MS = 40_000;
const PACE_MS = 10;

export class GatewayClient {
  readonly #options: GatewayClientOptions;
  readonly #id: string;
  #sent = 0;
  #acknowledged = 0;
  /** Whether requests may be refused with 503, or get no response. */
  mayRefuse = false;
  /** Responses that break a promise. */
  readonly faults: string[] = [];
  /** Requests that were carried out since this was cleared. */
  succeeded = 0;
  refused = 0;
  longestMs = 0;

  constructor(id: string, options: GatewayClientOptions) {
    this.#id = id;
    this.#options = options;
  }

  /** The number of its last write that was acknowledged. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  get #readsRecords(): boolean {
    return this.#options.readsRecords === true;
  }

  get #record(): string {
    return `record of ${this.#options.name}`;
  }

  /** Sends requests until `stop` aborts. */
  async run(stop: AbortSignal): Promise<void> {
    for (let turn = 0; !stop.aborted; turn++) {
      if (!this.#readsRecords) await this.#write();
      await this.#read();
      if (turn % 10 === 0 && !this.#readsRecords) await this.#list();
      await new Promise((resolve) => setTimeout(resolve, PACE_MS));
    }
  }

  async #write(): Promise<void> {
    const n = ++this.#sent;
    const body = { ids: [this.#record], embeddings: [[n, 1]], documents: [`v${n}`] };
    const response = await this.#send('write', (api) => api.records(this.#id, 'upsert', body));
    if (response?.status === 200) this.#acknowledged = n;
  }

  async #read(): Promise<void> {
    const acknowledged = this.#acknowledged;
    const level = this.#options.level;
    const headers: Record<string, string> = level === undefined ? {} : { 'x-polychrome-consistency': level };
    const body = { ids: [this.#record] };
    const response = await this.#send('read', (api) => api.records(this.#id, 'get', body, headers));
    if (response?.status !== 200) return;
    const [document] = (JSON.parse(response.text) as { documents: string[] }).documents;
    const n = document === undefined ? 0 : Number(document.slice(1));
    const isFresh = level === 'eventual' || n >= acknowledged;
    if (!isFresh || n > this.#sent) this.#fault(`read v${n}, acknowledged v${acknowledged}`);
  }

  async #list(): Promise<void> {
    const listed = await this.#send('list', (api) => api.collections());
    if (listed?.status === 200 && !listed.text.includes(this.#id))
      this.#fault(`the collection is missing from ${listed.text}`);
  }

  /** Null when there is no response. */
  async #send(what: string, send: (api: ChromaHttp) => Promise<TextResponse>): Promise<TextResponse | null> {
    const sentAt = performance.now();
    const late = new Promise<never>((_, reject) => {
      setTimeout(() => reject(new Error('no response in time')), PATIENCE_MS).unref();
    });
    try {
      const response = await Promise.race([send(this.#options.api), late]);
      const isRefusal = response.status === 503;
      if (isRefusal) this.refused += 1;
      else this.succeeded += 1;
      if (response.status > 201 && !(isRefusal && this.mayRefuse))
        this.#fault(`${what}: ${response.status} ${response.text}`);
      return response;
    } catch (error) {
      if (!this.mayRefuse) this.#fault(`${what}: ${String(error)}: ${String((error as Error).cause)}`);
      return null;
    } finally {
      this.longestMs = Math.max(this.longestMs, performance.now() - sentAt);
    }
  }

  #fault(text: string): void {
    this.faults.push(`${this.#options.name}: ${text}`);
  }

  /** What a node should hold of its record: the last acknowledged value, or one whose outcome is unknown. */
  isKept(document: string): boolean {
    const n = Number(document.slice(1));
    return n >= this.#acknowledged && n <= this.#sent;
  }
}
