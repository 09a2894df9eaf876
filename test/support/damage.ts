// Damage to the files of a stopped Chroma server, one kind for one collection each.

import { closeSync, openSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

const PAGE_BYTES = 4_096;

/** The files of one server. */
export class ServerFiles {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** Replaces the document of a record. */
  editDocument(collection: string, id: string): void {
    this.#changeRecord(
      collection,
      id,
      `update embedding_metadata set string_value = 'edited' where id = ? and key = 'chroma:document'`,
    );
  }

  /** Removes a record's text from what filters by document see. Also on a running server. */
  deleteFilterText(collection: string, id: string): void {
    this.#changeRecord(collection, id, 'delete from embedding_fulltext_search_content where id = ?');
  }

  /** Replaces a record's text in what filters by document see. Also on a running server. */
  editFilterText(collection: string, id: string): void {
    this.#changeRecord(
      collection,
      id,
      `update embedding_fulltext_search_content set c0 = 'edited' where id = ?`,
    );
  }

  /** Removes what finds words in the full-text index: updates and deletes of documents fail, adds do not. */
  deleteFullTextIndex(): void {
    this.#open((database) => database.exec('delete from embedding_fulltext_search_data'));
  }

  /** Makes an integer of metadata the equal floating-point number. */
  editType(collection: string, id: string, key: string): void {
    this.#changeRecord(
      collection,
      id,
      `update embedding_metadata set float_value = int_value, int_value = null where id = ? and key = '${key}'`,
    );
  }

  /** Removes a record from the tables, and leaves it in the vector index. */
  deleteRecord(collection: string, id: string): void {
    this.#changeRecord(collection, id, 'delete from embedding_metadata where id = ?');
    this.#changeRecord(collection, id, 'delete from embeddings where id = ?');
  }

  /** Adds a record that no client wrote. */
  addRecord(collection: string, id: string): void {
    this.#open((database) => {
      const { segment } = this.#segment(database, collection, 'METADATA');
      database
        .prepare(
          "insert into embeddings (segment_id, embedding_id, seq_id) values (?, ?, x'0000000000000001')",
        )
        .run(segment, id);
    });
  }

  /** Moves the first record behind all others. */
  moveToEnd(collection: string, id: string): void {
    this.#open((database) => {
      const record = this.#record(database, collection, id);
      const { last } = database.prepare('select max(id) + 1 as last from embeddings').get() as {
        last: number;
      };
      database.prepare('update embeddings set id = ? where id = ?').run(last, record);
      database.prepare('update embedding_metadata set id = ? where id = ?').run(last, record);
    });
  }

  deleteIndex(collection: string): void {
    rmSync(this.#indexFolder(collection), { recursive: true });
  }

  /** Flips a bit in the vector of a record, in the file of the index. */
  flipVector(collection: string, vector: readonly number[]): void {
    const file = join(this.#indexFolder(collection), 'data_level0.bin');
    const at = readFileSync(file).indexOf(Buffer.from(Float32Array.from(vector).buffer));
    if (at < 0) throw new Error(`the vector is not in the index of ${collection}`);
    const bytes = Buffer.from(Float32Array.from(vector).buffer);
    bytes[2] = (bytes[2] as number) ^ 0x40;
    writeAt(file, at, bytes);
  }

  /** Overwrites some bytes of the list of ids in the index. */
  flipIndexIds(collection: string): void {
    const file = join(this.#indexFolder(collection), 'index_metadata.pickle');
    writeAt(file, Math.floor(statSync(file).size / 2), Buffer.alloc(64, 0xaa));
  }

  /** Flips one bit in every place of the database file that holds this text. */
  flipText(text: string): void {
    this.#open((database) => database.exec('pragma wal_checkpoint(truncate)'));
    const file = join(this.#dir, 'chroma.sqlite3');
    const content = readFileSync(file);
    const places: number[] = [];
    for (let at = content.indexOf(text); at >= 0; at = content.indexOf(text, at + 1)) places.push(at);
    if (places.length === 0) throw new Error(`the database file does not hold "${text}"`);
    for (const at of places) writeAt(file, at, Buffer.from([(content[at] as number) ^ 0x20]));
  }

  /** Overwrites bytes in every second page of the database file behind its first ones, which hold the schema. */
  flipDatabase(): void {
    this.#open((database) => database.exec('pragma wal_checkpoint(truncate)'));
    const file = join(this.#dir, 'chroma.sqlite3');
    for (let at = 40 * PAGE_BYTES; at < statSync(file).size - 64; at += 2 * PAGE_BYTES)
      writeAt(file, at, Buffer.alloc(64, 0xaa));
  }

  #changeRecord(collection: string, id: string, statement: string): void {
    this.#open((database) => {
      const record = this.#record(database, collection, id);
      const { changes } = database.prepare(statement).run(record);
      if (Number(changes) === 0) throw new Error(`nothing changed for ${collection}/${id}`);
    });
  }

  #record(database: DatabaseSync, collection: string, id: string): number {
    const { segment } = this.#segment(database, collection, 'METADATA');
    const row = database
      .prepare('select id from embeddings where segment_id = ? and embedding_id = ?')
      .get(segment, id) as { id: number } | undefined;
    if (row === undefined) throw new Error(`${collection} has no record ${id}`);
    return row.id;
  }

  #segment(database: DatabaseSync, collection: string, scope: string): { segment: string } {
    const row = database
      .prepare(
        `select s.id as segment from segments s join collections c on c.id = s.collection
         where c.name = ? and s.scope = ?`,
      )
      .get(collection, scope) as { segment: string } | undefined;
    if (row === undefined) throw new Error(`the server has no collection ${collection}`);
    return row;
  }

  #indexFolder(collection: string): string {
    let folder = '';
    this.#open((database) => (folder = this.#segment(database, collection, 'VECTOR').segment));
    return join(this.#dir, folder);
  }

  #open(work: (database: DatabaseSync) => void): void {
    const database = new DatabaseSync(join(this.#dir, 'chroma.sqlite3'));
    try {
      database.exec('pragma foreign_keys = off');
      // The tables of the full-text index are protected otherwise.
      database.enableDefensive(false);
      work(database);
    } finally {
      database.close();
    }
  }
}

function writeAt(file: string, at: number, bytes: Buffer): void {
  const descriptor = openSync(file, 'r+');
  writeSync(descriptor, bytes, 0, bytes.length, at);
  closeSync(descriptor);
}
