// How a stock server fails: what it does beyond an answer that says no, what it still says when it no longer works, and
// what is left when its process ends. The hazards of test/support/hazards.ts are the doors to some of it.

import { expect } from 'vitest';
import { adds, answers, counts, finds, invalid, records, refuses, request, told, updates } from './steps.ts';
import { COLLECTIONS, type Behaviour, type Step, type Talk } from './subject.ts';

const OTHER = '{other}';
/** How often a cut call is sent until one is executed all the same: a race with the server. */
const CUTS_MAX = 20;

const broken = (asked: Step['request'], start: string): Step => refuses(asked, 500, 'InternalError', start);
const UNSENT = 'Error sending message to compactor';
const DEAF = 'Error executing plan: Error sending backfill request to compactor: Failed to send request';
const WEDGED = 'Failed to pull logs from the log store';

const DIMENSION: readonly Behaviour[] = [
  told(
    'a first write refused for its columns fixes the dimension all the same',
    invalid(
      records('add', '{"ids":["a","b"],"embeddings":[[1,2,3]]}'),
      'Inconsistent number of IDs, embeddings, ',
    ),
    counts(0),
    invalid(
      records('add', '{"ids":["a"],"embeddings":[[1]]}'),
      'Collection expecting embedding with dimension of 3, got 1',
    ),
  ),
  told(
    'a first write refused for an empty id fixes the dimension all the same',
    invalid(
      records('upsert', '{"ids":[""],"embeddings":[[1,2,3]]}'),
      'Empty ID, ID must have at least one character',
    ),
    invalid(
      records('add', '{"ids":["a"],"embeddings":[[1]]}'),
      'Collection expecting embedding with dimension of 3, got 1',
    ),
  ),
];

/** The log reader ends; `{id}` holds what it cannot read, and will end it again. */
const ends = broken(
  records('upsert', '{"ids":["x"],"embeddings":[[9]],"metadatas":[{"chroma:document":5}]}'),
  UNSENT,
);
const healthy: Step = { request: request('GET', '/api/v2/healthcheck'), status: 200, body: null };
const unpoisoned = answers(request('DELETE', `${COLLECTIONS}/talk-{n}`), '{}');

const READER: readonly Behaviour[] = [
  {
    name: 'a server whose log reader has ended says it is healthy, answers writes with 500, and applies them after a restart',
    async run(talk) {
      await talk.steps(
        adds('{"ids":["a"],"embeddings":[[1]]}', OTHER),
        ends,
        healthy,
        broken(records('add', '{"ids":["late"],"embeddings":[[2]]}', OTHER), UNSENT),
        broken(records('delete', '{"ids":["a"]}', OTHER), UNSENT),
        broken(records('delete', '{"where":{"k":1}}', OTHER), 'Failed to resolve records for deletion: '),
        broken(records('count', undefined, OTHER), DEAF),
        broken(records('get', '{}', OTHER), DEAF),
        broken(records('query', '{"query_embeddings":[[1]]}', OTHER), DEAF),
        invalid(
          records('add', '{"ids":["b"],"embeddings":[[1,2]]}', OTHER),
          'Collection expecting embedding with dimension of 1, got 2',
        ),
        updates('{"ids":[]}', OTHER),
        answers(request('PUT', `${COLLECTIONS}/{other}`, '{"new_metadata":{"written":1}}'), '{}'),
      );
      await talk.subject.restart();
      await talk.steps(finds('', ['late'], OTHER), adds('{"ids":["next"],"embeddings":[[3]]}', OTHER));
      await talk.steps(unpoisoned);
    },
  },
  {
    name: 'what was read before the log reader ended is read on, and stays as it was',
    async run(talk) {
      await talk.steps(
        adds('{"ids":["a"],"embeddings":[[1]]}', OTHER),
        counts(1, OTHER),
        ends,
        broken(records('add', '{"ids":["late"],"embeddings":[[2]]}', OTHER), UNSENT),
        counts(1, OTHER),
        finds('', ['a'], OTHER),
      );
      await talk.subject.restart();
      await talk.steps(unpoisoned, counts(2, OTHER));
    },
  },
  {
    name: 'the collection that ended the log reader ends it again when it is read after a restart',
    async run(talk) {
      await talk.steps(adds('{"ids":["a"],"embeddings":[[1]]}', OTHER), ends);
      await talk.subject.restart();
      await talk.steps(
        adds('{"ids":["b"],"embeddings":[[2]]}', OTHER),
        broken(records('count'), 'Error executing plan: Error sending backfill request to compactor: '),
        broken(records('add', '{"ids":["c"],"embeddings":[[3]]}', OTHER), UNSENT),
      );
      await talk.subject.restart();
      await talk.steps(unpoisoned, adds('{"ids":["d"],"embeddings":[[4]]}', OTHER), counts(4, OTHER));
    },
  },
];

const emptyVector = records('update', '{"ids":["a"],"embeddings":[[]]}');

