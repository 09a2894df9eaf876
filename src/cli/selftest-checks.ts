// The checks of `polychrome selftest`: what a client does, and what the status says of every node afterwards.

import { PolychromeError } from '../errors.ts';
import { sleep, type Clock } from '../util/clock.ts';

/** One request to the gateway. */
export interface SelftestTarget {
  call(request: SelftestRequest): Promise<SelftestResponse>;
  readonly clock: Clock;
  /** How long a node may take to apply a write, and a cluster to choose another primary, ms. */
  readonly timeoutMs: number;
  /** Name of the collection that the checks create and delete. */
  readonly collection: string;
}

interface SelftestRequest {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly path: string;
  readonly body?: object;
}

export interface SelftestResponse {
  readonly status: number;
  readonly body: unknown;
  readonly lsn: number;
}

/** What became of a test alert, by webhook. */
export interface AlertTest {
  readonly results: readonly { readonly name: string; readonly error: string | null }[];
}

export interface CheckResult {
  readonly name: string;
  readonly passed: boolean;
  /** What was seen, or why it failed. */
  readonly detail: string;
  readonly ms: number;
}

interface NodeSummary {
  readonly id: string;
  readonly role: string;
  readonly state: string;
  readonly checkpoint: number;
}

const COLLECTIONS = '/api/v2/tenants/default_tenant/databases/default_database/collections';
const POLL_MS = 50;
const ROUNDS = 20;
const VECTOR = [0.5, -0.25, 0.125];
const SERVES = new Set(['serving', 'busy']);

export class Selftest {
  readonly #target: SelftestTarget;
  #id = '';
  readonly results: CheckResult[] = [];

  constructor(target: SelftestTarget) {
    this.#target = target;
  }

  /** Runs the checks in order; removes the collection in any case. */
  async run(): Promise<void> {
    try {
      await this.#check('health', () => this.#health());
      await this.#check('every node serves', () => this.#nodesServe());
      const isCreated = await this.#check('create a collection', () => this.#create());
      // Without a collection every further check would fail for the same reason.
      if (!isCreated) return;
      await this.#check('write to every node', () => this.#write());
      await this.#check('read after write', () => this.#readAfterWrite());
      await this.#check('v1 API', () => this.#olderApi());
      await this.#check('delete on every node', () => this.#delete());
      await this.#check('lag', () => this.#everyNodeApplied(null));
    } finally {
      if (this.#id !== '') await this.#check('clean up', () => this.#cleanUp());
    }
  }

  /**
   * Writes and reads until another node is the primary, which the operator or `stop` brings about, and every node serves
   * again. Fails when one of the requests fails.
   */
  async failover(stop: (primary: string) => void): Promise<void> {
    try {
      if (!(await this.#check('create a collection', () => this.#create()))) return;
      await this.#check('failover without a failed request', () => this.#failover(stop));
    } finally {
      if (this.#id !== '') await this.#check('clean up', () => this.#cleanUp());
    }
  }

  /** Sends a test alert to every webhook. Fails when none is configured, or one does not accept it. */
  async alerts(send: () => Promise<AlertTest>): Promise<void> {
    await this.#check('alert test', async () => {
      const { results } = await send();
      if (results.length === 0) fail('no webhook is configured: set SLACK_WEBHOOK_URL or ALERT_WEBHOOK_URL');
      const failed = results.filter(({ error }) => error !== null);
      if (failed.length > 0) fail(failed.map(({ name, error }) => `${name}: ${error}`).join('; '));
      return `delivered to ${results.map(({ name }) => name).join(', ')}`;
    });
  }

  async #check(name: string, check: () => Promise<string>): Promise<boolean> {
    const { clock } = this.#target;
    const start = clock.monotonic();
    const result = await check().then(
      (detail) => ({ passed: true, detail }),
      (error: unknown) => ({ passed: false, detail: error instanceof Error ? error.message : String(error) }),
    );
    this.results.push({ name, ...result, ms: Math.round(clock.monotonic() - start) });
    return result.passed;
  }

  async #health(): Promise<string> {
    await this.#expect({ method: 'GET', path: '/health' });
    await this.#expect({ method: 'GET', path: '/api/v2/heartbeat' });
    return 'the gateway is ready';
  }

