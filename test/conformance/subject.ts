// The subject of the conformance suite and conversations with it: requests with placeholders, and comparisons that keep
// number formats (1.0 is not 1) and ignore ids, the order of keys and the schema of newer releases.

import { expect } from 'vitest';
import type { Capabilities } from '../../src/chroma/protocol/capabilities.ts';

/** Status 0: the connection ended without a response. */
export interface SubjectResponse {
  readonly status: number;
  readonly text: string;
}

/** A Chroma server, real or fake. */
export interface Subject {
  readonly capabilities: Capabilities;
  call(method: string, path: string, body?: string): Promise<SubjectResponse>;
  /** Kills the process and restarts it on its data. */
  restart(): Promise<void>;
  /** Copies its data; may restart the process. */
  keepCopy(): Promise<void>;
  /** Restarts on the copy. */
  putBackCopy(): Promise<void>;
  /** Sends a write to a server that is busy with another, and ends the connection before the response. */
  cutOff(path: string, body: string, busyWith: { path: string; body: string }): Promise<void>;
  stop(): Promise<void>;
}

export interface Request {
  readonly method: string;
  readonly path: string;
  readonly body: string | undefined;
}

/** The expected body: the whole as JSON, the beginning of an error, or empty. */
export type Body =
  { readonly json: string } | { readonly error: string; readonly start: string } | { readonly empty: true };

export interface ConversationStep {
  readonly request: Request;
  readonly status: number;
  readonly body: Body | null;
}

export const COLLECTIONS = '/api/v2/tenants/default_tenant/databases/default_database/collections';
export const NO_SUCH_ID = '00000000-0000-4000-8000-000000000000';

export interface Behaviour {
  readonly name: string;
  readonly run: (conversation: Conversation) => Promise<void>;
}

let conversations = 0;

/** A conversation about two new collections, `{id}` and `{other}`; `{n}` is a unique number. */
export class Conversation {
  readonly subject: Subject;
  readonly #n = ++conversations;
  #ids: { readonly id: string; readonly other: string } | null = null;

  constructor(subject: Subject) {
    this.subject = subject;
  }

  get capabilities(): Capabilities {
    return this.subject.capabilities;
  }

  async begin(): Promise<void> {
    const create = async (name: string): Promise<string> => {
      const { text } = await this.subject.call('POST', COLLECTIONS, JSON.stringify({ name }));
      return (JSON.parse(text) as { id: string }).id;
    };
    this.#ids = { id: await create(`talk-${this.#n}`), other: await create(`talk-${this.#n}-other`) };
  }

  /** Sends each request and compares its response. */
  async steps(...steps: readonly ConversationStep[]): Promise<void> {
    for (const { request, status, body } of steps) {
      const said = `${request.method} ${request.path} ${request.body ?? ''}`;
      const response = await this.ask(request);
      expect({ said, status: response.status, text: response.text.slice(0, 500) }).toMatchObject({
        said,
        status,
      });
      if (body !== null) this.#compare(said, response.text, body);
    }
  }

  /** Sends a request and accepts any response. */
  ask({ method, path, body }: Request): Promise<SubjectResponse> {
    return this.subject.call(method, this.filled(path), body === undefined ? body : this.filled(body));
  }

  filled(text: string): string {
    const { id = '', other = '' } = this.#ids ?? {};
    return text.replaceAll('{id}', id).replaceAll('{other}', other).replaceAll('{n}', String(this.#n));
  }

  #compare(said: string, text: string, body: Body): void {
    if ('empty' in body) return expect({ said, text }).toEqual({ said, text: '' });
    if ('json' in body)
      return expect({ said, json: comparable(text) }).toEqual({
        said,
        json: comparable(this.filled(body.json)),
      });
    const { error, message } = JSON.parse(text) as { error: string; message: string };
    expect({ said, error }).toEqual({ said, error: body.error });
    expect(`${said} → ${message}`).toContain(`${said} → ${this.filled(body.start)}`);
  }
}

/** JSON with numbers as text, without generated ids and without the schema of newer releases. */
function comparable(text: string): unknown {
  return JSON.parse(text, (key, value: unknown, context?: { source?: string }) => {
    if (key === 'schema') return undefined;
    if (typeof value === 'number') return `number ${context?.source ?? ''}`;
    return typeof value === 'string' && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(value)
      ? 'an id'
      : value;
  });
}
