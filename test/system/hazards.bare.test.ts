// Shows each hazard that Polychrome refuses on a bare server. When a release of Chroma fixes one, its test fails here:
// update the table.

import { afterEach, describe, expect, test } from 'vitest';
import { CHROMA_1_0_5 } from '../support/capability-levels.ts';
import { scanRecordCall } from '../../src/chroma/parse/scanner.ts';
import { isRefusal } from '../../src/chroma/parse/refusal.ts';
import { type BareServer, capabilitiesOf, startBareServer } from '../support/chroma-server.ts';
import {
  COLLECTIONS,
  HAZARDS,
  type HazardResponse,
  type HazardRequest,
  type HazardSubject,
} from '../support/hazards.ts';

class Subject implements HazardSubject {
  readonly #server: BareServer;
  #collection = '';

  private constructor(server: BareServer) {
    this.#server = server;
  }

  /** A new server with an empty collection. */
  static async start(): Promise<Subject> {
    const subject = new Subject(await startBareServer());
    const body = '{"name":"hazard"}';
    const created = await subject.request({ method: 'POST', path: COLLECTIONS, body });
    const { id }: { id: string } = JSON.parse(created.text);
    subject.#collection = id;
    return subject;
  }

  async request({ method, path, body }: HazardRequest): Promise<HazardResponse> {
    const url = `${this.#server.url}/api/v2${path.replace('{id}', this.#collection)}`;
    const headers = { 'content-type': 'application/json' };
    try {
      const response = await fetch(url, { method, headers, body: body ?? null });
      return { status: response.status, text: await response.text() };
    } catch (error) {
      return { status: 0, text: String(error) };
    }
  }

  stop(): Promise<void> {
    return this.#server.stop();
  }
}

const asked = await startBareServer();
const capabilities = await capabilitiesOf(asked);
await asked.stop();

describe('on a bare server', () => {
  let subject: Subject | null = null;
  afterEach(async () => {
    await subject?.stop();
    subject = null;
  });

  test.each(HAZARDS.filter((hazard) => hazard.shownBy(capabilities)))(
    '$name',
    async ({ setup, hostile, harmed }) => {
      subject = await Subject.start();
      for (const request of setup) expect((await subject.request(request)).status).toBeLessThan(300);
      expect(await harmed(subject, null)).toBe(false);
      // The check must not have changed the state that the hostile request finds: start again.
      await subject.stop();
      subject = await Subject.start();
      for (const request of setup) await subject.request(request);
      const response = await subject.request(hostile);
      expect(await harmed(subject, response)).toBe(true);
    },
  );
});

// The oldest supported servers: the scanner refuses all hazards for them.
const STRICTEST = CHROMA_1_0_5;

describe('the scanner refuses', () => {
  const writes = HAZARDS.filter(
    ({ hostile, isPrevented }) => isPrevented !== true && /\/(add|upsert|update|delete)$/.test(hostile.path),
  );
  test.each(writes)('$name', ({ hostile }) => {
    const kind = (['add', 'upsert', 'update', 'delete'] as const).find((each) =>
      hostile.path.endsWith(`/${each}`),
    );
    const result = scanRecordCall(kind ?? 'add', Buffer.from(hostile.body ?? ''), STRICTEST);
    expect(isRefusal(result)).toBe(true);
  });
});