  async #nodesServe(): Promise<string> {
    const nodes = await this.#nodes();
    const away = nodes.filter(({ state }) => !SERVES.has(state));
    if (away.length > 0) fail(away.map(({ id, state }) => `${id} is ${state}`).join(', '));
    if (!nodes.some(({ role }) => role === 'primary')) fail('no node is the primary');
    return `${nodes.length} nodes`;
  }

  async #create(): Promise<string> {
    const { collection } = this.#target;
    const { body } = await this.#expect({ method: 'POST', path: COLLECTIONS, body: { name: collection } });
    this.#id = String((body as { id?: unknown }).id);
    return collection;
  }

  async #write(): Promise<string> {
    const ids = ['doc_chunk_0', 'doc_chunk_1', 'doc_chunk_2'];
    const body = { ids, embeddings: ids.map(() => VECTOR), documents: ids };
    const { lsn } = await this.#records('upsert', body);
    const applied = await this.#everyNodeApplied(lsn);
    const count = await this.#expect({ method: 'GET', path: `${COLLECTIONS}/${this.#id}/count` });
    if (count.body !== ids.length) fail(`count is ${JSON.stringify(count.body)}, not ${ids.length}`);
    return applied;
  }

  async #readAfterWrite(): Promise<string> {
    for (let round = 0; round < ROUNDS; round++) await this.#writeAndRead(round);
    return `${ROUNDS} writes, each read at once`;
  }

  async #olderApi(): Promise<string> {
    const { collection } = this.#target;
    await this.#expect({ method: 'GET', path: '/api/v1/heartbeat' });
    const { body } = await this.#expect({
      method: 'GET',
      path: `/api/v1/collections/${collection}/get?limit=3`,
    });
    const { ids } = body as { ids?: unknown[] };
    if (ids?.length !== 3) fail(`a get of three records returned ${JSON.stringify(body)}`);
    return 'heartbeat, get by name';
  }

  async #delete(): Promise<string> {
    const { lsn } = await this.#records('delete', { ids: ['doc_chunk_1'] });
    const applied = await this.#everyNodeApplied(lsn);
    const ids = ['doc_chunk_0', 'doc_chunk_1', 'doc_chunk_2'];
    const { body } = await this.#records('get', { ids, include: [] });
    const left = JSON.stringify((body as { ids?: unknown }).ids);
    if (left !== '["doc_chunk_0","doc_chunk_2"]') fail(`one of three was deleted, and ${left} is left`);
    return `one of three, two are left; ${applied}`;
  }

  async #cleanUp(): Promise<string> {
    await this.#expect({ method: 'DELETE', path: `${COLLECTIONS}/${this.#target.collection}` });
    return 'the collection is deleted';
  }

  async #failover(stop: (primary: string) => void): Promise<string> {
    const { clock, timeoutMs } = this.#target;
    const before = primaryOf(await this.#nodes());
    stop(before);
    const deadline = clock.monotonic() + timeoutMs;
    let slowestMs = 0;
    for (let round = 0; clock.monotonic() < deadline; round++) {
      const start = clock.monotonic();
      await this.#writeAndRead(round);
      slowestMs = Math.max(slowestMs, clock.monotonic() - start);
      const now = primaryOf(await this.#nodes());
      if (now !== before)
        return `${before} → ${now}; ${round + 1} writes and reads, the slowest pair took ${Math.round(slowestMs)} ms`;
      await sleep(clock, POLL_MS);
    }
    return fail(`${before} was still the primary after ${timeoutMs} ms: stop it while this command runs`);
  }

  async #writeAndRead(round: number): Promise<void> {
    const id = `round_${round}`;
    await this.#records('upsert', { ids: [id], embeddings: [VECTOR], documents: [id] });
    const { body } = await this.#records('get', { ids: [id], include: [] });
    if (JSON.stringify((body as { ids?: unknown }).ids) !== JSON.stringify([id]))
      fail(`${id} was acknowledged and not found`);
  }

  /** Waits until each node has applied the log up to that LSN; null: up to its present head. */
  async #everyNodeApplied(lsn: number | null): Promise<string> {
    const { clock, timeoutMs } = this.#target;
    const start = clock.monotonic();
    let wanted = lsn;
    for (;;) {
      const { head, nodes } = await this.#status();
      const upTo = (wanted ??= head);
      const behind = nodes.filter(({ checkpoint }) => checkpoint < upTo);
      const ms = Math.round(clock.monotonic() - start);
      if (behind.length === 0) return `${nodes.length} nodes have applied LSN ${upTo}`;
      if (ms > timeoutMs)
        fail(behind.map(({ id, checkpoint }) => `${id} is at LSN ${checkpoint}, not ${upTo}`).join(', '));
      await sleep(clock, POLL_MS);
    }
  }

  #records(action: 'upsert' | 'delete' | 'get', body: object): Promise<SelftestResponse> {
    return this.#expect({ method: 'POST', path: `${COLLECTIONS}/${this.#id}/${action}`, body });
  }

  async #nodes(): Promise<readonly NodeSummary[]> {
    return (await this.#status()).nodes;
  }

  async #status(): Promise<{ head: number; nodes: readonly NodeSummary[] }> {
    const { body } = await this.#expect({ method: 'GET', path: '/status' });
    const { head, nodes } = body as { head?: unknown; nodes?: unknown };
    if (typeof head !== 'number' || !Array.isArray(nodes) || nodes.length === 0)
      fail('GET /status is not that of a Polychrome gateway with nodes');
    return { head, nodes: nodes as NodeSummary[] };
  }

  async #expect(request: SelftestRequest): Promise<SelftestResponse> {
    const response = await this.#target.call(request);
    if (response.status >= 200 && response.status < 300) return response;
    return fail(`${request.method} ${request.path}: ${response.status} ${JSON.stringify(response.body)}`);
  }
}

function primaryOf(nodes: readonly NodeSummary[]): string {
  return nodes.find(({ role }) => role === 'primary')?.id ?? 'none';
}

function fail(detail: string): never {
  throw new PolychromeError('internal', detail);
}
