// Sends a statement whose last value is long without copying that value. pg copies each value twice into its message,
// which blocked the event loop for some 3 ms per megabyte (docs/performance.md). Here the pieces of the value are written
// to the socket as they are, between the parts of the message that pg built.

import pg from 'pg';

/** The last value of a statement, of type bytea, in pieces. They must not change until the statement has returned. */
export class LongValue {
  readonly pieces: readonly Buffer[];
  readonly byteLength: number;

  constructor(pieces: readonly Buffer[]) {
    this.pieces = pieces;
    this.byteLength = pieces.reduce((sum, { length }) => sum + length, 0);
  }
}

/**
 * A part of pg's Connection that its types leave out: bind() builds one message and passes it to its own _send().
 * long-value.pg.test.ts fails when a release of pg changes that.
 */
interface Internals {
  bind(config: object): void;
}

/** A bind message ends with the number of result formats, one, and the format: 2 bytes each. */
const RESULT_FORMATS_BYTES = 4;
/** Offset of the length in a message: after the letter of its type. */
const LENGTH_AT = 1;

/** Like client.query; `value` is the parameter after the values in `config`. */
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
    query.submit = (connection) => submit(withLastValue(connection, value));
    client.query(query);
  });
}

/** `connection`, whose bind message contains `value` instead of the empty last parameter. */
function withLastValue(connection: pg.Connection, value: LongValue): pg.Connection {
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
