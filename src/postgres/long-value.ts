// A statement whose last value is long, sent without a copy. pg copies each value twice on its way into a message; with
// memory fresh from the kernel that held the event loop for some 3 ms a megabyte on the machine measured
// (docs/performance.md). Here the pieces of the value go to the socket as they are, between what pg made of the rest.

import pg from 'pg';

/** The last value of a statement, of type bytea, in pieces that are not copied: they must not change until it is answered. */
export class LongValue {
  readonly pieces: readonly Buffer[];
  readonly byteLength: number;

  constructor(pieces: readonly Buffer[]) {
    this.pieces = pieces;
    this.byteLength = pieces.reduce((sum, { length }) => sum + length, 0);
  }
}

/**
 * What pg's Connection has beside its types: bind() makes one message, which it hands to its own _send(). That it does
 * is shown by long-value.pg.test.ts.
 */
interface Internals {
  bind(config: object): void;
}

/** Bytes that a bind message ends with: how many formats of results there are, one, and which. */
const RESULT_FORMATS_BYTES = 4;
/** Where the length of a message stands: behind the letter that says which it is. */
const LENGTH_AT = 1;

/** As client.query; `value` follows the values in `config`. */
export function queryWithLongValue<R extends pg.QueryResultRow>(
  client: pg.PoolClient,
  config: pg.QueryConfig,
  value: LongValue,
): Promise<R[]> {
  return new Promise((resolve, reject) => {
    const values = [...(config.values ?? []), Buffer.alloc(0)];
    const query = new pg.Query<R>({ ...config, values }, (error: Error | undefined | null, result) =>
      error === undefined || error === null ? resolve(result.rows) : reject(error),
    );
    const submit = query.submit.bind(query);
    query.submit = (connection) => submit(putting(value, connection));
    client.query(query);
  });
}

/** `connection`, but that its bind message has `value` in place of the empty last one. */
function putting(value: LongValue, connection: pg.Connection): pg.Connection {
  const { stream } = connection;
  const send = (message: Buffer): void => {
    if (!stream.writable) return;
    const end = message.length - RESULT_FORMATS_BYTES;
    message.writeInt32BE(message.readInt32BE(LENGTH_AT) + value.byteLength, LENGTH_AT);
    message.writeInt32BE(value.byteLength, end - 4);
    stream.write(message.subarray(0, end));
    for (const piece of value.pieces) stream.write(piece);
    stream.write(message.subarray(end));
  };
  const bind = (config: object): void => {
    const sending = Object.create(connection, { _send: { value: send } }) as Internals;
    sending.bind(config);
  };
  return Object.create(connection, { bind: { value: bind } }) as pg.Connection;
}
