// Normalises responses for comparison: removes only what differs between any two servers. Each rule matches one shape of
// response, and the tests check a near miss for each.

import type { EndpointResponse } from './endpoint.ts';
import type { Operation } from './operation.ts';

/** Gives the ids of one side names in the order in which they first appear: #1, #2, … */
export class IdSymbols {
  readonly #symbols: Map<string, string>;

  constructor(symbols: ReadonlyMap<string, string> = new Map()) {
    this.#symbols = new Map(symbols);
  }

  /** A copy, because a response of one side must not change the names of the other side. */
  copy(): IdSymbols {
    return new IdSymbols(this.#symbols);
  }

  of(id: string): string {
    let symbol = this.#symbols.get(id);
    if (symbol === undefined) this.#symbols.set(id, (symbol = `#${this.#symbols.size + 1}`));
    return symbol;
  }
}

// The id of the default database and of unknown collections asked for: the same on every server.
const NIL = '00000000-0000-0000-0000-000000000000';
const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;

/** The response as one text; equal texts mean equal responses. */
export function normalise(operation: Operation, response: EndpointResponse, symbols: IdSymbols): string {
  const head = `${response.status} ${response.contentType}`;
  const text = response.body.toString('utf8');
  // What is not UTF-8 must not become equal by being replaced.
  if (!Buffer.from(text).equals(response.body)) return `${head}\n${response.body.toString('base64')}`;
  const value = parse(text);
  const body = value === undefined ? text : canonical(comparable(operation, response, value));
  return `${head}\n${withSymbols(body, symbols)}`;
}

/** Lists some of the collections of a database. */
export function isCollectionPage({ method, path }: Operation): boolean {
  return method === 'GET' && isCollectionList({ path }) && /[?&](limit|offset)=/.test(path);
}

/** Each element of a JSON array, as a text equal to that of the same element written otherwise; null for anything else. */
export function elements(response: EndpointResponse): string[] | null {
  const value = response.status === 200 ? parse(response.body.toString('utf8')) : undefined;
  return Array.isArray(value) ? value.map(canonical) : null;
}

/** A number as the server wrote it: 1.0 is not 1. */
class NumberText {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** The value of a JSON text with its numbers as text; undefined when it is none. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text, (_key, value: unknown, context?: { source?: string }) =>
      typeof value === 'number' ? new NumberText(context?.source ?? '') : value,
    );
  } catch {
    return undefined;
  }
}

/** JSON with sorted keys: the order in which a server writes a map changes from one answer to the next. */
function canonical(value: unknown): string {
  if (value instanceof NumberText) return value.text;
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1));
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${canonical(member)}`).join(',')}}`;
}

function comparable(operation: Operation, response: EndpointResponse, value: unknown): unknown {
  if (response.status === 200 && operation.method === 'GET') {
    if (Array.isArray(value) && isCollectionList(operation)) return comparableList(operation, value);
    if (isHeartbeat(operation)) return withoutTime(value);
  }
  if (response.status === 400) return withSortedFaults(value);
  return value;
}

function isHeartbeat({ path }: Operation): boolean {
  return path === '/api/v2' || path === '/api/v2/heartbeat';
}

function withoutTime(value: unknown): unknown {
  const isTime =
    typeof value === 'object' &&
    value !== null &&
    Object.keys(value).length === 1 &&
    'nanosecond heartbeat' in value &&
    value['nanosecond heartbeat'] instanceof NumberText &&
    /^\d{19}$/.test(value['nanosecond heartbeat'].text);
  return isTime ? 'a time in ns' : value;
}

function isCollectionList({ path }: Pick<Operation, 'path'>): boolean {
  return /^\/api\/v2\/tenants\/[^/?]+\/databases\/[^/?]+\/collections(\?|$)/.test(path);
}

// A bare server lists collections in the order of ids it drew at random: a page holds any of them, of which only
// how many can be compared. That it is a page of the whole list is looked at beside (pages.ts).
function comparableList(operation: Operation, list: readonly unknown[]): unknown {
  if (isCollectionPage(operation)) return `a page of ${list.length} collections`;
  return list.toSorted((one, other) => (name(one) < name(other) ? -1 : 1));
}

function name(item: unknown): string {
  return typeof item === 'object' && item !== null && 'name' in item ? String(item.name) : '';
}

// A refused length names its parameters out of a hash map, in either order.
const PARAMETERS =
  /^(\w+: Validation error: length \[\{)("(?:min|max)": Number\(\d+\)), ("value": String\(.*\))(\}\])$/s;

// A server reports several faults in any order, one a line.
const FAULTS = 'Validation error: ';

function withSortedFaults(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || !('message' in value)) return value;
  const { message } = value;
  if (typeof message !== 'string' || !message.startsWith(FAULTS)) return value;
  const lines = message.slice(FAULTS.length).split('\n');
  const sorted = lines.map((line) => line.replace(PARAMETERS, '$1$3, $2$4')).sort();
  return { ...value, message: FAULTS + sorted.join('\n') };
}

function withSymbols(text: string, symbols: IdSymbols): string {
  return text.replaceAll(UUID, (id) => (id === NIL ? id : symbols.of(id)));
}