const WEDGE: readonly Behaviour[] = [
  {
    name: 'an update with an embedding of no components wedges a collection that has no dimension, or is refused',
    async run(talk) {
      // What came with metadata arrays refuses it.
      if (talk.capabilities.metadataArrays) {
        return talk.steps(invalid(emptyVector, 'Validation error: embeddings: '), counts(0));
      }
      const unreadable = [
        invalid(
          records('count'),
          `Error executing plan: Error sending backfill request to compactor: ${WEDGED}`,
        ),
        invalid(
          records('get', '{}'),
          `Error executing plan: Error sending backfill request to compactor: ${WEDGED}`,
        ),
        invalid(records('delete', '{"ids":["a"]}'), `Error in compaction: ${WEDGED}`),
        invalid(records('delete', '{"where":{"k":1}}'), 'Failed to resolve records for deletion: '),
        invalid(
          records('add', '{"ids":["b"],"embeddings":[[1]]}'),
          'Collection expecting embedding with dimension of 0, got 1',
        ),
      ];
      await talk.steps(
        invalid(emptyVector, `Error in compaction: ${WEDGED}`),
        ...unreadable,
        adds('{"ids":["a"],"embeddings":[[1]]}', OTHER),
      );
      await talk.subject.restart();
      await talk.steps(...unreadable, counts(1, OTHER), unpoisoned);
    },
  },
  {
    name: 'a wedged collection that was read before is read on; one with a dimension is not wedged',
    async run(talk) {
      if (talk.capabilities.metadataArrays) return;
      await talk.steps(
        counts(0),
        invalid(emptyVector, `Error in compaction: ${WEDGED}`),
        counts(0),
        invalid(records('update', '{"ids":["a"],"documents":["x"]}'), `Error in compaction: ${WEDGED}`),
        adds('{"ids":["a"],"embeddings":[[1,2]]}', OTHER),
        invalid(
          records('update', '{"ids":["a"],"embeddings":[[]]}', OTHER),
          'Collection expecting embedding with dimension of 2, got 0',
        ),
        counts(1, OTHER),
      );
    },
  },
];

const checkpointed = (lsn: number): Step =>
  answers(request('PUT', `${COLLECTIONS}/{other}`, `{"new_metadata":{"checkpoint":${lsn}}}`), '{}');

/** What a marker would say: the metadata of a collection. */
async function checkpoint(talk: Talk): Promise<unknown> {
  const { text } = await talk.ask(request('GET', `${COLLECTIONS}/talk-{n}-other`));
  return (JSON.parse(text) as { metadata: unknown }).metadata;
}

const ENDS: readonly Behaviour[] = [
  {
    name: 'a process that is killed loses nothing it has acknowledged',
    async run(talk) {
      const ids = Array.from({ length: 30 }, (_, index) => `r${index}`);
      for (const [index, id] of ids.entries()) {
        await talk.steps(adds(`{"ids":["${id}"],"embeddings":[[${index}]]}`));
      }
      await talk.steps(checkpointed(30));
      await talk.subject.restart();
      await talk.steps(finds('', ids));
      expect(await checkpoint(talk)).toEqual({ checkpoint: 30 });
    },
  },
  {
    name: 'an older copy of its content has lost the tail, and the marker says so',
    async run(talk) {
      await talk.steps(adds('{"ids":["kept"],"embeddings":[[1]]}'), checkpointed(1));
      await talk.subject.keepCopy();
      await talk.steps(
        adds('{"ids":["lost"],"embeddings":[[2]]}'),
        checkpointed(2),
        finds('', ['kept', 'lost']),
      );
      await talk.subject.putBackCopy();
      await talk.steps(finds('', ['kept']));
      expect(await checkpoint(talk)).toEqual({ checkpoint: 1 });
      await talk.steps(adds('{"ids":["lost"],"embeddings":[[3]]}'), counts(2));
    },
  },
  {
    name: 'a call whose connection ends before its answer may be executed, after others',
    async run(talk) {
      const path = (id: string): string => talk.filled(`${COLLECTIONS}/${id}/add`);
      for (let cut = 0; cut < CUTS_MAX; cut++) {
        const busyWith = { path: path('{id}'), body: largeWrite(`cut-${cut}`) };
        const body = `{"ids":["cut-${cut}"],"embeddings":[[1]]}`;
        await talk.subject.cutOff(path(OTHER), body, busyWith);
        const { text } = await talk.ask(records('get', `{"ids":["cut-${cut}"],"include":[]}`, OTHER));
        if ((JSON.parse(text) as { ids: string[] }).ids.length === 1) return;
      }
      throw new Error(`none of ${CUTS_MAX} calls that were cut was executed`);
    },
  },
];

/** Enough to keep a server at work for some hundred ms. */
function largeWrite(prefix: string): string {
  const ids = Array.from({ length: 1_000 }, (_, index) => `${prefix}-${index}`);
  const embeddings = ids.map((_id, index) =>
    Array.from({ length: 128 }, (_, at) => (index * 31 + at * 17) % 97),
  );
  return JSON.stringify({ ids, embeddings });
}

export const FAILURES: readonly Behaviour[] = [...DIMENSION, ...READER, ...WEDGE, ...ENDS];
